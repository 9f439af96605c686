//! What was found at one target: each finding with how many it concerns, and what weighs more.

use std::borrow::Cow;

use serde_json::Value;

use crate::compare::{DifferencePart, Unknown};
use crate::replay::GuardState;
use crate::report::schema::by_route::{RouteSummary, RouteTarget};
use crate::report::schema::counts::{LatencySummary, sum};
use crate::report::schema::diff_groups::DiffGroup;
use crate::report::schema::noise::FieldRow;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::{TargetGuard, TargetSummary};
use crate::report::schema::verdict::{FindingKind, Severity, VerdictSentence, VerdictWord};
use crate::report::units::{counted, milliseconds, number, percent};

use super::finding::Finding;
use super::speed::{self, Slowdown};
use super::{UNANSWERED, kinds};

/// Longest value that stands in a sentence, in characters.
const MAX_VALUE: usize = 40;

/// Reasons for failures that stand in a sentence.
const MAX_REASONS: usize = 2;

/// Share of the responses that differ in a field of which the status differs, too, from which the field says nothing more.
const SAME_CAUSE: f64 = 0.95;

/// Everything that was found at a target, in no order.
pub(super) fn of_target(summary: &Summary, url: &str, target: &TargetSummary) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(failed(summary, url, target));
    all.extend(desynchronised(target));
    let statuses = statuses(summary, url, target);
    all.extend(fields(summary, url, &statuses));
    all.extend(statuses);
    let untold = parts(target).into_iter().filter(|part| !all.iter().any(|one| one.kind() == part.kind()));
    let untold: Vec<Finding> = untold.collect();
    all.extend(untold);
    let is_difference =
        |one: &Finding| matches!(one.kind(), FindingKind::Status | FindingKind::Header | FindingKind::Body);
    let (any, compared) = (target.differences.differing(), target.differences.compared);
    if any > 0 && !all.iter().any(is_difference) {
        all.push(field(FindingKind::Body, "another response in".to_owned(), any, compared));
    }
    all.extend(slow(summary, url, target));
    all.extend(target.guard.as_ref().and_then(guard));
    all.extend(unknown(target));
    all
}

/// What there is to know of a target, all told.
pub(super) fn note(summary: &Summary, url: &str, target: &TargetSummary, word: VerdictWord) -> String {
    let differences = &target.differences;
    let speed = match pair(summary, target) {
        // A sentence before says so.
        _ if word == VerdictWord::Slower => String::new(),
        (before, after) if before.count == 0 || after.count == 0 => String::new(),
        _ if !speed::is_judged(target) => "; speed is not judged at --speed max".to_owned(),
        (before, after) => match speed::known(before, after) {
            Some(known) => format!("; all requests: {}", change(known)),
            None => format!("; too few requests to judge speed: {}", number(before.count.min(after.count))),
        },
    };
    match word {
        VerdictWord::NothingSent => format!("nothing was sent to {url}: see what became of the requests below"),
        VerdictWord::NotCompared => {
            format!("{}; none could be compared with production's", counted(target.ended.sent, "response"))
        }
        _ => {
            let compared = counted(differences.compared, "response");
            let noise = if target.differences_noise.any > 0 { " in more than noise" } else { "" };
            match differences.differing() {
                0 => format!("{compared} compared, none differs{noise}{speed}"),
                differing => format!("{} of {compared} differ{noise}{speed}", number(differing)),
            }
        }
    }
}

fn of_route<'a>(summary: &'a Summary, url: &'a str) -> impl Iterator<Item = (&'a RouteSummary, &'a RouteTarget)> {
    summary.routes.iter().filter_map(move |route| Some((route, route.targets.get(url)?)))
}

/// Requests without a response.
fn failed(summary: &Summary, url: &str, target: &TargetSummary) -> Option<Finding> {
    let count = sum(&target.ended.failed);
    if count == 0 {
        return None;
    }
    let of = count + target.ended.sent;
    let reasons = if target.failures.is_empty() {
        kinds(&target.ended.failed)
    } else {
        let reason = |one: &crate::report::schema::failures::FailureReason| {
            format!("{}: {} ({})", one.kind.replace('_', " "), one.reason, number(one.count))
        };
        let told: Vec<String> = target.failures.iter().take(MAX_REASONS).map(reason).collect();
        told.join(", ")
    };
    let mut routes = of_route(summary, url).filter(|(_, one)| one.failed > 0);
    let only = routes.next().filter(|(_, one)| one.failed == count && routes.next().is_none());
    let decides = count as f64 >= UNANSWERED * of as f64;
    let sentence = VerdictSentence {
        kind: FindingKind::Failed,
        severity: if decides { Severity::Bad } else { Severity::Odd },
        route: only.map(|(route, _)| route.route.clone()),
        count,
        of: only.map_or(of, |(_, one)| one.sent + one.failed),
        ..VerdictSentence::default()
    };
    let (what, then) = ("no response to".to_owned(), format!(": {reasons}"));
    Some(Finding { sentence, what, then, weight: 20.0 * count as f64, decides })
}

/// Responses that go with no request.
fn desynchronised(target: &TargetSummary) -> Option<Finding> {
    let found = target.desynchronised.as_ref()?;
    let what = format!(
        "responses came without a request on {}; {} failed for it",
        counted(found.connections, "connection"),
        counted(found.deliveries, "delivery")
    );
    let sentence =
        VerdictSentence { kind: FindingKind::Desynchronised, severity: Severity::Bad, ..VerdictSentence::default() };
    let weight = 20.0 * (found.deliveries + found.connections) as f64;
    Some(Finding { sentence, what, then: String::new(), weight, decides: true })
}

/// Responses of another status, by route and pair of statuses.
fn statuses(summary: &Summary, url: &str, target: &TargetSummary) -> Vec<Finding> {
    let is_noise = |route: &str| {
        let mut rows = summary.noise.iter();
        rows.any(|row| row.place == DifferencePart::Status && row.route == route && row.target == url)
    };
    if summary.routes.is_empty() && target.differences.status > 0 {
        return cells(None, &target.matrix, target.differences.compared);
    }
    of_route(summary, url)
        .filter(|(route, one)| one.differences.status > 0 && !is_noise(&route.route))
        .flat_map(|(route, one)| cells(Some(&route.route), &one.matrix, one.differences.compared))
        .collect()
}

fn cells(
    route: Option<&str>,
    matrix: &std::collections::BTreeMap<String, crate::report::schema::counts::CountMap>,
    of: u64,
) -> Vec<Finding> {
    let differ = matrix.iter().filter(|(production, _)| *production != "none").flat_map(|(production, row)| {
        let others =
            row.iter().filter(move |(shadow, count)| *shadow != production && *shadow != "failed" && **count > 0);
        others.map(move |(shadow, count)| (production, shadow, *count))
    });
    differ
        .map(|(before, after, count)| {
            let got_worse = is_error(after) && !is_error(before);
            let sentence = VerdictSentence {
                kind: FindingKind::Status,
                severity: severity(count, of),
                route: route.map(str::to_owned),
                count,
                of,
                before: Some(before.clone()),
                after: Some(after.clone()),
                ..VerdictSentence::default()
            };
            let what = format!("status {before} -> {after} in");
            let weight = if got_worse { 20.0 } else { 6.0 } * count as f64;
            Finding { sentence, what, then: String::new(), weight, decides: true }
        })
        .collect()
}

/// Whether a status is that of an error, as a key of the matrix has it.
fn is_error(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

fn severity(count: u64, of: u64) -> Severity {
    if count as f64 >= super::BAD * of as f64 { Severity::Bad } else { Severity::Odd }
}

/// Responses with other headers or bodies, by route and field.
fn fields(summary: &Summary, url: &str, statuses: &[Finding]) -> Vec<Finding> {
    let of_target = |row: &&FieldRow| row.target == url && row.place != DifferencePart::Status;
    let rows = summary.fields.iter().filter(of_target);
    let same_cause = |row: &FieldRow| {
        let of_route = statuses.iter().filter(|one| one.sentence.route.as_deref() == Some(&row.route));
        let differ: u64 = of_route.map(|one| one.sentence.count).sum();
        differ as f64 >= SAME_CAUSE * row.count as f64
    };
    rows.filter(|row| !same_cause(row)).map(|row| field_of_route(summary, url, row)).collect()
}

/// Responses that differ, by part, where it is not known on which route and in which field.
fn parts(target: &TargetSummary) -> Vec<Finding> {
    let differences = &target.differences;
    // What differs in status, too, says nothing more.
    let beyond = |count: u64| if SAME_CAUSE * count as f64 > differences.status as f64 { count } else { 0 };
    let parts = [
        (FindingKind::Status, "status differs in", differences.status),
        (FindingKind::Header, "headers differ in", differences.headers),
        (FindingKind::Body, "body differs in", beyond(differences.body)),
    ];
    let some = parts.into_iter().filter(|(.., count)| *count > 0);
    some.map(|(kind, what, count)| field(kind, what.to_owned(), count, differences.compared)).collect()
}

fn field(kind: FindingKind, what: String, count: u64, of: u64) -> Finding {
    let sentence = VerdictSentence { kind, severity: severity(count, of), count, of, ..VerdictSentence::default() };
    let weight = if kind == FindingKind::Header { 1.0 } else { 3.0 } * count as f64;
    Finding { sentence, what, then: String::new(), weight, decides: true }
}

fn field_of_route(summary: &Summary, url: &str, row: &FieldRow) -> Finding {
    let kind = if row.place == DifferencePart::Header { FindingKind::Header } else { FindingKind::Body };
    let group = group(summary, url, row);
    let of_group = group.and_then(|group| group.what.as_deref());
    let how = match of_group {
        Some("missing") => " missing in",
        Some("extra") => " added in",
        Some("order") => " in another order in",
        _ => " in",
    };
    let place = match (kind, row.path.as_str()) {
        (FindingKind::Header, path) => format!("header {path}"),
        (_, "") => "body".to_owned(),
        (_, path) => format!("body {path}"),
    };
    let mut found = field(kind, format!("{place}{how}"), row.count, row.compared);
    found.sentence.route = Some(row.route.clone());
    found.sentence.path.clone_from(&row.path);
    let example = group.and_then(|group| group.examples.first());
    if let Some(example) = example {
        let [before, after] = [&example.production, &example.shadow].map(|value| shown(value, kind));
        found.then = match of_group {
            Some("order") => String::new(),
            Some("missing") => format!(", {before} before"),
            Some("extra") => format!(", {after} now"),
            _ => format!(", {before} -> {after}"),
        };
        (found.sentence.before, found.sentence.after) = (Some(before), Some(after));
    }
    found
}

/// The kind of difference that is most frequent in a field.
fn group<'a>(summary: &'a Summary, url: &str, row: &FieldRow) -> Option<&'a DiffGroup> {
    // The most frequent comes first.
    summary.kinds.as_ref()?.rows.iter().find(|group| {
        group.target == url
            && group.route == row.route
            && group.place == row.place.key()
            && group.path == row.path
            && group.count > group.noise
    })
}

/// A value in a sentence: what is of a body as JSON, what is of a header as it is.
fn shown(value: &Value, kind: FindingKind) -> String {
    let text = match value {
        Value::String(text) if kind == FindingKind::Header && !text.is_empty() => Cow::Borrowed(text.as_str()),
        value => Cow::Owned(value.to_string()),
    };
    match text.char_indices().nth(MAX_VALUE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.into_owned(),
    }
}

/// Routes that are slower; where none is by itself, the target where it is.
fn slow(summary: &Summary, url: &str, target: &TargetSummary) -> Vec<Finding> {
    if !speed::is_judged(target) {
        return Vec::new();
    }
    let routes = of_route(summary, url).filter_map(|(route, one)| {
        let (before, after) = match &one.paired_latency_us {
            Some(pairs) => (&pairs.production, &pairs.service),
            None => (&route.production.latency_us, &one.latency_us.service),
        };
        let found = speed::slower(before, after)?;
        Some(slowdown(found, Some(&route.route), after.count))
    });
    let routes: Vec<Finding> = routes.collect();
    if !routes.is_empty() {
        return routes;
    }
    let (before, after) = pair(summary, target);
    speed::slower(before, after).map(|found| slowdown(found, None, after.count)).into_iter().collect()
}

/// Latencies of the same requests in production and at a target, as far as that is known.
fn pair<'a>(summary: &'a Summary, target: &'a TargetSummary) -> (&'a LatencySummary, &'a LatencySummary) {
    match &target.paired_latency_us {
        Some(pairs) => (&pairs.production, &pairs.service),
        None => (&summary.production.latency_us, &target.latency_us.service),
    }
}

fn slowdown(found: Slowdown, route: Option<&str>, count: u64) -> Finding {
    let sentence = VerdictSentence {
        kind: FindingKind::Slower,
        severity: Severity::Bad,
        route: route.map(str::to_owned),
        path: found.name.to_owned(),
        count,
        of: count,
        before: Some(found.before.to_string()),
        after: Some(found.after.to_string()),
        ..VerdictSentence::default()
    };
    let what = if route.is_some() { change(found) } else { format!("all requests: {}", change(found)) };
    let then = format!(" ({})", counted(count, "request"));
    // Sixteen times as slow weighs as a status that is another.
    let weight = count as f64 * found.ratio().log2().clamp(0.5, 4.0) * 1.5;
    Finding { sentence, what, then, weight, decides: true }
}

fn change(found: Slowdown) -> String {
    format!("{} {} -> {}", found.name, milliseconds(found.before), milliseconds(found.after))
}

/// A guard that held something back.
fn guard(guard: &TargetGuard) -> Option<Finding> {
    if guard.trips == 0 {
        return None;
    }
    let times = counted(guard.trips, "time");
    let now = match guard.state {
        GuardState::Passing => "passing again at the end".to_owned(),
        GuardState::Holding => "kept the share where it was".to_owned(),
        GuardState::Stopped => "stopped the run".to_owned(),
        GuardState::Throttled | GuardState::Probing => {
            format!("held back {} at the end", percent(guard.held_share))
        }
    };
    let reason = guard.reason.as_ref().map(|reason| format!("; last: {reason}")).unwrap_or_default();
    let what = format!("guard tripped {times}, {now}{reason}");
    let sentence = VerdictSentence { kind: FindingKind::Guard, severity: Severity::Bad, ..VerdictSentence::default() };
    Some(Finding { sentence, what, then: String::new(), weight: 100.0, decides: false })
}

/// Bodies that were not compared.
fn unknown(target: &TargetSummary) -> Option<Finding> {
    // What an access log does not have was never to be compared.
    let not_logged = target.differences.bodies_unknown_reasons.get(Unknown::NotLogged.key()).copied();
    let count = target.differences.bodies_unknown.saturating_sub(not_logged.unwrap_or_default());
    let of = target.differences.compared;
    if count == 0 {
        return None;
    }
    let sentence = VerdictSentence {
        kind: FindingKind::Unknown,
        severity: Severity::Odd,
        count,
        of,
        ..VerdictSentence::default()
    };
    let what = "bodies not compared in".to_owned();
    Some(Finding { sentence, what, then: String::new(), weight: 0.5 * count as f64, decides: false })
}
