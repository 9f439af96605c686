//! A limit for a target: the share of bad results among the deliveries of the last moments.
//!
//! Samples with their instants come in; whether the limit holds comes out. A percentile is a limit on the share that is
//! slower: p99 is above 800 ms where more than 1 % of the responses took longer.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::super::spec::{SpecPart, format_time, time};
use super::Observation;
use crate::fleet::OutcomeCounts;
use crate::middleware::Share;

/// Samples that a window must hold before it may say that a limit is broken.
pub(crate) const MIN_SAMPLES: u64 = 20;
/// Bad ones among them: fewer prove nothing, whatever their share.
pub(crate) const MIN_BAD: u64 = 3;
/// Samples that a window must hold before it may say that all is well: a trickle brings few.
pub(crate) const MIN_PROBES: u64 = 5;
/// The part of a limit below which all is well again. What lies between is neither, so that a target at its limit is not
/// let in and held back in turn.
pub(super) const WELL_BELOW: f64 = 0.8;
/// Slots of a window: it slides by one of them.
const SLOTS: u32 = 20;

/// A limit over a sliding window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardCondition {
    /// Measure that makes a delivery count as bad.
    pub measure: Measure,
    /// The share of bad ones that is borne, from 0 to 1.
    pub limit: f64,
    /// True when the limit itself is too much already (`>=`).
    pub at_limit: bool,
    /// Length of the sliding window.
    pub window: Duration,
}

/// Measure of bad deliveries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// A status of 5xx, or no response at all.
    Errors,
    /// A status from the first to the last of these.
    Status {
        /// The first.
        from: u16,
        /// The last: the same for one status, 599 for `5xx`.
        to: u16,
    },
    /// A response whose service time is longer, or that did not come in time.
    Slower {
        /// Than this.
        than: Duration,
        /// The percentile that was typed, from 0 to 100.
        percentile: f64,
    },
}

impl GuardCondition {
    /// Reads `errors>5%/10s` or `p99>800ms/30s`; says what is wrong, and where.
    pub(super) fn read(part: SpecPart<'_>) -> Result<Self, (SpecPart<'_>, String)> {
        let Some((subject, rest)) = part.split(">") else {
            return Err((part, format!("`{}` has no `>`", part.text)));
        };
        let (rest, at_limit) = rest.after("=").map_or((rest, false), |rest| (rest, true));
        let Some((limit, window)) = rest.split("/") else {
            return Err((rest, format!("`{}` does not say over what time: a slash and a time follow", rest.text)));
        };
        let window = time(window).map_err(|why| (window, why))?;
        let (measure, limit) = measure(subject, limit)?;
        Ok(Self { measure, limit, at_limit, window })
    }

    /// Returns whether the condition is only broken once it was broken for its whole window: nothing worse than
    /// everything can come.
    const fn is_total(&self) -> bool {
        self.limit >= 1.0
    }

    fn is_bad(&self, sample: Observation) -> bool {
        match self.measure {
            Measure::Errors => sample.failed,
            Measure::Status { from, to } => sample.status.is_some_and(|status| (from..=to).contains(&status)),
            Measure::Slower { than, .. } => sample.late || sample.service.is_some_and(|service| service > than),
        }
    }

    /// Returns whether the sample is relevant to this condition.
    const fn counts(&self, sample: Observation) -> bool {
        !matches!(self.measure, Measure::Slower { .. }) || sample.late || sample.service.is_some()
    }

    /// Counts deliveries of others that are relevant to this condition, and the bad ones among them.
    fn count(&self, others: &OutcomeCounts) -> (u64, u64) {
        match self.measure {
            Measure::Errors => (others.samples, others.failed),
            Measure::Status { from, to } => (others.samples, others.with_status(from, to)),
            Measure::Slower { than, .. } => (others.timed(), others.slower_than(than)),
        }
    }

    /// Describes `bad` deliveries of `samples`, in words for people; `others` of them are those of other replayers.
    fn words(&self, samples: u64, bad: u64, others: u64) -> String {
        let of_others = match others {
            0 => String::new(),
            _ if others == samples => "; all of them at other replayers".to_owned(),
            _ => format!("; {others} of them at other replayers"),
        };
        self.own_words(samples, bad) + &of_others
    }

    fn own_words(&self, samples: u64, bad: u64) -> String {
        let share = Share(bad as f64 / samples.max(1) as f64).rounded();
        let window = format_time(self.window);
        let than = if self.at_limit { "at least" } else { "more than" };
        match self.measure {
            Measure::Errors => format!("errors {share} of {samples} in {window}, {than} {}", Share(self.limit)),
            Measure::Status { from, to } => {
                let status = format_statuses(from, to);
                format!("{status} {share} of {samples} in {window}, {than} {}", Share(self.limit))
            }
            Measure::Slower { than, percentile } => {
                format!("p{percentile} above {}: {share} of {samples} in {window} took longer", format_time(than))
            }
        }
    }
}

/// Parses the measure and its limit.
fn measure<'a>(subject: SpecPart<'a>, limit: SpecPart<'a>) -> Result<(Measure, f64), (SpecPart<'a>, String)> {
    let shares = if subject.text == "errors" { Some(Measure::Errors) } else { statuses(subject.text) };
    if let Some(measure) = shares {
        let share: Share = limit
            .text
            .parse()
            .map_err(|_| (limit, format!("`{}` is no share: a number from 0 to 100 and a percent sign", limit.text)))?;
        return Ok((measure, share.0));
    }
    let percentile =
        subject.after("p").filter(|digits| digits.text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_')));
    let percentile: Option<f64> = percentile.and_then(|digits| match digits.text {
        // As other programs write p99.9.
        "999" => Some(99.9),
        text => text.replace('_', ".").parse().ok(),
    });
    let Some(percentile) = percentile.filter(|percentile| (1.0..100.0).contains(percentile)) else {
        return Err((
            subject,
            format!("`{}` is neither errors nor a percentile such as p99, nor a status such as 5xx", subject.text),
        ));
    };
    let than = time(limit).map_err(|why| (limit, why))?;
    Ok((Measure::Slower { than, percentile }, 1.0 - percentile / 100.0))
}

/// A class of statuses, or one: `5xx`, `503`.
fn statuses(typed: &str) -> Option<Measure> {
    if let Some(class) = typed.strip_suffix("xx") {
        let class = class.parse::<u16>().ok().filter(|class| class.to_string() == typed.trim_end_matches('x'))?;
        return (1..=5).contains(&class).then_some(Measure::Status { from: class * 100, to: class * 100 + 99 });
    }
    let status = typed.parse::<u16>().ok().filter(|status| (100..=599).contains(status) && typed.len() == 3)?;
    Some(Measure::Status { from: status, to: status })
}

fn format_statuses(from: u16, to: u16) -> String {
    if from == to { from.to_string() } else { format!("{}xx", from / 100) }
}

/// As typed.
impl fmt::Display for GuardCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_limit { ">=" } else { ">" };
        match self.measure {
            Measure::Errors => write!(f, "errors{sign}{}", Share(self.limit))?,
            Measure::Status { from, to } => write!(f, "{}{sign}{}", format_statuses(from, to), Share(self.limit))?,
            Measure::Slower { than, percentile } => write!(f, "p{percentile}{sign}{}", format_time(than))?,
        }
        write!(f, "/{}", format_time(self.window))
    }
}

/// Verdict of a window on its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WindowVerdict {
    /// There are too few samples for a verdict.
    Unknown,
    /// It is well below its limit.
    Good,
    /// It is neither broken nor well below.
    Near,
    /// It is broken, and this is how.
    Past(String),
}

#[derive(Clone, Copy, Debug, Default)]
struct WindowSlot {
    samples: u64,
    bad: u64,
    /// Samples among them that other replayers counted.
    others: u64,
}

/// The samples of one condition's time.
///
/// Invariant: `slots` covers the time from `begins`, each for `condition.window / SLOTS`.
#[derive(Clone, Debug)]
pub(super) struct SlidingWindow {
    pub(super) condition: GuardCondition,
    slots: std::collections::VecDeque<WindowSlot>,
    begins: Instant,
}

impl SlidingWindow {
    pub(super) fn new(condition: GuardCondition, at: Instant) -> Self {
        Self { condition, slots: std::collections::VecDeque::with_capacity(SLOTS as usize), begins: at }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, at: Instant) {
        self.slots.clear();
        self.begins = at;
    }

    fn slot(&self) -> Duration {
        (self.condition.window / SLOTS).max(Duration::from_micros(1))
    }

    /// Lets time pass: what is older than the window goes.
    fn slide(&mut self, at: Instant) {
        let slot = self.slot();
        let past = at.saturating_duration_since(self.begins).as_nanos() / slot.as_nanos();
        let too_many = u32::try_from(past).unwrap_or(u32::MAX).saturating_sub(SLOTS - 1);
        if too_many == 0 {
            return;
        }
        let gone = self.slots.len().min(too_many as usize);
        self.slots.drain(..gone);
        self.begins += slot.saturating_mul(too_many);
    }

    pub(super) fn take(&mut self, at: Instant, sample: Observation) {
        if self.condition.counts(sample) {
            self.add(at, WindowSlot { samples: 1, bad: u64::from(self.condition.is_bad(sample)), others: 0 });
        }
    }

    /// Takes what other replayers counted in the last second or so.
    pub(super) fn take_others(&mut self, at: Instant, others: &OutcomeCounts) {
        let (samples, bad) = self.condition.count(others);
        if samples > 0 {
            self.add(at, WindowSlot { samples, bad: bad.min(samples), others: samples });
        }
    }

    fn add(&mut self, at: Instant, more: WindowSlot) {
        self.slide(at);
        let index = at.saturating_duration_since(self.begins).as_nanos() / self.slot().as_nanos();
        let index = usize::try_from(index).unwrap_or(usize::MAX).min(SLOTS as usize - 1);
        while self.slots.len() <= index {
            self.slots.push_back(WindowSlot::default());
        }
        if let Some(slot) = self.slots.get_mut(index) {
            slot.samples += more.samples;
            slot.bad += more.bad;
            slot.others += more.others;
        }
    }

    /// Returns the window's verdict; `since` is the time of the last change in the target's treatment.
    pub(super) fn finding(&mut self, at: Instant, since: Instant) -> WindowVerdict {
        self.slide(at);
        let samples: u64 = self.slots.iter().map(|slot| slot.samples).sum();
        let bad: u64 = self.slots.iter().map(|slot| slot.bad).sum();
        let (share, GuardCondition { limit, at_limit, window, .. }) =
            (bad as f64 / samples.max(1) as f64, self.condition);
        let broken = share > limit || (at_limit && share >= limit);
        let long_enough = if self.condition.is_total() {
            self.is_covered(at)
        } else {
            at.saturating_duration_since(since) >= window / 2
        };
        match () {
            () if samples < MIN_PROBES => WindowVerdict::Unknown,
            () if broken && long_enough && samples >= MIN_SAMPLES && bad >= MIN_BAD => {
                let others = self.slots.iter().map(|slot| slot.others).sum();
                WindowVerdict::Past(self.condition.words(samples, bad, others))
            }
            () if share <= limit * WELL_BELOW => WindowVerdict::Good,
            () => WindowVerdict::Near,
        }
    }

    /// Returns whether there are samples from the beginning of the window on.
    fn is_covered(&self, at: Instant) -> bool {
        let first = self.slots.iter().position(|slot| slot.samples > 0).unwrap_or(0);
        let first = self.begins + self.slot().saturating_mul(u32::try_from(first).unwrap_or(u32::MAX));
        at.saturating_duration_since(first) >= self.condition.window * 9 / 10
    }
}
