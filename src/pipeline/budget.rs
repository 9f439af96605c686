//! A bound on bytes that are on their way between two threads.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::exchange::{Body, Event, Request};

/// Size of one permit, in bytes.
const PERMIT_BYTES: usize = 1024;

/// Room for so many bytes. Clones share it.
///
/// What is larger than all of it may pass when nothing else is there: nothing is too large for ever.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    room: Arc<Semaphore>,
    most: u32,
}

/// A share of a budget; given back when it is dropped. `None` where nothing needs to be held.
pub(super) type BudgetShare = Option<OwnedSemaphorePermit>;

/// Reason why a share was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BudgetRefused {
    /// There is no room now.
    Full,
    /// The run was stopped.
    Closed,
}

impl Budget {
    /// Room for `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let most = u32::try_from((bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { room: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// A share for `bytes` bytes, if there is room at once.
    pub(super) fn try_hold(&self, bytes: usize) -> Result<BudgetShare, BudgetRefused> {
        if bytes == 0 {
            return Ok(None);
        }
        Arc::clone(&self.room).try_acquire_many_owned(self.permits(bytes)).map(Some).map_err(|error| match error {
            TryAcquireError::NoPermits => BudgetRefused::Full,
            TryAcquireError::Closed => BudgetRefused::Closed,
        })
    }

    /// A share for `bytes` bytes, as soon as there is room; an error once the run was stopped.
    pub(super) fn hold(&self, bytes: usize, runtime: &Handle) -> Result<BudgetShare, BudgetRefused> {
        match self.try_hold(bytes) {
            Err(BudgetRefused::Full) => runtime
                .block_on(Arc::clone(&self.room).acquire_many_owned(self.permits(bytes)))
                .map(Some)
                .map_err(|_| BudgetRefused::Closed),
            settled => settled,
        }
    }

    /// Returns whether a share for `bytes` bytes would be had at once, or refused for good.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.room.available_permits() >= self.permits(bytes) as usize || self.room.is_closed()
    }

    /// Whoever waits for room gets an error instead, now and later.
    pub(super) fn close(&self) {
        self.room.close();
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes / PERMIT_BYTES + 1).unwrap_or(u32::MAX).min(self.most)
    }
}

/// Bytes that an event holds; nothing for what is but a few words.
pub(super) fn bytes_of(event: &Event) -> usize {
    match event {
        Event::Request(request) => bytes_of_request(request),
        Event::Response { response, .. } | Event::Orphan { response, .. } if response.body.wire.is_some() => {
            response.head.as_bytes().len() + kept(&response.body)
        }
        _ => 0,
    }
}

/// Bytes that a request holds; at least one.
pub(super) fn bytes_of_request(request: &Request) -> usize {
    (request.head.as_bytes().len() + kept(&request.body)).max(1)
}

fn kept(body: &Body) -> usize {
    body.wire.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_all_of_it_passes_alone() {
        let budget = Budget::new(4 * PERMIT_BYTES);
        let held = budget.try_hold(1 << 30).unwrap();
        assert_eq!(budget.try_hold(1).unwrap_err(), BudgetRefused::Full);
        drop(held);
        let one = budget.try_hold(1).unwrap();
        assert_eq!(budget.try_hold(1 << 30).unwrap_err(), BudgetRefused::Full);
        drop(one);
        assert!(budget.try_hold(1 << 30).is_ok());
    }

    #[test]
    fn nothing_needs_no_room_and_a_closed_budget_has_none() {
        let budget = Budget::new(0);
        let held = budget.try_hold(1).unwrap();
        assert!(held.is_some());
        assert!(budget.try_hold(0).unwrap().is_none());
        budget.close();
        assert_eq!(budget.try_hold(1).unwrap_err(), BudgetRefused::Closed);
    }
}
