//! SYNs amid a connection: the same ports again, or a forgery.
//!
//! A host whose connection stands answers such a SYN with an acknowledgement of what it expects (RFC 9293, 3.10.7.4),
//! and the connection goes on. So the SYN waits here until a segment goes by its number; then it is given back, to
//! begin the next connection. What goes by the old numbers leaves it waiting.

use std::collections::HashMap;

use super::connection::Connection;
use super::{Seq, Side, Slot};
use crate::decode::{Flags, Segment};

/// SYNs that nobody has answered yet: one a connection at most, which [`super::CONNECTION_COST`] has room for.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    by_slot: HashMap<Slot, Segment<'static>>,
}

impl Challenges {
    /// Takes note of a SYN amid a connection; false where it begins another one whatever comes next.
    pub(super) fn note(&mut self, slot: Slot, segment: &Segment<'_>, known: Option<&Connection>) -> bool {
        let alone = segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK) && segment.payload.is_empty();
        let stands = known.is_some_and(|known| known.carried_bytes && !known.is_closed() && !known.is_reset());
        if alone && stands {
            self.by_slot.insert(slot, Segment { payload: &[], missing: 0, ..*segment });
        }
        alone && stands
    }

    /// The SYN that waits in `slot`, where this segment of `side` goes by its number and not by those of the connection
    /// before it.
    pub(super) fn answered(
        &self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        known: Option<&Connection>,
    ) -> Option<Segment<'static>> {
        if self.by_slot.is_empty() {
            return None;
        }
        let syn = self.by_slot.get(&slot)?;
        let same_side = syn.source == segment.source;
        let number = if same_side { segment.seq } else { segment.ack };
        if segment.flags.has(Flags::SYN) && same_side || !(same_side || segment.flags.has(Flags::ACK)) {
            return None;
        }
        let half = if same_side { side } else { side.other() }.of(&known?.halves);
        let after_new = Seq(number).ahead_of(Seq(syn.seq).plus(1));
        let after_old = Seq(number).ahead_of(half.next_seq());
        (after_new >= 0 && after_new < after_old.abs()).then_some(*syn)
    }

    /// The connection in this slot is over.
    pub(super) fn forget(&mut self, slot: Slot) {
        if !self.by_slot.is_empty() {
            self.by_slot.remove(&slot);
        }
    }
}
