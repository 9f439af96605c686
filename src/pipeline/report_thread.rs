//! The report thread's work: facts to counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::comparing::{ComparisonThread, Comparisons};
use super::gauges::GaugeReader;
use super::threads::spawn;
use super::{FACT_QUEUE, Progress, RunError};
use crate::exchange::Outcome;
use crate::report::{ComparedExchange, ReportEvent, Reporter};

/// How long the report lets facts gather: far too short to fill their queue, or the caches of the processors.
const FACT_PAUSE: Duration = Duration::from_millis(2);
/// Facts that wait when the report is overloaded: it looks into no bodies then.
const FACT_OVERLOAD: usize = FACT_QUEUE / 4;
/// Facts that the report takes at once.
const FACT_BATCH: usize = 4096;
/// How long comparisons are counted before facts are again.
const COMPARED_TIME: Duration = Duration::from_millis(10);

/// What the report thread is connected to.
pub(super) struct Counting {
    reporter: Reporter,
    facts: mpsc::Receiver<ReportEvent>,
    progress: Arc<Progress>,
    levels: GaugeReader,
    comparisons: Comparisons,
    runtime: Handle,
}

/// What came first.
enum Next {
    Facts(usize),
    Compared(Box<ComparedExchange>),
    /// The thread that compares is gone.
    Gone,
    Time,
}

impl Counting {
    pub(super) fn new(
        reporter: Reporter,
        facts: mpsc::Receiver<ReportEvent>,
        progress: &Arc<Progress>,
        levels: GaugeReader,
        comparisons: Comparisons,
        runtime: &Handle,
    ) -> Self {
        Self { reporter, facts, progress: Arc::clone(progress), levels, comparisons, runtime: runtime.clone() }
    }

    /// Starts the report thread, and the one that compares for it.
    pub(super) fn start(self, comparing: ComparisonThread) -> Result<(JoinHandle<Reporter>, JoinHandle<()>), RunError> {
        let comparing = spawn("comparison", move || comparing.run())?;
        Ok((spawn("report", move || self.run())?, comparing))
    }

    /// The report thread: facts to counts, and now and then how much there is of what has a level.
    fn run(mut self) -> Reporter {
        let mut batch = Vec::with_capacity(FACT_BATCH);
        let mut has_thread = true;
        loop {
            let next = self.next(&mut batch, has_thread);
            if let Some(level) = self.levels.look() {
                self.reporter.take(level.into());
            }
            match next {
                Next::Facts(0) => break,
                Next::Facts(_) => self.count(&mut batch),
                Next::Compared(compared) => self.reporter.compared(*compared),
                Next::Gone => has_thread = false,
                Next::Time => continue,
            }
            self.count_compared();
            // Whoever waits is woken by every fact, and that costs more than to count it.
            thread::sleep(FACT_PAUSE);
        }
        let Self { mut reporter, levels, comparisons, .. } = self;
        comparisons.finish(&mut reporter);
        reporter.take(levels.last().into());
        reporter
    }

    fn next(&mut self, batch: &mut Vec<ReportEvent>, has_thread: bool) -> Next {
        let Self { facts, comparisons, levels, runtime, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                count = facts.recv_many(batch, FACT_BATCH) => Next::Facts(count),
                done = comparisons.compared.recv(), if has_thread => {
                    done.map_or(Next::Gone, |done| Next::Compared(Box::new(done)))
                }
                () = sleep_until(levels.due()) => Next::Time,
            }
        })
    }

    fn count(&mut self, batch: &mut Vec<ReportEvent>) {
        // Counting goes on, looking into bodies can wait: a queue that is filling up is not to fill.
        self.reporter.hurry(self.facts.len() > FACT_OVERLOAD);
        self.reporter.refresh_clock();
        for fact in batch.drain(..) {
            count_one(&mut self.reporter, fact, &self.progress);
            self.comparisons.begin(&mut self.reporter);
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

fn count_one(reporter: &mut Reporter, fact: ReportEvent, progress: &Progress) {
    if let ReportEvent::Delivered(delivery) = &fact
        && reporter.is_target(delivery.target)
    {
        progress.in_flight.fetch_sub(1, Ordering::Relaxed);
        match delivery.outcome {
            Outcome::Sent => progress.sent.fetch_add(1, Ordering::Relaxed),
            Outcome::Failed(_) => progress.failed.fetch_add(1, Ordering::Relaxed),
            Outcome::Shed(_) => progress.shed.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
    reporter.record_batched(fact);
}
