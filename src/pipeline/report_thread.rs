//! The report thread's work: facts to counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::Instant;

use super::comparing::{self, ComparisonDeadline, ComparisonThread, Comparisons};
use super::context::RunContext;
use super::gauges::GaugeReader;
use super::observer::TargetProbe;
use super::progress::Progress;
use super::queues::FACT_QUEUE;
use super::run::{MemoryShares, Run, RunError};
use super::store_ends::StoreEnds;
use super::threads::spawn;
use crate::exchange::{Outcome, Shed};
use crate::report::schema::request::RunRequest;
use crate::report::{ComparedExchange, ReportEvent, ReportSettings, Reporter, Started};

/// Time in which the report lets events gather: far too short to fill their queue, or the caches of the processors.
const FACT_PAUSE: Duration = Duration::from_millis(2);
/// The same while there are none, or few.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// Facts that wait when the report is overloaded: it looks into no bodies then.
const FACT_OVERLOAD: usize = FACT_QUEUE / 4;
/// Facts at once, up to which there are few.
const FEW_FACTS: usize = 128;
/// Facts that the report takes at once.
const FACT_BATCH: usize = 4096;
/// Time for which comparisons are counted before events have their turn again.
const COMPARED_TIME: Duration = Duration::from_millis(10);

/// The report thread before it starts, and the one that compares for it.
pub(super) struct ReportStage {
    reporter: Reporter,
    facts: mpsc::Receiver<ReportEvent>,
    comparisons: Comparisons,
    comparing: ComparisonThread,
}

/// The report thread's work.
struct ReportThread {
    reporter: Reporter,
    facts: mpsc::Receiver<ReportEvent>,
    progress: Arc<Progress>,
    gauges: GaugeReader,
    comparisons: Comparisons,
    /// Tells a store what became of each request, where the run shares one.
    ends: Option<StoreEnds>,
}

/// Input that came first.
enum Next {
    Facts(usize),
    Compared(Box<ComparedExchange>),
    /// The thread that compares is gone.
    Gone,
    Time,
}

impl ReportStage {
    /// Takes from `run` what the report is to say; returns what reports facts to it, too.
    pub(super) fn new(context: &RunContext, run: &mut Run) -> (Self, mpsc::Sender<ReportEvent>) {
        let mut reporter = Reporter::new(settings(run, context.started, &context.memory));
        let (comparisons, comparing) = comparing::deferred(&mut reporter, context.memory.comparisons, context.drain);
        let (sender, facts) = mpsc::channel(FACT_QUEUE);
        (Self { reporter, facts, comparisons, comparing }, sender)
    }

    /// Returns when comparisons have to end, once that is known.
    pub(super) fn deadline(&self) -> ComparisonDeadline {
        self.comparisons.deadline.clone()
    }

    /// Starts both threads; what has a level is looked at now and then, `targets` among it.
    pub(super) fn start(
        self,
        context: &RunContext,
        targets: &[TargetProbe],
    ) -> Result<(JoinHandle<Reporter>, JoinHandle<()>), RunError> {
        let Self { reporter, facts, comparisons, comparing } = self;
        let gauges = GaugeReader::new(context.started, &context.progress, &context.control, targets);
        let ends = context.session.clone().map(StoreEnds::new);
        let thread =
            ReportThread { reporter, facts, progress: Arc::clone(&context.progress), gauges, comparisons, ends };
        let niceness = context.niceness;
        let comparing = spawn("comparison", move || {
            niceness.apply();
            comparing.run();
        })?;
        let report = spawn("report", move || {
            niceness.apply();
            thread.run()
        })?;
        Ok((report, comparing))
    }
}

fn settings(run: &mut Run, started: Started, memory: &MemoryShares) -> ReportSettings {
    run.compare.set_memory(memory.comparison);
    run.compare.set_secrets(run.middleware.secret_names());
    ReportSettings {
        command: run.command,
        targets: run.targets.iter().map(|target| target.target.to_string()).collect(),
        sample: run.middleware.asked_share().0,
        results: run.results.take(),
        started,
        patterns: Arc::clone(&run.patterns),
        evidence: run.evidence,
        // The rest is for what is on its way there.
        kept_bytes: memory.compared / 4 * 3,
        recent_bytes: memory.recent,
        compare: std::mem::take(&mut run.compare),
        demands: std::mem::take(&mut run.demands),
        baseline: run.reference.baseline.as_ref().map(|baseline| baseline.target.to_string()),
        asked: request(run),
        observe: run.observe.take(),
    }
}

/// What the run was asked for.
fn request(run: &Run) -> RunRequest {
    RunRequest {
        command_line: run.command_line.clone(),
        inputs: run.capture.files.iter().map(|path| path.display().to_string()).collect(),
        filters: run.middleware.files.iter().map(|file| file.path.display().to_string()).collect(),
        seed: run.middleware.seed.to_string(),
        names: run.targets.iter().filter_map(|one| Some((one.target.to_string(), one.name.clone()?))).collect(),
    }
}

impl ReportThread {
    /// The report thread: facts to counts, and now and then how much there is of what has a level.
    fn run(mut self) -> Reporter {
        let mut batch = Vec::with_capacity(FACT_BATCH);
        let (mut has_thread, mut pause) = (true, FACT_PAUSE);
        loop {
            let next = self.next(&mut batch, has_thread);
            if let Some(level) = self.gauges.look() {
                self.reporter.take(level.into());
                self.reporter.take(ReportEvent::Desynchronised(self.gauges.desynchronised()));
            }
            match next {
                Next::Facts(0) => break,
                Next::Facts(count) => {
                    pause = pause_after(count, pause);
                    self.count(&mut batch);
                }
                Next::Compared(compared) => self.reporter.compared(*compared),
                Next::Gone => has_thread = false,
                Next::Time => {
                    self.count(&mut batch);
                    continue;
                }
            }
            self.count_compared();
            thread::sleep(pause);
        }
        self.count_last();
        let Self { mut reporter, gauges, comparisons, .. } = self;
        comparisons.finish(&mut reporter);
        reporter.take(gauges.last().into());
        reporter
    }

    /// Looks now and then at what has come. It does not wait to be woken: whoever sends would have to, and on a machine
    /// that has little to do that takes longer than to send a request.
    fn next(&mut self, batch: &mut Vec<ReportEvent>, has_thread: bool) -> Next {
        let Self { facts, comparisons, gauges, .. } = self;
        let mut pause = FACT_PAUSE;
        loop {
            if let Some(count) = facts.recv_many(batch, FACT_BATCH).now_or_never() {
                return Next::Facts(count);
            }
            match comparisons.compared.try_recv() {
                Ok(done) => return Next::Compared(Box::new(done)),
                Err(TryRecvError::Disconnected) if has_thread => return Next::Gone,
                Err(_) => {}
            }
            let left = gauges.due().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Time;
            }
            thread::sleep(pause.min(left));
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    fn count(&mut self, batch: &mut Vec<ReportEvent>) {
        // Counting goes on, looking into bodies can wait: a queue that is filling up is not to fill.
        self.reporter.hurry(self.facts.len() > FACT_OVERLOAD);
        self.reporter.refresh_clock();
        if let Some(ends) = &mut self.ends {
            let facts = std::mem::replace(batch, Vec::with_capacity(FACT_BATCH));
            for fact in facts {
                ends.pass(fact, batch);
            }
            ends.settle(batch);
        }
        for fact in batch.drain(..) {
            count_one(&mut self.reporter, fact, &self.progress);
            self.comparisons.begin(&mut self.reporter);
        }
    }

    /// Counts what waits until the store knows of it.
    fn count_last(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        let mut counted = Vec::new();
        ends.finish(&mut counted);
        for fact in counted {
            count_one(&mut self.reporter, fact, &self.progress);
        }
    }

    /// Counts what has been compared, for a while.
    fn count_compared(&mut self) {
        let began = Instant::now();
        while began.elapsed() < COMPARED_TIME
            && let Ok(compared) = self.comparisons.compared.try_recv()
        {
            self.reporter.compared(compared);
        }
    }
}

/// The next pause behind so many facts: as short as it can be where they are many, for their queue is not to fill.
fn pause_after(facts: usize, pause: Duration) -> Duration {
    if facts > FEW_FACTS { FACT_PAUSE } else { (2 * pause).min(LONGEST_PAUSE) }
}

fn count_one(reporter: &mut Reporter, fact: ReportEvent, progress: &Progress) {
    if let ReportEvent::Delivered(delivery) = &fact
        && delivery.destination.target().is_some()
    {
        progress.in_flight.fetch_sub(1, Ordering::Relaxed);
        count_outcome(&delivery.outcome, progress);
    }
    reporter.record_batched(fact);
}

fn count_outcome(outcome: &Outcome, progress: &Progress) {
    match outcome {
        Outcome::Sent => progress.sent.fetch_add(1, Ordering::Relaxed),
        Outcome::Failed(_) => progress.failed.fetch_add(1, Ordering::Relaxed),
        Outcome::Shed(Shed::OpenFiles | Shed::LocalPorts) => progress.unconnected.fetch_add(1, Ordering::Relaxed),
        Outcome::Shed(Shed::ConnectionBusy) => progress.held_up.fetch_add(1, Ordering::Relaxed),
        // Another replayer has it, or had it, or the run ended: that says nothing about the target.
        Outcome::Shed(Shed::Moved | Shed::Uncertain | Shed::Stopped | Shed::RunEnded) => 0,
        Outcome::Shed(_) => progress.shed.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_replayer_has_or_nobody_waits_for_does_not_count_as_shed() {
        let progress = Progress::default();
        let others = [Shed::Moved, Shed::Uncertain, Shed::Stopped, Shed::RunEnded, Shed::ConnectionBusy];
        for shed in others.into_iter().chain([Shed::TargetQueue]) {
            count_outcome(&Outcome::Shed(shed), &progress);
        }
        assert_eq!((progress.shed.load(Ordering::Relaxed), progress.held_up.load(Ordering::Relaxed)), (1, 1));
    }
}
