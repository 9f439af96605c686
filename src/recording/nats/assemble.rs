//! Batches out of their messages: pieces put together, each batch once, those of a node in their order.

use std::collections::{BTreeMap, HashMap};

use super::feed::FeedMessage;
use super::names::BatchHeader;

/// Batches of a node and partition that wait for one that is missing. Past it that one is given up.
const MAX_WAITING: usize = 64;
/// Most pieces of a batch; one of more is given up.
const MAX_PIECES: u32 = 4096;

/// A batch, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WholeBatch {
    pub(super) partition: u16,
    pub(super) header: BatchHeader,
    /// The place of its first piece in the store.
    pub(super) at: u64,
    /// Its bytes, compressed.
    pub(super) packed: Vec<u8>,
}

/// Where a node stands in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Its next batch.
    pub(super) batch: u64,
    /// Requests before that.
    pub(super) requests: u64,
}

/// What of a node and partition is not handed on yet.
#[derive(Debug, Default)]
struct NodeFeed {
    cursor: Cursor,
    /// Whether anything of it was handed on.
    has_begun: bool,
    pieces: Option<WholeBatch>,
    waiting: BTreeMap<u64, WholeBatch>,
}

/// Puts messages together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    feeds: HashMap<(u16, u32), NodeFeed>,
    /// Requests that are not in the store any more.
    pub(super) expired: u64,
    /// Whether the beginning of the recording is gone: what is missing there is not waited for.
    is_cut: bool,
}

impl Assembler {
    /// Reads from the beginning of a recording, or of what is left of it where that `is_cut`.
    pub(super) fn new(is_cut: bool) -> Self {
        Self { is_cut, ..Self::default() }
    }

    /// Goes on in a partition where its nodes stood.
    pub(super) fn after(partition: u16, cursors: BTreeMap<u32, Cursor>, is_cut: bool) -> Self {
        let feeds =
            cursors.into_iter().map(|(node, cursor)| ((partition, node), NodeFeed { cursor, ..NodeFeed::default() }));
        Self { feeds: feeds.collect(), expired: 0, is_cut }
    }

    /// A message came; hands on the batches that are whole with it.
    pub(super) fn take(&mut self, message: FeedMessage, whole: &mut Vec<WholeBatch>) {
        let FeedMessage { partition, header, at, payload, .. } = message;
        let feed = self.feeds.entry((partition, header.node)).or_default();
        if header.batch < feed.cursor.batch || header.pieces > MAX_PIECES {
            return;
        }
        let batch = if header.pieces == 1 {
            WholeBatch { partition, header, at, packed: payload.into() }
        } else {
            if header.piece == 0 {
                let first = WholeBatch { partition, header, at, packed: Vec::new() };
                feed.pieces = Some(first);
            }
            let is_next = |open: &WholeBatch| open.header.batch == header.batch && open.header.pieces == header.pieces;
            let Some(open) = feed.pieces.as_mut().filter(|open| is_next(open)) else { return };
            // Pieces come in order; one that came twice was sent twice.
            if header.piece != open.header.piece {
                return;
            }
            open.packed.extend_from_slice(&payload);
            open.header.piece += 1;
            if open.header.piece < header.pieces {
                return;
            }
            let Some(batch) = feed.pieces.take() else { return };
            WholeBatch { header: BatchHeader { piece: 0, ..batch.header }, ..batch }
        };
        feed.waiting.insert(batch.header.batch, batch);
        let gives_up = self.is_cut && !feed.has_begun;
        self.expired += feed.hand_on(gives_up, whole);
    }

    /// Gives up what is missing: there is nothing more that it could be in.
    pub(super) fn give_up(&mut self, whole: &mut Vec<WholeBatch>) {
        for feed in self.feeds.values_mut() {
            feed.pieces = None;
            self.expired += feed.hand_on(true, whole);
        }
    }

    /// Returns whether batches wait for one that is missing.
    pub(super) fn waits(&self) -> bool {
        self.feeds.values().any(|feed| !feed.waiting.is_empty())
    }

    /// Returns whether pieces of batches wait for others.
    pub(super) fn has_pieces(&self) -> bool {
        self.feeds.values().any(|feed| feed.pieces.is_some())
    }

    /// The first place in the store of what is not handed on.
    pub(super) fn pending(&self) -> Option<u64> {
        let pieces = self.feeds.values().filter_map(|feed| feed.pieces.as_ref()).map(|batch| batch.at);
        let waiting = self.feeds.values().flat_map(|feed| feed.waiting.values()).map(|batch| batch.at);
        pieces.chain(waiting).min()
    }
}

impl NodeFeed {
    /// Hands on what is next, and what follows that; returns how many requests were passed over.
    fn hand_on(&mut self, gives_up: bool, whole: &mut Vec<WholeBatch>) -> u64 {
        let mut missing = 0;
        while let Some((first, _)) = self.waiting.first_key_value() {
            if *first > self.cursor.batch && !gives_up && self.waiting.len() <= MAX_WAITING {
                break;
            }
            let Some((_, batch)) = self.waiting.pop_first() else { break };
            if batch.header.batch < self.cursor.batch {
                continue;
            }
            let header = batch.header;
            missing += header.first.saturating_sub(self.cursor.requests);
            self.cursor = Cursor { batch: header.batch + 1, requests: header.first + u64::from(header.requests) };
            self.has_begun = true;
            whole.push(batch);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(batch: u64, piece: u32, pieces: u32) -> FeedMessage {
        let header = BatchHeader { node: 0, batch, first: batch * 10, requests: 10, piece, pieces };
        let payload = format!("{batch}.{piece} ").into();
        FeedMessage { partition: 3, header, at: 100 + batch * 10 + u64::from(piece), payload }
    }

    fn told(messages: impl IntoIterator<Item = FeedMessage>) -> (String, Assembler) {
        let (mut assembler, mut whole) = (Assembler::default(), Vec::new());
        messages.into_iter().for_each(|message| assembler.take(message, &mut whole));
        let text = whole.into_iter().map(|batch| String::from_utf8(batch.packed).unwrap()).collect();
        (text, assembler)
    }

    #[test]
    fn batches_come_once_and_in_their_order() {
        let sent = [0, 2, 1, 1, 0, 3].map(|batch| message(batch, 0, 1));
        let (text, assembler) = told(sent);
        assert_eq!((text.as_str(), assembler.expired, assembler.waits()), ("0.0 1.0 2.0 3.0 ", 0, false));
    }

    #[test]
    fn half_a_batch_is_never_handed_on() {
        let (text, _) = told([message(0, 0, 3), message(0, 1, 3)]);
        assert_eq!(text, "");
        let (text, _) =
            told([message(0, 0, 3), message(0, 1, 3), message(0, 1, 3), message(0, 2, 3), message(1, 0, 1)]);
        assert_eq!(text, "0.0 0.1 0.2 1.0 ");
        let (text, _) = told([message(0, 0, 2), message(0, 0, 2), message(0, 1, 2)]);
        assert_eq!(text, "0.0 0.1 ");
    }

    #[test]
    fn what_is_missing_is_waited_for_and_counted_once_it_is_given_up() {
        let (text, mut assembler) = told([message(0, 0, 1), message(3, 0, 1)]);
        assert_eq!((text.as_str(), assembler.waits()), ("0.0 ", true));
        let mut whole = Vec::new();
        assembler.give_up(&mut whole);
        assert_eq!((whole.len(), assembler.expired, assembler.waits()), (1, 20, false));
        let (_, assembler) = told((0..100).filter(|batch| *batch != 1).map(|batch| message(batch, 0, 1)));
        assert_eq!(assembler.expired, 10, "nothing is waited for forever");
    }

    #[test]
    fn a_beginning_that_is_gone_is_not_waited_for() {
        let mut assembler = Assembler::new(true);
        let mut whole = Vec::new();
        assembler.take(message(7, 0, 1), &mut whole);
        assert_eq!((whole.len(), assembler.expired), (1, 70));
    }
}
