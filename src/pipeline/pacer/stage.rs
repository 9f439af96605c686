//! The pacer before it runs: what it does to requests, and the channels between which it stands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::chains::RunChains;
use super::lookahead::Lookahead;
use super::opening::Opening;
use super::timing::Timing;
use super::{Pacer, PacerInputs, PacerMode};
use crate::exchange::Shed;
use crate::middleware::context::UnreadableCounts;
use crate::middleware::secret_names::SecretNames;
use crate::middleware::{self, LoopHeader};
use crate::pipeline::carry::Carry;
use crate::pipeline::context::RunContext;
use crate::pipeline::control::Control;
use crate::pipeline::dispatch::TargetDispatcher;
use crate::pipeline::early::LEAD;
use crate::pipeline::own_processor::{OwnProcessor, ProcessorNumber};
use crate::pipeline::progress::Progress;
use crate::pipeline::queues::{EVENT_QUEUE, LIVE_EVENT_QUEUE, QueuedEvent, UNSCHEDULED_EVENT_QUEUE};
use crate::pipeline::recorder::EventSender;
use crate::pipeline::reference_traffic::ReferenceSender;
use crate::pipeline::retention::RetentionRules;
use crate::pipeline::run::Run;
use crate::priority::Priority;
use crate::replay::guard::ProductionWatch;
use crate::replay::{ProductionEnds, Punctuality, ShortenedGaps};
use crate::report::ReportEvent;

/// Processing of requests by the pacer.
pub(in crate::pipeline) struct PacerSettings {
    pub(in crate::pipeline) chains: RunChains,
    pub(super) mode: PacerMode,
    /// New settings of the chain, when they were reloaded.
    pub(in crate::pipeline) reloads: watch::Receiver<Option<middleware::ChainSettings>>,
    pub(in crate::pipeline) mark: Option<LoopHeader>,
    /// Marker that sets copies of sessions apart, where there is no mark for all requests.
    pub(in crate::pipeline) copies: LoopHeader,
    /// True when the report needs more of a request than totals.
    pub(in crate::pipeline) evidence: bool,
    /// Rules for the parts of production's responses to keep; `None` where responses are not compared.
    pub(in crate::pipeline) retention: Option<RetentionRules>,
    /// Sender of the traffic to the reference.
    pub(in crate::pipeline) reference: ReferenceSender,
    pub(in crate::pipeline) control: Control,
    pub(in crate::pipeline) timing: Timing,
    /// Values that go from responses into later requests, where any do.
    pub(in crate::pipeline) carry: Option<Arc<Carry>>,
    /// What is left out of the targets of requests that are reported.
    pub(in crate::pipeline) secrets: SecretNames,
    /// Has a dashcam write out what it keeps when production is so unwell, where there is one.
    pub(in crate::pipeline) save_if: Option<ProductionWatch>,
    /// Number of requests to take before the run ends by itself.
    pub(in crate::pipeline) most: Option<u64>,
    /// Requests come out of a store that others read, too: what is not taken yet waits there.
    pub(in crate::pipeline) is_shared: bool,
    /// Requests are made by those who send them, who must not wait.
    pub(in crate::pipeline) is_pulled: bool,
    pub(in crate::pipeline) punctuality: Punctuality,
    /// How requests end to which the run did not come: live they are lost, in a recording they come later.
    pub(in crate::pipeline) not_reached: Shed,
    /// The processor that the pacing thread has to itself, where it has one.
    pub(in crate::pipeline) processor: Option<ProcessorNumber>,
    /// Leave of the pacing thread to come before others, where it has any.
    pub(in crate::pipeline) priority: Option<Priority>,
}

/// Channels of the pacer, to read from and write to.
pub(in crate::pipeline) struct PacerChannels {
    pub(in crate::pipeline) events: Receiver<QueuedEvent>,
    /// Disconnected when the run is stopped and what was captured is not to be sent any more.
    pub(in crate::pipeline) stopped: Receiver<()>,
    /// Ends the run, once enough requests were taken.
    pub(in crate::pipeline) enough: Arc<Notify>,
    pub(in crate::pipeline) dispatchers: Vec<TargetDispatcher>,
    pub(in crate::pipeline) recording: Option<EventSender>,
    pub(in crate::pipeline) runtime: tokio::runtime::Handle,
    pub(in crate::pipeline) facts: mpsc::Sender<ReportEvent>,
    /// Told how production's responses end.
    pub(in crate::pipeline) production_ends: Arc<ProductionEnds>,
    pub(in crate::pipeline) progress: Arc<Progress>,
}

/// Findings of a chain at the end of a run.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct ChainEnd {
    /// The share of sample keys that passed, where there are keys.
    pub(in crate::pipeline) keys: Option<f64>,
    /// Remarks for people.
    pub(in crate::pipeline) remarks: Vec<String>,
    /// Bodies that were to be redacted and could not be looked into.
    pub(in crate::pipeline) unreadable: UnreadableCounts,
    /// Silences of the capture that were shortened, where they are.
    pub(in crate::pipeline) shortened_gaps: Option<(Duration, ShortenedGaps)>,
}

impl Pacer {
    /// A pacer that does to requests what `run` asks for; returns what hands it events, too.
    pub(in crate::pipeline) fn stage(
        context: &RunContext,
        run: &mut Run,
        inputs: PacerInputs,
    ) -> (Self, Sender<QueuedEvent>) {
        let PacerInputs { timing, external, dispatchers, reference, recording, facts, is_pulled } = inputs;
        let (sender, events) = crossbeam_channel::bounded(event_places(&timing));
        // What comes back from an external process is not known before its time.
        let mirrors = dispatchers.iter().any(TargetDispatcher::mirrors);
        let looks_ahead = mirrors && timing.is_known_ahead();
        let chains = |settings: &middleware::ChainSettings| RunChains::new(settings, dispatchers.len());
        let mode = match external {
            Some(external) => PacerMode::External(external),
            None if looks_ahead => PacerMode::Lookahead(Lookahead::new(chains(&run.middleware.without_limits()))),
            None => PacerMode::Plain,
        };
        let punctuality = run.punctuality();
        // Mirrored connections open when the captured ones did.
        let opens = matches!(mode, PacerMode::Plain) && dispatchers.iter().any(TargetDispatcher::writes_early);
        let lead = if opens { LEAD } else { Duration::ZERO };
        let opening = Opening::new(opens.then(|| chains(&run.middleware.without_limits())));
        let settings = PacerSettings {
            chains: chains(&run.middleware),
            mode,
            reloads: run.reloads.clone(),
            mark: run.mark.take(),
            retention: context.retention.clone(),
            reference,
            control: context.control.clone(),
            timing,
            carry: context.carry.clone(),
            evidence: run.evidence,
            secrets: run.middleware.secret_names(),
            copies: LoopHeader::default().of_run(&run.middleware.run.id),
            save_if: run.save_if.take().map(|conditions| ProductionWatch::new(&conditions, Instant::now())),
            most: run.most,
            is_shared: context.session.is_some(),
            is_pulled,
            punctuality,
            not_reached: if context.live { Shed::Stopped } else { Shed::RunEnded },
            priority: run.priority.take(),
            processor: context.processor.as_ref().map(OwnProcessor::number),
        };
        let channels = PacerChannels {
            events,
            stopped: context.stops.pacing.clone(),
            enough: Arc::clone(&context.stops.enough),
            dispatchers,
            recording,
            runtime: context.runtime.handle().clone(),
            facts,
            production_ends: Arc::clone(&context.production_ends),
            progress: Arc::clone(&context.progress),
        };
        (Self { opening, lead, ..Self::new(settings, channels) }, sender)
    }

    pub(super) fn new(settings: PacerSettings, channels: PacerChannels) -> Self {
        Self {
            settings,
            channels,
            asked: HashMap::default(),
            taken: 0,
            open: 0,
            epoch: Instant::now(),
            opening: Opening::new(None),
            last_begun: None,
            lead: Duration::ZERO,
        }
    }
}

/// Events that may be on their way from the capture thread.
fn event_places(timing: &Timing) -> usize {
    match timing {
        Timing::Live => LIVE_EVENT_QUEUE,
        Timing::Paced { .. } if timing.is_unscheduled() => UNSCHEDULED_EVENT_QUEUE,
        Timing::Paced { .. } => EVENT_QUEUE,
    }
}
