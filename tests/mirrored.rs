//! Mirrored connections, end to end: they open when the captured ones did, of those over which anything is sent.
//!
//! Times are those of a server, and compared with gaps of the capture: what is slow may widen them, and nothing is said to
//! be fast.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/files.rs"]
mod files;
#[path = "support/packets.rs"]
mod packets;
#[path = "support/runs.rs"]
mod runs;
#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::time::Duration;

use files::OwnedFrame;
use packets::{Capture, Shot, Talk};
use runs::{live, of, replayed, run, target};
use server::{Server, Step, answer};
use shadowtap::exchange::Timestamp;
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::{self, ChainFile, LimitSpec, Share};
use shadowtap::pipeline::{Feed, Run};
use shadowtap::replay::{self, ConnectionMode};
use shadowtap::report::schema::summary::Summary;
use tokio::time::Instant;

fn ok(_: &str) -> Vec<Step> {
    vec![answer("200 OK", "ok")]
}

fn mirrored(server: &Server) -> replay::SendSettings {
    replay::SendSettings { connections: ConnectionMode::Mirrored, ..target(&server.url("http"), "1x") }
}

/// Connection number `number` opens `after` milliseconds, and makes each of its requests so many milliseconds later.
fn talk(number: usize, after: u64, requests: &[(u64, &str)]) -> Talk {
    // Hosts choose their numbers at random: equal ones at one moment would be one connection in two places.
    let isn = 1_000_003 * (u32::try_from(number).unwrap() + 1);
    let ends = Talk::joined().between(&format!("10.1.0.{number}:5000"), "10.0.0.1:80").numbered(isn, isn / 3);
    let begun = ends.wait(after).handshake();
    let asked = requests.iter().fold(begun, |talk, (pause, line)| {
        let talk = talk.wait(*pause).client(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
        talk.server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    asked.close()
}

/// These, and one that begins the run at once and ends it a second later.
fn capture(talks: impl IntoIterator<Item = Talk>) -> Capture {
    let frame = talk(200, 0, &[(0, "GET /begin"), (1000, "GET /end")]);
    talks.into_iter().map(|talk| talk.capture()).fold(frame.capture(), Capture::with)
}

/// What is within a frame of its own: connections of the others.
fn others(server: &Server) -> usize {
    server.connections() - 1
}

async fn with(capture: &Capture, server: &Server, middleware: middleware::ChainSettings) -> Summary {
    run(Run { middleware, ..replayed(capture, vec![mirrored(server)]) }).await.0
}

fn denying(paths: &[&str]) -> middleware::ChainSettings {
    let deny_paths = middleware::PatternSet::new(paths.iter().copied()).unwrap();
    middleware::ChainSettings { deny_paths, ..middleware::ChainSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_idle_before_its_first_request_for_as_long_as_the_captured_one_was() {
    let server = Server::start(ok).await;
    let capture = capture([talk(1, 0, &[(600, "GET /late")]), talk(2, 400, &[(500, "GET /later")])]);
    let begun = Instant::now();
    let summary = with(&capture, &server, middleware::ChainSettings::default()).await;
    assert_eq!((of(&summary, &server).ended.sent, server.connections()), (4, 3));
    let ((_, late), (came, later)) = (server.came("/late"), server.came("/later"));
    assert!(late >= Duration::from_millis(500), "{late:?}");
    assert!(later >= Duration::from_millis(400), "{later:?}");
    // Nor was it opened before its time.
    assert!(came - later >= begun + Duration::from_millis(350), "{later:?}");
    // That connection itself was opened with its request: the run began with it.
    assert!(server.came("/end").1 >= Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_which_nothing_is_sent_is_never_opened() {
    let server = Server::start(ok).await;
    let talks = || {
        [
            talk(1, 100, &[(100, "GET /no/1"), (100, "GET /no/2")]),
            talk(2, 100, &[(100, "POST /write")]),
            talk(3, 100, &[(100, "CONNECT h:1")]),
            talk(4, 100, &[]),
        ]
    };
    let summary = with(&capture(talks()), &server, denying(&["^/no/"])).await;
    assert_eq!((of(&summary, &server).ended.sent, others(&server)), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_in_the_sample_is_never_opened() {
    let server = Server::start(ok).await;
    let sample_by = middleware::SampleKey::Connection;
    let settings = middleware::ChainSettings { sample: Share(0.5), sample_by, ..middleware::ChainSettings::default() };
    let talks = (1..60).map(|number| talk(number, 100, &[(300, "GET /1"), (100, "GET /2")]));
    let summary = with(&capture(talks), &server, settings).await;
    let sent = of(&summary, &server).ended.sent;
    assert!((30..90).contains(&sent), "{sent}");
    assert_eq!(sent, 2 * server.connections() as u64);
    for (_, before) in server.all("/1") {
        assert!(before >= Duration::from_millis(200), "{before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_opens_at_its_time_though_only_a_later_request_is_sent() {
    let server = Server::start(ok).await;
    let capture = capture([talk(1, 0, &[(200, "GET /no"), (500, "GET /yes")])]);
    let summary = with(&capture, &server, denying(&["^/no"])).await;
    assert_eq!((of(&summary, &server).ended.sent, server.connections()), (3, 2));
    let (_, before) = server.came("/yes");
    assert!(before >= Duration::from_millis(600), "{before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_keeps_back_when_it_is_due_leaves_a_connection_that_closes_with_the_captured_one() {
    let server = Server::start(ok).await;
    let limit = Some(LimitSpec { requests: Some("1/m".parse().unwrap()), ..LimitSpec::default() });
    let settings = middleware::ChainSettings { limit, ..middleware::ChainSettings::default() };
    let summary = with(&capture([talk(1, 200, &[(300, "GET /1")])]), &server, settings).await;
    assert_eq!((of(&summary, &server).ended.sent, summary.requests.ended.rate_limited), (1, 2));
    assert_eq!(others(&server), 1);
    server.until_open(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_opens_to_those_targets_only_to_which_something_is_sent() {
    let (one, other) = (Server::start(ok).await, Server::start(ok).await);
    let links = "[[link]]\ndrop = { path = \"^/one\" }\n";
    let own = ChainFile::parse(links, Path::new("own.toml"), &Environment::for_checks()).unwrap();
    let middleware = middleware::ChainSettings { for_targets: vec![(1, own)], ..middleware::ChainSettings::default() };
    let capture = capture([talk(1, 0, &[(400, "GET /one")]), talk(2, 0, &[(400, "GET /both")])]);
    let (summary, _) = run(Run { middleware, ..replayed(&capture, vec![mirrored(&one), mirrored(&other)]) }).await;
    assert_eq!((of(&summary, &one).ended.sent, of(&summary, &other).ended.sent), (4, 3));
    assert_eq!((one.connections(), other.connections()), (3, 2));
    for (_, before) in [one.came("/one"), one.came("/both"), other.came("/both")] {
        assert!(before >= Duration::from_millis(300), "{before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_copy_of_a_session_has_a_connection_that_opens_at_its_time() {
    let server = Server::start(ok).await;
    let capture = capture([talk(1, 100, &[(400, "GET /late")])]);
    let amplify = "2x".parse().unwrap();
    let course = replay::ReplayRange { amplify, ..replay::ReplayRange::default() };
    let (summary, _) = run(Run { range: course, ..replayed(&capture, vec![mirrored(&server)]) }).await;
    assert_eq!((of(&summary, &server).ended.sent, server.connections()), (6, 4));
    for (_, before) in server.all("/late") {
        assert!(before >= Duration::from_millis(300), "{before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_a_later_pass_opens_at_its_time() {
    let (server, folder) = (Server::start(ok).await, tempfile::tempdir().unwrap());
    let shots = capture([talk(1, 100, &[(400, "GET /late")])]).shots;
    let frame = |shot: Shot| OwnedFrame {
        at: Timestamp::from_nanos(shot.at),
        link: shot.link,
        wire_len: u32::try_from(shot.wire_len).unwrap(),
        data: shot.data,
    };
    let file =
        files::write(&folder, "two.pcap", &files::pcap(&shots.into_iter().map(frame).collect::<Vec<_>>(), false, true));
    let capture = shadowtap::capture::Settings { files: vec![file], ..shadowtap::capture::Settings::default() };
    let feed = Feed::Files(shadowtap::recording::open(&capture).unwrap_or_else(|errors| panic!("{errors:?}")));
    let course = replay::ReplayRange { passes: 2, ..replay::ReplayRange::default() };
    let twice = Run { feed, capture, range: course, ..replayed(&Capture::default(), vec![mirrored(&server)]) };
    let (summary, _) = run(twice).await;
    assert_eq!((of(&summary, &server).ended.sent, server.connections()), (6, 4));
    for (_, before) in server.all("/late") {
        assert!(before >= Duration::from_millis(300), "{before:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_a_connection_opens_with_the_first_request_that_is_sent() {
    let server = Server::start(ok).await;
    let capture = capture([talk(1, 0, &[(600, "GET /no"), (0, "GET /late")]), talk(2, 0, &[(10, "GET /no")])]);
    let run_live = Run { middleware: denying(&["^/no"]), ..live(&capture, vec![mirrored(&server)]) };
    let (summary, _) = run(run_live).await;
    assert_eq!((of(&summary, &server).ended.sent, server.connections()), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_has_its_connections_opened_at_their_time_too() {
    let (server, baseline) = (Server::start(ok).await, Server::start(ok).await);
    let capture = capture([talk(1, 0, &[(400, "GET /late")]), talk(2, 0, &[(100, "GET /no")])]);
    let beside =
        replay::ReferenceSettings { baseline: Some(mirrored(&baseline)), ..replay::ReferenceSettings::default() };
    let middleware = denying(&["^/no"]);
    run(Run { middleware, reference: beside, ..replayed(&capture, vec![mirrored(&server)]) }).await;
    assert_eq!((server.connections(), baseline.connections()), (2, 2));
    assert!(baseline.came("/late").1 >= Duration::from_millis(300));
}
