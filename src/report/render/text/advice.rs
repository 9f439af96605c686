//! Which steps of a ramp are ready on each route, and what tells HAProxy of the next, for a terminal.

use std::fmt::Write as _;

use crate::report::render::haproxy::NextStep;
use crate::report::threshold::readiness::{Readiness, ReadinessFinding, RouteReadiness, StepReadiness, confidence};
use crate::report::units::{counted, number};
use crate::sanitize;

use super::{NARROWEST, Severity, TextReport, WIDEST};

/// Reasons for requests that never reached the target, which are shown of a route.
const SHOWN: usize = 4;

/// Blocks that say which steps are ready and why, and the lines that would take the next ones. Those lines are never wrapped:
/// they are for HAProxy.
#[must_use]
pub fn advice(readiness: &Readiness, next: &[NextStep], notes: &[String], width: usize, color: bool) -> String {
    let mut page = TextReport { out: String::new(), width: width.clamp(NARROWEST, WIDEST), color };
    page.title("Ready for HAProxy");
    let demands = readiness.demands.join(", ");
    page.wrapped(&format!("  Not past {demands}; limits hold with {}", confidence()), 4, Severity::Faint);
    if readiness.unmatched > 0 {
        let text = format!("  {} match no line of the map, and count nowhere", counted(readiness.unmatched, "request"));
        page.wrapped(&text, 4, Severity::Odd);
    }
    for route in &readiness.routes {
        one(&mut page, route);
    }
    page.title("The next step");
    for note in notes {
        page.wrapped(&format!("  {note}"), 4, Severity::Faint);
    }
    for step in next {
        match step {
            NextStep::NotYet(why) => page.wrapped(&format!("  {why}"), 4, Severity::Odd),
            NextStep::Ready { words, .. } => page.wrapped(&format!("  {words}"), 4, Severity::Good),
        }
    }
    lines(&mut page, next);
    page.out
}

/// The lines to paste: those of the runtime API alone begin at the left edge.
fn lines(page: &mut TextReport, next: &[NextStep]) {
    let ready = |step: &NextStep| matches!(step, NextStep::Ready { .. });
    if !next.iter().any(ready) {
        page.wrapped("  Nothing is ready: there is nothing to paste.", 4, Severity::Plain);
        return;
    }
    page.wrapped("  For the runtime API (the stats socket):", 4, Severity::Plain);
    page.out.push('\n');
    let mut changed = Vec::new();
    for step in next {
        let NextStep::Ready { runtime, map, .. } = step else { continue };
        for line in runtime {
            page.out.push_str(&sanitize::text(line, false));
            page.out.push('\n');
        }
        changed.extend(map);
    }
    if changed.is_empty() {
        return;
    }
    page.out.push('\n');
    page.wrapped("  HAProxy forgets it when it restarts. The lines of the file that keep it:", 4, Severity::Plain);
    for (number, line) in changed {
        writeln!(page.out, "  {number:>4}  {}", sanitize::text(line, false)).ok();
    }
}

fn one(page: &mut TextReport, route: &RouteReadiness) {
    page.out.push('\n');
    let RouteReadiness { pattern, value, requests, steps, kept_back, .. } = route;
    page.wrapped(&format!("  {pattern} {value}: {}", counted(*requests, "request")), 4, Severity::Title);
    for group in steps.chunk_by(is_alike) {
        page_of_group(page, group);
    }
    let mut reasons: Vec<_> = kept_back.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (why, count) in reasons.into_iter().take(SHOWN) {
        page.wrapped(&format!("    never tried: {} ({why})", number(*count)), 8, Severity::Odd);
    }
}

/// Whether two steps are told together: nothing tells them apart but the connections they take.
fn is_alike(one: &StepReadiness, next: &StepReadiness) -> bool {
    (one.samples, one.is_ready(), &one.findings) == (next.samples, next.is_ready(), &next.findings)
}

fn page_of_group(page: &mut TextReport, group: &[StepReadiness]) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let shares = if group.len() == 1 { last.share.to_string() } else { format!("{} to {}", first.share, last.share) };
    let (word, severity) = if last.is_ready() { ("ready", Severity::Good) } else { ("not ready", Severity::Odd) };
    // The last one takes the most.
    let connections = last.connections.as_ref().filter(|one| last.is_ready() || !one.holds);
    let words: Vec<&str> = shown(&last.findings).chain(connections).map(|finding| finding.words.as_str()).collect();
    let count = if last.samples > 0 { format!("{} sent; ", number(last.samples)) } else { String::new() };
    page.wrapped(&format!("    {shares} {word}: {count}{}", words.join("; ")), 8, severity);
}

/// What speaks against a step, where anything does; else everything.
fn shown(findings: &[ReadinessFinding]) -> impl Iterator<Item = &ReadinessFinding> {
    let against = findings.iter().any(|finding| !finding.holds);
    findings.iter().filter(move |finding| !(against && finding.holds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::Share;

    fn step(share: f64, words: &str, holds: bool, connections: u64) -> StepReadiness {
        let finding = |words: String| ReadinessFinding { holds, words };
        let connections = Some(ReadinessFinding { holds: connections <= 10, words: format!("some {connections}") });
        StepReadiness { share: Share(share), samples: 1_000, findings: vec![finding(words.to_owned())], connections }
    }

    #[test]
    fn steps_that_are_alike_are_told_together_and_lines_stand_at_the_edge() {
        let route = RouteReadiness {
            pattern: "^/api/".to_owned(),
            value: "app".to_owned(),
            line: 3,
            requests: 1_200,
            kept_back: [("filtered: writes".to_owned(), 200)].into(),
            steps: vec![step(0.01, "well", true, 1), step(0.1, "well", true, 9), step(0.5, "well", true, 45)],
        };
        let readiness = Readiness { routes: vec![route], unmatched: 1, demands: vec!["errors>0.5%".to_owned()] };
        let next = [
            NextStep::NotYet("app: 50% is not ready on ^/api/".to_owned()),
            NextStep::Ready {
                words: "app: 0% -> 1%".to_owned(),
                runtime: vec!["set weight app/cloud 1".to_owned()],
                map: vec![(3, "^/api/ cloud".to_owned())],
            },
        ];
        let text = advice(&readiness, &next, &[], 80, false);
        for part in [
            "  1 request match no line of the map",
            "    1% to 10% ready: 1,000 sent; well; some 9\n",
            "    50% not ready: 1,000 sent; well; some 45\n",
            "    never tried: 200 (filtered: writes)\n",
            "\nset weight app/cloud 1\n",
            "     3  ^/api/ cloud\n",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(advice(&readiness, &next[..1], &[], 80, false).contains("Nothing is ready"));
    }
}
