//! Settings of a run, and the errors that keep it from beginning.

use crate::causes::Help;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::watch;

use super::control::Control;
use super::guard_command::GuardCommand;
use super::observer::Observer;
use super::pacer::timing::Timing;
use super::passes::KnownSpan;
use super::retention::RetentionRules;
use crate::capture::spoe::SpoeListener;
use crate::capture::{self, Source};
use crate::compare::CompareRules;
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::middleware::carry::CarryRule;
use crate::middleware::{self, LoopHeader};
use crate::priority::Priority;
use crate::recording::{Origin, RecordingOutput, StoreSession};
use crate::replay;
use crate::replay::guard::{Dependency, DependencyWatch, OnUnknown};
use crate::report::RoutePatterns;
use crate::report::collect::observe::ObserveRule;
use crate::report::threshold::Thresholds;
use crate::serve::Server;
use crate::telemetry::Telemetry;

/// Source of frames or events; files wait for the run, live sources do not.
pub enum Feed {
    /// Files, captures or recordings: read as fast as they are taken.
    Files(Origin),
    /// The wire: what is not taken in time is shed.
    Live(Box<dyn Source + Send>),
    /// HAProxy, which tells of its requests: what is not taken in time is shed.
    Spoe(SpoeListener),
}

impl From<Origin> for Feed {
    fn from(origin: Origin) -> Self {
        Self::Files(origin)
    }
}

/// Settings of a run.
pub struct Run {
    /// The command that runs it, for the summary.
    pub command: &'static str,
    /// The command line, without secrets, for the summary; empty where there was none.
    pub command_line: String,
    /// Source of frames or events: see [`crate::recording::open`].
    pub feed: Feed,
    /// Settings of the capture; files are opened again by their names here where they are read several times.
    pub capture: capture::Settings,
    /// Range of files to replay, number of passes, and number of copies of each session.
    pub range: replay::ReplayRange,
    /// Middleware settings of the requests.
    pub middleware: middleware::ChainSettings,
    /// A process outside that requests pass after that.
    pub external: Option<middleware::external::ExternalSettings>,
    /// Targets, with their send settings; may be empty where requests are recorded.
    pub targets: Vec<replay::SendSettings>,
    /// Recorder of the traffic that passes.
    pub recorder: Option<Box<dyn RecordingOutput>>,
    /// Leave of the thread that paces to come before others, where it has a processor to itself.
    pub priority: Option<Priority>,
    /// Marker by which shadowtap recognizes its own traffic.
    pub mark: Option<LoopHeader>,
    /// Number of requests to take before the run ends by itself.
    pub most: Option<u64>,
    /// Rise of the share, in place of the sample's fixed one; `None` for one share all along.
    pub ramp: Option<replay::ramp::RampPlan>,
    /// An external command that throttles the run.
    pub guard_command: Option<GuardCommand>,
    /// Numbers of other systems that throttle the run past their limits.
    pub dependencies: Vec<Dependency>,
    /// What such a number does where it is not known.
    pub on_unknown: OnUnknown,
    /// Control of the run while it lasts.
    pub control: Control,
    /// Observer of the run while it lasts.
    pub observer: Observer,
    /// Server that shows and controls the run over HTTP.
    pub server: Option<Server>,
    /// Asks for new output files.
    pub reopen: Reopen,
    /// Conditions on production's responses under which a dashcam writes out what it keeps.
    pub save_if: Option<replay::guard::ProductionConditions>,
    /// New middleware settings, each time they change.
    pub reloads: watch::Receiver<Option<middleware::ChainSettings>>,
    /// Output for ended deliveries, each as a line of JSON.
    pub results: Option<Box<dyn Write + Send>>,
    /// Patterns that name routes in the report; without any, routes are named by their shape.
    pub patterns: Arc<RoutePatterns>,
    /// True when the summary has routes, difference groups and times in addition to totals, which has a cost.
    pub evidence: bool,
    /// Rules for what counts as a difference.
    pub compare: CompareRules,
    /// Reference traffic, sent in addition to find noise.
    pub reference: replay::ReferenceSettings,
    /// Thresholds that the run has to meet.
    pub demands: Thresholds,
    /// The server line of HAProxy that is played through, where one is.
    pub observe: Option<ObserveRule>,
    /// Other systems that are told of deliveries and guards.
    pub telemetry: Telemetry,
    /// Processors that there are for its threads: as many as the machine has, where nobody says otherwise.
    pub processors: usize,
}

impl Run {
    /// A replay of files with nothing special about it; where to is still to be said.
    #[must_use]
    pub fn of_files(source: impl Into<Origin>) -> Self {
        Self { command: "replay", ..Self::new(source.into().into()) }
    }

    /// A run that is fed with `feed`, with nothing special about it; where to is still to be said.
    #[must_use]
    pub fn new(feed: Feed) -> Self {
        Self {
            command: "shadow",
            command_line: String::new(),
            feed,
            capture: capture::Settings::default(),
            range: replay::ReplayRange::default(),
            middleware: middleware::ChainSettings::default(),
            external: None,
            targets: Vec::new(),
            recorder: None,
            mark: None,
            priority: None,
            most: None,
            ramp: None,
            guard_command: None,
            dependencies: Vec::new(),
            on_unknown: OnUnknown::default(),
            control: Control::default(),
            observer: Observer::default(),
            server: None,
            reopen: Reopen::default(),
            save_if: None,
            reloads: watch::channel(None).1,
            results: None,
            patterns: Arc::default(),
            evidence: true,
            compare: CompareRules::default(),
            reference: replay::ReferenceSettings::default(),
            demands: Thresholds::default(),
            observe: None,
            telemetry: Telemetry::default(),
            processors: available_parallelism().map_or(1, usize::from),
        }
    }

    /// What the run is in the store that it reads from together with others, where it does.
    pub(super) fn reading_session(&self) -> Option<Arc<dyn StoreSession>> {
        if let Feed::Files(Origin::Events(input)) = &self.feed { input.session() } else { None }
    }

    /// What the run is in the stores that it reads from and records to.
    pub(super) fn sessions(&self) -> Vec<Arc<dyn StoreSession>> {
        let read = self.reading_session();
        read.into_iter().chain(self.recorder.as_ref().and_then(|recorder| recorder.session())).collect()
    }

    /// Takes the dependencies, each with what judges its readings.
    pub(super) fn dependency_watches(&mut self) -> Vec<DependencyWatch> {
        let all = std::mem::take(&mut self.dependencies).into_iter();
        all.map(|dependency| DependencyWatch::new(dependency, self.on_unknown)).collect()
    }

    /// Returns when requests are due, of the part of a file that is replayed. One thread paces for all targets: what is asked
    /// of the first goes for all.
    pub(super) fn timing(&self, span: &KnownSpan) -> Timing {
        let (pace, max_gap) = self.pace();
        match &self.feed {
            Feed::Live(_) | Feed::Spoe(_) => Timing::Live,
            Feed::Files(Origin::Events(input)) if input.is_followed() => Timing::Live,
            Feed::Files(_) => Timing::paced(pace, max_gap, Arc::clone(span)).together(self.reading_session()),
        }
    }

    /// Returns how closely the pace of the run is kept.
    pub(super) fn punctuality(&self) -> replay::Punctuality {
        self.targets.first().map(|target| target.punctuality).unwrap_or_default()
    }

    /// Returns the pace of the run, and the longest silence of the capture that is kept, where there is such a limit: they
    /// are the same for all targets.
    pub(super) fn pace(&self) -> (replay::Pace, Option<Duration>) {
        self.targets.first().map(|target| (target.pace, target.max_gap)).unwrap_or_default()
    }
}

/// Asks the recording thread to begin new files. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicU64>);

impl Reopen {
    /// Asks.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of requests for new files so far.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Errors that keep a run from beginning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The capture cannot be read at all.
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
    /// The runtime, or a thread of it, could not start.
    #[error("cannot start a thread")]
    Start(#[source] std::io::Error),
    /// The process outside could not be started.
    #[error("cannot start the middleware `{command}`")]
    Middleware {
        /// Command that was to be run.
        command: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The guard command could not be started.
    #[error("cannot start the guard command `{command}`")]
    GuardCommand {
        /// What was to be run.
        command: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// A dependency cannot be asked.
    #[error("cannot set up --dependency {dependency}: {why}")]
    Dependency {
        /// The dependency.
        dependency: String,
        /// What is wrong.
        why: String,
    },
    /// Another system cannot be told anything.
    #[error("cannot set up --otlp or --webhook: {0}")]
    Telemetry(String),
    /// The client could not be set up.
    #[error(transparent)]
    Client(#[from] replay::ClientError),
}

impl Help for RunError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Start(error) if lacks_files(error) => Some("raise the limit with ulimit -n".into()),
            Self::Start(_) => Some("is a limit on processes in force (ulimit -u)?".into()),
            Self::Middleware { source, .. } | Self::GuardCommand { source, .. } => Some(advice(source).into()),
            Self::Client(error) => error.help(),
            Self::Capture(_) | Self::Telemetry(_) | Self::Dependency { .. } => None,
        }
    }
}

/// Returns whether no more files may be open.
fn lacks_files(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Returns advice about a process that cannot be started.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "is its name spelled right, and is it in PATH?",
        std::io::ErrorKind::PermissionDenied => "it has to be executable for the user that shadowtap runs as",
        _ => "try it by hand",
    }
}

/// Division of `--max-memory` over the parts of a run, in bytes.
pub(super) struct MemoryShares {
    /// Events between capture and pacing.
    pub(super) events: usize,
    /// Requests that wait for a target or are in flight there, of all targets together.
    pub(super) targets: usize,
    /// Entries that wait to be recorded.
    pub(super) recording: usize,
    /// Messages on their way to external processes, and as many bytes on their way back.
    pub(super) external: usize,
    /// Bodies that wait to be compared.
    pub(super) compared: usize,
    /// Responses that wait for a comparison that takes time, but for their bodies.
    pub(super) comparisons: usize,
    /// What is remembered of responses that were counted.
    pub(super) recent: usize,
    /// Largest need of one such comparison; there is one at a time.
    pub(super) comparison: usize,
}

/// Least memory for one comparison, however little there is for all: two bodies of some hundred kilobytes with their values.
const LEAST_COMPARISON: usize = 4 << 20;

impl MemoryShares {
    /// The tap has the rest, see [`Tap::new`].
    pub(super) const fn of(max: capture::MaxMemory, external: bool) -> Self {
        let part = max.0 / 32;
        let comparison = if part > LEAST_COMPARISON { part } else { LEAST_COMPARISON };
        let all = Self {
            events: 2 * part - part / 4,
            targets: 2 * part,
            recording: 2 * part,
            external: 0,
            compared: part,
            comparisons: part / 2,
            recent: part / 4,
            comparison: comparison / 2 * 3,
        };
        if external { Self { targets: part, external: part, ..all } } else { all }
    }
}

/// Returns the body policies that a run needs. A recording of frames needs no bodies.
pub(super) fn interests(run: &Run) -> BodyPolicies {
    let recorded = run.recorder.as_ref().is_some_and(|recorder| !recorder.takes_frames());
    let sent = !run.targets.is_empty();
    // A process outside is told whole messages.
    let recorded = recorded || run.external.is_some();
    BodyPolicies {
        request_body: if recorded || sent { BodyPolicy::Keep } else { BodyPolicy::Count },
        response_body: match (recorded, sent) {
            (true, _) => BodyPolicy::Keep,
            (false, true) if run.middleware.carry_rules().iter().any(CarryRule::is_in_bodies) => BodyPolicy::Keep,
            (false, true) => RetentionRules::captured(&run.compare).map_or(BodyPolicy::Hash, BodyPolicy::Read),
            (false, false) => BodyPolicy::Count,
        },
    }
}
