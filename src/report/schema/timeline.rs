//! The block `timeline` of the summary: what happened when.

use serde::{Deserialize, Serialize};

use super::counts::is_zero;

/// Counts over time. Zeros and unknown values are left out of points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timeline {
    /// Start of the first point, which is that of the run: UTC, RFC 3339.
    pub start: String,
    /// Width of a point, in seconds.
    pub width_s: u64,
    /// How many seconds the last point has so far: its counts are of these.
    #[serde(default)]
    pub last_s: f64,
    /// The targets' URLs, in the order of [`TimelinePoint::targets`].
    pub targets: Vec<String>,
    /// The points, without a gap between them.
    pub points: Vec<TimelinePoint>,
}

/// Counts within one point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TimelinePoint {
    /// Requests seen.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: u64,
    /// Requests that ended before any target.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ended: u64,
    /// Frames dropped, gaps, and requests shed before any target.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// The share that the sample was asked for at its end, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Captured connections that were open at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Responses of production.
    #[serde(default)]
    pub production: ProductionPoint,
    /// Results of each target.
    #[serde(default)]
    pub targets: Vec<TargetPoint>,
}

/// Responses of production within one point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProductionPoint {
    /// Final responses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub responses: u64,
    /// Responses with a status of 500 to 599.
    #[serde(default, rename = "5xx", skip_serializing_if = "is_zero")]
    pub server_errors: u64,
    /// Median latency.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p50_us: u64,
    /// Latency that 95 of 100 are not above.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p95_us: u64,
    /// Latency that 99 of 100 are not above.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p99_us: u64,
}

/// Results of one target within one point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetPoint {
    /// Final responses.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent: u64,
    /// Deliveries without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Responses with a status of 500 to 599.
    #[serde(default, rename = "5xx", skip_serializing_if = "is_zero")]
    pub server_errors: u64,
    /// Deliveries that the guard held back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Deliveries that were thrown away.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shed: u64,
    /// Median latency, from when a request was due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p50_us: u64,
    /// Latency that 95 of 100 are not above, from when a request was due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p95_us: u64,
    /// Latency that 99 of 100 are not above, from when a request was due.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub p99_us: u64,
    /// Lag of the latest request behind its schedule, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lag_us: u64,
    /// Connections that were open at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Requests that awaited their response at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
}
