//! Requests that passed a moment ago, by their numbers and first bytes: the same one between other ends is a copy.

use prefetch_index::prefetch_index;

use super::ends::{Way, is_together};
use crate::decode::Segment;
use crate::exchange::Timestamp;
use crate::flow::message_start::past_blank_lines;

/// Requests that are remembered; past it the oldest is forgotten.
const MAX_REQUESTS: usize = 1 << 14;
/// Sets of the index, as a power of two: two places for each request.
const SETS_LOG2: u32 = 12;
/// Places of a set; past it the oldest is forgotten.
const SET_PLACES: usize = 8;
/// Bytes that are compared at most: the first line, and mostly the host.
const MAX_COMPARED: usize = 64;
/// The shortest request has as many bytes. Fewer are not compared.
const MIN_COMPARED: usize = 16;

/// A factor that spreads what differs over the upper bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

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

/// Where requests are whose numbers have similar hashes, the latest first: half a cache line, for all of them are to stay
/// near.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Set {
    /// Some of the rest of each hash; 0 where there is none.
    tags: [u16; SET_PLACES],
    places: [u16; SET_PLACES],
}

const _: () = assert!(MAX_REQUESTS - 1 <= u16::MAX as usize);

/// The requests of the last second, or fewer: a ring in order of time, and an index of it by their numbers.
#[derive(Debug, Default)]
pub(super) struct RecentRequests {
    ring: Vec<Entry>,
    next: usize,
    sets: Box<[Set]>,
}

impl RecentRequests {
    /// Returns what is known of a request with the same numbers, between any ends.
    pub(super) fn find(&self, segment: &Segment<'_>) -> Option<Known> {
        let (home, tag) = hash_numbers(segment.seq, segment.ack);
        let set = self.sets.get(home)?;
        let mut those = set.tags.iter().zip(set.places).filter(|(there, _)| **there == tag);
        those.find_map(|(_, place)| self.ring.get(usize::from(place))?.compare(segment))
    }

    /// Remembers a request; returns what is known of one with the same numbers between other ends. If the bytes are the
    /// same as well, that one stays.
    #[inline]
    pub(super) fn note(&mut self, segment: &Segment<'_>) -> Option<Known> {
        if self.sets.is_empty() {
            self.sets = vec![Set::default(); 1 << SETS_LOG2].into_boxed_slice();
            self.ring.reserve_exact(MAX_REQUESTS);
        }
        let (home, tag) = hash_numbers(segment.seq, segment.ack);
        let set = self.sets.get(home)?;
        let other = if set.tags.contains(&tag) { self.find(segment) } else { None };
        let other = other.filter(|known| known.way != Way::of(segment));
        if other.is_none_or(|known| known.agrees != Some(true)) {
            self.insert((home, tag), Entry::of(segment));
        }
        other
    }

    /// Asks for the memory where a request with these numbers belongs.
    #[inline]
    pub(super) fn fetch(&self, seq: u32, ack: u32) {
        if !self.sets.is_empty() {
            prefetch_index(&self.sets, hash_numbers(seq, ack).0);
        }
    }

    fn insert(&mut self, (home, tag): (usize, u16), entry: Entry) {
        let (Some(set), Ok(place)) = (self.sets.get_mut(home), u16::try_from(self.next)) else { return };
        match self.ring.get_mut(self.next) {
            Some(old) => *old = entry,
            None => self.ring.push(entry),
        }
        self.next = (self.next + 1) % MAX_REQUESTS;
        (set.tags, set.places) = (with_first(tag, set.tags), with_first(place, set.places));
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
    if matches!(bytes, [b'\r' | b'\n', ..]) {
        let line = past_blank_lines(bytes);
        return !line.is_empty() && begins_request(line);
    }
    let is_response = matches!(bytes, [b'H', b'T', b'T', b'P', b'/', ..]);
    matches!(bytes, [b'A'..=b'Z', b'A'..=b'Z', ..]) && bytes.len() >= MIN_COMPARED && !is_response
}

/// All but the last, behind a new first one.
const fn with_first(first: u16, others: [u16; SET_PLACES]) -> [u16; SET_PLACES] {
    let [one, two, three, four, five, six, seven, _] = others;
    [first, one, two, three, four, five, six, seven]
}

/// Where the numbers of a request belong in the index, and what distinguishes them there.
fn hash_numbers(seq: u32, ack: u32) -> (usize, u16) {
    let mixed = (u64::from(seq) << 32 | u64::from(ack)).wrapping_mul(FACTOR);
    let rest = u16::try_from((mixed >> 32) & u64::from(u16::MAX)).unwrap_or_default();
    (usize::try_from(mixed >> (u64::BITS - SETS_LOG2)).unwrap_or_default(), rest | 1)
}

/// A hash of a few words. Whoever can make two requests with the same numbers can as well make them the same.
fn hash(bytes: &[u8]) -> u32 {
    let (words, _) = bytes.as_chunks::<8>();
    let last = bytes.last_chunk::<8>();
    let mix = |hash: u64, word: &[u8; 8]| (hash ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR).rotate_left(31);
    let hash = words.iter().chain(last).fold(bytes.len() as u64, mix);
    (hash.wrapping_mul(FACTOR) >> 32) as u32
}
