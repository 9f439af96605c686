//! A run of seven hours does not take more and more memory, whatever differs, fails or is new in it.
//!
//! Time is made up, so it takes seconds. Without optimization there are 25 requests in each second; with a thousand, as
//! on a busy evening, it is `cargo test --release --test long_run -- --include-ignored`.

use std::sync::Arc;
use std::time::Duration;

use shadowtap::compare;
use shadowtap::exchange::{ConnectionId, Damage, ExchangeId, FailureKind, Outcome, Timestamp};
use shadowtap::replay::{ConnNumber, Delivery, Destination, SentAs, TargetId, TargetResponse};
use shadowtap::report::schema::request::RunRequest;
use shadowtap::report::threshold::Thresholds;
use shadowtap::report::{
    Production, ReportEvent, ReportSettings, Reporter, RequestRecord, RequestText, RunGauges, RunTotals, Started,
    Summary, TargetGauges, TargetSet, TargetTotals, Unjoined,
};

/// Half of the run: a point of the timeline is twice as wide after the second one, and there are as many.
const HALF: u32 = 7 * 3_600 / 2;

/// The part of all that is held that the second half may add: buckets of histograms that the first one did not hit.
const SECOND_HALF: i64 = 50;

/// What one target and two thousand routes, a thousand kinds of difference and a timeline take.
const MAX_HELD: i64 = 48 << 20;

/// A run that goes on: its report, and the requests that there were.
struct Long {
    reporter: Reporter,
    requests: u32,
    routes: u64,
    random: u64,
    /// Connections to the target.
    connections: Vec<ConnNumber>,
}

impl Long {
    fn new(routes: u64) -> Self {
        let reporter = Reporter::new(ReportSettings {
            baseline: None,
            command: "shadow",
            targets: vec!["http://new".to_owned()],
            sample: 1.0,
            results: None,
            started: Started::now(),
            patterns: Arc::default(),
            evidence: true,
            compare: compare::CompareRules::default(),
            kept_bytes: 1 << 20,
            recent_bytes: 1 << 20,
            demands: Thresholds::default(),
            asked: RunRequest::default(),
            observe: None,
        });
        let connections = (0..100).map(|_| ConnNumber::next()).collect();
        Self { reporter, requests: 0, routes, random: 1, connections }
    }

    fn next(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// This many seconds, with this many requests in each.
    async fn go_on(&mut self, seconds: u32, rate: u32) {
        for _ in 0..seconds {
            (0..rate).for_each(|_| self.request());
            let target = TargetGauges { connections: 100, in_flight: 3 };
            let level = RunGauges { lost: 1, share: Some(1.0), connections: Some(50), targets: vec![target] };
            self.reporter.take(ReportEvent::Level(Box::new(level)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    /// One request; one in fifty differs, one in a hundred fails, one in a hundred was lost half way.
    fn request(&mut self) {
        self.requests += 1;
        let id = ExchangeId::new(ConnectionId(u64::from(self.requests / 100)), self.requests % 100);
        // Letters, so that each route is one of its own.
        let letter = |number: u64| char::from_digit(u32::try_from(number % 16).unwrap_or(0) + 16, 36).unwrap_or('-');
        let number = self.next(self.routes);
        let route: String = (0..3).map(|at| letter(number >> (4 * at))).collect();
        let target = format!("/v2/{route}/{}?page=1", self.next(1_000_000));
        let head = format!("GET {target} HTTP/1.1\r\nHost: tv.example\r\nAccept: */*\r\n\r\n");
        let note = RequestRecord {
            repeat: None,
            id,
            at: Timestamp::from_nanos(u64::from(self.requests) * 1_000_000),
            client: ([10, 0, 0, 7], 51_234).into(),
            text: RequestText::new(b"GET", target.as_bytes(), b"tv.example", head.as_bytes()),
            bytes: head.len() as u64,
            body_len: 0,
            route: None,
            share: None,
        };
        self.reporter.take(ReportEvent::Offered {
            note: Box::new(note),
            targets: TargetSet::first(1),
            capture_delay: None,
        });
        let production = self.production();
        self.reporter.take(ReportEvent::Production { of: id, production });
        let delivery = self.delivery(id);
        self.reporter.take(ReportEvent::Delivered(Box::new(delivery)));
    }

    fn production(&mut self) -> Result<Production, Unjoined> {
        let latency = Some(Duration::from_micros(200 + 2_000 * self.next(64)));
        let known =
            Production { status: 200, body_len: 5, body_sha256: None, damage: None, left: false, latency, kept: None };
        if self.next(100) == 0 { Err(Damage::NoResponse.into()) } else { Ok(known) }
    }

    fn delivery(&mut self, id: ExchangeId) -> Delivery {
        let now = tokio::time::Instant::now();
        let status = if self.next(50) == 0 { 503 } else { 200 };
        let answer = TargetResponse {
            status,
            body_len: 5,
            body_sha256: None,
            kept: None,
            closed: None,
            written: now,
            first_byte: now,
            done: now,
            connection: self.connections.get((self.requests % 100) as usize).copied(),
        };
        let fails = self.next(100) == 0;
        let took = Duration::from_micros(500 + 4_000 * self.next(64));
        Delivery {
            carry_wait: None,
            id,
            destination: Destination::Target(TargetId::at(0)),
            outcome: if fails { Outcome::Failed(FailureKind::Timeout) } else { Outcome::Sent },
            sent_as: SentAs::CAPTURED,
            reason: None,
            answer: (!fails).then_some(answer),
            service: (!fails).then_some(took),
            response: (!fails).then_some(took),
            lag: Some(Duration::from_micros(self.next(1_000))),
        }
    }

    fn finish(self) -> Summary {
        self.reporter.finish(RunTotals { targets: vec![TargetTotals::default()], ..RunTotals::default() })
    }
}

/// What `work` allocated and did not give back, in bytes.
fn kept(work: impl FnOnce()) -> i64 {
    allocation_counter::measure(work).bytes_current
}

/// Seven hours with this many requests in each second.
fn seven_hours(rate: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let _context = runtime.enter();
    let routes = 3 * u64::from(rate);
    let mut long = Long::new(routes);
    let first = kept(|| runtime.block_on(long.go_on(HALF, rate)));
    let second = kept(|| runtime.block_on(long.go_on(HALF, rate)));
    assert!(first + second < MAX_HELD, "{first} and {second} bytes");
    assert!(second < first / SECOND_HALF, "the second half left {second} bytes, the first one {first}");
    let requests = u64::from(long.requests);
    let summary = long.finish();
    assert!(summary.balances());
    assert_eq!(summary.requests.offered, requests);
    // Past two thousand there is one row for all others.
    assert_eq!(summary.routes.len() as u64, routes.min(2_001));
    assert_eq!(summary.routes.iter().map(|route| route.requests).sum::<u64>(), requests);
    let timeline = summary.timeline.expect("a timeline");
    assert_eq!((timeline.width_s, timeline.points.len()), (32, 788));
    assert_eq!(timeline.points.iter().map(|point| point.seen).sum::<u64>(), requests);
    let kinds = summary.kinds.expect("kinds of difference");
    let differences = kinds.left_out + kinds.rows.iter().map(|kind| kind.count).sum::<u64>();
    let target = summary.targets.get("http://new").expect("the target");
    assert_eq!((differences, target.differences.any), (target.differences.status, target.differences.status));
}

#[test]
fn seven_hours_take_no_more_memory_than_half_of_them() {
    seven_hours(25);
}

#[test]
#[ignore = "takes long without optimization"]
fn seven_hours_at_a_thousand_requests_a_second_take_no_more_memory_than_half_of_them() {
    seven_hours(1_000);
}
