//! Forecast of connections for a migration: how many are opened, how many are open at once, how busy they are, and the
//! part of them that a target will see at a given share.
//!
//! The input is [`Event`]s, the result one [`ForecastReport`]. Only connections that carried a request of HTTP/1 count
//! (one that the filters let pass, where there are filters). Time is the capture's. Memory is bounded: see
//! `MAX_OPEN`, the waiting edges, and the buckets of the series. Nothing is printed here.

use std::collections::HashMap;

use serde::Serialize;

use crate::exchange::{ConnectionId, Event, Request, Timestamp};
use crate::middleware::{SampleKey, Sampler, Share};
use crate::report::collect::histogram::LatencyHistogram;
use crate::report::schema::counts::LatencySummary;

use super::edges::{EdgeKey, Edges};
use super::series::{ConcurrencyLanes, LANES, Series, SeriesPoint};

/// Connections that are followed at once, twice as many as reassembly follows by default: what opens past it does not
/// count, but as `unfollowed`.
pub(crate) const MAX_OPEN: usize = 1 << 18;

/// Most points of the course over time.
pub(crate) const MAX_POINTS: usize = 60;

/// The shares that are forecast, the whole last.
const SHARES: [f64; LANES] = [0.10, 0.25, 0.50, 1.0];

/// The lane of the whole.
const WHOLE: usize = LANES - 1;

/// Follows connections and counts what they do.
#[derive(Debug)]
pub struct Forecast {
    seed: u64,
    samplers: [Sampler; LANES],
    open: HashMap<ConnectionId, OpenConnection, foldhash::fast::RandomState>,
    series: Series,
    edges: Edges,
    last: Timestamp,
    connections: [u64; LANES],
    requests: [u64; LANES],
    other: u64,
    unfollowed: u64,
    open_ns: u128,
    per_connection: LatencyHistogram,
    idle: LatencyHistogram,
}

/// A connection that is open.
#[derive(Clone, Copy, Debug)]
struct OpenConnection {
    opened: Timestamp,
    place: EdgeKey,
    requests: u64,
    /// Requests without a response so far.
    waiting: u32,
    /// Time since when every request has its response.
    idle_since: Option<Timestamp>,
    /// Shares that it is in; none before its first request.
    lanes: ConcurrencyLanes,
}

/// The forecast. Rates are for each second, peaks those of the busiest second (of [`ForecastReport::resolution_s`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForecastReport {
    /// Time at which the capture's first connection opened, UTC, RFC 3339; `None` where there was none.
    pub from: Option<String>,
    /// Duration of the capture from there, in seconds.
    pub duration_s: f64,
    /// Width of what peaks are counted in, in seconds: 1 for a capture of up to 36 hours.
    pub resolution_s: u32,
    /// Connections that carried HTTP/1.
    pub connections: u64,
    /// Connections that did not: they are in no other figure.
    pub other_connections: u64,
    /// Connections past `MAX_OPEN`: they are in no other figure.
    pub unfollowed: u64,
    /// Requests.
    pub requests: u64,
    /// Connections opened.
    pub opened_per_s: Rate,
    /// Connections open at once.
    pub concurrent: Rate,
    /// Requests asked.
    pub requests_per_s: Rate,
    /// Requests on each connection: a number, not a duration.
    pub requests_per_connection: LatencySummary,
    /// From the last byte of a response to the first of the next request, where nothing else was asked meanwhile.
    pub idle_us: LatencySummary,
    /// The course over time.
    pub over_time: OverTime,
    /// Seed of the sample.
    pub seed: u64,
    /// Expected load of a target, one entry per share.
    pub shares: Vec<AtShare>,
}

/// A mean and a peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Over the whole capture; of one shorter than a second, over a second.
    pub mean: f64,
    /// The highest.
    pub peak: f64,
}

/// The course over time, in at most `MAX_POINTS` points.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OverTime {
    /// From one point to the next, in seconds.
    pub step_s: u64,
    /// In each step: the most connections open at once.
    pub concurrent: Vec<u64>,
    /// In each step: connections opened.
    pub opened: Vec<u64>,
    /// In each step: requests asked.
    pub requests: Vec<u64>,
}

/// Expected load of a target at a share of connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtShare {
    /// The share, from 0 to 1.
    pub share: f64,
    /// Connections in it.
    pub connections: u64,
    /// Requests on them.
    pub requests: u64,
    /// Mirrored: connections opened in the busiest second.
    pub opened_per_s_peak: f64,
    /// Mirrored: most connections open at once.
    pub concurrent_peak: u64,
    /// Requests in the busiest second.
    pub requests_per_s_peak: f64,
    /// Pooled: fewest connections that carry those requests if the target responds as production does. An estimate by
    /// Little's law: requests in the busiest second times production's p99 latency.
    pub pooled_estimate: u64,
}

impl Forecast {
    /// A forecast for samples by connection with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            samplers: SHARES.map(|share| Sampler::new(Share(share), SampleKey::Connection, seed)),
            open: HashMap::default(),
            series: Series::default(),
            edges: Edges::default(),
            last: Timestamp::default(),
            connections: [0; LANES],
            requests: [0; LANES],
            other: 0,
            unfollowed: 0,
            open_ns: 0,
            per_connection: LatencyHistogram::default(),
            idle: LatencyHistogram::default(),
        }
    }

    /// Counts one event.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Opened { connection, at } => self.opened(*connection, *at),
            Event::Request(request) => self.request(request),
            Event::Response { of, response } => self.answered(of.connection, Some(response.last_byte)),
            Event::Damaged { of, .. } => self.answered(of.connection, None),
            Event::Orphan { .. } => {}
            Event::Closed { connection, at, .. } => {
                if let Some(closed) = self.open.remove(connection) {
                    self.closed(closed, *at);
                }
            }
        }
    }

    /// Returns the forecast; `latency` is production's. Connections that are still open end with the last event.
    #[must_use]
    pub fn finish(mut self, latency: &LatencySummary) -> ForecastReport {
        for connection in std::mem::take(&mut self.open).into_values() {
            self.closed(connection, self.last);
        }
        let all = self.series.points(WHOLE, 1);
        let start = self.series.start();
        let span = start.map(|start| self.last.since(start)).unwrap_or_default();
        let per_second = |count: u64| count as f64 / span.as_secs_f64().max(1.0);
        let mean_open = if span.is_zero() { 0.0 } else { self.open_ns as f64 / span.as_nanos() as f64 };
        let peaks = Peaks::of(&all, self.series.width_s());
        ForecastReport {
            from: start.map(|start| start.to_string()),
            duration_s: rounded(span.as_secs_f64()),
            resolution_s: self.series.width_s(),
            connections: self.connections[WHOLE],
            other_connections: self.other,
            unfollowed: self.unfollowed,
            requests: self.requests[WHOLE],
            opened_per_s: Rate { mean: rounded(per_second(self.connections[WHOLE])), peak: peaks.opened_per_s() },
            concurrent: Rate { mean: rounded(mean_open), peak: peaks.level as f64 },
            requests_per_s: Rate { mean: rounded(per_second(self.requests[WHOLE])), peak: peaks.requests_per_s() },
            requests_per_connection: self.per_connection.figures(),
            idle_us: self.idle.figures(),
            over_time: self.over_time(),
            seed: self.seed,
            shares: (0..LANES).filter_map(|lane| self.at_share(lane, latency.p99)).collect(),
        }
    }

    fn opened(&mut self, connection: ConnectionId, at: Timestamp) {
        self.reach(at);
        if self.open.len() < MAX_OPEN {
            let (place, lanes) = (self.edges.open(at), [false; LANES]);
            let opened = OpenConnection { opened: at, place, requests: 0, waiting: 0, idle_since: None, lanes };
            self.open.insert(connection, opened);
        } else {
            self.unfollowed += 1;
        }
    }

    fn request(&mut self, request: &Request) {
        self.reach(request.last_byte);
        let Some(connection) = self.open.get_mut(&request.id.connection) else { return };
        if connection.requests == 0 {
            for (lane, sampler) in connection.lanes.iter_mut().zip(&self.samplers) {
                *lane = sampler.would_take(request);
            }
            self.edges.count(connection.place, connection.lanes, &mut self.series);
            count(&mut self.connections, connection.lanes);
        }
        if let Some(since) = connection.idle_since.take()
            && connection.waiting == 0
        {
            self.idle.record(request.first_byte.since(since));
        }
        connection.requests += 1;
        connection.waiting += 1;
        self.series.request(request.last_byte, connection.lanes);
        count(&mut self.requests, connection.lanes);
    }

    fn answered(&mut self, connection: ConnectionId, at: Option<Timestamp>) {
        let Some(connection) = self.open.get_mut(&connection) else { return };
        connection.waiting = connection.waiting.saturating_sub(1);
        connection.idle_since = at;
        if let Some(at) = at {
            self.reach(at);
        }
    }

    fn closed(&mut self, connection: OpenConnection, at: Timestamp) {
        self.reach(at);
        if connection.requests == 0 {
            self.other += 1;
            self.edges.forget(connection.place, &mut self.series);
            return;
        }
        self.edges.close(at, connection.lanes, &mut self.series);
        self.open_ns += at.since(connection.opened).as_nanos();
        // The histogram takes any whole number.
        self.per_connection.record_us(connection.requests);
    }

    fn reach(&mut self, at: Timestamp) {
        self.last = self.last.max(at);
        self.series.reach(at);
    }

    fn over_time(&self) -> OverTime {
        let together = self.series.len().div_ceil(MAX_POINTS).max(1);
        let points = self.series.points(WHOLE, together);
        let each = |of: fn(&SeriesPoint) -> u64| points.iter().map(of).collect();
        OverTime {
            step_s: together as u64 * u64::from(self.series.width_s()),
            concurrent: each(|point| point.level),
            opened: each(|point| point.opened),
            requests: each(|point| point.requests),
        }
    }

    fn at_share(&self, lane: usize, p99_us: u64) -> Option<AtShare> {
        let peaks = Peaks::of(&self.series.points(lane, 1), self.series.width_s());
        Some(AtShare {
            share: *SHARES.get(lane)?,
            connections: *self.connections.get(lane)?,
            requests: *self.requests.get(lane)?,
            opened_per_s_peak: peaks.opened_per_s(),
            concurrent_peak: peaks.level,
            requests_per_s_peak: peaks.requests_per_s(),
            pooled_estimate: peaks.at_once(p99_us),
        })
    }
}

/// The highest of each in any bucket.
struct Peaks {
    opened: u64,
    requests: u64,
    level: u64,
    width_s: u32,
}

impl Peaks {
    fn of(points: &[SeriesPoint], width_s: u32) -> Self {
        let highest = |of: fn(&SeriesPoint) -> u64| points.iter().map(of).max().unwrap_or(0);
        Self { opened: highest(|p| p.opened), requests: highest(|p| p.requests), level: highest(|p| p.level), width_s }
    }

    fn opened_per_s(&self) -> f64 {
        rounded(self.opened as f64 / f64::from(self.width_s))
    }

    fn requests_per_s(&self) -> f64 {
        rounded(self.requests as f64 / f64::from(self.width_s))
    }

    /// Requests in flight at the peak rate, each this long; at least one where there are any.
    fn at_once(&self, each_us: u64) -> u64 {
        let in_flight = u128::from(self.requests) * u128::from(each_us);
        let in_flight = in_flight.div_ceil(1_000_000 * u128::from(self.width_s));
        u64::try_from(in_flight).unwrap_or(u64::MAX).max(self.requests.min(1))
    }
}

fn count(counts: &mut [u64; LANES], lanes: ConcurrencyLanes) {
    for (count, is_in) in counts.iter_mut().zip(lanes) {
        *count += u64::from(is_in);
    }
}

/// Three decimals: the rest is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Close, Damage, ExchangeId};
    use crate::testing::{request, response};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom as _;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(1_795_291_200_000_000_000 + ms * 1_000_000)
    }

    fn opened(connection: u64, ms: u64) -> Event {
        Event::Opened { connection: ConnectionId(connection), at: at(ms) }
    }

    fn asked(connection: u64, index: u32, ms: u64) -> Event {
        let mut request = request(index, "GET / HTTP/1.1\r\n\r\n");
        request.id = ExchangeId::new(ConnectionId(connection), index);
        (request.first_byte, request.last_byte) = (at(ms), at(ms));
        Event::Request(request)
    }

    fn answered(connection: u64, index: u32, ms: u64) -> Event {
        let mut response = response(200);
        (response.first_byte, response.last_byte) = (at(ms), at(ms));
        Event::Response { of: ExchangeId::new(ConnectionId(connection), index), response }
    }

    fn closed(connection: u64, ms: u64) -> Event {
        Event::Closed { connection: ConnectionId(connection), at: at(ms), how: Close::Fin }
    }

    fn outlook(events: impl IntoIterator<Item = Event>) -> ForecastReport {
        let mut forecast = Forecast::new(0);
        events.into_iter().for_each(|event| forecast.note(&event));
        forecast.finish(&LatencySummary { p99: 20_000, ..LatencySummary::default() })
    }

    /// Two requests on the first connection, one on the second, none on the third.
    fn three() -> ForecastReport {
        outlook([
            opened(1, 0),
            opened(3, 0),
            asked(1, 1, 10),
            answered(1, 1, 30),
            opened(2, 900),
            asked(2, 1, 900),
            answered(2, 1, 950),
            closed(2, 1_000),
            asked(1, 2, 1_530),
            answered(1, 2, 1_600),
            closed(3, 3_000),
            closed(1, 4_000),
        ])
    }

    #[test]
    fn connections_that_carried_http_count_and_others_do_not() {
        let found = three();
        assert_eq!((found.connections, found.other_connections, found.requests), (2, 1, 3));
        assert_eq!((found.duration_s, found.resolution_s), (4.0, 1));
        assert_eq!(found.opened_per_s, Rate { mean: 0.5, peak: 2.0 });
        assert_eq!(found.concurrent, Rate { mean: 1.025, peak: 2.0 });
        assert_eq!(found.requests_per_s, Rate { mean: 0.75, peak: 2.0 });
        assert_eq!(found.over_time.concurrent, [2, 2, 1, 1, 1]);
        assert_eq!((found.over_time.step_s, found.over_time.requests), (1, vec![2, 1, 0, 0, 0]));
    }

    #[test]
    fn a_connection_that_asks_late_was_open_with_no_more_than_were_open_then() {
        let found = outlook([
            opened(1, 0),
            asked(1, 1, 10),
            closed(1, 500),
            opened(2, 600),
            asked(2, 1, 1_500),
            opened(3, 1_700),
            closed(2, 1_800),
            opened(4, 1_900),
            asked(3, 1, 2_000),
            asked(4, 1, 3_000),
        ]);
        assert_eq!(found.over_time.concurrent, [1, 2, 2, 2]);
        assert_eq!(found.shares[WHOLE].concurrent_peak, 2);
    }

    #[test]
    fn the_course_is_that_of_a_naive_count_whenever_connections_ask() {
        let mut rng = StdRng::seed_from_u64(3);
        // When each opens, asks if at all, and closes, in milliseconds; no two things at the same instant.
        let mut instants: Vec<u64> = (0..30_000).collect();
        instants.shuffle(&mut rng);
        let spans: Vec<[u64; 3]> = instants
            .chunks_exact(3)
            .take(600)
            .map(|three| {
                let mut three = [three[0], three[0] + three[1] % 3_000, three[0] + three[2] % 3_000];
                three.sort_unstable();
                three
            })
            .collect();
        let mut events = Vec::new();
        for (n, [open, ask, close]) in (1..).zip(&spans) {
            events.push((*open, opened(n, *open)));
            if n % 4 > 0 {
                events.push((*ask, asked(n, 1, *ask)));
            }
            events.push((*close, closed(n, *close)));
        }
        events.sort_by_key(|(ms, _)| *ms);
        let counted: Vec<&[u64; 3]> = (1..).zip(&spans).filter(|(n, _)| n % 4 > 0).map(|(_, span)| span).collect();
        let first = events.first().map_or(0, |(ms, _)| *ms);
        let level = |ms: u64| counted.iter().filter(|[open, _, close]| (*open..*close).contains(&ms)).count() as u64;
        let found = outlook(events.into_iter().map(|(_, event)| event));
        for (second, told) in (0u64..).zip(&found.over_time.concurrent) {
            let begin = first + second * 1_000;
            let highest = (begin..begin + 1_000).map(level).max();
            assert_eq!(Some(*told), highest, "second {second}");
        }
    }

    #[test]
    fn requests_and_idle_gaps_are_those_of_each_connection() {
        let found = three();
        let per = &found.requests_per_connection;
        assert_eq!((per.count, per.min, per.max), (2, 1, 2));
        assert_eq!((found.idle_us.count, found.idle_us.max), (1, 1_500_000));
    }

    #[test]
    fn a_connection_is_idle_only_when_all_is_answered() {
        let found = outlook([
            opened(1, 0),
            asked(1, 1, 0),
            asked(1, 2, 1),
            answered(1, 1, 5),
            asked(1, 3, 10),
            answered(1, 2, 20),
            Event::Damaged { of: ExchangeId::new(ConnectionId(1), 3), why: Damage::Gap },
            asked(1, 4, 50),
            closed(1, 60),
        ]);
        assert_eq!((found.idle_us.count, found.requests), (0, 4));
    }

    #[test]
    fn shares_are_those_that_a_sample_by_connection_takes() {
        let one =
            |n| [opened(n, n * 10), asked(n, 1, n * 10), asked(n, 2, n * 10), closed(n.saturating_sub(1), n * 10 + 5)];
        let found = outlook((1..=400).flat_map(one));
        for (at, share) in found.shares.iter().zip(SHARES) {
            let mut sampler = Sampler::new(Share(share), SampleKey::Connection, 0);
            let is_in = |n: &u64| sampler.is_in(&request_of(*n));
            let taken: Vec<u64> = (1..=400).filter(is_in).collect();
            let in_first_second = taken.iter().filter(|n| **n <= 100).count();
            assert_eq!((at.share, at.connections), (share, taken.len() as u64));
            assert_eq!(at.requests, 2 * at.connections);
            assert!(at.opened_per_s_peak >= in_first_second as f64, "{at:?}");
        }
        let whole = found.shares[WHOLE];
        assert_eq!((whole.connections, whole.concurrent_peak), (400, 2));
        assert_eq!((whole.opened_per_s_peak, found.opened_per_s.peak), (100.0, 100.0));
    }

    fn request_of(connection: u64) -> Request {
        let Event::Request(request) = asked(connection, 1, 0) else { unreachable!() };
        *request
    }

    #[test]
    fn pooled_connections_are_estimated_by_littles_law() {
        let found = outlook([opened(1, 0)].into_iter().chain((1..=120).map(|n| asked(1, n, 5))));
        // 120 requests in the busiest second, 20 ms each: 2.4 at once.
        assert_eq!(found.shares[WHOLE].pooled_estimate, 3);
        assert_eq!(outlook([]).shares[WHOLE].pooled_estimate, 0);
    }

    #[test]
    fn what_is_still_open_at_the_end_counts_until_then() {
        let found = outlook([opened(1, 0), asked(1, 1, 1), opened(2, 2_000)]);
        assert_eq!((found.connections, found.other_connections, found.concurrent.mean), (1, 1, 1.0));
        assert_eq!(found.over_time.concurrent, [1, 1, 1]);
    }

    #[test]
    fn the_course_has_few_points_however_long_the_capture_is() {
        let long = (0..1_000).flat_map(|n| [opened(n, n * 1_000), asked(n, 1, n * 1_000), closed(n, n * 1_000 + 1)]);
        let over = outlook(long).over_time;
        assert_eq!((over.step_s, over.concurrent.len()), (17, 59));
        assert_eq!(over.opened.iter().sum::<u64>(), 1_000);
        assert!(over.concurrent.iter().all(|level| *level == 1));
    }

    #[test]
    fn connections_past_the_limit_are_told() {
        let mut forecast = Forecast::new(0);
        let lanes = [false; LANES];
        let place = EdgeKey::default();
        let idle = OpenConnection { opened: at(0), place, requests: 0, waiting: 0, idle_since: None, lanes };
        forecast.open = (0..MAX_OPEN as u64).map(|n| (ConnectionId(n), idle)).collect();
        forecast.note(&opened(u64::MAX, 1));
        forecast.note(&asked(u64::MAX, 1, 1));
        let found = forecast.finish(&LatencySummary::default());
        assert_eq!((found.unfollowed, found.connections), (1, 0));
    }
}
