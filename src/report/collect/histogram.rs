//! Durations in, a few figures out: a histogram in fixed memory (about 200 KiB), whatever the run's length.

use std::borrow::Cow;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::schema::counts::LatencySummary;
use crate::report::schema::curves::Curve;

use super::curves::curve;
use super::histogram_text::HistogramContents;

/// Longest duration that is recorded exactly, one hour in microseconds: longer ones are recorded as this (the exact
/// maximum is kept).
const LONGEST_US: u64 = 3_600_000_000;

/// Significant decimal digits that are kept of each duration.
const DIGITS: u8 = 3;

/// Significant decimal digits of a coarse histogram: 26 KiB instead of 200, where there are hundreds of them.
const COARSE_DIGITS: u8 = 2;

/// A histogram of durations in whole microseconds.
#[derive(Clone, Debug, Default)]
pub struct LatencyHistogram {
    coarse: bool,
    /// Made with the first duration: most histograms of most runs stay empty.
    counts: Option<Histogram<u64>>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
    /// What was taken back.
    removed: Option<Box<Self>>,
}

impl LatencyHistogram {
    /// A histogram that keeps two significant digits: each quantile is within 1 % of a duration that was recorded.
    #[must_use]
    pub(crate) fn coarse() -> Self {
        Self { coarse: true, ..Self::default() }
    }

    /// Records one duration, rounded down to a microsecond.
    pub fn record(&mut self, duration: Duration) {
        self.record_us(micros(duration));
    }

    /// Records one duration in microseconds.
    pub(crate) fn record_us(&mut self, us: u64) {
        self.min = if self.count == 0 { us } else { self.min.min(us) };
        self.max = self.max.max(us);
        self.count += 1;
        self.sum += u128::from(us);
        if self.counts.is_none() {
            // Cannot fail: the bounds and the digits are constants within what the crate takes.
            let digits = if self.coarse { COARSE_DIGITS } else { DIGITS };
            self.counts = Histogram::new_with_bounds(1, LONGEST_US, digits).ok();
        }
        if let Some(counts) = &mut self.counts {
            counts.saturating_record(us);
        }
    }

    /// Takes back a duration that was recorded: figures and curves are without it from now on.
    pub fn remove(&mut self, duration: Duration) {
        self.remove_us(micros(duration));
    }

    /// The same, in microseconds.
    pub(crate) fn remove_us(&mut self, us: u64) {
        let coarse = self.coarse;
        self.removed.get_or_insert_with(|| Box::new(Self { coarse, ..Self::default() })).record_us(us);
    }

    /// How many were recorded, with those that were taken back.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Latency by percentile.
    #[must_use]
    pub fn curve(&self) -> Curve {
        let left = self.left();
        let Some(counts) = &left.counts else { return Curve::new() };
        curve(left.count, left.max, |share| counts.value_at_quantile(share).clamp(left.min, left.max))
    }

    /// What is left where something was taken back. A minimum or maximum that was is known by its digits then.
    fn left(&self) -> Cow<'_, Self> {
        let Some(removed) = &self.removed else { return Cow::Borrowed(self) };
        let mut left = Self { counts: None, removed: None, ..*self };
        left.count = self.count.saturating_sub(removed.count);
        left.sum = self.sum.saturating_sub(removed.sum);
        if let (Some(mut counts), Some(less)) = (self.counts.clone(), &removed.counts)
            && left.count > 0
            && counts.subtract(less).is_ok()
        {
            left.min = if removed.min > self.min { self.min } else { counts.min() };
            left.max = if removed.max < self.max { self.max } else { counts.max().min(self.max) };
            left.counts = Some(counts);
        }
        Cow::Owned(left)
    }

    /// The sum of all, in microseconds, with those that were taken back.
    #[must_use]
    pub(crate) const fn sum_us(&self) -> u128 {
        self.sum
    }

    /// How many were at most as long as each of `edges_us`, which ascend. A duration next to an edge may be counted on
    /// its other side, always the same one, by the digits that are kept. Those that were taken back are among them.
    #[must_use]
    pub(crate) fn at_most<const N: usize>(&self, edges_us: &[u64; N]) -> [u64; N] {
        let mut counts = [0; N];
        let Some(recorded) = &self.counts else { return counts };
        for step in recorded.iter_recorded() {
            let edge = edges_us.partition_point(|edge| *edge < step.value_iterated_to());
            if let Some(count) = counts.get_mut(edge) {
                *count += step.count_since_last_iteration();
            }
        }
        let mut so_far = 0;
        for count in &mut counts {
            so_far += *count;
            *count = so_far;
        }
        counts
    }

    /// The figures, where anything was recorded.
    #[must_use]
    pub(crate) fn some_figures(&self) -> Option<LatencySummary> {
        (self.count > 0).then(|| self.figures())
    }

    /// The figures; minimum, mean and maximum are exact.
    #[must_use]
    pub fn figures(&self) -> LatencySummary {
        let left = self.left();
        let Some(counts) = &left.counts else { return LatencySummary::default() };
        // A bucket is told by its upper edge, which may lie above the greatest value in it.
        let quantile = |q| counts.value_at_quantile(q).clamp(left.min, left.max);
        LatencySummary {
            count: left.count,
            min: left.min,
            mean: u64::try_from(left.sum / u128::from(left.count.max(1))).unwrap_or(u64::MAX),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: left.max,
        }
    }
}

impl LatencyHistogram {
    /// The value below which so many percent lie; 0 where nothing was recorded.
    #[must_use]
    pub(crate) fn at_percentile(&self, percentile: f64) -> u64 {
        let left = self.left();
        left.counts.as_ref().map_or(0, |counts| counts.value_at_percentile(percentile).clamp(left.min, left.max))
    }
}

impl LatencyHistogram {
    /// The duration of this rank, from 1, in ascending order; 0 where nothing was recorded.
    #[must_use]
    pub(crate) fn at_rank(&self, rank: u64) -> u64 {
        let left = self.left();
        // The middle of the rank: no rounding makes its neighbor of it.
        let share = (rank as f64 - 0.5).max(0.0) / left.count.max(1) as f64;
        left.counts.as_ref().map_or(0, |counts| counts.value_at_quantile(share).clamp(left.min, left.max))
    }
}

impl LatencyHistogram {
    /// Everything in it as text, without what was taken back; empty where there is nothing.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let left = self.left();
        let Some(counts) = left.counts.as_ref().filter(|_| left.count > 0) else { return String::new() };
        let buckets = counts.iter_recorded().map(|step| (step.value_iterated_to(), step.count_since_last_iteration()));
        let sum = u64::try_from(left.sum).unwrap_or(u64::MAX);
        HistogramContents { min: left.min, max: left.max, sum, buckets: buckets.collect() }.text(DIGITS.into())
    }

    /// Reads such a text; `None` where it is none.
    #[must_use]
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let contents = HistogramContents::read(text, DIGITS.into())?;
        let mut counts = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok()?;
        contents.buckets.iter().for_each(|(us, count)| counts.saturating_record_n(*us, *count));
        let HistogramContents { min, max, sum, .. } = contents;
        let count = contents.count()?;
        Some(Self { counts: Some(counts), count, sum: sum.into(), min, max, ..Self::default() })
    }

    /// Records everything that another one has. Both were read from texts: nothing was taken back of either.
    pub(crate) fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.counts = match (self.counts.take(), other.counts) {
            // Cannot fail: both have the same bounds and digits.
            (Some(mut counts), Some(more)) => counts.add(&more).is_ok().then_some(counts),
            (counts, more) => counts.or(more),
        };
    }
}

/// A duration in whole microseconds, rounded down.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(us: impl IntoIterator<Item = u64>) -> LatencySummary {
        let mut durations = LatencyHistogram::default();
        for us in us {
            durations.record_us(us);
        }
        durations.figures()
    }

    #[test]
    fn an_empty_histogram_is_all_zeros() {
        assert_eq!(figures([]), LatencySummary::default());
    }

    #[test]
    fn one_value_is_every_figure() {
        let f = LatencySummary {
            count: 1,
            min: 1234,
            mean: 1234,
            p50: 1234,
            p90: 1234,
            p95: 1234,
            p99: 1234,
            p99_9: 1234,
            max: 1234,
        };
        assert_eq!(figures([1234]), f);
    }

    #[test]
    fn quantiles_of_a_known_series_are_within_three_digits() {
        let f = figures(1..=10_000);
        for (got, want) in [(f.p50, 5_000), (f.p90, 9_000), (f.p95, 9_500), (f.p99, 9_900), (f.p99_9, 9_990)] {
            assert!(got.abs_diff(want) * 1000 <= want, "{got} is not {want}");
        }
        assert_eq!((f.count, f.min, f.mean, f.max), (10_000, 1, 5_000, 10_000));
    }

    #[test]
    fn a_coarse_histogram_is_within_one_per_cent() {
        let mut durations = LatencyHistogram::coarse();
        (1..=10_000).for_each(|us| durations.record_us(us));
        let f = durations.figures();
        for (got, want) in [(f.p50, 5_000), (f.p90, 9_000), (f.p95, 9_500), (f.p99, 9_900)] {
            assert!(got.abs_diff(want) * 100 <= want, "{got} is not {want}");
        }
        assert_eq!((f.count, f.min, f.max), (10_000, 1, 10_000));
    }

    #[test]
    fn a_duration_is_found_by_its_rank() {
        let mut durations = LatencyHistogram::default();
        (1..=100).for_each(|us| durations.record_us(us));
        assert_eq!([1, 2, 50, 99, 100].map(|rank| durations.at_rank(rank)), [1, 2, 50, 99, 100]);
        assert_eq!(LatencyHistogram::default().at_rank(1), 0);
    }

    #[test]
    fn what_is_at_most_as_long_as_an_edge_is_counted_below_it_and_every_later_one() {
        let mut durations = LatencyHistogram::default();
        assert_eq!(durations.at_most(&[1, 2]), [0, 0]);
        for us in [0, 100, 100, 500, 999, 7_000, 2 * LONGEST_US] {
            durations.record_us(us);
        }
        assert_eq!(durations.at_most(&[99, 100, 1_000, 10_000, 20_000]), [1, 3, 5, 6, 6]);
        assert_eq!((durations.count(), durations.sum_us()), (7, 8_699 + 2 * u128::from(LONGEST_US)));
    }

    #[test]
    fn zero_and_more_than_an_hour_are_counted() {
        let f = figures([0, 2 * LONGEST_US]);
        assert_eq!((f.count, f.min, f.max), (2, 0, 2 * LONGEST_US));
        assert!(f.p99_9 >= LONGEST_US);
    }

    #[test]
    fn what_was_taken_back_is_in_no_figure_and_still_in_the_buckets() {
        let mut durations = LatencyHistogram::default();
        for us in [100, 200, 300, 400, 9_000] {
            durations.record_us(us);
        }
        durations.remove_us(200);
        let f = durations.figures();
        assert_eq!((f.count, f.min, f.mean, f.p50, f.max), (4, 100, 2_450, 300, 9_000));
        durations.remove_us(100);
        durations.remove_us(9_000);
        let f = durations.figures();
        assert_eq!((f.count, f.min, f.mean, f.p99, f.max), (2, 300, 350, 400, 400));
        assert_eq!((durations.count(), durations.sum_us(), durations.at_most(&[1_000])), (5, 10_000, [4]));
        durations.remove_us(300);
        durations.remove_us(400);
        assert_eq!((durations.figures(), durations.curve()), (LatencySummary::default(), Curve::new()));
    }

    #[test]
    fn durations_are_rounded_down_to_microseconds() {
        assert_eq!(micros(Duration::from_nanos(1999)), 1);
    }
}
