//! Whether a segment is of a connection, by its numbers.

use super::ConnState;
use super::{Connection, RESET_REACH};
use crate::decode::{Flags, Segment};
use crate::flow::{Seq, Side};

/// Relation of a segment to the sequence numbers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum Fit {
    /// By them.
    Old,
    /// By others in both directions: the same ends have another connection.
    New,
    /// By them in one direction only: the other host would drop it (RFC 9293, 3.10.7.4).
    Odd,
}

/// Relation of a SYN in the middle of a connection to that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum SynIs {
    /// Part of it.
    Its,
    /// The beginning of the next one.
    Next,
    /// The beginning of the next one if the other side heeds it.
    Pending,
}

impl Connection {
    /// Whether a segment carries the next bytes of `side`, and nothing else.
    #[inline]
    pub(in crate::flow) fn only_goes_on(&self, side: Side, segment: &Segment<'_>) -> bool {
        let half = side.of(&self.halves);
        let next = half.started && !half.joining && !half.is_waiting() && half.next_seq() == Seq(segment.seq);
        let plain = ![Flags::SYN, Flags::FIN, Flags::RST].iter().any(|flag| segment.flags.has(*flag));
        next && plain && !segment.payload.is_empty() && self.life == ConnState::Open
    }

    /// Returns the relation of a segment of `side`, which is not a SYN, to the numbers of the connection.
    #[inline]
    pub(in crate::flow) fn fit(&self, side: Side, segment: &Segment<'_>) -> Fit {
        let (half, other) = (side.of(&self.halves), side.other().of(&self.halves));
        let closed = self.is_closed();
        let seq = Seq(segment.seq);
        if half.started && seq == half.next_seq() {
            return Fit::Old;
        }
        let acks = segment.flags.has(Flags::ACK);
        let ack = (acks && other.started).then(|| other.can_have(Seq(segment.ack), closed));
        if !half.started {
            return if ack == Some(false) { Fit::New } else { Fit::Old };
        }
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        match (half.can_have(seq, closed), ack) {
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
    pub(in crate::flow) fn claims(&self, side: Side, segment: &Segment<'_>) -> Option<Fit> {
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
        let exact = known && half.is_near(Seq(segment.seq)) && other.can_have(Seq(segment.ack), false);
        (fit == Fit::Old && exact).then_some(fit)
    }

    /// Returns the relation of a SYN or SYN-ACK of `side` to the connection.
    pub(in crate::flow) fn syn_is(&self, side: Side, segment: &Segment<'_>) -> SynIs {
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
}
