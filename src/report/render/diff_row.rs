//! One figure of two runs: what it was, what it is, and whether that is for the better.

use crate::report::schema::counts::LatencySummary;
use crate::report::units::{duration, number};

use super::loads::ENOUGH;

/// Standard errors from which two shares differ.
const ERRORS: f64 = 3.0;

/// Ratio from which two latencies differ.
const RATIO: f64 = 1.1;

/// Microseconds from which two latencies differ: less is what the machine that sends adds.
const DISTANCE_US: u64 = 1_000;

/// Placeholder for a figure that was not measured.
pub(super) const NOTHING: &str = "–";

/// Figure of a latency summary to compare.
pub(super) type LatencyPick = fn(&LatencySummary) -> u64;

/// Direction of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// For the better.
    Better,
    /// For the worse.
    Worse,
    /// Not at all, or not more than chance would.
    Same,
}

impl Trend {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Same => "",
        }
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffRow {
    /// Name of the figure.
    pub name: String,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
    /// Direction of the change.
    pub turn: Trend,
}

pub(super) fn share_row(name: &str, before: (u64, u64), after: (u64, u64)) -> DiffRow {
    let shown = |(some, all): (u64, u64)| match all {
        0 => NOTHING.to_owned(),
        all => format!("{} ({})", percent(some as f64 / all as f64), number(some)),
    };
    DiffRow { name: name.to_owned(), before: shown(before), after: shown(after), turn: turn_of_share(before, after) }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// By the standard error of the difference of two shares, were they the same.
fn turn_of_share((some, all): (u64, u64), (new_some, new_all): (u64, u64)) -> Trend {
    if all == 0 || new_all == 0 {
        return Trend::Same;
    }
    let (all, new_all) = (all as f64, new_all as f64);
    let difference = new_some as f64 / new_all - some as f64 / all;
    let together = (some + new_some) as f64 / (all + new_all);
    let error = (together * (1.0 - together) * (1.0 / all + 1.0 / new_all)).sqrt();
    match difference {
        difference if difference > ERRORS * error && error > 0.0 => Trend::Worse,
        difference if -difference > ERRORS * error && error > 0.0 => Trend::Better,
        _ => Trend::Same,
    }
}

pub(super) fn time_row(name: &str, before: &LatencySummary, after: &LatencySummary, at: LatencyPick) -> DiffRow {
    let shown = |figures: &LatencySummary| if figures.count == 0 { NOTHING.to_owned() } else { duration(at(figures)) };
    DiffRow { name: name.to_owned(), before: shown(before), after: shown(after), turn: turn_of_time(before, after, at) }
}

fn turn_of_time(before: &LatencySummary, after: &LatencySummary, at: LatencyPick) -> Trend {
    let ratio = at(after).max(1) as f64 / at(before).max(1) as f64;
    match ratio {
        _ if at(after).abs_diff(at(before)) < DISTANCE_US => Trend::Same,
        _ if before.count < ENOUGH || after.count < ENOUGH => Trend::Same,
        ratio if ratio > RATIO => Trend::Worse,
        ratio if ratio < 1.0 / RATIO => Trend::Better,
        _ => Trend::Same,
    }
}
