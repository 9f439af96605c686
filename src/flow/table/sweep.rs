//! The end of connections: what is silent is given up, what makes room for others, what is closed is forgotten.

use std::hash::BuildHasher as _;
use std::time::Duration;

use super::{FlowTable, IDLE_HALF_OPEN};
use crate::exchange::{Close, Timestamp};
use crate::flow::connection::{ConnState, Connection, PATIENCE_ACKED};
use crate::flow::{Chunk, Slot};

/// Slots that are looked at when no segment came for a while.
const IDLE_SWEEP: usize = 4096;
/// Distance of the prefetch ahead of the sweep, in slots.
const SWEEP_AHEAD: usize = 4;
/// Slots that are looked at when a connection has to make room.
const EVICTION_SAMPLE: usize = 32;
/// Silence after which a connection is given up.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// Time for which a closed connection is remembered, so that late copies of its segments do not open another one.
const LINGER: Duration = Duration::from_secs(5);
/// The same where a side may not know that it is closed: it repeats what was not acknowledged.
const LINGER_UNSETTLED: Duration = Duration::from_secs(5 * 60);
/// Time after RST in which bytes in flight are still expected.
const RESET_LINGER: Duration = Duration::from_secs(1);

impl FlowTable {
    /// Takes note that it is `now` and no segment came: holes that were waited for long enough are given up, and silent
    /// connections with them, a few thousand at a time.
    pub fn idle(&mut self, now: Timestamp, sink: &mut impl FnMut(Chunk<'_>)) {
        self.clock.idle(now);
        for _ in 0..self.next_check.len().min(IDLE_SWEEP) {
            self.sweep(sink);
        }
    }

    /// Ends the capture: emits the waiting segments, then closes every connection.
    pub fn finish(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        self.clock.finish();
        self.stats.clock_steps = self.clock.steps();
        for index in 0..self.next_check.len() {
            let slot = Slot(u32::try_from(index).unwrap_or(u32::MAX));
            let reset = self.connection(slot).is_some_and(Connection::ends_in_reset);
            self.close(slot, if reset { Close::Reset } else { Close::EndOfCapture }, sink);
        }
    }

    /// Looks at one slot a segment: closes what is silent, frees what is closed, gives up old holes.
    pub(super) fn sweep(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        self.sweep_cursor = if self.sweep_cursor + 1 < self.next_check.len() { self.sweep_cursor + 1 } else { 0 };
        let now = self.clock.now();
        if self.next_check.get(self.sweep_cursor + SWEEP_AHEAD).is_some_and(|wake| now >= *wake) {
            self.slots.fetch(Slot(u32::try_from(self.sweep_cursor + SWEEP_AHEAD).unwrap_or(u32::MAX)));
        }
        if self.next_check.get(self.sweep_cursor).is_none_or(|wake| now < *wake) {
            return;
        }
        let slot = Slot(u32::try_from(self.sweep_cursor).unwrap_or(u32::MAX));
        // First, for what is held may fill a hole that is given up else.
        self.settle_suspects(slot, false, sink);
        self.check(slot, now, sink);
        self.settle_suspects(slot, false, sink);
    }

    /// Does what there is to do for a connection in which nothing happened.
    fn check(&mut self, slot: Slot, now: Timestamp, sink: &mut impl FnMut(Chunk<'_>)) {
        let Some(connection) = self.slots.get_mut(slot).filter(|connection| connection.is_there()) else { return };
        let patience =
            if connection.carried_bytes || connection.holds_suspects != [false; 2] { IDLE } else { IDLE_HALF_OPEN };
        let silent = now.since(connection.last_at);
        if let ConnState::Closed { at, .. } = connection.life {
            let linger = if connection.is_settled() { LINGER } else { LINGER_UNSETTLED };
            if now.since(at) > linger {
                self.forget(slot);
            } else {
                self.wake_at(slot, at.plus(linger));
            }
        } else if matches!(connection.life, ConnState::Reset { at, .. } if now.since(at) > RESET_LINGER) {
            self.close(slot, Close::Reset, sink);
        } else if silent > patience {
            self.stats.evicted_idle += 1;
            self.close(slot, Close::Idle, sink);
            self.forget(slot);
        } else if connection.is_stuck() {
            let before = connection.waiting();
            connection.pump(slot, &self.clock, false, &mut self.stats, sink);
            self.waiting = self.waiting - before + connection.waiting();
            self.wake_at(slot, now.plus(PATIENCE_ACKED));
        } else {
            let soon = connection.is_reset();
            let wake = if soon { now.plus(PATIENCE_ACKED) } else { connection.last_at.plus(patience) };
            self.wake_at(slot, wake);
        }
    }

    pub(super) fn wake_at(&mut self, slot: Slot, at: Timestamp) {
        if let Some(wake) = self.next_check.get_mut(slot.0 as usize) {
            *wake = at;
        }
    }

    /// Looks at a slot by then at the latest.
    pub(super) fn wake_by(&mut self, slot: Slot, at: Timestamp) {
        if let Some(wake) = self.next_check.get_mut(slot.0 as usize) {
            *wake = (*wake).min(at);
        }
    }

    /// Makes room: of the next few connections the one longest silent is given up, a closed one before all, and then one
    /// that never carried a byte: floods of those cost no other one its place.
    pub(super) fn evict(&mut self, sink: &mut impl FnMut(Chunk<'_>)) {
        let mut oldest: Option<(bool, bool, Timestamp, Slot)> = None;
        for _ in 0..EVICTION_SAMPLE {
            self.sweep_cursor = if self.sweep_cursor + 1 < self.next_check.len() { self.sweep_cursor + 1 } else { 0 };
            let slot = Slot(u32::try_from(self.sweep_cursor).unwrap_or(u32::MAX));
            if let Some(connection) = self.connection(slot) {
                let candidate = (!connection.is_closed(), connection.carried_bytes, connection.last_at, slot);
                oldest = Some(oldest.map_or(candidate, |best| best.min(candidate)));
            }
        }
        if let Some((open, _, _, slot)) = oldest {
            if open {
                self.stats.evicted_capacity += 1;
            }
            self.close(slot, Close::Evicted, sink);
            self.forget(slot);
        }
    }

    /// Emits the waiting segments and the close of the connection, which is remembered for a while.
    pub(super) fn close(&mut self, slot: Slot, how: Close, sink: &mut impl FnMut(Chunk<'_>)) {
        let (now, at) = (self.clock.now(), self.clock.latest());
        self.settle_suspects(slot, true, sink);
        let Some(connection) = self.slots.get_mut(slot) else { return };
        if connection.is_closed() || !connection.is_there() {
            return;
        }
        let before = connection.waiting();
        connection.pump(slot, &self.clock, true, &mut self.stats, sink);
        self.waiting = self.waiting - before + connection.waiting();
        if connection.carried_bytes {
            self.stats.carried += 1;
            self.stats.one_sided += u64::from(connection.halves.iter().any(|half| !half.heard));
        }
        connection.life = ConnState::Closed { at: now, reset: connection.is_reset() };
        self.wake_at(slot, now.plus(LINGER));
        self.stats.open -= 1;
        sink(Chunk::Closed { slot, at, how });
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        let Some(connection) = self.slots.get_mut(slot).filter(|connection| connection.is_there()) else { return };
        self.waiting -= connection.waiting();
        let hash = self.hasher.hash_one(connection.key);
        self.by_key.remove(hash, slot);
        self.time_wait.remember(hash, connection, self.stats.has_holes(slot), self.clock.now());
        *connection = Connection::default();
        self.challenges.forget(slot);
        self.other_legs.forget(slot);
        self.brought.remove(&slot);
        self.stats.forget(slot);
        self.free.push(slot);
    }
}
