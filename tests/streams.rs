//! Responses that do not end: judged by their head, compared as far as production's went, closed then, and in nobody's way.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/h2.rs"]
mod h2_server;
#[path = "support/packets.rs"]
mod packets;
#[path = "support/runs.rs"]
mod runs;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use h2_server::H2;
use packets::{Capture, Talk};
use runs::{live, of, replayed, target};
use serde_json::{Value, json};
use server::{Server, Step, answer, send};
use shadowtap::replay::{ClientChoice, ConnectionMode, SendSettings};

/// The head of server-sent events.
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The head of lines of JSON whose end only the end of the connection tells.
const LINES: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n";

fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

/// Event number `n`.
fn event(n: u32) -> String {
    chunk(&format!("data: {n}\n\n"))
}

/// A connection that asks for this path and is sent these pieces, a few milliseconds after each other.
fn asked(connection: u16, path: &str, pieces: &[&str]) -> Talk {
    let (isn, client) = (u32::from(connection) * 3_000_000, format!("10.0.0.7:{}", 5000 + connection));
    let talk = Talk::joined().between(&client, "10.0.0.1:80").numbered(isn, isn / 3).handshake();
    let talk = talk.client(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    pieces.iter().fold(talk, |talk, piece| talk.wait(5).server(piece))
}

/// Streams of which the client left, and one that was open when the capture ended.
fn streams(head: &str, piece: impl Fn(u32) -> String) -> Capture {
    let (one, two) = (piece(1), piece(2));
    let pieces = [head, &one, &two];
    let left = asked(1, "/left", &pieces).wait(20).close();
    let other = asked(2, "/other", &pieces).wait(20).close();
    left.capture().with(other.capture()).with(asked(3, "/open", &pieces).capture())
}

/// A target that sends the same, but for the second piece of /other, and goes on for ever.
async fn endless(head: &'static str, piece: fn(u32) -> String) -> Server {
    Server::start(move |request| {
        let second = if request.starts_with("GET /other") { piece(77) } else { piece(2) };
        vec![send(format!("{head}{}{second}", piece(1))), Step::Drip(piece(3).into_bytes())]
    })
    .await
}

/// The line of this path.
fn line<'a>(lines: &'a [Value], path: &str) -> &'a Value {
    lines.iter().find(|line| line["target"] == path).unwrap_or_else(|| panic!("{path} has no line: {lines:#?}"))
}

/// Every way to send, with every pace.
fn ways(url: &str) -> Vec<SendSettings> {
    let mut ways = Vec::new();
    for pace in ["1x", "max"] {
        for connections in [ConnectionMode::Pooled, ConnectionMode::Mirrored] {
            ways.push(SendSettings { connections, ..target(url, pace) });
        }
    }
    ways
}

/// Holds what came of streams against what is right, whoever sent them.
fn check(summary: &shadowtap::report::Summary, lines: &[Value], server: &Server, path: &str, way: &str) {
    let target = of(summary, server);
    assert_eq!((target.ended.sent, target.statuses["200"]), (3, 3), "{way}: {target:#?}");
    assert_eq!(target.closed_early["production_ended"], 3, "{way}");
    assert_eq!((target.differences.compared, target.differences.bodies_unknown), (3, 0), "{way}");
    for path in ["/left", "/open"] {
        assert_eq!(line(lines, path)["differences"], json!([]), "{way}");
        assert_eq!(line(lines, path)["response"]["closed"], "production_ended", "{way}");
    }
    let found = &line(lines, "/other")["differences"];
    assert_eq!((&found[0]["in"], &found[0]["path"]), (&json!("body"), &json!(path)), "{way}: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_judged_by_its_head_and_compared_as_far_as_productions_went() {
    let server = endless(EVENTS, event).await;
    for settings in ways(&server.url("http")) {
        let way = format!("{:?} {:?}", settings.connections, settings.pace);
        let (summary, lines) = runs::run(replayed(&streams(EVENTS, event), vec![settings])).await;
        check(&summary, &lines, &server, "line 3", &way);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_over_http_2() {
    let (_, addr) = H2::start(None).await;
    let url = format!("http://{addr}");
    let first = event(1);
    let capture = asked(1, "/endless", &[EVENTS, &first]).wait(20).close().capture();
    let settings = SendSettings { client: ClientChoice::Reqwest, http2: true, ..target(&url, "1x") };
    let (summary, lines) = runs::run(replayed(&capture, vec![settings])).await;
    let target = &summary.targets[&url];
    assert_eq!((target.ended.sent, target.closed_early["production_ended"]), (1, 1), "{target:#?}");
    assert_eq!(line(&lines, "/endless")["response"]["closed"], "production_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_whose_type_says_nothing_of_that() {
    let json_line = |n| format!("{{\"n\":{n}}}\n");
    let server = endless(LINES, json_line).await;
    for settings in ways(&server.url("http")) {
        let way = format!("{:?} {:?}", settings.connections, settings.pace);
        let (summary, lines) = runs::run(replayed(&streams(LINES, json_line), vec![settings])).await;
        check(&summary, &lines, &server, "$[1].n", &way);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_that_is_seen_on_the_wire() {
    let server = endless(EVENTS, event).await;
    for settings in ways(&server.url("http")) {
        let way = format!("live {:?}", settings.connections);
        let (summary, lines) = runs::run(live(&streams(EVENTS, event), vec![settings])).await;
        check(&summary, &lines, &server, "line 3", &way);
    }
}

/// Servers end the chunks once their client has left: what would have come is as little known.
#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_that_the_server_ended_since_its_client_had_left() {
    let server = Server::start(|_| vec![send(format!("{EVENTS}{}{}0\r\n\r\n", event(1), event(2)))]).await;
    let fin = packets::FIN | packets::ACK;
    let first = event(1);
    let left = asked(1, "/left", &[EVENTS, &first]).control(packets::Who::Client, fin);
    let capture = left.server("0\r\n\r\n").control(packets::Who::Server, fin).capture();
    for settings in ways(&server.url("http")) {
        let way = format!("{:?} {:?}", settings.connections, settings.pace);
        let (summary, lines) = runs::run(replayed(&capture, vec![settings])).await;
        let target = of(&summary, &server);
        assert_eq!((target.ended.sent, target.differences.compared), (1, 1), "{way}");
        assert_eq!(line(&lines, "/left")["differences"], json!([]), "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_leave_the_connections_to_the_other_requests() {
    let server = Server::start(|request| {
        if request.starts_with("GET /events") {
            vec![send(format!("{EVENTS}{}", event(1))), Step::Stall]
        } else {
            vec![answer("200 OK", "ok")]
        }
    })
    .await;
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let first = event(1);
    let streams = (1..=4).map(|n| asked(n, "/events", &[EVENTS, &first]).capture());
    let pages = (5..=12).map(|n| Talk::joined().wait(30).then(asked(n, "/page", &[ok]).close()).capture());
    let capture = streams.chain(pages).reduce(Capture::with).unwrap();
    for settings in ways(&server.url("http")) {
        let way = format!("{:?} {:?}", settings.connections, settings.pace);
        // While a stream had the only connection nothing else would be sent, and the run would not end for an hour.
        let hour = Duration::from_secs(3600);
        let settings = SendSettings { max_connections: Some(1), timeout: hour, max_time: hour, ..settings };
        let (summary, _) = runs::run(replayed(&capture, vec![settings])).await;
        let target = of(&summary, &server);
        assert_eq!((target.ended.sent, target.closed_early["production_ended"]), (12, 4), "{way}: {target:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_ended_in_production_has_to_end() {
    let server = Server::start(|request| {
        let framing =
            if request.starts_with("GET /length") { "Content-Length: 5000" } else { "Transfer-Encoding: chunked" };
        vec![send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{}", chunk("xxx"))), Step::Stall]
    })
    .await;
    let body = "x".repeat(5000);
    let by_length = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{body}");
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk(&body));
    let capture = asked(1, "/length", &[&by_length]).close().capture();
    let capture = capture.with(asked(2, "/chunked", &[&chunked]).close().capture());
    for settings in ways(&server.url("http")) {
        let way = format!("{:?} {:?}", settings.connections, settings.pace);
        let settings = SendSettings { timeout: Duration::from_millis(200), ..settings };
        let (summary, lines) = runs::run(replayed(&capture, vec![settings])).await;
        let target = of(&summary, &server);
        assert_eq!((target.ended.sent, target.ended.failed["timeout"]), (0, 2), "{way}: {target:#?}");
        assert!(target.latency_us.service.min >= 200_000, "{way}: it is no less than its timeout");
        for path in ["/length", "/chunked"] {
            let reason = line(&lines, path)["reason"].as_str().unwrap().to_owned();
            assert!(reason.starts_with("the response stalled: "), "{way}: {reason}");
        }
    }
}
