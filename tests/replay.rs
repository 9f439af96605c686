//! The main job, end to end: a recorded capture, real sockets on loopback, and a ledger that adds up whatever the
//! target does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/server.rs"]
mod server;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use files::testdata;
use server::{Server, Step, answer, send};
use shadowtap::capture::{self, FileSource};
use shadowtap::middleware::{self, SampleKey, Share};
use shadowtap::pipeline::{self, Progress, Run};
use shadowtap::replay::{self, Pace};
use shadowtap::report::schema::summary::Summary;
use shadowtap::report::schema::target::TargetSummary;

/// A replay of a recorded capture at a target, in the making.
struct Replay {
    capture: &'static str,
    middleware: middleware::ChainSettings,
    sending: replay::SendSettings,
    stop_after: Option<Duration>,
}

impl Replay {
    fn of(capture: &'static str, target: &str) -> Self {
        Self {
            capture,
            middleware: middleware::ChainSettings::default(),
            sending: replay::SendSettings {
                pace: Pace::Max,
                timeout: Duration::from_secs(2),
                max_in_flight: 64,
                drain: Duration::from_millis(200),
                ..replay::SendSettings::new(target.parse().unwrap())
            },
            stop_after: None,
        }
    }

    /// Runs it and checks the laws that hold for every run.
    async fn run(self) -> (Summary, Vec<serde_json::Value>) {
        let results = Results::default();
        let source = FileSource::open(&testdata(self.capture), &capture::Halt::default()).unwrap();
        let run = Run {
            middleware: self.middleware,
            results: Some(Box::new(results.clone())),
            targets: vec![self.sending],
            ..Run::of_files(Box::new(source))
        };
        let stop_after = self.stop_after.unwrap_or(Duration::MAX);
        let stop = async move { tokio::time::sleep(stop_after).await };
        let progress = Arc::new(Progress::default());
        let summary = tokio::task::spawn_blocking(move || pipeline::run(run, &progress, stop).unwrap()).await.unwrap();
        assert!(summary.balances(), "{summary:#?}");
        let lines = results.lines();
        let deliveries = lines.iter().filter(|line| line["shadow"].is_string()).count() as u64;
        let offered: u64 = summary.targets.values().map(|target| target.offered).sum();
        assert_eq!(deliveries, offered, "one line a delivery");
        assert_eq!(lines.len() as u64, summary.requests.seen + 1, "one line a request, and the summary");
        assert_eq!(lines.last().unwrap()["kind"], "summary");
        (summary, lines)
    }
}

#[derive(Clone, Default)]
struct Results(Arc<Mutex<Vec<u8>>>);

impl Results {
    fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap();
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }
}

impl Write for Results {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn only(summary: &Summary) -> &TargetSummary {
    assert_eq!(summary.targets.len(), 1);
    summary.targets.values().next().unwrap()
}

/// Failures of each kind that there were any of.
fn failures(target: &TargetSummary) -> Vec<(&str, u64)> {
    target.ended.failed.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| (kind.as_str(), *count)).collect()
}

fn ok(_: &str) -> Vec<Step> {
    vec![answer("200 OK", "hello")]
}

#[tokio::test]
async fn every_request_of_a_capture_arrives_and_is_counted() {
    let server = Server::start(ok).await;
    let (summary, lines) = Replay::of("get-nano.pcap", &server.url("http")).run().await;
    let target = only(&summary);
    assert_eq!((summary.requests.seen, target.offered, target.ended.sent), (3, 3, 3));
    assert_eq!(target.matrix["200"]["200"], 2);
    assert_eq!(target.matrix["404"]["200"], 1);
    assert_eq!((target.differences.compared, target.differences.status, target.differences.body), (3, 1, 3));
    assert_eq!(summary.production.latency_us.count, 3);
    let mut targets: Vec<String> =
        server.requests().iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect();
    targets.sort();
    assert_eq!(targets, ["/v1/epg.xml", "/v2/channels/1", "/v2/search?q=jazz"]);
    // Lines come in the order in which deliveries end.
    let search = lines.iter().find(|line| line["target"] == "/v2/search?q=jazz").unwrap();
    assert_eq!((&search["production"]["status"], &search["response"]["status"]), (&200.into(), &200.into()));
}

#[tokio::test]
async fn writes_are_left_out_unless_they_are_allowed() {
    let server = Server::start(ok).await;
    let (summary, _) = Replay::of("expect-chunked.pcap", &server.url("http")).run().await;
    assert_eq!((summary.requests.ended.filtered["writes"], server.requests().len()), (1, 0));

    let mut replay = Replay::of("expect-chunked.pcap", &server.url("http"));
    replay.middleware.allow_writes = true;
    let (summary, _) = replay.run().await;
    assert_eq!(only(&summary).ended.sent, 1);
    let request = server.requests().remove(0).to_ascii_lowercase();
    assert!(request.contains("\r\ntransfer-encoding: chunked\r\n"), "{request}");
    assert!(!request.contains("content-length"), "{request}");
}

#[tokio::test]
async fn the_chain_works_on_what_is_sent_and_the_report_on_what_was_captured() {
    let server = Server::start(ok).await;
    let mut replay = Replay::of("get-nano.pcap", &server.url("http"));
    replay.middleware.set_headers = vec![("X-Shadow".to_owned(), "yes".to_owned())];
    replay.middleware.set_cookies = vec![("stage".to_owned(), "1".to_owned())];
    replay.middleware.deny_paths = shadowtap::middleware::PatternSet::new(["^/v1/"]).unwrap();
    let (summary, _) = replay.run().await;
    assert_eq!(summary.requests.ended.filtered["deny-path"], 1);
    assert_eq!(only(&summary).ended.sent, 2);
    for request in server.requests() {
        let request = request.to_ascii_lowercase();
        assert!(request.contains("\r\nx-shadow: yes\r\n"), "{request}");
        assert!(request.contains("\r\ncookie: stage=1\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.addr.port())), "{request}");
    }
}

#[tokio::test]
async fn a_host_header_that_is_set_or_kept_is_what_the_target_sees() {
    let server = Server::start(ok).await;
    let mut set = Replay::of("get-nano.pcap", &server.url("http"));
    set.middleware.set_headers = vec![("Host".to_owned(), "new.example".to_owned())];
    let (of_set, _) = set.run().await;
    let mut kept = Replay::of("get-nano.pcap", &server.url("http"));
    kept.sending.keep_host = true;
    let (of_kept, _) = kept.run().await;
    let hosts: Vec<String> = server
        .requests()
        .iter()
        .map(|request| {
            let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with("host:")).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        })
        .collect();
    assert_eq!(hosts[..3], ["new.example", "new.example", "new.example"]);
    let captured = files::inspect_files(&[testdata("get-nano.pcap")]).0;
    let captured = String::from_utf8_lossy(captured[0].request.head.get("host").unwrap()).into_owned();
    assert!(hosts[3..].iter().all(|host| *host == captured), "{hosts:?}");
    for (summary, host) in [(of_set, "new.example"), (of_kept, captured.as_str())] {
        let curl = &summary.routes[0].targets[&server.url("http")].slowest[0].curl;
        assert!(curl.contains(&format!("-H 'Host: {host}'")), "{curl}");
    }
}

#[tokio::test]
async fn the_same_half_is_sampled_in_every_run() {
    let server = Server::start(ok).await;
    let run = async || {
        let mut replay = Replay::of("demo.pcap.zst", &server.url("http"));
        replay.middleware.sample = Share(0.5);
        replay.middleware.sample_by = SampleKey::Request;
        let (summary, lines) = replay.run().await;
        let mut sent: Vec<String> = lines
            .iter()
            .filter(|line| line["outcome"] == "sent")
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect();
        sent.sort();
        (summary, sent)
    };
    let (summary, first) = run().await;
    let (_, second) = run().await;
    assert_eq!(first, second);
    // 93 requests of it are writes, and never reach the sample.
    let reached = summary.requests.offered + summary.requests.ended.sampled_out;
    assert_eq!((summary.requests.seen, reached), (1839, 1839 - 93));
    let share = summary.sample.requests.unwrap_or_default();
    assert!((0.45..0.55).contains(&share), "{share}");
}

#[tokio::test]
async fn the_timeline_has_what_was_open_and_asked_for_on_the_way() {
    let server = Server::start(ok).await;
    let mut replay = Replay::of("demo.pcap.zst", &server.url("http"));
    replay.sending.pace = Pace::Speed(4.0);
    replay.middleware.sample = Share(0.5);
    let (summary, _) = replay.run().await;
    let target = only(&summary);
    let timeline = summary.timeline.as_ref().unwrap();
    let open: Vec<u64> = timeline.points.iter().filter_map(|point| point.targets[0].connections).collect();
    assert!(open.iter().any(|open| *open > 0), "{timeline:?}");
    assert!(open.iter().all(|open| *open <= target.peak_connections), "{timeline:?}");
    assert!(timeline.points.iter().filter_map(|point| point.targets[0].in_flight).all(|n| n <= target.peak_in_flight));
    assert!(timeline.points.iter().filter_map(|point| point.share).all(|share| (share - 0.5).abs() < 1e-9));
    let captured: Vec<u64> = timeline.points.iter().filter_map(|point| point.connections).collect();
    assert!(captured.iter().any(|open| *open > 0), "{timeline:?}");
    assert!(captured.iter().all(|open| *open <= summary.tcp.peak_open), "{timeline:?}");
}

#[tokio::test]
async fn a_target_that_refuses_costs_every_request_and_no_more() {
    let address = Server::refusing().await;
    let (summary, _) = Replay::of("demo.pcap.zst", &format!("http://{address}")).run().await;
    let target = only(&summary);
    assert_eq!(failures(target), [("connect", 1746)]);
    assert_eq!(target.matrix["200"]["failed"], 1602);
}

#[tokio::test]
async fn a_target_that_stalls_resets_or_answers_garbage_now_and_then_costs_just_those_requests() {
    let server = Server::start(|request| {
        if request.starts_with("GET /v2/search") {
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::Reset]
        } else if request.starts_with("GET /v2/profile") {
            vec![send("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Step::Close]
        } else if request.starts_with("GET /v2/programs?day=sun") {
            vec![Step::Stall]
        } else if request.starts_with("HEAD") {
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")]
        } else {
            ok(request)
        }
    })
    .await;
    let mut replay = Replay::of("demo.pcap.zst", &server.url("http"));
    replay.sending.timeout = Duration::from_secs(1);
    let (summary, lines) = replay.run().await;
    let count = |path: &str| {
        lines.iter().filter(|line| line["target"].as_str().is_some_and(|t| t.starts_with(path))).count() as u64
    };
    let target = only(&summary);
    let expected: Vec<(&str, u64)> = [
        ("protocol", count("/v2/profile")),
        ("reset", count("/v2/search")),
        ("timeout", count("/v2/programs?day=sun")),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .collect();
    assert_eq!(failures(target), expected);
    let failed: u64 = expected.iter().map(|(_, count)| count).sum();
    assert!(failed > 0);
    assert_eq!(target.ended.sent, 1746 - failed);
}

#[tokio::test]
async fn a_full_queue_of_a_slow_target_sheds_and_says_so() {
    let server = Server::start(|_| vec![Step::Stall]).await;
    let mut replay = Replay::of("demo.pcap.zst", &server.url("http"));
    replay.sending.max_in_flight = 1;
    replay.sending.timeout = Duration::from_millis(50);
    replay.sending.pace = Pace::Rate(1_000_000.0);
    replay.stop_after = Some(Duration::from_millis(700));
    let (summary, _) = replay.run().await;
    let target = only(&summary);
    // The queue holds all that came by then; what the stop finds waiting was due for longer than responses have to end.
    let waited = target.ended.shed.get("stopped").copied().unwrap_or_default();
    assert!(waited > 0, "{:?}", target.ended);
    assert_eq!(failures(target), [("timeout", target.offered - waited)]);
}

#[tokio::test]
async fn a_stopped_run_accounts_for_what_it_took_in() {
    let server = Server::start(ok).await;
    let mut replay = Replay::of("demo.pcap.zst", &server.url("http"));
    replay.sending.pace = Pace::Speed(1.0);
    replay.stop_after = Some(Duration::from_millis(300));
    let (summary, _) = replay.run().await;
    assert!(summary.requests.seen < 1839, "{}", summary.requests.seen);
    // What was due just then and not sent yet is told as such; nothing that was sent is lost.
    let target = only(&summary);
    let waited = target.ended.shed.get("stopped").copied().unwrap_or_default();
    assert_eq!((target.ended.sent + waited, failures(target)), (target.offered, vec![]));
    assert!(target.ended.sent > 0);
}

#[tokio::test]
async fn redirects_are_answers_and_compressed_bodies_stay_compressed() {
    let server = Server::start(|_| {
        vec![send(
            "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x2b\x08",
        )]
    })
    .await;
    let (summary, lines) = Replay::of("get-nano.pcap", &server.url("http")).run().await;
    assert_eq!(only(&summary).statuses["302"], 3);
    assert_eq!(server.requests().len(), 3);
    assert_eq!(lines[0]["response"]["body_len"], 3);
}

#[tokio::test]
async fn damaged_requests_are_never_sent() {
    let server = Server::start(ok).await;
    let mut replay = Replay::of("snaplen.pcap", &server.url("http"));
    replay.middleware.allow_writes = true;
    let (summary, _) = replay.run().await;
    assert_eq!(summary.requests.ended.incomplete["cut"], 1);
    assert_eq!((only(&summary).ended.sent, server.requests().len()), (1, 1));
    assert!(server.requests()[0].starts_with("GET "));
}
