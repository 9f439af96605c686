//! Replays without a schedule, on few processors and on many: whoever makes the requests, what is said of them is the same.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/runs.rs"]
mod runs;
#[path = "support/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use packets::{Capture, Talk};
use runs::{gets, of, replayed, run, target};
use server::{Server, Step, answer};
use shadowtap::middleware::{ChainSettings, PatternSet};
use shadowtap::pipeline::{self, Control, Progress, Run};
use shadowtap::replay::SendSettings;
use shadowtap::report::schema::summary::Summary;
use shadowtap::report::threshold::Thresholds;

/// Processors on which requests are made by those who send them, and on which by threads of their own.
const EACH_WAY: [usize; 2] = [2, 8];

async fn ok() -> Server {
    Server::start(|_| vec![answer("200 OK", "ok")]).await
}

/// How often each target was asked for.
fn paths(server: &Server) -> BTreeMap<String, usize> {
    let mut paths = BTreeMap::new();
    for request in server.requests() {
        *paths.entry(request.split(' ').nth(1).unwrap().to_owned()).or_default() += 1;
    }
    paths
}

/// A talk with a request of each kind of end: a write, one without a response, one cut short, one in two segments.
fn mixed() -> Capture {
    let talk = |port: u16| Talk::open().between(&format!("10.1.0.1:{port}"), "10.0.0.1:80");
    let write = talk(5001)
        .client("POST /write HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
        .server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let unanswered = talk(5002).client("GET /unanswered HTTP/1.1\r\nHost: h\r\n\r\n");
    let cut = talk(5003).client("GET /cut HTTP/1.1\r\nHo");
    let pipelined = talk(5004)
        .client("GET /first HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: h\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    gets(40).with(write.capture()).with(unanswered.capture()).with(cut.capture()).with(pipelined.capture())
}

/// What a summary says, but for times.
fn said(summary: &Summary) -> String {
    let targets = summary.targets.values().map(|target| {
        format!("{:?} {:?} {:?} {:?}", target.offered, target.ended, target.statuses, target.differences)
    });
    format!("{:?} {:?} {:?}", summary.requests, targets.collect::<Vec<_>>(), summary.production.statuses)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_is_the_same_whoever_makes_the_requests() {
    let mut all = Vec::new();
    for processors in EACH_WAY {
        let server = ok().await;
        let middleware = ChainSettings { deny_paths: PatternSet::new(["^/7$"]).unwrap(), ..ChainSettings::default() };
        let job = Run { processors, middleware, ..replayed(&mixed(), vec![target(&server.url("http"), "max")]) };
        let (summary, _) = run(job).await;
        assert_eq!(summary.requests.seen, 45);
        assert_eq!(of(&summary, &server).ended.sent, server.requests().len() as u64);
        all.push((said(&summary), paths(&server)));
    }
    assert_eq!(all[0], all[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_slow_costs_another_nothing_but_time() {
    for processors in EACH_WAY {
        let slow = Server::start(|_| vec![Step::Wait, answer("200 OK", "ok")]).await;
        let quick = ok().await;
        let places =
            |server: &Server, max_in_flight| SendSettings { max_in_flight, ..target(&server.url("http"), "max") };
        let job = Run { processors, ..replayed(&gets(600), vec![places(&slow, 16), places(&quick, 8)]) };
        let (summary, _) = run(job).await;
        for server in [&slow, &quick] {
            assert_eq!((of(&summary, server).ended.sent, paths(server).len()), (600, 600), "{processors} processors");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_and_costs_nothing() {
    for processors in EACH_WAY {
        let (control, asked) = (Control::default(), Arc::new(AtomicUsize::new(0)));
        let (pauses, count) = (control.clone(), Arc::clone(&asked));
        let server = Server::start(move |_| {
            if count.fetch_add(1, Ordering::Relaxed) == 20 {
                pauses.pause();
                let (resumes, count) = (pauses.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let before = count.load(Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    assert_eq!(count.load(Ordering::Relaxed), before, "nothing goes out during a pause");
                    resumes.resume();
                });
            }
            vec![answer("200 OK", "ok")]
        })
        .await;
        let few = SendSettings { max_in_flight: 4, ..target(&server.url("http"), "max") };
        let (summary, _) = run(Run { control, processors, ..replayed(&gets(2000), vec![few]) }).await;
        assert_eq!((of(&summary, &server).ended.sent, paths(&server).len()), (2000, 2000), "{processors} processors");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_at_once_and_the_account_adds_up() {
    for processors in EACH_WAY {
        let server = Server::start(|_| vec![Step::Wait, answer("200 OK", "ok")]).await;
        let few = SendSettings { max_in_flight: 2, ..target(&server.url("http"), "max") };
        let demands = Thresholds { all: vec!["lost>0".parse().unwrap()], min_samples: 1 };
        let job = Run { processors, demands, ..replayed(&gets(2000), vec![few]) };
        let stop = tokio::time::sleep(Duration::from_millis(200));
        let running =
            tokio::task::spawn_blocking(move || pipeline::run(job, &Arc::new(Progress::default()), stop).unwrap());
        let summary = tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends").unwrap();
        assert!(summary.balances(), "{summary:#?}");
        let sent = of(&summary, &server).ended.sent;
        assert!((1..200).contains(&sent), "{sent} were sent");
        let shed: Vec<_> = of(&summary, &server).ended.shed.keys().map(String::as_str).collect();
        assert_eq!(shed, ["run_ended"], "{processors} processors");
        assert_eq!((summary.gates[0].held, summary.gates[0].value), (true, 0.0), "what was made ahead is not lost");
        assert!(summary.frames.received > 0, "what was read is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_once_enough_were_taken() {
    for processors in EACH_WAY {
        let server = ok().await;
        let job =
            Run { processors, most: Some(100), ..replayed(&gets(2000), vec![target(&server.url("http"), "max")]) };
        let (summary, _) = run(job).await;
        let ended = &of(&summary, &server).ended;
        assert_eq!(ended.sent + ended.shed.values().sum::<u64>(), 100, "{ended:?}");
    }
}
