//! A run as it goes: what the report has counted so far, for whoever looks while there is still time to act.
//!
//! A [`SnapshotRequest`] goes the way of the facts, so what it shows is whole: every fact before it, none after it. It costs
//! nothing while nobody looks. What only the stages know of the moment ([`LiveState`]) is put in by whoever asked.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use crate::exchange::ExchangeId;
use crate::fleet::FleetStatus;
use crate::replay::TargetId;
use crate::report::collect::buckets::{LiveBuckets, LiveTargetBuckets};
use crate::report::collect::evidence::SummaryBlocks;
use crate::report::collect::inputs::{CaptureStats, TargetTotals, blank};
use crate::report::collect::live_routes::LiveRoute;
use crate::report::collect::results::ResultLine;
use crate::report::schema::summary::Summary;

use super::{ReportEvent, Reporter};
use crate::report::schema::recording::RecordingSummary;

/// Last differences that are kept: as many as a page shows. Older ones make room.
const MAX_RECENT: usize = 20;

/// Longest line that is kept of one; a longer one is left out.
const MAX_LINE: usize = 8 << 10;

/// A run as it goes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Summary so far, without the parts that only the end brings.
    pub summary: Summary,
    /// Production's latency.
    pub production: LiveBuckets,
    /// Time from the wire to the targets, of a live capture.
    pub capture_delay: LiveBuckets,
    /// Durations at each target, by its URL.
    pub targets: BTreeMap<String, LiveTargetBuckets>,
    /// Counts of the routes that somebody wrote down.
    pub routes: Vec<LiveRoute>,
    /// Names that targets were given, by their URL.
    pub names: BTreeMap<String, String>,
    /// Lines of results of deliveries that differ, in their order; kept from the first look on, and of those since a look
    /// the first twenty only.
    pub differences: Vec<Box<RawValue>>,
    /// Momentary state of the stages.
    pub live: LiveState,
}

/// Momentary state of the stages, next to the counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own for whoever reads it")]
pub struct LiveState {
    /// Depths of the queues between the stages, by the name of the queue.
    pub queues: BTreeMap<&'static str, QueueDepth>,
    /// State of each target, by its URL.
    pub targets: BTreeMap<String, LiveTarget>,
    /// Progress through the capture, from 0 to 1; `None` where that is not known.
    pub read: Option<f64>,
    /// True when nothing is sent for now.
    pub paused: bool,
    /// True when the run is about to end, and sends only the rest.
    pub stopping: bool,
    /// Whether it has ended, and the summary is that of the whole run.
    pub ended: bool,
    /// The share that the sample lets in now, from 0 to 1.
    pub share: f64,
    /// True when the run is a live capture.
    pub captures: bool,
    /// The replayers that share the recording, this one among them; `None` where it is not shared.
    pub fleet: Option<FleetStatus>,
}

/// Depth of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    /// Entries.
    pub entries: u64,
    /// Entries that it has room for.
    pub room: u64,
}

/// State of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LiveTarget {
    /// Requests that wait to be sent.
    pub queue: QueueDepth,
    /// Requests that await their response.
    pub in_flight: u64,
    /// Connections that are open.
    pub connections: u64,
    /// Connections opened so far.
    pub connections_opened: u64,
}

/// State of the run so far, from outside the report.
#[derive(Clone, Debug, Default)]
pub struct LiveReference {
    /// Of the capture.
    pub engine: CaptureStats,
    /// Of what is recorded, where anything is.
    pub recording: Option<RecordingSummary>,
    /// True when routes, difference groups, noise, curves and the timeline are wanted too: for a long run with many
    /// routes they take some milliseconds.
    pub evidence: bool,
}

/// Request for a snapshot of the run, with the channel for the response.
#[derive(Debug)]
pub struct SnapshotRequest {
    beside: Box<LiveReference>,
    to: oneshot::Sender<Box<Snapshot>>,
}

impl SnapshotRequest {
    /// Returns a request, and the receiver of its snapshot.
    #[must_use]
    pub fn new(beside: LiveReference) -> (Self, oneshot::Receiver<Box<Snapshot>>) {
        let (to, answer) = oneshot::channel();
        (Self { beside: Box::new(beside), to }, answer)
    }

    /// Sends the snapshot.
    pub(super) fn show(self, reporter: &mut Reporter) {
        // Who asked may have gone.
        self.to.send(Box::new(reporter.snapshot(*self.beside))).ok();
    }
}

impl From<SnapshotRequest> for ReportEvent {
    fn from(look: SnapshotRequest) -> Self {
        Self::Look(look)
    }
}

impl Reporter {
    /// Returns a snapshot of the run so far. Joins that wait keep waiting.
    pub fn snapshot(&mut self, beside: LiveReference) -> Snapshot {
        let differences = self.recent.get_or_insert_default().look();
        let LiveReference { engine, recording, evidence } = beside;
        let end = TargetTotals::default();
        let targets = self.targets.iter().zip(&self.urls);
        let verdict = self.noise.verdict(&self.urls);
        let SummaryBlocks { routes, kinds, timeline, curves } =
            if evidence { self.blocks(&verdict) } else { SummaryBlocks::default() };
        let blocks = targets.clone().enumerate().zip(&verdict.targets).map(|((at, (tally, url)), noise)| {
            (url.clone(), tally.finish(self.ledger.target(at), self.ledger.paused(at), &end).without(*noise))
        });
        let summary = Summary {
            frames: engine.frames,
            tcp: engine.tcp,
            streams: engine.streams,
            requests: self.ledger.requests(),
            targets: blocks.collect(),
            production: self.production.finish(),
            capture_delay_us: self.capture_delay.some_figures(),
            sample: self.ledger.sample(self.sample, None, engine.kernel_share),
            recording,
            noise: if evidence { verdict.rows } else { Vec::new() },
            fields: if evidence { verdict.fields } else { Vec::new() },
            noise_unlearnt: if evidence { verdict.unlearnt } else { Vec::new() },
            routes,
            kinds,
            timeline,
            curves,
            warnings: engine.warnings,
            unread: engine.unread,
            ..blank(self.command, self.started, self.asked.clone())
        };
        debug_assert!(self.ledger.balances(), "the ledger does not add up: {summary:?}");
        Snapshot {
            summary,
            production: self.production.buckets(),
            capture_delay: LiveBuckets::of(&self.capture_delay),
            targets: targets.map(|(tally, url)| (url.clone(), tally.buckets())).collect(),
            routes: self.evidence.live_routes(&self.urls),
            names: BTreeMap::new(),
            differences,
            live: LiveState::default(),
        }
    }
}

/// A request, and the number of the target that it went to.
type DeliveryName = (ExchangeId, TargetId);

/// Deliveries that differ, as lines of results: of those since a look the first so many, since to write down each of
/// thousands a second, for the few that are shown, takes longer than to compare them.
#[derive(Debug, Default)]
pub(super) struct RecentDifference {
    /// Each with the delivery that it is of.
    lines: VecDeque<(DeliveryName, Box<RawValue>)>,
    since_look: usize,
}

impl RecentDifference {
    /// Returns whether another line will be shown.
    pub(super) const fn wants(&self) -> bool {
        self.since_look < MAX_RECENT
    }

    /// Keeps a line; the oldest makes room.
    pub(super) fn keep(&mut self, of: DeliveryName, line: &ResultLine<'_>) {
        self.since_look += 1;
        let Ok(line) = serde_json::value::to_raw_value(line) else { return };
        if line.get().len() > MAX_LINE {
            return;
        }
        if self.lines.len() == MAX_RECENT {
            self.lines.pop_front();
        }
        self.lines.push_back((of, line));
    }

    /// Drops the line of a delivery whose response is nobody's.
    pub(super) fn forget(&mut self, id: ExchangeId, target: TargetId) {
        self.lines.retain(|(of, _)| *of != (id, target));
    }

    /// Somebody looks.
    fn look(&mut self) -> Vec<Box<RawValue>> {
        self.since_look = 0;
        self.lines.iter().map(|(_, line)| line.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ReportSettings;
    use std::time::Duration;

    use super::*;
    use crate::exchange::Outcome;
    use crate::replay::{Delivery, Destination};
    use crate::report::collect::buckets::EDGES_US;
    use crate::report::collect::inputs::{Started, TargetSet};
    use crate::report::collect::testing::{delivery, note, production};

    fn reporter() -> Reporter {
        Reporter::new(ReportSettings {
            command: "replay",
            targets: vec!["http://t".to_owned()],
            sample: 0.5,
            results: None,
            started: Started::now(),
            patterns: std::sync::Arc::default(),
            evidence: true,
            compare: crate::compare::CompareRules::default(),
            kept_bytes: 1 << 20,
            recent_bytes: 1 << 20,
            baseline: None,
            demands: crate::report::threshold::Thresholds::default(),
            asked: crate::report::schema::request::RunRequest::default(),
            observe: None,
        })
    }

    /// Reports a request with production's status 200 and the target's `status`.
    fn answered(reporter: &mut Reporter, n: u32, status: u16) {
        let delivery = delivery(n, Outcome::Sent, Some(status));
        let of = delivery.id;
        reporter.take(ReportEvent::Offered { note: note(n), targets: TargetSet::first(1), capture_delay: None });
        reporter.take(ReportEvent::Delivered(Box::new(delivery)));
        reporter.take(ReportEvent::Production { of, production: Ok(production(200)) });
    }

    fn looked_at(reporter: &mut Reporter) -> Box<Snapshot> {
        let (look, mut answer) = SnapshotRequest::new(LiveReference::default());
        reporter.take(ReportEvent::Look(look));
        answer.try_recv().unwrap()
    }

    #[test]
    fn a_look_shows_what_was_told_before_it_and_changes_nothing() {
        let mut reporter = reporter();
        answered(&mut reporter, 1, 200);
        reporter.take(ReportEvent::Offered { note: note(2), targets: TargetSet::first(1), capture_delay: None });
        let seen = looked_at(&mut reporter);
        let target = &seen.summary.targets["http://t"];
        assert_eq!((seen.summary.requests.seen, target.ended.sent, target.in_flight), (2, 1, 1));
        assert_eq!((seen.production.count, seen.targets["http://t"].service.count), (1, 1));
        assert!(seen.summary.balances());
        let again = looked_at(&mut reporter);
        assert_eq!(seen.summary.targets, again.summary.targets);
        let end = reporter.finish(crate::report::collect::inputs::RunTotals::default());
        assert_eq!((end.requests.seen, end.production.unjoined["stopped"]), (2, 1));
    }

    #[test]
    fn a_look_leaves_noise_out_of_every_block() {
        let mut reporter = reporter();
        for n in 0..4 {
            let of = delivery(n, Outcome::Sent, Some(503)).id;
            reporter.take(ReportEvent::Offered { note: note(n), targets: TargetSet::first(1), capture_delay: None });
            reporter.take(ReportEvent::Beside { of, baseline: true, checks: TargetSet::default() });
            for destination in [Destination::Target(TargetId::at(0)), Destination::Baseline] {
                let delivery = Delivery { destination, ..delivery(n, Outcome::Sent, Some(503)) };
                reporter.take(ReportEvent::Delivered(Box::new(delivery)));
            }
            reporter.take(ReportEvent::Production { of, production: Ok(production(200)) });
        }
        let Summary { targets, routes, kinds, noise, .. } =
            reporter.snapshot(LiveReference { evidence: true, ..LiveReference::default() }).summary;
        assert_eq!((noise.len(), noise[0].route.as_str()), (1, "GET /a"));
        let (total, route) = (&targets["http://t"], &routes[0].targets["http://t"]);
        assert_eq!((total.differences.any, total.differences_noise.any), (0, 4));
        assert_eq!((&route.differences, route.differences_noise), (&total.differences, total.differences_noise));
        let kinds = kinds.unwrap().rows;
        assert_eq!((kinds.len(), kinds[0].count, kinds[0].noise), (1, 4, 4));
    }

    #[test]
    fn buckets_add_up_from_edge_to_edge() {
        let mut reporter = reporter();
        answered(&mut reporter, 1, 200);
        // Service took 2 ms, response 3 ms.
        let seen = looked_at(&mut reporter);
        let LiveTargetBuckets { service, response, .. } = &seen.targets["http://t"];
        let at = |edge| EDGES_US.iter().position(|us| *us == edge).unwrap();
        assert_eq!((service.at_most[at(1_000)], service.at_most[at(2_500)]), (0, 1));
        assert_eq!((response.at_most[at(2_500)], response.at_most[at(5_000)]), (0, 1));
        assert!(service.at_most[at(2_500)..].iter().all(|count| *count == 1));
        assert_eq!((service.sum, response.sum), (Duration::from_millis(2), Duration::from_millis(3)));
    }

    #[test]
    fn the_last_differences_are_kept_from_the_first_look_on() {
        let mut reporter = reporter();
        answered(&mut reporter, 1, 503);
        assert!(looked_at(&mut reporter).differences.is_empty());
        for n in 2..40 {
            answered(&mut reporter, n, if n % 2 == 0 { 503 } else { 200 });
        }
        let kept = looked_at(&mut reporter).differences;
        assert_eq!(kept.len(), 19);
        let last: serde_json::Value = serde_json::from_str(kept.last().unwrap().get()).unwrap();
        assert_eq!((&last["id"], &last["differences"][0]["shadow"]), (&"1.38".into(), &503.into()));
        (40..80).for_each(|n| answered(&mut reporter, n, 404));
        let kept = looked_at(&mut reporter).differences;
        let last: serde_json::Value = serde_json::from_str(kept.last().unwrap().get()).unwrap();
        assert_eq!((kept.len(), &last["id"]), (MAX_RECENT, &format!("1.{}", 39 + MAX_RECENT).into()));
        answered(&mut reporter, 80, 404);
        let kept = looked_at(&mut reporter).differences;
        assert!(kept.last().unwrap().get().contains("1.80"), "after each look there is room again");
    }
}
