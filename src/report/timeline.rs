//! What happened when: the block `timeline` of the summary, in fixed memory whatever the run's length.
//!
//! Counts and durations come in with the time since the run began, about in order; a list of points leaves. A point is
//! one second wide until there are too many of them; then each two become one, and the width doubles.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sparse_histogram::SparseHistogram;
use super::summary::is_zero;

/// Points that are kept (20 minutes of seconds; seven hours are points of 32 s): past it they become twice as wide, and
/// half as many.
pub const MAX_POINTS: usize = 1200;

/// What happened when. Zeros and what is not known are left out of points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// When the first point begins, as the run did: UTC, RFC 3339.
    pub start: String,
    /// How many seconds a point is wide.
    pub width_s: u64,
    /// The targets' URLs, in the order of [`TimelinePoint::targets`].
    pub targets: Vec<String>,
    /// The points, without a gap between them.
    pub points: Vec<TimelinePoint>,
}

/// What happened within one point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// Requests seen.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: u64,
    /// Those that ended before any target.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ended: u64,
    /// Frames dropped, gaps, and requests shed before any target.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// The share that the sample was asked for at its end, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Captured connections that were open at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// What production answered.
    #[serde(default)]
    pub production: ProductionPoint,
    /// What each target did.
    #[serde(default)]
    pub targets: Vec<TargetPoint>,
}

/// What production answered within one point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductionPoint {
    /// Final responses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub responses: u64,
    /// Those with a status of 500 to 599.
    #[serde(default, rename = "5xx", skip_serializing_if = "is_zero")]
    pub server_errors: u64,
    /// Median latency.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p50_us: u64,
    /// Latency that 99 of 100 are not above.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p99_us: u64,
}

/// What one target did within one point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetPoint {
    /// Final responses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent: u64,
    /// Deliveries without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Responses with a status of 500 to 599.
    #[serde(default, rename = "5xx", skip_serializing_if = "is_zero")]
    pub server_errors: u64,
    /// Deliveries that the guard held back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Deliveries that were thrown away.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shed: u64,
    /// Median latency, from when a request was due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p50_us: u64,
    /// Latency that 99 of 100 are not above, from when a request was due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p99_us: u64,
    /// How late the latest request was sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lag_us: u64,
    /// Connections that were open at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Requests that awaited their answer at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
}

/// Counts while a run goes on.
#[derive(Clone, Debug)]
pub(super) struct TimelineTally {
    targets: usize,
    width_s: u64,
    buckets: Vec<TimelineBucket>,
}

/// One point in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct TimelineBucket {
    pub(super) point: TimelinePoint,
    pub(super) production: SparseHistogram,
    pub(super) responses: Vec<SparseHistogram>,
}

impl TimelineTally {
    /// No counts yet, for this many targets.
    pub(super) fn new(targets: usize) -> Self {
        Self { targets, width_s: 1, buckets: Vec::new() }
    }

    /// Changes the point of an instant, this long after the run began.
    pub(super) fn at(&mut self, since: Duration, change: impl FnOnce(&mut TimelineBucket)) {
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

    /// The block, for a run that began at `start` and went to `urls`.
    pub(super) fn block(&self, start: String, urls: &[String]) -> Timeline {
        let points = self.buckets.iter().map(TimelineBucket::point).collect();
        Timeline { start, width_s: self.width_s, targets: urls.to_vec(), points }
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

    /// What one target did, and how long its answers took; `None` where there is no such target.
    pub(super) fn target(&mut self, target: usize) -> Option<(&mut TargetPoint, &mut SparseHistogram)> {
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
        (point.production.p50_us, point.production.p99_us) = both(&self.production);
        for (target, responses) in point.targets.iter_mut().zip(&self.responses) {
            (target.p50_us, target.p99_us) = both(responses);
        }
        point
    }
}

fn both(spread: &SparseHistogram) -> (u64, u64) {
    (spread.quantile_us(0.5), spread.quantile_us(0.99))
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
        times.block("then".into(), &["http://t".into()])
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
