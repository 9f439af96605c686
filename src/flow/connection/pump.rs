//! What a connection emits: bytes that are next, and the holes that are given up.

use std::time::Duration;

use super::{Connection, PATIENCE_ACKED};
use crate::exchange::Timestamp;
use crate::flow::clock::{Clock, Stretch};
use crate::flow::given_up::FlowRecord;
use crate::flow::half::{MAX_PENDING_BYTES, StreamHalf};
use crate::flow::{Chunk, GapReason, Side, Slot};

/// The same where a copy of the bytes may come from another place, whose clock is its own.
const PATIENCE_COPY: Duration = Duration::from_secs(2);
/// Timeout of a hole that nobody acknowledges: the sender may still fill it.
const PATIENCE_UNACKED: Duration = Duration::from_secs(3);
/// Timeout of a hole whose bytes the receiver reports missing: its sender repeats them for that long (RFC 9293, 3.8.3:
/// at least 100 s).
const PATIENCE_MISSED: Duration = Duration::from_secs(5 * 60);

impl Connection {
    /// Returns whether any bytes wait.
    pub(in crate::flow) fn is_stuck(&self) -> bool {
        self.halves.iter().any(StreamHalf::is_waiting)
    }

    /// Emits all chunks that are ready; with `all`, gives up every hole.
    pub(in crate::flow) fn pump(
        &mut self,
        slot: Slot,
        clock: &Clock,
        all: bool,
        stats: &mut FlowRecord,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        loop {
            let mut went_on = true;
            while std::mem::take(&mut went_on) {
                for side in Side::BOTH {
                    while self.step(slot, side, clock.now(), stats, sink) {
                        went_on = true;
                    }
                }
            }
            // Only what holds up both sides is given up: a hole before an order that cannot be kept.
            let tired = Side::BOTH.map(|side| all || self.is_out_of_patience(side, clock, stats.order_patience));
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
                half.note_stuck(now);
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

    fn is_out_of_patience(&self, side: Side, clock: &Clock, order_patience: Duration) -> bool {
        let half = side.of(&self.halves);
        let in_order = half.first_waiting().is_some_and(|(offset, _)| offset <= half.next());
        let short = if self.expects_copies { PATIENCE_COPY } else { PATIENCE_ACKED };
        let (since, patience) = if in_order && !half.joining {
            (half.stuck_since, order_patience)
        } else if half.acked_beyond() {
            // However old the hole is: what is acknowledged was just repeated, and may be captured after that.
            (half.acked_since(), short)
        } else if half.missed && !half.is_implausible() {
            (half.stuck_since, PATIENCE_MISSED)
        } else {
            (half.stuck_since, PATIENCE_UNACKED)
        };
        half.pending_cost() > MAX_PENDING_BYTES || (!side.of(&self.holds_suspects) && clock.is_over(since, patience))
    }
}

/// Emits bytes, and a gap for those that the snap length cut off after them.
#[expect(clippy::too_many_arguments, reason = "the parts of one chunk")]
pub(super) fn emit(
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
        stats.cuts += 1;
        stats.cut_bytes += cut;
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
