//! From a segment to the connection that it is of.

use std::hash::BuildHasher as _;

use super::{FlowLookup, FlowTable};
use crate::decode::Segment;
use crate::flow::checksum_trust::ChecksumTrust;
use crate::flow::connection::Fit;
use crate::flow::key::FlowKey;
use crate::flow::{Side, Slot};

impl FlowTable {
    /// Begins to look up the connection of a segment: the memory that knows where it stands is asked for.
    #[must_use]
    #[inline]
    pub fn lookup(&self, segment: &Segment<'_>) -> FlowLookup {
        let (key, side) = FlowKey::of(segment);
        let hash = self.hasher.hash_one(key);
        self.by_key.fetch(hash);
        FlowLookup { key, side, hash, guess: None, passed_over: 0 }
    }

    /// Continues a lookup: returns the slot where the connection probably is, or will be if it is opened, and
    /// prefetches its memory. Changes nothing in the table, and reads no connection.
    pub fn guess(&self, place: &mut FlowLookup) -> Option<Slot> {
        place.guess = self.by_key.first(place.hash);
        let slot = place.guess.or_else(|| self.free.last().copied());
        if let Some(slot) = slot {
            self.slots.fetch(slot);
        }
        slot
    }

    /// Asks how many of the next bytes nobody looks at, where that makes a difference: whether those are damaged need not be
    /// known. To be called just before the segment is taken.
    #[inline]
    pub fn pass_over(&self, place: &mut FlowLookup, segment: &Segment<'_>, count: impl FnOnce(Slot, Side) -> u64) {
        if let Some(slot) = place.guess.filter(|_| !segment.payload.is_empty())
            && let Some(known) = self.slots.get(slot)
            && *place.side.of(&known.checksums) != ChecksumTrust::MEANINGLESS
        {
            place.passed_over = count(slot, place.side);
        }
    }

    /// Connections between the same ends.
    pub(super) fn alike(&self, place: &FlowLookup) -> usize {
        let has_key = |slot: &Slot| self.connection(*slot).is_some_and(|connection| connection.key == place.key);
        self.by_key.find(place.hash).filter(has_key).count()
    }

    /// The connection of a segment, and how the segment goes with it. Of several between the same ends (in other networks, or
    /// one after another) the one whose numbers fit.
    pub(super) fn slot_of(&self, place: &FlowLookup, segment: &Segment<'_>) -> Option<(Slot, Fit)> {
        let mut other = None;
        // A slot that holds the key may be the one, whatever happened since the look-up.
        for slot in place.guess.into_iter().chain(self.by_key.find(place.hash)) {
            let Some(known) = self.connection(slot).filter(|known| known.key == place.key) else { continue };
            match known.claims(place.side, segment) {
                Some(Fit::Old) => return Some((slot, Fit::Old)),
                Some(fit) => other = Some((slot, fit)),
                None => {}
            }
        }
        other
    }
}
