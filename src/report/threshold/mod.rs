//! Demands on a run: `status-diff>0.1%`, `p99>1.2*production`, `body-diff{route="/v2/*"}>0`.
//!
//! Text comes in and becomes [`Thresholds`]; at the end a [`Summary`](super::schema::summary::Summary) comes in and a judgment on each
//! leaves. What is asked of a route is counted on the way by the demand's own pattern ([`ThresholdWatch`]); everything else is in
//! the summary. Nothing is sent, printed or stopped here.
//!
//! *A demand says what fails the run*, so it holds where what was measured is not past its limit. It never passes on
//! too few deliveries: then it has not held, and says how many it needs.

use std::time::Duration;

use crate::route_pattern::RouteSet;

mod bounds;
mod judge;
mod parse;
pub mod readiness;
mod results_reader;
mod watch;

pub use watch::ThresholdWatch;

/// Fewest deliveries on which a demand can hold, unless the run says otherwise.
pub(crate) const MIN_SAMPLES: u64 = 30;
/// Most demands on one run: each on the latency of a route takes some 80 KiB for each target.
pub(crate) const MAX_DEMANDS: usize = 32;

/// Thresholds of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Each demand, as typed.
    pub all: Vec<Threshold>,
    /// Fewest deliveries on which one can hold.
    pub min_samples: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { all: Vec::new(), min_samples: MIN_SAMPLES }
    }
}

/// One demand. It holds where what it measures is not past its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    typed: String,
    metric: ThresholdMetric,
    /// The one target that it is about, by name or URL; without one it has to hold for each.
    target: Option<String>,
    route: Option<RouteSet>,
    /// True when the limit itself counts as past it: `>=`.
    or_equal: bool,
    limit: ThresholdLimit,
}

impl Threshold {
    /// The one target that it is about, as typed.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The same demand about the target of this URL.
    #[must_use]
    pub fn at(self, url: String) -> Self {
        Self { target: Some(url), ..self }
    }
}

/// As typed.
impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Metric of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThresholdMetric {
    /// Deliveries whose statuses differ.
    Status,
    /// Deliveries whose header lines differ.
    Header,
    /// Deliveries whose bodies differ.
    Body,
    /// Deliveries that differ in anything.
    Any,
    /// Deliveries that failed or got 5xx, where production did not.
    Errors,
    /// Frames dropped, gaps, and requests shed.
    Lost,
    /// A figure of a latency.
    Latency(LatencyClock, LatencyFigure),
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LatencyClock {
    /// Written to first byte.
    Service,
    /// Due to first byte.
    Response,
}

/// Figure of many durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LatencyFigure {
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

/// Past what a demand does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ThresholdLimit {
    /// An absolute count.
    Count(f64),
    /// This share, from 0 to 1.
    Share(f64),
    /// This long.
    Time(Duration),
    /// A multiple of production's latency, plus a fixed time.
    Production { factor: f64, more: Duration },
}
