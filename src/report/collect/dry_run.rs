//! What a run would send: requests by destination, method and route, and why the others would be kept back.
//!
//! In go the requests as they pass the chain, or how they end; out come the counts. Nothing is sent or printed here.

use std::sync::Arc;
use std::time::Duration;

use super::patterns::RoutePatterns;
use super::route_name::{MAX_ROUTES, OTHER};
use crate::exchange::{Outcome, Request, wire_text};
use crate::report::schema::counts::{CountMap, count};

/// Requests of each destination that are kept to be shown.
pub(crate) const SHOWN_REQUESTS: usize = 3;
/// Methods that are counted apart; further ones are counted as one.
const MAX_METHODS: usize = 32;
/// Longest name of a method that is shown, in bytes.
const MAX_METHOD_BYTES: usize = 32;

/// Counts of what a run would send, and where.
#[derive(Clone, Debug, Default)]
pub struct DryRunTally {
    patterns: Arc<RoutePatterns>,
    /// Requests that were seen.
    pub seen: u64,
    /// Requests that would end before any destination, by reason, in words for people.
    pub kept_back: CountMap,
    /// Destinations in the order of the command line: targets, the baseline, a recording.
    pub destinations: Vec<DestinationTally>,
    /// Due time of the last request, from the start of the run; `None` without a schedule.
    pub length: Option<Duration>,
    /// What would be carried from responses into later requests, rule by rule.
    pub carried: Vec<CarryForecast>,
    /// Remarks for people.
    pub remarks: Vec<String>,
}

/// What one rule would carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarryForecast {
    /// Name of the rule.
    pub rule: String,
    /// Values that production issued to requests that would go out.
    pub issued: u64,
    /// Requests that bring such a value back.
    pub known: u64,
    /// Requests with a value that no response before them had issued.
    pub unknown: u64,
}

/// Counts of one destination.
#[derive(Clone, Debug, Default)]
pub struct DestinationTally {
    /// Address, with its name where it has one; or the path of a recording.
    pub name: String,
    /// Requests that would go there.
    pub requests: u64,
    /// Bytes of their heads as captured, and of their bodies' content.
    pub bytes: u64,
    /// Requests by method.
    pub methods: CountMap,
    /// Requests by route.
    pub routes: CountMap,
    /// Requests that would end on the way to this destination only, by reason, in words for people.
    pub kept_back: CountMap,
    /// The first requests, as they would go out.
    pub first: Vec<ShownRequest>,
}

/// A request as it would go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRequest {
    /// Its head, byte for byte.
    pub head: Vec<u8>,
    /// Content bytes of its body.
    pub body: u64,
}

impl DryRunTally {
    /// No counts yet; routes are named by `patterns`, or by their shape.
    #[must_use]
    pub fn new(patterns: Arc<RoutePatterns>, destinations: impl IntoIterator<Item = String>) -> Self {
        let destinations =
            destinations.into_iter().map(|name| DestinationTally { name, ..DestinationTally::default() });
        Self { patterns, destinations: destinations.collect(), ..Self::default() }
    }

    /// Returns the requests that would go out, to all destinations together.
    #[must_use]
    pub fn would_send(&self) -> u64 {
        self.destinations.iter().map(|destination| destination.requests).sum()
    }

    /// Names the route of a request as captured.
    #[must_use]
    pub fn route(&self, request: &Request) -> String {
        self.patterns.name(request.method(), request.target())
    }

    /// Counts a request that ended so before any destination, at this link of a chain file where one ended it.
    pub(crate) fn keep_back(&mut self, outcome: &Outcome, link: Option<&str>) {
        count(&mut self.kept_back, &reason(outcome, link));
    }
}

impl DestinationTally {
    /// Counts a request of this route that would go out; `head` makes its head, where it is to be shown.
    pub fn send(&mut self, request: &Request, route: &str, head: impl FnOnce() -> Vec<u8>) {
        self.requests += 1;
        self.bytes += request.bytes();
        let method = request.method();
        let method = wire_text(method.get(..MAX_METHOD_BYTES).unwrap_or(method));
        count_within(&mut self.methods, &method, MAX_METHODS);
        count_within(&mut self.routes, route, MAX_ROUTES);
        if self.first.len() < SHOWN_REQUESTS {
            self.first.push(ShownRequest { head: head(), body: request.body.len });
        }
    }

    /// Counts a request that passed, and the target that a route chose for it, where there is a route.
    pub fn pass(&mut self, target: Option<&str>) {
        self.requests += 1;
        if let Some(target) = target {
            count_within(&mut self.routes, target, MAX_ROUTES);
        }
    }

    /// Counts a request that ended so on the way to this destination.
    pub(crate) fn keep_back(&mut self, outcome: &Outcome, link: Option<&str>) {
        count(&mut self.kept_back, &reason(outcome, link));
    }
}

/// Counts one more under `key`, or under [`OTHER`] where there are `most` keys already.
fn count_within(counts: &mut CountMap, key: &str, most: usize) {
    let key = if counts.len() < most || counts.contains_key(key) { key } else { OTHER };
    count(counts, key);
}

/// Returns why a request would be kept back, in words for people; `link` is the link of a chain file that ended it.
fn reason(outcome: &Outcome, link: Option<&str>) -> String {
    let rule = match (outcome, link) {
        (Outcome::Filtered(rule), Some(link)) if rule == "route" => return format!("no target by {link}"),
        (_, Some(link)) => return format!("kept back by {link}"),
        (Outcome::Filtered(rule), None) => &**rule,
        (Outcome::SampledOut, None) => return "not in the sample (--sample)".to_owned(),
        (Outcome::RateLimited, None) => return "past the rate limit (--limit)".to_owned(),
        (Outcome::Malformed(_), None) => return "malformed in the capture".to_owned(),
        (Outcome::Incomplete(why), None) => {
            return format!("incomplete in the capture ({})", why.key().replace('_', " "));
        }
        (Outcome::Shed(_), None) => return "without the body, which was too large to keep".to_owned(),
        (Outcome::Failed(_), None) => return "cannot be sent by this client".to_owned(),
        (other, None) => return other.key().replace('_', " "),
    };
    match rule {
        "writes" => "writes (sent with --allow-writes only)".to_owned(),
        "allow-method" | "allow-path" | "deny-path" | "allow-host" => format!("kept back by --{rule}"),
        "mark" => "sent by shadowtap itself (--mark)".to_owned(),
        "route" => "no target by its route".to_owned(),
        rule => format!("kept back by filter {rule}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Incomplete;
    use crate::testing::request;

    #[test]
    fn the_first_requests_are_kept_and_all_are_counted() {
        let mut tally = DryRunTally::new(Arc::default(), ["http://a".to_owned(), "http://b".to_owned()]);
        for n in 0..5 {
            let request = request(n, &format!("GET /x/{n} HTTP/1.1\r\n\r\n"));
            let route = tally.route(&request);
            tally.destinations[1].send(&request, &route, || vec![u8::try_from(n).unwrap()]);
        }
        let found = &tally.destinations[1];
        assert_eq!((found.requests, found.methods["GET"], found.routes["GET /x/{id}"]), (5, 5, 5));
        assert_eq!(found.first.iter().map(|shown| shown.head[0]).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((tally.would_send(), tally.destinations[0].requests), (5, 0));
    }

    #[test]
    fn what_the_wire_names_is_counted_within_bounds() {
        let mut tally = DestinationTally::default();
        for n in 0..3000 {
            let request = request(n, &format!("M{n} /r{n}x HTTP/1.1\r\n\r\n"));
            tally.send(&request, &format!("/r{n}x"), Vec::new);
        }
        assert_eq!((tally.methods.len(), tally.routes.len()), (MAX_METHODS + 1, MAX_ROUTES + 1));
        assert_eq!(tally.routes.values().sum::<u64>(), 3000);
    }

    #[test]
    fn reasons_name_the_flag_or_the_link() {
        let check = |outcome: Outcome, link, expected: &str| assert_eq!(reason(&outcome, link), expected);
        check(Outcome::filtered("deny-path"), None, "kept back by --deny-path");
        check(Outcome::filtered("no-pay"), Some("c.toml, link 2 (no-pay)"), "kept back by c.toml, link 2 (no-pay)");
        check(Outcome::filtered("route"), Some("c.toml, link 1 (route)"), "no target by c.toml, link 1 (route)");
        check(Outcome::SampledOut, None, "not in the sample (--sample)");
        check(Outcome::Incomplete(Incomplete::EndOfCapture), None, "incomplete in the capture (end of capture)");
        check(Outcome::filtered("connect"), None, "kept back by filter connect");
    }
}
