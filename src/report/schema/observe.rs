//! The block `observe` of the summary: what HAProxy would have done with each target as its server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::is_zero;

/// `observe layer7`, played through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObserveSummary {
    /// The rule, as typed.
    pub rule: String,
    /// What would have become of each target, by its URL.
    pub targets: BTreeMap<String, ObservedServer>,
}

/// What HAProxy would have done with one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObservedServer {
    /// Responses that were seen, and deliveries without one.
    pub requests: u64,
    /// Requests that would have gone to other servers while it was down.
    pub sent_back: u64,
    /// Times for which it would have been down, the first of them.
    pub downs: Vec<DownTime>,
    /// Further ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_downs: u64,
    /// Windows that were slow while the server was up, the first of them.
    pub slow: Vec<SlowWindow>,
    /// Further ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_slow: u64,
}

/// A time for which HAProxy would have marked the server down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DownTime {
    /// When it would have marked it down: UTC, RFC 3339.
    pub at: String,
    /// How long, in seconds; until the last response where it would not have come up again.
    pub lasted_s: f64,
    /// Whether it would have come up again within the run.
    pub ended: bool,
    /// Requests that would have gone to other servers.
    pub requests: u64,
}

/// A window that was slow while the server was up, which `observe layer7` does not see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlowWindow {
    /// Its begin.
    pub at: String,
    /// Its percentile, in microseconds.
    pub latency_us: u64,
    /// Responses in it.
    pub responses: u64,
}
