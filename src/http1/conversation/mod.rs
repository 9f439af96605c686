//! A connection's two streams as one conversation: bytes in, requests and their responses out.

mod heads;
mod messages;

use super::body::GapEffect;
use super::pairing::Pairing;
use super::stream::{
    MessageKind, MessageStart, PartialHead, Position, Preface, StreamPiece, StreamState, are_tls_records,
};
use super::{BodyPolicies, ConnectionStart, Protocol};
use super::{head, methods};
use crate::decode::Endpoint;
use crate::exchange::{Close, ConnectionId, Damage, Event, Incomplete, RequestState, Timestamp};
use crate::flow::{FIRST_OFFSET, GapReason, Side, past_blank_lines};
use heads::hold;

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
        // These may end before their body does, or go on though their client seemed to have left.
        let unsure = matches!(message.about, MessageKind::Response { of: None, .. })
            || message.about.is_left()
            || message.about.is_unproven();
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
        if matches!(self.speaks, Protocol::Nothing | Protocol::Unknown) {
            // Of a connection that was open before the capture no hello is seen. A request that comes all the same is read.
            let began_before = matches!(side.of(&self.streams), StreamState::Joined | StreamState::Resync);
            let is_tls = began_before && are_tls_records(piece.bytes);
            self.speaks = if is_tls { Protocol::Tls } else { Protocol::Unknown };
        }
        let Some(is_request) = self.role(side, &piece, sink) else { return self.without_role(side, piece, sink) };
        while !piece.bytes.is_empty() {
            let state = std::mem::take(side.of_mut(&mut self.streams));
            let next = match state {
                StreamState::Opaque => StreamState::Opaque,
                StreamState::Idle => self.begin(is_request, Position::Boundary, &mut piece, sink),
                StreamState::Joined => self.begin(is_request, Position::Joined, &mut piece, sink),
                StreamState::Resync => self.begin(is_request, Position::Guessed, &mut piece, sink),
                StreamState::Head(partial) if partial.is_none_before(piece.bytes, is_request) => StreamState::Resync,
                StreamState::Head(partial) if is_request && self.prefaces > 0 => {
                    // The beginning of a preface goes on: look at all of it anew.
                    let PartialHead { start, position, mut raw, .. } = *partial;
                    raw.extend_from_slice(piece.bytes);
                    if position != Position::Guessed || start.unproven {
                        *side.of_mut(&mut self.streams) = position.into();
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

    /// Takes bytes of a side of which it is not known whether it is the client. The first ones of a joined stream are held as long as
    /// they are too few to tell.
    fn without_role(&mut self, side: Side, mut piece: StreamPiece<'_>, sink: Sink<'_>) {
        match std::mem::take(side.of_mut(&mut self.streams)) {
            StreamState::Head(partial) if partial.is_none_before(piece.bytes, true) => {
                *side.of_mut(&mut self.streams) = StreamState::Resync;
                self.data(side, piece, sink);
            }
            StreamState::Head(partial) => {
                let PartialHead { start, position, mut raw, .. } = *partial;
                raw.extend_from_slice(piece.bytes);
                *side.of_mut(&mut self.streams) = position.into();
                self.data(side, StreamPiece { offset: start.offset, bytes: &raw, ..piece }, sink);
            }
            StreamState::Joined => {
                let may_begin = methods::may_be_known_method(piece.bytes);
                let start = MessageStart::from(&piece);
                *side.of_mut(&mut self.streams) =
                    if may_begin { hold(&mut piece, start, Position::Joined, false) } else { StreamState::Resync };
            }
            state => *side.of_mut(&mut self.streams) = state,
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
                self.broken_request(&partial, RequestState::Incomplete(Incomplete::Evicted), at, sink);
                *side.of_mut(&mut self.streams) = self.lost(Some(true), Damage::Shed);
            }
            StreamState::Head(partial) => {
                self.broken_response(&partial, Damage::Shed, at, sink);
                *side.of_mut(&mut self.streams) = self.lost(Some(false), Damage::Shed);
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
            StreamState::Resync | StreamState::Joined => self.doubt(is_request, damage),
            StreamState::Idle => self.lost(is_request, damage),
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
            Close::Evicted => (Incomplete::Evicted, Damage::Shed),
            _ => (Incomplete::Gap, Damage::Closed),
        };
        // The client's side first: a request must be told before what answers it.
        let client = self.server.map_or(Side::Low, |(server, _)| server.other());
        self.cut_off(client, at, incomplete, damage, false, sink);
        self.cut_off(client.other(), at, incomplete, damage, false, sink);
        self.pairing.close(if how == Close::Evicted { damage } else { Damage::NoResponse }, sink);
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
    /// as no request was proven to be one. Text that looks like a message may stand in a body, though: within a stream it counts
    /// only where the other side has spoken since, and never against a handshake.
    fn role(&mut self, side: Side, piece: &StreamPiece<'_>, sink: Sink<'_>) -> Option<bool> {
        let state = side.of(&self.streams);
        let fresh = !self.pairing.has_proven()
            && matches!(state, StreamState::Idle | StreamState::Resync | StreamState::Joined);
        let is_first = matches!(state, StreamState::Idle) && piece.offset == FIRST_OFFSET;
        let known = self.server.map(|(server, _)| server != side);
        if !fresh {
            return known;
        }
        let line = past_blank_lines(piece.bytes);
        let is_request = if head::response_begins(piece.bytes) == head::StartCheck::Yes {
            false
        } else if head::request_begins(line) == head::StartCheck::Yes
            || (known.is_none() && (methods::has_known_method(line) || Preface::identifies_client(piece.bytes)))
        {
            true
        } else {
            return known;
        };
        let believed = match self.server {
            None => true,
            Some((_, shown)) => {
                is_first || (!shown && known.is_some_and(|is| self.pairing.is_at_turn(is, piece.received)))
            }
        };
        if known == Some(is_request) || !believed {
            return known;
        }
        if known.is_some() && !self.pairing.is_unused() {
            self.turn(side, piece.at, sink);
        }
        self.server = Some((if is_request { side.other() } else { side }, false));
        Some(is_request)
    }

    /// The sides are the other way round than what was read so far had it.
    fn turn(&mut self, side: Side, at: Timestamp, sink: Sink<'_>) {
        self.cut_off(side.other(), at, Incomplete::Gap, Damage::PairingLost, false, sink);
        self.pairing.turn(sink);
        self.streams = [StreamState::Resync, StreamState::Resync];
    }

    fn becomes(&mut self, speaks: Protocol) -> StreamState {
        self.speaks = speaks;
        StreamState::Opaque
    }

    /// Marks the position of the next message as unknown, for this reason.
    fn lost(&mut self, is_request: Option<bool>, why: Damage) -> StreamState {
        if is_request == Some(false) {
            self.pairing.note_lost_response();
        }
        self.doubt(is_request, why)
    }

    /// The same where it was unknown before.
    fn doubt(&mut self, is_request: Option<bool>, why: Damage) -> StreamState {
        self.pairing.mark_uncertain(is_request, why);
        if is_request != Some(true) {
            // The final response that was to follow may be among what is missing.
            self.interim = None;
        }
        StreamState::Resync
    }
}
