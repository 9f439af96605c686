//! One connection: both halves, kept in an order that both ends could have seen.

mod fit;
mod pump;

use std::time::Duration;

use super::checksum_trust::ChecksumTrust;
use super::clock::{Clock, Stretch};
use super::given_up::FlowRecord;
use super::half::{MAX_NEAR, StreamHalf};
use super::key::FlowKey;
use super::message_start::begins_message;
use super::out_of_order::BufferedSegment;
use super::{Chunk, GapReason, Seq, Side, Slot};
use crate::decode::{Endpoint, Flags, Segment};
use crate::exchange::Timestamp;
pub(super) use fit::{Fit, SynIs};
use pump::emit;

/// Timeout of a hole that the receiver has acknowledged: the capture is out of order, or lost the bytes.
pub(super) const PATIENCE_ACKED: Duration = Duration::from_millis(200);

/// Largest distance of a RST from the expected sequence number, in bytes, at which it still explains why nothing came
/// after it.
pub(super) const RESET_REACH: i64 = 16 * 1024 * 1024;

/// Lifecycle state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnState {
    /// There is no connection.
    Vacant,
    Open,
    /// One side sent a plausible RST.
    Reset {
        by: Side,
        at: Timestamp,
    },
    /// The end was reported; only late copies still come.
    Closed {
        at: Timestamp,
        reset: bool,
    },
}

/// A connection that is followed. Three cache lines: with many connections open none of them is near.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and most combinations occur")]
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: FlowKey,
    pub(super) last_at: Timestamp,
    pub(super) life: ConnState,
    pub(super) halves: [StreamHalf; 2],
    pub(super) carried_bytes: bool,
    /// True when bytes wait for a side that has not been seen yet.
    waits_unheard: bool,
    /// True when a RST came that its receiver may have ignored, and nothing since.
    doubtful_reset: bool,
    /// The tags of the networks in which each side was heard.
    pub(super) tags: [u32; 2],
    /// What is known of the checksums of each side.
    pub(super) checksums: [ChecksumTrust; 2],
    /// Whether segments of a side are held whose checksum is wrong: they fill a hole if no copy of them does.
    pub(super) holds_suspects: [bool; 2],
    /// Whether what is lost here may still come from another place.
    pub(super) expects_copies: bool,
}

const _: () = assert!(size_of::<Connection>() <= 3 * 64);

impl Default for Connection {
    fn default() -> Self {
        let nobody = Endpoint::new(0, 0);
        let key = FlowKey::between(nobody, nobody);
        Self { life: ConnState::Vacant, ..Self::new(key, Timestamp::default(), false) }
    }
}

impl Connection {
    /// Creates a connection of which nothing was reported yet.
    pub(super) fn new(key: FlowKey, at: Timestamp, waits_unheard: bool) -> Self {
        Self {
            key,
            last_at: at,
            life: ConnState::Open,
            halves: Default::default(),
            carried_bytes: false,
            waits_unheard,
            doubtful_reset: false,
            tags: [0; 2],
            checksums: Default::default(),
            holds_suspects: [false; 2],
            expects_copies: false,
        }
    }

    pub(super) const fn is_there(&self) -> bool {
        !matches!(self.life, ConnState::Vacant)
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.life, ConnState::Closed { .. })
    }

    /// Returns whether a plausible RST was seen, and nothing since that contradicts it.
    pub(super) const fn is_reset(&self) -> bool {
        matches!(self.life, ConnState::Reset { .. } | ConnState::Closed { reset: true, .. })
    }

    /// Returns the cost of the bytes that wait behind holes of both sides, in bytes.
    pub(super) fn waiting(&self) -> usize {
        self.halves.iter().map(StreamHalf::pending_cost).sum()
    }

    /// Returns whether a RST came last, accepted by its receiver or not.
    pub(super) const fn ends_in_reset(&self) -> bool {
        self.is_reset() || self.doubtful_reset
    }

    /// Returns whether neither side can be retransmitting anything.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_reset() && self.halves.iter().all(StreamHalf::is_settled)
    }

    /// Counts a segment after the end: a copy of reported bytes, or bytes of unknown position.
    pub(super) fn note_late(&mut self, slot: Slot, side: Side, segment: &Segment<'_>, stats: &mut FlowRecord) {
        self.note_ack(side, segment);
        let half = side.of(&self.halves);
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        match half.offset(Seq(segment.seq)) {
            Some(offset) if half.started && half.is_from(Seq(segment.seq).plus(len)) => {
                stats.note_repeated(slot, side, offset, segment);
            }
            _ if half.started => stats.note_unplaced(segment.payload, segment.missing),
            _ => stats.retransmitted_bytes += len,
        }
    }

    /// Takes up a SYN-ACK with another number than the one before it, of which the client took no note. False where it
    /// did: then this one is of some other host.
    pub(super) fn restart(&mut self, side: Side, syn: &Segment<'_>) -> bool {
        let half = side.of_mut(&mut self.halves);
        let can = !half.confirmed && !half.is_waiting() && half.is_origin(half.next_seq());
        if can {
            *half = StreamHalf::from_syn(Seq(syn.seq).plus(1));
        }
        can
    }

    /// Whether a segment goes on where the stream of its side is, and has received just what was told of the other one, as
    /// nearly all have; then how far that is.
    #[inline]
    pub(super) fn plain_ack(&self, side: Side, segment: &Segment<'_>) -> Option<u64> {
        let is_plain = matches!(self.life, ConnState::Open) && self.holds_suspects == [false; 2];
        if !is_plain || *side.of(&self.tags) != segment.tag || segment.missing > 0 {
            return None;
        }
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let says_more = segment.payload.is_empty() && half.acked_beyond();
        if says_more || !half.goes_on_at(Seq(segment.seq)) { None } else { other.plain_ack(Seq(segment.ack)) }
    }

    /// Takes a segment of which [`Connection::plain_ack`] said how far it acknowledges: [`Connection::take`] would do the
    /// same.
    #[inline]
    pub(super) fn take_plain(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        received: u64,
        (now, stretch): (Timestamp, Stretch),
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        side.other().of_mut(&mut self.halves).note_plain_ack(received);
        let (half, bytes) = (side.of_mut(&mut self.halves), segment.payload);
        (self.last_at, self.doubtful_reset, half.heard) = (now, false, true);
        if !bytes.is_empty() {
            self.carried_bytes = true;
            sink(Chunk::Data { slot, side, at: segment.at, stretch, offset: half.next(), received, bytes });
            half.advance(bytes.len() as u64);
        }
    }

    /// Processes a segment of `side` and emits the chunks that it completes.
    pub(super) fn take(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        (clock, stretch): (&Clock, Stretch),
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        let now = clock.now();
        self.last_at = now;
        let received = self.note_ack(side, segment);
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        let first = if segment.flags.has(Flags::SYN) { Seq(segment.seq).plus(1) } else { Seq(segment.seq) };
        if segment.flags.has(Flags::RST) {
            side.of_mut(&mut self.halves).heard = true;
            self.note_reset(side, segment, now);
            return;
        }
        self.doubtful_reset = false;
        if self.begin(side, segment, first, len) {
            sink(Chunk::Gap { slot, side, len: 0, why: GapReason::Joined });
        }
        let half = side.of_mut(&mut self.halves);
        let Some(offset) = half.offset(first).filter(|_| half.started) else { return };
        if len > 0 {
            self.carried_bytes = true;
            self.take_bytes(slot, side, offset, received, segment, stretch, stats, sink);
        } else if offset == half.next() && !segment.flags.has(Flags::SYN) {
            half.note_goes_on();
        }
        let half = side.of_mut(&mut self.halves);
        if segment.flags.has(Flags::FIN) {
            half.note_fin(offset + len);
        }
        if self.is_stuck() || self.halves.iter().any(|half| !half.ended && half.at_fin()) {
            self.pump(slot, clock, false, stats, sink);
        }
    }

    /// Finds the position of a side's stream by a segment of it; true where the stream is joined in its middle by that.
    fn begin(&mut self, side: Side, segment: &Segment<'_>, first: Seq, len: u64) -> bool {
        let from_handshake = side.other().of(&self.halves).from_syn;
        let half = side.of_mut(&mut self.halves);
        half.heard = true;
        let syn = segment.flags.has(Flags::SYN);
        let mut joined = false;
        if syn && !half.started {
            half.start(first);
            half.from_syn = true;
        } else if syn && half.is_origin(first) {
            (half.from_syn, half.implied, half.joining) = (true, false, false);
        } else if !syn && len > 0 && (!half.started || half.implied) && !half.ended {
            // What the other side has acknowledged since the handshake is where the stream begins.
            let known = half.implied && from_handshake && first.ahead_of(half.next_seq()) >= 0;
            if !known {
                half.join_at(first);
                half.joining = !begins_message(segment.payload);
                joined = true;
            }
            half.implied = false;
        }
        if half.joining && (len > 0 || syn) {
            half.rewind(first, syn);
        }
        joined
    }

    /// Notes how far the sender had received the other stream; returns that as an offset.
    fn note_ack(&mut self, side: Side, segment: &Segment<'_>) -> u64 {
        if !segment.flags.has(Flags::ACK) {
            return 0;
        }
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let (syn, rst) = (segment.flags.has(Flags::SYN), segment.flags.has(Flags::RST));
        // Whoever asked to connect and had no response yet believes no other acknowledgement (RFC 9293, 3.10.7.3). Where
        // bytes come with one that is a little ahead, the rest of the handshake was not captured, nor what came then.
        let is_near = (1..=MAX_NEAR).contains(&Seq(segment.ack).ahead_of(other.next_seq()));
        let goes_on = is_near && !rst && (!segment.payload.is_empty() || segment.missing > 0);
        let believes = other.is_origin(Seq(segment.ack)) || goes_on;
        if (rst || (!syn && !half.started)) && other.from_syn && !other.confirmed && !believes {
            return 0;
        }
        // What was held comes after what was sent later.
        let is_late = *side.of(&self.holds_suspects);
        let latest = half.started && !half.is_waiting() && half.next_seq() == Seq(segment.seq) && !is_late;
        let other = side.other().of_mut(&mut self.halves);
        if !other.started && !rst {
            other.start(Seq(segment.ack));
            (other.implied, other.confirmed) = (true, true);
        }
        other.note_ack(Seq(segment.ack), latest)
    }

    /// A RST is heeded where its number is the one that its receiver expects; one nearby is challenged, any other one
    /// dropped (RFC 5961, 3.2). Who asked to connect heeds one that acknowledges just that (RFC 9293, 3.10.7.3).
    fn note_reset(&mut self, side: Side, segment: &Segment<'_>, now: Timestamp) {
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let seq = Seq(segment.seq);
        let refuses = segment.flags.has(Flags::ACK) && other.started && other.has_said(Seq(segment.ack));
        let heeded = if half.started {
            let after_fin = half.next_seq().plus(u64::from(half.at_fin()));
            seq == half.next_seq()
                || seq == after_fin
                || seq == half.acked_seq()
                || half.last_seq() == Some(seq)
                || (half.implied && !half.confirmed && refuses)
        } else {
            refuses
        };
        if self.life == ConnState::Open && heeded {
            self.life = ConnState::Reset { by: side, at: now };
        }
        let distance = seq.ahead_of(half.next_seq());
        self.doubtful_reset = !half.started || (-RESET_REACH..=RESET_REACH).contains(&distance);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one segment, taken apart once by the only caller")]
    fn take_bytes(
        &mut self,
        slot: Slot,
        side: Side,
        offset: u64,
        received: u64,
        segment: &Segment<'_>,
        stretch: Stretch,
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        let blocked = self.is_blocked(side, received);
        let half = side.of_mut(&mut self.halves);
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        if offset + len <= half.next() {
            if half.is_before_origin(offset) {
                stats.note_unplaced(segment.payload, segment.missing);
            } else {
                stats.note_repeated(slot, side, offset, segment);
            }
            return;
        }
        if half.ended {
            stats.note_unplaced(segment.payload, segment.missing);
            return;
        }
        half.note_bytes(offset + len);
        if matches!(self.life, ConnState::Reset { by, .. } if by == side) && offset == half.next() {
            // The side that sent RST and goes on all the same did not mean it, or did not send it.
            self.life = ConnState::Open;
        }
        let half = side.of_mut(&mut self.halves);
        if offset <= half.next() && !half.is_waiting() && !blocked && !half.joining {
            let repeated = half.next() - offset;
            stats.retransmitted_bytes += repeated;
            let skip = usize::try_from(repeated).unwrap_or(usize::MAX);
            let bytes = segment.payload.get(skip..).unwrap_or_default();
            let cut = u64::from(segment.missing) - repeated.saturating_sub(segment.payload.len() as u64);
            emit(slot, side, half, (segment.at, stretch), received, bytes, cut, stats, sink);
            return;
        }
        let bytes = segment.payload.to_vec();
        let waiting = BufferedSegment { at: segment.at, stretch, received, bytes, missing: segment.missing };
        stats.retransmitted_bytes += half.wait(offset, &waiting);
    }

    /// Returns whether bytes of `side` must wait: their sender had received more of the other stream than was emitted.
    ///
    /// It does not count where the other stream waits for this one in turn: a retransmitted segment carries a later
    /// acknowledgement than the original.
    fn is_blocked(&self, side: Side, received: u64) -> bool {
        let this = side.of(&self.halves);
        let other = side.other().of(&self.halves);
        if !(other.started && (other.heard || self.waits_unheard) && received > other.next() + 1) {
            return false;
        }
        let waits_for_this = |(offset, received): (u64, u64)| offset <= other.next() && received > this.next() + 1;
        !other.first_waiting().is_some_and(waits_for_this)
    }
}
