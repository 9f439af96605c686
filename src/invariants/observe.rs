//! Observers that follow a stage, record its output, and panic where that output is not allowed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::exchange::{Body, ConnectionId, Event, ExchangeId, Framing, Request, RequestState, Response, digest};
use crate::flow::{Chunk, GapReason, Side, Slot};

/// Allowed output of a [`FlowTable`](crate::flow::FlowTable), and its order.
///
/// A slot is opened before any other event of it, and none follows its close. The bytes and gaps of one side follow
/// each other without overlap or hole, up to its end. Connections are numbered as they open.
#[derive(Debug, Default)]
pub struct ChunkInvariants {
    open: HashMap<Slot, [ObservedStream; 2]>,
    opened: u64,
}

#[derive(Debug, Default)]
struct ObservedStream {
    /// Offset of what has to come next; `None` before the first byte.
    next: Option<u64>,
    ended: bool,
}

impl ChunkInvariants {
    /// Checks the next chunk.
    ///
    /// # Panics
    ///
    /// Where it is not allowed now.
    pub fn see(&mut self, chunk: &Chunk<'_>) {
        match *chunk {
            Chunk::Opened { slot, connection, .. } => {
                self.opened += 1;
                assert_eq!(connection.0, self.opened, "the number of a connection");
                assert!(self.open.insert(slot, Default::default()).is_none(), "a slot in use is opened");
            }
            Chunk::Data { slot, side, offset, bytes, .. } => {
                let stream = self.stream(slot, side);
                assert!(!bytes.is_empty(), "no bytes are told");
                assert_eq!(stream.next.unwrap_or(offset), offset, "bytes out of order");
                stream.next = Some(offset + bytes.len() as u64);
            }
            Chunk::Gap { slot, side, len, why } => {
                let stream = self.stream(slot, side);
                let joined = why == GapReason::Joined;
                assert_eq!(len == 0, joined, "only what came before the capture has no length");
                assert!(!joined || stream.next.is_none(), "a stream is joined in its middle");
                stream.next = stream.next.map(|next| next + len);
            }
            Chunk::End { slot, side, .. } => self.stream(slot, side).ended = true,
            Chunk::Closed { slot, .. } => {
                assert!(self.open.remove(&slot).is_some(), "a slot is closed that is not open");
            }
        }
    }

    /// Takes note of the end of the capture.
    ///
    /// # Panics
    ///
    /// Where a connection is still open.
    pub fn finish(&self) {
        assert!(self.open.is_empty(), "connections were not closed: {:?}", self.open);
    }

    fn stream(&mut self, slot: Slot, side: Side) -> &mut ObservedStream {
        let stream = side.of_mut(self.open.get_mut(&slot).expect("nothing is told of a slot that is not open"));
        assert!(!stream.ended, "a stream goes on after its end");
        stream
    }
}

/// Allowed events of the engine about connections and exchanges, and their order.
///
/// Of each exchange the request comes first, then exactly one response or report of damage, before its connection is
/// closed. Ids grow along a connection, and none comes twice. A message that is reported as whole has the length that
/// its framing declares, and the kept part of its body has that length and hash.
#[derive(Debug, Default)]
pub struct EventInvariants {
    open: HashMap<ConnectionId, u32>,
    unanswered: HashSet<ExchangeId>,
    seen: ObservedCounts,
}

/// Counts of the observed events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservedCounts {
    /// Connections.
    pub connections: u64,
    /// Requests, whole or not.
    pub requests: u64,
    /// Requests that may be replayed.
    pub whole_requests: u64,
    /// Responses with a request.
    pub responses: u64,
    /// Requests without a usable response.
    pub damaged: u64,
    /// Responses without a request.
    pub orphans: u64,
}

impl EventInvariants {
    /// Checks the next event.
    ///
    /// # Panics
    ///
    /// Where it is not allowed now, or contradicts itself.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Opened { connection, .. } => {
                self.seen.connections += 1;
                assert!(self.open.insert(*connection, 0).is_none(), "connection {connection} is opened twice");
            }
            Event::Request(request) => self.see_request(request),
            Event::Response { of, response } => {
                self.seen.responses += 1;
                assert!(self.unanswered.remove(of), "{of} is answered without a question");
                see_response(response);
            }
            Event::Damaged { of, .. } => {
                self.seen.damaged += 1;
                assert!(self.unanswered.remove(of), "{of} is damaged without a question");
            }
            Event::Orphan { connection, response } => {
                self.seen.orphans += 1;
                assert!(self.open.contains_key(connection), "an orphan on {connection}, which is not open");
                // Without a body it may answer HEAD, whatever length it names.
                if response.body.len > 0 {
                    see_response(response);
                }
            }
            Event::Closed { connection, .. } => {
                assert!(self.open.remove(connection).is_some(), "connection {connection} is closed twice");
                let left = self.unanswered.iter().find(|id| id.connection == *connection);
                assert!(left.is_none(), "{left:?} never had its last word");
            }
        }
    }

    /// Takes note of the end of the capture.
    ///
    /// # Panics
    ///
    /// Where a connection or an exchange has not ended.
    pub fn finish(&self) {
        assert!(self.open.is_empty(), "connections were not closed: {:?}", self.open);
        assert!(self.unanswered.is_empty(), "exchanges never ended: {:?}", self.unanswered);
    }

    /// Returns the counts so far.
    #[must_use]
    pub const fn seen(&self) -> ObservedCounts {
        self.seen
    }

    fn see_request(&mut self, request: &Request) {
        let id = request.id;
        self.seen.requests += 1;
        let last = self.open.get_mut(&id.connection).expect("a request belongs to an open connection");
        assert!(id.index > *last, "{id} comes after {last}");
        *last = id.index;
        self.unanswered.insert(id);
        if request.state == RequestState::Whole {
            self.seen.whole_requests += 1;
            assert!(!request.method().is_empty() && !request.target().is_empty(), "{id} is whole and asks nothing");
            see_whole(&request.body);
        }
    }
}

fn see_response(response: &Response) {
    assert!(response.status == 101 || response.status >= 200 || response.status < 100, "an interim response is told");
    if response.damage.is_none() {
        see_whole(&response.body);
    }
}

/// A whole body is as long as its framing says, and as what was kept of it. Returns that.
pub(super) fn has_its_length(body: &Body) -> Option<Cow<'_, [u8]>> {
    match body.framing {
        Framing::None => assert_eq!(body.len, 0),
        Framing::Length(length) => assert_eq!(body.len, length, "a whole body is as long as its head says"),
        Framing::Chunked | Framing::UntilClose => {}
    }
    let content = body.content();
    if let Some(content) = &content {
        assert_eq!(content.len() as u64, body.len, "the content that was kept is not what was counted");
    }
    content
}

fn see_whole(body: &Body) {
    if let Some(content) = has_its_length(body) {
        assert_eq!(body.sha256, digest(&content), "the hash is not that of the content");
    }
}
