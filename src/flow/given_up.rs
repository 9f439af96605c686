//! Bytes that were given up. Those that come all the same repeat nothing: what begins in them is lost, and counted.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{FlowStats, Side, Slot};
use crate::decode::Segment;

/// Most streams of which is known what was given up; past it all of that is forgotten, and what comes late counts as
/// repeated.
const MAX_STREAMS: usize = 4096;
/// Most holes of a stream that are known; past it the first one is forgotten.
const MAX_HOLES: usize = 16;
/// Timeout of bytes that wait for those of the other side that their sender had received: recorders of the two
/// directions may differ by a second.
const PATIENCE_ORDER: Duration = Duration::from_secs(2);
/// The same once it was seen that they differ by more.
const PATIENCE_SKEWED: Duration = Duration::from_secs(10);

/// Bytes that were given up, from an offset to another.
#[derive(Clone, Copy, Debug)]
struct Hole {
    from: u64,
    to: u64,
    /// Whether the other side waited for them, and nothing behind them.
    for_order: bool,
}

/// Counters of the table, and the holes that were given up.
#[derive(Debug)]
pub(super) struct FlowRecord {
    pub(super) counts: FlowStats,
    holes: BTreeMap<(Slot, Side), Vec<Hole>>,
    /// Timeout of bytes that wait for those of the other side that their sender had received.
    pub(super) order_patience: Duration,
}

impl Default for FlowRecord {
    fn default() -> Self {
        Self { counts: FlowStats::default(), holes: BTreeMap::new(), order_patience: PATIENCE_ORDER }
    }
}

impl Deref for FlowRecord {
    type Target = FlowStats;

    fn deref(&self) -> &FlowStats {
        &self.counts
    }
}

impl DerefMut for FlowRecord {
    fn deref_mut(&mut self) -> &mut FlowStats {
        &mut self.counts
    }
}

impl FlowRecord {
    /// Counts a hole that is given up.
    pub(super) fn give_up(&mut self, slot: Slot, side: Side, from: u64, len: u64, for_order: bool) {
        self.gaps += 1;
        self.gap_bytes += len;
        if self.holes.len() >= MAX_STREAMS {
            self.holes.clear();
        }
        let holes = self.holes.entry((slot, side)).or_default();
        if holes.len() >= MAX_HOLES {
            holes.remove(0);
        }
        holes.push(Hole { from, to: from + len, for_order });
    }

    /// Counts a segment at an offset before the next one: as repeated, or as late where it was given up.
    pub(super) fn note_repeated(&mut self, slot: Slot, side: Side, offset: u64, segment: &Segment<'_>) {
        let len = segment.payload.len() as u64 + u64::from(segment.missing);
        if len > 0 && self.fills_hole(slot, side, offset, offset + len) {
            self.note_unplaced(segment.payload, segment.missing);
        } else {
            self.retransmitted_bytes += len;
        }
    }

    /// Returns whether these bytes begin in a hole that was given up; from now on they are repeated if they come again.
    fn fills_hole(&mut self, slot: Slot, side: Side, from: u64, to: u64) -> bool {
        let Some(holes) = self.holes.get_mut(&(slot, side)) else { return false };
        let Some(index) = holes.iter().position(|hole| (hole.from..hole.to).contains(&from)) else { return false };
        let hole = holes.swap_remove(index);
        let rest = [Hole { to: from, ..hole }, Hole { from: to, ..hole }];
        holes.extend(rest.into_iter().filter(|rest| rest.from < rest.to));
        if hole.for_order {
            self.order_patience = PATIENCE_SKEWED;
        }
        true
    }

    /// Returns whether bytes of the connection in this slot were given up.
    pub(super) fn has_holes(&self, slot: Slot) -> bool {
        !self.holes.is_empty() && Side::BOTH.iter().any(|side| self.holes.contains_key(&(slot, *side)))
    }

    /// The connection in this slot is forgotten.
    pub(super) fn forget(&mut self, slot: Slot) {
        if !self.holes.is_empty() {
            for side in Side::BOTH {
                self.holes.remove(&(slot, side));
            }
        }
    }
}
