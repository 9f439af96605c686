//! Connections that are seen several times on one host under different addresses: before and after translation.
//!
//! A device that translates addresses leaves the sequence numbers of TCP as they are. So two connections whose
//! handshakes have the same pair of initial sequence numbers (64 bits that both hosts choose at random, RFC 6528)
//! within a second are one. Its first sighting continues; the other one is dropped from its SYN on, which is held until
//! the decision. A connection under the same addresses needs none of this: its copies are known by their numbers.
//!
//! Synthetic traffic (from a generator, or for a test) often begins every connection with the same numbers. So the
//! numbers alone do not decide. In addition, either the client is the same in both sightings, as where only the
//! server's address is translated; or one handshake is within the other, as where packets pass one capture point and
//! then the next.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::decode::{Endpoint, Flags, Segment};
use crate::exchange::Timestamp;

/// Time after a handshake within which another one with the same numbers is the same connection.
const TOGETHER: Duration = Duration::from_secs(1);
/// Handshakes that are remembered for that long; past it the oldest is forgotten.
const MAX_RECENT: usize = 1 << 16;
/// Connections whose segments are held at once, until it is known whether they are sightings; past it none is held.
const MAX_PENDING: usize = 1024;
/// Segments of one of them that are held: the handshake, and copies.
const MAX_HELD: usize = 8;
/// Most sightings that are remembered. Past it the one longest silent is forgotten, and its segments pass.
const MAX_SIGHTINGS: usize = 1 << 16;
/// Silence after which a sighting is forgotten.
const SILENT: Duration = Duration::from_secs(15 * 60);

/// Both ends, the lower one first.
type Ends = [Endpoint; 2];

/// Counters of further sightings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SightingStats {
    /// Further sightings of connections.
    pub connections: u64,
    /// Segments of them that were dropped.
    pub segments: u64,
    /// Requests that began in these.
    pub requests: u64,
}

/// The first sighting of a handshake.
#[derive(Clone, Copy, Debug)]
struct First {
    ends: Ends,
    client: Endpoint,
    /// The server's number, once it is known, and when it came.
    server: Option<u32>,
    answered: Timestamp,
    at: Timestamp,
}

/// A connection that may be a further sighting.
#[derive(Debug)]
struct Pending {
    client: Endpoint,
    /// The client's number.
    number: u32,
    server: Option<u32>,
    /// True when every known segment of its handshake so far came before the response to the first one.
    is_within: bool,
    at: Timestamp,
    held: Vec<Segment<'static>>,
}

impl Pending {
    /// Returns whether this is another sighting of `first`.
    fn is(&self, first: &First) -> bool {
        let same_numbers = self.server.is_some() && self.server == first.server;
        same_numbers && (self.is_within || self.client == first.client)
    }
}

/// A further sighting.
#[derive(Clone, Copy, Debug)]
struct Further {
    numbers: [u32; 2],
    last_at: Timestamp,
}

/// Result for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    /// It is passed on.
    Passes,
    /// It is held, or was dropped.
    Taken,
}

/// Finds further sightings of connections. Costs next to nothing while there are none.
#[derive(Debug, Default)]
pub struct Sightings {
    /// By the client's number.
    recent: HashMap<u32, First, foldhash::fast::RandomState>,
    order: VecDeque<(u32, Timestamp)>,
    pending: HashMap<Ends, Pending, foldhash::fast::RandomState>,
    further: HashMap<Ends, Further, foldhash::fast::RandomState>,
    stats: SightingStats,
}

impl Sightings {
    /// Returns the counters so far.
    #[must_use]
    pub const fn stats(&self) -> SightingStats {
        self.stats
    }

    /// Returns whether a segment has to be judged: the beginning of a connection, and every segment while there are
    /// sightings.
    #[must_use]
    pub fn concerns(&self, segment: &Segment<'_>) -> bool {
        segment.flags.has(Flags::SYN) || !self.pending.is_empty() || !self.further.is_empty()
    }

    /// Returns whether a segment passes. Held segments that pass now are handed to `release` first.
    pub fn judge(&mut self, segment: &Segment<'_>, release: &mut dyn FnMut(&Segment<'_>)) -> bool {
        if !self.concerns(segment) {
            return true;
        }
        let syn = segment.flags.has(Flags::SYN);
        self.expire(segment.at, release);
        let becomes = match (syn, segment.flags.has(Flags::ACK)) {
            (true, false) => self.syn(segment),
            (true, true) => self.syn_ack(segment, release),
            (false, _) => self.other(segment, release),
        };
        becomes == Becomes::Passes
    }

    /// Hands on what is held: nothing more comes.
    pub fn finish(&mut self, release: &mut dyn FnMut(&Segment<'_>)) {
        for (_, pending) in self.pending.drain() {
            pending.held.iter().for_each(&mut *release);
        }
    }

    /// Takes note that it is `now` and nothing came: what was held long enough is handed on.
    pub fn idle(&mut self, now: Timestamp, release: &mut dyn FnMut(&Segment<'_>)) {
        self.expire(now, release);
    }

    fn syn(&mut self, segment: &Segment<'_>) -> Becomes {
        let ends = ends(segment);
        if let Some(further) = self.further.get(&ends) {
            if further.numbers.first() == Some(&segment.seq) {
                return self.drop_one(segment);
            }
            // The same ports again, for another connection.
            self.further.remove(&ends);
        }
        match self.recent.get(&segment.seq) {
            Some(first) if first.ends != ends && is_together(first.at, segment.at) => {
                if self.pending.len() >= MAX_PENDING || !segment.payload.is_empty() {
                    return Becomes::Passes;
                }
                let pending = self.pending.entry(ends).or_insert_with(|| Pending {
                    client: segment.source,
                    number: segment.seq,
                    server: None,
                    is_within: first.server.is_none(),
                    at: segment.at,
                    held: Vec::new(),
                });
                if pending.held.len() < MAX_HELD {
                    pending.held.push(without_payload(segment));
                }
                Becomes::Taken
            }
            Some(first) if first.ends == ends && is_together(first.at, segment.at) => Becomes::Passes,
            _ => {
                self.remember(
                    segment.seq,
                    First { ends, client: segment.source, server: None, answered: segment.at, at: segment.at },
                );
                Becomes::Passes
            }
        }
    }

    fn syn_ack(&mut self, segment: &Segment<'_>, release: &mut dyn FnMut(&Segment<'_>)) -> Becomes {
        let (ends, client) = (ends(segment), segment.ack.wrapping_sub(1));
        if let Some(further) = self.further.get(&ends)
            && further.numbers == [client, segment.seq]
        {
            return self.drop_one(segment);
        }
        if let Some(pending) = self.pending.get_mut(&ends).filter(|pending| pending.number == client) {
            pending.server = Some(segment.seq);
            pending.is_within &=
                self.recent.get(&client).is_some_and(|first| first.server.is_none() || first.answered >= segment.at);
            return self.decide(ends, segment, release);
        }
        match self.recent.get_mut(&client).filter(|first| is_together(first.at, segment.at)) {
            Some(first) if first.ends == ends => {
                if first.server.is_none() {
                    (first.server, first.answered) = (Some(segment.seq), segment.at);
                }
                self.decide_those_of(client, release);
                Becomes::Passes
            }
            // Of its handshake this is the first that was captured.
            Some(first) if first.server == Some(segment.seq) && first.client == segment.destination => {
                self.is_further(ends, [client, segment.seq], segment.at);
                self.drop_one(segment)
            }
            Some(_) => Becomes::Passes,
            None => {
                self.remember(
                    client,
                    First {
                        ends,
                        client: segment.destination,
                        server: Some(segment.seq),
                        answered: segment.at,
                        at: segment.at,
                    },
                );
                Becomes::Passes
            }
        }
    }

    /// Any segment but those of a handshake's first half.
    fn other(&mut self, segment: &Segment<'_>, release: &mut dyn FnMut(&Segment<'_>)) -> Becomes {
        let ends = ends(segment);
        if self.further.contains_key(&ends) {
            return self.drop_one(segment);
        }
        let acks = segment.flags.has(Flags::ACK);
        if let Some(pending) = self.pending.get_mut(&ends) {
            if acks && segment.source == pending.client && segment.seq == pending.number.wrapping_add(1) {
                pending.server.get_or_insert(segment.ack.wrapping_sub(1));
            }
            return self.decide(ends, segment, release);
        }
        // The client's first acknowledgement names the server's number, too.
        if acks
            && !self.pending.is_empty()
            && let Some(first) = self.recent.get_mut(&segment.seq.wrapping_sub(1)).filter(|first| first.ends == ends)
        {
            if first.server.is_none() {
                (first.server, first.answered) = (Some(segment.ack.wrapping_sub(1)), segment.at);
            }
            self.decide_those_of(segment.seq.wrapping_sub(1), release);
        }
        Becomes::Passes
    }

    /// Decides about a pending connection, of which `segment` is: it is a further sighting, or none, or more has to
    /// be known.
    fn decide(&mut self, ends: Ends, segment: &Segment<'_>, release: &mut dyn FnMut(&Segment<'_>)) -> Becomes {
        let Some(pending) = self.pending.get_mut(&ends) else { return Becomes::Passes };
        let first = self.recent.get(&pending.number);
        match (first.and_then(|first| first.server), pending.server) {
            (Some(_), Some(_)) if first.is_some_and(|first| pending.is(first)) => {
                self.settle(ends, segment.at);
                self.drop_one(segment)
            }
            (None, _) | (_, None) if segment.payload.is_empty() && pending.held.len() < MAX_HELD => {
                pending.held.push(without_payload(segment));
                Becomes::Taken
            }
            _ => {
                self.let_on(ends, release);
                Becomes::Passes
            }
        }
    }

    /// Decides about the pending connections whose client has this number: the server's is known now.
    fn decide_those_of(&mut self, client: u32, release: &mut dyn FnMut(&Segment<'_>)) {
        let Some(first) = self.recent.get(&client).copied() else { return };
        let those = self.pending.iter().filter(|(_, pending)| pending.number == client);
        let known = those.filter(|(_, pending)| pending.server.is_some());
        let known: Vec<(Ends, bool)> = known.map(|(ends, pending)| (*ends, pending.is(&first))).collect();
        for (ends, is_first) in known {
            if is_first { self.settle(ends, first.at) } else { self.let_on(ends, release) }
        }
    }

    /// A pending connection is a further sighting.
    fn settle(&mut self, ends: Ends, at: Timestamp) {
        if let Some(pending) = self.pending.remove(&ends) {
            self.stats.segments += pending.held.len() as u64;
            self.is_further(ends, [pending.number, pending.server.unwrap_or_default()], at.max(pending.at));
        }
    }

    /// A pending connection is one of its own.
    fn let_on(&mut self, ends: Ends, release: &mut dyn FnMut(&Segment<'_>)) {
        if let Some(pending) = self.pending.remove(&ends) {
            pending.held.iter().for_each(release);
        }
    }

    fn is_further(&mut self, ends: Ends, numbers: [u32; 2], at: Timestamp) {
        if self.further.len() >= MAX_SIGHTINGS {
            self.further.retain(|_, further| !at.since(further.last_at).gt(&SILENT));
            if self.further.len() >= MAX_SIGHTINGS
                && let Some(oldest) =
                    self.further.iter().min_by_key(|(_, further)| further.last_at).map(|(ends, _)| *ends)
            {
                self.further.remove(&oldest);
            }
        }
        self.stats.connections += 1;
        self.further.insert(ends, Further { numbers, last_at: at });
    }

    fn drop_one(&mut self, segment: &Segment<'_>) -> Becomes {
        self.stats.segments += 1;
        self.stats.requests += u64::from(begins_request(segment.payload));
        if let Some(further) = self.further.get_mut(&ends(segment)) {
            further.last_at = segment.at;
        }
        Becomes::Taken
    }

    fn remember(&mut self, client: u32, first: First) {
        if self.order.len() >= MAX_RECENT
            && let Some((oldest, at)) = self.order.pop_front()
        {
            self.forget(oldest, at);
        }
        self.order.push_back((client, first.at));
        self.recent.insert(client, first);
    }

    fn forget(&mut self, client: u32, at: Timestamp) {
        if self.recent.get(&client).is_some_and(|first| first.at == at) {
            self.recent.remove(&client);
        }
    }

    /// Forgets what was long ago, and hands on what was held in vain.
    fn expire(&mut self, now: Timestamp, release: &mut dyn FnMut(&Segment<'_>)) {
        while let Some((client, at)) = self.order.front().copied().filter(|(_, at)| !is_together(*at, now)) {
            self.order.pop_front();
            self.forget(client, at);
        }
        if self.pending.is_empty() {
            return;
        }
        let late = self.pending.iter().filter(|(_, pending)| !is_together(pending.at, now));
        let late: Vec<Ends> = late.map(|(ends, _)| *ends).collect();
        for ends in late {
            self.let_on(ends, release);
        }
    }
}

fn ends(segment: &Segment<'_>) -> Ends {
    let (source, destination) = (segment.source, segment.destination);
    if source <= destination { [source, destination] } else { [destination, source] }
}

/// Returns whether two times are within a second of each other, in either order: recorders may differ.
fn is_together(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) <= TOGETHER
}

fn without_payload(segment: &Segment<'_>) -> Segment<'static> {
    Segment { payload: &[], missing: 0, header: &[], ..*segment }
}

/// Returns whether these bytes begin like a request of HTTP/1.
fn begins_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take(16).take_while(|byte| byte.is_ascii_uppercase()).count();
    method > 2 && bytes.get(method) == Some(&b' ')
}
