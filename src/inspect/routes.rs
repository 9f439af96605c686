//! Counts by route: requests, statuses, latency and bytes.
//!
//! The input is [`JoinedExchange`]s, the result one [`RouteRow`] per route. A route is the method and the path, with
//! `{id}` in place of each segment that looks like an identifier
//! (`template`); the query is left out. The same exchanges in the same
//! order always give the same rows. Nothing is printed here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::recording::JoinedExchange;
use crate::report::collect::histogram::{LatencyHistogram, micros};
use crate::report::collect::patterns::RoutePatterns;
use crate::report::collect::route_name::OTHER;
use crate::report::collect::status::StatusClass;
use crate::report::schema::counts::LatencySummary;

/// Most routes with a row of their own, about 28 KiB each. Later ones share the row [`OTHER`].
pub(crate) const MAX_ROUTES: usize = 500;

/// The name of the row of totals.
pub const ALL: &str = "(all)";

/// Counts exchanges by route.
#[derive(Debug, Default)]
pub struct RouteStats {
    patterns: Arc<RoutePatterns>,
    places: HashMap<String, usize, foldhash::fast::RandomState>,
    tallies: Vec<RouteStatsTally>,
    other: Option<Box<RouteStatsTally>>,
    all: RouteStatsTally,
    /// Memory for names, used again.
    name: String,
}

/// Counts of one route.
#[derive(Clone, Debug)]
struct RouteStatsTally {
    requests: u64,
    /// In the order of [`Class::ALL`].
    statuses: [u64; StatusClass::ALL.len()],
    latency: LatencyHistogram,
    request_bytes: u64,
    response_bytes: u64,
}

impl Default for RouteStatsTally {
    fn default() -> Self {
        Self {
            requests: 0,
            statuses: [0; StatusClass::ALL.len()],
            latency: LatencyHistogram::coarse(),
            request_bytes: 0,
            response_bytes: 0,
        }
    }
}

/// One route, counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteRow {
    /// Method and template of the path, or `OTHER`.
    pub route: String,
    /// Exchanges.
    pub requests: u64,
    /// Their share of all that were counted, from 0 to 1.
    pub share: f64,
    /// Exchanges by status class; every class is listed, `none` is no response.
    pub statuses: BTreeMap<&'static str, u64>,
    /// Last byte of the request to first byte of the final response; two significant digits.
    pub latency_us: LatencySummary,
    /// Heads and body content of the requests.
    pub request_bytes: u64,
    /// Heads and body content of the final responses.
    pub response_bytes: u64,
}

impl RouteStats {
    /// No counts yet; what `patterns` name is named so, anything else by its shape.
    #[must_use]
    pub fn new(patterns: Arc<RoutePatterns>) -> Self {
        Self { patterns, ..Self::default() }
    }

    /// Counts one exchange.
    pub fn take(&mut self, exchange: &JoinedExchange) {
        let mut name = std::mem::take(&mut self.name);
        self.patterns.name_in(exchange.request.method(), exchange.request.target(), &mut name);
        self.tally(&name).count(exchange);
        self.name = name;
        self.all.count(exchange);
    }

    /// The totals, as the row [`ALL`].
    #[must_use]
    pub fn all(&self) -> RouteRow {
        self.all.row(ALL.to_owned(), self.all.requests)
    }

    /// The rows, those with the most requests first (by name where they have as many), and `OTHER` last.
    #[must_use]
    pub fn rows(&self) -> Vec<RouteRow> {
        let all = self.all.requests;
        let mut rows: Vec<RouteRow> = self
            .places
            .iter()
            .filter_map(|(name, at)| self.tallies.get(*at).map(|tally| tally.row(name.clone(), all)))
            .collect();
        rows.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.route.cmp(&b.route)));
        rows.extend(self.other.as_ref().map(|other| other.row(OTHER.to_owned(), all)));
        rows
    }

    fn tally(&mut self, name: &str) -> &mut RouteStatsTally {
        let known = self.places.get(name).copied();
        let at = known.unwrap_or(self.tallies.len());
        if known.is_none() && at < MAX_ROUTES {
            self.places.insert(name.to_owned(), at);
            self.tallies.push(RouteStatsTally::default());
        }
        match self.tallies.get_mut(at) {
            Some(tally) => tally,
            None => self.other.get_or_insert_default(),
        }
    }
}

impl RouteStatsTally {
    fn count(&mut self, exchange: &JoinedExchange) {
        self.requests += 1;
        self.request_bytes += exchange.request.bytes();
        let response = exchange.response.as_deref().ok();
        let class = StatusClass::of(response.map(|response| response.status));
        for (count, _) in self.statuses.iter_mut().zip(StatusClass::ALL).filter(|(_, known)| *known == class) {
            *count += 1;
        }
        if let Some(response) = response {
            self.response_bytes += response.head.as_bytes().len() as u64 + response.body.len;
            if let Some(latency) = response.latency(exchange.request.last_byte) {
                self.latency.record_us(micros(latency));
            }
        }
    }

    fn row(&self, route: String, all: u64) -> RouteRow {
        RouteRow {
            route,
            requests: self.requests,
            share: if all == 0 { 0.0 } else { self.requests as f64 / all as f64 },
            statuses: StatusClass::ALL.iter().map(|class| class.key()).zip(self.statuses).collect(),
            latency_us: self.latency.figures(),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Damage;
    use crate::testing::{request, response};

    fn exchange(head: &str, status: Option<u16>) -> JoinedExchange {
        let request = request(1, &format!("{head} HTTP/1.1\r\n\r\n"));
        JoinedExchange { request, response: status.map(response).ok_or(Damage::NoResponse) }
    }

    fn counted(exchanges: &[(&str, Option<u16>)]) -> Vec<RouteRow> {
        let mut routes = RouteStats::default();
        for (head, status) in exchanges {
            routes.take(&exchange(head, *status));
        }
        routes.rows()
    }

    #[test]
    fn rows_are_counted_and_the_busiest_comes_first() {
        let rows = counted(&[
            ("GET /b", Some(200)),
            ("GET /a/1", Some(200)),
            ("GET /a/2?q", Some(503)),
            ("GET /a/3", None),
            ("GET /a", Some(101)),
        ]);
        let names: Vec<&str> = rows.iter().map(|row| row.route.as_str()).collect();
        assert_eq!(names, ["GET /a/{id}", "GET /a", "GET /b"]);
        let first = &rows[0];
        assert_eq!((first.requests, first.share, first.latency_us.count), (3, 0.6, 2));
        assert_eq!((first.statuses["2xx"], first.statuses["5xx"], first.statuses["none"]), (1, 1, 1));
        assert_eq!(rows[1].statuses["1xx"], 1);
        assert_eq!(rows.iter().flat_map(|row| row.statuses.values()).sum::<u64>(), 5);
    }

    #[test]
    fn routes_past_the_limit_are_one_and_come_last() {
        let mut routes = RouteStats::default();
        for n in 0..MAX_ROUTES + 20 {
            routes.take(&exchange(&format!("GET /r{n}x"), Some(200)));
        }
        routes.take(&exchange("GET /r0x", Some(200)));
        let rows = routes.rows();
        assert_eq!(rows.len(), MAX_ROUTES + 1);
        assert_eq!((rows[0].route.as_str(), rows[0].requests), ("GET /r0x", 2));
        assert_eq!((rows[MAX_ROUTES].route.as_str(), rows[MAX_ROUTES].requests), (OTHER, 20));
    }

    #[test]
    fn a_row_has_its_keys() {
        let row = serde_json::to_value(&counted(&[("GET /a/1", Some(200))])[0]).unwrap();
        let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["latency_us", "request_bytes", "requests", "response_bytes", "route", "share", "statuses"],
            "{row}"
        );
        assert_eq!(row["statuses"].as_object().unwrap().len(), StatusClass::ALL.len());
    }
}
