//! When a request is sent and how: a [`Request`] comes in when it is due, a [`Delivery`] goes out for each target.
//!
//! [`pace`] says when, [`target`] keeps the limits of one target, a [`Client`] speaks to it: [`http`] over the
//! network, [`memory`] from a script. No request is changed here beyond what sharing connections asks for (see
//! [`hop`]), none is sent twice, and every [`Job`] ends in exactly one delivery.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::{ConnectionId, Digest, ExchangeId, FailureKind, Outcome, Request};

mod address;
pub mod hop;
pub mod http;
pub mod memory;
pub mod pace;
pub mod target;

pub use address::{TargetUrl, TargetUrlError};
pub use http::{ClientError, HttpClient};
pub use pace::{Pace, PaceError, Schedule};
pub use target::{InFlight, Limits, Stats, run_target};

/// Default of [`Settings::timeout`]: what load balancers commonly wait for an answer, halved.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`Settings::max_in_flight`]: past it requests wait in their target's queue, which shows as lag.
pub const DEFAULT_MAX_IN_FLIGHT: usize = 1024;
/// Default of [`Settings::drain`]: what is still unanswered then ends as timed out.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(5);

/// How to send.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to.
    pub target: TargetUrl,
    /// When.
    pub pace: Pace,
    /// Limit for one whole answer, from the send.
    pub timeout: Duration,
    /// Requests that may await their answer at once.
    pub max_in_flight: usize,
    /// Keep the captured Host header instead of naming the target.
    pub keep_host: bool,
    /// Accept any certificate.
    pub insecure: bool,
    /// How long a stopped run waits for what is in flight.
    pub drain: Duration,
}

/// Something that can send requests: the wire, reqwest, or a twin in memory.
pub trait Client: Send + Sync + 'static {
    /// A captured connection opened. A pooled client ignores it.
    fn open(&self, connection: ConnectionId, due: Instant);

    /// Sends one request and reads the whole answer. The caller sets the time limit by dropping the future.
    fn send(
        &self,
        connection: ConnectionId,
        request: Request,
    ) -> impl Future<Output = Result<Answer, FailureKind>> + Send;

    /// A captured connection closed. A pooled client ignores it.
    fn close(&self, connection: ConnectionId, due: Instant);

    /// Connections so far. The list of set-up times is handed over: the next call begins with an empty one.
    fn connections(&self) -> Connections;
}

/// What a client knows of its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Opened so far.
    pub opened: u64,
    /// Most that were open at once, as far as the client knows ([`HttpClient`] says how far that is).
    pub peak: u64,
    /// How long each set-up took (name, TCP and TLS), those since the last call.
    pub set_up: Vec<Duration>,
}

/// The final answer of a target.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status of the final response.
    pub status: u16,
    /// Content bytes of the body, transfer coding removed.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty.
    pub body_sha256: Option<Digest>,
    /// When the last byte of the request was written (reqwest: when it was called).
    pub written: Instant,
    /// When the first byte of the final response was read.
    pub first_byte: Instant,
    /// When the last byte was read.
    pub done: Instant,
}

/// How one request ended at one target.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The request.
    pub id: ExchangeId,
    /// Which target, counted from 0.
    pub target: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// What came back, where something did.
    pub answer: Option<Answer>,
    /// Last byte written to first byte read.
    pub service: Option<Duration>,
    /// Due to first byte: what a user would have felt; without a schedule (`--speed max`) the send is when it was due.
    pub response: Option<Duration>,
    /// Due to sent; `None` without a schedule.
    pub lag: Option<Duration>,
}

/// A request on its way to one target.
#[derive(Debug)]
pub struct Job {
    /// Its share of the memory that queued requests may take; given back when the job is dropped.
    pub held: Option<tokio::sync::OwnedSemaphorePermit>,
    /// The request, as middleware left it.
    pub request: Request,
    /// When it was due; `None` without a schedule.
    pub due: Option<Instant>,
}
