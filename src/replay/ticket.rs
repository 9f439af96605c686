//! The order of requests that go over the same connection.

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::wire::MirroredTicket;
use super::wire::WrittenRequest;

/// A request's place behind those of its connection that came before it; a request of a pool has none, and may go at
/// once. Dropped, it lets the next one pass.
#[derive(Debug, Default)]
pub struct Ticket {
    pub(super) lane: Option<Box<MirroredTicket>>,
    pub(super) early: Option<Box<EarlySend>>,
}

/// A request that was written when it was due, before its turn among the jobs of its target came.
#[derive(Debug)]
pub(super) struct EarlySend {
    pub(super) written: WrittenRequest,
    /// Its place among the requests in flight, until whoever reads the response takes that.
    place: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// The ticket of a request that was written in this place among those in flight.
    pub(crate) fn written(written: WrittenRequest, place: OwnedSemaphorePermit) -> Self {
        Self { lane: None, early: Some(Box::new(EarlySend { written, place: Some(place) })) }
    }

    /// Returns when the request was written, where it was.
    pub(crate) fn written_at(&self) -> Option<Instant> {
        self.early.as_ref().map(|early| early.written.at)
    }

    /// Takes the place among the requests in flight that a request has which was written.
    pub(super) fn take_place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.early.as_mut()?.place.take()
    }

    /// Returns whether there is nothing to wait for, as in a pool.
    #[must_use]
    pub(crate) const fn is_free(&self) -> bool {
        self.lane.is_none()
    }

    /// Returns whether requests before this one keep its connection, rather than the limit of connections.
    pub(crate) fn is_behind(&self) -> bool {
        self.lane.as_ref().is_some_and(|lane| lane.is_behind())
    }

    /// Ready when the connection is free, or a new one may be opened. May be dropped and called again.
    pub async fn ready(&mut self) {
        if let Some(place) = &mut self.lane {
            place.ready().await;
        }
    }
}
