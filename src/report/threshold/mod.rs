//! Demands on a run: `status-diff>0.1%`, `p99>1.2*production`, `body-diff{route="/v2/*"}>0`.
//!
//! Text comes in and becomes [`Thresholds`]; at the end a [`Summary`](super::schema::summary::Summary) comes in and a judgement on each
//! leaves. What is asked of a route is counted on the way by the demand's own pattern ([`ThresholdWatch`]); everything else is in
//! the summary. Nothing is sent, printed or stopped here.
//!
//! *A demand says what fails the run*, so it holds where what was measured is not past its limit. It never passes on
//! too few deliveries: then it has not held, and says how many it needs.

use std::time::Duration;

mod judge;
mod parse;
mod results_reader;
mod watch;

pub use parse::ThresholdError;
pub use watch::ThresholdWatch;

/// Fewest deliveries on which a demand can hold, unless the run says otherwise.
pub const MIN_SAMPLES: u64 = 30;
/// Most demands on one run: each on the latency of a route takes some 80 KiB for each target.
pub const MAX_DEMANDS: usize = 32;

/// What is demanded of a run.
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
    route: Option<RoutePattern>,
    /// Whether the limit itself is past it: `>=`.
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

    /// Whether it is about a route.
    #[must_use]
    pub const fn has_route(&self) -> bool {
        self.route.is_some()
    }
}

/// As typed.
impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.typed)
    }
}

/// What is measured.
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

/// Which figure of many durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LatencyFigure {
    Mean,
    P50,
    P90,
    P99,
    P999,
    Max,
}

/// Past what a demand does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ThresholdLimit {
    /// So many.
    Count(f64),
    /// This share, from 0 to 1.
    Share(f64),
    /// This long.
    Time(Duration),
    /// So many times what production took, and so much more.
    Production { factor: f64, more: Duration },
}

/// A path, or a method and a path, in which `*` stands for anything: `/v2/*`, `GET /v2/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RoutePattern {
    method: Option<String>,
    /// What stands between the asterisks.
    pieces: Vec<String>,
}

impl RoutePattern {
    fn new(typed: &str) -> Self {
        let (method, path) = match typed.split_once(' ') {
            Some((method, path)) if !method.is_empty() => (Some(method.to_owned()), path.trim_start()),
            _ => (None, typed),
        };
        Self { method, pieces: path.split('*').map(str::to_owned).collect() }
    }

    fn is_of(&self, method: &[u8], path: &str) -> bool {
        self.method.as_deref().is_none_or(|own| own.as_bytes() == method) && self.is_path(path)
    }

    /// The first piece at the beginning, the last one at the end, those between in their order.
    fn is_path(&self, path: &str) -> bool {
        let Some((first, others)) = self.pieces.split_first() else { return false };
        let Some((last, between)) = others.split_last() else { return path == first };
        let Some(rest) = path.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        let found =
            between.iter().try_fold(rest, |rest, piece| rest.split_once(piece.as_str()).map(|(_, after)| after));
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_path_with_asterisks_and_perhaps_a_method() {
        for (pattern, method, path, is_of) in [
            ("/v2/*", "GET", "/v2/", true),
            ("/v2/*", "POST", "/v2/a/b", true),
            ("/v2/*", "GET", "/v1/v2/", false),
            ("/v2", "GET", "/v2", true),
            ("/v2", "GET", "/v2/", false),
            ("GET /v2/*", "GET", "/v2/a", true),
            ("GET /v2/*", "POST", "/v2/a", false),
            ("/users/*/items/*", "GET", "/users/7/items/9", true),
            ("/users/*/items/*", "GET", "/users/7/item/9", false),
            ("*/live*", "GET", "/a/live/b", true),
            ("/a*a", "GET", "/a", false),
            ("*", "GET", "/", true),
            ("/a*b*b", "GET", "/ab", false),
        ] {
            assert_eq!(RoutePattern::new(pattern).is_of(method.as_bytes(), path), is_of, "{pattern} {method} {path}");
        }
    }
}
