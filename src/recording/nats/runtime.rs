//! Threads of a store, each with a runtime of its own: nothing of it competes with what captures and sends.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::runtime;

/// Runs `work` on a thread of this name until it is done.
pub(super) fn spawn<T: Send + 'static, F: Future<Output = T>>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work()))
}

/// Runs `work` on this thread, and leaves no other one behind.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
