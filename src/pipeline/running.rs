//! A run that has begun: what ends it early, and how its stages end one after another.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle as Task;

use super::budget::Budget;
use super::comparing::ComparisonDeadline;
use super::context::{RunContext, StopSwitches};
use super::control::Control;
use super::external::{ExternalCounts, Workers};
use super::observer::Observer;
use super::request_stages::{RequestStages, RequestsEnd};
use super::run::RunError;
use super::targets::RunningTarget;
use super::threads::{self, joined};
use crate::capture::Halt;
use crate::recording::Recorded;
use crate::report::{FleetEnd, MaxGap, RecordingSummary, Reporter, RunTotals, Summary, TargetTotals};
use crate::serve::Server;
use crate::telemetry::TelemetryStage;

/// Time that the runtime gets to end what it still does when all has ended.
const SHUTDOWN: Duration = Duration::from_millis(100);
/// Time that external processes get to be gone once nobody waits for them.
const WORKERS_END: Duration = Duration::from_secs(2);

/// The threads of a run.
pub(super) struct RunThreads {
    pub(super) requests: RequestStages,
    pub(super) recording: Option<JoinHandle<Recorded>>,
    pub(super) report: JoinHandle<Option<Reporter>>,
    pub(super) comparison: JoinHandle<()>,
}

/// A run that has begun, and all that has to end for it to end.
pub(super) struct RunningRun {
    pub(super) context: RunContext,
    /// Runtime that serves the run's state, where it is served.
    pub(super) server: Option<Runtime>,
    /// What it is shown by.
    pub(super) observer: Observer,
    pub(super) threads: RunThreads,
    pub(super) targets: Vec<RunningTarget>,
    /// Ends it early.
    pub(super) watcher: Task<()>,
    /// What spares the targets.
    pub(super) guards: Vec<Task<()>>,
    pub(super) workers: Workers,
    pub(super) counts: Option<Arc<ExternalCounts>>,
    /// What tells other systems.
    pub(super) telemetry: TelemetryStage,
}

impl RunningRun {
    /// Waits for all of it, in the order in which requests go.
    pub(super) fn end(self) -> Result<Summary, RunError> {
        let Self { context, server, observer, threads, targets, watcher, guards, workers, counts, telemetry } = self;
        let RunContext { runtime, protection, .. } = context;
        let mut warnings = Vec::new();
        // They end once nothing more comes.
        let targets = targets.into_iter().map(|target| target.end(&runtime)).enumerate();
        let targets = targets.map(|(target, end)| TargetTotals { guard: protection.end_of(target), ..end }).collect();
        let RequestsEnd { mut capture, unheard, chain } = threads.requests.end(&mut warnings);
        warnings.extend(chain.remarks);
        watcher.abort();
        guards.iter().for_each(Task::abort);
        runtime.block_on(ended(workers));
        let recorded = threads.recording.and_then(|thread| joined(thread, "recording", &mut warnings));
        let reporter = joined(threads.report, "report", &mut warnings).flatten();
        joined(threads.comparison, "comparison", &mut warnings);
        let telemetry = telemetry.finish();
        runtime.shutdown_timeout(SHUTDOWN);
        if !context.live && context.halt.is_set() {
            warnings.push(stopped_early(context.started.clock.elapsed(), context.session.is_some()));
        }
        capture.warnings.append(&mut warnings);
        let unrecorded = context.progress.unrecorded.load(Ordering::Relaxed);
        let reporter = reporter.ok_or_else(|| RunError::Start(std::io::Error::other("the report thread died")))?;
        let summary = reporter.finish(RunTotals {
            engine: capture,
            targets,
            keys: chain.keys,
            unheard,
            recording: recorded.map(|recorded| RecordingSummary::new(&recorded, unrecorded)),
            telemetry,
            middleware: counts.map(|counts| counts.so_far()),
            redaction: chain.unreadable,
            fleet: context.session.as_ref().and_then(|session| session.fleet()).map(FleetEnd::from),
            max_gap: chain.shortened_gaps.map(|(longest, shortened)| MaxGap::new(longest, shortened)),
            ..protection.ends()
        });
        if let Some(server) = server {
            server.block_on(observer.end(&summary));
            server.shutdown_timeout(SHUTDOWN);
        }
        Ok(summary)
    }
}

/// Waits until the processes are gone; those that are not in time go with the runtime.
async fn ended(workers: Workers) {
    let all = futures_util::future::join_all(workers);
    tokio::time::timeout(WORKERS_END, all).await.ok();
}

/// What is missing after a stop; where the run is `shared`, others have it, or go on with it.
fn stopped_early(after: Duration, shared: bool) -> String {
    let left = if shared {
        "what was not sent by then stays in the store, for other replayers or the next one"
    } else {
        "requests later in the capture are not in this report; frames are those read ahead"
    };
    format!("stopped after {:.1} s: {left}", after.as_secs_f64())
}

/// Ends a run early.
pub(super) struct Shutdown {
    halt: Halt,
    grace: Option<Duration>,
    comparisons: ComparisonDeadline,
    budgets: Vec<Budget>,
    switches: StopSwitches,
}

impl Shutdown {
    /// Of the run of `context`: closes `budgets`, so that whoever waits for memory gets an error instead.
    pub(super) fn new(
        context: &RunContext,
        switches: StopSwitches,
        comparisons: ComparisonDeadline,
        mut budgets: Vec<Budget>,
    ) -> Self {
        budgets.push(context.event_budget.clone());
        // A live run is stopped twice: first it captures no more, and then, after this time, it sends no more.
        let grace = context.live.then_some(context.drain);
        Self { halt: context.halt.clone(), grace, comparisons, budgets, switches }
    }

    /// Ends the run when `stop` is ready or enough requests were taken. Never ready: what it holds must not be dropped
    /// before the run has ended, or it would look like a change.
    pub(super) async fn run(self, stop: impl Future<Output = ()>) {
        let StopSwitches { pacing, targets, enough } = self.switches;
        tokio::select! {
            () = stop => {}
            () = enough.notified() => {}
        }
        self.halt.set();
        self.comparisons.begin();
        if let Some(grace) = self.grace {
            tokio::time::sleep(grace).await;
        }
        drop(pacing);
        self.budgets.iter().for_each(Budget::close);
        targets.send_replace(true);
        std::future::pending::<()>().await;
    }
}

/// Ready when either asks the run to end.
pub(super) async fn either(stop: impl Future<Output = ()>, control: Control) {
    tokio::select! {
        () = stop => {}
        () = control.stopped() => {}
    }
}

/// Shows the run where it is to be shown, on a runtime of its own.
pub(super) fn serve(server: Option<Server>, observer: &Observer) -> Result<Option<Runtime>, RunError> {
    let Some(server) = server else { return Ok(None) };
    let runtime = threads::showing()?;
    {
        let _context = runtime.enter();
        server.start(Arc::new(observer.clone())).map_err(RunError::Start)?;
    }
    Ok(Some(runtime))
}
