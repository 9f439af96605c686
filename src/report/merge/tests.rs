use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::exchange::{FailureKind, Outcome};
use crate::report::collect::histogram::LatencyHistogram;
use crate::report::collect::inputs::{RunTotals, Started, TargetSet, TargetTotals};
use crate::report::collect::sparse_histogram::SparseHistogram;
use crate::report::collect::testing::{delivery, note, production};
use crate::report::schema::counts::CountMap;
use crate::report::schema::diff_groups::DiffGroup;
use crate::report::schema::noise::FieldRow;
use crate::report::schema::steps::RampStep;
use crate::report::schema::target::TargetGuard;
use crate::report::schema::timeline::{ProductionPoint, TargetPoint, Timeline, TimelinePoint};
use crate::report::threshold::Thresholds;
use crate::report::{ReportEvent, ReportSettings, Reporter, RequestText};

/// What became of one request.
#[derive(Clone, Debug)]
struct Request {
    route: u8,
    status: Option<u16>,
    same_body: bool,
    /// Production's latency, service, response and lag, in microseconds.
    us: [u64; 4],
    has_production: bool,
}

fn requests() -> impl Strategy<Value = Vec<(bool, Request)>> {
    let us = || prop_oneof![0..100_u64, 0..5_000_000_u64, 0..8_000_000_000_u64];
    let status = prop_oneof![3 => Just(Some(200_u16)), 1 => Just(Some(503)), 1 => Just(None)];
    let one = (0..4_u8, status, any::<bool>(), [us(), us(), us(), us()], prop::bool::weighted(0.8));
    let one = one.prop_map(|(route, status, same_body, us, has_production)| Request {
        route,
        status,
        same_body,
        us,
        has_production,
    });
    prop::collection::vec((any::<bool>(), one), 1..40)
}

/// A run over these requests that began at this second.
fn run<'a>(second: u64, requests: impl IntoIterator<Item = (u32, &'a Request)>) -> Summary {
    let started = Started { at: Timestamp::from_nanos(second * 1_000_000_000), ..Started::now() };
    let mut reporter = Reporter::new(ReportSettings {
        command: "replay",
        targets: vec!["http://t".into()],
        sample: 1.0,
        results: None,
        started,
        patterns: Arc::default(),
        evidence: true,
        compare: crate::compare::CompareRules::default(),
        kept_bytes: 1 << 20,
        recent_bytes: 1 << 20,
        baseline: None,
        demands: Thresholds::default(),
        asked: RunRequest { command_line: format!("shadowtap replay {second}"), ..RunRequest::default() },
        observe: None,
    });
    let mut connect = LatencyHistogram::default();
    for (n, request) in requests {
        let path = format!("/r{}", request.route);
        let text = RequestText::new(b"GET", path.as_bytes(), b"h", format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
        let mut note = note(n);
        note.text = text;
        reporter.take(ReportEvent::Offered { note, targets: TargetSet::first(1), capture_delay: None });
        let [known, service, response, lag] = request.us.map(Duration::from_micros);
        let outcome = if request.status.is_some() { Outcome::Sent } else { Outcome::Failed(FailureKind::Timeout) };
        let mut delivery = delivery(n, outcome, request.status);
        (delivery.service, delivery.response) = (request.status.map(|_| service), Some(response));
        delivery.lag = Some(lag);
        if let Some(answer) = delivery.answer.as_mut().filter(|_| !request.same_body) {
            answer.body_sha256 = Some([2; 32]);
        }
        let of = delivery.id;
        reporter.take(ReportEvent::Delivered(Box::new(delivery)));
        let mut answered = production(200);
        answered.latency = Some(known);
        let production = if request.has_production { Ok(answered) } else { Err(crate::exchange::Damage::Gap.into()) };
        reporter.take(ReportEvent::Production { of, production });
        connect.record(service);
    }
    let end = TargetTotals { connections_opened: 1, connect, ..TargetTotals::default() };
    reporter.finish(RunTotals { targets: vec![end], ..RunTotals::default() })
}

/// What two summaries have to have in common, in an order of its own.
fn comparable(mut summary: Summary) -> impl PartialEq + std::fmt::Debug {
    for target in summary.targets.values_mut() {
        target.connections_opened = 0;
        target.failures.iter_mut().for_each(|reason| reason.first.clear());
    }
    for target in summary.routes.iter_mut().flat_map(|route| route.targets.values_mut()) {
        target.slowest.iter_mut().for_each(|slow| (slow.id, slow.at) = Default::default());
    }
    let mut kinds: Vec<DiffGroup> = summary.kinds.unwrap_or_default().rows;
    for row in &mut kinds {
        row.examples.clear();
    }
    kinds.sort_by_key(|row| (row.route.clone(), row.place.clone(), row.path.clone(), row.what.clone()));
    let mut fields: Vec<FieldRow> = summary.fields;
    fields.sort_by_key(|row| (row.route.clone(), row.place.key(), row.path.clone()));
    let Summary { requests, targets, production, curves, histograms, routes, .. } = summary;
    ((requests, targets, production), (curves, histograms, routes), (kinds, fields))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_runs_added_up_are_one_run_over_all_of_it(all in requests()) {
        let numbered: Vec<(u32, &(bool, Request))> = (1..).zip(&all).collect();
        let of = |first: bool| {
            numbered.iter().filter(move |(_, (is_first, _))| *is_first == first).map(|(n, (_, request))| (*n, request))
        };
        let mut merged = MergedRun::default();
        merged.add("a", run(100, of(true))).unwrap();
        merged.add("b", run(200, of(false))).unwrap();
        let (merged, whole) = (merged.finish(), run(300, numbered.iter().map(|(n, (_, request))| (*n, request))));
        prop_assert!(merged.balances());
        let (merged, whole) = (comparable(merged), comparable(whole));
        prop_assert!(merged == whole, "{:#?}\n{:#?}", merged, whole);
    }

    #[test]
    fn a_histogram_comes_back_from_its_text(all in prop::collection::vec(prop_oneof![0..300_u64, any::<u64>().prop_map(|us| us >> 16)], 0..200)) {
        let (mut fine, mut sparse) = (LatencyHistogram::default(), SparseHistogram::default());
        for us in &all {
            fine.record_us(*us);
            sparse.record_us(*us);
        }
        prop_assert_eq!(SparseHistogram::read(&sparse.text()), Some(sparse));
        let read = LatencyHistogram::read(&fine.text()).unwrap();
        prop_assert_eq!((read.figures(), read.curve(), read.text()), (fine.figures(), fine.curve(), fine.text()));
    }
}

fn request(status: u16, us: u64) -> Request {
    Request { route: 0, status: Some(status), same_body: true, us: [us; 4], has_production: true }
}

fn some(second: u64) -> Summary {
    run(second, (1..).zip(&[request(200, 1_000), request(503, 2_000)]))
}

#[test]
fn percentiles_are_those_of_all_and_no_averages() {
    let (fast, slow): (Vec<_>, Vec<_>) =
        ((0..900).map(|_| request(200, 1_000)).collect(), vec![request(200, 900_000); 100]);
    let mut merged = MergedRun::default();
    merged.add("a", run(100, (1..).zip(&fast))).unwrap();
    merged.add("b", run(200, (1..).zip(&slow))).unwrap();
    let figures = merged.finish().targets["http://t"].latency_us.response.clone();
    assert_eq!(
        (figures.count, figures.p50, figures.p90, figures.min, figures.max),
        (1_000, 1_000, 1_000, 1_000, 900_000)
    );
    assert!(figures.p95.abs_diff(900_000) <= 900, "{figures:?}");
}

#[test]
fn what_is_no_other_run_is_refused_in_words() {
    let refused = |second: Summary| {
        let mut merged = MergedRun::default();
        merged.add("a.json", some(100)).unwrap();
        merged.add("b.json", second).unwrap_err().to_string()
    };
    let same = refused(some(100));
    assert!(same.starts_with("b.json is of the same run as a.json, which began at 1970-01-01T00:01:40"), "{same}");
    let recorded = refused(Summary { command: "record".to_owned(), ..some(200) });
    assert_eq!(recorded, "b.json is of `record` and a.json is of `replay`: add up runs of one command");
    let old = refused(Summary { histograms: None, ..some(200) });
    assert!(old.starts_with("b.json has percentiles, and not the durations behind them"), "{old}");
    assert!(old.ends_with("run it again with this version"), "{old}");
    let mut changed = some(200);
    changed.targets.get_mut("http://t").unwrap().latency_us.response.count += 1;
    assert!(refused(changed).starts_with("b.json: the durations of http://t do not go with its figures"));
    let unbalanced = |change: fn(&mut Summary)| {
        let mut changed = some(200);
        change(&mut changed);
        assert!(refused(changed).starts_with("b.json: its counts do not add up"));
    };
    unbalanced(|summary| summary.requests.offered += 1);
    unbalanced(|summary| summary.targets.get_mut("http://t").unwrap().offered += 1);
    unbalanced(|summary| summary.targets.get_mut("http://t").unwrap().differences.compared = 999);
    assert!(refused(Summary { schema: 2, ..some(200) }).contains("version 2 of the schema"));
}

#[test]
fn a_sum_can_be_added_up_again_and_no_run_counts_twice() {
    let mut first = MergedRun::default();
    first.add("a", some(100)).unwrap();
    first.add("b", some(200)).unwrap();
    let sum = first.finish();
    let mut second = MergedRun::default();
    second.add("c", some(300)).unwrap();
    second.add("sum.json", sum.clone()).unwrap();
    let error = second.add("b", some(200)).unwrap_err();
    assert!(matches!(&error, MergeError::SameRun { other, .. } if other == "b"), "{error}");
    let all = second.finish();
    assert_eq!(all.merged.unwrap().runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
    assert_eq!((all.requests.seen, all.targets["http://t"].latency_us.service.count), (6, 6));
    assert_eq!(
        (all.started.as_str(), sum.started.as_str()),
        ("1970-01-01T00:01:40.000000000Z", "1970-01-01T00:01:40.000000000Z")
    );
    assert!(all.duration_s >= 200.0, "{}", all.duration_s);
}

#[test]
fn targets_of_one_run_alone_stand_there_too() {
    let mut other = some(200);
    let target = other.targets.remove("http://t").unwrap();
    other.targets.insert("http://u".to_owned(), target);
    let texts = other.histograms.as_mut().unwrap();
    let durations = texts.targets.remove("http://t").unwrap();
    texts.targets.insert("http://u".to_owned(), durations);
    let mut merged = MergedRun::default();
    merged.add("a", some(100)).unwrap();
    merged.add("b", other).unwrap();
    let sum = merged.finish();
    assert_eq!(sum.targets.values().map(|target| target.offered).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(sum.targets["http://u"].latency_us.response.count, 2);
    assert_eq!(sum.verdict.unwrap().targets.len(), 2);
}

#[test]
fn what_cannot_be_added_up_is_left_out_and_said() {
    let mut first = some(100);
    first.targets.get_mut("http://t").unwrap().guard = Some(TargetGuard { trips: 3, ..TargetGuard::default() });
    first.steps = vec![RampStep::default()];
    first.warnings = vec!["something".to_owned()];
    let mut merged = MergedRun::default();
    merged.add("a", first).unwrap();
    merged.add("b", some(200)).unwrap();
    let sum = merged.finish();
    assert_eq!((sum.targets["http://t"].guard.as_ref(), sum.steps.len()), (None, 0));
    assert_eq!(sum.warnings, ["a: something"]);
    let left_out = sum.merged.unwrap().left_out;
    assert!(left_out.iter().any(|words| words.contains("guards")), "{left_out:?}");
    assert!(left_out.iter().any(|words| words.contains("ramps")), "{left_out:?}");
    assert!(!left_out.iter().any(|words| words.contains("gates")), "{left_out:?}");
}

fn timeline(second: u64, url: &str, points: &[u64]) -> Timeline {
    let point = |seen: &u64| TimelinePoint {
        seen: *seen,
        connections: Some(*seen),
        share: Some(1.0),
        production: ProductionPoint { responses: *seen, p99_us: 7, ..ProductionPoint::default() },
        targets: vec![TargetPoint { sent: *seen, p99_us: 9, ..TargetPoint::default() }],
        ..TimelinePoint::default()
    };
    Timeline {
        start: Timestamp::from_nanos(second * 1_000_000_000 + 400_000_000).to_string(),
        width_s: 1,
        last_s: 0.5,
        targets: vec![url.to_owned()],
        points: points.iter().map(point).collect(),
    }
}

fn over_time(parts: Vec<Timeline>) -> (Timeline, bool) {
    let mut all = MergedTimelines::default();
    for part in parts {
        all.add(Some(part));
    }
    let merged = all.merge();
    (merged.timeline.unwrap(), merged.is_mixed)
}

#[test]
fn each_second_counts_where_it_lies() {
    let (sum, is_mixed) = over_time(vec![timeline(12, "http://u", &[5, 6]), timeline(10, "http://t", &[1, 2, 3])]);
    assert!(is_mixed, "the third second is of both");
    assert_eq!((sum.start.as_str(), sum.targets.len()), ("1970-01-01T00:00:10.400000000Z", 2));
    assert_eq!(sum.points.iter().map(|point| point.seen).collect::<Vec<_>>(), [1, 2, 8, 6]);
    assert_eq!(sum.points.iter().map(|point| point.connections.unwrap()).collect::<Vec<_>>(), [1, 2, 8, 6]);
    let of = |url: usize| sum.points.iter().map(|point| point.targets[url].sent).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (vec![1, 2, 3, 0], vec![0, 0, 5, 6]));
    assert_eq!(sum.points.iter().map(|point| point.production.p99_us).collect::<Vec<_>>(), [7, 7, 0, 7]);
    assert_eq!(sum.points[2].targets.iter().map(|target| target.p99_us).collect::<Vec<_>>(), [9, 9]);
    assert!(sum.last_s.total_cmp(&0.5).is_eq(), "{}", sum.last_s);
}

#[test]
fn runs_that_lie_far_apart_have_wider_points_and_lose_nothing() {
    let (sum, _) = over_time(vec![timeline(0, "http://t", &[4, 5]), timeline(86_400, "http://t", &[6])]);
    assert_eq!((sum.width_s, sum.points.len()), (128, 676));
    assert_eq!((sum.points[0].seen, sum.points[0].connections), (9, Some(5)));
    assert_eq!(sum.points.iter().map(|point| point.seen).sum::<u64>(), 15);
}

#[test]
fn counts_that_no_run_has_do_not_overflow() {
    let mut counts = CountMap::from([("a".to_owned(), u64::MAX)]);
    counts.plus(CountMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    assert_eq!((counts["a"], counts["b"]), (u64::MAX, 2));
}
