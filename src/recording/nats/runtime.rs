//! Threads of a store, each with a runtime of its own: nothing of it competes with what captures and sends.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::runtime;

use super::connect::Store;
use crate::recording::access::StoreAccess;
use crate::recording::place::StoreUrl;
use crate::recording::store_error::StoreError;

/// Runs `work` on a thread of this name until it is done.
pub(super) fn spawn<T: Send + 'static, F: Future<Output = T>>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work()))
}

/// Opens the store at `url`, and has `work` done with it on this thread; nothing of it is left open.
pub(super) fn with_store<T>(
    url: &StoreUrl,
    access: &StoreAccess,
    work: impl AsyncFnOnce(Store) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let done = block_on(async { work(Store::open(url, access).await?).await });
    done.map_err(|error| StoreError::Connect { server: url.to_string(), why: error.to_string() })?
}

/// Runs `work` on this thread, and leaves no other one behind.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}
