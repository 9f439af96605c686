//! Tallies for thresholds on routes, counted during the run.
//!
//! Each such threshold has a tally for each target that it is about, of the deliveries that match its pattern: exact,
//! and never more than [`super::MAX_DEMANDS`] times the targets. All other thresholds are judged by the summary alone.

use std::collections::{HashMap, HashSet};

use crate::compare::{self, DifferencePart, ResponseDiff};
use crate::exchange::{Outcome, wire_text};
use crate::replay::Delivery;
use crate::report::collect::histogram::{LatencyHistogram, micros};
use crate::report::collect::inputs::{Production, RequestRecord};
use crate::report::collect::recent::CountedDelivery;
use crate::report::collect::results::TakenBackLines;
use crate::report::collect::route_name::template;
use crate::report::schema::noise::NoiseOnlyCounts;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::{Differences, PairedLatency, TargetLatency};

use crate::route_pattern::{self, RouteSet};

use super::judge::{self, GateInput, is_error};
use super::{LatencyClock, Threshold, ThresholdMetric, Thresholds};
use crate::report::schema::gates::GateResult;

/// Sets of fields that differed together, of one demand at one target; what comes up later is never noise.
const MAX_SETS: usize = 1024;

/// A delivery that got a response or failed, and production's side of it.
#[derive(Clone, Debug, Default)]
pub(super) struct EndedDelivery<'a> {
    /// The method, as captured.
    pub(super) method: &'a [u8],
    /// The request-target, as captured.
    pub(super) target: &'a [u8],
    /// The status that came back; `None` where the delivery failed.
    pub(super) status: Option<u16>,
    /// Last byte written to first byte read, in microseconds.
    pub(super) service_us: Option<u64>,
    /// Due to first byte, in microseconds.
    pub(super) response_us: Option<u64>,
    /// Production's status, where it is known.
    pub(super) production: Option<u16>,
    /// Latency of production, in microseconds.
    pub(super) production_us: Option<u64>,
    /// Parts that differ; `None` where responses could not be compared.
    pub(super) differs: Option<DiffParts>,
    /// The fields that do; `None` where there are none, or not all are known.
    pub(super) together: Option<FieldSet>,
}

/// Fields of a route that differ together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct FieldSet {
    route: String,
    fields: Vec<(DifferencePart, String)>,
}

/// Parts in which two responses differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own")]
pub(super) struct DiffParts {
    /// In the status.
    pub(super) status: bool,
    /// In header lines.
    pub(super) headers: bool,
    /// In the body.
    pub(super) body: bool,
    /// True when bodies could not be compared.
    pub(super) body_unknown: bool,
}

impl FieldSet {
    /// Returns the fields in which two responses on a route differ; `differences` has the part, the path within, and
    /// the kind of each.
    pub(super) fn new<'a>(
        route: &str,
        differences: impl Iterator<Item = (DifferencePart, &'a str, compare::DifferenceKind)> + Clone,
    ) -> Option<Self> {
        if differences.clone().any(|(_, _, kind)| kind == compare::DifferenceKind::More) {
            return None;
        }
        let mut fields: Vec<_> =
            differences.map(|(place, path, _)| (place, compare::field(path).into_owned())).collect();
        fields.sort_unstable();
        fields.dedup();
        (!fields.is_empty()).then(|| Self { route: route.to_owned(), fields })
    }
}

/// Fields that are noise: their routes, targets, parts and paths.
type NoisyFields<'a> = HashSet<(&'a str, &'a str, DifferencePart, &'a str)>;

impl DiffParts {
    fn of(found: &ResponseDiff) -> Self {
        Self {
            status: found.has(DifferencePart::Status),
            headers: found.has(DifferencePart::Header),
            body: found.has(DifferencePart::Body),
            body_unknown: found.body_unknown.is_some(),
        }
    }
}

/// Demands, and what was counted for those of them that are about routes.
#[derive(Clone, Debug, Default)]
pub struct ThresholdWatch {
    demands: Thresholds,
    watched: Vec<ThresholdTally>,
    /// What results that are read again take back.
    pub(super) taken_back: TakenBackLines,
}

/// Tally for one threshold on a route.
#[derive(Clone, Debug)]
struct ThresholdTally {
    demand: usize,
    route: RouteSet,
    clock: Option<LatencyClock>,
    targets: Vec<(String, RouteTally)>,
}

#[derive(Clone, Debug, Default)]
struct RouteTally {
    deliveries: u64,
    errors: u64,
    differences: Differences,
    production: Option<LatencyHistogram>,
    latency: Option<LatencyHistogram>,
    /// The latency of those whose latency in production is known, too.
    paired: Option<LatencyHistogram>,
    /// Number of differences in just these fields.
    sets: HashMap<FieldSet, u64, foldhash::fast::RandomState>,
}

impl ThresholdWatch {
    /// Watches for `demands`, on deliveries to `targets`.
    #[must_use]
    pub fn new(demands: Thresholds, targets: &[String]) -> Self {
        let of_routes = demands.all.iter().enumerate().filter_map(|(demand, asked)| {
            let targets = targets.iter().filter(|url| asked.target().is_none_or(|target| target == *url));
            let tallies = targets.map(|url| (url.clone(), RouteTally::default()));
            let clock = if let ThresholdMetric::Latency(clock, _) = asked.metric { Some(clock) } else { None };
            Some(ThresholdTally { demand, route: asked.route.clone()?, clock, targets: tallies.collect() })
        });
        Self { watched: of_routes.collect(), demands, taken_back: TakenBackLines::default() }
    }

    /// Returns whether it needs every delivery.
    #[must_use]
    pub const fn wants(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Counts a delivery to the target of this URL, as the run has it, and returns for which demands, a bit each. One whose
    /// request nobody remembers has no route.
    pub(in crate::report) fn delivered(
        &mut self,
        url: &str,
        note: Option<&RequestRecord>,
        delivery: &Delivery,
        production: Option<&Production>,
        found: Option<&ResponseDiff>,
    ) -> u32 {
        let status = match (&delivery.outcome, &delivery.answer) {
            (Outcome::Sent, Some(answer)) => Some(answer.status),
            (Outcome::Failed(_), _) => None,
            _ => return 0,
        };
        let Some(note) = note.filter(|_| self.wants()) else { return 0 };
        self.take(
            url,
            &EndedDelivery {
                method: note.text.method(),
                target: note.text.target(),
                status,
                service_us: delivery.service.map(micros),
                response_us: delivery.response.map(micros),
                production: production.map(|production| production.status),
                production_us: production.and_then(|production| production.latency).map(micros),
                differs: found.map(DiffParts::of),
                together: found.zip(note.route.as_ref()).and_then(|(found, route)| {
                    let differences = found.differences.iter();
                    FieldSet::new(route, differences.map(|one| (one.place, one.path.as_str(), one.kind)))
                }),
            },
        )
    }

    /// Counts a response as one of nobody's after all: its delivery failed.
    pub(in crate::report) fn take_back(&mut self, url: &str, one: &CountedDelivery) {
        let counted = self.watched.iter_mut().enumerate().filter(|(number, _)| one.demands & bit(*number) > 0);
        for (_, watched) in counted {
            if let Some((_, tally)) = watched.targets.iter_mut().find(|(target, _)| target == url) {
                tally.take_back(one, watched.clock);
            }
        }
    }

    /// Counts a delivery to the target of this URL; returns for which demands.
    pub(super) fn take(&mut self, url: &str, seen: &EndedDelivery<'_>) -> u32 {
        let mut demands = 0;
        let path = wire_text(route_pattern::path(seen.target));
        let mut shape = None;
        for (number, watched) in self.watched.iter_mut().enumerate() {
            let is_of = watched.route.first(seen.method, path.as_bytes()).is_some()
                || watched.route.first(seen.method, shape.get_or_insert_with(|| template(&path)).as_bytes()).is_some();
            let tally = watched.targets.iter_mut().find(|(target, _)| is_of && target == url);
            if let Some((_, tally)) = tally {
                tally.count(seen, watched.clock);
                demands |= bit(number);
            }
        }
        demands
    }

    /// The judgment on each demand, in their order. What the summary calls noise does not count.
    #[must_use]
    pub fn judge(&self, summary: &Summary) -> Vec<GateResult> {
        let rows = summary.noise.iter();
        let noise = rows.map(|row| (row.route.as_str(), row.target.as_str(), row.place, row.path.as_str())).collect();
        let judged = self.demands.all.iter().enumerate().map(|(number, demand)| {
            let watched = self.watched.iter().find(|watched| watched.demand == number);
            let measured: Vec<(String, GateInput)> = match watched {
                Some(watched) => {
                    let tallies = watched.targets.iter();
                    let of = |url: &String, tally: &RouteTally| GateInput {
                        is_unscheduled: summary.targets.get(url).is_some_and(|target| target.schedule_lag_us.is_none()),
                        ..tally.measured(url, watched.clock, &noise)
                    };
                    tallies.map(|(url, tally)| (url.clone(), of(url, tally))).collect()
                }
                None => of_targets(demand, summary),
            };
            judge::judge(demand, self.demands.min_samples, &measured)
        });
        judged.collect()
    }
}

/// The bit of a demand among those that are watched: there are no more of them than bits.
fn bit(number: usize) -> u32 {
    u32::try_from(number).ok().and_then(|number| 1_u32.checked_shl(number)).unwrap_or_default()
}

fn of_targets(demand: &Threshold, summary: &Summary) -> Vec<(String, GateInput)> {
    let asked = summary.targets.iter().filter(|(url, _)| demand.target().is_none_or(|target| target == *url));
    asked.map(|(url, target)| (url.clone(), GateInput::of(summary, target))).collect()
}

impl RouteTally {
    fn count(&mut self, seen: &EndedDelivery<'_>, clock: Option<LatencyClock>) {
        self.deliveries += 1;
        self.errors += u64::from(is_error(seen.status, seen.production));
        if let Some(differs) = seen.differs {
            let differences = &mut self.differences;
            differences.compared += 1;
            differences.any += u64::from(differs.status || differs.headers || differs.body);
            differences.status += u64::from(differs.status);
            differences.headers += u64::from(differs.headers);
            differences.body += u64::from(differs.body);
            differences.bodies_unknown += u64::from(differs.body_unknown);
        }
        let Some(clock) = clock else {
            self.together(seen.together.as_ref());
            return;
        };
        let took = if clock == LatencyClock::Service { seen.service_us } else { seen.response_us };
        let pair = took.zip(seen.production_us);
        for (durations, us) in [
            (&mut self.latency, took),
            (&mut self.paired, pair.map(|(took, _)| took)),
            (&mut self.production, pair.map(|(_, production)| production)),
        ] {
            if let Some(us) = us {
                durations.get_or_insert_with(LatencyHistogram::coarse).record_us(us);
            }
        }
    }

    /// Takes back what was counted of a response, and counts a failure.
    fn take_back(&mut self, one: &CountedDelivery, clock: Option<LatencyClock>) {
        let production = one.production.map(|production| production.status);
        self.errors -= u64::from(is_error(Some(one.status), production)).min(self.errors);
        self.errors += u64::from(is_error(None, production));
        if let Some(compared) = &one.compared {
            self.differences.uncount(&compared.found);
        }
        let Some(clock) = clock else {
            let found = one.compared.iter().flat_map(|compared| &compared.found.differences);
            let found = found.map(|one| (one.place, one.path.as_str(), one.kind));
            let set = one.route.as_ref().and_then(|route| FieldSet::new(route, found));
            if let Some(count) = set.and_then(|set| self.sets.get_mut(&set)) {
                *count = count.saturating_sub(1);
            }
            return;
        };
        let took = if clock == LatencyClock::Service { one.service } else { one.response };
        let production = one.production.and_then(|production| production.latency);
        let pair = took.zip(production);
        for (durations, duration) in [
            (&mut self.latency, took),
            (&mut self.paired, pair.map(|(took, _)| took)),
            (&mut self.production, pair.map(|(_, production)| production)),
        ] {
            if let (Some(durations), Some(duration)) = (durations, duration) {
                durations.remove(duration);
            }
        }
    }

    fn together(&mut self, together: Option<&FieldSet>) {
        let Some(together) = together else { return };
        if let Some(count) = self.sets.get_mut(together) {
            *count += 1;
        } else if self.sets.len() < MAX_SETS {
            self.sets.insert(together.clone(), 1);
        }
    }

    /// Returns the responses that differ in nothing but noise.
    fn only_noise(&self, url: &str, noise: &NoisyFields<'_>) -> NoiseOnlyCounts {
        let mut only = NoiseOnlyCounts::default();
        for (FieldSet { route, fields }, count) in &self.sets {
            let is_noise = |place: DifferencePart, path: &str| noise.contains(&(route.as_str(), url, place, path));
            only.count(&fields.iter().map(|(place, path)| (*place, is_noise(*place, path))), *count);
        }
        only
    }

    fn measured(&self, url: &str, clock: Option<LatencyClock>, noise: &NoisyFields<'_>) -> GateInput {
        let figures = |durations: &Option<LatencyHistogram>| {
            durations.as_ref().map(LatencyHistogram::figures).unwrap_or_default()
        };
        let latency = match clock {
            Some(LatencyClock::Service) => {
                TargetLatency { service: figures(&self.latency), ..TargetLatency::default() }
            }
            _ => TargetLatency { response: figures(&self.latency), ..TargetLatency::default() },
        };
        GateInput {
            deliveries: self.deliveries,
            errors: self.errors,
            differences: self.differences.clone().without(self.only_noise(url, noise)),
            latency,
            pairs: PairedLatency {
                production: figures(&self.production),
                service: figures(&self.paired),
                response: figures(&self.paired),
            },
            lost: 0,
            is_unscheduled: false,
            loss_unknown: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Difference, DifferenceKind};
    use crate::exchange::FailureKind;
    use crate::report::collect::request_text::RequestText;
    use crate::report::collect::results::ResultLine;
    use crate::report::collect::testing::{delivery, note, production};
    use crate::report::schema::noise;

    const URL: &str = "http://t";

    fn watch(demand: &str) -> ThresholdWatch {
        let demands = Thresholds { all: vec![demand.parse().unwrap()], min_samples: 1 };
        ThresholdWatch::new(demands, &[URL.to_owned(), "http://other".to_owned()])
    }

    /// Counts a request to `target` with production's status 200 and the target's `status`, or no response at all; once
    /// as the run sees it, and once as read from the results.
    fn seen(watches: &mut [&mut ThresholdWatch; 2], target: &str, status: Option<u16>) {
        let mut note = note(1);
        note.text = RequestText::new(b"GET", target.as_bytes(), b"old.example", b"");
        note.route = Some(format!("GET {target}").into());
        let outcome = if status.is_some() { Outcome::Sent } else { Outcome::Failed(FailureKind::Timeout) };
        let delivery = delivery(1, outcome, status);
        let production = production(200);
        let found = status.map(|status| ResponseDiff {
            differences: (status != 200).then(|| difference(status)).into_iter().collect(),
            body_unknown: None,
        });
        let [run, again] = watches;
        run.delivered(URL, Some(&note), &delivery, Some(&production), found.as_ref());
        let differences = found.map(|found| found.differences).unwrap_or_default();
        let line = ResultLine::delivered(Some(&note), &delivery, URL, Some(&production), &differences);
        again.line(&serde_json::to_vec(&line).unwrap());
    }

    fn difference(status: u16) -> Difference {
        Difference {
            place: DifferencePart::Status,
            path: String::new(),
            kind: DifferenceKind::Value,
            production: 200.into(),
            shadow: status.into(),
        }
    }

    #[track_caller]
    fn check(demand: &str, value: f64, samples: u64) {
        let (mut run, mut again) = (watch(demand), watch(demand));
        for (target, status) in [
            ("/v2/a?x=/v1/", Some(503)),
            ("/v2/users/4711", Some(200)),
            ("/v2/a", None),
            ("/v1/a", Some(503)),
            ("http://h/v2/b", Some(404)),
        ] {
            seen(&mut [&mut run, &mut again], target, status);
        }
        for watch in [run, again] {
            let gate = watch.judge(&Summary::default()).remove(0);
            assert_eq!((gate.value, gate.samples), (value, samples), "{demand}: {}", gate.reason);
        }
    }

    #[test]
    fn deliveries_are_counted_by_the_pattern_of_the_demand() {
        check("errors{route=\"/v2/*\", target=\"http://t\"}>9", 2.0, 4);
        check("status-diff{route=\"/v2/*\", target=\"http://t\"}>9", 2.0, 3);
        check("status-diff{route=\"/v2/users/{id}\", target=\"http://t\"}>9", 0.0, 1);
        check("status-diff{route=\"GET /v1/*\", target=\"http://t\"}>9", 1.0, 1);
        check("differences{route=\"POST *\", target=\"http://t\"}>9", 0.0, 0);
        check("body-diff{route=\"*\", target=\"http://other\"}>9", 0.0, 0);
        check("service.max{route=\"/v2/*\", target=\"http://t\"}>9s", 2_000.0, 3);
        check("mean{route=\"/v2/*\", target=\"http://t\"}>2*production", 3_000.0, 3);
    }

    #[test]
    fn what_the_summary_calls_noise_does_not_count() {
        let (mut run, mut again) = (
            watch("status-diff{route=\"*\", target=\"http://t\"}>9"),
            watch("differences{route=\"*\", target=\"http://t\"}>9"),
        );
        for (target, status) in [("/a", 503), ("/a", 200), ("/b", 503)] {
            seen(&mut [&mut run, &mut again], target, Some(status));
        }
        let row = |target: &str| noise::NoiseRow {
            route: "GET /a".to_owned(),
            place: DifferencePart::Status,
            path: String::new(),
            target: target.to_owned(),
            why: noise::NoiseSource::Baseline,
            rates: noise::NoiseRates::default(),
            samples: noise::NoiseSamples::default(),
        };
        for (target, value) in [(URL, 1.0), ("http://other", 2.0)] {
            let summary = Summary { noise: vec![row(target)], ..Summary::default() };
            for watch in [&run, &again] {
                let gate = watch.judge(&summary).remove(0);
                assert_eq!((gate.value, gate.samples), (value, 3), "{target}");
            }
        }
    }

    #[test]
    fn what_is_no_delivery_is_passed_over() {
        let mut watch = watch("errors{route=\"*\"}>0");
        for line in ["", "{", r#"{"kind":"summary","targets":{}}"#, r#"{"outcome":"sampled_out","target":"/"}"#] {
            watch.line(line.as_bytes());
        }
        assert_eq!(watch.judge(&Summary::default())[0].samples, 0);
    }
}
