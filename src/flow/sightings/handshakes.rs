//! What is known of handshakes a moment ago, and of connections that may be further sightings of those.

use std::collections::{HashMap, VecDeque};

use super::ends::{Ends, Way, is_together};
use crate::decode::Segment;
use crate::exchange::Timestamp;
use crate::flow::seq::look_made_up;

/// Handshakes that are remembered for a second; past it the oldest is forgotten.
const MAX_RECENT: usize = 1 << 16;
/// Connections whose segments are held at once, until it is known whether they are sightings; past it none is held.
const MAX_PENDING: usize = 1024;
/// Segments of one of them that are held; past it the numbers alone decide.
const MAX_HELD: usize = 64;
/// Bytes that are held of all of them; past it the numbers alone decide.
const MAX_HELD_BYTES: usize = 4 << 20;

/// The first sighting of a handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) way: Way,
    /// The server's number, once it is known, and when it came.
    pub(super) server: Option<u32>,
    pub(super) answered: Timestamp,
    pub(super) at: Timestamp,
}

/// The handshakes of the last second.
#[derive(Debug, Default)]
pub(super) struct RecentHandshakes {
    /// By the client's number.
    by_number: HashMap<u32, First, foldhash::fast::RandomState>,
    order: VecDeque<(u32, Timestamp)>,
}

impl RecentHandshakes {
    pub(super) fn get(&self, client: u32) -> Option<&First> {
        self.by_number.get(&client)
    }

    pub(super) fn get_mut(&mut self, client: u32) -> Option<&mut First> {
        self.by_number.get_mut(&client)
    }

    pub(super) fn insert(&mut self, client: u32, first: First) {
        if self.order.len() >= MAX_RECENT
            && let Some((oldest, at)) = self.order.pop_front()
        {
            self.forget(oldest, at);
        }
        self.order.push_back((client, first.at));
        self.by_number.insert(client, first);
    }

    /// Forgets what was long ago.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((client, at)) = self.order.front().copied().filter(|(_, at)| !is_together(*at, now)) {
            self.order.pop_front();
            self.forget(client, at);
        }
    }

    fn forget(&mut self, client: u32, at: Timestamp) {
        if self.by_number.get(&client).is_some_and(|first| first.at == at) {
            self.by_number.remove(&client);
        }
    }
}

/// A segment that owns its bytes.
#[derive(Debug)]
pub(super) struct HeldSegment {
    segment: Segment<'static>,
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl HeldSegment {
    pub(super) fn of(segment: &Segment<'_>) -> Self {
        let (header, payload) = (segment.header.to_vec(), segment.payload.to_vec());
        Self { segment: Segment { header: &[], payload: &[], ..*segment }, header, payload }
    }

    pub(super) fn segment(&self) -> Segment<'_> {
        Segment { header: &self.header, payload: &self.payload, ..self.segment }
    }
}

/// A connection that may be a further sighting.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) way: Way,
    /// The first sighting, if it is one.
    pub(super) first: Way,
    /// The client's number.
    pub(super) number: u32,
    pub(super) server: Option<u32>,
    /// True when every known segment of its handshake so far came before the response to the first one.
    pub(super) is_within: bool,
    /// True when the numbers of both sides are known to be the same.
    pub(super) agrees: bool,
    /// How much later than at the first sighting the client's segments come, and the server's, in nanoseconds.
    pub(super) shift: [i64; 2],
    pub(super) at: Timestamp,
    pub(super) answered: Option<Timestamp>,
    /// When its first bytes came.
    pub(super) began: Option<Timestamp>,
    pub(super) held: Vec<HeldSegment>,
}

/// How the numbers of two connections compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    Unknown,
    Same,
    Unlike,
}

impl Pending {
    /// Returns whether the same numbers can mean the same connection.
    pub(super) fn may_be(&self) -> bool {
        let numbers = [self.number, self.server.unwrap_or_default()];
        !look_made_up(numbers) || self.is_within || self.way.client == self.first.client
    }

    /// Compares its numbers with what is known of the first sighting by now.
    pub(super) fn compare(&mut self, first: Option<&First>) -> Numbers {
        if self.agrees {
            return Numbers::Same;
        }
        let first = first.filter(|first| first.way == self.first);
        let (Some(first), Some(server)) = (first, self.server) else { return Numbers::Unknown };
        match first.server {
            None => Numbers::Unknown,
            Some(known) if known == server && self.may_be() => {
                let client = later(self.at, first.at);
                self.shift = [client, self.answered.map_or(client, |at| later(at, first.answered))];
                self.agrees = true;
                Numbers::Same
            }
            Some(_) => Numbers::Unlike,
        }
    }

    /// Takes note how much later a segment came than at the first sighting, unless the handshake says more.
    pub(super) const fn shifts_by(&mut self, by: i64) {
        if !self.agrees {
            self.shift = [by; 2];
        }
    }

    /// Since when it has been held in vain.
    fn since(&self) -> Timestamp {
        self.began.unwrap_or(self.at)
    }
}

/// The connections that may be further sightings.
#[derive(Debug, Default)]
pub(super) struct PendingSightings {
    by_ends: HashMap<Ends, Pending, foldhash::fast::RandomState>,
    order: VecDeque<(Ends, Timestamp)>,
    held_bytes: usize,
}

impl PendingSightings {
    pub(super) fn is_empty(&self) -> bool {
        self.by_ends.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.by_ends.len() >= MAX_PENDING
    }

    pub(super) fn get_mut(&mut self, ends: Ends) -> Option<&mut Pending> {
        self.by_ends.get_mut(&ends)
    }

    pub(super) fn insert(&mut self, ends: Ends, pending: Pending) {
        self.order.push_back((ends, pending.at));
        self.by_ends.insert(ends, pending);
    }

    pub(super) fn remove(&mut self, ends: Ends) -> Option<Pending> {
        let pending = self.by_ends.remove(&ends)?;
        self.held_bytes -= pending.held.iter().map(|held| held.payload.len()).sum::<usize>();
        Some(pending)
    }

    /// Holds a segment; returns false where too many are held.
    pub(super) fn hold(&mut self, ends: Ends, segment: &Segment<'_>) -> bool {
        let Some(pending) = self.by_ends.get_mut(&ends) else { return false };
        let len = segment.payload.len();
        if pending.held.len() >= MAX_HELD || self.held_bytes + len > MAX_HELD_BYTES {
            return false;
        }
        if len > 0 {
            pending.began.get_or_insert(segment.at);
        }
        self.held_bytes += len;
        pending.held.push(HeldSegment::of(segment));
        true
    }

    /// Compares the numbers of those whose client has this one; returns those that have others.
    pub(super) fn unlike(&mut self, client: u32, first: &First) -> Vec<Ends> {
        let those = self.by_ends.iter_mut().filter(|(_, pending)| pending.number == client);
        those.filter_map(|(ends, pending)| (pending.compare(Some(first)) == Numbers::Unlike).then_some(*ends)).collect()
    }

    /// Returns one that has been held for too long.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<Ends> {
        while let Some((ends, at)) = self.order.front().copied().filter(|(_, at)| !is_together(*at, now)) {
            self.order.pop_front();
            let is_it = |pending: &&Pending| pending.at == at || pending.began == Some(at);
            match self.by_ends.get(&ends).filter(is_it).map(Pending::since) {
                Some(since) if is_together(since, now) => self.order.push_back((ends, since)),
                Some(_) => return Some(ends),
                None => {}
            }
        }
        None
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Vec<Ends> {
        self.by_ends.keys().copied().collect()
    }
}

/// How much later one time is than another one, in nanoseconds.
pub(super) const fn later(one: Timestamp, other: Timestamp) -> i64 {
    one.nanos().wrapping_sub(other.nanos()).cast_signed()
}
