//! Timeline: the block `timeline` of the summary, in fixed memory whatever the run's length.
//!
//! Counts and durations come in with the time since the run began, about in order; a list of points comes out. A point
//! is one second wide until there are too many of them; then each two become one, and the width doubles.

use std::time::Duration;

use crate::report::schema::timeline::{TargetPoint, Timeline, TimelinePoint};

use super::sparse_histogram::SparseHistogram;

/// Points that are kept (20 minutes of seconds; seven hours are points of 32 s): past it they become twice as wide, and
/// half as many.
pub(crate) const MAX_POINTS: usize = 1200;

/// Running counts over time.
#[derive(Clone, Debug)]
pub(crate) struct TimelineTally {
    targets: usize,
    width_s: u64,
    buckets: Vec<TimelineBucket>,
}

/// One point in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimelineBucket {
    pub(crate) point: TimelinePoint,
    pub(crate) production: SparseHistogram,
    pub(crate) responses: Vec<SparseHistogram>,
}

impl TimelineTally {
    /// No counts yet, for this many targets.
    pub(crate) fn new(targets: usize) -> Self {
        Self { targets, width_s: 1, buckets: Vec::new() }
    }

    /// Changes the point of an instant, this long after the run began.
    pub(crate) fn at(&mut self, since: Duration, change: impl FnOnce(&mut TimelineBucket)) {
        let mut index = self.index(since);
        while index >= MAX_POINTS {
            self.coarsen();
            index = self.index(since);
        }
        let missing = (index + 1).saturating_sub(self.buckets.len());
        self.buckets.extend(std::iter::repeat_with(|| TimelineBucket::new(self.targets)).take(missing));
        if let Some(bucket) = self.buckets.get_mut(index) {
            change(bucket);
        }
    }

    /// The block, for a run that began at `start`, went to `urls`, and has gone on for `since`.
    pub(crate) fn block(&self, start: String, urls: &[String], since: Duration) -> Timeline {
        let points: Vec<TimelinePoint> = self.buckets.iter().map(TimelineBucket::point).collect();
        let before = self.width_s.saturating_mul(points.len().saturating_sub(1) as u64);
        let last = since.as_secs_f64() - before as f64;
        // Milliseconds: the rest is noise.
        let last_s = (last.clamp(0.0, self.width_s as f64) * 1000.0).round() / 1000.0;
        Timeline { start, width_s: self.width_s, last_s, targets: urls.to_vec(), points }
    }

    fn index(&self, since: Duration) -> usize {
        usize::try_from(since.as_secs() / self.width_s).unwrap_or(usize::MAX)
    }

    fn coarsen(&mut self) {
        self.width_s = self.width_s.saturating_mul(2);
        let mut buckets = std::mem::take(&mut self.buckets).into_iter();
        while let Some(mut first) = buckets.next() {
            if let Some(second) = buckets.next() {
                first.absorb(&second);
            }
            self.buckets.push(first);
        }
    }
}

impl TimelineBucket {
    fn new(targets: usize) -> Self {
        let point = TimelinePoint { targets: vec![TargetPoint::default(); targets], ..TimelinePoint::default() };
        Self { point, production: SparseHistogram::default(), responses: vec![SparseHistogram::default(); targets] }
    }

    /// Returns the counts and durations of one target; `None` where there is no such target.
    pub(crate) fn target(&mut self, target: usize) -> Option<(&mut TargetPoint, &mut SparseHistogram)> {
        Some((self.point.targets.get_mut(target)?, self.responses.get_mut(target)?))
    }

    /// Takes in the one that follows.
    fn absorb(&mut self, next: &Self) {
        let (mine, other) = (&mut self.point, &next.point);
        mine.seen += other.seen;
        mine.ended += other.ended;
        mine.lost += other.lost;
        mine.share = other.share.or(mine.share);
        mine.connections = other.connections.or(mine.connections);
        mine.production.responses += other.production.responses;
        mine.production.server_errors += other.production.server_errors;
        for (mine, other) in mine.targets.iter_mut().zip(&other.targets) {
            mine.absorb(other);
        }
        self.production.merge(&next.production);
        for (mine, other) in self.responses.iter_mut().zip(&next.responses) {
            mine.merge(other);
        }
    }

    fn point(&self) -> TimelinePoint {
        let mut point = self.point.clone();
        let production = &mut point.production;
        [production.p50_us, production.p95_us, production.p99_us] = percentiles(&self.production);
        for (target, responses) in point.targets.iter_mut().zip(&self.responses) {
            [target.p50_us, target.p95_us, target.p99_us] = percentiles(responses);
        }
        point
    }
}

fn percentiles(spread: &SparseHistogram) -> [u64; 3] {
    [0.5, 0.95, 0.99].map(|quantile| spread.quantile_us(quantile))
}

impl TargetPoint {
    fn absorb(&mut self, next: &Self) {
        self.sent += next.sent;
        self.failed += next.failed;
        self.server_errors += next.server_errors;
        self.held += next.held;
        self.shed += next.shed;
        self.lag_us = self.lag_us.max(next.lag_us);
        self.connections = next.connections.or(self.connections);
        self.in_flight = next.in_flight.or(self.in_flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn block(times: &TimelineTally) -> Timeline {
        times.block("then".into(), &["http://t".into()], at(7 * 3600))
    }

    #[test]
    fn each_second_is_a_point_and_those_without_anything_are_there_too() {
        let mut times = TimelineTally::new(1);
        times.at(at(0), |bucket| bucket.point.seen += 1);
        times.at(at(3), |bucket| bucket.point.seen += 2);
        let points = block(&times).points;
        assert_eq!(points.iter().map(|point| point.seen).collect::<Vec<_>>(), [1, 0, 0, 2]);
        assert_eq!(serde_json::to_string(&points[1]).unwrap(), r#"{"production":{},"targets":[{}]}"#);
    }

    #[test]
    fn a_point_has_the_percentiles_of_its_second() {
        let mut times = TimelineTally::new(1);
        times.at(at(0), |bucket| {
            (1..=100).for_each(|ms| bucket.production.record_us(ms * 1_000));
            let (_, responses) = bucket.target(0).unwrap();
            (1..=100).for_each(|ms| responses.record_us(ms * 2_000));
        });
        let point = &block(&times).points[0];
        let near = |us: u64, expected: u64| us.abs_diff(expected) <= expected / 20;
        let (production, target) = (&point.production, &point.targets[0]);
        for (found, expected) in [(production.p50_us, 50_000), (production.p95_us, 95_000), (production.p99_us, 99_000)]
        {
            assert!(near(found, expected), "{production:?}");
        }
        for (found, expected) in [(target.p50_us, 100_000), (target.p95_us, 190_000), (target.p99_us, 198_000)] {
            assert!(near(found, expected), "{target:?}");
        }
    }

    #[test]
    fn the_last_point_says_how_long_it_is() {
        let mut times = TimelineTally::new(0);
        times.at(at(3), |bucket| bucket.point.seen += 1);
        for (since, last) in [(3_250, 250), (4_000, 1_000), (9_000, 1_000), (2_000, 0)] {
            let last_s = times.block("then".into(), &[], Duration::from_millis(since)).last_s;
            assert_eq!(Duration::from_secs_f64(last_s), Duration::from_millis(last), "{since}");
        }
    }

    #[test]
    fn what_comes_late_counts_where_it_belongs() {
        let mut times = TimelineTally::new(0);
        times.at(at(9), |bucket| bucket.point.seen += 1);
        times.at(at(2), |bucket| bucket.point.ended += 1);
        assert_eq!(block(&times).points[2].ended, 1);
    }

    #[test]
    fn a_run_of_any_length_fits_and_nothing_is_lost_of_it() {
        let mut times = TimelineTally::new(1);
        let seconds = 7 * 3600;
        for second in 0..seconds {
            times.at(at(second), |bucket| {
                bucket.point.seen += 1;
                bucket.point.connections = Some(second);
                bucket.production.record_us(1_000);
                let (target, responses) = bucket.target(0).unwrap();
                target.lag_us = target.lag_us.max(second % 100);
                target.sent += 1;
                responses.record_us(2_000);
            });
        }
        let block = block(&times);
        assert_eq!((block.width_s, block.points.len()), (32, 788));
        assert_eq!(block.points.iter().map(|point| point.seen).sum::<u64>(), seconds);
        assert_eq!(block.points.iter().map(|point| point.targets[0].sent).sum::<u64>(), seconds);
        let first = &block.points[0];
        assert_eq!((first.seen, first.connections, first.targets[0].lag_us), (32, Some(31), 31));
        assert_eq!((first.production.p50_us, first.targets[0].p99_us), (1_000, 2_000));
        times.at(Duration::MAX, |_| ());
        assert!(times.buckets.len() <= MAX_POINTS);
    }
}
