//! Requests that passed a moment ago, by their numbers and first bytes: the same one between other ends is a copy.

use super::ends::{Way, is_together};
use crate::decode::Segment;
use crate::exchange::Timestamp;

/// Requests that are remembered, as a power of two. A later one takes the place of an earlier one.
const ENTRIES_LOG2: u32 = 13;
/// Bytes that are compared at most: the first line, and mostly the host.
const MAX_COMPARED: usize = 64;
/// The shortest request has as many bytes. Fewer are not compared.
const MIN_COMPARED: usize = 16;

/// A request: one cache line.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    client: [u64; 2],
    server: [u64; 2],
    ports: [u16; 2],
    seq: u32,
    ack: u32,
    hash: u32,
    at: Timestamp,
    /// Bytes that were hashed; none where there is no request.
    len: u32,
}

const _: () = assert!(size_of::<Entry>() <= 64);

/// A request with the same numbers as another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) way: Way,
    pub(super) at: Timestamp,
    /// Whether their first bytes are the same; `None` where too few are at hand.
    pub(super) agrees: Option<bool>,
}

/// The requests of the last second, or fewer.
#[derive(Debug, Default)]
pub(super) struct RecentRequests {
    entries: Box<[Entry]>,
}

impl RecentRequests {
    /// Returns what is known of a request with the same numbers, between any ends.
    pub(super) fn find(&self, segment: &Segment<'_>) -> Option<Known> {
        self.entries.get(home(segment)).and_then(|entry| entry.compare(segment))
    }

    /// Remembers a request; returns what is known of one with the same numbers between other ends. If the bytes are the
    /// same as well, that one stays.
    #[inline]
    pub(super) fn note(&mut self, segment: &Segment<'_>) -> Option<Known> {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); 1 << ENTRIES_LOG2].into_boxed_slice();
        }
        let entry = self.entries.get_mut(home(segment))?;
        let found = if entry.seq == segment.seq { entry.compare(segment) } else { None };
        let other = found.filter(|known| known.way != Way::of(segment));
        if other.is_none_or(|known| known.agrees != Some(true)) {
            *entry = Entry::of(segment);
        }
        other
    }
}

impl Entry {
    fn of(segment: &Segment<'_>) -> Self {
        let len = segment.payload.len().min(MAX_COMPARED);
        Self {
            client: segment.source.halves(),
            server: segment.destination.halves(),
            ports: [segment.source.port, segment.destination.port],
            seq: segment.seq,
            ack: segment.ack,
            hash: hash(segment.payload.get(..len).unwrap_or_default()),
            at: segment.at,
            len: u32::try_from(len).unwrap_or_default(),
        }
    }

    fn compare(&self, segment: &Segment<'_>) -> Option<Known> {
        let same = self.seq == segment.seq && self.ack == segment.ack && self.len > 0;
        if !same || !is_together(self.at, segment.at) {
            return None;
        }
        let bytes = segment.payload.get(..self.len as usize);
        Some(Known { way: self.way(), at: self.at, agrees: bytes.map(|bytes| hash(bytes) == self.hash) })
    }

    const fn way(&self) -> Way {
        Way::between(self.client, self.server, self.ports)
    }
}

/// Returns whether a payload looks like the beginning of a request, long enough to be compared.
#[inline]
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    matches!(bytes, [b'A'..=b'Z', b'A'..=b'Z', ..]) && bytes.len() >= MIN_COMPARED && !bytes.starts_with(b"HTTP/")
}

fn home(segment: &Segment<'_>) -> usize {
    let mixed = (segment.seq ^ segment.ack.rotate_left(16)).wrapping_mul(0x9e37_79b1);
    (mixed >> (u32::BITS - ENTRIES_LOG2)) as usize
}

/// A hash of a few words. Whoever can make two requests with the same numbers can as well make them the same.
fn hash(bytes: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, _) = bytes.as_chunks::<8>();
    let last = bytes.last_chunk::<8>();
    let mix = |hash: u64, word: &[u8; 8]| (hash ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR).rotate_left(31);
    let hash = words.iter().chain(last).fold(bytes.len() as u64, mix);
    (hash.wrapping_mul(FACTOR) >> 32) as u32
}
