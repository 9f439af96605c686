//! The summary of a run that wrote none: made from the lines of its results.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::compare::DifferencePart;
use crate::exchange::{FailureKind, HeldBy, Outcome};
use crate::report::schema::counts::{CountMap, count};
use crate::report::schema::histograms::{Histograms, TargetHistograms};
use crate::report::schema::summary::{SCHEMA, SampleSummary, Summary};
use crate::report::schema::target::{PairedLatency, TargetSummary};

use super::histogram::LatencyHistogram;
use super::results::TakenBackLines;

/// Requests that are remembered, so that one which went to several targets counts once: their lines stand close together.
const MAX_REMEMBERED: usize = 1 << 16;
/// Targets that are counted separately: as many as a run may have.
const MAX_TARGETS: usize = 64;
/// Names of rules and statuses that are counted separately in one block.
const MAX_KEYS: usize = 1000;

/// Keys of a line that are counted.
#[derive(Deserialize)]
struct PartialLine<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(default, borrow)]
    at: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    rule: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    shadow: Option<Cow<'a, str>>,
    production: Option<PartialSide>,
    response: Option<PartialSide>,
    production_us: Option<u64>,
    service_us: Option<u64>,
    response_us: Option<u64>,
    lag_us: Option<u64>,
    #[serde(default)]
    differences: Vec<PartialDifference>,
    #[serde(default, borrow)]
    body_unknown: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct PartialSide {
    status: u16,
    #[serde(default)]
    closed: Option<String>,
}

#[derive(Deserialize)]
struct PartialDifference {
    #[serde(rename = "in")]
    place: DifferencePart,
}

impl PartialLine<'_> {
    /// The same delivery, which failed.
    fn fail(&mut self, kind: FailureKind) {
        let failed = Outcome::Failed(kind);
        (self.outcome, self.rule) = (failed.key().into(), failed.detail().map(|kind| kind.to_owned().into()));
        (self.response, self.service_us, self.response_us) = (None, None, None);
        (self.differences, self.body_unknown) = (Vec::new(), None);
    }
}

/// Counts lines of results.
#[derive(Debug, Default)]
pub struct PartialRun {
    summary: Summary,
    latencies: BTreeMap<String, PartialLatency>,
    production: LatencyHistogram,
    remembered: HashSet<String>,
    lines: u64,
    first: Option<String>,
    taken_back: TakenBackLines,
}

#[derive(Debug, Default)]
struct PartialLatency {
    service: LatencyHistogram,
    response: LatencyHistogram,
    lag: LatencyHistogram,
    /// Of requests whose latency is known on both sides: production's, service and response.
    paired: [LatencyHistogram; 3],
}

impl PartialLatency {
    /// The durations behind its figures.
    fn texts(&self, production: &str) -> TargetHistograms {
        let all = TargetHistograms {
            service: self.service.text(),
            response: self.response.text(),
            lag: self.lag.text(),
            ..TargetHistograms::default()
        };
        all.with_pairs(production, self.paired.each_ref().map(LatencyHistogram::text))
    }
}

impl PartialRun {
    /// What the results take back of their own lines: such deliveries count as failed from now on.
    pub fn without(&mut self, taken_back: TakenBackLines) {
        self.taken_back = taken_back;
    }

    /// Counts a line; false where it is none of results.
    pub fn line(&mut self, line: &[u8]) -> bool {
        if TakenBackLines::is_one(line) {
            return true;
        }
        let Ok(mut line) = serde_json::from_slice::<PartialLine<'_>>(line) else { return false };
        if line.shadow.as_deref().is_some_and(|url| self.taken_back.has(&line.id, url)) {
            line.fail(FailureKind::Desynchronised);
        }
        self.lines += 1;
        if self.first.is_none() {
            self.first = line.at.as_deref().map(str::to_owned);
        }
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
        }
        let is_new = self.remembered.insert(line.id.clone().into_owned());
        let requests = &mut self.summary.requests;
        requests.seen += u64::from(is_new);
        match line.shadow.as_deref() {
            None => {
                let ended = &mut requests.ended;
                let key = line.rule.as_deref().unwrap_or("unknown");
                match &*line.outcome {
                    "kept" => ended.kept += 1,
                    "filtered" => bounded_count(&mut ended.filtered, key),
                    "sampled_out" => ended.sampled_out += 1,
                    "rate_limited" => ended.rate_limited += 1,
                    "malformed" => ended.malformed += 1,
                    "incomplete" => bounded_count(&mut ended.incomplete, key),
                    _ => bounded_count(&mut ended.shed, key),
                }
                // It went nowhere, and its line is the only one.
                requests.seen += u64::from(!is_new);
            }
            Some(url) => {
                requests.offered += u64::from(is_new);
                self.delivered(url, &line, is_new);
            }
        }
        true
    }

    fn delivered(&mut self, url: &str, line: &PartialLine<'_>, is_new: bool) {
        if let Some(production) = line.production.as_ref().filter(|_| is_new) {
            bounded_count(&mut self.summary.production.statuses, &status(production.status));
        }
        if let Some(us) = line.production_us.filter(|_| is_new) {
            self.production.record_us(us);
        }
        let targets = &mut self.summary.targets;
        if targets.len() >= MAX_TARGETS && !targets.contains_key(url) {
            return;
        }
        let target = targets.entry(url.to_owned()).or_default();
        target.offered += 1;
        ended(target, line);
        let latency = self.latencies.entry(url.to_owned()).or_default();
        for (into, us) in [
            (&mut latency.service, line.service_us),
            (&mut latency.response, line.response_us),
            (&mut latency.lag, line.lag_us),
        ] {
            if let Some(us) = us {
                into.record_us(us);
            }
        }
        if let (Some(production), Some(response)) = (line.production_us, line.response_us) {
            let both = [production, line.service_us.unwrap_or(response), response];
            latency.paired.iter_mut().zip(both).for_each(|(into, us)| into.record_us(us));
        }
    }

    /// Returns the summary, which says that it is of a part; `None` where there was no line of results.
    #[must_use]
    pub fn finish(mut self) -> Option<Summary> {
        if self.lines == 0 {
            return None;
        }
        let production = self.production.text();
        let mut histograms = Histograms { production: production.clone(), ..Histograms::default() };
        for (url, latency) in self.latencies {
            histograms.targets.insert(url.clone(), latency.texts(&production));
            if let Some(target) = self.summary.targets.get_mut(&url) {
                target.latency_us.service = latency.service.figures();
                target.latency_us.response = latency.response.figures();
                target.schedule_lag_us = latency.lag.some_figures();
                let [production, service, response] = latency.paired.map(|durations| durations.figures());
                target.paired_latency_us = Some(PairedLatency { production, service, response });
            }
        }
        self.summary.production.latency_us = self.production.figures();
        self.summary.warnings.push(format!(
            "the results are partial: the run that wrote them was killed, or still goes on; this is about their {} lines",
            self.lines
        ));
        Some(Summary {
            histograms: Some(histograms),
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // The lines do not say which command wrote them.
            command: "partial results".to_owned(),
            started: self.first.unwrap_or_default(),
            // Nor what share was asked for: no share stands here rather than none of them.
            sample: SampleSummary { asked: 1.0, ..SampleSummary::default() },
            ..self.summary
        })
    }
}

/// Counts how a delivery ended, and how its response compares.
fn ended(target: &mut TargetSummary, line: &PartialLine<'_>) {
    let (ended, key) = (&mut target.ended, line.rule.as_deref().unwrap_or("unknown"));
    let answered = line.response.as_ref().filter(|_| line.outcome == "sent").map(|side| status(side.status));
    match &*line.outcome {
        "sent" => ended.sent += 1,
        "failed" => bounded_count(&mut ended.failed, key),
        "filtered" => bounded_count(&mut ended.filtered, key),
        "sampled_out" => ended.sampled_out += 1,
        "rate_limited" => ended.rate_limited += 1,
        "guard_held" => {
            ended.guard_held += 1;
            target.paused += u64::from(key == HeldBy::Paused.key());
        }
        _ => bounded_count(&mut ended.shed, key),
    }
    if let Some(answered) = &answered {
        bounded_count(&mut target.statuses, answered);
        if let Some(why) = line.response.as_ref().and_then(|side| side.closed.as_deref()) {
            bounded_count(&mut target.closed_early, why);
        }
    }
    if !matches!(&*line.outcome, "sent" | "failed") {
        return;
    }
    let row = line.production.as_ref().map_or_else(|| "none".to_owned(), |side| status(side.status));
    if target.matrix.len() < MAX_KEYS || target.matrix.contains_key(&row) {
        bounded_count(target.matrix.entry(row).or_default(), answered.as_deref().unwrap_or("failed"));
    }
    if line.production.is_none() || answered.is_none() {
        return;
    }
    let differs = |place| u64::from(line.differences.iter().any(|one| one.place == place));
    let differences = &mut target.differences;
    differences.compared += 1;
    differences.any += u64::from(!line.differences.is_empty());
    differences.status += differs(DifferencePart::Status);
    differences.headers += differs(DifferencePart::Header);
    differences.body += differs(DifferencePart::Body);
    if let Some(why) = &line.body_unknown {
        differences.bodies_unknown += 1;
        bounded_count(&mut differences.bodies_unknown_reasons, why);
    }
}

/// Counts under a key of a file, of which there is a bounded number.
fn bounded_count(counts: &mut CountMap, key: &str) {
    let key = if counts.len() < MAX_KEYS || counts.contains_key(key) { key } else { "other" };
    count(counts, key);
}

fn status(status: u16) -> String {
    format!("{status:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = r#"{"id":"1.1","at":"2026-01-01T00:00:00Z","outcome":"sent","shadow":"http://t","production":{"status":200,
        "body_len":2},"response":{"status":503,"body_len":2},"production_us":10,"service_us":20,"response_us":30,"lag_us":1,
        "differences":[{"in":"status","path":"","production":200,"shadow":503}]}"#;

    fn of(lines: &[&str]) -> Option<Summary> {
        let mut run = PartialRun::default();
        for line in lines {
            assert!(run.line(line.as_bytes()), "{line}");
        }
        run.finish()
    }

    #[test]
    fn lines_add_up_to_a_summary_that_says_that_it_is_of_a_part() {
        let failed = r#"{"id":"1.2","outcome":"failed","rule":"timeout","shadow":"http://t","response_us":2000000}"#;
        let kept_back = r#"{"id":"1.3","outcome":"filtered","rule":"writes","shadow":null}"#;
        let summary = of(&[SENT, failed, kept_back]).unwrap();
        assert!(summary.balances());
        assert_eq!((summary.requests.seen, summary.requests.offered), (3, 2));
        let target = &summary.targets["http://t"];
        assert_eq!((target.ended.sent, target.ended.failed["timeout"]), (1, 1));
        assert_eq!((target.matrix["200"]["503"], target.matrix["none"]["failed"]), (1, 1));
        assert_eq!((target.differences.compared, target.differences.status), (1, 1));
        assert_eq!((target.latency_us.response.count, target.latency_us.response.min), (2, 30));
        let pairs = target.paired_latency_us.as_ref().unwrap();
        assert_eq!(
            (pairs.response.count, pairs.response.max, pairs.production.max, pairs.service.max),
            (1, 30, 10, 20)
        );
        assert_eq!(summary.requests.ended.filtered["writes"], 1);
        assert!(summary.warnings[0].contains("partial") && summary.warnings[0].contains("3 lines"));
    }

    #[test]
    fn a_request_to_several_targets_is_one() {
        let summary = of(&[SENT, &SENT.replace("http://t", "http://u")]).unwrap();
        assert_eq!((summary.requests.seen, summary.requests.offered, summary.targets.len()), (1, 1, 2));
        assert_eq!((summary.production.statuses["200"], summary.production.latency_us.count), (1, 1));
        assert!(summary.balances());
    }

    #[test]
    fn what_is_cut_or_no_line_of_results_is_none() {
        let mut run = PartialRun::default();
        assert!(!run.line(&SENT.as_bytes()[..SENT.len() - 40]));
        assert!(!run.line(b"[1]") && !run.line(b""));
        assert!(run.finish().is_none());
    }
}
