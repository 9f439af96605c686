//! The threads of a run: those with one task, and those that drive a runtime.

use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::RunError;
use crate::replay;

/// What sends, and speaks with processes outside.
///
/// It has half of the processors: reading, pacing and counting have as much to do as sending, and a few threads that find
/// several answers each time they look send more, for less, than many that wake each other. Where a target speaks TLS it
/// has all of them: handshakes are what takes long there.
pub(super) fn sending<'a>(mut targets: impl Iterator<Item = &'a replay::SendSettings>) -> Result<Runtime, RunError> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = if targets.any(|settings| settings.target.is_tls()) { processors } else { processors.div_ceil(2) };
    runtime("sending", threads)
}

/// What shows the run: apart, so that nobody who looks at it delays what is sent.
pub(super) fn showing() -> Result<Runtime, RunError> {
    runtime("showing", 1)
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, RunError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).enable_all().build().map_err(RunError::Start)
}

/// Starts a thread with one task.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, RunError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(RunError::Start)
}

/// What a thread returned; a thread that died is told as trouble, and the rest of the run stands.
pub(super) fn joined<T>(thread: thread::JoinHandle<T>, name: &str, trouble: &mut Vec<String>) -> Option<T> {
    let result = thread.join();
    if result.is_err() {
        trouble.push(format!("the {name} thread died; what it had not handed on by then is not in this report"));
    }
    result.ok()
}
