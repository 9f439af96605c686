use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::exchange::{Damage, FailureKind, Head, Incomplete, Shed};
use crate::replay::{RetainedResponse, SentAs};
use crate::report::collect::inputs::{RepeatKey, TargetTotals};
use crate::report::threshold::Thresholds;

use super::super::collect::testing::{delivery, id, note, production};
use super::super::schema::counts::CountMap;
use super::*;

/// A writer whose bytes can be looked at while someone else owns it.
#[derive(Clone, Default)]
pub(super) struct Shared(pub(super) Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn settings(results: Option<Shared>) -> ReportSettings {
    ReportSettings {
        command: "replay",
        targets: vec!["http://t".into()],
        sample: 0.5,
        results: results.map(|to| Box::new(to) as Box<dyn Write + Send>),
        started: Started::now(),
        patterns: Arc::default(),
        evidence: true,
        compare: compare::CompareRules::default(),
        kept_bytes: 1 << 20,
        recent_bytes: 1 << 20,
        baseline: None,
        demands: Thresholds::default(),
        asked: RunRequest::default(),
        observe: None,
    }
}

fn run(facts: Vec<ReportEvent>) -> (Summary, Vec<Value>) {
    let to = Shared::default();
    let mut reporter = Reporter::new(settings(Some(to.clone())));
    for fact in facts {
        reporter.take(fact);
    }
    let summary = reporter.finish(RunTotals { targets: vec![TargetTotals::default()], ..RunTotals::default() });
    assert!(summary.balances(), "{summary:?}");
    let bytes = to.0.lock().unwrap().clone();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (summary, lines.map(|line| serde_json::from_slice(line).unwrap()).collect())
}

fn offered(n: u32) -> ReportEvent {
    ReportEvent::Offered { note: note(n), targets: TargetSet::first(1), capture_delay: None }
}

fn sent(n: u32, status: u16) -> ReportEvent {
    ReportEvent::Delivered(Box::new(delivery(n, Outcome::Sent, Some(status))))
}

fn answered(n: u32, status: u16) -> ReportEvent {
    ReportEvent::Production { of: id(n), production: Ok(production(status)) }
}

fn cell(summary: &Summary, production: &str, shadow: &str) -> u64 {
    summary.targets["http://t"].matrix.get(production).and_then(|row| row.get(shadow)).copied().unwrap_or(0)
}

#[test]
fn both_answers_of_one_request_meet_in_the_matrix() {
    let (summary, lines) =
        run(vec![offered(1), offered(2), answered(1, 200), sent(1, 200), sent(2, 503), answered(2, 200)]);
    assert_eq!((cell(&summary, "200", "200"), cell(&summary, "200", "503")), (1, 1));
    let target = &summary.targets["http://t"];
    assert_eq!((target.differences.compared, target.differences.status, target.differences.body), (2, 1, 0));
    assert_eq!(summary.production.statuses["200"], 2);
    assert_eq!(summary.production.latency_us.p50, 1500);
    assert_eq!(target.latency_us.service.p50, 2000);
    assert_eq!(target.schedule_lag_us.as_ref().unwrap().count, 2);
    assert_eq!(summary.capture_delay_us, None, "nothing was captured live");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["differences"][0]["in"], "status");
}

#[test]
fn a_delivery_without_production_stands_in_the_row_none() {
    let facts = vec![
        offered(1),
        sent(1, 200),
        ReportEvent::Production { of: id(1), production: Err(Damage::Gap.into()) },
        ReportEvent::Orphan,
    ];
    let (summary, lines) = run(facts);
    assert_eq!(cell(&summary, "none", "200"), 1);
    assert_eq!(summary.targets["http://t"].differences.compared, 0);
    assert_eq!((summary.production.unjoined["gap"], summary.production.unjoined["orphan"]), (1, 1));
    assert_eq!(lines[0]["production"], Value::Null);
}

#[test]
fn a_failed_delivery_has_a_cell_and_no_comparison() {
    let failed = ReportEvent::Delivered(Box::new(delivery(1, Outcome::Failed(FailureKind::Reset), None)));
    let (summary, _) = run(vec![offered(1), answered(1, 200), failed]);
    assert_eq!(cell(&summary, "200", "failed"), 1);
    let target = &summary.targets["http://t"];
    assert_eq!((target.ended.failed["reset"], target.differences.compared), (1, 0));
    assert_eq!(target.latency_us.response.count, 0);
    assert!(summary.nothing_delivered());
}

#[test]
fn ratios_are_of_requests_with_both_latencies() {
    let slow = |n: u32, ms: u64, outcome: Outcome, status: Option<u16>| {
        let took = Some(std::time::Duration::from_millis(ms));
        ReportEvent::Delivered(Box::new(Delivery { service: took, response: took, ..delivery(n, outcome, status) }))
    };
    // The first has no response in production; the second times out, and its wait counts.
    let unknown = ReportEvent::Production { of: id(1), production: Err(Damage::Gap.into()) };
    let late = slow(2, 4_000, Outcome::Failed(FailureKind::Timeout), None);
    let (summary, _) =
        run(vec![offered(1), offered(2), unknown, slow(1, 9_000, Outcome::Sent, Some(200)), answered(2, 200), late]);
    let target = &summary.targets["http://t"];
    assert_eq!((target.latency_us.response.count, target.latency_us.response.max), (2, 9_000_000));
    let pairs = target.paired_latency_us.as_ref().unwrap();
    assert_eq!((pairs.production.count, pairs.production.max), (1, 1_500));
    assert_eq!((pairs.response.count, pairs.response.max), (1, 4_000_000));
    let [route] = summary.routes.as_slice() else { panic!("{:?}", summary.routes) };
    let route = &route.targets["http://t"];
    assert_eq!((route.latency_us.service.count, route.latency_us.service.max), (2, 9_000_000));
    let pairs = route.paired_latency_us.as_ref().unwrap();
    assert_eq!((pairs.production.count, pairs.production.max), (1, 1_500));
    assert_eq!((pairs.service.count, pairs.service.max, pairs.response.max), (1, 4_000_000, 4_000_000));
}

#[test]
fn a_delivery_that_was_shed_has_no_cell() {
    let shed = ReportEvent::Delivered(Box::new(delivery(1, Outcome::Shed(Shed::TargetQueue), None)));
    let (summary, lines) = run(vec![offered(1), answered(1, 200), shed]);
    assert!(summary.targets["http://t"].matrix.is_empty());
    assert_eq!((&lines[0]["outcome"], &lines[0]["rule"]), (&"shed".into(), &"target_queue".into()));
}

#[test]
fn production_counts_only_what_was_offered() {
    let ended = ReportEvent::Ended { note: note(1), outcome: Outcome::SampledOut };
    let (summary, lines) = run(vec![ended, answered(1, 500)]);
    assert!(summary.production.statuses.is_empty());
    assert_eq!(summary.requests.ended.sampled_out, 1);
    assert_eq!(lines[0]["outcome"], "sampled_out");
}

#[test]
fn what_never_ended_is_in_flight_and_told_as_stopped() {
    let (summary, _) = run(vec![offered(1)]);
    assert_eq!(summary.targets["http://t"].in_flight, 1);
    assert_eq!(summary.production.unjoined["stopped"], 1);
}

#[test]
fn the_last_line_of_results_is_the_summary() {
    let (summary, lines) =
        run(vec![ReportEvent::Ended { note: note(1), outcome: Outcome::Incomplete(Incomplete::Cut) }]);
    let last = lines.last().unwrap();
    assert_eq!(last["kind"], "summary");
    assert_eq!(last["requests"]["ended"]["incomplete"]["cut"], 1);
    assert_eq!((summary.schema, summary.command.as_str()), (1, "replay"));
}

#[test]
fn any_order_of_halves_gives_the_same_summary() {
    let in_order = vec![offered(1), answered(1, 200), sent(1, 404), offered(2), answered(2, 200), sent(2, 200)];
    let mixed = vec![offered(2), offered(1), sent(1, 404), answered(2, 200), sent(2, 200), answered(1, 200)];
    let strip = |mut summary: Summary| {
        summary.started.clear();
        let timeline = summary.timeline.as_mut().unwrap();
        timeline.start.clear();
        timeline.last_s = 0.0;
        summary.duration_s = 0.0;
        summary
    };
    assert_eq!(strip(run(in_order).0), strip(run(mixed).0));
}

/// A head of JSON and this body.
pub(super) fn json(body: &str) -> RetainedResponse {
    let head = crate::exchange::Head::new(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec());
    RetainedResponse::new(head, Some(body.as_bytes().to_vec().into()))
}

/// An exchange whose responses differ in a value of their bodies, or not.
fn exchange(n: u32, differs: bool) -> [ReportEvent; 3] {
    let mut shadow = delivery(n, Outcome::Sent, Some(200));
    let answer = shadow.answer.as_mut().unwrap();
    (answer.body_len, answer.body_sha256) = (7, None);
    answer.kept = Some(Box::new(json(if differs { "{\"a\":2}" } else { "{\"a\":1}" })));
    let production =
        Production { body_len: 7, body_sha256: None, kept: Some(Box::new(json("{\"a\":1}"))), ..production(200) };
    [
        offered(n),
        ReportEvent::Delivered(Box::new(shadow)),
        ReportEvent::Production { of: id(n), production: Ok(production) },
    ]
}

fn ended(reporter: Reporter) -> Summary {
    let summary = reporter.finish(RunTotals { targets: vec![TargetTotals::default()], ..RunTotals::default() });
    assert!(summary.balances(), "{summary:?}");
    summary
}

#[test]
fn a_comparison_that_takes_time_is_left_to_others_and_the_ledger_does_not_wait() {
    let mut reporter = Reporter::new(settings(None));
    let comparer = reporter.defer_comparisons();
    for n in 1..=5 {
        for fact in exchange(n, n > 1) {
            reporter.take(fact);
        }
    }
    let seen = reporter.snapshot(snapshot::LiveReference::default()).summary;
    let target = &seen.targets["http://t"];
    assert_eq!((target.ended.sent, target.statuses["200"], target.latency_us.service.count), (5, 5, 5));
    assert_eq!((target.differences.compared, target.differences.any), (1, 0), "those that are equal are done at once");
    let task = reporter.next_comparison().unwrap();
    assert!(task.weight() > 100);
    reporter.compared(comparer.compare(task, None));
    let task = reporter.next_comparison().unwrap();
    reporter.compare_unread(task, compare::Unknown::QueueFull);
    let task = reporter.next_comparison().unwrap();
    reporter.compared(comparer.compare(task, Some(compare::Unknown::Late)));
    let differences = &ended(reporter).targets["http://t"].differences;
    assert_eq!((differences.compared, differences.body, differences.bodies_unknown), (5, 1, 3));
    let reasons = [("late", 1), ("queue_full", 1), ("run_ended", 1)].map(|(why, count)| (why.to_owned(), count));
    assert_eq!(differences.bodies_unknown_reasons, CountMap::from(reasons));
}

#[test]
fn what_came_twice_is_known_from_then_on_and_counts_as_often_as_it_comes() {
    let mut reporter = Reporter::new(settings(None));
    let comparer = reporter.defer_comparisons();
    for n in 1..=5 {
        for fact in exchange(n, true) {
            reporter.take(fact);
        }
        let task = reporter.next_comparison();
        assert_eq!(task.is_some(), n <= 2, "{n}");
        if let Some(task) = task {
            reporter.compared(comparer.compare(task, None));
        }
    }
    reporter.hurry(true);
    for fact in exchange(6, true) {
        reporter.take(fact);
    }
    let summary = ended(reporter);
    let differences = &summary.targets["http://t"].differences;
    assert_eq!((differences.compared, differences.body, differences.bodies_unknown), (6, 6, 0));
    let kind = &summary.kinds.as_ref().unwrap().rows[0];
    assert_eq!((kind.path.as_str(), kind.count, kind.examples.len()), ("$.a", 6, 3));
    assert_eq!(kind.examples[2].shadow, 2);
}

#[test]
fn in_which_order_targets_answer_says_nothing_of_production() {
    for defers in [false, true] {
        let mut reporter = Reporter::new(settings(None));
        let comparer = defers.then(|| reporter.defer_comparisons());
        let exchange = |n: u32| {
            let [_, sent, answered] = exchange(n, true);
            let offered = ReportEvent::Offered {
                note: Box::new(RequestRecord { repeat: Some(RepeatKey(7)), ..*note(n) }),
                targets: TargetSet::first(1),
                capture_delay: None,
            };
            let ReportEvent::Production { of, production: Ok(mut production) } = answered else { unreachable!() };
            // It changes once, in the midst of twenty.
            if n > 10 {
                production.kept = Some(Box::new(json("{\"a\":3}")));
            }
            ([offered, ReportEvent::Production { of, production: Ok(production) }], sent)
        };
        let (before, mut sent): (Vec<_>, Vec<_>) = (1..=20).map(exchange).unzip();
        before.into_iter().flatten().for_each(|fact| reporter.take(fact));
        let later = sent.split_off(10);
        for (one, other) in sent.into_iter().zip(later) {
            reporter.take(one);
            reporter.take(other);
        }
        while let Some((comparer, task)) = comparer.as_ref().zip(reporter.next_comparison()) {
            reporter.compared(comparer.compare(task, None));
        }
        let summary = ended(reporter);
        assert_eq!((&summary.noise[..], summary.targets["http://t"].differences.body), (&[][..], 20));
        assert_eq!((summary.fields[0].path.as_str(), summary.fields[0].count), ("$.a", 20));
    }
}

#[test]
fn nothing_is_left_to_others_while_facts_come_too_fast_or_nobody_does_it() {
    let mut overloaded = Reporter::new(settings(None));
    overloaded.defer_comparisons();
    overloaded.hurry(true);
    for fact in exchange(1, true) {
        overloaded.take(fact);
    }
    assert!(overloaded.next_comparison().is_none());
    let differences = &ended(overloaded).targets["http://t"].differences;
    assert_eq!(differences.bodies_unknown_reasons.get("queue_full"), Some(&1));

    let mut alone = Reporter::new(settings(None));
    for fact in exchange(1, true) {
        alone.take(fact);
    }
    assert!(alone.next_comparison().is_none());
    assert_eq!(ended(alone).targets["http://t"].differences.body, 1);
}

#[test]
fn the_host_that_was_sent_is_the_targets_own_and_the_command_line_says_it() {
    let redirect = |to: &str| {
        let head = format!("HTTP/1.1 301 Moved\r\nLocation: http://{to}/new\r\n\r\n");
        RetainedResponse::new(Head::new(head.into_bytes()), None)
    };
    let mut reporter = Reporter::new(settings(None));
    for (n, place) in [(1, "api.staging.example"), (2, "elsewhere.example")] {
        let mut shadow = delivery(n, Outcome::Sent, Some(301));
        shadow.answer.as_mut().unwrap().kept = Some(Box::new(redirect(place)));
        let head = Head::new(b"GET /v2/a?b HTTP/1.1\r\nHost: api.staging.example\r\n\r\n".to_vec());
        shadow.sent_as = SentAs { keeps_host: true, head: Some(Box::new(head)) };
        let production = Production { kept: Some(Box::new(redirect("old.example"))), ..production(301) };
        reporter.take(offered(n));
        reporter.take(ReportEvent::Delivered(Box::new(shadow)));
        reporter.take(ReportEvent::Production { of: id(n), production: Ok(production) });
    }
    let summary = ended(reporter);
    assert_eq!(summary.targets["http://t"].differences.headers, 1);
    let curl = "curl -sSig --path-as-is 'http://t/v2/a?b' \\\n  -H 'Host: api.staging.example'";
    assert_eq!(summary.kinds.as_ref().unwrap().rows[0].examples[0].curl, curl);
    assert_eq!(summary.routes[0].targets["http://t"].slowest[0].curl, curl);
    assert_eq!(summary.routes[0].targets["http://t"].slowest[0].request.target, "/a", "as it was captured");
}
