//! What the two clients make of a request, what only one of them can, HTTP/2, and how both go through proxies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/h2.rs"]
mod h2_server;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/server.rs"]
mod server;
#[path = "support/tls.rs"]
mod tls_server;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shadowtap::exchange::{Body, FailureKind, Framing, Request};
use shadowtap::replay::{
    AnyClient, Client as _, ClientChoice, ResponseOptions, ResponseProgress, SendSettings, Ticket,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use h2_server::H2;
use requests::request;
use server::{Server, answer};
use tls_server::tls;

/// Long enough for whatever answers at all on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same for thousands of requests.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(client: ClientChoice, url: &str) -> SendSettings {
    SendSettings { client, timeout: TIMEOUT, ..SendSettings::new(url.parse().unwrap()) }
}

fn reqwest(url: &str) -> SendSettings {
    settings(ClientChoice::Reqwest, url)
}

async fn ask(client: &AnyClient, request: Request) -> Result<u16, FailureKind> {
    let turn: Ticket = client.enqueue(request.id.into());
    let answer = client.send(turn, Box::new(request), ResponseOptions::HASH, &ResponseProgress::default()).await;
    answer.map(|answer| answer.status).map_err(|error| error.kind().unwrap())
}

fn bare(head: &str) -> Request {
    request(1, head, Body::EMPTY)
}

#[tokio::test]
async fn one_client_sends_what_was_captured_and_the_other_what_it_makes_of_it() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let (h2, h2_addr) = H2::start(None).await;
    let (url, h2_url) = (server.url("http"), format!("http://{h2_addr}"));
    let (old, new) = (url.trim_start_matches("http://"), h2_addr.to_string());
    let wire = AnyClient::new(&settings(ClientChoice::Wire, &url)).unwrap();
    let reqwest = AnyClient::new(&SendSettings { http2: true, ..reqwest(&h2_url) }).unwrap();
    for (head, by_wire, by_reqwest) in [
        (
            "GET /a/../b//c' HTTP/1.1\r\nHost: old\r\n\r\n",
            "GET /a/../b//c' HTTP/1.1\r\nHost: {host}\r\n\r\n",
            "GET {host} /b//c' accept=*/*|",
        ),
        (
            "GET /d<e> HTTP/1.1\r\nHost: old\r\nAccept: x/y\r\n\r\n",
            "GET /d<e> HTTP/1.1\r\nHost: {host}\r\nAccept: x/y\r\n\r\n",
            "GET {host} /d%3Ce%3E accept=x/y|",
        ),
        (
            "GET / HTTP/1.0\r\nX-B: 1\r\nHost: old\r\nX-A: 2\r\nAccept: */*\r\nx-b: 3\r\n\r\n",
            "GET / HTTP/1.0\r\nX-B: 1\r\nHost: {host}\r\nX-A: 2\r\nAccept: */*\r\nx-b: 3\r\n\r\n",
            "GET {host} / x-b=1 x-b=3 x-a=2 accept=*/*|",
        ),
    ] {
        assert_eq!(ask(&wire, bare(head)).await, Ok(200), "{head:?}");
        assert_eq!(ask(&reqwest, bare(head)).await, Ok(203), "{head:?}");
        assert_eq!(server.requests().last().unwrap(), &by_wire.replace("{host}", old), "{head:?}");
        assert_eq!(h2.seen().last().unwrap(), &by_reqwest.replace("{host}", &new), "{head:?}");
    }
    let asterisk = bare("OPTIONS * HTTP/1.1\r\nHost: old\r\n\r\n");
    assert_eq!([wire.refuses(&asterisk), reqwest.refuses(&asterisk)], [None, Some("asterisk")]);
}

#[tokio::test]
async fn what_http_2_cannot_say_fails_alone_and_is_not_sent() {
    let (server, addr) = H2::start(None).await;
    let client = AnyClient::new(&SendSettings { http2: true, ..reqwest(&format!("http://{addr}")) }).unwrap();
    let long = format!("GET /{} HTTP/1.1\r\nHost: old\r\n\r\n", "x".repeat(70_000));
    for head in ["GET /a#b HTTP/1.1\r\nHost: old\r\n\r\n", &long] {
        assert_eq!(ask(&client, bare(head)).await, Err(FailureKind::Protocol));
    }
    assert_eq!(ask(&client, bare("GET /ok HTTP/1.1\r\nHost: old\r\n\r\n")).await, Ok(203));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn http_1_goes_by_wire_whichever_client_was_chosen() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let client = AnyClient::new(&reqwest(&server.url("http"))).unwrap();
    let head = "GET /a/../b HTTP/1.0\r\nX-B: 1\r\nHost: old\r\n\r\n";
    assert_eq!(ask(&client, bare(head)).await, Ok(200));
    assert_eq!(server.requests(), [head.replace("old", server.url("http").trim_start_matches("http://"))]);
}

fn chunked() -> Request {
    let wire = Some(Bytes::from_static(b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: 1\r\n\r\n"));
    let head = "POST /c HTTP/1.1\r\nHost: old\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n";
    request(2, head, Body { framing: Framing::Chunked, len: 3, sha256: None, wire })
}

#[tokio::test]
async fn http_2_is_spoken_at_once_without_tls_and_many_requests_share_a_connection() {
    let (server, addr) = H2::start(None).await;
    let client = AnyClient::new(&SendSettings { http2: true, ..reqwest(&format!("http://{addr}")) }).unwrap();
    assert_eq!(ask(&client, bare("GET /a HTTP/1.1\r\nHost: old\r\nX-A: 1\r\nAccept: */*\r\n\r\n")).await, Ok(203));
    assert_eq!(ask(&client, chunked()).await, Ok(203));
    assert_eq!(
        server.seen(),
        [format!("GET {addr} /a x-a=1 accept=*/*|"), format!("POST {addr} /c accept=*/*|abc")],
        "no Host, no Connection, no Transfer-Encoding"
    );
    let all = (0..20).map(|n| ask(&client, bare(&format!("GET /{n} HTTP/1.1\r\nHost: old\r\n\r\n"))));
    assert!(futures_util::future::join_all(all).await.iter().all(|status| *status == Ok(203)));
    let reset = ask(&client, bare("GET /reset HTTP/1.1\r\nHost: old\r\n\r\n")).await;
    assert_eq!((reset, server.seen().len()), (Err(FailureKind::Reset), 22));
    let counted = client.connections();
    assert_eq!((*server.connections.lock().unwrap(), counted.opened), (1, 1));
    assert_eq!(counted.retried, 1, "the stream that it refused");
}

/// Responds to the first requests of a connection, up to this stream, and ends it then: what came later was not processed.
fn ends_after<const LAST: u32>(stream: u32) -> Vec<u8> {
    if stream <= LAST { h2_server::head(stream, "203", true) } else { h2_server::go_away(LAST) }
}

/// A client that speaks HTTP/2 to this address at once.
fn http_2(addr: SocketAddr) -> AnyClient {
    AnyClient::new(&SendSettings { http2: true, ..reqwest(&format!("http://{addr}")) }).unwrap()
}

#[tokio::test]
async fn what_a_target_of_http_2_did_not_process_since_it_ends_the_connection_goes_out_once_more() {
    let client = http_2(h2_server::raw(Vec::new(), false, ends_after::<3>).await);
    for n in 0..6 {
        assert_eq!(ask(&client, bare(&format!("POST /{n} HTTP/1.1\r\nHost: old\r\n\r\n"))).await, Ok(203), "{n}");
    }
    let counted = client.connections();
    assert_eq!((counted.opened, counted.retried), (3, 2));
}

#[tokio::test]
async fn a_connection_of_http_2_that_ends_before_it_is_used_costs_no_request() {
    const ENDING: usize = 3;
    let greeting = |number| if number < ENDING { h2_server::go_away(0) } else { Vec::new() };
    for n in 0..20 {
        let client = http_2(h2_server::raw_each(greeting, false, ends_after::<99>).await);
        assert_eq!(ask(&client, bare("POST / HTTP/1.1\r\nHost: old\r\n\r\n")).await, Ok(203), "{n}");
        let counted = client.connections();
        assert_eq!((counted.opened, counted.retried), (ENDING as u64 + 1, ENDING as u64), "{n}");
    }
}

/// Several threads ask while connections end: each request goes to one that ends, or to the next, and is left between none.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn connections_of_http_2_that_end_cost_no_request_of_any_thread() {
    const THREADS: usize = 40;
    const EACH: usize = 250;
    let client = Arc::new(http_2(h2_server::raw(Vec::new(), false, ends_after::<39>).await));
    let asking = (0..THREADS).map(|_| {
        let client = Arc::clone(&client);
        tokio::spawn(async move {
            for _ in 0..EACH {
                assert_eq!(ask(&client, bare("GET / HTTP/1.1\r\nHost: old\r\n\r\n")).await, Ok(203));
            }
        })
    });
    let all = tokio::time::timeout(PATIENCE, futures_util::future::try_join_all(asking)).await;
    all.expect("requests were left behind").unwrap();
}

#[tokio::test]
async fn over_http_2_a_read_that_a_closed_connection_did_not_answer_goes_out_once_more_and_nothing_else() {
    let get = |path: &str| bare(&format!("GET {path} HTTP/1.1\r\nHost: old\r\n\r\n"));
    let (server, addr) = H2::start(None).await;
    let client = http_2(addr);
    assert_eq!(ask(&client, get("/close")).await, Err(FailureKind::Reset), "over a new connection");
    assert_eq!(*server.closed.lock().unwrap(), 1);
    assert_eq!(ask(&client, get("/a")).await, Ok(203));
    assert_eq!(ask(&client, get("/close")).await, Err(FailureKind::Reset));
    assert_eq!((*server.closed.lock().unwrap(), client.connections().retried), (3, 1));
    assert_eq!(ask(&client, get("/a")).await, Ok(203));
    let write = bare("POST /close HTTP/1.1\r\nHost: old\r\n\r\n");
    assert_eq!(ask(&client, write).await, Err(FailureKind::Reset));
    assert_eq!((*server.closed.lock().unwrap(), client.connections().retried), (4, 1));
}

#[tokio::test]
async fn over_tls_http_2_is_spoken_where_the_target_offers_it() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, trust) = tls(&folder, &[b"h2", b"http/1.1"]);
    let (server, addr) = H2::start(Some(acceptor)).await;
    let url = format!("https://localhost:{}", addr.port());
    let client = AnyClient::new(&SendSettings { http2: true, trust, ..reqwest(&url) }).unwrap();
    assert_eq!(ask(&client, bare("GET /a HTTP/1.1\r\nHost: old\r\n\r\n")).await, Ok(203));
    assert_eq!(server.seen(), [format!("GET localhost:{} /a accept=*/*|", addr.port())]);

    let old = Server::start_tls(|_| vec![answer("200 OK", "ok")]).await;
    let url = old.url("https");
    let client = AnyClient::new(&SendSettings { http2: true, insecure: true, ..reqwest(&url) }).unwrap();
    assert_eq!(ask(&client, bare("GET /a HTTP/1.1\r\nHost: old\r\n\r\n")).await, Ok(200));
    let host = url.trim_start_matches("https://");
    assert_eq!(old.requests(), [format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n")], "as by wire");
    assert_eq!(client.connections().opened, 1, "a connection that is not used does not count");
}

/// A proxy: what was asked of it, and where it goes. `/` of it answers by itself.
#[derive(Clone, Default)]
struct Proxy(Arc<Mutex<Vec<String>>>);

impl Proxy {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let proxy = Self::default();
        let all = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(all.clone().serve(stream));
            }
        });
        (proxy, addr)
    }

    async fn serve(self, mut stream: TcpStream) {
        while self.next(&mut stream).await.is_some() {}
    }

    /// Serves one request; another may follow.
    async fn next(&self, stream: &mut TcpStream) -> Option<()> {
        let mut head = vec![0; 3];
        stream.read_exact(&mut head).await.ok()?;
        if head[0] == 5 {
            self.socks(stream).await;
            return None;
        }
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let line = head.lines().next().unwrap().to_owned();
        self.0.lock().unwrap().push(line.clone());
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["CONNECT", to, _] if to.starts_with("refused") => {
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
            ["CONNECT", to, _] => {
                let mut onward = TcpStream::connect(to).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                tokio::io::copy_bidirectional(stream, &mut onward).await.ok();
            }
            _ => {
                stream.write_all(b"HTTP/1.1 299 Proxied\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                return Some(());
            }
        }
        None
    }

    /// SOCKS5 without authentication, to an IPv4 address (RFC 1928).
    async fn socks(&self, stream: &mut TcpStream) {
        stream.write_all(&[5, 0]).await.unwrap();
        let mut asked = [0; 10];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked[..4], [5, 1, 0, 1]);
        let to = SocketAddr::from(([asked[4], asked[5], asked[6], asked[7]], u16::from_be_bytes([asked[8], asked[9]])));
        self.0.lock().unwrap().push(format!("SOCKS5 {to}"));
        let mut onward = TcpStream::connect(to).await.unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        tokio::io::copy_bidirectional(stream, &mut onward).await.ok();
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn requests_go_through_the_proxy_that_is_named() {
    let (proxy, addr) = Proxy::start().await;
    let through = |scheme: &str, settings: SendSettings| {
        let proxy = Some(format!("{scheme}://{addr}").parse().unwrap());
        AnyClient::new(&SendSettings { proxy, ..settings }).unwrap()
    };
    let wire = |url: &str| settings(ClientChoice::Wire, url);
    let get = || bare("GET /a?b HTTP/1.1\r\nHost: old\r\n\r\n");
    let client = through("http", wire("http://far.example:81/v2"));
    assert_eq!(ask(&client, get()).await, Ok(299), "the proxy looks the name up");
    let options = bare("OPTIONS * HTTP/1.1\r\nHost: old\r\n\r\n");
    assert_eq!(ask(&client, options).await, Ok(299), "and learns whose options are asked for");
    let plain = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let server = Server::start_tls(|_| vec![answer("200 OK", "ok")]).await;
    let (h2, h2_addr) = H2::start(None).await;
    let (url, refused) = (server.url("https"), "https://refused.example");
    for settings in [wire(&url), reqwest(&url)] {
        let client = through("http", SendSettings { insecure: true, ..settings });
        assert_eq!(ask(&client, get()).await, Ok(200));
    }
    for settings in [wire(refused), reqwest(refused)] {
        let client = through("http", SendSettings { insecure: true, ..settings });
        assert_eq!(ask(&client, get()).await, Err(FailureKind::Connect), "a tunnel that is refused is no TLS");
    }
    for scheme in ["socks5", "socks5h"] {
        let client = through(scheme, wire(&plain.url("http")));
        assert_eq!(ask(&client, get()).await, Ok(200), "{scheme}");
    }
    let client = through("socks5", SendSettings { http2: true, ..reqwest(&format!("http://{h2_addr}")) });
    assert_eq!(ask(&client, get()).await, Ok(203));
    assert_eq!((h2.seen().len(), plain.requests().len(), server.requests().len()), (1, 2, 2));
    let connect = format!("CONNECT {} HTTP/1.1", server.addr);
    assert_eq!(
        proxy.asked(),
        [
            "GET http://far.example:81/v2/a?b HTTP/1.1",
            "OPTIONS http://far.example:81 HTTP/1.1",
            &connect,
            // Once to see that HTTP/2 is not offered, once to be used.
            &connect,
            &connect,
            "CONNECT refused.example:443 HTTP/1.1",
            "CONNECT refused.example:443 HTTP/1.1",
            &format!("SOCKS5 {}", plain.addr),
            &format!("SOCKS5 {}", plain.addr),
            &format!("SOCKS5 {h2_addr}"),
        ]
    );
}

#[tokio::test]
async fn a_proxy_may_be_reached_over_tls() {
    let server = Server::start_tls(|_| vec![answer("200 OK", "ok")]).await;
    let (_, addr) = Proxy::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, _) = tls(&folder, &[]);
    let before = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let before_addr = before.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = before.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (mut near, mut far) =
                    (acceptor.accept(stream).await.unwrap(), TcpStream::connect(addr).await.unwrap());
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    for (url, status) in [("http://far.example", 299), (&*server.url("https"), 200)] {
        let proxy = Some(format!("https://localhost:{}", before_addr.port()).parse().unwrap());
        let settings = SendSettings { proxy, insecure: true, ..settings(ClientChoice::Wire, url) };
        let client = AnyClient::new(&settings).unwrap();
        for _ in 0..2 {
            assert_eq!(ask(&client, bare("GET /a HTTP/1.1\r\nHost: old\r\n\r\n")).await, Ok(status), "{url}");
        }
        assert_eq!(client.connections().opened, 1, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_never_asked() {
    for client in ["wire", "reqwest"] {
        let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
        let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/get-nano.pcap");
        let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        command.args(["replay", capture, "--to", &server.url("http"), "--speed", "max", "--client", client]);
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
            command.env(name, "http://127.0.0.1:1");
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("SHADOWTAP_LOG").stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!((output.status.code(), server.requests().len()), (Some(0), 3), "{client}: {output:?}");
    }
}
