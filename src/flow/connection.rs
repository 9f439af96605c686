//! One connection: both halves, kept in an order that both ends could have seen.

use std::time::Duration;

use super::half::{Half, MAX_PENDING_BYTES, NEVER, Waiting};
use super::{Chunk, Missing, Seq, Side, Slot, Stats};
use crate::decode::{Endpoint, Flags, Segment};
use crate::exchange::Timestamp;

/// How long a hole is kept open that the receiver says is none: the capture is out of order, or lost it.
pub(super) const PATIENCE_ACKED: Duration = Duration::from_millis(200);
/// How long a hole is kept open that nobody confirms: the sender may still fill it.
const PATIENCE_UNACKED: Duration = Duration::from_secs(3);
/// How far from the expected number RST may be (RFC 9293, 3.5.3 asks for the window; captures know it badly).
pub(super) const RESET_REACH: i64 = 16 * 1024 * 1024;

/// Both ends of a connection, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    pub(super) low: Endpoint,
    pub(super) high: Endpoint,
}

impl FlowKey {
    /// The key of a segment's connection, and the side that sent it.
    pub(super) fn of(segment: &Segment<'_>) -> (Self, Side) {
        let (source, destination) = (segment.source, segment.destination);
        if source <= destination {
            (Self { low: source, high: destination }, Side::Low)
        } else {
            (Self { low: destination, high: source }, Side::High)
        }
    }
}

/// How far a connection's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// There is no connection.
    Vacant,
    Open,
    /// One side sent a plausible RST.
    Reset {
        by: Side,
        at: Timestamp,
    },
    /// The end was told; what still comes is late copies.
    Closed {
        at: Timestamp,
        reset: bool,
    },
}

/// A connection that is followed. Three cache lines: with many connections open none of them is near.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: FlowKey,
    pub(super) last_at: Timestamp,
    pub(super) life: Life,
    pub(super) halves: [Half; 2],
    pub(super) carried_bytes: bool,
}

const _: () = assert!(size_of::<Connection>() <= 3 * 64);

impl Default for Connection {
    fn default() -> Self {
        let nobody = Endpoint::new(0, 0);
        let key = FlowKey { low: nobody, high: nobody };
        Self { life: Life::Vacant, ..Self::new(key, Timestamp::default()) }
    }
}

impl Connection {
    /// A connection of which nothing was told yet.
    pub(super) fn new(key: FlowKey, at: Timestamp) -> Self {
        Self { key, last_at: at, life: Life::Open, halves: Default::default(), carried_bytes: false }
    }

    pub(super) const fn is_there(&self) -> bool {
        !matches!(self.life, Life::Vacant)
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.life, Life::Closed { .. })
    }

    /// Whether a plausible RST was seen, and nothing since that belies it.
    pub(super) const fn is_reset(&self) -> bool {
        matches!(self.life, Life::Reset { .. } | Life::Closed { reset: true, .. })
    }

    /// What waits behind holes of both sides.
    pub(super) fn waiting(&self) -> usize {
        self.halves.iter().map(Half::pending_cost).sum()
    }

    /// Takes a segment of `side` and tells what it makes known.
    pub(super) fn take(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        stats: &mut Stats,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        self.last_at = self.last_at.max(segment.at);
        let received = self.note_ack(side, segment);
        let half = side.of_mut(&mut self.halves);
        half.heard = true;
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        let first = if segment.flags.has(Flags::SYN) { Seq(segment.seq).plus(1) } else { Seq(segment.seq) };
        if segment.flags.has(Flags::SYN) && !half.started {
            half.start(first);
            half.from_syn = true;
        } else if !half.started && len > 0 {
            half.start(first);
            half.joining = !begins_message(segment.payload);
            sink(Chunk::Gap { slot, side, len: 0, why: Missing::Joined });
        }
        if half.joining && (len > 0 || segment.flags.has(Flags::SYN)) {
            half.rewind(first, segment.flags.has(Flags::SYN));
        }
        if segment.flags.has(Flags::RST) {
            self.note_reset(side, segment);
            return;
        }
        let half = side.of_mut(&mut self.halves);
        let Some(offset) = half.offset(first).filter(|_| half.started) else { return };
        if segment.flags.has(Flags::FIN) {
            half.note_fin(offset + len);
        }
        if len > 0 {
            self.carried_bytes = true;
            self.take_bytes(slot, side, offset, received, segment, stats, sink);
        }
        if self.is_stuck() || self.halves.iter().any(|half| !half.ended && half.at_fin()) {
            self.pump(slot, segment.at, false, stats, sink);
        }
    }

    /// Notes how far the sender had received the other stream; returns that as an offset.
    fn note_ack(&mut self, side: Side, segment: &Segment<'_>) -> u64 {
        if !segment.flags.has(Flags::ACK) {
            return 0;
        }
        let other = side.other().of_mut(&mut self.halves);
        other.note_ack(Seq(segment.ack))
    }

    fn note_reset(&mut self, side: Side, segment: &Segment<'_>) {
        let half = side.of(&self.halves);
        let distance = Seq(segment.seq).ahead_of(half.next_seq());
        if self.life == Life::Open && (!half.started || (-RESET_REACH..=RESET_REACH).contains(&distance)) {
            self.life = Life::Reset { by: side, at: segment.at };
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one segment, taken apart once by the only caller")]
    fn take_bytes(
        &mut self,
        slot: Slot,
        side: Side,
        offset: u64,
        received: u64,
        segment: &Segment<'_>,
        stats: &mut Stats,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        let blocked = self.is_blocked(side, received);
        let half = side.of_mut(&mut self.halves);
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        if half.ended || offset + len <= half.next() || half.beyond_fin(offset) {
            stats.retransmitted_bytes += len;
            return;
        }
        if matches!(self.life, Life::Reset { by, .. } if by == side) && offset == half.next() {
            // The side that sent RST and goes on all the same did not mean it, or did not send it.
            self.life = Life::Open;
        }
        let half = side.of_mut(&mut self.halves);
        if offset <= half.next() && !half.is_waiting() && !blocked && !half.joining {
            let repeated = half.next() - offset;
            stats.retransmitted_bytes += repeated;
            let skip = usize::try_from(repeated).unwrap_or(usize::MAX);
            let bytes = segment.payload.get(skip..).unwrap_or_default();
            let cut = u64::from(segment.missing) - repeated.saturating_sub(segment.payload.len() as u64);
            tell(slot, side, half, segment.at, received, bytes, cut, stats, sink);
            return;
        }
        let waiting = Waiting { at: segment.at, received, bytes: segment.payload.to_vec(), missing: segment.missing };
        stats.retransmitted_bytes += half.wait(offset, &waiting);
    }

    /// Whether bytes of `side` must wait: their sender had received more than was told of the other stream.
    ///
    /// Where the other stream in turn waits for this one it does not count: a segment sent again carries a later
    /// acknowledgement than the one that it repeats.
    fn is_blocked(&self, side: Side, received: u64) -> bool {
        let this = side.of(&self.halves);
        let other = side.other().of(&self.halves);
        if !(other.started && other.heard && received > other.next() + 1) {
            return false;
        }
        let waits_for_this = |(offset, received): (u64, u64)| offset <= other.next() && received > this.next() + 1;
        !other.first_waiting().is_some_and(waits_for_this)
    }

    /// Whether anything waits, or is known to be missing.
    pub(super) fn is_stuck(&self) -> bool {
        self.halves.iter().any(|half| half.is_waiting() || (half.started && half.heard && half.acked_beyond()))
    }

    /// Tells all that can be told; `all`: gives up every hole.
    pub(super) fn pump(
        &mut self,
        slot: Slot,
        now: Timestamp,
        all: bool,
        stats: &mut Stats,
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
            let tired = Side::BOTH.map(|side| all || self.is_out_of_patience(side, now));
            let mut tired_sides = Side::BOTH.into_iter().filter(|side| *side.of(&tired));
            let given_up = tired_sides.clone().any(|side| self.give_up_hole(slot, side, stats, sink))
                || tired_sides.any(|side| self.give_up_order(slot, side, stats, sink));
            if !given_up {
                return;
            }
        }
    }

    /// Tells the next bytes, or the end, of one side; false where it has to wait.
    fn step(
        &mut self,
        slot: Slot,
        side: Side,
        now: Timestamp,
        stats: &mut Stats,
        sink: &mut impl FnMut(Chunk<'_>),
    ) -> bool {
        let first = side.of(&self.halves).first_waiting();
        let blocked = first.is_some_and(|(_, received)| self.is_blocked(side, received));
        let half = side.of_mut(&mut self.halves);
        if !half.started || half.ended {
            return false;
        }
        match first {
            Some((offset, _)) if offset <= half.next() && !blocked && !half.joining => {
                tell_first(slot, side, half, stats, sink)
            }
            None if half.at_fin() => {
                half.ended = true;
                sink(Chunk::End { slot, side, at: now });
                false
            }
            None if !(half.heard && half.acked_beyond()) => false,
            _ => {
                if half.stuck_since == NEVER {
                    half.stuck_since = now;
                }
                false
            }
        }
    }

    /// Gives up the bytes before the first waiting segment, or those that only an acknowledgement knows of.
    fn give_up_hole(&mut self, slot: Slot, side: Side, stats: &mut Stats, sink: &mut impl FnMut(Chunk<'_>)) -> bool {
        let half = side.of_mut(&mut self.halves);
        if std::mem::take(&mut half.joining) {
            return true;
        }
        let hole = match half.first_waiting() {
            Some((offset, _)) => offset > half.next(),
            None => half.heard && half.acked_beyond() && !half.at_fin(),
        };
        if !half.started || half.ended || !hole {
            return false;
        }
        if half.is_implausible() {
            half.pop();
            stats.implausible_segments += 1;
            return true;
        }
        let Some((len, why)) = half.jump() else { return false };
        stats.gaps += 1;
        stats.gap_bytes += len;
        sink(Chunk::Gap { slot, side, len, why });
        true
    }

    /// Tells bytes whose sender had received more of the other stream than was captured.
    fn give_up_order(&mut self, slot: Slot, side: Side, stats: &mut Stats, sink: &mut impl FnMut(Chunk<'_>)) -> bool {
        let half = side.of_mut(&mut self.halves);
        let next = half.next();
        half.first_waiting().is_some_and(|(offset, _)| offset <= next)
            && !half.ended
            && tell_first(slot, side, half, stats, sink)
    }

    fn is_out_of_patience(&self, side: Side, now: Timestamp) -> bool {
        let half = side.of(&self.halves);
        let patience = if half.joining || half.acked_beyond() || side.other().of(&self.halves).acked_beyond() {
            PATIENCE_ACKED
        } else {
            PATIENCE_UNACKED
        };
        half.pending_cost() > MAX_PENDING_BYTES || now.since(half.stuck_since) > patience
    }
}

/// Whether bytes look like the beginning of a message: then a stream that is joined in its middle begins here, and
/// nothing before them is waited for.
fn begins_message(bytes: &[u8]) -> bool {
    let word = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    word >= 3 && matches!(bytes.get(word), Some(b' ' | b'/'))
}

/// Tells bytes, and what the snap length cut off after them.
#[expect(clippy::too_many_arguments, reason = "the parts of one chunk")]
fn tell(
    slot: Slot,
    side: Side,
    half: &mut Half,
    at: Timestamp,
    received: u64,
    bytes: &[u8],
    cut: u64,
    stats: &mut Stats,
    sink: &mut impl FnMut(Chunk<'_>),
) {
    if !bytes.is_empty() {
        sink(Chunk::Data { slot, side, at, offset: half.next(), received, bytes });
        half.advance(bytes.len() as u64);
    }
    if cut > 0 {
        stats.gaps += 1;
        stats.gap_bytes += cut;
        sink(Chunk::Gap { slot, side, len: cut, why: Missing::Cut });
        half.advance(cut);
    }
}

/// Tells the first waiting segment, which is next.
fn tell_first(slot: Slot, side: Side, half: &mut Half, stats: &mut Stats, sink: &mut impl FnMut(Chunk<'_>)) -> bool {
    let Some((_, waiting)) = half.pop() else { return false };
    let cut = u64::from(waiting.missing);
    tell(slot, side, half, waiting.at, waiting.received, &waiting.bytes, cut, stats, sink);
    true
}
