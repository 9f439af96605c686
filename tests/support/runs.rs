//! Runs in memory that tests steer: captures of plain requests, targets, and the laws of every run.
#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shadowtap::capture::MemorySource;
use shadowtap::pipeline::{self, Feed, Progress, Run};
use shadowtap::replay::{self, Pace};
use shadowtap::report::schema::{summary::Summary, target::TargetSummary};

use super::packets::{Capture, Talk};
use super::server::Server;

/// Connections that each carry one GET and its answer.
pub(crate) fn gets(count: usize) -> Capture {
    let talks = (0..count).map(|n| {
        Talk::open()
            .between(&format!("10.1.{}.{}:5000", n / 250, n % 250), "10.0.0.1:80")
            .client(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .capture()
    });
    talks.reduce(Capture::with).unwrap()
}

pub(crate) fn target(url: &str, pace: &str) -> replay::SendSettings {
    replay::SendSettings {
        pace: pace.parse::<Pace>().unwrap(),
        timeout: Duration::from_secs(5),
        drain: Duration::from_secs(1),
        ..replay::SendSettings::new(url.parse().unwrap())
    }
}

/// Lines of results, kept.
#[derive(Clone, Default)]
struct Results(Arc<Mutex<Vec<u8>>>);

impl Results {
    fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
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

/// Runs to the end and holds the laws of every run.
pub(crate) async fn run(mut run: Run) -> (Summary, Vec<serde_json::Value>) {
    let results = Results::default();
    run.results = Some(Box::new(results.clone()));
    let progress = Arc::new(Progress::default());
    let never = std::future::pending();
    let summary = tokio::task::spawn_blocking(move || pipeline::run(run, &progress, never).unwrap()).await.unwrap();
    assert!(summary.balances(), "{summary:#?}");
    assert_eq!(summary.requests.in_flight, 0);
    let lines = results.lines();
    let offered: u64 = summary.targets.values().map(|target| target.offered).sum();
    let ended = summary.requests.ended.total();
    let ends = lines.iter().filter(|line| line["kind"] != "desynchronised").count();
    assert_eq!(ends as u64, offered + ended + 1, "one line an end, and the summary");
    (summary, lines)
}

pub(crate) fn of<'a>(summary: &'a Summary, server: &Server) -> &'a TargetSummary {
    let url = server.url("http");
    summary.targets.iter().find(|(name, _)| name.trim_end_matches('/') == url).unwrap().1
}

pub(crate) fn replayed(capture: &Capture, targets: Vec<replay::SendSettings>) -> Run {
    Run { targets, ..Run::of_files(Box::new(capture.source())) }
}

pub(crate) fn live(capture: &Capture, targets: Vec<replay::SendSettings>) -> Run {
    let feed = Feed::Live(Box::new(capture.source()));
    Run { command: "shadow", feed, targets, ..Run::of_files(Box::new(MemorySource::new())) }
}
