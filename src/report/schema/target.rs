//! The block of one target: the ledger of its deliveries, and how its responses compare.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::replay::GuardState;

use super::carry::CarrySummary;
use super::counts::{CountMap, LatencySummary, is_zero, sum};
use super::failures::{DesynchronisedSummary, FailureReason};
use super::noise::NoiseOnlyCounts;

/// Latencies of the same requests on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PairedLatency {
    /// In production.
    pub production: LatencySummary,
    /// At the target: last byte of the request written to first byte of the response read.
    pub service: LatencySummary,
    /// At the target: due to first byte.
    pub response: LatencySummary,
}

/// The ledger of deliveries to one target, and the comparison of its responses: `offered` = `in_flight` + all of
/// `ended`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetSummary {
    /// Deliveries begun.
    pub offered: u64,
    /// Deliveries that did not end before the run did.
    pub in_flight: u64,
    /// Outcomes of the others.
    pub ended: TargetEnded,
    /// Final statuses.
    pub statuses: CountMap,
    /// Connections opened.
    pub connections_opened: u64,
    /// Most that were open at once.
    pub peak_connections: u64,
    /// Most requests that awaited their response at once.
    pub peak_in_flight: u64,
    /// Traffic to each address of the target's name; empty where the client does not distinguish them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressSummary>,
    /// Durations at the target, in microseconds.
    pub latency_us: TargetLatency,
    /// The latencies of those whose latency in production is known, too: what ratios compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired_latency_us: Option<PairedLatency>,
    /// Lag of the sends behind their schedule, in microseconds; `None` without a schedule.
    pub schedule_lag_us: Option<LatencySummary>,
    /// Production status (or `none`) to shadow status (or `failed`): one cell a delivery that was sent or failed.
    pub matrix: BTreeMap<String, CountMap>,
    /// Differences between the responses.
    pub differences: Differences,
    /// Responses that differ in noise alone, by the part that does: not among those of `differences`.
    #[serde(default)]
    pub differences_noise: NoiseOnlyCounts,
    /// Actions of its guard, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<TargetGuard>,
    /// Reasons of failed deliveries, the most frequent first; in words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureReason>,
    /// Requests that went out once more, over a new connection, because theirs was closed without a byte of a response, or,
    /// over HTTP/2, because the target said that it did not process them or the connection had not taken them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u64,
    /// Responses that were closed before their end, since production's had no end either or they had had their time, by
    /// reason; among `sent`.
    #[serde(default, skip_serializing_if = "CountMap::is_empty")]
    pub closed_early: CountMap,
    /// Of `ended.guard_held`, those that were held while somebody had paused the run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paused: u64,
    /// Values that were carried from responses into later requests, by rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub carry: BTreeMap<String, CarrySummary>,
    /// How long requests waited for values that they were to carry, in microseconds; none of it is lag or latency. `None`
    /// where none waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carry_wait_us: Option<LatencySummary>,
    /// Responses that came without a request, where any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desynchronised: Option<DesynchronisedSummary>,
    /// True where it had a connection for each captured one (`--connections mirrored`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mirrored: bool,
}

/// Actions of a target's guard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetGuard {
    /// State at the end of the run.
    pub state: GuardState,
    /// The share that it holds back then, of what the sample lets in, from 0 to 1; a trickle is let through all the same.
    pub held_share: f64,
    /// Number of times the guard found the target past its limits.
    pub trips: u64,
    /// Last reason, in words for people.
    pub reason: Option<String>,
}

/// One address of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AddressSummary {
    /// IP address and port.
    pub address: String,
    /// Connections opened to it.
    pub connections_opened: u64,
    /// Attempts to connect to it that failed, or were given up for a quicker address.
    pub connections_failed: u64,
    /// Requests that were written to it.
    pub requests: u64,
}

/// Outcomes of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetEnded {
    /// A final response came, whatever its status.
    pub sent: u64,
    /// A filter of this target kept them back, by rule.
    pub filtered: CountMap,
    /// They were not in this target's sample.
    pub sampled_out: u64,
    /// A rate limit kept them back.
    pub rate_limited: u64,
    /// The guard held them back, or a pause.
    pub guard_held: u64,
    /// They were thrown away, by place.
    pub shed: CountMap,
    /// No final response came, by kind; every kind is listed.
    pub failed: CountMap,
}

/// Durations at one target, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetLatency {
    /// Setting up a connection, TLS included.
    pub connect: LatencySummary,
    /// Last byte of the request written to first byte of the response read.
    pub service: LatencySummary,
    /// Due to first byte: what a user would have felt.
    pub response: LatencySummary,
}

/// Differences between responses, of those deliveries whose both responses are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Differences {
    /// Deliveries whose both responses are known.
    pub compared: u64,
    /// Deliveries that differ in anything at all.
    #[serde(default)]
    pub any: u64,
    /// Deliveries whose statuses differ.
    pub status: u64,
    /// Deliveries whose header fields differ, of the same status.
    pub headers: u64,
    /// Deliveries whose bodies differ: in their content where that can be read, else in length or hash. Not counted:
    /// responses to HEAD, and those under `bodies_unknown`.
    pub body: u64,
    /// Deliveries of which it is not known whether their bodies differ: production's was captured in part, or there was
    /// no room to keep them, or comparing them would have taken too much time or memory; and their hashes are not the
    /// same.
    #[serde(default)]
    pub bodies_unknown: u64,
    /// The same by reason, of a target; left out where there are none.
    #[serde(default, skip_serializing_if = "CountMap::is_empty")]
    pub bodies_unknown_reasons: CountMap,
}

impl Default for TargetEnded {
    fn default() -> Self {
        Self {
            sent: 0,
            filtered: CountMap::new(),
            sampled_out: 0,
            rate_limited: 0,
            guard_held: 0,
            shed: CountMap::new(),
            failed: crate::exchange::FailureKind::ALL.map(|kind| (kind.key().to_owned(), 0)).into(),
        }
    }
}

impl TargetEnded {
    /// Returns the sum of the block.
    #[must_use]
    pub fn total(&self) -> u64 {
        let plain = self.sent + self.sampled_out + self.rate_limited + self.guard_held;
        plain + sum(&self.filtered) + sum(&self.shed) + sum(&self.failed)
    }
}

impl TargetSummary {
    /// Returns the deliveries that were held back, by what held them.
    #[must_use]
    pub fn held(&self) -> [(u64, &'static str); 2] {
        let guard = self.ended.guard_held.saturating_sub(self.paused);
        [(guard, "held back by the guard"), (self.paused, "held back during a pause")]
    }
}

impl Differences {
    /// Deliveries that differ in anything; of a summary that does not say, as many as must.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.any.max(self.status).max(self.headers).max(self.body)
    }
}
