use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::compare::DifferencePart;
use crate::report::schema::by_route::{RouteProduction, RouteSummary, RouteTarget};
use crate::report::schema::counts::LatencySummary;
use crate::report::schema::diff_groups::{DiffExample, DiffGroup, DiffGroups};
use crate::report::schema::failures::FailureReason;
use crate::report::schema::gates::GateResult;
use crate::report::schema::noise::FieldRow;
use crate::report::schema::recording::RecordingSummary;
use crate::report::schema::request::RunRequest;
use crate::report::schema::target::{Differences, PairedLatency, TargetGuard, TargetLatency};

const URL: &str = "http://new";

fn target(sent: u64, failed: u64, differences: Differences) -> TargetSummary {
    let mut target =
        TargetSummary { offered: sent + failed, differences, matrix: matrix(&[]), ..TargetSummary::default() };
    target.ended.sent = sent;
    target.schedule_lag_us = Some(figures(sent, 20));
    target.ended.failed.insert("connect".into(), failed);
    target
}

fn same(sent: u64) -> TargetSummary {
    target(sent, 0, Differences { compared: sent, ..Differences::default() })
}

fn summary(targets: &[(&str, TargetSummary)]) -> Summary {
    let mut summary = Summary::default();
    (summary.requests.seen, summary.requests.offered) = (10, 10);
    summary.targets = targets.iter().map(|(url, target)| ((*url).to_owned(), target.clone())).collect();
    summary
}

#[test]
fn targets_go_by_their_names_the_worst_first() {
    let gone = target(0, 10, Differences::default());
    let mut summary = summary(&[("http://a", same(10)), ("http://b", gone)]);
    let names = [("http://b".to_owned(), "new".to_owned())].into();
    summary.asked = Some(RunRequest { names, ..RunRequest::default() });
    let verdict = Verdict::of(&summary);
    let texts: Vec<&str> = verdict.sentences.iter().map(|one| one.text.as_str()).collect();
    assert!(texts[0].starts_with("new FAILED: ") && texts[1].starts_with("http://a "), "{texts:?}");
    assert_eq!(verdict.sentences[0].target.as_deref(), Some("http://b"));
    assert_eq!(
        (summary.name_and_url("http://b"), summary.name_and_url("http://a")),
        ("new (http://b)".into(), "http://a".into())
    );
}

fn figures(count: u64, us: u64) -> LatencySummary {
    LatencySummary { count, min: us, mean: us, p50: us, p90: us, p95: us, p99: us, p99_9: us, max: us }
}

fn matrix(cells: &[(&str, &str, u64)]) -> BTreeMap<String, CountMap> {
    let mut matrix = BTreeMap::<String, CountMap>::new();
    for (production, shadow, count) in cells {
        matrix.entry((*production).to_owned()).or_default().insert((*shadow).to_owned(), *count);
    }
    matrix
}

/// A route of so many requests, answered in the same time.
fn route(name: &str, count: u64) -> RouteSummary {
    let one = RouteTarget {
        sent: count,
        differences: Differences { compared: count, ..Differences::default() },
        matrix: matrix(&[("200", "200", count)]),
        latency_us: TargetLatency { service: figures(count, 13_000), ..TargetLatency::default() },
        ..RouteTarget::default()
    };
    RouteSummary {
        route: name.to_owned(),
        requests: count,
        production: RouteProduction { latency_us: figures(count, 13_000), ..RouteProduction::default() },
        targets: [(URL.to_owned(), one)].into(),
    }
}

fn with_status(name: &str, count: u64, of: u64, after: &str) -> RouteSummary {
    let mut route = route(name, of);
    let one = route.targets.get_mut(URL).unwrap();
    (one.differences.any, one.differences.status) = (count, count);
    one.matrix = matrix(&[("200", "200", of - count), ("200", after, count), ("none", "200", 9)]);
    route
}

fn slower(name: &str, count: u64, us: u64) -> RouteSummary {
    let mut route = route(name, count);
    route.targets.get_mut(URL).unwrap().latency_us.service = figures(count, us);
    route
}

fn field(route: &str, place: DifferencePart, path: &str, count: u64) -> FieldRow {
    let (route, path, target) = (route.to_owned(), path.to_owned(), URL.to_owned());
    FieldRow { route, place, path, target, count, compared: 100 }
}

fn group(row: &FieldRow, what: Option<&str>, production: Value, shadow: Value) -> DiffGroup {
    DiffGroup {
        target: row.target.clone(),
        route: row.route.clone(),
        place: row.place.key().to_owned(),
        path: row.path.clone(),
        what: what.map(str::to_owned),
        count: row.count,
        examples: vec![DiffExample { production, shadow, ..DiffExample::default() }],
        ..DiffGroup::default()
    }
}

fn differing(compared: u64, any: u64) -> TargetSummary {
    target(compared, 0, Differences { compared, any, ..Differences::default() })
}

#[track_caller]
fn check(summary: &Summary, word: VerdictWord, severity: Severity, sentences: &[&str]) -> Verdict {
    let verdict = Verdict::of(summary);
    let told: Vec<&str> = verdict.sentences.iter().map(|one| one.text.as_str()).collect();
    assert_eq!((verdict.word, verdict.severity, told.as_slice()), (word, severity, sentences));
    assert!(verdict.sentences.len() <= MAX_SENTENCES);
    verdict
}

#[test]
fn a_status_a_field_and_a_slow_route_are_named_the_worst_first() {
    let mut summary = summary(&[(URL, differing(1_000, 180))]);
    let price = field("GET /v2/products/{id}", DifferencePart::Body, "$.price", 100);
    summary.routes = vec![
        route("GET /", 500),
        with_status("GET /v2/orders/{id}", 80, 80, "503"),
        route("GET /v2/products/{id}", 100),
        slower("GET /v2/recommendations", 163, 309_000),
    ];
    summary.kinds = Some(DiffGroups { rows: vec![group(&price, None, json!(12.5), json!(12.75))], left_out: 0 });
    // The body of another status says nothing more.
    summary.fields = vec![price, field("GET /v2/orders/{id}", DifferencePart::Body, "", 80)];
    let verdict = check(
        &summary,
        VerdictWord::Different,
        Severity::Bad,
        &[
            "GET /v2/orders/{id}: status 200 -> 503 in 80 of 80",
            "GET /v2/recommendations: p95 13 ms -> 309 ms (163 requests)",
            "GET /v2/products/{id}: body $.price in 100 of 100, 12.5 -> 12.75",
        ],
    );
    let [status, slow, price] = [0, 1, 2].map(|at| verdict.sentences[at].clone());
    assert_eq!(
        (status.kind, status.before.as_deref(), status.after.as_deref()),
        (FindingKind::Status, Some("200"), Some("503"))
    );
    assert_eq!((slow.kind, slow.path.as_str(), slow.after.as_deref()), (FindingKind::Slower, "p95", Some("309000")));
    assert_eq!((price.route.as_deref(), price.count, price.of), (Some("GET /v2/products/{id}"), 100, 100));
    assert_eq!(verdict.line(), "DIFFERENT: GET /v2/orders/{id}: status 200 -> 503 in 80 of 80");
}

#[test]
fn what_is_alike_is_one_sentence_where_there_is_no_room_for_all() {
    let mut summary = summary(&[(URL, differing(1_000, 500))]);
    let rows = (0..8).map(|n| field(&format!("GET /{n}"), DifferencePart::Header, "cache-control", 10 + n));
    summary.fields = rows.collect();
    summary.routes = (0..8).map(|n| slower(&format!("GET /{n}"), 100, 40_000 + n * 1_000)).collect();
    check(
        &summary,
        VerdictWord::Different,
        Severity::Bad,
        &[
            "GET /7: p95 13 ms -> 47 ms (100 requests); 7 more routes slower",
            "GET /7 and 7 more routes: header cache-control in 108 of 800",
        ],
    );
}

#[test]
fn of_each_kind_one_is_told_before_any_has_a_second() {
    let mut summary = summary(&[(URL, differing(10_000, 900))]);
    summary.routes = (0..9).map(|n| with_status(&format!("GET /{n}"), 90 + n, 100, &format!("{}", 500 + n))).collect();
    summary.routes.push(slower("GET /slow", 30, 40_000));
    summary.fields = vec![field("GET /x", DifferencePart::Header, "vary", 1)];
    let verdict = Verdict::of(&summary);
    let kinds: Vec<FindingKind> = verdict.sentences.iter().map(|one| one.kind).collect();
    let statuses = [FindingKind::Status; 3];
    assert_eq!(kinds, [&statuses[..], &[FindingKind::Slower, FindingKind::Header]].concat());
    assert_eq!(verdict.more, 6);
}

#[test]
fn missing_and_added_fields_say_what_was_there() {
    let mut summary = summary(&[(URL, differing(100, 60))]);
    let rows = [("$.a", "missing"), ("$.b", "extra"), ("$.c", "order"), ("$.d", "type")];
    summary.fields = rows.map(|(path, _)| field("GET /a", DifferencePart::Body, path, 60)).to_vec();
    let values = [json!("x"), json!("1".repeat(99))];
    let [before, after] = &values;
    let groups = summary.fields.iter().zip(rows);
    let groups = groups.map(|(row, (_, what))| group(row, Some(what), before.clone(), after.clone()));
    summary.kinds = Some(DiffGroups { rows: groups.collect(), left_out: 0 });
    let long = format!("\"{}…", "1".repeat(39));
    check(
        &summary,
        VerdictWord::Different,
        Severity::Bad,
        &[
            "GET /a: body $.a missing in 60 of 100, \"x\" before",
            &format!("GET /a: body $.b added in 60 of 100, {long} now"),
            "GET /a: body $.c in another order in 60 of 100",
            &format!("GET /a: body $.d in 60 of 100, \"x\" -> {long}"),
        ],
    );
}

#[test]
fn the_same_is_said_with_the_speed_where_that_is_known() {
    let sentence = "10 responses compared, none differs";
    check(&summary(&[(URL, same(10))]), VerdictWord::Same, Severity::Good, &[sentence]);
    let mut timed = summary(&[(URL, same(500))]);
    timed.production.latency_us = figures(500, 12_000);
    let service = |us| TargetLatency { service: figures(500, us), ..TargetLatency::default() };
    for (us, word, severity, sentences) in [
        (
            13_000,
            VerdictWord::Same,
            Severity::Good,
            vec!["500 responses compared, none differs; all requests: p95 12 ms -> 13 ms"],
        ),
        (
            40_000,
            VerdictWord::Slower,
            Severity::Bad,
            vec!["all requests: p95 12 ms -> 40 ms (500 requests)", "500 responses compared, none differs"],
        ),
    ] {
        timed.targets.get_mut(URL).unwrap().latency_us = service(us);
        check(&timed, word, severity, &sentences);
    }
    let few = |summary: &mut Summary| {
        summary.production.latency_us.count = 29;
        summary.targets.get_mut(URL).unwrap().latency_us = service(13_000);
    };
    few(&mut timed);
    let sentence = "500 responses compared, none differs; too few requests to judge speed: 29";
    check(&timed, VerdictWord::Same, Severity::Good, &[sentence]);
}

#[test]
fn lag_of_this_machine_and_a_queue_that_the_run_makes_itself_are_no_slower_target() {
    let mut timed = summary(&[(URL, same(500))]);
    timed.production.latency_us = figures(500, 1_000);
    timed.routes = vec![route("GET /a", 500)];
    let one = timed.targets.get_mut(URL).unwrap();
    one.latency_us =
        TargetLatency { service: figures(500, 1_000), response: figures(500, 90_000), ..TargetLatency::default() };
    timed.routes[0].targets.get_mut(URL).unwrap().latency_us.response = figures(500, 90_000);
    let sentence = "500 responses compared, none differs; all requests: p95 1.0 ms -> 1.0 ms";
    check(&timed, VerdictWord::Same, Severity::Good, &[sentence]);

    timed.routes = vec![slower("GET /a", 500, 90_000)];
    timed.targets.get_mut(URL).unwrap().schedule_lag_us = None;
    let sentence = "500 responses compared, none differs; speed is not judged at --speed max";
    check(&timed, VerdictWord::Same, Severity::Good, &[sentence]);
}

#[test]
fn few_differences_are_odd_and_a_lost_response_among_thousands_is_no_difference() {
    let mut summary = summary(&[(URL, differing(12_000, 12))]);
    summary.routes = vec![with_status("GET /a", 12, 12_000, "404")];
    let sentence = "GET /a: status 200 -> 404 in 12 of 12,000";
    check(&summary, VerdictWord::Different, Severity::Odd, &[sentence]);

    let failing = target(9_999, 1, Differences { compared: 9_999, ..Differences::default() });
    let sentences = ["no response to 1 of 10,000: connect 1", "9,999 responses compared, none differs"];
    check(&super::tests::summary(&[(URL, failing)]), VerdictWord::Same, Severity::Odd, &sentences);
}

#[test]
fn requests_without_a_response_say_why_and_where() {
    let mut failing = target(97, 3, Differences { compared: 97, ..Differences::default() });
    let reason = |kind: &str, reason: &str, count| FailureReason {
        kind: kind.into(),
        reason: reason.into(),
        count,
        first: "1.1".into(),
    };
    failing.failures = vec![reason("timeout", "no response within 30 s", 2), reason("reset", "by the target", 1)];
    let mut summary = summary(&[(URL, failing)]);
    let told = "no response to 3 of 100: timeout: no response within 30 s (2), reset: by the target (1)";
    check(&summary, VerdictWord::Different, Severity::Bad, &[told]);
    let mut on_one = route("GET /a", 50);
    on_one.targets.get_mut(URL).unwrap().failed = 3;
    summary.routes = vec![route("GET /", 50), on_one];
    let text = &Verdict::of(&summary).sentences[0].text;
    assert!(text.starts_with("GET /a: no response to 3 of 53: timeout"), "{text}");
    let dead = super::tests::summary(&[(URL, target(0, 3, Differences::default()))]);
    check(&dead, VerdictWord::Failed, Severity::Bad, &["no response to 3 of 3: connect 3"]);
}

#[test]
fn several_targets_are_named_the_worst_first() {
    let cell = |target: TargetSummary| TargetSummary { matrix: matrix(&[("200", "503", 9)]), ..target };
    let bad = cell(target(10, 0, Differences { compared: 10, any: 9, status: 9, ..Differences::default() }));
    let verdict = check(
        &summary(&[("http://a", same(10)), ("http://b", bad.clone())]),
        VerdictWord::Different,
        Severity::Bad,
        &["http://b DIFFERENT: status 200 -> 503 in 9 of 10", "http://a SAME: 10 responses compared, none differs"],
    );
    let words: Vec<_> = verdict.targets.iter().map(|one| (one.target.as_str(), one.word)).collect();
    assert_eq!(words, [("http://b", VerdictWord::Different), ("http://a", VerdictWord::Same)]);

    let many: Vec<(String, TargetSummary)> = (0..9).map(|n| (format!("http://{n}"), same(10))).collect();
    let mut many: Vec<(&str, TargetSummary)> = many.iter().map(|(url, one)| (url.as_str(), one.clone())).collect();
    many.push(("http://b", bad));
    let verdict = Verdict::of(&summary(&many));
    assert_eq!(verdict.sentences.len(), MAX_SENTENCES);
    assert!(verdict.sentences[0].text.starts_with("http://b DIFFERENT"));
    assert_eq!(verdict.sentences[4].text, "6 more targets: 6 SAME");
}

#[test]
fn guards_and_gates_have_a_sentence() {
    let mut guarded = same(10);
    guarded.guard = Some(TargetGuard { trips: 2, reason: Some("errors 9%".into()), ..TargetGuard::default() });
    let mut summary = summary(&[(URL, guarded)]);
    let guard = "guard tripped 2 times, passing again at the end; last: errors 9%";
    let all = "10 responses compared, none differs";
    check(&summary, VerdictWord::Same, Severity::Bad, &[guard, all]);
    summary.gates = vec![
        GateResult { gate: "lost>0".into(), reason: "4 lost".into(), ..GateResult::default() },
        GateResult { gate: "errors>1%".into(), reason: "2%".into(), ..GateResult::default() },
    ];
    check(&summary, VerdictWord::Same, Severity::Bad, &["gate failed: lost>0: 4 lost; 1 more gate failed", guard, all]);
}

#[test]
fn runs_without_requests_or_targets_have_a_verdict_too() {
    let sentence = "no HTTP/1 request was found in the capture: it has no frames";
    check(&Summary::default(), VerdictWord::NothingSeen, Severity::Bad, &[sentence]);
    let mut held = summary(&[(URL, target(0, 0, Differences::default()))]);
    held.requests.offered = 0;
    held.requests.ended.filtered.insert("allow-path".into(), 10);
    let sentence = "nothing was sent of 10 requests: 10 kept back by filter allow-path";
    check(&held, VerdictWord::NothingSent, Severity::Bad, &[sentence]);
    let mut recorded = summary(&[]);
    recorded.requests.ended.kept = 10;
    check(&recorded, VerdictWord::Seen, Severity::Good, &["10 requests seen; nothing was sent"]);
    let last = Some("x.gor".to_owned());
    recorded.recording = Some(RecordingSummary { files: 1, last, requests: Some(10), ..RecordingSummary::default() });
    check(&recorded, VerdictWord::Recorded, Severity::Good, &["10 of 10 requests recorded in x.gor"]);
    let mut alone = summary(&[(URL, target(10, 0, Differences::default()))]);
    alone.requests.offered = 10;
    let sentence = "10 responses; none could be compared with production's";
    check(&alone, VerdictWord::NotCompared, Severity::Odd, &[sentence]);
}

#[test]
fn what_is_lost_is_said_where_there_is_room() {
    let mut lossy = summary(&[(URL, same(10))]);
    lossy.frames.kernel_dropped = 3;
    lossy.tcp.gaps = 1;
    lossy.targets.get_mut(URL).unwrap().ended.shed.insert("run_ended".to_owned(), 5);
    let sentences = ["10 responses compared, none differs", "lost: 3 frames dropped, 1 gap in the capture"];
    check(&lossy, VerdictWord::Same, Severity::Good, &sentences);
}

#[test]
fn a_route_is_held_against_production_by_the_requests_that_have_both_latencies() {
    let mut summary = summary(&[(URL, same(500))]);
    let slow = || slower("GET /a", 500, 90_000);
    summary.routes = vec![slow()];
    assert_eq!(Verdict::of(&summary).word, VerdictWord::Slower);
    // Production took as long for the requests that this target was offered.
    let mut route = slow();
    let pairs = PairedLatency {
        production: figures(500, 89_000),
        service: figures(500, 90_000),
        response: figures(500, 90_000),
    };
    route.targets.get_mut(URL).unwrap().paired_latency_us = Some(pairs);
    summary.routes = vec![route];
    assert_eq!(Verdict::of(&summary).word, VerdictWord::Same);
}
