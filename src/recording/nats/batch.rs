//! Exchanges on their way out, gathered by partition until there are enough of them for a batch.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use zstd::bulk::Compressor;

use super::names::BatchHeader;

/// Bytes of events that make a batch.
const BATCH_BYTES: usize = 64 << 10;
/// Bytes of a batch that travel in one message: below JetStream's usual limit of 1 MiB.
const PIECE_BYTES: usize = 512 << 10;
/// Level of zstd: a recording runs next to production, so this is the cheapest useful level.
const ZSTD_LEVEL: i32 = 1;

/// One message: a batch, or a piece of one.
#[derive(Clone, Debug)]
pub(super) struct OutgoingPiece {
    pub(super) partition: u16,
    pub(super) header: BatchHeader,
    pub(super) payload: Bytes,
    /// Requests and records that are stored with it: those of its batch with the last piece, and none with the others.
    pub(super) requests: u32,
    pub(super) records: u32,
    /// Bytes before compression.
    pub(super) bytes: usize,
    /// Where it was kept in a file meanwhile.
    pub(super) spooled: Option<Box<SpooledPiece>>,
}

/// A piece that was kept in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpooledPiece {
    /// The id of its message.
    pub(super) id: String,
    /// Where it ends in the file.
    pub(super) end: u64,
}

/// What a record is, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    Request,
    Response,
    /// Stands in the place of a response that found no room, and is counted as lost already.
    Mark,
}

/// What one partition gathers.
#[derive(Debug, Default)]
struct PartitionBuffer {
    events: Vec<u8>,
    requests: u32,
    records: u32,
    batches: u64,
    /// Requests in all batches so far.
    before: u64,
}

/// What a node gathers.
#[derive(Debug)]
pub(super) struct Buffers {
    node: u32,
    partitions: Vec<PartitionBuffer>,
    /// Bytes that are gathered.
    bytes: usize,
}

impl Buffers {
    pub(super) fn new(partitions: u16) -> Self {
        let partitions = (0..partitions).map(|_| PartitionBuffer::default()).collect();
        Self { node: 0, partitions, bytes: 0 }
    }

    /// It is this node's.
    pub(super) const fn belong_to(&mut self, node: u32) {
        self.node = node;
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends a record; true where that makes a batch.
    pub(super) fn push(&mut self, partition: u16, kind: RecordKind, record: &[u8]) -> bool {
        let Some(buffer) = self.partitions.get_mut(usize::from(partition)) else { return false };
        buffer.events.extend_from_slice(record);
        buffer.records += u32::from(kind != RecordKind::Mark);
        buffer.requests += u32::from(kind == RecordKind::Request);
        self.bytes += record.len();
        buffer.events.len() >= BATCH_BYTES
    }

    /// Takes what is gathered out of every partition that has enough, or of all of them.
    pub(super) fn take(&mut self, all: bool) -> Vec<GatheredBatch> {
        let node = self.node;
        let mut taken = Vec::new();
        for (partition, buffer) in (0..).zip(&mut self.partitions) {
            let least = if all { 1 } else { BATCH_BYTES };
            if buffer.events.len() < least {
                continue;
            }
            // As much room again: the next batch is as long.
            let events = std::mem::replace(&mut buffer.events, Vec::with_capacity(BATCH_BYTES / 4));
            self.bytes -= events.len();
            let (requests, records) = (std::mem::take(&mut buffer.requests), std::mem::take(&mut buffer.records));
            let header =
                BatchHeader { node, batch: buffer.batches, first: buffer.before, requests, piece: 0, pieces: 1 };
            buffer.batches += 1;
            buffer.before += u64::from(requests);
            taken.push(GatheredBatch { partition, header, events, records });
        }
        taken
    }
}

/// A batch before it is compressed.
pub(super) struct GatheredBatch {
    partition: u16,
    header: BatchHeader,
    events: Vec<u8>,
    records: u32,
}

impl GatheredBatch {
    /// Compresses it, and cuts it into pieces that fit into messages.
    pub(super) fn pieces(self) -> io::Result<Vec<OutgoingPiece>> {
        let Self { partition, header, events, records } = self;
        let packed: Bytes = compressed(&events)?.into();
        let pieces = u32::try_from(packed.len().div_ceil(PIECE_BYTES).max(1)).unwrap_or(u32::MAX);
        let piece = |piece: u32| {
            let from = (piece as usize * PIECE_BYTES).min(packed.len());
            let payload = packed.slice(from..(from + PIECE_BYTES).min(packed.len()));
            let is_last = piece + 1 == pieces;
            let (requests, records) = if is_last { (header.requests, records) } else { (0, 0) };
            let bytes = if is_last { events.len() } else { 0 };
            OutgoingPiece {
                partition,
                header: BatchHeader { piece, pieces, ..header },
                payload,
                requests,
                records,
                bytes,
                spooled: None,
            }
        };
        Ok((0..pieces).map(piece).collect())
    }
}

thread_local! {
    /// What compresses on this thread: to make one takes as long as a small batch.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compressed(events: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Some(compressor) => compressor.compress(events),
        None => compressor.insert(Compressor::new(ZSTD_LEVEL)?).compress(events),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_what_came_before_it() {
        let mut buffers = Buffers::new(2);
        assert!(!buffers.push(1, RecordKind::Request, b"abc") && !buffers.push(1, RecordKind::Response, b"d"));
        assert!(buffers.take(false).is_empty());
        let first = buffers.take(true);
        assert!(buffers.is_empty() && first.len() == 1);
        buffers.push(1, RecordKind::Request, b"e");
        let second = buffers.take(true).remove(0).pieces().unwrap().remove(0);
        let header = BatchHeader { node: 0, batch: 1, first: 1, requests: 1, piece: 0, pieces: 1 };
        assert_eq!((second.header, second.partition), (header, 1));
    }

    #[test]
    fn what_is_large_comes_in_pieces_and_counts_with_the_last() {
        let mut buffers = Buffers::new(1);
        // What does not compress.
        let mut state = 1_u64;
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        let large: Vec<u8> = (0..3 << 20).map(|_| byte()).collect();
        assert!(buffers.push(0, RecordKind::Request, &large));
        let pieces = buffers.take(false).remove(0).pieces().unwrap();
        assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.payload.len() <= PIECE_BYTES));
        assert_eq!(pieces.iter().map(|piece| piece.requests).sum::<u32>(), 1);
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.payload.to_vec()).collect();
        assert_eq!(zstd::bulk::decompress(&whole, large.len()).unwrap(), large);
    }
}
