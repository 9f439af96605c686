//! One direction of a connection: what came, what is next, what waits behind a hole.

mod reach;

use super::clock::NEVER;
use super::out_of_order::{BufferedSegment, OutOfOrderQueue};
use super::{GapReason, Seq};
use crate::exchange::Timestamp;

/// Largest cost of the segments that wait behind a hole in one stream, in bytes, with the overhead of each segment.
/// Past it the hole is given up: a gap is emitted, and then the waiting segments.
pub(super) const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;
/// Offset of a stream's first byte where its SYN was seen; high enough that nothing comes before zero.
pub(crate) const ORIGIN: u64 = 1 << 32;
/// Offset of FIN as long as none was seen: beyond every offset. It is not an `Option`, so that a connection has few
/// cache lines.
const NO_FIN: u64 = u64::MAX;
/// Largest distance ahead, in bytes, at which a lone segment is accepted without its receiver's acknowledgement.
pub(super) const PLAUSIBLE_AHEAD: u64 = 16 * 1024 * 1024;
/// Largest distance before the first captured byte, in bytes, of segments that come while the stream is being joined.
const BEFORE_JOINING: i64 = 1 << 20;
/// Largest distance ahead, in bytes, of a segment that is a copy from another network. The numbers of another connection
/// are as near once in thousands of times, and those of both directions once in millions.
pub(super) const MAX_NEAR: i64 = 1 << 20;

/// One direction of a connection.
///
/// Invariant: every waiting segment begins at or after `next`, and no two of them overlap: the first copy of a
/// byte wins.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and most combinations occur")]
#[derive(Debug)]
pub(super) struct StreamHalf {
    /// Sequence number of the byte at `next`.
    seq: Seq,
    /// Sequence number of the stream's first byte.
    pub(super) origin: Seq,
    /// Offset of the next byte to be emitted.
    next: u64,
    /// Offset up to which the other side has acknowledged this stream.
    acked: u64,
    /// Offset of FIN, or [`NO_FIN`] until it was seen.
    fin: u64,
    /// Since when the next byte has been waited for, or [`NEVER`].
    pub(super) stuck_since: Timestamp,
    queue: Option<Box<OutOfOrderQueue>>,
    /// True when the stream's position is known.
    pub(super) started: bool,
    /// True when its beginning was seen.
    pub(super) from_syn: bool,
    /// True when the stream was joined in its middle just now: earlier segments may still come.
    pub(super) joining: bool,
    /// True when any segment of this side was seen.
    pub(super) heard: bool,
    /// True when its end was emitted.
    pub(super) ended: bool,
    /// True when its position is only known from the other side's acknowledgement.
    pub(super) implied: bool,
    /// True when the other side has acknowledged its numbers.
    pub(super) confirmed: bool,
    /// True when the receiver has reported these bytes missing since the hole appeared.
    pub(super) missed: bool,
}

impl Default for StreamHalf {
    fn default() -> Self {
        Self {
            seq: Seq::default(),
            origin: Seq::default(),
            next: 0,
            acked: 0,
            fin: NO_FIN,
            stuck_since: NEVER,
            queue: None,
            started: false,
            from_syn: false,
            joining: false,
            heard: false,
            ended: false,
            implied: false,
            confirmed: false,
            missed: false,
        }
    }
}

impl StreamHalf {
    /// A stream whose SYN was seen, and nothing else.
    pub(super) fn from_syn(first: Seq) -> Self {
        let mut half = Self { heard: true, from_syn: true, ..Self::default() };
        half.start(first);
        half
    }

    /// Sets the position of the first byte.
    pub(super) fn start(&mut self, seq: Seq) {
        self.seq = seq;
        self.origin = seq;
        self.next = ORIGIN;
        self.acked = ORIGIN;
        self.started = true;
    }

    /// Sets the position of the first byte, of a stream that is joined in its middle. Where the other side has told how
    /// far it had received it, and that is near, offsets go on counting from there: what was sent with knowledge of
    /// them stays comparable.
    pub(super) fn join_at(&mut self, seq: Seq) {
        let ahead = seq.ahead_of(self.seq);
        let is_near = self.implied && (-BEFORE_JOINING..=BEFORE_JOINING).contains(&ahead);
        let next = self.next.checked_add_signed(ahead).filter(|_| is_near);
        self.start(seq);
        self.next = next.unwrap_or(self.next);
    }

    /// While joining, an earlier segment moves the beginning back; a SYN fixes it.
    pub(super) fn rewind(&mut self, first: Seq, syn: bool) {
        let back = self.seq.ahead_of(first);
        if (0..=BEFORE_JOINING).contains(&back) {
            let unheard = self.acked == self.next;
            self.next = self.next.saturating_sub(back.unsigned_abs());
            self.missed &= self.acked < self.next;
            if unheard {
                self.acked = self.next;
            }
            self.seq = first;
            self.origin = first;
            if syn {
                self.from_syn = true;
                self.joining = false;
            }
        }
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether `seq` is the number of the next byte, and nothing else is to be looked at: no bytes wait, no end is known, and
    /// where the stream begins is certain.
    #[inline]
    pub(super) fn goes_on_at(&self, seq: Seq) -> bool {
        let is_plain = self.started && !self.implied && !self.joining && !self.ended;
        is_plain && self.seq == seq && self.queue.is_none() && self.fin == NO_FIN
    }

    /// The offset of an acknowledgement that says nothing of bytes that were not told, where nobody waits for such.
    #[inline]
    pub(super) fn plain_ack(&self, ack: Seq) -> Option<u64> {
        let waits = self.queue.is_some() || self.acked_beyond() || (self.at_fin() && !self.ended);
        let ahead = ack.ahead_of(self.seq);
        if !self.started || waits || ahead > 1 { None } else { self.next.checked_add_signed(ahead) }
    }

    /// Notes what [`StreamHalf::plain_ack`] said.
    #[inline]
    pub(super) fn note_plain_ack(&mut self, offset: u64) {
        self.confirmed = true;
        self.acked = self.acked.max(offset);
    }

    /// Offset of the byte numbered `seq`; `None` before the stream's beginning.
    pub(super) fn offset(&self, seq: Seq) -> Option<u64> {
        self.next.checked_add_signed(seq.ahead_of(self.seq))
    }

    /// Returns whether `seq` is the number of the stream's first byte.
    pub(super) fn is_origin(&self, seq: Seq) -> bool {
        self.origin == seq
    }

    /// Returns whether a byte at this offset stood before the first one of a stream that was joined in its middle.
    pub(super) fn is_before_origin(&self, offset: u64) -> bool {
        let told = u64::from(self.seq.0.wrapping_sub(self.origin.0));
        !self.from_syn && self.next <= ORIGIN + PLAUSIBLE_AHEAD && offset + told < self.next
    }

    /// The sequence number that would be next.
    pub(super) const fn next_seq(&self) -> Seq {
        self.seq
    }

    /// Advances by `len` bytes that were emitted.
    pub(super) fn advance(&mut self, len: u64) {
        self.next += len;
        self.seq = self.seq.plus(len);
        self.stuck_since = NEVER;
        self.missed = false;
        if let Some(queue) = &mut self.queue {
            queue.acked_since = NEVER;
        }
    }

    /// Notes that the next byte is still waited for.
    pub(super) fn note_stuck(&mut self, now: Timestamp) {
        if self.stuck_since == NEVER {
            self.stuck_since = now;
        }
        let is_acked = self.acked_beyond();
        if let Some(queue) = &mut self.queue {
            queue.acked_since = if is_acked { queue.acked_since.min(now) } else { NEVER };
        }
    }

    /// Since when the receiver is known to have what was not captured (yet), and bytes wait for that.
    pub(super) fn acked_since(&self) -> Timestamp {
        self.queue.as_ref().map_or(NEVER, |queue| queue.acked_since)
    }

    /// Notes how far the other side has received; returns that as an offset. `latest`: nothing that it sent before comes
    /// after this.
    pub(super) fn note_ack(&mut self, ack: Seq, latest: bool) -> u64 {
        if !self.started {
            return 0;
        }
        let Some(offset) = self.offset(ack) else { return 0 };
        // An acknowledgement of what cannot have been sent is noise.
        if offset > self.next + PLAUSIBLE_AHEAD.max(self.pending_cost() as u64) {
            return self.acked;
        }
        self.confirmed = true;
        if self.joining && self.is_waiting() && offset + BEFORE_JOINING.unsigned_abs() >= self.next {
            // Where the stream begins was a guess: by the latest word bytes before that are missing, or none are.
            self.missed = offset < self.next;
            self.acked = if self.missed { offset } else { self.acked.max(offset) };
            return offset;
        }
        if offset > self.acked {
            self.acked = offset;
        } else if latest && self.acked > self.next + 1 {
            // What a host has received it never unsays (RFC 9293, 3.4): what said more was not sent by it.
            self.acked = offset.max(self.next);
        }
        if offset == self.next && self.is_waiting() {
            self.missed = true;
        }
        offset
    }

    /// Notes that its sender continues right after the emitted bytes: an acknowledgement of more was of bytes that were
    /// never sent.
    pub(super) fn note_goes_on(&mut self) {
        if self.acked > self.next + 1 && !self.is_waiting() {
            self.acked = self.next;
        }
    }

    /// Notes where the stream ends. The latest word counts until it is reached: one that lies beyond what was sent is not
    /// heeded (RFC 9293, 3.10.7.4).
    pub(super) fn note_fin(&mut self, offset: u64) {
        if !self.ended && (self.next..=self.next + PLAUSIBLE_AHEAD).contains(&offset) {
            self.fin = offset;
        }
    }

    /// Notes that bytes stand up to `end`: a FIN before that was none.
    pub(super) fn note_bytes(&mut self, end: u64) {
        if end > self.fin {
            self.fin = NO_FIN;
        }
    }

    /// Returns whether all emitted bytes were acknowledged: the sender repeats none of them.
    pub(super) const fn is_settled(&self) -> bool {
        self.acked >= self.next
    }

    /// Whether all of so many bytes from this number on were told or wait, and FIN if there is nothing else.
    pub(super) fn has_all(&self, seq: Seq, len: u64, fin: bool) -> bool {
        if !self.started {
            return false;
        }
        let Some(begin) = self.offset(seq) else { return true };
        let end = begin + len;
        let in_queue = |queue: &OutOfOrderQueue| queue.covered_to(begin.max(self.next)).is_some_and(|to| to >= end);
        if len == 0 {
            return !fin || self.fin != NO_FIN;
        }
        end <= self.next || self.queue.as_deref().is_some_and(in_queue)
    }

    /// Whether the other side says that it has received everything before this number.
    pub(super) fn is_acked_to(&self, seq: Seq) -> bool {
        self.started && self.offset(seq).is_some_and(|end| end <= self.acked)
    }

    /// Returns the highest acknowledgement of its receiver, as a sequence number.
    pub(super) fn acked_seq(&self) -> Seq {
        self.seq.plus(self.acked.saturating_sub(self.next))
    }

    /// The number after the last byte that waits.
    pub(super) fn last_seq(&self) -> Option<Seq> {
        let (_, end) = self.queue.as_ref()?.runs.last_key_value()?;
        Some(self.seq.plus(end.saturating_sub(self.next)))
    }

    /// Moves past what only an acknowledgement knows of, up to `to` at most; returns how far.
    pub(super) fn jump_acked(&mut self, to: u64) -> Option<u64> {
        let gap = self.acked.min(self.fin).min(to).checked_sub(self.next).filter(|gap| *gap > 0)?;
        self.advance(gap);
        Some(gap)
    }

    /// Returns whether everything up to FIN was emitted.
    pub(super) fn at_fin(&self) -> bool {
        self.fin == self.next
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.queue.is_some()
    }

    pub(super) fn pending_cost(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.cost)
    }

    /// Returns whether the receiver has bytes that were not captured (yet). One byte more may be a FIN.
    pub(super) const fn acked_beyond(&self) -> bool {
        self.acked > self.next + 1
    }

    /// Offset and `received` of the first waiting segment.
    pub(super) fn first_waiting(&self) -> Option<(u64, u64)> {
        self.queue.as_ref()?.segments.first_key_value().map(|(offset, waiting)| (*offset, waiting.received))
    }

    /// Takes the first waiting segment.
    pub(super) fn pop(&mut self) -> Option<(u64, BufferedSegment)> {
        let queue = self.queue.as_mut()?;
        let first = queue.pop();
        if queue.segments.is_empty() {
            self.queue = None;
        }
        first
    }

    /// Lets a segment wait, less what waits already; returns the bytes that were there before.
    pub(super) fn wait(&mut self, mut offset: u64, segment: &BufferedSegment) -> u64 {
        let end = offset + segment.len();
        let begin = offset;
        offset = offset.max(self.next);
        let mut repeated = offset - begin;
        let queue = self.queue.get_or_insert_default();
        while offset < end {
            if let Some(covered) = queue.covered_to(offset) {
                let covered = covered.min(end);
                repeated += covered - offset;
                offset = covered;
                continue;
            }
            let stop = queue.runs.range(offset..).next().map_or(end, |(start, _)| (*start).min(end));
            queue.insert(offset, segment.part(offset - begin, stop - begin));
            offset = stop;
        }
        if queue.segments.is_empty() {
            self.queue = None;
        }
        repeated
    }

    /// Returns whether the hole before the first waiting segment is implausibly large: no receiver confirms it.
    pub(super) fn is_implausible(&self) -> bool {
        self.first_waiting().is_some_and(|(offset, _)| offset > self.next + PLAUSIBLE_AHEAD && self.acked < offset)
    }

    /// Gives the hole up: moves to where bytes are known again. Returns the length of the gap, and why.
    pub(super) fn jump(&mut self) -> Option<(u64, GapReason)> {
        let to = match self.first_waiting() {
            Some((offset, _)) => offset,
            None => self.acked.min(self.fin),
        };
        let gap = to.checked_sub(self.next).filter(|gap| *gap > 0)?;
        self.advance(gap);
        Some((gap, GapReason::Gap))
    }
}
