//! Runs that are steered while they go on, end to end: whatever is turned, paused or stopped, the ledger adds up.
#![allow(dead_code, reason = "the packet builder is shared with other tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
mod packets;
#[path = "support/runs.rs"]
mod runs;
#[path = "support/server.rs"]
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runs::{gets, live, of, replayed, run, target};
use server::{Server, Step, answer};
use shadowtap::middleware::{self, Share};
use shadowtap::pipeline::{self, Control, Progress, Run};
use shadowtap::replay::SendSettings;

/// A server that calls `at` once, with the request of this number, counted from 1.
async fn server_that_calls(number: usize, at: impl Fn() + Send + Sync + 'static) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == number {
            at();
        }
        vec![answer("200 OK", "ok")]
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_paused_loses_nothing_and_is_not_late_for_it() {
    let control = Control::default();
    let pauses = control.clone();
    let server = server_that_calls(10, move || {
        pauses.pause();
        let resumes = pauses.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            resumes.resume();
        });
    })
    .await;
    let capture = gets(50);
    let job = Run { control, ..replayed(&capture, vec![target(&server.url("http"), "200/s")]) };
    let (summary, _) = run(job).await;
    let target = of(&summary, &server);
    assert_eq!((target.ended.sent, target.ended.guard_held), (50, 0));
    assert!(target.schedule_lag_us.as_ref().unwrap().p50 < 200_000, "{:?}", target.schedule_lag_us);
    let steps: Vec<(f64, f64)> = summary.steps.iter().map(|step| (step.from, step.to)).collect();
    assert_eq!(steps, [(1.0, 0.0), (0.0, 1.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_captured_live_during_a_pause_is_held_back_from_each_target() {
    let (one, other) =
        (Server::start(|_| vec![answer("200 OK", "ok")]).await, Server::start(|_| vec![answer("200 OK", "ok")]).await);
    let control = Control::default();
    control.pause();
    let targets = vec![target(&one.url("http"), "1x"), target(&other.url("http"), "1x")];
    let (summary, lines) = run(Run { control, ..live(&gets(20), targets) }).await;
    for server in [&one, &other] {
        assert_eq!((of(&summary, server).offered, of(&summary, server).ended.guard_held), (20, 20));
        assert!(server.requests().is_empty());
    }
    let held = lines.iter().filter(|line| line["outcome"] == "guard_held" && line["rule"] == "paused").count();
    assert_eq!(held, 40);
    assert_eq!(summary.production.statuses["200"], 20, "production is heard all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_can_be_turned_and_what_it_leaves_out_is_sampled_out() {
    let control = Control::default();
    let turns = control.clone();
    let server = server_that_calls(100, move || turns.set_share(Share(0.0))).await;
    let capture = gets(400);
    let job = Run { control: control.clone(), ..replayed(&capture, vec![target(&server.url("http"), "1000/s")]) };
    let (summary, _) = run(job).await;
    let target = of(&summary, &server);
    assert!(target.ended.sent >= 100 && target.ended.sent < 400, "{}", target.ended.sent);
    assert_eq!(target.ended.sent + summary.requests.ended.sampled_out, 400);
    assert_eq!(Share(summary.sample.asked), Share(0.0), "what was asked last");
    assert_eq!(control.share(), Share(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begins_with_the_share_that_was_typed() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let control = Control::default();
    let middleware = middleware::ChainSettings { sample: Share(0.3), ..middleware::ChainSettings::default() };
    let capture = gets(400);
    let job = replayed(&capture, vec![target(&server.url("http"), "max")]);
    let (summary, _) = run(Run { control: control.clone(), middleware, ..job }).await;
    assert_eq!(control.share(), Share(0.3));
    assert!((60..180).contains(&of(&summary, &server).ended.sent), "{:?}", summary.requests);
    assert!(summary.steps.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_ends_in_order_paused_or_not() {
    for paused in [false, true] {
        let control = Control::default();
        let stops = control.clone();
        let server = server_that_calls(5, move || {
            if paused {
                stops.pause();
            }
            stops.stop();
        })
        .await;
        let capture = gets(500);
        let job = Run { control, ..replayed(&capture, vec![target(&server.url("http"), "100/s")]) };
        let (summary, _) = run(job).await;
        let target = of(&summary, &server);
        assert!(target.ended.sent >= 5 && target.offered < 500, "{target:?}");
        assert_eq!(summary.steps.last().unwrap().reason, "stopped by hand");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_had_when_a_run_was_stopped_counts_as_sent() {
    let server = Server::start(|_| vec![Step::Wait, answer("200 OK", "ok")]).await;
    let few = SendSettings { max_in_flight: 16, ..target(&server.url("http"), "2000/s") };
    let job = replayed(&gets(4000), vec![few]);
    let stop = tokio::time::sleep(Duration::from_millis(300));
    let running =
        tokio::task::spawn_blocking(move || pipeline::run(job, &Arc::new(Progress::default()), stop).unwrap());
    let summary = running.await.unwrap();
    assert!(summary.balances(), "{summary:#?}");
    let (ended, asked) = (&of(&summary, &server).ended, server.requests().len() as u64);
    assert_eq!(ended.sent + ended.failed.values().sum::<u64>(), asked, "{ended:?}");
    assert!(ended.sent > 16 && ended.shed["run_ended"] > 0, "{ended:?}");
}
