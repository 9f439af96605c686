//! Families by route, for the routes that the user wrote down.

use crate::report::Snapshot;

use super::page::MetricsPage;

/// Percentiles of a route, as labels and as shares.
const QUANTILES: [(&str, f64); 3] = [("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99)];

/// Writes what became of each route.
pub(super) fn routes(page: &mut MetricsPage, snapshot: &Snapshot) {
    let mut seen = page.counter("shadowtap_route_requests_total", "Requests seen, by route of --routes.");
    for route in &snapshot.routes {
        seen.count(&[("route", &route.route)], route.requests);
    }
    let targets =
        || snapshot.routes.iter().flat_map(|route| route.targets.iter().map(|(url, one)| (&route.route, url, one)));
    let mut ended = page.counter(
        "shadowtap_route_deliveries_total",
        "Deliveries that got a response or failed, by route of --routes, target and outcome.",
    );
    for (route, target, one) in targets() {
        for (outcome, count) in [("sent", one.sent), ("failed", one.failed)] {
            ended.count(&[("target", target), ("route", route), ("outcome", outcome)], count);
        }
    }
    let mut differing =
        page.counter("shadowtap_route_differences_total", "Responses that differ, by route of --routes and target.");
    for (route, target, one) in targets() {
        differing.count(&[("target", target), ("route", route)], one.differing);
    }
    let mut took = page.gauge(
        "shadowtap_route_service_latency_seconds",
        "Percentiles of the service time so far, by route of --routes and target.",
    );
    for (route, target, one) in targets().filter(|(_, _, one)| one.service.count() > 0) {
        for (quantile, share) in QUANTILES {
            let labels = [("target", target.as_str()), ("route", route.as_str()), ("quantile", quantile)];
            took.value(&labels, one.service.quantile_us(share) as f64 / 1e6);
        }
    }
}
