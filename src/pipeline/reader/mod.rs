//! The capture thread's work: frames become events on their way to the pacing thread.
//!
//! A file waits where there is no room behind it. A live source never waits: what finds no room is shed, whole
//! requests at a time, and counted.

mod files;
mod live;
mod spoe;

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::mpsc;

use super::budget::{Budget, bytes_of};
use super::context::RunContext;
use super::observer::Observer;
use super::pacer::SharedPacer;
use super::passes::PassTag;
use super::progress::Progress;
use super::queues::{FULL_PAUSE, QueuedEvent};
use super::recorder::FrameSender;
use super::run::{Feed, Run, RunError};
use super::tap::Tap;
use super::threads::{Niceness, spawn};
use crate::exchange::Event;
use crate::middleware::secret_names::SecretNames;
use crate::replay::ReplayRange;
use crate::report::{CaptureStats, ReportEvent, UnreportedSheds};
use files::FileInputs;
pub(super) use files::FileReader;
use live::LiveReader;
use spoe::SpoeReader;
pub(super) use spoe::stats as spoe_stats;

/// The capture thread before it starts.
pub(super) enum CaptureStage {
    Files(Box<FileReader>, ReaderChannels),
    Live(Box<LiveReader>),
    Spoe(SpoeReader),
}

impl CaptureStage {
    /// Reads what `run` is fed with; hands events and facts on, and frames where they are recorded.
    pub(super) fn new(
        context: &RunContext,
        run: Run,
        tap: Tap,
        outputs: CaptureOutputs,
        events: EventOutput,
    ) -> Result<Self, RunError> {
        let CaptureOutputs { facts, frames, connections_wanted } = outputs;
        let EventOutput { queue, pacer } = events;
        let channels = ReaderChannels {
            events: queue,
            bytes: context.event_budget.clone(),
            facts,
            runtime: context.runtime.handle().clone(),
            progress: Arc::clone(&context.progress),
            observer: run.observer,
            secrets: run.middleware.secret_names(),
        };
        Ok(match run.feed {
            Feed::Files(origin) => {
                let (wanted, span) = (context.bodies, Arc::clone(&context.span));
                let by_client = !run.middleware.carry_rules().is_empty();
                let range = ReplayRange { by_client, ..run.range };
                let inputs = FileInputs { capture: run.capture, wanted };
                let reader = FileReader::new(origin, tap, inputs, range, span, &channels.observer);
                Self::Files(Box::new(reader), channels)
            }
            Feed::Live(source) => {
                Self::Live(Box::new(LiveReader { source, tap, channels, pacer, frames, connections_wanted }))
            }
            Feed::Spoe(listener) => {
                let (halt, most, wanted) = (run.capture.halt, context.memory.events, context.bodies);
                return SpoeReader::start(listener, halt, most, wanted, (channels, pacer))
                    .map(Self::Spoe)
                    .map_err(RunError::Start);
            }
        })
    }

    /// Starts the thread.
    pub(super) fn start(
        self,
        niceness: Niceness,
    ) -> Result<thread::JoinHandle<(CaptureStats, UnreportedSheds)>, RunError> {
        spawn("capture", move || match self {
            Self::Files(mut reader, mut channels) => {
                while reader.step(&mut channels) {}
                (reader.finish(), UnreportedSheds::default())
            }
            Self::Live(reader) => reader.run(),
            Self::Spoe(reader) => {
                niceness.apply();
                reader.run()
            }
        })
    }
}

/// Takes events of files as they are read.
pub(super) trait EventTaker {
    /// Takes an event of a source that had been read so far, in thousandths; false once nobody takes events any more.
    fn take(&mut self, event: Event, part: PassTag, permille: u64) -> bool;
}

/// Where facts and frames go, and whether anybody is to be told of connections.
pub(super) struct CaptureOutputs {
    pub(super) facts: mpsc::Sender<ReportEvent>,
    pub(super) frames: Option<FrameSender>,
    pub(super) connections_wanted: bool,
}

/// Ways of events out of the capture thread.
pub(super) struct EventOutput {
    pub(super) queue: Sender<QueuedEvent>,
    /// Live, the pacer itself, for as long as the capture keeps up.
    pub(super) pacer: Option<SharedPacer>,
}

/// Outputs of the capture thread.
pub(super) struct ReaderChannels {
    pub(super) events: Sender<QueuedEvent>,
    /// Memory that events on their way may take.
    pub(super) bytes: Budget,
    pub(super) facts: mpsc::Sender<ReportEvent>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) progress: Arc<Progress>,
    pub(super) observer: Observer,
    /// What is left out of the targets of requests that are reported.
    pub(super) secrets: SecretNames,
}

impl EventTaker for ReaderChannels {
    fn take(&mut self, event: Event, part: PassTag, permille: u64) -> bool {
        self.wait(event, part, permille)
    }
}

impl ReaderChannels {
    /// Hands an event on as soon as there is room; false once nobody takes events any more.
    pub(super) fn wait(&self, event: Event, part: PassTag, permille: u64) -> bool {
        // Once the run was stopped nothing is bounded any more, and nothing comes.
        let held = self.bytes.hold(bytes_of(&event), &self.runtime).ok().flatten();
        let mut queued = QueuedEvent { event, part, held, permille };
        loop {
            match self.events.try_send(queued) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => queued = back,
            }
            thread::sleep(FULL_PAUSE);
        }
    }
}
