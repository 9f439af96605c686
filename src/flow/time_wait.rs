//! Connections that are over and forgotten, by their numbers: late copies of their segments are of no other connection.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::connection::Connection;
use super::seq::look_made_up;
use super::{Seq, Side};
use crate::decode::{Flags, Segment};
use crate::exchange::Timestamp;

/// Time for which copies may still come: as long as a host keeps both ends from another connection (RFC 9293, 3.6.1), which
/// is a minute where it is Linux.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// Connections that are remembered; past it the oldest is forgotten, and copies of its segments count as another one.
const MAX_REMEMBERED: usize = 1 << 16;

/// What one side of a connection sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The number of its first byte.
    origin: Seq,
    /// The number after the last byte that was emitted.
    next: Seq,
    /// The highest number that the other side acknowledged.
    acked: Seq,
}

/// A connection that is over.
#[derive(Clone, Copy, Debug)]
struct Past {
    at: Timestamp,
    sent: [Sent; 2],
    has_holes: bool,
}

/// The connections of the last minute, by the hashes of their keys. Of several between the same ends it is the last one.
#[derive(Debug, Default)]
pub(super) struct TimeWait {
    by_hash: HashMap<u64, Past, foldhash::fast::RandomState>,
    order: VecDeque<(u64, Timestamp)>,
}

/// A segment that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LateCopy {
    /// Whether its connection has holes: it may be what was lost there.
    pub(super) may_fill_hole: bool,
}

impl TimeWait {
    /// Remembers a connection, if any bytes came of it. Where its numbers look made up, the next one may begin with the same.
    pub(super) fn remember(&mut self, hash: u64, connection: &Connection, has_holes: bool, now: Timestamp) {
        let ([low, high], at) = (&connection.halves, connection.last_at);
        if is_past(at, now)
            || !connection.carried_bytes
            || !low.started
            || !high.started
            || look_made_up([low.origin.0, high.origin.0])
        {
            return;
        }
        while self.order.front().is_some_and(|(_, at)| self.order.len() >= MAX_REMEMBERED || is_past(*at, now)) {
            if let Some((oldest, at)) = self.order.pop_front()
                && self.by_hash.get(&oldest).is_some_and(|past| past.at == at)
            {
                self.by_hash.remove(&oldest);
            }
        }
        let sent = [low, high].map(|half| Sent { origin: half.origin, next: half.next_seq(), acked: half.acked_seq() });
        self.by_hash.insert(hash, Past { at, sent, has_holes });
        self.order.push_back((hash, at));
    }

    /// Returns whether a segment is a copy: all its bytes are among those of a connection between the same ends, and it
    /// acknowledges what that one had received.
    pub(super) fn late_copy(&self, hash: u64, side: Side, segment: &Segment<'_>, now: Timestamp) -> Option<LateCopy> {
        if segment.flags.has(Flags::SYN) || !segment.flags.has(Flags::ACK) {
            return None;
        }
        let past = self.by_hash.get(&hash).filter(|past| !is_past(past.at, now))?;
        let (own, other) = (side.of(&past.sent), side.other().of(&past.sent));
        let end = Seq(segment.seq).plus(segment.payload.len() as u64 + u64::from(segment.missing));
        // One more is the end of the stream.
        let is_copy = own.has(Seq(segment.seq), own.next)
            && own.has(end, own.next)
            && other.has(Seq(segment.ack), other.acked.plus(1));
        is_copy.then_some(LateCopy { may_fill_hole: past.has_holes })
    }
}

impl Sent {
    /// Returns whether a number is from the first one to `last`.
    const fn has(&self, seq: Seq, last: Seq) -> bool {
        seq.0.wrapping_sub(self.origin.0) <= last.0.wrapping_sub(self.origin.0)
    }
}

fn is_past(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) >= TIME_WAIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Endpoint;
    use crate::flow::key::FlowKey;

    /// A connection with ten bytes a side.
    fn ended(at: Timestamp) -> Connection {
        let key = FlowKey::between(Endpoint::new(1, 5000), Endpoint::new(2, 80));
        let mut connection = Connection::new(key, at, false);
        connection.carried_bytes = true;
        for (half, first) in connection.halves.iter_mut().zip([u32::MAX - 3, 2_000_000_007]) {
            half.start(Seq(first));
            half.advance(10);
        }
        connection
    }

    fn segment(seq: u32, ack: u32, payload: &[u8]) -> Segment<'_> {
        let (source, destination) = (Endpoint::new(1, 5000), Endpoint::new(2, 80));
        let (at, flags) = (Timestamp::default(), Flags::ACK);
        Segment { at, source, destination, seq, ack, flags, payload, missing: 0, tag: 0, header: &[] }
    }

    #[test]
    fn a_copy_has_bytes_that_were_told_and_acknowledges_what_was() {
        let (mut those, at) = (TimeWait::default(), Timestamp::from_nanos(1_000_000_000_000));
        those.remember(1, &ended(at), true, at);
        let is_copy = |hash, seq, ack, len, after: Duration| {
            let payload = [b'x'; 20];
            let copy = those.late_copy(hash, Side::Low, &segment(seq, ack, &payload[..len]), at.plus(after));
            copy == Some(LateCopy { may_fill_hole: true })
        };
        let soon = Duration::from_secs(59);
        for (seq, ack, len) in [(u32::MAX - 3, 2_000_000_007, 10), (1, 2_000_000_018, 5)] {
            assert!(is_copy(1, seq, ack, len, soon) && !is_copy(2, seq, ack, len, soon));
            assert!(!is_copy(1, seq, ack, len, TIME_WAIT));
        }
        for (seq, ack, len) in [(u32::MAX - 4, 2_000_000_007, 5), (1, 2_000_000_017, 6), (1, 2_000_000_019, 5)] {
            assert!(!is_copy(1, seq, ack, len, soon), "{seq} {ack} {len}");
        }
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let (mut those, mut at) = (TimeWait::default(), Timestamp::from_nanos(1_000_000_000_000));
        for hash in 0..=MAX_REMEMBERED as u64 {
            at = at.plus(Duration::from_nanos(1));
            those.remember(hash, &ended(at), false, at);
        }
        assert_eq!((those.by_hash.len(), those.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(!those.by_hash.contains_key(&0) && those.by_hash.contains_key(&1));
        those.remember(0, &ended(at.plus(TIME_WAIT)), false, at.plus(TIME_WAIT));
        assert_eq!((those.by_hash.len(), those.order.len()), (1, 1));
    }
}
