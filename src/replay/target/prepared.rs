//! What a worker is given: a job, and a place for it among the requests in flight.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::replay::Job;

/// A request's place among those that the target may have in flight.
pub(super) enum SendPlace {
    /// One of those.
    Ordinary(#[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit),
    /// One beside them, for a stream.
    Beside(#[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit),
}

/// A job, and whether it has been prepared for its destination.
pub(super) struct PreparedJob {
    pub(super) job: Job,
    pub(super) is_prepared: bool,
    /// How long it has waited for values that it is to carry, where it has.
    pub(super) carry_wait: Option<Duration>,
}

impl PreparedJob {
    pub(super) const fn new(job: Job) -> Self {
        Self { job, is_prepared: false, carry_wait: None }
    }
}
