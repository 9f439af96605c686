//! The pacing thread's work: each whole request waits until it is due, passes the chain, and is offered to its target.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::{Semaphore, TryAcquireError, mpsc};
use tokio::time::Instant;

use super::{FULL_PAUSE, Parcel, Progress, permits};
use crate::exchange::{
    ConnectionId, Event, ExchangeId, Framing, Outcome, Request, RequestState, Response, Shed, Timestamp,
};
use crate::middleware::Chain;
use crate::replay::{AnyClient, Client as _, Delivery, Job, Lane, Pace, Schedule, Turn, Wanted};
use crate::report::{Fact, Production, RequestNote};

/// What the pacer reads from and writes to.
pub(super) struct Ends {
    pub(super) events: Receiver<Parcel>,
    /// Disconnected when the run is stopped.
    pub(super) stopped: Receiver<()>,
    pub(super) jobs: mpsc::Sender<Job>,
    /// Memory that requests may take at the target.
    pub(super) bytes: Arc<Semaphore>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) facts: mpsc::Sender<Fact>,
    /// Told of the connections that it may have to mirror.
    pub(super) client: Arc<AnyClient>,
    pub(super) progress: Arc<Progress>,
}

/// The pacing thread.
pub(super) struct Pacer {
    chain: Chain,
    schedule: Schedule,
    ends: Ends,
    /// When the requests whose response is still to come were asked; only those that were offered.
    asked: HashMap<ExchangeId, Timestamp, foldhash::fast::RandomState>,
    /// When the first request came: due times count from here.
    begun: Option<Instant>,
    /// Whether the client has to be told of connections.
    mirrors: bool,
    /// When connections opened of which no request was sent yet; as many at most as the flow table follows.
    opened: HashMap<ConnectionId, Timestamp, foldhash::fast::RandomState>,
}

impl Pacer {
    pub(super) fn new(chain: Chain, pace: Pace, ends: Ends) -> Self {
        let mirrors = ends.client.mirrors();
        Self {
            chain,
            schedule: Schedule::new(pace),
            ends,
            asked: HashMap::default(),
            begun: None,
            mirrors,
            opened: HashMap::default(),
        }
    }

    /// Works until the events end or the run is stopped; returns the share of sample keys that passed.
    pub(super) fn run(mut self) -> Option<f64> {
        while let Some(event) = self.next() {
            let went_on = match event {
                Event::Request(request) => self.request(*request),
                Event::Response { of, response } => self.response(of, &response),
                Event::Damaged { of, why } => match self.asked.remove(&of) {
                    Some(_) => self.tell(Fact::Production { of, production: Err(why) }),
                    None => true,
                },
                Event::Orphan { .. } => self.tell(Fact::Orphan),
                Event::Opened { connection, at } => self.opened(connection, at),
                Event::Closed { connection, at, .. } => self.closed(connection, at),
            };
            if !went_on {
                break;
            }
        }
        self.chain.key_share()
    }

    /// A connection is told to the client with its first request that is sent: of many none ever is.
    fn opened(&mut self, connection: ConnectionId, at: Timestamp) -> bool {
        if self.mirrors {
            self.opened.insert(connection, at);
        }
        true
    }

    fn closed(&mut self, connection: ConnectionId, at: Timestamp) -> bool {
        if self.mirrors && self.opened.remove(&connection).is_none() {
            self.ends.client.close(lane(connection), self.due(at).unwrap_or_else(Instant::now));
        }
        true
    }

    /// When something at `at` is due that is no request; it changes nothing about the pace.
    fn due(&self, at: Timestamp) -> Option<Instant> {
        Some(self.begun? + self.schedule.offset(at)?)
    }

    fn next(&self) -> Option<Event> {
        let parcel = crossbeam_channel::select_biased! {
            recv(self.ends.stopped) -> _ => None,
            recv(self.ends.events) -> parcel => parcel.ok(),
        }?;
        drop(parcel.held);
        self.ends.progress.read_permille.store(parcel.permille, Ordering::Relaxed);
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
                matches!(self.ends.stopped.recv_deadline(due.into_std()), Err(RecvTimeoutError::Timeout))
            }
            _ => true,
        }
    }

    fn offer(&mut self, note: RequestNote, request: Request, due: Option<Instant>) -> bool {
        let id = note.id;
        self.ends.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.ends.progress.in_flight.fetch_add(1, Ordering::Relaxed);
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
    fn hand_on_waiting(&mut self, request: Request) -> Option<Shed> {
        let room = Arc::clone(&self.ends.bytes).acquire_many_owned(permits(&request));
        let Ok(held) = self.ends.runtime.block_on(room) else { return Some(Shed::Stopped) };
        let turn = self.turn(&request);
        let mut job = Job { held: Some(held), turn, request, due: None, wanted: Wanted::HASH };
        // As for the file: to sleep in the queue itself would be to wake for every place.
        while let Err(refused) = self.ends.jobs.try_send(job) {
            let mpsc::error::TrySendError::Full(back) = refused else { return Some(Shed::Stopped) };
            job = back;
            thread::sleep(FULL_PAUSE);
        }
        None
    }

    /// On schedule: never waits. Returns where the request was shed, if it was.
    fn hand_on_now(&mut self, request: Request, due: Option<Instant>) -> Option<Shed> {
        let held = match Arc::clone(&self.ends.bytes).try_acquire_many_owned(permits(&request)) {
            Ok(held) => Some(held),
            Err(TryAcquireError::NoPermits) => return Some(Shed::TargetQueue),
            Err(TryAcquireError::Closed) => return Some(Shed::Stopped),
        };
        let turn = self.turn(&request);
        self.ends.jobs.try_send(Job { held, turn, request, due, wanted: Wanted::HASH }).err().map(|error| match error {
            mpsc::error::TrySendError::Full(_) => Shed::TargetQueue,
            mpsc::error::TrySendError::Closed(_) => Shed::Stopped,
        })
    }

    /// The request's place on its connection, which is opened now where this is its first.
    fn turn(&mut self, request: &Request) -> Turn {
        if self.mirrors
            && let Some(at) = self.opened.remove(&request.id.connection)
        {
            self.ends.client.open(request.id.into(), self.due(at).unwrap_or_else(Instant::now));
        }
        self.ends.client.line_up(request.id.into())
    }

    fn end(&self, note: RequestNote, outcome: Outcome) -> bool {
        self.ends.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.ends.progress.kept_back.fetch_add(1, Ordering::Relaxed);
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
        self.ends.facts.blocking_send(fact).is_ok()
    }
}

fn lane(connection: ConnectionId) -> Lane {
    ExchangeId::new(connection, 1).into()
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
