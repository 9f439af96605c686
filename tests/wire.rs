//! The client that sends requests as they were captured: what arrives, over which connections, and when it gives up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/server.rs"]
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use shadowtap::capture::{self, FileSource};
use shadowtap::exchange::{
    Body, ConnectionId, Event, ExchangeId, FailureKind, Framing, Outcome, Request, RequestState, Shed,
};
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::middleware;
use shadowtap::pipeline::{self, Progress, Run};
use shadowtap::replay::TlsIdentity;
use shadowtap::replay::wire::{Lookup, Resolve};
use shadowtap::replay::{
    Client as _, ClientError, ConnKey, ConnectionMode, Delivery, Destination, InFlight, Job, Pace, ResponseOptions,
    ResponseProgress, SendSettings, TargetId, TargetResponse, Ticket, WireClient, run_target,
};
use shadowtap::report::Summary;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::rustls;

use files::testdata;
use requests::{get, request};
use server::{Server, Step, answer, send};

/// Long enough for whatever answers at all on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

fn pooled(url: &str) -> SendSettings {
    SendSettings { pace: Pace::Max, timeout: TIMEOUT, drain: TIMEOUT, ..SendSettings::new(url.parse().unwrap()) }
}

fn mirrored(url: &str) -> SendSettings {
    SendSettings { connections: ConnectionMode::Mirrored, ..pooled(url) }
}

fn lane(connection: u64) -> ConnKey {
    ExchangeId::new(ConnectionId(connection), 1).into()
}

async fn ask(client: &WireClient, request: Request) -> Result<TargetResponse, FailureKind> {
    let mut turn = client.enqueue(request.id.into());
    turn.ready().await;
    client
        .send(turn, Box::new(request), ResponseOptions::HASH, &ResponseProgress::default())
        .await
        .map_err(|error| error.kind().unwrap())
}

async fn status(client: &WireClient, request: Request) -> Result<u16, FailureKind> {
    ask(client, request).await.map(|answer| answer.status)
}

fn ok(_: &str) -> Vec<Step> {
    vec![answer("200 OK", "hello")]
}

fn with_body(number: u64, lines: &str, body: &'static [u8]) -> Request {
    let head = format!("POST / HTTP/1.1\r\nHost: old\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    let len = body.len() as u64;
    let wire = Some(Bytes::from_static(body));
    request(number, &head, Body { framing: Framing::Length(len), len, sha256: None, wire })
}

// What arrives.

/// Replays a capture over mirrored connections with nothing changed, and compares what arrives byte for byte.
async fn arrives_as_captured(capture: &'static str) {
    let server = Server::start(ok).await;
    let settings = SendSettings { keep_host: true, pace: Pace::Max, ..mirrored(&server.url("http")) };
    let middleware = middleware::ChainSettings { allow_writes: true, ..middleware::ChainSettings::default() };
    let source = FileSource::open(&testdata(capture), &capture::Halt::default()).unwrap();
    let run = Run { middleware, targets: vec![settings], ..Run::of_files(Box::new(source)) };
    let summary = run_to_its_end(run).await;
    assert!(summary.balances(), "{summary:#?}");
    let mut expected: Vec<Vec<u8>> = captured(capture)
        .iter()
        .filter(|request| request.state == RequestState::Whole && request.head.get("upgrade").is_none())
        .map(|request| [request.head.as_bytes(), request.body.wire.as_deref().unwrap_or_default()].concat())
        .collect();
    let mut found = server.raw();
    expected.sort();
    found.sort();
    assert!(!found.is_empty());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(String::from_utf8_lossy(found), String::from_utf8_lossy(expected));
    }
}

/// The requests of a capture with their bodies.
fn captured(capture: &str) -> Vec<Request> {
    let source = FileSource::open(&testdata(capture), &capture::Halt::default()).unwrap();
    let interests = BodyPolicies { request_body: BodyPolicy::Keep, ..BodyPolicies::default() };
    let mut requests = Vec::new();
    pipeline::inspect(Box::new(source), &capture::Settings::default(), interests, &mut |event| {
        if let Event::Request(request) = event {
            requests.push(*request);
        }
        true
    })
    .unwrap();
    requests
}

async fn run_to_its_end(run: Run) -> Summary {
    let progress = Arc::new(Progress::default());
    let never = std::future::pending();
    tokio::task::spawn_blocking(move || pipeline::run(run, &progress, never).unwrap()).await.unwrap()
}

#[tokio::test]
async fn what_was_captured_arrives_byte_for_byte() {
    for capture in ["get-nano.pcap", "keep-alive.pcap", "expect-chunked.pcap", "demo.pcap.zst"] {
        arrives_as_captured(capture).await;
    }
}

#[tokio::test]
async fn over_shared_connections_only_host_and_the_lines_of_the_connection_differ() {
    let server = Server::start(ok).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    let head = "GET /a/../b//c'?<x>%zz HTTP/1.1\r\nX-b:1\r\nhOST:  old\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\
                x-B : 2 \r\n\r\n";
    assert_eq!(status(&client, request(1, head, Body::EMPTY)).await, Ok(200));
    let host = format!("127.0.0.1:{}", server.addr.port());
    let expected = format!("GET /a/../b//c'?<x>%zz HTTP/1.1\r\nX-b:1\r\nhOST:  {host}\r\nx-B : 2 \r\n\r\n");
    assert_eq!(server.requests(), [expected]);
}

#[tokio::test]
async fn what_would_leave_http_is_not_sent() {
    let server = Server::start(ok).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    let head = |first: &str, lines: &str| format!("{first} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let rule = |head: String| client.refuses(&request(1, &head, Body::EMPTY));
    assert_eq!(rule(head("CONNECT h:443", "")), Some("connect"));
    assert_eq!(rule(head("GET /chat", "Connection: Upgrade\r\nUpgrade: websocket\r\n")), Some("upgrade"));
    assert_eq!(rule(head("GET /", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")), None);
    assert_eq!(rule(head("OPTIONS *", "")), None);
    let settings = pooled(&server.url("http"));
    let upgrade = request(1, &head("GET /chat", "Upgrade: websocket\r\n"), Body::EMPTY);
    let ended = deliver(&settings, client, vec![upgrade, get(2, "/")]).await;
    let outcomes: Vec<_> = ended.into_iter().map(|delivery| delivery.outcome).collect();
    assert_eq!(outcomes, [Outcome::filtered("upgrade"), Outcome::Sent]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_offer_to_leave_http_1_stays_back_and_its_request_goes_out() {
    for settings in [pooled, mirrored] {
        let server = Server::start(ok).await;
        let client = WireClient::new(&settings(&server.url("http"))).unwrap();
        for lines in [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "Connection: Upgrade\r\nUpgrade: TLS/1.2, TLS/1.0\r\n",
            "Connection: upgrade\r\nUpgrade: \r\n",
        ] {
            let head = format!("GET /a HTTP/1.1\r\nHost: old\r\n{lines}X: 1\r\n\r\n");
            let asked = request(1, &head, Body::EMPTY);
            assert_eq!(client.refuses(&asked), None, "{lines}");
            assert_eq!(status(&client, asked).await, Ok(200));
            let arrived = server.requests().pop().unwrap();
            assert_eq!(arrived, format!("GET /a HTTP/1.1\r\nHost: {}\r\nX: 1\r\n\r\n", server.addr), "{lines}");
        }
    }
}

/// Speaks TLS with whoever begins it, and closes on everybody else, as many servers do.
async fn tls_or_nothing() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut first = [0];
                if stream.peek(&mut first).await.is_ok() && first == [0x16] {
                    server::self_signed().accept(stream).await.ok();
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_target_that_speaks_tls_alone_is_told_however_it_refuses() {
    let nginx = Server::start(|_| {
        vec![answer("400 Bad Request", "<title>400 The plain HTTP request was sent to HTTPS port</title>")]
    })
    .await;
    let alert = Server::start(|_| vec![send(b"\x15\x03\x03\x00\x02\x02\x46"), Step::Close]).await;
    let closing = tls_or_nothing().await;
    for settings in [pooled, mirrored] {
        for url in [nginx.url("http"), alert.url("http"), format!("http://{closing}")] {
            let client = WireClient::new(&settings(&url)).unwrap();
            for number in 1..=2 {
                assert_eq!(
                    why(&client, get(number, "/")).await,
                    "tls: the target speaks TLS; is it https://?",
                    "{url}"
                );
            }
        }
    }
    // It is not asked whether it speaks TLS once it has responded.
    let server =
        Server::start(|request| if request.contains(" /closed") { vec![Step::Close] } else { ok(request) }).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    assert_eq!(status(&client, get(1, "/")).await, Ok(200));
    assert_eq!(why(&client, get(2, "/closed")).await, "reset: connection closed before a response began");
}

#[tokio::test]
async fn a_target_that_speaks_http_2_alone_is_told() {
    const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
    let frames = || vec![send(SETTINGS), Step::Wait, send(GOAWAY), Step::Close];
    let turns_down = Server::start(move |_| frames()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let speaks_first = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(SETTINGS).await.ok();
                if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(GOAWAY).await.ok();
                }
            });
        }
    });
    for settings in [pooled, mirrored] {
        for url in [turns_down.url("http"), speaks_first.clone()] {
            let client = WireClient::new(&settings(&url)).unwrap();
            for number in 1..=2 {
                assert_eq!(
                    why(&client, get(number, "/")).await,
                    "protocol: the target speaks HTTP/2; is it --client reqwest --http2?",
                    "{url}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_target_that_resets_every_connection_and_waits_for_whole_requests_is_told_as_that() {
    let server = Server::start(|_| vec![Step::Reset]).await;
    for settings in [pooled, mirrored] {
        let settings = SendSettings { timeout: Duration::from_secs(1), ..settings(&server.url("http")) };
        let client = WireClient::new(&settings).unwrap();
        let ended = deliver(&settings, client, (1..=6).map(|number| get(number, "/")).collect()).await;
        let outcomes: Vec<_> = ended.iter().map(|delivery| delivery.outcome.clone()).collect();
        assert_eq!(outcomes, vec![Outcome::Failed(FailureKind::Reset); 6]);
    }
}

/// Sends them all through one target and gives the deliveries in the order of the requests.
async fn deliver(settings: &SendSettings, client: WireClient, requests: Vec<Request>) -> Vec<Delivery> {
    let (jobs, jobs_out) = mpsc::channel(requests.len().max(1));
    let (deliveries_in, mut deliveries) = mpsc::channel::<Box<Delivery>>(16);
    let (_stop, stop_out) = watch::channel(false);
    for request in requests {
        let turn = client.enqueue(request.id.into());
        jobs.send(Job { held: None, request: Box::new(request), due: None, turn, wanted: ResponseOptions::HASH })
            .await
            .unwrap();
    }
    drop(jobs);
    let counters = Arc::new(InFlight::default());
    tokio::spawn(run_target(
        Destination::Target(TargetId::at(0)),
        Arc::new(client),
        jobs_out,
        settings.into(),
        stop_out,
        deliveries_in,
        counters,
    ));
    let mut ended = Vec::new();
    while let Some(delivery) = deliveries.recv().await {
        ended.push(*delivery);
    }
    ended.sort_by_key(|delivery| delivery.id);
    ended
}

// A connection that a test speaks over by hand.

/// A target of one connection, and a client for it.
async fn by_hand() -> (TcpListener, WireClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, WireClient::new(&pooled(&url)).unwrap())
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = String::new();
    while !read.ends_with(end) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "{read}");
        read.push(char::from(byte[0]));
    }
    read
}

/// What the target reads after it said `said` to a head that expects a 100, and how the request ended.
async fn expecting(said: &'static str) -> (String, Result<u16, FailureKind>) {
    let (listener, client) = by_hand().await;
    let target = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut rest = String::new();
        if said.contains("417") {
            stream.read_to_string(&mut rest).await.unwrap();
        } else {
            rest = read_until(&mut stream, "body").await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
        rest
    };
    tokio::join!(target, status(&client, with_body(1, "Expect: 100-continue\r\n", b"body")))
}

#[tokio::test]
async fn a_body_that_waits_for_100_follows_it() {
    assert_eq!(expecting("HTTP/1.1 100 Continue\r\n\r\n").await, ("body".to_owned(), Ok(200)));
}

#[tokio::test]
async fn a_body_that_waits_follows_after_a_second() {
    let begun = Instant::now();
    assert_eq!(expecting("").await, ("body".to_owned(), Ok(200)));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_body_that_waits_stays_after_a_final_response_and_its_connection_ends() {
    let refused = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(expecting(refused).await, (String::new(), Ok(417)));
}

#[tokio::test]
async fn an_early_answer_ends_the_writing_and_counts_no_service_time() {
    let (listener, client) = by_hand().await;
    let target = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        stream
    };
    let body: &'static [u8] = vec![b'x'; 64 << 20].leak();
    let (_stream, found) = tokio::join!(target, ask(&client, with_body(1, "", body)));
    let found = found.unwrap();
    assert_eq!((found.status, found.body_len), (413, 2));
    assert_eq!(found.written, found.first_byte);
    // What is left of the body is not written: the connection is not used again.
    let second = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    assert_eq!(tokio::join!(second, status(&client, get(2, "/"))).1, Ok(204));
}

#[tokio::test]
async fn an_answer_before_a_reset_in_the_middle_of_the_body_counts() {
    let (listener, client) = by_hand().await;
    let target = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\nno").await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    };
    let body: &'static [u8] = vec![b'x'; 64 << 20].leak();
    let (_stream, found) = tokio::join!(target, status(&client, with_body(1, "", body)));
    assert_eq!(found, Ok(413));
}

#[tokio::test]
async fn a_large_body_and_a_large_answer_cross_on_the_way() {
    let (listener, client) = by_hand().await;
    let target = async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let echo = async {
            write
                .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 16 << 20).as_bytes())
                .await
                .unwrap();
            for _ in 0..16 {
                write.write_all(&vec![b'y'; 1 << 20]).await.unwrap();
            }
        };
        echo.await;
        tokio::io::copy(&mut read, &mut tokio::io::sink()).await.unwrap()
    };
    let body: &'static [u8] = vec![b'x'; 16 << 20].leak();
    let asking = async {
        let found = ask(&client, with_body(1, "", body)).await;
        drop(client);
        found
    };
    let found = tokio::join!(target, asking).1.unwrap();
    assert_eq!((found.status, found.body_len), (200, 16 << 20));
}

// Pooled connections.

#[tokio::test]
async fn a_connection_that_the_target_closed_is_noticed_before_a_request_is_risked() {
    let server = Server::start(|_| vec![answer("200 OK", "hello"), Step::Close]).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    for number in 1..=20 {
        assert_eq!(status(&client, get(number, "/")).await, Ok(200));
        server.until_open(0).await;
    }
    assert_eq!((server.requests().len(), server.connections(), client.connections().opened), (20, 20, 20));
    assert_eq!(client.connections().peak, 1);
}

#[tokio::test]
async fn a_target_that_closes_after_each_response_costs_no_request_however_soon_the_next_one_follows() {
    let server = Server::start(|_| vec![answer("200 OK", "hello"), Step::Close]).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    for number in 1..=50 {
        assert_eq!(status(&client, get(number, "/")).await, Ok(200));
    }
    assert_eq!((server.requests().len(), client.connections().opened), (50, 50));
}

#[tokio::test]
async fn a_connection_on_which_the_target_spoke_unasked_is_not_used_again() {
    let server = Server::start(|_| vec![answer("200 OK", "hello"), send("HTTP/1.1 408 Timeout\r\n\r\n")]).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    for number in 1..=5 {
        assert_eq!(status(&client, get(number, "/")).await, Ok(200));
        server.until_played(usize::try_from(number).unwrap()).await;
    }
}

#[tokio::test]
async fn one_connection_serves_all_that_ask_one_after_another() {
    for head in ["GET / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n", "GET /204 HTTP/1.1\r\n\r\n"] {
        let server = Server::start(|request| {
            let length =
                if request.starts_with("HEAD") { "Content-Length: 5\r\n" } else { "Transfer-Encoding: chunked\r\n" };
            match request.starts_with("GET / ") {
                true => vec![send(format!("HTTP/1.1 200 OK\r\n{length}\r\n5\r\nhello\r\n0\r\n\r\n"))],
                false if request.starts_with("HEAD") => vec![send(format!("HTTP/1.1 200 OK\r\n{length}\r\n"))],
                false => vec![send("HTTP/1.1 204 No Content\r\n\r\n")],
            }
        })
        .await;
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        for number in 1..=50 {
            ask(&client, request(number, head, Body::EMPTY)).await.unwrap();
        }
        assert_eq!((server.requests().len(), client.connections().opened), (50, 1), "{head}");
    }
}

#[tokio::test]
async fn requests_of_http_1_0_end_their_connection_unless_the_target_keeps_it() {
    for (lines, connections) in [("", 3), ("Connection: keep-alive\r\n", 1)] {
        let server =
            Server::start(move |_| vec![send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n"))]).await;
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        for number in 1..=3 {
            ask(&client, request(number, "GET / HTTP/1.0\r\n\r\n", Body::EMPTY)).await.unwrap();
        }
        assert!(server.requests()[0].starts_with("GET / HTTP/1.0\r\nHost: 127.0.0.1:"));
        assert_eq!(server.connections(), connections, "{lines}");
    }
}

// Mirrored connections.

#[tokio::test]
async fn each_captured_connection_has_its_own_and_closes_with_it() {
    let server = Server::start(ok).await;
    let client = WireClient::new(&mirrored(&server.url("http"))).unwrap();
    let now = Instant::now();
    for number in 1..=3 {
        client.open(lane(number), now);
    }
    // Before any request.
    server.until_open(3).await;
    for round in 0..4 {
        for number in 1..=3 {
            assert_eq!(status(&client, get(number, &format!("/{round}"))).await, Ok(200));
        }
    }
    let over = server.over();
    assert_eq!((over.len(), server.connections()), (12, 3));
    assert!(over.chunks(3).all(|round| round == &over[..3]), "{over:?}");
    client.close(lane(2), now);
    server.until_open(2).await;
    client.close(lane(1), now);
    client.close(lane(3), now);
    server.until_open(0).await;
    assert_eq!((client.connections().opened, client.connections().peak), (3, 3));
}

#[tokio::test]
async fn requests_of_a_connection_go_in_their_order_and_hold_up_no_other() {
    let server =
        Server::start(|request| if request.starts_with("GET /slow") { vec![Step::Stall] } else { ok(request) }).await;
    let settings = SendSettings { timeout: Duration::from_millis(300), ..mirrored(&server.url("http")) };
    let client = WireClient::new(&settings).unwrap();
    let mut requests: Vec<Request> = (1..=9).map(|index| get(1, &format!("/{index}"))).collect();
    requests.push(get(2, "/slow"));
    requests.push(get(2, "/after"));
    for (index, request) in requests.iter_mut().enumerate() {
        request.id.index = u32::try_from(index).unwrap();
    }
    let ended = deliver(&settings, client, requests).await;
    let outcomes: Vec<_> = ended.iter().map(|delivery| delivery.outcome.clone()).collect();
    assert_eq!(outcomes[..9], vec![Outcome::Sent; 9]);
    assert_eq!(outcomes[9], Outcome::Failed(FailureKind::Timeout));
    // Its turn came as its patience ended; either is true of it.
    assert!([Outcome::Sent, Outcome::Shed(Shed::ConnectionBusy)].contains(&outcomes[10]), "{outcomes:?}");
    let first: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.split(' ').nth(1).unwrap().to_owned())
        .filter(|path| path.len() == 2)
        .collect();
    assert_eq!(first, (1..=9).map(|index| format!("/{index}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_closes_after_its_last_answer_and_not_before() {
    let server = Server::start(ok).await;
    let client = WireClient::new(&mirrored(&server.url("http"))).unwrap();
    let turns: Vec<Ticket> = (0..3).map(|_| client.enqueue(lane(1))).collect();
    client.close(lane(1), Instant::now());
    for mut turn in turns {
        turn.ready().await;
        assert_eq!(
            client
                .send(turn, Box::new(get(1, "/")), ResponseOptions::default(), &ResponseProgress::default())
                .await
                .unwrap()
                .status,
            200
        );
    }
    server.until_open(0).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_turn_that_is_given_up_lets_the_next_one_pass_with_the_connection() {
    let server = Server::start(ok).await;
    let client = WireClient::new(&mirrored(&server.url("http"))).unwrap();
    let mut turns: Vec<Ticket> = (0..5).map(|_| client.enqueue(lane(1))).collect();
    drop(turns.remove(3));
    drop(turns.remove(1));
    for mut turn in turns {
        turn.ready().await;
        assert_eq!(
            client
                .send(turn, Box::new(get(1, "/")), ResponseOptions::default(), &ResponseProgress::default())
                .await
                .unwrap()
                .status,
            200
        );
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_mirrored_connection_that_the_target_ended_is_opened_again() {
    let server = Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Step::Close]).await;
    let client = WireClient::new(&mirrored(&server.url("http"))).unwrap();
    for _ in 0..3 {
        assert_eq!(status(&client, get(1, "/")).await, Ok(200));
        server.until_open(0).await;
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_the_target_ended_before_its_first_request_is_opened_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = WireClient::new(&mirrored(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    client.open(lane(1), Instant::now());
    drop(listener.accept().await.unwrap());
    let asked = tokio::spawn(async move { status(&client, get(1, "/")).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok(204));
}

#[tokio::test]
async fn past_the_limit_a_connection_waits_until_another_closes() {
    let server = Server::start(ok).await;
    let settings = SendSettings { max_connections: Some(2), ..mirrored(&server.url("http")) };
    let client = WireClient::new(&settings).unwrap();
    for number in 1..=2 {
        assert_eq!(status(&client, get(number, "/")).await, Ok(200));
    }
    let mut third = client.enqueue(lane(3));
    {
        let waiting = third.ready();
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        client.close(lane(1), Instant::now());
        waiting.await;
    }
    assert_eq!(
        client
            .send(third, Box::new(get(3, "/")), ResponseOptions::default(), &ResponseProgress::default())
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(client.connections().peak, 2);
}

#[tokio::test]
async fn a_connection_that_never_comes_free_sheds_its_request() {
    let server = Server::start(ok).await;
    let settings =
        SendSettings { max_connections: Some(1), timeout: Duration::from_millis(300), ..mirrored(&server.url("http")) };
    let client = WireClient::new(&settings).unwrap();
    let ended = deliver(&settings, client, vec![get(1, "/"), get(2, "/")]).await;
    let mut outcomes: Vec<_> = ended.into_iter().map(|delivery| delivery.outcome).collect();
    outcomes.sort_by_key(|outcome| *outcome == Outcome::Sent);
    assert_eq!(outcomes, [Outcome::Shed(Shed::Connections), Outcome::Sent]);
}

/// More connections would not help it.
#[tokio::test]
async fn a_request_behind_a_response_that_goes_on_is_shed_for_that() {
    let slow = || vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), Step::Drip(b"a".to_vec())];
    let server =
        Server::start(move |request| if request.starts_with("GET /slow") { slow() } else { ok(request) }).await;
    let (timeout, max_time) = (Duration::from_secs(1), Duration::from_secs(3));
    let settings = SendSettings { timeout, max_time, ..mirrored(&server.url("http")) };
    let client = WireClient::new(&settings).unwrap();
    let mut requests = vec![get(1, "/slow"), get(1, "/after")];
    requests[1].id.index = 2;
    let ended = deliver(&settings, client, requests).await;
    assert_eq!(ended[1].outcome, Outcome::Shed(Shed::ConnectionBusy));
}

// Names and addresses.

/// A resolver that says what it is told to.
#[derive(Debug, Default)]
struct Script(Mutex<Option<Vec<SocketAddr>>>);

impl Script {
    fn says(&self, addresses: Option<Vec<SocketAddr>>) {
        *self.0.lock().unwrap() = addresses;
    }
}

impl Resolve for Script {
    fn lookup(&self, _: &str, _: u16) -> Lookup {
        let found = self.0.lock().unwrap().clone().ok_or_else(|| io::Error::other("no such name"));
        Box::pin(std::future::ready(found))
    }
}

/// A client for a name that `script` knows, looked up again all the time.
fn named(script: &Arc<Script>) -> WireClient {
    let settings = SendSettings { resolve_every: Duration::from_millis(1), ..pooled("http://staging.example") };
    WireClient::with_resolver(&settings, Arc::clone(script) as Arc<dyn Resolve>).unwrap()
}

#[tokio::test]
async fn requests_follow_a_name_to_its_new_address_in_the_middle_of_a_run() {
    let (old, new) = (Server::start(ok).await, Server::start_at("127.0.0.2:0", ok).await);
    let script = Arc::new(Script::default());
    script.says(Some(vec![old.addr]));
    let client = named(&script);
    assert_eq!(status(&client, get(1, "/")).await, Ok(200));
    script.says(Some(vec![new.addr]));
    while new.requests().is_empty() {
        assert_eq!(status(&client, get(2, "/")).await, Ok(200));
    }
    let before = old.requests().len();
    for _ in 0..10 {
        assert_eq!(status(&client, get(3, "/")).await, Ok(200));
    }
    assert_eq!(old.requests().len(), before, "an old connection is not used any more");
    old.until_open(0).await;
    let shares = client.connections().addresses;
    let asked: Vec<_> = shares.iter().map(|share| (share.address.clone(), share.requests)).collect();
    assert_eq!(asked, [(old.addr.into(), before as u64), (new.addr.into(), new.requests().len() as u64)]);
}

#[tokio::test]
async fn a_name_that_is_not_known_fails_its_requests_and_one_that_is_lost_later_none() {
    let server = Server::start(ok).await;
    let script = Arc::new(Script::default());
    let client = named(&script);
    assert_eq!(status(&client, get(1, "/")).await, Err(FailureKind::Dns));
    script.says(Some(vec![server.addr]));
    let client = named(&script);
    assert_eq!(status(&client, get(2, "/")).await, Ok(200));
    script.says(None);
    for number in 3..=20 {
        assert_eq!(status(&client, get(number, "/")).await, Ok(200));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn connections_spread_over_all_addresses_and_pass_by_one_that_refuses() {
    let servers = [Server::start(ok).await, Server::start(ok).await, Server::start_at("127.0.0.2:0", ok).await];
    let refusing = Server::refusing().await;
    let script = Arc::new(Script::default());
    script.says(Some(servers.iter().map(|server| server.addr).chain([refusing]).collect()));
    let settings = mirrored("http://staging.example");
    let client = WireClient::with_resolver(&settings, Arc::clone(&script) as Arc<dyn Resolve>).unwrap();
    for number in 1..=30 {
        assert_eq!(status(&client, get(number, "/")).await, Ok(200));
    }
    let opened: Vec<usize> = servers.iter().map(Server::connections).collect();
    assert_eq!(opened.iter().sum::<usize>(), 30);
    assert!(opened.iter().all(|opened| (5..=15).contains(opened)), "{opened:?}");
    let shares = client.connections().addresses;
    assert_eq!(
        shares.iter().map(|share| share.opened).collect::<Vec<_>>()[..3],
        opened.iter().map(|n| *n as u64).collect::<Vec<_>>()
    );
    let refused = shares.iter().find(|share| share.address == refusing.into()).unwrap();
    assert!(refused.failed >= 1 && refused.opened == 0 && refused.requests == 0, "{refused:?}");
}

#[tokio::test]
async fn a_target_is_spoken_to_over_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let server = Server::start_at(&addr.to_string(), ok).await;
    let client = WireClient::new(&pooled(&format!("http://{addr}"))).unwrap();
    assert_eq!(status(&client, get(1, "/")).await, Ok(200));
    assert!(server.requests()[0].contains(&format!("\r\nHost: {addr}\r\n")));
}

// TLS.

/// A certificate for `localhost` that vouches for itself, its key, and a file of each.
struct Identity {
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
    folder: tempfile::TempDir,
}

impl Identity {
    fn new(expired: bool) -> Self {
        Self::with(expired, rcgen::IsCa::NoCa)
    }

    /// One that signed itself as an authority, as openssl makes them.
    fn authority(expired: bool) -> Self {
        Self::with(expired, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained))
    }

    fn with(expired: bool, is_ca: rcgen::IsCa) -> Self {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(folder.path().join("both.pem"), cert.pem() + &key.serialize_pem()).unwrap();
        Self { cert, key, folder }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A server that shows this certificate, and asks for one that `asks` vouches for.
    fn server(&self, asks: Option<&Self>) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match asks {
            None => builder.with_no_client_auth(),
            Some(asked) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(asked.cert.der().clone()).unwrap();
                let verifier =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(self.key.serialize_der());
        builder.with_single_cert(vec![self.cert.der().clone()], key.into()).unwrap()
    }
}

/// How a GET to `https://HOST:PORT` ends for a client that trusts so.
async fn over_tls(server: &Server, host: &str, trust: TlsIdentity) -> Result<u16, FailureKind> {
    let settings = SendSettings { trust, ..pooled(&format!("https://{host}:{}", server.addr.port())) };
    let script = Arc::new(Script::default());
    script.says(Some(vec![server.addr]));
    let client = WireClient::with_resolver(&settings, script).unwrap();
    // The second one goes over the same connection, after the tickets that TLS sends unasked.
    status(&client, get(1, "/")).await?;
    let second = status(&client, get(2, "/")).await;
    assert_eq!(client.connections().opened, 1);
    second
}

#[tokio::test]
async fn a_certificate_counts_where_its_file_is_trusted_its_name_fits_and_it_is_in_time() {
    let (valid, expired) = (Identity::new(false), Identity::new(true));
    let trusting = |identity: &Identity| TlsIdentity { ca: Some(identity.file("cert.pem")), ..TlsIdentity::default() };
    let server = Server::start_tls_as(valid.server(None), ok).await;
    assert_eq!(over_tls(&server, "localhost", trusting(&valid)).await, Ok(200));
    assert_eq!(over_tls(&server, "elsewhere.example", trusting(&valid)).await, Err(FailureKind::Tls));
    assert_eq!(over_tls(&server, "localhost", trusting(&Identity::new(false))).await, Err(FailureKind::Tls));
    let server = Server::start_tls_as(expired.server(None), ok).await;
    assert_eq!(over_tls(&server, "localhost", trusting(&expired)).await, Err(FailureKind::Tls));
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_certificate_that_signed_itself_as_an_authority_is_believed_where_it_is_given() {
    let (valid, expired) = (Identity::authority(false), Identity::authority(true));
    let trusting = |identity: &Identity| TlsIdentity { ca: Some(identity.file("cert.pem")), ..TlsIdentity::default() };
    let server = Server::start_tls_as(valid.server(None), ok).await;
    assert_eq!(over_tls(&server, "localhost", trusting(&valid)).await, Ok(200));
    assert_eq!(over_tls(&server, "elsewhere.example", trusting(&valid)).await, Err(FailureKind::Tls));
    assert_eq!(over_tls(&server, "localhost", trusting(&Identity::authority(false))).await, Err(FailureKind::Tls));
    let server = Server::start_tls_as(expired.server(None), ok).await;
    assert_eq!(over_tls(&server, "localhost", trusting(&expired)).await, Err(FailureKind::Tls));
}

#[tokio::test]
async fn a_target_that_asks_for_a_certificate_is_shown_one() {
    let (target, own) = (Identity::new(false), Identity::new(false));
    let server = Server::start_tls_as(target.server(Some(&own)), ok).await;
    let trust = |cert, key| TlsIdentity { ca: Some(target.file("cert.pem")), cert, key };
    assert_eq!(
        over_tls(&server, "localhost", trust(Some(own.file("cert.pem")), Some(own.file("key.pem")))).await,
        Ok(200)
    );
    assert_eq!(over_tls(&server, "localhost", trust(Some(own.file("both.pem")), None)).await, Ok(200));
    assert_eq!(over_tls(&server, "localhost", trust(None, None)).await, Err(FailureKind::Tls));
    assert_eq!(over_tls(&server, "localhost", trust(Some(target.file("both.pem")), None)).await, Err(FailureKind::Tls));
}

#[tokio::test]
async fn files_that_hold_no_certificate_or_key_are_told_with_their_flag() {
    let own = Identity::new(false);
    let words = |trust: TlsIdentity| match WireClient::new(&SendSettings { trust, ..pooled("https://localhost") }) {
        Err(error @ ClientError::Pem { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let trust = TlsIdentity { ca: Some(own.file("cert.pem")), ..TlsIdentity::default() };
    let no_file = words(TlsIdentity { ca: Some(own.file("none.pem")), ..TlsIdentity::default() });
    assert!(no_file.starts_with("--ca ") && no_file.contains("No such file"), "{no_file}");
    let no_cert = words(TlsIdentity { ca: Some(own.file("key.pem")), ..TlsIdentity::default() });
    assert!(no_cert.contains("no certificate is in it"), "{no_cert}");
    let no_key = words(TlsIdentity { cert: Some(own.file("cert.pem")), ..trust });
    assert!(no_key.starts_with("--cert ") && no_key.contains("no private key is in it"), "{no_key}");
}

#[tokio::test]
async fn a_body_until_the_end_of_a_session_that_ends_without_a_farewell_is_not_whole() {
    let identity = Identity::new(false);
    for (last, expected) in [(Step::Close, Ok(200)), (Step::Reset, Err(FailureKind::Reset))] {
        let step = last.clone();
        let server = Server::start_tls_as(identity.server(None), move |_| {
            vec![send("HTTP/1.1 200 OK\r\n\r\nhello"), step.clone()]
        })
        .await;
        let settings = SendSettings { insecure: true, ..pooled(&server.url("https")) };
        let client = WireClient::new(&settings).unwrap();
        assert_eq!(status(&client, get(1, "/")).await, expected, "{last:?}");
    }
}

#[tokio::test]
async fn a_400_that_asks_for_a_client_certificate_is_a_failure_of_tls() {
    let server = Server::start_tls(|request| {
        let page = if request.contains("/mutual") { "400 No required SSL certificate was sent" } else { "bad request" };
        vec![answer("400 Bad Request", &format!("<html><title>{page}</title></html>"))]
    })
    .await;
    let settings = SendSettings { insecure: true, ..pooled(&server.url("https")) };
    let client = WireClient::new(&settings).unwrap();
    let needed = "tls: the target requires a client certificate; give one with --cert and --key";
    assert_eq!(why(&client, get(1, "/mutual")).await, needed);
    assert_eq!(status(&client, get(2, "/other")).await, Ok(400));
}

#[tokio::test]
async fn bodies_of_any_length_cross_tls() {
    let server = Server::start_tls(|request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST"));
        vec![answer("200 OK", body)]
    })
    .await;
    let settings = SendSettings { insecure: true, ..pooled(&server.url("https")) };
    let client = WireClient::new(&settings).unwrap();
    for len in [0, 1, 16 << 10, (16 << 10) + 1, 300_000] {
        let body: &'static [u8] = vec![b'x'; len].leak();
        let found = ask(&client, with_body(1, "", body)).await.unwrap();
        assert_eq!((found.status, found.body_len), (200, len as u64));
    }
    assert_eq!(client.connections().opened, 1);
}

/// A target that says `greeting` to each connection before it reads, and then answers each request with its own path.
async fn greeting(greeting: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(greeting.as_bytes()).await.ok();
                let mut read = Vec::new();
                while stream.read_buf(&mut read).await.is_ok_and(|len| len > 0) {
                    while let Some(end) = read.windows(4).position(|part| part == b"\r\n\r\n") {
                        let head = String::from_utf8(read.drain(..end + 4).collect()).unwrap();
                        let path = head.split(' ').nth(1).unwrap();
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
                        stream.write_all(answer.as_bytes()).await.ok();
                    }
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_response_that_comes_before_any_request_is_taken_for_nobodys() {
    let addr = greeting("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly").await;
    for settings in [pooled(&format!("http://{addr}")), mirrored(&format!("http://{addr}"))] {
        let client = WireClient::new(&settings).unwrap();
        for number in 1..=20 {
            let result = ask(&client, get(number, &format!("/{number}"))).await;
            assert_eq!(result.map(|answer| answer.body_len), Err(FailureKind::Desynchronised), "{number}");
        }
        let found = client.connections().desynchronised;
        assert!(found.connections >= 20 && found.connections >= found.deliveries, "{found:?}");
        assert_eq!(found.earlier, 0, "no response was taken for a right one: {found:?}");
    }
}

#[tokio::test]
async fn what_may_legally_come_unasked_is_no_finding() {
    let addr = greeting("HTTP/1.1 100 Continue\r\n\r\n").await;
    let after = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
    ];
    let client = WireClient::new(&pooled(&format!("http://{addr}"))).unwrap();
    assert_eq!(status(&client, get(1, "/")).await, Ok(200));
    assert_eq!(client.connections().desynchronised.connections, 0);
    for said in after {
        let server = Server::start(move |_| vec![send(said)]).await;
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        for number in 1..=3 {
            assert!(status(&client, get(number, "/")).await.is_ok(), "{said}");
        }
        assert_eq!(client.connections().desynchronised.connections, 0, "{said}");
    }
}

#[tokio::test]
async fn more_than_one_response_fails_the_request_and_ends_its_connection() {
    let double = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".repeat(2);
    let server = Server::start(
        move |request| {
            if request.starts_with("GET /double") { vec![send(&double)] } else { ok(request) }
        },
    )
    .await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    assert_eq!(status(&client, get(1, "/")).await, Ok(200));
    assert_eq!(status(&client, get(2, "/double")).await, Err(FailureKind::Desynchronised));
    assert_eq!(status(&client, get(3, "/")).await, Ok(200));
    let connections = client.connections();
    let found = connections.desynchronised;
    assert_eq!((connections.opened, found.connections, found.deliveries, found.earlier), (2, 1, 1, 1));
    assert_eq!(found.first.map(|id| id.connection.0), Some(2));
}

#[tokio::test]
async fn a_response_that_comes_while_a_connection_is_idle_is_told_of_the_one_before() {
    let (listener, client) = by_hand().await;
    let target = async {
        let (mut first, _) = listener.accept().await.unwrap();
        for number in 1..=2 {
            read_until(&mut first, "\r\n\r\n").await;
            first.write_all(format!("HTTP/1.1 20{number} -\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
        }
        first
    };
    let asking = async {
        assert_eq!(status(&client, get(1, "/")).await, Ok(201));
        assert_eq!(status(&client, get(2, "/")).await, Ok(202));
    };
    let (mut first, ()) = tokio::join!(target, asking);
    first.write_all(b"HTTP/1.1 299 -\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    while client.connections().desynchronised.connections == 0 {
        tokio::task::yield_now().await;
    }
    let target = async {
        let (mut second, _) = listener.accept().await.unwrap();
        read_until(&mut second, "\r\n\r\n").await;
        second.write_all(b"HTTP/1.1 203 -\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        second
    };
    let (_second, answered) = tokio::join!(target, status(&client, get(3, "/")));
    assert_eq!(answered, Ok(203), "not what came unasked");
    let found = client.connections().desynchronised;
    assert_eq!((found.connections, found.deliveries, found.earlier), (1, 0, 2));
    assert_eq!(found.first.map(|id| id.connection.0), Some(2));
}

#[tokio::test]
async fn what_changes_nothing_goes_out_once_more_where_a_used_connection_ends_and_nothing_else_does() {
    for (method, copies) in [("GET", 2), ("HEAD", 2), ("OPTIONS", 2), ("POST", 1), ("DELETE", 1)] {
        let server =
            Server::start(|request| if request.contains(" /closed") { vec![Step::Close] } else { ok(request) }).await;
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        assert_eq!(status(&client, get(1, "/")).await, Ok(200));
        let head = format!("{method} /closed HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&client, request(2, &head, Body::EMPTY)).await, Err(FailureKind::Reset));
        assert_eq!(
            (server.requests().len(), client.connections().retried),
            (1 + copies, copies as u64 - 1),
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_408_that_ends_a_used_connection_is_no_response_to_what_may_go_out_once_more() {
    const SAYS: &str = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n";
    let late = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for (method, line, answered) in
        [("GET", "Connection: close\r\n", 200), ("GET", "", 408), ("POST", "Connection: close\r\n", 408)]
    {
        let is_late = Arc::clone(&late);
        let server = Server::start(move |request| {
            let times_out =
                request.contains(" /late") && !is_late.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
            if times_out { vec![send(format!("{SAYS}{line}\r\n"))] } else { ok(request) }
        })
        .await;
        late.store(false, std::sync::atomic::Ordering::Relaxed);
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        assert_eq!(status(&client, get(1, "/")).await, Ok(200));
        let head = format!("{method} /late HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&client, request(2, &head, Body::EMPTY)).await, Ok(answered), "{method} {line}");
        assert_eq!(client.connections().retried, u64::from(answered == 200), "{method} {line}");
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        late.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            status(&client, request(3, &head, Body::EMPTY)).await,
            Ok(408),
            "over a new connection it is its own"
        );
    }
}

#[tokio::test]
async fn blank_lines_after_a_response_are_no_part_of_the_next_one_and_cost_no_connection() {
    let server = Server::start(|_| vec![answer("200 OK", "hello"), send("\r\n")]).await;
    let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
    for number in 1..=20 {
        let head = if number % 2 == 0 { "POST / HTTP/1.1\r\n\r\n" } else { "GET / HTTP/1.1\r\n\r\n" };
        assert_eq!(status(&client, request(number, head, Body::EMPTY)).await, Ok(200));
        server.until_played(usize::try_from(number).unwrap()).await;
    }
    assert_eq!(client.connections().opened, 1);
}

#[tokio::test]
async fn a_connection_that_the_target_keeps_for_no_time_is_not_used_again() {
    for (line, opened) in [("Keep-Alive: timeout=0", 3), ("Keep-Alive: timeout=600", 1)] {
        let said = format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(move |_| vec![send(&said)]).await;
        let client = WireClient::new(&pooled(&server.url("http"))).unwrap();
        for number in 1..=3 {
            assert_eq!(status(&client, get(number, "/")).await, Ok(200));
        }
        assert_eq!(client.connections().opened, opened, "{line}");
    }
}

/// The failure of a request, in words.
async fn why(client: &WireClient, request: Request) -> String {
    let mut turn = client.enqueue(request.id.into());
    turn.ready().await;
    let sent = client.send(turn, Box::new(request), ResponseOptions::HASH, &ResponseProgress::default()).await;
    sent.unwrap_err().to_string()
}

#[tokio::test]
async fn a_failure_says_why() {
    let refused = format!("http://{}", Server::refusing().await);
    let short = Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\nhalf"), Step::Close]).await;
    let ssh = Server::start(|_| vec![send("SSH-2.0-OpenSSH_9.6\r\n"), Step::Close]).await;
    let silent = Server::start(|_| vec![Step::Close]).await;
    let plain = greeting("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    for (url, words) in [
        (refused.as_str(), "connect: refused: nothing listens there: 127.0.0.1:"),
        (&short.url("http"), "truncated: the response ended too early: 4 of 2,048 bytes"),
        (&ssh.url("http"), "protocol: what came is no HTTP/1 response head"),
        (&silent.url("http"), "reset: connection closed before a response began"),
        (&format!("https://{plain}"), "tls: the target does not speak TLS; is it http://?"),
        ("http://nonexistent.invalid", "dns: the name cannot be looked up: "),
    ] {
        let client = WireClient::new(&SendSettings { insecure: true, ..pooled(url) }).unwrap();
        let told = why(&client, get(1, "/")).await;
        assert!(told.starts_with(words), "{told}");
    }
}
