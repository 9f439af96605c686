//! The share in steps, from little to all: `1%:45s,5%:45s,10%:1m,50%:1m,100%`.
//!
//! Instants and a guard's verdicts come in, [`GuardChange`]s of the share go out. There is no clock here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

use super::guard::{GuardAction, GuardChange, GuardVerdict};
use super::spec::{SpecError, SpecPart, format_time, time};
use crate::middleware::Share;

/// Example of a ramp, for error messages.
const EXAMPLE: &str = "1%:45s,5%:45s,10%:1m,50%:1m,100%";
/// Most steps of a ramp.
const MAX_STEPS: usize = 100;
/// Largest multiple of a step's time that is waited after the step failed, before it is tried again.
const MOST_PATIENCE: u32 = 8;

/// The steps of a ramp.
#[derive(Clone, Debug, PartialEq)]
pub struct RampPlan(Vec<RampStage>);

/// One step of a ramp.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RampStage {
    share: Share,
    /// Length of the step; the last one stays.
    lasts: Option<Duration>,
}

/// Position of a ramp.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RampStatus {
    /// Current step, from 1.
    pub step: usize,
    /// Number of steps.
    pub steps: usize,
    /// The share that it let in last.
    pub share: Share,
    /// The lowest share that did not hold and was not reached again since, and why.
    pub broke: Option<(Share, String)>,
}

/// A ramp that climbs.
///
/// Invariant: `at` is a step of the plan, and `step_budget` is at least 1.
#[derive(Clone, Debug)]
pub struct Ramp {
    plan: RampPlan,
    at: usize,
    /// Since when the step stands, or since when nothing was against it.
    since: Instant,
    /// Multiple of the plan's time for which a step is held.
    step_budget: u32,
    broke: Option<(Share, String)>,
}

impl RampPlan {
    /// The share to begin with.
    #[must_use]
    pub fn first(&self) -> Share {
        self.0.first().map_or(Share(1.0), |stage| stage.share)
    }

    /// The shares of its steps, from the first on.
    pub fn shares(&self) -> impl Iterator<Item = Share> {
        self.0.iter().map(|stage| stage.share)
    }

    /// The shortest of its steps.
    #[must_use]
    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.0.iter().filter_map(|stage| stage.lasts).min()
    }
}

impl Ramp {
    /// A ramp that stands at its first step.
    #[must_use]
    pub const fn new(plan: RampPlan, at: Instant) -> Self {
        Self { plan, at: 0, since: at, step_budget: 1, broke: None }
    }

    /// The share that it lets in.
    #[must_use]
    pub fn share(&self) -> Share {
        self.plan.0.get(self.at).map_or(Share(1.0), |stage| stage.share)
    }

    /// Returns the current position.
    #[must_use]
    pub(crate) fn standing(&self) -> RampStatus {
        let steps = self.plan.0.len();
        RampStatus { step: self.at + 1, steps, share: self.share(), broke: self.broke.clone() }
    }

    /// Returns the reason that it does not climb for now.
    #[must_use]
    pub fn held(&self) -> Option<&str> {
        self.broke.as_ref().map(|(_, reason)| reason.as_str())
    }

    /// Lets time pass: it climbs once its step has lasted, and all is well with the target. After a step that failed it
    /// takes that to be known to be well.
    pub fn climb(&mut self, at: Instant, verdict: &GuardVerdict) -> Option<GuardChange> {
        let lasts = self.plan.0.get(self.at)?.lasts?;
        let goes_on = match verdict {
            GuardVerdict::Good => true,
            GuardVerdict::Unknown => self.broke.is_none(),
            GuardVerdict::Near | GuardVerdict::Past(_) => false,
        };
        if !goes_on {
            // It has to last anew only where that was already awaited.
            if self.broke.is_some() {
                self.since = at;
            }
            return None;
        }
        let lasts = lasts * self.step_budget;
        if at.saturating_duration_since(self.since) < lasts {
            return None;
        }
        let from = self.share();
        self.at += 1;
        self.since = at;
        if self.broke.as_ref().is_some_and(|(share, _)| self.share().0 > share.0) {
            (self.broke, self.step_budget) = (None, 1);
        }
        Some(GuardChange { from, to: self.share(), reason: format!("{from} held for {}", format_time(lasts)) })
    }

    /// The target is past its limits. Goes back a step where that is asked for and there is one; otherwise it stays where
    /// it is, and waits.
    pub fn back(&mut self, at: Instant, reason: &str, action: GuardAction) -> Option<GuardChange> {
        let from = self.share();
        self.since = at;
        if self.broke.is_some() {
            self.step_budget = (self.step_budget * 2).min(MOST_PATIENCE);
        }
        self.broke = Some((from, reason.to_owned()));
        if action != GuardAction::StepDown || self.at == 0 {
            return None;
        }
        self.at -= 1;
        Some(GuardChange { from, to: self.share(), reason: reason.to_owned() })
    }
}

/// One of several ramps, of which each goes where one of them went.
impl Ramp {
    /// Goes to the step, from 1, to which another replayer went; `reason` is why it fell, where it did.
    pub(crate) fn follow(&mut self, at: Instant, step: usize, reason: &str) -> Option<GuardChange> {
        let to = step.saturating_sub(1).min(self.plan.0.len().saturating_sub(1));
        let (from, before) = (self.share(), self.at);
        if to == before {
            return None;
        }
        self.since = at;
        let reason = if to < before {
            if self.broke.is_some() {
                self.step_budget = (self.step_budget * 2).min(MOST_PATIENCE);
            }
            self.broke = Some((from, reason.to_owned()));
            reason.to_owned()
        } else {
            format!("{from} held")
        };
        self.at = to;
        if self.broke.as_ref().is_some_and(|(share, _)| self.share().0 > share.0) {
            (self.broke, self.step_budget) = (None, 1);
        }
        Some(GuardChange { from, to: self.share(), reason })
    }
}

impl FromStr for RampPlan {
    type Err = SpecError;

    fn from_str(typed: &str) -> Result<Self, SpecError> {
        let mut stages: Vec<RampStage> = Vec::new();
        let mut parts = SpecPart::whole(typed).parts().peekable();
        while let Some(part) = parts.next() {
            let wrong = |piece: SpecPart<'_>, why: String| piece.wrong(typed, why, EXAMPLE);
            let (share, lasts) = part.split(":").map_or((part, None), |(share, lasts)| (share, Some(lasts)));
            let read = share.text.parse::<Share>().map_err(|_| {
                wrong(share, format!("`{}` is no share, a number from 0 to 100 and a percent sign", share.text))
            })?;
            if stages.last().is_some_and(|before| before.share.0 >= read.0) {
                return Err(wrong(share, format!("{read} is not more than the step before: a ramp rises")));
            }
            let lasts = lasts.map(|lasts| time(lasts).map_err(|why| wrong(lasts, why))).transpose()?;
            match (lasts, parts.peek()) {
                (None, Some(_)) => {
                    return Err(wrong(part, format!("`{}` does not say how long it lasts", part.text)));
                }
                (Some(_), None) => {
                    return Err(wrong(
                        part,
                        format!("`{}` is the last step, and stays: leave out its time", part.text),
                    ));
                }
                _ => {}
            }
            if stages.len() == MAX_STEPS {
                return Err(wrong(part, format!("{MAX_STEPS} steps are the most")));
            }
            stages.push(RampStage { share: read, lasts });
        }
        Ok(Self(stages))
    }
}

/// As typed.
impl fmt::Display for RampPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, stage) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", stage.share)?;
            if let Some(lasts) = stage.lasts {
                write!(f, ":{}", format_time(lasts))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "1%:45s,5%:45s,10%:1m,100%";

    fn ramp() -> (Ramp, Instant) {
        let begin = Instant::now();
        (Ramp::new(PLAN.parse().unwrap(), begin), begin)
    }

    fn shares(change: Option<GuardChange>) -> Option<(f64, f64)> {
        change.map(|change| (change.from.0, change.to.0))
    }

    #[test]
    fn ramps_are_read_and_printed() {
        for typed in [PLAN, "50%", "0.1%:500ms,100%"] {
            assert_eq!(typed.parse::<RampPlan>().unwrap().to_string(), typed);
        }
        assert_eq!(" 1% : 45s , 100% ".parse::<RampPlan>().unwrap().to_string(), "1%:45s,100%");
    }

    #[track_caller]
    fn refused(typed: &str, at: usize, why: &str) {
        let error = typed.parse::<RampPlan>().unwrap_err();
        assert_eq!((error.at, error.why.contains(why)), (at, true), "{error}");
        assert!(error.to_string().contains("write such as '1%:45s,5%:45s,"), "{error}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        refused("", 1, "`` is no share");
        refused("1:45s,100%", 1, "`1` is no share");
        refused("1%:45s,5%,100%", 8, "does not say how long");
        refused("1%:45,100%", 4, "`45` is no length of time");
        refused("1%:45s,100%:1m", 8, "the last step");
        refused("10%:45s,5%:1m,100%", 9, "a ramp rises");
        refused("1%:45s,", 8, "`` is no share");
    }

    #[test]
    fn it_climbs_when_its_time_has_come() {
        let (mut ramp, begin) = ramp();
        let mut climb = |seconds| shares(ramp.climb(begin + Duration::from_secs(seconds), &GuardVerdict::Unknown));
        assert_eq!(climb(44), None);
        assert_eq!(climb(45), Some((0.01, 0.05)));
        assert_eq!(climb(89), None);
        assert_eq!(climb(90), Some((0.05, 0.1)));
        assert_eq!(climb(150), Some((0.1, 1.0)));
        assert_eq!(climb(9999), None);
        assert_eq!(ramp.standing().step, 4);
    }

    #[test]
    fn it_goes_back_a_step_waits_longer_each_time_and_says_what_broke() {
        let (mut ramp, begin) = ramp();
        let at = |seconds| begin + Duration::from_secs(seconds);
        ramp.climb(at(45), &GuardVerdict::Good);
        assert_eq!(shares(ramp.back(at(60), "p99", GuardAction::StepDown)), Some((0.05, 0.01)));
        assert_eq!(ramp.climb(at(104), &GuardVerdict::Good), None);
        assert_eq!(ramp.climb(at(200), &GuardVerdict::Unknown), None, "it takes that all is known to be well");
        assert_eq!(ramp.climb(at(244), &GuardVerdict::Good), None);
        assert_eq!(shares(ramp.climb(at(245), &GuardVerdict::Good)), Some((0.01, 0.05)));
        assert_eq!(shares(ramp.back(at(250), "p99", GuardAction::StepDown)), Some((0.05, 0.01)));
        assert_eq!(ramp.climb(at(339), &GuardVerdict::Good), None, "twice as long");
        assert!(ramp.climb(at(340), &GuardVerdict::Good).is_some());
        assert_eq!(ramp.standing().broke, Some((Share(0.05), "p99".to_owned())));
        assert!(ramp.climb(at(430), &GuardVerdict::Good).is_some(), "past it all is forgotten");
        assert_eq!(ramp.standing().broke, None);
    }

    #[test]
    fn at_its_first_step_or_where_it_is_to_hold_it_stays() {
        let (mut ramp, begin) = ramp();
        assert_eq!(ramp.back(begin, "errors", GuardAction::StepDown), None);
        assert_eq!(ramp.climb(begin + Duration::from_secs(44), &GuardVerdict::Good), None);
        assert!(ramp.climb(begin + Duration::from_secs(45), &GuardVerdict::Good).is_some());
        assert_eq!(ramp.back(begin, "errors", GuardAction::Hold), None);
        assert_eq!(ramp.share(), Share(0.05));
    }
}
