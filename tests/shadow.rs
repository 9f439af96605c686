//! A live run, with the wire's part played from memory: nobody is waited for, and everything is accounted for.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Duration;

use packets::{Capture, Talk};
use server::{Server, Step, answer};
use shadowtap::capture::{self, MaxMemory};
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::route::TargetNames;
use shadowtap::middleware::{self, ChainFile, LoopHeader};
use shadowtap::pipeline::{self, Feed, Progress, Run};
use shadowtap::recording::{OutputPath, Recorder, Rotation};
use shadowtap::replay;
use shadowtap::report::schema::counts::sum;
use shadowtap::report::schema::{summary::Summary, target::TargetSummary};

/// Connections that each carry one POST with a body of this many bytes, and its answer.
fn uploads(count: usize, body: usize) -> Capture {
    let talks = (0..count).map(|n| {
        let head = format!("POST /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: {body}\r\n\r\n");
        Talk::open()
            .between(&format!("10.1.{}.{}:5000", n / 250, n % 250), "10.0.0.1:80")
            .client(head)
            .segments(packets::Client, vec![b'x'; body], 14_000)
            .server("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
            .capture()
    });
    talks.reduce(Capture::with).unwrap()
}

fn target(url: &str) -> replay::SendSettings {
    replay::SendSettings {
        timeout: Duration::from_millis(300),
        max_in_flight: 4,
        drain: Duration::from_secs(2),
        ..replay::SendSettings::new(url.parse().unwrap())
    }
}

/// Records what is played, to the end of it, into a file of this name; nothing is sent. Returns what the file holds too.
async fn record(capture: &Capture, name: &str) -> (Summary, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    let run = Run {
        command: "record",
        feed: Feed::Live(Box::new(capture.source())),
        middleware: middleware::ChainSettings { allow_writes: true, ..middleware::ChainSettings::default() },
        recorder: Some(Box::new(Recorder::new(OutputPath::new(&file).unwrap(), Rotation::default()))),
        ..Run::of_files(Box::new(capture::MemorySource::new()))
    };
    let progress = Arc::new(Progress::default());
    // Asked to end before it has begun: what is captured by then is recorded all the same.
    let now = std::future::ready(());
    let summary = tokio::task::spawn_blocking(move || pipeline::run(run, &progress, now).unwrap()).await.unwrap();
    assert!(summary.balances(), "{summary:#?}");
    (summary, std::fs::read(&file).unwrap())
}

async fn run(
    capture: &Capture,
    max_memory: usize,
    mark: Option<LoopHeader>,
    targets: Vec<replay::SendSettings>,
) -> Summary {
    run_with(capture, max_memory, targets, |run| run.mark = mark).await
}

async fn run_with(
    capture: &Capture,
    max_memory: usize,
    targets: Vec<replay::SendSettings>,
    change: impl FnOnce(&mut Run),
) -> Summary {
    let mut run = Run {
        command: "shadow",
        feed: Feed::Live(Box::new(capture.source())),
        capture: capture::Settings { max_memory: MaxMemory(max_memory), ..capture::Settings::default() },
        middleware: middleware::ChainSettings { allow_writes: true, ..middleware::ChainSettings::default() },
        targets,
        ..Run::of_files(Box::new(capture::MemorySource::new()))
    };
    change(&mut run);
    let progress = Arc::new(Progress::default());
    let never = std::future::pending();
    let summary = tokio::task::spawn_blocking(move || pipeline::run(run, &progress, never).unwrap()).await.unwrap();
    assert!(summary.balances(), "{summary:#?}");
    summary
}

fn of<'a>(summary: &'a Summary, url: &str) -> &'a TargetSummary {
    summary.targets.iter().find(|(name, _)| name.trim_end_matches('/') == url).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stalls_costs_requests_to_it_and_nothing_else() {
    let stalled = Server::start(|_| vec![Step::Stall]).await;
    let well = Server::start(|_| vec![answer("201 Created", "ok")]).await;
    let (stalled_url, well_url) = (stalled.url("http"), well.url("http"));
    let wide = |url| replay::SendSettings { max_in_flight: 64, ..target(url) };
    let targets = vec![wide(&stalled_url), wide(&well_url)];
    let summary = run(&uploads(200, 10_000), 64 << 20, None, targets).await;
    assert_eq!(summary.requests.seen, 200);
    assert_eq!(summary.requests.offered, 200);
    let (stalled, well) = (of(&summary, &stalled_url), of(&summary, &well_url));
    assert_eq!((well.ended.sent, well.statuses["201"]), (200, 200), "{well:?}");
    assert_eq!(well.differences.compared, 200);
    assert_eq!((stalled.ended.sent, stalled.offered), (0, 200));
    assert_eq!(stalled.ended.failed["timeout"] + sum(&stalled.ended.shed), 200);
    assert_eq!(summary.production.statuses["201"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_the_way_in_is_in_the_timeline() {
    let well = Server::start(|_| vec![answer("201 Created", "ok")]).await;
    let holed = Talk::open()
        .between("10.2.0.1:5000", "10.0.0.1:80")
        .client("POST /holed HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n0123456789")
        .lost(|talk| talk.client("0123456789"))
        .client("0123456789")
        .server("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        .capture();
    let summary = run(&uploads(3, 100).with(holed), 64 << 20, None, vec![target(&well.url("http"))]).await;
    assert_eq!((summary.tcp.gaps, summary.requests.ended.incomplete["gap"]), (1, 1));
    let timeline = summary.timeline.as_ref().unwrap();
    assert_eq!(timeline.points.iter().map(|point| point.lost).sum::<u64>(), 1, "{timeline:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_shed_whole_and_counted() {
    let stalled = Server::start(|_| vec![Step::Stall]).await;
    let url = stalled.url("http");
    // Two megabytes for what waits for the target, one for what is on its way there.
    let summary = run(&uploads(100, 100_000), 16 << 20, None, vec![target(&url)]).await;
    let ended = &summary.requests.ended;
    assert_eq!(summary.requests.seen, 100);
    assert_eq!(summary.requests.offered + sum(&ended.shed), 100, "{ended:?}");
    let target = of(&summary, &url);
    assert!(sum(&ended.shed) + sum(&target.ended.shed) > 0, "there is not room for all of them: {target:?}");
    assert_eq!(target.offered, target.ended.failed["timeout"] + sum(&target.ended.shed));
    let answered: u64 = summary.production.statuses.values().sum();
    assert_eq!(answered + sum(&summary.production.unjoined), summary.requests.offered, "one answer a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_marked_and_never_shadowed_again() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let marked = Talk::open()
        .between("10.2.0.1:5000", "10.0.0.1:80")
        .client("GET /marked HTTP/1.1\r\nHost: h\r\nX-Shadowtap: some other run\r\n\r\n")
        .server("HTTP/1.1 204 No Content\r\n\r\n")
        .capture();
    let mark = LoopHeader::default().of_run("5e1f");
    let summary = run(&uploads(3, 10).with(marked), 64 << 20, Some(mark), vec![target(&server.url("http"))]).await;
    assert_eq!(summary.requests.ended.filtered["mark"], 1);
    assert_eq!(summary.requests.offered, 3);
    let requests = server.requests();
    assert!(requests.iter().all(|request| request.contains("x-shadowtap: 5e1f\r\n")), "{requests:?}");
    assert_eq!(requests.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_counts_from_the_last_byte_on_the_wire() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let url = server.url("http");
    let summary = run(&uploads(1, 10), 64 << 20, None, vec![target(&url)]).await;
    // The frames are stamped with the time that the packet builder has: hours away from now in either direction.
    let lag = of(&summary, &url).schedule_lag_us.as_ref().unwrap();
    assert_eq!(lag.count, 1);
}

/// A chain file in a folder of its own, with a map beside it, for targets of these names.
fn chain(links: &str, map: &str, targets: &[&str]) -> middleware::ChainSettings {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.toml");
    std::fs::write(folder.path().join("routes.map"), map).unwrap();
    std::fs::write(&file, links).unwrap();
    let names = targets.iter().map(|name| Some((*name).to_owned())).collect();
    let environment = Environment { targets: TargetNames::Named(names), ..Environment::default() };
    let file = ChainFile::read(&file, &environment).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    middleware::ChainSettings { files: vec![file], allow_writes: true, ..middleware::ChainSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_sends_each_request_to_the_targets_of_its_name_and_the_rest_nowhere() {
    let (old, new) = (
        Server::start(|_| vec![answer("200 OK", "old")]).await,
        Server::start(|_| vec![answer("200 OK", "new")]).await,
    );
    let targets = vec![target(&old.url("http")), target(&new.url("http"))];
    let map = "^/[01]$ old\n^/2$ -\n^/[3-5]$ new\n";
    let settings = chain("[[link]]\nroute = { map = \"routes.map\" }\n", map, &["old", "new"]);
    let summary = run_with(&uploads(7, 10), 64 << 20, targets, |run| run.middleware = settings).await;
    assert_eq!((old.requests().len(), new.requests().len()), (2, 3));
    assert!(old.requests().iter().all(|request| request.starts_with("POST /0 ") || request.starts_with("POST /1 ")));
    assert_eq!(summary.requests.ended.filtered["route"], 2, "one goes nowhere, one has no line");
    assert_eq!(summary.requests.offered, 5);
    assert_eq!((of(&summary, &old.url("http")).offered, of(&summary, &new.url("http")).offered), (2, 3));
    assert_eq!(summary.production.statuses["201"], 5, "production is that of what was offered");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_request_whose_host_was_set_keeps_it() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let settings = chain("[[link]]\nwhen = { path = \"^/1$\" }\nset-host = \"chosen.example\"\n", "", &[]);
    run_with(&uploads(2, 10), 64 << 20, vec![target(&server.url("http"))], |run| run.middleware = settings).await;
    let requests = server.requests();
    let host = |path: &str| {
        let request = requests.iter().find(|request| request.starts_with(&format!("POST {path} "))).unwrap();
        request.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap().to_owned()
    };
    assert_eq!((host("/0"), host("/1")), (server.addr.to_string(), "chosen.example".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_read_again_is_what_is_done_from_then_on() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let (send, reloads) = tokio::sync::watch::channel(None);
    send.send(Some(chain("[[link]]\nname = \"none\"\ndrop = { path = \"\" }\n", "", &[]))).unwrap();
    let summary =
        run_with(&uploads(3, 10), 64 << 20, vec![target(&server.url("http"))], |run| run.reloads = reloads).await;
    assert_eq!(summary.requests.ended.filtered["none"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_stopped_has_all_that_was_captured() {
    let (summary, file) = record(&uploads(500, 1000), "all.jsonl").await;
    assert_eq!((summary.requests.seen, summary.requests.ended.kept), (500, 500));
    assert_eq!(String::from_utf8(file).unwrap().lines().count(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_frames_alone_keeps_its_requests_whatever_their_bodies() {
    let (summary, file) = record(&uploads(50, 10_000), "all.pcap").await;
    assert_eq!((summary.requests.seen, summary.requests.ended.kept), (50, 50), "{:?}", summary.requests);
    assert!(!summary.nothing_delivered(), "nothing was to be delivered");
    assert!(file.len() > 50 * 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_may_have_a_chain_of_its_own() {
    let (one, other) =
        (Server::start(|_| vec![answer("200 OK", "ok")]).await, Server::start(|_| vec![answer("200 OK", "ok")]).await);
    let targets = vec![target(&one.url("http")), target(&other.url("http"))];
    let links = "[[link]]\nset-host = \"canary.example\"\n[[link]]\nname = \"late\"\ndrop = { path = \"^/[2-9]$\" }\n";
    let own = chain(links, "", &[]).files.remove(0);
    let settings = middleware::ChainSettings {
        for_targets: vec![(1, own)],
        allow_writes: true,
        ..middleware::ChainSettings::default()
    };
    let summary = run_with(&uploads(5, 10), 64 << 20, targets, |run| run.middleware = settings).await;
    assert_eq!((one.requests().len(), other.requests().len()), (5, 2));
    assert!(other.requests().iter().all(|request| request.contains("Host: canary.example\r\n")));
    assert!(one.requests().iter().all(|request| request.contains(&format!("Host: {}\r\n", one.addr))));
    let (one, other) = (of(&summary, &one.url("http")), of(&summary, &other.url("http")));
    assert_eq!((one.offered, other.offered, other.ended.filtered["late"]), (5, 5, 3));
    assert_eq!(summary.production.statuses["201"], 5);
}
