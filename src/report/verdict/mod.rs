//! What a run came to: DIFFERENT, SLOWER or SAME, and at most five sentences that say why, the worst first.
//!
//! A [`Summary`] comes in, a [`Verdict`] leaves: the same for the terminal, the page and scripts. Nothing is measured here.
//!
//! **The rule.** Responses are DIFFERENT where any differs from production's in more than noise, or where one in a thousand
//! requests or more got none. They are SLOWER where a route or a target is, by the rule of [`speed`].

use std::fmt::Write as _;

use crate::report::schema::counts::{self, CountMap, sum};
use crate::report::schema::fleet::FleetEnd;
use crate::report::schema::summary::Summary;
use crate::report::schema::target::TargetSummary;
use crate::report::schema::verdict::{
    FindingKind, MAX_SENTENCES, Severity, TargetVerdict, Verdict, VerdictSentence, VerdictWord,
};
use crate::report::units::{counted, number};

mod choice;
mod finding;
mod findings;
mod nothing_sent;
pub mod speed;

use finding::Finding;
pub use nothing_sent::no_request;

/// Share of responses that differ, or never came, from which a run is bad, not odd.
const BAD: f64 = 0.01;

/// Share of requests without a response from which responses count as different: below it a network does so by itself.
const UNANSWERED: f64 = 0.001;

impl Verdict {
    /// The verdict on a run.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        let mut verdict = Self::before_any_target(summary).unwrap_or_else(|| Self::of_targets(summary));
        let mut gates = summary.failed_gates();
        if let Some(gate) = gates.next() {
            let more = match gates.count() as u64 {
                0 => String::new(),
                more => format!("; {} failed", counted(more, "more gate")),
            };
            let text = format!("gate failed: {}: {}{more}", gate.gate, gate.reason);
            let sentence = VerdictSentence { kind: FindingKind::Gate, text, severity: Severity::Bad, ..blank() };
            verdict.sentences.insert(0, sentence);
            verdict.severity = Severity::Bad;
        }
        if verdict.sentences.len() > MAX_SENTENCES {
            verdict.more += (verdict.sentences.len() - MAX_SENTENCES) as u64;
            verdict.sentences.truncate(MAX_SENTENCES);
        } else if verdict.sentences.len() < MAX_SENTENCES {
            verdict.sentences.extend(lost(summary));
        }
        verdict
    }

    /// The verdict on a run that came to no target.
    fn before_any_target(summary: &Summary) -> Option<Self> {
        let requests = &summary.requests;
        let only = |word, severity, text: String| {
            let sentences = vec![VerdictSentence { text, severity, ..blank() }];
            Some(Self { word, severity, sentences, ..Self::default() })
        };
        if requests.seen == 0 && summary.targets.is_empty() {
            return only(VerdictWord::NothingSeen, Severity::Bad, no_request(&summary.frames, &summary.streams));
        }
        if let Some(words) = summary.left_to_others() {
            return only(VerdictWord::NothingSent, Severity::Good, words.to_owned());
        }
        let failed = |target: &TargetSummary| sum(&target.ended.failed) > 0;
        if let Some(reason) = summary.nothing_sent().filter(|_| !summary.targets.values().any(failed)) {
            return only(VerdictWord::NothingSent, Severity::Bad, reason);
        }
        if !summary.targets.is_empty() {
            return None;
        }
        let seen = counted(requests.seen, "request");
        let Some(recording) = &summary.recording else {
            return only(VerdictWord::Seen, Severity::Good, format!("{seen} seen; nothing was sent"));
        };
        let (lost, files) = (sum(&recording.lost), recording.in_files());
        let is_bad = summary.recording_failed() || lost > 0;
        let severity = if is_bad { Severity::Bad } else { Severity::Good };
        let mut text = match summary.requests_recorded() {
            Some(recorded) => format!("{} of {seen} recorded in {files}", number(recorded)),
            None => format!("{} recorded in {files}; {seen} seen", counted(recording.records, "record")),
        };
        if lost > 0 {
            write!(text, "; {} LOST ({})", counted(lost, "record"), kinds(&recording.lost)).ok();
        }
        only(VerdictWord::Recorded, severity, text)
    }

    fn of_targets(summary: &Summary) -> Self {
        let mut all: Vec<FoundAtTarget<'_>> =
            summary.targets.iter().map(|(url, target)| FoundAtTarget::new(summary, url, target)).collect();
        // The sort is stable: of equals the first is told first.
        all.sort_by(|a, b| {
            (a.word, std::cmp::Reverse(a.severity))
                .cmp(&(b.word, std::cmp::Reverse(b.severity)))
                .then(b.weight().total_cmp(&a.weight()))
        });
        let word = all.first().map(|target| target.word).unwrap_or_default();
        let severity = all.iter().map(|target| target.severity).max().unwrap_or_default();
        let targets = all
            .iter()
            .map(|one| TargetVerdict { target: one.url.to_owned(), word: one.word, severity: one.severity })
            .collect();
        let (sentences, more) = choice::sentences(all);
        Self { word, severity, sentences, more, targets }
    }
}

/// What was found at one target.
struct FoundAtTarget<'a> {
    url: &'a str,
    /// Its name, else the URL.
    name: &'a str,
    word: VerdictWord,
    severity: Severity,
    findings: Vec<Finding>,
    /// What there is to know besides.
    note: Finding,
}

impl<'a> FoundAtTarget<'a> {
    fn new(summary: &'a Summary, url: &'a str, target: &'a TargetSummary) -> Self {
        let failed = sum(&target.ended.failed);
        let findings = findings::of_target(summary, url, target);
        let has = |kinds: &[FindingKind]| findings.iter().any(|one| one.decides && kinds.contains(&one.kind()));
        let compared = target.differences.compared;
        let word = match () {
            () if target.ended.sent == 0 && failed > 0 => VerdictWord::Failed,
            () if target.ended.sent == 0 => VerdictWord::NothingSent,
            () if has(&[FindingKind::Failed, FindingKind::Desynchronised]) => VerdictWord::Different,
            () if has(&[FindingKind::Status, FindingKind::Header, FindingKind::Body]) => VerdictWord::Different,
            () if compared == 0 => VerdictWord::NotCompared,
            () if has(&[FindingKind::Slower]) => VerdictWord::Slower,
            () => VerdictWord::Same,
        };
        let wrong = (target.differences.differing() + failed) as f64 / (compared + failed).max(1) as f64;
        let of_findings = findings.iter().map(Finding::severity).max().unwrap_or_default();
        let severity = match word {
            VerdictWord::Failed | VerdictWord::NothingSent => Severity::Bad,
            VerdictWord::Different if wrong >= BAD => Severity::Bad,
            VerdictWord::Different | VerdictWord::NotCompared => of_findings.max(Severity::Odd),
            _ => of_findings,
        };
        let note = Finding::note(&findings::note(summary, url, target, word), severity.min(Severity::Odd));
        Self { url, name: summary.name_of(url), word, severity, findings, note }
    }

    fn weight(&self) -> f64 {
        self.findings.iter().map(|one| one.weight).sum()
    }
}

fn blank() -> VerdictSentence {
    VerdictSentence::default()
}

/// Describes the losses that leave the picture incomplete.
fn lost(summary: &Summary) -> Option<VerdictSentence> {
    let frames = summary.frames.kernel_dropped + summary.frames.interface_dropped;
    let shed = counts::lost(&summary.requests.ended.shed)
        + summary.targets.values().map(|target| counts::lost(&target.ended.shed)).sum::<u64>();
    let fleet = summary.fleet.as_ref();
    let expired = fleet.and_then(|fleet| fleet.sums.as_ref()).map_or(0, |sums| sums.expired);
    let on_nodes = fleet.map_or(0, FleetEnd::lost) - expired;
    let parts = [
        (frames, "frame", "dropped"),
        (summary.tcp.gaps, "gap", "in the capture"),
        (shed, "request", "shed"),
        (expired, "request", "expired in the store"),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let mut parts: Vec<String> = parts.map(|(count, what, how)| format!("{} {how}", counted(count, what))).collect();
    if on_nodes > 0 {
        parts.push(format!("{} on nodes (frames, gaps, requests)", number(on_nodes)));
    }
    (!parts.is_empty()).then(|| VerdictSentence {
        kind: FindingKind::Lost,
        text: format!("lost: {}", parts.join(", ")),
        severity: Severity::Odd,
        ..blank()
    })
}

/// What is not zero, greatest first: `timeout 30, reset 2`.
fn kinds(counts: &CountMap) -> String {
    let mut all: Vec<(&String, &u64)> = counts.iter().filter(|(_, count)| **count > 0).collect();
    all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let all: Vec<String> =
        all.iter().map(|(key, count)| format!("{} {}", key.replace('_', " "), number(**count))).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests;
