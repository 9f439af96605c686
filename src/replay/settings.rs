//! Settings for sending, with their defaults.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Pace, ProxyUrl, Punctuality, TargetUrl, guard};

/// Default of [`SendSettings::timeout`]: half of the response timeout common in load balancers.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of [`SendSettings::max_time`], as so many times the timeout.
pub(crate) const MAX_TIME_FACTOR: u32 = 10;
/// Default of [`SendSettings::max_streams`]: each may hold as much of its body as is compared.
pub(crate) const DEFAULT_MAX_STREAMS: usize = 1024;
/// Default of [`SendSettings::max_in_flight`]: past it requests wait in their target's queue, which shows as lag.
pub(crate) const DEFAULT_MAX_IN_FLIGHT: usize = 1024;
/// Default of [`SendSettings::drain`]: what is still unanswered then ends as timed out.
pub(crate) const DEFAULT_DRAIN: Duration = Duration::from_secs(5);
/// Default of [`SendSettings::max_connections`] for pooled ones: past it requests wait, which shows as lag.
pub(crate) const DEFAULT_MAX_CONNECTIONS: usize = 256;
/// Default of [`SendSettings::max_response`]: a longer response fails, and its connection is closed.
pub(crate) const DEFAULT_MAX_RESPONSE: u64 = 256 << 20;
/// Default of [`SendSettings::resolve_every`]: half of the shortest time that balancers in a cloud let addresses live.
pub(crate) const DEFAULT_RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Settings for sending to one target.
#[derive(Clone, Debug)]
pub struct SendSettings {
    /// Target.
    pub target: TargetUrl,
    /// Name by which routes refer to the target.
    pub name: Option<String>,
    /// By what.
    pub client: ClientChoice,
    /// Over which connections.
    pub connections: ConnectionMode,
    /// Connections that may be open at once; `None` for the default of the mode: `DEFAULT_MAX_CONNECTIONS` pooled,
    /// as many as the system allows mirrored.
    pub max_connections: Option<usize>,
    /// True when HTTP/2 is spoken at once where there is no TLS to settle it; reqwest only.
    pub http2: bool,
    /// Proxy for the requests. Never taken from the environment.
    pub proxy: Option<ProxyUrl>,
    /// The name that TLS asks for and checks instead of the host of the target's URL; wire only.
    pub sni: Option<String>,
    /// Pace of the requests.
    pub pace: Pace,
    /// How closely the pace is kept.
    pub punctuality: Punctuality,
    /// Longer silences in the capture are shortened to this.
    pub max_gap: Option<Duration>,
    /// How long a response may take to begin, from the send; and how long it may be silent where it has to end.
    pub timeout: Duration,
    /// How long a whole response may take, from the send.
    pub max_time: Duration,
    /// Streams that may be open besides the connections that requests share.
    pub max_streams: usize,
    /// Requests that may await their response at once.
    pub max_in_flight: usize,
    /// Content bytes that a response may have.
    pub max_response: u64,
    /// Interval after which the target's name is resolved again.
    pub resolve_every: Duration,
    /// Keep the captured Host header instead of naming the target.
    pub keep_host: bool,
    /// Accept any certificate.
    pub insecure: bool,
    /// Certificates to trust and to present.
    pub trust: TlsIdentity,
    /// Time for which a stopped run waits for requests in flight.
    pub drain: Duration,
    /// Guard of the target; `None` for none.
    pub guard: Option<guard::GuardSettings>,
}

impl SendSettings {
    /// The defaults, to `target`.
    #[must_use]
    pub fn new(target: TargetUrl) -> Self {
        Self {
            target,
            name: None,
            client: ClientChoice::default(),
            connections: ConnectionMode::default(),
            max_connections: None,
            http2: false,
            proxy: None,
            sni: None,
            pace: Pace::default(),
            punctuality: Punctuality::default(),
            max_gap: None,
            timeout: DEFAULT_TIMEOUT,
            max_time: DEFAULT_TIMEOUT * MAX_TIME_FACTOR,
            max_streams: DEFAULT_MAX_STREAMS,
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            max_response: DEFAULT_MAX_RESPONSE,
            resolve_every: DEFAULT_RESOLVE_EVERY,
            keep_host: false,
            insecure: false,
            trust: TlsIdentity::default(),
            drain: DEFAULT_DRAIN,
            guard: None,
        }
    }

    /// Returns whether HTTP/2 may be spoken to the target: reqwest speaks nothing else, with TLS where the target offers
    /// it, without where it is asked for.
    #[must_use]
    pub(crate) fn may_speak_http2(&self) -> bool {
        self.client == ClientChoice::Reqwest && (self.http2 || self.target.is_tls())
    }

    /// Returns whether each request in flight has a connection of its own out of a pool.
    #[must_use]
    pub(crate) fn has_connection_each(&self) -> bool {
        self.connections == ConnectionMode::Pooled && !self.may_speak_http2()
    }

    /// Requests that may be in flight at once: each has a connection of its own, so a pool's limit is theirs too; but for
    /// HTTP/2, where one connection carries many.
    #[must_use]
    pub fn places(&self) -> usize {
        match self.connections {
            ConnectionMode::Pooled if self.may_speak_http2() => self.max_in_flight,
            ConnectionMode::Pooled => self.max_in_flight.min(self.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS)),
            ConnectionMode::Mirrored => self.max_in_flight,
        }
    }
}

/// Reference traffic, sent next to the targets to find the differences that occur whatever the stack.
#[derive(Clone, Debug, Default)]
pub struct ReferenceSettings {
    /// A stack that is known to be good.
    pub baseline: Option<SendSettings>,
    /// The share of requests that targets are asked a second time, from 0 to 1.
    pub self_check: f64,
}

/// Certificates to trust and to present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsIdentity {
    /// Certificates in PEM to trust instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// The chain in PEM that is shown to a target which asks for one.
    pub cert: Option<PathBuf>,
    /// Its private key in PEM; where there is none, the key is looked for in the file of [`TlsIdentity::cert`].
    pub key: Option<PathBuf>,
}

/// The limits of one target.
#[derive(Clone, Copy, Debug)]
pub struct TargetLimits {
    /// Requests that may await their answer at once; at least one, at most `target::MAX_IN_FLIGHT`.
    pub max_in_flight: usize,
    /// Streams that may be open besides: past it they take the places of requests.
    pub max_streams: usize,
    /// Until a response begins, from the send; and of one that has to end for a silence in it.
    pub timeout: Duration,
    /// For one whole response, from the send.
    pub max_time: Duration,
    /// For what is in flight when the run is stopped.
    pub drain: Duration,
}

impl From<&SendSettings> for TargetLimits {
    fn from(settings: &SendSettings) -> Self {
        Self {
            max_in_flight: settings.places(),
            max_streams: settings.max_streams,
            timeout: settings.timeout,
            max_time: settings.max_time,
            drain: settings.drain,
        }
    }
}

/// Client that connects to the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientChoice {
    /// [`super::wire`]: as captured, byte for byte.
    #[default]
    Wire,
    /// [`super::http`]: HTTP/2 through reqwest, and what a target takes in HTTP/1 alone by wire.
    Reqwest,
}

/// Mapping of requests to connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionMode {
    /// They share them, as behind a load balancer.
    #[default]
    Pooled,
    /// One for each captured connection, opened, kept and closed as that was.
    Mirrored,
}

/// Errors of a typed choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// No client has this name.
    #[error("`{typed}` is no client; write wire, which sends requests as captured, or reqwest, which speaks HTTP/2")]
    Client {
        /// Typed text.
        typed: String,
    },
    /// Neither of the two.
    #[error(
        "`{typed}` is no way to use connections; write pooled, to share them as behind a load balancer, \
         or mirrored, for one each that was captured"
    )]
    Connections {
        /// What was typed.
        typed: String,
    },
}

impl FromStr for ClientChoice {
    type Err = ChoiceError;

    fn from_str(typed: &str) -> Result<Self, ChoiceError> {
        match typed {
            "wire" => Ok(Self::Wire),
            "reqwest" => Ok(Self::Reqwest),
            _ => Err(ChoiceError::Client { typed: typed.to_owned() }),
        }
    }
}

impl FromStr for ConnectionMode {
    type Err = ChoiceError;

    fn from_str(typed: &str) -> Result<Self, ChoiceError> {
        match typed {
            "pooled" => Ok(Self::Pooled),
            "mirrored" => Ok(Self::Mirrored),
            _ => Err(ChoiceError::Connections { typed: typed.to_owned() }),
        }
    }
}
