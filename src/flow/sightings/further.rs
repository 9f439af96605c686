//! Further sightings of connections, and how their segments go under the addresses of the first one.

use std::collections::HashMap;
use std::time::Duration;

use super::ends::{Ends, Way, ends};
use crate::decode::{Checksum, Flags, Segment};
use crate::exchange::Timestamp;

/// Most sightings that are remembered. Past it the one longest silent is forgotten, and its segments pass.
const MAX_SIGHTINGS: usize = 1 << 16;
/// Places of which one is found to be behind the next, one after another.
const MAX_PLACES: usize = 4;
/// Silence after which a sighting is forgotten.
const SILENT: Duration = Duration::from_secs(15 * 60);

/// A further sighting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Further {
    pub(super) way: Way,
    pub(super) first: Way,
    /// The numbers of its handshake, if that was seen.
    pub(super) numbers: Option<[u32; 2]>,
    /// How much later than at the first sighting the client's segments come, and the server's, in nanoseconds.
    pub(super) shift: [i64; 2],
    pub(super) last_at: Timestamp,
}

impl Further {
    /// Returns what goes on of a segment: under the addresses of the first sighting, at the time when it passed there.
    /// `None` where it says nothing that counts.
    fn as_first<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        let ends_stream = segment.flags.has(Flags::FIN) || segment.flags.has(Flags::RST);
        let is_empty = segment.payload.is_empty() && !(ends_stream && segment.missing == 0);
        if is_empty || segment.flags.has(Flags::SYN) || segment.checksum() == Checksum::Wrong {
            return None;
        }
        let [client_shift, server_shift] = self.shift;
        let Way { client, server } = self.first;
        let (source, destination, shift) = if segment.source == self.way.client {
            (client, server, client_shift)
        } else {
            (server, client, server_shift)
        };
        let at = Timestamp::from_nanos(segment.at.nanos().saturating_add_signed(shift.saturating_neg()));
        // Another copy may have what is cut off here.
        let flags = if segment.missing > 0 { Flags::ACK } else { segment.flags };
        Some(Segment { at, source, destination, flags, missing: 0, header: &[], ..*segment })
    }
}

/// The further sightings, by their ends.
#[derive(Debug, Default)]
pub(super) struct FurtherSightings {
    by_ends: HashMap<Ends, Further, foldhash::fast::RandomState>,
}

impl FurtherSightings {
    pub(super) fn is_empty(&self) -> bool {
        self.by_ends.is_empty()
    }

    pub(super) fn get(&self, ends: Ends) -> Option<&Further> {
        self.by_ends.get(&ends)
    }

    /// Returns a sighting by the first one of all: what it is of may have become a further sighting itself.
    fn resolve(&self, mut further: Further) -> Further {
        for _ in 0..MAX_PLACES {
            let Some(next) = self.by_ends.get(&further.first.ends()) else { break };
            further.first = next.first;
            for (shift, more) in further.shift.iter_mut().zip(next.shift) {
                *shift = shift.saturating_add(more);
            }
        }
        further
    }

    /// Returns the first sighting of the connection with these ends, if that is another one.
    pub(super) fn first_of(&self, ends: Ends) -> Option<Way> {
        self.by_ends.get(&ends).map(|further| self.resolve(*further).first)
    }

    /// Returns what goes on of a segment; see [`super::Sightings::as_first`].
    pub(super) fn as_first<'a>(&self, segment: &Segment<'a>) -> Option<Segment<'a>> {
        self.resolve(*self.by_ends.get(&ends(segment))?).as_first(segment)
    }

    pub(super) fn remove(&mut self, ends: Ends) {
        self.by_ends.remove(&ends);
    }

    /// Takes note that a segment came.
    pub(super) fn touch(&mut self, ends: Ends, at: Timestamp) {
        if let Some(further) = self.by_ends.get_mut(&ends) {
            further.last_at = at;
        }
    }

    pub(super) fn insert(&mut self, further: Further) {
        if self.by_ends.len() >= MAX_SIGHTINGS {
            self.by_ends.retain(|_, old| further.last_at.since(old.last_at) <= SILENT);
            if self.by_ends.len() >= MAX_SIGHTINGS
                && let Some(oldest) = self.by_ends.iter().min_by_key(|(_, old)| old.last_at).map(|(ends, _)| *ends)
            {
                self.by_ends.remove(&oldest);
            }
        }
        let further = self.resolve(further);
        if further.first != further.way {
            self.by_ends.insert(further.way.ends(), further);
        }
    }
}
