//! What a run came to, in one sentence: the same words on a page, in a message, wherever there is room for one.
//!
//! A [`Summary`] comes in, a [`ReportVerdict`] leaves. Nothing is measured here.

use serde::Serialize;

use crate::report::schema::counts::{LatencySummary, sum};
use crate::report::schema::summary::Summary;
use crate::report::schema::target::{Differences, TargetSummary};
use crate::report::units::{counted, number};

/// From which ratio of the p99 on the other stack counts as slower, and below which inverse as faster.
const SLOWER: f64 = 1.2;

/// Share of answers that differ, or never came, from which a run counts as different, not as nearly the same.
const DIFFERENT: f64 = 0.01;

/// Fewest durations of each side by which a p99 is told.
const ENOUGH: u64 = 30;

/// How a verdict is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As one hopes.
    Good,
    /// Worth a look.
    #[default]
    Odd,
    /// Not as it should be.
    Bad,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportVerdict {
    /// How it is meant.
    pub tone: Severity,
    /// In a word or two.
    pub word: &'static str,
    /// In a sentence.
    pub sentence: String,
    /// What else has to be known, a sentence each.
    pub points: Vec<String>,
}

/// What is said of the routes to a target.
type RouteFindings = fn(&Summary, &str) -> Option<String>;

impl ReportVerdict {
    /// The verdict on a run: that on its worst target comes first.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        Self::with(summary, routes)
    }

    /// The verdict on a run that goes on, which leaves out routes: they are not looked at as often as it is given.
    #[must_use]
    pub fn so_far(summary: &Summary) -> Self {
        Self::with(summary, |_, _| None)
    }

    fn with(summary: &Summary, routes: RouteFindings) -> Self {
        let mut verdict = Self::before_any_target(summary).unwrap_or_else(|| Self::of_targets(summary, routes));
        verdict.points.extend(lost(summary));
        let failed = summary.gates.iter().filter(|gate| !gate.held).count() as u64;
        if failed > 0 {
            verdict.tone = Severity::Bad;
            verdict.word = "Gate failed";
            let all = counted(summary.gates.len() as u64, "gate");
            verdict.points.insert(0, format!("{} of {all} failed.", number(failed)));
        }
        verdict
    }

    /// The verdict on a run that came to no target.
    fn before_any_target(summary: &Summary) -> Option<Self> {
        let requests = &summary.requests;
        let told = |tone, word, sentence| Some(Self { tone, word, sentence, points: Vec::new() });
        if requests.seen == 0 {
            return told(Severity::Bad, "Nothing to see", "No HTTP/1 request was seen.".to_owned());
        }
        if let (true, Some(recording)) = (summary.targets.is_empty(), &summary.recording) {
            let tone = if sum(&recording.lost) > 0 { Severity::Bad } else { Severity::Good };
            return told(tone, "Recorded", format!("{} recorded.", counted(ended_as_kept(summary), "request")));
        }
        if summary.targets.is_empty() {
            return told(
                Severity::Good,
                "Seen",
                format!("{} seen; nothing was sent.", counted(requests.seen, "request")),
            );
        }
        let none = format!("None of {} was sent: each had ended before.", counted(requests.seen, "request"));
        if requests.offered == 0 { told(Severity::Bad, "Nothing sent", none) } else { None }
    }

    fn of_targets(summary: &Summary, routes: RouteFindings) -> Self {
        let several = summary.targets.len() > 1;
        let mut all: Vec<Self> = summary
            .targets
            .iter()
            .map(|(url, target)| {
                let mut verdict = of_target(summary, url, target, routes);
                if several {
                    verdict.sentence = format!("{url}: {}", verdict.sentence);
                }
                verdict
            })
            .collect();
        // The sort is stable: of equals the first is told first.
        all.sort_by_key(|verdict| std::cmp::Reverse(verdict.tone));
        let mut all = all.into_iter();
        let mut first = all.next().unwrap_or_default();
        first.points.extend(all.flat_map(|other| std::iter::once(other.sentence).chain(other.points)));
        first
    }
}

fn ended_as_kept(summary: &Summary) -> u64 {
    summary.requests.ended.kept
}

/// The verdict on one target.
fn of_target(summary: &Summary, url: &str, target: &TargetSummary, routes: RouteFindings) -> ReportVerdict {
    let failed = sum(&target.ended.failed);
    let told = |tone, word, sentence| ReportVerdict { tone, word, sentence, points: Vec::new() };
    if target.ended.sent == 0 {
        let sentence = match failed {
            0 => "nothing was sent there; the ledger says what became of the requests.".to_owned(),
            _ => format!("never answered; {} failed.", counted(failed, "request")),
        };
        return told(Severity::Bad, "No answer", capital(&sentence));
    }
    let differences = &target.differences;
    if differences.compared == 0 {
        let answered = counted(target.ended.sent, "request");
        let sentence = format!("{answered} answered; not one answer could be compared with production's.");
        return told(Severity::Odd, "Not compared", sentence);
    }
    let share = (differences.differing() + failed) as f64 / (differences.compared + failed) as f64;
    let ratio = match &target.paired_latency_us {
        Some(pairs) => ratio(&pairs.production, &pairs.response),
        None => ratio(&summary.production.latency_us, &target.latency_us.response),
    };
    let slower = ratio.is_some_and(|ratio| ratio > SLOWER);
    let (tone, word) = match share {
        0.0 if !slower => (Severity::Good, "Same"),
        0.0 => (Severity::Odd, "Same, but slower"),
        share if share < DIFFERENT => (Severity::Odd, "Nearly the same"),
        _ => (Severity::Bad, "Different"),
    };
    let parts = [Some(same(differences)), ratio.map(slowness), routes(summary, url)];
    let sentence = format!("{}.", parts.into_iter().flatten().collect::<Vec<_>>().join("; "));
    let mut verdict = told(tone, word, sentence);
    if failed > 0 {
        let kinds = target.ended.failed.iter().filter(|(_, count)| **count > 0);
        let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{} {}", number(*count), words(kind))).collect();
        verdict.points.push(format!("{} got no answer: {}.", counted(failed, "request"), kinds.join(", ")));
    }
    verdict
}

/// How many answers are the same.
fn same(differences: &Differences) -> String {
    let answers = counted(differences.compared, "request");
    match differences.differing() {
        0 if differences.compared == 1 => "The same answer to the one request".to_owned(),
        0 => format!("The same answer to each of {answers}"),
        differing => {
            let same = differences.compared.saturating_sub(differing) as f64 / differences.compared as f64;
            format!("Same answers for {} of {answers}", share(same))
        }
    }
}

/// A share in per cent that is never rounded to all or to nothing.
fn share(share: f64) -> String {
    let rounded = (share * 1e4).round() / 1e2;
    match rounded {
        100.0 if share < 1.0 => "more than 99.99 %".to_owned(),
        0.0 if share > 0.0 => "less than 0.01 %".to_owned(),
        rounded => format!("{rounded} %"),
    }
}

fn ratio(production: &LatencySummary, response: &LatencySummary) -> Option<f64> {
    let enough = production.count >= ENOUGH && response.count >= ENOUGH;
    enough.then(|| response.p99 as f64 / production.p99.max(1) as f64)
}

fn slowness(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 10.0 => {
            let whole = format!("{ratio:.0}");
            format!("p99 {}× production's", whole.parse().map_or_else(|_| whole.clone(), number))
        }
        ratio if ratio > SLOWER => format!("p99 {ratio:.1}× production's"),
        ratio if ratio < 1.0 / SLOWER => "p99 below production's".to_owned(),
        _ => "p99 as production's".to_owned(),
    }
}

/// How many routes differ, where routes are known.
fn routes(summary: &Summary, url: &str) -> Option<String> {
    let differs =
        |target: &crate::report::schema::by_route::RouteTarget| target.differences.differing() + target.failed > 0;
    let some =
        summary.routes.iter().filter_map(|route| route.targets.get(url)).filter(|target| differs(target)).count();
    let verb = if some == 1 { "differs" } else { "differ" };
    (some > 0).then(|| format!("{} of {} {verb}", number(some as u64), counted(summary.routes.len() as u64, "route")))
}

/// What is missing in the picture.
fn lost(summary: &Summary) -> Option<String> {
    let frames = summary.frames.kernel_dropped + summary.frames.interface_dropped;
    let shed =
        sum(&summary.requests.ended.shed) + summary.targets.values().map(|target| sum(&target.ended.shed)).sum::<u64>();
    let parts = [(frames, "frame", "dropped"), (summary.tcp.gaps, "gap", "in the capture"), (shed, "request", "shed")];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what, how)| format!("{} {how}", counted(count, what))).collect();
    (!parts.is_empty()).then(|| format!("Lost: {}.", parts.join(", ")))
}

fn words(key: &str) -> String {
    key.replace('_', " ")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::schema::summary::GateResult;
    use crate::report::schema::target::TargetEnded;

    fn target(sent: u64, failed: u64, compared: u64, any: u64) -> TargetSummary {
        let mut ended = TargetEnded { sent, ..TargetEnded::default() };
        ended.failed.insert("connect".into(), failed);
        let differences = Differences { compared, any, ..Differences::default() };
        TargetSummary { offered: sent + failed, ended, differences, ..TargetSummary::default() }
    }

    fn summary(targets: &[(&str, TargetSummary)]) -> Summary {
        let mut summary = Summary::default();
        (summary.requests.seen, summary.requests.offered) = (10, 10);
        summary.targets = targets.iter().map(|(url, target)| ((*url).to_owned(), target.clone())).collect();
        summary
    }

    #[track_caller]
    fn check(summary: &Summary, tone: Severity, sentence: &str, points: &[&str]) {
        let verdict = ReportVerdict::of(summary);
        assert_eq!((verdict.tone, verdict.sentence.as_str()), (tone, sentence));
        assert_eq!(verdict.points, points);
    }

    #[test]
    fn answers_that_are_the_same_are_good_and_few_differences_are_odd() {
        check(&summary(&[("u", target(10, 0, 10, 0))]), Severity::Good, "The same answer to each of 10 requests.", &[]);
        check(&summary(&[("u", target(1, 0, 1, 0))]), Severity::Good, "The same answer to the one request.", &[]);
        let sentence = "Same answers for 99.9 % of 12,000 requests.";
        check(&summary(&[("u", target(12_000, 0, 12_000, 12))]), Severity::Odd, sentence, &[]);
        let sentence = "Same answers for more than 99.99 % of 100,000 requests.";
        check(&summary(&[("u", target(100_000, 0, 100_000, 1))]), Severity::Odd, sentence, &[]);
        let sentence = "Same answers for 50 % of 10 requests.";
        check(&summary(&[("u", target(10, 0, 10, 5))]), Severity::Bad, sentence, &[]);
    }

    #[test]
    fn what_never_answered_is_bad() {
        check(&summary(&[("u", target(0, 3, 0, 0))]), Severity::Bad, "Never answered; 3 requests failed.", &[]);
        let sentence = "Nothing was sent there; the ledger says what became of the requests.";
        check(&summary(&[("u", target(0, 0, 0, 0))]), Severity::Bad, sentence, &[]);
        let sentence = "The same answer to each of 10 requests.";
        check(
            &summary(&[("u", target(10, 1, 10, 0))]),
            Severity::Bad,
            sentence,
            &["1 request got no answer: 1 connect."],
        );
    }

    #[test]
    fn a_slower_stack_is_worth_a_look() {
        let mut summary = summary(&[("u", target(10, 0, 10, 0))]);
        summary.production.latency_us = LatencySummary { count: 99, p99: 1_000, ..LatencySummary::default() };
        for (p99, count, tone, told) in [
            (1_400, 99, Severity::Odd, "; p99 1.4× production's"),
            (40_000, 99, Severity::Odd, "; p99 40× production's"),
            (40_000_000, 99, Severity::Odd, "; p99 40,000× production's"),
            (1_100, 99, Severity::Good, "; p99 as production's"),
            (100, 99, Severity::Good, "; p99 below production's"),
            (40_000, 29, Severity::Good, ""),
        ] {
            summary.targets.get_mut("u").unwrap().latency_us.response =
                LatencySummary { count, p99, ..LatencySummary::default() };
            check(&summary, tone, &format!("The same answer to each of 10 requests{told}."), &[]);
        }
    }

    #[test]
    fn routes_that_differ_are_counted_once_the_run_is_over() {
        use crate::report::schema::by_route::{RouteSummary, RouteTarget};
        let mut summary = summary(&[("u", target(10, 0, 10, 5))]);
        let failing = RouteTarget { failed: 1, ..RouteTarget::default() };
        summary.routes =
            vec![RouteSummary { targets: [("u".to_owned(), failing)].into(), ..RouteSummary::default() }; 2];
        check(&summary, Severity::Bad, "Same answers for 50 % of 10 requests; 2 of 2 routes differ.", &[]);
        assert_eq!(ReportVerdict::so_far(&summary).sentence, "Same answers for 50 % of 10 requests.");
    }

    #[test]
    fn of_several_targets_the_worst_comes_first() {
        check(
            &summary(&[("a", target(10, 0, 10, 0)), ("b", target(10, 0, 10, 9))]),
            Severity::Bad,
            "b: Same answers for 10 % of 10 requests.",
            &["a: The same answer to each of 10 requests."],
        );
    }

    #[test]
    fn runs_without_requests_or_targets_have_a_verdict_too() {
        check(&Summary::default(), Severity::Bad, "No HTTP/1 request was seen.", &[]);
        let mut held = summary(&[("u", target(0, 0, 0, 0))]);
        held.requests.offered = 0;
        check(&held, Severity::Bad, "None of 10 requests was sent: each had ended before.", &[]);
        check(&summary(&[]), Severity::Good, "10 requests seen; nothing was sent.", &[]);
    }

    #[test]
    fn what_was_lost_and_gates_that_failed_are_told() {
        let mut summary = summary(&[("u", target(10, 0, 10, 0))]);
        summary.frames.kernel_dropped = 4;
        summary.tcp.gaps = 1;
        summary.gates = vec![GateResult { held: true, ..GateResult::default() }, GateResult::default()];
        let points = ["1 of 2 gates failed.", "Lost: 4 frames dropped, 1 gap in the capture."];
        check(&summary, Severity::Bad, "The same answer to each of 10 requests.", &points);
    }
}
