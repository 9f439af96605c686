//! A replayer of a fleet, as it and others see it.

use serde::{Deserialize, Serialize};

use super::order::FleetOrders;
use super::window::OutcomeCounts;
use crate::report::TargetGuard;

/// What a replayer says of itself each second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberFigures {
    /// The share that its sample lets in, from 0 to 1.
    pub share: f64,
    /// True while it sends nothing, by an order or its own socket.
    pub paused: bool,
    /// True when it is about to end.
    pub stopping: bool,
    /// Step of its ramp, from 1, and the number of steps.
    pub step: Option<(usize, usize)>,
    /// What it sees of each target.
    pub targets: Vec<TargetFigures>,
    /// Seconds that `recent` looks back: fewer than ten at first. 0 is not known.
    pub recent_s: u32,
}

/// What a replayer sees of one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetFigures {
    /// Its URL.
    pub target: String,
    /// Outcomes since it began.
    pub total: OutcomeCounts,
    /// Those of the last 10 s, as far as it is there for that long.
    pub recent: OutcomeCounts,
    /// State of its guard.
    pub guard: Option<TargetGuard>,
}

impl TargetFigures {
    fn target(&self) -> MemberTarget {
        MemberTarget {
            target: self.target.clone(),
            sent: self.total.samples,
            errors: self.total.failed,
            p99_us: self.recent.quantile_us(0.99),
            guard: self.guard.clone(),
        }
    }
}

/// Whether a replayer is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It takes part.
    #[default]
    There,
    /// It has ended, and said so.
    Ended,
    /// It was not heard of for too long.
    Lost,
}

/// A replayer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FleetMember {
    /// Sets it apart from every other one.
    pub id: String,
    /// Its number, from 1, in the order in which they began.
    pub number: usize,
    /// Its host and process, as every list of replayers has them.
    pub name: String,
    /// The name of its host.
    pub host: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// Whether it is there.
    pub state: MemberState,
    /// Milliseconds since it was last heard of.
    pub heard_ms: u64,
    /// Partitions that it holds.
    pub partitions: usize,
    /// Number of the last order that it has taken up.
    pub order: u64,
    /// Requests that it sent.
    pub sent: u64,
    /// Those of them that were answered with 5xx, or not at all.
    pub errors: u64,
    /// 99th percentile of the service time over the last 10 s, in microseconds.
    pub p99_us: Option<u64>,
    /// Requests a second, over the last 10 s.
    pub rate: f64,
    /// The share that its sample lets in, from 0 to 1.
    pub share: f64,
    /// True while it sends nothing, by an order or its own socket.
    pub paused: bool,
    /// True when it is about to end.
    pub stopping: bool,
    /// Step of its ramp, from 1; `None` where it has none.
    pub step: Option<usize>,
    /// Number of steps of its ramp.
    pub steps: Option<usize>,
    /// What it sees of each target.
    pub targets: Vec<MemberTarget>,
    /// What it says of itself.
    #[serde(skip)]
    pub figures: MemberFigures,
    /// How often it has said so.
    #[serde(skip)]
    pub beat: u64,
}

/// A target, as one replayer sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemberTarget {
    /// Its URL.
    pub target: String,
    /// Requests that went there.
    pub sent: u64,
    /// Those of them that were answered with 5xx, or not at all.
    pub errors: u64,
    /// 99th percentile of the service time over the last 10 s, in microseconds.
    pub p99_us: Option<u64>,
    /// State of its guard; `None` where it has none.
    pub guard: Option<TargetGuard>,
}

/// Returns the name of a replayer for people: several on one host are told apart by their processes.
#[must_use]
pub fn member_name(host: &str, id: &str) -> String {
    match id.split_once('-') {
        Some((process, _)) => format!("{host} (process {process})"),
        None => format!("{host} ({id})"),
    }
}

impl FleetMember {
    /// Fills in what follows from its figures.
    #[must_use]
    pub fn counted(mut self) -> Self {
        let targets = &self.figures.targets;
        self.sent = targets.iter().map(|target| target.total.samples).sum();
        self.errors = targets.iter().map(|target| target.total.failed).sum();
        let recent = self.recent();
        self.p99_us = recent.quantile_us(0.99);
        self.targets = targets.iter().map(TargetFigures::target).collect();
        (self.share, self.paused, self.stopping) = (self.figures.share, self.figures.paused, self.figures.stopping);
        (self.step, self.steps) = self.figures.step.unzip();
        let looked_back = if self.figures.recent_s == 0 { RECENT_SECONDS } else { f64::from(self.figures.recent_s) };
        self.rate = recent.samples as f64 / looked_back;
        if self.state != MemberState::There {
            (self.p99_us, self.rate, self.partitions) = (None, 0.0, 0);
        }
        self
    }

    fn recent(&self) -> OutcomeCounts {
        let mut recent = OutcomeCounts::default();
        self.figures.targets.iter().for_each(|target| recent.merge(&target.recent));
        recent
    }
}

/// Seconds that `recent` looks back.
const RECENT_SECONDS: f64 = 10.0;

/// Sums over all replayers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FleetTotals {
    /// Replayers that take part.
    pub there: usize,
    /// Those that have ended.
    pub ended: usize,
    /// Those that were not heard of for too long.
    pub lost: usize,
    /// Partitions that somebody holds.
    pub partitions: usize,
    /// Requests that were sent.
    pub sent: u64,
    /// Those of them that were answered with 5xx, or not at all.
    pub errors: u64,
    /// 99th percentile of the service time over the last 10 s, in microseconds.
    pub p99_us: Option<u64>,
    /// Requests a second, over the last 10 s.
    pub rate: f64,
}

/// How a fleet stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FleetStatus {
    /// The run.
    pub run: String,
    /// What people have ordered.
    pub orders: FleetOrders,
    /// Sums over all replayers.
    pub total: FleetTotals,
    /// The replayers, by when they began.
    pub replayers: Vec<FleetMember>,
}

impl FleetStatus {
    /// Adds up.
    #[must_use]
    pub fn new(run: &str, orders: FleetOrders, members: impl Iterator<Item = FleetMember>) -> Self {
        let mut replayers: Vec<_> = members.map(FleetMember::counted).collect();
        replayers.sort_by(|a, b| (&a.began, &a.id).cmp(&(&b.began, &b.id)));
        for (number, replayer) in (1..).zip(&mut replayers) {
            (replayer.number, replayer.name) = (number, member_name(&replayer.host, &replayer.id));
        }
        let mut total = FleetTotals::default();
        let mut recent = OutcomeCounts::default();
        for replayer in &replayers {
            match replayer.state {
                MemberState::There => total.there += 1,
                MemberState::Ended => total.ended += 1,
                MemberState::Lost => total.lost += 1,
            }
            total.partitions += replayer.partitions;
            total.sent += replayer.sent;
            total.errors += replayer.errors;
            total.rate += replayer.rate;
            if replayer.state == MemberState::There {
                recent.merge(&replayer.recent());
            }
        }
        total.p99_us = recent.quantile_us(0.99);
        Self { run: run.to_owned(), orders, total, replayers }
    }

    /// Those that are there and have not taken up the order of this number.
    pub fn behind(&self, order: u64) -> impl Iterator<Item = &FleetMember> {
        self.replayers.iter().filter(move |one| one.state == MemberState::There && one.order < order)
    }

    /// Those that have taken it up, or one after it.
    pub fn obeying(&self, order: u64) -> impl Iterator<Item = &FleetMember> {
        self.replayers.iter().filter(move |one| one.state != MemberState::Lost && one.order >= order)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn member(id: &str, state: MemberState, took: std::ops::Range<u64>, order: u64) -> FleetMember {
        let mut counts = OutcomeCounts::default();
        took.for_each(|ms| counts.take(ms % 10 == 0, false, Some(200), Some(Duration::from_millis(ms))));
        let target = TargetFigures { total: counts.clone(), recent: counts, ..TargetFigures::default() };
        let figures = MemberFigures { targets: vec![target], ..MemberFigures::default() };
        FleetMember { id: id.to_owned(), state, order, partitions: 4, figures, ..FleetMember::default() }
    }

    #[test]
    fn percentiles_of_a_fleet_are_those_of_all_its_outcomes() {
        let members = [member("a", MemberState::There, 0..100, 1), member("b", MemberState::There, 900..1_000, 1)];
        let status = FleetStatus::new("1", FleetOrders::default(), members.into_iter());
        let all = member("c", MemberState::There, 0..100, 0).figures.targets[0].total.clone();
        let mut whole = all;
        whole.merge(&member("c", MemberState::There, 900..1_000, 0).figures.targets[0].total);
        assert_eq!(status.total.p99_us, whole.quantile_us(0.99));
        assert_eq!((status.total.sent, status.total.errors, status.total.partitions), (200, 20, 8));
    }

    #[test]
    fn a_rate_is_that_of_the_seconds_that_were_looked_back() {
        let mut young = member("a", MemberState::There, 0..10, 1);
        young.figures.recent_s = 2;
        let unknown = member("b", MemberState::There, 0..10, 1);
        assert_eq!([young, unknown].map(|member| member.counted().rate.to_string()), ["5", "1"]);
    }

    #[test]
    fn whoever_is_gone_counts_in_the_sums_and_is_not_waited_for() {
        let orders = FleetOrders { number: 2, ..FleetOrders::default() };
        let members = [
            member("a", MemberState::There, 0..10, 2),
            member("b", MemberState::There, 0..10, 1),
            member("c", MemberState::Lost, 0..10, 1),
            member("d", MemberState::Ended, 0..10, 0),
        ];
        let status = FleetStatus::new("1", orders, members.into_iter());
        let FleetTotals { there, ended, lost, sent, partitions, .. } = status.total;
        assert_eq!((there, ended, lost, sent, partitions), (2, 1, 1, 40, 8));
        assert_eq!(status.behind(2).map(|one| one.id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
