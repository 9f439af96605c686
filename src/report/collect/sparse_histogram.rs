//! A histogram where there are thousands of them: only the buckets between the first and the last hit take memory.
//!
//! Durations in microseconds come in, [`LatencySummary`] leave. Each power of two is divided into 32 buckets, so a quantile is
//! within 3.2 % of a duration that was recorded; count, minimum, mean and maximum are exact.

use crate::report::schema::counts::LatencySummary;

use super::histogram_text::HistogramContents;

/// Bits of a duration that are kept below its highest one: 32 buckets to a power of two.
const BITS: u32 = 5;

/// Highest bucket, of more than an hour: longer durations count there, and are reported as the maximum. So a histogram
/// never has more buckets than these: 3.6 KB.
const LAST: u16 = 900;

/// Durations, spread over the buckets that they hit.
///
/// Invariant: the counts in `buckets` add up to `count`, and neither the first nor the last of them is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseHistogram {
    /// The bucket of the first count.
    first: u16,
    buckets: Vec<u32>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl SparseHistogram {
    /// Records one duration in microseconds.
    pub(crate) fn record_us(&mut self, us: u64) {
        self.min = if self.count == 0 { us } else { self.min.min(us) };
        self.max = self.max.max(us);
        self.count += 1;
        self.sum = self.sum.saturating_add(us);
        self.add(bucket(us), 1);
    }

    /// Takes back a duration that was recorded. A minimum or maximum that was is known by its bucket then.
    pub(crate) fn remove_us(&mut self, us: u64) {
        let at = bucket(us).checked_sub(self.first).map(usize::from);
        let Some(count) = at.and_then(|at| self.buckets.get_mut(at)).filter(|count| **count > 0) else { return };
        *count -= 1;
        self.count -= 1;
        self.sum = self.sum.saturating_sub(us);
        let empty = self.buckets.iter().take_while(|count| **count == 0).count();
        if empty == self.buckets.len() {
            *self = Self::default();
            return;
        }
        self.buckets.drain(..empty);
        self.first += u16::try_from(empty).unwrap_or_default();
        while self.buckets.pop_if(|count| *count == 0).is_some() {}
        let (first, last) = (self.first, self.first + u16::try_from(self.buckets.len() - 1).unwrap_or_default());
        self.min = self.min.max(first.checked_sub(1).map_or(0, |before| upper_edge(before) + 1));
        if last < LAST {
            self.max = self.max.min(upper_edge(last));
        }
    }

    /// Records everything that another one has.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        for (bucket, count) in other.hit() {
            self.add(bucket, count);
        }
    }

    /// Returns the number of recorded durations.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The duration in microseconds that this share of them, from 0 to 1, is not above.
    #[must_use]
    pub(crate) fn quantile_us(&self, share: f64) -> u64 {
        let mut left = share.clamp(0.0, 1.0) * self.count as f64;
        for (bucket, count) in self.hit() {
            left -= f64::from(count);
            // Sums of floating-point numbers: a millionth of one is nobody.
            if left <= 1e-6 && bucket < LAST {
                return upper_edge(bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// The figures.
    #[must_use]
    pub fn figures(&self) -> LatencySummary {
        LatencySummary {
            count: self.count,
            min: self.min,
            mean: self.sum / self.count.max(1),
            p50: self.quantile_us(0.5),
            p90: self.quantile_us(0.9),
            p95: self.quantile_us(0.95),
            p99: self.quantile_us(0.99),
            p99_9: self.quantile_us(0.999),
            max: self.max,
        }
    }

    /// Everything in it as text; empty where there is nothing.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        if self.count == 0 {
            return String::new();
        }
        let buckets = self.hit().map(|(bucket, count)| (bucket.into(), count.into())).collect();
        HistogramContents { min: self.min, max: self.max, sum: self.sum, buckets }.text(BITS.into())
    }

    /// Reads such a text; `None` where it is none.
    #[must_use]
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut read = Self::default();
        if text.is_empty() {
            return Some(read);
        }
        let contents = HistogramContents::read(text, BITS.into())?;
        for (bucket, count) in &contents.buckets {
            let bucket = u16::try_from(*bucket).ok().filter(|bucket| *bucket <= LAST)?;
            read.add(bucket, u32::try_from(*count).ok()?);
        }
        let HistogramContents { min, max, sum, .. } = contents;
        Some(Self { count: contents.count()?, min, max, sum, ..read })
    }

    /// The buckets that were hit, in their order.
    fn hit(&self) -> impl Iterator<Item = (u16, u32)> {
        (self.first..).zip(self.buckets.iter().copied()).filter(|(_, count)| *count > 0)
    }

    fn add(&mut self, bucket: u16, by: u32) {
        if self.buckets.is_empty() {
            self.first = bucket;
        }
        if let Some(before) = self.first.checked_sub(bucket).filter(|before| *before > 0) {
            self.buckets.splice(0..0, std::iter::repeat_n(0, usize::from(before)));
            self.first = bucket;
        }
        let at = usize::from(bucket - self.first);
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(at) {
            *count = count.saturating_add(by);
        }
    }
}

/// Below 64 each duration has a bucket of its own; above it the highest bit and the five below it choose.
pub(crate) fn bucket(us: u64) -> u16 {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(BITS + 1);
    let number = (u64::from(shift) << BITS) + (us >> shift);
    u16::try_from(number).unwrap_or(LAST).min(LAST)
}

pub(crate) fn upper_edge(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let shift = (bucket >> BITS).saturating_sub(1);
    let first = bucket - (shift << BITS);
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(us: impl IntoIterator<Item = u64>) -> SparseHistogram {
        let mut spread = SparseHistogram::default();
        us.into_iter().for_each(|us| spread.record_us(us));
        spread
    }

    #[test]
    fn an_empty_spread_is_all_zeros() {
        assert_eq!(SparseHistogram::default().figures(), LatencySummary::default());
    }

    #[test]
    fn every_duration_is_in_a_bucket_that_is_no_wider_than_a_thirty_second_of_it() {
        let all = (0..4_000).chain((12..32).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 12_345]));
        for us in all {
            let (edge, before) = (upper_edge(bucket(us)), bucket(us).checked_sub(1).map(upper_edge));
            assert!(edge >= us && before.is_none_or(|before| before < us), "{us} is not in the bucket up to {edge}");
            assert!((edge - us) * 31 <= us, "{us}: {edge}");
        }
    }

    #[test]
    fn quantiles_of_a_known_series_are_within_three_per_cent() {
        let f = spread(1..=10_000).figures();
        for (got, want) in [(f.p50, 5_000), (f.p90, 9_000), (f.p95, 9_500), (f.p99, 9_900), (f.p99_9, 9_990)] {
            assert!(got.abs_diff(want) * 31 <= want, "{got} is not {want}");
        }
        assert_eq!((f.count, f.min, f.mean, f.max), (10_000, 1, 5_000, 10_000));
    }

    #[test]
    fn parts_that_are_merged_are_the_whole() {
        let mut merged = spread((1..5_000).step_by(2));
        merged.merge(&spread((2..5_000).step_by(2)));
        merged.merge(&SparseHistogram::default());
        assert_eq!(merged, spread(1..5_000));
        let mut empty = SparseHistogram::default();
        empty.merge(&merged);
        assert_eq!(empty, merged);
    }

    #[test]
    fn what_is_taken_back_leaves_what_would_be_without_it() {
        let mut some = spread([7, 100, 5_000, 5_000, 900_000]);
        some.remove_us(5_000);
        assert_eq!(some, spread([7, 100, 5_000, 900_000]));
        some.remove_us(3);
        assert_eq!(some.count(), 4, "what was never recorded changes nothing");
        some.remove_us(7);
        some.remove_us(900_000);
        let f = some.figures();
        assert_eq!((f.count, f.mean), (2, 2_550));
        assert!(f.min <= 100 && f.min * 32 >= 100 * 31 && f.max >= 5_000 && f.max * 31 <= 5_000 * 32, "{f:?}");
        some.remove_us(100);
        some.remove_us(5_000);
        assert_eq!(some, SparseHistogram::default());
    }

    #[test]
    fn any_duration_at_all_takes_bounded_memory() {
        let all = spread((0..64).flat_map(|bits| (0..64).map(move |n| (1_u64 << bits) + (n << bits >> 6))));
        assert!(all.buckets.len() <= usize::from(LAST) + 1);
        let f = spread([0, u64::MAX]).figures();
        assert_eq!((f.min, f.max, f.p99), (0, u64::MAX, u64::MAX));
    }
}
