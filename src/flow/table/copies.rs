//! Copies of segments that were captured in another place.

use std::hash::BuildHasher as _;

use super::FlowTable;
use crate::decode::Segment;
use crate::exchange::Timestamp;
use crate::flow::connection::Fit;
use crate::flow::key::FlowKey;
use crate::flow::{Chunk, FlowStats, Slot};

impl FlowTable {
    /// Takes note that connections are seen in several places, by clocks that may differ: from now on holes stay open until
    /// a copy from elsewhere would have come.
    pub(crate) const fn expect_copies(&mut self) {
        self.expects_copies = true;
    }

    /// Processes a copy of a segment that was captured in another place: it fills holes, and else counts nowhere. The copy
    /// came at `now`; its own time is that of the place that comes first. Returns false where no connection has its numbers.
    pub(crate) fn take_copy(
        &mut self,
        segment: &Segment<'_>,
        now: Timestamp,
        sink: &mut impl FnMut(Chunk<'_>),
    ) -> bool {
        let stretch = self.clock.tick(now);
        self.stats.clock_steps = self.clock.steps();
        self.sweep(sink);
        let (key, side) = FlowKey::of(segment);
        let fit = |slot: Slot| {
            let known = self.connection(slot).filter(|known| known.key == key)?;
            Some((slot, known.fit(side, segment))).filter(|(_, fit)| *fit != Fit::New)
        };
        let mut those = self.by_key.find(self.hasher.hash_one(key)).filter_map(fit);
        let Some(first) = those.next() else { return false };
        let Some((slot, _)) = Some(first).into_iter().chain(those).find(|(_, fit)| *fit == Fit::Old) else {
            return true;
        };
        let Some(known) = self.slots.get_mut(slot) else { return true };
        known.expects_copies = true;
        let segment = Segment { tag: *side.of(&known.tags), ..*segment };
        let before = self.stats.clone();
        self.hand_on(slot, side, &segment, stretch, sink);
        self.settle_suspects(slot, false, sink);
        let FlowStats { retransmitted_bytes, unplaced_bytes, unplaced_requests, .. } = before;
        let known = self.stats.retransmitted_bytes - retransmitted_bytes + self.stats.unplaced_bytes - unplaced_bytes;
        let counts = std::mem::take(&mut self.stats.counts);
        self.stats.counts = FlowStats { retransmitted_bytes, unplaced_bytes, unplaced_requests, ..counts };
        if let Some(new) = (segment.payload.len() as u64).checked_sub(known).filter(|new| *new > 0)
            && self.connection(slot).is_some()
        {
            *self.brought.entry(slot).or_default() += new;
        }
        true
    }

    /// Takes bytes that a copy brought before out of those that count as retransmitted since then.
    pub(super) fn discount_brought(&mut self, slot: Slot, retransmitted_before: u64) {
        if let Some(brought) = self.brought.get_mut(&slot) {
            let repeated = (self.stats.retransmitted_bytes - retransmitted_before).min(*brought);
            *brought -= repeated;
            self.stats.retransmitted_bytes -= repeated;
        }
    }
}
