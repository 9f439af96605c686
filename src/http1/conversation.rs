//! A connection's two streams as one conversation: bytes in, requests and their responses out.

use super::body::{BodyProgress, BodyReader, GapEffect};
use super::head::{self, HeadFacts, Method, RequestFacts, ResponseFacts};
use super::pairing::Pairing;
use super::stream::{
    Boundary, MessageInBody, MessageKind, MessageStart, PartialHead, Position, Preface, StreamPiece, StreamState, find,
};
use super::{BodyPolicies, ConnectionStart, MAX_HEAD_BYTES, Protocol};
use crate::decode::Endpoint;
use crate::exchange::{
    Body, Close, ConnectionId, Damage, Event, Framing, Head, Incomplete, Malformed, Request, RequestState, Response,
    Timestamp,
};
use crate::flow::{GapReason, Side, Stretch};
use crate::head::HeadContents;

/// A connection. Three cache lines: with many connections open none of them is near.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The addresses of both ends, [`Side::Low`] first, by halves; and their ports. As endpoints they would take more room.
    addresses: [[u64; 2]; 2],
    ports: [u16; 2],
    /// Side of the server; the flag is true when that is certain.
    server: Option<(Side, bool)>,
    interests: BodyPolicies,
    speaks: Protocol,
    streams: [StreamState; 2],
    pairing: Pairing,
    /// Prefaces that may still come before the client's first request: this many PROXY protocol headers, or another
    /// protocol.
    prefaces: u8,
    /// Start of an interim response whose final one is yet to come.
    interim: Option<Box<MessageStart>>,
}

const _: () = assert!(size_of::<Conversation>() <= 3 * 64);

/// PROXY protocol headers that may stand before the first request: each proxy in a row may add one.
const MAX_PREFACES: u8 = 8;

type Sink<'a> = &'a mut dyn FnMut(Event);

/// A head that is whole, and where it stood.
struct HeadSeen {
    raw: Vec<u8>,
    start: MessageStart,
    /// Capture time of its last byte.
    at: Timestamp,
    stretch: Stretch,
    /// Offset of the byte after it.
    end: u64,
}

/// None: its connection has the number that none has.
impl Default for Conversation {
    fn default() -> Self {
        let ends = [Endpoint::new(0, 0); 2];
        Self::new(ConnectionStart { connection: ConnectionId(0), ends, server: None }, BodyPolicies::default())
    }
}

impl Conversation {
    pub(super) fn new(opening: ConnectionStart, interests: BodyPolicies) -> Self {
        Self {
            addresses: opening.ends.map(Endpoint::halves),
            ports: opening.ends.map(|end| end.port),
            server: opening.server,
            interests,
            speaks: Protocol::Nothing,
            streams: Default::default(),
            pairing: Pairing::new(opening.connection),
            prefaces: MAX_PREFACES,
            interim: None,
        }
    }

    /// Returns whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        self.connection() != ConnectionId(0)
    }

    pub(super) const fn connection(&self) -> ConnectionId {
        self.pairing.connection()
    }

    pub(super) const fn speaks(&self) -> Protocol {
        self.speaks
    }

    /// Takes bytes in the middle of a body that is not kept: most bytes are such, and nothing else changes with them. False,
    /// and nothing was done, where they are others: those are for [`Conversation::data`], which would do the same with these.
    #[inline]
    pub(super) fn inside_body(&mut self, side: Side, piece: &StreamPiece<'_>) -> bool {
        let StreamState::Body(message) = side.of_mut(&mut self.streams) else { return false };
        // Both may end before their body does.
        let unsure = matches!(message.about, MessageKind::Response { of: None, .. }) || message.about.is_unproven();
        if unsure || !message.body.feed_inside(piece.bytes) {
            return false;
        }
        (message.last_byte, message.last_stretch) = (piece.at, piece.stretch);
        if matches!(message.about, MessageKind::Response { .. }) {
            self.pairing.note_told(piece.offset + piece.bytes.len() as u64, piece.received);
        } else {
            self.pairing.note_asked(piece.received);
        }
        true
    }

    /// Takes the next bytes of one side.
    pub(super) fn data(&mut self, side: Side, mut piece: StreamPiece<'_>, sink: Sink<'_>) {
        if self.speaks == Protocol::Nothing {
            self.speaks = Protocol::Unknown;
        }
        let Some(is_request) = self.role(side, piece.bytes) else {
            if matches!(side.of(&self.streams), StreamState::Joined) {
                *side.of_mut(&mut self.streams) = StreamState::Resync;
            }
            return;
        };
        while !piece.bytes.is_empty() {
            let state = std::mem::take(side.of_mut(&mut self.streams));
            let next = match state {
                StreamState::Opaque => StreamState::Opaque,
                StreamState::Idle => self.begin(is_request, Position::Boundary, &mut piece, sink),
                StreamState::Joined => self.begin(is_request, Position::Joined, &mut piece, sink),
                StreamState::Resync => self.begin(is_request, Position::Guessed, &mut piece, sink),
                StreamState::Head(partial) if is_request && self.prefaces > 0 => {
                    // The beginning of a preface goes on: look at all of it anew.
                    let PartialHead { start, mut raw, .. } = *partial;
                    raw.extend_from_slice(piece.bytes);
                    if start.unproven {
                        *side.of_mut(&mut self.streams) = StreamState::Resync;
                    }
                    self.data(side, StreamPiece { offset: start.offset, bytes: &raw, ..piece }, sink);
                    return;
                }
                StreamState::Head(partial) => self.head_goes_on(is_request, partial, &mut piece, sink),
                StreamState::Body(message) => self.body_goes_on(message, &mut piece, sink),
            };
            if matches!(next, StreamState::Opaque) || matches!(self.speaks, Protocol::Upgraded) {
                // A request that was still being asked is told as far as it came: nobody knows where it ends.
                let client = if is_request { side } else { side.other() };
                self.cut_off(client, piece.at, Incomplete::Gap, Damage::Gap, false, sink);
                self.streams = [StreamState::Opaque, StreamState::Opaque];
                return;
            }
            *side.of_mut(&mut self.streams) = next;
        }
        if is_request {
            self.pairing.note_asked(piece.received);
            return;
        }
        self.pairing.note_told(piece.offset, piece.received);
        if matches!(side.of(&self.streams), StreamState::Resync) {
            self.pairing.note_unread_response(piece.received);
        }
    }

    /// How many of the next bytes of a side are only counted.
    pub(super) fn passes_over(&self, side: Side) -> u64 {
        side.of(&self.streams).passes_over()
    }

    /// Bytes held of messages that are not whole yet.
    pub(super) fn held(&self) -> usize {
        self.streams.iter().map(StreamState::held).sum::<usize>() + self.pairing.held()
    }

    /// Gives up what is held of one side, and most of what is remembered of requests: there is no room for it.
    pub(super) fn evict(&mut self, side: Side, at: Timestamp, sink: Sink<'_>) {
        self.pairing.evict(sink);
        let is_request = self.server.is_some_and(|(server, _)| server != side);
        match std::mem::take(side.of_mut(&mut self.streams)) {
            StreamState::Head(partial) if is_request => {
                self.broken_request(&partial, RequestState::Malformed(Malformed::HeadTooLarge), at, sink);
                *side.of_mut(&mut self.streams) = self.lost(Some(true), Damage::Malformed);
            }
            StreamState::Head(partial) => {
                self.broken_response(&partial, Damage::Malformed, at, sink);
                *side.of_mut(&mut self.streams) = self.lost(Some(false), Damage::Malformed);
            }
            StreamState::Body(mut message) => {
                message.body.evict();
                *side.of_mut(&mut self.streams) = StreamState::Body(message);
            }
            state @ (StreamState::Idle | StreamState::Resync | StreamState::Joined | StreamState::Opaque) => {
                *side.of_mut(&mut self.streams) = state;
            }
        }
    }

    /// Takes note that bytes of one side will not come.
    pub(super) fn gap(&mut self, side: Side, len: u64, why: GapReason, sink: Sink<'_>) {
        let state = std::mem::take(side.of_mut(&mut self.streams));
        let is_request = self.server.map(|(server, _)| server != side);
        let (incomplete, damage) = match why {
            GapReason::Cut => (Incomplete::Cut, Damage::Cut),
            GapReason::Gap | GapReason::Joined => (Incomplete::Gap, Damage::Gap),
        };
        let next = match state {
            StreamState::Opaque => StreamState::Opaque,
            StreamState::Idle | StreamState::Resync | StreamState::Joined => self.lost(is_request, damage),
            StreamState::Head(partial) => {
                let at = partial.start.at;
                self.broken_head(is_request == Some(true), &partial, incomplete, damage, at, sink);
                self.lost(is_request, damage)
            }
            StreamState::Body(mut message) => {
                message.about.damage(incomplete, damage);
                match message.body.skip(len) {
                    GapEffect::Inside => StreamState::Body(message),
                    GapEffect::ToTheEnd => {
                        let next = message.about.next_state();
                        self.done(*message, None, sink);
                        next
                    }
                    GapEffect::Unknown => {
                        self.done(*message, None, sink);
                        self.lost(is_request, damage)
                    }
                }
            }
        };
        if is_request == Some(true) && why != GapReason::Joined && matches!(next, StreamState::Resync) {
            self.pairing.note_request_gap();
        }
        let next =
            if why == GapReason::Joined && matches!(next, StreamState::Resync) { StreamState::Joined } else { next };
        *side.of_mut(&mut self.streams) = next;
    }

    /// One side sent FIN.
    pub(super) fn end(&mut self, side: Side, at: Timestamp, sink: Sink<'_>) {
        if self.server.is_some_and(|(server, _)| server != side)
            && let StreamState::Body(message) = side.other().of_mut(&mut self.streams)
        {
            message.about.client_left(true);
        }
        self.cut_off(side, at, Incomplete::Gap, Damage::Closed, true, sink);
    }

    /// Ends the connection: reports unfinished messages as incomplete, and emits the final event of every request.
    pub(super) fn close(&mut self, at: Timestamp, how: Close, sink: Sink<'_>) {
        let (incomplete, damage) = match how {
            Close::EndOfCapture => (Incomplete::EndOfCapture, Damage::EndOfCapture),
            _ => (Incomplete::Gap, Damage::Closed),
        };
        // The client's side first: a request must be told before what answers it.
        let client = self.server.map_or(Side::Low, |(server, _)| server.other());
        self.cut_off(client, at, incomplete, damage, false, sink);
        self.cut_off(client.other(), at, incomplete, damage, false, sink);
        self.pairing.close(sink);
    }

    fn cut_off(
        &mut self,
        side: Side,
        at: Timestamp,
        incomplete: Incomplete,
        damage: Damage,
        orderly: bool,
        sink: Sink<'_>,
    ) {
        let is_request = self.server.is_some_and(|(server, _)| server != side);
        match std::mem::take(side.of_mut(&mut self.streams)) {
            StreamState::Head(partial) => self.broken_head(is_request, &partial, incomplete, damage, at, sink),
            StreamState::Body(mut message) => {
                if !(orderly && message.body.is_until_close()) {
                    message.about.damage(incomplete, damage);
                    message.body.damage();
                }
                self.done(*message, None, sink);
            }
            state @ (StreamState::Idle | StreamState::Resync | StreamState::Joined | StreamState::Opaque) => {
                *side.of_mut(&mut self.streams) = state;
            }
        }
    }

    /// Returns whether `side` is the client; `None` as long as that is not known.
    ///
    /// The handshake may be missing, ports may mislead, and some clients are called back. So the bytes decide as long
    /// as there was no exchange.
    fn role(&mut self, side: Side, bytes: &[u8]) -> Option<bool> {
        let fresh = self.pairing.is_unused()
            && matches!(side.of(&self.streams), StreamState::Idle | StreamState::Resync | StreamState::Joined);
        if !fresh {
            return self.server.map(|(server, _)| server != side);
        }
        if head::response_begins(bytes) == head::StartCheck::Yes {
            self.server = Some((side, false));
        } else if head::request_begins(bytes) == head::StartCheck::Yes
            || (self.server.is_none() && (head::has_known_method(bytes) || Preface::identifies_client(bytes)))
        {
            self.server = Some((side.other(), false));
        }
        self.server.map(|(server, _)| server != side)
    }

    /// Handles bytes where a message may begin.
    fn begin(
        &mut self,
        is_request: bool,
        position: Position,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        let lost = position.is_lost();
        let unproven = is_request && position == Position::Guessed && !self.is_proven(piece);
        if is_request && self.prefaces > 0 {
            match Preface::of(piece.bytes) {
                // Another one may follow, of the next balancer.
                Preface::Proxy(len) => {
                    self.prefaces -= 1;
                    piece.pass(len);
                    return if unproven { StreamState::Resync } else { StreamState::Idle };
                }
                Preface::Maybe => return hold(piece, unproven, false),
                Preface::Tls => return self.becomes(Protocol::Tls),
                Preface::Http2 => return self.becomes(Protocol::Http2),
                Preface::None => self.prefaces = 0,
            }
        }
        // Line ends before a request are passed over (RFC 9112, 2.2); after a response they are as harmless.
        let blank = piece.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 && !lost {
            piece.pass(blank);
            return StreamState::Idle;
        }
        // Most heads are plain ones, in one piece.
        if !lost && let Some((len, facts)) = head::plain(piece.bytes, is_request) {
            let seen = head_at(piece, len);
            return self.head(seen, Some(facts), sink);
        }
        match find(piece.bytes, is_request, lost, matches!(self.speaks, Protocol::Http1)) {
            Boundary::Head(len) => {
                let mut seen = head_at(piece, len);
                seen.start.unproven = unproven;
                let facts = head::any(&seen.raw, is_request);
                self.head(seen, facts, sink)
            }
            Boundary::Partial { recognised } => hold(piece, unproven, recognised),
            Boundary::Nothing => {
                piece.pass(piece.bytes.len());
                if lost { StreamState::Resync } else { self.lost(Some(is_request), Damage::Malformed) }
            }
        }
    }

    /// Returns whether a request can only begin here, where a piece looks like one after bytes that are missing or unread. Else
    /// the piece may be part of a body whose head is among them.
    ///
    /// A server responds having received the whole request: where it responded to all that came before, no body goes on
    /// here. Where that response was not captured either, the client's acknowledgements suffice for what changes nothing.
    fn is_proven(&self, piece: &StreamPiece<'_>) -> bool {
        let server = self.server.map(|(server, _)| server.of(&self.streams));
        let goes_on = match server {
            Some(StreamState::Head(_)) => true,
            // A response to HEAD looks as if its body were to come.
            Some(StreamState::Body(message)) => message.body.has_begun(),
            _ => false,
        };
        let suffices = head::is_safe(piece.bytes) && self.pairing.has_received_more(piece.received);
        !goes_on && (suffices || self.pairing.is_answered(piece.offset, piece.received))
    }

    fn becomes(&mut self, speaks: Protocol) -> StreamState {
        self.speaks = speaks;
        StreamState::Opaque
    }

    /// Marks the position of the next message as unknown, for this reason.
    fn lost(&mut self, is_request: Option<bool>, why: Damage) -> StreamState {
        self.pairing.mark_uncertain(is_request, why);
        if is_request != Some(true) {
            // The final response that was to follow may be among what is missing.
            self.interim = None;
        }
        StreamState::Resync
    }

    fn head_goes_on(
        &mut self,
        is_request: bool,
        mut partial: Box<PartialHead>,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        let before = partial.raw.len();
        partial.raw.extend_from_slice(piece.bytes);
        // A first line is looked at again only where that can tell more: its first word goes on, or the line ends.
        let tells_more = before <= head::MAX_FIRST_WORD || memchr::memchr(b'\n', piece.bytes).is_some();
        if !partial.recognised && tells_more {
            match find(&partial.raw, is_request, false, matches!(self.speaks, Protocol::Http1)) {
                Boundary::Nothing => {
                    piece.pass(piece.bytes.len());
                    return self.lost(Some(is_request), Damage::Malformed);
                }
                Boundary::Partial { recognised } => partial.recognised = recognised,
                Boundary::Head(_) => partial.recognised = true,
            }
        }
        match head::end(&partial.raw, before.saturating_sub(3)) {
            Some(len) if len <= MAX_HEAD_BYTES => {
                let PartialHead { start, mut raw, .. } = *partial;
                raw.truncate(len);
                piece.pass(len.saturating_sub(before));
                let seen = HeadSeen { raw, start, at: piece.at, stretch: piece.stretch, end: piece.offset };
                let facts = head::any(&seen.raw, is_request);
                self.head(seen, facts, sink)
            }
            None if partial.raw.len() <= MAX_HEAD_BYTES => {
                piece.pass(piece.bytes.len());
                StreamState::Head(partial)
            }
            _ => {
                partial.raw.truncate(MAX_HEAD_BYTES);
                if is_request {
                    let state = RequestState::Malformed(Malformed::HeadTooLarge);
                    self.broken_request(&partial, state, piece.at, sink);
                } else {
                    self.broken_response(&partial, Damage::Malformed, piece.at, sink);
                }
                piece.pass(piece.bytes.len());
                self.lost(Some(is_request), Damage::Malformed)
            }
        }
    }

    /// A whole head, and what it says, if anything.
    fn head(&mut self, seen: HeadSeen, facts: Option<HeadFacts>, sink: Sink<'_>) -> StreamState {
        match facts {
            Some(HeadFacts::Request(facts, contents)) => self.request_head(seen, &facts, contents, sink),
            Some(HeadFacts::Response(facts)) => self.response_head(seen, &facts, sink),
            None => self.lost(Some(false), Damage::Malformed),
        }
    }

    fn request_head(
        &mut self,
        seen: HeadSeen,
        facts: &RequestFacts,
        contents: HeadContents,
        sink: Sink<'_>,
    ) -> StreamState {
        self.speaks = Protocol::Http1;
        let id = self.pairing.ask(facts.method, seen.start, sink);
        let body = BodyReader::new(facts.framing, self.interests.request_body, &seen.raw);
        let incomplete = seen.start.unproven.then_some(Incomplete::Unproven);
        let about = MessageKind::Request { id, malformed: facts.malformed, incomplete, expects: facts.expects };
        let unframed = about.is_unframed();
        match self.read_body((seen, contents), body, about, sink) {
            // Where its body ends, and whether it has one, nobody can tell.
            StreamState::Idle if unframed => StreamState::Resync,
            state => state,
        }
    }

    fn response_head(&mut self, seen: HeadSeen, facts: &ResponseFacts, sink: Sink<'_>) -> StreamState {
        self.speaks = Protocol::Http1;
        if matches!(facts.status, 100 | 102..=199) {
            self.interim.get_or_insert_with(|| Box::new(seen.start));
            return StreamState::Idle;
        }
        let begin = self.interim.take().map_or(seen.start, |start| *start);
        let of = self.answer(MessageStart { offset: begin.offset, ..seen.start }, sink);
        let method = of.map_or(Method::Other, |(_, method)| method);
        let opaque = facts.status == 101 || (method == Method::Connect && (200..300).contains(&facts.status));
        let body = BodyReader::new(facts.framing(method), self.interests.response_body, &seen.raw);
        let about = MessageKind::Response {
            status: facts.status,
            of: of.map(|(id, _)| id),
            damage: None,
            opaque,
            is_left: false,
        };
        let next = self.read_body((seen, HeadContents::UNREAD), body, about, sink);
        if opaque {
            self.speaks = Protocol::Upgraded;
        }
        next
    }

    /// Returns the request to which a response that begins there belongs.
    fn answer(&mut self, begin: MessageStart, sink: Sink<'_>) -> Option<(crate::exchange::ExchangeId, Method)> {
        // A server may refuse a request whose head it did not wait for.
        if let Some((server, _)) = self.server
            && let StreamState::Head(partial) = server.other().of(&self.streams)
            && partial.recognised
        {
            let (method, start) = (head::method(&partial.raw), partial.start);
            self.pairing.reserve(method, start, sink);
        }
        self.pairing.answer(begin, sink)
    }

    fn read_body(
        &mut self,
        (seen, contents): (HeadSeen, HeadContents),
        body: BodyReader,
        about: MessageKind,
        sink: Sink<'_>,
    ) -> StreamState {
        let head = Head::with_contents(seen.raw, contents);
        let (last_byte, last_stretch) = (seen.at, seen.stretch);
        let message = MessageInBody { start: seen.start, last_byte, last_stretch, head, body, about };
        if message.body.is_done() {
            let next = message.about.next_state();
            let end = Some(seen.end).filter(|_| !message.about.is_unframed());
            self.done(message, end, sink);
            next
        } else {
            StreamState::Body(Box::new(message))
        }
    }

    fn body_goes_on(
        &mut self,
        mut message: Box<MessageInBody>,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        if let MessageKind::Request { id, expects: true, .. } = message.about
            && !message.body.has_begun()
            && self.pairing.was_answered_early(id)
            && head::request_begins(piece.bytes) == head::StartCheck::Yes
        {
            // Told no, the client kept its body and asks the next question (RFC 9110, 10.1.1).
            message.about.damage(Incomplete::Gap, Damage::Gap);
            self.done(*message, None, sink);
            return StreamState::Idle;
        }
        if message.about.is_unproven()
            && head::request_begins(piece.bytes) == head::StartCheck::Yes
            && self.is_proven(piece)
        {
            // What it said of its length is not true: here is another request.
            self.done(*message, None, sink);
            return StreamState::Idle;
        }
        if message.body.awaits_last_line()
            && matches!(message.about, MessageKind::Response { .. })
            && head::response_begins(piece.bytes) == head::StartCheck::Yes
        {
            // Some servers end the last chunk with one line end, and clients read that.
            self.done(*message, None, sink);
            return StreamState::Idle;
        }
        if let Some(unsure) = self.next_response_begins(&message, piece) {
            if unsure && message.body.has_begun() {
                message.about.damage(Incomplete::Gap, Damage::Gap);
            }
            if unsure {
                message.body.damage();
            }
            self.done(*message, None, sink);
            return StreamState::Idle;
        }
        message.about.client_left(false);
        let fed = message.body.feed(piece.bytes);
        (message.last_byte, message.last_stretch) = (piece.at, piece.stretch);
        match fed {
            BodyProgress::All => {
                piece.pass(piece.bytes.len());
                StreamState::Body(message)
            }
            BodyProgress::Ended(len) => {
                piece.pass(len);
                let next = message.about.next_state();
                self.done(*message, Some(piece.offset), sink);
                next
            }
            BodyProgress::Bad => {
                let is_request = message.about.mark_malformed();
                piece.pass(piece.bytes.len());
                self.done(*message, None, sink);
                self.lost(Some(is_request), Damage::Malformed)
            }
        }
    }

    /// Returns whether a body of unknown end ends here, because the client, having received exactly this much, has sent
    /// another request and its response begins; the inner value is true when there may have been no body.
    ///
    /// There are two such cases. Where the request of a response was lost, it may have been HEAD. And a response
    /// without a length may not end its connection: the delimiter that the client used is unknown.
    fn next_response_begins(&self, message: &MessageInBody, piece: &StreamPiece<'_>) -> Option<bool> {
        let MessageKind::Response { of, .. } = message.about else { return None };
        let begins = match of {
            None => head::response_begins(piece.bytes) == head::StartCheck::Yes,
            Some(_) => message.body.is_until_close() && head::response_begins(piece.bytes) != head::StartCheck::No,
        };
        (begins && self.pairing.was_asked_at(piece.offset)).then_some(of.is_none())
    }

    /// Emits a message that has ended; `end` is the offset after it, where that is known.
    fn done(&mut self, message: MessageInBody, end: Option<u64>, sink: Sink<'_>) {
        let MessageInBody { start, last_byte, last_stretch, head, body, about } = message;
        let body = body.finish();
        match about {
            MessageKind::Request { id, malformed, incomplete, .. } => {
                let state = match (incomplete, malformed) {
                    (Some(why), _) => RequestState::Incomplete(why),
                    (None, Some(why)) => RequestState::Malformed(why),
                    (None, None) => RequestState::Whole,
                };
                let [client, server] = self.client_and_server();
                let first_byte = start.at;
                let request = Request { id, client, server, head, body, first_byte, last_byte, state };
                self.pairing.asked(Box::new(request), end, last_stretch, sink);
            }
            MessageKind::Response { status, of, damage, opaque, is_left } => {
                let (first_byte, untimed) = (start.at, false);
                let left = is_left && body.framing == Framing::UntilClose;
                let response = Response { status, head, body, first_byte, last_byte, damage, opaque, untimed, left };
                self.pairing.answered(of, Box::new(response), sink);
            }
        }
    }

    fn broken_head(
        &mut self,
        is_request: bool,
        partial: &PartialHead,
        incomplete: Incomplete,
        damage: Damage,
        at: Timestamp,
        sink: Sink<'_>,
    ) {
        if is_request {
            self.broken_request(partial, RequestState::Incomplete(incomplete), at, sink);
        } else {
            self.broken_response(partial, damage, at, sink);
        }
    }

    /// Emits a request with an incomplete head, if its first line is complete.
    fn broken_request(&mut self, partial: &PartialHead, state: RequestState, at: Timestamp, sink: Sink<'_>) {
        if !partial.recognised {
            return;
        }
        self.speaks = Protocol::Http1;
        let id = self.pairing.ask(head::method(&partial.raw), partial.start, sink);
        let [client, server] = self.client_and_server();
        let request = Request {
            id,
            client,
            server,
            head: Head::new(partial.raw.clone()),
            body: Body::EMPTY,
            first_byte: partial.start.at,
            last_byte: at,
            state,
        };
        self.pairing.asked(Box::new(request), None, partial.start.stretch, sink);
    }

    /// Emits a response with an incomplete head, if its status is known.
    fn broken_response(&mut self, partial: &PartialHead, damage: Damage, at: Timestamp, sink: Sink<'_>) {
        let Some(status) = head::status(&partial.raw).filter(|status| *status >= 200) else { return };
        self.speaks = Protocol::Http1;
        let begin = self.interim.take().map_or(partial.start, |start| *start);
        let of = self.answer(MessageStart { offset: begin.offset, ..partial.start }, sink).map(|(id, _)| id);
        let body = Body { framing: Framing::UntilClose, ..Body::EMPTY };
        let response = Response {
            status,
            head: Head::new(partial.raw.clone()),
            body,
            first_byte: partial.start.at,
            last_byte: at,
            damage: Some(damage),
            opaque: false,
            untimed: false,
            left: false,
        };
        self.pairing.answered(of, Box::new(response), sink);
    }

    fn client_and_server(&self) -> [std::net::SocketAddr; 2] {
        let server = self.server.map_or(Side::High, |(server, _)| server);
        [server.other(), server]
            .map(|side| Endpoint::of_halves(*side.of(&self.addresses), *side.of(&self.ports)).socket_addr())
    }
}

/// The head that the piece begins with, which is so long.
fn head_at(piece: &mut StreamPiece<'_>, len: usize) -> HeadSeen {
    let raw = piece.bytes.get(..len).unwrap_or_default().to_vec();
    let start = MessageStart::from(&*piece);
    piece.pass(len);
    HeadSeen { raw, start, at: piece.at, stretch: piece.stretch, end: piece.offset }
}

/// Keeps the rest of the piece until more of the head comes.
fn hold(piece: &mut StreamPiece<'_>, unproven: bool, recognised: bool) -> StreamState {
    let start = MessageStart { unproven, ..MessageStart::from(&*piece) };
    let partial = PartialHead { start, raw: piece.bytes.to_vec(), recognised };
    piece.pass(partial.raw.len());
    StreamState::Head(Box::new(partial))
}
