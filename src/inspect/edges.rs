//! Rises and falls of the number of connections that count, in order of time, although it is known late which of them
//! count.
//!
//! The input is connections that open, turn out to count, and close; the output is rises and falls for the [`Series`],
//! oldest first. An edge is emitted once nothing can come before it: once every connection that opened earlier has
//! either turned out to count or is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::series::{ConcurrencyLanes, Series};
use crate::exchange::Timestamp;

/// Most edges that wait for earlier connections that are still undecided (12 MiB). Past it the oldest such connection
/// is waited for no longer. Should it count after all, the level in the bucket in which it opened may be one too high;
/// in every later bucket it is right again.
const MAX_WAITING: usize = 1 << 18;

/// The place of an edge: its instant, and its turn among those of the same instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EdgeKey(Timestamp, u64);

#[derive(Clone, Copy, Debug)]
enum Edge {
    Rise(ConcurrencyLanes),
    Fall(ConcurrencyLanes),
}

/// The edges that wait.
///
/// Invariant: `passed` is no later than any of them, nor than any of `undecided`.
#[derive(Debug, Default)]
pub(super) struct Edges {
    waiting: BTreeMap<EdgeKey, Edge>,
    undecided: BTreeSet<EdgeKey>,
    turn: u64,
    /// The instant of the last edge that left.
    passed: Timestamp,
}

impl Edges {
    /// A connection opened; whether it counts is not known.
    pub(super) fn open(&mut self, at: Timestamp) -> EdgeKey {
        let place = self.place(at);
        self.undecided.insert(place);
        place
    }

    /// The connection that opened at `place` counts.
    pub(super) fn count(&mut self, place: EdgeKey, lanes: ConcurrencyLanes, series: &mut Series) {
        if self.undecided.remove(&place) {
            self.waiting.insert(place, Edge::Rise(lanes));
        } else {
            // It was waited for no longer: the time up to here is told already, as if it had not been there.
            series.open(place.0, self.passed.max(place.0), lanes);
        }
        self.settle(series);
    }

    /// The connection that opened at `place` is gone and does not count.
    pub(super) fn forget(&mut self, place: EdgeKey, series: &mut Series) {
        self.undecided.remove(&place);
        self.settle(series);
    }

    /// A connection that counts closed.
    pub(super) fn close(&mut self, at: Timestamp, lanes: ConcurrencyLanes, series: &mut Series) {
        let place = self.place(at);
        self.waiting.insert(place, Edge::Fall(lanes));
        self.settle(series);
    }

    /// Returns the key of an edge. A late one gets the time of the last edge emitted.
    fn place(&mut self, at: Timestamp) -> EdgeKey {
        self.turn += 1;
        EdgeKey(at.max(self.passed), self.turn)
    }

    /// Emits every edge before which nothing can come any more.
    fn settle(&mut self, series: &mut Series) {
        while let Some(first) = self.waiting.first_entry() {
            if self.undecided.first().is_some_and(|undecided| undecided < first.key()) {
                if self.waiting.len() <= MAX_WAITING {
                    return;
                }
                self.undecided.pop_first();
                continue;
            }
            let (EdgeKey(at, _), edge) = first.remove_entry();
            self.passed = at;
            match edge {
                Edge::Rise(lanes) => series.open(at, at, lanes),
                Edge::Fall(lanes) => series.close(at, lanes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConcurrencyLanes = [true, false, false, false];

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + ms * 1_000_000)
    }

    fn levels(series: &Series) -> Vec<u64> {
        series.points(0, 1).iter().map(|point| point.level).collect()
    }

    #[test]
    fn a_connection_that_is_waited_for_no_longer_counts_from_its_opening_all_the_same() {
        let (mut edges, mut series) = (Edges::default(), Series::default());
        let silent = edges.open(at(0));
        series.reach(at(0));
        for n in 0..MAX_WAITING as u64 {
            let ms = 1_000 + n / 200;
            let place = edges.open(at(ms));
            edges.count(place, ONE, &mut series);
            edges.close(at(ms), ONE, &mut series);
        }
        assert!(edges.undecided.is_empty() && edges.waiting.len() <= MAX_WAITING);
        edges.count(silent, ONE, &mut series);
        edges.close(at(4_000), ONE, &mut series);
        assert_eq!(levels(&series), [1, 2, 2, 1, 1]);
    }
}
