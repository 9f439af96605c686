//! IP fragments, held until their datagram is whole.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Skip;
use crate::exchange::Timestamp;

/// Datagrams that are held at once; the oldest makes room for a new one.
const MAX_DATAGRAMS: usize = 1024;
/// Fragments of one datagram: as many as the largest one has if each carries eight bytes, the least there is.
const MAX_PIECES: usize = 8192;
/// Longest datagram, by the width of its length field.
const MAX_DATAGRAM_BYTES: usize = 65_535;
/// Datagrams that were completed last, whose copies are known as such.
const MAX_COMPLETED: usize = 64;
/// Time after the completion of a datagram in which its fragments count as copies (mirror ports and the device `any`
/// see each frame twice), and not as the beginning of another one with the same number.
const COPIES: Duration = Duration::from_millis(100);
/// Memory of a datagram besides its bytes, in bytes.
const DATAGRAM_COST: usize = 256;
/// Timeout for the rest of a datagram, on the capture's clock (RFC 8200, 4.5: 60 seconds).
const PATIENCE: Duration = Duration::from_secs(60);

/// Fields of a fragment from its headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    /// Network that it was seen in, by its tags: each has numbers of its own.
    pub(super) network: u32,
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) id: u32,
    pub(super) protocol: u8,
    /// Offset of its bytes in the datagram.
    pub(super) offset: usize,
    /// True when more bytes follow it.
    pub(super) more: bool,
}

/// A datagram that has become whole.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) protocol: u8,
    pub(super) payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FragmentKey {
    network: u32,
    source: u128,
    destination: u128,
    id: u32,
    protocol: u8,
}

/// A stretch of a datagram, and where in what is held of it its bytes stand.
#[derive(Clone, Copy, Debug)]
struct FragmentPiece {
    start: usize,
    end: usize,
    held_at: usize,
}

/// Invariant: `pieces` are sorted, do not overlap, and together have `held.len()` bytes.
#[derive(Debug)]
struct PartialDatagram {
    first_at: Timestamp,
    /// The bytes that came, one piece after the other: what is missing takes no room.
    held: Vec<u8>,
    pieces: Vec<FragmentPiece>,
    /// The datagram's length, known from its last fragment.
    total: Option<usize>,
}

/// Incomplete datagrams. A datagram leaves when it is complete, or when it has waited longer than [`PATIENCE`].
#[derive(Debug)]
pub(super) struct Fragments {
    /// Bytes that may be held; past it the oldest datagram is given up.
    limit: usize,
    held_bytes: usize,
    partial: HashMap<FragmentKey, PartialDatagram>,
    /// In order of their first fragments; may name datagrams that have become whole since.
    order: VecDeque<(FragmentKey, Timestamp)>,
    /// The datagrams that were completed last, and when.
    completed: VecDeque<(FragmentKey, Timestamp)>,
    /// Datagrams given up: the rest did not come in time, or there were too many.
    pub(super) given_up: u64,
}

impl Fragments {
    /// Nothing held yet, and room for `limit` bytes.
    pub(super) fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            held_bytes: 0,
            partial: HashMap::new(),
            order: VecDeque::new(),
            completed: VecDeque::new(),
            given_up: 0,
        }
    }

    /// Adds a fragment's bytes; returns the datagram that it completes.
    pub(super) fn add(&mut self, fragment: Fragment, bytes: &[u8], now: Timestamp) -> Result<Option<Datagram>, Skip> {
        let Fragment { network, source, destination, id, protocol, offset, more } = fragment;
        let end = offset + bytes.len();
        if bytes.is_empty() || end > MAX_DATAGRAM_BYTES || (more && !bytes.len().is_multiple_of(8)) {
            return Err(Skip::BadFragment);
        }
        let key = FragmentKey { network, source, destination, id, protocol };
        if self.is_copy(&key, now) {
            return Ok(None);
        }
        self.make_room(&key, now);
        let partial = self.partial.entry(key).or_insert_with(|| {
            self.order.push_back((key, now));
            self.held_bytes += DATAGRAM_COST;
            PartialDatagram { first_at: now, held: Vec::new(), pieces: Vec::new(), total: None }
        });
        let before = partial.cost();
        let filled = partial.fill(offset, bytes, more);
        self.held_bytes = self.held_bytes - before + partial.cost();
        filled?;
        if partial.is_whole() {
            self.note_completed(key, now);
            let payload = self.remove(&key).map(PartialDatagram::whole).unwrap_or_default();
            return Ok(Some(Datagram { source, destination, protocol, payload }));
        }
        while self.held_bytes > self.limit && !self.order.is_empty() {
            self.drop_oldest();
        }
        Ok(None)
    }

    /// Drops what has waited too long, and the oldest where there is no room for another.
    fn make_room(&mut self, key: &FragmentKey, now: Timestamp) {
        self.expire(now);
        while self.order.len() > 4 * MAX_DATAGRAMS
            || (self.partial.len() >= MAX_DATAGRAMS && !self.partial.contains_key(key))
        {
            self.drop_oldest();
        }
    }

    /// Returns whether the datagram was completed just now.
    fn is_copy(&self, key: &FragmentKey, now: Timestamp) -> bool {
        self.completed.iter().any(|(completed, at)| completed == key && now.since(*at) <= COPIES)
    }

    fn note_completed(&mut self, key: FragmentKey, now: Timestamp) {
        if self.completed.len() >= MAX_COMPLETED {
            self.completed.pop_front();
        }
        self.completed.push_back((key, now));
    }

    /// Bytes that are held, with what holding them costs.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn remove(&mut self, key: &FragmentKey) -> Option<PartialDatagram> {
        let partial = self.partial.remove(key)?;
        self.held_bytes -= partial.cost();
        Some(partial)
    }

    fn expire(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(_, at)| now.since(*at) > PATIENCE) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((key, at)) = self.order.pop_front()
            && self.partial.get(&key).is_some_and(|partial| partial.first_at == at)
        {
            self.remove(&key);
            self.given_up += 1;
        }
    }
}

impl PartialDatagram {
    /// Fills in what is not there yet: the first copy of a byte wins.
    fn fill(&mut self, offset: usize, bytes: &[u8], more: bool) -> Result<(), Skip> {
        let end = offset + bytes.len();
        let contradicts = match self.total {
            Some(total) => end > total || (!more && end != total),
            None => !more && self.pieces.last().is_some_and(|last| last.end > end),
        };
        if contradicts || self.pieces.len() >= MAX_PIECES {
            return Err(Skip::BadFragment);
        }
        if !more {
            self.total = Some(end);
        }
        let mut at = offset;
        while at < end {
            let place = self.pieces.partition_point(|piece| piece.end <= at);
            let next = self.pieces.get(place).copied();
            if let Some(there) = next.filter(|there| there.start <= at) {
                at = there.end;
                continue;
            }
            let stop = next.map_or(end, |next| next.start.min(end));
            self.pieces.insert(place, FragmentPiece { start: at, end: stop, held_at: self.held.len() });
            self.held.extend_from_slice(bytes.get(at - offset..stop - offset).unwrap_or_default());
            at = stop;
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.total == Some(self.held.len())
    }

    /// The datagram's bytes in their order.
    fn whole(self) -> Vec<u8> {
        if self.pieces.iter().all(|piece| piece.start == piece.held_at) {
            return self.held;
        }
        let mut whole = Vec::with_capacity(self.held.len());
        for FragmentPiece { start, end, held_at } in &self.pieces {
            whole.extend_from_slice(self.held.get(*held_at..held_at + end - start).unwrap_or_default());
        }
        whole
    }

    fn cost(&self) -> usize {
        DATAGRAM_COST + self.held.capacity() + self.pieces.capacity() * size_of::<FragmentPiece>()
    }
}
