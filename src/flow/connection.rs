//! One connection: both halves, kept in an order that both ends could have seen.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::clock::Stretch;
use super::given_up::FlowRecord;
use super::half::{BufferedSegment, MAX_PENDING_BYTES, NEVER, StreamHalf};
use super::message_start::begins_message;
use super::suspect::ChecksumTrust;
use super::{Chunk, GapReason, Seq, Side, Slot};
use crate::decode::{Endpoint, Flags, Segment};
use crate::exchange::Timestamp;

/// Timeout of a hole that the receiver has acknowledged: the capture is out of order, or lost the bytes.
pub(super) const PATIENCE_ACKED: Duration = Duration::from_millis(200);
/// The same where a copy of the bytes may come from another place, whose clock is its own.
const PATIENCE_COPY: Duration = Duration::from_secs(2);
/// Timeout of a hole that nobody acknowledges: the sender may still fill it.
const PATIENCE_UNACKED: Duration = Duration::from_secs(3);
/// Timeout of a hole whose bytes the receiver reports missing: its sender repeats them for that long (RFC 9293, 3.8.3:
/// at least 100 s).
const PATIENCE_MISSED: Duration = Duration::from_secs(5 * 60);
/// Largest distance of a RST from the expected sequence number, in bytes, at which it still explains why nothing came
/// after it.
pub(super) const RESET_REACH: i64 = 16 * 1024 * 1024;

/// Both ends of a connection, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowKey {
    low: [u64; 2],
    high: [u64; 2],
    ports: [u16; 2],
}

/// As numbers: arrays would be hashed with their lengths.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low_port, high_port] = self.ports;
        self.low.into_iter().chain(self.high).for_each(|half| state.write_u64(half));
        state.write_u32(u32::from(low_port) << 16 | u32::from(high_port));
    }
}

impl FlowKey {
    /// The key of a segment's connection, and the side that sent it.
    pub(super) fn of(segment: &Segment<'_>) -> (Self, Side) {
        let (source, destination) = (segment.source, segment.destination);
        if source <= destination {
            (Self::between(source, destination), Side::Low)
        } else {
            (Self::between(destination, source), Side::High)
        }
    }

    const fn between(low: Endpoint, high: Endpoint) -> Self {
        Self { low: low.halves(), high: high.halves(), ports: [low.port, high.port] }
    }

    /// The ends, the lower one first.
    pub(super) const fn ends(&self) -> [Endpoint; 2] {
        let [low, high] = self.ports;
        [Endpoint::of_halves(self.low, low), Endpoint::of_halves(self.high, high)]
    }
}

/// Relation of a segment to the sequence numbers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// By them.
    Old,
    /// By others in both directions: the same ends have another connection.
    New,
    /// By them in one direction only: the other host would drop it (RFC 9293, 3.10.7.4).
    Odd,
}

/// Relation of a SYN in the middle of a connection to that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SynIs {
    /// Part of it.
    Its,
    /// The beginning of the next one.
    Next,
    /// The beginning of the next one if the other side heeds it.
    Pending,
}

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

    /// Whether a segment carries the next bytes of `side`, and nothing else.
    #[inline]
    pub(super) fn only_goes_on(&self, side: Side, segment: &Segment<'_>) -> bool {
        let half = side.of(&self.halves);
        let next = half.started && !half.joining && !half.is_waiting() && half.next_seq() == Seq(segment.seq);
        let plain = ![Flags::SYN, Flags::FIN, Flags::RST].iter().any(|flag| segment.flags.has(*flag));
        next && plain && !segment.payload.is_empty() && self.life == ConnState::Open
    }

    /// Returns the relation of a segment of `side`, which is not a SYN, to the numbers of the connection.
    #[inline]
    pub(super) fn fit(&self, side: Side, segment: &Segment<'_>) -> Fit {
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let (closed, reset) = (self.is_closed(), self.is_reset());
        let seq = Seq(segment.seq);
        if half.started && seq == half.next_seq() {
            return Fit::Old;
        }
        let acks = segment.flags.has(Flags::ACK);
        let ack = (acks && other.started).then(|| other.can_have(Seq(segment.ack), closed, reset));
        if !half.started {
            return if ack == Some(false) { Fit::New } else { Fit::Old };
        }
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        match (half.can_have(seq, closed, reset), ack) {
            (true, Some(true) | None) => Fit::Old,
            (false, Some(true)) => Fit::Odd,
            (false, None) if !acks => Fit::Odd,
            // The same bytes beside another host that has numbers of its own for the other side.
            (true, Some(false)) if len > 0 && half.has_told(seq, len) => Fit::Old,
            (_, Some(false)) | (false, None) => Fit::New,
        }
    }

    /// Returns whether a segment of `side` can be of this connection, by its network and numbers, and its relation to
    /// those.
    ///
    /// A tag on one direction only, or a different one on each direction, does not mean another network if the numbers
    /// continue.
    pub(super) fn claims(&self, side: Side, segment: &Segment<'_>) -> Option<Fit> {
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let same_network = *side.of(&self.tags) == segment.tag;
        if segment.flags.has(Flags::SYN) {
            let first = Seq(segment.seq).plus(1);
            let is_copy = half.started && half.is_origin(first);
            let responds = segment.flags.has(Flags::ACK) && !half.heard && other.has_said(Seq(segment.ack));
            return if is_copy || responds {
                Some(Fit::Old)
            } else if same_network {
                Some(Fit::New)
            } else {
                None
            };
        }
        let fit = self.fit(side, segment);
        if same_network {
            return Some(fit);
        }
        let known = half.started && other.started && segment.flags.has(Flags::ACK);
        let exact = known && half.is_near(Seq(segment.seq)) && other.can_have(Seq(segment.ack), false, false);
        (fit == Fit::Old && exact).then_some(fit)
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

    /// Returns the relation of a SYN or SYN-ACK of `side` to the connection.
    pub(super) fn syn_is(&self, side: Side, segment: &Segment<'_>) -> SynIs {
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let first = Seq(segment.seq).plus(1);
        let is_copy = half.started && half.is_origin(first);
        let acks = segment.flags.has(Flags::ACK);
        if self.is_closed() || (self.is_reset() && !acks) {
            return if is_copy && self.carried_bytes { SynIs::Its } else { SynIs::Next };
        }
        let heeds = !acks || !other.started || other.has_said(Seq(segment.ack));
        let behind = half.next_seq().ahead_of(first);
        // Where a stream begins that was joined in its middle is settled once its bytes are emitted.
        let is_open = !half.from_syn && (half.joining || half.implied);
        let is_late = is_open && (0..=RESET_REACH).contains(&behind);
        if is_copy || (heeds && (!half.started || is_late)) { SynIs::Its } else { SynIs::Pending }
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
        (now, stretch): (Timestamp, Stretch),
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
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
            self.pump(slot, now, false, stats, sink);
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
                half.start(first);
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
        // Whoever asked to connect and had no response yet believes no other acknowledgement (RFC 9293, 3.10.7.3).
        if (rst || (!syn && !half.started)) && other.from_syn && !other.confirmed && !other.is_origin(Seq(segment.ack))
        {
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

    /// Returns whether any bytes wait.
    pub(super) fn is_stuck(&self) -> bool {
        self.halves.iter().any(StreamHalf::is_waiting)
    }

    /// Emits all chunks that are ready; with `all`, gives up every hole.
    pub(super) fn pump(
        &mut self,
        slot: Slot,
        now: Timestamp,
        all: bool,
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        loop {
            let mut went_on = true;
            while std::mem::take(&mut went_on) {
                for side in Side::BOTH {
                    while self.step(slot, side, now, stats, sink) {
                        went_on = true;
                    }
                }
            }
            // Only what holds up both sides is given up: a hole before an order that cannot be kept.
            let tired = Side::BOTH.map(|side| all || self.is_out_of_patience(side, now, stats.order_patience));
            let mut tired_sides = Side::BOTH.into_iter().filter(|side| *side.of(&tired));
            let given_up = tired_sides.clone().any(|side| self.give_up_hole(slot, side, all, stats, sink))
                || tired_sides.any(|side| self.give_up_order(slot, side, stats, sink));
            if !given_up {
                return;
            }
        }
    }

    /// Emits the next bytes, or the end, of one side; returns false where it has to wait.
    fn step(
        &mut self,
        slot: Slot,
        side: Side,
        now: Timestamp,
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) -> bool {
        let first = side.of(&self.halves).first_waiting();
        let blocked = first.is_some_and(|(_, received)| self.is_blocked(side, received));
        let half = side.of_mut(&mut self.halves);
        if !half.started || half.ended {
            return false;
        }
        if half.at_fin() {
            // What waits beyond the end was never taken.
            while let Some((_, waiting)) = half.pop() {
                stats.implausible_segments += 1;
                stats.note_unplaced(&waiting.bytes, waiting.missing);
            }
            half.ended = true;
            sink(Chunk::End { slot, side, at: now });
            return false;
        }
        match first {
            Some((offset, _)) if offset <= half.next() && !blocked && !half.joining => {
                emit_first(slot, side, half, stats, sink)
            }
            None => false,
            _ => {
                if half.stuck_since == NEVER {
                    half.stuck_since = now;
                }
                false
            }
        }
    }

    /// Gives up the bytes before the first waiting segment; with `all`, those that only an acknowledgement knows of, too.
    fn give_up_hole(
        &mut self,
        slot: Slot,
        side: Side,
        all: bool,
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) -> bool {
        let half = side.of_mut(&mut self.halves);
        if std::mem::take(&mut half.joining) {
            return true;
        }
        let hole = match half.first_waiting() {
            Some((offset, _)) => offset > half.next(),
            None => all && half.heard && half.acked_beyond() && !half.at_fin(),
        };
        if !half.started || half.ended || !hole {
            return false;
        }
        if half.is_implausible() {
            if let Some((_, waiting)) = half.pop() {
                stats.implausible_segments += 1;
                stats.note_unplaced(&waiting.bytes, waiting.missing);
            }
            return true;
        }
        let from = half.next();
        let Some((len, why)) = half.jump() else { return false };
        stats.give_up(slot, side, from, len, false);
        sink(Chunk::Gap { slot, side, len, why });
        true
    }

    /// Emits bytes whose sender had received more of the other stream than was captured.
    fn give_up_order(
        &mut self,
        slot: Slot,
        side: Side,
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) -> bool {
        let half = side.of(&self.halves);
        let next = half.next();
        let first = half.first_waiting().filter(|(offset, _)| *offset <= next && !half.ended);
        let Some((_, received)) = first else { return false };
        let other_side = side.other();
        let other = other_side.of_mut(&mut self.halves);
        if other.heard && !other.is_waiting() && !other.ended && other.acked_beyond() {
            // What it had received and nobody captured is lost.
            let from = other.next();
            if let Some(len) = other.jump_acked(received) {
                stats.give_up(slot, other_side, from, len, true);
                sink(Chunk::Gap { slot, side: other_side, len, why: GapReason::Gap });
                return true;
            }
        }
        if self.waits_unheard && !other.heard {
            self.waits_unheard = false;
            stats.one_way += 1;
        }
        emit_first(slot, side, side.of_mut(&mut self.halves), stats, sink)
    }

    fn is_out_of_patience(&self, side: Side, now: Timestamp, order_patience: Duration) -> bool {
        let half = side.of(&self.halves);
        let in_order = half.first_waiting().is_some_and(|(offset, _)| offset <= half.next());
        let patience = if half.joining || (half.acked_beyond() && !in_order) {
            if self.expects_copies { PATIENCE_COPY } else { PATIENCE_ACKED }
        } else if in_order {
            order_patience
        } else if half.missed && !half.is_implausible() {
            PATIENCE_MISSED
        } else {
            PATIENCE_UNACKED
        };
        half.pending_cost() > MAX_PENDING_BYTES
            || (!side.of(&self.holds_suspects) && now.since(half.stuck_since) > patience)
    }
}

/// Emits bytes, and a gap for those that the snap length cut off after them.
#[expect(clippy::too_many_arguments, reason = "the parts of one chunk")]
fn emit(
    slot: Slot,
    side: Side,
    half: &mut StreamHalf,
    (at, stretch): (Timestamp, Stretch),
    received: u64,
    bytes: &[u8],
    cut: u64,
    stats: &mut FlowRecord,
    sink: &mut impl FnMut(Chunk<'_>),
) {
    if !bytes.is_empty() {
        sink(Chunk::Data { slot, side, at, stretch, offset: half.next(), received, bytes });
        half.advance(bytes.len() as u64);
        // Where it begins is settled: by a SYN with bytes that is not where acknowledgements have it, say.
        half.implied = false;
    }
    if cut > 0 {
        stats.gaps += 1;
        stats.gap_bytes += cut;
        sink(Chunk::Gap { slot, side, len: cut, why: GapReason::Cut });
        half.advance(cut);
    }
}

/// Emits the first waiting segment, which is next in the stream.
fn emit_first(
    slot: Slot,
    side: Side,
    half: &mut StreamHalf,
    stats: &mut FlowRecord,
    sink: &mut impl FnMut(Chunk<'_>),
) -> bool {
    let Some((_, waiting)) = half.pop() else { return false };
    let cut = u64::from(waiting.missing);
    emit(slot, side, half, (waiting.at, waiting.stretch), waiting.received, &waiting.bytes, cut, stats, sink);
    true
}
