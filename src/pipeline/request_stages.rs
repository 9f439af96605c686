//! The stages in front of the targets while they run: on threads of their own, or on those that send.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use super::context::RunContext;
use super::pacer::{ChainEnd, Pacer};
use super::pulled::PulledStages;
use super::queues::QueuedEvent;
use super::reader::{CaptureOutputs, CaptureStage, EventOutput};
use super::run::{Run, RunError};
use super::tap::Tap;
use super::threads::{self, joined};
use crate::report::{CaptureStats, UnreportedSheds};

/// Where requests are read, paced and passed through the chain.
pub(super) enum RequestStages {
    /// On two threads.
    Threads { capture: JoinHandle<(CaptureStats, UnreportedSheds)>, pacing: JoinHandle<ChainEnd> },
    /// On the threads that send.
    Pulled(Arc<PulledStages>),
}

/// What the stages came to.
#[derive(Default)]
pub(super) struct RequestsEnd {
    pub(super) capture: CaptureStats,
    pub(super) unheard: UnreportedSheds,
    pub(super) chain: ChainEnd,
}

impl RequestStages {
    /// Starts them: what `run` is fed with passes `tap` and `pacer`, whose events come by `queue` where a thread reads them.
    pub(super) fn start(
        context: &RunContext,
        run: Run,
        tap: Tap,
        (outputs, queue): (CaptureOutputs, Sender<QueuedEvent>),
        pacer: Pacer,
        pulled: Option<Arc<PulledStages>>,
    ) -> Result<Self, RunError> {
        let niceness = context.niceness;
        if let Some(pulled) = pulled {
            let reader = CaptureStage::new(context, run, tap, outputs, EventOutput { queue, pacer: None })?;
            if let CaptureStage::Files(reader, _) = reader {
                pulled.fill(*reader, pacer);
            }
            return Ok(Self::Pulled(pulled));
        }
        let (pacing, shared_pacer) = pacer.divide();
        let events = EventOutput { queue, pacer: shared_pacer };
        let capture = CaptureStage::new(context, run, tap, outputs, events)?.start(niceness)?;
        let pacing = threads::spawn("pacing", move || {
            niceness.apply();
            pacing.run()
        })?;
        Ok(Self::Threads { capture, pacing })
    }

    /// Waits for their end, once nothing is sent any more.
    pub(super) fn end(self, warnings: &mut Vec<String>) -> RequestsEnd {
        match self {
            Self::Threads { capture, pacing } => {
                let (capture, unheard) = joined(capture, "capture", warnings).unwrap_or_default();
                let chain = joined(pacing, "pacing", warnings).unwrap_or_default();
                RequestsEnd { capture, unheard, chain }
            }
            Self::Pulled(stages) => {
                let end = stages.end();
                if end.is_none() {
                    warnings.push(threads::died("what read the file"));
                }
                let (capture, chain) = end.unwrap_or_default();
                RequestsEnd { capture, chain, ..RequestsEnd::default() }
            }
        }
    }
}
