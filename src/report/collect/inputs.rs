//! Inputs that the stages hand to the report: of each request, of production's response, of the run so far and at its
//! end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::exchange::{Damage, Digest, ExchangeId, Response, Timestamp, digest_of_whole};
use crate::middleware::Share;
use crate::middleware::context::UnreadableCounts;
use crate::replay::{ConnNumber, RetainedResponse};
use crate::report::schema::access_log::AccessLogSummary;
use crate::report::schema::carry::CarrySummary;
use crate::report::schema::failures::DesynchronisedSummary;
use crate::report::schema::middleware::MiddlewareCounts;
use crate::report::schema::request::RunRequest;
use crate::report::schema::spoe::SpoeSummary;
use crate::report::schema::summary::{FleetEnd, Frames, MaxGap, RampEnd, SCHEMA, Streams, Summary, Tcp};
use crate::report::schema::target;
use crate::report::schema::telemetry::TelemetrySummary;

use super::histogram::LatencyHistogram;
use super::request_text::RequestText;
use super::route_name::RouteName;
use super::steps::RampSteps;
use super::unjoined::Unjoined;
use crate::report::schema::recording::RecordingSummary;

/// Gauges of a run at one moment.
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

/// Gauges of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetGauges {
    /// Open connections.
    pub connections: u64,
    /// Requests that await their response.
    pub in_flight: u64,
}

/// Some of the targets of a run, by their numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetSet(u64);

/// Facts about a request that the report keeps.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Its identity.
    pub id: ExchangeId,
    /// Capture time of its first byte.
    pub at: Timestamp,
    /// Client that sent it.
    pub client: SocketAddr,
    /// Text of the request.
    pub text: RequestText,
    /// Bytes of head and body content.
    pub bytes: u64,
    /// Bytes of body content.
    pub body_len: u64,
    /// Its route, once the report has named it.
    pub route: Option<RouteName>,
    /// Key shared by requests that ask for just the same; none where the request may change something.
    pub repeat: Option<RepeatKey>,
    /// The share that the sample let in when it was offered.
    pub share: Option<Share>,
}

/// A hash of every part of a request that a response depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatKey(pub u64);

/// Longest head that a note keeps, in bytes: a request with a longer one is shown without its header lines.
pub(crate) const MAX_NOTED_HEAD: usize = 2048;

/// The production response, as far as it is known.
#[derive(Clone, Debug)]
pub struct Production {
    /// Final status.
    pub status: u16,
    /// Content bytes seen.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty or damaged, or all of it is kept.
    pub body_sha256: Option<Digest>,
    /// Damage to it; the status is known all the same.
    pub damage: Option<Damage>,
    /// Its client left before its end, and no length says that nothing was to come.
    pub left: bool,
    /// Last byte of the request to first byte of the final response; zero for an early response, none where it is not known.
    pub latency: Option<Duration>,
    /// Head and content, where they are to be compared.
    pub kept: Option<Box<RetainedResponse>>,
}

impl Production {
    /// What is told of production's response to a request whose last byte came at `asked`; `keep` takes from it what is to be
    /// compared.
    ///
    /// # Errors
    ///
    /// Where the response to the request follows this one in another protocol.
    pub(crate) fn of(
        response: &mut Response,
        asked: Timestamp,
        keep: impl FnOnce(&mut Response) -> Option<Box<RetainedResponse>>,
    ) -> Result<Self, Unjoined> {
        if response.switches_for_the_same_request() {
            return Err(Unjoined::Upgraded);
        }
        let kept = keep(response);
        Ok(Self {
            status: response.status,
            body_len: response.body.len,
            body_sha256: response.body.sha256,
            damage: response.damage,
            left: response.left,
            latency: response.latency(asked),
            kept,
        })
    }

    /// Returns whether it ended, and all of it is known.
    pub(crate) fn is_whole(&self) -> bool {
        self.damage.is_none() && !self.left
    }
}

/// Start of a run, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Wall time.
    pub at: Timestamp,
    /// The clock that measures how long it takes.
    pub clock: tokio::time::Instant,
}

/// Statistics of the capture thread, at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaptureStats {
    /// Counts of frames.
    pub frames: Frames,
    /// Counts of reassembly.
    pub tcp: Tcp,
    /// Counts of connections by protocol.
    pub streams: Streams,
    /// Warnings, in words for people.
    pub warnings: Vec<String>,
    /// Inputs that could not be read to their end; among the `warnings` too.
    pub unread: Vec<String>,
    /// The largest share of connections that the kernel let through; `None` where it let all through.
    pub kernel_share: Option<f64>,
    /// What was read of access logs, where requests come from some.
    pub access_log: Option<AccessLogSummary>,
    /// What HAProxy told, where it is the source.
    pub spoe: Option<SpoeSummary>,
}

/// Requests that a live capture shed without room even to report them one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreportedSheds {
    /// Requests.
    pub shed: u64,
    /// Responses without request.
    pub orphans: u64,
}

/// Totals that the stages hand over at the end of a run.
#[derive(Debug, Default)]
pub struct RunTotals {
    /// Of the capture.
    pub engine: CaptureStats,
    /// Of each target, in their order.
    pub targets: Vec<TargetTotals>,
    /// The share of sampled keys that passed, where there are keys.
    pub keys: Option<f64>,
    /// Requests that the capture shed without a report of each.
    pub unheard: UnreportedSheds,
    /// Of the recording, where there was one.
    pub recording: Option<RecordingSummary>,
    /// Of middleware in processes outside, where there was any.
    pub middleware: Option<MiddlewareCounts>,
    /// Of what was sent to other systems on the way, where anything was to be.
    pub telemetry: Option<TelemetrySummary>,
    /// Bodies that were to be redacted and could not be looked into.
    pub redaction: UnreadableCounts,
    /// Changes of the share during the run.
    pub steps: RampSteps,
    /// Position of the ramp, where there was one.
    pub ramp: Option<RampEnd>,
    /// What a limit on silences shortened, where there is one.
    pub max_gap: Option<MaxGap>,
    /// What is known of all replayers of the recording, where several share it.
    pub fleet: Option<FleetEnd>,
    /// The share that the sample was asked for last; `None` where it was never changed.
    pub asked: Option<f64>,
}

/// Totals that a target's sender hands over at its end.
#[derive(Clone, Debug, Default)]
pub struct TargetTotals {
    /// Connections opened.
    pub connections_opened: u64,
    /// Most that were open at once.
    pub peak_connections: u64,
    /// Most requests that awaited their response at once.
    pub peak_in_flight: u64,
    /// Traffic to each address.
    pub addresses: Vec<target::AddressSummary>,
    /// Set-up times of the connections, TLS included.
    pub connect: LatencyHistogram,
    /// Actions of its guard, where it has one.
    pub guard: Option<target::TargetGuard>,
    /// Requests that went out once more.
    pub retried: u64,
    /// Values that were carried into its requests, by rule.
    pub carry: BTreeMap<String, CarrySummary>,
    /// Responses that came without a request, where any did.
    pub desynchronised: Option<DesynchronisedSummary>,
    /// On which connections, as far as the report was not told before.
    pub desynchronised_connections: Vec<ConnNumber>,
    /// It had a connection for each captured one.
    pub mirrored: bool,
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

    /// Returns whether the set contains this target.
    #[must_use]
    pub const fn contains(self, target: usize) -> bool {
        target < 64 && self.0 & (1 << target) != 0
    }

    /// Returns the number of targets.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns whether the set is empty.
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
