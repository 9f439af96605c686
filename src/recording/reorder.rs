//! Lookahead in a recording, so that requests come in the order in which they were sent.
//!
//! A line of JSON is written when its exchange ends: the line of a request whose response took ten seconds is ten
//! seconds late. Requests move forward here, before everything that ended after they were sent; everything else stays
//! in the order of the file.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::exchange::{Event, ExchangeId, Request, Timestamp};

/// Entries that are looked ahead. A request that stands further than that from where it belongs comes late.
const MAX_AHEAD: usize = 8192;
/// Bytes of messages that are looked ahead; past it likewise.
const MAX_AHEAD_BYTES: usize = 32 << 20;

/// Content of one record.
#[derive(Debug)]
pub(super) struct ReorderEntry {
    /// A request: emitted at its own time.
    pub(super) request: Option<Box<Request>>,
    /// Event emitted at the record's position, after the request.
    pub(super) end: Option<Event>,
    /// End of the event at the record's position; requests sent until then are emitted before it.
    pub(super) at: Timestamp,
}

/// When a request was sent, and the number of its entry; in one number, which is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked(u128);

impl Asked {
    fn new(at: Timestamp, number: u64) -> Self {
        Self(u128::from(at.nanos()) << 64 | u128::from(number))
    }

    const fn at(self) -> Timestamp {
        Timestamp::from_nanos((self.0 >> 64) as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half, as it was put in")]
    const fn number(self) -> u64 {
        self.0 as u64
    }
}

/// Records that were read and not emitted yet.
///
/// Invariant: `first` is the number of the first entry; `asked` holds the numbers of entries whose request is not
/// emitted.
#[derive(Debug)]
pub(super) struct RecordReorder {
    entries: VecDeque<(ReorderEntry, usize)>,
    first: u64,
    asked: BinaryHeap<Reverse<Asked>>,
    /// Exchanges whose end is still to be emitted, and when they began; kept where ids are those of a file, which may have
    /// one twice.
    under_way: Option<HashMap<ExchangeId, Timestamp, foldhash::fast::RandomState>>,
    bytes: usize,
    most: usize,
}

impl Default for RecordReorder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            asked: BinaryHeap::new(),
            under_way: None,
            bytes: 0,
            most: MAX_AHEAD_BYTES,
        }
    }
}

impl RecordReorder {
    /// Keeps in mind which exchanges are under way.
    pub(super) fn remember_ids(&mut self) {
        self.under_way.get_or_insert_default();
    }

    /// Looks ahead `bytes` bytes of messages at most.
    pub(super) fn set_most(&mut self, bytes: usize) {
        self.most = bytes.min(MAX_AHEAD_BYTES);
    }

    /// Returns whether the next event can be emitted without reading more.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_AHEAD || self.bytes >= self.most
    }

    /// Returns when the exchange of this id began, where one is among the waiting records, as far as ids are remembered.
    pub(super) fn begun(&self, id: ExchangeId) -> Option<Timestamp> {
        self.under_way.as_ref()?.get(&id).copied()
    }

    /// Returns the share of the records so far that was emitted.
    pub(super) fn emitted(&self) -> f64 {
        let all = self.first + self.entries.len() as u64;
        if all == 0 { 1.0 } else { self.first as f64 / all as f64 }
    }

    /// Adds a record.
    pub(super) fn push(&mut self, entry: ReorderEntry) {
        if let Some(request) = &entry.request {
            let number = self.first + self.entries.len() as u64;
            self.asked.push(Reverse(Asked::new(request.last_byte, number)));
            if let Some(ids) = self.under_way.as_mut().filter(|_| entry.end.is_some()) {
                ids.insert(request.id, request.first_byte);
            }
        }
        let weight = entry.weight();
        self.bytes += weight;
        self.entries.push_back((entry, weight));
    }

    /// The next event; `None` where there is no record.
    pub(super) fn pop(&mut self) -> Option<Event> {
        loop {
            let (front, _) = self.entries.front()?;
            if let Some(Reverse(asked)) = self.asked.peek().copied()
                && (asked.at() <= front.at || asked.number() == self.first || front.request.is_some())
            {
                self.asked.pop();
                let index = usize::try_from(asked.number() - self.first).unwrap_or(usize::MAX);
                let request = self.entries.get_mut(index).and_then(|(entry, _)| entry.request.take());
                match request {
                    Some(request) => return Some(Event::Request(request)),
                    None => continue,
                }
            }
            let (entry, weight) = self.entries.pop_front()?;
            self.first += 1;
            self.bytes -= weight;
            if let Some(end) = entry.end {
                if let (Event::Response { of, .. } | Event::Damaged { of, .. }, Some(ids)) = (&end, &mut self.under_way)
                {
                    ids.remove(of);
                }
                return Some(end);
            }
        }
    }
}

impl ReorderEntry {
    /// Returns its rough size in memory, in bytes.
    fn weight(&self) -> usize {
        let wire = |body: &crate::exchange::Body| body.wire.as_ref().map_or(0, bytes::Bytes::len);
        let request = self.request.as_ref().map_or(0, |request| request.head.as_bytes().len() + wire(&request.body));
        let response = match &self.end {
            Some(Event::Response { response, .. } | Event::Orphan { response, .. }) => {
                response.head.as_bytes().len() + wire(&response.body)
            }
            _ => 0,
        };
        size_of::<Self>() + request + response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{ConnectionId, Damage};
    use crate::testing::request;

    fn entry(n: u32, asked: u64, ended: u64) -> ReorderEntry {
        let mut request = request(n, "GET / HTTP/1.1\r\n\r\n");
        request.last_byte = Timestamp::from_nanos(asked);
        let of = request.id;
        let end = Some(Event::Damaged { of, why: Damage::Gap });
        ReorderEntry { request: Some(request), end, at: Timestamp::from_nanos(ended) }
    }

    fn emitted(entries: Vec<ReorderEntry>) -> Vec<String> {
        let mut ahead = RecordReorder::default();
        ahead.remember_ids();
        for entry in entries {
            ahead.push(entry);
        }
        let id = ExchangeId::new(ConnectionId(1), 1);
        assert!(ahead.begun(id).is_some());
        let mut told = Vec::new();
        while let Some(event) = ahead.pop() {
            told.push(match event {
                Event::Request(request) => format!("{}?", request.id.index),
                Event::Damaged { of, .. } => format!("{}.", of.index),
                other => panic!("{other:?}"),
            });
        }
        assert!(ahead.begun(id).is_none() && ahead.bytes == 0 && ahead.asked.is_empty());
        told
    }

    #[test]
    fn requests_come_when_they_were_asked_and_ends_as_they_stand() {
        assert_eq!(emitted(vec![entry(1, 5, 6), entry(2, 1, 8), entry(3, 7, 9)]), ["2?", "1?", "1.", "3?", "2.", "3."]);
    }

    #[test]
    fn an_end_without_a_time_waits_for_its_own_request_only() {
        assert_eq!(emitted(vec![entry(1, 5, 0), entry(2, 7, 0), entry(3, 1, 0)]), ["3?", "1?", "1.", "2?", "2.", "3."]);
    }
}
