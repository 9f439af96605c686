//! What became of every request: the ledger, the join of production and shadow, histograms; then text and JSON.
//!
//! [`ReportEvent`]s come in while a run goes on, one [`Summary`] leaves at its end; lines of results leave on the way. What is
//! shown to people or machines is a function of the summary ([`text`]) or of one exchange ([`lines`]). Nothing is
//! sent or read here.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::compare;
use crate::exchange::{Damage, Digest, ExchangeId, Outcome, Timestamp, digest};
use crate::middleware::context::UnreadableCounts;
use crate::replay::{Delivery, RetainedResponse};

pub mod by_route;
mod comparer;
pub mod curl;
pub mod curves;
pub mod diff_groups;
mod engine;
mod evidence;
mod exchange_context;
pub mod histogram;
pub mod html;
pub mod join;
pub mod ledger;
pub mod listing;
pub mod middleware;
pub mod noise;
mod nothing_sent;
mod partial;
pub mod patterns;
mod reasons;
mod reference;
mod repeats;
mod request_text;
pub mod results;
pub mod route_name;
pub mod run_diff;
pub mod snapshot;
pub mod sparse_histogram;
pub mod status;
pub mod steps;
pub mod summary;
mod tally;
pub mod text;
pub mod threshold;
pub mod timeline;
pub mod units;
pub mod verdict;

pub use comparer::{ComparedExchange, Comparer, ComparisonTask};
pub use exchange_context::{baseline_number, check_number};
pub use listing::Listing;
pub use middleware::MiddlewareCounts;
pub use partial::PartialRun;
pub use patterns::RoutePatterns;
pub use reasons::{DesynchronisedSummary, FailureReason};
pub use reference::{Baseline, SelfChecks};
pub use request_text::RequestText;
pub use run_diff::RunDiff;
pub use snapshot::{Snapshot, SnapshotRequest};
pub use status::StatusChoice;
pub use steps::{RampStep, RampSteps, StepCause};
pub use summary::{
    CountMap, Differences, Ended, Frames, GateResult, GateState, LatencySummary, ProductionSide, RampEnd,
    RecordingSummary, Requests, SampleSummary, Streams, Summary, TargetEnded, TargetGuard, TargetLatency,
    TargetSummary, Tcp,
};

use curves::Curves;
use evidence::{Evidence, SummaryBlocks};
use histogram::LatencyHistogram;
use join::{Joins, ProductionJoin};
use ledger::Ledger;
use noise::Noise;
use repeats::RepeatTracker;
use results::{ResultLine, ResultsWriter};
use snapshot::RecentDifference;
use tally::TargetTally;
use threshold::{ThresholdWatch, Thresholds};

/// What the stages tell the report, in any order that a run brings about.
#[derive(Debug)]
pub enum ReportEvent {
    /// A request was seen, and ended before any target. Counts as seen.
    Ended {
        /// The request.
        note: Box<RequestRecord>,
        /// How it ended.
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
        /// Which targets it was offered to.
        targets: TargetSet,
    },
    /// Beside its targets an offered request goes to the baseline, or to some of them a second time; deliveries follow,
    /// numbered by [`baseline_number`] and [`check_number`].
    Beside {
        /// The request.
        of: ExchangeId,
        /// Whether it goes to the baseline.
        baseline: bool,
        /// Which targets it goes to a second time.
        checks: TargetSet,
    },
    /// A delivery ended.
    Delivered(Box<Delivery>),
    /// The production side of an exchange.
    Production {
        /// The request it belongs to.
        of: ExchangeId,
        /// What production answered, or why that is not known.
        production: Result<Production, Damage>,
    },
    /// A production response whose request was not captured.
    Orphan,
    /// How much there is of what has a level, now and then.
    Level(Box<RunGauges>),
    /// Somebody asks how the run goes.
    Look(SnapshotRequest),
}

/// How much there is at one moment of what comes and goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunGauges {
    /// Frames dropped and gaps, those since the last level.
    pub lost: u64,
    /// The share that the sample is asked for, from 0 to 1; 0 while nothing is to be sent.
    pub share: Option<f64>,
    /// Captured connections that are open.
    pub connections: Option<u64>,
    /// Of each target, in their order.
    pub targets: Vec<TargetGauges>,
}

impl From<RunGauges> for ReportEvent {
    fn from(level: RunGauges) -> Self {
        Self::Level(Box::new(level))
    }
}

/// How much there is at one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetGauges {
    /// Open connections.
    pub connections: u64,
    /// Requests that await their answer.
    pub in_flight: u64,
}

/// Some of the targets of a run, by their numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetSet(u64);

impl TargetSet {
    /// The first `count` targets.
    #[must_use]
    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    /// Whether it has this target.
    #[must_use]
    pub const fn contains(self, target: usize) -> bool {
        target < 64 && self.0 & (1 << target) != 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, from the least.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let least = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(least as usize)
        })
    }
}

/// Numbers from 64 on are left out.
impl FromIterator<usize> for TargetSet {
    fn from_iter<I: IntoIterator<Item = usize>>(targets: I) -> Self {
        Self(targets.into_iter().filter(|target| *target < 64).fold(0, |set, target| set | 1 << target))
    }
}

/// What the report keeps of a request.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Its identity.
    pub id: ExchangeId,
    /// When its first byte was captured.
    pub at: Timestamp,
    /// Who sent it.
    pub client: SocketAddr,
    /// What it says.
    pub text: RequestText,
    /// Bytes of head and body content.
    pub bytes: u64,
    /// Bytes of body content.
    pub body_len: u64,
    /// Its route, once the report has named it.
    pub route: Option<by_route::RouteName>,
    /// What it has in common with requests that ask for just the same; none where it may change something.
    pub repeat: Option<RepeatKey>,
}

/// A hash of all that an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatKey(pub u64);

/// Longest head that a note keeps, in bytes: a request with a longer one is shown without its header lines.
pub const MAX_NOTED_HEAD: usize = 2048;

/// The production response, as far as it is known.
#[derive(Clone, Debug)]
pub struct Production {
    /// Final status.
    pub status: u16,
    /// Content bytes seen.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty or damaged, or all of it is kept.
    pub body_sha256: Option<Digest>,
    /// What is missing of it; the status is known all the same.
    pub damage: Option<Damage>,
    /// Last byte of the request to first byte of the final response; zero for an early response, none where it is not known.
    pub latency: Option<Duration>,
    /// Head and content, where they are to be compared.
    pub kept: Option<Box<RetainedResponse>>,
}

impl Production {
    /// Keeps of the body but its hash.
    fn drop_body(&mut self) {
        if let Some(kept) = &mut self.kept {
            let body = kept.let_body_go();
            self.body_sha256 = self.body_sha256.or_else(|| digest(&body?));
        }
    }
}

/// When a run began, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Wall time.
    pub at: Timestamp,
    /// The clock that measures how long it takes.
    pub clock: tokio::time::Instant,
}

impl Started {
    /// The run begins now: the one place where wall time is read.
    #[must_use]
    pub fn now() -> Self {
        let nanos = jiff::Timestamp::now().as_nanosecond();
        let at = Timestamp::from_nanos(u64::try_from(nanos).unwrap_or_default());
        Self { at, clock: tokio::time::Instant::now() }
    }
}

/// What the report must know beforehand.
pub struct ReportSettings {
    /// The command: `replay`, `demo`, ...
    pub command: &'static str,
    /// The targets' URLs, in the order in which deliveries number them; no two are the same.
    pub targets: Vec<String>,
    /// The share that the sample is asked for, from 0 to 1.
    pub sample: f64,
    /// Where a line of JSON goes for each ended delivery; buffered by whoever made it.
    pub results: Option<Box<dyn Write + Send>>,
    /// When the run began.
    pub started: Started,
    /// What routes are called; by their shape, without any patterns.
    pub patterns: Arc<RoutePatterns>,
    /// Whether the summary has routes, kinds of difference and times.
    pub evidence: bool,
    /// What counts as a difference.
    pub compare: compare::CompareRules,
    /// Bytes of kept bodies that may wait for their other half.
    pub kept_bytes: usize,
    /// The URL of the baseline, where there is one.
    pub baseline: Option<String>,
    /// What is demanded of it.
    pub demands: Thresholds,
}

/// What the capture thread hands over at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    /// What became of frames.
    pub frames: Frames,
    /// What reassembly saw.
    pub tcp: Tcp,
    /// What the connections spoke.
    pub streams: Streams,
    /// What went wrong on the way, in words for people.
    pub warnings: Vec<String>,
    /// Inputs that could not be read to their end; among the `warnings` too.
    pub unread: Vec<String>,
}

/// What a live capture shed and could not even tell as it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreportedSheds {
    /// Requests.
    pub shed: u64,
    /// Responses without request.
    pub orphans: u64,
}

/// What the stages hand over at the end of a run.
#[derive(Debug, Default)]
pub struct RunTotals {
    /// Of the capture.
    pub engine: CaptureStats,
    /// Of each target, in their order.
    pub targets: Vec<TargetTotals>,
    /// The share of sampled keys that passed, where there are keys.
    pub keys: Option<f64>,
    /// What the capture shed unheard.
    pub unheard: UnreportedSheds,
    /// Of the recording, where there was one.
    pub recording: Option<RecordingSummary>,
    /// Of middleware in processes outside, where there was any.
    pub middleware: Option<MiddlewareCounts>,
    /// Bodies that were to be redacted and could not be looked into.
    pub redaction: UnreadableCounts,
    /// What changed the share on the way.
    pub steps: RampSteps,
    /// How far the ramp came, where there was one.
    pub ramp: Option<RampEnd>,
    /// The share that the sample was asked for last; `None` where it was never changed.
    pub asked: Option<f64>,
}

/// What a target's sender hands over at its end.
#[derive(Clone, Debug, Default)]
pub struct TargetTotals {
    /// Connections opened.
    pub connections_opened: u64,
    /// Most that were open at once.
    pub peak_connections: u64,
    /// Most requests that awaited their answer at once.
    pub peak_in_flight: u64,
    /// What went to each address.
    pub addresses: Vec<summary::AddressSummary>,
    /// How long each connection took to set up, TLS included.
    pub connect: LatencyHistogram,
    /// What its guard did, where it has one.
    pub guard: Option<summary::TargetGuard>,
    /// Requests that went out once more.
    pub retried: u64,
    /// Responses that came without a request, where any did.
    pub desynchronised: Option<DesynchronisedSummary>,
}

/// Takes facts and makes the summary of them.
#[derive(Debug)]
pub struct Reporter {
    command: &'static str,
    urls: Vec<String>,
    sample: f64,
    started: Started,
    ledger: Ledger,
    joins: Joins,
    targets: Vec<TargetTally>,
    production: tally::ProductionTally,
    results: ResultsWriter,
    evidence: Evidence,
    comparer: Arc<Comparer>,
    baseline: Option<String>,
    /// Why bodies that differ are not looked into, where they are not.
    unread: Option<compare::Unknown>,
    /// Whether somebody else does what takes time.
    defers: bool,
    /// What waits to be fetched by them.
    deferred: VecDeque<ComparisonTask>,
    noise: Noise,
    repeats: RepeatTracker,
    checks: SelfChecks,
    watch: ThresholdWatch,
    /// Kept once somebody has looked.
    recent: Option<RecentDifference>,
}

impl Reporter {
    /// A reporter without facts.
    #[must_use]
    pub fn new(settings: ReportSettings) -> Self {
        let targets = settings.targets.len();
        let watch = ThresholdWatch::new(settings.demands, &settings.targets);
        let hosts = settings.targets.iter().chain(&settings.baseline).map(|url| host(url)).collect();
        Self {
            command: settings.command,
            baseline: settings.baseline,
            urls: settings.targets,
            sample: settings.sample,
            started: settings.started,
            // The baseline comes last.
            ledger: Ledger::new(targets + 1),
            joins: Joins::with_kept_bytes(settings.kept_bytes),
            targets: vec![TargetTally::default(); targets + 1],
            production: tally::ProductionTally::default(),
            results: ResultsWriter::new(settings.results),
            evidence: Evidence::new(settings.started, settings.patterns, targets, settings.evidence),
            comparer: Arc::new(Comparer::new(settings.compare, hosts, targets)),
            unread: None,
            defers: false,
            deferred: VecDeque::new(),
            noise: Noise::new(targets),
            repeats: RepeatTracker::default(),
            checks: SelfChecks::default(),
            watch,
            recent: None,
        }
    }

    /// Whether facts come faster than they are counted: then bodies that differ are not looked into, and count as
    /// unknown.
    pub fn hurry(&mut self, overloaded: bool) {
        self.unread = overloaded.then_some(compare::Unknown::QueueFull);
    }

    /// Takes one fact, now.
    pub fn take(&mut self, fact: ReportEvent) {
        self.refresh_clock();
        self.record_batched(fact);
    }

    /// What is taken from now on came now: of many facts at once the clock is not asked with each.
    pub fn refresh_clock(&mut self) {
        self.evidence.refresh_clock();
    }

    /// Takes one of several facts that came at once, when the clock was last looked at.
    pub fn record_batched(&mut self, fact: ReportEvent) {
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
            ReportEvent::Offered { mut note, targets } => {
                self.evidence.seen(&mut note, None);
                // The sample is judged by what was captured.
                self.ledger.offered(targets, (!note.id.is_made_up()).then_some(note.bytes));
                for evicted in self.joins.offered(note, targets.len()) {
                    self.joined(evicted);
                }
            }
            ReportEvent::Beside { of, baseline, checks } => {
                if baseline {
                    self.ledger.offered_beside(baseline_number(self.urls.len()));
                }
                self.checks.offered += checks.len() as u64;
                self.joins.expect(of, usize::from(baseline) + checks.len());
            }
            ReportEvent::Delivered(delivery) => self.delivered(delivery),
            ReportEvent::Production { of, production } => {
                let answered = production.as_ref().ok().map(|production| (production.status, production.latency));
                let half = self.joins.production(of, production);
                if let (Some((status, latency)), ProductionJoin::Waiting | ProductionJoin::Complete(_)) =
                    (answered, &half)
                {
                    self.evidence.answered(status, latency);
                }
                if let ProductionJoin::Complete(joined) = half {
                    self.joined(joined);
                }
            }
            ReportEvent::Orphan => self.production.unjoined("orphan"),
            ReportEvent::Level(level) => self.evidence.level(&level),
            ReportEvent::Look(look) => look.show(self),
        }
    }

    /// Ends what still waits, and says what the run amounts to.
    #[must_use]
    pub fn finish(mut self, ends: RunTotals) -> Summary {
        let RunTotals { engine, targets: ends, keys, unheard, recording, middleware, redaction, steps, ramp, asked } =
            ends;
        self.compare_no_more();
        for joined in std::mem::take(&mut self.joins).finish() {
            self.joined(joined);
        }
        self.results.flush();
        let mut results_failed = self.results.failed();
        let mut ends = ends.into_iter();
        let mut trouble = engine.warnings;
        trouble.extend(self.results.trouble());
        trouble.extend(self.unheard(unheard));
        trouble.extend(middleware.iter().flat_map(MiddlewareCounts::remarks));
        trouble.extend(steps.remark());
        let ledger = &self.ledger;
        let verdict = self.noise.verdict(&self.urls);
        let SummaryBlocks { routes, kinds, timeline, curves } = self.blocks(&verdict);
        let blocks = self.targets.iter().enumerate();
        let targets = blocks.zip(self.urls).zip(&verdict.targets).map(|(((at, tally), url), noise)| {
            (url, tally.finish(ledger.target(at), &ends.next().unwrap_or_default()).without(*noise))
        });
        let targets = targets.collect();
        let baseline = self.baseline.zip(self.targets.last()).map(|(url, tally)| Baseline {
            url,
            target: tally.finish(ledger.target(verdict.targets.len()), &ends.next().unwrap_or_default()),
        });
        let mut summary = Summary {
            frames: engine.frames,
            tcp: engine.tcp,
            streams: engine.streams,
            requests: ledger.requests(),
            targets,
            baseline,
            self_check: self.checks.reported(),
            noise: verdict.rows,
            fields: verdict.fields,
            production: self.production.finish(),
            sample: ledger.sample(asked.unwrap_or(self.sample), keys),
            steps: steps.kept(),
            ramp,
            recording,
            middleware,
            redaction: (redaction.total() > 0).then_some(redaction),
            timeline,
            curves,
            routes,
            kinds,
            warnings: trouble,
            unread: engine.unread,
            results_failed,
            ..blank(self.command, self.started)
        };
        summary.gates = self.watch.judge(&summary);
        debug_assert!(summary.balances(), "the ledger does not add up: {summary:?}");
        self.results.close(&summary);
        results_failed |= self.results.failed();
        summary.results_failed = results_failed;
        summary.warnings.extend(self.results.trouble());
        summary
    }

    /// What there is besides the ledger, so far.
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

/// Host and port of a target's URL.
fn host(url: &str) -> Vec<u8> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.split('/').next().unwrap_or_default().as_bytes().to_vec()
}

/// A summary that says who ran and when, and nothing yet of what happened.
pub(crate) fn blank(command: &str, started: Started) -> Summary {
    Summary {
        schema: summary::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command.to_owned(),
        started: started.at.to_string(),
        // Milliseconds: the rest is noise.
        duration_s: (started.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        ..Summary::default()
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
