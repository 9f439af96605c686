//! SYNs and SYN-ACKs in the middle of a connection: a reuse of the ports, or segments that the peer ignores.
//!
//! A host with an established connection responds to such a SYN with an acknowledgement of the number it expects (RFC
//! 9293, 3.10.7.4; RFC 5961, 4), and drops a SYN-ACK with numbers that it did not request. So the SYN waits here until
//! the other side uses its numbers; only then the next connection begins with it. Segments with the old numbers leave
//! it waiting.

use std::collections::HashMap;

use super::connection::{Connection, Fit};
use super::{Seq, Side, Slot};
use crate::decode::{Flags, Segment};

/// Bytes in a SYN that are kept while it waits (RFC 7413): as many as a segment has.
const MAX_SYN_DATA: usize = 1500;
/// Range of sequence numbers after that of a SYN, in bytes. Segments in it belong to the new connection.
const REACH: i64 = 64 * 1024;

/// A SYN or SYN-ACK that nobody has heeded yet.
#[derive(Debug)]
pub(super) struct PendingSyn {
    segment: Segment<'static>,
    data: Vec<u8>,
}

impl PendingSyn {
    /// It, as it came.
    pub(super) fn segment(&self) -> Segment<'_> {
        Segment { payload: &self.data, ..self.segment }
    }

    fn len(&self) -> i64 {
        i64::try_from(self.data.len()).unwrap_or(0) + i64::from(self.segment.missing)
    }
}

/// SYNs that nobody has heeded yet: one a connection at most, which [`super::CONNECTION_COST`] has room for.
#[derive(Debug, Default)]
pub(super) struct PendingSyns {
    by_slot: HashMap<Slot, PendingSyn>,
}

impl PendingSyns {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Takes note of a SYN or SYN-ACK amid a connection.
    pub(super) fn record(&mut self, slot: Slot, segment: &Segment<'_>) {
        let kept = segment.payload.len().min(MAX_SYN_DATA);
        let (data, cut) = segment.payload.split_at(kept);
        let missing = segment.missing.saturating_add(u32::try_from(cut.len()).unwrap_or(u32::MAX));
        let pending =
            PendingSyn { segment: Segment { payload: &[], missing, header: &[], ..*segment }, data: data.to_vec() };
        self.by_slot.insert(slot, pending);
    }

    /// Takes out what waits in `slot`, where this segment of `side` goes by its number and not by those of the
    /// connection that stands.
    pub(super) fn heeded(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        known: &Connection,
    ) -> Option<PendingSyn> {
        if self.by_slot.is_empty() {
            return None;
        }
        let pending = self.by_slot.get(&slot)?;
        let same_side = pending.segment.source == segment.source;
        let first = Seq(pending.segment.seq).plus(1);
        let half = if same_side { side } else { side.other() }.of(&known.halves);
        let acked = side.other().of(&known.halves);
        let is_plain = same_side && !segment.flags.has(Flags::SYN);
        if is_plain && Seq(segment.seq) == first && segment.flags.has(Flags::ACK) && !acked.has_said(Seq(segment.ack)) {
            // Just where the other connection would begin, and in response to a host that has other numbers as well.
            return self.by_slot.remove(&slot);
        }
        if half.started && half.next_seq().ahead_of(first) > 0 && half.is_from(first) {
            // The connection itself has gone on past that number.
            self.by_slot.remove(&slot);
            return None;
        }
        let by_its_number = if segment.flags.has(Flags::SYN) {
            !same_side
                && segment.flags.has(Flags::ACK)
                && !pending.segment.flags.has(Flags::ACK)
                && (0..=pending.len()).contains(&Seq(segment.ack).ahead_of(first))
        } else if same_side {
            (0..=REACH).contains(&Seq(segment.seq).ahead_of(first)) && known.fit(side, segment) != Fit::Old
        } else {
            segment.flags.has(Flags::ACK)
                && !segment.flags.has(Flags::RST)
                && (0..=REACH).contains(&Seq(segment.ack).ahead_of(first))
                && !half.has_said(Seq(segment.ack))
        };
        if by_its_number { self.by_slot.remove(&slot) } else { None }
    }

    /// The connection in this slot is over.
    pub(super) fn forget(&mut self, slot: Slot) {
        if !self.by_slot.is_empty() {
            self.by_slot.remove(&slot);
        }
    }
}
