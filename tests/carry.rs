//! Sessions go on at a target with a session store of its own: what it issues goes into the requests that follow.
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

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use packets::{Capture, Talk};
use runs::{of, run, target};
use server::{Server, Step, answer, send};
use shadowtap::capture::{Settings, Source as _};
use shadowtap::http1::{BodyPolicies, BodyPolicy};
use shadowtap::middleware::file::Environment;
use shadowtap::middleware::{ChainFile, ChainSettings};
use shadowtap::pipeline::{Feed, Run};
use shadowtap::recording::{OutputPath, Recorder, Rotation};
use shadowtap::report::schema::target::TargetSummary;

const SESSION: &str = "[[link]]\ncarry = \"session\"\nfrom = { set-cookie = \"sid\" }\nuntil-known = \"wait 1m\"\n";

fn chain(toml: &str) -> ChainSettings {
    let file = ChainFile::parse(toml, Path::new("carry.toml"), &Environment::default()).unwrap();
    ChainSettings { files: vec![file], allow_writes: true, ..ChainSettings::default() }
}

fn replay(capture: &Capture, server: &Server, toml: &str) -> Run {
    Run {
        middleware: chain(toml),
        targets: vec![target(&server.url("http"), "max")],
        ..Run::of_files(Box::new(capture.source()))
    }
}

/// A user who logs in over a connection of their own, and then asks `times` for pages with the cookie that came.
fn user(number: usize, times: usize) -> Capture {
    let talk = Talk::open().between(&format!("10.1.{}.{}:5000", number / 250, number % 250), "10.0.0.1:80");
    let talk = talk
        .client(format!("GET /login?user={number} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .server(format!("HTTP/1.1 200 OK\r\nSet-Cookie: sid=old-{number}; Path=/\r\nContent-Length: 2\r\n\r\nok"));
    let page = format!("GET /page/{number} HTTP/1.1\r\nHost: h\r\nCookie: a=1; sid=old-{number}; b=2\r\n\r\n");
    let pages =
        (0..times).fold(talk, |talk, _| talk.client(&page).server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    pages.capture()
}

/// A store of sessions that begins empty: logins take a moment, and pages are there for the right session only.
fn store(strangers: Arc<AtomicU64>) -> impl Fn(&str) -> Vec<Step> + Send + Sync {
    move |request: &str| {
        let target = request.split(' ').nth(1).unwrap();
        if let Some(user) = target.strip_prefix("/login?user=") {
            let line = format!("Set-Cookie: sid=new-{user}; Path=/");
            let response = send(format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 2\r\n\r\nok"));
            return [vec![Step::Wait; 5], vec![response]].concat();
        }
        let user = target.strip_prefix("/page/").unwrap();
        if request.contains(&format!("\r\nCookie: a=1; sid=new-{user}; b=2\r\n")) {
            return vec![answer("200 OK", "ok")];
        }
        strangers.fetch_add(1, Ordering::Relaxed);
        vec![answer("401 Unauthorized", "")]
    }
}

async fn replayed(users: usize, times: usize, toml: &str) -> (TargetSummary, u64) {
    let strangers = Arc::default();
    let server = Server::start(store(Arc::clone(&strangers))).await;
    // In one capture all of them log in at once.
    let capture = (0..users).map(|number| user(number, times)).reduce(Capture::with).unwrap();
    let mut replay = replay(&capture, &server, toml);
    // A busy machine takes its time.
    replay.targets[0].timeout = Duration::from_secs(60);
    let (summary, lines) = run(replay).await;
    let target = of(&summary, &server).clone();
    let waited = lines.iter().filter(|line| line["carry_wait_us"].as_u64().is_some()).count() as u64;
    assert_eq!(waited, target.carry_wait_us.as_ref().map_or(0, |waits| waits.count), "each wait has its line");
    assert!(!format!("{summary:?}{lines:?}").contains("new-"), "no value is in what a run writes");
    (target, strangers.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_carries_the_session_of_its_own_user_at_full_speed() {
    let (target, strangers) = replayed(1_000, 20, SESSION).await;
    let session = &target.carry["session"];
    assert_eq!(strangers, 0, "{target:#?}");
    assert_eq!(target.statuses.get("200"), Some(&21_000), "{target:#?}");
    assert_eq!((session.learnt, session.carried, session.foreign), (1_000, 20_000, 0));
    assert_eq!((session.gave_up, session.unknown, session.not_issued), (0, 0, 0));
    assert!(session.waited > 0, "some came before their session was known");
}

/// The same with 100,000 requests, which takes a while without optimization:
/// `cargo test --locked --release --test carry -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "100,000 requests: see above for the command"]
async fn none_of_a_hundred_thousand_requests_carries_the_session_of_another_user() {
    let (target, strangers) = replayed(1_000, 99, SESSION).await;
    let session = &target.carry["session"];
    assert_eq!((strangers, target.statuses.get("200").copied()), (0, Some(100_000)), "{target:#?}");
    assert_eq!((session.learnt, session.carried, session.foreign, session.gave_up), (1_000, 99_000, 0, 0));
}

/// The capture in files of every format that has responses.
fn in_every_format(capture: &Capture, folder: &Path) -> Vec<PathBuf> {
    let mut source = capture.source();
    let mut frames = Vec::new();
    while let Some(frame) = source.next() {
        let (at, link, wire_len) = (frame.at, frame.link, frame.wire_len);
        frames.push(files::OwnedFrame { at, link, wire_len, data: frame.data.to_vec() });
    }
    let path = |kind: &str| folder.join(format!("day.{kind}"));
    std::fs::write(path("pcap"), files::pcap(&frames, false, false)).unwrap();
    std::fs::write(path("pcapng"), files::pcapng(&frames, false)).unwrap();
    for kind in ["gor", "jsonl"] {
        let mut recorder = Recorder::new(OutputPath::new(&path(kind)).unwrap(), Rotation::default());
        let keep = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
        let mut record = |event| {
            recorder.event(event);
            true
        };
        shadowtap::pipeline::inspect(Box::new(capture.source()), &Settings::default(), keep, &mut record).unwrap();
        recorder.finish();
    }
    ["pcap", "pcapng", "gor", "jsonl"].map(path).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_whatever_file_they_come_from_in_each_pass_and_at_the_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let capture = (0..20).map(|number| user(number, 4)).reduce(Capture::with).unwrap();
    for file in in_every_format(&capture, folder.path()) {
        let strangers = [Arc::default(), Arc::default()];
        let target = Server::start(store(Arc::clone(&strangers[0]))).await;
        let baseline = Server::start(store(Arc::clone(&strangers[1]))).await;
        let settings = Settings { files: vec![file.clone()], ..Settings::default() };
        let mut replay = replay(&capture, &target, SESSION);
        replay.feed = Feed::Files(shadowtap::recording::open(&settings).unwrap_or_else(|errors| panic!("{errors:?}")));
        replay.capture = settings;
        replay.range.passes = 2;
        replay.reference.baseline = Some(runs::target(&baseline.url("http"), "max"));
        let (summary, _) = run(replay).await;
        let counts = of(&summary, &target);
        let file = file.display();
        assert_eq!(counts.statuses.get("200"), Some(&200), "{file}: {counts:#?}");
        assert_eq!((counts.carry["session"].learnt, counts.carry["session"].carried), (40, 160), "{file}");
        assert_eq!(strangers.map(|strangers| strangers.load(Ordering::Relaxed)), [0, 0], "{file}");
        assert_eq!(baseline.requests().len(), 200, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_carried() {
    let server = Server::start(store(Arc::default())).await;
    let capture = (0..3).map(|number| user(number, 4)).reduce(Capture::with).unwrap().with(without_login());
    let found = tokio::task::spawn_blocking(move || {
        let run = replay(&capture, &server, SESSION);
        shadowtap::pipeline::dry_run(run, Duration::ZERO).unwrap().tally.carried
    });
    let [session] = found.await.unwrap().try_into().unwrap();
    assert_eq!((session.rule.as_str(), session.issued, session.known, session.unknown), ("session", 3, 12, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_no_page_is_there() {
    let (target, strangers) = replayed(10, 3, "").await;
    assert_eq!((strangers, target.statuses.get("401").copied()), (30, Some(30)));
    assert!(target.carry.is_empty() && target.carry_wait_us.is_none());
}

/// Pages of a session that began before the capture.
fn without_login() -> Capture {
    let page = "GET /page/7 HTTP/1.1\r\nHost: h\r\nCookie: a=1; sid=old-7; b=2\r\n\r\n";
    let talk = (0..3).fold(Talk::open(), |talk, _| talk.client(page).server("HTTP/1.1 204 No Content\r\n\r\n"));
    talk.capture()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_began_before_the_capture_is_told_and_sent_or_kept_back() {
    for (until_known, sent, kept_back) in [("wait 1m", 3, 0), ("send", 3, 0), ("drop", 0, 3)] {
        let server = Server::start(store(Arc::default())).await;
        let toml = SESSION.replace("wait 1m", until_known);
        let (summary, _) = run(replay(&without_login(), &server, &toml)).await;
        let target = of(&summary, &server);
        let session = &target.carry["session"];
        assert_eq!(
            (target.ended.sent, target.ended.filtered.get("session").copied().unwrap_or_default()),
            (sent, kept_back)
        );
        assert_eq!((session.unknown, session.unknown_values, session.carried), (3, 1, 0), "{until_known}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_at_the_target_holds_nobody_up() {
    let server = Server::start(|request| {
        if request.contains("/login") {
            vec![Step::Wait, answer("500 Internal Server Error", "")]
        } else {
            vec![answer("401 Unauthorized", "")]
        }
    })
    .await;
    let (summary, _) = run(replay(&user(1, 5), &server, SESSION)).await;
    let session = &of(&summary, &server).carry["session"];
    assert_eq!((session.learnt, session.not_issued, session.carried, session.gave_up), (0, 1, 0, 0));
    assert_eq!((session.unknown, session.unknown_values), (5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_before_the_body_that_came_with_it_has_ended() {
    let strangers = Arc::default();
    let pages = store(Arc::clone(&strangers));
    let server = Server::start(move |request| {
        if request.contains("/login") {
            let head = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=new-1; Path=/\r\nContent-Length: 2\r\n\r\n";
            return vec![send(head), Step::Stall];
        }
        pages(request)
    })
    .await;
    let mut replay = replay(&user(1, 5), &server, SESSION);
    replay.targets[0].timeout = Duration::from_millis(500);
    let (summary, _) = run(replay).await;
    let target = of(&summary, &server);
    assert_eq!((strangers.load(Ordering::Relaxed), target.statuses.get("200").copied()), (0, Some(5)), "{target:#?}");
    assert_eq!((target.carry["session"].learnt, target.carry["session"].carried), (1, 5));
    assert_eq!(target.ended.failed.values().sum::<u64>(), 1, "the login never ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_is_seen_while_the_run_goes_on() {
    let pages = store(Arc::default());
    let server =
        Server::start(move |request| if request.contains("/last") { vec![Step::Stall] } else { pages(request) }).await;
    let last = Talk::open().between("10.1.0.9:5000", "10.0.0.1:80").client("GET /last HTTP/1.1\r\nHost: h\r\n\r\n");
    let replay = replay(&user(1, 2).with(last.server("HTTP/1.1 204 No Content\r\n\r\n").capture()), &server, SESSION);
    let observer = replay.observer.clone();
    let running = tokio::spawn(run(replay));
    let carried = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let Some(seen) = observer.look(false).await else { continue };
        let counts = seen.summary.targets.values().find_map(|target| target.carry.get("session").cloned());
        if seen.live.ended || counts.as_ref().is_some_and(|counts| counts.carried == 2) {
            break (seen.live.ended, counts.unwrap().learnt);
        }
    };
    assert_eq!(carried, (false, 1));
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_stand_in_its_place_is_not_carried_and_counted() {
    let server = Server::start(|request| {
        if request.contains("/login") {
            vec![send("HTTP/1.1 200 OK\r\nX-Token: a;b\r\nContent-Length: 0\r\n\r\n")]
        } else {
            vec![answer("401 Unauthorized", "")]
        }
    })
    .await;
    let talk = Talk::open()
        .client("GET /login HTTP/1.1\r\nHost: h\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nX-Token: old\r\nContent-Length: 0\r\n\r\n")
        .client("GET / HTTP/1.1\r\nHost: h\r\nCookie: t=old\r\n\r\n")
        .server("HTTP/1.1 204 No Content\r\n\r\n");
    let toml = "[[link]]\ncarry = \"t\"\nfrom = { header = \"x-token\" }\ninto = { cookie = \"t\" }\n";
    let (summary, _) = run(replay(&talk.capture(), &server, toml)).await;
    let counts = &of(&summary, &server).carry["t"];
    assert_eq!((counts.learnt, counts.carried, counts.unfit), (1, 0, 1));
    assert!(server.requests()[1].contains("\r\nCookie: t=old\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_vain_goes_out_with_the_old_value_and_takes_no_place() {
    let server = Server::start(|request| {
        if request.contains("/login") {
            vec![Step::Wait, Step::Wait, Step::Wait, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
        } else {
            vec![answer("200 OK", "")]
        }
    })
    .await;
    let toml = SESSION.replace("wait 1m", "wait 50ms");
    let mut replay = replay(&user(1, 5), &server, &toml);
    // The login has one place, and all others the second one.
    replay.targets[0].max_in_flight = 2;
    let (summary, lines) = run(replay).await;
    let target = of(&summary, &server);
    let session = &target.carry["session"];
    assert_eq!((session.gave_up, session.waited, session.carried, session.not_issued), (5, 5, 0, 1));
    let waits: Vec<u64> = lines.iter().filter_map(|line| line["carry_wait_us"].as_u64()).collect();
    assert!(waits.len() == 5 && waits.iter().all(|wait| *wait >= 50_000), "{waits:?}");
    let responses = |line: &serde_json::Value| line["response_us"].as_u64().zip(line["carry_wait_us"].as_u64());
    assert!(lines.iter().filter_map(responses).all(|(response, wait)| response < wait), "no wait is in a latency");
}

/// A chain file in a folder of its own, beside a file of pairs with these rights.
fn seeded(pairs: &str, mode: u32) -> (tempfile::TempDir, Result<ChainFile, String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.csv");
    std::fs::write(&path, pairs).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let toml = SESSION.to_owned() + "seed = \"tokens.csv\"\n";
    let read = ChainFile::parse(&toml, &folder.path().join("carry.toml"), &Environment::default());
    let told = |mistakes: Vec<_>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    (folder, read.map_err(told))
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_that_are_known_before_the_run_are_carried() {
    let (_folder, file) = seeded("old,new\nold-7,new-7\n", 0o600);
    let strangers = Arc::default();
    let server = Server::start(store(Arc::clone(&strangers))).await;
    let mut replay = replay(&without_login(), &server, "");
    replay.middleware = ChainSettings { files: vec![file.unwrap()], ..ChainSettings::default() };
    let (summary, _) = run(replay).await;
    let counts = &of(&summary, &server).carry["session"];
    assert_eq!((strangers.load(Ordering::Relaxed), counts.carried, counts.seeded, counts.unknown), (0, 3, 1, 0));
}

#[test]
fn a_file_of_pairs_that_others_can_read_is_refused_and_mistakes_have_their_line() {
    let (folder, refused) = seeded("a,b\n", 0o644);
    let path = folder.path().join("tokens.csv");
    let why = refused.unwrap_err();
    assert!(why.contains("carry.toml:5:8: every user of this machine may get at"), "{why}");
    assert!(why.ends_with(&format!("run: chmod o= {}", path.display())), "{why}");
    let (folder, wrong) = seeded("a,b\n# c\nhush\n", 0o640);
    let at = folder.path().join("tokens.csv");
    assert_eq!(wrong.unwrap_err(), format!("{}:3: it has 1 fields; write old,new or old,new,target", at.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gives_a_new_value_once_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let program = |script: &str| format!("{SESSION}login = '''sh -c '{script}''''\n");
    let works = format!("read old; echo $old $SHADOWTAP_RULE >> {}; echo new-${{old#old-}}", log.display());
    let strangers = Arc::default();
    let server = Server::start(store(Arc::clone(&strangers))).await;
    let capture = without_login().with(user(1, 3));
    let (summary, lines) = run(replay(&capture, &server, &program(&works))).await;
    let counts = &of(&summary, &server).carry["session"];
    assert_eq!((strangers.load(Ordering::Relaxed), counts.carried, counts.unknown), (0, 6, 0), "{counts:?}");
    assert_eq!((counts.logins, counts.failed_logins, counts.learnt), (1, 0, 1));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "old-7 session\n");
    assert!(!format!("{summary:?}{lines:?}").contains("new-7"));
    for script in ["read old; echo $old >&2; exit 3", "exit 0", "head -c 20000 /dev/zero | tr \"\\0\" a"] {
        let (summary, _) = run(replay(&without_login(), &server, &program(script))).await;
        let counts = &of(&summary, &server).carry["session"];
        assert_eq!((counts.carried, counts.logins, counts.failed_logins), (0, 0, 1), "{script}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_ended_when_it_ends_whatever_it_leaves_behind() {
    let server = Server::start(store(Arc::default())).await;
    let session = SESSION.replace("1m", "3s");
    let toml = format!("{session}login = \"sh -c 'read old; sleep 8 & echo new-${{old#old-}}'\"\n");
    let (summary, _) = run(replay(&without_login(), &server, &toml)).await;
    let counts = &of(&summary, &server).carry["session"];
    assert_eq!((counts.carried, counts.logins, counts.failed_logins, counts.gave_up), (3, 1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_end_is_killed_with_what_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let server = Server::start(store(Arc::default())).await;
    let session = SESSION.replace("1m", "1s");
    let toml = format!("{session}login = \"sh -c 'sleep 600 & echo $! > {}; wait'\"\n", pid.display());
    let (summary, _) = run(replay(&without_login(), &server, &toml)).await;
    let counts = &of(&summary, &server).carry["session"];
    assert_eq!((counts.carried, counts.logins, counts.gave_up), (0, 0, 3));
    let pid = std::fs::read_to_string(&pid).unwrap();
    // What has ended has no command line, though nobody may have asked yet how it ended.
    let runs = || std::fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|line| !line.is_empty());
    let ended = async {
        while runs() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_signed_here_and_times_moved_to_now() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "secret\n").unwrap();
    let toml = "[[link]]\ncarry = \"token\"\ninto = { header = \"Authorization\", pattern = \"^Bearer (.*)$\" }\nmint = { jwt = \
                { key = \"file:key\", alg = \"HS256\", exp = \"+1h\" } }\n[[link]]\nshift-time = { param = \"at\" }\n";
    let parse = |toml: &str| ChainFile::parse(toml, &folder.path().join("carry.toml"), &Environment::default());
    for key_of_all in [toml, &toml.replace("key = \"file:key\"", "key-file = \"key\"")] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let why = parse(key_of_all).map(|_| ()).unwrap_err()[0].to_string();
        assert!(why.ends_with(&format!("which has a key in it; run: chmod o= {}", key.display())), "{why}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let file = parse(toml).unwrap();
    let server = Server::start(|_| vec![answer("200 OK", "")]).await;
    // {"alg":"HS256"}.{"sub":"u1"}, and the time of the capture.
    let asked =
        |token: &str, at: &str| format!("GET /?at={at} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n");
    let talk = Talk::open()
        .client(asked("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.c2ln", "1795291200"))
        .server("HTTP/1.1 204 No Content\r\n\r\n")
        .client(asked("opaque", "never"))
        .server("HTTP/1.1 204 No Content\r\n\r\n");
    let mut replay = replay(&talk.capture(), &server, "");
    replay.middleware = ChainSettings { files: vec![file], ..ChainSettings::default() };
    replay.targets[0].connections = shadowtap::replay::ConnectionMode::Mirrored;
    let before = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (summary, _) = run(replay).await;
    let [first, second] = server.requests().try_into().unwrap();
    assert!(second.contains("Bearer opaque\r\n") && second.starts_with("GET /?at=never "), "{second}");
    let at: u64 = first.strip_prefix("GET /?at=").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((before - 1..before + 60).contains(&at), "{at} is now");
    let claims = first.split("Bearer eyJhbGciOiJIUzI1NiJ9.").nth(1).unwrap().split('.').next().unwrap();
    let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert!(claims["sub"] == "u1" && claims["exp"].as_u64().unwrap() >= before + 3600, "{claims}");
    let carry = &of(&summary, &server).carry;
    assert_eq!([carry["token"].made, carry["token"].not_made], [1, 1]);
    assert_eq!([carry["shift-time"].made, carry["shift-time"].not_made], [1, 1]);
}

const HUSH: &str = r#"
[[link]]
carry = "ticket"
from = { location-param = "ticket" }
into = { param = "pass" }

[[link]]
carry = "key"
from = { header = "x-ident" }
into = [{ json = "$.ident" }]

[[link]]
carry = "page"
from = { body = 'name="n"\s+value="([^"]+)"' }
into = { form = "n" }

[[link]]
carry = "pin"
from = { json = "$.data.pin" }
"#;

/// What one side responds to each request: its values have `side` in them.
fn hushed(side: &str, target: &str) -> String {
    let (lines, body) = match target {
        "/redirect" => (format!("Location: /cb?ticket=hush-{side}-1&pass=hush-{side}-p\r\n"), String::new()),
        "/head" => (format!("X-Ident: hush-{side}-2\r\n"), String::new()),
        "/page" => {
            ("Content-Type: text/html\r\n".into(), format!("<p>{side}\n<input name=\"n\"\n value=\"hush-{side}-3\">"))
        }
        "/json" => (
            "Content-Type: application/json\r\n".into(),
            format!("{{\"data\":{{\"pin\":\"hush-{side}-4\"}},\"a\":[\"{side}\"]}}"),
        ),
        _ => ("Content-Type: text/html\r\n".into(), format!("{side} <input name=\"n\" value=\"hush-{side}-5\">")),
    };
    let status = if side == "new" && target.starts_with("/gone") { "404 Not Found" } else { "200 OK" };
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_rule_is_in_what_a_run_writes() {
    let server = Server::start(|request| vec![send(hushed("new", request.split(' ').nth(1).unwrap()))]).await;
    let targets = ["/redirect", "/head", "/page", "/json", "/gone?pass=hush-old-1&q=1"];
    let talk = targets.iter().fold(Talk::open(), |talk, target| {
        talk.client(format!("GET {target} HTTP/1.1\r\nHost: h\r\nX-Ident: hush-old-2\r\n\r\n"))
            .server(hushed("old", target))
    });
    let (summary, lines) = run(replay(&talk.capture(), &server, HUSH)).await;
    let written = format!("{}{lines:?}", serde_json::to_string(&summary).unwrap());
    assert!(!written.contains("hush-"), "{written}");
    let differing: Vec<usize> = lines.iter().filter_map(|line| Some(line["differences"].as_array()?.len())).collect();
    assert_eq!(differing.iter().sum::<usize>(), 7, "{lines:#?}");
    assert!(written.contains("/gone?pass=***&q=1") && written.contains("value=\\\"***\\\""), "{written}");
    assert!(server.requests().iter().any(|asked| asked.contains("pass=hush-new-1")), "{:?}", server.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_client_begin_with_its_login_though_it_takes_another_connection() {
    let strangers = Arc::default();
    let server = Server::start(store(Arc::clone(&strangers))).await;
    // Each page over a connection of its own, a moment after the login.
    let login = user(1, 0);
    let page = |port: u64| {
        let request = "GET /page/1 HTTP/1.1\r\nHost: h\r\nCookie: a=1; sid=old-1; b=2\r\n\r\n";
        let talk = Talk::joined().between(&format!("10.1.0.1:{port}"), "10.0.0.1:80").wait(50 * port);
        talk.handshake().client(request).server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").capture()
    };
    let capture = (1..=8).map(page).fold(login, Capture::with);
    let mut replay = replay(&capture, &server, SESSION);
    replay.range.amplify = "10x".parse().unwrap();
    let (summary, _) = run(replay).await;
    let target = of(&summary, &server);
    assert_eq!((strangers.load(Ordering::Relaxed), target.statuses.get("200").copied()), (0, Some(90)), "{target:#?}");
    assert_eq!((target.carry["session"].learnt, target.carry["session"].carried), (10, 80));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_and_each_copy_has_sessions_of_its_own() {
    let strangers = [Arc::default(), Arc::default()];
    let servers =
        [Server::start(store(Arc::clone(&strangers[0]))).await, Server::start(store(Arc::clone(&strangers[1]))).await];
    let mut replay = replay(&user(1, 4), &servers[0], SESSION);
    replay.targets.push(target(&servers[1].url("http"), "max"));
    replay.targets[0].connections = shadowtap::replay::ConnectionMode::Mirrored;
    let (summary, _) = run(replay).await;
    for (server, strangers) in servers.iter().zip(strangers) {
        let target = of(&summary, server);
        assert_eq!((strangers.load(Ordering::Relaxed), target.statuses.get("200").copied()), (0, Some(5)));
        assert_eq!((target.carry["session"].learnt, target.carry["session"].carried), (1, 4));
    }
}
