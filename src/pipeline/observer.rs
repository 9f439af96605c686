//! Live observation of a run: at most one snapshot a second, and no cost while nobody observes.
//!
//! A request for a snapshot takes the way of the report events to the report thread, and comes back as a [`Snapshot`];
//! the momentary state that only the stages know is filled in here. Observation neither delays the run nor keeps it
//! from ending.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::watch;
use tokio::time::Instant;

use super::carry::Carry;
use super::control::Control;
use super::external::counts::ExternalCounts;
use super::progress::Progress;
use crate::capture::Halt;
use crate::recording::StoreSession;
use crate::replay::{AnyClient, Destination, InFlight, Job, OpenNow};
use crate::report::reporter::snapshot::{LiveReference, LiveState, LiveTarget, QueueDepth, SnapshotRequest};
use crate::report::{CaptureStats, RecordingSummary, ReportEvent, Snapshot, Summary, TargetGauges};
use crate::serve::RunView;
use crate::serve::control::ControlCommand;

/// Age up to which a snapshot is served again: a client that asks once a second gets a new one each time.
const FRESH: Duration = Duration::from_millis(900);

/// Time that pages get to be told of the end.
const END_SHOWN: Duration = Duration::from_secs(2);

/// Time that their connections get to write the last of it.
const END_WRITTEN: Duration = Duration::from_millis(50);

/// Time between two looks at what the capture has counted.
const ENGINE_EVERY: Duration = Duration::from_millis(200);

/// Looks at one run, from any thread. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Observer(Arc<ObserverState>);

#[derive(Default)]
struct ObserverState {
    run: OnceLock<LiveHandles>,
    /// What the run came to, once it has ended.
    end: OnceLock<Arc<Snapshot>>,
    /// Whether it has ended; heeded by whoever shows it.
    ended: watch::Sender<bool>,
    /// True once anybody has asked for a snapshot.
    watched: AtomicBool,
    engine: Mutex<CaptureStats>,
    last: tokio::sync::Mutex<Option<LastSnapshot>>,
}

/// Latest snapshot, and the time it was made.
struct LastSnapshot {
    at: Instant,
    evidence: bool,
    snapshot: Arc<Snapshot>,
}

/// Handles by which a run is observed. None of them keeps it from ending.
pub(super) struct LiveHandles {
    pub(super) facts: WeakSender<ReportEvent>,
    pub(super) progress: Arc<Progress>,
    pub(super) control: Control,
    pub(super) halted: Halt,
    pub(super) targets: Vec<TargetProbe>,
    pub(super) captures: bool,
    /// Places for events on their way from the capture.
    pub(super) room: usize,
    pub(super) records: bool,
    pub(super) middleware: Option<Arc<ExternalCounts>>,
    /// The store that the recording is read from together with others, where it is.
    pub(super) session: Option<Arc<dyn StoreSession>>,
}

/// Handles by which a target is observed.
#[derive(Clone)]
pub(super) struct TargetProbe {
    pub(super) url: String,
    /// Its name, where the user gave it one.
    pub(super) name: Option<String>,
    pub(super) jobs: WeakSender<Job>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) client: Weak<AnyClient>,
    /// Values that are carried there, where any are.
    pub(super) carry: Option<(Arc<Carry>, Destination)>,
}

impl Observer {
    /// How the run goes, with routes, kinds of difference, curves and timeline where `evidence` is wanted; `None` before
    /// it began. After its end it is what it came to, or what was seen last.
    pub async fn look(&self, evidence: bool) -> Option<Arc<Snapshot>> {
        if let Some(end) = self.0.end.get() {
            return Some(Arc::clone(end));
        }
        let stages = self.0.run.get()?;
        self.0.watched.store(true, Ordering::Relaxed);
        let mut last = self.0.last.lock().await;
        let is_fresh = |seen: &&LastSnapshot| seen.at.elapsed() < FRESH && (seen.evidence || !evidence);
        if let Some(seen) = last.as_ref().filter(is_fresh) {
            return Some(Arc::clone(&seen.snapshot));
        }
        if let Some(snapshot) = self.ask(stages, evidence).await {
            *last = Some(LastSnapshot { at: Instant::now(), evidence, snapshot: Arc::new(snapshot) });
        }
        last.as_ref().map(|seen| Arc::clone(&seen.snapshot))
    }

    /// Steers the run, once it has begun.
    #[must_use]
    pub fn control(&self) -> Option<Control> {
        self.0.run.get().map(|stages| stages.control.clone())
    }

    /// The run has ended as `summary` says. Ready once whoever is shown the run has been shown that.
    pub(super) async fn end(&self, summary: &Summary) {
        if self.0.ended.is_closed() {
            return;
        }
        let last = self.0.last.lock().await.take();
        let last = last.map(|last| Snapshot::clone(&last.snapshot)).unwrap_or_default();
        let live = LiveState { ended: true, ..last.live };
        self.0.end.set(Arc::new(Snapshot { summary: summary.clone(), live, ..last })).ok();
        self.0.ended.send_replace(true);
        tokio::time::timeout(END_SHOWN, self.0.ended.closed()).await.ok();
        tokio::time::sleep(END_WRITTEN).await;
    }

    /// A run begins.
    pub(super) fn begin(&self, stages: LiveHandles) {
        // Another run is not looked at: what is shown is one run from its beginning to its end.
        self.0.run.set(stages).ok();
    }

    /// `None` where the run has ended.
    async fn ask(&self, stages: &LiveHandles, evidence: bool) -> Option<Snapshot> {
        let engine = self.0.engine.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let recording = stages.records.then(|| recording(&stages.progress));
        let (look, answer) = SnapshotRequest::new(LiveReference { engine, recording, evidence });
        // Not held while the answer is awaited: the report thread ends when there are no more senders.
        stages.facts.upgrade()?.send(look.into()).await.ok()?;
        let mut seen = *answer.await.ok()?;
        seen.live = stages.live();
        stages.fill(&mut seen);
        Some(seen)
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("begun", &self.0.run.get().is_some()).finish_non_exhaustive()
    }
}

impl RunView for Observer {
    fn look(&self, evidence: bool) -> BoxFuture<'_, Option<Arc<Snapshot>>> {
        Box::pin(self.look(evidence))
    }

    fn ended(&self) -> watch::Receiver<bool> {
        self.0.ended.subscribe()
    }

    fn steer(&self, command: ControlCommand) {
        if let Some(control) = self.control() {
            control.obey(command);
        }
    }
}

impl LiveHandles {
    fn live(&self) -> LiveState {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let permille = of(&self.progress.read_permille);
        let events = QueueDepth { entries: of(&self.progress.queued), room: self.room as u64 };
        let facts = self.facts.upgrade().map(|facts| depth(facts.max_capacity(), facts.capacity()));
        let state = self.control.state();
        LiveState {
            queues: BTreeMap::from([("events", events), ("facts", facts.unwrap_or_default())]),
            targets: self.targets.iter().map(|target| (target.url.clone(), target.live())).collect(),
            read: (permille <= 1000).then(|| permille as f64 / 1000.0),
            paused: state.paused,
            stopping: state.stopping || self.halted.is_set(),
            ended: false,
            share: state.share,
            captures: self.captures,
            fleet: self.session.as_ref().and_then(|session| session.view()).map(|view| view.status()),
        }
    }

    /// Fills in the fields that a summary gets from the stages at its end, as far as they are known now.
    fn fill(&self, seen: &mut Snapshot) {
        let guards = self.control.state().targets.into_iter().map(|target| (target.target, target.guard));
        for (url, guard) in guards {
            if let Some(target) = seen.summary.targets.get_mut(&url) {
                target.guard = guard;
            }
        }
        for probe in &self.targets {
            let Some(target) = seen.summary.targets.get_mut(&probe.url) else { continue };
            target.peak_in_flight = probe.in_flight.peak();
            if let Some((carry, of)) = &probe.carry {
                target.carry = carry.counts(*of);
            }
            if let Some(client) = probe.client.upgrade() {
                let now = client.open_now();
                (target.connections_opened, target.peak_connections) = (now.opened, now.peak);
            }
        }
        let named = self.targets.iter().filter_map(|probe| Some((probe.url.clone(), probe.name.clone()?)));
        seen.names = named.collect();
        let ends = self.control.ends();
        seen.summary.steps = ends.steps.kept();
        seen.summary.sample.asked = ends.asked.unwrap_or(seen.summary.sample.asked);
        seen.summary.middleware = self.middleware.as_ref().map(|counts| counts.so_far());
    }
}

impl TargetProbe {
    /// Returns its client's open connections and requests in flight.
    pub(super) fn level(&self) -> TargetGauges {
        TargetGauges { connections: self.open_now().open, in_flight: self.in_flight.now() }
    }

    fn open_now(&self) -> OpenNow {
        self.client.upgrade().map(|client| client.open_now()).unwrap_or_default()
    }

    fn live(&self) -> LiveTarget {
        let now = self.open_now();
        LiveTarget {
            queue: self.jobs.upgrade().map(|jobs| depth(jobs.max_capacity(), jobs.capacity())).unwrap_or_default(),
            in_flight: self.in_flight.now(),
            connections: now.open,
            connections_opened: now.opened,
        }
    }
}

fn depth(room: usize, free: usize) -> QueueDepth {
    QueueDepth { entries: room.saturating_sub(free) as u64, room: room as u64 }
}

/// Returns the recording so far, of the counts that the recording thread publishes as it works.
fn recording(progress: &Progress) -> RecordingSummary {
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let lost = [
        ("disk", of(&progress.lost_to_disk)),
        ("store", of(&progress.lost_to_store)),
        ("queue", of(&progress.unrecorded)),
    ];
    RecordingSummary {
        records: of(&progress.records),
        requests: (!progress.records_frames.load(Ordering::Relaxed)).then(|| of(&progress.recorded)),
        bytes: of(&progress.recorded_bytes),
        lost: lost.into_iter().filter(|(_, count)| *count > 0).map(|(why, count)| (why.to_owned(), count)).collect(),
        ..RecordingSummary::default()
    }
}

/// Reports capture statistics to an observer at intervals.
pub(super) struct EngineReporter {
    to: Observer,
    last_report: Instant,
    /// Statistics of earlier passes over the same files.
    before: CaptureStats,
}

impl EngineReporter {
    pub(super) fn new(to: &Observer) -> Self {
        Self { to: to.clone(), last_report: Instant::now(), before: CaptureStats::default() }
    }

    /// Returns whether a report is due.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.to.0.watched.load(Ordering::Relaxed) && self.last_report.elapsed() >= ENGINE_EVERY;
        if due {
            self.last_report = Instant::now();
        }
        due
    }

    /// Reports the statistics of the current pass so far.
    pub(super) fn report(&self, engine: CaptureStats) {
        let mut all = self.before.clone();
        all.add(engine);
        *self.to.0.engine.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// A pass is over, and had this.
    pub(super) fn pass(&mut self, engine: &CaptureStats) {
        self.report(engine.clone());
        self.before.add(engine.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_as_the_report_counts_them_and_requests_beside_them() {
        let progress = Progress::default();
        progress.records.store(4, Ordering::Relaxed);
        progress.recorded.store(2, Ordering::Relaxed);
        let said = recording(&progress);
        assert_eq!((said.records, said.requests), (4, Some(2)));
        progress.records_frames.store(true, Ordering::Relaxed);
        assert_eq!(recording(&progress).requests, None);
    }
}
