//! Readiness: may a share of a route go to the new stack, by what a run has shown?
//!
//! The lines of its results go in, with the lines of a `map_reg` file, the steps of a ramp, and demands. For each route and
//! step comes out whether it is ready, and why. A step counts what was sent while the run itself let in as large a share, or
//! a larger one. A share or a percentile holds only where its confidence limit does (`bounds`): so nothing is ready
//! on too few. Nothing is changed here.

use std::collections::{BTreeMap, HashSet};

use crate::compare::{DifferencePart, field};
use crate::exchange::wire_text;
use crate::middleware::Share;
use crate::middleware::route::RouteMap;
use crate::report::collect::results::TakenBackLines;
use crate::report::collect::route_name::template;
use crate::report::schema::summary::Summary;
use crate::report::units::{counted, number, percent};
use crate::route_pattern;

use super::bounds::CONFIDENCE;
use super::results_reader::ResultsLine;
use super::{Threshold, ThresholdLimit, ThresholdMetric, Thresholds};

mod demand;
mod load;

use demand::{DemandEvidence, SeenDelivery};
use load::{RunLoad, connections};

/// Demands that are made where none of the same kind is: they have to hold as shares, whatever else is asked.
const DEFAULTS: [&str; 4] = ["errors>0.5%", "status-diff>0.1%", "body-diff>1%", "p99>1.2*production"];
/// Steps where neither a ramp of the run nor the user says any.
pub const STEPS: &str = "1%:1m,5%:1m,10%:1m,25%:1m,50%:1m,100%";
/// Reasons for requests that were kept back, of one route; further ones count as others.
const MAX_REASONS: usize = 16;
/// Shares closer than this are the same.
const SAME: f64 = 1e-9;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ReadinessPlan {
    /// The routes.
    pub map: RouteMap,
    /// The steps, each larger than the one before.
    pub steps: Vec<Share>,
    /// What has to hold.
    pub demands: Thresholds,
    /// Connections that the new stack takes.
    pub connections: Option<u64>,
    /// The URL of the target, as the run has it.
    pub target: String,
}

/// One reason for or against a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessFinding {
    /// Whether it speaks for the step.
    pub holds: bool,
    /// The reason, in words for people.
    pub words: String,
}

/// Whether one step of a route is ready.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReadiness {
    /// The share of the step.
    pub share: Share,
    /// Deliveries that it is judged by.
    pub samples: u64,
    /// Reasons, those against it first.
    pub findings: Vec<ReadinessFinding>,
    /// Connections that it would take, where it was tried.
    pub connections: Option<ReadinessFinding>,
}

/// Whether the steps of one route are ready.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteReadiness {
    /// The expression of the map.
    pub pattern: String,
    /// Its value.
    pub value: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Requests of the run that are its.
    pub requests: u64,
    /// Requests that never reached the target, by reason: what they would have come to is not known.
    pub kept_back: BTreeMap<String, u64>,
    /// Each step.
    pub steps: Vec<StepReadiness>,
}

impl StepReadiness {
    /// Returns whether nothing speaks against it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().chain(&self.connections).all(|finding| finding.holds)
    }
}

impl RouteReadiness {
    /// Returns whether this step is ready, and every one before it.
    #[must_use]
    pub fn is_ready_up_to(&self, step: usize) -> bool {
        self.steps.get(..=step).is_some_and(|steps| steps.iter().all(StepReadiness::is_ready))
    }
}

/// What all routes come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Readiness {
    /// The routes, in the order of the map.
    pub routes: Vec<RouteReadiness>,
    /// Requests of the run that match no line of the map.
    pub unmatched: u64,
    /// What was demanded, as typed or by default.
    pub demands: Vec<String>,
}

/// Counts the lines of results.
#[derive(Debug)]
pub struct ReadinessWatch {
    plan: ReadinessPlan,
    taken_back: TakenBackLines,
    noise: HashSet<(String, DifferencePart, String)>,
    routes: Vec<RouteEvidence>,
    unmatched: u64,
    /// The largest share that a request was sent at.
    top: f64,
}

#[derive(Clone, Debug, Default)]
struct RouteEvidence {
    requests: u64,
    kept_back: BTreeMap<String, u64>,
    /// For each step: deliveries at its share or a larger one, and the measure of each demand.
    steps: Vec<(u64, Vec<DemandEvidence>)>,
}

/// Adds what has to be asked anyhow to what the user asks: that few requests fail or differ, and that few are slower.
fn completed(mut demands: Thresholds) -> Thresholds {
    let is_bounded = |demand: &Threshold| !matches!(demand.limit, ThresholdLimit::Count(_)) && demand.route.is_none();
    for typed in DEFAULTS {
        let Ok(default) = typed.parse::<Threshold>() else { continue };
        let is_asked = demands.all.iter().filter(|demand| is_bounded(demand)).any(|demand| {
            match (demand.metric, default.metric) {
                (ThresholdMetric::Latency(_, figure), ThresholdMetric::Latency(..)) => figure.share().is_some(),
                (ThresholdMetric::Any, ThresholdMetric::Status | ThresholdMetric::Body) => true,
                (one, other) => one == other,
            }
        });
        if !is_asked {
            demands.all.push(default);
        }
    }
    demands
}

impl ReadinessWatch {
    /// Watches for what `plan` asks; `summary` says what is noise, and `taken_back` which lines are taken back.
    #[must_use]
    pub fn new(plan: ReadinessPlan, summary: &Summary, taken_back: TakenBackLines) -> Self {
        let plan = ReadinessPlan { demands: completed(plan.demands), ..plan };
        let noise = summary.noise.iter().filter(|row| row.target == plan.target);
        let noise = noise.map(|row| (row.route.clone(), row.place, row.path.clone())).collect();
        let routes = plan.map.entries().map(|_| RouteEvidence::default()).collect();
        Self { plan, taken_back, noise, routes, unmatched: 0, top: 0.0 }
    }

    /// Counts a line of results; others are passed over.
    pub fn line(&mut self, line: &[u8]) {
        if TakenBackLines::is_one(line) {
            return;
        }
        let Ok(mut line) = serde_json::from_slice::<ResultsLine<'_>>(line) else { return };
        let Some(target) = line.target.clone() else { return };
        if line.shadow.as_deref().is_some_and(|url| url != self.plan.target) {
            return;
        }
        if self.taken_back.has(&line.id, &self.plan.target) {
            (line.outcome, line.response, line.service_us, line.response_us) = ("failed".into(), None, None, None);
        }
        let path = wire_text(route_pattern::path(target.as_bytes())).into_owned();
        let route = self.plan.map.entry_of(path.as_bytes()).and_then(|at| self.routes.get_mut(at));
        let Some(route) = route else {
            self.unmatched += 1;
            return;
        };
        route.requests += 1;
        if !matches!(&*line.outcome, "sent" | "failed") {
            // Who is not in the sample is like those who are.
            if line.outcome != "sampled_out" {
                route.keep_back(&line);
            }
            return;
        }
        let Some(share) = line.share else { return };
        self.top = self.top.max(share);
        let differs = differs(&line, &self.noise);
        let status = line.response.as_ref().map(|side| side.status).filter(|_| line.outcome == "sent");
        let body_unknown = line.body_unknown.is_some() || line.production.as_ref().is_some_and(|s| s.damage.is_some());
        let seen = SeenDelivery { differs: differs.filter(|_| status.is_some()), line: &line, status, body_unknown };
        let asked = &self.plan.demands.all;
        let asks: Vec<bool> = asked.iter().map(|demand| asks(demand, &self.plan.target, &line, &path)).collect();
        route.steps.resize_with(self.plan.steps.len(), || (0, vec![DemandEvidence::default(); asked.len()]));
        for (step, (samples, evidence)) in self.plan.steps.iter().zip(&mut route.steps) {
            if step.0 > share + SAME {
                break;
            }
            *samples += 1;
            let demands = asked.iter().zip(evidence).zip(&asks).filter(|(_, asks)| **asks);
            demands.for_each(|((demand, evidence), _)| evidence.take(demand, &seen));
        }
    }

    /// What it comes to, with what the summary knows of the whole run.
    #[must_use]
    pub fn finish(self, summary: &Summary) -> Readiness {
        let Self { plan, routes, unmatched, top, .. } = self;
        let load = RunLoad::of(summary, &plan, top);
        let routes = plan.map.entries().zip(routes).map(|((pattern, value, line), evidence)| {
            let mut steps = evidence.steps.into_iter();
            let judged = plan.steps.iter().map(|share| {
                let (samples, measured) = steps.next().unwrap_or_default();
                let findings = judge_step(*share, evidence.requests, samples, &measured, &plan.demands, &load);
                let connections = (samples > 0).then(|| connections(*share, &load));
                StepReadiness { share: *share, samples, findings, connections }
            });
            RouteReadiness {
                pattern: pattern.to_owned(),
                value: value.to_owned(),
                line,
                requests: evidence.requests,
                steps: judged.collect(),
                kept_back: evidence.kept_back,
            }
        });
        let demands = plan.demands.all.iter().map(ToString::to_string).collect();
        Readiness { routes: routes.collect(), unmatched, demands }
    }
}

/// Whether a demand is about this delivery.
fn asks(demand: &Threshold, url: &str, line: &ResultsLine<'_>, path: &str) -> bool {
    let method = line.method.as_deref().unwrap_or_default().as_bytes();
    demand.target().is_none_or(|target| target == url)
        && demand.route.as_ref().is_none_or(|route| {
            route.first(method, path.as_bytes()).is_some() || route.first(method, template(path).as_bytes()).is_some()
        })
}

/// Whether status, headers and body differ in more than noise; `None` where production's response is not known.
fn differs(line: &ResultsLine<'_>, noise: &HashSet<(String, DifferencePart, String)>) -> Option<[bool; 3]> {
    line.production.as_ref()?;
    let route = line.route.as_deref().unwrap_or_default();
    let is_whole = line.differences.iter().all(|one| !one.is_more());
    let is_noise = |place, path: &str| {
        is_whole && !noise.is_empty() && noise.contains(&(route.to_owned(), place, field(path).into_owned()))
    };
    let parts = [DifferencePart::Status, DifferencePart::Header, DifferencePart::Body];
    Some(parts.map(|part| line.differences.iter().any(|one| one.place == part && !is_noise(part, &one.path))))
}

impl RouteEvidence {
    fn keep_back(&mut self, line: &ResultsLine<'_>) {
        let mut why = line.outcome.replace('_', " ");
        if let Some(rule) = line.rule.as_deref() {
            why = format!("{why}: {}", rule.replace('_', " "));
        }
        if self.kept_back.len() >= MAX_REASONS && !self.kept_back.contains_key(&why) {
            "for other reasons".clone_into(&mut why);
        }
        *self.kept_back.entry(why).or_default() += 1;
    }
}

fn judge_step(
    share: Share,
    requests: u64,
    samples: u64,
    measured: &[DemandEvidence],
    demands: &Thresholds,
    load: &RunLoad,
) -> Vec<ReadinessFinding> {
    let against = |words: String| vec![ReadinessFinding { holds: false, words }];
    if requests == 0 {
        return against("no request of it was in the run".to_owned());
    }
    if load.top <= 0.0 {
        return against("none was sent".to_owned());
    }
    if samples == 0 {
        let most = Share(load.top).rounded();
        return against(format!("not tried: the run sent {most} at most"));
    }
    let mut findings = Vec::new();
    if let Some((at, reason)) = load.broke.as_ref().filter(|(at, _)| *at <= share.0 + SAME) {
        findings.push(ReadinessFinding { holds: false, words: format!("{} did not hold: {reason}", Share(*at)) });
    }
    if samples < demands.min_samples {
        let words = format!("{} sent, {} are needed", counted(samples, "request"), number(demands.min_samples));
        findings.push(ReadinessFinding { holds: false, words });
    }
    for (demand, measured) in demands.all.iter().zip(measured) {
        findings.extend(measured.judge(demand, demands.min_samples, &load.input));
    }
    findings.sort_by_key(|finding| finding.holds);
    findings
}

/// The confidence of limits, in words for people.
#[must_use]
pub fn confidence() -> String {
    percent(CONFIDENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::route::MatchInput;
    use crate::report::schema::steps::RampStep;
    use crate::report::schema::steps::StepCause;
    use crate::report::schema::target::TargetSummary;
    use crate::report::threshold::MIN_SAMPLES;

    const URL: &str = "http://new";

    struct Run {
        demands: Vec<&'static str>,
        connections: Option<u64>,
        summary: Summary,
        lines: Vec<String>,
    }

    impl Run {
        /// A run of so many requests at a share, of which `bad` got 503.
        fn new(share: f64, requests: u64, bad: u64) -> Self {
            let mut run =
                Self { demands: vec!["p99>1s"], connections: None, summary: Summary::default(), lines: Vec::new() };
            let target = TargetSummary { peak_connections: 200, ..TargetSummary::default() };
            run.summary.targets.insert(URL.to_owned(), target);
            run.more(share, requests, bad);
            run
        }

        fn more(&mut self, share: f64, requests: u64, bad: u64) {
            for n in 0..requests {
                let status = if n < bad { 503 } else { 200 };
                let differences =
                    if n < bad { r#"[{"in":"status","path":"","production":200,"shadow":503}]"# } else { "[]" };
                self.lines.push(format!(
                    r#"{{"id":"1.{n}","method":"GET","target":"/a?n={n}","route":"GET /a","outcome":"sent","shadow":"{URL}","production":{{"status":200}},"response":{{"status":{status}}},"production_us":1000,"service_us":900,"response_us":1000,"share":{share},"differences":{differences}}}"#
                ));
            }
        }

        fn finish(&self) -> Readiness {
            let all = self.demands.iter().map(|typed| typed.parse().unwrap()).collect();
            let plan = ReadinessPlan {
                map: RouteMap::parse("^/a app\n^/b app\n", MatchInput::Path).unwrap(),
                steps: vec![Share(0.1), Share(0.5)],
                demands: Thresholds { all, min_samples: MIN_SAMPLES },
                connections: self.connections,
                target: URL.to_owned(),
            };
            let mut watch = ReadinessWatch::new(plan, &self.summary, TakenBackLines::default());
            self.lines.iter().for_each(|line| watch.line(line.as_bytes()));
            watch.finish(&self.summary)
        }

        #[track_caller]
        fn check(&self, ready: [bool; 2], words: &str) {
            let readiness = self.finish();
            let steps = &readiness.routes[0].steps;
            let told: Vec<bool> = steps.iter().map(StepReadiness::is_ready).collect();
            assert_eq!(told, ready, "{steps:#?}");
            let all = steps.iter().flat_map(|step| step.findings.iter().chain(&step.connections));
            assert!(all.clone().any(|finding| finding.words.contains(words)), "{words} is not in {steps:#?}");
        }
    }

    #[test]
    fn a_step_is_ready_where_enough_was_sent_at_its_share() {
        Run::new(0.5, 3_000, 0).check([true, true], "errors: 0 of 3,000, may be 0.1% at most, of 0.5%");
        Run::new(0.1, 3_000, 0).check([true, false], "not tried: the run sent 10% at most");
        let mut run = Run::new(0.1, 3_000, 0);
        run.more(0.5, 100, 0);
        run.check([true, false], "too few for 0.5%: 598 at least");
    }

    #[test]
    fn nothing_is_ready_on_too_few_however_well_they_went() {
        for requests in [1, 29, 299, 597, 2_994] {
            Run::new(1.0, requests, 0).check([false, false], "too few");
        }
        Run::new(1.0, 2_995, 0).check([true, true], "status-diff: 0 of 2,995");
        Run { demands: vec!["errors>0", "status-diff>0", "body-diff>0"], ..Run::new(1.0, 100, 0) }
            .check([false, false], "too few for 0.1%: 2,995 at least");
        Run { demands: vec!["status-diff>0%"], ..Run::new(1.0, 9_000, 0) }
            .check([false, false], "no number of them shows that there is none");
    }

    #[test]
    fn what_is_past_its_limit_or_near_it_is_not_ready() {
        Run::new(1.0, 10_000, 100).check([false, false], "errors: 1% (100 of 10,000), the limit is 0.5%");
        Run::new(1.0, 10_000, 9).check([false, false], "status-diff: 9 of 10,000, may be 0.16%: too few for 0.1%");
        Run { demands: vec!["p99>950us"], ..Run::new(1.0, 3_000, 0) }
            .check([false, false], "p99: 1.00ms, the limit is 950");
        Run { demands: vec!["p99>1.01*production"], ..Run::new(1.0, 3_000, 0) }
            .check([true, true], "(production's may be 1.00ms)");
        Run { demands: vec!["service.p99>950us"], ..Run::new(1.0, 3_000, 0) }.check([true, true], "service.p99: 900");
    }

    #[test]
    fn where_the_ramp_went_back_nothing_is_ready() {
        let mut run = Run::new(0.5, 3_000, 0);
        let step = |what, target: Option<&str>, from, to| RampStep {
            at: String::new(),
            target: target.map(str::to_owned),
            what,
            from,
            to,
            reason: "errors 7%".to_owned(),
        };
        run.summary.steps = vec![step(StepCause::Ramp, None, 0.1, 0.5), step(StepCause::Guard, Some(URL), 1.0, 0.5)];
        run.check([true, false], "50% did not hold: errors 7%");
        run.summary.steps = vec![step(StepCause::Ramp, None, 0.5, 0.1)];
        run.check([true, false], "50% did not hold: errors 7%");
        run.summary.steps = vec![step(StepCause::Guard, Some("http://other"), 1.0, 0.5)];
        run.check([true, true], "some");
        run.summary.steps = vec![step(StepCause::Control, None, 0.5, 0.1)];
        run.check([true, true], "some");
    }

    #[test]
    fn connections_are_those_of_the_run_by_proportion() {
        Run { connections: Some(50), ..Run::new(1.0, 3_000, 0) }
            .check([true, false], "some 100 connections, more than 50");
        Run { connections: Some(100), ..Run::new(1.0, 3_000, 0) }
            .check([true, true], "some 20 connections, of at most 100");
    }

    #[test]
    fn noise_is_no_difference_and_what_was_kept_back_is_told() {
        use crate::report::schema::noise::{NoiseRates, NoiseRow, NoiseSamples, NoiseSource};
        let mut run = Run { demands: vec!["errors>5%"], ..Run::new(1.0, 3_000, 90) };
        run.check([false, false], "status-diff: 3% (90 of 3,000)");
        run.summary.noise = vec![NoiseRow {
            route: "GET /a".to_owned(),
            place: DifferencePart::Status,
            path: String::new(),
            target: URL.to_owned(),
            why: NoiseSource::Baseline,
            rates: NoiseRates::default(),
            samples: NoiseSamples::default(),
        }];
        run.lines.push(
            r#"{"id":"2.1","method":"POST","target":"/a","outcome":"filtered","rule":"writes","shadow":null}"#
                .to_owned(),
        );
        run.lines.push(r#"{"id":"2.2","method":"GET","target":"/x","outcome":"sampled_out","shadow":null}"#.to_owned());
        run.check([true, true], "status-diff: 0 of 3,000");
        let readiness = run.finish();
        assert_eq!((readiness.routes[0].kept_back["filtered: writes"], readiness.unmatched), (1, 1));
        assert_eq!(readiness.routes[1].steps[0].findings[0].words, "no request of it was in the run");
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        let mut run = Run::new(1.0, 10, 0);
        run.lines
            .extend(["", "{", "[]", r#"{"kind":"summary"}"#, r#"{"outcome":"sent","share":"x"}"#].map(str::to_owned));
        assert_eq!(run.finish().routes[0].requests, 10);
    }
}
