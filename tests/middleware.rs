//! Middleware in processes outside: real scripts between a recorded capture and a target, and a ledger that adds up
//! whatever they do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]
#![allow(dead_code, reason = "the servers are shared with other tests")]

#[path = "support/files.rs"]
mod files;
#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use files::testdata;
use server::{Server, Step, answer};
use shadowtap::capture::{self, FileSource};
use shadowtap::middleware::external::ExternalSettings;
use shadowtap::middleware::{self, LoopHeader};
use shadowtap::pipeline::{self, Progress, Run, RunError};
use shadowtap::recording::{OutputPath as Recording, Recorder, RecordingOutput, Rotation};
use shadowtap::replay::{self, ConnectionMode, Pace};
use shadowtap::report::MiddlewareCounts;
use shadowtap::report::schema::counts::sum;
use shadowtap::report::schema::summary::Summary;
use shadowtap::report::schema::target::TargetSummary;

/// Requests in the demo's capture, and those of them that are no writes.
const SEEN: u64 = 1839;
const READS: u64 = SEEN - 93;

/// How scripts for GoReplay begin: a line in, a line out, each flushed.
const PRELUDE: &str = "
import sys, time, os, binascii
def lines():
    while True:
        line = sys.stdin.readline()
        if not line: return
        yield line.rstrip('\\n')
def decode(line):
    raw = binascii.unhexlify(line)
    meta, payload = raw.split(b'\\n', 1)
    return meta.split(b' '), payload
def say(meta, payload):
    sys.stdout.write(binascii.hexlify(b' '.join(meta) + b'\\n' + payload).decode() + '\\n')
    sys.stdout.flush()
";

/// A run with a script in it, in the making.
struct Case {
    capture: &'static str,
    external: ExternalSettings,
    middleware: middleware::ChainSettings,
    sending: Option<replay::SendSettings>,
    mark: Option<LoopHeader>,
    recorder: Option<Recorder>,
    max_memory: usize,
    stop_after: Option<Duration>,
    _folder: tempfile::TempDir,
}

impl Case {
    /// A Python script between the capture and the target; `#` lines of it are its own business.
    fn python(capture: &'static str, target: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my script.py");
        std::fs::write(&file, format!("{PRELUDE}\n{script}")).unwrap();
        let case = Self::command(capture, target, &format!("python3 '{}'", file.display()));
        Self { _folder: folder, ..case }
    }

    fn command(capture: &'static str, target: &str, command: &str) -> Self {
        Self {
            capture,
            external: ExternalSettings {
                timeout: Duration::from_secs(20),
                ..ExternalSettings::new(command.parse().unwrap())
            },
            middleware: middleware::ChainSettings::default(),
            sending: Some(replay::SendSettings {
                pace: Pace::Max,
                timeout: Duration::from_secs(10),
                max_in_flight: 64,
                drain: Duration::from_millis(200),
                ..replay::SendSettings::new(target.parse().unwrap())
            }),
            mark: None,
            recorder: None,
            max_memory: 256 << 20,
            stop_after: None,
            _folder: tempfile::tempdir().unwrap(),
        }
    }

    fn pace(mut self, pace: Pace) -> Self {
        self.sending.as_mut().unwrap().pace = pace;
        self
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.external.timeout = timeout;
        self
    }

    /// Runs it, in a time that no deadlock keeps to, and checks the laws that hold for every run.
    async fn run(self) -> Summary {
        let source = FileSource::open(&testdata(self.capture), &capture::Halt::default()).unwrap();
        let run = Run {
            capture: capture::Settings {
                max_memory: capture::MaxMemory(self.max_memory),
                ..capture::Settings::default()
            },
            middleware: self.middleware,
            external: Some(self.external),
            targets: self.sending.into_iter().collect(),
            mark: self.mark,
            recorder: self.recorder.map(|recorder| Box::new(recorder) as Box<dyn RecordingOutput>),
            ..Run::of_files(Box::new(source))
        };
        let stop_after = self.stop_after.unwrap_or(Duration::MAX);
        let stop = async move { tokio::time::sleep(stop_after).await };
        let progress = Arc::new(Progress::default());
        let running = tokio::task::spawn_blocking(move || pipeline::run(run, &progress, stop).unwrap());
        let summary = tokio::time::timeout(Duration::from_secs(120), running).await.expect("a deadlock").unwrap();
        assert!(summary.balances(), "{summary:#?}");
        assert!(summary.targets.values().all(|target| target.in_flight == 0));
        summary
    }
}

fn only(summary: &Summary) -> &TargetSummary {
    assert_eq!(summary.targets.len(), 1);
    summary.targets.values().next().unwrap()
}

/// Requests that ended as kept back and as shed by the middleware.
fn kept_back(summary: &Summary) -> (u64, u64) {
    let ended = &summary.requests.ended;
    let of = |counts: &shadowtap::report::CountMap| counts.get("middleware").copied().unwrap_or_default();
    (of(&ended.filtered), of(&ended.shed))
}

fn ok(_: &str) -> Vec<Step> {
    vec![answer("200 OK", "hello")]
}

/// Request lines that arrived, without order.
fn lines(server: &Server) -> Vec<String> {
    let mut lines: Vec<String> =
        server.requests().iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn cat_changes_nothing() {
    let server = Server::start(ok).await;
    let mut case = Case::command("demo.pcap.zst", &server.url("http"), "cat");
    case.external.workers = 2;
    let summary = case.run().await;
    assert_eq!((summary.requests.seen, kept_back(&summary)), (SEEN, (0, 0)), "{summary:#?}");
    assert_eq!(only(&summary).ended.sent, READS);
    // Answers are told where there is room; at this speed there may be none.
    let mut counts = summary.middleware.unwrap();
    counts.untold = 0;
    assert_eq!(counts, MiddlewareCounts::default());
    assert_eq!(summary.production.latency_us.count, READS, "each answer of production meets its request");
    let plain = Server::start(ok).await;
    let mut case = Case::command("demo.pcap.zst", &plain.url("http"), "cat");
    case.external.workers = 1;
    case.run().await;
    assert_eq!(lines(&server), lines(&plain));
}

#[tokio::test(flavor = "multi_thread")]
async fn cat_under_overload_never_stands_still() {
    let server = Server::start(ok).await;
    let mut case = Case::command("demo.pcap.zst", &server.url("http"), "cat").pace(Pace::Rate(1_000_000.0));
    case.max_memory = 16 << 20;
    case.sending.as_mut().unwrap().max_in_flight = 1;
    let summary = case.run().await;
    let (filtered, shed) = kept_back(&summary);
    let target = only(&summary);
    assert_eq!(target.offered + filtered + shed, READS);
    assert_eq!(target.ended.sent + sum(&target.ended.shed), target.offered, "{target:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_rewrites_headers_decides_what_is_sent() {
    let server = Server::start(ok).await;
    let script = "
for line in lines():
    meta, payload = decode(line)
    if meta[0] == b'1':
        head, body = payload.split(b'\\r\\n\\r\\n', 1)
        first, rest = head.split(b'\\r\\n', 1)
        method, path, version = first.split(b' ')
        payload = method + b' /new' + path + b' ' + version + b'\\r\\nX-Script: yes\\r\\n' + rest + b'\\r\\n\\r\\n' + body
    say(meta, payload)
";
    let summary = Case::python("get-nano.pcap", &server.url("http"), script).run().await;
    assert_eq!((only(&summary).ended.sent, summary.requests.seen), (3, 3));
    assert_eq!(lines(&server)[0], "GET /new/v1/epg.xml HTTP/1.1");
    assert!(server.requests().iter().all(|request| request.contains("\r\nX-Script: yes\r\n")));
    assert_eq!(only(&summary).matrix["404"]["200"], 1, "and still meets what production answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_sees_requests_and_both_answers_under_one_id() {
    let server = Server::start(ok).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!(
        "
log = open({:?}, 'w')
for line in lines():
    meta, payload = decode(line)
    first = payload.split(b'\\r\\n')[0].decode()
    body = payload.split(b'\\r\\n\\r\\n', 1)[1].decode('latin-1')
    log.write('%s %s %d %s|%s\\n' % (meta[1].decode(), meta[0].decode(), len(meta), first, body[:5]))
    log.flush()
    say(meta, payload)
",
        log.to_str().unwrap()
    );
    let summary = Case::python("get-nano.pcap", &server.url("http"), &script).run().await;
    assert_eq!(summary.middleware.unwrap().untold, 0);
    let mut told: Vec<String> = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    told.sort();
    assert_eq!(told.len(), 9, "{told:?}");
    for exchange in told.chunks(3) {
        let ids: Vec<&str> = exchange.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[0].len() == 24, "{exchange:?}");
        assert!(exchange[0].contains(" 1 4 GET /"), "{exchange:?}");
        assert!(exchange[1].contains(" 2 4 HTTP/1.1 "), "{exchange:?}");
        assert!(exchange[2].ends_with(" 3 4 HTTP/1.1 200 OK|hello"), "{exchange:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_drops_is_kept_back() {
    let server = Server::start(ok).await;
    let script = "
for line in lines():
    meta, payload = decode(line)
    if b'/v2/search' not in payload.split(b'\\r\\n')[0]: say(meta, payload)
";
    let case = Case::python("get-nano.pcap", &server.url("http"), script).timeout(Duration::from_secs(10));
    let summary = case.run().await;
    assert_eq!((kept_back(&summary), only(&summary).ended.sent), ((1, 0), 2));
    assert!(!lines(&server).iter().any(|line| line.contains("/v2/search")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_makes_up_is_new_requests_that_are_counted() {
    let server = Server::start(ok).await;
    let script = "
for line in lines():
    meta, payload = decode(line)
    say(meta, payload)
    if meta[0] == b'1':
        say(meta, payload)
        say([b'1', b'mine'], b'GET /made-up HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')
        say([b'1', b'mine'], b'POST /made-up HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n')
";
    for mode in [ConnectionMode::Pooled, ConnectionMode::Mirrored] {
        let mut case = Case::python("get-nano.pcap", &server.url("http"), script);
        case.sending.as_mut().unwrap().connections = mode;
        let summary = case.run().await;
        assert_eq!(summary.middleware.unwrap().made_up, 9);
        assert_eq!((summary.requests.seen, only(&summary).ended.sent), (12, 9), "{summary:#?}");
        assert_eq!(summary.requests.ended.filtered["writes"], 3, "nobody allowed writes");
        assert_eq!(only(&summary).matrix["none"]["200"], 6, "production never answered those");
        assert_eq!(summary.sample.requests, Some(1.0), "the sample is judged by what was captured");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_dies_is_started_again_and_only_what_it_held_is_lost() {
    let server = Server::start(ok).await;
    // Each process serves one request.
    let script = "
for line in lines():
    meta, payload = decode(line)
    say(meta, payload)
    sys.exit('enough')
";
    let case = Case::python("get-nano.pcap", &server.url("http"), script).timeout(Duration::from_secs(3));
    let summary = case.run().await;
    let (filtered, shed) = kept_back(&summary);
    assert!(summary.middleware.unwrap().restarts > 0, "{summary:#?}");
    assert_eq!(only(&summary).ended.sent + filtered + shed, 3);
    assert!(only(&summary).ended.sent > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_never_answer_cost_their_requests_and_their_time_and_no_more() {
    for (script, took_them) in [
        // Reads and says nothing.
        ("for line in lines(): pass", true),
        // Never reads: what fits the pipe counts as taken.
        ("time.sleep(600)", true),
        // Closes its output but lives.
        ("os.close(1)\nfor line in lines(): pass", true),
        // Says what is no message, without end of line.
        ("for line in lines():\n    sys.stdout.write('hello ' * 1000)\n    sys.stdout.flush()", true),
        // Dies at once.
        ("sys.exit(3)", false),
        // Does not even begin.
        ("this is no Python", false),
    ] {
        let server = Server::start(ok).await;
        let case = Case::python("get-nano.pcap", &server.url("http"), script).timeout(Duration::from_millis(1500));
        let summary = case.run().await;
        let (filtered, shed) = kept_back(&summary);
        assert_eq!((filtered + shed, summary.requests.seen), (3, 3), "{script}");
        assert!(!took_them || filtered == 3 || script.contains("close"), "{script}: {filtered}, {shed}");
        assert!(server.requests().is_empty(), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_never_reads_fills_nothing_without_a_bound() {
    let server = Server::start(ok).await;
    let case = Case::python("demo.pcap.zst", &server.url("http"), "time.sleep(600)");
    let summary = case.pace(Pace::Rate(1_000_000.0)).timeout(Duration::from_millis(700)).run().await;
    let (filtered, shed) = kept_back(&summary);
    assert_eq!(filtered + shed, READS);
    assert!(filtered > 0 && shed > 0, "what fits the pipe was taken, the rest was not: {filtered}, {shed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_writes_without_end_and_never_reads_does_not_stop_the_run() {
    let server = Server::start(ok).await;
    let script = "
message = binascii.hexlify(b'1 x\\nPUT /flood HTTP/1.1\\r\\n\\r\\n') + b'\\n'
while True: os.write(1, message * 100)
";
    let case = Case::python("get-nano.pcap", &server.url("http"), script).timeout(Duration::from_millis(700));
    let summary = case.run().await;
    let (filtered, shed) = kept_back(&summary);
    let made_up = summary.middleware.unwrap().made_up;
    assert!(made_up > 0);
    assert_eq!((filtered + shed, summary.requests.seen), (3, made_up + 3));
    assert_eq!(summary.requests.ended.filtered["writes"], made_up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_script_delays_and_an_echo_that_is_late_is_no_new_request() {
    let server = Server::start(ok).await;
    let script = "
for line in lines():
    meta, payload = decode(line)
    if b'/v2/search' in payload.split(b'\\r\\n')[0]:
        time.sleep(2.5)
    say(meta, payload)
";
    let case = Case::python("get-nano.pcap", &server.url("http"), script).timeout(Duration::from_millis(1500));
    let summary = case.run().await;
    assert_eq!(summary.requests.seen, 3);
    let (filtered, shed) = kept_back(&summary);
    assert!(filtered > 0, "{filtered}, {shed}");
    assert_eq!(summary.middleware.unwrap().made_up, 0);
    assert_eq!(only(&summary).ended.sent + filtered + shed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_writes_nothing_before_its_input_ends_is_waited_for() {
    let server = Server::start(ok).await;
    let script = "
held = [line for line in lines()]
sys.stdout.write('\\n'.join(held) + '\\n')
";
    let summary = Case::python("get-nano.pcap", &server.url("http"), script).run().await;
    assert_eq!((only(&summary).ended.sent, kept_back(&summary)), (3, (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_broken_messages_cost_no_more_than_themselves() {
    let server = Server::start(ok).await;
    let script = "
sys.stdout.write('hello\\n' + 'ab' * 5000000 + '\\nabc\\n')
sys.stderr.write('a complaint\\n')
for line in lines():
    meta, payload = decode(line)
    if b'/v2/search' in payload.split(b'\\r\\n')[0]: payload = b'no HTTP'
    say(meta, payload)
";
    let summary = Case::python("get-nano.pcap", &server.url("http"), script).run().await;
    let counts = summary.middleware.unwrap();
    assert_eq!((counts.garbage, counts.malformed), (3, 1));
    assert_eq!((only(&summary).ended.sent, kept_back(&summary)), (2, (1, 0)));
    assert!(
        summary.warnings.iter().any(|text| text.starts_with("3 lines of the middleware's")),
        "{:?}",
        summary.warnings
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_a_script_changes_is_framed_anew() {
    let server = Server::start(ok).await;
    let script = "
for line in lines():
    meta, payload = decode(line)
    if meta[0] == b'1':
        head = payload.split(b'\\r\\n\\r\\n', 1)[0]
        head = b'\\r\\n'.join(l for l in head.split(b'\\r\\n') if not l.lower().startswith((b'transfer-encoding', b'expect')))
        payload = head + b'\\r\\n\\r\\nanother body'
    say(meta, payload)
";
    let mut case = Case::python("expect-chunked.pcap", &server.url("http"), script);
    case.middleware.allow_writes = true;
    let summary = case.run().await;
    assert_eq!(only(&summary).ended.sent, 1, "{summary:#?}");
    let request = server.requests().remove(0).to_ascii_lowercase();
    assert!(request.contains("\r\ncontent-length: 12\r\n") && request.ends_with("\r\n\r\nanother body"), "{request}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrored_connections_keep_the_order_of_their_requests() {
    let server = Server::start(ok).await;
    let mut case = Case::command("demo.pcap.zst", &server.url("http"), "cat");
    case.external.workers = 3;
    case.sending.as_mut().unwrap().connections = ConnectionMode::Mirrored;
    case.sending.as_mut().unwrap().max_in_flight = 1024;
    let summary = case.run().await;
    assert_eq!((only(&summary).ended.sent, kept_back(&summary)), (READS, (0, 0)), "{summary:#?}");
    let plain = Server::start(ok).await;
    let mut without = Case::command("demo.pcap.zst", &plain.url("http"), "cat");
    without.sending.as_mut().unwrap().connections = ConnectionMode::Mirrored;
    without.sending.as_mut().unwrap().max_in_flight = 1024;
    let alone = without.run().await;
    assert_eq!(only(&summary).connections_opened, only(&alone).connections_opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_ends_what_waits_and_the_script_with_it() {
    let server = Server::start(ok).await;
    let mut case = Case::python("demo.pcap.zst", &server.url("http"), "time.sleep(600)");
    case.stop_after = Some(Duration::from_millis(700));
    let summary = case.pace(Pace::Rate(200.0)).timeout(Duration::from_mins(2)).run().await;
    let (filtered, shed) = kept_back(&summary);
    assert_eq!((filtered, shed), (0, 0), "their time was not up");
    assert!(summary.requests.ended.shed["run_ended"] > 0, "{summary:#?}");
    assert_eq!(summary.requests.offered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_holds_what_the_script_gave_back() {
    let folder = tempfile::tempdir().unwrap();
    let script = "
for line in lines():
    meta, payload = decode(line)
    if meta[0] == b'2': payload = payload.split(b'\\r\\n')[0] + b'\\r\\nContent-Length: 6\\r\\n\\r\\nmasked'
    say(meta, payload)
";
    let record = async |name: &str, script: &str| {
        let file = folder.path().join(name);
        let mut case = Case::python("get-nano.pcap", "http://nowhere", script).timeout(Duration::from_secs(3));
        case.sending = None;
        case.recorder = Some(Recorder::new(Recording::new(Path::new(&file)).unwrap(), Rotation::default()));
        let summary = case.run().await;
        (summary, std::fs::read_to_string(file).unwrap())
    };
    let (summary, recorded) = record("masked.gor", script).await;
    assert_eq!(summary.requests.ended.kept, 3, "{summary:#?}");
    assert_eq!(recorded.matches("\r\n\r\nmasked").count(), 3, "{recorded}");
    // What does not come back never reaches the disk.
    let dropping = "
for line in lines():
    meta, payload = decode(line)
    if meta[0] == b'1': say(meta, payload)
";
    let (summary, recorded) = record("dropped.gor", dropping).await;
    assert_eq!(summary.requests.ended.kept, 3);
    assert!(!recorded.contains("HTTP/1.1 200"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_documentation_does_what_it_says() {
    let server = Server::start(ok).await;
    let page = include_str!("../docs/middleware.md");
    let script = page.split("```python").nth(1).unwrap().split("```").next().unwrap();
    let summary = Case::python("get-nano.pcap", &server.url("http"), script).run().await;
    assert_eq!(only(&summary).ended.sent, 3);
    assert!(server.requests().iter().all(|request| request.contains("\r\nX-Tried: yes\r\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_told_before_anything_is_sent() {
    let source = FileSource::open(&testdata("get-nano.pcap"), &capture::Halt::default()).unwrap();
    let run = Run {
        external: Some(ExternalSettings::new("/nonexistent/my.py".parse().unwrap())),
        ..Run::of_files(Box::new(source))
    };
    let started =
        tokio::task::spawn_blocking(move || pipeline::run(run, &Arc::default(), std::future::pending())).await.unwrap();
    let error = started.unwrap_err();
    assert!(matches!(error, RunError::Middleware { .. }));
    let said = shadowtap::help::say(&error);
    assert!(said.contains("`/nonexistent/my.py`") && said.contains("PATH"), "{said}");
}
