//! What a migration needs to know of connections: how many are opened, are open at once, how busy they are, and what
//! of that a target will see at a share of them.
//!
//! [`Event`]s come in, one [`Outlook`] leaves. Only connections that carried a request of HTTP/1 count (one that the
//! filters let pass, where there are filters). Time is the capture's. Memory is bounded: see [`MAX_OPEN`], and the
//! buckets of the series. Nothing is printed here.

use std::collections::HashMap;

use serde::Serialize;

use crate::exchange::{ConnectionId, Event, Request, Timestamp};
use crate::flow::MAX_CONNECTIONS;
use crate::middleware::{SampleKey, Sampler, Share};

use super::histogram::Durations;
use super::series::{LANES, Lanes, Point, Series};
use super::summary::Figures;

/// Connections that are followed at once, as many as reassembly follows: what opens past it does not count, but as
/// `unfollowed`.
pub const MAX_OPEN: usize = MAX_CONNECTIONS;

/// Most points of the course over time.
pub const MAX_POINTS: usize = 60;

/// The shares that are forecast, the whole last.
const SHARES: [f64; LANES] = [0.10, 0.25, 0.50, 1.0];

/// The lane of the whole.
const WHOLE: usize = LANES - 1;

/// Follows connections and counts what they do.
#[derive(Debug)]
pub struct Forecast {
    seed: u64,
    samplers: [Sampler; LANES],
    open: HashMap<ConnectionId, Connection, foldhash::fast::RandomState>,
    series: Series,
    last: Timestamp,
    connections: [u64; LANES],
    requests: [u64; LANES],
    other: u64,
    unfollowed: u64,
    open_ns: u128,
    per_connection: Durations,
    idle: Durations,
}

/// A connection that is open.
#[derive(Clone, Copy, Debug)]
struct Connection {
    opened: Timestamp,
    requests: u64,
    /// Requests that are not answered yet.
    waiting: u32,
    /// Since when all is answered.
    idle_since: Option<Timestamp>,
    /// Which shares it is in; none before its first request.
    lanes: Lanes,
}

/// The forecast. Rates are for each second, peaks those of the busiest second (of [`Outlook::resolution_s`]).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// When the capture's first connection opened, UTC, RFC 3339; `None` where there was none.
    pub from: Option<String>,
    /// How long the capture went on from there, in seconds.
    pub duration_s: f64,
    /// Width of what peaks are counted in, in seconds: 1 for a capture of up to 36 hours.
    pub resolution_s: u32,
    /// Connections that carried HTTP/1.
    pub connections: u64,
    /// Connections that did not: they are in no other figure.
    pub other_connections: u64,
    /// Connections past [`MAX_OPEN`]: they are in no other figure.
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
    pub requests_per_connection: Figures,
    /// From the last byte of a response to the first of the next request, where nothing else was asked meanwhile.
    pub idle_us: Figures,
    /// The course over time.
    pub over_time: OverTime,
    /// Seed of the sample.
    pub seed: u64,
    /// What a target will see, a share each.
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

/// The course over time, in at most [`MAX_POINTS`] points.
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

/// What a target will see of a share of connections.
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
    /// Pooled: fewest connections that carry those requests if the target answers as production does. An estimate by
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
            last: Timestamp::default(),
            connections: [0; LANES],
            requests: [0; LANES],
            other: 0,
            unfollowed: 0,
            open_ns: 0,
            per_connection: Durations::default(),
            idle: Durations::default(),
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

    /// What it all amounts to; `latency` is production's. What is still open ends with the last event.
    #[must_use]
    pub fn finish(mut self, latency: &Figures) -> Outlook {
        for connection in std::mem::take(&mut self.open).into_values() {
            self.closed(connection, self.last);
        }
        let all = self.series.points(WHOLE, 1);
        let start = self.series.start();
        let span = start.map(|start| self.last.since(start)).unwrap_or_default();
        let per_second = |count: u64| count as f64 / span.as_secs_f64().max(1.0);
        let mean_open = if span.is_zero() { 0.0 } else { self.open_ns as f64 / span.as_nanos() as f64 };
        let peaks = Peaks::of(&all, self.series.width_s());
        Outlook {
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
            let lanes = [false; LANES];
            self.open.insert(connection, Connection { opened: at, requests: 0, waiting: 0, idle_since: None, lanes });
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
            self.series.open(connection.opened, request.last_byte, connection.lanes);
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

    fn closed(&mut self, connection: Connection, at: Timestamp) {
        self.reach(at);
        if connection.requests == 0 {
            self.other += 1;
            return;
        }
        self.series.close(at, connection.lanes);
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
        let each = |of: fn(&Point) -> u64| points.iter().map(of).collect();
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
    fn of(points: &[Point], width_s: u32) -> Self {
        let highest = |of: fn(&Point) -> u64| points.iter().map(of).max().unwrap_or(0);
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

fn count(counts: &mut [u64; LANES], lanes: Lanes) {
    for (count, is_in) in counts.iter_mut().zip(lanes) {
        *count += u64::from(is_in);
    }
}

/// Three decimals: the rest is noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
