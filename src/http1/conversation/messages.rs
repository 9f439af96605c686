//! A message from its head to its end: its body, and what is emitted of it, whole or broken.

use super::heads::HeadSeen;
use super::{Conversation, Sink};
use crate::decode::Endpoint;
use crate::exchange::{Body, Damage, Framing, Head, Incomplete, Request, RequestState, Response, Timestamp};
use crate::flow::{Side, Stretch, past_blank_lines};
use crate::head::HeadContents;
use crate::http1::body::{BodyProgress, BodyReader};
use crate::http1::stream::{MessageInBody, MessageKind, MessageStart, PartialHead, StreamPiece, StreamState};
use crate::http1::{Protocol, content, head};

/// A message of which nothing more comes.
struct EndedMessage {
    start: MessageStart,
    last_byte: Timestamp,
    last_stretch: Stretch,
    head: Head,
    body: Body,
    about: MessageKind,
}

impl Conversation {
    pub(super) fn read_body(
        &mut self,
        (seen, contents): (HeadSeen, HeadContents),
        body: BodyReader,
        about: MessageKind,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        let head = Head::with_contents(seen.raw, contents);
        let (start, last_byte, last_stretch) = (seen.start, seen.at, seen.stretch);
        let next = about.next_state();
        if body.is_done() {
            let end = Some(seen.end).filter(|_| !about.is_unframed());
            let body = body.finish();
            self.emit(EndedMessage { start, last_byte, last_stretch, head, body, about }, end, sink);
            return next;
        }
        // Most bodies are in one piece with their heads, and come to the same as if they came later.
        if about.ends_as_framed()
            && let Some(whole) = body.whole_in(piece.bytes).and_then(|len| piece.bytes.get(..len))
        {
            piece.pass(whole.len());
            let body = body.whole(whole);
            self.emit(EndedMessage { start, last_byte, last_stretch, head, body, about }, Some(piece.offset), sink);
            return next;
        }
        StreamState::Body(Box::new(MessageInBody { start, last_byte, last_stretch, head, body, about }))
    }

    pub(super) fn body_goes_on(
        &mut self,
        mut message: Box<MessageInBody>,
        piece: &mut StreamPiece<'_>,
        sink: Sink<'_>,
    ) -> StreamState {
        if let MessageKind::Request { id, expects: true, .. } = message.about
            && !message.body.has_begun()
            && self.pairing.was_answered_early(id)
            && request_follows(piece.bytes)
        {
            // Told no, the client kept its body and asks the next question (RFC 9110, 10.1.1).
            message.about.damage(Incomplete::Gap, Damage::Gap);
            self.done(*message, None, sink);
            return StreamState::Idle;
        }
        if self.ended_before(&message, piece) {
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
        let before = message.body.len();
        let fed = message.body.feed(piece.bytes);
        if message.about.is_left() && message.body.len() > before && !content::is_endless(message.head.as_bytes()) {
            message.about.client_left(false);
        }
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

    /// Returns whether a body has ended though its framing says that it goes on: another message begins here.
    fn ended_before(&self, message: &MessageInBody, piece: &StreamPiece<'_>) -> bool {
        match message.about {
            // What an unproven request said of its length may not be true.
            MessageKind::Request { .. } => {
                message.about.is_unproven() && request_follows(piece.bytes) && self.is_proven(piece)
            }
            // Some servers end the last chunk with one line end, and clients read that.
            MessageKind::Response { .. } => {
                message.body.awaits_last_line() && head::response_begins(piece.bytes) == head::StartCheck::Yes
            }
        }
    }

    /// Returns whether a body of unknown end ends here, because the client, having received exactly this much, has sent
    /// another request and its response begins; the inner value is true when there may have been no body.
    ///
    /// There are two such cases. Where the request of a response was lost, it may have been HEAD. And a response
    /// without a length may not end its connection: the delimiter that the client used is unknown.
    pub(super) fn next_response_begins(&self, message: &MessageInBody, piece: &StreamPiece<'_>) -> Option<bool> {
        let MessageKind::Response { of, .. } = message.about else { return None };
        let begins = match of {
            None => head::response_begins(piece.bytes) == head::StartCheck::Yes,
            Some(_) => message.body.is_until_close() && head::response_begins(piece.bytes) != head::StartCheck::No,
        };
        (begins && self.pairing.was_asked_at(piece.offset)).then_some(of.is_none())
    }

    /// Emits a message that has ended; `end` is the offset after it, where that is known.
    pub(super) fn done(&mut self, message: MessageInBody, end: Option<u64>, sink: Sink<'_>) {
        let MessageInBody { start, last_byte, last_stretch, head, body, about } = message;
        let body = body.finish();
        self.emit(EndedMessage { start, last_byte, last_stretch, head, body, about }, end, sink);
    }

    fn emit(&mut self, message: EndedMessage, end: Option<u64>, sink: Sink<'_>) {
        let EndedMessage { start, last_byte, last_stretch, head, body, about } = message;
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
                let is_open = match body.framing {
                    Framing::UntilClose => true,
                    // Many servers end the chunks when their client has left.
                    Framing::Chunked => damage.is_none(),
                    Framing::None | Framing::Length(_) => false,
                };
                let left = is_left && is_open;
                let response = Response { status, head, body, first_byte, last_byte, damage, opaque, untimed, left };
                self.pairing.answered(of, Box::new(response), sink);
            }
        }
    }

    pub(super) fn broken_head(
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
    pub(super) fn broken_request(&mut self, partial: &PartialHead, state: RequestState, at: Timestamp, sink: Sink<'_>) {
        if !partial.recognized {
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
    pub(super) fn broken_response(&mut self, partial: &PartialHead, damage: Damage, at: Timestamp, sink: Sink<'_>) {
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

    pub(super) fn client_and_server(&self) -> [std::net::SocketAddr; 2] {
        let server = self.server.map_or(Side::High, |(server, _)| server);
        [server.other(), server]
            .map(|side| Endpoint::of_halves(*side.of(&self.addresses), *side.of(&self.ports)).socket_addr())
    }
}

/// Returns whether a request begins here, or behind blank lines (RFC 9112, 2.2).
fn request_follows(bytes: &[u8]) -> bool {
    head::request_begins(past_blank_lines(bytes)) == head::StartCheck::Yes
}
