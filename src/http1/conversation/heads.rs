//! Where a message may begin: its head, looked for and read.

use super::{Conversation, Sink};
use crate::exchange::{Damage, ExchangeId, Incomplete, Malformed, RequestState, Timestamp};
use crate::flow::{Stretch, past_blank_lines};
use crate::head::HeadContents;
use crate::http1::body::BodyReader;
use crate::http1::head::{self, HeadFacts, Method, RequestFacts, ResponseFacts};
use crate::http1::methods;
use crate::http1::stream::{
    Boundary, MessageKind, MessageStart, PartialHead, Position, Preface, StreamPiece, StreamState, find,
};
use crate::http1::{MAX_HEAD_BYTES, Protocol};

/// A head that is whole, and where it stood.
pub(super) struct HeadSeen {
    pub(super) raw: Vec<u8>,
    pub(super) start: MessageStart,
    /// Capture time of its last byte.
    pub(super) at: Timestamp,
    pub(super) stretch: Stretch,
    /// Offset of the byte after it.
    pub(super) end: u64,
}

impl Conversation {
    /// Handles bytes where a message may begin.
    pub(super) fn begin(
        &mut self,
        is_request: bool,
        position: Position,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        let lost = position.is_lost();
        if !is_request
            && position == Position::Guessed
            && head::response_begins(piece.bytes) != head::StartCheck::No
            && !self.pairing.may_respond(piece.offset, piece.received)
        {
            piece.pass(piece.bytes.len());
            return StreamState::Resync;
        }
        let unproven = is_request && position == Position::Guessed && !self.is_proven(piece);
        let start = MessageStart { unproven, ..MessageStart::from(&*piece) };
        if is_request && self.prefaces > 0 {
            match Preface::of(piece.bytes) {
                // Another one may follow, of the next balancer.
                Preface::Proxy(len) => {
                    self.prefaces -= 1;
                    piece.pass(len);
                    return if unproven { StreamState::Resync } else { StreamState::Idle };
                }
                Preface::Maybe => return hold(piece, start, position, false),
                Preface::Tls => return self.becomes(Protocol::Tls),
                Preface::Http2 => return self.becomes(Protocol::Http2),
                Preface::None => self.prefaces = 0,
            }
        }
        // Line ends before a request are passed over (RFC 9112, 2.2); after a response they are as harmless.
        let blank = piece.bytes.len() - past_blank_lines(piece.bytes).len();
        if blank > 0 && !lost {
            piece.pass(blank);
            return StreamState::Idle;
        }
        // Most heads are plain ones, in one piece.
        if !lost && let Some((len, facts)) = head::plain(piece.bytes, is_request) {
            let seen = head_at(piece, len);
            return self.head(seen, Some(facts), piece, sink);
        }
        // After a hole those before a request begin it: what has to be proven ends before them.
        if is_request {
            piece.pass(blank);
        }
        match find(piece.bytes, is_request, lost, matches!(self.speaks, Protocol::Http1)) {
            Boundary::Head(len) => {
                let seen = HeadSeen { start, ..head_at(piece, len) };
                let facts = head::any(&seen.raw, is_request);
                self.head(seen, facts, piece, sink)
            }
            Boundary::Partial { recognized } => hold(piece, start, position, recognized),
            Boundary::Nothing => {
                let foreign = !lost && !is_request && self.is_foreign(piece.bytes);
                piece.pass(piece.bytes.len());
                match (lost, foreign) {
                    (_, true) => self.becomes(Protocol::Unknown),
                    (true, _) => StreamState::Resync,
                    (false, _) => self.lost(Some(is_request), Damage::Malformed),
                }
            }
        }
    }

    /// Returns whether a server's first bytes are the text of another protocol: a greeting, or the answer to something that is
    /// no request. What looks like a request later is part of a mail, say. Nothing of the client is missing before.
    ///
    /// Bytes that are no text tell nothing: HTTP may follow where a SOCKS proxy has answered (RFC 1928).
    fn is_foreign(&self, bytes: &[u8]) -> bool {
        const TELLING: usize = 16;
        let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
        let client = self.server.map(|(server, _)| server.other().of(&self.streams));
        matches!(client, Some(StreamState::Idle | StreamState::Resync))
            && self.pairing.is_unused()
            && !self.pairing.has_request_gap()
            && head::request_begins(bytes) == head::StartCheck::No
            && bytes.iter().take(TELLING).all(is_text)
    }

    /// Returns whether a request can only begin here, where a piece looks like one after bytes that are missing or unread. Else
    /// the piece may be part of a body whose head is among them.
    ///
    /// A server responds having received the whole request: where it responded to all that came before, no body goes on
    /// here. Where that response was not captured either, the client's acknowledgements suffice for what changes nothing.
    pub(super) fn is_proven(&self, piece: &StreamPiece<'_>) -> bool {
        let server = self.server.map(|(server, _)| server.of(&self.streams));
        let goes_on = match server {
            Some(StreamState::Head(_)) => true,
            // A response to HEAD looks as if its body were to come.
            Some(StreamState::Body(message)) => message.body.has_begun(),
            _ => false,
        };
        let suffices =
            methods::is_safe(past_blank_lines(piece.bytes)) && self.pairing.has_received_more(piece.received);
        !goes_on && (suffices || self.pairing.is_answered(piece.offset, piece.received))
    }

    pub(super) fn head_goes_on(
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
        if !partial.recognized && tells_more {
            match find(&partial.raw, is_request, false, matches!(self.speaks, Protocol::Http1)) {
                Boundary::Nothing => {
                    piece.pass(piece.bytes.len());
                    return self.lost(Some(is_request), Damage::Malformed);
                }
                Boundary::Partial { recognized } => partial.recognized = recognized,
                Boundary::Head(_) => partial.recognized = true,
            }
        }
        match head::end(&partial.raw, before.saturating_sub(3)) {
            Some(len) if len <= MAX_HEAD_BYTES => {
                let PartialHead { start, mut raw, .. } = *partial;
                raw.truncate(len);
                piece.pass(len.saturating_sub(before));
                let seen = HeadSeen { raw, start, at: piece.at, stretch: piece.stretch, end: piece.offset };
                let facts = head::any(&seen.raw, is_request);
                self.head(seen, facts, piece, sink)
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

    /// A whole head, and what it says, if anything. The piece begins behind it.
    pub(super) fn head(
        &mut self,
        seen: HeadSeen,
        facts: Option<HeadFacts>,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        match facts {
            Some(HeadFacts::Request(facts, contents)) => self.request_head(seen, &facts, contents, piece, sink),
            Some(HeadFacts::Response(facts)) => self.response_head(seen, &facts, piece, sink),
            None => self.lost(Some(false), Damage::Malformed),
        }
    }

    pub(super) fn request_head(
        &mut self,
        seen: HeadSeen,
        facts: &RequestFacts,
        contents: HeadContents,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        self.speaks = Protocol::Http1;
        let id = self.pairing.ask(facts.method, seen.start, sink);
        if facts.expects {
            self.pairing.note_expecting();
        }
        let body = BodyReader::new(facts.framing, self.interests.request_body, &seen.raw);
        let incomplete = seen.start.unproven.then_some(Incomplete::Unproven);
        let about = MessageKind::Request { id, malformed: facts.malformed, incomplete, expects: facts.expects };
        let unframed = about.is_unframed();
        match self.read_body((seen, contents), body, about, piece, sink) {
            // Where its body ends, and whether it has one, nobody can tell.
            StreamState::Idle if unframed => StreamState::Resync,
            state => state,
        }
    }

    pub(super) fn response_head(
        &mut self,
        seen: HeadSeen,
        facts: &ResponseFacts,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
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
        let next = self.read_body((seen, HeadContents::UNREAD), body, about, piece, sink);
        if opaque {
            self.speaks = Protocol::Upgraded;
        }
        next
    }

    /// Returns the request to which a response that begins there belongs.
    pub(super) fn answer(&mut self, begin: MessageStart, sink: Sink<'_>) -> Option<(ExchangeId, Method)> {
        // A server may refuse a request whose head it did not wait for.
        if let Some((server, _)) = self.server
            && let StreamState::Head(partial) = server.other().of(&self.streams)
            && partial.recognized
        {
            let (method, start) = (head::method(&partial.raw), partial.start);
            self.pairing.reserve(method, start, sink);
        }
        self.pairing.answer(begin, sink)
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
pub(super) fn hold(
    piece: &mut StreamPiece<'_>,
    start: MessageStart,
    position: Position,
    recognized: bool,
) -> StreamState {
    let partial = PartialHead { start, position, raw: piece.bytes.to_vec(), recognized };
    piece.pass(partial.raw.len());
    StreamState::Head(Box::new(partial))
}
