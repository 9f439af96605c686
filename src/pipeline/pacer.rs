//! The pacing thread's work: each whole request waits until it is due, passes the chain, and is offered to its targets
//! and recorded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::budget::{Budget, Refused, bytes_of_request};
use super::recorder::EventSender;
use super::{Parcel, Progress, note, wall_clock};
use crate::exchange::{Event, ExchangeId, Framing, Outcome, Request, RequestState, Response, Shed, Timestamp};
use crate::middleware::{Chain, Mark};
use crate::replay::{Delivery, Job, Pace, Schedule};
use crate::report::{Fact, Production, RequestNote};

/// When requests are due.
pub(super) enum Timing {
    /// As their capture times and a pace say.
    Paced {
        schedule: Schedule,
        /// When the first request came: due times count from here.
        begun: Option<Instant>,
    },
    /// They were due when their last byte was on the wire.
    Live,
}

impl Timing {
    /// Due times as `pace` has them.
    pub(super) const fn paced(pace: Pace) -> Self {
        Self::Paced { schedule: Schedule::new(pace), begun: None }
    }

    fn due(&mut self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Paced { schedule, begun } => {
                let begun = *begun.get_or_insert_with(Instant::now);
                schedule.due(at).map(|offset| begun + offset)
            }
            Self::Live => {
                let now = Instant::now();
                Some(now.checked_sub(wall_clock().since(at)).unwrap_or(now))
            }
        }
    }
}

/// The way to one target.
pub(super) struct Outlet {
    pub(super) jobs: mpsc::Sender<Job>,
    /// Memory that requests may take there.
    pub(super) bytes: Budget,
}

/// What is done to requests.
pub(super) struct Work {
    pub(super) chain: Chain,
    pub(super) mark: Option<Mark>,
    pub(super) timing: Timing,
    /// How many requests to take before the run ends by itself.
    pub(super) most: Option<u64>,
}

/// What the pacer reads from and writes to.
pub(super) struct Ends {
    pub(super) events: Receiver<Parcel>,
    /// Disconnected when the run is stopped and what was captured is not to be sent any more.
    pub(super) stopped: Receiver<()>,
    /// Ends the run, once enough requests were taken.
    pub(super) enough: Arc<Notify>,
    pub(super) outlets: Vec<Outlet>,
    pub(super) recording: Option<EventSender>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) facts: mpsc::Sender<Fact>,
    pub(super) progress: Arc<Progress>,
}

/// What is remembered of a request until its response comes.
struct Asked {
    /// When its last byte was captured.
    at: Timestamp,
    recorded: bool,
}

/// The pacing thread.
pub(super) struct Pacer {
    work: Work,
    ends: Ends,
    /// Requests whose response is still to come; only those that were offered or kept.
    asked: HashMap<ExchangeId, Asked, foldhash::fast::RandomState>,
    taken: u64,
}

impl Pacer {
    pub(super) fn new(work: Work, ends: Ends) -> Self {
        Self { work, ends, asked: HashMap::default(), taken: 0 }
    }

    /// Works until the events end or the run is stopped; returns the share of sample keys that passed.
    pub(super) fn run(mut self) -> Option<f64> {
        while let Some(event) = self.next() {
            let went_on = match event {
                Event::Request(request) => self.request(request),
                Event::Response { of, response } => self.response(of, response),
                Event::Damaged { of, why } => match self.asked.remove(&of) {
                    Some(asked) => {
                        if asked.recorded {
                            self.record(Event::Damaged { of, why });
                        }
                        self.tell(Fact::Production { of, production: Err(why) })
                    }
                    None => true,
                },
                Event::Orphan { .. } => self.tell(Fact::Orphan),
                Event::Opened { .. } | Event::Closed { .. } => true,
            };
            if !went_on {
                break;
            }
        }
        self.work.chain.key_share()
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
    fn request(&mut self, mut request: Box<Request>) -> bool {
        if self.work.most.is_some_and(|most| self.taken >= most) {
            // What was read ahead of the end is not part of the run.
            return true;
        }
        if let Some(outcome) = unfit(&request, !self.ends.outlets.is_empty()) {
            return self.end(note(&request), outcome);
        }
        let due = self.work.timing.due(request.last_byte);
        if !self.wait_until(due) {
            return false;
        }
        // What the report says of a request is what was captured, not what the chain made of it.
        let note = note(&request);
        let marked = self.work.mark.as_ref().map_or(Ok(()), |mark| mark.check(&request));
        match marked.and_then(|()| self.work.chain.apply(&mut request)) {
            Err(outcome) => self.end(note, outcome),
            Ok(()) => self.take(note, request, due),
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

    /// Records a request that passed, and offers it to the targets.
    fn take(&mut self, note: RequestNote, mut request: Box<Request>, due: Option<Instant>) -> bool {
        let (id, at) = (note.id, request.last_byte);
        self.taken += 1;
        if self.work.most == Some(self.taken) {
            self.ends.enough.notify_one();
        }
        let targets = self.ends.outlets.len();
        let recorded = match &self.ends.recording {
            Some(recording) if targets == 0 => {
                if !recording.send(Event::Request(request)) {
                    return self.end(note, Outcome::Shed(Shed::Recording));
                }
                self.asked.insert(id, Asked { at, recorded: true });
                self.ends.progress.seen.fetch_add(1, Ordering::Relaxed);
                self.ends.progress.kept_back.fetch_add(1, Ordering::Relaxed);
                return self.tell(Fact::Kept { note: Box::new(note) });
            }
            Some(recording) => recording.send(Event::Request(request.clone())),
            None => false,
        };
        self.asked.insert(id, Asked { at, recorded });
        self.ends.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.ends.progress.in_flight.fetch_add(targets as u64, Ordering::Relaxed);
        if !self.tell(Fact::Offered { note: Box::new(note), targets }) {
            return false;
        }
        if let Some(mark) = &self.work.mark {
            mark.put(&mut request);
        }
        self.offer(*request, due)
    }

    fn offer(&self, request: Request, due: Option<Instant>) -> bool {
        let mut request = Some(request);
        for (target, outlet) in self.ends.outlets.iter().enumerate() {
            let last = target + 1 == self.ends.outlets.len();
            let Some(copy) = (if last { request.take() } else { request.clone() }) else { break };
            let id = copy.id;
            let refused = match due {
                Some(due) => hand_on_now(outlet, copy, due),
                None => self.hand_on_waiting(outlet, copy),
            };
            if let Some(place) = refused
                && !self.tell(Fact::Delivered(Box::new(Delivery {
                    id,
                    target,
                    outcome: Outcome::Shed(place),
                    answer: None,
                    service: None,
                    response: None,
                    lag: None,
                })))
            {
                return false;
            }
        }
        true
    }

    /// Without a schedule: waits for room. Returns where the request was shed, if it was.
    fn hand_on_waiting(&self, outlet: &Outlet, request: Request) -> Option<Shed> {
        let Ok(held) = outlet.bytes.hold(bytes_of_request(&request), &self.ends.runtime) else {
            return Some(Shed::Stopped);
        };
        outlet.jobs.blocking_send(Job { held, request, due: None }).err().map(|_| Shed::Stopped)
    }

    fn end(&self, note: RequestNote, outcome: Outcome) -> bool {
        self.ends.progress.seen.fetch_add(1, Ordering::Relaxed);
        self.ends.progress.kept_back.fetch_add(1, Ordering::Relaxed);
        self.tell(Fact::Ended { note: Box::new(note), outcome })
    }

    fn response(&mut self, of: ExchangeId, response: Box<Response>) -> bool {
        let Some(asked) = self.asked.remove(&of) else { return true };
        let production = Production {
            status: response.status,
            body_len: response.body.len,
            body_sha256: response.body.sha256,
            damage: response.damage,
            latency: response.first_byte.since(asked.at),
        };
        if asked.recorded {
            self.record(Event::Response { of, response });
        }
        self.tell(Fact::Production { of, production: Ok(production) })
    }

    /// What finds no room is counted by the sender.
    fn record(&self, event: Event) {
        if let Some(recording) = &self.ends.recording {
            recording.send(event);
        }
    }

    fn tell(&self, fact: Fact) -> bool {
        self.ends.facts.blocking_send(fact).is_ok()
    }
}

/// On schedule: never waits. Returns where the request was shed, if it was.
fn hand_on_now(outlet: &Outlet, request: Request, due: Instant) -> Option<Shed> {
    let held = match outlet.bytes.try_hold(bytes_of_request(&request)) {
        Ok(held) => held,
        Err(Refused::Full) => return Some(Shed::TargetQueue),
        Err(Refused::Closed) => return Some(Shed::Stopped),
    };
    outlet.jobs.try_send(Job { held, request, due: Some(due) }).err().map(|error| match error {
        mpsc::error::TrySendError::Full(_) => Shed::TargetQueue,
        mpsc::error::TrySendError::Closed(_) => Shed::Stopped,
    })
}

/// Why a request must not be sent or recorded at all, whatever the chain says.
fn unfit(request: &Request, sent: bool) -> Option<Outcome> {
    match request.state {
        RequestState::Malformed(why) => Some(Outcome::Malformed(why)),
        RequestState::Incomplete(why) => Some(Outcome::Incomplete(why)),
        RequestState::Whole if request.body.framing != Framing::None && request.body.wire.is_none() => {
            Some(Outcome::Shed(Shed::BodyLimit))
        }
        // `OPTIONS *` (RFC 9112, 3.2.4) is no URL: the client of today cannot say it.
        RequestState::Whole if sent && request.target() == b"*" => Some(Outcome::filtered("asterisk")),
        RequestState::Whole => None,
    }
}
