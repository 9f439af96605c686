//! What the stages hand to the report: of each request, of production's response, of the run so far and at its end.

use std::net::SocketAddr;
use std::time::Duration;

use crate::exchange::{Damage, Digest, ExchangeId, Timestamp, digest_of_whole};
use crate::middleware::context::UnreadableCounts;
use crate::replay::{ConnNumber, RetainedResponse};
use crate::report::schema::failures::DesynchronisedSummary;
use crate::report::schema::middleware::MiddlewareCounts;
use crate::report::schema::request::RunRequest;
use crate::report::schema::summary::{Frames, MaxGap, RampEnd, RecordingSummary, SCHEMA, Streams, Summary, Tcp};
use crate::report::schema::target;

use super::histogram::LatencyHistogram;
use super::request_text::RequestText;
use super::route_name::RouteName;
use super::steps::RampSteps;

/// How much there is at one moment of what comes and goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunGauges {
    /// Frames dropped and gaps, those since the last level.
    pub lost: u64,
    /// The share that the sample is asked for, from 0 to 1; 0 while nothing is to be sent.
    pub share: Option<f64>,
    /// Captured connections that are open.
    pub connections: Option<u64>,
    /// Of each target, in their order.
    pub targets: Vec<TargetGauges>,
}

/// How much there is at one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetGauges {
    /// Open connections.
    pub connections: u64,
    /// Requests that await their answer.
    pub in_flight: u64,
}

/// Some of the targets of a run, by their numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetSet(u64);

/// What the report keeps of a request.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Its identity.
    pub id: ExchangeId,
    /// When its first byte was captured.
    pub at: Timestamp,
    /// Who sent it.
    pub client: SocketAddr,
    /// What it says.
    pub text: RequestText,
    /// Bytes of head and body content.
    pub bytes: u64,
    /// Bytes of body content.
    pub body_len: u64,
    /// Its route, once the report has named it.
    pub route: Option<RouteName>,
    /// What it has in common with requests that ask for just the same; none where it may change something.
    pub repeat: Option<RepeatKey>,
}

/// A hash of all that an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatKey(pub u64);

/// Longest head that a note keeps, in bytes: a request with a longer one is shown without its header lines.
pub const MAX_NOTED_HEAD: usize = 2048;

/// The production response, as far as it is known.
#[derive(Clone, Debug)]
pub struct Production {
    /// Final status.
    pub status: u16,
    /// Content bytes seen.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty or damaged, or all of it is kept.
    pub body_sha256: Option<Digest>,
    /// What is missing of it; the status is known all the same.
    pub damage: Option<Damage>,
    /// Its client left first, where only the end of the connection tells its end.
    pub left: bool,
    /// Last byte of the request to first byte of the final response; zero for an early response, none where it is not known.
    pub latency: Option<Duration>,
    /// Head and content, where they are to be compared.
    pub kept: Option<Box<RetainedResponse>>,
}

/// When a run began, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Wall time.
    pub at: Timestamp,
    /// The clock that measures how long it takes.
    pub clock: tokio::time::Instant,
}

/// What the capture thread hands over at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    /// What became of frames.
    pub frames: Frames,
    /// What reassembly saw.
    pub tcp: Tcp,
    /// What the connections spoke.
    pub streams: Streams,
    /// What went wrong on the way, in words for people.
    pub warnings: Vec<String>,
    /// Inputs that could not be read to their end; among the `warnings` too.
    pub unread: Vec<String>,
}

/// What a live capture shed and could not even tell as it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreportedSheds {
    /// Requests.
    pub shed: u64,
    /// Responses without request.
    pub orphans: u64,
}

/// What the stages hand over at the end of a run.
#[derive(Debug, Default)]
pub struct RunTotals {
    /// Of the capture.
    pub engine: CaptureStats,
    /// Of each target, in their order.
    pub targets: Vec<TargetTotals>,
    /// The share of sampled keys that passed, where there are keys.
    pub keys: Option<f64>,
    /// What the capture shed unheard.
    pub unheard: UnreportedSheds,
    /// Of the recording, where there was one.
    pub recording: Option<RecordingSummary>,
    /// Of middleware in processes outside, where there was any.
    pub middleware: Option<MiddlewareCounts>,
    /// Bodies that were to be redacted and could not be looked into.
    pub redaction: UnreadableCounts,
    /// What changed the share on the way.
    pub steps: RampSteps,
    /// How far the ramp came, where there was one.
    pub ramp: Option<RampEnd>,
    /// What a limit on silences shortened, where there is one.
    pub max_gap: Option<MaxGap>,
    /// The share that the sample was asked for last; `None` where it was never changed.
    pub asked: Option<f64>,
}

/// What a target's sender hands over at its end.
#[derive(Clone, Debug, Default)]
pub struct TargetTotals {
    /// Connections opened.
    pub connections_opened: u64,
    /// Most that were open at once.
    pub peak_connections: u64,
    /// Most requests that awaited their answer at once.
    pub peak_in_flight: u64,
    /// What went to each address.
    pub addresses: Vec<target::AddressSummary>,
    /// How long each connection took to set up, TLS included.
    pub connect: LatencyHistogram,
    /// What its guard did, where it has one.
    pub guard: Option<target::TargetGuard>,
    /// Requests that went out once more.
    pub retried: u64,
    /// Responses that came without a request, where any did.
    pub desynchronised: Option<DesynchronisedSummary>,
    /// On which connections, as far as the report was not told before.
    pub desynchronised_connections: Vec<ConnNumber>,
}

/// A summary that says who ran and when, and nothing yet of what happened.
pub(crate) fn blank(command: &str, started: Started, asked: RunRequest) -> Summary {
    Summary {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command.to_owned(),
        started: started.at.to_string(),
        asked: Some(asked),
        // Milliseconds: the rest is noise.
        duration_s: (started.clock.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        ..Summary::default()
    }
}

impl TargetSet {
    /// The first `count` targets.
    #[must_use]
    pub fn first(count: usize) -> Self {
        (0..count).collect()
    }

    /// Whether it has this target.
    #[must_use]
    pub const fn contains(self, target: usize) -> bool {
        target < 64 && self.0 & (1 << target) != 0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, from the least.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let least = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(least as usize)
        })
    }
}

/// Numbers from 64 on are left out.
impl FromIterator<usize> for TargetSet {
    fn from_iter<I: IntoIterator<Item = usize>>(targets: I) -> Self {
        Self(targets.into_iter().filter(|target| *target < 64).fold(0, |set, target| set | 1 << target))
    }
}

impl Production {
    /// Keeps of the body but its hash.
    pub(crate) fn drop_body(&mut self) {
        if let Some(kept) = &mut self.kept {
            let body = kept.let_body_go();
            self.body_sha256 = self.body_sha256.or_else(|| digest_of_whole(&body?, self.body_len));
        }
    }
}

impl Started {
    /// Reads both clocks: the run begins now.
    #[must_use]
    pub fn now() -> Self {
        let nanos = jiff::Timestamp::now().as_nanosecond();
        let at = Timestamp::from_nanos(u64::try_from(nanos).unwrap_or_default());
        Self { at, clock: tokio::time::Instant::now() }
    }
}
