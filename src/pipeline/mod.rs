//! The stages put together: the only place that makes threads and channels, all of them in this file.
//!
//! ```text
//!   capture thread          pacing thread               tokio                report thread
//!   Source -> Tap --Event--> due? -> Chain --Job------> target -> Client
//!                                 \--------Fact-------------------\--Fact--> Reporter
//! ```
//!
//! Every channel has a bound. A file waits where one is full; only the queue of a target sheds, and says so.

mod pacer;
mod tap;

use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::capture::{self, Halt, Source};
use crate::exchange::{Event, Outcome, Request};
use crate::http1::{Interest, Interests};
use crate::middleware::{self, Chain};
use crate::replay::{self, Client, Delivery, HttpClient, InFlight, Limits, run_target};
use crate::report::{self, Engine, Fact, Reporter, Started, Summary, TargetEnd};

use pacer::Pacer;
pub use tap::Tap;

/// Events between the capture thread and the pacing thread. When it is full, the file waits.
const EVENT_QUEUE: usize = 4096;
/// Facts on their way to the report. When it is full, those who tell them wait: counting is cheaper than sending.
const FACT_QUEUE: usize = 65_536;
/// Requests that are due and wait for a place among those in flight, for each target. When it is full, `--speed max`
/// waits; otherwise a request is shed (`target_queue`).
const TARGET_QUEUE: usize = 16_384;
/// Bytes of requests between the capture thread and the pacing thread. Past it the file waits.
const EVENT_BYTES: usize = 64 << 20;
/// Bytes of requests that wait for a place among those in flight or are in flight, for each target. Past it
/// `--speed max` waits; otherwise a request is shed (`target_queue`).
const TARGET_BYTES: usize = 256 << 20;
/// What one permit of those bounds stands for, in bytes.
const PERMIT_BYTES: usize = 1024;
/// Frames between two looks at how far the source was read.
const PROGRESS_EVERY: u64 = 64;

/// Live counters of a run, for a progress line.
#[derive(Debug)]
pub struct Progress {
    /// Requests seen.
    pub seen: AtomicU64,
    /// Deliveries that ended as sent.
    pub sent: AtomicU64,
    /// Deliveries that ended as failed.
    pub failed: AtomicU64,
    /// Requests that ended before any target.
    pub kept_back: AtomicU64,
    /// Deliveries offered and not yet ended.
    pub in_flight: AtomicU64,
    /// How far into the capture the run is, in thousandths; `u64::MAX` where unknown.
    pub read_permille: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            seen: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            kept_back: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            read_permille: AtomicU64::new(u64::MAX),
        }
    }
}

/// Everything that a replay needs.
pub struct Run {
    /// The command that runs it, for the summary.
    pub command: &'static str,
    /// Where frames come from: see [`capture::open`].
    pub source: Box<dyn Source + Send>,
    /// Which of them count.
    pub capture: capture::Settings,
    /// What to do to the requests.
    pub middleware: middleware::Settings,
    /// Where, when and how to send them.
    pub replay: replay::Settings,
    /// Where each ended delivery is written as a line of JSON.
    pub results: Option<Box<dyn Write + Send>>,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The capture cannot be read at all.
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
    /// The runtime, or a thread of it, could not start.
    #[error("cannot start a thread: {0}; is a limit on processes in force (ulimit -u)?")]
    Start(#[source] std::io::Error),
    /// The client could not be set up.
    #[error(transparent)]
    Client(#[from] replay::ClientError),
}

/// Reads `source` to its end on this thread and hands every event to `sink`; sends nothing. `sink` returns false to
/// stop early.
pub fn inspect(
    mut source: Box<dyn Source + Send>,
    capture: &capture::Settings,
    interests: Interests,
    sink: &mut dyn FnMut(Event) -> bool,
) -> Result<Engine, RunError> {
    let mut tap = Tap::new(capture, interests)?;
    let mut wanted = true;
    // Frames that were handed on together with the last one that is wanted tell nothing any more.
    while wanted && tap.pull(&mut *source, &mut |event| wanted = wanted && sink(event)) {}
    if wanted {
        tap.finish(&mut |event| {
            sink(event);
        });
    }
    Ok(tap.engine(&*source))
}

/// Reads the capture and replays what passes the chain, until the capture ends or `stop` is ready. Then what is in
/// flight has its time to end, and the summary says what became of every request.
pub fn replay(
    run: Run,
    progress: &Arc<Progress>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Summary, RunError> {
    let started = Started::now();
    let tap = Tap::new(&run.capture, Interests { request_body: Interest::Keep, response_body: Interest::Hash })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Start)?;
    let client = {
        let _context = runtime.enter();
        // A Host that the chain sets is not to be replaced by the target's.
        let keep_host = run.replay.keep_host || run.middleware.sets_host();
        Arc::new(HttpClient::new(&replay::Settings { keep_host, ..run.replay.clone() })?)
    };
    let reporter = Reporter::new(report::Settings {
        command: run.command,
        targets: vec![run.replay.target.to_string()],
        sample: run.middleware.sample.0,
        results: run.results,
        started,
    });
    let (event_sender, events) = crossbeam_channel::bounded(EVENT_QUEUE);
    let event_bytes = Arc::new(Semaphore::new(EVENT_BYTES / PERMIT_BYTES));
    let target_bytes = Arc::new(Semaphore::new(TARGET_BYTES / PERMIT_BYTES));
    let (facts, fact_receiver) = mpsc::channel(FACT_QUEUE);
    let (job_sender, jobs) = mpsc::channel(TARGET_QUEUE);
    let (stop_sender, stopped) = watch::channel(false);
    // Nothing is ever sent here: the pacing thread wakes when the sender is dropped.
    let (stop_pacing, pacing_stopped) = crossbeam_channel::bounded::<()>(0);
    let halted = run.capture.halt.clone();

    let reader = Reader {
        source: run.source,
        tap,
        events: event_sender,
        bytes: Arc::clone(&event_bytes),
        runtime: runtime.handle().clone(),
        halted: halted.clone(),
    };
    let pacer = Pacer::new(
        Chain::new(&run.middleware),
        run.replay.pace,
        pacer::Ends {
            events,
            stopped: pacing_stopped,
            jobs: job_sender,
            bytes: Arc::clone(&target_bytes),
            runtime: runtime.handle().clone(),
            facts: facts.clone(),
            progress: Arc::clone(progress),
        },
    );
    let limits = Limits::from(&run.replay);
    let counters = Arc::new(InFlight::default());
    let target = runtime.spawn(run_target(0, Arc::clone(&client), jobs, limits, stopped, facts, counters));
    let reading = spawn("capture", move || reader.run())?;
    let pacing = spawn("pacing", move || pacer.run())?;
    let counting = {
        let progress = Arc::clone(progress);
        spawn("report", move || count(reporter, fact_receiver, &progress))?
    };
    let watcher = runtime.spawn(async move {
        stop.await;
        halted.set();
        drop(stop_pacing);
        // Whoever waits for memory gets an error instead.
        event_bytes.close();
        target_bytes.close();
        stop_sender.send_replace(true);
        // Kept until the run has ended: a dropped sender would look like a change.
        std::future::pending::<()>().await;
    });

    let mut trouble = Vec::new();
    let was_stopped = run.capture.halt.clone();
    let engine = joined(reading, "capture", &mut trouble).unwrap_or_default();
    let keys = joined(pacing, "pacing", &mut trouble).flatten();
    let peak_in_flight = runtime.block_on(target).map_or(0, |stats| stats.peak_in_flight);
    watcher.abort();
    let reporter = joined(counting, "report", &mut trouble);
    let connections = client.connections();
    let mut end = TargetEnd {
        connections_opened: connections.opened,
        peak_connections: connections.peak,
        peak_in_flight,
        ..TargetEnd::default()
    };
    connections.set_up.into_iter().for_each(|took| end.connect.record(took));
    runtime.shutdown_timeout(Duration::from_millis(100));
    let mut engine = engine;
    if was_stopped.is_set() {
        let after = started.clock.elapsed().as_secs_f64();
        trouble.push(format!(
            "stopped after {after:.1} s: requests later in the capture are not in this report; frames are those read ahead"
        ));
    }
    engine.trouble.append(&mut trouble);
    let reporter = reporter.ok_or_else(|| RunError::Start(std::io::Error::other("the report thread died")))?;
    Ok(reporter.finish(engine, vec![end], keys))
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, RunError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(RunError::Start)
}

/// What a thread returned; a thread that died is told as trouble, and the rest of the run stands.
fn joined<T>(thread: thread::JoinHandle<T>, name: &str, trouble: &mut Vec<String>) -> Option<T> {
    let result = thread.join();
    if result.is_err() {
        trouble.push(format!("the {name} thread died; what it had not handed on by then is not in this report"));
    }
    result.ok()
}

/// The capture thread: frames to events.
struct Reader {
    source: Box<dyn Source + Send>,
    tap: Tap,
    events: Sender<Parcel>,
    bytes: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
    halted: Halt,
}

/// An event on its way, with its share of the memory that such may take.
struct Parcel {
    event: Event,
    held: Option<OwnedSemaphorePermit>,
    /// How far the source had been read; see [`Progress::read_permille`].
    permille: u64,
}

/// Permits that stand for a request's bytes; never more than there can be.
fn permits(request: &Request) -> u32 {
    let bytes = request.head.as_bytes().len() + request.body.wire.as_ref().map_or(0, bytes::Bytes::len);
    u32::try_from((bytes / PERMIT_BYTES + 1).min(EVENT_BYTES / PERMIT_BYTES)).unwrap_or(u32::MAX)
}

impl Reader {
    fn run(mut self) -> Engine {
        let (events, bytes, runtime) = (self.events, self.bytes, self.runtime);
        let mut connected = true;
        let permille = Cell::new(u64::MAX);
        let mut hand_on = |event| {
            let held = match &event {
                Event::Request(request) => {
                    runtime.block_on(Arc::clone(&bytes).acquire_many_owned(permits(request))).ok()
                }
                _ => None,
            };
            connected &= events.send(Parcel { event, held, permille: permille.get() }).is_ok();
        };
        let mut frames = 0u64;
        loop {
            if frames.is_multiple_of(PROGRESS_EVERY) {
                permille.set(self.source.progress().map_or(u64::MAX, thousandths));
            }
            frames += 1;
            if self.halted.is_set() {
                break;
            }
            if !self.tap.pull(&mut *self.source, &mut hand_on) {
                self.tap.finish(&mut hand_on);
                break;
            }
        }
        self.tap.engine(&*self.source)
    }
}

fn thousandths(share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let thousandths = (share.clamp(0.0, 1.0) * 1000.0) as u64;
    thousandths
}

/// The report thread: facts to counts.
fn count(mut reporter: Reporter, mut facts: mpsc::Receiver<Fact>, progress: &Progress) -> Reporter {
    while let Some(fact) = facts.blocking_recv() {
        if let Fact::Delivered(delivery) = &fact {
            progress.in_flight.fetch_sub(1, Ordering::Relaxed);
            match delivery.outcome {
                Outcome::Sent => progress.sent.fetch_add(1, Ordering::Relaxed),
                Outcome::Failed(_) => progress.failed.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
        }
        reporter.take(fact);
    }
    reporter
}

impl From<Box<Delivery>> for Fact {
    fn from(delivery: Box<Delivery>) -> Self {
        Self::Delivered(delivery)
    }
}
