//! A run once everything of it has begun: its threads and tasks, and how they end one after another.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::external::{Counts, Workers};
use super::keeper::Keeper;
use super::pacer::ChainEnd;
use super::{Progress, RunError, Sending};
use crate::capture::Halt;
use crate::journal::Recorded;
use crate::replay::{self, Client};
use crate::report::{self, Engine, Reporter, Started, Summary, TargetEnd, Unheard};

/// Time that the runtime gets to end what it still does when all has ended.
const SHUTDOWN: Duration = Duration::from_millis(100);
/// Time that processes outside get to be gone once nobody waits for them.
const WORKERS_END: Duration = Duration::from_secs(2);

/// The threads of a run.
pub(super) struct Threads {
    pub(super) reading: thread::JoinHandle<(Engine, Unheard)>,
    pub(super) pacing: thread::JoinHandle<ChainEnd>,
    pub(super) recording: Option<thread::JoinHandle<Recorded>>,
    pub(super) counting: thread::JoinHandle<Reporter>,
}

/// A run that goes on.
pub(super) struct Underway {
    pub(super) started: Started,
    pub(super) runtime: Runtime,
    pub(super) threads: Threads,
    pub(super) targets: Vec<Sending>,
    pub(super) workers: Workers,
    /// What middleware outside counts.
    pub(super) counts: Option<Arc<Counts>>,
    /// What has no end of its own.
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) keeper: Keeper,
}

impl Underway {
    /// Waits for the end of everything, in the order in which one waits for the other, and says what it amounts to. `halt`
    /// says whether it was stopped.
    pub(super) fn finished(self, progress: &Progress, live: bool, halt: &Halt) -> Result<Summary, RunError> {
        let Self { started, runtime, threads, targets, workers, counts, tasks, keeper } = self;
        let mut trouble = Vec::new();
        let (mut engine, unheard) = joined(threads.reading, "capture", &mut trouble).unwrap_or_default();
        let chain = joined(threads.pacing, "pacing", &mut trouble).unwrap_or_default();
        trouble.extend(chain.remarks);
        let ends = targets.into_iter().map(|(sender, client)| end_of_target(&runtime, sender, &*client));
        let targets = ends.enumerate().map(|(target, end)| TargetEnd { guard: keeper.end_of(target), ..end }).collect();
        tasks.iter().for_each(JoinHandle::abort);
        runtime.block_on(ended(workers));
        let recorded = threads.recording.and_then(|thread| joined(thread, "recording", &mut trouble));
        let reporter = joined(threads.counting, "report", &mut trouble);
        runtime.shutdown_timeout(SHUTDOWN);
        if halt.is_set() && !live {
            trouble.push(stopped_early(started.clock.elapsed()));
        }
        engine.trouble.append(&mut trouble);
        let reporter = reporter.ok_or_else(|| RunError::Start(std::io::Error::other("the report thread died")))?;
        let unrecorded = progress.unrecorded.load(Ordering::Relaxed);
        let middleware = counts.map(|counts| counts.so_far());
        let recording = recorded.map(|recorded| report::Recording::new(&recorded, unrecorded));
        let (keys, rest) = (chain.keys, keeper.ends());
        Ok(reporter.finish(report::Ends { engine, targets, keys, unheard, recording, middleware, ..rest }))
    }
}

/// Waits until the processes are gone; those that are not in time go with the runtime.
async fn ended(workers: Workers) {
    let all = futures_util::future::join_all(workers);
    tokio::time::timeout(WORKERS_END, all).await.ok();
}

fn stopped_early(after: Duration) -> String {
    format!(
        "stopped after {:.1} s: requests later in the capture are not in this report; frames are those read ahead",
        after.as_secs_f64()
    )
}

fn end_of_target(
    runtime: &tokio::runtime::Runtime,
    sender: tokio::task::JoinHandle<replay::Stats>,
    client: &impl Client,
) -> TargetEnd {
    let peak_in_flight = runtime.block_on(sender).map_or(0, |stats| stats.peak_in_flight);
    let connections = client.connections();
    let mut end = TargetEnd {
        connections_opened: connections.opened,
        peak_connections: connections.peak,
        peak_in_flight,
        addresses: connections.addresses.iter().map(address).collect(),
        ..TargetEnd::default()
    };
    connections.set_up.into_iter().for_each(|took| end.connect.record(took));
    end
}

fn address(share: &replay::AddressShare) -> report::summary::Address {
    report::summary::Address {
        address: share.address.to_string(),
        connections_opened: share.opened,
        connections_failed: share.failed,
        requests: share.requests,
    }
}

/// What a thread returned; a thread that died is told as trouble, and the rest of the run stands.
fn joined<T>(thread: thread::JoinHandle<T>, name: &str, trouble: &mut Vec<String>) -> Option<T> {
    let result = thread.join();
    if result.is_err() {
        trouble.push(format!("the {name} thread died; what it had not handed on by then is not in this report"));
    }
    result.ok()
}
