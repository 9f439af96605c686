//! Running counts of one target and of production, next to the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::compare::{DifferencePart, ResponseDiff};
use crate::exchange::{FailureKind, Outcome};
use crate::replay::Delivery;
use crate::report::schema::counts::{CountMap, count};
use crate::report::schema::curves::{Curve, TargetCurves};
use crate::report::schema::failures::DesynchronisedSummary;
use crate::report::schema::histograms::TargetHistograms;
use crate::report::schema::noise::NoiseOnlyCounts;
use crate::report::schema::summary::ProductionSide;
use crate::report::schema::target::{Differences, PairedLatency, TargetEnded, TargetLatency, TargetSummary};

use super::buckets::{LiveBuckets, LiveTargetBuckets, TakenBack};
use super::histogram::LatencyHistogram;
use super::inputs::{Production, TargetTotals};
use super::reasons::Reasons;
use super::recent::CountedDelivery;

/// Responses of one target.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetTally {
    statuses: Statuses,
    service: LatencyHistogram,
    response: LatencyHistogram,
    lag: LatencyHistogram,
    carry_wait: LatencyHistogram,
    pairs: PairedTally,
    /// Production's status, where it is known, and the target's, where it responded.
    matrix: BTreeMap<(Option<u16>, Option<u16>), u64>,
    differences: Differences,
    reasons: Reasons,
    closed_early: CountMap,
    taken_back: TakenBack,
    /// Responses that do not count because another one came without a request.
    doubted: u64,
    /// The same of self-checks, which are no deliveries.
    doubted_checks: u64,
}

/// Latencies of requests whose latency is known on both sides.
#[derive(Clone, Debug, Default)]
struct PairedTally {
    production: LatencyHistogram,
    service: LatencyHistogram,
    response: LatencyHistogram,
}

impl PairedTally {
    fn record(&mut self, delivery: &Delivery, production: Option<&Production>) {
        let (Some(known), Some(response)) = (production.and_then(|one| one.latency), delivery.response) else { return };
        self.production.record(known);
        self.response.record(response);
        self.service.record(delivery.service.unwrap_or(response));
    }

    fn remove(&mut self, production: Duration, response: Duration, service: Option<Duration>) {
        self.production.remove(production);
        self.response.remove(response);
        self.service.remove(service.unwrap_or(response));
    }

    fn figures(&self) -> PairedLatency {
        PairedLatency {
            production: self.production.figures(),
            service: self.service.figures(),
            response: self.response.figures(),
        }
    }
}

/// Number of responses of each status.
type Statuses = BTreeMap<u16, u64>;

impl TargetTally {
    /// Counts the times and the status of a delivery. Returns whether it is the first that failed for its reason.
    pub(crate) fn timed(&mut self, delivery: &Delivery) -> bool {
        for (into, duration) in [
            (&mut self.service, delivery.service),
            (&mut self.response, delivery.response),
            (&mut self.lag, delivery.lag),
            (&mut self.carry_wait, delivery.carry_wait),
        ] {
            if let Some(duration) = duration {
                into.record(duration);
            }
        }
        if let (Outcome::Sent, Some(answer)) = (&delivery.outcome, &delivery.answer) {
            *self.statuses.entry(answer.status).or_default() += 1;
            if let Some(why) = answer.closed {
                count(&mut self.closed_early, why.key());
            }
        }
        self.reasons.delivered(delivery)
    }

    /// Takes back what [`TargetTally::timed`] counted of a response, but for its lag: it was sent when it was.
    pub(crate) fn untimed(&mut self, status: u16, service: Option<Duration>, response: Option<Duration>) {
        for (from, duration) in [(&mut self.service, service), (&mut self.response, response)] {
            if let Some(duration) = duration {
                from.remove(duration);
            }
        }
        less(self.statuses.entry(status).or_default());
        self.taken_back.deliveries += 1;
        count(&mut self.taken_back.statuses, &self::status(status));
    }

    /// Takes back what [`TargetTally::compared`] counted.
    pub(crate) fn uncompared(&mut self, one: &CountedDelivery) {
        less(self.matrix.entry((one.production.map(|production| production.status), Some(one.status))).or_default());
        if let (Some(known), Some(response)) = (one.production.and_then(|production| production.latency), one.response)
        {
            self.pairs.remove(known, response, one.service);
        }
        if let Some(compared) = &one.compared {
            self.differences.uncount(&compared.found);
            self.taken_back.differences.count(&compared.found);
        }
    }

    /// Counts that a response does not count, whether it had been counted or not.
    pub(crate) const fn doubted(&mut self) {
        self.doubted += 1;
    }

    /// The same of the response to a self-check.
    pub(crate) const fn doubted_check(&mut self) {
        self.doubted_checks += 1;
    }

    /// Counts a response that was taken back as a failure, beside production's status.
    pub(crate) fn unanswered(&mut self, production: Option<u16>) {
        *self.matrix.entry((production, None)).or_default() += 1;
    }

    /// Counts why a delivery failed. Returns whether it is the first that failed for its reason.
    pub(crate) fn failed(&mut self, delivery: &Delivery) -> bool {
        self.reasons.delivered(delivery)
    }

    /// Counts a delivery compared with production's response; `found` where both are known.
    pub(crate) fn compared(
        &mut self,
        delivery: &Delivery,
        production: Option<&Production>,
        found: Option<&ResponseDiff>,
    ) {
        let answer = delivery.answer.as_ref().filter(|_| delivery.outcome == Outcome::Sent);
        let shadow = match (&delivery.outcome, answer) {
            (Outcome::Sent, Some(answer)) => Some(answer.status),
            (Outcome::Failed(_), _) => None,
            _ => return,
        };
        *self.matrix.entry((production.map(|production| production.status), shadow)).or_default() += 1;
        self.pairs.record(delivery, production);
        if let Some(found) = found {
            self.differences.count(found);
        }
    }

    /// The matrix by keys.
    fn cells(&self) -> BTreeMap<String, CountMap> {
        let mut cells = BTreeMap::<String, CountMap>::new();
        for ((production, shadow), count) in self.matrix.iter().filter(|(_, count)| **count > 0) {
            let row = production.map_or_else(|| "none".to_owned(), status);
            let column = shadow.map_or_else(|| "failed".to_owned(), status);
            cells.entry(row).or_default().insert(column, *count);
        }
        cells
    }

    /// Its latency by percentile.
    pub(crate) fn curves(&self) -> TargetCurves {
        TargetCurves { service: self.service.curve(), response: self.response.curve() }
    }

    /// The durations behind its figures; `connect` are those of its connections.
    pub(crate) fn histograms(&self, production: &str, connect: &LatencyHistogram) -> TargetHistograms {
        let PairedTally { production: known, service, response } = &self.pairs;
        let all = TargetHistograms {
            connect: connect.text(),
            service: self.service.text(),
            response: self.response.text(),
            lag: self.lag.text(),
            carry_wait: self.carry_wait.text(),
            ..TargetHistograms::default()
        };
        all.with_pairs(production, [known, service, response].map(LatencyHistogram::text))
    }

    /// Its latencies so far, by the edges of [`super::buckets::EDGES_US`].
    pub(crate) fn buckets(&self) -> LiveTargetBuckets {
        LiveTargetBuckets {
            service: LiveBuckets::of(&self.service),
            response: LiveBuckets::of(&self.response),
            lag: LiveBuckets::of(&self.lag),
            taken_back: self.taken_back.clone(),
        }
    }

    /// The target's block. Lag is null where nothing was ever due.
    pub(crate) fn finish(
        &self,
        (offered, in_flight, ended): (u64, u64, TargetEnded),
        paused: u64,
        end: &TargetTotals,
    ) -> TargetSummary {
        let failed = ended.failed.get(FailureKind::Desynchronised.key()).copied().unwrap_or_default();
        TargetSummary {
            offered,
            in_flight,
            ended,
            statuses: counts(&self.statuses),
            connections_opened: end.connections_opened,
            peak_connections: end.peak_connections,
            peak_in_flight: end.peak_in_flight,
            addresses: end.addresses.clone(),
            latency_us: TargetLatency {
                connect: end.connect.figures(),
                service: self.service.figures(),
                response: self.response.figures(),
            },
            paired_latency_us: Some(self.pairs.figures()),
            schedule_lag_us: (self.lag.count() > 0).then(|| self.lag.figures()),
            matrix: self.cells(),
            differences_noise: NoiseOnlyCounts::default(),
            differences: self.differences.clone(),
            guard: end.guard.clone(),
            failures: self.reasons.finish(),
            retried: end.retried,
            carry: end.carry.clone(),
            carry_wait_us: (self.carry_wait.count() > 0).then(|| self.carry_wait.figures()),
            paused,
            closed_early: self.closed_early.clone(),
            desynchronised: end.desynchronised.clone().map(|found| DesynchronisedSummary {
                deliveries: failed,
                earlier: found.earlier.saturating_sub(self.doubted_checks),
                taken_back: self.doubted,
                ..found
            }),
            mirrored: end.mirrored,
        }
    }
}

/// Production's responses to the requests that were offered.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProductionTally {
    statuses: Statuses,
    damaged: CountMap,
    latency: LatencyHistogram,
    unjoined: CountMap,
}

impl ProductionTally {
    pub(crate) fn answered(&mut self, production: &Production) {
        *self.statuses.entry(production.status).or_default() += 1;
        if let Some(why) = production.damage {
            count(&mut self.damaged, why.key());
        }
        if let Some(latency) = production.latency {
            self.latency.record(latency);
        }
    }

    pub(crate) fn unjoined(&mut self, reason: &str) {
        count(&mut self.unjoined, reason);
    }

    /// Its latency by percentile.
    pub(crate) fn curve(&self) -> Curve {
        self.latency.curve()
    }

    /// The durations behind its figures.
    pub(crate) fn histogram(&self) -> String {
        self.latency.text()
    }

    pub(crate) fn finish(&self) -> ProductionSide {
        let Self { statuses, damaged, latency, unjoined } = self;
        ProductionSide {
            statuses: counts(statuses),
            damaged: damaged.clone(),
            latency_us: latency.figures(),
            unjoined: unjoined.clone(),
        }
    }

    /// Its latencies, by the edges of [`super::buckets::EDGES_US`].
    pub(crate) fn buckets(&self) -> LiveBuckets {
        LiveBuckets::of(&self.latency)
    }
}

fn counts(statuses: &Statuses) -> CountMap {
    statuses.iter().filter(|(_, count)| **count > 0).map(|(of, count)| (status(*of), *count)).collect()
}

fn less(count: &mut u64) {
    *count = count.saturating_sub(1);
}

impl Differences {
    /// Counts how two responses compare.
    pub(crate) fn count(&mut self, found: &ResponseDiff) {
        self.compared += 1;
        self.any += u64::from(!found.differences.is_empty());
        if let Some(why) = found.body_unknown {
            self.bodies_unknown += 1;
            count(&mut self.bodies_unknown_reasons, why.key());
        }
        self.status += u64::from(found.has(DifferencePart::Status));
        self.headers += u64::from(found.has(DifferencePart::Header));
        self.body += u64::from(found.has(DifferencePart::Body));
    }

    /// Takes that back.
    pub(crate) fn uncount(&mut self, found: &ResponseDiff) {
        let mut one = Self::default();
        one.count(found);
        for (from, by) in [
            (&mut self.compared, one.compared),
            (&mut self.any, one.any),
            (&mut self.bodies_unknown, one.bodies_unknown),
            (&mut self.status, one.status),
            (&mut self.headers, one.headers),
            (&mut self.body, one.body),
        ] {
            *from = from.saturating_sub(by);
        }
        for why in one.bodies_unknown_reasons.keys() {
            self.bodies_unknown_reasons.entry(why.clone()).and_modify(less);
        }
        self.bodies_unknown_reasons.retain(|_, count| *count > 0);
    }
}

/// A status as a key: always three digits, so that keys sort as numbers do.
fn status(status: u16) -> String {
    format!("{status:03}")
}
