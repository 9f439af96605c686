//! The JSON that the program writes, held against `docs/schema.md`: each key that is written is documented, and each
//! key that is documented is written.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use packets::Talk;
use serde_json::{Value, json};
use server::{Server, Step, answer, send};
use shadowtap::decode::Skip;
use shadowtap::report::{LatencySummary, Summary, TargetSummary};

/// One step of a path: a key (or `{any}` key), or the elements of an array.
type Steps = Vec<String>;

/// Documented under one heading of the page.
struct Section {
    paths: Vec<Steps>,
}

impl Section {
    /// The rows of the tables below `heading`, up to the next of the same level.
    fn new(heading: &str) -> Self {
        let page = include_str!("../docs/schema.md");
        let text = page.split_once(&format!("\n## {heading}\n")).unwrap().1;
        let text = text.split("\n## ").next().unwrap();
        let paths: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `$")?.split_once('`'))
            .map(|(path, _)| steps(path))
            .collect();
        assert!(!paths.is_empty(), "{heading}");
        Self { paths }
    }

    /// Checks `documents` both ways; what `rare` has is written in other runs only.
    #[track_caller]
    fn check(&self, documents: &[Value], rare: &[Value]) {
        let mut found = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        for document in documents {
            self.walk(document, &mut Vec::new(), &mut found, &mut unknown);
        }
        assert!(unknown.is_empty(), "not in docs/schema.md: {unknown:#?}");
        for document in rare {
            self.walk(document, &mut Vec::new(), &mut found, &mut unknown);
        }
        let missing: Vec<_> = (0..self.paths.len()).filter(|path| !found.contains(path)).collect();
        let missing: Vec<_> = missing.into_iter().map(|path| self.paths[path].join(".")).collect();
        assert!(missing.is_empty(), "in docs/schema.md, and not written: {missing:#?}");
    }

    fn walk(&self, value: &Value, at: &mut Steps, found: &mut BTreeSet<usize>, unknown: &mut BTreeSet<String>) {
        if let Some(path) = self.paths.iter().position(|path| path.len() == at.len() && begins(path, at)) {
            found.insert(path);
            return;
        }
        let deeper = self.paths.iter().any(|path| path.len() > at.len() && begins(path, at));
        if !deeper {
            unknown.insert(at.join("."));
            return;
        }
        match value {
            Value::Object(members) if members.is_empty() => found.extend(self.any_key_below(at)),
            Value::Object(members) => {
                for (key, member) in members {
                    at.push(key.clone());
                    self.walk(member, at, found, unknown);
                    at.pop();
                }
            }
            Value::Array(elements) => {
                at.push("[*]".to_owned());
                for element in elements {
                    self.walk(element, at, found, unknown);
                }
                at.pop();
            }
            // A block that does not apply is null.
            Value::Null => {}
            _ => {
                unknown.insert(at.join("."));
            }
        }
    }

    /// What is documented of an object that may have any keys, and has none.
    fn any_key_below<'a>(&'a self, at: &'a Steps) -> impl Iterator<Item = usize> + 'a {
        let is_any = |path: &Steps| path.len() == at.len() + 1 && begins(path, at) && path[at.len()].starts_with('{');
        (0..self.paths.len()).filter(move |path| is_any(&self.paths[*path]))
    }
}

fn begins(path: &Steps, at: &Steps) -> bool {
    path.iter().zip(at).all(|(documented, step)| documented == step || (documented.starts_with('{') && step != "[*]"))
}

/// The steps of a path such as `.targets.{url}.addresses[*].address`, without its `$`.
fn steps(path: &str) -> Steps {
    let path = path.replace("[*]", ".[*]");
    path.split('.').filter(|step| !step.is_empty()).map(ToOwned::to_owned).collect()
}

fn testdata(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", name].iter().collect()
}

fn shadowtap(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    let output = command.args(arguments).env_remove("SHADOWTAP_LOG").stdin(Stdio::null()).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn lines(text: &[u8]) -> Vec<Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

fn inspected(capture: &str, arguments: &[&str]) -> Vec<Value> {
    let path = testdata(capture);
    lines(&shadowtap(&[&["inspect", path.to_str().unwrap(), "--json"], arguments].concat()).stdout)
}

/// A run with everything that adds blocks: its summary, and its results.
async fn run(capture: &str, folder: &Path, more: &[&str]) -> (Value, Vec<Value>) {
    let counter = AtomicU64::new(0);
    // Noise: `n` differs each time, here and there. Findings: what only the target has.
    let respond = move |extra: &str| {
        let n = counter.fetch_add(1, Ordering::Relaxed);
        let body = format!("{{\"n\":{n},\"id\":1}}");
        let head = format!("Content-Type: application/json\r\n{extra}Content-Length: {}", body.len());
        vec![send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"))]
    };
    let respond = std::sync::Arc::new(respond);
    let other = std::sync::Arc::clone(&respond);
    let target = Server::start(move |_| respond("X-Only-Here: 1\r\n")).await;
    let baseline = Server::start(move |_| other("")).await;
    let (summary, results) = (folder.join(format!("{capture}.json")), folder.join(format!("{capture}.jsonl")));
    let owned: Vec<String> = [
        "replay",
        testdata(capture).to_str().unwrap(),
        "--to",
        &target.url("http"),
        "--baseline",
        &baseline.url("http"),
        "--summary",
        summary.to_str().unwrap(),
        "--results",
        results.to_str().unwrap(),
    ]
    .into_iter()
    .chain(more.iter().copied())
    .map(ToOwned::to_owned)
    .collect();
    let ran = move || shadowtap(&owned.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(ran).await.unwrap();
    let summary = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    (summary, lines(&std::fs::read(results).unwrap()))
}

/// A run whose target answers the second request of a connection twice: its summary, and its results.
async fn desynchronised(folder: &Path) -> (Value, Vec<Value>) {
    let target = Server::start(|request| {
        let times = if request.starts_with("GET /v2/programs?day=tue&from=15:00") { 2 } else { 1 };
        vec![send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".repeat(times))]
    })
    .await;
    let [summary, results] = ["desynchronised.json", "desynchronised.jsonl"].map(|name| folder.join(name));
    let (to, files) = (target.url("http"), [&summary, &results].map(|file| file.to_str().unwrap().to_owned()));
    let ran = move || {
        let [summary, results] = files.each_ref().map(String::as_str);
        let capture = testdata("keep-alive.pcap");
        let of = ["replay", capture.to_str().unwrap(), "--to", &to, "--connections", "mirrored", "--speed", "max"];
        shadowtap(&[&of[..], &["--summary", summary, "--results", results]].concat())
    };
    tokio::task::spawn_blocking(ran).await.unwrap();
    let summary = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    (summary, lines(&std::fs::read(results).unwrap()))
}

/// A capture of a stream whose client left, and of two requests on one connection.
fn with_a_stream(folder: &Path) -> PathBuf {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let two = Talk::open().client("GET /one HTTP/1.1\r\nHost: h\r\n\r\n").server(ok);
    let two = two.client("GET /two HTTP/1.1\r\nHost: h\r\n\r\n").server(ok).close();
    let events = Talk::joined().between("10.0.0.8:5000", "10.0.0.1:80").numbered(3_000_000, 1_000).handshake();
    let events = events.client("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
    let events = events.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").close();
    let capture = folder.join("stream.pcap");
    std::fs::write(&capture, two.capture().with(events.capture()).pcap()).unwrap();
    capture
}

/// A run whose target sends a stream without end, and closes a connection that was used as the second request comes: its
/// summary, and its results.
async fn unended(folder: &Path) -> (Value, Vec<Value>) {
    let closes = AtomicU64::new(0);
    let target = Server::start(move |request| match request.split(' ').nth(1) {
        Some("/events") => {
            vec![send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"), Step::Stall]
        }
        Some("/two") if closes.fetch_add(1, Ordering::Relaxed) == 0 => vec![Step::Close],
        _ => vec![answer("200 OK", "ok")],
    })
    .await;
    let [summary, results] = ["unended.json", "unended.jsonl"].map(|name| folder.join(name));
    let (to, capture) = (target.url("http"), with_a_stream(folder));
    let files = [&summary, &results].map(|file| file.to_str().unwrap().to_owned());
    let ran = move || {
        let [summary, results] = files.each_ref().map(String::as_str);
        let of = ["replay", capture.to_str().unwrap(), "--to", &to, "--connections", "mirrored", "--speed", "max"];
        shadowtap(&[&of[..], &["--summary", summary, "--results", results]].concat())
    };
    tokio::task::spawn_blocking(ran).await.unwrap();
    let summary = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    (summary, lines(&std::fs::read(results).unwrap()))
}

/// A run whose second request waits for the session that the first one begins: its summary, and its results.
async fn carried(folder: &Path) -> (Value, Vec<Value>) {
    let target = Server::start(|request| {
        if request.contains("/login") {
            return vec![Step::Wait, send("HTTP/1.1 200 OK\r\nSet-Cookie: sid=new\r\nContent-Length: 0\r\n\r\n")];
        }
        vec![answer("200 OK", "ok")]
    })
    .await;
    let talk = Talk::open().client("GET /login HTTP/1.1\r\nHost: h\r\n\r\n");
    let talk = talk.server("HTTP/1.1 200 OK\r\nSet-Cookie: sid=old\r\nContent-Length: 0\r\n\r\n");
    let talk = talk.client("GET /page HTTP/1.1\r\nHost: h\r\nCookie: sid=old\r\n\r\n");
    let talk = talk.server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").close();
    let files = ["carried.json", "carried.jsonl", "carried.pcap", "carried.toml"].map(|name| folder.join(name));
    std::fs::write(&files[2], talk.capture().pcap()).unwrap();
    std::fs::write(&files[3], "[[link]]\ncarry = \"session\"\nfrom = { set-cookie = \"sid\" }\n").unwrap();
    let (to, typed) = (target.url("http"), files.clone().map(|file| file.to_str().unwrap().to_owned()));
    let ran = move || {
        let [summary, results, capture, chain] = typed.each_ref().map(String::as_str);
        let of = ["replay", capture, "--to", &to, "--speed", "max", "--filters", chain];
        shadowtap(&[&of[..], &["--summary", summary, "--results", results]].concat())
    };
    tokio::task::spawn_blocking(ran).await.unwrap();
    let summary = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    (summary, lines(&std::fs::read(&files[1]).unwrap()))
}

/// A baseline has the keys of a target: it stands among these, and keeps its own URL.
fn baseline_among_targets(mut summary: Value) -> Value {
    if let Some(Value::Object(mut baseline)) = summary.as_object_mut().unwrap().remove("baseline") {
        let url = baseline.remove("url").unwrap();
        summary["targets"]["baseline"] = Value::Object(baseline);
        summary["baseline"] = json!({ "url": url });
    }
    summary
}

/// What a run writes that goes through loss, failures and recording, as far as the program knows these keys: it reads
/// them, and writes them again.
fn rare() -> Value {
    let mut summary = serde_json::to_value(Summary::default()).unwrap();
    summary["timeline"] = json!({ "start": "", "width_s": 1, "last_s": 1.0, "targets": [], "points": [{
        "lost": 1, "production": { "5xx": 1, "p50_us": 1, "p99_us": 1 },
        "targets": [{ "failed": 1, "5xx": 1, "held": 1, "shed": 1, "p50_us": 1, "p99_us": 1, "lag_us": 1 }] }] });
    summary["steps"] = json!([{ "at": "", "target": null, "what": "ramp", "from": 0, "to": 1, "reason": "" }]);
    summary["warnings"] = json!(["something"]);
    summary["asked"] = json!({ "command_line": "", "inputs": ["a.pcap"], "filters": ["a.toml"], "seed": "0",
        "names": { "http://new": "new" } });
    let mut held = TargetSummary::default();
    (held.paused, held.mirrored) = (1, true);
    summary["targets"] = json!({ "http://new": held });
    summary["recording"] = json!({ "files": 1, "last": null, "records": 1, "bytes": 1, "lost": {}, "left_out": {},
        "given_up": 0, "requests": 1, "unfinished": 1, "requests_lost": 1, "stored_bytes": 1, "saved": { "count": 1,
        "failed": 1, "records": 1, "requests": 1, "bytes": 1, "files": ["a.gor"] } });
    let counts = json!({ "endpoint": "", "sent": 1, "failed": 1, "dropped": 1 });
    summary["telemetry"] = json!({ "traces": counts, "webhook": counts });
    summary["redaction"] = json!({ "body_dropped": 1, "dropped": 1, "kept": 1 });
    summary["capture_delay_us"] = serde_json::to_value(LatencySummary::default()).unwrap();
    summary["max_gap"] = json!({ "limit_s": 1.0, "shortened": 1, "left_out_s": 1.0 });
    of_several(&mut summary);
    summary["unread"] = json!(["a file"]);
    summary["spoe"] = json!({ "connections": 1, "health_checks": 1, "acknowledged": 1, "shed": 1, "requests": 1, "cut": 1,
        "responses": 1, "orphans": 1, "without_id": 1, "unread": 1, "malformed": 1, "missed": 1 });
    summary["access_log"] = json!({ "format": "", "lines": 1, "requests": 1, "unread": 1, "without_request": 1,
        "known": ["time"], "unknown": ["host"] });
    summary["observe"] = json!({ "rule": "", "targets": { "http://new": { "requests": 1, "sent_back": 1,
        "downs": [{ "at": "", "lasted_s": 1.0, "ended": true, "requests": 1 }], "more_downs": 1,
        "slow": [{ "at": "", "latency_us": 1, "responses": 1 }], "more_slow": 1 } } });
    for (key, value) in [("clock_steps", json!(1)), ("clock_step_at", json!(1))] {
        summary["frames"][key] = value;
    }
    summary["frames"]["clock_step_in"] = json!({ "file": "", "frame": 1 });
    summary["sample"]["kernel"] = json!(0.5);
    for key in ["unplaced_bytes", "unplaced_requests", "bad_checksums"] {
        summary["tcp"][key] = json!(1);
    }
    let known: Summary = serde_json::from_value(summary.clone()).unwrap();
    let known = serde_json::to_value(known).unwrap();
    for block in [
        "timeline",
        "steps",
        "warnings",
        "recording",
        "telemetry",
        "redaction",
        "max_gap",
        "fleet",
        "merged",
        "histograms",
        "unread",
        "frames",
        "tcp",
        "sample",
        "access_log",
        "spoe",
        "observe",
    ] {
        assert_eq!(keys(&known[block]), keys(&summary[block]), "{block}");
    }
    known
}

/// What reports of a fleet, and of several runs, have besides.
fn of_several(summary: &mut Value) {
    let node = json!({ "node": 0, "host": "a", "began": "", "ended": true, "seen": 1, "ended_there": 1, "published": 1,
        "heard": "", "gone": false, "lost": 0 });
    let replayer = json!({ "name": "a", "began": "", "ended": true, "outcomes": 1 });
    summary["fleet"] = json!({ "over": true, "ended": 1, "left_out": 1, "given_up": 1, "again": 1, "sums": { "run": "1", "nodes": [node], "seen": 1,
        "ended_there": 1, "published": 1, "ended": 1, "uncertain": 1, "waiting": 1, "late": 1, "expired": 1, "moved": 1,
        "replayers": [replayer], "outcomes": 1, "unaccounted": 1, "again": 1 } });
    summary["merged"] = json!({ "runs": [{ "name": "a.json", "started": "", "duration_s": 1.0, "seen": 1, "command_line": "" }],
        "left_out": ["gates"] });
    let durations = json!({ "connect": "a", "paired_production": "b" });
    let route = json!({ "production": "a", "targets": { "http://new": durations } });
    summary["histograms"] = json!({ "production": "a", "capture_delay": "a", "targets": { "http://new": durations },
        "baseline": durations, "routes": { "GET /": route } });
}

/// The keys of a value and of all in it.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(members) => {
            members.iter().flat_map(|(key, member)| keys(member).into_iter().chain([key.clone()])).collect()
        }
        Value::Array(elements) => elements.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn summary_and_results_have_the_keys_that_are_documented_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let more = [
        "--guard=errors>5%/10s",
        "--ramp=100%",
        "--self-check=100%",
        "--middleware=cat",
        "--fail-if=status-diff>0.1%",
        "--allow-method=GET",
    ];
    let (whole, results) = run("keep-alive.pcap", folder.path(), &more).await;
    // A damaged response of production.
    let (cut, damaged) = run("snaplen.pcap", folder.path(), &["--speed=max"]).await;
    let inspected = shadowtap(&["inspect", testdata("get-nano.pcap").to_str().unwrap(), "--summary", "-"]).stdout;
    let inspected = serde_json::from_slice(&inspected).unwrap();
    let (failed, taken_back) = desynchronised(folder.path()).await;
    let (closed, unended) = unended(folder.path()).await;
    let (carried, waited) = carried(folder.path()).await;
    let summaries: Vec<_> =
        [whole, cut, failed, closed, carried, inspected].into_iter().map(baseline_among_targets).collect();
    Section::new("Summary").check(&summaries, &[rare()]);

    let mut lines = Vec::new();
    for results in [results, damaged, taken_back, unended, waited] {
        let (last, deliveries) = results.split_last().unwrap();
        assert_eq!(last["kind"], "summary");
        lines.extend_from_slice(deliveries);
    }
    Section::new("Results").check(&lines, &[]);
}

#[test]
fn every_reason_for_a_skipped_frame_is_documented_and_no_other() {
    let page = include_str!("../docs/schema.md");
    let row = page.lines().find(|line| line.starts_with("| `$.frames.skipped.{reason}` |")).unwrap();
    let (_, value) = row.split_once("` |").unwrap();
    // Flags are explained there, too.
    let named = value.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("--"));
    let documented: BTreeSet<&str> = named.collect();
    assert_eq!(documented, Skip::ALL.iter().map(|reason| reason.key()).collect());
}

#[test]
fn what_inspect_prints_has_the_keys_that_are_documented_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let stream = with_a_stream(folder.path());
    let captures = ["keep-alive.pcap", "snaplen.pcap", stream.to_str().unwrap()];
    let exchanges: Vec<Value> = captures.iter().flat_map(|capture| inspected(capture, &["--full"])).collect();
    Section::new("Exchanges").check(&exchanges, &[]);
    Section::new("Routes of a capture").check(&inspected("keep-alive.pcap", &["--stats"]), &[]);
    Section::new("Forecast").check(&inspected("keep-alive.pcap", &["--forecast"]), &[]);
}

#[test]
fn interfaces_have_the_keys_that_are_documented_and_no_others() {
    let mut interfaces = lines(&shadowtap(&["interfaces", "--json"]).stdout);
    // There may be no address on any interface here.
    if let Some(first) = interfaces.first_mut() {
        first["addresses"] = json!(["127.0.0.1"]);
    }
    Section::new("Interfaces").check(&interfaces, &[]);
}
