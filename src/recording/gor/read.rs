//! Records out of a file, one after another.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use memchr::memmem::Finder;

use crate::capture::{Input, OpenedInput};
use crate::exchange::Timestamp;
use crate::http1::{MAX_HEAD_BYTES, MAX_KEPT_BODY};
use crate::recording::framing::{FramingStep, RecordFraming};
use crate::recording::skipped::SkippedRecords;

use super::SEPARATOR;

/// Longest record that is read, in bytes: the longest head and body that are kept, and as much again of chunk framing
/// as any but a hostile one has. A longer one is passed over, and counted.
const MAX_RECORD_BYTES: usize = MAX_HEAD_BYTES + MAX_KEPT_BODY + (8 << 20);
/// Bytes of memory that a byte of a record takes at most: the window that holds it, which doubles as it grows and is copied
/// then, and the message made of it.
const COST: usize = 5;
const TOO_LARGE: &str = "it is too large";
/// Longest first line that is believed to be one.
const MAX_META_BYTES: usize = 1024;
/// Longest that a message is believed to have been under way. What claims more took no time.
const MAX_LATENCY: Duration = Duration::from_secs(24 * 3600);

static SEPARATES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(SEPARATOR));

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recording) enum RecordKind {
    Request,
    Response,
    /// What a replay got.
    Replayed,
}

/// The first line of a record, read.
#[derive(Clone, Debug)]
struct RecordMeta {
    kind: RecordKind,
    id: Range<usize>,
    at: Timestamp,
    latency: Duration,
    len: usize,
}

/// A record, borrowed from its reader.
#[derive(Clone, Copy, Debug)]
pub(in crate::recording) struct GorRecord<'a> {
    pub(in crate::recording) kind: RecordKind,
    pub(in crate::recording) id: &'a [u8],
    /// When its first byte was captured.
    pub(in crate::recording) at: Timestamp,
    /// How long it took to the last one.
    pub(in crate::recording) latency: Duration,
    pub(in crate::recording) message: &'a [u8],
}

/// Reads a `.gor` file.
pub(in crate::recording) struct GorReader {
    pieces: RecordFraming,
    current: Option<(RecordMeta, Range<usize>)>,
    skipped: SkippedRecords,
}

impl GorReader {
    /// Reads records of which none costs more than `memory` bytes.
    pub(in crate::recording) fn new(opened: OpenedInput, memory: usize) -> Self {
        let pieces = RecordFraming::new(opened, "record", SEPARATOR.len(), MAX_RECORD_BYTES.min(memory / COST));
        Self { pieces, current: None, skipped: SkippedRecords::default() }
    }

    /// Moves to the next record that can be read; false at the end.
    pub(in crate::recording) fn advance(&mut self) -> bool {
        self.current = None;
        loop {
            let piece = match self.pieces.advance(find) {
                FramingStep::Piece(piece) => piece,
                FramingStep::TooLong => {
                    self.skip(TOO_LARGE);
                    continue;
                }
                // Without its separator nobody knows whether all of it is there.
                FramingStep::Torn(_) => {
                    self.pieces.report_torn();
                    return false;
                }
                FramingStep::End => return false,
            };
            let bytes = self.pieces.bytes(&piece);
            match meta(bytes) {
                Some(RecordMeta { kind: RecordKind::Replayed, .. }) => self.skip("responses of a replay, type 3"),
                Some(meta) if meta.len == bytes.len() => self.skip("it is empty"),
                Some(meta) => {
                    self.current = Some((meta, piece));
                    return true;
                }
                None if bytes.is_empty() => self.skip("it is empty"),
                None => self.skip("its first line is not `TYPE ID TIME [LATENCY]`"),
            }
        }
    }

    /// When the first byte of the current record's message was captured.
    pub(in crate::recording) fn at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|(meta, _)| meta.at)
    }

    /// The current record, and where to count what is wrong with it.
    pub(in crate::recording) fn record(&mut self) -> Option<(GorRecord<'_>, &mut SkippedRecords, u64)> {
        let (meta, piece) = self.current.as_ref()?;
        let bytes = self.pieces.bytes(piece);
        let record = GorRecord {
            kind: meta.kind,
            id: bytes.get(meta.id.clone()).unwrap_or_default(),
            at: meta.at,
            latency: meta.latency,
            message: bytes.get(meta.len..).unwrap_or_default(),
        };
        Some((record, &mut self.skipped, self.pieces.count()))
    }

    pub(in crate::recording) fn warnings(&self) -> Vec<String> {
        self.pieces.warnings(&self.skipped)
    }

    pub(in crate::recording) fn unread(&self) -> Option<String> {
        self.pieces.unread()
    }

    pub(in crate::recording) fn progress(&self) -> Option<f64> {
        self.pieces.progress()
    }

    fn skip(&mut self, why: &'static str) {
        let (count, limit) = (self.pieces.count(), self.pieces.limit());
        let detail = if why == TOO_LARGE { format!(": {limit}") } else { String::new() };
        self.skipped.count(why, || format!("is record {count}{detail}"));
    }
}

/// Where the record that begins here ends, and where the next one begins; `from` bytes were searched before.
fn find(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    // A record without a byte: the separating line has no line end before it that is its own.
    let bare = SEPARATOR.get(1..).unwrap_or_default();
    if from == 0 && bytes.starts_with(bare) {
        return Some((0, bare.len()));
    }
    let at = SEPARATES.find(bytes.get(from..)?)? + from;
    Some((at, at + SEPARATOR.len()))
}

/// Reads a record's first line; `len` counts its line end.
fn meta(bytes: &[u8]) -> Option<RecordMeta> {
    let line = bytes.get(..memchr::memchr(b'\n', bytes.get(..bytes.len().min(MAX_META_BYTES))?)?)?;
    let first = memchr::memchr(b' ', line)?;
    let second = memchr::memchr(b' ', line.get(first + 1..)?)? + first + 1;
    let kind = match line.get(..first)? {
        b"1" => RecordKind::Request,
        b"2" => RecordKind::Response,
        b"3" => RecordKind::Replayed,
        _ => return None,
    };
    let mut numbers = line.get(second + 1..)?.split(|byte| *byte == b' ');
    let at = number(numbers.next()?)?;
    // Negative where there is none.
    let latency = numbers.next().and_then(number).map(Duration::from_nanos);
    let latency = latency.filter(|latency| *latency <= MAX_LATENCY).unwrap_or_default();
    let id = first + 1..second;
    (!id.is_empty()).then(|| RecordMeta { kind, id, at: Timestamp::from_nanos(at), latency, len: line.len() + 1 })
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// Whether what begins like this is a `.gor` file.
pub(in crate::recording) fn is_gor(input: &mut Input) -> std::io::Result<bool> {
    while memchr::memchr(b'\n', input.available()).is_none() && input.available().len() < MAX_META_BYTES {
        let begins = matches!(input.available(), [b'1'..=b'3', b' ', ..] | [_] | []);
        if !begins || !input.more()? {
            return Ok(false);
        }
    }
    Ok(meta(input.available()).is_some())
}
