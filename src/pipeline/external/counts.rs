//! Counters of external processes, for the end of a run.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::exchange::Malformed;
use crate::middleware::external::MessageId;
use crate::report::MiddlewareCounts;

/// Counters, from any thread.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct ExternalCounts {
    pub(super) made_up: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) garbage: AtomicU64,
    malformed: AtomicU64,
    pub(super) untold: AtomicU64,
    pub(super) restarts: AtomicU64,
}

impl ExternalCounts {
    /// Counts a message that breaks this rule of HTTP; the first one is logged as a warning.
    pub(super) fn malformed(&self, id: &MessageId, why: Malformed) {
        if self.malformed.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "the middleware gave back request {id} as a message that is no HTTP ({why}): it goes no further"
            );
        }
    }

    /// Returns the counts so far.
    pub(in crate::pipeline) fn so_far(&self) -> MiddlewareCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MiddlewareCounts {
            made_up: of(&self.made_up),
            late: of(&self.late),
            garbage: of(&self.garbage),
            malformed: of(&self.malformed),
            untold: of(&self.untold),
            restarts: of(&self.restarts),
        }
    }
}
