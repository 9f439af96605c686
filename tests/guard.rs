//! Targets that fail under load, over real sockets: guards and ramps spare them, each by itself, and the ledger adds up.
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

use runs::{gets, of, replayed, run, target};
use server::{Server, answer};
use shadowtap::middleware::Share;
use shadowtap::pipeline::{self, Control, GuardCommand, Progress, Run};
use shadowtap::replay::guard::{GuardAction, GuardSettings};
use shadowtap::replay::{self, GuardState};
use shadowtap::report::StepCause;
use shadowtap::report::schema::summary::Summary;

fn guarded(url: &str, pace: &str, guard: &str, action: GuardAction) -> replay::SendSettings {
    let guard = Some(GuardSettings { action, ..guard.parse().unwrap() });
    replay::SendSettings { guard, ..target(url, pace) }
}

/// Who changed the share, from what, to what.
fn steps(summary: &Summary) -> Vec<(StepCause, f64, f64)> {
    summary.steps.iter().map(|step| (step.what, step.from, step.to)).collect()
}

/// A server that answers so many requests, fails so many after them, and is well again.
async fn server_that_fails(after: usize, failing: usize) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let fails = (after..after + failing).contains(&number);
        vec![answer(if fails { "503 Service Unavailable" } else { "200 OK" }, "ok")]
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_is_held_back_from_probed_and_let_in_again() {
    let server = server_that_fails(300, 80).await;
    let capture = gets(2500);
    let job = replayed(&capture, vec![guarded(&server.url("http"), "1000/s", "errors>20%/200ms", GuardAction::Pause)]);
    let (summary, lines) = run(job).await;
    let target = of(&summary, &server);
    assert_eq!(target.ended.sent + target.ended.guard_held, 2500, "{:?}", target.ended);
    assert!(target.ended.guard_held > 100, "{:?}", target.ended);
    assert_eq!(server.requests().len() as u64, target.ended.sent);
    let held = lines.iter().filter(|line| line["outcome"] == "guard_held" && line["rule"] == "guard").count();
    assert_eq!(held as u64, target.ended.guard_held);
    let steps = steps(&summary);
    assert_eq!(steps[0], (StepCause::Guard, 1.0, 0.0), "{:?}", summary.steps);
    assert_eq!(steps[1], (StepCause::Guard, 0.0, 0.125), "{:?}", summary.steps);
    assert!(summary.steps[0].reason.starts_with("errors "), "{}", summary.steps[0].reason);
    assert_eq!(summary.steps[0].target.as_deref().unwrap().trim_end_matches('/'), server.url("http"));
    assert!(target.guard.as_ref().unwrap().trips >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_is_spared_and_the_one_beside_it_gets_everything() {
    let well = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let dead = format!("http://{}", Server::refusing().await);
    let guard = |url: &str| guarded(url, "1000/s", "errors>=100%/200ms", GuardAction::StepDown);
    let capture = gets(1500);
    let (summary, _) = run(replayed(&capture, vec![guard(&dead), guard(&well.url("http"))])).await;
    let fine = of(&summary, &well);
    assert_eq!((fine.ended.sent, fine.ended.guard_held), (1500, 0));
    assert_eq!(fine.guard.as_ref().unwrap().state, GuardState::Passing);
    let (_, dead) = summary.targets.iter().find(|(url, _)| url.trim_end_matches('/') == dead).unwrap();
    assert_eq!(dead.ended.failed["connect"] + dead.ended.guard_held, 1500, "{:?}", dead.ended);
    assert!(dead.ended.guard_held > 0 && dead.guard.as_ref().unwrap().held_share > 0.0, "{dead:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_climbs_by_its_times_and_its_samples_are_nested() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let capture = gets(1000);
    let ramp = Some("10%:300ms,50%:300ms,100%".parse().unwrap());
    let (summary, _) = run(Run { ramp, ..replayed(&capture, vec![target(&server.url("http"), "1000/s")]) }).await;
    assert_eq!(steps(&summary), [(StepCause::Ramp, 0.1, 0.5), (StepCause::Ramp, 0.5, 1.0)]);
    let sent = of(&summary, &server).ended.sent;
    assert_eq!(sent + summary.requests.ended.sampled_out, 1000);
    assert!(summary.requests.ended.sampled_out > 100, "{:?}", summary.requests);
    let end = summary.ramp.unwrap();
    assert_eq!((end.step, end.steps, end.past), (3, 3, None));
}

/// A ramp up to a share that the server does not bear: it fails while it gets more than 40 %. Others beside it do not.
async fn past_the_limit(action: GuardAction, others: &[Server]) -> Summary {
    let control = Control::default();
    let load = control.clone();
    let server = Server::start(move |_| {
        let fails = load.share().0 > 0.4;
        vec![answer(if fails { "500 Internal Server Error" } else { "200 OK" }, "ok")]
    })
    .await;
    let capture = gets(1500);
    let all = std::iter::once(&server).chain(others);
    let targets = all.map(|one| guarded(&one.url("http"), "1000/s", "errors>20%/200ms", action)).collect();
    let ramp = Some("10%:150ms,30%:150ms,100%".parse().unwrap());
    run(Run { ramp, control, ..replayed(&capture, targets) }).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_goes_back_a_step_where_the_target_breaks_and_says_where() {
    let summary = past_the_limit(GuardAction::StepDown, &[]).await;
    let steps = steps(&summary);
    assert_eq!(
        steps[..3],
        [(StepCause::Ramp, 0.1, 0.3), (StepCause::Ramp, 0.3, 1.0), (StepCause::Ramp, 1.0, 0.3)],
        "{steps:?}"
    );
    assert!(summary.steps[2].reason.starts_with("errors "), "{}", summary.steps[2].reason);
    let end = summary.ramp.unwrap();
    assert_eq!(end.past.map(Share), Some(Share(1.0)));
    assert!(end.reason.unwrap().starts_with("errors "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_goes_back_a_step_where_one_of_several_targets_breaks() {
    let well = [Server::start(|_| vec![answer("200 OK", "ok")]).await];
    let summary = past_the_limit(GuardAction::StepDown, &well).await;
    assert_eq!(steps(&summary)[2], (StepCause::Ramp, 1.0, 0.3), "{:?}", summary.steps);
    let broke = summary.targets.iter().find(|(_, target)| target.guard.as_ref().unwrap().trips > 0).unwrap().0;
    assert!(summary.steps[2].reason.ends_with(&format!(" at {broke}")), "{}", summary.steps[2].reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_that_is_to_hold_stays_where_the_target_breaks() {
    let summary = past_the_limit(GuardAction::Hold, &[]).await;
    let steps = steps(&summary);
    assert_eq!(steps[..2], [(StepCause::Ramp, 0.1, 0.3), (StepCause::Ramp, 0.3, 1.0)], "{steps:?}");
    assert_eq!(steps[2], (StepCause::Guard, 1.0, 1.0), "{steps:?}");
    assert_eq!(summary.targets.values().next().unwrap().guard.as_ref().unwrap().state, GuardState::Holding);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_set_by_hand_ends_the_ramp() {
    let control = Control::default();
    let hand = control.clone();
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == 5 {
            hand.set_share(Share(0.2));
        }
        vec![answer("200 OK", "ok")]
    })
    .await;
    let ramp = Some("10%:500ms,50%:100ms,100%".parse().unwrap());
    let capture = gets(1000);
    let job = Run { ramp, control, ..replayed(&capture, vec![target(&server.url("http"), "1000/s")]) };
    let (summary, _) = run(job).await;
    assert_eq!(steps(&summary), [(StepCause::Control, 0.1, 0.2), (StepCause::Ramp, 0.2, 0.2)]);
    assert_eq!(Share(summary.sample.asked), Share(0.2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_to_stop_ends_the_run_in_order() {
    let server = server_that_fails(100, usize::MAX - 100).await;
    let capture = gets(5000);
    let job = replayed(&capture, vec![guarded(&server.url("http"), "1000/s", "errors>20%/200ms", GuardAction::Stop)]);
    let (summary, _) = run(job).await;
    let target = of(&summary, &server);
    assert!(target.offered < 5000, "{target:?}");
    assert_eq!(target.guard.as_ref().unwrap().state, GuardState::Stopped);
    assert_eq!(summary.steps.last().unwrap().reason, "the guard of every target stopped it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_outside_brakes() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let capture = gets(1000);
    let brake = GuardCommand { command: "sh -c 'exit 1'".parse().unwrap(), every: Duration::from_millis(100) };
    let target = replay::SendSettings { guard: Some(GuardSettings::deaf()), ..target(&server.url("http"), "1000/s") };
    let (summary, _) = run(Run { guard_command: Some(brake), ..replayed(&capture, vec![target]) }).await;
    let target = of(&summary, &server);
    assert!(target.ended.guard_held > 0, "{:?}", target.ended);
    assert_eq!(steps(&summary)[0], (StepCause::Guard, 1.0, 0.5));
    assert_eq!(summary.steps[0].reason, "the guard command says no (exit code 1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_started_is_told_before_anything_is_sent() {
    let server = Server::start(|_| vec![answer("200 OK", "ok")]).await;
    let brake = GuardCommand { command: "/nonexistent/check".parse().unwrap(), every: Duration::from_secs(1) };
    let capture = gets(10);
    let job = Run { guard_command: Some(brake), ..replayed(&capture, vec![target(&server.url("http"), "max")]) };
    let progress = Arc::new(Progress::default());
    let ended = tokio::task::spawn_blocking(move || pipeline::run(job, &progress, std::future::pending())).await;
    let error = ended.unwrap().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.to_string(), "cannot start the guard command `/nonexistent/check`");
    assert!(cause.starts_with("No such file or directory"), "{cause}");
    assert!(server.requests().is_empty());
}
