//! What a target does wrong costs exactly the requests that it was sent, each counted with its kind; and nothing that
//! a target answers makes the client do more than it was asked to.
#![allow(clippy::unwrap_used, reason = "what breaks in a helper fails the test that called it")]

#[path = "support/requests.rs"]
mod requests;
#[path = "support/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use shadowtap::exchange::{FailureKind, Outcome, Request};
use shadowtap::replay::{
    AnyClient, Client as _, ClientChoice, ClientError, Delivery, Destination, Job, Pace, ResponseOptions,
    ResponseProgress, SendSettings, TargetId, TargetLimits, TargetLinks, TargetResponse, Ticket, run_target,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use requests::get;
use server::{Server, Step, answer, send};

/// Long enough for whatever answers at all on a busy machine, short enough to wait for.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Both clients: with TLS it is told alike what a target does wrong, whoever speaks to it.
const BOTH: [ClientChoice; 2] = [ClientChoice::Wire, ClientChoice::Reqwest];

fn settings(url: &str) -> SendSettings {
    SendSettings {
        pace: Pace::Max,
        timeout: TIMEOUT,
        max_time: TIMEOUT,
        max_in_flight: 16,
        max_response: 1 << 20,
        drain: TIMEOUT,
        ..SendSettings::new(url.parse().unwrap())
    }
}

fn client(url: &str) -> AnyClient {
    AnyClient::new(&settings(url)).unwrap()
}

async fn ask(client: &AnyClient, request: Request) -> Result<TargetResponse, FailureKind> {
    client
        .send(Ticket::default(), Box::new(request), ResponseOptions::HASH, &ResponseProgress::default())
        .await
        .map_err(|error| error.kind().unwrap())
}

/// Sends them all through one target and gives the deliveries in the order of the requests.
async fn replay(settings: &SendSettings, client: AnyClient, requests: Vec<Request>) -> Vec<Delivery> {
    let (jobs, jobs_out) = mpsc::channel(requests.len().max(1));
    let (deliveries_in, mut deliveries) = mpsc::channel::<Box<Delivery>>(16);
    let (_stop, stop_out) = watch::channel(false);
    for request in requests {
        jobs.send(Job {
            held: None,
            turn: client.enqueue(request.id.into()),
            request: Box::new(request),
            due: None,
            wanted: ResponseOptions::HASH,
        })
        .await
        .unwrap();
    }
    drop(jobs);
    let client = Arc::new(client);
    let links = TargetLinks::default();
    // Nothing is known of production's responses: what does not end, but for a stream, has failed.
    links.production.finish();
    tokio::spawn(run_target(
        Destination::Target(TargetId::at(0)),
        client,
        jobs_out,
        TargetLimits::from(settings),
        stop_out,
        deliveries_in,
        links,
    ));
    let mut ended = Vec::new();
    while let Some(delivery) = deliveries.recv().await {
        ended.push(*delivery);
    }
    ended.sort_by_key(|delivery| delivery.id);
    ended
}

/// Every fourth of forty requests meets the fault: it ends as `kind`, the others are answered, and no request
/// reaches the server twice.
async fn check(fault: Vec<Step>, kind: FailureKind) {
    assert_eq!(sent_again(fault, kind).await, 0);
}

/// The same of a connection that ends without a byte of a response: what went over one that was used before goes out once
/// more, and no more than that.
async fn check_closed(fault: Vec<Step>) {
    assert!(sent_again(fault, FailureKind::Reset).await <= 10);
}

/// How many requests reached the server once more.
async fn sent_again(fault: Vec<Step>, kind: FailureKind) -> usize {
    let server =
        Server::start(
            move |request| if request.starts_with("GET /bad") { fault.clone() } else { vec![answer("200 OK", "fine")] },
        )
        .await;
    let requests = (1..=40).map(|n| get(n, &if n % 4 == 0 { format!("/bad{n}") } else { format!("/ok{n}") })).collect();
    let url = server.url("http");
    let ended = replay(&settings(&url), client(&url), requests).await;
    for delivery in &ended {
        let bad = delivery.id.connection.0 % 4 == 0;
        let expected = if bad { Outcome::Failed(kind) } else { Outcome::Sent };
        assert_eq!(delivery.outcome, expected, "{}", delivery.id);
        assert_eq!(delivery.answer.is_none(), bad, "{}", delivery.id);
    }
    let mut lines: Vec<String> =
        server.requests().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    let most = lines.iter().map(|line| lines.iter().filter(|other| *other == line).count()).max();
    assert!(most <= Some(2), "{most:?} copies of one request");
    lines.sort();
    lines.dedup();
    assert_eq!((ended.len(), lines.len()), (40, 40));
    server.requests().len() - 40
}

/// One GET by each client; both see the same.
async fn one(url: &str, insecure: bool) -> Result<u16, FailureKind> {
    let [wire, reqwest] = BOTH.map(async |client| {
        let client = AnyClient::new(&SendSettings { insecure, client, ..settings(url) }).unwrap();
        ask(&client, get(1, "/")).await.map(|answer| answer.status)
    });
    let (wire, reqwest) = (wire.await, reqwest.await);
    assert_eq!(wire, reqwest);
    wire
}

#[tokio::test]
async fn a_target_that_refuses_connections() {
    let addr = Server::refusing().await;
    for scheme in ["http", "https"] {
        assert_eq!(one(&format!("{scheme}://{addr}"), true).await, Err(FailureKind::Connect), "{scheme}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    assert_eq!(one("http://nonexistent.invalid", false).await, Err(FailureKind::Dns));
}

#[tokio::test]
async fn a_reset_before_the_head() {
    check_closed(vec![Step::Reset]).await;
}

#[tokio::test]
async fn a_close_before_the_head() {
    check_closed(vec![Step::Close]).await;
}

#[tokio::test]
async fn a_reset_within_the_head() {
    check(vec![send("HTTP/1.1 200 OK\r\nContent-Le"), Step::Reset], FailureKind::Reset).await;
}

#[tokio::test]
async fn a_reset_within_the_body() {
    check(vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::Reset], FailureKind::Reset).await;
}

#[tokio::test]
async fn a_body_shorter_than_its_length() {
    check(vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::Close], FailureKind::Truncated).await;
}

#[tokio::test]
async fn chunks_that_end_without_a_last_one() {
    check(
        vec![send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), Step::Close],
        FailureKind::Truncated,
    )
    .await;
}

#[tokio::test]
async fn chunks_with_sizes_that_are_no_numbers() {
    check(vec![send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n")], FailureKind::Protocol)
        .await;
}

#[tokio::test]
async fn garbage_instead_of_a_head() {
    check(vec![send("\x16\x03\x01\x02 not HTTP at all\r\n\r\n")], FailureKind::Protocol).await;
}

#[tokio::test]
async fn two_lengths_that_contradict_each_other() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    check(vec![send(head)], FailureKind::Protocol).await;
}

#[tokio::test]
async fn a_half_closed_connection_without_an_answer() {
    check_closed(vec![Step::HalfClose]).await;
}

#[tokio::test]
async fn a_head_that_comes_a_byte_at_a_time_and_never_ends() {
    let drip = Step::Drip(b"X: y\r\n".to_vec());
    check(vec![send("HTTP/1.1 200 OK\r\n"), drip], FailureKind::Timeout).await;
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_and_never_ends() {
    let drip = Step::Drip(b"x".to_vec());
    check(vec![send("HTTP/1.1 200 OK\r\n\r\n"), drip], FailureKind::Timeout).await;
}

#[tokio::test]
async fn a_length_that_is_no_number() {
    check(vec![send("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nab")], FailureKind::Protocol).await;
}

#[tokio::test]
async fn a_stall_before_the_head() {
    check(vec![Step::Stall], FailureKind::Timeout).await;
}

#[tokio::test]
async fn a_stall_within_the_body() {
    check(vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::Stall], FailureKind::Timeout).await;
}

#[tokio::test]
async fn interim_responses_and_no_final_one() {
    check(vec![Step::Repeat(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(), 1000)], FailureKind::Timeout).await;
}

#[tokio::test]
async fn a_body_past_the_limit() {
    let head = send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    check(vec![head, Step::Repeat(chunk, 1000)], FailureKind::TooLarge).await;
}

#[tokio::test]
async fn connections_are_shared_and_counted() {
    let server = Server::start(|_| vec![answer("200 OK", "fine")]).await;
    let client = client(&server.url("http"));
    for number in 1..=1000 {
        ask(&client, get(number, "/")).await.unwrap();
    }
    let connections = client.connections();
    assert_eq!(server.requests().len(), 1000);
    // A connection may still be on its way back to the pool when the next request asks for one.
    assert!((1..=50).contains(&connections.opened), "{connections:?}");
    assert_eq!(connections.set_up.len() as u64, connections.opened);
    assert!((1..=connections.opened).contains(&connections.peak), "{connections:?}");
}

#[tokio::test]
async fn connections_that_the_target_closes_do_not_add_up() {
    let server =
        Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), Step::Close])
            .await;
    let client = client(&server.url("http"));
    for number in 1..=20 {
        ask(&client, get(number, "/")).await.unwrap();
    }
    let connections = client.connections();
    assert_eq!((connections.opened, connections.peak), (20, 1));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server =
        Server::start(|_| vec![send("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")]).await;
    assert_eq!(one(&server.url("http"), false).await, Ok(302));
    assert_eq!(server.requests().len(), BOTH.len());
}

#[tokio::test]
async fn interim_responses_are_skipped_and_close_delimited_bodies_read() {
    let server = Server::start(|_| {
        vec![send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Created\r\n\r\nuntil the end"), Step::Close]
    })
    .await;
    let client = client(&server.url("http"));
    let found = ask(&client, get(1, "/")).await.unwrap();
    assert_eq!((found.status, found.body_len), (201, 13));
    assert_eq!(found.body_sha256, Some(Sha256::digest(b"until the end").into()));
    assert!(found.written <= found.first_byte && found.first_byte <= found.done);
}

#[tokio::test]
async fn encoded_content_is_hashed_as_it_is_and_asked_for_as_captured() {
    let server = Server::start(|_| {
        vec![send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")]
    })
    .await;
    let client = client(&server.url("http"));
    let found = ask(&client, get(1, "/")).await.unwrap();
    assert_eq!(found.body_sha256, Some(Sha256::digest(b"not gzip!").into()));
    assert!(!server.requests()[0].contains("accept-encoding"));
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let server =
        Server::start(|_| vec![send("HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n")]).await;
    let client = client(&server.url("http"));
    for number in 1..=3 {
        ask(&client, get(number, "/")).await.unwrap();
    }
    assert!(server.requests().iter().all(|request| !request.contains("cookie")));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let server = Server::start_tls(|_| vec![answer("200 OK", "fine")]).await;
    for client in BOTH {
        match AnyClient::new(&SendSettings { client, ..settings(&server.url("https")) }) {
            Ok(client) => {
                let result = ask(&client, get(1, "/")).await;
                assert_eq!(result.map(|answer| answer.status), Err(FailureKind::Tls));
            }
            // A machine without any root certificates is told so at once.
            Err(error) => assert!(matches!(error, ClientError::Roots { .. }), "{error}"),
        }
    }
    assert_eq!(server.requests().len(), 0);
    assert_eq!(one(&server.url("https"), true).await, Ok(200));
}

#[tokio::test]
async fn a_target_that_speaks_no_tls() {
    for greeting in ["", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(greeting.as_bytes()).await.unwrap();
            }
        });
        assert_eq!(one(&url, true).await, Err(FailureKind::Tls), "{greeting:?}");
    }
}
