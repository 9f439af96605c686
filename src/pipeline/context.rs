//! What the stages of one run share while they are built.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

use super::budget::Budget;
use super::carry::Carry;
use super::control::Control;
use super::fleet::{FleetCounts, FleetLink};
use super::own_processor::OwnProcessor;
use super::passes::KnownSpan;
use super::progress::Progress;
use super::protection::{self, ProtectionController};
use super::retention::RetentionRules;
use super::run::{Feed, MemoryShares, Run, RunError, interests};
use super::threads::{self, Niceness};
use crate::capture::Halt;
use crate::http1::BodyPolicies;
use crate::middleware::DynamicShare;
use crate::recording::StoreSession;
use crate::replay::{self, ProductionEnds};
use crate::report::Started;

/// The clock, memory, limits and switches of one run. It holds no sender of a stage, so that no stage waits for its end.
pub(super) struct RunContext {
    pub(super) started: Started,
    /// Whether frames come off the wire, which waits for nobody.
    pub(super) live: bool,
    /// The processor of the pacing thread, where it has one to itself. The thread that began the run gets it back with this.
    pub(super) processor: Option<OwnProcessor>,
    /// Whether its threads let others go first.
    pub(super) niceness: Niceness,
    pub(super) memory: MemoryShares,
    /// What has to be known of bodies.
    pub(super) bodies: BodyPolicies,
    /// What is kept of responses until they are compared.
    pub(super) retention: Option<RetentionRules>,
    /// Values that go from responses into later requests, where any do.
    pub(super) carry: Option<Arc<Carry>>,
    /// The store that the recording is read from together with others, where it is.
    pub(super) session: Option<Arc<dyn StoreSession>>,
    /// What the others are told of how deliveries end.
    pub(super) fleet: FleetCounts,
    /// The part of `--limit` that is this run's.
    pub(super) limit_share: DynamicShare,
    pub(super) control: Control,
    pub(super) protection: ProtectionController,
    /// How production's responses end, for targets whose responses do not.
    pub(super) production_ends: Arc<ProductionEnds>,
    /// What sends, and carries bytes to external processes.
    pub(super) runtime: Runtime,
    pub(super) progress: Arc<Progress>,
    /// Memory for events on their way to the pacing thread.
    pub(super) event_budget: Budget,
    /// Which part of a file is replayed, once that is known.
    pub(super) span: KnownSpan,
    /// The longest time that any target has for what is in flight at the end.
    pub(super) drain: Duration,
    /// Ends the capture.
    pub(super) halt: Halt,
    pub(super) stops: StopSignals,
}

/// Ends the stages, one after another.
pub(super) struct StopSwitches {
    /// Nothing is ever sent here: the pacing thread wakes when it is dropped.
    pub(super) pacing: Sender<()>,
    pub(super) targets: watch::Sender<bool>,
    /// Notified when enough requests were taken.
    pub(super) enough: Arc<Notify>,
}

/// What the stages see of [`StopSwitches`].
pub(super) struct StopSignals {
    pub(super) pacing: Receiver<()>,
    pub(super) targets: watch::Receiver<bool>,
    pub(super) enough: Arc<Notify>,
}

impl RunContext {
    /// Puts the sample of `run` in the hands of its [`Control`], and divides its memory; `is_pulled` where its requests are
    /// made by those who send them.
    pub(super) fn new(
        run: &mut Run,
        progress: &Arc<Progress>,
        is_pulled: bool,
    ) -> Result<(Self, StopSwitches), RunError> {
        let started = Started::now();
        // Before any other thread starts: they leave it, too.
        let is_precise = run.punctuality() == replay::Punctuality::Precise;
        let processor = is_precise.then(OwnProcessor::reserve).flatten();
        let memory = MemoryShares::of(run.capture.max_memory, run.external.is_some());
        let control = controlled(run);
        let limit_share = DynamicShare::default();
        run.middleware.limit_share = run.reading_session().map(|_| limit_share.clone());
        let (switches, stops) = stop_switches();
        let sends = !run.targets.is_empty();
        let runtime = threads::sending(run, is_pulled)?;
        let carry = Carry::new(run.middleware.carry_rules(), carry_names(run), runtime.handle().clone());
        let context = Self {
            started,
            live: matches!(run.feed, Feed::Live(_) | Feed::Spoe(_)),
            processor,
            niceness: Niceness::of(run),
            bodies: interests(run),
            retention: sends.then(|| RetentionRules::new(&run.compare, memory.compared)).flatten(),
            carry: carry.map(Arc::new),
            protection: ProtectionController::new(run, &control),
            control,
            fleet: FleetCounts::new(run.targets.len(), run.reading_session().is_some()),
            limit_share,
            session: run.reading_session(),
            production_ends: Arc::default(),
            runtime,
            progress: Arc::clone(progress),
            event_budget: Budget::new(memory.events),
            span: KnownSpan::default(),
            drain: run.targets.iter().map(|target| target.drain).max().unwrap_or(replay::DEFAULT_DRAIN),
            halt: run.capture.halt.clone(),
            memory,
            stops,
        };
        context.control.open();
        Ok((context, switches))
    }

    /// What connects the run to the others that share its recording, where it is one of several.
    pub(super) fn fleet_link(&self) -> Option<FleetLink> {
        let session = self.session.clone()?;
        let (control, protection) = (self.control.clone(), self.protection.clone());
        let (counts, limit_share) = (self.fleet.clone(), self.limit_share.clone());
        Some(FleetLink { session, control, protection, counts, limit_share })
    }
}

/// Names of the targets, and of the baseline after them; none where nothing is sent.
fn carry_names(run: &Run) -> Vec<String> {
    let targets = run.targets.iter().map(|target| target.target.to_string());
    let baseline = run.reference.baseline.as_ref().map(|target| target.target.to_string()).unwrap_or_default();
    let last = (!run.targets.is_empty()).then_some(baseline);
    targets.chain(last).collect()
}

/// The control of `run`, which its sample goes by from now on.
fn controlled(run: &mut Run) -> Control {
    let control = run.control.clone();
    let targets = run.targets.iter().map(|target| target.target.to_string());
    control.begin(protection::first_share(run), run.middleware.sample, targets);
    run.middleware.dial = Some(control.dial());
    control
}

fn stop_switches() -> (StopSwitches, StopSignals) {
    let (pacing, pacing_stopped) = crossbeam_channel::bounded(0);
    let (targets, targets_stopped) = watch::channel(false);
    let enough = Arc::<Notify>::default();
    (
        StopSwitches { pacing, targets, enough: Arc::clone(&enough) },
        StopSignals { pacing: pacing_stopped, targets: targets_stopped, enough },
    )
}
