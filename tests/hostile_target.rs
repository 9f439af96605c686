//! A target that chooses bodies which cost much to compare: it delays neither sending nor the guard nor the end of a run, and
//! takes no more memory than was given.
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

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use packets::{Capture, Talk};
use runs::{gets, of, replayed, run, target};
use server::{Server, Step, answer, self_signed, send};
use shadowtap::capture::MaxMemory;
use shadowtap::pipeline::{self, Control, Observer, Progress, Run};
use shadowtap::replay::guard::{GuardAction, GuardSettings};
use shadowtap::replay::{self, ClientChoice, ConnectionMode, GuardState, SendSettings};
use shadowtap::report::Summary;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// What is waited for at most, of what takes a moment: a machine may be slow.
const PATIENCE: Duration = Duration::from_secs(30);
const MEMORY: MaxMemory = MaxMemory(64 << 20);

/// Connections that each carry one GET, answered with a little JSON, one after the other.
fn json_gets(count: usize) -> Capture {
    let talks = (0..count).map(|n| {
        Talk::open()
            .between(&format!("10.1.{}.{}:5000", n / 250, n % 250), "10.0.0.1:80")
            .wait(2 * n as u64)
            .client(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .server("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":[1]}")
            .capture()
    });
    talks.reduce(Capture::with).unwrap()
}

/// So many bytes of empty lists, in one, coded.
fn lists(bytes: usize) -> Step {
    let body = format!("{{\"a\":[{}1]}}", "[],".repeat(bytes / 3));
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coder.write_all(body.as_bytes()).unwrap();
    let body = coder.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    send([head.as_bytes(), &body].concat())
}

fn with_memory(mut run: Run) -> Run {
    run.capture.max_memory = MEMORY;
    run
}

/// How the bodies of all deliveries that were compared came out.
fn unknown(summary: &Summary) -> u64 {
    let differences = &summary.targets.values().next().unwrap().differences;
    let reasons: u64 = differences.bodies_unknown_reasons.values().sum();
    assert_eq!(reasons, differences.bodies_unknown, "{differences:?}");
    differences.bodies_unknown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_sees_failures_behind_bodies_that_cost_much_to_compare() {
    const BOMBS: usize = 500;
    const ALL: usize = 4500;
    let (count, bomb) = (AtomicUsize::new(0), lists(1 << 20));
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0..BOMBS => vec![bomb.clone()],
        _ => vec![answer("503 Service Unavailable", "no")],
    })
    .await;
    let guard = Some(GuardSettings { action: GuardAction::Stop, .."errors>20%/200ms".parse().unwrap() });
    let target = replay::SendSettings { guard, ..target(&server.url("http"), "500/s") };
    let (summary, lines) = run(with_memory(replayed(&json_gets(ALL), vec![target]))).await;
    let target = of(&summary, &server);
    assert_eq!(target.guard.as_ref().unwrap().state, GuardState::Stopped);
    assert!(target.offered < ALL as u64 * 2 / 3, "{} were offered", target.offered);
    assert!(unknown(&summary) > 0, "{:?}", target.differences);
    let told = lines.iter().filter(|line| line["body_unknown"].is_string()).count();
    assert_eq!(told as u64, unknown(&summary));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_seen_and_ends_while_comparisons_wait() {
    const ALL: usize = 4000;
    const BEFORE: u64 = 400;
    // As many values as are still looked into.
    let bomb = lists(500_000);
    let server = Server::start(move |_| vec![bomb.clone()]).await;
    let (control, observer) = (Control::default(), Observer::default());
    let job = Run {
        control: control.clone(),
        observer: observer.clone(),
        ..replayed(&json_gets(ALL), vec![target(&server.url("http"), "400/s")])
    };
    let ended = tokio::task::spawn_blocking(|| {
        pipeline::run(with_memory(job), &Arc::new(Progress::default()), std::future::pending()).unwrap()
    });
    let seen = timeout(PATIENCE, async {
        loop {
            let seen = observer.look(false).await;
            let sent = seen.iter().flat_map(|seen| seen.summary.targets.values()).map(|target| target.ended.sent);
            if sent.sum::<u64>() >= BEFORE {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    seen.await.expect("the ledger waits for comparisons");
    assert!(server.requests().len() < ALL, "it was all over before it was seen");
    let stopped = Instant::now();
    control.stop();
    let summary = timeout(PATIENCE, ended).await.expect("the end waits for comparisons").unwrap();
    assert!(stopped.elapsed() < PATIENCE);
    assert!(summary.balances(), "{summary:#?}");
    let target = of(&summary, &server);
    let cells: u64 = target.matrix.values().flat_map(|row| row.values()).sum();
    assert_eq!(cells, target.ended.sent, "{target:?}");
    assert!(target.differences.compared > 0 && unknown(&summary) > 0, "{:?}", target.differences);
}

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":[1]}";

/// Ten GETs one after another on one connection, each answered with a little JSON, and another ten a while later.
fn keep_alive() -> Capture {
    let ten = |talk: Talk| {
        (0..10).fold(talk, |talk, n| {
            let path = if n % 2 == 0 { "a" } else { "b" };
            talk.client(format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n")).server(RESPONSE)
        })
    };
    ten(ten(Talk::open().between("10.1.0.1:5000", "10.0.0.1:80")).wait(300)).capture()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_without_a_request_takes_back_those_before_it_on_its_connection_and_no_other() {
    for connections in [ConnectionMode::Pooled, ConnectionMode::Mirrored] {
        // At once with the tenth response; and a while after it, when nobody asks for anything.
        for at_once in [true, false] {
            let count = AtomicUsize::new(0);
            let server = Server::start(move |_| {
                let other = answer("200 OK\r\nContent-Type: application/json", "{\"a\":[2]}");
                match (count.fetch_add(1, Ordering::Relaxed) + 1, at_once) {
                    (10, true) => vec![other.clone(), other],
                    (10, false) => vec![other, Step::Wait, send(RESPONSE)],
                    _ => vec![other],
                }
            })
            .await;
            let to = SendSettings { connections, max_in_flight: 1, ..target(&server.url("http"), "1x") };
            let (summary, lines) = run(replayed(&keep_alive(), vec![to])).await;
            let target = of(&summary, &server);
            let found = target.desynchronised.as_ref().expect("it is a finding");
            let context = format!("{connections:?} {at_once}: {target:#?}");
            assert_eq!((found.connections, found.deliveries), (1, 10), "{context}");
            assert!(found.earlier >= 9 && found.earlier == found.taken_back, "{context}");
            assert_eq!((target.ended.sent, target.ended.failed["desynchronised"]), (10, 10), "{context}");
            let differences = &target.differences;
            assert_eq!((differences.compared, differences.any, differences.body), (10, 10, 10), "{context}");
            assert_eq!((target.latency_us.response.count, target.statuses["200"]), (10, 10), "{context}");
            let routes = summary.routes.iter().flat_map(|route| route.targets.values());
            let by_route: u64 = routes.clone().map(|route| route.differences.body).sum();
            assert_eq!((by_route, routes.map(|route| route.failed).sum::<u64>()), (10, 10), "{context}");
            let groups = summary.kinds.iter().flat_map(|groups| &groups.rows).map(|group| group.count).sum::<u64>();
            assert_eq!(groups, 10, "{context}");
            let told: Vec<_> = lines.iter().filter(|line| line["kind"] == "desynchronised").collect();
            assert_eq!(told.len() as u64, found.taken_back, "{context}");
            assert!(told.iter().all(|line| line["outcome"] == "failed" && line["shadow"].is_string()), "{told:?}");
        }
    }
}

/// A response that belongs to no request.
const STRAY: &[u8] = b"HTTP/1.1 299 Stray\r\nContent-Length: 5\r\n\r\nstray";

/// Sends [`STRAY`] over each connection before it reads a request, and a 200 after each.
async fn greeter(encrypted: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    // One certificate for all: to make one takes longer than the first response on a connection is watched for.
    let tls = encrypted.then(self_signed);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    Some(tls) => greet(tls.accept(stream).await.ok()?).await,
                    None => greet(stream).await,
                }
            });
        }
    });
    addr
}

/// Until the client goes.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
    stream.write_all(STRAY).await.ok()?;
    stream.flush().await.ok()?;
    let mut head = Vec::new();
    loop {
        head.push(stream.read_u8().await.ok()?);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(RESPONSE.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_comes_before_a_request_is_nobodys_whichever_client_sends() {
    const ALL: u64 = 10;
    let (plain, encrypted) = (format!("http://{}", greeter(false).await), format!("https://{}", greeter(true).await));
    for (client, url) in [
        (ClientChoice::Wire, &plain),
        (ClientChoice::Wire, &encrypted),
        (ClientChoice::Reqwest, &plain),
        (ClientChoice::Reqwest, &encrypted),
    ] {
        let to = SendSettings { client, insecure: true, ..target(url, "max") };
        let (summary, _) = run(replayed(&json_gets(10), vec![to])).await;
        let target = &summary.targets[url];
        assert_eq!(target.ended.failed["desynchronised"], ALL, "{client:?} {url}: {target:#?}");
        assert!(target.statuses.is_empty() && target.desynchronised.is_some(), "{client:?} {url}: {target:#?}");
    }
}

/// HTTP/2 to this address.
fn by_http_2(addr: SocketAddr) -> SendSettings {
    SendSettings { client: ClientChoice::Reqwest, http2: true, ..target(&format!("http://{addr}"), "max") }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_takes_no_response_for_that_of_another_request() {
    let no_stream = h2_server::raw(h2_server::head(77, "299", true), false, |n| h2_server::head(n, "200", true)).await;
    let twice = |n| [h2_server::head(n, "200", true), h2_server::head(n, "299", true)].concat();
    let twice = h2_server::raw(Vec::new(), false, twice).await;
    let other = h2_server::raw(Vec::new(), false, |n| h2_server::head(n + 100, "299", true)).await;
    for addr in [no_stream, twice, other] {
        let to = SendSettings { timeout: Duration::from_secs(2), ..by_http_2(addr) };
        let (summary, _) = run(replayed(&json_gets(10), vec![to])).await;
        let target = &summary.targets[&format!("http://{addr}")];
        assert!(!target.statuses.contains_key("299"), "{target:#?}");
        assert_eq!(target.ended.sent + target.ended.failed.values().sum::<u64>(), 10, "{target:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_without_end_over_http_2_are_bounded_and_delay_no_other_target() {
    let flood = h2_server::raw(Vec::new(), true, |n| h2_server::head(n, "103", false)).await;
    let good = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let flooded = SendSettings { timeout: Duration::from_secs(1), ..by_http_2(flood) };
    let (summary, _) = run(replayed(&gets(20), vec![flooded, target(&good.url("http"), "max")])).await;
    assert_eq!(of(&summary, &good).ended.sent, 20);
    let target = &summary.targets[&format!("http://{flood}")];
    assert_eq!((target.ended.sent, target.ended.failed["timeout"]), (0, 20), "{target:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_it_is_stopped_whatever_interim_responses_come_over_http_2() {
    let flood = h2_server::raw(Vec::new(), true, |n| h2_server::head(n, "103", false)).await;
    let hour = Duration::from_secs(3600);
    let to = SendSettings { timeout: hour, max_time: hour, ..by_http_2(flood) };
    let (control, observer) = (Control::default(), Observer::default());
    let job = Run { control: control.clone(), observer: observer.clone(), ..replayed(&gets(5), vec![to]) };
    let ended = tokio::task::spawn_blocking(|| {
        pipeline::run(job, &Arc::new(Progress::default()), std::future::pending()).unwrap()
    });
    let seen = timeout(PATIENCE, async {
        let offered = async || {
            let seen = observer.look(false).await;
            seen.iter().flat_map(|seen| seen.summary.targets.values()).map(|target| target.offered).sum::<u64>()
        };
        while offered().await < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    seen.await.expect("the flood keeps the run from being seen");
    control.stop();
    let summary = timeout(PATIENCE, ended).await.expect("the flood keeps the run from its end").unwrap();
    assert!(summary.balances(), "{summary:#?}");
    assert_eq!(summary.targets[&format!("http://{flood}")].ended.sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_take_no_more_memory_than_was_given() {
    let bomb = lists(16_000_000);
    let server = Server::start(move |_| vec![bomb.clone()]).await;
    let mut job = with_memory(replayed(&json_gets(60), vec![target(&server.url("http"), "max")]));
    job.compare.set_max_body(4 << 20);
    let (summary, _) = run(job).await;
    assert_eq!(of(&summary, &server).ended.sent, 60);
    assert_eq!(unknown(&summary), 60);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 400 << 10, "{kilobytes} kB were taken");
}

/// What is ordinary is compared as ever, and all of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_ordinary_is_all_looked_into() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let body = format!("{{\"a\":[{}]}}", 1 + count.fetch_add(1, Ordering::Relaxed) % 2);
        vec![send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))]
    })
    .await;
    let (summary, _) = run(with_memory(replayed(&json_gets(2000), vec![target(&server.url("http"), "max")]))).await;
    let differences = &of(&summary, &server).differences;
    assert_eq!((differences.compared, differences.body, differences.bodies_unknown), (2000, 1000, 0));
}
