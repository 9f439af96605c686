//! Which numbers can be of a stream, by where it is.

use super::{BEFORE_JOINING, MAX_NEAR, ORIGIN, PLAUSIBLE_AHEAD, StreamHalf};
use crate::flow::Seq;

/// Largest distance before the first captured byte, in bytes, of segments that were in flight when the capture joined
/// the stream.
const BEFORE_JOINED: i64 = 64 * 1024;

impl StreamHalf {
    /// Returns how many bytes before the next one were seen, or may still be in flight: those may be retransmitted.
    fn repeatable(&self) -> i64 {
        let told = if self.next > ORIGIN + PLAUSIBLE_AHEAD { i64::MAX } else { self.seq.ahead_of(self.origin) };
        let before = if self.joining || self.implied {
            BEFORE_JOINING
        } else if self.from_syn {
            1
        } else {
            BEFORE_JOINED
        };
        told.clamp(0, PLAUSIBLE_AHEAD.cast_signed()) + before
    }

    /// Returns whether the byte with this number was seen.
    pub(in crate::flow) fn is_from(&self, seq: Seq) -> bool {
        (-self.repeatable()..=0).contains(&seq.ahead_of(self.seq))
    }

    /// Returns whether the byte with this number was seen, or comes soon: after a few that another place has lost.
    pub(in crate::flow) fn is_near(&self, seq: Seq) -> bool {
        (-self.repeatable()..=MAX_NEAR).contains(&seq.ahead_of(self.seq))
    }

    /// Returns whether all `len` bytes from this number on were emitted, not long ago.
    pub(in crate::flow) fn has_told(&self, seq: Seq, len: u64) -> bool {
        const NOT_LONG_AGO: i64 = 1 << 20;
        let told = self.seq.ahead_of(self.origin).clamp(0, NOT_LONG_AGO);
        let behind = self.seq.ahead_of(seq);
        (0..=told).contains(&behind) && len <= behind.unsigned_abs()
    }

    /// Returns whether this number can be of the stream: a retransmission, or one of those that come next. None do once the
    /// connection is closed: the same ends may begin another one a little ahead.
    pub(in crate::flow) fn can_have(&self, seq: Seq, closed: bool) -> bool {
        let known = self.acked.max(self.next).saturating_sub(self.next).cast_signed();
        let ahead = if closed { known + 1 } else { PLAUSIBLE_AHEAD.max(self.pending_cost() as u64).cast_signed() };
        (-self.repeatable()..=ahead).contains(&seq.ahead_of(self.seq))
    }

    /// Returns whether an acknowledgement of this number is one of bytes that were emitted.
    pub(in crate::flow) fn has_said(&self, ack: Seq) -> bool {
        self.started && (-self.repeatable()..=1).contains(&ack.ahead_of(self.seq))
    }
}
