//! HTTP/2 to targets that end connections, refuse streams, and break the rules: what is sent again, and what is counted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/h2.rs"]
mod h2_server;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/tls.rs"]
mod tls_server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http;
use futures_util::future::join_all;
use shadowtap::exchange::{Body, FailureKind};
use shadowtap::replay::{
    AnyClient, Client as _, ClientChoice, ResponseOptions, ResponseProgress, SendError, SendSettings, Ticket,
    TlsIdentity,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use h2_server::{H2, Script, go_away, go_away_for, head, streams_at_once};
use requests::request;
use tls_server::tls;

/// Long enough for whatever answers at all on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The highest stream: what a target says first that ends a connection in two steps (RFC 9113, 6.8).
const ANY_STREAM: u32 = (1 << 31) - 1;
const AT_ONCE: usize = 40;

fn client(url: &str, trust: TlsIdentity) -> AnyClient {
    let settings = SendSettings {
        client: ClientChoice::Reqwest,
        http2: true,
        timeout: TIMEOUT,
        trust,
        ..SendSettings::new(url.parse().unwrap())
    };
    AnyClient::new(&settings).unwrap()
}

fn plain(addr: SocketAddr) -> AnyClient {
    client(&format!("http://{addr}"), TlsIdentity::default())
}

async fn ask(client: &AnyClient, line: impl AsRef<str>) -> Result<u16, FailureKind> {
    send(client, line).await.map_err(|error| error.kind().unwrap())
}

async fn send(client: &AnyClient, line: impl AsRef<str>) -> Result<u16, SendError> {
    let request = request(1, &format!("{} HTTP/1.1\r\nHost: old\r\n\r\n", line.as_ref()), Body::EMPTY);
    let turn: Ticket = client.enqueue(request.id.into());
    let progress = ResponseProgress::default();
    let sent = client.send(turn, Box::new(request), ResponseOptions::HASH, &progress);
    let response = tokio::time::timeout(TIMEOUT, sent).await.expect("a request was left behind");
    response.map(|response| response.status)
}

#[tokio::test]
async fn over_tls_many_requests_that_need_a_connection_open_one() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, trust) = tls(&folder, &[b"h2"]);
    let (server, addr) = H2::start(Some(acceptor)).await;
    let client = client(&format!("https://localhost:{}", addr.port()), trust);
    let all = join_all((0..AT_ONCE).map(|_| ask(&client, "GET /"))).await;
    assert!(all.iter().all(|status| *status == Ok(203)), "{all:?}");
    assert_eq!((*server.connections.lock().unwrap(), client.connections().opened), (1, 1));
}

#[tokio::test]
async fn a_connection_that_fails_fails_for_all_who_waited_for_it_and_is_not_opened_again_for_each() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let folder = tempfile::tempdir().unwrap();
    let client = client(&url, tls(&folder, &[b"h2"]).1);
    let server = tokio::spawn({
        let accepted = Arc::clone(&accepted);
        async move {
            while listener.accept().await.is_ok() {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let all = join_all((0..AT_ONCE).map(|_| ask(&client, "GET /"))).await;
    server.abort();
    assert!(all.iter().all(|status| *status == Err(FailureKind::Tls)), "{all:?}");
    assert!(accepted.load(Ordering::Relaxed) < AT_ONCE / 4, "{accepted:?}");
}

#[tokio::test]
async fn all_who_waited_for_a_connection_say_why_it_failed() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = plain(free);
    for error in join_all((0..AT_ONCE).map(|_| send(&client, "POST /"))).await.into_iter().map(Result::unwrap_err) {
        assert!(error.kind() == Some(FailureKind::Connect) && error.to_string().contains("refused"), "{error}");
    }
}

#[tokio::test]
async fn over_tls_all_who_waited_go_by_http_1_where_the_target_speaks_no_http_2() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, trust) = tls(&folder, &[b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("https://localhost:{}", listener.local_addr().unwrap().port()), trust);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                while stream.read(&mut [0; 1024]).await.ok()? > 0 {
                    stream.write_all(b"HTTP/1.1 299 Old\r\nContent-Length: 0\r\n\r\n").await.ok()?;
                }
                Some(())
            });
        }
    });
    let all = join_all((0..AT_ONCE).map(|_| ask(&client, "POST /"))).await;
    assert!(all.iter().all(|status| *status == Ok(299)), "{all:?}");
}

#[tokio::test]
async fn who_waited_for_the_connection_of_one_that_is_given_up_opens_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, trust) = tls(&folder, &[b"h2"]);
    let client = client(&format!("https://localhost:{}", listener.local_addr().unwrap().port()), trust);
    let mut first = Box::pin(ask(&client, "GET /first"));
    let (silent, _) = tokio::select! {
        status = &mut first => unreachable!("{status:?}"),
        accepted = listener.accept() => accepted.unwrap(),
    };
    let mut others = Box::pin(join_all((0..AT_ONCE).map(|_| ask(&client, "POST /"))));
    // They wait for what the first one began, or will find that it has gone.
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut others).await.is_err());
    drop(first);
    let served = async {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut served = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = served.accept().await {
            let response = http::Response::builder().status(203).body(()).unwrap();
            respond.send_response(response, true).unwrap();
        }
    };
    let all = tokio::select! {
        all = others => all,
        () = served => unreachable!("nobody closes it"),
    };
    drop(silent);
    assert!(all.iter().all(|status| *status == Ok(203)), "{all:?}");
}

/// The third request of the first connection ends it by a `GOAWAY` that rules out the second, too; all others are responded to.
fn ends_while_one_waits() -> impl Script {
    let ended = Arc::new(AtomicBool::new(false));
    move |stream| match stream {
        3 if !ended.load(Ordering::Relaxed) => Vec::new(),
        5 if !ended.swap(true, Ordering::Relaxed) => go_away(1),
        stream => head(stream, "203", true),
    }
}

#[tokio::test]
async fn a_write_that_waits_for_its_stream_goes_out_once_more_where_an_earlier_one_was_ruled_out() {
    let client = plain(h2_server::raw(streams_at_once(2), false, ends_while_one_waits()).await);
    assert_eq!(ask(&client, "POST /first").await, Ok(203));
    let all = join_all((0..6).map(|n| ask(&client, format!("POST /{n}")))).await;
    assert!(all.iter().all(|status| *status == Ok(203)), "{all:?}");
}

#[tokio::test]
async fn a_write_that_waits_for_its_stream_fails_where_it_may_have_been_sent_at_the_last_moment() {
    let script = |stream: u32| match stream {
        3 | 7 => Vec::new(),
        5 => [go_away(ANY_STREAM), head(5, "203", true), head(3, "203", true)].concat(),
        stream => head(stream, "203", true),
    };
    let client = plain(h2_server::raw(streams_at_once(2), false, script).await);
    assert_eq!(ask(&client, "POST /first").await, Ok(203));
    let all = join_all((0..3).map(|n| ask(&client, format!("POST /{n}")))).await;
    assert_eq!(all, [Ok(203), Ok(203), Err(FailureKind::Reset)]);
    assert_eq!(client.connections().retried, 0);
}

#[tokio::test]
async fn what_a_target_did_not_process_goes_out_once_more_whatever_it_ends_the_connection_for() {
    let calm = |stream: u32| match stream {
        1 => head(1, "203", true),
        _ => go_away_for(1, h2::Reason::ENHANCE_YOUR_CALM),
    };
    let client = plain(h2_server::raw(Vec::new(), false, calm).await);
    for n in 0..3 {
        assert_eq!(ask(&client, format!("POST /{n}")).await, Ok(203), "{n}");
    }
    let never = plain(h2_server::raw(Vec::new(), false, |_: u32| go_away_for(0, h2::Reason::INTERNAL_ERROR)).await);
    assert_eq!(ask(&never, "POST /").await, Err(FailureKind::Reset));
    assert_eq!((client.connections().retried, never.connections().retried), (2, 1));
}

#[tokio::test]
async fn a_write_that_the_target_may_have_processed_is_not_sent_twice_where_its_connection_ends() {
    let client =
        plain(h2_server::raw(Vec::new(), false, |stream: u32| [go_away(stream), vec![0; 9], vec![0]].concat()).await);
    // The frame of no length on no stream breaks the rules, so that the connection ends.
    assert!(ask(&client, "POST /").await.is_err());
    assert_eq!((client.connections().opened, client.connections().retried), (1, 0));
}

#[tokio::test]
async fn heads_of_responses_may_be_as_long_as_over_http_1() {
    // A literal without a name of its own in the table (RFC 7541, 6.2.2), in pieces of the least that all take.
    let long = |stream: u32| {
        let mut value = vec![0x00, 1, b'x', 0x7f, 0x81, 0x7c];
        value.extend(vec![b'a'; 127 + 1 + (0x7c << 7)]);
        let mut frames = h2_server::frame(1, 1, stream, &[0x88]);
        for _ in 0..6 {
            frames.extend(value.chunks(16_000).flat_map(|piece| h2_server::frame(9, 0, stream, piece)));
        }
        frames.extend(h2_server::frame(9, 4, stream, &[]));
        frames
    };
    let client = plain(h2_server::raw(Vec::new(), false, long).await);
    assert_eq!(ask(&client, "GET /").await, Ok(200));
}
