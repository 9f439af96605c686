//! What became of each route: requests, statuses, latency and bytes.
//!
//! [`JoinedExchange`]s come in, one [`RouteRow`] a route leaves. A route is the method and the path, with `{id}` in place of
//! each segment that looks like an identifier ([`template`]); the query is left out. The same exchanges in the same
//! order always give the same rows. Nothing is printed here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::exchange::{path_and_query, wire_text};

use super::histogram::{LatencyHistogram, micros};
use super::inspect::JoinedExchange;
use super::patterns::RoutePatterns;
use super::status::StatusClass;
use super::summary::LatencySummary;

/// Routes that are told apart, about 28 KiB each; those that come up once there are as many are one: [`OTHER`].
pub const MAX_ROUTES: usize = 500;

/// Longest name of a route in bytes; a longer one is cut there, and ends in `…`.
pub const MAX_ROUTE_BYTES: usize = 512;

/// The name of what has no row of its own.
pub const OTHER: &str = "(other)";

/// The name of the row of totals.
pub const ALL: &str = "(all)";

/// What stands for an identifier.
const ID: &str = "{id}";

/// Fewest hex digits, one of them decimal, that look like an identifier.
const LEAST_HEX: usize = 8;

/// Fewest characters of base64, of both cases and with a digit among them, that look like an identifier.
const LEAST_BASE64: usize = 20;

/// Longest ending, such as `html` or `m3u8`, that is kept after an identifier.
const LONGEST_ENDING: usize = 5;

/// The route of a method and a target as captured: `GET /v2/channels/{id}`.
#[must_use]
pub fn name(method: &[u8], target: &[u8]) -> String {
    let mut name = String::new();
    push_name(method, target, &mut name);
    name
}

/// Adds the [`name`] to `name`, which is empty.
pub(super) fn push_name(method: &[u8], target: &[u8], name: &mut String) {
    let path = path_and_query(target);
    let path = path.get(..memchr::memchr2(b'?', b'#', path).unwrap_or(path.len())).unwrap_or_default();
    // Identifiers may be long, what is left of them is not: twice the limit is enough to fill it, or nearly so.
    let path = path.get(..path.len().min(2 * MAX_ROUTE_BYTES)).unwrap_or_default();
    let method = method.get(..method.len().min(MAX_ROUTE_BYTES)).unwrap_or_default();
    name.push_str(&wire_text(method));
    name.push(' ');
    push_template(&wire_text(path), name);
    if name.len() > MAX_ROUTE_BYTES {
        let cut = name.char_indices().find(|(at, c)| at + c.len_utf8() > MAX_ROUTE_BYTES);
        name.truncate(cut.map_or(MAX_ROUTE_BYTES, |(at, _)| at));
        name.push('…');
    }
}

/// The path with identifiers replaced, segment by segment: numbers, dates, UUIDs, eight or more hex digits (one of
/// them decimal), twenty or more characters of base64 (in both cases, with a digit). An ending such as `.html`
/// is kept, and so is what stands before the number in `seg-00123.ts`, where that has three digits or more.
#[must_use]
pub fn template(path: &str) -> String {
    let mut template = String::with_capacity(path.len());
    push_template(path, &mut template);
    template
}

fn push_template(path: &str, template: &mut String) {
    let part = |from, to| path.get(from..to).unwrap_or_default();
    // Only what has a digit in it is replaced; all else is copied as far as it goes.
    let (mut copied, mut start, mut has_digit) = (0, 0, false);
    for (at, byte) in path.bytes().chain([b'/']).enumerate() {
        has_digit |= byte.is_ascii_digit();
        if byte == b'/' {
            if has_digit {
                template.push_str(part(copied, start));
                push_segment(part(start, at), template);
                copied = at;
            }
            (start, has_digit) = (at + 1, false);
        }
    }
    template.push_str(part(copied, path.len()));
}

fn push_segment(text: &str, template: &mut String) {
    if is_number(text) {
        template.push_str(ID);
        return;
    }
    let (stem, ending) = text.rsplit_once('.').filter(|(_, ending)| is_ending(ending)).unwrap_or((text, ""));
    let before = if is_id(stem) {
        ""
    } else {
        match stem.rsplit_once(['-', '_']) {
            Some((_, number)) if number.len() >= 3 && is_number(number) => {
                stem.strip_suffix(number).unwrap_or_default()
            }
            _ => {
                template.push_str(text);
                return;
            }
        }
    };
    let dot = if ending.is_empty() { "" } else { "." };
    for part in [before, ID, dot, ending] {
        template.push_str(part);
    }
}

fn is_ending(text: &str) -> bool {
    (1..=LONGEST_ENDING).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}

fn is_id(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    let all = |kind: fn(&u8) -> bool| text.as_bytes().iter().all(kind);
    if !has(u8::is_ascii_digit) {
        return false;
    }
    let hex = text.len() >= LEAST_HEX && all(u8::is_ascii_hexdigit);
    let base64 = text.len() >= LEAST_BASE64
        && all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=' | b'~'))
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase);
    is_numeric(text) || hex || base64 || is_uuid(text)
}

/// A number, or several as in a date: `42`, `2026-11-21`, `10:00`.
fn is_numeric(text: &str) -> bool {
    text.split(['-', '_', ':', ',', '.']).all(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 9562, 4: 8-4-4-4-12 hex digits.
fn is_uuid(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').all(hex) && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// Counts exchanges by route.
#[derive(Debug, Default)]
pub struct RouteStats {
    patterns: Arc<RoutePatterns>,
    places: HashMap<String, usize, foldhash::fast::RandomState>,
    tallies: Vec<RouteStatsTally>,
    other: Option<Box<RouteStatsTally>>,
    all: RouteStatsTally,
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
    /// Method and template of the path, or [`OTHER`].
    pub route: String,
    /// Exchanges.
    pub requests: u64,
    /// Their share of all that were counted, from 0 to 1.
    pub share: f64,
    /// How many ended with a status of each class; every class is listed, `none` is no response.
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
        let name = self.patterns.name(exchange.request.method(), exchange.request.target());
        self.tally(name).count(exchange);
        self.all.count(exchange);
    }

    /// The totals, as the row [`ALL`].
    #[must_use]
    pub fn all(&self) -> RouteRow {
        self.all.row(ALL.to_owned(), self.all.requests)
    }

    /// The rows, those with the most requests first (by name where they have as many), and [`OTHER`] last.
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

    fn tally(&mut self, name: String) -> &mut RouteStatsTally {
        let known = self.places.get(&name).copied();
        let at = known.unwrap_or(self.tallies.len());
        if known.is_none() && at < MAX_ROUTES {
            self.places.insert(name, at);
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
    use super::super::inspect::tests::{request, response};
    use super::*;
    use crate::exchange::Damage;

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
    fn segments_that_look_like_identifiers_are_one() {
        for (path, template) in [
            ("/", "/"),
            ("/v2/channels/42", "/v2/channels/{id}"),
            ("/v2/channels/42/epg", "/v2/channels/{id}/epg"),
            ("/users/f47ac10b-58cc-4372-a567-0e02b2c3d479", "/users/{id}"),
            ("/img/9f86d081884c7d65.jpg", "/img/{id}.jpg"),
            ("/t/dGhpcyBpcyBhIHRva2Vu1", "/t/{id}"),
            ("/epg/2026-11-21/20:15", "/epg/{id}/{id}"),
            ("/live/seg-00123.ts", "/live/seg-{id}.ts"),
            ("/live/1080p/12.m4s", "/live/1080p/{id}.m4s"),
            ("/10.0.0.7/x", "/{id}/x"),
        ] {
            assert_eq!(super::template(path), template);
        }
    }

    #[test]
    fn segments_that_have_a_name_are_kept() {
        for path in
            ["/v2/profile", "/facade/deadbeef", "/iphone-15", "/a//b/", "/index.html", "/epg.xml", "/café/1a", "*"]
        {
            assert_eq!(super::template(path), path);
        }
    }

    #[test]
    fn a_route_is_the_method_and_the_path_without_its_query() {
        assert_eq!(name(b"GET", b"/a/7?day=fri&x=/8"), "GET /a/{id}");
        assert_eq!(name(b"GET", b"http://h:80/a/7"), "GET /a/{id}");
        assert_eq!(name(b"OPTIONS", b"*"), "OPTIONS *");
        let long = name(b"GET", "/é".repeat(5_000).as_bytes());
        assert!(long.len() <= MAX_ROUTE_BYTES + '…'.len_utf8() && long.ends_with('…'), "{}", long.len());
        assert!(name(&[b'A'; 5_000], &[b'/'; 5_000]).len() < 600);
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
