//! A guard that protects a failing target: it watches how deliveries end, and sets the share of requests that pass.
//!
//! [`Observation`]s with their instants come in, [`GuardChange`]s go out: as a load balancer with passive health checks
//! takes a server out and lets it come back. There is no clock here and nothing is held back here: an
//! `AdmissionControl` on the way to the target does that.
//!
//! It never flaps. A change for the worse waits for half a window after the one before. A change for the better waits
//! for a whole window in which all was well, and longer each time that it proves too early.

mod admission;
mod condition;
mod dependency;
mod fleet;
mod production;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(crate) use admission::{AdmissionControl, GuardHandle};
pub use condition::{GuardCondition, Measure};
pub(crate) use dependency::DependencyWatch;
pub use dependency::{Dependency, DependencySource, JsonSteps, OnUnknown};
pub use production::ProductionConditions;
pub(crate) use production::ProductionWatch;
pub use settings::{GuardAction, GuardActionError, GuardSettings};

use super::Delivery;
use crate::exchange::{FailureKind, Outcome};
use crate::middleware::Share;
use condition::{SlidingWindow, WindowVerdict};

/// The least share that is let in as a share: what would be less is a trickle.
const LEAST: f64 = 1.0 / 64.0;
/// The share that is let in first once a target that got a trickle is well again; it doubles from there.
const FIRST: f64 = 1.0 / 8.0;
/// Largest multiple of the time that all has to be well, after changes for the better proved too early again and again.
const MOST_PATIENCE: u32 = 8;

/// State of a guard: the part of the sample's requests that it lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardState {
    /// Every request passes.
    #[default]
    Passing,
    /// The same share as before passes, and no more: a ramp waits.
    Holding,
    /// A part of it.
    Throttled,
    /// Nothing but a trickle that probes.
    Probing,
    /// Nothing, for good.
    Stopped,
}

impl GuardState {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Holding => "holding",
            Self::Throttled => "throttled",
            Self::Probing => "probing",
            Self::Stopped => "stopped",
        }
    }
}

/// Result of one delivery, as a guard sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// A status of 5xx, or no response at all.
    pub failed: bool,
    /// It did not come in time.
    pub late: bool,
    /// Time from the last byte of the request to the first of the response, where there was one.
    pub service: Option<Duration>,
    /// Time since it was sent, where that is known: a request sent before a change says nothing about the change.
    pub age: Option<Duration>,
    /// The status of its response, where there was one.
    pub status: Option<u16>,
}

impl Observation {
    /// Makes an observation of a delivery that ends `now`; `None` where it never reached the target.
    #[must_use]
    pub fn of(delivery: &Delivery, now: Instant) -> Option<Self> {
        let status = delivery.answer.as_ref().map(|answer| answer.status);
        let age = delivery.answer.as_ref().map(|answer| now.saturating_duration_since(answer.written));
        match delivery.outcome {
            Outcome::Sent => Some(Self {
                failed: status.is_some_and(|s| s >= 500),
                late: false,
                service: delivery.service,
                age,
                status,
            }),
            Outcome::Failed(kind) => Some(Self {
                failed: true,
                late: matches!(kind, FailureKind::Timeout | FailureKind::ConnectTimeout),
                service: delivery.service,
                age,
                status,
            }),
            _ => None,
        }
    }
}

/// Verdict of a guard on its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardVerdict {
    /// There is too little to go by.
    Unknown,
    /// All is well.
    Good,
    /// It is neither.
    Near,
    /// It is past its limits, and this is how, in words for people.
    Past(String),
}

/// A change of the share that a guard lets in.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardChange {
    /// The share that it let in.
    pub from: Share,
    /// The share that it lets in.
    pub to: Share,
    /// Reason, in words for people.
    pub reason: String,
}

/// The guard of one target.
///
/// Invariant: `share` is 1 where the state is `Open` or `Holding`, 0 where it is `Closed` or `Stopped`, and in between
/// where it is `Lowered`.
#[derive(Clone, Debug)]
pub struct Guard {
    action: GuardAction,
    windows: Vec<SlidingWindow>,
    /// Last verdict of each source outside, by its number, with its time: the guard command, dependencies.
    outside: Vec<(Instant, GuardVerdict)>,
    state: GuardState,
    share: f64,
    changed: Instant,
    well_since: Option<Instant>,
    /// Time that all has to be well before more is let in.
    hold_time: Duration,
    base: Duration,
    /// True when more was let in since all was last well for long.
    climbed: bool,
    trips: u64,
    reason: Option<String>,
}

impl Guard {
    /// A guard that lets everything in. `base` is how long all has to be well where there is no condition whose window
    /// says it.
    #[must_use]
    pub fn new(settings: &GuardSettings, base: Duration, at: Instant) -> Self {
        let windows: Vec<SlidingWindow> =
            settings.conditions.iter().map(|condition| SlidingWindow::new(*condition, at)).collect();
        let base = settings.longest().unwrap_or(base);
        Self {
            action: settings.action,
            windows,
            outside: Vec::new(),
            state: GuardState::Passing,
            share: 1.0,
            changed: at,
            well_since: None,
            hold_time: base,
            base,
            climbed: false,
            trips: 0,
            reason: None,
        }
    }

    /// Goes by other conditions from now on, and does something else past them. What it lets in stays as it is.
    pub(crate) fn adopt(&mut self, settings: &GuardSettings, at: Instant) {
        self.windows = settings.conditions.iter().map(|condition| SlidingWindow::new(*condition, at)).collect();
        self.action = settings.action;
        self.base = settings.longest().unwrap_or(self.base);
        (self.hold_time, self.well_since) = (self.base, None);
    }

    /// Takes notice of how a delivery ended, unless it was sent before the last change.
    pub fn take(&mut self, at: Instant, sample: Observation) {
        let age = sample.age.unwrap_or_default();
        if at.saturating_duration_since(self.changed) < age && self.trips > 0 {
            return;
        }
        self.windows.iter_mut().for_each(|window| window.take(at, sample));
    }

    /// Takes the verdict of a source outside, by its number; it stands until the next one of the same source.
    pub(crate) fn hear(&mut self, at: Instant, source: usize, verdict: GuardVerdict) {
        if self.outside.len() <= source {
            self.outside.resize(source + 1, (at, GuardVerdict::Good));
        }
        if let Some(slot) = self.outside.get_mut(source) {
            *slot = (at, verdict);
        }
    }

    /// Returns the state, which says how much is let in.
    #[must_use]
    pub const fn state(&self) -> GuardState {
        self.state
    }

    /// The share that it lets in, of what the sample lets in.
    #[must_use]
    pub const fn share(&self) -> Share {
        Share(self.share)
    }

    /// Returns how often the guard found the target past its limits.
    #[must_use]
    pub const fn trips(&self) -> u64 {
        self.trips
    }

    /// Returns the reason of the last change.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns what the guard waits for before it lets in more, and when it does, in words for people; `None` where it lets
    /// in everything.
    #[must_use]
    pub fn waits_for(&self, at: Instant) -> Option<String> {
        let time = super::spec::format_time;
        match (self.state, self.recovered()) {
            (GuardState::Passing, _) => None,
            (GuardState::Stopped, _) => Some("lets nothing in any more: begin a new run".to_owned()),
            (state, (_, share)) => {
                let next = if state == GuardState::Holding {
                    "lets the ramp go on".to_owned()
                } else {
                    format!("lets in {}", Share(share).rounded())
                };
                let well_for = self.well_since.map(|since| at.saturating_duration_since(since.max(self.changed)));
                Some(match well_for {
                    Some(well_for) => {
                        format!(
                            "well for {}; {next} in {}",
                            time(well_for),
                            time(self.hold_time.saturating_sub(well_for))
                        )
                    }
                    None if state == GuardState::Probing => {
                        format!("probes with a trickle; {next} once all of it is well for {}", time(self.hold_time))
                    }
                    None => format!("{next} once all is well for {}", time(self.hold_time)),
                })
            }
        }
    }

    /// Returns the state and the share that follow once all was well for long enough.
    fn recovered(&self) -> (GuardState, f64) {
        match self.state {
            GuardState::Probing => (GuardState::Throttled, FIRST),
            GuardState::Throttled if self.share * 2.0 < 1.0 => (GuardState::Throttled, self.share * 2.0),
            _ => (GuardState::Passing, 1.0),
        }
    }

    /// Returns the action for a target past its limits.
    #[must_use]
    pub const fn action(&self) -> GuardAction {
        self.action
    }

    /// Judges the target at this instant. Limits that are broken come first, then those that nearly are.
    pub fn judge(&mut self, at: Instant) -> GuardVerdict {
        let since = self.changed;
        let mut verdict = self.heard();
        for window in &mut self.windows {
            let finding = match window.finding(at, since) {
                WindowVerdict::Unknown => GuardVerdict::Unknown,
                WindowVerdict::Good => GuardVerdict::Good,
                WindowVerdict::Near => GuardVerdict::Near,
                WindowVerdict::Past(reason) => GuardVerdict::Past(reason),
            };
            if finding.rank() > verdict.rank() {
                verdict = finding;
            }
        }
        verdict
    }

    /// Returns the worst verdict of the sources outside; each verdict to throttle counts once.
    fn heard(&self) -> GuardVerdict {
        let verdicts = self.outside.iter().map(|(at, verdict)| match verdict {
            GuardVerdict::Past(_) if *at <= self.changed => &GuardVerdict::Near,
            verdict => verdict,
        });
        // Of equals the first source counts.
        let worst = verdicts.reduce(|worst, other| if other.rank() > worst.rank() { other } else { worst });
        worst.cloned().unwrap_or(GuardVerdict::Good)
    }

    /// Lets time pass, and does what the verdict asks for.
    pub fn tick(&mut self, at: Instant, verdict: GuardVerdict) -> Option<GuardChange> {
        if self.state == GuardState::Stopped {
            return None;
        }
        match verdict {
            GuardVerdict::Past(reason) => self.brake(at, reason),
            GuardVerdict::Good => self.recover(at),
            GuardVerdict::Near | GuardVerdict::Unknown => {
                self.well_since = None;
                None
            }
        }
    }

    /// Somebody else did what a verdict asked for, such as a ramp: what was seen before counts no more.
    pub(crate) fn spared(&mut self, at: Instant, reason: String) {
        self.trips += 1;
        self.reason = Some(reason);
        self.begin_anew(at);
    }

    fn brake(&mut self, at: Instant, reason: String) -> Option<GuardChange> {
        let (from, before) = (self.share(), self.state);
        (self.state, self.share) = match self.action {
            GuardAction::Hold => (GuardState::Holding, self.share),
            GuardAction::StepDown if self.share / 2.0 >= LEAST => (GuardState::Throttled, self.share / 2.0),
            GuardAction::StepDown | GuardAction::Pause => (GuardState::Probing, 0.0),
            GuardAction::Stop => (GuardState::Stopped, 0.0),
        };
        if std::mem::take(&mut self.climbed) {
            self.hold_time = (self.hold_time * 2).min(self.base * MOST_PATIENCE);
        }
        self.spared(at, reason.clone());
        // A target that fails a trickle, or that is held as it is, was told of before.
        let is_news = self.state != before || self.state == GuardState::Throttled;
        is_news.then(|| GuardChange { from, to: self.share(), reason })
    }

    fn recover(&mut self, at: Instant) -> Option<GuardChange> {
        let since = *self.well_since.get_or_insert(at);
        let well_for = at.saturating_duration_since(since.max(self.changed));
        if self.state == GuardState::Passing {
            if well_for >= self.base * MOST_PATIENCE {
                (self.hold_time, self.climbed) = (self.base, false);
            }
            return None;
        }
        if well_for < self.hold_time {
            return None;
        }
        let from = self.share();
        (self.state, self.share) = self.recovered();
        self.climbed = true;
        self.begin_anew(at);
        let reason = format!("well for {}", super::spec::format_time(well_for));
        Some(GuardChange { from, to: self.share(), reason })
    }

    fn begin_anew(&mut self, at: Instant) {
        self.changed = at;
        self.well_since = None;
        self.windows.iter_mut().for_each(|window| window.clear(at));
    }
}

impl GuardVerdict {
    /// Returns the rank of a verdict: the highest one wins, where several conditions have one each.
    const fn rank(&self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Unknown => 1,
            Self::Near => 2,
            Self::Past(_) => 3,
        }
    }
}
