//! The block `routes` of the summary: what became of each route.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counts::{CountMap, LatencySummary};
use super::diff_groups::ExampleRequest;
use super::noise::NoiseOnlyCounts;
use super::target::{Differences, PairedLatency, TargetLatency};

/// Counts of one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteSummary {
    /// Method and template of the path, or `OTHER`.
    pub route: String,
    /// Requests seen.
    pub requests: u64,
    /// Responses of production to the requests that were offered.
    pub production: RouteProduction,
    /// Results of each target, by its URL.
    pub targets: BTreeMap<String, RouteTarget>,
}

/// Responses of production on one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteProduction {
    /// By class of the status: `2xx`, or `none` where no response is known.
    pub statuses: CountMap,
    /// Last byte of the request to first byte of the final response; within 3 %.
    pub latency_us: LatencySummary,
}

/// Results of one target on one route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteTarget {
    /// Final responses.
    pub sent: u64,
    /// Deliveries without one.
    pub failed: u64,
    /// Deliveries that never went out: kept back, held, shed.
    pub not_sent: u64,
    /// Final responses by class of the status.
    pub statuses: CountMap,
    /// Production status (or `none`) to shadow status (or `failed`).
    pub matrix: BTreeMap<String, CountMap>,
    /// Differences between the responses.
    pub differences: Differences,
    /// Responses that differ in noise alone, by the part that does: not among those of `differences`.
    #[serde(default, skip_serializing_if = "NoiseOnlyCounts::is_none")]
    pub differences_noise: NoiseOnlyCounts,
    /// Service and response; within 3 %. Connections belong to no route.
    pub latency_us: TargetLatency,
    /// The latencies of those whose latency in production is known, too: what ratios compare. Within 3 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired_latency_us: Option<PairedLatency>,
    /// The slowest requests, the slowest first: three at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowest: Vec<SlowRequest>,
}

/// A request that took long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlowRequest {
    /// The exchange.
    pub id: String,
    /// When its first byte was captured.
    pub at: String,
    /// What the target answered; `None` where it did not.
    pub status: Option<u16>,
    /// Last byte of the request to first byte of the response, in production.
    pub production_us: Option<u64>,
    /// The same at the target.
    pub service_us: Option<u64>,
    /// Due to first byte.
    pub response_us: u64,
    /// What was asked.
    pub request: ExampleRequest,
    /// A command line that asks it again, of the target.
    pub curl: String,
}
