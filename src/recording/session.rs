//! A run as the member of a fleet, as the store that the fleet shares sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::{ExchangeId, Timestamp};
use crate::fleet::{FleetDecision, FleetOrders, FleetView, MemberFigures};

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

/// How a request ended at a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// It went out.
    Sent,
    /// It was kept from every target, and no other member is to send it.
    Unsent,
    /// It was given up before it went out, and another member may have it.
    GivenUp,
}

/// Identifies the end of a request of which the store has to take note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndTicket {
    /// Which time that the member holds the partition of the request.
    pub(in crate::recording) tenure: u64,
    /// Which end of that time.
    pub(in crate::recording) number: u64,
}

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
    /// Requests that it gave up: others have them, or nobody yet.
    pub given_up: u64,
    /// Requests that it sent, and whose end the store never learned: they have another end at another member.
    pub again: u64,
}

/// A run in a store: it asks there before it sends, says what became of each request, and at the end what it came to.
pub trait StoreSession: Send + Sync {
    /// A request is about to be sent. Of one that may change something (`is_write`) the store takes note first.
    fn admit(&self, id: ExchangeId, is_write: bool) -> AdmissionWait<'_> {
        let _ = (id, is_write);
        Box::pin(std::future::ready(Admission::Send))
    }

    /// A request has ended. Of one that was not sent, returns what to ask with whether that end counts; `None` where it does.
    fn ended(&self, id: ExchangeId, end: RequestEnd) -> Option<EndTicket> {
        let _ = (id, end);
        None
    }

    /// Returns whether the end of a request that was not sent counts: not where its partition went to another member before
    /// the store learned of it. `None` as long as that is not known; what is known is asked for once.
    fn counts(&self, ticket: EndTicket) -> Option<bool> {
        let _ = ticket;
        Some(true)
    }

    /// Agrees with all members on where their schedule begins, which goes through the capture `speed` times as fast: as they
    /// have it, put off by their pauses, or else as is `proposed`. Waits for the store, seconds at most.
    fn agree(&self, proposed: ScheduleZero, speed: f64) -> ScheduleZero {
        let _ = speed;
        proposed
    }

    /// The run has begun, and its requests are not due by the capture's clock alone.
    fn begins_without_times(&self) {}

    /// The share of all requests that this member has at the moment, above 0 up to 1: an even pace is divided by it.
    fn share(&self) -> f64 {
        1.0
    }

    /// What is known of all members, where they share what they read.
    fn fleet(&self) -> Option<FleetProgress> {
        None
    }

    /// What this member knows of all of them: orders, decisions, and what each says of itself. `None` before it is known.
    fn view(&self) -> Option<Arc<FleetView>> {
        None
    }

    /// The run goes by these orders from now on. Nothing is read before it goes by those that stand at the beginning.
    fn obeyed(&self, orders: &FleetOrders) {
        let _ = orders;
    }

    /// How long the run has stood still by orders.
    fn stood_still(&self) -> Duration {
        Duration::ZERO
    }

    /// The others are to know this of this member.
    fn publish(&self, figures: MemberFigures) {
        let _ = figures;
    }

    /// A guard or the ramp has decided this for all. Where somebody else did so meanwhile, theirs stands.
    fn decide(&self, decision: FleetDecision) {
        let _ = decision;
    }

    /// The run has ended with this summary (JSON), and the store is to know. Waits until it does.
    ///
    /// # Errors
    ///
    /// Where it does not get to know, in words for people.
    fn conclude(&self, summary: Vec<u8>) -> Result<(), String>;
}
