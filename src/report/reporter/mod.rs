//! The reporter: takes the events of the stages in any order, joins and counts them, makes the summary.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::compare;
use crate::exchange::{ExchangeId, Outcome};
use crate::replay::{ConnNumber, Delivery, Destination};

use super::collect::comparer::{Comparer, ComparisonTask};
use super::collect::evidence::Evidence;
use super::collect::evidence::SummaryBlocks;
use super::collect::histogram::LatencyHistogram;
use super::collect::inputs::{
    Production, RequestRecord, RunGauges, RunTotals, Started, TargetSet, TargetTotals, UnreportedSheds, blank,
};
use super::collect::join::{Joins, ProductionJoin};
use super::collect::ledger::Ledger;
use super::collect::noise::{self, Noise};
use super::collect::observe::ObserveRun;
use super::collect::recent::RecentDeliveries;
use super::collect::repeats::RepeatTracker;
use super::collect::results::{ResultLine, ResultsWriter, TakenBackLines};
use super::collect::tally::{self, TargetTally};
use super::collect::unjoined::Unjoined;
use super::schema::curves::Curves;
use super::schema::middleware::MiddlewareCounts;
use super::schema::reference::{Baseline, SelfChecks};
use super::schema::request::RunRequest;
use super::schema::summary::Summary;
use super::schema::telemetry::TelemetrySummary;
use super::schema::verdict::Verdict;
use super::threshold::ThresholdWatch;

mod desynchronised;
mod durations;
mod exchange_context;
mod settings;
pub mod snapshot;

pub use settings::ReportSettings;
use snapshot::{RecentDifference, SnapshotRequest};

/// Event that a stage reports, in any order that a run brings about.
#[derive(Debug)]
pub enum ReportEvent {
    /// A request was seen, and ended before any target. Counts as seen.
    Ended {
        /// The request.
        note: Box<RequestRecord>,
        /// Outcome of the request.
        outcome: Outcome,
    },
    /// A request was seen and recorded; there is no target. Counts as seen.
    Kept {
        /// The request.
        note: Box<RequestRecord>,
    },
    /// A request was seen and offered to `targets`; a delivery follows for each. Counts as seen.
    Offered {
        /// The request.
        note: Box<RequestRecord>,
        /// Targets it was offered to.
        targets: TargetSet,
        /// Time from its last byte on the wire until it was handed to them, of a live capture.
        capture_delay: Option<Duration>,
    },
    /// An offered request goes to the baseline in addition to its targets, or to some of them a second time; deliveries
    /// follow.
    Beside {
        /// The request.
        of: ExchangeId,
        /// True when it goes to the baseline.
        baseline: bool,
        /// Targets it goes to a second time.
        checks: TargetSet,
    },
    /// A delivery ended.
    Delivered(Box<Delivery>),
    /// The production side of an exchange.
    Production {
        /// The request it belongs to.
        of: ExchangeId,
        /// Response of production, or the reason that it is not known.
        production: Result<Production, Unjoined>,
    },
    /// Connections to targets on which a response came without a request: those before it are nobody's.
    Desynchronised(Vec<ConnNumber>),
    /// A production response whose request was not captured.
    Orphan,
    /// Gauges of the run, sampled at intervals.
    Level(Box<RunGauges>),
    /// Somebody asks how the run goes.
    Look(SnapshotRequest),
}

impl From<RunGauges> for ReportEvent {
    fn from(level: RunGauges) -> Self {
        Self::Level(Box::new(level))
    }
}

/// Takes facts and makes the summary of them.
#[derive(Debug)]
pub struct Reporter {
    command: &'static str,
    asked: RunRequest,
    urls: Vec<String>,
    sample: f64,
    started: Started,
    ledger: Ledger,
    joins: Joins,
    targets: Vec<TargetTally>,
    baseline: Option<BaselineTally>,
    production: tally::ProductionTally,
    capture_delay: LatencyHistogram,
    results: ResultsWriter,
    evidence: Evidence,
    comparer: Arc<Comparer>,
    /// Reason that bodies that differ are not compared, where they are not.
    unread: Option<compare::Unknown>,
    /// True when another thread does the comparisons that take time.
    defers: bool,
    /// Comparisons that wait for that thread.
    deferred: VecDeque<ComparisonTask>,
    noise: Noise,
    repeats: RepeatTracker,
    checks: SelfChecks,
    watch: ThresholdWatch,
    observe: Option<ObserveRun>,
    counted: RecentDeliveries,
    /// Kept once somebody has looked.
    recent: Option<RecentDifference>,
}

/// The baseline's URL, and what it did.
#[derive(Debug)]
struct BaselineTally {
    url: String,
    tally: TargetTally,
}

/// What counts the deliveries to `destination`; none does where a target is asked a second time.
fn tally_of<'t>(
    targets: &'t mut [TargetTally],
    baseline: &'t mut Option<BaselineTally>,
    destination: Destination,
) -> Option<&'t mut TargetTally> {
    match destination {
        Destination::Target(target) => targets.get_mut(target.index()),
        Destination::Baseline => baseline.as_mut().map(|baseline| &mut baseline.tally),
        Destination::SelfCheck(_) => None,
    }
}

impl Reporter {
    /// A reporter without facts.
    #[must_use]
    pub fn new(settings: ReportSettings) -> Self {
        let targets = settings.targets.len();
        let watch = ThresholdWatch::new(settings.demands, &settings.targets);
        let hosts = settings.targets.iter().map(|url| host(url)).collect();
        let baseline = settings.baseline.as_deref().map(host).unwrap_or_default();
        Self {
            command: settings.command,
            asked: settings.asked,
            baseline: settings.baseline.map(|url| BaselineTally { url, tally: TargetTally::default() }),
            urls: settings.targets,
            sample: settings.sample,
            started: settings.started,
            ledger: Ledger::new(targets),
            joins: Joins::with_kept_bytes(settings.kept_bytes),
            targets: vec![TargetTally::default(); targets],
            production: tally::ProductionTally::default(),
            capture_delay: LatencyHistogram::default(),
            results: ResultsWriter::new(settings.results),
            evidence: Evidence::new(settings.started, settings.patterns, targets, settings.evidence)
                .hiding(settings.compare.secrets().clone()),
            comparer: Arc::new(Comparer::new(settings.compare, hosts, baseline)),
            unread: None,
            defers: false,
            deferred: VecDeque::new(),
            noise: Noise::new(targets),
            repeats: RepeatTracker::default(),
            checks: SelfChecks::default(),
            watch,
            observe: settings.observe.map(|rule| ObserveRun::new(rule, TakenBackLines::default())),
            counted: RecentDeliveries::new(settings.recent_bytes),
            recent: None,
        }
    }

    fn tally(&mut self, destination: Destination) -> Option<&mut TargetTally> {
        tally_of(&mut self.targets, &mut self.baseline, destination)
    }

    /// Sets whether events come faster than they are counted: then bodies that differ are not compared, and count as
    /// unknown.
    pub(crate) fn hurry(&mut self, overloaded: bool) {
        self.unread = overloaded.then_some(compare::Unknown::QueueFull);
    }

    /// Takes one fact, now.
    pub fn take(&mut self, fact: ReportEvent) {
        self.refresh_clock();
        self.record_batched(fact);
    }

    /// Sets the time of the following events to now: the clock is not read for each of many.
    pub(crate) fn refresh_clock(&mut self) {
        self.evidence.refresh_clock();
    }

    /// Takes one of several facts that came at once, when the clock was last looked at.
    pub(crate) fn record_batched(&mut self, fact: ReportEvent) {
        match fact {
            ReportEvent::Ended { mut note, outcome } => {
                self.evidence.seen(&mut note, Some(&outcome));
                self.ledger.ended(&outcome, note.bytes);
                if self.results.wanted() {
                    self.results.write(&ResultLine::ended(&note, &outcome));
                }
            }
            ReportEvent::Kept { mut note } => {
                self.evidence.seen(&mut note, None);
                self.ledger.ended(&Outcome::Kept, note.bytes);
                if self.results.wanted() {
                    self.results.write(&ResultLine::ended(&note, &Outcome::Kept));
                }
                // What production answered is counted when it comes.
                for evicted in self.joins.offered(note, 0) {
                    self.joined(evicted);
                }
            }
            ReportEvent::Offered { mut note, targets, capture_delay } => {
                self.evidence.seen(&mut note, None);
                if let Some(delay) = capture_delay {
                    self.capture_delay.record(delay);
                }
                // The sample is judged by what was captured.
                self.ledger.offered(targets, (!note.id.is_made_up()).then_some(note.bytes));
                for evicted in self.joins.offered(note, targets.len()) {
                    self.joined(evicted);
                }
            }
            ReportEvent::Beside { of, baseline, checks } => {
                if baseline {
                    self.ledger.offered_to_baseline();
                }
                self.checks.offered += checks.len() as u64;
                self.joins.expect(of, usize::from(baseline) + checks.len());
            }
            ReportEvent::Delivered(delivery) => self.delivered(delivery),
            ReportEvent::Production { of, production } => {
                let answered = production.as_ref().ok().map(|production| (production.status, production.latency));
                let before = production.as_ref().ok().and_then(|production| self.repeated(of, production));
                let half = self.joins.production(of, production, before);
                if let (Some((status, latency)), ProductionJoin::Waiting | ProductionJoin::Complete(_)) =
                    (answered, &half)
                {
                    self.evidence.answered(status, latency);
                }
                if let ProductionJoin::Complete(joined) = half {
                    self.joined(joined);
                }
            }
            ReportEvent::Desynchronised(connections) => self.take_back(connections.into_iter()),
            ReportEvent::Orphan => self.production.unjoined("orphan"),
            ReportEvent::Level(level) => self.evidence.level(&level),
            ReportEvent::Look(look) => look.show(self),
        }
    }

    /// Ends what still waits, and says what the run amounts to.
    #[must_use]
    pub fn finish(mut self, mut totals: RunTotals) -> Summary {
        self.end_exchanges(&totals.targets);
        self.results.flush();
        let results_failed = self.results.failed();
        let warnings = self.warnings(&mut totals);
        let histograms = self.histograms(&totals.targets);
        let RunTotals { engine, targets: ends, middleware, redaction, steps, .. } = totals;
        let mut ends = ends.into_iter();
        let ledger = &self.ledger;
        let verdict = self.noise.verdict(&self.urls);
        let SummaryBlocks { routes, kinds, timeline, curves } = self.blocks(&verdict);
        let blocks = self.targets.iter().enumerate();
        let targets = blocks.zip(self.urls).zip(&verdict.targets).map(|(((at, tally), url), noise)| {
            let end = ends.next().unwrap_or_default();
            (url, tally.finish(ledger.target(at), ledger.paused(at), &end).without(*noise))
        });
        let targets = targets.collect();
        let baseline = self.baseline.map(|BaselineTally { url, tally }| Baseline {
            url,
            target: tally.finish(ledger.baseline(), 0, &ends.next().unwrap_or_default()),
        });
        let summary = Summary {
            frames: engine.frames,
            tcp: engine.tcp,
            streams: engine.streams,
            requests: ledger.requests(),
            targets,
            baseline,
            self_check: self.checks.reported(),
            noise: verdict.rows,
            fields: verdict.fields,
            noise_unlearnt: verdict.unlearnt,
            production: self.production.finish(),
            capture_delay_us: self.capture_delay.some_figures(),
            sample: ledger.sample(totals.asked.unwrap_or(self.sample), totals.keys, engine.kernel_share),
            steps: steps.kept(),
            ramp: totals.ramp,
            max_gap: totals.max_gap,
            fleet: totals.fleet,
            recording: totals.recording,
            middleware,
            telemetry: totals.telemetry,
            redaction: (redaction.total() > 0).then_some(redaction),
            timeline,
            curves,
            histograms: Some(histograms),
            routes,
            kinds,
            warnings,
            unread: engine.unread,
            access_log: engine.access_log,
            spoe: engine.spoe,
            observe: self.observe.map(ObserveRun::finish),
            results_failed,
            ..blank(self.command, self.started, self.asked)
        };
        judged(summary, &self.watch, self.results)
    }

    /// What people are to know of the run besides its figures.
    fn warnings(&mut self, totals: &mut RunTotals) -> Vec<String> {
        let mut warnings = std::mem::take(&mut totals.engine.warnings);
        warnings.extend(self.results.trouble());
        warnings.extend(self.unheard(totals.unheard));
        warnings.extend(totals.telemetry.iter().flat_map(TelemetrySummary::remarks));
        warnings.extend(totals.middleware.iter().flat_map(MiddlewareCounts::remarks));
        warnings.extend(totals.steps.remark());
        warnings.extend(self.comparer.unmet_rules());
        warnings
    }

    /// Ends what still waits: comparisons, and exchanges that lack a half.
    fn end_exchanges(&mut self, ends: &[TargetTotals]) {
        self.compare_no_more();
        self.take_back(ends.iter().flat_map(|end| end.desynchronised_connections.iter().copied()));
        for joined in std::mem::take(&mut self.joins).finish() {
            self.joined(joined);
        }
    }

    /// Returns the blocks next to the ledger, so far.
    fn blocks(&self, noise: &noise::NoiseVerdict) -> SummaryBlocks {
        let targets = self.urls.iter().cloned().zip(self.targets.iter().map(TargetTally::curves)).collect();
        SummaryBlocks {
            curves: Some(Curves { production: self.production.curve(), targets }),
            ..self.evidence.blocks(&self.urls, noise)
        }
    }

    /// Counts what was shed unheard, and says so where lines of results are missing for it.
    fn unheard(&mut self, unheard: UnreportedSheds) -> Option<String> {
        self.ledger.shed_unheard(unheard.shed);
        (0..unheard.orphans).for_each(|_| self.production.unjoined("orphan"));
        let told = unheard.shed > 0 && self.results.wanted();
        told.then(|| format!("{} of the requests that were shed have no line in the results", unheard.shed))
    }
}

/// Judges a run that has ended, and writes its summary behind the results.
fn judged(mut summary: Summary, watch: &ThresholdWatch, mut results: ResultsWriter) -> Summary {
    summary.gates = watch.judge(&summary);
    summary.verdict = Some(Verdict::of(&summary));
    debug_assert!(summary.balances(), "the ledger does not add up: {summary:?}");
    results.close(&summary);
    summary.results_failed |= results.failed();
    summary.warnings.extend(results.trouble());
    summary
}

/// The host that a target's responses may name as their own; `localhost` of a Unix socket's.
fn host(url: &str) -> Vec<u8> {
    crate::report::authority(url).unwrap_or("localhost").as_bytes().to_vec()
}

#[cfg(test)]
mod tests;
