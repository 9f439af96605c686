//! The threads of a run: those with one task, and those that drive a runtime.

use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::RunError;
use super::run::{Feed, Run};
use crate::replay::Pace;

/// Niceness of threads whose work has time. In scheduling it is about a tenth of what others get.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Whether a run's threads let others go first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Niceness(bool);

impl Niceness {
    /// HAProxy waits for acknowledgements, and most often runs on the same machine: all but the thread that acknowledges
    /// has time. Without a schedule nothing is due, and there is always more to send: a target on the same machine goes
    /// first, or it is kept from responding by what waits for its responses.
    pub(super) fn of(run: &Run) -> Self {
        Self(match &run.feed {
            Feed::Spoe(_) => true,
            Feed::Files(_) => run.pace().0 == Pace::Max,
            Feed::Live(_) => false,
        })
    }

    /// Makes it so for the current thread, for good.
    pub(super) fn apply(self) {
        // Elsewhere it would be the whole process.
        #[cfg(target_os = "linux")]
        if self.0
            && let Err(error) = rustix::process::nice(NICE)
        {
            tracing::debug!(%error, "a thread does not let others go first");
        }
    }
}

/// Starts the runtime that sends, and that exchanges messages with external processes.
///
/// It has half of the processors: reading, pacing and counting have as much to do as sending, and a few threads that
/// find several responses at each wakeup send more, for less, than many that wake each other. Where requests are made by
/// those who send them, or a target speaks TLS, it has all of them: reading is done there, or handshakes take the time.
pub(super) fn sending(run: &Run, is_pulled: bool) -> Result<Runtime, RunError> {
    let mut targets = run.targets.iter().chain(&run.reference.baseline);
    let all = is_pulled || targets.any(|settings| settings.target.is_tls());
    let threads = if all { run.processors } else { run.processors.div_ceil(2) };
    runtime("sending", threads, Niceness::of(run))
}

/// Starts the runtime that serves the run's state: a separate one, so that no observer delays the sending.
pub(super) fn showing() -> Result<Runtime, RunError> {
    runtime("showing", 1, Niceness(false))
}

fn runtime(name: &str, threads: usize, niceness: Niceness) -> Result<Runtime, RunError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).on_thread_start(move || niceness.apply());
    builder.enable_all().build().map_err(RunError::Start)
}

/// Starts a thread with one task.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, RunError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(RunError::Start)
}

/// Joins a thread and returns its result. A thread that panicked is reported as a warning, and the rest of the run
/// continues.
pub(super) fn joined<T>(thread: thread::JoinHandle<T>, name: &str, trouble: &mut Vec<String>) -> Option<T> {
    let result = thread.join();
    if result.is_err() {
        trouble.push(died(&format!("the {name} thread")));
    }
    result.ok()
}

/// What is said of a stage that panicked.
pub(super) fn died(what: &str) -> String {
    format!("{what} died; what it had not handed on by then is not in this report")
}
