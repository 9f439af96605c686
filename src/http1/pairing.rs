//! Pairing of responses with their requests.
//!
//! Responses come in the order of their requests (RFC 9112, 9.3.2). That holds until bytes are missing; then two
//! numbers of the wire decide. A client sends its next request having received exactly the response to the one before,
//! and a server responds having received exactly the request. A response is matched to the request for which one of
//! these numbers fits; where none does, nothing is guessed. For pipelined requests the numbers are weaker: where one of
//! them may be among the missing bytes, its neighbors' responses are orphans.
//!
//! All of it is in one file: every rule reads and changes the same queue, and they are only right together.

use std::collections::VecDeque;

use super::head::Method;
use super::stream::MessageStart;
use crate::exchange::{ConnectionId, Damage, Event, ExchangeId, Request, Response, Timestamp};
use crate::flow::{FALSE_STAMP, FIRST_OFFSET, Stretch};

/// Most requests that may await their response on one connection. Past it the oldest is reported to have none.
const MAX_OUTSTANDING: usize = 4096;
/// Most requests that may continue to await theirs where memory is short: the reserved memory of a connection has room
/// for them. Older ones are reported to have none.
const OUTSTANDING_WHEN_SHORT: usize = 4;
/// Length of `HTTP/1.1 204 No Content` and its line ends, in bytes; a 100 without fields is shorter.
const SHORTEST_FINAL_RESPONSE: u64 = 27;

/// A request without its response so far.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and most combinations occur")]
#[derive(Debug)]
struct Outstanding {
    id: ExchangeId,
    method: Method,
    /// Offset of the request in the client's stream.
    begin: u64,
    /// Offset up to which the client had received the server's stream when it began the request.
    received: u64,
    /// Capture time of its last byte so far, with the stretch of the capture's clock.
    asked: (Timestamp, Stretch),
    /// True when the time from there to its response is not known.
    untimed: bool,
    /// Offset of the request's end in the client's stream, once that is known.
    end: Option<u64>,
    /// True when [`Event::Request`] was emitted.
    told: bool,
    /// The response, where it came before the request ended.
    early: Option<Box<Response>>,
    /// True when a response to it has begun.
    begun: bool,
    /// True when requests may be missing just before it.
    after_gap: bool,
    /// True when one of those may have been pipelined with it.
    follows_lost: bool,
    /// True when it may be part of another request's body.
    unproven: bool,
    /// True when it asks for an interim response.
    expects: bool,
}

/// The requests of a connection that await their response.
///
/// Invariant: they are in the order in which they were sent; only the last one may not be emitted yet.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
#[derive(Debug)]
pub(super) struct Pairing {
    connection: ConnectionId,
    outstanding: VecDeque<Outstanding>,
    /// Exchanges so far.
    count: u32,
    /// True when the last one was created before its head was complete, so that its response has a request.
    reserved: bool,
    /// True when requests may be missing after the last one.
    requests_missing: bool,
    /// True when responses may be missing.
    responses_missing: bool,
    /// True when a request may be missing just before the next one.
    request_gap: bool,
    /// True once there was a request that can be no part of another message.
    proven: bool,
    /// True when this client was seen to pipeline requests.
    pipelines: bool,
    /// True when it was seen to ask on while responses to earlier requests were due: what it had received then is not what it
    /// waits for.
    slides: bool,
    /// Offset up to which the client had received the server's stream when it sent the request after a gap; zero, which no
    /// offset is, before any gap.
    suspect_at: u64,
    /// True when a request that was lost in that gap may have been pipelined with it.
    lost_there: bool,
    /// Offset up to which the server had received the client's stream, as far as it is known.
    heard: u64,
    /// End of the server's stream as processed so far; zero, which no offset is, before its first byte.
    told: u64,
    /// Offset up to which the server had received the client's stream at the beginning of its last response; for one to a
    /// request whose end is known, that end.
    answered: u64,
    /// Offset up to which the client had received the server's stream when it sent its last bytes.
    asked: u64,
    /// End of the server's stream as processed when it was last unknown where the next response begins.
    lost_at: u64,
    /// First damage to the stream of responses, if any.
    response_doubt: Option<Damage>,
}

impl Pairing {
    pub(super) const fn new(connection: ConnectionId) -> Self {
        Self {
            connection,
            outstanding: VecDeque::new(),
            count: 0,
            reserved: false,
            requests_missing: false,
            responses_missing: false,
            request_gap: false,
            proven: false,
            pipelines: false,
            slides: false,
            suspect_at: 0,
            lost_there: false,
            heard: 0,
            told: 0,
            answered: 0,
            asked: FIRST_OFFSET,
            lost_at: 0,
            response_doubt: None,
        }
    }

    pub(super) const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Bytes held: what is remembered of requests, and responses that came early.
    pub(super) fn held(&self) -> usize {
        // Only the last request may be answered before it is told.
        let early = self.outstanding.back().and_then(|one| one.early.as_ref());
        let early = early.map_or(0, |response| {
            response.head.as_bytes().len() + response.body.wire.as_ref().map_or(0, bytes::Bytes::len)
        });
        self.outstanding.capacity() * size_of::<Outstanding>() + early
    }

    /// Gives up the oldest requests, and the memory that they take: there is no room for them.
    pub(super) fn evict(&mut self, sink: &mut dyn FnMut(Event)) {
        let Some(oldest) = self.outstanding.len().checked_sub(OUTSTANDING_WHEN_SHORT).filter(|oldest| *oldest > 0)
        else {
            return;
        };
        self.responses_missing = true;
        self.lose(oldest - 1, sink);
        self.outstanding.shrink_to_fit();
    }

    /// Returns whether there was no exchange yet.
    pub(super) const fn is_unused(&self) -> bool {
        self.count == 0
    }

    /// Returns whether there was a request that can be no part of another message.
    pub(super) const fn has_proven(&self) -> bool {
        self.proven
    }

    /// Returns whether a side speaks after the other one has, since its own last bytes; `received` is how much it had received
    /// then.
    pub(super) const fn is_at_turn(&self, is_request: bool, received: u64) -> bool {
        received > if is_request { self.asked } else { self.heard }
    }

    /// The sides are the other way round. What was taken for requests is told to have no response.
    pub(super) fn turn(&mut self, sink: &mut dyn FnMut(Event)) {
        self.close(Damage::PairingLost, sink);
        let anew = Self::new(self.connection);
        *self = Self { count: self.count, requests_missing: true, responses_missing: true, ..anew };
    }

    /// Notes that bytes are missing, or cannot be read, such that whole messages may be missing.
    pub(super) fn mark_uncertain(&mut self, is_request: Option<bool>, why: Damage) {
        self.requests_missing |= is_request != Some(false);
        self.responses_missing |= is_request != Some(true);
        if is_request == Some(false) && self.count > 0 {
            self.response_doubt.get_or_insert(why);
        }
    }

    /// Notes that bytes are missing between requests.
    pub(super) const fn note_request_gap(&mut self) {
        self.request_gap = true;
    }

    /// Returns whether bytes are missing between requests, and none came since.
    pub(super) const fn has_request_gap(&self) -> bool {
        self.request_gap
    }

    /// Notes that from here on it is unknown where the next response begins.
    pub(super) const fn note_lost_response(&mut self) {
        self.lost_at = self.told;
    }

    /// Returns whether a response may begin here, where a piece looks like one after bytes that are missing or unread. Else it is
    /// part of a body whose head is among them.
    ///
    /// A response begins where its client waited for it. Where that is not here, but among what is missing or unread, and the
    /// server has received no more than that request, this is no response, unless an interim one is missing. Where no request
    /// waits, the server has received another one since it last responded.
    pub(super) fn may_respond(&self, offset: u64, received: u64) -> bool {
        let mut waiting = self.outstanding.iter().filter(|one| !one.begun && one.received <= offset).peekable();
        if waiting.peek().is_none() {
            return received > self.answered;
        }
        let began_there =
            |one: &Outstanding| one.received >= self.lost_at && one.received < offset && one.end == Some(received);
        self.requests_missing || waiting.any(|one| !began_there(one) || one.after_gap || one.expects)
    }

    /// Notes that the server's stream was processed up to `end`, and that the server had then received the client's up
    /// to `received`.
    pub(super) fn note_told(&mut self, end: u64, received: u64) {
        self.told = end;
        self.heard = self.heard.max(received);
    }

    /// Notes that the server has sent bytes of unknown meaning, having received the client's stream up to `received`.
    pub(super) fn note_unread_response(&mut self, received: u64) {
        self.answered = self.answered.max(received);
    }

    /// Notes that the client has sent bytes, having received the server's stream up to `received`.
    pub(super) fn note_asked(&mut self, received: u64) {
        self.asked = self.asked.max(received);
    }

    /// Returns whether the bytes before this position, some of which are missing or unread, are a whole request that has
    /// its response: the server responded with knowledge of all of them, and the client has received that.
    pub(super) const fn is_answered(&self, offset: u64, received: u64) -> bool {
        self.answered >= offset && received >= self.told
    }

    /// Returns whether the client has received, since its last bytes that were captured, as much as a final response
    /// takes; an interim one is shorter.
    pub(super) fn has_received_more(&self, received: u64) -> bool {
        received >= self.told.max(self.asked) + SHORTEST_FINAL_RESPONSE
    }

    /// A request has begun: gives it its identity.
    pub(super) fn ask(&mut self, method: Method, start: MessageStart, sink: &mut dyn FnMut(Event)) -> ExchangeId {
        self.proven |= !start.unproven;
        if self.reserved {
            self.reserved = false;
            if let Some(last) = self.outstanding.back_mut() {
                last.method = method;
                return last.id;
            }
        }
        if self.outstanding.len() >= MAX_OUTSTANDING
            && let Some(oldest) = self.outstanding.pop_front()
        {
            self.responses_missing = true;
            sink(Event::Damaged { of: oldest.id, why: Damage::PairingLost });
        }
        let follows_lost = self.follows_lost(start);
        self.slides |= !self.responses_missing && !self.requests_missing && self.is_due_before(start.received);
        self.count += 1;
        let id = ExchangeId::new(self.connection, self.count);
        if self.outstanding.capacity() == 0 {
            // Most clients ask one by one.
            self.outstanding = VecDeque::with_capacity(1);
        }
        self.outstanding.push_back(Outstanding {
            id,
            method,
            begin: start.offset,
            received: start.received,
            asked: (start.at, start.stretch),
            untimed: false,
            end: None,
            told: false,
            early: None,
            begun: false,
            after_gap: std::mem::take(&mut self.requests_missing),
            follows_lost,
            unproven: start.unproven,
            expects: false,
        });
        id
    }

    /// Notes that the last request asks for an interim response.
    pub(super) fn note_expecting(&mut self) {
        self.outstanding.iter_mut().next_back().into_iter().for_each(|one| one.expects = true);
    }

    /// Returns whether a lost request may have been pipelined with the one that begins here. It is not, if the server
    /// has sent something with knowledge of all lost bytes; nor, with a client that does not pipeline, if the client
    /// had received more than was captured since.
    fn follows_lost(&mut self, start: MessageStart) -> bool {
        let in_one_go = self.outstanding.back().is_some_and(|last| last.received == start.received);
        self.pipelines |= in_one_go;
        let received_more = if self.told == 0 { self.responses_missing } else { start.received > self.told };
        if std::mem::take(&mut self.request_gap) && self.heard < start.offset {
            self.suspect_at = start.received;
            self.lost_there = self.pipelines || !received_more;
        }
        if in_one_go && self.suspect_at == start.received {
            // It does not ask one by one after all.
            self.lost_there = true;
            // Back to one that is marked: those before it were marked with it.
            let unmarked = self.outstanding.iter_mut().rev().take_while(|one| !one.follows_lost);
            unmarked.filter(|one| one.received == start.received).for_each(|one| one.follows_lost = true);
        }
        self.lost_there && self.suspect_at == start.received
    }

    /// Returns whether a response is due to a request before which the client had received less.
    fn is_due_before(&self, received: u64) -> bool {
        self.outstanding.front().is_some_and(|one| !one.begun && one.told && one.received < received && !one.after_gap)
    }

    /// Like [`Pairing::ask`], for a request whose head is incomplete while its response has begun.
    pub(super) fn reserve(&mut self, method: Method, start: MessageStart, sink: &mut dyn FnMut(Event)) {
        if !self.reserved && self.outstanding.is_empty() {
            self.ask(method, start, sink);
            self.reserved = true;
        }
    }

    /// A request has ended, at offset `end` where that is known.
    pub(super) fn asked(
        &mut self,
        request: Box<Request>,
        end: Option<u64>,
        stretch: Stretch,
        sink: &mut dyn FnMut(Event),
    ) {
        let (id, last_byte) = (request.id, request.last_byte);
        sink(Event::Request(request));
        let Some(index) = self.outstanding.iter().rposition(|one| one.id == id) else {
            // Given up while it was still being asked: this is its last word.
            sink(Event::Damaged { of: id, why: Damage::PairingLost });
            return;
        };
        if let Some(one) = self.outstanding.get_mut(index) {
            one.told = true;
            one.end = end;
            one.asked = (last_byte, stretch);
            if let Some(response) = one.early.take() {
                self.outstanding.remove(index);
                sink(Event::Response { of: id, response });
            }
        }
    }

    /// Returns whether the final response to `id` came before the request ended.
    pub(super) fn was_answered_early(&self, id: ExchangeId) -> bool {
        self.outstanding.iter().any(|one| one.id == id && one.early.is_some())
    }

    /// Returns the request of the response that begins there in the server's stream. Requests before that one are
    /// reported to have lost theirs.
    pub(super) fn answer(&mut self, begin: MessageStart, sink: &mut dyn FnMut(Event)) -> Option<(ExchangeId, Method)> {
        let of = self.identify(begin, sink);
        let end = of.and_then(|_| self.outstanding.front().filter(|one| !one.unproven)?.end);
        self.answered = self.answered.max(end.unwrap_or(begin.received));
        of
    }

    fn identify(&mut self, begin: MessageStart, sink: &mut dyn FnMut(Event)) -> Option<(ExchangeId, Method)> {
        let MessageStart { offset, received, .. } = begin;
        let Some(next) = self.outstanding.iter().find(|one| !one.begun) else {
            // It answers what was not captured, or not yet: from here on only numbers tell.
            self.mark_uncertain(None, Damage::Gap);
            return None;
        };
        // No response stands before the place where its client began to wait for it, and none was sent by a server that
        // had received nothing of its request.
        let is_its = next.received <= offset && (received == 0 || received > next.begin);
        let doubtful = self.responses_missing || next.after_gap || !is_its;
        let index = if doubtful { self.fitting(offset, received, sink)? } else { 0 };
        if self.outstanding.get(index).is_some_and(|one| one.follows_lost && !one.begun && one.received <= offset) {
            // It answers this one, or the one that was lost before it.
            let last = self.outstanding.iter().rposition(|one| one.follows_lost).unwrap_or(index);
            self.lose(last, sink);
            return None;
        }
        for _ in 0..index {
            if let Some(passed) = self.outstanding.pop_front() {
                sink(Event::Damaged { of: passed.id, why: self.response_doubt.unwrap_or(Damage::Gap) });
            }
        }
        let front = self.outstanding.front_mut().filter(|one| !one.begun)?;
        front.begun = true;
        let (last_byte, stretch) = front.asked;
        let unlike = stretch != begin.stretch || stretch == FALSE_STAMP;
        // A server that had received all of it did not answer before.
        let before = front.end.is_some_and(|end| end <= received) && begin.at < last_byte;
        front.untimed = front.told && (unlike || before);
        Some((front.id, front.method))
    }

    /// Returns the request whose end is exactly what the server had received, unless it was pipelined with others: of
    /// those the server may have received more than the request of this response. What stands before the place where the
    /// client began to wait is a response to another one, sent again.
    fn received_alone(&self, offset: u64, received: u64) -> Option<usize> {
        let index = self.outstanding.iter().position(|one| !one.begun && one.end == Some(received))?;
        let Outstanding { received: asked, unproven, .. } = *self.outstanding.get(index)?;
        let others = self.outstanding.iter().filter(|one| !one.begun && one.received == asked);
        if asked > offset && !unproven {
            return None;
        }
        (others.count() == 1).then_some(index)
    }

    /// Returns whether a request waits that was sent when the client had received the server's stream up to `offset`.
    pub(super) fn was_asked_at(&self, offset: u64) -> bool {
        self.outstanding.iter().any(|one| !one.begun && one.received == offset)
    }

    /// The request that fits by the numbers of the wire.
    fn fitting(&mut self, offset: u64, received: u64, sink: &mut dyn FnMut(Event)) -> Option<usize> {
        let asked_here = self.outstanding.iter().position(|one| !one.begun && one.received == offset);
        let is_unheard = |one: &Outstanding| received > FIRST_OFFSET && received <= one.begin;
        let unheard = |index: usize| self.outstanding.get(index).is_some_and(is_unheard);
        // The server had earlier requests and nothing yet of what was asked here: it answers one of those.
        self.slides |= asked_here.is_some_and(unheard);
        if self.slides {
            self.lose_asked_before(offset, sink);
            return None;
        }
        let exact = asked_here.or_else(|| self.received_alone(offset, received));
        if let Some(index) = exact {
            self.responses_missing = false;
            self.outstanding.iter_mut().take(index + 1).for_each(|one| one.after_gap = false);
            return exact;
        }
        let requests_missing = self.requests_missing || self.outstanding.iter().any(|one| one.after_gap);
        let asked_before = self.outstanding.iter().take_while(|one| one.received <= offset).count();
        let open: Vec<usize> =
            (0..asked_before).filter(|index| self.outstanding.get(*index).is_some_and(|one| !one.begun)).collect();
        let asked_whole =
            |index: usize| self.outstanding.get(index).is_some_and(|one| one.end.is_none_or(|end| end <= received));
        match open.as_slice() {
            // Only one can be meant, unless requests are missing on both sides of it.
            [only] if !(requests_missing && self.responses_missing) && asked_whole(*only) => Some(*only),
            [] => None,
            several => {
                // It answers one of these, or a request that is missing: not to be told any more.
                let last = several.last().copied().unwrap_or_default();
                self.lose(last, sink);
                None
            }
        }
    }

    /// Gives up the requests that the response at `offset` may answer. Those that follow are no better known: how many responses
    /// are due of those that were given up is not.
    fn lose_asked_before(&mut self, offset: u64, sink: &mut dyn FnMut(Event)) {
        self.responses_missing = true;
        let asked_before = self.outstanding.iter().take_while(|one| one.received <= offset).count();
        if let Some(last) = asked_before.checked_sub(1) {
            self.lose(last, sink);
        }
    }

    /// Gives up the pairing of the requests up to this one: their responses can no longer be identified.
    fn lose(&mut self, last: usize, sink: &mut dyn FnMut(Event)) {
        for one in self.outstanding.drain(..=last).filter(|one| one.told) {
            sink(Event::Damaged { of: one.id, why: Damage::PairingLost });
        }
    }

    /// A response has ended.
    pub(super) fn answered(
        &mut self,
        of: Option<ExchangeId>,
        mut response: Box<Response>,
        sink: &mut dyn FnMut(Event),
    ) {
        let index = of.and_then(|of| self.outstanding.iter().position(|one| one.id == of));
        match index.and_then(|index| Some((index, self.outstanding.get_mut(index)?))) {
            Some((_, one)) if !one.told => one.early = Some(response),
            Some((index, one)) => {
                let of = one.id;
                response.untimed = one.untimed;
                self.outstanding.remove(index);
                if self.outstanding.is_empty() {
                    // The next request gets memory that was used just now, on whatever connection: it is near.
                    self.outstanding = VecDeque::new();
                }
                sink(Event::Response { of, response });
            }
            None => sink(Event::Orphan { connection: self.connection, response }),
        }
    }

    /// Ends the connection: outstanding requests will get no response, for this reason where none is known already.
    pub(super) fn close(&mut self, why: Damage, sink: &mut dyn FnMut(Event)) {
        let why = self.response_doubt.unwrap_or(why);
        for one in self.outstanding.drain(..).filter(|one| one.told) {
            sink(Event::Damaged { of: one.id, why });
        }
    }
}
