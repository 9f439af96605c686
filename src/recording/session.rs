//! A run as the member of a fleet, as the store that the fleet shares sees it.

use std::future::Future;
use std::pin::Pin;

use crate::exchange::ExchangeId;

/// What may become of a request that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is this member's, and goes out.
    Send,
    /// Another member may have sent it before it died: since it may change something, it never goes out again.
    Uncertain,
    /// Another member has it now.
    Moved,
}

/// The answer to [`StoreSession::admit`], once it is known.
pub type AdmissionWait<'a> = Pin<Box<dyn Future<Output = Admission> + Send + 'a>>;

/// A run in a store: it asks there before it sends, says what became of each request, and at the end what it came to.
pub trait StoreSession: Send + Sync {
    /// A request is about to be sent. Of one that may change something (`is_write`) the store takes note first.
    fn admit(&self, id: ExchangeId, is_write: bool) -> AdmissionWait<'_> {
        let _ = (id, is_write);
        Box::pin(std::future::ready(Admission::Send))
    }

    /// A request has ended for good; where not `for_good`, it was given up before it went out, and somebody else may
    /// have it.
    fn ended(&self, id: ExchangeId, for_good: bool) {
        let _ = (id, for_good);
    }

    /// The run has ended with this summary (JSON), and the store is to know. Waits until it does.
    ///
    /// # Errors
    ///
    /// Where it does not get to know, in words for people.
    fn conclude(&self, summary: Vec<u8>) -> Result<(), String>;
}
