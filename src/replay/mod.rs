//! Replay of requests: a [`Request`] comes in when it is due, a [`Delivery`] goes out for each target.
//!
//! [`pace`] sets the times, [`target`] keeps the limits of one target, a [`Client`] connects to it: [`wire`] byte for
//! byte, [`http`] through reqwest, and in unit tests `memory` from a script. Requests are not changed here beyond what sharing
//! connections requires (see [`hop`]), none that may change something is sent twice, and every [`Job`] ends in exactly
//! one delivery.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use tokio::time::Instant;

use crate::exchange::{ConnectionId, Digest, ExchangeId, Head, Outcome, Request, digest_of_whole};
use crate::middleware::carry_set::CarrySet;

mod address;
mod any_client;
mod before_send;
mod connect_to;
mod destination;
mod error;
pub mod guard;
pub mod hop;
pub mod http;
#[cfg(test)]
pub(crate) mod memory;
mod outgoing;
mod outside;
pub mod pace;
mod production_ends;
mod proxy;
pub mod ramp;
pub mod range;
mod request_source;
mod response_progress;
mod response_watch;
mod send_error;
mod sent_as;
mod settings;
mod silences;
mod spec;
mod stamp_leap;
pub mod target;
mod ticket;
pub mod tls;
mod tls_refusal;
pub mod wire;

pub use address::TargetUrlError;

pub(crate) use address::{TargetUrl, VIA};
pub use any_client::AnyClient;
pub(crate) use before_send::{BeforeSend, Prepared};
pub use connect_to::{ConnectTo, ConnectToError, PeerAddress};
pub use destination::{Destination, TargetId};
pub use error::ClientError;
pub use guard::{Guard, GuardState};
pub use http::HttpClient;
pub(crate) use outgoing::outgoing_head;
pub(crate) use outside::outside_client;
pub use pace::{Pace, PaceError, Punctuality, Schedule};
pub use production_ends::{ProductionEnd, ProductionEndWait, ProductionEnds};
pub use proxy::{ProxyUrl, ProxyUrlError};
pub use ramp::Ramp;
pub use range::{Amplify, CaptureWindow, ReplayRange};
pub(crate) use request_source::{Pulled, RequestSource};
pub use response_progress::{BegunResponse, ClosedEarly, ResponseProgress};
pub use send_error::{Reason, SendError};
pub use sent_as::SentAs;
pub use settings::{
    ChoiceError, ClientChoice, ConnectionMode, ReferenceSettings, SendSettings, TargetLimits, TlsIdentity,
};
pub(crate) use settings::{
    DEFAULT_DRAIN, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_IN_FLIGHT, DEFAULT_RESOLVE_EVERY, DEFAULT_TIMEOUT,
    MAX_TIME_FACTOR,
};
pub(crate) use silences::ShortenedGaps;
pub use spec::SpecError;
pub(crate) use stamp_leap::{LagBehind, StampLeap};
pub use target::{Deliveries, InFlight, QueueStats, TargetLinks, run_target};
pub use ticket::Ticket;
pub use wire::WireClient;

/// One captured connection as it is replayed: loops and copies of a session have connections of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey {
    /// The captured connection.
    pub connection: ConnectionId,
    /// Pass over the capture, from 1.
    pub pass: u32,
    /// Copy of the session; 0 is the original.
    pub copy: u32,
}

impl From<ExchangeId> for ConnKey {
    fn from(id: ExchangeId) -> Self {
        Self { connection: id.connection, pass: id.pass, copy: id.copy }
    }
}

/// One connection of a client to its target; no two of a process have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnNumber(u64);

impl ConnNumber {
    /// A number that no connection had before.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Options of one send: the parts of its response that are needed in addition to status and length, where a part that
/// is not needed costs nothing; and whether its Host stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseOptions {
    /// The SHA-256 of the content, where that is not kept.
    pub hash: bool,
    /// The head, and the content where it has at most this many bytes.
    pub kept: Option<usize>,
    /// The request keeps its Host, whatever goes for the others: somebody set it.
    pub keep_host: bool,
    /// Filters may have changed the request's head: it is reported as it was sent.
    pub rewritten: bool,
    /// The carry rules that read the response, and change the request.
    pub(crate) carried: CarrySet,
}

impl ResponseOptions {
    /// The hash alone.
    pub const HASH: Self = Self { hash: true, kept: None, keep_host: false, rewritten: false, carried: CarrySet::NONE };
}

/// A client that sends requests: the wire client, reqwest, or one in memory.
///
/// A client that mirrors connections is informed of them in the order of the capture: [`Client::open`], then
/// [`Client::enqueue`] for each request that will be sent, then [`Client::close`]. These three return at once, and may
/// be called from any thread. Other clients ignore them.
pub trait Client: Send + Sync + 'static {
    /// A captured connection opened, and is to be opened when it is `due`, which may be in the past as well as ahead. A
    /// lane that is never opened is opened for its first request.
    fn open(&self, lane: ConnKey, due: Instant) {
        let _ = (lane, due);
    }

    /// Takes the place of a request behind those of its lane that came before. A turn that is dropped lets the next
    /// one pass.
    fn enqueue(&self, lane: ConnKey) -> Ticket {
        let _ = lane;
        Ticket::default()
    }

    /// Returns the rule by which this client must not send `request`; `None` where it may.
    fn refuses(&self, request: &Request) -> Option<&'static str> {
        let _ = request;
        None
    }

    /// Sends one request whose turn has come and reads the whole response, of which it notes in `progress` how far it
    /// has come; where that asks for it, it hands over what it has and closes the connection. The caller sets the time
    /// limit by dropping the future.
    fn send(
        &self,
        turn: Ticket,
        request: Box<Request>,
        wanted: ResponseOptions,
        progress: &ResponseProgress,
    ) -> impl Future<Output = Result<TargetResponse, SendError>> + Send;

    /// Closes the counterpart of a captured connection at the instant `due`, though not before its last response.
    fn close(&self, lane: ConnKey, due: Instant) {
        let _ = (lane, due);
    }

    /// Connections so far. The list of set-up times is handed over: the next call begins with an empty one.
    fn connections(&self) -> ConnCounters;

    /// Looks at some idle connections, and hands over those on which a response came without a request since the last
    /// call: to which requests the responses on them belong is not known. To be called now and then.
    fn desynchronised(&self) -> Vec<ConnNumber> {
        Vec::new()
    }
}

/// Statistics of a client's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnCounters {
    /// Opened so far.
    pub opened: u64,
    /// Most that were open at once, as far as the client knows ([`HttpClient`] says how far that is).
    pub peak: u64,
    /// Durations of the set-ups since the last call (TCP and TLS; with reqwest the name lookup, too).
    pub set_up: Vec<Duration>,
    /// The share of each address that the target's name had, in the order in which they came up; reqwest knows none.
    pub addresses: Vec<AddressShare>,
    /// Requests that went out once more, because their connection was closed as they went; the wire client's only.
    pub retried: u64,
    /// Connections on which bytes came that belong to no request; the wire client's only.
    pub desynchronised: Desynchronised,
}

/// Connections on which bytes came that belong to no request, and which were closed therefore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desynchronised {
    /// Number of connections.
    pub connections: u64,
    /// Deliveries that failed for it.
    pub deliveries: u64,
    /// On how many of them bytes came before their first request was sent.
    pub before_a_request: u64,
    /// Earlier requests on those connections, whose responses had been taken for right: they may have been those of
    /// others.
    pub earlier: u64,
    /// The first request whose response was followed by another.
    pub first: Option<ExchangeId>,
}

/// State of a client's connections at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenNow {
    /// Opened so far.
    pub opened: u64,
    /// Open, as far as the client knows.
    pub open: u64,
    /// Most that were open at once.
    pub peak: u64,
}

/// Traffic to one address of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressShare {
    /// The address.
    pub address: PeerAddress,
    /// Connections opened to it.
    pub opened: u64,
    /// Connection attempts that failed.
    pub failed: u64,
    /// Requests that were written to it.
    pub requests: u64,
}

/// The final response of a target.
#[derive(Clone, Debug)]
pub struct TargetResponse {
    /// Status of the final response.
    pub status: u16,
    /// Content bytes of the body, transfer coding removed.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty, was not asked for, or all of it is kept.
    pub body_sha256: Option<Digest>,
    /// Head and content, where they were asked for.
    pub kept: Option<Box<RetainedResponse>>,
    /// Why it was closed before its end, where it was: then `body_len` and the content are what had come.
    pub closed: Option<ClosedEarly>,
    /// Instant at which the last byte of the request was written (reqwest: of the call). Never after
    /// [`TargetResponse::first_byte`]: an early response counts 0.
    pub written: Instant,
    /// Instant at which the first byte of the final response was read.
    pub first_byte: Instant,
    /// Instant at which the last byte was read.
    pub done: Instant,
    /// Over which connection it came, where the client would notice a response on it that nobody asked for.
    pub connection: Option<ConnNumber>,
}

impl TargetResponse {
    /// Keeps of the body but its hash.
    pub(crate) fn drop_body(&mut self) {
        if let Some(kept) = &mut self.kept {
            let body = kept.let_body_go();
            self.body_sha256 = self.body_sha256.or_else(|| digest_of_whole(&body?, self.body_len));
        }
    }
}

/// A response as it came.
#[derive(Clone, Debug)]
pub struct RetainedResponse {
    /// Status line and header lines.
    pub head: Head,
    /// The content, transfer coding removed; of a response that did not end its beginning. `None` where it is longer than
    /// was asked for, or found no room.
    pub body: Option<Bytes>,
    /// The body's share of the memory that kept bodies may take; given back with the last copy.
    pub held: Option<Arc<tokio::sync::OwnedSemaphorePermit>>,
}

impl RetainedResponse {
    /// A head with its content, of which nobody counts the bytes.
    #[must_use]
    pub const fn new(head: Head, body: Option<Bytes>) -> Self {
        Self { head, body, held: None }
    }

    /// Keeps the head only; gives back the body, where there was one.
    pub(crate) fn let_body_go(&mut self) -> Option<Bytes> {
        self.held = None;
        self.body.take()
    }
}

/// Result of one request at one destination.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The request.
    pub id: ExchangeId,
    /// Where it went.
    pub destination: Destination,
    /// How it was sent there.
    pub sent_as: SentAs,
    /// Outcome of the request.
    pub outcome: Outcome,
    /// Reason of the failure, in words for people, where it failed and that is known.
    pub reason: Option<Box<Reason>>,
    /// Response, where there was one.
    pub answer: Option<TargetResponse>,
    /// Last byte written to first byte read; of what timed out, how long it was waited for.
    pub service: Option<Duration>,
    /// Due to first byte: what a user would have felt; without a schedule (`--speed max`) the send is when it was due.
    pub response: Option<Duration>,
    /// Due to sent, which is when a connection was free for it; `None` without a schedule.
    pub lag: Option<Duration>,
    /// How long it waited for values that it was to carry; in none of the others. `None` where it did not.
    pub carry_wait: Option<Duration>,
}

impl Delivery {
    /// The end of a request that was not sent.
    #[must_use]
    pub(crate) const fn unsent(id: ExchangeId, destination: Destination, outcome: Outcome) -> Self {
        Self {
            id,
            destination,
            sent_as: SentAs::CAPTURED,
            outcome,
            reason: None,
            answer: None,
            service: None,
            response: None,
            lag: None,
            carry_wait: None,
        }
    }
}

/// A request on its way to one target.
#[derive(Debug)]
pub struct Job {
    /// Its share of the memory that queued requests may take; given back when the job is dropped.
    pub held: Option<tokio::sync::OwnedSemaphorePermit>,
    /// The request, as middleware left it.
    pub request: Box<Request>,
    /// Due time; `None` without a schedule.
    pub due: Option<Instant>,
    /// Its place among the requests of its connection, from [`Client::enqueue`].
    pub turn: Ticket,
    /// Options for the response.
    pub wanted: ResponseOptions,
}
