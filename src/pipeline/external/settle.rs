//! Resolution of messages from a process, and of echoes that never came.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::queue::pop_if;
use super::{Deadline, ExternalStage, PendingEcho, PendingResponse, Resolution, WorkerMessage};
use crate::exchange::{ConnectionId, ExchangeId, Outcome, Request, RequestState, Shed};
use crate::middleware::external::{IncomingMessage, MIDDLEWARE, MessageType};
use crate::report::RequestRecord;

impl ExternalStage {
    /// Resolves a message that came back.
    pub(in crate::pipeline) fn settle(&mut self, back: WorkerMessage) -> Resolution {
        match back {
            WorkerMessage::Gone => {
                self.alive = self.alive.saturating_sub(1);
                Resolution::Nothing
            }
            WorkerMessage::Said(said) => match said.kind {
                MessageType::Request => self.said_request(&said),
                MessageType::Response => self.said_response(&said),
                // Nothing is done with what targets answered after this.
                MessageType::Replayed => Resolution::Nothing,
            },
        }
    }

    fn said_request(&mut self, said: &IncomingMessage) -> Resolution {
        let id = said.id.exchange();
        let Some(PendingEcho { mut passed, answered, .. }) = id.and_then(|id| self.no_longer_waits(id)) else {
            return if id.is_some_and(|id| self.late.get(id).is_some()) {
                self.responses.counts.late.fetch_add(1, Ordering::Relaxed);
                Resolution::Nothing
            } else {
                self.made_up(said)
            };
        };
        if said.is(&passed.request) {
            return Resolution::Passed { passed, answered, changed: false };
        }
        match said.request() {
            Ok((head, body)) => {
                (passed.request.head, passed.request.body) = (head, body);
                Resolution::Passed { passed, answered, changed: true }
            }
            Err(why) => {
                self.responses.counts.malformed(&said.id, why);
                Resolution::Ended { note: passed.note, outcome: Outcome::filtered(MIDDLEWARE) }
            }
        }
    }

    fn said_response(&mut self, said: &IncomingMessage) -> Resolution {
        let answer = said.id.exchange().and_then(|of| Some((of, self.answers.remove(&of)?)));
        let Some((of, PendingResponse { mut response, is_head, .. })) = answer else { return Resolution::Nothing };
        self.forget_settled();
        let response = match said.response(is_head) {
            Ok((status, head, body)) => {
                (response.status, response.head, response.body) = (status, head, body);
                Some(response)
            }
            Err(why) => {
                self.responses.counts.malformed(&said.id, why);
                None
            }
        };
        Resolution::Response { of, response }
    }

    /// A request that came from nowhere: it has a connection of its own, and a number that no capture has.
    fn made_up(&mut self, said: &IncomingMessage) -> Resolution {
        let (head, body) = match said.request() {
            Ok(request) => request,
            Err(why) => {
                self.responses.counts.malformed(&said.id, why);
                return Resolution::Nothing;
            }
        };
        let id = ExchangeId::new(ConnectionId(ExchangeId::FIRST_MADE_UP.0 + self.made_up), 1);
        self.made_up += 1;
        self.responses.counts.made_up.fetch_add(1, Ordering::Relaxed);
        self.responses.names.lock().unwrap_or_else(PoisonError::into_inner).insert(id, said.id.clone());
        let nobody = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        let (first_byte, last_byte) = (self.latest, self.latest);
        let (client, server, state) = (nobody, nobody, RequestState::Whole);
        Resolution::MadeUp(Box::new(Request { id, client, server, head, body, first_byte, last_byte, state }))
    }

    /// The next of what did not come back in time; nothing where the time of the rest is not up.
    pub(in crate::pipeline) fn expire(&mut self, now: Instant) -> Option<Resolution> {
        let (_, owed) = pop_if(&mut self.deadlines, |(deadline, _)| *deadline <= now)?;
        Some(match owed {
            Deadline::Echo(id) => match self.no_longer_waits(id) {
                Some(waiting) => self.not_echoed(waiting),
                None => Resolution::Nothing,
            },
            Deadline::Answer(of) => match self.answers.remove(&of) {
                Some(_) => Resolution::Response { of, response: None },
                None => Resolution::Nothing,
            },
        })
    }

    /// Resolves a request without an echo: filtered where the process had taken it, shed where it never did.
    fn not_echoed(&mut self, PendingEcho { passed, taken, .. }: PendingEcho) -> Resolution {
        self.late.insert(passed.note.id, ());
        let taken = taken.load(Ordering::Relaxed);
        let outcome = if taken { Outcome::filtered(MIDDLEWARE) } else { Outcome::Shed(Shed::Middleware) };
        Resolution::Ended { note: passed.note, outcome }
    }

    /// All that still waits, when the run is stopped.
    pub(in crate::pipeline) fn stopped(&mut self) -> Vec<RequestRecord> {
        self.deadlines.clear();
        self.waiting.drain().map(|(_, waiting)| waiting.passed.note).collect()
    }
}
