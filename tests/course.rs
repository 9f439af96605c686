//! Parts of a capture, several passes over it, and copied sessions: as typed, at a server on loopback.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use packets::{Capture, Talk};
use serde_json::Value;
use server::{Server, answer};

/// What a replay came to.
struct Ran {
    summary: Value,
    /// A line a request.
    lines: Vec<Value>,
    /// Requests as the server saw them.
    arrived: Vec<String>,
    connections: usize,
    said: String,
}

fn testdata(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata", name].iter().collect()
}

/// Replays a capture with these flags, and checks the laws that hold for every run.
async fn replay(capture: PathBuf, flags: &[&str]) -> Ran {
    let server = Server::start(|_| vec![answer("200 OK", "hello")]).await;
    let folder = tempfile::tempdir().unwrap();
    let (results, summary) = (folder.path().join("results"), folder.path().join("summary"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    command.arg("replay").arg(capture).args(["--to", &server.url("http"), "--allow-writes"]).args(flags);
    command.arg("--results").arg(&results).arg("--summary").arg(&summary).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    // As one line, wherever it was wrapped.
    let said = String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file| std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<Value> = read(&results).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.pop().unwrap()["kind"], "summary");
    let summary: Value = serde_json::from_str(&read(&summary)).unwrap();
    assert_eq!(summary["requests"]["seen"], lines.len());
    Ran { summary, lines, arrived: server.requests(), connections: server.connections(), said }
}

impl Ran {
    fn ids(&self) -> BTreeSet<String> {
        let ids: BTreeSet<String> = self.lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), self.lines.len(), "no id comes twice");
        ids
    }

    /// Ids of each pass and copy, without what says so.
    fn parts(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for id in self.ids() {
            let end = id.find(['@', '+']).unwrap_or(id.len());
            let (bare, part) = id.split_at(end);
            parts.entry(part.to_owned()).or_default().insert(bare.to_owned());
        }
        parts
    }

    fn joined(&self) -> bool {
        self.lines.iter().all(|line| line["production"]["status"].is_number())
    }
}

#[tokio::test]
async fn a_second_pass_sends_the_same_requests_again_under_ids_of_its_own() {
    let once = replay(testdata("keep-alive.pcap"), &["--speed", "max"]).await;
    let twice = replay(testdata("keep-alive.pcap"), &["--speed", "max", "--loop", "2"]).await;
    let parts = twice.parts();
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["", "@2"]);
    assert!(parts.values().all(|part| *part == once.ids()));
    assert!(twice.joined(), "production's answer belongs to each pass");
    assert_eq!(twice.arrived.len(), 2 * once.arrived.len());
    let frames = |ran: &Ran| ran.summary["frames"]["received"].as_u64().unwrap();
    assert_eq!(frames(&twice), 2 * frames(&once));
}

#[tokio::test]
async fn recordings_are_looped_as_captures_are() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines.jsonl");
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
    inspect.arg("inspect").arg(testdata("keep-alive.pcap")).args(["--json", "--full"]);
    std::fs::write(&lines, inspect.output().unwrap().stdout).unwrap();
    let once = replay(testdata("keep-alive.pcap"), &["--speed", "max"]).await;
    let looped = replay(lines, &["--speed", "max", "--loop", "3"]).await;
    let parts = looped.parts();
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["", "@2", "@3"]);
    assert!(parts.values().all(|part| *part == once.ids()));
}

#[tokio::test]
async fn mirrored_connections_are_those_of_each_pass_and_copy() {
    let flags = ["--speed", "max", "--connections", "mirrored"];
    let once = replay(testdata("keep-alive.pcap"), &flags).await;
    let all = [&flags[..], &["--loop", "2", "--amplify", "3x"]].concat();
    let six = replay(testdata("keep-alive.pcap"), &all).await;
    assert_eq!(six.arrived.len(), 6 * once.arrived.len());
    assert_eq!(six.connections, 6 * once.connections);
    let parts = six.parts();
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["", "+1", "+2", "@2", "@2+1", "@2+2"]);
    assert!(parts.values().all(|part| *part == once.ids()));
}

#[tokio::test]
async fn copies_are_marked_and_originals_go_out_as_they_were() {
    let ran = replay(testdata("keep-alive.pcap"), &["--speed", "max", "--amplify", "2x"]).await;
    let marks: Vec<Option<&str>> =
        ran.arrived.iter().map(|request| request.lines().find_map(|line| line.strip_prefix("x-shadowtap: "))).collect();
    let marked: Vec<&str> = marks.iter().copied().flatten().collect();
    assert_eq!(2 * marked.len(), marks.len(), "one of each two");
    assert!(marked.iter().all(|mark| mark.ends_with("+1") && *mark == marked[0]), "{marked:?}");
    assert!(ran.joined(), "production's answer belongs to the copies, too");
}

#[tokio::test]
async fn a_sample_has_all_copies_of_a_request_or_none() {
    let flags = ["--speed", "max", "--amplify", "3x", "--sample", "50%"];
    let ran = replay(testdata("keep-alive.pcap"), &flags).await;
    let mut ends: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in &ran.lines {
        let id = line["id"].as_str().unwrap();
        let bare = id.split_once('+').map_or(id, |(bare, _)| bare);
        ends.entry(bare).or_default().insert(line["outcome"].as_str().unwrap());
    }
    assert!(ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    let kinds: BTreeSet<_> = ends.values().flatten().copied().collect();
    assert_eq!(kinds, BTreeSet::from(["sampled_out", "sent"]));
}

#[tokio::test]
async fn a_part_of_a_capture_is_taken_by_offset_or_by_the_clock() {
    let all = replay(testdata("keep-alive.pcap"), &["--speed", "max"]).await;
    let from = "2026-11-21T05:20:33.050Z";
    let until = "2026-11-21T05:20:33.150Z";
    let part = replay(testdata("keep-alive.pcap"), &["--speed", "max", "--from", from, "--until", until]).await;
    let within = |line: &&Value| (from..until).contains(&line["at"].as_str().unwrap());
    let expected: BTreeSet<String> =
        all.lines.iter().filter(within).map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert!(!expected.is_empty() && expected.len() < all.lines.len());
    assert_eq!(part.ids(), expected);
    assert!(part.joined());
    assert!(part.said.contains("--from; 3 requests before it"), "{}", part.said);
    let time = replay(testdata("keep-alive.pcap"), &["--speed", "max", "--from", "05:20:33.05"]).await;
    assert!(time.ids().is_superset(&expected) && time.ids().len() + 3 == all.lines.len());
    let nothing_before = replay(testdata("keep-alive.pcap"), &["--speed", "max", "--from", "05:20"]).await;
    assert_eq!(nothing_before.ids(), all.ids());
}

/// The last request of three passes is due after three times the capture's length, however busy this machine is.
#[tokio::test]
async fn passes_follow_one_another_on_one_schedule() {
    let capture = || testdata("keep-alive.pcap");
    let once = replay(capture(), &["--speed", "10x"]).await;
    let thrice = replay(capture(), &["--speed", "10x", "--loop", "3"]).await;
    let second = |line: &Value| {
        let (_, second) = line["at"].as_str().unwrap().rsplit_once(':').unwrap();
        second.trim_end_matches('Z').parse::<f64>().unwrap()
    };
    let seconds = once.lines.iter().map(second);
    let span = seconds.clone().fold(0.0, f64::max) - seconds.fold(60.0, f64::min);
    let took = thrice.summary["duration_s"].as_f64().unwrap();
    assert!(span > 0.1 && took > 3.0 * span / 10.0, "{took} {span}");
    let lag =
        |ran: &Ran| ran.summary["targets"].as_object().unwrap().values().next().unwrap()["schedule_lag_us"].clone();
    assert_eq!(lag(&thrice)["count"].as_u64().unwrap(), 3 * lag(&once)["count"].as_u64().unwrap());
}

/// Three clients an hour and half a minute after one another.
fn rare_visitors(folder: &std::path::Path) -> PathBuf {
    let mut at = 0;
    let talks = [(0, 0), (1, 3_600_000), (2, 30_000)].map(|(n, silence)| {
        at += silence;
        let talk = Talk::joined().between(&format!("10.0.0.9:{}", 40_000 + n), "10.0.0.1:80");
        let talk = talk.numbered(n * 1_000_003 + 7, n * 333_333 + 5).wait(at).handshake();
        let request = format!("GET /{n} HTTP/1.1\r\nHost: shop\r\n\r\n");
        talk.client(request).server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").close().capture()
    });
    let capture = talks.into_iter().fold(Capture::default(), Capture::with);
    let file = folder.join("rare.pcap");
    std::fs::write(&file, capture.pcap()).unwrap();
    file
}

/// Without the limit this would take an hour.
#[tokio::test]
async fn silences_longer_than_is_wanted_are_shortened_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = rare_visitors(folder.path());
    let ran = replay(file.clone(), &["--max-gap", "20ms"]).await;
    assert_eq!(ran.arrived.len(), 3);
    let told = &ran.summary["max_gap"];
    assert_eq!((told["limit_s"].as_f64(), told["shortened"].as_u64()), (Some(0.02), Some(2)));
    let left_out = told["left_out_s"].as_f64().unwrap();
    assert!((left_out - 3629.95).abs() < 0.05, "{left_out}");
    assert!(ran.said.contains("2 silences shortened to 20.0ms (--max-gap), 60m30s left out"), "{}", ran.said);
    let lag = &ran.summary["targets"].as_object().unwrap().values().next().unwrap()["schedule_lag_us"];
    assert_eq!(lag["count"], 3, "each request had its time: {lag}");

    let twice = replay(file.clone(), &["--max-gap", "20ms", "--loop", "2"]).await;
    assert_eq!(twice.summary["max_gap"]["shortened"], 4, "those of each pass");
    let long = replay(file.clone(), &["--max-gap", "2h", "--speed", "100000x"]).await;
    assert_eq!(long.summary["max_gap"]["shortened"], 0);
    assert!(long.said.contains("none was longer than 120m00s (--max-gap)"), "{}", long.said);
    let even = replay(file, &["--max-gap", "20ms", "--rate", "100/s"]).await;
    assert!(even.summary.get("max_gap").is_none(), "an even pace has no silences");
}
