//! The table of connections.

use std::hash::BuildHasher as _;
use std::time::Duration;

use super::challenge::Challenges;
use super::connection::{Connection, FlowKey, Life, PATIENCE_ACKED, RESET_REACH};
use super::index::Index;
use super::{Chunk, Seq, Side, Slab, Slot, Stats};
use crate::decode::{Flags, Segment};
use crate::exchange::{Close, ConnectionId, Timestamp};

/// What a connection may take in memory, in bytes: its place here and in the parser behind, six lines of a cache; its
/// share of what is indexed by hash or slot, with room for what grows by doubling; a SYN that nobody has answered; and the
/// few requests that it is always remembered to await responses to.
pub const CONNECTION_COST: usize = 1024;
/// Slots that are looked at when no segment came for a while.
const IDLE_SWEEP: usize = 4096;
/// How many slots before it is looked at the memory of one is asked for.
const SWEEP_AHEAD: usize = 4;
/// Slots that are looked at when a connection has to make room.
const EVICTION_SAMPLE: usize = 32;
/// Silence after which a connection is given up.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// Silence after which a connection that never carried a byte is given up.
const IDLE_HALF_OPEN: Duration = Duration::from_secs(60);
/// How long a closed connection is remembered, so that late copies of its segments do not open another one.
const LINGER: Duration = Duration::from_secs(5);
/// How long after RST bytes that were under way are still waited for.
const RESET_LINGER: Duration = Duration::from_secs(1);

/// Follows TCP connections. Feed it segments in the order of capture; it tells [`Chunk`]s.
#[derive(Debug)]
pub struct FlowTable {
    ports: Vec<u16>,
    limits: Limits,
    /// What waits behind holes, in all connections.
    waiting: usize,
    slots: Slab<Connection>,
    /// For each slot, before when there is nothing to do for it: kept apart, so that looking is cheap.
    wake: Vec<Timestamp>,
    free: Vec<Slot>,
    /// Slots by the key of their connection, which stands there and not here: a look-up touches less memory so.
    by_key: Index,
    /// Seeded anew in each process: the ends of a connection are chosen by strangers.
    hasher: foldhash::fast::RandomState,
    hand: usize,
    challenges: Challenges,
    stats: Stats,
    last_at: Timestamp,
}

/// Where the connection of a segment is to be found; see [`FlowTable::look_up`].
#[derive(Clone, Copy, Debug)]
pub struct LookUp {
    key: FlowKey,
    side: Side,
    hash: u64,
    /// The slot that the key's hash leads to first: mostly the right one.
    guess: Option<Slot>,
}

/// What the table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are followed at once. Past it the one longest silent, of a few looked at, is given up.
    pub connections: usize,
    /// Bytes that may wait behind holes, in all connections. Past it the connection that lets more wait gives its
    /// holes up.
    pub waiting_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1 << 17, waiting_bytes: 64 << 20 }
    }
}

impl FlowTable {
    /// An empty table with default limits; `ports` tell the server where no handshake does.
    #[must_use]
    pub fn new(ports: &[u16]) -> Self {
        Self::with_limits(ports, Limits::default())
    }

    /// An empty table with these limits.
    #[must_use]
    pub fn with_limits(ports: &[u16], limits: Limits) -> Self {
        Self {
            ports: ports.to_vec(),
            limits,
            waiting: 0,
            slots: Slab::default(),
            wake: Vec::new(),
            free: Vec::new(),
            by_key: Index::default(),
            hasher: foldhash::fast::RandomState::default(),
            hand: 0,
            challenges: Challenges::default(),
            stats: Stats::default(),
            last_at: Timestamp::default(),
        }
    }

    /// Bytes that wait behind holes now, with what holding them costs.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting
    }

    /// Counters so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Begins to look up the connection of a segment: the memory that knows where it stands is asked for.
    #[must_use]
    #[inline]
    pub fn look_up(&self, segment: &Segment<'_>) -> LookUp {
        let (key, side) = FlowKey::of(segment);
        let hash = self.hasher.hash_one(key);
        self.by_key.fetch(hash);
        LookUp { key, side, hash, guess: None }
    }

    /// Goes on with a look-up: where the connection probably stands, or will stand if it is opened; its memory is asked
    /// for. Nothing is changed, and no connection is looked at.
    pub fn guess(&self, place: &mut LookUp) -> Option<Slot> {
        place.guess = self.by_key.find(place.hash).next();
        let slot = place.guess.or_else(|| self.free.last().copied());
        if let Some(slot) = slot {
            self.slots.fetch(slot);
        }
        slot
    }

    /// Connections that are remembered: those that are open, and those that were closed a moment ago.
    #[must_use]
    pub const fn remembered(&self) -> usize {
        self.by_key.len()
    }

    /// Takes the next segment and tells what it makes known.
    pub fn take(&mut self, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) {
        let (key, side) = FlowKey::of(segment);
        let place = LookUp { key, side, hash: self.hasher.hash_one(key), guess: None };
        self.take_at(&place, segment, sink);
    }

    /// Takes the next segment, which was looked up before, and tells what it makes known. Others may have been taken
    /// since then.
    pub fn take_at(&mut self, place: &LookUp, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) {
        self.last_at = self.last_at.max(segment.at);
        self.sweep(sink);
        let side = place.side;
        let known = self.slot_of(place);
        if let Some(slot) = known
            && let Some(syn) = self.challenges.answered(slot, side, segment, self.connection(slot))
        {
            self.close(slot, syn.at, Close::Reused, sink);
            self.forget(slot);
            self.take(&syn, sink);
            self.take(segment, sink);
            return;
        }
        let slot = match known {
            Some(slot) if !self.begins_anew(slot, side, segment) => slot,
            Some(slot) if self.challenges.note(slot, segment, self.slots.get(slot)) => return,
            Some(slot) => {
                self.close(slot, segment.at, Close::Reused, sink);
                self.forget(slot);
                self.open(place, segment, sink)
            }
            None if segment.flags.has(Flags::SYN) || !segment.payload.is_empty() || segment.missing > 0 => {
                self.open(place, segment, sink)
            }
            // An acknowledgement or end of something that was never seen tells nothing.
            None => return,
        };
        let Some(connection) = self.slots.get_mut(slot) else { return };
        if connection.is_closed() {
            self.stats.retransmitted_bytes += segment.payload.len() as u64;
            return;
        }
        let before = connection.waiting();
        connection.take(slot, side, segment, &mut self.stats, sink);
        if connection.waiting() > before && self.waiting - before + connection.waiting() > self.limits.waiting_bytes {
            self.stats.evicted_waiting += 1;
            connection.pump(slot, segment.at, true, &mut self.stats, sink);
        }
        self.waiting = self.waiting - before + connection.waiting();
        if (connection.is_reset() || connection.is_stuck())
            && let Some(wake) = self.wake.get_mut(slot.0 as usize)
        {
            *wake = (*wake).min(segment.at.plus(PATIENCE_ACKED));
        }
        if connection.halves.iter().all(|half| half.ended) {
            self.close(slot, segment.at, Close::Fin, sink);
        }
    }

    /// Takes note that it is `now` and no segment came: holes that were waited for long enough are given up, and silent
    /// connections with them, a few thousand at a time.
    pub fn idle(&mut self, now: Timestamp, sink: &mut impl FnMut(Chunk<'_>)) {
        self.last_at = self.last_at.max(now);
        for _ in 0..self.wake.len().min(IDLE_SWEEP) {
            self.sweep(sink);
        }
    }

    /// Ends the capture: what waits is told, then every connection is closed.
    pub fn finish(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        for index in 0..self.wake.len() {
            let slot = Slot(u32::try_from(index).unwrap_or(u32::MAX));
            let reset = self.connection(slot).is_some_and(Connection::is_reset);
            self.close(slot, self.last_at, if reset { Close::Reset } else { Close::EndOfCapture }, sink);
        }
    }

    fn slot_of(&self, place: &LookUp) -> Option<Slot> {
        let has_key = |slot: &Slot| self.connection(*slot).is_some_and(|connection| connection.key == place.key);
        // A slot that holds the key is the one, whatever happened since the look-up.
        place.guess.filter(has_key).or_else(|| self.by_key.find(place.hash).find(has_key))
    }

    fn connection(&self, slot: Slot) -> Option<&Connection> {
        self.slots.get(slot).filter(|connection| connection.is_there())
    }

    /// Whether the segment begins a new connection between the ends of a known one.
    fn begins_anew(&self, slot: Slot, side: Side, segment: &Segment<'_>) -> bool {
        let Some(connection) = self.connection(slot) else { return true };
        let half = side.of(&connection.halves);
        if !segment.flags.has(Flags::SYN) {
            // After a reset that nobody heeded, bytes go on exactly where they were.
            return connection.is_closed()
                && connection.is_reset()
                && !segment.payload.is_empty()
                && half.next_seq() == Seq(segment.seq);
        }
        if !half.started {
            return connection.is_closed();
        }
        let first = Seq(segment.seq).plus(1);
        let behind = half.next_seq().ahead_of(first);
        if half.from_syn {
            // The same number again is a copy of the SYN that was seen, if not much else came since.
            return !half.is_origin(first);
        }
        // A late SYN of a stream that was joined without it, or a copy of the one that was lost.
        (connection.is_closed() && !half.is_origin(first)) || !(0..=RESET_REACH).contains(&behind)
    }

    fn open(&mut self, place: &LookUp, segment: &Segment<'_>, sink: &mut impl FnMut(Chunk<'_>)) -> Slot {
        let LookUp { key, side, hash, .. } = *place;
        if self.by_key.len() >= self.limits.connections.max(1) {
            self.evict(sink);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.wake.push(Timestamp::default());
            Slot(u32::try_from(self.wake.len() - 1).unwrap_or(u32::MAX))
        });
        self.stats.connections += 1;
        self.stats.open += 1;
        self.stats.peak_open = self.stats.peak_open.max(self.stats.open);
        let server = self.server(&key, side, segment);
        sink(Chunk::Opened {
            slot,
            connection: ConnectionId(self.stats.connections),
            at: segment.at,
            ends: [key.low, key.high],
            server,
        });
        self.wake_at(slot, segment.at.plus(IDLE_HALF_OPEN));
        if let Some(place) = self.slots.place(slot) {
            *place = Connection::new(key, segment.at);
        }
        self.by_key.insert(hash, slot);
        slot
    }

    /// Which side is the server: by the handshake, else by port.
    fn server(&self, key: &FlowKey, side: Side, segment: &Segment<'_>) -> Option<(Side, bool)> {
        if segment.flags.has(Flags::SYN) {
            return Some((if segment.flags.has(Flags::ACK) { side } else { side.other() }, true));
        }
        match (self.ports.contains(&key.low.port), self.ports.contains(&key.high.port)) {
            (true, false) => Some((Side::Low, false)),
            (false, true) => Some((Side::High, false)),
            _ => None,
        }
    }

    /// Looks at one slot a segment: closes what is silent, frees what is closed, gives up old holes.
    fn sweep(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        self.hand = if self.hand + 1 < self.wake.len() { self.hand + 1 } else { 0 };
        let now = self.last_at;
        if self.wake.get(self.hand + SWEEP_AHEAD).is_some_and(|wake| now >= *wake) {
            self.slots.fetch(Slot(u32::try_from(self.hand + SWEEP_AHEAD).unwrap_or(u32::MAX)));
        }
        if self.wake.get(self.hand).is_none_or(|wake| now < *wake) {
            return;
        }
        let slot = Slot(u32::try_from(self.hand).unwrap_or(u32::MAX));
        let Some(connection) = self.slots.get_mut(slot).filter(|connection| connection.is_there()) else { return };
        let patience = if connection.carried_bytes { IDLE } else { IDLE_HALF_OPEN };
        let silent = now.since(connection.last_at);
        if let Life::Closed { at, .. } = connection.life {
            if now.since(at) > LINGER {
                self.forget(slot);
            }
        } else if matches!(connection.life, Life::Reset { at, .. } if now.since(at) > RESET_LINGER) {
            self.close(slot, now, Close::Reset, sink);
        } else if silent > patience {
            self.stats.evicted_idle += 1;
            self.close(slot, now, Close::Idle, sink);
            self.forget(slot);
        } else if connection.is_stuck() {
            let before = connection.waiting();
            connection.pump(slot, now, false, &mut self.stats, sink);
            self.waiting = self.waiting - before + connection.waiting();
            self.wake_at(slot, now.plus(PATIENCE_ACKED));
        } else {
            let soon = connection.is_reset();
            let wake = if soon { now.plus(PATIENCE_ACKED) } else { connection.last_at.plus(patience) };
            self.wake_at(slot, wake);
        }
    }

    fn wake_at(&mut self, slot: Slot, at: Timestamp) {
        if let Some(wake) = self.wake.get_mut(slot.0 as usize) {
            *wake = at;
        }
    }

    /// Makes room: of the next few connections the one longest silent is given up, a closed one before all.
    fn evict(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        let mut oldest: Option<(bool, Timestamp, Slot)> = None;
        for _ in 0..EVICTION_SAMPLE {
            self.hand = if self.hand + 1 < self.wake.len() { self.hand + 1 } else { 0 };
            let slot = Slot(u32::try_from(self.hand).unwrap_or(u32::MAX));
            if let Some(connection) = self.connection(slot) {
                let candidate = (!connection.is_closed(), connection.last_at, slot);
                oldest = Some(oldest.map_or(candidate, |best| best.min(candidate)));
            }
        }
        if let Some((open, _, slot)) = oldest {
            if open {
                self.stats.evicted_capacity += 1;
            }
            self.close(slot, self.last_at, Close::Evicted, sink);
            self.forget(slot);
        }
    }

    /// Tells what waits and that the connection is closed; it is remembered for a while.
    fn close(&mut self, slot: Slot, at: Timestamp, how: Close, sink: &mut impl FnMut(Chunk<'_>)) {
        let Some(connection) = self.slots.get_mut(slot) else { return };
        if connection.is_closed() || !connection.is_there() {
            return;
        }
        let before = connection.waiting();
        connection.pump(slot, at, true, &mut self.stats, sink);
        self.waiting = self.waiting - before + connection.waiting();
        connection.life = Life::Closed { at, reset: connection.is_reset() };
        self.wake_at(slot, at.plus(LINGER));
        self.stats.open -= 1;
        sink(Chunk::Closed { slot, at, how });
    }

    fn forget(&mut self, slot: Slot) {
        let Some(connection) = self.slots.get_mut(slot).filter(|connection| connection.is_there()) else { return };
        self.waiting -= connection.waiting();
        self.by_key.remove(self.hasher.hash_one(connection.key), slot);
        *connection = Connection::default();
        self.challenges.forget(slot);
        self.free.push(slot);
    }
}
