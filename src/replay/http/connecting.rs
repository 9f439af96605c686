//! One connection attempt counts for all who waited for it: they share its failure, too.
//!
//! hyper-util opens one connection at a time, and has the other requests wait for it. Where it fails, it tells them no more than
//! that. They ask once more (nothing of them was sent), and hear here why it failed: else each of them would try again after the
//! other, and be as late as all before it together took.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower::BoxError;

use super::failure::chain;

tokio::task_local! {
    /// Failed attempts before the request of this task began to wait for a connection.
    static FAILED_BEFORE: u64;
}

/// The failed connection attempts of one client. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectFailures(Arc<Mutex<Failures>>);

#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<SharedError>,
}

impl ConnectFailures {
    /// Does `sending`, which fails with each attempt that fails from now on.
    pub(super) async fn share<T>(&self, sending: impl Future<Output = T>) -> T {
        let before = self.failures().count;
        FAILED_BEFORE.scope(before, sending).await
    }

    /// Returns the failure of the attempt that the request of this task has waited for.
    pub(super) fn awaited(&self) -> Option<SharedError> {
        let before = FAILED_BEFORE.try_with(|before| *before).ok()?;
        let failures = self.failures();
        failures.last.clone().filter(|_| failures.count > before)
    }

    /// Returns `error` in a form that others have, too.
    pub(super) fn failed(&self, error: BoxError) -> SharedError {
        let error = SharedError(Arc::from(error));
        let mut failures = self.failures();
        failures.count += 1;
        failures.last = Some(error.clone());
        error
    }

    /// A connection was opened: what failed before counts no more. Else it would for one that had waited then, went over this
    /// connection, and needs another since this one ended.
    pub(super) fn opened(&self) {
        self.failures().last = None;
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a request has no connection since the attempt of another came to nothing: why, its error does not say.
pub(super) fn has_waited_in_vain(error: &reqwest::Error) -> bool {
    error.is_connect() && !chain(error).any(<dyn Error>::is::<SharedError>)
}

/// An error that several requests have. Its cause is the error itself.
#[derive(Clone, Debug)]
pub(super) struct SharedError(Arc<dyn Error + Send + Sync>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_counts_for_those_that_waited_and_for_nobody_after() {
        let failures = ConnectFailures::default();
        let waited = failures.share(async {
            assert!(failures.awaited().is_none());
            failures.failed("refused".into());
            failures.awaited()
        });
        let waited = waited.await.unwrap();
        assert_eq!((waited.to_string(), waited.source().unwrap().to_string()), ("refused".into(), "refused".into()));
        assert!(failures.share(async { failures.awaited() }).await.is_none());
    }

    #[tokio::test]
    async fn a_failure_counts_no_more_once_a_connection_was_opened() {
        let failures = ConnectFailures::default();
        let waited = failures.share(async {
            failures.failed("refused".into());
            failures.opened();
            failures.awaited()
        });
        assert!(waited.await.is_none());
    }
}
