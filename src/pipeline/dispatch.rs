//! The way to one target: its queue, the room in it, and the captured connections that it may have to mirror.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Receiver;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::budget::{Budget, BudgetRefused, BudgetShare, bytes_of_request};
use super::early::EarlySender;
use super::queues::FULL_PAUSE;
use crate::exchange::{HeldBy, Outcome, Request, Shed};
use crate::middleware::Share;
use crate::replay::guard::AdmissionControl;
use crate::replay::wire::spin_until;
use crate::replay::{AnyClient, Client as _, ConnKey, Job, ResponseOptions, Ticket};

/// Requests that wait for a target where there is no schedule, and so no burst that needs more room: it is as many as are
/// sent while whoever brings them naps, and no more than fit the caches of the processors. Past it that one waits.
const UNSCHEDULED: usize = 256;

/// Bytes of a request that is made when it can be sent, up to which it has no share of the memory: few wait at once.
const UNWEIGHED: usize = 4 << 10;

/// The way to one target.
pub(super) struct TargetDispatcher {
    jobs: mpsc::Sender<Job>,
    /// Memory that requests may take there.
    bytes: Budget,
    /// Client of the target. It is notified of the connections that it may have to mirror.
    client: Arc<AnyClient>,
    /// Opening times of connections without a request to send so far. At most as many as the flow table tracks, plus
    /// those with events in the queues.
    opened: HashMap<ConnKey, Instant, foldhash::fast::RandomState>,
    /// Admission control of its guard.
    gate: Option<AdmissionControl>,
    /// Writes requests at once, where whoever offers them has the time.
    early: Option<EarlySender>,
}

impl TargetDispatcher {
    pub(super) fn new(
        jobs: mpsc::Sender<Job>,
        bytes: Budget,
        client: Arc<AnyClient>,
        gate: Option<AdmissionControl>,
    ) -> Self {
        Self { jobs, bytes, client, opened: HashMap::default(), gate, early: None }
    }

    /// Returns whether requests are written as soon as they are offered, where that can be.
    pub(super) const fn writes_early(&self) -> bool {
        self.early.is_some()
    }

    /// Opens so many connections, as far as that can be done until then; what is returned is disconnected once it is. `None`
    /// where the target's connections do not wait for requests.
    pub(super) fn open_idle(&self, count: usize, until: Instant, runtime: &Handle) -> Option<Receiver<()>> {
        self.early.as_ref().map(|early| early.open_idle(&self.client, count, until, runtime))
    }

    /// Has requests written as soon as they are offered, where that can be.
    pub(super) fn sending_early(self, early: Option<EarlySender>) -> Self {
        Self { early, ..self }
    }

    /// Checks whether the target's guard admits a request of this rank in a sample of this share.
    pub(super) fn lets_in(&mut self, place: u64, sample: Share) -> Result<(), Outcome> {
        let goes_on = self.gate.as_mut().is_none_or(|gate| gate.lets_in(place, sample, Instant::now()));
        if goes_on { Ok(()) } else { Err(Outcome::GuardHeld(HeldBy::Guard)) }
    }

    /// Returns whether the target mirrors connections.
    pub(super) fn mirrors(&self) -> bool {
        self.client.mirrors()
    }

    /// Returns the memory budget of its requests.
    pub(super) fn budget(&self) -> Budget {
        self.bytes.clone()
    }

    /// Records the opening of a connection. The client is notified only once a request to send over it is known: most
    /// connections never have one.
    pub(super) fn opened(&mut self, conn: ConnKey, due: Instant) {
        if self.mirrors() {
            self.opened.insert(conn, due);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnKey, due: Instant) {
        if self.mirrors() && self.opened.remove(&conn).is_none() {
            self.client.close(conn, due);
        }
    }

    /// On schedule: never waits. Returns where the request was shed, if it was.
    pub(super) fn offer(&mut self, request: Box<Request>, due: Instant, wanted: ResponseOptions) -> Option<Shed> {
        let held = match self.bytes.try_hold(bytes_of_request(&request)) {
            Ok(held) => held,
            Err(BudgetRefused::Full) => return Some(Shed::TargetQueue),
            Err(BudgetRefused::Closed) => return Some(Shed::Stopped),
        };
        let mut ticket = self.ticket(&request);
        // The room first: what was written is not to be shed.
        match self.jobs.try_reserve() {
            Ok(room) => {
                if let Some(early) =
                    self.early.as_ref().and_then(|early| early.send(&self.client, &request, due, wanted))
                {
                    ticket = early;
                } else {
                    // It may have been taken up a moment before.
                    spin_until(due);
                }
                room.send(Job { held, turn: ticket, request, due: Some(due), wanted });
                None
            }
            Err(error) => Some(shed(&error)),
        }
    }

    /// Returns whether a request of `bytes` bytes has room without a schedule.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.has_place() && (bytes <= UNWEIGHED || self.bytes.has_room(bytes))
    }

    fn has_place(&self) -> bool {
        self.jobs.max_capacity() - self.jobs.capacity() < UNSCHEDULED || self.jobs.is_closed()
    }

    /// Without a schedule: waits for room, on a thread that is not of `runtime`. Returns where the request was shed, if it
    /// was.
    pub(super) fn wait(&mut self, request: Box<Request>, wanted: ResponseOptions, runtime: &Handle) -> Option<Shed> {
        let Ok(held) = self.bytes.hold(bytes_of_request(&request), runtime) else { return Some(Shed::Stopped) };
        // As for the file: to sleep in the queue itself would be to wake for every place.
        while !self.has_place() {
            thread::sleep(FULL_PAUSE);
        }
        self.queue(request, wanted, held)
    }

    /// Without a schedule, where there is room; what a chain added to a request needs none of its own. Returns where the
    /// request was shed, if it was.
    pub(super) fn put(&mut self, request: Box<Request>, wanted: ResponseOptions) -> Option<Shed> {
        let bytes = bytes_of_request(&request);
        match self.bytes.try_hold(if bytes <= UNWEIGHED { 0 } else { bytes }) {
            Ok(held) => self.queue(request, wanted, held),
            Err(BudgetRefused::Full) => self.queue(request, wanted, None),
            Err(BudgetRefused::Closed) => Some(Shed::Stopped),
        }
    }

    fn queue(&mut self, request: Box<Request>, wanted: ResponseOptions, held: BudgetShare) -> Option<Shed> {
        let turn = self.ticket(&request);
        let queued = self.jobs.try_send(Job { held, turn, request, due: None, wanted });
        queued.err().map(|error| shed(&error))
    }

    /// The request's place on its connection, which is opened now where nobody did before.
    fn ticket(&mut self, request: &Request) -> Ticket {
        let conn = ConnKey::from(request.id);
        self.open(conn);
        self.client.enqueue(conn)
    }

    /// Returns whether a connection may still have to be opened.
    pub(super) fn may_open(&self, conn: ConnKey) -> bool {
        self.opened.contains_key(&conn)
    }

    /// A request will be sent, unless the client must not: then its connection has to be open when it is due to open.
    pub(super) fn open_for(&mut self, request: &Request) {
        if self.client.refuses(request).is_none() {
            self.open(request.id.into());
        }
    }

    /// Has a connection opened when that is due, or at once where it was.
    fn open(&mut self, conn: ConnKey) {
        if let Some(due) = self.opened.remove(&conn) {
            self.client.open(conn, due);
        }
    }
}

/// Returns where a job was shed that its queue did not take.
const fn shed<T>(error: &mpsc::error::TrySendError<T>) -> Shed {
    match error {
        mpsc::error::TrySendError::Full(_) => Shed::TargetQueue,
        mpsc::error::TrySendError::Closed(_) => Shed::Stopped,
    }
}
