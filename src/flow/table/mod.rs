//! The table of connections.

mod both_legs;
mod copies;
mod lookup;
mod suspect;
mod sweep;

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use super::challenge::PendingSyns;
use super::clock::{Clock, Stretch};
use super::connection::{Connection, Fit, PATIENCE_ACKED, SynIs};
use super::given_up::FlowRecord;
use super::index::Index;
use super::key::FlowKey;
use super::time_wait::{LateCopy, TimeWait};
use super::{Chunk, FlowStats, Seq, Side, Slab, Slot};
use crate::decode::{Flags, Segment};
use crate::exchange::{Close, ConnectionId, Timestamp};
use both_legs::OtherLegs;
use suspect::SuspectSegments;

/// Memory reserved per connection, in bytes: its entries here and in the parser, six cache lines; its share of the
/// indexes by hash or slot, with room for growth by doubling; a SYN without a response; and the few requests whose
/// responses are always awaited.
pub const CONNECTION_COST: usize = 1024;
/// Silence after which a connection that never carried a byte is given up.
const IDLE_HALF_OPEN: Duration = Duration::from_secs(60);
/// Silence after which a connection is over when its ends go by other numbers. Before, both are followed.
const SUPERSEDED: Duration = Duration::from_secs(5);
/// Connections that may be followed at once between the same ends.
const ALIKE: usize = 4;
/// Connections captured in one direction only after which nobody waits for the other direction of new ones.
const ONE_WAY: u64 = 8;

/// Tracks TCP connections. It takes segments in the order of capture and emits [`Chunk`]s.
#[derive(Debug)]
pub struct FlowTable {
    ports: Vec<u16>,
    limits: FlowLimits,
    /// Cost of the segments that wait behind holes, in all connections, in bytes.
    waiting: usize,
    slots: Slab<Connection>,
    /// For each slot, before when there is nothing to do for it: kept apart, so that looking is cheap.
    next_check: Vec<Timestamp>,
    free: Vec<Slot>,
    /// Slots by the key of their connection, which stands there and not here: a look-up touches less memory so.
    by_key: Index,
    /// Seeded anew in each process: the ends of a connection are chosen by strangers.
    hasher: foldhash::fast::RandomState,
    sweep_cursor: usize,
    challenges: PendingSyns,
    suspects: SuspectSegments,
    other_legs: OtherLegs,
    time_wait: TimeWait,
    stats: FlowRecord,
    clock: Clock,
    /// Bytes of a connection that a copy brought first: they come again, and are no retransmission then.
    brought: HashMap<Slot, u64, foldhash::fast::RandomState>,
    /// Whether what is lost in one place may still come from another one.
    expects_copies: bool,
}

/// Lookup of the connection of a segment; see [`FlowTable::lookup`].
#[derive(Clone, Copy, Debug)]
pub struct FlowLookup {
    key: FlowKey,
    side: Side,
    hash: u64,
    /// The slot that the key's hash leads to first: mostly the right one.
    guess: Option<Slot>,
    /// How many of the next bytes of that side in that slot nobody looks at.
    passed_over: u64,
}

/// Limits of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    /// Connections that are followed at once. Past it the one longest silent, of a few looked at, is given up.
    pub connections: usize,
    /// Bytes that may wait behind holes, in all connections. Past it the connection that lets more wait gives its
    /// holes up.
    pub waiting_bytes: usize,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { connections: 1 << 17, waiting_bytes: 64 << 20 }
    }
}

impl FlowTable {
    /// Creates an empty table with default limits. `ports` identify the server where no handshake does.
    #[must_use]
    pub fn new(ports: &[u16]) -> Self {
        Self::with_limits(ports, FlowLimits::default())
    }

    /// An empty table with these limits.
    #[must_use]
    pub fn with_limits(ports: &[u16], limits: FlowLimits) -> Self {
        Self {
            ports: ports.to_vec(),
            limits,
            waiting: 0,
            slots: Slab::default(),
            next_check: Vec::new(),
            free: Vec::new(),
            by_key: Index::default(),
            hasher: foldhash::fast::RandomState::default(),
            sweep_cursor: 0,
            challenges: PendingSyns::default(),
            suspects: SuspectSegments::default(),
            other_legs: OtherLegs::default(),
            time_wait: TimeWait::default(),
            stats: FlowRecord::default(),
            clock: Clock::default(),
            brought: HashMap::default(),
            expects_copies: false,
        }
    }

    /// Bytes that wait behind holes now, with what holding them costs.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting
    }

    /// Counters so far.
    #[must_use]
    pub const fn stats(&self) -> &FlowStats {
        &self.stats.counts
    }

    /// The stamp of the frame before which the capture's clock was first set.
    #[must_use]
    pub(crate) const fn first_step(&self) -> Option<Timestamp> {
        self.clock.first_step()
    }

    /// The stamp of the frame before which the capture's clock may have been set: those that follow tell.
    #[must_use]
    pub(crate) const fn possible_step(&self) -> Option<Timestamp> {
        self.clock.possible_step()
    }

    /// When a segment came that was held since `at`, by the capture's clock.
    #[must_use]
    pub(crate) fn arrival(&self, at: Timestamp) -> Timestamp {
        self.clock.arrival(at)
    }

    /// Connections that are remembered: those that are open, and those that were closed a moment ago.
    #[must_use]
    pub(crate) const fn remembered(&self) -> usize {
        self.by_key.len()
    }

    /// Processes the next segment and emits the chunks that it completes.
    pub fn take(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) {
        self.take_later(segment, segment.at, sink);
    }

    /// Processes the next segment, which was held until `now`, and emits the chunks that it completes.
    pub(crate) fn take_later(&mut self, segment: &Segment<'_>, now: Timestamp, sink: &mut impl FnMut(Chunk<'_>)) {
        let (key, side) = FlowKey::of(segment);
        let place = FlowLookup { key, side, hash: self.hasher.hash_one(key), guess: None, passed_over: 0 };
        self.take_found(&place, segment, now, sink);
    }

    /// Processes the next segment, which was looked up before, and emits the chunks that it completes. Other segments
    /// may have been processed since the lookup.
    pub fn take_at(&mut self, place: &FlowLookup, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) {
        self.take_found(place, segment, segment.at, sink);
    }

    #[inline]
    fn take_found(
        &mut self,
        place: &FlowLookup,
        segment: &Segment<'_>,
        now: Timestamp,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        let stretch = self.clock.tick(now);
        self.stats.clock_steps = self.clock.steps();
        self.sweep(sink);
        if !self.take_plain(place, segment, stretch, sink) {
            self.place(place, segment, stretch, sink);
        }
    }

    /// Hands on a segment that just goes on, as [`FlowTable::place`] would; false, and nothing was done, where it may not.
    #[inline]
    fn take_plain(
        &mut self,
        place: &FlowLookup,
        segment: &Segment<'_>,
        stretch: Stretch,
        sink: &mut impl FnMut(Chunk<'_>),
    ) -> bool {
        if segment.flags != Flags::ACK || !self.challenges.is_empty() || !self.suspects.is_empty() {
            return false;
        }
        let Some(slot) = place.guess.or_else(|| self.by_key.first(place.hash)) else { return false };
        let known = self.slots.get(slot).filter(|known| known.key == place.key);
        let Some(received) = known.and_then(|known| known.plain_ack(place.side, segment)) else { return false };
        let passed_over = if place.guess.is_some() { place.passed_over } else { 0 };
        if !self.holds_suspect(slot, place.side, segment, stretch, passed_over)
            && let Some(known) = self.slots.get_mut(slot)
        {
            known.take_plain(slot, place.side, segment, received, (self.clock.now(), stretch), sink);
        }
        true
    }

    /// Finds the connection that a segment belongs to, and hands it on.
    fn place(&mut self, place: &FlowLookup, segment: &Segment<'_>, stretch: Stretch, sink: &mut impl FnMut(Chunk<'_>)) {
        let by_own_numbers = self.of_other_leg(place, segment);
        let segment = by_own_numbers.as_ref().unwrap_or(segment);
        let Some((slot, fit)) = self.slot_of(place, segment) else {
            // An acknowledgement or end of something that was never seen tells nothing.
            if (segment.flags.has(Flags::SYN) || has_bytes(segment)) && !self.takes_late_copy(place, segment) {
                let slot = self.open(place, segment, sink);
                self.hand_on(slot, place.side, segment, stretch, sink);
            }
            return;
        };
        let passed_over = if place.guess == Some(slot) { place.passed_over } else { 0 };
        if self.holds_suspect(slot, place.side, segment, stretch, passed_over) {
            return;
        }
        if let Some(known) = self.slots.get(slot)
            && let Some(pending) = self.challenges.heeded(slot, place.side, segment, known)
        {
            let syn = pending.segment();
            let (_, syn_side) = FlowKey::of(&syn);
            if !self.takes_up(slot, syn_side, &syn) {
                self.close(slot, Close::Reused, sink);
                self.forget(slot);
                self.place(&FlowLookup { side: syn_side, guess: None, passed_over: 0, ..*place }, &syn, stretch, sink);
                self.place(place, segment, stretch, sink);
                return;
            }
        }
        match self.belongs(slot, fit, place.side, segment) {
            Belongs::Here => {
                self.settle_suspects(slot, false, sink);
                let before = self.stats.retransmitted_bytes;
                self.hand_on(slot, place.side, segment, stretch, sink);
                if !self.brought.is_empty() {
                    self.discount_brought(slot, before);
                }
                self.settle_suspects(slot, false, sink);
            }
            Belongs::Anew if self.takes_late_copy(place, segment) => {}
            Belongs::Anew => {
                if self.is_over(slot) || self.alike(place) >= ALIKE {
                    self.close(slot, Close::Reused, sink);
                    self.forget(slot);
                }
                let slot = self.open(place, segment, sink);
                self.hand_on(slot, place.side, segment, stretch, sink);
            }
            Belongs::Pending => self.challenges.record(slot, segment),
            Belongs::Nowhere => self.stats.note_unplaced(segment.payload, segment.missing),
        }
    }

    /// Counts a segment that was seen in a connection between the same ends, which is over and forgotten; false where it was
    /// not.
    fn takes_late_copy(&mut self, place: &FlowLookup, segment: &Segment<'_>) -> bool {
        let copy = self.time_wait.late_copy(place.hash, place.side, segment, self.clock.now());
        match copy {
            Some(LateCopy { may_fill_hole: true }) => self.stats.note_unplaced(segment.payload, segment.missing),
            Some(_) => self.stats.retransmitted_bytes += segment.payload.len() as u64 + u64::from(segment.missing),
            None => {}
        }
        copy.is_some()
    }

    fn belongs(&self, slot: Slot, fit: Fit, side: Side, segment: &Segment<'_>) -> Belongs {
        let Some(connection) = self.connection(slot) else { return Belongs::Nowhere };
        if segment.flags.has(Flags::SYN) {
            return match connection.syn_is(side, segment) {
                SynIs::Its => Belongs::Here,
                SynIs::Next => Belongs::Anew,
                SynIs::Pending => Belongs::Pending,
            };
        }
        let half = side.of(&connection.halves);
        let ahead = Seq(segment.seq).ahead_of(half.next_seq());
        match fit {
            // After a reset that nobody heeded, bytes go on exactly where they were.
            Fit::Old if connection.is_closed() && connection.is_reset() && has_bytes(segment) && ahead == 0 => {
                Belongs::Anew
            }
            Fit::Old => Belongs::Here,
            Fit::New if has_bytes(segment) => Belongs::Anew,
            Fit::Odd if ahead > 0 && !connection.is_closed() => Belongs::Here,
            Fit::New | Fit::Odd => Belongs::Nowhere,
        }
    }

    /// Returns whether nothing more is expected of a connection whose ends use other numbers now.
    fn is_over(&self, slot: Slot) -> bool {
        self.connection(slot).is_none_or(|known| {
            known.is_closed() || known.is_reset() || self.clock.now().since(known.last_at) > SUPERSEDED
        })
    }

    /// Hands a segment to its connection.
    fn hand_on(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        stretch: Stretch,
        sink: &mut impl FnMut(Chunk<'_>),
    ) {
        let now = self.clock.now();
        let Some(connection) = self.slots.get_mut(slot) else { return };
        if connection.is_closed() {
            connection.note_late(slot, side, segment, &mut self.stats);
            return;
        }
        *side.of_mut(&mut connection.tags) = segment.tag;
        let before = connection.waiting();
        connection.take(slot, side, segment, (&self.clock, stretch), &mut self.stats, sink);
        if connection.waiting() > before && self.waiting - before + connection.waiting() > self.limits.waiting_bytes {
            self.stats.evicted_waiting += 1;
            connection.pump(slot, &self.clock, true, &mut self.stats, sink);
        }
        self.waiting = self.waiting - before + connection.waiting();
        let is_over = connection.halves.iter().all(|half| half.ended);
        if connection.is_reset() || connection.is_stuck() {
            self.wake_by(slot, now.plus(PATIENCE_ACKED));
        }
        if is_over {
            self.close(slot, Close::Fin, sink);
        }
    }

    fn connection(&self, slot: Slot) -> Option<&Connection> {
        self.slots.get(slot).filter(|connection| connection.is_there())
    }

    fn open(&mut self, place: &FlowLookup, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) -> Slot {
        let FlowLookup { key, side, hash, .. } = *place;
        if self.by_key.len() >= self.limits.connections.max(1) {
            self.evict(sink);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.next_check.push(Timestamp::default());
            Slot(u32::try_from(self.next_check.len() - 1).unwrap_or(u32::MAX))
        });
        self.stats.connections += 1;
        self.stats.open += 1;
        self.stats.peak_open = self.stats.peak_open.max(self.stats.open);
        let server = self.server(&key, side, segment);
        sink(Chunk::Opened {
            slot,
            connection: ConnectionId(self.stats.connections),
            at: segment.at,
            ends: key.ends(),
            server,
        });
        let now = self.clock.now();
        self.wake_at(slot, now.plus(IDLE_HALF_OPEN));
        if let Some(place) = self.slots.place(slot) {
            *place = Connection::new(key, now, self.stats.one_way < ONE_WAY);
            // Until the other side is heard, its network is the same.
            place.tags = [segment.tag; 2];
            place.expects_copies = self.expects_copies;
            // The first segment of a side is never suspect.
            side.of_mut(&mut place.checksums).is_suspect(segment);
        }
        self.by_key.insert(hash, slot);
        slot
    }

    /// Returns the side of the server: by the handshake, else by port.
    fn server(&self, key: &FlowKey, side: Side, segment: &Segment<'_>) -> Option<(Side, bool)> {
        if segment.flags.has(Flags::SYN) {
            return Some((if segment.flags.has(Flags::ACK) { side } else { side.other() }, true));
        }
        let [low, high] = key.ends().map(|end| self.ports.contains(&end.port));
        match (low, high) {
            (true, false) => Some((Side::Low, false)),
            (false, true) => Some((Side::High, false)),
            _ => None,
        }
    }
}

/// Destination of a segment whose ends have a connection.
enum Belongs {
    /// To that connection.
    Here,
    /// To one that it begins.
    Anew,
    /// To one that it begins if the other side heeds it.
    Pending,
    /// Nobody would take it.
    Nowhere,
}

const fn has_bytes(segment: &Segment<'_>) -> bool {
    !segment.payload.is_empty() || segment.missing > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Endpoint;

    impl FlowTable {
        /// Like [`FlowTable::take`], as if no segment were plain.
        fn take_slowly(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) {
            let place = self.lookup(segment);
            let stretch = self.clock.tick(segment.at);
            self.stats.clock_steps = self.clock.steps();
            self.sweep(sink);
            self.place(&place, segment, stretch, sink);
        }
    }

    /// Numbers that look random; the same each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }

        fn one_in(&mut self, count: u64) -> bool {
            self.below(count) == 0
        }
    }

    /// One of two hosts, and how far each has come.
    #[derive(Default)]
    struct Talk {
        next: [u32; 2],
    }

    impl Talk {
        /// What comes next: mostly what goes on; else bytes that were lost or come again, strange numbers, flags and tags.
        fn segment<'a>(&mut self, port: u16, at: Timestamp, random: &mut Random, bytes: &'a [u8]) -> Segment<'a> {
            let from = usize::try_from(random.below(2)).unwrap();
            let hosts = [Endpoint::new(1, port), Endpoint::new(2, 80)];
            let (mut seq, mut ack) = (self.next[from], self.next[1 - from]);
            let len = if random.one_in(3) { 0 } else { usize::try_from(random.below(40)).unwrap() };
            let payload = &bytes[..len];
            let mut flags = Flags::ACK;
            let (mut tag, mut missing) = (0, 0);
            let near = |random: &mut Random| u32::try_from(random.below(90)).unwrap();
            match random.below(40) {
                0 => seq = seq.wrapping_sub(near(random)),
                1 => ack = ack.wrapping_sub(near(random)),
                2 => seq = seq.wrapping_add(near(random)),
                3 => ack = ack.wrapping_add(near(random)),
                4 => seq = seq.wrapping_add(1 << 28),
                5 => tag = 7,
                6 => missing = near(random),
                7 if random.one_in(3) => flags = flags.with(Flags::FIN),
                8 if random.one_in(4) => flags = Flags::RST,
                9 if random.one_in(3) => flags = flags.with(Flags::SYN),
                10 if random.one_in(3) => flags = Flags::SYN,
                11 => flags = Flags::default(),
                12 if random.one_in(4) => self.next = [u32::MAX - near(random), near(random) << 20],
                _ => {}
            }
            let end = seq.wrapping_add(u32::try_from(len).unwrap() + missing);
            // Some of it is not captured.
            let lost = random.one_in(30);
            self.next[from] = end.wrapping_add(if lost { near(random) } else { 0 });
            let (source, destination) = (hosts[from], hosts[1 - from]);
            Segment { at, source, destination, seq, ack, flags, payload, missing, tag, header: &[] }
        }
    }

    #[test]
    fn a_plain_segment_is_taken_as_it_would_be_the_long_way() {
        let bytes: Vec<u8> = (0..40).collect();
        for seed in 1..=20 {
            let (mut random, mut at) = (Random(seed), Timestamp::from_nanos(1_000_000_000_000));
            let mut tables = [FlowTable::new(&[80]), FlowTable::new(&[80])];
            let mut talks = [const { Talk { next: [0; 2] } }; 3];
            let mut plain = 0;
            for step in 0..2000 {
                at = at.plus(Duration::from_micros(random.below(300_000)));
                let which = usize::try_from(random.below(3)).unwrap();
                let segment = talks[which].segment(5000 + u16::try_from(which).unwrap(), at, &mut random, &bytes);
                let mut told = [const { Vec::<String>::new() }; 2];
                let [quick, slow] = &mut tables;
                let [by_quick, by_slow] = &mut told;
                quick.take(&segment, &mut |chunk| by_quick.push(format!("{chunk:?}")));
                slow.take_slowly(&segment, &mut |chunk| by_slow.push(format!("{chunk:?}")));
                assert_eq!(by_quick, by_slow, "seed {seed}, step {step}: {segment:?}");
                let known = |table: &FlowTable| format!("{:?} {:?} {}", table.stats, table.waiting, table.remembered());
                assert_eq!(known(quick), known(slow), "seed {seed}, step {step}: {segment:?}");
                let slots = |table: &FlowTable| {
                    let slots = (0..4).map_while(|slot| table.slots.get(Slot(slot)));
                    slots.map(|connection| format!("{connection:?}")).collect::<Vec<_>>()
                };
                if step % 7 == 0 {
                    assert_eq!(slots(quick), slots(slow), "seed {seed}, step {step}: {segment:?}");
                }
                plain += usize::from(told[0].len() == 1 && told[0][0].starts_with("Data"));
            }
            assert!(plain > 200, "seed {seed}: {plain}");
        }
    }
}
