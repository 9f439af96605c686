//! The report thread's work: facts to counts. Where those who send make the requests, they do some of it between two.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
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
use crate::report::{ReportEvent, ReportSettings, Reporter, Started};

/// Time in which the report lets events gather: far too short to fill their queue, or the caches of the processors.
const FACT_PAUSE: Duration = Duration::from_millis(2);
/// The same while there are none, or few.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// Facts that wait when the report is overloaded: it looks into no bodies then.
const FACT_OVERLOAD: usize = FACT_QUEUE / 4;
/// Facts at once, up to which there are few.
const FEW_FACTS: usize = 128;
/// Facts from which on it is worth while to count them between two requests.
const SOME_FACTS: usize = 32;
/// Facts that are counted then, at most: what was sent meanwhile waits.
const HELPED_FACTS: usize = 128;
/// Facts that the report takes at once.
const FACT_BATCH: usize = 4096;
/// Time for which comparisons are counted before events have their turn again.
const COMPARED_TIME: Duration = Duration::from_millis(10);

/// The report thread before it starts, and the one that compares for it.
pub(super) struct ReportStage {
    counter: FactCounter,
    comparing: ComparisonThread,
}

/// Counts facts: the report thread does, and whoever else has them at hand.
struct FactCounter {
    reporter: Reporter,
    facts: mpsc::Receiver<ReportEvent>,
    /// Facts that were taken and are not counted yet.
    batch: Vec<ReportEvent>,
    progress: Arc<Progress>,
    comparisons: Comparisons,
    /// Tells a store what became of each request, where the run shares one.
    ends: Option<StoreEnds>,
}

/// The counter of a run; nothing in it once the run has ended.
#[derive(Clone, Default)]
pub(super) struct SharedCounter(Arc<Mutex<Option<FactCounter>>>);

/// The report thread's work.
struct ReportThread {
    counter: SharedCounter,
    gauges: GaugeReader,
}

/// What one look at the facts came to.
enum Step {
    /// So many were counted.
    Counted(usize),
    /// No more come.
    Over,
}

impl ReportStage {
    /// Takes from `run` what the report is to say; returns what reports facts to it, too.
    pub(super) fn new(context: &RunContext, run: &mut Run) -> (Self, mpsc::Sender<ReportEvent>) {
        let mut reporter = Reporter::new(settings(run, context.started, &context.memory));
        let (comparisons, comparing) = comparing::deferred(&mut reporter, context.memory.comparisons, context.drain);
        let (sender, facts) = mpsc::channel(FACT_QUEUE);
        let counter = FactCounter {
            reporter,
            facts,
            batch: Vec::with_capacity(FACT_BATCH),
            progress: Arc::clone(&context.progress),
            comparisons,
            ends: context.session.clone().map(StoreEnds::new),
        };
        (Self { counter, comparing }, sender)
    }

    /// Returns when comparisons have to end, once that is known.
    pub(super) fn deadline(&self) -> ComparisonDeadline {
        self.counter.comparisons.deadline.clone()
    }

    /// Starts both threads; what has a level is looked at now and then, `targets` among it. Whoever else counts gets
    /// `shared`.
    pub(super) fn start(
        self,
        context: &RunContext,
        targets: &[TargetProbe],
        shared: SharedCounter,
    ) -> Result<(JoinHandle<Option<Reporter>>, JoinHandle<()>), RunError> {
        let Self { counter, comparing } = self;
        let gauges = GaugeReader::new(context.started, &context.progress, &context.control, targets);
        let thread = ReportThread { counter: shared.holding(counter), gauges };
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

impl SharedCounter {
    /// It, with this in it.
    fn holding(self, counter: FactCounter) -> Self {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counter);
        self
    }

    /// Counts some of what has come, where there is enough of it and nobody else does: for threads that made facts
    /// themselves, and have them in their caches.
    pub(super) fn help(&self) {
        let helped = catch_unwind(AssertUnwindSafe(|| {
            if let Ok(mut counter) = self.0.try_lock()
                && let Some(counter) = &mut *counter
                && counter.facts.len() >= SOME_FACTS
            {
                counter.take(HELPED_FACTS);
                counter.count();
            }
        }));
        // The report thread finds it so: the run says that it died.
        if helped.is_err() {
            tracing::error!("what counts died");
        }
    }

    /// The counter; `None` where somebody died while counting: nobody goes on with what is half counted.
    fn lock(&self) -> Option<MutexGuard<'_, Option<FactCounter>>> {
        self.0.lock().ok()
    }
}

impl ReportThread {
    /// The report thread: facts to counts, and now and then how much there is of what has a level. Nothing where somebody
    /// died while counting.
    ///
    /// It looks now and then at what has come. It does not wait to be woken: whoever sends would have to, and on a machine
    /// that has little to do that takes longer than to send a request.
    fn run(mut self) -> Option<Reporter> {
        let mut pause = FACT_PAUSE;
        while let Step::Counted(facts) = self.step()? {
            pause = pause_after(facts, pause);
            thread::sleep(pause.min(self.gauges.due().saturating_duration_since(Instant::now())));
        }
        let FactCounter { mut reporter, comparisons, .. } = self.counter.lock()?.take()?.count_last();
        comparisons.finish(&mut reporter);
        reporter.take(self.gauges.last().into());
        Some(reporter)
    }

    /// Counts what has come.
    fn step(&mut self) -> Option<Step> {
        let mut counter = self.counter.lock()?;
        let counter = counter.as_mut()?;
        let level = self.gauges.look();
        let is_time = level.is_some();
        if let Some(level) = level {
            counter.reporter.take(level.into());
            counter.reporter.take(ReportEvent::Desynchronised(self.gauges.desynchronised()));
        }
        let taken = counter.take(FACT_BATCH);
        if is_time || taken.is_some() {
            counter.count();
        }
        counter.count_compared();
        Some(if taken == Some(0) { Step::Over } else { Step::Counted(taken.unwrap_or_default()) })
    }
}

impl Drop for ReportThread {
    /// However it ended, nobody waits for room for facts that are counted no more.
    fn drop(&mut self) {
        self.counter.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl FactCounter {
    /// Takes what has come, so many facts at most: how many, 0 where no more come; `None` where there are none just now.
    fn take(&mut self, most: usize) -> Option<usize> {
        self.facts.recv_many(&mut self.batch, most).now_or_never()
    }

    fn count(&mut self) {
        let Self { reporter, facts, batch, progress, comparisons, ends } = self;
        // Counting goes on, looking into bodies can wait: a queue that is filling up is not to fill.
        reporter.hurry(facts.len() > FACT_OVERLOAD);
        reporter.refresh_clock();
        if let Some(ends) = ends {
            let facts = std::mem::replace(batch, Vec::with_capacity(FACT_BATCH));
            for fact in facts {
                ends.pass(fact, batch);
            }
            ends.settle(batch);
        }
        for fact in batch.drain(..) {
            count_one(reporter, fact, progress);
            comparisons.begin(reporter);
        }
    }

    /// Counts what waits until the store knows of it.
    fn count_last(mut self) -> Self {
        if let Some(ends) = self.ends.take() {
            let mut counted = Vec::new();
            ends.finish(&mut counted);
            for fact in counted {
                count_one(&mut self.reporter, fact, &self.progress);
            }
        }
        self
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
