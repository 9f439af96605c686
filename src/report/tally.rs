//! Running counts of one target and of production, beside the ledger.

use crate::exchange::Outcome;
use crate::replay::Delivery;

use super::compare::{Difference, Found, Place};
use super::curves::{Curve, TargetCurves};
use super::histogram::Durations;
use super::snapshot::{Buckets, TargetBuckets};
use super::summary::{Counts, Differences, ProductionSide, Target, TargetEnded, TargetLatency, count};
use super::{Production, TargetEnd};

/// What one target answered.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetTally {
    statuses: Counts,
    service: Durations,
    response: Durations,
    lag: Durations,
    matrix: std::collections::BTreeMap<String, Counts>,
    differences: Differences,
}

impl TargetTally {
    /// What a delivery tells by itself: times and status.
    pub(super) fn timed(&mut self, delivery: &Delivery) {
        for (into, duration) in [
            (&mut self.service, delivery.service),
            (&mut self.response, delivery.response),
            (&mut self.lag, delivery.lag),
        ] {
            if let Some(duration) = duration {
                into.record(duration);
            }
        }
        if let (Outcome::Sent, Some(answer)) = (&delivery.outcome, &delivery.answer) {
            count(&mut self.statuses, status(answer.status).as_str());
        }
    }

    /// What a delivery tells beside production's answer; `found` where both are known.
    pub(super) fn compared(
        &mut self,
        delivery: &Delivery,
        production: Option<&Production>,
        found: Option<Found>,
    ) -> Vec<Difference> {
        let answer = delivery.answer.as_ref().filter(|_| delivery.outcome == Outcome::Sent);
        let shadow = match (&delivery.outcome, answer) {
            (Outcome::Sent, Some(answer)) => status(answer.status),
            (Outcome::Failed(_), _) => "failed".to_owned(),
            _ => return Vec::new(),
        };
        let row = production.map_or_else(|| "none".to_owned(), |production| status(production.status));
        count(self.matrix.entry(row).or_default(), &shadow);
        let Some(found) = found else { return Vec::new() };
        self.differences.compared += 1;
        self.differences.any += u64::from(!found.differences.is_empty());
        self.differences.bodies_unknown += u64::from(found.body_unknown);
        self.differences.status += u64::from(found.has(Place::Status));
        self.differences.headers += u64::from(found.has(Place::Header));
        self.differences.body += u64::from(found.has(Place::Body));
        found.differences
    }

    /// Its latency by percentile.
    pub(super) fn curves(&self) -> TargetCurves {
        TargetCurves { service: self.service.curve(), response: self.response.curve() }
    }

    /// Its latencies so far, by the edges of [`super::snapshot::EDGES_US`].
    pub(super) fn buckets(&self) -> TargetBuckets {
        TargetBuckets {
            service: Buckets::of(&self.service),
            response: Buckets::of(&self.response),
            lag: Buckets::of(&self.lag),
        }
    }

    /// The target's block. Lag is null where nothing was ever due.
    pub(super) fn finish(&self, (offered, in_flight, ended): (u64, u64, TargetEnded), end: &TargetEnd) -> Target {
        Target {
            offered,
            in_flight,
            ended,
            statuses: self.statuses.clone(),
            connections_opened: end.connections_opened,
            peak_connections: end.peak_connections,
            peak_in_flight: end.peak_in_flight,
            addresses: end.addresses.clone(),
            latency_us: TargetLatency {
                connect: end.connect.figures(),
                service: self.service.figures(),
                response: self.response.figures(),
            },
            schedule_lag_us: (self.lag.count() > 0).then(|| self.lag.figures()),
            matrix: self.matrix.clone(),
            differences: self.differences.clone(),
            guard: end.guard.clone(),
        }
    }
}

/// What production answered to the requests that were offered.
#[derive(Clone, Debug, Default)]
pub(super) struct ProductionTally {
    statuses: Counts,
    damaged: Counts,
    latency: Durations,
    unjoined: Counts,
}

impl ProductionTally {
    pub(super) fn answered(&mut self, production: &Production) {
        count(&mut self.statuses, &status(production.status));
        if let Some(why) = production.damage {
            count(&mut self.damaged, why.key());
        }
        self.latency.record(production.latency);
    }

    pub(super) fn unjoined(&mut self, reason: &str) {
        count(&mut self.unjoined, reason);
    }

    /// Its latency by percentile.
    pub(super) fn curve(&self) -> Curve {
        self.latency.curve()
    }

    pub(super) fn finish(&self) -> ProductionSide {
        let Self { statuses, damaged, latency, unjoined } = self;
        ProductionSide {
            statuses: statuses.clone(),
            damaged: damaged.clone(),
            latency_us: latency.figures(),
            unjoined: unjoined.clone(),
        }
    }

    /// Its latencies, by the edges of [`super::snapshot::EDGES_US`].
    pub(super) fn buckets(&self) -> Buckets {
        Buckets::of(&self.latency)
    }
}

/// A status as a key: always three digits, so that keys sort as numbers do.
fn status(status: u16) -> String {
    format!("{status:03}")
}
