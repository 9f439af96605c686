//! Protection of the targets during a run: results of deliveries go in, guards and the ramp judge them, and their
//! decisions reach the admission controls, the share and the [`Control`].
//!
//! Time stops here while the run is paused. With several targets, each has a guard of its own, and the ramp, which
//! applies to all of them, follows the worst of them: it climbs where all hold.

mod fleet;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use crate::middleware::Share;
use crate::pipeline::children::OwnChild;
use crate::pipeline::control::{Control, RampState, TargetState};
use crate::pipeline::dependency::{self, DependencyProbe};
use crate::pipeline::guard_command::{self, GuardCommand};
use crate::pipeline::run::{Run, RunError};
use crate::replay::guard::{
    AdmissionControl, DependencyWatch, Guard, GuardAction, GuardChange, GuardHandle, GuardSettings, GuardVerdict,
    Observation,
};
use crate::replay::ramp::RampPlan;
use crate::replay::{Delivery, GuardState, Ramp, TargetId};
use crate::report::schema::steps::StepCause;
use crate::report::{RampEnd, RunTotals, TargetGuard};
use fleet::FleetProtection;
pub(super) use fleet::shared_names;

/// Longest and shortest time between two looks; else a tenth of the shortest time that a guard or a ramp knows.
const LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// Time that all has to be well before more is let in, where the guard command alone decides and no guard has a window.
const WELL: Duration = Duration::from_secs(10);

/// Number of the guard command among the sources that guards hear; those of dependencies follow.
const COMMAND: usize = 0;

/// Spares the targets of one run. Clones are one and the same; where there is nothing to keep, it does nothing.
#[derive(Clone)]
pub(super) struct ProtectionController {
    kept: Option<Arc<Mutex<Protection>>>,
    control: Control,
    every: Duration,
}

struct Protection {
    ramp: Option<Ramp>,
    /// The ramp as it was typed.
    plan: Option<String>,
    targets: Vec<GuardedTarget>,
    /// The replayers that share the recording, where it is one of several.
    fleet: Option<FleetProtection>,
}

/// What a target is called here, and among replayers that share a recording.
struct SharedTarget {
    url: String,
    name: String,
}

/// One target.
struct GuardedTarget {
    url: String,
    shared: SharedTarget,
    guard: Option<(Guard, GuardHandle, GuardSettings)>,
}

impl ProtectionController {
    /// Builds the protection that `run` asks for.
    pub(super) fn new(run: &Run, control: &Control) -> Self {
        let at = control.clock();
        let settings = || run.targets.iter().filter_map(|target| target.guard.as_ref());
        let times =
            settings().filter_map(GuardSettings::shortest).chain(run.ramp.iter().filter_map(RampPlan::shortest));
        let every = times.min().map_or(LOOKS.1, |time| (time / 10).clamp(LOOKS.0, LOOKS.1));
        let is_needed = run.ramp.is_some() || settings().next().is_some();
        let urls: Vec<_> = run.targets.iter().map(|target| target.target.to_string()).collect();
        let names = shared_names(&urls);
        let kept = is_needed.then(|| Protection {
            ramp: run.ramp.clone().map(|plan| Ramp::new(plan, at)),
            plan: run.ramp.as_ref().map(ToString::to_string),
            targets: run.targets.iter().zip(names).map(|(target, name)| GuardedTarget::new(target, name, at)).collect(),
            fleet: run.reading_session().map(FleetProtection::new),
        });
        let controller = Self { kept: kept.map(|kept| Arc::new(Mutex::new(kept))), control: control.clone(), every };
        if let Some(kept) = controller.lock() {
            kept.show(control);
        }
        controller
    }

    /// One that spares nothing.
    #[cfg(test)]
    pub(super) fn none(control: &Control) -> Self {
        Self { kept: None, control: control.clone(), every: LOOKS.1 }
    }

    /// Begins to spare the targets, with `command` where there is one: it is run at once, so that a mistake in it is told
    /// now. `dependencies` are asked from now on; a Redis that answers without the field is a mistake.
    pub(super) fn start(
        &self,
        runtime: &Runtime,
        command: Option<GuardCommand>,
        dependencies: Vec<DependencyWatch>,
    ) -> Result<Vec<JoinHandle<()>>, RunError> {
        let mut tasks = vec![runtime.spawn(self.clone().run())];
        for (source, watch) in (COMMAND + 1..).zip(dependencies) {
            let failed = |why| RunError::Dependency { dependency: watch.dependency().to_string(), why };
            let mut probe = DependencyProbe::new(watch.dependency().clone()).map_err(failed)?;
            // What may be ignored may lack its number, too.
            if !watch.ignores_unknown() {
                runtime.block_on(probe.check()).map_err(failed)?;
            }
            tasks.push(runtime.spawn(self.clone().ask(source, probe, watch)));
        }
        if let Some(guard) = command {
            let _context = runtime.enter();
            let started = Instant::now();
            let first = guard_command::start(&guard.command);
            let first =
                first.map_err(|source| RunError::GuardCommand { command: guard.command.to_string(), source })?;
            tasks.push(runtime.spawn(self.clone().repeat(guard, first, started)));
        }
        Ok(tasks)
    }

    /// Runs the command again and again, until it is dropped.
    async fn repeat(self, guard: GuardCommand, first: OwnChild, mut started: Instant) {
        let mut child = Ok(first);
        loop {
            let word = match child {
                Ok(child) => guard_command::word_of(child).await,
                Err(error) => Some(format!("the guard command cannot be run: {error}")),
            };
            self.hear(COMMAND, &word.map_or(GuardVerdict::Good, GuardVerdict::Past));
            sleep_until(started + guard.every).await;
            started = Instant::now();
            child = guard_command::start(&guard.command);
        }
    }

    /// Asks a dependency again and again, until it is dropped.
    async fn ask(self, source: usize, mut probe: DependencyProbe, mut watch: DependencyWatch) {
        loop {
            let started = Instant::now();
            let reading = probe.read().await;
            let (verdict, news) = watch.judge(Instant::now(), reading);
            if let Some(news) = news {
                let share = self.control.share();
                self.control.note(None, StepCause::Dependency, share, share, news);
            }
            self.hear(source, &verdict);
            sleep_until(started + dependency::EVERY).await;
        }
    }

    /// The gate before a target, where it has a guard.
    pub(super) fn gate(&self, target: TargetId) -> Option<AdmissionControl> {
        let kept = self.lock()?;
        let (_, handle, settings) = kept.targets.get(target.index())?.guard.as_ref()?;
        Some(AdmissionControl::new(handle.clone(), settings))
    }

    /// Takes notice of how a delivery ended, as soon as it has.
    pub(super) fn observe(&self, delivery: &Delivery) {
        if self.kept.is_none() {
            return;
        }
        let Some(sample) = Observation::of(delivery, Instant::now()) else { return };
        let at = self.control.clock();
        let Some(mut kept) = self.lock() else { return };
        let Some(target) = delivery.destination.target() else { return };
        if let Some((guard, ..)) = kept.targets.get_mut(target.index()).and_then(|target| target.guard.as_mut()) {
            guard.take(at, sample);
        }
    }

    /// Passes the verdict of a source outside to the guard of every target.
    fn hear(&self, source: usize, verdict: &GuardVerdict) {
        let Some(mut kept) = self.lock() else { return };
        let at = self.control.clock();
        kept.guards().for_each(|(_, guard, _)| guard.hear(at, source, verdict.clone()));
    }

    /// Looks again and again, until it is dropped.
    async fn run(self) {
        if self.kept.is_none() {
            return std::future::pending().await;
        }
        let mut looks = tokio::time::interval(self.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        let Some(mut kept) = self.lock() else { return };
        kept.look(&self.control);
        kept.show(&self.control);
    }

    /// Returns the actions of a target's guard.
    pub(super) fn end_of(&self, target: usize) -> Option<TargetGuard> {
        self.lock()?.targets.get(target)?.reported()
    }

    /// Returns the totals of the share for the report.
    pub(super) fn ends(&self) -> RunTotals {
        RunTotals { ramp: self.end_of_ramp(), ..self.control.ends() }
    }

    fn end_of_ramp(&self) -> Option<RampEnd> {
        let kept = self.lock()?;
        let standing = kept.ramp.as_ref()?.standing();
        let (past, reason) = standing.broke.unzip();
        let (step, steps, share) = (standing.step, standing.steps, standing.share.0);
        Some(RampEnd { plan: kept.plan.clone()?, step, steps, share, past: past.map(|share| share.0), reason })
    }

    fn lock(&self) -> Option<MutexGuard<'_, Protection>> {
        // What a thread that died left behind is whole: each call is one step.
        self.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl GuardedTarget {
    fn new(target: &crate::replay::SendSettings, name: String, at: Instant) -> Self {
        let guard =
            target.guard.clone().map(|settings| (Guard::new(&settings, WELL, at), GuardHandle::default(), settings));
        let url = target.target.to_string();
        Self { shared: SharedTarget { url: url.clone(), name }, url, guard }
    }

    fn reported(&self) -> Option<TargetGuard> {
        let (guard, ..) = self.guard.as_ref()?;
        Some(TargetGuard {
            state: guard.state(),
            held_share: 1.0 - guard.share().0,
            trips: guard.trips(),
            reason: guard.reason().map(str::to_owned),
        })
    }
}

impl Protection {
    fn guards(&mut self) -> impl Iterator<Item = (&str, &mut Guard, &GuardHandle)> {
        let guarded = self.targets.iter_mut().filter_map(|target| Some((target.url.as_str(), target.guard.as_mut()?)));
        guarded.map(|(url, (guard, handle, _))| (url, guard, &*handle))
    }

    fn look(&mut self, control: &Control) {
        let at = control.clock();
        if let Some(settings) = control.take_guard() {
            self.guards().for_each(|(_, guard, _)| guard.adopt(&settings, at));
        }
        let verdicts: Vec<GuardVerdict> = self.guards().map(|(_, guard, _)| guard.judge(at)).collect();
        let before = self.fleet.is_some().then(|| self.decision());
        let was_spared = self.step_ramp(at, &verdicts, control);
        let mut left = 0;
        for ((url, guard, handle), verdict) in self.guards().zip(verdicts) {
            match verdict {
                GuardVerdict::Past(reason) if was_spared => guard.spared(at, reason),
                verdict => {
                    if let Some(GuardChange { from, to, reason }) = guard.tick(at, verdict) {
                        handle.set(to, guard.state());
                        control.note(Some(url.to_owned()), StepCause::Guard, from, to, reason);
                    }
                }
            }
            left += usize::from(guard.state() != GuardState::Stopped);
        }
        if let Some(before) = before {
            self.decide(&before);
        }
        let all = self.targets.len();
        if left == 0 && self.guards().count() == all {
            control.stop_because("the guard of every target stopped it");
        }
    }

    /// Steps the ramp. Returns whether it went back a step, so that the guards need not throttle.
    fn step_ramp(&mut self, at: Instant, verdicts: &[GuardVerdict], control: &Control) -> bool {
        if self.ramp.is_some() && control.is_by_hand() {
            let share = control.share();
            control.note(None, StepCause::Ramp, share, share, "ended: the share was set by hand".to_owned());
            self.ramp = None;
        }
        let (verdict, action) = self.of_all(verdicts);
        let Some(ramp) = &mut self.ramp else { return false };
        let change = match &verdict {
            GuardVerdict::Past(reason) => ramp.back(at, reason, action),
            verdict => ramp.climb(at, verdict),
        };
        let Some(GuardChange { from, to, reason }) = change else { return false };
        control.turn(to);
        control.note(None, StepCause::Ramp, from, to, reason);
        matches!(verdict, GuardVerdict::Past(_))
    }

    /// Returns the verdict and action that the ramp follows: the worst of all targets that get anything. A target that is not
    /// let in whole is not well. One of which too little is known holds up the ramp only where it was past its limits.
    fn of_all(&mut self, verdicts: &[GuardVerdict]) -> (GuardVerdict, GuardAction) {
        let are_several = self.targets.len() > 1;
        let judged = self.guards().zip(verdicts).filter(|((_, guard, _), _)| guard.state() != GuardState::Stopped);
        let ranked = judged.map(|((url, guard, _), verdict)| {
            let (rank, verdict) = match verdict {
                GuardVerdict::Past(reason) => {
                    let reason = if are_several { format!("{reason} at {url}") } else { reason.clone() };
                    (4 + u8::from(guard.action() == GuardAction::StepDown), GuardVerdict::Past(reason))
                }
                GuardVerdict::Near => (3, GuardVerdict::Near),
                _ if guard.state() != GuardState::Passing => (3, GuardVerdict::Near),
                GuardVerdict::Unknown => (if guard.trips() > 0 { 2 } else { 0 }, GuardVerdict::Unknown),
                GuardVerdict::Good => (1, GuardVerdict::Good),
            };
            (rank, verdict, guard.action())
        });
        let worst = ranked.max_by_key(|(rank, ..)| *rank);
        worst.map_or((GuardVerdict::Unknown, GuardAction::default()), |(_, verdict, action)| (verdict, action))
    }

    /// Puts up where everything stands, for whoever asks.
    fn show(&self, control: &Control) {
        let ramp = self.ramp.as_ref().map(|ramp| {
            let standing = ramp.standing();
            RampState { step: standing.step, steps: standing.steps, held: ramp.held().map(str::to_owned) }
        });
        let at = control.clock();
        let waits_for = |target: &GuardedTarget| target.guard.as_ref().and_then(|(guard, ..)| guard.waits_for(at));
        let targets = self.targets.iter().map(|target| TargetState {
            target: target.url.clone(),
            guard: target.reported(),
            waits_for: waits_for(target),
        });
        control.show(ramp, targets.collect());
    }
}

/// The share that a run begins with: that of its ramp, or else of its sample.
pub(super) fn first_share(run: &Run) -> Share {
    run.ramp.as_ref().map_or(run.middleware.sample, RampPlan::first)
}
