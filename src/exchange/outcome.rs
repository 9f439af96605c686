//! How a request ended, and why.

use std::borrow::Cow;

use super::{Incomplete, Malformed};

/// Final state of a request, or of one delivery of it to one target. Each has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to send it to (inspect, record).
    Kept,
    /// A rule of this name kept it back.
    Filtered(Cow<'static, str>),
    /// It is not in the sample.
    SampledOut,
    /// A rate limit kept it back.
    RateLimited,
    /// It was malformed on the wire.
    Malformed(Malformed),
    /// Bytes of it are missing from the capture.
    Incomplete(Incomplete),
    /// It was thrown away at this place, because that was full or stopped.
    Shed(Shed),
    /// It was held back from a target, to spare that.
    GuardHeld(HeldBy),
    /// A final response came, whatever its status.
    Sent,
    /// No final response came.
    Failed(FailureKind),
}

impl Outcome {
    /// A filter's verdict under `rule`.
    #[must_use]
    pub const fn filtered(rule: &'static str) -> Self {
        Self::Filtered(Cow::Borrowed(rule))
    }

    /// Key in machine-readable output, one of those under `ended`.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Filtered(_) => "filtered",
            Self::SampledOut => "sampled_out",
            Self::RateLimited => "rate_limited",
            Self::Malformed(_) => "malformed",
            Self::Incomplete(_) => "incomplete",
            Self::Shed(_) => "shed",
            Self::GuardHeld(_) => "guard_held",
            Self::Sent => "sent",
            Self::Failed(_) => "failed",
        }
    }

    /// Returns the detail within [`Outcome::key`]: the rule, the stage or the kind.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Filtered(rule) => Some(rule),
            Self::Shed(place) => Some(place.key()),
            Self::Incomplete(why) => Some(why.key()),
            Self::Failed(kind) => Some(kind.key()),
            Self::GuardHeld(by) => Some(by.key()),
            _ => None,
        }
    }
}

/// Cause that held a request back from a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldBy {
    /// The target's guard.
    Guard,
    /// The run was paused by hand.
    Paused,
}

impl HeldBy {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Paused => "paused",
        }
    }
}

/// Stage at which a request was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shed {
    /// The queue of a target was full.
    TargetQueue,
    /// The run ended before the request was sent, which had been due for long, or was captured live.
    Stopped,
    /// The run ended before its turn came: as what comes later in the recording, it is not lost.
    RunEnded,
    /// Its body is larger than the limit up to which bodies are kept.
    BodyLimit,
    /// The queue between capture and replay was full (live capture only).
    Capture,
    /// The queue before the recording was full, or the recording could not be written.
    Recording,
    /// No connection came free for it in time: all that may be open were.
    Connections,
    /// Its own connection was not free in time: requests before it had no whole response yet.
    ConnectionBusy,
    /// An external middleware did not take it in time.
    Middleware,
    /// This machine had no file left for its connection.
    OpenFiles,
    /// This machine had no local port left for its connection.
    LocalPorts,
    /// Another replayer has it now.
    Moved,
    /// Another replayer may have sent it before it was lost: since it may change something, it is not sent again.
    Uncertain,
}

impl Shed {
    /// Returns whether anybody misses what was shed here: not what the run did not come to, or what another replayer has.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        !matches!(self, Self::RunEnded | Self::Moved)
    }

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::TargetQueue => "target_queue",
            Self::Stopped => "stopped",
            Self::RunEnded => "run_ended",
            Self::BodyLimit => "body_limit",
            Self::Capture => "capture",
            Self::Recording => "recording",
            Self::Connections => "connections",
            Self::ConnectionBusy => "connection_busy",
            Self::Middleware => "middleware",
            Self::OpenFiles => "open_files",
            Self::LocalPorts => "local_ports",
            Self::Moved => "moved",
            Self::Uncertain => "uncertain",
        }
    }
}

/// Reason why no final response came from a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The name could not be resolved.
    Dns,
    /// No TCP connection could be made.
    Connect,
    /// No TCP connection was made in time.
    ConnectTimeout,
    /// No TLS session could be made: handshake or certificate.
    Tls,
    /// No whole response came in time.
    Timeout,
    /// The connection was reset, or closed before a response began.
    Reset,
    /// The connection was closed within the response.
    Truncated,
    /// The bytes received are not HTTP, or the request cannot be expressed in the client's protocol.
    Protocol,
    /// A response came without a request on the connection: whose this one's was cannot be told.
    Desynchronised,
    /// The response is larger than the limit.
    TooLarge,
}

impl FailureKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Truncated,
        Self::Protocol,
        Self::Desynchronised,
        Self::TooLarge,
    ];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::Desynchronised => "desynchronised",
            Self::TooLarge => "too_large",
        }
    }
}
