//! IP fragments, held until their datagram is whole.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Skip;
use crate::exchange::Timestamp;

/// Datagrams that are held at once; the oldest makes room for a new one.
const MAX_DATAGRAMS: usize = 1024;
/// Fragments of one datagram: a largest datagram in fragments of the least size that a link must carry has fewer.
const MAX_PIECES: usize = 1024;
/// Longest datagram, by the width of its length field.
const MAX_DATAGRAM_BYTES: usize = 65_535;
/// How long the rest of a datagram is waited for, on the capture's clock (RFC 8200, 4.5: 60 seconds).
const PATIENCE: Duration = Duration::from_secs(60);

/// What a fragment's headers say of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) id: u32,
    pub(super) protocol: u8,
    /// Where its bytes belong in the datagram.
    pub(super) offset: usize,
    /// Whether more bytes follow it.
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
struct Key {
    source: u128,
    destination: u128,
    id: u32,
    protocol: u8,
}

/// Invariant: `pieces` are the ranges of `bytes` that are filled; they are sorted and do not touch.
#[derive(Debug)]
struct Partial {
    first_at: Timestamp,
    bytes: Vec<u8>,
    pieces: Vec<(usize, usize)>,
    /// The datagram's length, known from its last fragment.
    total: Option<usize>,
}

/// Datagrams that are not whole yet. A complete one leaves; so does one that waited longer than [`PATIENCE`].
#[derive(Debug, Default)]
pub(super) struct Fragments {
    partial: HashMap<Key, Partial>,
    /// In order of their first fragments; may name datagrams that have become whole since.
    order: VecDeque<(Key, Timestamp)>,
    /// Datagrams given up: the rest did not come in time, or there were too many.
    pub(super) given_up: u64,
}

impl Fragments {
    /// Adds a fragment's bytes; returns the datagram that it completes.
    pub(super) fn add(&mut self, fragment: Fragment, bytes: &[u8], now: Timestamp) -> Result<Option<Datagram>, Skip> {
        let Fragment { source, destination, id, protocol, offset, more } = fragment;
        let end = offset + bytes.len();
        if bytes.is_empty() || end > MAX_DATAGRAM_BYTES || (more && !bytes.len().is_multiple_of(8)) {
            return Err(Skip::BadFragment);
        }
        self.expire(now);
        while self.order.len() > 4 * MAX_DATAGRAMS {
            self.drop_oldest();
        }
        let key = Key { source, destination, id, protocol };
        if !self.partial.contains_key(&key) {
            while self.partial.len() >= MAX_DATAGRAMS {
                self.drop_oldest();
            }
            self.order.push_back((key, now));
        }
        let partial = self.partial.entry(key).or_insert_with(|| Partial {
            first_at: now,
            bytes: Vec::new(),
            pieces: Vec::new(),
            total: None,
        });
        partial.fill(offset, bytes, more)?;
        if partial.is_whole() {
            let whole = self.partial.remove(&key).map(|partial| partial.bytes).unwrap_or_default();
            return Ok(Some(Datagram { source, destination, protocol, payload: whole }));
        }
        Ok(None)
    }

    /// Bytes that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.values().map(|partial| partial.bytes.capacity()).sum()
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
            self.partial.remove(&key);
            self.given_up += 1;
        }
    }
}

impl Partial {
    /// Fills in what is not there yet: the first copy of a byte wins.
    fn fill(&mut self, offset: usize, bytes: &[u8], more: bool) -> Result<(), Skip> {
        let end = offset + bytes.len();
        let contradicts = match self.total {
            Some(total) => end > total || (!more && end != total),
            None => !more && self.pieces.last().is_some_and(|(_, last)| *last > end),
        };
        if contradicts || self.pieces.len() >= MAX_PIECES {
            return Err(Skip::BadFragment);
        }
        if !more {
            self.total = Some(end);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = offset;
        let mut holes = Vec::new();
        for &(start, stop) in &self.pieces {
            holes.push(at..start.min(end));
            at = at.max(stop);
        }
        holes.push(at..end);
        for hole in holes.into_iter().filter(|hole| hole.start < hole.end) {
            let source = bytes.get(hole.start - offset..hole.end - offset);
            if let (Some(into), Some(from)) = (self.bytes.get_mut(hole), source) {
                into.copy_from_slice(from);
            }
        }
        self.note(offset, end);
        Ok(())
    }

    /// Adds a range to `pieces`, joined with those that it touches.
    fn note(&mut self, mut start: usize, mut end: usize) {
        self.pieces.retain(|&(from, to)| {
            let apart = to < start || end < from;
            if !apart {
                start = start.min(from);
                end = end.max(to);
            }
            apart
        });
        let place = self.pieces.partition_point(|(from, _)| *from < start);
        self.pieces.insert(place, (start, end));
    }

    fn is_whole(&self) -> bool {
        matches!((self.total, self.pieces.as_slice()), (Some(total), [(0, end)]) if *end == total)
    }
}
