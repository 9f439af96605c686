//! How many requests await their response at one target.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of requests that await their response at one target; may be read at any time.
#[derive(Debug, Default)]
pub struct InFlight {
    now: AtomicU64,
    peak: AtomicU64,
}

impl InFlight {
    /// Right now.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Most at once so far.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Counts one more for as long as the guard lives.
    pub(super) fn enter(self: &Arc<Self>) -> InFlightGuard {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        // Most are no peak, and what is only read stays in the cache of each processor.
        if now > self.peak() {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
        InFlightGuard(Arc::clone(self))
    }
}

pub(super) struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
