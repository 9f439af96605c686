//! Segments of a stream that wait behind a hole.

use std::collections::BTreeMap;

use super::clock::{NEVER, Stretch};
use crate::exchange::Timestamp;

/// Overhead of a waiting segment besides its bytes, in bytes.
const SEGMENT_COST: usize = 120;
/// Overhead of a stream with any waiting segment, besides the segments, in bytes: a node of each of the two maps.
const QUEUE_COST: usize = 900;

/// A segment that waits.
#[derive(Debug)]
pub(super) struct BufferedSegment {
    pub(super) at: Timestamp,
    pub(super) stretch: Stretch,
    /// Offset up to which its sender had received the other stream.
    pub(super) received: u64,
    pub(super) bytes: Vec<u8>,
    /// Bytes after `bytes` that the snap length cut off.
    pub(super) missing: u32,
}

impl BufferedSegment {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.missing)
    }

    /// The part from `from` to `to`, counted from its first byte, cut-off bytes included.
    pub(super) fn part(&self, from: u64, to: u64) -> Self {
        let len = self.bytes.len() as u64;
        let clip = |at: u64| usize::try_from(at.min(len)).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(clip(from)..clip(to)).unwrap_or_default().to_vec();
        let missing = u32::try_from(to.saturating_sub(from) - bytes.len() as u64).unwrap_or(u32::MAX);
        Self { at: self.at, stretch: self.stretch, received: self.received, bytes, missing }
    }
}

/// Segments that wait behind a hole.
///
/// Invariant: `runs` are the stretches that `segments` fill without a hole, from their beginning to their end; no two
/// touch. Bytes that are present already are skipped by runs: a copy of a long stretch costs no more for its many
/// segments.
#[derive(Debug)]
pub(super) struct OutOfOrderQueue {
    pub(super) segments: BTreeMap<u64, BufferedSegment>,
    pub(super) runs: BTreeMap<u64, u64>,
    /// What holding them costs, in bytes.
    pub(super) cost: usize,
    /// Since when their receiver has acknowledged bytes of the hole, or [`NEVER`].
    pub(super) acked_since: Timestamp,
}

impl Default for OutOfOrderQueue {
    fn default() -> Self {
        Self { segments: BTreeMap::new(), runs: BTreeMap::new(), cost: QUEUE_COST, acked_since: NEVER }
    }
}

impl OutOfOrderQueue {
    /// The end of the run in which `offset` lies.
    pub(super) fn covered_to(&self, offset: u64) -> Option<u64> {
        self.runs.range(..=offset).next_back().map(|(_, end)| *end).filter(|end| *end > offset)
    }

    /// Adds a segment that fills part of a hole.
    pub(super) fn insert(&mut self, offset: u64, segment: BufferedSegment) {
        let end = offset + segment.len();
        let end = self.runs.remove(&end).unwrap_or(end);
        match self.runs.range_mut(..offset).next_back() {
            Some((_, before)) if *before == offset => *before = end,
            _ => _ = self.runs.insert(offset, end),
        }
        self.cost += segment.bytes.len() + SEGMENT_COST;
        self.segments.insert(offset, segment);
    }

    /// Takes the first segment.
    pub(super) fn pop(&mut self) -> Option<(u64, BufferedSegment)> {
        let (offset, segment) = self.segments.pop_first()?;
        let end = offset + segment.len();
        self.cost = self.cost.saturating_sub(segment.bytes.len() + SEGMENT_COST);
        if let Some((_, run)) = self.runs.pop_first()
            && run > end
        {
            self.runs.insert(end, run);
        }
        Some((offset, segment))
    }
}
