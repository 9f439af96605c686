//! Hosts in between that shift the numbers of one side, where they are tapped on both sides of them.
//!
//! A SYN proxy replies to a client by numbers of its own, then opens to the server by the client's, and shifts the server's
//! numbers from then on. Its two legs stand between the same ends, and each segment is there twice. The two handshakes say
//! by how much the numbers differ: so a segment of the leg by whose numbers the connection does not go is read as the
//! copy that it is. As it stands, it would be one behind a hole, or an acknowledgement of bytes that never come.

use std::collections::HashMap;

use super::{FlowLookup, FlowTable};
use crate::decode::{Flags, Segment};
use crate::flow::{Seq, Side, Slot};

/// By how much the numbers of a side are higher on the other leg.
#[derive(Clone, Copy, Debug)]
struct Shift {
    side: Side,
    by: u32,
}

/// The connections of which another leg was seen.
#[derive(Debug, Default)]
pub(super) struct OtherLegs {
    by_slot: HashMap<Slot, Shift, foldhash::fast::RandomState>,
}

impl OtherLegs {
    /// Takes note that the stream of `side` begins at `there` on another leg, and at `here` by the connection's numbers.
    pub(super) fn note(&mut self, slot: Slot, side: Side, here: Seq, there: Seq) {
        if here != there {
            self.by_slot.insert(slot, Shift { side, by: there.0.wrapping_sub(here.0) });
        }
    }

    /// The connection in this slot is over.
    pub(super) fn forget(&mut self, slot: Slot) {
        if !self.by_slot.is_empty() {
            self.by_slot.remove(&slot);
        }
    }
}

impl FlowTable {
    /// A segment of another leg by the numbers of its connection; `None` where it goes by them already.
    #[inline]
    pub(super) fn of_other_leg<'a>(&self, place: &FlowLookup, segment: &Segment<'a>) -> Option<Segment<'a>> {
        if self.other_legs.by_slot.is_empty() { None } else { self.by_own_numbers(place, segment) }
    }

    #[cold]
    fn by_own_numbers<'a>(&self, place: &FlowLookup, segment: &Segment<'a>) -> Option<Segment<'a>> {
        let (known, shift) = self.by_key.find(place.hash).find_map(|slot| {
            let known = self.connection(slot).filter(|known| known.key == place.key)?;
            Some((known, *self.other_legs.by_slot.get(&slot)?))
        })?;
        let half = shift.side.of(&known.halves);
        let is_sender = place.side == shift.side;
        if !is_sender && !segment.flags.has(Flags::ACK) {
            return None;
        }
        let number = Seq(if is_sender { segment.seq } else { segment.ack });
        let own = Seq(number.0.wrapping_sub(shift.by));
        let distance = |number: Seq| number.ahead_of(half.next_seq()).abs();
        let fits = if segment.flags.has(Flags::SYN) {
            is_sender && half.is_origin(own.plus(1))
        } else {
            half.is_near(own) && distance(own) < distance(number)
        };
        let number = if fits { own.0 } else { return None };
        Some(if is_sender { Segment { seq: number, ..*segment } } else { Segment { ack: number, ..*segment } })
    }

    /// Returns whether an accepted SYN-ACK continues the existing connection: the one before it was not accepted, or it
    /// is of a host in between. A side whose end was told does not begin again.
    pub(super) fn takes_up(&mut self, slot: Slot, side: Side, syn: &Segment<'_>) -> bool {
        let Some(connection) = self.slots.get_mut(slot) else { return false };
        let asked = side.other().of(&connection.halves);
        let is_response = syn.flags.has(Flags::ACK) && asked.from_syn && asked.is_origin(Seq(syn.ack));
        if !is_response || side.of(&connection.halves).ended {
            return false;
        }
        let (known, there) = (side.of(&connection.halves).origin, Seq(syn.seq).plus(1));
        if connection.restart(side, syn) {
            self.other_legs.note(slot, side, there, known);
        } else {
            self.other_legs.note(slot, side, known, there);
        }
        true
    }
}
