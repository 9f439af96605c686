//! Metrics for Prometheus: a [`Snapshot`] as text of version 0.0.4. Names and units are relied upon by dashboards.
//!
//! Units are seconds, bytes and ratios from 0 to 1; counters end in `_total`. Labels come from the command line
//! (names of targets, rules of chains, patterns of `--routes`) and from the lists of this program, never from the wire:
//! there are as many series as those have entries.

mod fleet;
mod labels;
mod page;
mod routes;

use crate::replay::GuardState;
use crate::report::Snapshot;
use crate::report::collect::buckets::LiveTargetBuckets;
use crate::report::collect::buckets::TakenBack;
use crate::report::collect::status::StatusClass;
use crate::report::reporter::snapshot::LiveState;
use crate::report::schema::counts::CountMap;
use crate::report::schema::recording::RecordingSummary;
use crate::report::schema::summary::{Requests, Summary};
use crate::report::schema::target::TargetSummary;

use page::MetricsPage;

/// Content type of the text, for the header of the response.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page that shows `snapshot`.
#[must_use]
pub fn text(snapshot: &Snapshot) -> String {
    let mut page = MetricsPage::default();
    let snapshot = &labels::by_label(snapshot);
    let summary = &snapshot.summary;
    run(&mut page, snapshot);
    frames(&mut page, summary);
    connections(&mut page, summary);
    requests(&mut page, &summary.requests);
    production(&mut page, snapshot);
    deliveries(&mut page, snapshot);
    answers(&mut page, snapshot);
    latencies(&mut page, snapshot);
    routes::routes(&mut page, snapshot);
    capture_delay(&mut page, snapshot);
    sample(&mut page, snapshot);
    guards(&mut page, summary);
    waiting(&mut page, &snapshot.live);
    fleet::fleet(&mut page, snapshot);
    if let Some(recording) = &summary.recording {
        recorded(&mut page, recording);
    }
    page.text()
}

fn run(page: &mut MetricsPage, snapshot: &Snapshot) {
    let (summary, live) = (&snapshot.summary, &snapshot.live);
    let build = [("version", summary.version.as_str()), ("command", summary.command.as_str())];
    page.gauge("shadowtap_build_info", "What runs: its version and command; always 1.").count(&build, 1);
    if let Ok(started) = summary.started.parse::<jiff::Timestamp>() {
        page.gauge("shadowtap_run_start_time_seconds", "When the run began, in seconds since 1970.")
            .value(&[], started.as_duration().as_secs_f64());
    }
    page.gauge("shadowtap_paused", "1 while nothing is sent because somebody asked for a pause.")
        .count(&[], u64::from(live.paused));
    if let Some(read) = live.read {
        page.gauge("shadowtap_capture_read_ratio", "How far into the capture the run is.").value(&[], read);
    }
}

fn frames(page: &mut MetricsPage, summary: &Summary) {
    let frames = &summary.frames;
    page.counter("shadowtap_frames_received_total", "Frames that reached shadowtap.").count(&[], frames.received);
    page.counter("shadowtap_frames_decoded_total", "Frames that yielded a TCP segment.").count(&[], frames.decoded);
    page.counter("shadowtap_frames_dropped_total", "Frames that were dropped before shadowtap could read them.")
        .count(&[("by", "kernel")], frames.kernel_dropped)
        .count(&[("by", "interface")], frames.interface_dropped);
    let mut skipped = page.counter("shadowtap_frames_skipped_total", "Frames that yielded no TCP segment, by reason.");
    for (reason, count) in &frames.skipped {
        skipped.count(&[("reason", reason)], *count);
    }
}

fn connections(page: &mut MetricsPage, summary: &Summary) {
    let (tcp, streams) = (&summary.tcp, &summary.streams);
    page.counter("shadowtap_tcp_connections_total", "TCP connections captured.").count(&[], tcp.connections);
    page.counter("shadowtap_tcp_gaps_total", "Holes in captured streams that were never filled.").count(&[], tcp.gaps);
    page.counter("shadowtap_tcp_gap_bytes_total", "Bytes missing in those holes.").count(&[], tcp.gap_bytes);
    page.counter("shadowtap_tcp_retransmitted_bytes_total", "Captured bytes that had been seen before.")
        .count(&[], tcp.retransmitted_bytes);
    let mut evicted = page.counter("shadowtap_tcp_evicted_total", "What reassembly had to give up, by limit.");
    for (limit, count) in &tcp.evicted {
        evicted.count(&[("limit", limit)], *count);
    }
    let spoken = [
        // One that is upgraded spoke HTTP/1 before, and a counter must not go down.
        ("http1", streams.http1 + streams.upgraded),
        ("tls", streams.tls),
        ("http2", streams.http2),
        ("upgraded", streams.upgraded),
        ("unknown", streams.unknown),
    ];
    let mut all = page.counter(
        "shadowtap_streams_total",
        "Captured connections, by what they spoke: those that were upgraded under both.",
    );
    for (protocol, count) in spoken {
        all.count(&[("protocol", protocol)], count);
    }
}

/// Writes the ledger of requests: each one seen was offered, is in progress, or ended under one of the outcomes.
fn requests(page: &mut MetricsPage, requests: &Requests) {
    let ended = &requests.ended;
    page.counter("shadowtap_requests_seen_total", "Requests seen: those offered, and those that ended before.")
        .count(&[], requests.seen);
    page.counter("shadowtap_requests_offered_total", "Requests offered to at least one target.")
        .count(&[], requests.offered);
    let mut family = page.counter("shadowtap_requests_total", "Requests that ended before any target, by outcome.");
    let plain = [
        ("kept", ended.kept),
        ("sampled_out", ended.sampled_out),
        ("rate_limited", ended.rate_limited),
        ("malformed", ended.malformed),
    ];
    for (outcome, count) in plain {
        family.count(&[("outcome", outcome)], count);
    }
    for (outcome, counts) in [("filtered", &ended.filtered), ("incomplete", &ended.incomplete), ("shed", &ended.shed)] {
        for (rule, count) in counts {
            family.count(&[("outcome", outcome), ("rule", rule)], *count);
        }
    }
}

fn production(page: &mut MetricsPage, snapshot: &Snapshot) {
    let side = &snapshot.summary.production;
    let mut responses =
        page.counter("shadowtap_production_responses_total", "Responses of production, by class of status.");
    for (class, count) in classes(&side.statuses) {
        responses.count(&[("class", class)], count);
    }
    let mut unjoined =
        page.counter("shadowtap_production_unjoined_total", "Requests whose production response is not known.");
    for (reason, count) in &side.unjoined {
        unjoined.count(&[("reason", reason)], *count);
    }
    page.histogram(
        "shadowtap_production_latency_seconds",
        "Last byte of the request to first byte of the final response, on the wire.",
    )
    .durations(&[], &snapshot.production);
}

/// For each target, what was offered to it is in flight, or ended under one of the outcomes. What was taken back stays as
/// it was counted first: a counter that goes down would look like another run.
fn deliveries(page: &mut MetricsPage, snapshot: &Snapshot) {
    let summary = &snapshot.summary;
    let mut offered = page.counter("shadowtap_deliveries_offered_total", "Requests offered to a target.");
    for (target, block) in &summary.targets {
        offered.count(&[("target", target)], block.offered);
    }
    let mut family = page.counter("shadowtap_deliveries_total", "Deliveries that ended, by target and outcome.");
    for (target, TargetSummary { ended, .. }) in &summary.targets {
        let back = taken_back(snapshot, target).deliveries;
        let plain = [
            ("sent", ended.sent + back),
            ("sampled_out", ended.sampled_out),
            ("rate_limited", ended.rate_limited),
            ("guard_held", ended.guard_held),
        ];
        for (outcome, count) in plain {
            family.count(&[("target", target), ("outcome", outcome)], count);
        }
        for (outcome, counts) in [("filtered", &ended.filtered), ("shed", &ended.shed), ("failed", &ended.failed)] {
            for (rule, count) in counts {
                let less = if (outcome, rule.as_str()) == ("failed", DESYNCHRONISED) { back } else { 0 };
                family.count(&[("target", target), ("outcome", outcome), ("rule", rule)], count.saturating_sub(less));
            }
        }
    }
    let mut doubted = page.counter(
        "shadowtap_deliveries_taken_back_total",
        "Those that ended as sent, and whose response turned out to be nobody's.",
    );
    for target in summary.targets.keys() {
        doubted.count(&[("target", target)], taken_back(snapshot, target).deliveries);
    }
}

/// The rule of what is taken back, in the ledger.
const DESYNCHRONISED: &str = crate::exchange::FailureKind::Desynchronised.key();

fn taken_back(snapshot: &Snapshot, target: &str) -> TakenBack {
    snapshot.targets.get(target).map(|target| target.taken_back.clone()).unwrap_or_default()
}

fn answers(page: &mut MetricsPage, snapshot: &Snapshot) {
    let summary = &snapshot.summary;
    let mut responses = page.counter("shadowtap_target_responses_total", "Responses of a target, by class of status.");
    for (target, block) in &summary.targets {
        let back = taken_back(snapshot, target);
        for ((class, count), (_, back)) in classes(&block.statuses).zip(classes(&back.statuses)) {
            responses.count(&[("target", target), ("class", class)], count + back);
        }
    }
    let mut compared =
        page.counter("shadowtap_compared_total", "Deliveries whose responses from both sides are known.");
    for (target, block) in &summary.targets {
        let back = taken_back(snapshot, target).differences;
        compared.count(&[("target", target)], block.differences.compared + back.compared);
    }
    let mut differences = page.counter("shadowtap_differences_total", "Those of them that differ, by where.");
    for (target, TargetSummary { differences: found, .. }) in &summary.targets {
        let back = taken_back(snapshot, target).differences;
        for (place, count) in [
            ("status", found.status + back.status),
            ("headers", found.headers + back.headers),
            ("body", found.body + back.body),
        ] {
            differences.count(&[("target", target), ("in", place)], count);
        }
    }
}

/// A histogram of each target: its name, its help, and the function that selects its buckets.
type TargetMetrics =
    (&'static str, &'static str, fn(&LiveTargetBuckets) -> &crate::report::collect::buckets::LiveBuckets);

const OF_TARGETS: [TargetMetrics; 3] = [
    (
        "shadowtap_service_latency_seconds",
        "Last byte of the request written to first byte of the response read, by target.",
        |target| &target.service,
    ),
    (
        "shadowtap_response_latency_seconds",
        "When a request was due to first byte of its response read, by target: what a user would have felt.",
        |target| &target.response,
    ),
    ("shadowtap_schedule_lag_seconds", "When a request was due to when it was sent, by target.", |target| &target.lag),
];

fn latencies(page: &mut MetricsPage, snapshot: &Snapshot) {
    for (name, help, of) in OF_TARGETS {
        let mut family = page.histogram(name, help);
        for (target, buckets) in &snapshot.targets {
            family.durations(&[("target", target)], of(buckets));
        }
    }
}

/// Writes what the capture itself takes, of a live one.
fn capture_delay(page: &mut MetricsPage, snapshot: &Snapshot) {
    let mut family = page.histogram(
        "shadowtap_capture_delay_seconds",
        "Last byte of a request on the wire until it is handed to its targets, live: in no other latency.",
    );
    if snapshot.summary.capture_delay_us.is_some() {
        family.durations(&[], &snapshot.capture_delay);
    }
}

fn sample(page: &mut MetricsPage, snapshot: &Snapshot) {
    let sample = &snapshot.summary.sample;
    page.gauge("shadowtap_sample_asked_ratio", "The share of requests that the sample is asked for now.")
        .value(&[], snapshot.live.share);
    let mut reached = page.gauge("shadowtap_sample_reached_ratio", "The share that the sample took so far, by what.");
    for (of, share) in [("requests", sample.requests), ("bytes", sample.bytes), ("keys", sample.keys)] {
        if let Some(share) = share {
            reached.value(&[("of", of)], share);
        }
    }
}

/// Writes the state of each target's guard.
fn guards(page: &mut MetricsPage, summary: &Summary) {
    let guarded: Vec<_> =
        summary.targets.iter().filter_map(|(url, target)| Some((url, target.guard.as_ref()?))).collect();
    let mut state = page.gauge("shadowtap_guard_state", "1 for the state in which the guard of a target is.");
    for (target, guard) in &guarded {
        for (one, name) in GUARD_STATES {
            state.count(&[("target", target), ("state", name)], u64::from(one == guard.state));
        }
    }
    let mut held = page.gauge(
        "shadowtap_guard_held_ratio",
        "The share that the guard of a target holds back, of what the sample lets in.",
    );
    for (target, guard) in &guarded {
        held.value(&[("target", target)], guard.held_share);
    }
    let mut trips =
        page.counter("shadowtap_guard_trips_total", "How often the guard found its target past its limits.");
    for (target, guard) in &guarded {
        trips.count(&[("target", target)], guard.trips);
    }
}

/// States of a guard, with their names.
const GUARD_STATES: [(GuardState, &str); 5] = [
    (GuardState::Passing, "passing"),
    (GuardState::Holding, "holding"),
    (GuardState::Throttled, "throttled"),
    (GuardState::Probing, "probing"),
    (GuardState::Stopped, "stopped"),
];

fn waiting(page: &mut MetricsPage, live: &LiveState) {
    let mut entries = page.gauge("shadowtap_queue_entries", "What waits between the stages, by queue.");
    for (queue, waits) in &live.queues {
        entries.count(&[("queue", queue)], waits.entries);
    }
    let mut room = page.gauge("shadowtap_queue_room_entries", "What each of these queues has room for.");
    for (queue, waits) in &live.queues {
        room.count(&[("queue", queue)], waits.room);
    }
    let mut queued = page.gauge("shadowtap_target_queue_entries", "Requests that wait to be sent, by target.");
    for (target, now) in &live.targets {
        queued.count(&[("target", target)], now.queue.entries);
    }
    let mut room = page.gauge("shadowtap_target_queue_room_entries", "What the queue of a target has room for.");
    for (target, now) in &live.targets {
        room.count(&[("target", target)], now.queue.room);
    }
    let mut in_flight = page.gauge("shadowtap_target_in_flight", "Requests that await their response, by target.");
    for (target, now) in &live.targets {
        in_flight.count(&[("target", target)], now.in_flight);
    }
    let mut open = page.gauge("shadowtap_target_connections", "Connections that are open, by target.");
    for (target, now) in &live.targets {
        open.count(&[("target", target)], now.connections);
    }
    let mut opened = page.counter("shadowtap_target_connections_opened_total", "Connections opened, by target.");
    for (target, now) in &live.targets {
        opened.count(&[("target", target)], now.connections_opened);
    }
}

fn recorded(page: &mut MetricsPage, recording: &RecordingSummary) {
    let records = "Records written to the recording: messages (.gor), exchanges (.jsonl) or frames.";
    page.counter("shadowtap_recorded_records_total", records).count(&[], recording.records);
    if let Some(requests) = recording.requests {
        page.counter("shadowtap_recorded_requests_total", "Whole requests among them.").count(&[], requests);
    }
    page.counter("shadowtap_recorded_bytes_total", "Bytes of these records, before compression.")
        .count(&[], recording.bytes);
    let mut lost = page.counter("shadowtap_recording_lost_records_total", "Records that are missing there, by place.");
    for place in ["disk", "store", "queue"] {
        lost.count(&[("place", place)], recording.lost.get(place).copied().unwrap_or_default());
    }
}

/// Statuses by class; every class that a response can have is listed.
fn classes(statuses: &CountMap) -> impl Iterator<Item = (&'static str, u64)> {
    let count = |class: StatusClass| {
        let of_class = statuses.iter().filter(move |(status, _)| StatusClass::of(status.parse().ok()) == class);
        (class.key(), of_class.map(|(_, count)| count).sum())
    };
    let answered: Vec<_> =
        StatusClass::ALL.into_iter().filter(|class| *class != StatusClass::None).map(count).collect();
    answered.into_iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::report::TargetGuard;
    use crate::report::collect::buckets::LiveBuckets;
    use crate::report::collect::live_routes::{LiveRoute, LiveRouteTarget};
    use crate::report::reporter::snapshot::{LiveTarget, QueueDepth};
    use crate::report::schema::counts::LatencySummary;

    const DASHBOARD: &str = include_str!("../../../deploy/grafana/shadowtap.json");
    const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");

    /// A run that has everything.
    fn everything() -> Snapshot {
        let url = || "http://t\"\\\n:80".to_owned();
        let mut seen = Snapshot::default();
        let summary = &mut seen.summary;
        summary.started = "2026-11-21T20:15:00.000000000Z".to_owned();
        summary.command = "replay".to_owned();
        summary.frames.skipped = [("not_tcp".to_owned(), 3)].into();
        summary.tcp.evicted = [("idle".to_owned(), 1)].into();
        summary.requests.seen = 7;
        summary.requests.ended.filtered = [("writes".to_owned(), 2)].into();
        summary.production.unjoined = [("gap".to_owned(), 1)].into();
        summary.production.statuses = [("200".to_owned(), 4), ("503".to_owned(), 1)].into();
        summary.sample.requests = Some(0.5);
        summary.recording = Some(RecordingSummary::default());
        let guard =
            Some(TargetGuard { state: GuardState::Throttled, held_share: 0.5, trips: 1, ..TargetGuard::default() });
        summary.targets.insert(url(), TargetSummary { guard, ..TargetSummary::default() });
        let mut at_most = [0; crate::report::collect::buckets::EDGES_US.len()];
        at_most[3..].fill(2);
        seen.production = LiveBuckets { at_most, count: 2, sum: std::time::Duration::from_millis(2) };
        seen.targets.insert(url(), LiveTargetBuckets::default());
        seen.summary.capture_delay_us = Some(LatencySummary::default());
        let mut one = LiveRouteTarget { sent: 3, failed: 1, differing: 2, ..LiveRouteTarget::default() };
        one.service.record_us(2_000);
        seen.routes = vec![LiveRoute { route: "GET /v2/{id}".to_owned(), requests: 9, targets: vec![(url(), one)] }];
        seen.live.queues = [("events", QueueDepth { entries: 1, room: 2 })].into();
        seen.live.targets.insert(url(), LiveTarget::default());
        (seen.live.read, seen.live.share) = (Some(0.25), 0.5);
        let mut target = crate::fleet::TargetFigures::default();
        target.recent.take(false, false, Some(200), Some(std::time::Duration::from_millis(3)));
        let figures = crate::fleet::MemberFigures { targets: vec![target], ..Default::default() };
        let member = crate::fleet::FleetMember { figures, ..Default::default() };
        seen.live.fleet =
            Some(crate::fleet::FleetStatus::new("1", crate::fleet::FleetOrders::default(), [member].into_iter()));
        seen
    }

    /// The names of metrics in a text; those of a histogram's parts are the histogram's.
    fn names(text: &str) -> BTreeSet<String> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text.split(|c| !word(c)).filter(|name| name.starts_with("shadowtap_"));
        let base =
            |name: &str| ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end).map(str::to_owned));
        words.map(|name| base(name).unwrap_or_else(|| name.to_owned())).collect()
    }

    #[test]
    fn the_dashboard_shows_exactly_what_is_given_and_alerts_ask_for_nothing_else() {
        let given = names(&text(&everything()));
        assert_eq!(names(DASHBOARD), given);
        let unknown: Vec<_> = names(ALERTS).difference(&given).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn each_sample_has_its_labels_and_labels_are_escaped() {
        let text = text(&everything());
        for line in [
            "# TYPE shadowtap_requests_total counter",
            "shadowtap_requests_total{outcome=\"filtered\",rule=\"writes\"} 2",
            "shadowtap_production_responses_total{class=\"5xx\"} 1",
            "shadowtap_production_latency_seconds_bucket{le=\"0.0005\"} 0",
            "shadowtap_production_latency_seconds_bucket{le=\"0.001\"} 2",
            "shadowtap_production_latency_seconds_bucket{le=\"+Inf\"} 2",
            "shadowtap_production_latency_seconds_sum 0.002",
            "shadowtap_guard_state{target=\"t\\\"\\\\\\n:80\",state=\"throttled\"} 1",
            "shadowtap_route_requests_total{route=\"GET /v2/{id}\"} 9",
            "shadowtap_route_deliveries_total{target=\"t\\\"\\\\\\n:80\",route=\"GET /v2/{id}\",outcome=\"failed\"} 1",
            "shadowtap_route_differences_total{target=\"t\\\"\\\\\\n:80\",route=\"GET /v2/{id}\"} 2",
            "shadowtap_route_service_latency_seconds{target=\"t\\\"\\\\\\n:80\",route=\"GET /v2/{id}\",quantile=\"0.95\"} 0.002",
            "shadowtap_capture_read_ratio 0.25",
            "shadowtap_build_info{command=\"replay\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_was_taken_back_lets_no_counter_go_down() {
        let samples = |seen: &Snapshot| {
            let text = text(seen);
            let counted =
                text.lines().filter(|line| line.contains("{target=")).map(|line| line.rsplit_once(' ').unwrap());
            counted.map(|(name, count)| (name.to_owned(), count.to_owned())).collect::<Vec<_>>()
        };
        let block = |sent, failed| {
            let mut target = TargetSummary { offered: 5, ..TargetSummary::default() };
            target.ended.sent = sent;
            target.ended.failed.insert("desynchronised".to_owned(), failed);
            target.statuses.insert("503".to_owned(), sent);
            (target.differences.compared, target.differences.status) = (sent, sent);
            target
        };
        let (url, mut before) = ("http://t".to_owned(), Snapshot::default());
        before.summary.targets.insert(url.clone(), block(5, 0));
        before.targets.insert(url.clone(), LiveTargetBuckets::default());
        let mut after = before.clone();
        after.summary.targets.insert(url.clone(), block(3, 2));
        let mut back = TakenBack { deliveries: 2, statuses: [("503".to_owned(), 2)].into(), ..TakenBack::default() };
        (back.differences.compared, back.differences.status) = (2, 2);
        after.targets.insert(url, LiveTargetBuckets { taken_back: back, ..LiveTargetBuckets::default() });
        let changed = samples(&before).into_iter().zip(samples(&after)).filter(|(before, after)| before != after);
        let changed: Vec<_> = changed.map(|(_, after)| after).collect();
        let expected = "shadowtap_deliveries_taken_back_total{target=\"t\"}";
        assert_eq!(changed, [(expected.to_owned(), "2".to_owned())]);
    }

    #[test]
    fn what_is_not_there_has_no_samples() {
        let text = text(&Snapshot::default());
        for name in ["shadowtap_guard", "shadowtap_record", "shadowtap_capture_read", "shadowtap_target"] {
            assert!(!text.contains(name), "{name}");
        }
    }
}
