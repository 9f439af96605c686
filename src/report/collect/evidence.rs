//! Evidence: the parts of the report next to the ledger, which are routes, difference groups and the timeline.
//!
//! The reporter passes on events in order and as they happen; blocks of the summary come out at any time. Nothing here
//! counts toward the sums of the ledger, and everything is bounded whatever the run's length.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::Outcome;
use crate::middleware::secret_names::SecretNames;
use crate::replay::{Delivery, TargetId};
use crate::report::schema::by_route::RouteSummary;
use crate::report::schema::curves::Curves;
use crate::report::schema::diff_groups::DiffGroups;
use crate::report::schema::histograms::RouteHistograms;
use crate::report::schema::timeline::Timeline;

use super::by_route::{ByRoute, ExchangeComparison};
use super::diff_groups::{DiffGroupTally, DifferingPair};
use super::histogram::micros;
use super::inputs::{Production, RequestRecord, RunGauges, Started};
use super::live_routes::LiveRoute;
use super::noise;
use super::patterns::RoutePatterns;
use super::recent::CountedDelivery;
use super::route_name::RouteName;
use super::timeline::TimelineTally;

/// Routes, difference groups and times of a run in progress.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// Nothing is kept where nobody asks for it.
    is_wanted: bool,
    started: Started,
    /// Since the run began.
    now: Duration,
    routes: ByRoute,
    kinds: DiffGroupTally,
    times: TimelineTally,
}

/// Blocks of the summary.
#[derive(Clone, Debug, Default)]
pub(crate) struct SummaryBlocks {
    pub(crate) routes: Vec<RouteSummary>,
    pub(crate) kinds: Option<DiffGroups>,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) curves: Option<Curves>,
}
impl Evidence {
    pub(crate) fn new(started: Started, patterns: Arc<RoutePatterns>, targets: usize, is_wanted: bool) -> Self {
        Self {
            is_wanted,
            started,
            now: Duration::ZERO,
            routes: ByRoute::new(patterns, targets),
            kinds: DiffGroupTally::default(),
            times: TimelineTally::new(targets),
        }
    }

    /// Has these masked in examples.
    pub(crate) fn hiding(mut self, secrets: SecretNames) -> Self {
        self.kinds = DiffGroupTally::hiding(secrets);
        self
    }

    /// Sets the time of the following events to now: the clock is not read for each one.
    pub(crate) fn refresh_clock(&mut self) {
        self.now = self.started.clock.elapsed();
    }

    /// A request was seen, and ended as this where it did not get as far as a target. It is given its route.
    pub(crate) fn seen(&mut self, note: &mut RequestRecord, ended: Option<&Outcome>) {
        if !self.is_wanted {
            return;
        }
        note.route = Some(self.routes.seen(note.text.method(), note.text.target()));
        self.times.at(self.now, |bucket| {
            bucket.point.seen += 1;
            bucket.point.ended += u64::from(ended.is_some());
            bucket.point.lost += u64::from(matches!(ended, Some(Outcome::Shed(place)) if place.is_loss()));
        });
    }

    /// Counts production's response to a request that was offered.
    pub(crate) fn answered(&mut self, status: u16, latency: Option<Duration>) {
        if !self.is_wanted {
            return;
        }
        self.times.at(self.now, |bucket| {
            bucket.point.production.responses += 1;
            bucket.point.production.server_errors += u64::from(is_server_error(status));
            if let Some(latency) = latency {
                bucket.production.record_us(micros(latency));
            }
        });
    }

    /// A delivery ended.
    pub(crate) fn delivered(&mut self, delivery: &Delivery) {
        if !self.is_wanted {
            return;
        }
        self.times.at(self.ended_at(delivery), |bucket| {
            let target = delivery.destination.target();
            let Some((point, responses)) = target.and_then(|target| bucket.target(target.index())) else { return };
            match delivery.outcome {
                Outcome::Sent => point.sent += 1,
                Outcome::Failed(_) => point.failed += 1,
                Outcome::GuardHeld(_) => point.held += 1,
                Outcome::Shed(place) if place.is_loss() => point.shed += 1,
                _ => {}
            }
            let failed = delivery.answer.as_ref().is_some_and(|answer| is_server_error(answer.status));
            point.server_errors += u64::from(failed);
            point.lag_us = point.lag_us.max(delivery.lag.map_or(0, micros));
            if let Some(response) = delivery.response {
                responses.record_us(micros(response));
            }
        });
    }

    /// When a delivery ended, since the run began: what waited to be counted counts where it belongs.
    pub(crate) fn ended_at(&self, delivery: &Delivery) -> Duration {
        let ended = delivery.answer.as_ref().map(|answer| answer.done.saturating_duration_since(self.started.clock));
        ended.unwrap_or(self.now)
    }

    /// A response that was counted is nobody's: its delivery failed.
    pub(crate) fn undelivered(&mut self, target: TargetId, status: u16, response: Option<Duration>, at: Duration) {
        if !self.is_wanted {
            return;
        }
        self.times.at(at, |bucket| {
            let Some((point, responses)) = bucket.target(target.index()) else { return };
            point.sent = point.sent.saturating_sub(1);
            point.failed += 1;
            point.server_errors = point.server_errors.saturating_sub(u64::from(is_server_error(status)));
            if let Some(response) = response {
                responses.remove_us(micros(response));
            }
        });
    }

    /// The same of what was counted by route, and of its differences.
    pub(crate) fn uncompared(&mut self, one: &CountedDelivery) {
        self.routes.take_back(one);
        self.kinds.take_back(one);
    }

    /// Levels as they are now.
    pub(crate) fn level(&mut self, level: &RunGauges) {
        if !self.is_wanted {
            return;
        }
        self.times.at(self.now, |bucket| {
            bucket.point.lost += level.lost;
            bucket.point.share = level.share.or(bucket.point.share);
            bucket.point.connections = level.connections.or(bucket.point.connections);
            for (target, at) in level.targets.iter().enumerate() {
                if let Some((point, _)) = bucket.target(target) {
                    (point.connections, point.in_flight) = (Some(at.connections), Some(at.in_flight));
                }
            }
        });
    }

    /// Counts production's response to a request on this route, once all that will be known of it is known.
    pub(crate) fn joined(&mut self, route: Option<&RouteName>, production: Option<&Production>) {
        if !self.is_wanted {
            return;
        }
        self.routes.answered(route, production);
    }

    /// Counts a delivery that was compared with production's response.
    pub(crate) fn compared(
        &mut self,
        note: Option<&RequestRecord>,
        delivery: &Delivery,
        production: Option<&Production>,
        url: &str,
        compared: ExchangeComparison<'_>,
    ) {
        self.routes.delivered(note, delivery, production, compared);
        let target = delivery.destination.target();
        if let (Some(note), Some(production), Some(target), false) =
            (note, production, target, compared.differences.is_empty())
        {
            let response = delivery.answer.as_ref();
            let status = response.map(|response| response.status);
            let sent_as = &delivery.sent_as;
            let pair = DifferingPair { note, sent_as, target: target.index(), url, production, status, response };
            self.kinds.take(pair, compared.differences);
        }
    }

    /// Returns the counts of the routes that somebody wrote down.
    pub(crate) fn live_routes(&self, urls: &[String]) -> Vec<LiveRoute> {
        self.routes.live(urls)
    }

    /// Returns the durations behind the figures of routes.
    pub(crate) fn histograms(&self, urls: &[String]) -> BTreeMap<String, RouteHistograms> {
        self.routes.histograms(urls)
    }

    /// Every block but the curves. What is `noise` is counted apart.
    pub(crate) fn blocks(&self, urls: &[String], noise: &noise::NoiseVerdict) -> SummaryBlocks {
        if !self.is_wanted {
            return SummaryBlocks::default();
        }
        SummaryBlocks {
            routes: self.routes.block(urls, noise),
            kinds: self.kinds.block(urls, noise),
            timeline: Some(self.times.block(self.started.at.to_string(), urls, self.now)),
            curves: None,
        }
    }
}

const fn is_server_error(status: u16) -> bool {
    matches!(status, 500..=599)
}
