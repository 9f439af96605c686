//! The first lines of a report: what an engineer has to know who reads nothing else.

use std::fmt::Write as _;

use crate::compare::Unknown;
use crate::report::schema::counts::{CountMap, sum};
use crate::report::schema::summary::{Requests, Summary};
use crate::report::schema::target::TargetSummary;
use crate::report::units::{counted, number};

use super::{Severity, TextReport, kinds, recording};

/// The one thing to know, for each target.
pub(super) fn verdict(page: &mut TextReport, summary: &Summary) {
    let requests = &summary.requests;
    if requests.seen == 0 {
        page.paragraph(&format!("no HTTP/1 request was found in the capture{}", instead(summary)), Severity::Bad);
        return;
    }
    if summary.targets.is_empty()
        && let Some(recording) = &summary.recording
    {
        recording::verdict(page, summary, recording);
        return;
    }
    if requests.offered == 0 {
        let none = || format!("none of {} was sent: each had ended before", counted(requests.seen, "request"));
        page.paragraph(&summary.nothing_sent().unwrap_or_else(none), Severity::Bad);
        return;
    }
    for (url, target) in &summary.targets {
        let failed = sum(&target.ended.failed);
        if target.ended.sent == 0 && target.offered > 0 {
            let kinds = kinds(&target.ended.failed);
            let tried =
                if failed == 1 { "its one delivery".to_owned() } else { format!("{} deliveries", number(failed)) };
            let text = if failed == 0 {
                format!("NOTHING WAS SENT to {url}: see what became of the requests below")
            } else {
                format!("{url} NEVER ANSWERED: {tried} failed ({kinds})")
            };
            page.paragraph(&text, Severity::Bad);
            continue;
        }
        let (text, tone) = answered(url, target, requests);
        page.paragraph(&text, tone);
    }
}

/// The verdict on a target that answered.
fn answered(url: &str, target: &TargetSummary, requests: &Requests) -> (String, Severity) {
    let failed = sum(&target.ended.failed);
    let verb = if requests.seen == 1 { "request was" } else { "requests were" };
    let mut text = format!("{} of {} {verb} sent to {url}", number(target.ended.sent), number(requests.seen));
    if failed > 0 {
        write!(text, "; {} failed", number(failed)).ok();
    }
    let differences = &target.differences;
    let tone = match (failed, differences.status + differences.body + differences.headers) {
        (0, 0) if differences.compared > 0 => Severity::Good,
        (0, _) => Severity::Odd,
        _ => Severity::Bad,
    };
    let of = counted(differences.compared, "answer");
    let how = match (differences.status, differences.headers, differences.body) {
        _ if differences.compared == 0 => "no answer could be compared with production's".to_owned(),
        (0, 0, 0) => format!("{of} compared, none differs in status or body"),
        (status, headers, body) => {
            let verb = if status == 1 { "answer differs" } else { "answers differ" };
            let headers = if headers > 0 { format!(" {} in headers,", number(headers)) } else { String::new() };
            format!(
                "{} {verb} in status,{headers} {} in body, of {} compared",
                number(status),
                number(body),
                number(differences.compared)
            )
        }
    };
    write!(text, "; {how}").ok();
    if differences.bodies_unknown > 0 {
        let (bodies, noun) =
            (differences.bodies_unknown, if differences.bodies_unknown == 1 { "body" } else { "bodies" });
        let why = reasons(&differences.bodies_unknown_reasons);
        write!(text, "; {} {noun} not compared: {why}", number(bodies)).ok();
    }
    (text, tone)
}

/// Why bodies were not compared, the most frequent reason first.
fn reasons(counts: &CountMap) -> String {
    if counts.is_empty() {
        return "captured in part, or without room or time for it".to_owned();
    }
    let words = |key: &String| Unknown::ALL.into_iter().find(|why| why.key() == key).map(Unknown::words);
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let told = counts.into_iter().map(|(key, count)| format!("{} {}", number(*count), words(key).unwrap_or(key)));
    told.collect::<Vec<_>>().join(", ")
}

/// What was in the capture instead of HTTP/1.
pub(in crate::report) fn instead(summary: &Summary) -> String {
    let streams = &summary.streams;
    let found: Vec<String> = [(streams.tls, "TLS"), (streams.http2, "HTTP/2"), (streams.unknown, "something else")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} of {what}", number(count)))
        .collect();
    match (summary.frames.received, found.is_empty()) {
        (0, _) => ": it has no frames".to_owned(),
        (_, true) => {
            format!(": {}, {} with TCP", counted(summary.frames.received, "frame"), number(summary.frames.decoded))
        }
        (_, false) => format!(": its connections are {}", found.join(", ")),
    }
}
