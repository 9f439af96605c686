//! What became of the requests of one partition: which are done, which a write was begun of, and from where on to read.
//!
//! It is pure bookkeeping. What the store knows of it is a [`PartitionRecord`]; whoever takes the partition over goes on from there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::recording::nats::assemble::{Cursor, WholeBatch};

/// A partition, as the store knows it. Only who holds it writes it, and only over what it has read: so nobody who has
/// lost it writes anything any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionRecord {
    /// The member that holds it; empty where nobody does.
    pub(super) holder: String,
    /// Counts up with each time that it is written.
    pub(super) beat: u64,
    /// Every batch up to this place is done.
    pub(super) floor: u64,
    /// Where each node stands there: its number, its next batch, its requests before that.
    pub(super) nodes: Vec<(u32, u64, u64)>,
    /// Batches behind that which were begun.
    pub(super) open: Vec<OpenRecord>,
    /// Requests that have ended.
    pub(super) ended: u64,
    /// Those among them of which nobody knows whether they were sent.
    pub(super) uncertain: u64,
    /// Requests that were not in the store any more.
    pub(super) expired: u64,
    /// Every node has ended, and so has each of its requests.
    pub(super) is_over: bool,
    /// Times that it went from a member that was lost to another one.
    #[serde(default)]
    pub(super) moved: u64,
}

impl PartitionRecord {
    /// How many requests of each node there were up to here.
    pub(super) fn published(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.nodes.iter().map(|(node, _, requests)| (*node, *requests))
    }

    /// How many requests of the batch at this place have ended.
    pub(super) fn done_at(&self, at: u64) -> u64 {
        let done = self.open.iter().filter(|open| open.at == at).flat_map(|open| &open.done);
        done.map(|(from, until)| u64::from(until.saturating_sub(*from))).sum()
    }
}

/// A batch that was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenRecord {
    at: u64,
    node: u32,
    batch: u64,
    first: u64,
    requests: u32,
    /// Requests that have ended: from, and until before.
    done: Vec<(u32, u32)>,
    /// Writes that were about to be sent, and have not ended.
    intents: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
struct OpenBatch {
    node: u32,
    batch: u64,
    first: u64,
    requests: u32,
    done: BTreeSet<u32>,
    /// Writes that this member is about to send.
    own: BTreeSet<u32>,
    /// Writes that another member was about to send.
    others: BTreeSet<u32>,
}

impl OpenBatch {
    fn is_done(&self) -> bool {
        self.done.len() >= self.requests as usize
    }
}

/// A partition in the hands of its holder.
#[derive(Clone, Debug, Default)]
pub(super) struct PartitionLedger {
    floor: u64,
    cursors: BTreeMap<u32, Cursor>,
    open: BTreeMap<u64, OpenBatch>,
    /// The last place that was begun.
    seen: u64,
    ended: u64,
    uncertain: u64,
    expired: u64,
    is_over: bool,
    moved: u64,
}

impl PartitionLedger {
    /// Goes on from what the store knows.
    pub(super) fn of(record: &PartitionRecord) -> Self {
        let cursors =
            record.nodes.iter().map(|(node, batch, requests)| (*node, Cursor { batch: *batch, requests: *requests }));
        let open = record.open.iter().map(|open| {
            let done = open.done.iter().flat_map(|(from, until)| *from..*until).take(open.requests as usize).collect();
            let others = open.intents.iter().copied().collect();
            let (node, batch, first, requests) = (open.node, open.batch, open.first, open.requests);
            (open.at, OpenBatch { node, batch, first, requests, done, own: BTreeSet::new(), others })
        });
        Self {
            floor: record.floor,
            cursors: cursors.collect(),
            open: open.collect(),
            seen: record.floor,
            ended: record.ended,
            uncertain: record.uncertain,
            expired: record.expired,
            is_over: record.is_over,
            moved: record.moved,
        }
    }

    /// What the store is to know.
    pub(super) fn record(&self, holder: &str, beat: u64) -> PartitionRecord {
        let open = self.open.iter().map(|(at, open)| OpenRecord {
            at: *at,
            node: open.node,
            batch: open.batch,
            first: open.first,
            requests: open.requests,
            done: ranges(&open.done),
            intents: open.own.union(&open.others).copied().collect(),
        });
        PartitionRecord {
            holder: holder.to_owned(),
            beat,
            floor: self.floor,
            nodes: self.cursors.iter().map(|(node, cursor)| (*node, cursor.batch, cursor.requests)).collect(),
            open: open.collect(),
            ended: self.ended,
            uncertain: self.uncertain,
            expired: self.expired,
            is_over: self.is_over,
            moved: self.moved,
        }
    }

    /// The place after which reading begins.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Where each node stands there. A batch that was begun before one that is done comes again all the same.
    pub(super) fn cursors(&self) -> BTreeMap<u32, Cursor> {
        let mut cursors = self.cursors.clone();
        for open in self.open.values() {
            if let Some(cursor) = cursors.get_mut(&open.node).filter(|cursor| cursor.batch > open.batch) {
                *cursor = Cursor { batch: open.batch, requests: open.first };
            }
        }
        cursors
    }

    /// A batch comes: false where all of it is done.
    pub(super) fn begin(&mut self, batch: &WholeBatch) -> bool {
        let header = batch.header;
        self.seen = self.seen.max(batch.at);
        if let Some(open) = self.open.get(&batch.at) {
            return !open.is_done() || open.requests == 0;
        }
        let was_before = self.cursors.get(&header.node).is_some_and(|cursor| cursor.batch > header.batch);
        if batch.at <= self.floor || was_before {
            return false;
        }
        let (node, batch_number, first, requests) = (header.node, header.batch, header.first, header.requests);
        let open = OpenBatch { node, batch: batch_number, first, requests, ..OpenBatch::default() };
        self.open.insert(batch.at, open);
        true
    }

    /// Returns whether a request has ended.
    pub(super) fn is_done(&self, at: u64, place: u32) -> bool {
        self.open.get(&at).is_none_or(|open| open.done.contains(&place))
    }

    /// Returns whether another member was about to send this write.
    pub(super) fn is_uncertain(&self, at: u64, place: u32) -> bool {
        self.open.get(&at).is_some_and(|open| open.others.contains(&place))
    }

    /// Returns whether this member was about to send this write before, and the store knows, or will.
    pub(super) fn intend(&mut self, at: u64, place: u32) {
        if let Some(open) = self.open.get_mut(&at) {
            open.own.insert(place);
        }
    }

    /// A write that this member was about to send was not sent after all.
    pub(super) fn withdraw(&mut self, at: u64, place: u32) {
        if let Some(open) = self.open.get_mut(&at) {
            open.own.remove(&place);
        }
    }

    /// A request has ended.
    pub(super) fn end(&mut self, at: u64, place: u32) {
        let Some(open) = self.open.get_mut(&at).filter(|open| place < open.requests) else { return };
        if open.done.insert(place) {
            self.ended += 1;
            self.uncertain += u64::from(open.others.remove(&place));
            open.own.remove(&place);
        }
    }

    /// Everything up to this place was read.
    pub(super) fn read(&mut self, through: u64) {
        self.seen = self.seen.max(through);
    }

    /// Requests are not in the store any more.
    pub(super) const fn expire(&mut self, requests: u64) {
        self.expired += requests;
    }

    /// Moves on behind all that is done; batches from `pending` on have not begun.
    pub(super) fn advance(&mut self, pending: Option<u64>) {
        let most = pending.map_or(u64::MAX, |pending| pending.saturating_sub(1));
        while let Some(entry) = self.open.first_entry()
            && *entry.key() <= most
            && entry.get().is_done()
        {
            let (at, open) = entry.remove_entry();
            self.floor = self.floor.max(at);
            let next = Cursor { batch: open.batch + 1, requests: open.first + u64::from(open.requests) };
            let cursor = self.cursors.entry(open.node).or_default();
            if cursor.batch < next.batch {
                *cursor = next;
            }
        }
        if self.open.is_empty() {
            self.floor = self.floor.max(self.seen.min(most));
        }
    }

    /// Returns whether everything that was begun is done.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Nothing more comes.
    pub(super) const fn is_over(&mut self, is_over: bool) {
        self.is_over = is_over;
    }

    /// It was taken from a member that was lost.
    pub(super) const fn has_moved(&mut self) {
        self.moved += 1;
    }
}

/// Numbers as ranges: from, and until before.
fn ranges(numbers: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, until)) if *until == *number => *until += 1,
            _ => ranges.push((*number, number + 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::nats::names::BatchHeader;

    fn batch(at: u64, number: u64, requests: u32) -> WholeBatch {
        let header = BatchHeader { node: 0, batch: number, first: number * 10, requests, piece: 0, pieces: 1 };
        WholeBatch { partition: 0, header, at, packed: Vec::new() }
    }

    /// What another member makes of what the store knows.
    fn taken_over(ledger: &PartitionLedger) -> PartitionLedger {
        let json = serde_json::to_vec(&ledger.record("a", 1)).unwrap();
        PartitionLedger::of(&serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn reading_goes_on_behind_what_is_done() {
        let mut ledger = PartitionLedger::default();
        assert!(ledger.begin(&batch(5, 0, 2)) && ledger.begin(&batch(7, 1, 1)));
        ledger.end(7, 0);
        ledger.end(5, 1);
        ledger.advance(None);
        assert_eq!(ledger.floor(), 0, "one of the first batch is not done");
        let mut other = taken_over(&ledger);
        assert!(other.begin(&batch(5, 0, 2)) && !other.begin(&batch(7, 1, 1)));
        assert!(!other.is_done(5, 0) && other.is_done(5, 1));
        other.end(5, 0);
        other.advance(None);
        assert_eq!((other.floor(), other.is_idle(), other.record("", 0).ended), (7, true, 3));
        assert_eq!(other.cursors()[&0], Cursor { batch: 2, requests: 11 });
        assert!(!other.begin(&batch(5, 0, 2)), "it does not come again");
    }

    #[test]
    fn a_batch_that_has_not_begun_is_not_passed_over() {
        let mut ledger = PartitionLedger::default();
        assert!(ledger.begin(&batch(9, 0, 1)));
        ledger.end(9, 0);
        ledger.advance(Some(6));
        assert_eq!(ledger.floor(), 0);
        ledger.advance(None);
        assert_eq!(ledger.floor(), 9);
    }

    #[test]
    fn one_that_was_stored_late_comes_again_though_a_later_one_is_done() {
        let mut ledger = PartitionLedger::default();
        // The first batch of the node stands behind the second one in the store.
        assert!(ledger.begin(&batch(10, 0, 1)) && ledger.begin(&batch(9, 1, 1)));
        ledger.end(9, 0);
        ledger.advance(None);
        let mut other = taken_over(&ledger);
        assert_eq!((other.floor(), other.cursors()[&0].batch), (9, 0));
        assert!(other.begin(&batch(10, 0, 1)) && !other.is_done(10, 0));
    }

    #[test]
    fn a_write_that_another_member_was_about_to_send_is_uncertain() {
        let mut ledger = PartitionLedger::default();
        ledger.begin(&batch(5, 0, 3));
        ledger.intend(5, 1);
        ledger.intend(5, 2);
        ledger.end(5, 2);
        assert!(!ledger.is_uncertain(5, 1), "it knows what it does itself");
        let mut other = taken_over(&ledger);
        assert!(other.is_uncertain(5, 1) && !other.is_uncertain(5, 0) && !other.is_uncertain(5, 2));
        other.end(5, 1);
        assert_eq!((other.record("", 0).uncertain, other.record("", 0).ended), (1, 2));
        assert!(taken_over(&other).is_done(5, 1));
        ledger.withdraw(5, 1);
        assert!(!taken_over(&ledger).is_uncertain(5, 1), "it was never sent");
    }

    #[test]
    fn a_batch_without_requests_is_done_at_once() {
        let mut ledger = PartitionLedger::default();
        assert!(ledger.begin(&batch(5, 0, 0)));
        ledger.advance(None);
        assert_eq!((ledger.floor(), ledger.is_idle()), (5, true));
    }
}
