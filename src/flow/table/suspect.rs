//! Segments whose checksum is wrong: each yields to a copy whose checksum is right.
//!
//! A receiver drops such a segment (RFC 9293, 3.1), and its sender sends it again. But checksums are also wrong where
//! hardware computes them, or merges segments. So one is judged only in a direction whose checksums have been right,
//! and it waits for what the receiver says: when it acknowledges those bytes and no copy of them came, the segment was
//! right and the checksum says nothing, here and in what that side sends from then on.
//!
//! What acknowledges it may have a wrong checksum, too: payloads were changed in both directions after the capture, say.
//! The number of its last byte stands there by no accident, so it is heeded where it is just that, and then the checksums
//! of neither side say anything.

use std::collections::HashMap;
use std::time::Duration;

use super::FlowTable;
use crate::decode::{Flags, Segment};
use crate::exchange::Timestamp;
use crate::flow::checksum_trust::ChecksumTrust;
use crate::flow::clock::{NEVER, Stretch};
use crate::flow::connection::PATIENCE_ACKED;
use crate::flow::{Chunk, Seq, Side, Slot};

/// Bytes of such segments that are held in all connections; past it another one is dropped, and counted as unplaced.
const MAX_HELD_BYTES: usize = 1 << 20;
/// What one costs besides its bytes.
const SUSPECT_COST: usize = 200;
/// Segments of one side that are held at most: where so many are wrong in a row, and none comes again, checksums say
/// nothing.
const MAX_HELD: usize = 16;
/// How long a copy is waited for where the receiver is not heard.
const PATIENCE_UNHEARD: Duration = Duration::from_secs(3);
/// How long one is held that is never acknowledged.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// A segment that waits for a copy of it.
#[derive(Debug)]
struct Suspect {
    side: Side,
    segment: Segment<'static>,
    data: Vec<u8>,
    stretch: Stretch,
    /// Since when it is held.
    since: Timestamp,
    /// When its receiver was seen to acknowledge it, or [`NEVER`].
    acked_at: Timestamp,
    /// True when only segments whose checksum is wrong have acknowledged it.
    acked_in_doubt: bool,
}

impl Suspect {
    fn segment(&self) -> Segment<'_> {
        Segment { payload: &self.data, ..self.segment }
    }

    fn cost(&self) -> usize {
        self.data.len() + SUSPECT_COST
    }

    /// The number that acknowledges all of it.
    fn end(&self) -> Seq {
        Seq(self.segment.seq).plus(self.data.len() as u64 + u64::from(self.segment.flags.has(Flags::FIN)))
    }

    /// Whether it acknowledges just what the other one ends with.
    fn acks(&self, other: &Self) -> bool {
        self.side != other.side && self.segment.flags.has(Flags::ACK) && Seq(self.segment.ack) == other.end()
    }

    fn note_suspect_ack(&mut self, now: Timestamp) {
        if self.acked_at == NEVER {
            (self.acked_at, self.acked_in_doubt) = (now, true);
        }
    }
}

/// Segments that wait for copies of them.
#[derive(Debug, Default)]
pub(super) struct SuspectSegments {
    by_slot: HashMap<Slot, Vec<Suspect>>,
    held_bytes: usize,
}

impl SuspectSegments {
    /// Whether none waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Whether any of this connection wait.
    #[inline]
    pub(super) fn concern(&self, slot: Slot) -> bool {
        !self.by_slot.is_empty() && self.by_slot.contains_key(&slot)
    }

    fn hold(&mut self, slot: Slot, mut suspect: Suspect) {
        self.held_bytes += suspect.cost();
        let all = self.by_slot.entry(slot).or_default();
        // The acknowledgement may have been captured first.
        if all.iter().any(|held| held.acks(&suspect)) {
            suspect.note_suspect_ack(suspect.since);
        }
        all.push(suspect);
    }

    /// Notes what a segment of `side` acknowledges whose checksum is wrong. It counts where a held segment ends just there;
    /// those of the same side before it were received, too.
    fn note_ack(&mut self, slot: Slot, side: Side, ack: Seq, now: Timestamp) {
        let Some(all) = self.by_slot.get_mut(&slot) else { return };
        if !all.iter().any(|held| held.side != side && held.end() == ack) {
            return;
        }
        for held in all.iter_mut().filter(|held| held.side != side && ack.ahead_of(held.end()) >= 0) {
            held.note_suspect_ack(now);
        }
    }

    /// Holds on to some that were taken out.
    fn restore(&mut self, slot: Slot, some: Vec<Suspect>) {
        self.held_bytes += some.iter().map(Suspect::cost).sum::<usize>();
        self.by_slot.insert(slot, some);
    }

    /// Whether as many of a side are held as ever are.
    fn are_many(&self, slot: Slot, side: Side) -> bool {
        let of_side = |all: &Vec<Suspect>| all.iter().filter(|suspect| suspect.side == side).count();
        self.by_slot.get(&slot).is_some_and(|all| of_side(all) >= MAX_HELD)
    }

    /// Takes out all of a connection.
    fn take(&mut self, slot: Slot) -> Vec<Suspect> {
        let all = self.by_slot.remove(&slot).unwrap_or_default();
        self.held_bytes -= all.iter().map(Suspect::cost).sum::<usize>();
        all
    }
}

/// What becomes of a segment that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It waits on.
    Waits,
    /// A copy of it came.
    Replaced,
    /// Its receiver has taken it.
    Believed,
    /// Its receiver never took it, nor a copy.
    Lost,
}

impl FlowTable {
    /// Whether the checksum of a segment shows that its receiver dropped it. Then it is counted and, if it has anything to
    /// say, held. Where it only goes on with `passed_over` bytes at which nobody looks it is not asked: that takes longer
    /// than all else.
    #[inline]
    pub(super) fn holds_suspect(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        stretch: Stretch,
        passed_over: u64,
    ) -> bool {
        let Some(connection) = self.slots.get_mut(slot).filter(|known| !known.is_closed()) else { return false };
        let goes_on = (segment.payload.len() as u64) < passed_over && connection.only_goes_on(side, segment);
        if goes_on || !side.of_mut(&mut connection.checksums).is_suspect(segment) {
            return false;
        }
        self.hold_suspect(slot, side, segment, stretch)
    }

    /// Counts and holds a segment whose checksum is wrong; false where too many are.
    #[cold]
    fn hold_suspect(&mut self, slot: Slot, side: Side, segment: &Segment<'_>, stretch: Stretch) -> bool {
        let now = self.clock.now();
        let Some(connection) = self.slots.get_mut(slot) else { return false };
        let half = side.of(&connection.halves);
        let has_place = half.started && (!half.implied || half.can_have(Seq(segment.seq), false));
        if !has_place && !segment.payload.is_empty() {
            // It says where its side begins; until then no acknowledgement can be held against it.
            return false;
        }
        let trust = side.of_mut(&mut connection.checksums);
        if self.suspects.are_many(slot, side) {
            *trust = ChecksumTrust::MEANINGLESS;
            self.wake_by(slot, now);
            return false;
        }
        self.stats.bad_checksums += 1;
        if segment.flags.has(Flags::ACK) {
            self.suspects.note_ack(slot, side, Seq(segment.ack), now);
        }
        let says_more = !segment.payload.is_empty() || segment.flags.has(Flags::FIN);
        if !says_more || segment.flags.has(Flags::SYN) || segment.flags.has(Flags::RST) {
            return true;
        }
        if self.suspects.held_bytes + segment.payload.len() > MAX_HELD_BYTES {
            self.stats.note_unplaced(segment.payload, 0);
            return true;
        }
        *side.of_mut(&mut connection.holds_suspects) = true;
        let (data, segment) = (segment.payload.to_vec(), Segment { payload: &[], header: &[], ..*segment });
        let suspect = Suspect { side, segment, data, stretch, since: now, acked_at: NEVER, acked_in_doubt: false };
        self.suspects.hold(slot, suspect);
        self.wake_by(slot, now.plus(PATIENCE_ACKED));
        true
    }

    /// Looks at what is held of a connection; `over`: it has come to its end.
    pub(super) fn settle_suspects(&mut self, slot: Slot, over: bool, sink: &mut impl FnMut(Chunk<'_>)) {
        if !self.suspects.concern(slot) {
            return;
        }
        let all = self.suspects.take(slot);
        let mut waits = Vec::new();
        for mut suspect in all {
            match self.fate(slot, &mut suspect, over) {
                Fate::Waits => waits.push(suspect),
                Fate::Replaced => {}
                Fate::Lost => self.stats.note_unplaced(&suspect.data, 0),
                Fate::Believed => {
                    if let Some(connection) = self.slots.get_mut(slot) {
                        *suspect.side.of_mut(&mut connection.checksums) = ChecksumTrust::MEANINGLESS;
                        if suspect.acked_in_doubt {
                            connection.checksums = [ChecksumTrust::MEANINGLESS; 2];
                        }
                    }
                    self.hand_on(slot, suspect.side, &suspect.segment(), suspect.stretch, sink);
                }
            }
        }
        let now = self.clock.now();
        let Some(connection) = self.slots.get_mut(slot).filter(|known| known.is_there() && !known.is_closed()) else {
            // It ended just now.
            for suspect in waits {
                self.stats.note_unplaced(&suspect.data, 0);
            }
            return;
        };
        connection.holds_suspects = Side::BOTH.map(|side| waits.iter().any(|suspect| suspect.side == side));
        if !waits.is_empty() {
            self.suspects.restore(slot, waits);
            self.wake_by(slot, now.plus(PATIENCE_ACKED));
        }
    }

    fn fate(&self, slot: Slot, suspect: &mut Suspect, over: bool) -> Fate {
        let Some(connection) = self.connection(slot) else { return Fate::Lost };
        let now = self.clock.now();
        let (half, other) = (suspect.side.of(&connection.halves), suspect.side.other().of(&connection.halves));
        let fin = suspect.segment.flags.has(Flags::FIN);
        let (begin, len) = (Seq(suspect.segment.seq), suspect.data.len() as u64);
        if half.has_all(begin, len, fin) {
            return Fate::Replaced;
        }
        let is_acked = half.is_acked_to(suspect.end());
        if suspect.acked_at != NEVER || is_acked {
            if suspect.acked_at == NEVER {
                suspect.acked_at = now;
            }
            suspect.acked_in_doubt &= !is_acked;
            // A copy may have been captured late.
            let is_late = now.since(suspect.acked_at) > PATIENCE_ACKED;
            return if over || is_late { Fate::Believed } else { Fate::Waits };
        }
        let held = now.since(suspect.since);
        if *suspect.side.of(&connection.checksums) == ChecksumTrust::MEANINGLESS {
            return Fate::Believed;
        }
        if other.heard {
            if over || held > PATIENCE { Fate::Lost } else { Fate::Waits }
        } else if over || held > PATIENCE_UNHEARD {
            Fate::Believed
        } else {
            Fate::Waits
        }
    }
}
