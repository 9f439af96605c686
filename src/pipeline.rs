//! The stages put together: the only file that makes threads and channels.
//!
//! ```text
//!   capture thread          pacing thread               tokio                report thread
//!   Source -> Tap --Event--> due? -> Chain --Job------> target -> Client
//!                                 \--------Fact-------------------\--Fact--> Reporter
//! ```
//!
//! Every channel has a bound. A file waits where one is full; only the queue of a target sheds, and says so.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, watch};
use tokio::time::Instant;

use crate::capture::{self, Filter, Frame, Source, Verdict};
use crate::decode::{Decoder, Skip};
use crate::exchange::{Event, ExchangeId, Framing, Outcome, Request, RequestState, Response, Shed, Timestamp};
use crate::flow::{self, CONNECTION_COST, FlowTable};
use crate::http1::{Http1, Interest, Interests};
use crate::middleware::{self, Chain};
use crate::replay::{self, Client, Delivery, HttpClient, InFlight, Job, Limits, Schedule, run_target};
use crate::report::{
    self, Engine, Fact, Frames, Production, Reporter, RequestNote, Started, Streams, Summary, TargetEnd, Tcp,
};

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

/// Frames to events, on the thread that calls it.
pub struct Tap {
    filter: Option<Filter>,
    ports: Vec<u16>,
    decoder: Decoder,
    flows: FlowTable,
    http1: Http1,
    received: u64,
    decoded: u64,
    skipped: [u64; Skip::ALL.len()],
}

impl Tap {
    /// A tap that has seen nothing yet.
    pub fn new(settings: &capture::Settings, interests: Interests) -> Result<Self, capture::CaptureError> {
        // Half for the connections themselves, an eighth for what waits behind holes, a quarter for messages that are
        // not whole yet; the rest is for fragments and the buffers of files.
        let memory = settings.max_memory.0;
        let limits = flow::Limits { connections: memory / 2 / CONNECTION_COST, waiting_bytes: memory / 8 };
        Ok(Self {
            filter: settings.bpf.as_deref().map(Filter::new).transpose()?,
            ports: settings.ports.clone(),
            decoder: Decoder::new(),
            flows: FlowTable::with_limits(&settings.ports, limits),
            http1: Http1::with_limit(interests, memory / 4),
            received: 0,
            decoded: 0,
            skipped: [0; Skip::ALL.len()],
        })
    }

    /// Takes the next frame and tells what it makes known.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event)) {
        self.received += 1;
        if let Err(why) = self.segment(frame, sink)
            && let Some(count) = self.skipped.get_mut(why.index())
        {
            *count += 1;
        }
    }

    fn segment(&mut self, frame: &Frame<'_>, sink: &mut dyn FnMut(Event)) -> Result<(), Skip> {
        if let Some(filter) = &mut self.filter
            && filter.check(frame) != Verdict::Match
        {
            return Err(Skip::Filter);
        }
        let segment = self.decoder.decode(frame)?;
        if !self.ports.is_empty()
            && !self.ports.contains(&segment.source.port)
            && !self.ports.contains(&segment.destination.port)
        {
            return Err(Skip::Port);
        }
        self.decoded += 1;
        let http1 = &mut self.http1;
        self.flows.take(&segment, &mut |chunk| http1.take(chunk, sink));
        Ok(())
    }

    /// Ends the capture: whatever waited is told.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Event)) {
        let http1 = &mut self.http1;
        self.flows.finish(&mut |chunk| http1.take(chunk, sink));
    }

    /// What was seen, with what the source knows besides.
    #[must_use]
    pub fn engine(&self, source: &(impl Source + ?Sized)) -> Engine {
        let dropped = source.dropped();
        let skipped = Skip::ALL.iter().zip(self.skipped).filter(|(why, count)| **why == Skip::NotTcp || *count > 0);
        let tcp = self.flows.stats();
        let streams = self.http1.stats();
        let evicted = [
            ("connections", tcp.evicted_capacity),
            ("idle", tcp.evicted_idle),
            ("waiting_bytes", tcp.evicted_waiting),
            ("message_bytes", streams.let_go),
            ("fragmented_datagrams", self.decoder.datagrams_given_up()),
            ("implausible_segments", tcp.implausible_segments),
        ];
        Engine {
            frames: Frames {
                received: self.received,
                kernel_dropped: dropped.kernel,
                interface_dropped: dropped.interface,
                decoded: self.decoded,
                skipped: skipped.map(|(why, count)| (why.key().to_owned(), count)).collect(),
            },
            tcp: Tcp {
                connections: tcp.connections,
                peak_open: tcp.peak_open,
                retransmitted_bytes: tcp.retransmitted_bytes,
                gaps: tcp.gaps,
                gap_bytes: tcp.gap_bytes,
                evicted: evicted
                    .into_iter()
                    .filter(|(_, count)| *count > 0)
                    .map(|(why, count)| (why.to_owned(), count))
                    .collect(),
            },
            streams: Streams {
                http1: streams.http1,
                tls: streams.tls,
                http2: streams.http2,
                upgraded: streams.upgraded,
                unknown: streams.unknown,
            },
            trouble: source.trouble(),
        }
    }
}

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
    while wanted && let Some(frame) = source.next() {
        tap.frame(&frame, &mut |event| wanted &= sink(event));
    }
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
    let halted = Arc::new(AtomicBool::new(false));

    let reader = Reader {
        source: run.source,
        tap,
        events: event_sender,
        bytes: Arc::clone(&event_bytes),
        runtime: runtime.handle().clone(),
        halted: Arc::clone(&halted),
    };
    let pacer = Pacer {
        chain: Chain::new(&run.middleware),
        schedule: Schedule::new(run.replay.pace),
        events,
        stopped: pacing_stopped,
        jobs: job_sender,
        bytes: Arc::clone(&target_bytes),
        runtime: runtime.handle().clone(),
        facts: facts.clone(),
        progress: Arc::clone(progress),
        asked: HashMap::default(),
        begun: None,
    };
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
        halted.store(true, Ordering::Relaxed);
        drop(stop_pacing);
        // Whoever waits for memory gets an error instead.
        event_bytes.close();
        target_bytes.close();
        stop_sender.send_replace(true);
        // Kept until the run has ended: a dropped sender would look like a change.
        std::future::pending::<()>().await;
    });

    let mut trouble = Vec::new();
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
    halted: Arc<AtomicBool>,
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
            if self.halted.load(Ordering::Relaxed) {
                break;
            }
            let Some(frame) = self.source.next() else {
                self.tap.finish(&mut hand_on);
                break;
            };
            self.tap.frame(&frame, &mut hand_on);
        }
        self.tap.engine(&*self.source)
    }
}

fn thousandths(share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let thousandths = (share.clamp(0.0, 1.0) * 1000.0) as u64;
    thousandths
}

/// The pacing thread: each whole request waits until it is due, passes the chain, and is offered.
struct Pacer {
    chain: Chain,
    schedule: Schedule,
    events: Receiver<Parcel>,
    stopped: Receiver<()>,
    bytes: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
    jobs: mpsc::Sender<Job>,
    facts: mpsc::Sender<Fact>,
    progress: Arc<Progress>,
    /// When the requests whose response is still to come were asked; only those that were offered.
    asked: HashMap<ExchangeId, Timestamp, foldhash::fast::RandomState>,
    /// When the first request came: due times count from here.
    begun: Option<Instant>,
}

impl Pacer {
    /// Works until the events end or the run is stopped; returns the share of sample keys that passed.
    fn run(mut self) -> Option<f64> {
        while let Some(event) = self.next() {
            let went_on = match event {
                Event::Request(request) => self.request(*request),
                Event::Response { of, response } => self.response(of, &response),
                Event::Damaged { of, why } => match self.asked.remove(&of) {
                    Some(_) => self.tell(Fact::Production { of, production: Err(why) }),
                    None => true,
                },
                Event::Orphan { .. } => self.tell(Fact::Orphan),
                Event::Opened { .. } | Event::Closed { .. } => true,
            };
            if !went_on {
                break;
            }
        }
        self.chain.key_share()
    }

    fn next(&self) -> Option<Event> {
        let parcel = crossbeam_channel::select_biased! {
            recv(self.stopped) -> _ => None,
            recv(self.events) -> parcel => parcel.ok(),
        }?;
        drop(parcel.held);
        self.progress.read_permille.store(parcel.permille, Ordering::Relaxed);
        Some(parcel.event)
    }

    /// False where the run was stopped.
    fn request(&mut self, request: Request) -> bool {
        if let Some(outcome) = unfit(&request) {
            return self.end(note(&request), outcome);
        }
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let due = self.schedule.due(request.last_byte).map(|offset| begun + offset);
        if !self.wait_until(due) {
            return false;
        }
        // What the report says of a request is what was captured, not what the chain made of it.
        let note = note(&request);
        let mut request = request;
        match self.chain.apply(&mut request) {
            Err(outcome) => self.end(note, outcome),
            Ok(()) => self.offer(note, request, due),
        }
    }

    fn wait_until(&self, due: Option<Instant>) -> bool {
        match due {
            Some(due) if due > Instant::now() => {
                matches!(self.stopped.recv_deadline(due.into_std()), Err(RecvTimeoutError::Timeout))
            }
            _ => true,
        }
    }

    fn offer(&mut self, note: RequestNote, request: Request, due: Option<Instant>) -> bool {
        let id = note.id;
        self.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.progress.in_flight.fetch_add(1, Ordering::Relaxed);
        self.asked.insert(id, request.last_byte);
        if !self.tell(Fact::Offered { note: Box::new(note), targets: 1 }) {
            return false;
        }
        let refused = if due.is_none() { self.hand_on_waiting(request) } else { self.hand_on_now(request, due) };
        match refused {
            Some(place) => self.tell(Fact::Delivered(Box::new(Delivery {
                id,
                target: 0,
                outcome: Outcome::Shed(place),
                answer: None,
                service: None,
                response: None,
                lag: None,
            }))),
            None => true,
        }
    }

    /// Without a schedule: waits for room. Returns where the request was shed, if it was.
    fn hand_on_waiting(&self, request: Request) -> Option<Shed> {
        let room = Arc::clone(&self.bytes).acquire_many_owned(permits(&request));
        let Ok(held) = self.runtime.block_on(room) else { return Some(Shed::Stopped) };
        self.jobs.blocking_send(Job { held: Some(held), request, due: None }).err().map(|_| Shed::Stopped)
    }

    /// On schedule: never waits. Returns where the request was shed, if it was.
    fn hand_on_now(&self, request: Request, due: Option<Instant>) -> Option<Shed> {
        let held = match Arc::clone(&self.bytes).try_acquire_many_owned(permits(&request)) {
            Ok(held) => Some(held),
            Err(TryAcquireError::NoPermits) => return Some(Shed::TargetQueue),
            Err(TryAcquireError::Closed) => return Some(Shed::Stopped),
        };
        self.jobs.try_send(Job { held, request, due }).err().map(|error| match error {
            mpsc::error::TrySendError::Full(_) => Shed::TargetQueue,
            mpsc::error::TrySendError::Closed(_) => Shed::Stopped,
        })
    }

    fn end(&self, note: RequestNote, outcome: Outcome) -> bool {
        self.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.progress.kept_back.fetch_add(1, Ordering::Relaxed);
        self.tell(Fact::Ended { note: Box::new(note), outcome })
    }

    fn response(&mut self, of: ExchangeId, response: &Response) -> bool {
        let Some(asked) = self.asked.remove(&of) else { return true };
        let production = Production {
            status: response.status,
            body_len: response.body.len,
            body_sha256: response.body.sha256,
            damage: response.damage,
            latency: response.first_byte.since(asked),
        };
        self.tell(Fact::Production { of, production: Ok(production) })
    }

    fn tell(&self, fact: Fact) -> bool {
        self.facts.blocking_send(fact).is_ok()
    }
}

fn note(request: &Request) -> RequestNote {
    RequestNote {
        id: request.id,
        at: request.first_byte,
        client: request.client,
        method: request.method().to_vec(),
        target: request.target().to_vec(),
        bytes: request.bytes(),
    }
}

/// Why a request must not be sent at all, whatever the chain says.
fn unfit(request: &Request) -> Option<Outcome> {
    match request.state {
        RequestState::Malformed(why) => Some(Outcome::Malformed(why)),
        RequestState::Incomplete(why) => Some(Outcome::Incomplete(why)),
        RequestState::Whole if request.body.framing != Framing::None && request.body.wire.is_none() => {
            Some(Outcome::Shed(Shed::BodyLimit))
        }
        RequestState::Whole => None,
    }
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
