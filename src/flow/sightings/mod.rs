//! Connections that are seen several times, under different addresses: before and after translation.
//!
//! A device that translates addresses leaves the sequence numbers of TCP as they are, and the bytes. So two connections
//! are one where, within a second, both initial sequence numbers are the same (64 bits that the hosts choose at random, RFC
//! 6528) and no request says otherwise. Without a handshake, it takes a request with the same sequence and acknowledgement
//! numbers and the same first bytes. The first sighting continues; the segments of the other one go under its addresses,
//! where they fill what the first one lost, and count as duplicates. What may be a further sighting is held until the
//! decision. A connection under the same addresses needs none of this: its copies are known by their numbers.
//!
//! Synthetic traffic (from a generator, or for a test) often begins every connection with the same numbers, and asks the
//! same. Where numbers look like that they do not decide. In addition, either the client is the same in both sightings, as
//! where only the server's address is translated; or one handshake is within the other, as where packets pass one capture
//! point and then the next.

mod ends;
mod further;
mod handshakes;
mod requests;
mod verdict;

use crate::decode::{Flags, Segment};
use crate::exchange::Timestamp;
use crate::flow::seq::look_made_up;
use ends::{Ends, Way, ends, is_together};
use further::{Further, FurtherSightings};
use handshakes::{First, Numbers, Pending, PendingSightings, RecentHandshakes, later};
use requests::{Known, RecentRequests, begins_request};
pub(crate) use verdict::{Released, SightingStats, Verdict};

/// Finds further sightings of connections. Costs next to nothing while there are none.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    recent: RecentHandshakes,
    requests: RecentRequests,
    pending: PendingSightings,
    further: FurtherSightings,
    released: Vec<Released>,
    stats: SightingStats,
}

impl Sightings {
    /// Returns the counters so far.
    #[must_use]
    pub(crate) const fn stats(&self) -> SightingStats {
        self.stats
    }

    /// Returns whether a segment has to be judged: the beginning of a connection or of a request, and every segment while
    /// there are sightings.
    #[must_use]
    #[inline]
    pub(crate) fn concerns(&self, segment: &Segment<'_>) -> bool {
        segment.flags.has(Flags::SYN) || begins_request(segment.payload) || self.is_active()
    }

    /// Asks for the memory that is needed to judge the request after this response: by then it is near, and else it is not.
    #[inline]
    pub(crate) fn fetch_next(&self, response: &Segment<'_>) {
        if let Ok(len) = u32::try_from(response.payload.len())
            && len > 0
        {
            self.requests.fetch(response.ack, response.seq.wrapping_add(len));
        }
    }

    fn is_active(&self) -> bool {
        !self.pending.is_empty() || !self.further.is_empty()
    }

    /// Returns what becomes of a segment. What [`Sightings::released`] returns now goes before it.
    pub(crate) fn judge(&mut self, segment: &Segment<'_>) -> Verdict {
        let syn = segment.flags.has(Flags::SYN);
        if !syn && !self.is_active() {
            return self.own(segment);
        }
        self.expire(segment.at);
        match (syn, segment.flags.has(Flags::ACK)) {
            (true, false) => self.syn(segment),
            (true, true) => self.syn_ack(segment),
            (false, _) => self.other(segment),
        }
    }

    /// Returns the segments that were held until now, in order.
    pub(crate) fn released(&mut self) -> Vec<Released> {
        std::mem::take(&mut self.released)
    }

    /// Returns whether any segments were held until now.
    #[must_use]
    pub(crate) const fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// Returns what goes on of a segment of a further sighting: under the addresses of the first one, at the time when it
    /// passed there. `None` where it says nothing that counts.
    #[must_use]
    pub(crate) fn as_first<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        self.further.as_first(segment)
    }

    /// Takes back what a segment of a further sighting is of, for the first one has no connection with its numbers. It goes
    /// on as it is, or is a copy of another one, or stays dropped.
    pub(crate) fn reconsider(&mut self, segment: &Segment<'_>) -> Verdict {
        let ends = ends(segment);
        if !begins_request(segment.payload) {
            return Verdict::Held;
        }
        let known = self.requests.find(segment).filter(|known| known.agrees == Some(true) && known.way.ends() != ends);
        match (known, self.further.first_of(ends)) {
            (Some(known), Some(first)) if known.way == first => Verdict::Held,
            (Some(known), Some(_)) => {
                self.further.remove(ends);
                let (way, shift) = (Way::of(segment), [later(segment.at, known.at); 2]);
                self.further.insert(Further { way, first: known.way, numbers: None, shift, last_at: segment.at });
                Verdict::Copy
            }
            _ => {
                self.further.remove(ends);
                self.stats.segments -= 1;
                self.stats.requests -= 1;
                self.requests.note(segment);
                Verdict::Passes
            }
        }
    }

    /// Releases what is held: nothing more comes.
    pub(crate) fn finish(&mut self) {
        for ends in self.pending.all() {
            self.decide(ends);
        }
    }

    /// Takes note that it is `now` and nothing came: what was held long enough is released.
    pub(crate) fn idle(&mut self, now: Timestamp) {
        self.expire(now);
    }

    fn syn(&mut self, segment: &Segment<'_>) -> Verdict {
        let ends = ends(segment);
        if let Some(further) = self.further.get(ends) {
            if further.numbers.is_some_and(|[client, _]| client == segment.seq) {
                return self.copy(segment);
            }
            // The same ports again, for another connection.
            self.further.remove(ends);
        }
        if let Some(pending) = self.pending.get_mut(ends) {
            if pending.number == segment.seq {
                return self.hold(ends, segment);
            }
            self.let_on(ends);
        }
        match self.recent.get(segment.seq).filter(|first| is_together(first.at, segment.at)) {
            Some(first) if first.way.ends() != ends => {
                let (first, is_within) = (first.way, first.server.is_none());
                if !segment.payload.is_empty() {
                    return Verdict::Passes;
                }
                self.suspect(Way::of(segment), first, segment, is_within)
            }
            Some(_) => Verdict::Passes,
            None => {
                let way = Way::of(segment);
                self.recent.insert(segment.seq, First { way, server: None, answered: segment.at, at: segment.at });
                Verdict::Passes
            }
        }
    }

    fn syn_ack(&mut self, segment: &Segment<'_>) -> Verdict {
        let (ends, numbers) = (ends(segment), [segment.ack.wrapping_sub(1), segment.seq]);
        let [client, server] = numbers;
        if let Some(further) = self.further.get(ends) {
            if further.numbers == Some(numbers) {
                return self.copy(segment);
            }
            self.further.remove(ends);
        }
        if let Some(pending) = self.pending.get_mut(ends).filter(|pending| pending.number == client) {
            (pending.server, pending.answered) = (Some(server), Some(segment.at));
            pending.is_within &=
                self.recent.get(client).is_some_and(|first| first.server.is_none() || first.answered >= segment.at);
            return self.of_pending(ends, segment);
        }
        let way = Way::back(segment);
        match self.recent.get_mut(client).filter(|first| is_together(first.at, segment.at)) {
            Some(first) if first.way.ends() == ends => {
                if first.server.is_none() {
                    (first.server, first.answered) = (Some(server), segment.at);
                }
                self.compare_those_of(client);
                Verdict::Passes
            }
            // Of its handshake this is the first that was captured.
            Some(first)
                if first.server == Some(server)
                    && (first.way.client == segment.destination || !look_made_up(numbers)) =>
            {
                let first = first.way;
                self.suspect(way, first, segment, false)
            }
            Some(_) => Verdict::Passes,
            None => {
                self.recent.insert(client, First { way, server: Some(server), answered: segment.at, at: segment.at });
                Verdict::Passes
            }
        }
    }

    /// Begins to hold a connection that may be a further sighting, from this segment on.
    fn suspect(&mut self, way: Way, first: Way, segment: &Segment<'_>, is_within: bool) -> Verdict {
        if self.pending.is_full() {
            return Verdict::Passes;
        }
        let (ends, acks) = (way.ends(), segment.flags.has(Flags::ACK));
        let pending = Pending {
            way,
            first,
            number: if acks { segment.ack.wrapping_sub(1) } else { segment.seq },
            server: acks.then_some(segment.seq),
            is_within,
            agrees: false,
            shift: [0; 2],
            at: segment.at,
            answered: acks.then_some(segment.at),
            began: None,
            held: Vec::new(),
        };
        self.pending.insert(ends, pending);
        self.of_pending(ends, segment)
    }

    /// Any segment but those of a handshake's first half.
    fn other(&mut self, segment: &Segment<'_>) -> Verdict {
        let ends = ends(segment);
        if self.further.get(ends).is_some() {
            let differs = |known: Known| known.agrees == Some(false) && known.way.ends() != ends;
            if begins_request(segment.payload) && self.requests.find(segment).is_some_and(differs) {
                self.further.remove(ends);
                return self.own(segment);
            }
            return self.copy(segment);
        }
        let acks = segment.flags.has(Flags::ACK);
        if let Some(pending) = self.pending.get_mut(ends) {
            if acks && segment.source == pending.way.client && segment.seq == pending.number.wrapping_add(1) {
                pending.server.get_or_insert(segment.ack.wrapping_sub(1));
            }
            return self.of_pending(ends, segment);
        }
        // The client's first acknowledgement names the server's number, too.
        let client = segment.seq.wrapping_sub(1);
        if acks
            && !self.pending.is_empty()
            && let Some(first) = self.recent.get_mut(client).filter(|first| first.way == Way::of(segment))
        {
            if first.server.is_none() {
                (first.server, first.answered) = (Some(segment.ack.wrapping_sub(1)), segment.at);
            }
            self.compare_those_of(client);
        }
        self.own(segment)
    }

    /// A segment of a connection that is no sighting of another one, as far as is known.
    #[inline]
    fn own(&mut self, segment: &Segment<'_>) -> Verdict {
        if !begins_request(segment.payload) {
            return Verdict::Passes;
        }
        match self.requests.note(segment) {
            None => Verdict::Passes,
            Some(known) => self.meets(segment, &known),
        }
    }

    /// A request with the same numbers as one between other ends.
    #[cold]
    fn meets(&mut self, segment: &Segment<'_>, known: &Known) -> Verdict {
        let (here, there) = (Way::of(segment), known.way.ends());
        if let Some(pending) = self.pending.get_mut(there) {
            let is_first = pending.first == here;
            match known.agrees {
                Some(true) if is_first && pending.may_be() => {
                    pending.shifts_by(later(known.at, segment.at));
                    self.settle(there);
                }
                Some(false) if is_first => self.let_on(there),
                _ => {}
            }
            return Verdict::Passes;
        }
        let first = self.further.first_of(there).unwrap_or(known.way);
        let can_be = !look_made_up([segment.seq, segment.ack]) || known.way.client == segment.source;
        if known.agrees != Some(true) || first == here || !can_be {
            return Verdict::Passes;
        }
        let shift = [later(segment.at, known.at); 2];
        self.is_further(Further { way: here, first, numbers: None, shift, last_at: segment.at });
        self.copy(segment)
    }

    /// A segment of a connection that may be a further sighting: it is one, or none, or more has to be known.
    fn of_pending(&mut self, ends: Ends, segment: &Segment<'_>) -> Verdict {
        let Some(pending) = self.pending.get_mut(ends) else { return Verdict::Passes };
        let numbers = pending.compare(self.recent.get(pending.number));
        let may_be = pending.may_be();
        let request = begins_request(segment.payload);
        let known = if request { self.requests.find(segment).filter(|known| known.way.ends() != ends) } else { None };
        match known.and_then(|known| known.agrees.map(|agrees| (agrees, known.at))) {
            Some((true, at)) if may_be && numbers != Numbers::Unlike => {
                pending.shifts_by(later(segment.at, at));
                self.settle(ends);
                return self.copy(segment);
            }
            Some((false, _)) => self.let_on(ends),
            _ if numbers == Numbers::Unlike => self.let_on(ends),
            _ => {
                if request && known.is_none() {
                    self.requests.note(segment);
                }
                return self.hold(ends, segment);
            }
        }
        self.own(segment)
    }

    /// Compares the numbers of the pending connections whose client has this one: the server's is known now.
    fn compare_those_of(&mut self, client: u32) {
        let Some(first) = self.recent.get(client).copied() else { return };
        for ends in self.pending.unlike(client, &first) {
            self.let_on(ends);
        }
    }

    /// Holds a segment. Where too many are held, what is known decides.
    fn hold(&mut self, ends: Ends, segment: &Segment<'_>) -> Verdict {
        if self.pending.hold(ends, segment) {
            return Verdict::Held;
        }
        self.decide(ends);
        if self.further.get(ends).is_some() { self.copy(segment) } else { self.own(segment) }
    }

    /// Decides about a pending connection by what is known of it.
    fn decide(&mut self, ends: Ends) {
        if self.pending.get_mut(ends).is_some_and(|pending| pending.agrees) {
            self.settle(ends);
        } else {
            self.let_on(ends);
        }
    }

    /// A pending connection is a further sighting.
    fn settle(&mut self, ends: Ends) {
        let Some(pending) = self.pending.remove(ends) else { return };
        let Pending { way, first, number, server, shift, held, .. } = pending;
        let last_at = held.last().map_or(pending.at, |held| held.segment().at);
        let numbers = server.map(|server| [number, server]);
        self.is_further(Further { way, first, numbers, shift, last_at });
        self.stats.segments += held.len() as u64;
        self.stats.requests += held.iter().filter(|held| begins_request(held.segment().payload)).count() as u64;
        self.released.extend(held.into_iter().map(|held| Released { held, is_copy: true }));
    }

    /// A pending connection is one of its own.
    fn let_on(&mut self, ends: Ends) {
        if let Some(pending) = self.pending.remove(ends) {
            self.released.extend(pending.held.into_iter().map(|held| Released { held, is_copy: false }));
        }
    }

    fn is_further(&mut self, further: Further) {
        self.stats.connections += 1;
        self.further.insert(further);
    }

    fn copy(&mut self, segment: &Segment<'_>) -> Verdict {
        self.stats.segments += 1;
        self.stats.requests += u64::from(begins_request(segment.payload));
        self.further.touch(ends(segment), segment.at);
        Verdict::Copy
    }

    /// Forgets what was long ago, and decides about what was held in vain.
    fn expire(&mut self, now: Timestamp) {
        self.recent.expire(now);
        while let Some(ends) = self.pending.next_due(now) {
            self.decide(ends);
        }
    }
}
