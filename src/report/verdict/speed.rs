//! When latencies count as slower: by a ratio and a distance, on enough samples, so that chance alone would not do it.
//!
//! **The rule.** A percentile is slower where it is `RATIO` times the other, and further from it than its distance, with
//! enough samples on both sides: that of `PERCENTILES`. On fewer, from [`FEW`] on, everything is slower where the least is
//! by as much above the other's greatest.
//!
//! Production's latency was taken on the wire, so its counterpart is the target's service time. The response time has the
//! lag of this machine in it, too. Without a schedule (`--speed max`) the run makes its own queue at the target: speed is
//! not judged then.

use crate::report::schema::counts::LatencySummary;
use crate::report::schema::target::TargetSummary;

/// Ratio from which a percentile counts as slower.
pub(crate) const RATIO: f64 = 1.25;

/// Fewest samples of each side by which anything is told.
pub const FEW: u64 = 8;

/// A percentile by which speed is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percentile {
    /// Its name.
    pub name: &'static str,
    /// The figure.
    pub of: fn(&LatencySummary) -> u64,
    /// Fewest samples on each side.
    pub samples: u64,
    /// Least distance, in microseconds: below it lies what the machine that sends, and the way to the target, may add.
    pub distance_us: u64,
}

/// The percentiles by which speed is judged, that which is named first where several are slower.
pub(crate) const PERCENTILES: [Percentile; 3] = [
    Percentile { name: "p95", of: |figures| figures.p95, samples: 100, distance_us: 5_000 },
    Percentile { name: "p50", of: |figures| figures.p50, samples: 30, distance_us: 2_000 },
    Percentile { name: "p99", of: |figures| figures.p99, samples: 500, distance_us: 10_000 },
];

/// A percentile on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowdown {
    /// The percentile.
    pub name: &'static str,
    /// Before, in microseconds.
    pub before: u64,
    /// After.
    pub after: u64,
}

impl Slowdown {
    /// How many times as long it takes.
    #[must_use]
    pub(crate) fn ratio(self) -> f64 {
        self.after as f64 / self.before.max(1) as f64
    }
}

/// Returns whether the speed of a target is judged: requests were sent to it on a schedule.
#[must_use]
pub(crate) const fn is_judged(target: &TargetSummary) -> bool {
    target.schedule_lag_us.is_some()
}

/// Returns where `after` is slower than `before`; `None` where it is not, or chance would do it.
#[must_use]
pub fn slower(before: &LatencySummary, after: &LatencySummary) -> Option<Slowdown> {
    let is_slower = |one: &&Percentile| one.is_slower(before, after);
    let found = PERCENTILES.iter().find(is_slower).map(|one| one.name);
    let name = found.or_else(|| is_apart(before, after).then_some("p50"))?;
    PERCENTILES.iter().find(|one| one.name == name).map(|one| one.both(before, after))
}

/// The first percentile with enough samples on both sides.
#[must_use]
pub fn known(before: &LatencySummary, after: &LatencySummary) -> Option<Slowdown> {
    PERCENTILES.iter().find(|one| one.is_known(before, after)).map(|one| one.both(before, after))
}

impl Percentile {
    /// Whether `after` is slower than `before` at this percentile.
    #[must_use]
    pub(crate) fn is_slower(&self, before: &LatencySummary, after: &LatencySummary) -> bool {
        self.is_known(before, after) && is_beyond((self.of)(before), (self.of)(after), self.distance_us)
    }

    /// Whether there are enough samples of it. Summaries of earlier versions have no p95: it is zero there.
    fn is_known(&self, before: &LatencySummary, after: &LatencySummary) -> bool {
        [before, after].iter().all(|figures| figures.count >= self.samples && (self.of)(figures) >= figures.min)
    }

    fn both(&self, before: &LatencySummary, after: &LatencySummary) -> Slowdown {
        Slowdown { name: self.name, before: (self.of)(before), after: (self.of)(after) }
    }
}

/// Whether even the least of `after` is beyond the greatest of `before`: of eight on each side that is chance once in 12,870
/// times.
fn is_apart(before: &LatencySummary, after: &LatencySummary) -> bool {
    before.count >= FEW && after.count >= FEW && is_beyond(before.max, after.min, PERCENTILES[1].distance_us)
}

fn is_beyond(before: u64, after: u64, distance_us: u64) -> bool {
    after >= before.saturating_add(distance_us) && after as f64 >= RATIO * before as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(count: u64, min: u64, p50: u64, p95: u64, p99: u64) -> LatencySummary {
        LatencySummary { count, min, mean: p50, p50, p90: p95, p95, p99, p99_9: p99, max: p99 }
    }

    #[track_caller]
    fn check(before: (u64, u64), after: (u64, u64), expected: Option<&str>) {
        let [before, after] = [before, after].map(|(count, p50)| figures(count, p50 / 2, p50, p50 * 2, p50 * 4));
        assert_eq!(slower(&before, &after).map(|found| found.name), expected, "{before:?} {after:?}");
    }

    #[test]
    fn a_percentile_is_slower_by_a_ratio_and_a_distance_on_enough_samples() {
        check((500, 10_000), (500, 13_000), Some("p95"));
        // The ratio alone, and the distance alone.
        check((9_000, 100), (9_000, 900), None);
        check((9_000, 100_000), (9_000, 110_000), None);
        // Too few for the tail.
        check((99, 10_000), (500, 13_000), Some("p50"));
        check((29, 10_000), (500, 13_000), None);
        check((500, 13_000), (500, 10_000), None);
        let [before, after] = [10_000, 13_000].map(|us| LatencySummary { p95: 0, ..figures(500, us / 2, us, us, us) });
        assert_eq!(slower(&before, &after).map(|found| found.name), Some("p50"), "as an earlier version wrote it");
    }

    #[test]
    fn a_tail_alone_counts_and_a_single_slow_one_does_not() {
        let before = figures(500, 1_000, 2_000, 3_000, 4_000);
        assert_eq!(slower(&before, &figures(500, 1_000, 2_000, 3_000, 90_000)).unwrap().name, "p99");
        assert_eq!(slower(&before, &LatencySummary { max: 9_000_000, ..before.clone() }), None);
    }

    #[test]
    fn few_count_where_they_are_all_apart() {
        let before = figures(8, 10_000, 12_000, 13_000, 14_000);
        let after = figures(8, 300_000, 309_000, 310_000, 312_000);
        assert_eq!(slower(&before, &after), Some(Slowdown { name: "p50", before: 12_000, after: 309_000 }));
        assert_eq!(slower(&figures(7, 1, 1, 1, 1), &after), None);
        assert_eq!(slower(&before, &LatencySummary { min: 9_000, ..after }), None);
    }
}
