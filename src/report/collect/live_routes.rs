//! Counts by route for metrics: of the routes that the user wrote down, the first of them, and of everything else.
//!
//! Metrics have as many series as the command line asks for. So what the wire has is no label: without patterns there are
//! no series by route.

use super::patterns::RoutePatterns;
use super::sparse_histogram::SparseHistogram;

/// Routes that have series of their own; those of further patterns are among the others.
pub(crate) const MAX_LABELS: usize = 50;

/// Label of everything that no such pattern names.
pub(crate) const OTHER_LABEL: &str = "other";

/// Counts of one route that was written down.
#[derive(Clone, Debug, Default)]
pub struct LiveRoute {
    /// The pattern as it was written, or [`OTHER_LABEL`].
    pub route: String,
    /// Requests seen.
    pub requests: u64,
    /// Results of each target, with its URL.
    pub targets: Vec<(String, LiveRouteTarget)>,
}

/// Results of one target on one route. What was taken back stays as it was counted first.
#[derive(Clone, Debug, Default)]
pub struct LiveRouteTarget {
    /// Final responses.
    pub sent: u64,
    /// Deliveries without one.
    pub failed: u64,
    /// Responses that differ from production's.
    pub differing: u64,
    /// Last byte of the request written to first byte of the response read.
    pub service: SparseHistogram,
}

/// Returns a route for each of the first patterns and one for everything else, without counts; none without patterns.
pub(crate) fn labels(patterns: &RoutePatterns, urls: &[String]) -> Vec<LiveRoute> {
    let route = |route: String| LiveRoute {
        route,
        requests: 0,
        targets: urls.iter().map(|url| (url.clone(), LiveRouteTarget::default())).collect(),
    };
    let mut routes: Vec<LiveRoute> = patterns.texts().take(MAX_LABELS).map(route).collect();
    if !routes.is_empty() {
        routes.push(route(OTHER_LABEL.to_owned()));
    }
    routes
}
