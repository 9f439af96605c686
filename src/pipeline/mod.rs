//! The stages put together: threads, and the channels between them.
//!
//! ```text
//!   capture thread          pacing thread               tokio                report thread
//!   Source -> Tap --Event--> due? -> Chain --Job------> targets -> Client
//!                    \            |        \-----Fact------------------\--Fact--> Reporter <-> comparison thread
//!                     \-Frames--> \-Event--> recording thread: Recorder -> disk
//! ```
//!
//! Live, what was captured is due at once: the capture thread passes it on itself, and by the pacing thread only where it
//! falls behind.
//!
//! Without a schedule, where processors are few, there are no threads for capture and pacing: those who send make the requests
//! (`pulled`).
//!
//! Between the chain and the targets a request may pass an external process (`external`): it leaves the pacing thread,
//! and comes back to it.
//!
//! A file that is replayed on schedule over mirrored connections is looked at before it is due, in the pacing thread: a
//! connection opens when the captured one did, where anything will be sent over it.
//!
//! Every channel has a bound (`queues`). A file waits where one is full. A live source waits for nobody: whole requests are
//! shed, and counted, at the place that was full.

mod budget;
mod carry;
mod children;
mod clock;
mod comparing;
mod context;
mod control;
mod copied_sessions;
mod dependency;
mod dispatch;
mod dry_run;
mod early;
mod external;
mod fleet;
mod gauges;
pub mod guard_command;
mod in_memory;
mod inspect;
mod observer;
mod own_processor;
mod pacer;
mod passed_instant;
mod passes;
mod progress;
mod protection;
mod pulled;
mod queues;
mod reader;
mod recorder;
mod reference_traffic;
mod report_thread;
mod request_record;
mod request_stages;
mod retention;
mod run;
mod running;
mod save_trigger;
mod spans;
mod stderr;
mod store_ends;
mod tap;
mod targets;
mod threads;
mod wakeups;

use std::sync::Arc;

use crate::recording::StoreSession;
use crate::replay::RequestSource;
use crate::report::Summary;
use context::RunContext;
use external::ExternalProcesses;
use fleet::FleetLink;
use observer::LiveHandles;
use pacer::{Pacer, PacerInputs};
use pulled::PulledStages;
use reader::CaptureOutputs;
use recorder::RecordingStage;
use report_thread::ReportStage;
use request_stages::RequestStages;
use running::{RunThreads, RunningRun, Shutdown};
use targets::TargetStage;

use crate::telemetry::TelemetryStage;

pub use control::{Control, RampState, RunState, TargetState};

pub use dry_run::{DryRun, dry_run};
pub use guard_command::GuardCommand;
#[doc(hidden)]
pub use in_memory::InMemoryReplay;
pub use inspect::{inspect, inspect_as_it_comes};
pub use observer::Observer;
pub use progress::Progress;
pub use run::{Feed, Reopen, Run, RunError};
pub use tap::Tap;

/// Captures, and sends and records what passes the chain, until the capture ends or `stop` is ready. Then what is in
/// flight has its time to end, and the summary says what became of every request.
///
/// # Errors
///
/// Where the run cannot begin: a filter, a thread, a process or a client cannot be had. What goes wrong later is in the summary.
pub fn run(
    mut run: Run,
    progress: &Arc<Progress>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Summary, RunError> {
    let pulled = pulled::fits(&run).then(Arc::<PulledStages>::default);
    let (context, switches) = RunContext::new(&mut run, progress, pulled.is_some())?;
    let sessions = run.sessions();
    let tap = Tap::new(&run.capture, context.bodies)?;
    let timing = run.timing(&context.span);

    // From the report back to the capture: each stage is given the senders of those behind it.
    let (report, facts) = ReportStage::new(&context, &mut run);
    context.runtime.spawn(children::reap_inherited());
    let mut guards = context.protection.start(&context.runtime, run.guard_command.take(), run.dependency_watches())?;
    let fleet = context.fleet_link();
    guards.extend(fleet.clone().map(|link| link.start(&context.runtime)));
    let external = ExternalProcesses::start(&context, run.external.take())?;
    let telemetry = TelemetryStage::start(&run.telemetry).map_err(RunError::Telemetry)?;
    if let Some(words) = &telemetry.words {
        context.control.tell(run.command, words.clone());
    }
    let source = pulled.clone().map(|pulled| pulled as Arc<dyn RequestSource>);
    let (responses, spans) = (external.responses.as_ref(), telemetry.spans.as_ref());
    let is_scheduled = timing.is_known_ahead();
    let targets = TargetStage::start(&context, &mut run, &facts, responses, spans, source, is_scheduled)?;
    let recording = RecordingStage::new(&context, run.recorder.take());
    let connections_wanted = targets.mirrors();
    let shutdown = Shutdown::new(&context, switches, report.deadline(), targets.budgets());
    let inputs = PacerInputs {
        timing,
        external: external.stage,
        dispatchers: targets.dispatchers,
        reference: targets.reference,
        recording: recording.events,
        facts: facts.clone(),
        is_pulled: pulled.is_some(),
    };
    let (pacer, events) = Pacer::stage(&context, &mut run, inputs);
    run.observer.begin(LiveHandles {
        facts: facts.downgrade(),
        progress: Arc::clone(progress),
        control: context.control.clone(),
        halted: context.halt.clone(),
        targets: targets.probes.clone(),
        captures: context.live,
        room: events.capacity().unwrap_or_default(),
        records: recording.thread.is_some(),
        middleware: external.counts.clone(),
        session: context.session.clone(),
    });
    let observer = run.observer.clone();
    let server = running::serve(run.server.take(), &observer)?;
    let (reopen, saves) = (run.reopen.clone(), context.control.saves().clone());
    let outputs = CaptureOutputs { facts, frames: recording.frames, connections_wanted };
    let counter = pulled.as_ref().map(|pulled| pulled.counter.clone()).unwrap_or_default();
    let requests = RequestStages::start(&context, run, tap, (outputs, events), pacer, pulled)?;
    let recording =
        recording.thread.map(|thread| threads::spawn("recording", move || thread.run(&reopen, &saves))).transpose()?;
    let (report, comparison) = report.start(&context, &targets.probes, counter)?;
    let threads = RunThreads { requests, recording, report, comparison };
    let watcher = context.runtime.spawn(shutdown.run(running::either(stop, context.control.clone())));
    let (running, (workers, counts)) = (targets.running, (external.workers, external.counts));
    RunningRun { context, server, observer, threads, targets: running, watcher, guards, workers, counts, telemetry }
        .end()
        .map(|summary| concluded(&sessions, fleet.as_ref(), summary))
}

/// Says in the stores that this run shares with others what it came to.
fn concluded(sessions: &[Arc<dyn StoreSession>], fleet: Option<&FleetLink>, mut summary: Summary) -> Summary {
    fleet.into_iter().for_each(FleetLink::end);
    for session in sessions {
        let told = serde_json::to_vec(&summary).map_err(|error| error.to_string());
        if let Err(why) = told.and_then(|json| session.conclude(json)) {
            summary.warnings.push(format!("the store does not know what this run came to: {why}"));
        }
    }
    summary
}
