//! Judgment of thresholds: the result of each and its reason, in a sentence that is complete by itself.

use crate::report::schema::counts::{LatencySummary, lost, sum};
use crate::report::schema::fleet::FleetEnd;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::{Differences, PairedLatency, TargetLatency, TargetSummary};

use super::super::units::{counted, duration, number, percent};
use super::{LatencyClock, LatencyFigure, Threshold, ThresholdLimit, ThresholdMetric};
use crate::report::schema::gates::{GateResult, GateState};

/// Measurements of one target for its thresholds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GateInput {
    /// Deliveries that got a response or failed.
    pub(super) deliveries: u64,
    pub(super) errors: u64,
    pub(super) differences: Differences,
    pub(super) latency: TargetLatency,
    /// Latencies of the same requests on both sides, for limits relative to production's.
    pub(super) pairs: PairedLatency,
    pub(super) lost: u64,
    /// Whether requests were sent without a schedule.
    pub(super) is_unscheduled: bool,
    /// Why it is not known what was lost; empty where it is.
    pub(super) loss_unknown: Vec<String>,
}
impl GateInput {
    /// Returns the measurements that a summary has of a target.
    pub(super) fn of(summary: &Summary, target: &TargetSummary) -> Self {
        let cells = target.matrix.iter().flat_map(|(production, row)| {
            let production = production.parse().ok();
            row.iter().map(move |(status, count)| (is_error(status.parse().ok(), production), *count))
        });
        let frames = summary.frames.kernel_dropped + summary.frames.interface_dropped;
        Self {
            deliveries: target.matrix.values().map(sum).sum(),
            errors: cells.filter(|(is_error, _)| *is_error).map(|(_, count)| count).sum(),
            differences: target.differences.clone(),
            latency: target.latency_us.clone(),
            // Runs of before had no pairs.
            pairs: target.paired_latency_us.clone().unwrap_or_else(|| PairedLatency {
                production: summary.production.latency_us.clone(),
                service: target.latency_us.service.clone(),
                response: target.latency_us.response.clone(),
            }),
            lost: frames
                + summary.tcp.gaps
                + lost(&summary.requests.ended.shed)
                + lost(&target.ended.shed)
                + summary.fleet.as_ref().map_or(0, FleetEnd::lost),
            is_unscheduled: target.schedule_lag_us.is_none(),
            loss_unknown: summary.fleet.as_ref().map(FleetEnd::loss_unknown).unwrap_or_default(),
        }
    }
}

/// What may be wrong where a route of a demand had no delivery.
const NO_ROUTE: &str =
    ": no request that was sent has such a route (routes are as captured, before filters rewrite them)";

/// A word for one, and for several.
type SampleWord = (&'static str, &'static str);

/// Reading for one threshold.
struct GateReading {
    value: f64,
    limit: f64,
    samples: u64,
    /// Value and limit in words.
    words: [String; 2],
    /// Name of the samples: of one, and of several.
    sample: SampleWord,
}

/// The judgment on a demand: of several targets that on the worst, which names the others that fail as well.
pub(super) fn judge(demand: &Threshold, needed: u64, measured: &[(String, GateInput)]) -> GateResult {
    let several = measured.len() > 1;
    let all: Vec<GateResult> = measured
        .iter()
        .map(|(url, measured)| {
            let mut gate = one(demand, needed, measured);
            gate.target = Some(url.clone());
            if several {
                gate.reason = format!("{}, at {url}", gate.reason);
            }
            gate
        })
        .collect();
    // Of equals the first target counts.
    let worst = all.iter().reduce(|worst, gate| if is_worse(gate, worst) { gate } else { worst });
    let Some(mut worst) = worst.cloned() else { return one(demand, needed, &GateInput::default()) };
    if worst.state == GateState::Failed {
        let fails_too = |gate: &&GateResult| gate.state == GateState::Failed && gate.target != worst.target;
        let others: Vec<&str> = all.iter().filter(fails_too).filter_map(|gate| gate.target.as_deref()).collect();
        if !others.is_empty() {
            let fail = if others.len() == 1 { "fails" } else { "fail" };
            worst.reason = format!("{}; {} {fail}, too", worst.reason, others.join(", "));
        }
    }
    worst
}

fn is_worse(one: &GateResult, other: &GateResult) -> bool {
    let rank = |gate: &GateResult| match gate.state {
        GateState::Held => 0,
        GateState::TooFew => 1,
        GateState::Unknown => 2,
        GateState::Failed => 3,
    };
    // Past its limit by how much counts, then too few samples, then how near the limit is.
    (rank(one), one.value - one.limit) > (rank(other), other.value - other.limit)
}

fn one(demand: &Threshold, needed: u64, measured: &GateInput) -> GateResult {
    let mut gate = of_known(demand, needed, measured);
    // What is past its limit stays so, whatever is not known.
    if demand.metric == ThresholdMetric::Lost && gate.state != GateState::Failed && !measured.loss_unknown.is_empty() {
        (gate.state, gate.held) = (GateState::Unknown, false);
        gate.reason = format!("what was lost is not known: {}", measured.loss_unknown.join("; "));
    }
    if gate.state == GateState::Held && may_be_past(demand, &measured.differences) {
        (gate.state, gate.held) = (GateState::Unknown, false);
        let unknown = counted(measured.differences.bodies_unknown, "body");
        gate.reason = format!("{}; it may be, since {unknown} could not be compared", gate.reason);
    }
    let is_against_production = matches!(demand.limit, ThresholdLimit::Production { .. });
    if measured.is_unscheduled && is_against_production && gate.state != GateState::TooFew {
        gate.reason.push_str("; at --speed max the target has another load than production had");
    }
    gate
}

/// Whether a share of deliveries that differ in anything would be past its limit if each body that is not known did.
fn may_be_past(demand: &Threshold, differences: &Differences) -> bool {
    let (ThresholdMetric::Any, ThresholdLimit::Share(limit)) = (&demand.metric, demand.limit) else { return false };
    let most = (differences.differing() + differences.bodies_unknown).min(differences.compared);
    let share = most as f64 / differences.compared.max(1) as f64;
    if demand.or_equal { share >= limit } else { share > limit }
}

/// The judgment on what is known.
fn of_known(demand: &Threshold, needed: u64, measured: &GateInput) -> GateResult {
    let GateReading { value, limit, samples, words: [found, allowed], sample } = read(demand, measured);
    let is_past = if demand.or_equal { value >= limit } else { value > limit };
    let is_enough = samples >= needed && samples > 0;
    // A number that was reached stays reached, on however few; a share or a latency says nothing then.
    let is_certain = is_enough || matches!(demand.limit, ThresholdLimit::Count(_));
    let state = match (is_past && is_certain, is_enough) {
        (true, _) => GateState::Failed,
        (false, true) => GateState::Held,
        (false, false) => GateState::TooFew,
    };
    let relation = match (is_past, demand.or_equal) {
        (true, true) => "not less than",
        (true, false) => "more than",
        (false, true) => "less than",
        (false, false) => "not more than",
    };
    let reason = if state == GateState::TooFew {
        let (one, several) = sample;
        let needed = needed.max(1);
        let (words, there) = (if needed == 1 { one } else { several }, number(samples));
        let is_nowhere = demand.route.is_some() && measured.deliveries == 0;
        let hint = if is_nowhere { NO_ROUTE } else { "" };
        format!("it needs {} {words} to pass, and there are {there}{hint}", number(needed))
    } else {
        format!("{found} is {relation} {allowed}")
    };
    GateResult {
        gate: demand.to_string(),
        value,
        held: state == GateState::Held,
        samples,
        state,
        limit,
        needed,
        target: None,
        reason,
    }
}

fn read(demand: &Threshold, measured: &GateInput) -> GateReading {
    let differences = &measured.differences;
    let bodies = differences.compared.saturating_sub(differences.bodies_unknown);
    let compared = ("compared delivery", "compared deliveries");
    match demand.metric {
        ThresholdMetric::Status => counting(demand, differences.status, differences.compared, compared),
        ThresholdMetric::Header => counting(demand, differences.headers, differences.compared, compared),
        ThresholdMetric::Body => counting(demand, differences.body, bodies, compared),
        ThresholdMetric::Any => {
            let is_share = matches!(demand.limit, ThresholdLimit::Share(_));
            let of = if is_share { differences.compared } else { bodies.max(differences.any) };
            counting(demand, differences.differing(), of, compared)
        }
        ThresholdMetric::Errors => counting(demand, measured.errors, measured.deliveries, ("delivery", "deliveries")),
        ThresholdMetric::Lost => counting(demand, measured.lost, measured.deliveries, ("delivery", "deliveries")),
        ThresholdMetric::Latency(clock, figure) => {
            let is_service = clock == LatencyClock::Service;
            let (own, paired) = if is_service {
                (&measured.latency.service, &measured.pairs.service)
            } else {
                (&measured.latency.response, &measured.pairs.response)
            };
            let own = if matches!(demand.limit, ThresholdLimit::Production { .. }) { paired } else { own };
            timing(demand, figure, own, &measured.pairs.production)
        }
    }
}

/// Returns the reading of a count: `count` of `of` samples.
fn counting(demand: &Threshold, count: u64, of: u64, sample: SampleWord) -> GateReading {
    if let ThresholdLimit::Share(limit) = demand.limit {
        let value = if of == 0 { 0.0 } else { count as f64 / of as f64 };
        let found = format!("{} ({} of {})", percent(value), number(count), number(of));
        return GateReading { value, limit, samples: of, words: [found, percent(limit)], sample };
    }
    let limit = if let ThresholdLimit::Count(limit) = demand.limit { limit } else { 0.0 };
    GateReading { value: count as f64, limit, samples: of, words: [number(count), limit.to_string()], sample }
}

/// Returns the reading of a latency, in microseconds.
fn timing(demand: &Threshold, figure: LatencyFigure, own: &LatencySummary, production: &LatencySummary) -> GateReading {
    let (value, beside) = (figure.of(own), figure.of(production));
    let (limit, samples, allowed) = match demand.limit {
        ThresholdLimit::Production { factor, more } => {
            let limit = factor * beside as f64 + more.as_secs_f64() * 1e6;
            let allowed = format!("{} (production's is {})", format_us(limit), duration(beside));
            (limit, own.count.min(production.count), allowed)
        }
        ThresholdLimit::Time(time) => (time.as_secs_f64() * 1e6, own.count, format_us(time.as_secs_f64() * 1e6)),
        ThresholdLimit::Count(limit) | ThresholdLimit::Share(limit) => (limit, own.count, limit.to_string()),
    };
    GateReading {
        value: value as f64,
        limit,
        samples,
        words: [duration(value), allowed],
        sample: ("latency", "latencies"),
    }
}

fn format_us(us: f64) -> String {
    duration(
        std::time::Duration::try_from_secs_f64(us / 1e6).map_or(u64::MAX, crate::report::collect::histogram::micros),
    )
}

impl LatencyFigure {
    pub(super) const fn of(self, figures: &LatencySummary) -> u64 {
        match self {
            Self::Mean => figures.mean,
            Self::P50 => figures.p50,
            Self::P90 => figures.p90,
            Self::P95 => figures.p95,
            Self::P99 => figures.p99,
            Self::P999 => figures.p99_9,
            Self::Max => figures.max,
        }
    }

    /// The share of durations that it is not below; `None` where it is no percentile.
    pub(super) const fn share(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::Mean | Self::Max => None,
        }
    }
}

/// Returns whether a delivery is an error where production's response was not.
pub(super) const fn is_error(status: Option<u16>, production: Option<u16>) -> bool {
    let fails = match status {
        Some(status) => status >= 500,
        None => true,
    };
    fails && !matches!(production, Some(500..))
}

#[cfg(test)]
mod tests {
    use super::super::{MIN_SAMPLES, ThresholdWatch, Thresholds};
    use super::*;
    use crate::report::schema::counts::CountMap;
    use crate::report::schema::summary::{Frames, ProductionSide};

    fn counts<const N: usize>(all: [(&str, u64); N]) -> CountMap {
        all.map(|(key, count)| (key.to_owned(), count)).into()
    }

    fn figures(count: u64, us: u64) -> LatencySummary {
        LatencySummary {
            count,
            min: us / 2,
            mean: us,
            p50: us,
            p90: us * 2,
            p95: us * 3,
            p99: us * 7,
            p99_9: us * 21,
            max: us * 43,
        }
    }

    /// A thousand compared, of which 37 + 3 went wrong where production did not.
    fn target() -> TargetSummary {
        let mut target = TargetSummary {
            matrix: [
                ("200".to_owned(), counts([("200", 950), ("503", 35), ("failed", 2)])),
                ("503".to_owned(), counts([("503", 5), ("failed", 5)])),
                ("none".to_owned(), counts([("200", 10), ("500", 2), ("failed", 1)])),
            ]
            .into(),
            differences: Differences {
                compared: 1_000,
                any: 60,
                status: 35,
                headers: 7,
                body: 30,
                bodies_unknown: 200,
                ..Differences::default()
            },
            latency_us: TargetLatency {
                service: figures(1_000, 1_500),
                response: figures(1_000, 2_000),
                ..Default::default()
            },
            schedule_lag_us: Some(figures(1_000, 10)),
            ..TargetSummary::default()
        };
        target.ended.shed.insert("target_queue".to_owned(), 4);
        target
    }

    fn summary() -> Summary {
        let mut summary = Summary {
            frames: Frames { kernel_dropped: 1, interface_dropped: 2, ..Frames::default() },
            targets: [("http://t".to_owned(), target())].into(),
            production: ProductionSide { latency_us: figures(990, 1_000), ..ProductionSide::default() },
            ..Summary::default()
        };
        summary.tcp.gaps = 8;
        summary.requests.ended.shed.insert("capture".to_owned(), 16);
        summary
    }

    fn judged(demand: &str, summary: &Summary) -> GateResult {
        let demands = Thresholds { all: vec![demand.parse().unwrap()], min_samples: MIN_SAMPLES };
        let urls: Vec<String> = summary.targets.keys().cloned().collect();
        ThresholdWatch::new(demands, &urls).judge(summary).remove(0)
    }

    #[track_caller]
    fn check(demand: &str, state: GateState, reason: &str) {
        let gate = judged(demand, &summary());
        assert_eq!(
            (gate.state, gate.held, gate.reason.as_str()),
            (state, state == GateState::Held, reason),
            "{demand}"
        );
    }

    #[test]
    fn each_metric_is_what_the_summary_has_of_it() {
        use GateState::{Failed, Held};
        check("status-diff>3.5%", Held, "3.5% (35 of 1,000) is not more than 3.5%");
        check("status-diff>=3.5%", Failed, "3.5% (35 of 1,000) is not less than 3.5%");
        check("status-diff>0.1%", Failed, "3.5% (35 of 1,000) is more than 0.1%");
        check("header-diff>7", Held, "7 is not more than 7");
        check("header-diff>=7", Failed, "7 is not less than 7");
        check("body-diff>1%", Failed, "3.75% (30 of 800) is more than 1%");
        check("differences>26%", Held, "6% (60 of 1,000) is not more than 26%");
        check("errors>0.5%", Failed, "3.96% (40 of 1,010) is more than 0.5%");
        check("errors>=41", Held, "40 is less than 41");
        check("lost>0", Failed, "31 is more than 0");
        check("p99>1.2*production", Failed, "14.0ms is more than 8.40ms (production's is 7.00ms)");
        check("service.p99>production+5ms", Held, "10.5ms is not more than 12.0ms (production's is 7.00ms)");
        check("p50>1ms", Failed, "2.00ms is more than 1.00ms");
        check("service.mean>2ms", Held, "1.50ms is not more than 2.00ms");
        check("max>100ms", Held, "86.0ms is not more than 100ms");
        check("p95>5ms", Failed, "6.00ms is more than 5.00ms");
        check("p99.9>1s", Held, "42.0ms is not more than 1.00s");
        check("p90>4ms", Held, "4.00ms is not more than 4.00ms");
    }

    #[test]
    fn what_cannot_be_compared_may_differ() {
        let known = "6% (60 of 1,000) is not more than 10%";
        let unknown = format!("{known}; it may be, since 200 bodies could not be compared");
        check("differences>10%", GateState::Unknown, &unknown);
        check("differences>5%", GateState::Failed, "6% (60 of 1,000) is more than 5%");
        check("differences>60", GateState::Held, "60 is not more than 60");
        let mut summary = summary();
        summary.targets.get_mut("http://t").unwrap().differences =
            Differences { compared: 200, bodies_unknown: 200, ..Differences::default() };
        assert_eq!(judged("differences>0", &summary).state, GateState::TooFew);
    }

    #[test]
    fn without_a_schedule_a_limit_of_productions_says_that_the_load_is_another() {
        let mut summary = summary();
        summary.targets.get_mut("http://t").unwrap().schedule_lag_us = None;
        assert_eq!(
            judged("p99>1.2*production", &summary).reason,
            "14.0ms is more than 8.40ms (production's is 7.00ms); at --speed max the target has another load than production had"
        );
        assert_eq!(judged("max>100ms", &summary).reason, "86.0ms is not more than 100ms");
    }

    #[test]
    fn what_the_run_did_not_come_to_or_another_replayer_has_is_not_lost() {
        let mut summary = summary();
        let lost = judged("lost>0", &summary).value;
        let ended = &mut summary.targets.get_mut("http://t").unwrap().ended;
        for shed in [&mut summary.requests.ended.shed, &mut ended.shed] {
            shed.extend([("run_ended".to_owned(), 100), ("moved".to_owned(), 1_000)]);
        }
        assert!((judged("lost>0", &summary).value - lost).abs() < f64::EPSILON);
        summary.requests.ended.shed.insert("stopped".to_owned(), 1);
        assert!((judged("lost>0", &summary).value - lost - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn nothing_is_said_to_be_lost_or_not_where_that_is_not_known() {
        use crate::recording::NodeAccount;
        use crate::report::schema::fleet::FleetSums;

        let mut whole = summary();
        (whole.frames, whole.tcp.gaps) = (Frames::default(), 0);
        whole.requests.ended.shed.clear();
        whole.targets.get_mut("http://t").unwrap().ended.shed.clear();
        let with = |sums: FleetSums| Summary {
            fleet: Some(FleetEnd { sums: Some(sums), ..FleetEnd::default() }),
            ..whole.clone()
        };
        let node =
            |seen, lost| NodeAccount { node: 1, host: "vm".to_owned(), gone: true, seen, lost, ..Default::default() };
        let said = judged("lost>0", &with(FleetSums { nodes: vec![node(Some(9), 0)], ..FleetSums::default() }));
        assert_eq!((said.state, said.reason.as_str()), (GateState::Held, "0 is not more than 0"));
        let untold = with(FleetSums { nodes: vec![node(None, 0)], unaccounted: 2_382, ..FleetSums::default() });
        let gate = judged("lost>0", &untold);
        assert_eq!((gate.state, gate.held), (GateState::Unknown, false));
        assert_eq!(
            gate.reason,
            "what was lost is not known: node 1 (vm) did not say what it saw; 2,382 outcomes are in no summary"
        );
        assert!(judged("errors>99", &untold).held, "another measure");
        let known = with(FleetSums { nodes: vec![node(None, 3)], expired: 4, ..FleetSums::default() });
        let gate = judged("lost>0", &known);
        assert_eq!((gate.state, gate.reason.as_str()), (GateState::Failed, "7 is more than 0"));
    }

    #[test]
    fn values_are_in_the_units_of_the_summary() {
        let of = |demand| {
            let gate = judged(demand, &summary());
            (gate.value, gate.limit, gate.samples)
        };
        assert_eq!(of("status-diff>0.1%"), (0.035, 0.001, 1_000));
        assert_eq!(of("errors>3"), (40.0, 3.0, 1_010));
        assert_eq!(of("p99>1.5*production"), (14_000.0, 10_500.0, 990));
    }

    #[test]
    fn too_few_deliveries_never_pass_and_it_is_said_how_many_are_needed() {
        let mut summary = summary();
        let target = summary.targets.get_mut("http://t").unwrap();
        *target = TargetSummary {
            matrix: [("200".to_owned(), counts([("200", 28), ("503", 1)]))].into(),
            differences: Differences { compared: 29, any: 1, status: 1, ..Differences::default() },
            latency_us: TargetLatency { response: figures(29, 10), ..TargetLatency::default() },
            ..TargetSummary::default()
        };
        summary.tcp.gaps = 0;
        for demand in ["status-diff>50%", "status-diff>0.1%", "errors>0.5%", "p99>1s", "body-diff>0"] {
            let gate = judged(demand, &summary);
            assert_eq!(
                (gate.state, gate.held, gate.samples, gate.needed),
                (GateState::TooFew, false, 29, 30),
                "{demand}"
            );
            assert!(gate.reason.starts_with("it needs 30 "), "{}", gate.reason);
            assert!(gate.reason.ends_with(" to pass, and there are 29"), "{}", gate.reason);
        }
        assert_eq!(judged("status-diff>0", &summary).state, GateState::Failed, "what was counted stays counted");
        let nobody = Summary::default();
        assert_eq!(judged("errors>0", &nobody).state, GateState::TooFew, "no target, no samples");
    }

    #[test]
    fn a_route_that_nothing_has_is_said_to_be_one() {
        let demand: Threshold = "p95{route=\"/v2/*\"}>50ms".parse().unwrap();
        let nothing = one(&demand, 30, &GateInput::default()).reason;
        assert!(nothing.ends_with(", and there are 0: no request that was sent has such a route (routes are as captured, before filters rewrite them)"), "{nothing}");
        let some = one(&demand, 30, &GateInput { deliveries: 1, ..GateInput::default() }).reason;
        assert!(some.ends_with(", and there are 0"), "{some}");
    }

    #[test]
    fn of_several_targets_the_worst_counts_and_one_can_be_named() {
        let mut summary = summary();
        let good = TargetSummary {
            matrix: [("200".to_owned(), counts([("200", 500)]))].into(),
            differences: Differences { compared: 500, ..Differences::default() },
            ..TargetSummary::default()
        };
        summary.targets.insert("http://good".to_owned(), good);
        let gate = judged("status-diff>0.1%", &summary);
        assert_eq!((gate.held, gate.target.as_deref()), (false, Some("http://t")));
        assert!(gate.reason.ends_with("is more than 0.1%, at http://t"), "{}", gate.reason);
        let mut both = summary.clone();
        both.targets.insert("http://u".to_owned(), summary.targets["http://t"].clone());
        for demand in ["status-diff>0.1%", "p99>1.2*production"] {
            let reason = judged(demand, &both).reason;
            assert!(reason.ends_with(", at http://t; http://u fails, too"), "{reason}");
        }
        let gate = judged("status-diff{target=\"http://good\"}>0.1%", &summary);
        assert_eq!((gate.held, gate.reason.as_str()), (true, "0% (0 of 500) is not more than 0.1%"));
        summary.targets.insert("http://idle".to_owned(), TargetSummary::default());
        let gate = judged("status-diff>50%", &summary);
        assert_eq!((gate.state, gate.target.as_deref()), (GateState::TooFew, Some("http://idle")));
    }
}
