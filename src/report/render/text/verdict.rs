//! The first lines of a report: what an engineer has to know who reads nothing else.

use std::fmt::Write as _;

use crate::compare::Unknown;
use crate::report::schema::counts::{CountMap, sum};
use crate::report::schema::summary::{Requests, Summary};
use crate::report::schema::target::TargetSummary;
use crate::report::schema::verdict::{self, Verdict};
use crate::report::units::{counted, number};

use super::{Severity, TextReport};

/// A word, and at most five sentences; then how much was sent and compared, a paragraph for each target.
pub(super) fn verdict(page: &mut TextReport, summary: &Summary, verdict: &Verdict) {
    let word = page.paint(verdict.word.text(), tone(verdict.severity));
    page.line(&word);
    let (last, plain) = (verdict.sentences.len().saturating_sub(1), verdict.severity == verdict::Severity::Good);
    for (at, sentence) in verdict.sentences.iter().enumerate() {
        let more = match verdict.more {
            more if more > 0 && at == last => format!(" ({} below)", counted(more, "further finding")),
            _ => String::new(),
        };
        let tone = if plain || sentence.severity == verdict::Severity::Good {
            Severity::Plain
        } else {
            tone(sentence.severity)
        };
        page.wrapped(&format!("  {}{more}", sentence.text), 4, tone);
    }
    let sent = worst_first(summary, verdict).filter_map(|url| Some((url, summary.targets.get(url)?)));
    for (at, (url, target)) in sent.filter(|(_, target)| target.ended.sent > 0).enumerate() {
        if at == 0 {
            page.out.push('\n');
        }
        let text = answered(&summary.name_and_url(url), target, &summary.requests, summary.access_log.is_some());
        page.paragraph(&text, Severity::Plain);
    }
}

/// The targets in the order of the verdict.
pub(super) fn worst_first<'a>(summary: &'a Summary, verdict: &'a Verdict) -> impl Iterator<Item = &'a String> {
    let judged = verdict.targets.iter().map(|one| &one.target).filter(|url| summary.targets.contains_key(*url));
    let others = summary.targets.keys().filter(|url| verdict.targets.iter().all(|one| one.target != **url));
    judged.chain(others)
}

const fn tone(severity: verdict::Severity) -> Severity {
    match severity {
        verdict::Severity::Good => Severity::Good,
        verdict::Severity::Odd => Severity::Odd,
        verdict::Severity::Bad => Severity::Bad,
    }
}

/// How much was sent to a target that answered, and how much of it was compared.
fn answered(name: &str, target: &TargetSummary, requests: &Requests, is_logged: bool) -> String {
    let failed = sum(&target.ended.failed);
    let verb = if requests.seen == 1 { "request was" } else { "requests were" };
    let mut text = format!("{} of {} {verb} sent to {name}", number(target.ended.sent), number(requests.seen));
    if failed > 0 {
        write!(text, "; {} failed", number(failed)).ok();
    }
    let differences = &target.differences;
    let of = counted(differences.compared, "response");
    let how = match (differences.status, differences.headers, differences.body) {
        _ if differences.compared == 0 => "no response could be compared with production's".to_owned(),
        (0, 0, 0) if is_logged => format!("{of} compared by status alone, none differs"),
        (status, ..) if is_logged => {
            let verb = if status == 1 { "response differs" } else { "responses differ" };
            format!("{} {verb} in status, of {} compared by status alone", number(status), number(differences.compared))
        }
        (0, 0, 0) => format!("{of} compared, none differs in status or body"),
        (status, headers, body) => {
            let verb = if status == 1 { "response differs" } else { "responses differ" };
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
    // The first line has said of them what there is to say.
    if differences.bodies_unknown > 0 && !is_logged {
        let (bodies, noun) =
            (differences.bodies_unknown, if differences.bodies_unknown == 1 { "body" } else { "bodies" });
        let why = reasons(&differences.bodies_unknown_reasons);
        write!(text, "; {} {noun} not compared: {why}", number(bodies)).ok();
    }
    text
}

/// Returns the reasons that bodies were not compared, the most frequent one first.
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
