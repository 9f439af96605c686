//! Counts for each second of a capture, in fixed memory whatever its length.
//!
//! The input is instants, roughly in order; the output is rates and levels over time. Buckets are one second wide until
//! there are too many of them; then each two are merged, and the width doubles.

use std::time::Duration;

use crate::exchange::Timestamp;

/// Buckets that are kept (36 hours of seconds, 10 MiB): past it they become twice as wide, and half as many.
const MAX_BUCKETS: usize = 1 << 17;

/// Number of lanes, counted independently of each other.
pub(super) const LANES: usize = 4;

/// Lanes in which something counts.
pub(super) type ConcurrencyLanes = [bool; LANES];

/// Counts over time of connections and requests.
///
/// Invariant: `now` is the sum of `change` over all buckets.
#[derive(Clone, Debug)]
pub(super) struct Series {
    start: Option<Timestamp>,
    width_s: u32,
    buckets: Vec<SeriesBucket>,
    now: [i32; LANES],
}

#[derive(Clone, Copy, Debug, Default)]
struct SeriesBucket {
    opened: [u32; LANES],
    requests: [u32; LANES],
    /// The highest level that was reached by a rise in this bucket.
    high: [i32; LANES],
    /// By how much the level changed in this bucket.
    change: [i32; LANES],
    /// By how much the level from here on turned out to be higher than was known then.
    later: [i32; LANES],
}

/// Totals of one or several buckets in one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SeriesPoint {
    pub(super) opened: u64,
    pub(super) requests: u64,
    /// The highest level in it.
    pub(super) level: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self { start: None, width_s: 1, buckets: Vec::new(), now: [0; LANES] }
    }
}

impl Series {
    /// The width of a bucket in seconds.
    pub(super) const fn width_s(&self) -> u32 {
        self.width_s
    }

    /// Returns the start of the first bucket.
    pub(super) const fn start(&self) -> Option<Timestamp> {
        self.start
    }

    /// Advances the time to `at`, whether or not anything is counted.
    pub(super) fn reach(&mut self, at: Timestamp) {
        self.at(at, |_| ());
    }

    /// A request was asked.
    pub(super) fn request(&mut self, at: Timestamp, lanes: ConcurrencyLanes) {
        self.at(at, |bucket| add(&mut bucket.requests, lanes, 1));
    }

    /// It is known since `known` of a connection that opened at `opened` that it counts.
    pub(super) fn open(&mut self, opened: Timestamp, known: Timestamp, lanes: ConcurrencyLanes) {
        add(&mut self.now, lanes, 1);
        let now = self.now;
        self.at(known, |bucket| {
            if known > opened {
                // All that was told of this bucket was one higher than it seemed, its beginning too.
                let begin = now.iter().zip(bucket.change).map(|(now, change)| now - 1 - change);
                for ((high, begin), _) in bucket.high.iter_mut().zip(begin).zip(lanes).filter(|(_, is_in)| *is_in) {
                    *high = begin.max(*high) + 1;
                }
            }
            add(&mut bucket.change, lanes, 1);
            for (high, now) in bucket.high.iter_mut().zip(now) {
                *high = (*high).max(now);
            }
            // The same of every bucket in between.
            add(&mut bucket.later, lanes, -1);
        });
        self.at(opened, |bucket| {
            add(&mut bucket.later, lanes, 1);
            add(&mut bucket.opened, lanes, 1);
        });
    }

    /// Such a connection closed.
    pub(super) fn close(&mut self, at: Timestamp, lanes: ConcurrencyLanes) {
        add(&mut self.now, lanes, -1);
        self.at(at, |bucket| add(&mut bucket.change, lanes, -1));
    }

    /// Every bucket of a lane in order, `together` of them as one point.
    pub(super) fn points(&self, lane: usize, together: usize) -> Vec<SeriesPoint> {
        let (mut level, mut later) = (0, 0);
        let of = |lanes: &[i32; LANES]| lanes.get(lane).copied().unwrap_or(0);
        let count = |lanes: &[u32; LANES]| lanes.get(lane).copied().map_or(0, u64::from);
        let each = self.buckets.iter().map(|bucket| {
            later += of(&bucket.later);
            let highest = level.max(of(&bucket.high)) + later;
            level += of(&bucket.change);
            let level = u64::try_from(highest).unwrap_or(0);
            SeriesPoint { opened: count(&bucket.opened), requests: count(&bucket.requests), level }
        });
        let each: Vec<SeriesPoint> = each.collect();
        each.chunks(together.max(1)).map(SeriesPoint::of_all).collect()
    }

    /// Returns the number of buckets.
    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Changes the bucket of an instant; what is before the first one counts there.
    fn at(&mut self, at: Timestamp, change: impl FnOnce(&mut SeriesBucket)) {
        let since = at.since(*self.start.get_or_insert(at));
        let mut index = self.index(since);
        while index >= MAX_BUCKETS {
            self.coarsen();
            index = self.index(since);
        }
        if self.buckets.len() <= index {
            self.buckets.resize(index + 1, SeriesBucket::default());
        }
        if let Some(bucket) = self.buckets.get_mut(index) {
            change(bucket);
        }
    }

    fn index(&self, since: Duration) -> usize {
        usize::try_from(since.as_secs() / u64::from(self.width_s)).unwrap_or(usize::MAX)
    }

    fn coarsen(&mut self) {
        self.width_s = self.width_s.saturating_mul(2);
        self.buckets = self.buckets.chunks(2).map(SeriesBucket::of_both).collect();
    }
}

impl SeriesBucket {
    /// Two buckets as one. The level at the start of the second is no higher than what the first one has.
    fn of_both(both: &[Self]) -> Self {
        let mut sum = Self::default();
        for bucket in both {
            join(&mut sum.opened, bucket.opened, u32::saturating_add);
            join(&mut sum.requests, bucket.requests, u32::saturating_add);
            join(&mut sum.high, bucket.high, i32::max);
            join(&mut sum.change, bucket.change, i32::saturating_add);
            join(&mut sum.later, bucket.later, i32::saturating_add);
        }
        sum
    }
}

impl SeriesPoint {
    fn of_all(all: &[Self]) -> Self {
        all.iter().fold(Self::default(), |sum, point| Self {
            opened: sum.opened + point.opened,
            requests: sum.requests + point.requests,
            level: sum.level.max(point.level),
        })
    }
}

fn add<T: Copy + std::ops::AddAssign>(counts: &mut [T; LANES], lanes: ConcurrencyLanes, by: T) {
    for (count, _) in counts.iter_mut().zip(lanes).filter(|(_, is_in)| *is_in) {
        *count += by;
    }
}

fn join<T: Copy>(into: &mut [T; LANES], from: [T; LANES], how: fn(T, T) -> T) {
    for (into, from) in into.iter_mut().zip(from) {
        *into = how(*into, from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConcurrencyLanes = [true, false, false, false];

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + ms * 1_000_000)
    }

    fn levels(series: &Series) -> Vec<u64> {
        series.points(0, 1).iter().map(|point| point.level).collect()
    }

    #[test]
    fn a_level_is_what_was_open_at_once_and_not_all_that_opened_in_a_second() {
        let mut series = Series::default();
        for n in 0..50 {
            series.open(at(n * 20), at(n * 20), ONE);
            series.close(at(n * 20 + 10), ONE);
        }
        assert_eq!(series.points(0, 1), [SeriesPoint { opened: 50, requests: 0, level: 1 }]);
        assert_eq!(series.points(1, 1), [SeriesPoint::default()]);
    }

    #[test]
    fn the_highest_level_is_that_of_a_naive_count() {
        let mut random = 12_345_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let spans: Vec<(u64, u64)> =
            (0..500).map(|_| (next(60_000), next(4_000))).map(|(at, len)| (at, at + len)).collect();
        // At the same instant a connection closes before another one opens.
        let mut edges: Vec<(u64, i32)> =
            spans.iter().flat_map(|(open, close)| [(*open, 1), (*close + 1, -1)]).collect();
        edges.sort_unstable();
        let mut series = Series::default();
        let (mut level, mut highest) = (0, 0);
        for (ms, by) in edges {
            level += by;
            highest = highest.max(level);
            if by > 0 { series.open(at(ms), at(ms), ONE) } else { series.close(at(ms), ONE) }
        }
        assert_eq!(levels(&series).into_iter().max(), u64::try_from(highest).ok());
    }

    #[test]
    fn a_level_lasts_until_it_changes() {
        let mut series = Series::default();
        series.open(at(0), at(0), ONE);
        series.open(at(100), at(100), ONE);
        series.close(at(2_500), ONE);
        series.close(at(4_500), ONE);
        assert_eq!(levels(&series), [2, 2, 2, 1, 1]);
    }

    #[test]
    fn a_connection_that_asks_late_was_open_all_the_same() {
        let mut series = Series::default();
        series.reach(at(0));
        series.open(at(1_000), at(3_500), ONE);
        series.close(at(4_500), ONE);
        assert_eq!(levels(&series), [0, 1, 1, 1, 1]);
        assert_eq!(series.points(0, 1)[1].opened, 1);
    }

    #[test]
    fn several_buckets_become_one_point() {
        let mut series = Series::default();
        for n in 0..5 {
            series.open(at(n * 1_000), at(n * 1_000), ONE);
            series.request(at(n * 1_000), ONE);
        }
        let points = series.points(0, 2);
        assert_eq!(points.iter().map(|p| (p.level, p.requests)).collect::<Vec<_>>(), [(2, 2), (4, 2), (5, 1)]);
    }

    #[test]
    fn a_capture_of_any_length_fits() {
        let mut series = Series::default();
        series.open(at(0), at(0), ONE);
        series.open(at(10_000), at(12_000), ONE);
        series.close(at(300_000), ONE);
        series.request(at(1_000 * (MAX_BUCKETS as u64) * 5), ONE);
        assert_eq!(series.width_s(), 8);
        assert!(series.len() <= MAX_BUCKETS);
        let points = series.points(0, 1);
        assert_eq!(points.iter().map(|p| p.level).max(), Some(2));
        assert_eq!(points.last(), Some(&SeriesPoint { opened: 0, requests: 1, level: 1 }));
        series.request(Timestamp::from_nanos(u64::MAX), ONE);
        assert!(series.len() <= MAX_BUCKETS);
    }

    #[test]
    fn what_is_before_the_beginning_counts_as_its_first_second() {
        let mut series = Series::default();
        series.request(at(5_000), ONE);
        series.request(at(1_000), ONE);
        assert_eq!(series.points(0, 1)[0].requests, 2);
    }
}
