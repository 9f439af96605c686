//! Reference traffic, sent next to the deliveries to find noise: to a baseline, and to targets a second time.
//!
//! Requests come in as they are offered; jobs leave for queues of their own, without waiting: a job that finds no room
//! there is not sent. The share that is sent twice is chosen at random, and only from requests that change nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::dispatch::TargetDispatcher;
use crate::exchange::{ExchangeId, Outcome, Request, Shed};
use crate::replay::{self, Destination, ResponseOptions, TargetId, TargetLimits};
use crate::report::{ReportEvent, TargetSet};

/// Bytes of requests that wait for the baseline; past it further ones are not sent there.
pub(super) const BASELINE_BYTES: usize = 8 << 20;
/// Bytes of requests that wait to be sent to one target a second time; past it further ones are not.
pub(super) const CHECK_BYTES: usize = 1 << 20;
/// Limits of the second sends to a target, which must disturb nobody.
const CHECK_LIMITS: TargetLimits = TargetLimits {
    max_in_flight: 64,
    max_streams: 0,
    timeout: replay::DEFAULT_TIMEOUT,
    max_time: replay::DEFAULT_TIMEOUT,
    drain: Duration::ZERO,
};

/// Returns the limits of the second sends of this share of the requests to a target. Where each request in flight has a
/// connection of its own, they have their part of the places, which the target's own requests are left without: both together
/// keep to `--max-connections` and `--max-in-flight`.
pub(super) fn check_limits(settings: &mut replay::SendSettings, share: f64) -> TargetLimits {
    let (all, most) = (settings.places(), CHECK_LIMITS.max_in_flight);
    let limits = TargetLimits {
        timeout: settings.timeout.min(CHECK_LIMITS.timeout),
        max_time: settings.max_time.min(CHECK_LIMITS.max_time),
        ..CHECK_LIMITS
    };
    if share <= 0.0 || !settings.has_connection_each() || all < 2 {
        return TargetLimits { max_in_flight: all.clamp(1, most), ..limits };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of them, not negative")]
    let part = (all as f64 * share / (1.0 + share)).ceil() as usize;
    let part = part.clamp(1, most.min(all - 1));
    settings.max_in_flight = all - part;
    TargetLimits { max_in_flight: part, ..limits }
}

/// The ways there.
pub(super) struct ReferenceSender {
    pub(super) baseline: Option<TargetDispatcher>,
    /// One a target, where there are any.
    pub(super) checks: Vec<TargetDispatcher>,
    pub(super) share: f64,
    /// True when requests that may change something go to the baseline too.
    pub(super) writes: bool,
}

/// Reference destinations of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReferenceChoice {
    baseline: bool,
    checks: TargetSet,
}

impl ReferenceChoice {
    /// Nowhere.
    pub(super) const fn is_none(&self) -> bool {
        !self.baseline && self.checks.is_empty()
    }

    /// Returns the report event of this choice.
    pub(super) const fn fact(&self, of: ExchangeId) -> ReportEvent {
        ReportEvent::Beside { of, baseline: self.baseline, checks: self.checks }
    }
}

impl ReferenceSender {
    /// Chooses the reference destinations of a request that was offered to `targets`.
    pub(super) fn choose(&self, request: &Request, targets: TargetSet) -> ReferenceChoice {
        let reads = request.changes_nothing();
        let twice = reads && !self.checks.is_empty() && rand::random::<f64>() < self.share;
        ReferenceChoice {
            baseline: self.choose_baseline(request),
            checks: if twice { targets } else { TargetSet::default() },
        }
    }

    /// Returns whether a request goes to the baseline, where there is one.
    pub(super) fn choose_baseline(&self, request: &Request) -> bool {
        self.baseline.is_some() && self.asks_baseline(request)
    }

    /// Returns whether a request goes to a baseline as it does to targets.
    fn asks_baseline(&self, request: &Request) -> bool {
        self.writes || request.changes_nothing()
    }

    /// The baseline, where it will be asked.
    pub(super) fn baseline_for(&mut self, request: &Request) -> Option<&mut TargetDispatcher> {
        if self.asks_baseline(request) { self.baseline.as_mut() } else { None }
    }

    /// Sends it there; returns the destinations of the deliveries that ended at once, and how.
    pub(super) fn send(
        &mut self,
        chosen: &ReferenceChoice,
        request: &Request,
        due: Option<Instant>,
        wanted: ResponseOptions,
    ) -> Vec<(Destination, Outcome)> {
        // Without a schedule it is due now: a baseline that is slow is not to slow down the run.
        let due = due.unwrap_or_else(Instant::now);
        let offer = |to: Destination, dispatcher: Option<&mut TargetDispatcher>| {
            let shed = dispatcher
                .map_or(Some(Shed::TargetQueue), |dispatcher| dispatcher.offer(Box::new(request.clone()), due, wanted));
            shed.map(|place| (to, Outcome::Shed(place)))
        };
        let mut refused = Vec::new();
        if chosen.baseline {
            refused.extend(offer(Destination::Baseline, self.baseline.as_mut()));
        }
        for target in chosen.checks.iter() {
            refused.extend(offer(Destination::SelfCheck(TargetId::at(target)), self.checks.get_mut(target)));
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::testing::request;

    #[test]
    fn second_sends_have_a_part_of_the_places() {
        let places = |connections, most, share| {
            let url = "http://h".parse().unwrap();
            let mut settings =
                replay::SendSettings { max_connections: most, connections, ..replay::SendSettings::new(url) };
            let limits = check_limits(&mut settings, share);
            (settings.places(), limits.max_in_flight)
        };
        let pooled = replay::ConnectionMode::Pooled;
        for (most, share, expected) in [
            (None, 0.01, (253, 3)),
            (None, 1.0, (192, 64)),
            (Some(2), 1.0, (1, 1)),
            (Some(2), 0.01, (1, 1)),
            (Some(5), 0.5, (3, 2)),
            (Some(5), 0.0, (5, 5)),
            (Some(1), 1.0, (1, 1)),
        ] {
            assert_eq!(places(pooled, most, share), expected, "{most:?} {share}");
        }
        assert_eq!(places(replay::ConnectionMode::Mirrored, Some(5), 1.0), (1024, 64));
    }

    #[test]
    fn second_sends_are_waited_for_no_longer_than_first_ones() {
        let times = |timeout, max_time| {
            let url = "http://h".parse().unwrap();
            let mut settings = replay::SendSettings { timeout, max_time, ..replay::SendSettings::new(url) };
            let limits = check_limits(&mut settings, 0.5);
            (limits.timeout, limits.max_time)
        };
        let (short, long, most) = (Duration::from_secs(1), Duration::from_secs(2), replay::DEFAULT_TIMEOUT);
        assert_eq!(times(short, long), (short, long));
        assert_eq!(times(2 * most, 20 * most), (most, most));
    }

    #[test]
    fn writes_go_to_the_baseline_only_where_they_may() {
        let sender = |writes| ReferenceSender { baseline: None, checks: Vec::new(), share: 1.0, writes };
        let (reads, writes) = (sender(false), sender(true));
        for sender in [reads, writes] {
            assert!(
                sender.choose(&request(1, "GET / HTTP/1.1\r\n\r\n"), TargetSet::first(1)).is_none(),
                "there is nobody to ask"
            );
        }
    }
}
