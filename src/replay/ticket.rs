//! The order of requests that go over the same connection.

use super::wire::MirroredTicket;

/// A request's place behind those of its connection that came before it; a request of a pool has none, and may go at
/// once. Dropped, it lets the next one pass.
#[derive(Debug, Default)]
pub struct Ticket(pub(super) Option<Box<MirroredTicket>>);

impl Ticket {
    /// Returns whether there is nothing to wait for, as in a pool.
    #[must_use]
    pub(crate) const fn is_free(&self) -> bool {
        self.0.is_none()
    }

    /// Ready when the connection is free, or a new one may be opened. May be dropped and called again.
    pub async fn ready(&mut self) {
        if let Some(place) = &mut self.0 {
            place.ready().await;
        }
    }
}
