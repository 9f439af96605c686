//! Middleware in processes outside: what waits for them, and what becomes of it.
//!
//! ```text
//!   pacing thread --Job--> Queue --> stdin of a process
//!         ^                                |
//!         \------Back------ Decoder <-- stdout
//! ```
//!
//! Everything that a request can come to is decided on the pacing thread, here in [`External`]; the tasks that look after
//! the processes only carry bytes. A request waits for its echo for as long as the settings say, whatever the process
//! does, so nothing here ever waits without an end. Each of these has a bound: what waits to be written, what waits for
//! its echo, what came back.

pub(super) mod counts;
mod messages;
mod notify;
mod queue;
mod sender;
mod settle;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::budget::{Budget, BudgetShare, bytes_of_request};
use super::context::RunContext;
use super::run::RunError;
use crate::exchange::{ExchangeId, Response, Timestamp};
use crate::middleware::external::{ExternalSettings, OutgoingMessage};
use crate::recording::recent::Recent;
use crate::replay::ConnKey;

pub(super) use counts::ExternalCounts;
use messages::QueuedWorkerMessage;
pub(super) use messages::{AcceptedRequest, ProductionResult, Resolution, WorkerMessage};
pub(super) use notify::NotifyingClient;
use queue::{QUEUE, WriteJob, WriteQueue, pop_if};
pub(super) use sender::ResponseSender;
use worker::{Worker, WorkerSender};

/// Requests that wait for the echo of one process. Past it requests wait or are shed (`middleware`).
const MOST_WAITING: usize = 8192;
/// Messages on their way back. When it is full, processes are not read from for a moment.
const BACK_QUEUE: usize = 16_384;
/// Most timed-out requests that are remembered: the late echo of one counts as late, and not as a new request. Beyond
/// that, a late echo counts as a new request.
const MOST_REMEMBERED: usize = 1 << 16;
/// Most ids remembered of requests that processes made up, for their responses. Past it a response gets an id of ours.
const MOST_NAMES: usize = 1 << 16;

/// Phase of a run, for external processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExternalPhase {
    Open,
    /// No further message will be sent.
    Closing,
    /// Nobody waits for anything any more.
    Over,
}

/// A request that waits for its echo.
struct PendingEcho {
    passed: AcceptedRequest,
    taken: Arc<AtomicBool>,
    /// Production's result, which follows the request.
    answered: Option<ProductionResult>,
    /// Budget share of that result.
    answer_held: BudgetShare,
    _held: BudgetShare,
}

/// A response that waits for its echo, because it is to be recorded.
struct PendingResponse {
    response: Box<Response>,
    is_head: bool,
    _held: BudgetShare,
}

/// Pending item, in the order of the deadlines.
#[derive(Clone, Copy, Debug)]
enum Deadline {
    Echo(ExchangeId),
    Answer(ExchangeId),
}

/// Part of the external processes on the pacing thread.
///
/// Invariant: every entry of `waiting` or `answers` has an entry in `deadlines`, and `busy` counts `waiting` by
/// connection.
pub(super) struct ExternalStage {
    responses: ResponseSender,
    back: Receiver<QueuedWorkerMessage>,
    /// Never used: it keeps the way back from looking as if something had come, when all processes are gone.
    _to: Sender<QueuedWorkerMessage>,
    phase: watch::Sender<ExternalPhase>,
    /// Processes that have not ended for good.
    alive: usize,
    waiting: HashMap<ExchangeId, PendingEcho, foldhash::fast::RandomState>,
    answers: HashMap<ExchangeId, PendingResponse, foldhash::fast::RandomState>,
    deadlines: VecDeque<(Instant, Deadline)>,
    busy: HashMap<ConnKey, BusyConnection, foldhash::fast::RandomState>,
    /// Requests that wait for each process.
    loads: Vec<usize>,
    late: Recent<ExchangeId, ()>,
    made_up: u64,
    /// Capture time of the last event read off the capture.
    pub(super) latest: Timestamp,
}

/// A connection of which requests wait.
#[derive(Default)]
struct BusyConnection {
    requests: u32,
    /// It closes once they do not any more, and was due to do so then.
    closes: Option<Instant>,
}

/// The tasks that look after the processes, until they have ended.
pub(super) type Workers = Vec<JoinHandle<()>>;

/// The external processes of a run; none where none are asked for.
#[derive(Default)]
pub(super) struct ExternalProcesses {
    /// For the pacing thread.
    pub(super) stage: Option<ExternalStage>,
    /// Takes what targets answer to the processes.
    pub(super) responses: Option<ResponseSender>,
    pub(super) counts: Option<Arc<ExternalCounts>>,
    pub(super) workers: Workers,
}

impl ExternalProcesses {
    /// Starts the processes, where `settings` ask for any.
    pub(super) fn start(context: &RunContext, settings: Option<ExternalSettings>) -> Result<Self, RunError> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let command = settings.command.to_string();
        let _context = context.runtime.enter();
        let (stage, workers) = ExternalStage::start(settings, context.memory.external)
            .map_err(|source| RunError::Middleware { command, source })?;
        let (responses, counts) = (stage.responses.clone(), Arc::clone(&stage.responses.counts));
        Ok(Self { stage: Some(stage), responses: Some(responses), counts: Some(counts), workers })
    }
}

impl ExternalStage {
    /// Starts the processes; called within the runtime. `bytes` is what may be on its way to them, and as much back.
    fn start(settings: ExternalSettings, bytes: usize) -> std::io::Result<(Self, Workers)> {
        let (phase, watched) = watch::channel(ExternalPhase::Open);
        let (to, back) = crossbeam_channel::bounded(BACK_QUEUE);
        let back_sender = WorkerSender { to: to.clone(), bytes: Budget::new(bytes) };
        let counts = Arc::<ExternalCounts>::default();
        let settings = Arc::new(settings);
        let (mut jobs, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..settings.workers {
            let child = worker::start(&settings.command)?;
            let (sender, receiver) = mpsc::channel(QUEUE);
            let worker = Worker {
                settings: Arc::clone(&settings),
                queue: WriteQueue::new(receiver, watched.clone()),
                phase: watched.clone(),
                back: back_sender.clone(),
                counts: Arc::clone(&counts),
            };
            jobs.push(sender);
            workers.push(tokio::spawn(worker.run(child)));
        }
        let responses = ResponseSender {
            bytes: Budget::new(bytes),
            timeout: settings.timeout,
            names: Arc::new(Mutex::new(Recent::new(MOST_NAMES))),
            counts,
            jobs: jobs.into(),
        };
        Ok((Self::new(responses, (to, back), phase, workers.len()), workers))
    }

    fn new(
        responses: ResponseSender,
        (to, back): (Sender<QueuedWorkerMessage>, Receiver<QueuedWorkerMessage>),
        phase: watch::Sender<ExternalPhase>,
        alive: usize,
    ) -> Self {
        Self {
            loads: vec![0; responses.jobs.len()],
            responses,
            back,
            _to: to,
            phase,
            alive,
            waiting: HashMap::default(),
            answers: HashMap::default(),
            deadlines: VecDeque::new(),
            busy: HashMap::default(),
            late: Recent::new(MOST_REMEMBERED),
            made_up: 0,
            latest: Timestamp::default(),
        }
    }

    /// Returns the channel of messages that come back from the processes.
    pub(super) const fn back(&self) -> &Receiver<QueuedWorkerMessage> {
        &self.back
    }

    /// Returns the longest wait for an echo.
    pub(super) const fn timeout(&self) -> Duration {
        self.responses.timeout
    }

    /// Returns the earliest deadline of an echo that is still owed.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Returns whether any echo is owed, of a request or of a response.
    pub(super) fn is_owed(&self) -> bool {
        !self.waiting.is_empty() || !self.answers.is_empty()
    }

    /// Returns whether a process may still write a message.
    pub(super) const fn lives(&self) -> bool {
        self.alive > 0
    }

    /// Closes the input of the processes once the queued messages are written.
    pub(super) fn close(&self) {
        self.phase.send_replace(ExternalPhase::Closing);
    }

    /// Ends the processes.
    pub(super) fn end(&self) {
        self.phase.send_replace(ExternalPhase::Over);
    }

    /// Gives a request to a process; gives it back where there is no room.
    pub(super) fn give(&mut self, passed: AcceptedRequest) -> Result<(), Box<AcceptedRequest>> {
        let id = passed.request.id;
        let worker = self.responses.worker(id.connection);
        let Some(load) = self.loads.get_mut(worker).filter(|load| **load < MOST_WAITING) else {
            return Err(Box::new(passed));
        };
        let Ok(held) = self.responses.bytes.try_hold(bytes_of_request(&passed.request)) else {
            return Err(Box::new(passed));
        };
        let deadline = Instant::now() + self.responses.timeout;
        let taken = Arc::<AtomicBool>::default();
        let message = OutgoingMessage::request(&passed.request);
        let job = WriteJob { message, deadline, taken: Some(Arc::clone(&taken)), held: None };
        if !self.responses.send_job(id, job) {
            return Err(Box::new(passed));
        }
        *load += 1;
        self.busy.entry(id.into()).or_default().requests += 1;
        self.deadlines.push_back((deadline, Deadline::Echo(id)));
        self.waiting.insert(id, PendingEcho { passed, taken, answered: None, answer_held: None, _held: held });
        Ok(())
    }

    /// Returns whether the request waits for its echo.
    pub(super) fn waits(&self, id: ExchangeId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Sends production's response to the processes.
    pub(super) fn send_response(&self, of: ExchangeId, response: &Response) -> bool {
        OutgoingMessage::response(self.responses.name(of), response)
            .is_some_and(|message| self.responses.send(of, message))
    }

    /// Keeps production's result for a request that waits for its echo: it follows the request. A body that finds no
    /// room in the memory budget is dropped.
    pub(super) fn follow(&mut self, of: ExchangeId, mut answered: ProductionResult) {
        let Some(waiting) = self.waiting.get_mut(&of) else { return };
        if let ProductionResult::Response { response, .. } = &mut answered
            && let Some(bytes) = response.body.wire.as_ref().map(bytes::Bytes::len)
        {
            match self.responses.bytes.try_hold(bytes) {
                Ok(held) => waiting.answer_held = held,
                Err(_) => response.body.wire = None,
            }
        }
        waiting.answered = Some(answered);
    }

    /// Gives a response to a process that is to be recorded as that gives it back; gives it back at once where there is
    /// no room, or not all of it is there.
    pub(super) fn give_response(
        &mut self,
        of: ExchangeId,
        is_head: bool,
        response: Box<Response>,
    ) -> Result<(), Box<Response>> {
        let Ok(held) = self.responses.bytes.try_hold(response.head.as_bytes().len()) else { return Err(response) };
        if self.answers.len() >= MOST_WAITING || !self.send_response(of, &response) {
            return Err(response);
        }
        self.deadlines.push_back((Instant::now() + self.responses.timeout, Deadline::Answer(of)));
        self.answers.insert(of, PendingResponse { response, is_head, _held: held });
        Ok(())
    }

    /// A connection closes: now, or, where requests of it wait, after them.
    pub(super) fn closes(&mut self, conn: ConnKey, due: Instant) -> bool {
        match self.busy.get_mut(&conn) {
            Some(busy) => {
                busy.closes = Some(due);
                false
            }
            None => true,
        }
    }

    fn no_longer_waits(&mut self, id: ExchangeId) -> Option<PendingEcho> {
        let waiting = self.waiting.remove(&id)?;
        let worker = self.responses.worker(id.connection);
        if let Some(load) = self.loads.get_mut(worker) {
            *load = load.saturating_sub(1);
        }
        self.forget_settled();
        Some(waiting)
    }

    /// Deadlines of what was settled are forgotten as far as nothing that waits stands before them.
    fn forget_settled(&mut self) {
        let Self { deadlines, waiting, answers, .. } = self;
        let is_settled = |(_, owed): &(Instant, Deadline)| match owed {
            Deadline::Echo(id) => !waiting.contains_key(id),
            Deadline::Answer(of) => !answers.contains_key(of),
        };
        while pop_if(deadlines, is_settled).is_some() {}
    }

    /// A request of this connection was settled, and what comes of it was done: when the connection was due to close,
    /// where it closes now.
    pub(super) fn done(&mut self, conn: ConnKey) -> Option<Instant> {
        let busy = self.busy.get_mut(&conn)?;
        busy.requests = busy.requests.saturating_sub(1);
        if busy.requests > 0 {
            return None;
        }
        self.busy.remove(&conn)?.closes
    }
}

/// Ends the processes together with the pacing thread, however that ends.
impl Drop for ExternalStage {
    fn drop(&mut self) {
        self.phase.send_replace(ExternalPhase::Over);
    }
}
