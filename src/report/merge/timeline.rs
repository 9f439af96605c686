//! The timelines of several runs as one: each point counts where it lies in time.

use crate::exchange::Timestamp;
use crate::report::collect::timeline::MAX_POINTS;
use crate::report::schema::timeline::{ProductionPoint, TargetPoint, Timeline, TimelinePoint};

use super::plus::Plus as _;

const NANOS: u64 = 1_000_000_000;

/// Timelines of the runs so far.
#[derive(Debug, Default)]
pub(super) struct MergedTimelines {
    parts: Vec<(u64, Timeline)>,
    /// Runs without one, or whose start cannot be read.
    missing: u64,
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct MergedTimeline {
    pub(super) timeline: Option<Timeline>,
    /// Points of several runs fell together: their percentiles, and shares that differ, are left out.
    pub(super) is_mixed: bool,
    pub(super) missing: u64,
}

/// A point in the making.
#[derive(Clone, Debug, Default)]
struct MixedPoint {
    point: TimelinePoint,
    /// Points with a response of production, and of each target.
    production: u32,
    responses: Vec<u32>,
    shares: u32,
}

impl MergedTimelines {
    pub(super) fn add(&mut self, timeline: Option<Timeline>) {
        let part = timeline.and_then(|part| Some((part.start.parse::<Timestamp>().ok()?.nanos(), part)));
        match part {
            Some(part) => self.parts.push(part),
            None => self.missing += 1,
        }
    }

    pub(super) fn merge(self) -> MergedTimeline {
        let Self { mut parts, missing } = self;
        let none = MergedTimeline { missing, ..MergedTimeline::default() };
        parts.sort_by_key(|(start, _)| *start);
        let (Some((first, begin)), true) =
            (parts.first().cloned(), parts.iter().any(|(_, part)| !part.points.is_empty()))
        else {
            return none;
        };
        let mut targets: Vec<String> = parts.iter().flat_map(|(_, part)| part.targets.clone()).collect();
        targets.sort_unstable();
        targets.dedup();
        let ends = parts.iter().map(|(start, part)| end(start - first, part)).max().unwrap_or_default();
        let widest = parts.iter().map(|(_, part)| part.width_s.max(1)).max().unwrap_or(1);
        let mut width = widest.checked_next_power_of_two().unwrap_or(widest);
        while ends.div_ceil(width.saturating_mul(NANOS)) > MAX_POINTS as u64 {
            width = width.saturating_mul(2);
        }
        let count = usize::try_from(ends.div_ceil(width.saturating_mul(NANOS)).max(1)).unwrap_or(MAX_POINTS);
        let empty = MixedPoint::new(targets.len());
        let mut points = vec![empty; count.min(MAX_POINTS)];
        for (start, part) in &parts {
            let places: Vec<_> =
                part.targets.iter().map(|url| targets.binary_search(url).unwrap_or_default()).collect();
            let mut before: Option<(usize, &TimelinePoint)> = None;
            for (at, point) in (0..).zip(&part.points) {
                let since = (start - first).saturating_add(offset(at, part));
                let index = usize::try_from(since / width.saturating_mul(NANOS)).unwrap_or(usize::MAX);
                let replaced = before.filter(|(other, _)| *other == index).map(|(_, point)| point);
                if let Some(into) = points.get_mut(index) {
                    into.take(point, replaced, &places);
                }
                before = Some((index, point));
            }
        }
        let is_mixed = points.iter().any(MixedPoint::is_mixed);
        let points: Vec<TimelinePoint> = points.into_iter().map(MixedPoint::finish).collect();
        let before = width.saturating_mul(points.len().saturating_sub(1) as u64);
        let last_s = (ends as f64 / NANOS as f64 - before as f64).clamp(0.0, width as f64);
        let last_s = (last_s * 1000.0).round() / 1000.0;
        let timeline = Timeline { start: begin.start, width_s: width, last_s, targets, points };
        MergedTimeline { timeline: Some(timeline), is_mixed, ..none }
    }
}

/// Adds what a run has at the end of a point, in place of what it had `before`.
fn gauge(own: &mut Option<u64>, before: Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *own = Some(own.unwrap_or_default().saturating_sub(before.unwrap_or_default()).saturating_add(more));
    }
}

/// How long after its start a point of a timeline begins.
fn offset(point: u64, of: &Timeline) -> u64 {
    point.saturating_mul(of.width_s.max(1)).saturating_mul(NANOS)
}

/// How long after the first start a timeline ends that begins `since` it.
fn end(since: u64, part: &Timeline) -> u64 {
    let before_last = offset((part.points.len() as u64).saturating_sub(1), part);
    let last = part.last_s.clamp(0.0, part.width_s.max(1) as f64) * NANOS as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within its width, and `as` saturates")]
    let last = last as u64;
    // A point without a width is one all the same.
    since.saturating_add(before_last).saturating_add(last.max(1))
}

impl MixedPoint {
    fn new(targets: usize) -> Self {
        let point = TimelinePoint { targets: vec![TargetPoint::default(); targets], ..TimelinePoint::default() };
        Self { point, responses: vec![0; targets], ..Self::default() }
    }

    /// Adds a point of a run, whose targets stand at these `places`. Its gauges take the place of those of the run's point
    /// before it, where that fell here, too.
    fn take(&mut self, more: &TimelinePoint, before: Option<&TimelinePoint>, places: &[usize]) {
        let own = &mut self.point;
        own.seen.plus(more.seen);
        own.ended.plus(more.ended);
        own.lost.plus(more.lost);
        gauge(&mut own.connections, before.and_then(|point| point.connections), more.connections);
        if more.share.is_some() && own.share != more.share {
            self.shares += 1;
            own.share = more.share;
        }
        let ProductionPoint { responses, server_errors, p50_us, p95_us, p99_us } = more.production;
        own.production.responses.plus(responses);
        own.production.server_errors.plus(server_errors);
        if responses > 0 {
            self.production += 1;
            (own.production.p50_us, own.production.p95_us, own.production.p99_us) = (p50_us, p95_us, p99_us);
        }
        for (at, (place, more)) in places.iter().zip(&more.targets).enumerate() {
            let (Some(own), Some(count)) = (own.targets.get_mut(*place), self.responses.get_mut(*place)) else {
                continue;
            };
            own.sent.plus(more.sent);
            own.failed.plus(more.failed);
            own.server_errors.plus(more.server_errors);
            own.held.plus(more.held);
            own.shed.plus(more.shed);
            let before = before.and_then(|point| point.targets.get(at));
            gauge(&mut own.connections, before.and_then(|point| point.connections), more.connections);
            gauge(&mut own.in_flight, before.and_then(|point| point.in_flight), more.in_flight);
            own.lag_us = own.lag_us.max(more.lag_us);
            if more.p99_us > 0 {
                *count += 1;
                (own.p50_us, own.p95_us, own.p99_us) = (more.p50_us, more.p95_us, more.p99_us);
            }
        }
    }

    fn is_mixed(&self) -> bool {
        self.production > 1 || self.shares > 1 || self.responses.iter().any(|count| *count > 1)
    }

    /// The point, without what is not known of several together.
    fn finish(self) -> TimelinePoint {
        let Self { mut point, production, responses, shares } = self;
        if shares > 1 {
            point.share = None;
        }
        if production > 1 {
            let ProductionPoint { p50_us, p95_us, p99_us, .. } = &mut point.production;
            (*p50_us, *p95_us, *p99_us) = (0, 0, 0);
        }
        for (target, _) in point.targets.iter_mut().zip(responses).filter(|(_, count)| *count > 1) {
            (target.p50_us, target.p95_us, target.p99_us) = (0, 0, 0);
        }
        point
    }
}
