//! What differs, for readers without scripts and for paper: the first groups of differences with an example each, and the
//! slowest requests of routes that are slower, in the order of the verdict's sentences.

use std::fmt::Write as _;

use serde_json::Value;

use crate::report::schema::diff_groups::{DiffExample, DiffGroup, ExampleBody};
use crate::report::schema::summary::Summary;
use crate::report::schema::verdict::{FindingKind, Verdict, VerdictSentence};
use crate::report::units::{bytes, duration, number};
use crate::report::verdict::speed;

use super::{escaped, escaped_lines};

/// The part of the responses that a group of statuses is about.
const STATUS: &str = "status";

/// Groups that are listed.
const MAX_GROUPS: usize = 20;

/// Slower routes that are listed.
const MAX_SLOW: usize = 10;

/// The section; nothing where nothing differs and nothing is slower.
pub(super) fn differences(summary: &Summary, verdict: &Verdict) -> String {
    let groups = summary.kinds.iter().flat_map(|kinds| &kinds.rows).filter(|group| group.count > group.noise);
    // The status first: what its bodies differ in stands beside it.
    let (statuses, others): (Vec<&DiffGroup>, Vec<&DiffGroup>) = groups.partition(|group| group.place == STATUS);
    let same_cause = |group: &&DiffGroup| {
        let of_route =
            statuses.iter().filter(|status| (&status.route, &status.target) == (&group.route, &group.target));
        of_route.map(|status| status.count).sum::<u64>() >= group.count
    };
    let others = others.iter().filter(|group| !same_cause(group));
    let mut parts: Vec<(usize, String)> = Vec::new();
    for group in statuses.iter().chain(others).take(MAX_GROUPS) {
        let place = place_in(verdict, &group.target, &group.route, |one| {
            part(one.kind) == group.place && (group.place == STATUS || one.path == group.path)
        });
        let mut out = String::new();
        of_group(&mut out, group, summary);
        parts.push((place, out));
    }
    slow(&mut parts, summary, verdict);
    // The sort is stable.
    parts.sort_by_key(|(place, _)| *place);
    if parts.is_empty() {
        return String::new();
    }
    let parts: String = parts.into_iter().map(|(_, part)| part).collect();
    format!("<section><h2>What differs</h2>{parts}</section>")
}

/// The part of responses that a sentence is about.
const fn part(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Status => STATUS,
        FindingKind::Header => "header",
        FindingKind::Body => "body",
        _ => "",
    }
}

/// The number of the sentence that is about this; of what has none, one past the last.
fn place_in(verdict: &Verdict, target: &str, route: &str, is_it: impl Fn(&VerdictSentence) -> bool) -> usize {
    let of_it = |one: &VerdictSentence| one.route.as_deref() == Some(route) && one.target.as_deref() == Some(target);
    verdict.sentences.iter().position(|one| of_it(one) && is_it(one)).unwrap_or(verdict.sentences.len())
}

fn of_group(out: &mut String, group: &DiffGroup, summary: &Summary) {
    // Writing to a string cannot fail.
    write!(
        out,
        "<details class=\"kind\" open><summary><bdi class=\"wire\">{}</bdi> <span class=\"tag\">{}</span><bdi class=\"wire\">{}</bdi> \
         {} <span class=\"count\">{}</span></summary>",
        escaped(&group.route),
        escaped(&group.place),
        escaped(&group.path),
        escaped(group.what.as_deref().unwrap_or_default()),
        number(group.count - group.noise),
    )
    .ok();
    if summary.targets.len() > 1 {
        write!(out, "<p class=\"who\">{}</p>", escaped(&summary.name_and_url(&group.target))).ok();
    }
    if let Some(first) = group.examples.first() {
        example(out, first);
    }
    out.push_str("</details>");
}

fn example(out: &mut String, example: &DiffExample) {
    let [production, shadow] = match &example.bodies {
        Some(bodies) => [body(&bodies.production), body(&bodies.shadow)],
        None => [value(&example.production), value(&example.shadow)],
    };
    let status = |status: Option<u16>| status.map(|status| format!(" {status}")).unwrap_or_default();
    let (before, after) = example.statuses;
    write!(
        out,
        "<div class=\"example\"><p class=\"wire\">{} {}</p><div class=\"sides\"><div><p class=\"side\">production{}</p><pre>{}</pre>\
         </div><div><p class=\"side\">shadow{}</p><pre>{}</pre></div></div><pre class=\"block\">{}</pre></div>",
        escaped(&example.request.method),
        escaped(&example.request.target),
        status(before),
        escaped_lines(&production),
        status(after),
        escaped_lines(&shadow),
        escaped_lines(&example.curl)
    )
    .ok();
}

fn body(body: &ExampleBody) -> String {
    match body.text.as_deref() {
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
        None => format!("{}, not shown", bytes(body.len)),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "(not there)".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Routes that are slower, each with the requests that took longest.
fn slow(parts: &mut Vec<(usize, String)>, summary: &Summary, verdict: &Verdict) {
    let routes = summary.routes.iter().flat_map(|route| route.targets.iter().map(move |(url, one)| (route, url, one)));
    let slow = routes.filter_map(|(route, url, one)| {
        let is_judged = summary.targets.get(url).is_some_and(speed::is_judged);
        let found = speed::slower(&route.production.latency_us, &one.latency_us.service).filter(|_| is_judged)?;
        Some((route, url, one, found))
    });
    for (route, url, one, found) in slow.take(MAX_SLOW) {
        let place = place_in(verdict, url, &route.route, |one| one.kind == FindingKind::Slower);
        let mut out = String::new();
        let name = summary.name_and_url(url);
        write!(
            out,
            "<details class=\"kind\" open><summary><bdi class=\"wire\">{}</bdi> <span class=\"tag\">slower</span>{} {} → {} \
             <span class=\"count\">{}</span></summary>",
            escaped(&route.route),
            found.name,
            duration(found.before),
            duration(found.after),
            escaped(&name)
        )
        .ok();
        for slow in &one.slowest {
            let took = duration(slow.response_us);
            write!(
                out,
                "<div class=\"example\"><p class=\"who\">{} took {took}</p><pre class=\"block\">{}</pre></div>",
                escaped(&slow.id),
                escaped_lines(&slow.curl)
            )
            .ok();
        }
        out.push_str("</details>");
        parts.push((place, out));
    }
}
