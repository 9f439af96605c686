//! A run as the member of a fleet, as the store that the fleet shares sees it.

use std::future::Future;
use std::pin::Pin;

use crate::exchange::{ExchangeId, Timestamp};

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

/// Where a schedule begins: what was captured then is due at that wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleZero {
    /// Instant of the capture.
    pub capture: Timestamp,
    /// Wall time of the run.
    pub wall: Timestamp,
}

/// What a member knows of all that share a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetProgress {
    /// Every request of the run has ended.
    pub over: bool,
    /// How many they are; 0 before that.
    pub ended: u64,
    /// Requests that this member left out unseen: they are of other ports, or lie outside what it replays.
    pub left_out: u64,
}

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

    /// Agrees with all members on where their schedule begins: as they have, or else as is `proposed`. Waits for the store,
    /// seconds at most.
    fn agree(&self, proposed: ScheduleZero) -> ScheduleZero {
        proposed
    }

    /// The share of all requests that this member has at the moment, above 0 up to 1: an even pace is divided by it.
    fn share(&self) -> f64 {
        1.0
    }

    /// What is known of all members, where they share what they read.
    fn fleet(&self) -> Option<FleetProgress> {
        None
    }

    /// The run has ended with this summary (JSON), and the store is to know. Waits until it does.
    ///
    /// # Errors
    ///
    /// Where it does not get to know, in words for people.
    fn conclude(&self, summary: Vec<u8>) -> Result<(), String>;
}
