//! Control of a run in progress: the share, a pause, the end.
//!
//! The input is commands of people, of a ramp and of guards; the run reads the resulting state. A read costs an atomic
//! load. Each change is kept as a [`RampStep`], and reported to the listener.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::save_trigger::SaveTrigger;

use crate::middleware::{DynamicShare, Share};
use crate::replay::guard::GuardSettings;
use crate::report::collect::steps::RampSteps;
use crate::report::schema::steps::{RampStep, StepCause};
use crate::report::{RunTotals, Started, TargetGuard};
use crate::serve::control::ControlCommand;
use crate::telemetry::{GuardWord, WordSender};

/// Who steers a run from its own host.
const BY_HAND: &str = "by hand";

/// Callback for each step.
pub(crate) type ControlListener = Arc<dyn Fn(&RampStep) + Send + Sync>;

/// Steers one run, from any thread. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Control(Arc<ControlState>);

#[derive(Default)]
struct ControlState {
    dial: DynamicShare,
    /// True when a person set the share: then no ramp changes it any more.
    by_hand: AtomicBool,
    paused: AtomicBool,
    /// Nanoseconds of all pauses that are over.
    stood_still: AtomicU64,
    /// True when the run was asked to end; set before the tasks that end it are notified.
    stopping: AtomicBool,
    stop: watch::Sender<bool>,
    saves: SaveTrigger,
    board: Mutex<ControlBoard>,
    /// Notified once the board is that of a run.
    begun: Condvar,
}

/// State that is not read with each request.
#[derive(Default)]
struct ControlBoard {
    /// True once a run goes by it.
    is_begun: bool,
    paused_since: Option<Instant>,
    begun_with: Share,
    ramp: Option<RampState>,
    targets: Vec<TargetState>,
    steps: RampSteps,
    listener: Option<ControlListener>,
    /// New conditions of guards, until they go by them.
    guard: Option<GuardSettings>,
    /// Who is told of guards, and the command that it is told by.
    words: Option<(&'static str, WordSender)>,
}

/// Current state of a run's controls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// The share that the sample lets in, from 0 to 1.
    pub share: f64,
    /// True when nothing is sent for now.
    pub paused: bool,
    /// True when the run was asked to end.
    pub stopping: bool,
    /// State of the ramp, if any.
    pub ramp: Option<RampState>,
    /// State of each target's protection, in the order of the targets.
    pub targets: Vec<TargetState>,
    /// Saves that a dashcam was asked for; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saves: Option<u64>,
}

/// State of a ramp.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampState {
    /// Current step, from 1.
    pub step: usize,
    /// Number of steps.
    pub steps: usize,
    /// Reason why it does not climb for now, as text for people.
    pub held: Option<String>,
}

/// State of one target's protection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetState {
    /// Its URL.
    pub target: String,
    /// State of its guard; `None` where it has none.
    pub guard: Option<TargetGuard>,
    /// What its guard waits for before it lets in more, and when it does, as text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

impl Control {
    /// Does what a command says; how the run stands is in [`Control::state`].
    pub fn obey(&self, command: ControlCommand) {
        self.obey_for(command, BY_HAND);
    }

    /// The same, where `who` is said with it.
    pub(super) fn obey_for(&self, command: ControlCommand, who: &str) {
        match command {
            ControlCommand::Sample(share) => self.set_share_for(share, who),
            ControlCommand::Pause => self.pause_for(who),
            ControlCommand::Resume => self.resume_for(who),
            ControlCommand::Stop => self.end(StepCause::Control, &format!("stopped {who}")),
            ControlCommand::Save => self.save("saved by hand"),
            ControlCommand::Status => {}
        }
    }

    /// Has a dashcam write out what it keeps, where the run is one. `reason` is said with it.
    pub fn save(&self, reason: &str) {
        self.0.saves.ask(reason);
    }

    /// Returns whether the run has a dashcam.
    #[must_use]
    pub fn can_save(&self) -> bool {
        self.0.saves.is_heeded()
    }

    /// What asks for saves.
    pub(super) fn saves(&self) -> &SaveTrigger {
        &self.0.saves
    }

    /// Sets the share that the sample lets in. A ramp goes no further after that.
    pub fn set_share(&self, share: Share) {
        self.set_share_for(share, BY_HAND);
    }

    fn set_share_for(&self, share: Share, who: &str) {
        let from = self.share();
        self.0.by_hand.store(true, Ordering::Relaxed);
        self.0.dial.set(share);
        self.note(None, StepCause::Control, from, share, format!("set {who}"));
    }

    /// The same, since the configuration says so now.
    pub fn configure_share(&self, share: Share) {
        let from = self.share();
        self.0.by_hand.store(true, Ordering::Relaxed);
        self.0.dial.set(share);
        self.note(None, StepCause::Control, from, share, "the configuration was read again".to_owned());
    }

    /// Has guards go by other conditions. A target without a guard has none after that, either.
    pub fn configure_guard(&self, settings: GuardSettings) {
        self.board().guard = Some(settings);
    }

    /// Takes new conditions of guards, where there are any.
    pub(super) fn take_guard(&self) -> Option<GuardSettings> {
        self.board().guard.take()
    }

    /// The share that the sample lets in.
    #[must_use]
    pub fn share(&self) -> Share {
        self.0.dial.share()
    }

    /// Sends nothing until it is resumed. A file waits, and its schedule with it; what is captured live in the meantime
    /// is held back.
    pub fn pause(&self) {
        self.pause_for(BY_HAND);
    }

    fn pause_for(&self, who: &str) {
        if !self.0.paused.swap(true, Ordering::Relaxed) {
            self.board().paused_since = Some(Instant::now());
            self.note(None, StepCause::Control, self.share(), Share(0.0), format!("paused {who}"));
        }
    }

    /// Resumes a paused run.
    pub fn resume(&self) {
        self.resume_for(BY_HAND);
    }

    fn resume_for(&self, who: &str) {
        let Some(since) = self.board().paused_since.take() else { return };
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.stood_still.fetch_add(nanos, Ordering::Relaxed);
        // Whoever sees that it goes on sees by how much the schedule has moved.
        self.0.paused.store(false, Ordering::Release);
        self.note(None, StepCause::Control, Share(0.0), self.share(), format!("resumed {who}"));
    }

    /// Returns whether nothing is sent for now.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Acquire)
    }

    /// Ends the run in order, as SIGINT does.
    pub fn stop(&self) {
        self.obey(ControlCommand::Stop);
    }

    /// The same, for a reason of its own.
    pub(super) fn stop_because(&self, reason: &str) {
        self.end(StepCause::Guard, reason);
    }

    fn end(&self, what: StepCause, reason: &str) {
        if !self.0.stopping.swap(true, Ordering::Relaxed) {
            // First the step is kept: a run that has little left to do has ended a moment after it was asked to.
            self.note(None, what, self.share(), Share(0.0), reason.to_owned());
            self.0.stop.send_replace(true);
        }
    }

    /// Ready once the run is asked to end.
    pub async fn stopped(&self) {
        // The sender lives as long as this does.
        self.0.stop.subscribe().wait_for(|stop| *stop).await.ok();
    }

    /// Returns the current state of the controls.
    #[must_use]
    pub fn state(&self) -> RunState {
        let board = self.board();
        RunState {
            share: self.share().0,
            paused: self.is_paused(),
            stopping: self.0.stopping.load(Ordering::Relaxed),
            ramp: board.ramp.clone(),
            targets: board.targets.clone(),
            saves: self.can_save().then(|| self.0.saves.asked()),
        }
    }

    /// Calls `listener` for each step from now on, on the thread that makes the change.
    pub fn listen(&self, listener: ControlListener) {
        self.board().listener = Some(listener);
    }

    /// Has `words` told of each change by a guard from now on.
    pub(super) fn tell(&self, command: &'static str, words: WordSender) {
        self.board().words = Some((command, words));
    }

    /// Waits, on this thread, until the run goes by what is said here: a word before that would be lost, and the state is
    /// that of no run.
    pub fn wait_for_begin(&self) {
        let board = self.0.begun.wait_while(self.board(), |board| !board.is_begun);
        drop(board.unwrap_or_else(PoisonError::into_inner));
    }

    /// From now on words are heard, and the state is that of the run.
    pub(super) fn open(&self) {
        self.board().is_begun = true;
        self.0.begun.notify_all();
    }

    /// Returns the share used by the run's sample.
    pub(crate) fn dial(&self) -> DynamicShare {
        self.0.dial.clone()
    }

    /// A run begins, with this share, though another may have been asked for, to these targets.
    pub(super) fn begin(&self, share: Share, asked: Share, targets: impl Iterator<Item = String>) {
        self.0.dial.set(share);
        let mut board = self.board();
        board.begun_with = asked;
        board.targets = targets.map(|target| TargetState { target, ..TargetState::default() }).collect();
    }

    /// Turns the dial, unless a person did.
    pub(super) fn turn(&self, share: Share) {
        if !self.is_by_hand() {
            self.0.dial.set(share);
        }
    }

    /// Returns whether a person set the share.
    pub(super) fn is_by_hand(&self) -> bool {
        self.0.by_hand.load(Ordering::Relaxed)
    }

    /// Puts up where ramp and guards stand.
    pub(super) fn show(&self, ramp: Option<RampState>, targets: Vec<TargetState>) {
        let mut board = self.board();
        (board.ramp, board.targets) = (ramp, targets);
    }

    /// A clock that stands still while the run is paused.
    pub(super) fn clock(&self) -> Instant {
        let now = self.board().paused_since.unwrap_or_else(Instant::now);
        now.checked_sub(self.stood_still()).unwrap_or(now)
    }

    /// By how much the schedule has moved because of pauses that are over.
    pub(super) fn stood_still(&self) -> Duration {
        Duration::from_nanos(self.0.stood_still.load(Ordering::Relaxed))
    }

    /// Records a step, and reports it to the listener.
    pub(super) fn note(&self, target: Option<String>, what: StepCause, from: Share, to: Share, reason: String) {
        let step = RampStep { at: Started::now().at.to_string(), target, what, from: from.0, to: to.0, reason };
        tracing::info!("{step}");
        if what == StepCause::Guard
            && let Some((command, words)) = self.board().words.as_ref()
        {
            words.send(GuardWord { step: step.clone(), command });
        }
        let listener = self.board().listener.clone();
        if let Some(listener) = listener {
            listener(&step);
        }
        self.board().steps.push(step);
    }

    /// Returns the totals for the report: the steps, and the share requested last where it differs from that of the
    /// beginning.
    pub(super) fn ends(&self) -> RunTotals {
        let (share, board) = (self.share(), self.board());
        let asked = (share != board.begun_with).then_some(share.0);
        RunTotals { steps: board.steps.clone(), asked, ..RunTotals::default() }
    }

    fn board(&self) -> MutexGuard<'_, ControlBoard> {
        // What is on it is whole at any time.
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(control: &Control) -> Vec<String> {
        control.ends().steps.kept().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clones_are_one_and_the_same() {
        let control = Control::default();
        let other = control.clone();
        other.set_share(Share(0.25));
        other.pause();
        assert_eq!((control.share(), control.is_paused()), (Share(0.25), true));
        assert!(control.state().paused);
    }

    #[tokio::test(start_paused = true)]
    async fn the_schedule_moves_by_pauses_that_are_over() {
        let control = Control::default();
        control.pause();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(control.stood_still(), Duration::ZERO);
        control.pause();
        tokio::time::advance(Duration::from_secs(4)).await;
        control.resume();
        control.resume();
        assert_eq!(control.stood_still(), Duration::from_secs(7));
        control.pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        control.resume();
        assert_eq!(control.stood_still(), Duration::from_secs(8));
    }

    #[tokio::test]
    async fn a_stop_is_seen_whether_it_came_before_or_after() {
        let control = Control::default();
        let waits = tokio::spawn({
            let control = control.clone();
            async move { control.stopped().await }
        });
        tokio::task::yield_now().await;
        control.stop();
        waits.await.unwrap();
        control.stopped().await;
        assert!(control.state().stopping);
    }

    #[test]
    fn who_comes_before_the_run_has_begun_waits_and_sees_its_targets() {
        let control = Control::default();
        let early = std::thread::spawn({
            let control = control.clone();
            move || {
                control.wait_for_begin();
                control.set_share(Share(0.25));
                control.state()
            }
        });
        control.begin(Share(1.0), Share(1.0), ["http://new".to_owned()].into_iter());
        control.open();
        let state = early.join().unwrap();
        assert_eq!((state.targets.len(), control.share()), (1, Share(0.25)));
    }

    #[test]
    fn each_change_is_one_step_and_is_told() {
        let control = Control::default();
        let told = Arc::new(AtomicU64::default());
        let count = Arc::clone(&told);
        control.listen(Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        control.set_share(Share(0.5));
        control.pause();
        control.pause();
        control.resume();
        control.resume();
        control.stop();
        control.stop();
        assert_eq!(
            reasons(&control),
            [
                "control: 100% -> 50%: set by hand",
                "control: 50% -> 0%: paused by hand",
                "control: 0% -> 50%: resumed by hand",
                "control: 50% -> 0%: stopped by hand",
            ]
        );
        assert_eq!(told.load(Ordering::Relaxed), 4);
    }
}
