//! The report thread's work: facts to counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::keeper::Keeper;
use super::levels::Levels;
use super::{FACT_QUEUE, Progress};
use crate::exchange::Outcome;
use crate::report::{Fact, Reporter};

/// How long the report lets facts gather: far too short to fill their queue, or the caches of the processors.
const FACT_PAUSE: Duration = Duration::from_millis(2);
/// Facts that wait when the report begins to hurry: it looks into no bodies then.
const FACT_HASTE: usize = FACT_QUEUE / 4;
/// Facts that the report takes at once.
const FACT_BATCH: usize = 4096;

/// The report thread: facts to counts, and now and then how much there is of what has a level.
pub(super) fn count(
    mut reporter: Reporter,
    mut facts: mpsc::Receiver<Fact>,
    progress: &Arc<Progress>,
    keeper: &Keeper,
    mut levels: Levels,
    runtime: Handle,
) -> impl FnOnce() -> Reporter + Send + use<> {
    let (progress, keeper) = (Arc::clone(progress), keeper.clone());
    move || {
        let mut batch = Vec::with_capacity(FACT_BATCH);
        loop {
            let due = levels.due();
            let come = runtime.block_on(async { timeout_at(due, facts.recv_many(&mut batch, FACT_BATCH)).await });
            if come == Ok(0) {
                break;
            }
            if let Some(level) = levels.look() {
                reporter.take(level.into());
            }
            if come.is_err() {
                continue;
            }
            // Counting goes on, looking into bodies can wait: a queue that is filling up is not to fill.
            reporter.hurry(facts.len() > FACT_HASTE);
            keeper.take(&batch);
            reporter.look_at_the_clock();
            for fact in batch.drain(..) {
                count_one(&mut reporter, fact, &progress);
            }
            // Whoever waits is woken by every fact, and that costs more than to count it.
            thread::sleep(FACT_PAUSE);
        }
        reporter.take(levels.last().into());
        reporter
    }
}

fn count_one(reporter: &mut Reporter, fact: Fact, progress: &Progress) {
    if let Fact::Delivered(delivery) = &fact
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
    reporter.take_too(fact);
}
