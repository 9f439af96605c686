//! Counts by route: the block `routes` of the summary.
//!
//! Requests come in as they are seen, deliveries as they are joined, each with its `RouteName`; a row for each route
//! comes out. Rows are bounded in number and in size, whatever the run's length.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::compare::{Difference, DifferencePart};
use crate::exchange::Outcome;
use crate::replay::Delivery;
use crate::report::schema::by_route::{RouteProduction, RouteSummary, RouteTarget};
use crate::report::schema::counts::{CountMap, LatencySummary};
use crate::report::schema::histograms::{RouteHistograms, TargetHistograms};
use crate::report::schema::noise::NoiseOnlyCounts;
use crate::report::schema::target::{Differences, TargetLatency};

use super::histogram::micros;
use super::inputs::{Production, RequestRecord};
use super::live_routes::{self, LiveRoute};
use super::noise;
use super::paired_route::PairedRoute;
use super::patterns::RoutePatterns;
use super::recent::{CountedComparison, CountedDelivery};
use super::route_name::{MAX_ROUTES, OTHER, RouteName};
use super::slowest::{MAX_SLOWEST_BYTES, Slowest};
use super::sparse_histogram::SparseHistogram;
use super::status::StatusClass;

/// Pairs of statuses that are counted separately for each route and target; further ones are counted by class, `2xx`.
pub(crate) const MAX_PAIRS: usize = 32;

/// Comparison of two responses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeComparison<'a> {
    /// True when their bodies could not be compared; `None` where the responses could not.
    pub(crate) unknown: Option<bool>,
    /// In what they differ.
    pub(crate) differences: &'a [Difference],
}

/// Running counts by route.
#[derive(Clone, Debug)]
pub(crate) struct ByRoute {
    patterns: Arc<RoutePatterns>,
    targets: usize,
    places: HashMap<RouteName, usize, foldhash::fast::RandomState>,
    tallies: Vec<RouteTallies>,
    other: RouteTallies,
    /// Bytes that are left for what the slowest requests ask.
    slowest_room: usize,
    /// The last name.
    name: String,
}

#[derive(Clone, Debug, Default)]
struct RouteTallies {
    /// Number of the pattern that names it, where one does.
    pattern: Option<usize>,
    requests: u64,
    statuses: ClassCounts,
    latency: SparseHistogram,
    targets: Vec<RouteTargetTally>,
}

#[derive(Clone, Debug, Default)]
struct RouteTargetTally {
    sent: u64,
    failed: u64,
    not_sent: u64,
    statuses: ClassCounts,
    pairs: BTreeMap<(StatusCell, StatusCell), u64>,
    differences: Differences,
    service: SparseHistogram,
    response: SparseHistogram,
    paired: PairedRoute,
    /// Responses that were taken back, and those of them that had differed: counters that only grow are with these.
    taken_back: u64,
    differing_back: u64,
    slowest: Slowest,
}

/// Counts in the order of [`Class::ALL`].
#[derive(Clone, Debug, Default)]
struct ClassCounts([u64; StatusClass::ALL.len()]);

/// One side of a pair of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StatusCell {
    Status(u16),
    Class(StatusClass),
    Failed,
}

impl ByRoute {
    /// No counts yet, for this many targets; what `patterns` name is named so.
    pub(crate) fn new(patterns: Arc<RoutePatterns>, targets: usize) -> Self {
        let (places, tallies, name) = Default::default();
        let (other, slowest_room) = (RouteTallies::new(targets), MAX_SLOWEST_BYTES);
        Self { patterns, targets, places, tallies, other, slowest_room, name }
    }

    /// A request was seen: its route, [`OTHER`] where there are too many.
    pub(crate) fn seen(&mut self, method: &[u8], target: &[u8]) -> RouteName {
        self.patterns.name_in(method, target, &mut self.name);
        let name = &self.name;
        if let Some((known, at)) = self.places.get_key_value(name.as_str()) {
            let (known, at) = (Arc::clone(known), *at);
            if let Some(tally) = self.tallies.get_mut(at) {
                tally.requests += 1;
            }
            return known;
        }
        if self.tallies.len() >= MAX_ROUTES {
            self.other.requests += 1;
            return OTHER.into();
        }
        let name: RouteName = name.as_str().into();
        self.places.insert(Arc::clone(&name), self.tallies.len());
        let pattern = self.patterns.index(method, target);
        self.tallies.push(RouteTallies { pattern, requests: 1, ..RouteTallies::new(self.targets) });
        name
    }

    /// Counts production's response to a request that was offered.
    pub(crate) fn answered(&mut self, route: Option<&RouteName>, production: Option<&Production>) {
        let tally = self.tally(route);
        tally.statuses.count(StatusClass::of(production.map(|production| production.status)));
        if let Some(latency) = production.and_then(|production| production.latency) {
            tally.latency.record_us(micros(latency));
        }
    }

    /// A delivery and how it compares. One whose request is not known any more counts as [`OTHER`].
    pub(crate) fn delivered(
        &mut self,
        note: Option<&RequestRecord>,
        delivery: &Delivery,
        production: Option<&Production>,
        compared: ExchangeComparison<'_>,
    ) {
        let mut room = self.slowest_room;
        let tally = self.tally(note.and_then(|note| note.route.as_ref()));
        if let Some(target) = delivery.destination.target().and_then(|target| tally.targets.get_mut(target.index())) {
            target.count(delivery, production, compared);
            if let Some(note) = note {
                target.slowest.take(note, delivery, production, &mut room);
            }
        }
        self.slowest_room = room;
    }

    /// Counts a response as one of nobody's after all: its delivery failed.
    pub(crate) fn take_back(&mut self, one: &CountedDelivery) {
        let mut freed = 0;
        let tally = self.tally(one.route.as_ref());
        if let Some(target) = one.destination.target().and_then(|target| tally.targets.get_mut(target.index())) {
            target.take_back(one);
            freed = target.slowest.take_back(one.id);
        }
        self.slowest_room += freed;
    }

    /// The block: those with the most requests first, [`OTHER`] last. What is `noise` is counted apart.
    pub(crate) fn block(&self, urls: &[String], noise: &noise::NoiseVerdict) -> Vec<RouteSummary> {
        let rows = self.places.iter().filter_map(|(name, at)| Some(self.tallies.get(*at)?.row(name, urls, noise)));
        let mut rows: Vec<RouteSummary> = rows.collect();
        rows.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.route.cmp(&b.route)));
        if !self.other.is_empty() {
            rows.push(self.other.row(OTHER, urls, noise));
        }
        rows
    }

    /// Returns the durations behind the figures of the block.
    pub(crate) fn histograms(&self, urls: &[String]) -> BTreeMap<String, RouteHistograms> {
        let named = self.places.iter().filter_map(|(name, at)| Some((name.to_string(), self.tallies.get(*at)?)));
        let other = (!self.other.is_empty()).then(|| (OTHER.to_owned(), &self.other));
        named.chain(other).map(|(name, tally)| (name, tally.histograms(urls))).collect()
    }

    /// Returns the counts by pattern, of the first patterns; those of everything else come last. Nothing without patterns.
    pub(crate) fn live(&self, urls: &[String]) -> Vec<LiveRoute> {
        let mut routes = live_routes::labels(&self.patterns, urls);
        let last = routes.len().saturating_sub(1);
        for tally in self.tallies.iter().chain([&self.other]) {
            let at = tally.pattern.map_or(last, |pattern| pattern.min(last));
            let Some(route) = routes.get_mut(at) else { break };
            route.requests += tally.requests;
            for ((_, into), target) in route.targets.iter_mut().zip(&tally.targets) {
                into.sent += target.sent + target.taken_back;
                into.failed += target.failed - target.taken_back;
                into.differing += target.differences.any + target.differing_back;
                into.service.merge(&target.service);
            }
        }
        routes
    }

    fn tally(&mut self, route: Option<&RouteName>) -> &mut RouteTallies {
        let at = route.and_then(|route| self.places.get(route).copied());
        at.and_then(|at| self.tallies.get_mut(at)).unwrap_or(&mut self.other)
    }
}

impl RouteTallies {
    fn new(targets: usize) -> Self {
        Self { targets: vec![RouteTargetTally::default(); targets], ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.requests == 0 && self.targets.iter().all(|target| target.sent + target.failed + target.not_sent == 0)
    }

    fn histograms(&self, urls: &[String]) -> RouteHistograms {
        let targets = self.targets.iter().zip(urls);
        let targets = targets.map(|(target, url)| (url.clone(), target.histograms(&self.latency)));
        RouteHistograms { production: self.latency.text(), targets: targets.collect() }
    }

    fn row(&self, route: &str, urls: &[String], noise: &noise::NoiseVerdict) -> RouteSummary {
        let targets = self.targets.iter().zip(urls).enumerate();
        let targets = targets.map(|(at, (target, url))| (url.clone(), target.row(noise.only(route, at), url)));
        RouteSummary {
            route: route.to_owned(),
            requests: self.requests,
            production: RouteProduction { statuses: self.statuses.counts(), latency_us: self.latency.figures() },
            targets: targets.collect(),
        }
    }
}

impl RouteTargetTally {
    fn count(&mut self, delivery: &Delivery, production: Option<&Production>, compared: ExchangeComparison<'_>) {
        let answer = delivery.answer.as_ref().filter(|_| delivery.outcome == Outcome::Sent);
        let cell = match (&delivery.outcome, answer) {
            (Outcome::Sent, Some(answer)) => StatusCell::Status(answer.status),
            (Outcome::Failed(_), _) => StatusCell::Failed,
            _ => {
                self.not_sent += 1;
                return;
            }
        };
        match cell {
            StatusCell::Failed => self.failed += 1,
            _ => self.sent += 1,
        }
        self.pair(
            production.map_or(StatusCell::Class(StatusClass::None), |production| StatusCell::Status(production.status)),
            cell,
        );
        if let Some(answer) = answer {
            self.statuses.count(StatusClass::of(Some(answer.status)));
            self.compared(compared);
        }
        for (into, duration) in [(&mut self.service, delivery.service), (&mut self.response, delivery.response)] {
            if let Some(duration) = duration {
                into.record_us(micros(duration));
            }
        }
        let known = production.and_then(|production| production.latency);
        self.paired.each(known, delivery.service, delivery.response, SparseHistogram::record_us);
    }

    fn take_back(&mut self, one: &CountedDelivery) {
        self.sent = self.sent.saturating_sub(1);
        self.failed += 1;
        self.taken_back += 1;
        let production =
            one.production.map_or(StatusCell::Class(StatusClass::None), |side| StatusCell::Status(side.status));
        self.unpair(production, StatusCell::Status(one.status));
        self.pair(production, StatusCell::Failed);
        self.statuses.uncount(StatusClass::of(Some(one.status)));
        if let Some(CountedComparison { found, .. }) = &one.compared {
            // By route no reasons are told.
            self.differences.uncount(found);
            self.differing_back += u64::from(!found.differences.is_empty());
        }
        for (from, duration) in [(&mut self.service, one.service), (&mut self.response, one.response)] {
            if let Some(duration) = duration {
                from.remove_us(micros(duration));
            }
        }
        let known = one.production.and_then(|production| production.latency);
        self.paired.each(known, one.service, one.response, SparseHistogram::remove_us);
    }

    fn compared(&mut self, compared: ExchangeComparison<'_>) {
        let Some(unknown) = compared.unknown else { return };
        let has = |place| u64::from(compared.differences.iter().any(|difference| difference.place == place));
        let counts = &mut self.differences;
        counts.compared += 1;
        counts.any += u64::from(!compared.differences.is_empty());
        counts.status += has(DifferencePart::Status);
        counts.headers += has(DifferencePart::Header);
        counts.body += has(DifferencePart::Body);
        counts.bodies_unknown += u64::from(unknown);
    }

    fn pair(&mut self, production: StatusCell, shadow: StatusCell) {
        let mut pair = (production, shadow);
        if self.pairs.len() >= MAX_PAIRS && !self.pairs.contains_key(&pair) {
            pair = (production.coarse(), shadow.coarse());
        }
        *self.pairs.entry(pair).or_default() += 1;
    }

    /// A pair that is told apart has been from its first one on.
    fn unpair(&mut self, production: StatusCell, shadow: StatusCell) {
        for pair in [(production, shadow), (production.coarse(), shadow.coarse())] {
            if let Some(count) = self.pairs.get_mut(&pair) {
                *count = count.saturating_sub(1);
                return;
            }
        }
    }

    fn histograms(&self, production: &SparseHistogram) -> TargetHistograms {
        let (service, response) = (self.service.text(), self.response.text());
        self.paired.beside(&production.text(), TargetHistograms { service, response, ..TargetHistograms::default() })
    }

    fn row(&self, noise: NoiseOnlyCounts, url: &str) -> RouteTarget {
        let mut matrix = BTreeMap::<String, CountMap>::new();
        for ((production, shadow), count) in self.pairs.iter().filter(|(_, count)| **count > 0) {
            *matrix.entry(production.key()).or_default().entry(shadow.key()).or_default() += count;
        }
        RouteTarget {
            sent: self.sent,
            failed: self.failed,
            not_sent: self.not_sent,
            statuses: self.statuses.counts(),
            matrix,
            differences: self.differences.clone().without(noise),
            differences_noise: noise,
            latency_us: TargetLatency {
                connect: LatencySummary::default(),
                service: self.service.figures(),
                response: self.response.figures(),
            },
            paired_latency_us: self.paired.figures(),
            slowest: self.slowest.shown(url),
        }
    }
}

impl ClassCounts {
    fn count(&mut self, class: StatusClass) {
        for (count, _) in self.0.iter_mut().zip(StatusClass::ALL).filter(|(_, known)| *known == class) {
            *count += 1;
        }
    }

    fn uncount(&mut self, class: StatusClass) {
        for (count, _) in self.0.iter_mut().zip(StatusClass::ALL).filter(|(_, known)| *known == class) {
            *count = count.saturating_sub(1);
        }
    }

    fn counts(&self) -> CountMap {
        let some = StatusClass::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0);
        some.map(|(class, count)| (class.key().to_owned(), count)).collect()
    }
}

impl StatusCell {
    fn coarse(self) -> Self {
        if let Self::Status(status) = self { Self::Class(StatusClass::of(Some(status))) } else { self }
    }

    /// As in the matrix of a target.
    fn key(self) -> String {
        match self {
            Self::Status(status) => format!("{status:03}"),
            Self::Class(class) => class.key().to_owned(),
            Self::Failed => "failed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::collect::live_routes::MAX_LABELS;

    fn counted(patterns: &str, requests: &[&str]) -> Vec<(String, u64)> {
        let patterns = Arc::new(RoutePatterns::parse(patterns).unwrap());
        let mut routes = ByRoute::new(patterns, 1);
        for request in requests {
            let (method, target) = request.split_once(' ').unwrap();
            routes.seen(method.as_bytes(), target.as_bytes());
        }
        routes.live(&["http://t".to_owned()]).into_iter().map(|route| (route.route, route.requests)).collect()
    }

    #[test]
    fn labels_are_what_the_user_wrote_whatever_is_asked_for() {
        let requests = ["GET /v2/users/7", "GET /v2/users/8", "X-ODD /v2/users/9", "GET /else", "GET /other/12"];
        let of = |route: &str, count| (route.to_owned(), count);
        assert_eq!(counted("", &requests), []);
        let found = counted("GET /v2/users/{id}\n/v2/*\nGET /never", &requests);
        assert_eq!(found, [of("GET /v2/users/{id}", 2), of("/v2/*", 1), of("GET /never", 0), of("other", 2)]);
    }

    #[test]
    fn past_the_bound_of_labels_routes_are_among_the_others() {
        let patterns: Vec<String> = (0..MAX_LABELS + 5).map(|n| format!("/r{n}")).collect();
        let requests: Vec<String> = (0..MAX_LABELS + 5).map(|n| format!("GET /r{n}")).collect();
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        let found = counted(&patterns.join("\n"), &requests);
        assert_eq!(found.len(), MAX_LABELS + 1);
        assert_eq!((found[MAX_LABELS - 1].1, found[MAX_LABELS].clone()), (1, ("other".to_owned(), 5)));
    }
}
