//! What two runs sent, and how: whether their latencies and rates can be held against each other.

use crate::report::schema::counts::sum;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::TargetSummary;
use crate::report::units::number;
use crate::report::verdict::speed;

/// Fewest durations on either side for which latencies are compared, and requests for which rates are.
pub(super) const ENOUGH: u64 = 30;

/// Seconds of either run from which its requests a second say something: before, it begins and ends.
const LONG_S: f64 = 1.0;

/// How the requests of both runs were sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pacing {
    /// Both on a schedule.
    Scheduled,
    /// Both as fast as the target took them (`--speed max`).
    Max,
    /// One so, one so.
    Mixed,
}

/// What both runs sent, and how.
pub(super) struct Loads {
    pub(super) pacing: Pacing,
    /// Requests a second; `None` where that is not known.
    pub(super) rates: [Option<f64>; 2],
    /// Most requests in flight.
    pub(super) in_flight: [u64; 2],
    /// Whether the rates can be held against each other: there is enough of both runs.
    are_long: bool,
}

impl Loads {
    pub(super) fn of(sides: [(&Summary, &TargetSummary); 2]) -> Self {
        let scheduled = sides.map(|(_, target)| speed::is_judged(target));
        let pacing = match scheduled {
            [true, true] => Pacing::Scheduled,
            [false, false] => Pacing::Max,
            _ => Pacing::Mixed,
        };
        let tried = |target: &TargetSummary| target.ended.sent + sum(&target.ended.failed);
        let rates = sides.map(|(summary, target)| {
            (summary.duration_s > 0.0).then(|| tried(target) as f64 / summary.duration_s).filter(|rate| *rate > 0.0)
        });
        let in_flight = sides.map(|(_, target)| target.peak_in_flight);
        let are_long = sides.iter().all(|(summary, target)| summary.duration_s >= LONG_S && tried(target) >= ENOUGH);
        Self { pacing, rates, in_flight, are_long }
    }

    /// Returns the ratio of the rates, the later to the earlier.
    fn ratio(&self) -> Option<f64> {
        if let [Some(before), Some(after)] = self.rates { Some(after / before) } else { None }
    }

    /// Returns the ratio of the rates where they are those that the target takes: without a schedule, and with as many requests
    /// at once.
    pub(super) fn judged_ratio(&self) -> Option<f64> {
        let is_judged = self.pacing == Pacing::Max && self.are_long && self.in_flight[0] == self.in_flight[1];
        self.ratio().filter(|_| is_judged)
    }

    /// What is to be known of the latencies.
    pub(super) fn note(&self) -> Option<String> {
        let not_judged = "Latencies are not judged";
        match self.pacing {
            Pacing::Mixed => Some(format!("{not_judged}: one run kept a schedule, the other did not (--speed max).")),
            Pacing::Max => {
                let [before, after] = self.in_flight;
                let other = if before == after {
                    "requests a second say what the target takes".to_owned()
                } else {
                    format!(
                        "nor is the rate, with {} requests in flight at most before and {} after",
                        number(before),
                        number(after)
                    )
                };
                Some(format!("{not_judged}: at --speed max each run makes its own load; {other}."))
            }
            Pacing::Scheduled => {
                let ratio = self.ratio().filter(|_| self.are_long)?;
                let [before, after] = self.rates.map(|rate| rate.map(rate_words).unwrap_or_default());
                (!(1.0 / speed::RATIO..=speed::RATIO).contains(&ratio)).then(|| {
                    format!("The load was not the same: {before} requests a second before, {after} after. Latencies are of that.")
                })
            }
        }
    }
}

/// A rate with three digits or more.
pub(super) fn rate_words(rate: f64) -> String {
    let whole = || number(format!("{rate:.0}").parse().unwrap_or_default());
    if rate < 99.95 { format!("{rate:.1}") } else { whole() }
}
