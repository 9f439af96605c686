//! Responses that are taken back, because another one came without a request on their connection.
//!
//! What a delivery was counted as is taken out of every sum, and it counts as failed (`desynchronised`). One whose
//! exchange still waits for its other half, or for its comparison, counts so from then on.

use std::time::Duration;

use crate::exchange::Outcome;
use crate::replay::{ConnNumber, Delivery, Destination, TargetId};
use crate::report::collect::comparer::FoundInExchange;
use crate::report::collect::inputs::Production;
use crate::report::collect::join::Joined;
use crate::report::collect::recent::{CountedComparison, CountedDelivery, KnownProduction};
use crate::report::collect::results::ResultLine;
use crate::report::collect::route_name::{OTHER, RouteName};
use crate::report::schema::noise::NoiseSource;

use super::Reporter;

/// What a delivery was counted with and as, when it was held against production's response.
#[derive(Debug, Default)]
pub(super) struct CountedAs {
    pub(super) route: Option<RouteName>,
    pub(super) production: Option<KnownProduction>,
    pub(super) compared: Option<CountedComparison>,
    pub(super) demands: u32,
}

impl CountedAs {
    pub(super) fn new(route: Option<&RouteName>, production: Option<&Production>) -> Self {
        Self { route: route.cloned(), production: production.map(KnownProduction::of), ..Self::default() }
    }
}

/// What was counted of a response when it came.
struct Answered {
    status: u16,
    service: Option<Duration>,
    response: Option<Duration>,
    at: Duration,
}

impl Reporter {
    /// What came over these connections is nobody's.
    pub(super) fn take_back(&mut self, connections: impl Iterator<Item = ConnNumber>) {
        for connection in connections {
            for one in self.counted.desynchronised(connection) {
                self.take_back_counted(&one);
            }
        }
    }

    /// Has a delivery that just ended count as failed, where its response is in doubt.
    pub(super) fn doubt_new(&mut self, delivery: &mut Delivery) {
        if self.counted.doubts(delivery) {
            delivery.doubt();
            self.count_doubted(delivery.destination);
        }
    }

    /// The same where its end was counted, and how it compares was not. What a target was asked a second time for is not
    /// held against a response that is nobody's.
    pub(super) fn doubt_joined(&mut self, joined: &mut Joined, found: &mut FoundInExchange) {
        let mut doubted = Vec::new();
        for delivery in &mut joined.deliveries {
            if !self.counted.doubts(delivery) {
                continue;
            }
            let answered = Answered {
                status: delivery.answer.as_ref().map_or(0, |answer| answer.status),
                service: delivery.service,
                response: delivery.response,
                at: self.evidence.ended_at(delivery),
            };
            delivery.doubt();
            doubted.push(delivery.destination);
            self.end_otherwise(delivery, &answered);
        }
        for (delivery, found) in joined.deliveries.iter().zip(&mut found.deliveries) {
            let first = delivery.destination.of_first_send();
            if doubted.contains(&delivery.destination) || doubted.contains(&first) {
                *found = None;
            }
        }
    }

    /// Remembers what a delivery was counted as, where it may be taken back.
    pub(super) fn remember(&mut self, delivery: &Delivery, counted: CountedAs) {
        let Some(answer) = delivery.answer.as_ref().filter(|_| delivery.outcome == Outcome::Sent) else { return };
        let Some(connection) = answer.connection else { return };
        let CountedAs { route, production, compared, demands } = counted;
        self.counted.remember(CountedDelivery {
            connection,
            id: delivery.id,
            destination: delivery.destination,
            status: answer.status,
            service: delivery.service,
            response: delivery.response,
            at: self.evidence.ended_at(delivery),
            route,
            production,
            compared,
            demands,
        });
    }

    fn take_back_counted(&mut self, one: &CountedDelivery) {
        let failed = one.failed();
        let CountedDelivery { status, service, response, at, .. } = *one;
        self.end_otherwise(&failed, &Answered { status, service, response, at });
        self.unlearn(one);
        match one.destination {
            Destination::Target(target) => {
                self.uncompare(one);
                self.take_back_evidence(target, one, &failed);
            }
            Destination::Baseline => self.uncompare(one),
            Destination::SelfCheck(_) => {
                if let Some(compared) = &one.compared {
                    self.checks.uncompared(&compared.found);
                }
            }
        }
    }

    /// Takes back what a comparison told of noise.
    fn unlearn(&mut self, one: &CountedDelivery) {
        let Some(CountedComparison { found, .. }) = one.compared.as_ref().filter(|compared| compared.tells_noise)
        else {
            return;
        };
        let route = one.route.as_deref().unwrap_or(OTHER);
        match one.destination {
            Destination::Target(target) => self.noise.take_back(route, target.index(), found),
            Destination::Baseline => self.noise.own_back(route, NoiseSource::Baseline, found),
            Destination::SelfCheck(_) => self.noise.own_back(route, NoiseSource::SelfCheck, found),
        }
    }

    fn uncompare(&mut self, one: &CountedDelivery) {
        if let Some(tally) = self.tally(one.destination) {
            tally.uncompared(one);
            tally.unanswered(one.production.map(|production| production.status));
        }
    }

    /// What there is of targets alone: demands, routes, groups of differences, lines of results.
    fn take_back_evidence(&mut self, target: TargetId, one: &CountedDelivery, failed: &Delivery) {
        let url = self.urls.get(target.index()).map_or("", String::as_str);
        self.watch.take_back(url, one);
        self.evidence.uncompared(one);
        if let Some(recent) = &mut self.recent {
            recent.forget(one.id, target);
        }
        if self.results.wanted() {
            self.results.write(&ResultLine::taken_back(one, failed, url));
        }
    }

    /// What was counted of a response when it came is taken back; its delivery counts as `failed`.
    fn end_otherwise(&mut self, failed: &Delivery, answered: &Answered) {
        let Answered { status, service, response, at } = *answered;
        let destination = failed.destination;
        self.count_doubted(destination);
        if matches!(destination, Destination::SelfCheck(_)) {
            self.checks.take_back();
            return;
        }
        self.ledger.ends_otherwise(destination, &failed.outcome);
        let is_first = self.tally(destination).is_some_and(|tally| {
            tally.untimed(status, service, response);
            tally.failed(failed)
        });
        if is_first {
            self.log_failure(failed);
        }
        if let Some(target) = destination.target() {
            self.evidence.undelivered(target, status, response, at);
        }
    }

    /// Counts one more response that does not count, of a target that was asked for its own sake or a second time.
    fn count_doubted(&mut self, destination: Destination) {
        let is_check = matches!(destination, Destination::SelfCheck(_));
        if let Some(tally) = self.tally(destination.of_first_send()) {
            if is_check { tally.doubted_check() } else { tally.doubted() }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{self, Shared};
    use super::*;
    use crate::exchange::ExchangeId;
    use crate::report::PartialRun;
    use crate::report::collect::inputs::{RunTotals, Started, TargetSet, TargetTotals};
    use crate::report::collect::results::TakenBackLines;
    use crate::report::collect::testing::{delivery, id, note, production};
    use crate::report::reporter::snapshot::LiveReference;
    use crate::report::reporter::{ReportEvent, ReportSettings};
    use crate::report::schema::failures::DesynchronisedSummary;
    use crate::report::schema::summary::Summary;
    use crate::report::threshold::{ThresholdWatch, Thresholds};

    /// Requests, most of which go over the first connection: a status, a body, and whether that is the case.
    const REQUESTS: [(u32, u16, &str, bool); 9] = [
        (1, 200, r#"{"a":1}"#, true),
        (2, 503, r#"{"a":1}"#, true),
        (3, 200, r#"{"a":2}"#, true),
        (4, 200, r#"{"a":1}"#, false),
        (5, 200, r#"{"a":2}"#, false),
        (6, 404, r#"{"a":3}"#, true),
        (7, 200, "[1]", true),
        (8, 200, r#"{"a":1}"#, false),
        (9, 200, r#"{"a":9}"#, true),
    ];

    const GATES: [&str; 4] = [
        "differences{route=\"/a*\"}>0",
        "errors{route=\"/a\"}>0",
        "p99{route=\"*\"}>1.2*production",
        "service.p50{route=\"*\"}>1ms",
    ];

    fn reporter(results: &Shared, started: Started) -> Reporter {
        let all = GATES.iter().map(|gate| gate.parse().unwrap()).collect();
        Reporter::new(ReportSettings {
            baseline: Some("http://b".to_owned()),
            demands: Thresholds { all, min_samples: 1 },
            started,
            ..tests::settings(Some(results.clone()))
        })
    }

    /// The responses to each request, of the target, the baseline and the target's second time, each over a connection of
    /// its own kind; or their failures, where they are in doubt and that is known beforehand.
    fn deliveries(connections: [ConnNumber; 3], known: bool) -> Vec<(u32, Vec<Delivery>)> {
        let numbers =
            [Destination::Target(TargetId::at(0)), Destination::Baseline, Destination::SelfCheck(TargetId::at(0))];
        let of = |(n, status, body, doubted): (u32, u16, &str, bool)| {
            let all = numbers.iter().zip(connections).map(|(number, connection)| {
                let mut one = Delivery { destination: *number, ..delivery(n, Outcome::Sent, Some(status)) };
                let answer = one.answer.as_mut().unwrap();
                (answer.body_len, answer.body_sha256) = (body.len() as u64, None);
                answer.kept = Some(Box::new(tests::json(body)));
                // Both ways of a target go over one connection.
                answer.connection = Some(if doubted { connection } else { ConnNumber::next() });
                // Those that stand are the shortest and the longest: these figures stay exact.
                let response = match n {
                    4 => 500,
                    8 => 90_000,
                    n => 1_000 * u64::from(n),
                };
                one.response = Some(Duration::from_micros(response));
                if known && doubted {
                    one.doubt();
                }
                one
            });
            (n, all.collect())
        };
        REQUESTS.into_iter().map(of).collect()
    }

    fn offer(reporter: &mut Reporter, n: u32) {
        reporter.take(ReportEvent::Offered { note: note(n), targets: TargetSet::first(1), capture_delay: None });
        reporter.take(ReportEvent::Beside { of: id(n), baseline: true, checks: TargetSet::first(1) });
    }

    fn answer(reporter: &mut Reporter, n: u32) {
        let body = r#"{"a":1}"#;
        let kept = Some(Box::new(tests::json(body)));
        let production = Production { kept, body_len: body.len() as u64, body_sha256: None, ..production(200) };
        reporter.take(ReportEvent::Production { of: id(n), production: Ok(production) });
    }

    fn finish(reporter: Reporter, results: &Shared) -> (Summary, Vec<u8>) {
        let found = DesynchronisedSummary { earlier: 18, connections: 1, ..DesynchronisedSummary::default() };
        let end = || TargetTotals { desynchronised: Some(found.clone()), ..TargetTotals::default() };
        let mut summary = reporter.finish(RunTotals { targets: vec![end(), end()], ..RunTotals::default() });
        assert!(summary.balances(), "{summary:?}");
        summary.duration_s = 0.0;
        (summary, results.0.lock().unwrap().clone())
    }

    /// The run in which it is known beforehand what is in doubt.
    fn known_beforehand(started: Started) -> (Summary, Vec<u8>) {
        let results = Shared::default();
        let mut reporter = reporter(&results, started);
        for (n, all) in deliveries([ConnNumber::next(); 3], true) {
            offer(&mut reporter, n);
            for one in all {
                reporter.take(ReportEvent::Delivered(Box::new(one)));
            }
            answer(&mut reporter, n);
        }
        finish(reporter, &results)
    }

    /// What is told of the connections that are in doubt is not part of the comparison, nor which failure came first.
    fn without_finding(mut summary: Summary) -> (Summary, Vec<DesynchronisedSummary>) {
        let blocks = summary.targets.values_mut().chain(summary.baseline.as_mut().map(|baseline| &mut baseline.target));
        let found = blocks.filter_map(|block| {
            block.failures.iter_mut().for_each(|failure| failure.first.clear());
            block.desynchronised.take()
        });
        let found = found.collect();
        // When the run began, and how long it took by the clock, is another each time.
        summary.started.clear();
        summary.timeline.iter_mut().for_each(|timeline| (timeline.last_s, timeline.start) = (0.0, String::new()));
        // Slow requests that had made room for one that is taken back are not known any more.
        summary.routes.iter_mut().flat_map(|route| route.targets.values_mut()).for_each(|one| one.slowest.clear());
        (summary, found)
    }

    /// It comes to the same when it turns out after so many of the steps of the run.
    fn check(after: usize, deferred: bool) {
        let started = Started::now();
        let results = Shared::default();
        let mut reporter = reporter(&results, started);
        let comparer = deferred.then(|| reporter.defer_comparisons());
        let connection = ConnNumber::next();
        let mut step = 0;
        let mut turn = |reporter: &mut Reporter| {
            if step == after {
                reporter.take(ReportEvent::Desynchronised(vec![connection, ConnNumber::next()]));
            }
            step += 1;
        };
        for (n, all) in deliveries([connection; 3], false) {
            offer(&mut reporter, n);
            for one in all {
                turn(&mut reporter);
                reporter.take(ReportEvent::Delivered(Box::new(one)));
            }
            turn(&mut reporter);
            answer(&mut reporter, n);
        }
        turn(&mut reporter);
        while let (Some(comparer), Some(task)) = (&comparer, reporter.next_comparison()) {
            reporter.compared(comparer.compare(task, None));
        }
        turn(&mut reporter);
        assert!(step > after);
        let (summary, lines) = finish(reporter, &results);
        let (summary, found) = without_finding(summary);
        // Six of the target's eighteen were self-checks, which are no deliveries of it.
        let counts = found.iter().map(|one| (one.deliveries, one.taken_back, one.earlier)).collect::<Vec<_>>();
        assert_eq!(counts, [(6, 6, 12), (6, 6, 18)]);
        let (expected, _) = without_finding(known_beforehand(Started::now()).0);
        // As JSON it is told which part is not the same.
        let json = |summary: &Summary| serde_json::to_value(summary).unwrap();
        for (key, part) in json(&expected).as_object().unwrap() {
            assert_eq!(&json(&summary)[key], part, "{key}, after {after}");
        }
        check_lines(&lines, &summary);
    }

    /// Who reads the lines again finds what the summary says.
    fn check_lines(lines: &[u8], summary: &Summary) {
        let mut taken_back = TakenBackLines::default();
        lines.split(|byte| *byte == b'\n').for_each(|line| taken_back.look(line).unwrap());
        let (mut partial, demands) = (PartialRun::default(), GATES.iter().map(|gate| gate.parse().unwrap()).collect());
        let mut watch = ThresholdWatch::new(Thresholds { all: demands, min_samples: 1 }, &["http://t".to_owned()]);
        partial.without(taken_back.clone());
        watch.without(taken_back);
        for line in lines.split(|byte| *byte == b'\n') {
            partial.line(line);
            watch.line(line);
        }
        let again = partial.finish().unwrap();
        let (again, run) = (&again.targets["http://t"], &summary.targets["http://t"]);
        assert_eq!((again.ended.sent, again.ended.failed["desynchronised"]), (3, 6));
        assert_eq!((&again.matrix, &again.statuses), (&run.matrix, &run.statuses));
        assert_eq!(again.latency_us.response.count, run.latency_us.response.count);
        assert_eq!(watch.judge(summary), summary.gates);
    }

    #[test]
    fn responses_that_are_taken_back_leave_what_would_be_had_it_been_known_before() {
        for after in 0..38 {
            check(after, false);
            check(after, true);
        }
    }

    #[test]
    fn the_end_of_a_run_may_tell_of_it_and_a_line_names_each() {
        let (results, connection) = (Shared::default(), ConnNumber::next());
        let mut reporter = reporter(&results, Started::now());
        for (n, mut all) in deliveries([connection; 3], false) {
            reporter.take(ReportEvent::Offered { note: note(n), targets: TargetSet::first(1), capture_delay: None });
            reporter.take(ReportEvent::Delivered(Box::new(all.swap_remove(0))));
            answer(&mut reporter, n);
        }
        let end = TargetTotals { desynchronised_connections: vec![connection], ..TargetTotals::default() };
        let summary = reporter.finish(RunTotals { targets: vec![end], ..RunTotals::default() });
        assert!(summary.balances());
        let target = &summary.targets["http://t"];
        assert_eq!((target.ended.sent, target.ended.failed["desynchronised"]), (3, 6));
        assert_eq!((target.failures[0].kind.as_str(), target.failures[0].count), ("desynchronised", 6));
        let lines = results.0.lock().unwrap().clone();
        let lines: Vec<Value> = lines.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
        let back: Vec<_> = lines.iter().filter(|line| line["kind"] == "desynchronised").collect();
        let ids: Vec<_> = back.iter().map(|line| line["id"].clone()).collect();
        let expected = [1, 2, 3, 6, 7, 9].map(|n: u32| json!(ExchangeId::to_string(&id(n))));
        assert_eq!(ids, expected);
        assert_eq!(lines.last().unwrap()["kind"], "summary");
    }

    #[test]
    fn a_difference_that_is_taken_back_is_shown_no_more() {
        let (results, connection) = (Shared::default(), ConnNumber::next());
        let mut reporter = reporter(&results, Started::now());
        let look = |reporter: &mut Reporter| reporter.snapshot(LiveReference::default());
        assert!(look(&mut reporter).differences.is_empty());
        for (n, mut all) in deliveries([connection; 3], false) {
            reporter.take(ReportEvent::Offered { note: note(n), targets: TargetSet::first(1), capture_delay: None });
            reporter.take(ReportEvent::Delivered(Box::new(all.swap_remove(0))));
            answer(&mut reporter, n);
        }
        assert_eq!(look(&mut reporter).differences.len(), 6);
        reporter.take(ReportEvent::Desynchronised(vec![connection]));
        let seen = look(&mut reporter);
        assert_eq!(seen.differences.len(), 1);
        assert!(seen.differences[0].get().contains(r#""id":"1.5""#));
        let back = &seen.targets["http://t"].taken_back;
        assert_eq!((back.deliveries, back.statuses["200"], back.differences.compared), (6, 4, 6));
        assert_eq!(seen.targets["http://t"].service.count, 9);
    }
}
