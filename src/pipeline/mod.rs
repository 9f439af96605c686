//! The stages put together: the only place that makes threads (`threads.rs`) and channels (this file).
//!
//! ```text
//!   capture thread          pacing thread               tokio                report thread
//!   Source -> Tap --Event--> due? -> Chain --Job------> targets -> Client
//!                    \            |        \-----Fact------------------\--Fact--> Reporter <-> comparison thread
//!                     \-Frames--> \-Event--> recording thread: Recorder -> disk
//! ```
//!
//! Between the chain and the targets a request may pass a process outside (`external`): it leaves the pacing thread,
//! and comes back to it.
//!
//! A file that is replayed on schedule over mirrored connections is looked at before it is due, in the pacing thread: a
//! connection opens when the captured one did, where anything will be sent over it.
//!
//! Every channel has a bound. A file waits where one is full. A live source waits for nobody: whole requests are shed,
//! and counted, at the place that was full.

mod budget;
mod comparing;
mod control;
mod dispatch;
mod external;
mod gauges;
pub mod guard_command;
mod inspect;
mod observer;
mod pacer;
mod passes;
mod progress;
mod protection;
mod reader;
mod recorder;
mod reference_traffic;
mod report_thread;
mod request_record;
mod retention;
mod run;
mod tap;
mod threads;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};

use crate::capture::Halt;
use crate::exchange::{Event, Timestamp};
use crate::middleware::{self, LoopHeader};
use crate::recording::{Recorded, Recorder};
use crate::replay::{self, AnyClient, Client, Deliveries, Delivery, InFlight, TargetLimits, run_target};
use crate::report::{self, CaptureStats, ReportEvent, Reporter, Started, Summary, TargetTotals, UnreportedSheds};
use crate::serve::Server;

use budget::{Budget, BudgetShare};
use comparing::ComparisonDeadline;
pub use control::{Control, ControlListener, RampState, RunState, TargetState};
use dispatch::TargetDispatcher;
use external::{ExternalStage, NotifyingClient, ResponseSender, Workers};
use gauges::GaugeReader;
pub use guard_command::GuardCommand;
pub use inspect::{inspect, inspect_as_it_comes};
pub use observer::Observer;
use observer::{LiveHandles, TargetProbe};
use pacer::{Pacer, RunChains, Timing};
use passes::{KnownSpan, PassTag};
pub use progress::Progress;
use protection::ProtectionController;
use reader::{FileReader, LiveReader};
use recorder::{EventSender, FrameSender, RecordingHandle, RecordingThread};
use report_thread::Counting;
use request_record::request_record;
use retention::{RetainingClient, RetentionRules};
pub use run::{Feed, Reopen, Run, RunError};
use run::{MemoryShares, interests};
pub use tap::Tap;
use threads::{joined, spawn};

/// Events between the capture thread and the pacing thread. When it is full, a file waits and a live source sheds.
const EVENT_QUEUE: usize = 4096;
/// The same without a schedule, where nothing is gained by reading far ahead: what is on its way is to fit the caches of
/// the processors. With eight times as many a request costs a fifth more.
const UNSCHEDULED_EVENT_QUEUE: usize = 512;
/// The same, live: a burst must fit.
const LIVE_EVENT_QUEUE: usize = 32_768;
/// Facts on their way to the report. When it is full, those who tell them wait: counting is cheaper than sending.
const FACT_QUEUE: usize = 65_536;
/// How long a file waits where a queue is full: far shorter than it takes to empty. Who slept in the queue itself would be
/// woken for every place, which costs more than to read the next frame.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// Requests that are due and wait for a place among those in flight, for each target. When it is full, `--speed max`
/// waits; otherwise a request is shed (`target_queue`).
const TARGET_QUEUE: usize = 16_384;
/// Time that the runtime gets to end what it still does when all has ended.
const SHUTDOWN: Duration = Duration::from_millis(100);

/// Time that processes outside get to be gone once nobody waits for them.
const WORKERS_END: Duration = Duration::from_secs(2);

/// Captures, and sends and records what passes the chain, until the capture ends or `stop` is ready. Then what is in
/// flight has its time to end, and the summary says what became of every request.
pub fn run(
    mut run: Run,
    progress: &Arc<Progress>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Summary, RunError> {
    let started = Started::now();
    let live = matches!(run.feed, Feed::Live(_));
    let memory = MemoryShares::of(run.capture.max_memory, run.external.is_some());
    let (control, keeper) = steered(&mut run);
    let wanted = interests(&run);
    let tap = Tap::new(&run.capture, wanted)?;
    let runtime = threads::sending(run.targets.iter().chain(&run.reference.baseline))?;
    let keeping = if run.targets.is_empty() { None } else { RetentionRules::new(&run.compare, memory.compared) };
    let mut reporter = reporter(&mut run, started, &memory);
    let event_bytes = Budget::new(memory.events);
    let (facts, fact_receiver) = mpsc::channel(FACT_QUEUE);
    let (stop_sender, stopped) = watch::channel(false);
    // Nothing is ever sent here: the pacing thread wakes when the sender is dropped.
    let (stop_pacing, pacing_stopped) = crossbeam_channel::bounded::<()>(0);
    let halted = run.capture.halt.clone();
    let enough = Arc::new(Notify::new());
    let span = KnownSpan::default();
    let timing = timing(live, &run.targets, &span);
    let (event_sender, events) = crossbeam_channel::bounded(event_places(&timing));
    let drain = run.targets.iter().map(|target| target.drain).max().unwrap_or(replay::DEFAULT_DRAIN);

    let (comparisons, comparing) = comparing::deferred(&mut reporter, memory.comparisons, drain);
    let deadline = comparisons.deadline.clone();
    let braking = guard_command::begin(&runtime, &keeper, run.guard_command)?;
    let (external, workers) = start_external(&runtime, run.external, memory.external)?;
    let teller = external.as_ref().map(ExternalStage::response_sender);
    let counts = external.as_ref().map(ExternalStage::counts);
    let ways = TargetWiring {
        stopped: &stopped,
        facts: &facts,
        teller: teller.as_ref(),
        keeping: keeping.as_ref(),
        protection: &keeper,
        live,
    };
    let (outlets, outlooks, mut senders) = start_targets(&runtime, run.targets, memory.targets, &ways)?;
    let beside = start_beside(&runtime, run.reference, run.middleware.allow_writes, &ways, &mut senders)?;
    let mirrors = outlets.iter().any(TargetDispatcher::mirrors);
    // What comes back from a process outside is not known before its time.
    let looks_ahead = mirrors && timing.is_known_ahead() && external.is_none();
    let target_bytes: Vec<_> = outlets.iter().map(TargetDispatcher::budget).collect();
    let (recording_events, recording_frames, recording_thread) =
        prepare_recording(run.recorder, memory.recording, progress);
    let runtime_handle = runtime.handle().clone();
    let reader_ends = reader_ends(event_sender, &event_bytes, &facts, &runtime, progress, &run.observer);
    let levels = GaugeReader::new(started, progress, &control, &outlooks);
    let moment = LiveHandles::new(&reader_ends, &control, &halted, outlooks, live);
    run.observer.begin(LiveHandles { records: recording_thread.is_some(), middleware: counts.clone(), ..moment });
    let showing = show(run.server, run.observer)?;
    let work = pacer::PacerSettings {
        chains: RunChains::new(&run.middleware, outlets.len()),
        preview: looks_ahead.then(|| RunChains::new(&run.middleware.without_limits(), outlets.len())),
        external,
        reloads: run.reloads,
        mark: run.mark,
        keeping,
        reference: beside,
        control: control.clone(),
        timing,
        evidence: run.evidence,
        copies: LoopHeader::default().of_run(&run.middleware.run.id),
        most: run.most,
    };
    let pacer = Pacer::new(
        work,
        pacer::PacerChannels {
            events,
            stopped: pacing_stopped,
            enough: Arc::clone(&enough),
            outlets,
            recording: recording_events,
            runtime: runtime_handle,
            facts,
            progress: Arc::clone(progress),
        },
    );
    let files = reader::FileInputs { capture: run.capture.clone(), wanted, range: run.range, span };
    let reading = start_reading(run.feed, tap, files, reader_ends, recording_frames, mirrors)?;
    let pacing = spawn("pacing", move || pacer.run())?;
    let reopen = run.reopen;
    let recording = recording_thread.map(|thread| spawn("recording", move || thread.run(&reopen))).transpose()?;
    let counting = Counting::new(reporter, fact_receiver, progress, levels, comparisons, runtime.handle());
    let (counting, comparing) = counting.start(comparing)?;
    let ending = Shutdown {
        halted,
        comparisons: deadline,
        // A live run is stopped twice: first it captures no more, and then, after this time, it sends no more.
        grace: live.then_some(drain),
        budgets: target_bytes.into_iter().chain([event_bytes]).collect(),
        stop_pacing,
        stop_targets: stop_sender,
    };
    let watcher = runtime.spawn(ending.run(either(stop, control.clone()), enough));

    let halted = (!live).then_some(run.capture.halt);
    let threads = RunThreads { reading, pacing, recording, counting, comparing };
    RunningRun { started, runtime, showing, threads, senders, watcher, braking, workers, keeper, counts, halted }
        .end(|| progress.unrecorded.load(Ordering::Relaxed))
}

/// The threads of a run.
struct RunThreads {
    reading: thread::JoinHandle<(CaptureStats, UnreportedSheds)>,
    pacing: thread::JoinHandle<pacer::ChainEnd>,
    recording: Option<thread::JoinHandle<Recorded>>,
    counting: thread::JoinHandle<Reporter>,
    comparing: thread::JoinHandle<()>,
}

/// A run that has begun, and all that has to end for it to end.
struct RunningRun {
    started: Started,
    runtime: Runtime,
    /// What shows it, where it is shown.
    showing: Option<Runtime>,
    threads: RunThreads,
    senders: Vec<RunningTarget>,
    watcher: tokio::task::JoinHandle<()>,
    braking: Vec<tokio::task::JoinHandle<()>>,
    workers: Workers,
    keeper: ProtectionController,
    counts: Option<Arc<external::ExternalCounts>>,
    /// Whether files were left before their end.
    halted: Option<Halt>,
}

impl RunningRun {
    /// Waits for all of it, in the order in which requests go. `unrecorded` says how many found no room on their way to
    /// the disk, once that is known.
    fn end(self, unrecorded: impl FnOnce() -> u64) -> Result<Summary, RunError> {
        let Self { started, runtime, showing, threads, senders, watcher, braking, workers, keeper, counts, halted } =
            self;
        let mut trouble = Vec::new();
        let (mut engine, unheard) = joined(threads.reading, "capture", &mut trouble).unwrap_or_default();
        let chain = joined(threads.pacing, "pacing", &mut trouble).unwrap_or_default();
        trouble.extend(chain.remarks);
        let ends = senders.into_iter().map(|(sender, client)| end_of_target(&runtime, sender, &*client));
        let ends = ends.enumerate().map(|(target, end)| TargetTotals { guard: keeper.end_of(target), ..end }).collect();
        watcher.abort();
        braking.iter().for_each(tokio::task::JoinHandle::abort);
        runtime.block_on(ended(workers));
        let recorded = threads.recording.and_then(|thread| joined(thread, "recording", &mut trouble));
        let reporter = joined(threads.counting, "report", &mut trouble);
        joined(threads.comparing, "comparison", &mut trouble);
        for runtime in showing.into_iter().chain([runtime]) {
            runtime.shutdown_timeout(SHUTDOWN);
        }
        if halted.is_some_and(|halt| halt.is_set()) {
            trouble.push(stopped_early(started.clock.elapsed()));
        }
        engine.warnings.append(&mut trouble);
        let reporter = reporter.ok_or_else(|| RunError::Start(std::io::Error::other("the report thread died")))?;
        let middleware = counts.map(|counts| counts.so_far());
        let recording = recorded.map(|recorded| report::RecordingSummary::new(&recorded, unrecorded()));
        let (keys, redaction, rest) = (chain.keys, chain.unreadable, keeper.ends());
        Ok(reporter.finish(report::RunTotals {
            engine,
            targets: ends,
            keys,
            unheard,
            recording,
            middleware,
            redaction,
            ..rest
        }))
    }
}

/// Puts the sample of a run in the hands of those who steer it.
fn steered(run: &mut Run) -> (Control, ProtectionController) {
    let control = run.control.clone();
    let targets = run.targets.iter().map(|target| target.target.to_string());
    control.begin(protection::first_share(run), run.middleware.sample, targets);
    run.middleware.dial = Some(control.dial());
    let keeper = ProtectionController::new(run, &control);
    (control, keeper)
}

fn reporter(run: &mut Run, started: Started, memory: &MemoryShares) -> Reporter {
    run.compare.set_memory(memory.comparison);
    Reporter::new(report::ReportSettings {
        command: run.command,
        targets: run.targets.iter().map(|target| target.target.to_string()).collect(),
        sample: run.middleware.asked_share().0,
        results: run.results.take(),
        started,
        patterns: Arc::clone(&run.patterns),
        evidence: run.evidence,
        // The rest is for what is on its way there.
        kept_bytes: memory.compared / 4 * 3,
        compare: std::mem::take(&mut run.compare),
        demands: std::mem::take(&mut run.demands),
        baseline: run.reference.baseline.as_ref().map(|baseline| baseline.target.to_string()),
    })
}

/// Ready when either asks the run to end.
async fn either(stop: impl Future<Output = ()>, control: Control) {
    tokio::select! {
        () = stop => {}
        () = control.stopped() => {}
    }
}

/// What ends a run early.
struct Shutdown {
    halted: Halt,
    grace: Option<Duration>,
    comparisons: ComparisonDeadline,
    budgets: Vec<Budget>,
    stop_pacing: Sender<()>,
    stop_targets: watch::Sender<bool>,
}

impl Shutdown {
    /// Never ready: what it holds must not be dropped before the run has ended, or it would look like a change.
    async fn run(self, stop: impl Future<Output = ()>, enough: Arc<Notify>) {
        tokio::select! {
            () = stop => {}
            () = enough.notified() => {}
        }
        self.halted.set();
        self.comparisons.begin();
        if let Some(grace) = self.grace {
            tokio::time::sleep(grace).await;
        }
        drop(self.stop_pacing);
        // Whoever waits for memory gets an error instead.
        self.budgets.iter().for_each(Budget::close);
        self.stop_targets.send_replace(true);
        std::future::pending::<()>().await;
    }
}

/// Shows the run where it is to be shown.
fn show(server: Option<Server>, observer: Observer) -> Result<Option<Runtime>, RunError> {
    let Some(server) = server else { return Ok(None) };
    let runtime = threads::showing()?;
    {
        let _context = runtime.enter();
        server.start(Arc::new(observer)).map_err(RunError::Start)?;
    }
    Ok(Some(runtime))
}

/// A target at work, and its client.
type RunningTarget = (tokio::task::JoinHandle<replay::QueueStats>, Arc<AnyClient>);

/// The ways to all targets, where they are looked at, and the targets at work.
type TargetSetup = (Vec<TargetDispatcher>, Vec<TargetProbe>, Vec<RunningTarget>);

/// What every target's queue is connected to.
struct TargetWiring<'a> {
    stopped: &'a watch::Receiver<bool>,
    facts: &'a mpsc::Sender<ReportEvent>,
    teller: Option<&'a ResponseSender>,
    keeping: Option<&'a RetentionRules>,
    protection: &'a ProtectionController,
    live: bool,
}

/// Starts a queue and a client for each target. `bytes` is what may wait for all of them together.
fn start_targets(
    runtime: &Runtime,
    targets: Vec<replay::SendSettings>,
    bytes: usize,
    ways: &TargetWiring<'_>,
) -> Result<TargetSetup, RunError> {
    let each = bytes / targets.len().max(1);
    let (mut outlets, mut outlooks, mut senders) = (Vec::new(), Vec::new(), Vec::new());
    for (index, settings) in targets.into_iter().enumerate() {
        let (outlet, outlook, sending) = start_target(runtime, index, settings, each, ways)?;
        outlets.push(outlet);
        outlooks.push(outlook);
        senders.push(sending);
    }
    Ok((outlets, outlooks, senders))
}

/// Starts the baseline, and for each target the way on which it is asked a second time. The baseline's end comes after
/// those of the targets; that of a second time is nobody's.
fn start_beside(
    runtime: &Runtime,
    settings: replay::ReferenceSettings,
    writes: bool,
    ways: &TargetWiring<'_>,
    senders: &mut Vec<RunningTarget>,
) -> Result<reference_traffic::ReferenceSender, RunError> {
    let targets = senders.len();
    let mut checks = Vec::new();
    if settings.self_check > 0.0 {
        for (target, (_, client)) in senders.iter().enumerate() {
            let (job_sender, jobs) = mpsc::channel(TARGET_QUEUE);
            let number = report::check_number(targets, target);
            checks.push(TargetDispatcher::new(
                job_sender,
                Budget::new(reference_traffic::CHECK_BYTES),
                Arc::clone(client),
                None,
            ));
            let client = Arc::new(RetainingClient { client: Arc::clone(client), keeping: ways.keeping.cloned() });
            let (stopped, facts) = (ways.stopped.clone(), ways.facts.clone());
            runtime.spawn(run_target(
                number,
                client,
                jobs,
                reference_traffic::CHECK_LIMITS,
                stopped,
                facts,
                Arc::default(),
            ));
        }
    }
    let mut baseline = None;
    if let Some(settings) = settings.baseline {
        let number = report::baseline_number(targets);
        let ways = TargetWiring { teller: None, ..*ways };
        let (outlet, _, sending) = start_target(runtime, number, settings, reference_traffic::BASELINE_BYTES, &ways)?;
        senders.push(sending);
        baseline = Some(outlet);
    }
    Ok(reference_traffic::ReferenceSender { baseline, checks, share: settings.self_check, writes, targets })
}

fn start_target(
    runtime: &Runtime,
    index: usize,
    mut settings: replay::SendSettings,
    bytes: usize,
    ways: &TargetWiring<'_>,
) -> Result<(TargetDispatcher, TargetProbe, RunningTarget), RunError> {
    if ways.live {
        // A live run has had its time for what is in flight before the targets are stopped.
        settings.drain = Duration::ZERO;
    }
    let client = {
        let _context = runtime.enter();
        Arc::new(AnyClient::new(&settings)?)
    };
    let (job_sender, jobs) = mpsc::channel(TARGET_QUEUE);
    let (limits, counters) = (TargetLimits::from(&settings), Arc::new(InFlight::default()));
    let outlook = TargetProbe {
        url: settings.target.to_string(),
        jobs: job_sender.downgrade(),
        in_flight: Arc::clone(&counters),
        client: Arc::downgrade(&client),
    };
    let outlet =
        TargetDispatcher::new(job_sender, Budget::new(bytes), Arc::clone(&client), ways.protection.gate(index));
    let (stopped, keeping) = (ways.stopped.clone(), ways.keeping.cloned());
    let keeper = ways.protection.clone();
    let facts = Deliveries::observed(ways.facts.clone(), move |delivery| keeper.observe(delivery));
    let sending = if let Some(teller) = ways.teller {
        let client = Arc::new(NotifyingClient { client: Arc::clone(&client), teller: teller.clone() });
        let client = Arc::new(RetainingClient { client, keeping });
        runtime.spawn(run_target(index, client, jobs, limits, stopped, facts, counters))
    } else {
        let client = Arc::new(RetainingClient { client: Arc::clone(&client), keeping });
        runtime.spawn(run_target(index, client, jobs, limits, stopped, facts, counters))
    };
    Ok((outlet, outlook, (sending, client)))
}

/// What hands events, or else frames, to the recording thread, and that thread, where anything is recorded.
fn prepare_recording(
    recorder: Option<Recorder>,
    bytes: usize,
    progress: &Arc<Progress>,
) -> (Option<EventSender>, Option<FrameSender>, Option<RecordingThread>) {
    let Some(recorder) = recorder else { return (None, None, None) };
    let RecordingHandle { events, frames, thread } = RecordingHandle::new(recorder, bytes, progress);
    let of_frames = thread.takes_frames();
    ((!of_frames).then_some(events), of_frames.then_some(frames), Some(thread))
}

/// Starts the processes outside, where there are any.
fn start_external(
    runtime: &Runtime,
    settings: Option<middleware::external::ExternalSettings>,
    bytes: usize,
) -> Result<(Option<ExternalStage>, Workers), RunError> {
    let Some(settings) = settings else { return Ok((None, Workers::new())) };
    let command = settings.command.to_string();
    let _context = runtime.enter();
    let (external, workers) =
        ExternalStage::start(settings, bytes).map_err(|source| RunError::Middleware { command, source })?;
    Ok((Some(external), workers))
}

/// Waits until the processes are gone; those that are not in time go with the runtime.
async fn ended(workers: Workers) {
    let all = futures_util::future::join_all(workers);
    tokio::time::timeout(WORKERS_END, all).await.ok();
}

/// What the capture thread is connected to.
fn reader_ends(
    events: Sender<QueuedEvent>,
    bytes: &Budget,
    facts: &mpsc::Sender<ReportEvent>,
    runtime: &Runtime,
    progress: &Arc<Progress>,
    observer: &Observer,
) -> reader::ReaderChannels {
    reader::ReaderChannels {
        events,
        bytes: bytes.clone(),
        facts: facts.clone(),
        runtime: runtime.handle().clone(),
        progress: Arc::clone(progress),
        observer: observer.clone(),
    }
}

/// Starts the capture thread.
fn start_reading(
    feed: Feed,
    tap: Tap,
    files: reader::FileInputs,
    ends: reader::ReaderChannels,
    frames: Option<FrameSender>,
    connections_wanted: bool,
) -> Result<thread::JoinHandle<(CaptureStats, UnreportedSheds)>, RunError> {
    match feed {
        Feed::Files(origin) => {
            let reader = FileReader { origin, tap, files, ends };
            spawn("capture", move || (reader.run(), UnreportedSheds::default()))
        }
        Feed::Live(source) => {
            let reader = LiveReader { source, tap, ends, frames, connections_wanted };
            spawn("capture", move || reader.run())
        }
    }
}

/// One thread paces for all targets: what is asked of the first goes for all.
fn timing(live: bool, targets: &[replay::SendSettings], span: &KnownSpan) -> Timing {
    let (pace, max_gap) = targets.first().map(|target| (target.pace, target.max_gap)).unwrap_or_default();
    if live { Timing::Live } else { Timing::paced(pace, max_gap, Arc::clone(span)) }
}

/// Events that may be on their way from the capture thread.
fn event_places(timing: &Timing) -> usize {
    match timing {
        Timing::Live => LIVE_EVENT_QUEUE,
        Timing::Paced { .. } if timing.is_unscheduled() => UNSCHEDULED_EVENT_QUEUE,
        Timing::Paced { .. } => EVENT_QUEUE,
    }
}

fn stopped_early(after: Duration) -> String {
    format!(
        "stopped after {:.1} s: requests later in the capture are not in this report; frames are those read ahead",
        after.as_secs_f64()
    )
}

fn end_of_target(
    runtime: &Runtime,
    sender: tokio::task::JoinHandle<replay::QueueStats>,
    client: &impl Client,
) -> TargetTotals {
    let peak_in_flight = runtime.block_on(sender).map_or(0, |stats| stats.peak_in_flight);
    let connections = client.connections();
    let mut end = TargetTotals {
        connections_opened: connections.opened,
        peak_connections: connections.peak,
        peak_in_flight,
        addresses: connections.addresses.iter().map(address).collect(),
        retried: connections.retried,
        desynchronised: report::DesynchronisedSummary::of(&connections.desynchronised),
        ..TargetTotals::default()
    };
    connections.set_up.into_iter().for_each(|took| end.connect.record(took));
    end
}

fn address(share: &replay::AddressShare) -> report::schema::target::AddressSummary {
    report::schema::target::AddressSummary {
        address: share.address.to_string(),
        connections_opened: share.opened,
        connections_failed: share.failed,
        requests: share.requests,
    }
}

/// What time it is on the clock that live frames are stamped by.
fn wall_clock() -> Timestamp {
    Started::now().at
}

/// An event on its way, with its share of the memory that such may take.
struct QueuedEvent {
    event: Event,
    part: PassTag,
    held: BudgetShare,
    /// How far the source had been read; see [`Progress::read_permille`].
    permille: u64,
}

impl From<Box<Delivery>> for ReportEvent {
    fn from(delivery: Box<Delivery>) -> Self {
        Self::Delivered(delivery)
    }
}
