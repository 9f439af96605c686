//! What a run needs, and why it could not begin.

use crate::causes::Help;
use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::control::Control;
use super::guard_command::GuardCommand;
use super::observer::Observer;
use super::retention::RetentionRules;
use crate::capture::{self, Source};
use crate::compare::CompareRules;
use crate::http1::{BodyPolicies, BodyPolicy};
use crate::middleware::{self, LoopHeader};
use crate::recording::{Origin, Recorder};
use crate::replay;
use crate::report::RoutePatterns;
use crate::report::threshold::Thresholds;
use crate::serve::Server;

/// Where frames or events come from, and whether they wait.
pub enum Feed {
    /// Files, captures or recordings: read as fast as they are taken.
    Files(Origin),
    /// The wire: what is not taken in time is shed.
    Live(Box<dyn Source + Send>),
}

impl From<Origin> for Feed {
    fn from(origin: Origin) -> Self {
        Self::Files(origin)
    }
}

/// Everything that a run needs.
pub struct Run {
    /// The command that runs it, for the summary.
    pub command: &'static str,
    /// The command line, without secrets, for the summary; empty where there was none.
    pub command_line: String,
    /// Where frames or events come from: see [`crate::recording::open`].
    pub feed: Feed,
    /// Which of them count; files are opened again by their names here where they are read several times.
    pub capture: capture::Settings,
    /// Which part of files is replayed, how often, and how many times each session.
    pub range: replay::ReplayRange,
    /// What to do to the requests.
    pub middleware: middleware::ChainSettings,
    /// A process outside that requests pass after that.
    pub external: Option<middleware::external::ExternalSettings>,
    /// Where and how to send them; may be none where they are recorded.
    pub targets: Vec<replay::SendSettings>,
    /// Where what passes is recorded.
    pub recorder: Option<Recorder>,
    /// How shadowtap's own traffic is told apart.
    pub mark: Option<LoopHeader>,
    /// How many requests to take before the run ends by itself.
    pub most: Option<u64>,
    /// How the share rises, in place of the sample's; `None` for one share all along.
    pub ramp: Option<replay::ramp::RampPlan>,
    /// A command outside that brakes it.
    pub guard_command: Option<GuardCommand>,
    /// Steers it while it goes on.
    pub control: Control,
    /// Looks at it while it goes on.
    pub observer: Observer,
    /// Where it is shown, and steered from, over HTTP.
    pub server: Option<Server>,
    /// Asks for new output files.
    pub reopen: Reopen,
    /// What to do to requests from then on, whenever it changes.
    pub reloads: watch::Receiver<Option<middleware::ChainSettings>>,
    /// Where each ended delivery is written as a line of JSON.
    pub results: Option<Box<dyn Write + Send>>,
    /// What routes are called in the report; by their shape, without any patterns.
    pub patterns: Arc<RoutePatterns>,
    /// Whether the summary has routes, kinds of difference and times besides what adds up: that costs some.
    pub evidence: bool,
    /// What counts as a difference.
    pub compare: CompareRules,
    /// What is sent beside that, to learn what is noise.
    pub reference: replay::ReferenceSettings,
    /// What is demanded of it.
    pub demands: Thresholds,
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
            most: None,
            ramp: None,
            guard_command: None,
            control: Control::default(),
            observer: Observer::default(),
            server: None,
            reopen: Reopen::default(),
            reloads: watch::channel(None).1,
            results: None,
            patterns: Arc::default(),
            evidence: true,
            compare: CompareRules::default(),
            reference: replay::ReferenceSettings::default(),
            demands: Thresholds::default(),
        }
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

    /// How often it was asked.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a run could not begin.
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
        /// What was to be run.
        command: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The command that brakes could not be started.
    #[error("cannot start the guard command `{command}`")]
    Brake {
        /// What was to be run.
        command: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The client could not be set up.
    #[error(transparent)]
    Client(#[from] replay::ClientError),
}

impl Help for RunError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Start(_) => Some("is a limit on processes in force (ulimit -u)?".into()),
            Self::Middleware { source, .. } | Self::Brake { source, .. } => Some(advice(source).into()),
            Self::Client(error) => error.help(),
            Self::Capture(_) => None,
        }
    }
}

/// What to do about a process that cannot be started.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "is its name spelt right, and is it in PATH?",
        std::io::ErrorKind::PermissionDenied => "it has to be executable for the user that shadowtap runs as",
        _ => "try it by hand",
    }
}

/// How `--max-memory` is divided over what a run holds.
pub(super) struct MemoryShares {
    /// Events between capture and pacing.
    pub(super) events: usize,
    /// Requests that wait for a target or are in flight there, of all targets together.
    pub(super) targets: usize,
    /// What waits to be recorded.
    pub(super) recording: usize,
    /// What is on its way to processes outside, and as much on its way back.
    pub(super) external: usize,
    /// Bodies that wait to be compared.
    pub(super) compared: usize,
    /// Responses that wait for a comparison that takes time, but for their bodies.
    pub(super) comparisons: usize,
    /// What is remembered of responses that were counted.
    pub(super) recent: usize,
    /// What one such comparison may take; there is one at a time.
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

/// What has to be known of bodies. A recording of frames needs none of them.
pub(super) fn interests(run: &Run) -> BodyPolicies {
    let recorded = run.recorder.as_ref().is_some_and(|recorder| !recorder.target().format().takes_frames());
    let sent = !run.targets.is_empty();
    // A process outside is told whole messages.
    let recorded = recorded || run.external.is_some();
    BodyPolicies {
        request_body: if recorded || sent { BodyPolicy::Keep } else { BodyPolicy::Count },
        response_body: match (recorded, sent) {
            (true, _) => BodyPolicy::Keep,
            (false, true) => RetentionRules::captured(&run.compare).map_or(BodyPolicy::Hash, BodyPolicy::Read),
            (false, false) => BodyPolicy::Count,
        },
    }
}
