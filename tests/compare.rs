//! Production's answers off the wire against those of real servers: what counts as a difference, and what is noise.
#![allow(dead_code, reason = "the packet builder and the servers are shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/server.rs"]
mod server;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use packets::{Capture, Talk};
use serde_json::{Value, json};
use server::{Server, Step, send};
use shadowtap::compare::CompareRules;
use shadowtap::exchange::Outcome;
use shadowtap::pipeline::{self, Progress, Run};
use shadowtap::replay::{self, Pace};
use shadowtap::report::threshold::Thresholds;
use shadowtap::report::{RoutePatterns, Summary};

const JSON: &str = "Content-Type: application/json\r\n";

/// An answer with these header lines and this body, framed by its length.
fn message(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn json_message(body: &str) -> Vec<u8> {
    message("200 OK", JSON, body.as_bytes())
}

/// One connection a request line, each answered by production as it says.
fn captured(talks: &[(&str, Vec<u8>)]) -> Capture {
    let talks = talks.iter().enumerate().map(|(n, (line, answer))| {
        Talk::open()
            .between(&format!("10.1.{}.{}:5000", n / 250, n % 250), "10.0.0.1:80")
            .client(format!("{line} HTTP/1.1\r\nHost: old.example\r\n\r\n"))
            .segments(packets::Server, answer.clone(), 14_000)
            .capture()
    });
    talks.reduce(Capture::with).unwrap()
}

fn to(url: &str) -> replay::SendSettings {
    let time = Duration::from_secs(10);
    replay::SendSettings {
        pace: Pace::Max,
        timeout: time,
        drain: time,
        ..replay::SendSettings::new(url.parse().unwrap())
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replays a capture to its end; the summary, and the differences of each line of results.
async fn run(capture: &Capture, server: &Server, change: impl FnOnce(&mut Run)) -> (Summary, Vec<Value>) {
    let lines = Lines::default();
    let mut run = Run {
        targets: vec![to(&server.url("http"))],
        results: Some(Box::new(lines.clone())),
        ..Run::of_files(Box::new(capture.source()))
    };
    change(&mut run);
    let progress = Arc::new(Progress::default());
    let never = std::future::pending();
    let summary = tokio::task::spawn_blocking(move || pipeline::run(run, &progress, never).unwrap()).await.unwrap();
    assert!(summary.balances(), "{summary:#?}");
    let bytes = lines.0.lock().unwrap().clone();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    (
        summary,
        lines.filter(|line| line["outcome"] == Outcome::Sent.key()).map(|line| line["differences"].clone()).collect(),
    )
}

/// One request that production and the target answer so; its differences.
async fn differences(production: Vec<u8>, shadow: Vec<u8>, rules: CompareRules) -> Value {
    differences_of("GET /a", production, shadow, rules).await
}

async fn differences_of(line: &str, production: Vec<u8>, shadow: Vec<u8>, rules: CompareRules) -> Value {
    let server = Server::start(move |_| vec![send(&shadow)]).await;
    let (_, mut lines) = run(&captured(&[(line, production)]), &server, |run| run.compare = rules).await;
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_differs_is_told_by_its_paths_and_keys_in_another_order_do_not() {
    let (one, other) = (r#"{"id":1,"items":[{"n":1},{"n":2}]}"#, r#"{"items":[{"n":1.0},{"n":3}],"id":1}"#);
    let found = differences(json_message(one), json_message(other), CompareRules::default()).await;
    assert_eq!(found, json!([{ "in": "body", "path": "$.items[1].n", "production": 2, "shadow": 3 }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_does_not_count_is_none() {
    let (one, other) = (json_message("[1,2,3]"), json_message("[3,2,1]"));
    let found = differences(one.clone(), other.clone(), CompareRules::default()).await;
    assert_eq!(found[0]["kind"], "order");
    let mut rules = CompareRules::default();
    rules.ignore_order("json:$").unwrap();
    assert_eq!(differences(one, other, rules).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_chunked_or_neither_says_the_same() {
    let body = br#"{"a":[1,2,3]}"#;
    let coded = gzip(body);
    let mut chunked =
        format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n").into_bytes();
    for chunk in coded.chunks(7) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut rules = CompareRules::default();
    rules.ignore("header:content-encoding").unwrap();
    let plain = message("200 OK", JSON, body);
    assert_eq!(differences(chunked.clone(), plain.clone(), rules.clone()).await, json!([]));
    assert_eq!(differences(plain, chunked, rules).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_compared_and_what_names_the_machine_is_not() {
    let one = message("200 OK", "ETag: \"a\"\r\nServer: x\r\nSet-Cookie: sid=1; Path=/\r\n", b"ok");
    let other = message("200 OK", "Server: y\r\nset-cookie: sid=2; path=/\r\nDate: now\r\n", b"ok");
    let found = differences(one, other, CompareRules::default()).await;
    assert_eq!(
        found,
        json!([{ "in": "header", "path": "etag", "kind": "missing", "production": "\"a\"", "shadow": null }])
    );
}

/// RFC 7540, 3.2: the response to the request follows over HTTP/2, and nobody knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_http_2_is_no_response_that_could_differ() {
    let of = |protocol: &str, rest: &str| {
        format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{protocol}\r\n{rest}").into_bytes()
    };
    let server = Server::start(move |_| vec![send(json_message("{}"))]).await;
    let talks = [
        ("GET /a", of("Upgrade: h2c\r\n", "\0\0\u{6}\u{4}")),
        ("GET /b", of("Upgrade: TLS/1.2, HTTP/1.1\r\n", "")),
        ("GET /c", of("Upgrade: websocket\r\n", "")),
        ("GET /d", json_message("{}")),
    ];
    let (summary, lines) = run(&captured(&talks), &server, |_| {}).await;
    assert_eq!(lines.len(), 4);
    assert_eq!(summary.production.unjoined, [("upgraded".to_owned(), 2)].into());
    let target = summary.targets.values().next().unwrap();
    assert_eq!((target.ended.sent, target.differences.compared, target.differences.status), (4, 2, 1));
    assert_eq!(target.matrix["none"]["200"], 2);
    assert_eq!(summary.production.statuses, [("101".to_owned(), 1), ("200".to_owned(), 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none_that_could_differ() {
    let not_modified = b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n".to_vec();
    assert_eq!(differences(not_modified.clone(), not_modified, CompareRules::default()).await, json!([]));
    let head = |len: u32| format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes();
    assert_eq!(differences_of("HEAD /a", head(5), head(5), CompareRules::default()).await, json!([]));
    // What GET would get has another length (RFC 9110, 8.6).
    let longer = json!([{ "in": "header", "path": "content-length", "production": "5", "shadow": "7" }]);
    assert_eq!(differences_of("HEAD /a", head(5), head(7), CompareRules::default()).await, longer);
    let empty = message("200 OK", JSON, b"");
    assert_eq!(differences(empty.clone(), empty, CompareRules::default()).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_the_limit_is_compared_by_length_and_hash() {
    let mut rules = CompareRules::default();
    rules.set_max_body(1024);
    let long = |end: &str| json_message(&format!("\"{}{end}\"", "x".repeat(2000)));
    let found = differences(long("a"), long("b"), rules.clone()).await;
    assert_eq!((&found[0]["path"], &found[0]["production"]["len"]), (&json!(""), &json!(2003)));
    assert_eq!(differences(long("a"), long("a"), rules).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_room_for_bodies_nothing_is_said_of_them() {
    // A thirty-second of the memory is for bodies: less than both of one request need.
    let body = format!("\"{}\"", "x".repeat(300_000));
    let talks: Vec<_> =
        (0..8).map(|n| (["GET /0", "GET /1", "GET /2", "GET /3"][n % 4], json_message(&body))).collect();
    let server = Server::start(move |_| vec![Step::Send(json_message(&body.replacen('x', "y", 1)))]).await;
    let (summary, lines) = run(&captured(&talks), &server, |run| {
        run.capture.max_memory = shadowtap::capture::MaxMemory(16 << 20);
        run.compare.set_max_body(1 << 20);
    })
    .await;
    let told = &summary.targets.values().next().unwrap().differences;
    assert_eq!((told.compared, told.body, told.bodies_unknown), (8, 0, 8), "{lines:?}");
}

/// `n` requests for one page, which production stamps with the time.
fn stamped(n: u32) -> Capture {
    let page = |n: u32| json_message(&format!(r#"{{"at":{n},"price":5}}"#));
    let talks: Vec<_> = (0..n).map(|n| ("GET /page", page(n))).collect();
    captured(&talks)
}

/// A server that stamps each page with another time, and asks this price.
async fn stamping(price: u32) -> Server {
    let count = AtomicU64::new(1_000_000);
    Server::start(move |_| {
        let at = count.fetch_add(1, Ordering::Relaxed);
        vec![send(json_message(&format!(r#"{{"at":{at},"price":{price}}}"#)))]
    })
    .await
}

#[track_caller]
fn check_noise(summary: &Summary, why: &str, body: u64) {
    let rows = serde_json::to_value(&summary.noise).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows:#}");
    let row = &rows[0];
    assert_eq!(
        (&row["route"], &row["in"], &row["path"], &row["why"]),
        (&json!("GET /page"), &json!("body"), &json!("$.at"), &json!(why))
    );
    assert_eq!(row["rates"]["shadow"], 1.0);
    let target = summary.targets.values().next().unwrap();
    assert_eq!((target.differences.body, target.differences_noise.body), (body, target.differences.compared - body));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_repeated_requests_tell_to_be_unsteady_is_noise() {
    let (summary, lines) = run(&stamped(10), &stamping(5).await, |_| {}).await;
    check_noise(&summary, "repeats", 0);
    assert_eq!(lines.len(), 10, "the results have it all the same");
    assert!(lines.iter().all(|line| line[0]["path"] == "$.at"), "{lines:?}");
    let (summary, _) = run(&stamped(10), &stamping(6).await, |_| {}).await;
    check_noise(&summary, "repeats", 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_in_which_the_baseline_differs_as_often_is_noise() {
    let (target, baseline) = (stamping(6).await, stamping(5).await);
    let (summary, lines) =
        run(&stamped(8), &target, |run| run.reference.baseline = Some(to(&baseline.url("http")))).await;
    check_noise(&summary, "baseline", 8);
    let block = summary.baseline.unwrap();
    assert_eq!((block.target.offered, block.target.ended.sent, block.target.differences.body), (8, 8, 8));
    assert_eq!((baseline.requests().len(), target.requests().len(), lines.len()), (8, 8, 8));
    assert_eq!(summary.targets.len(), 1, "the baseline is no target");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_that_refuses_costs_nothing_but_itself() {
    let baseline = format!("http://{}", Server::refusing().await);
    let server = stamping(5).await;
    let (summary, _) = run(&stamped(3), &server, |run| run.reference.baseline = Some(to(&baseline))).await;
    let block = summary.baseline.unwrap();
    assert_eq!((block.target.ended.failed["connect"], block.target.differences.compared), (3, 0));
    assert_eq!(summary.targets.values().next().unwrap().ended.sent, 3);
    assert_eq!(summary.production.statuses["200"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_answers_twice_tells_what_is_noise() {
    let server = stamping(5).await;
    // Each asks for something else, so that nothing in the capture is repeated.
    let lines: Vec<String> = (0..9).map(|n| format!("GET /page?n={n}")).collect();
    let talks: Vec<_> = lines.iter().map(|line| (line.as_str(), json_message(r#"{"at":1,"price":5}"#))).collect();
    let (summary, _) = run(&captured(&talks), &server, |run| run.reference.self_check = 1.0).await;
    check_noise(&summary, "self_check", 0);
    let checks = summary.self_check.unwrap();
    assert_eq!((checks.offered, checks.sent, checks.compared, checks.differ), (9, 9, 9, 9));
    assert_eq!(server.requests().len(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_twice_keeps_to_the_limit_of_connections() {
    let server = stamping(5).await;
    let lines: Vec<String> = (0..60).map(|n| format!("GET /page?n={n}")).collect();
    let talks: Vec<_> = lines.iter().map(|line| (line.as_str(), json_message(r#"{"at":1,"price":5}"#))).collect();
    let limited = |run: &mut Run| {
        run.reference.self_check = 1.0;
        run.targets.iter_mut().for_each(|target| target.max_connections = Some(2));
    };
    let (summary, _) = run(&captured(&talks), &server, limited).await;
    let target = summary.targets.values().next().unwrap();
    assert_eq!((target.ended.sent, summary.self_check.unwrap().sent), (60, 60));
    assert!(target.peak_connections <= 2, "{}", target.peak_connections);
}

/// Requests for one page, of which every third has another price at the target; its stamp always differs.
async fn with_noise_and_more() -> Summary {
    let count = AtomicU64::new(1_000_000);
    let server = Server::start(move |_| {
        let at = count.fetch_add(1, Ordering::Relaxed);
        let price = if at.is_multiple_of(3) { 6 } else { 5 };
        vec![send(json_message(&format!(r#"{{"at":{at},"price":{price}}}"#)))]
    })
    .await;
    let (summary, _) = run(&stamped(12), &server, |run| {
        run.patterns = Arc::new(RoutePatterns::parse("GET /{any}").unwrap());
        let all = ["differences{route=\"/page\"}>4", "body-diff{route=\"/page\"}>=4"].map(|gate| gate.parse().unwrap());
        run.demands = Thresholds { all: all.into(), min_samples: 1 };
    })
    .await;
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_of_another_status_has_both_bodies_and_a_route_its_slowest_requests() {
    let server =
        Server::start(|_| vec![send(message("503 Service Unavailable", JSON, br#"{"error":1,"token":"x"}"#))]).await;
    let lines: Vec<String> = (0..5).map(|n| format!("GET /orders/{n}?token=abc")).collect();
    let talks: Vec<_> = lines.iter().map(|line| (line.as_str(), json_message(r#"{"state":"open"}"#))).collect();
    let (summary, _) = run(&captured(&talks), &server, |_| {}).await;
    let rows = &summary.kinds.as_ref().unwrap().rows;
    let status = rows.iter().find(|kind| kind.place == "status").unwrap();
    let bodies = status.examples[0].bodies.as_ref().unwrap();
    assert_eq!(bodies.production.text.as_deref(), Some(r#"{"state":"open"}"#));
    assert_eq!(bodies.shadow.text.as_deref(), Some(r#"{"error":1,"token":"***"}"#));
    assert_eq!((bodies.production.len, bodies.shadow.content_type.as_deref()), (16, Some("application/json")));
    let target = summary.routes[0].targets.values().next().unwrap();
    let slowest: Vec<_> = target.slowest.iter().map(|slow| slow.response_us).collect();
    assert_eq!((slowest.len(), slowest[0]), (3, slowest.iter().copied().max().unwrap()));
    assert_eq!(target.slowest[0].status, Some(503));
    assert!(target.slowest.iter().all(|slow| slow.curl.contains("?token=***'")), "{:?}", target.slowest);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_routes_kinds_and_the_verdict_tell_the_same_number_without_noise() {
    let summary = with_noise_and_more().await;
    let total = summary.targets.values().next().unwrap();
    let [route] = &summary.routes[..] else { panic!("{:#?}", summary.routes) };
    let told = &route.targets.values().next().unwrap();
    assert_eq!(route.route, summary.noise[0].route, "by the name that was given");
    assert_eq!(route.route, "GET /{any}");
    assert_eq!((total.differences.any, total.differences.body, total.differences.compared), (4, 4, 12));
    assert_eq!((&told.differences, told.differences_noise), (&total.differences, total.differences_noise));
    assert_eq!(told.differences_noise.any, 8);
    let kinds = summary.kinds.as_ref().unwrap().rows.iter();
    let kinds: Vec<_> = kinds.map(|kind| (kind.path.as_str(), kind.count, kind.noise)).collect();
    assert_eq!(kinds, [("$.at", 12, 12), ("$.price", 4, 0)]);
    let sentence = &summary.verdict.as_ref().unwrap().sentences[1];
    assert!(sentence.text.starts_with("GET /{any}: body $.price in 4 of 12, "), "{sentence:?}");
    let gates: Vec<_> = summary.gates.iter().map(|gate| (gate.held, gate.value)).collect();
    assert_eq!(gates, [(true, 4.0), (false, 4.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_sent_once_and_to_the_baseline_only_where_they_are_allowed() {
    let write = Talk::open()
        .between("10.2.0.1:5000", "10.0.0.1:80")
        .client("POST /page HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
        .server(json_message("{}"))
        .capture();
    for allowed in [true, false] {
        let (target, baseline) = (stamping(5).await, stamping(5).await);
        let (summary, _) = run(&write, &target, |run| {
            run.middleware.allow_writes = allowed;
            run.reference = replay::ReferenceSettings { baseline: Some(to(&baseline.url("http"))), self_check: 1.0 };
        })
        .await;
        let sent = usize::from(allowed);
        assert_eq!((target.requests().len(), baseline.requests().len()), (sent, sent));
        assert_eq!(summary.self_check, None);
    }
}
