//! Comparisons that take time: on a thread of their own, so that nothing waits for them.
//!
//! How long one takes is the target's choice, within bounds; how many come, too. So few may wait, in number, bytes and
//! time, and none once the run has had its time to end: the others are done by hashes alone, and the summary says why.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::budget::{Budget, BudgetShare};
use crate::compare::Unknown;
use crate::report::{ComparedExchange, Comparer, ComparisonTask, Reporter};

/// Requests whose responses may wait for a comparison.
const MAX_WAITING: usize = 8192;
/// Longest wait of a comparison: the displayed state of a run is never older.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Comparisons that may wait to be counted.
const MAX_COMPARED: usize = 256;

/// Deadline of comparisons, once it is known. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct ComparisonDeadline {
    at: Arc<OnceLock<Instant>>,
    drain: Duration,
}

impl ComparisonDeadline {
    /// The run ends: they have their time to end from now on, unless it ended before.
    pub(super) fn begin(&self) {
        self.at.get_or_init(|| Instant::now() + self.drain);
    }

    fn has_passed(&self, now: Instant) -> bool {
        self.at.get().is_some_and(|deadline| now >= *deadline)
    }
}

/// The responses to one request on their way to be compared.
struct Waiting {
    task: ComparisonTask,
    since: Instant,
    /// Its share of the memory.
    _held: BudgetShare,
}

/// The way of the report thread to comparisons, and back.
pub(super) struct Comparisons {
    tasks: Sender<Waiting>,
    room: Budget,
    pub(super) compared: mpsc::Receiver<ComparedExchange>,
    pub(super) deadline: ComparisonDeadline,
}

/// State of the comparison thread.
pub(super) struct ComparisonThread {
    comparer: Arc<Comparer>,
    tasks: Receiver<Waiting>,
    compared: mpsc::Sender<ComparedExchange>,
    deadline: ComparisonDeadline,
}

/// Defers slow comparisons of `reporter` to the returned thread. At most `bytes` may wait there. After the end of the
/// run, the thread continues for `drain`.
pub(super) fn deferred(reporter: &mut Reporter, bytes: usize, drain: Duration) -> (Comparisons, ComparisonThread) {
    let (tasks, task_receiver) = crossbeam_channel::bounded(MAX_WAITING);
    let (compared_sender, compared) = mpsc::channel(MAX_COMPARED);
    let deadline = ComparisonDeadline { at: Arc::default(), drain };
    let thread = ComparisonThread {
        comparer: reporter.defer_comparisons(),
        tasks: task_receiver,
        compared: compared_sender,
        deadline: deadline.clone(),
    };
    (Comparisons { tasks, room: Budget::new(bytes), compared, deadline }, thread)
}

impl Comparisons {
    /// Sends off what the reporter has deferred, as far as there is room.
    pub(super) fn begin(&self, reporter: &mut Reporter) {
        while let Some(task) = reporter.next_comparison() {
            let Ok(held) = self.room.try_hold(task.weight()) else {
                reporter.compare_unread(task, Unknown::QueueFull);
                continue;
            };
            if let Err(error) = self.tasks.try_send(Waiting { task, since: Instant::now(), _held: held }) {
                reporter.compare_unread(error.into_inner().task, Unknown::QueueFull);
            }
        }
    }

    /// The run has ended: waits for what is left, as long as there is time for it.
    pub(super) fn finish(self, reporter: &mut Reporter) {
        let Self { tasks, mut compared, deadline, .. } = self;
        deadline.begin();
        drop(tasks);
        while let Some(compared) = compared.blocking_recv() {
            reporter.compared(compared);
        }
    }
}

impl ComparisonThread {
    /// Compares until there is nobody left to ask for it.
    pub(super) fn run(self) {
        for Waiting { task, since, .. } in &self.tasks {
            let now = Instant::now();
            let unread = if self.deadline.has_passed(now) {
                Some(Unknown::RunEnded)
            } else {
                (now.saturating_duration_since(since) > MAX_WAIT).then_some(Unknown::Late)
            };
            if self.compared.blocking_send(self.comparer.compare(task, unread)).is_err() {
                return;
            }
        }
    }
}
