//! Records out of a file, one after another.

use std::borrow::Cow;
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
/// then, the copy with line ends as they were, and the message made of it.
const COST: usize = 6;
const TOO_LARGE: &str = "it is too large";
/// Longest first line that is believed to be one.
const MAX_META_BYTES: usize = 1024;
/// Longest that a message is believed to have been under way. What claims more took no time.
const MAX_LATENCY: Duration = Duration::from_secs(24 * 3600);

/// Byte order mark, which editors on Windows put first.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

static SEPARATES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(without_line_end()));
static HEAD_ENDS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Returns the separator without the line end after it, which an editor may have made CR LF.
fn without_line_end() -> &'static [u8] {
    SEPARATOR.strip_suffix(b"\n").unwrap_or(SEPARATOR)
}

/// Kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recording) enum RecordKind {
    Request,
    Response,
    /// A target's response in a replay.
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
    /// True when an editor made each line end CR LF: the message then ends with a CR that is not its own.
    crlf: bool,
}

/// A record, borrowed from its reader.
#[derive(Clone, Copy, Debug)]
pub(in crate::recording) struct GorRecord<'a> {
    pub(in crate::recording) kind: RecordKind,
    pub(in crate::recording) id: &'a [u8],
    /// Capture time of its first byte.
    pub(in crate::recording) at: Timestamp,
    /// Time from its first byte to its last.
    pub(in crate::recording) latency: Duration,
    pub(in crate::recording) message: &'a [u8],
}

/// Reads a `.gor` file.
pub(in crate::recording) struct GorReader {
    pieces: RecordFraming,
    current: Option<(RecordMeta, Range<usize>)>,
    /// The current record's message as it was before an editor changed its line ends, where that changed its length.
    restored: Option<Vec<u8>>,
    skipped: SkippedRecords,
}

impl GorReader {
    /// Reads records of which none costs more than `memory` bytes.
    pub(in crate::recording) fn new(opened: OpenedInput, memory: usize) -> Self {
        let pieces = RecordFraming::new(opened, "record", SEPARATOR.len() + 1, MAX_RECORD_BYTES.min(memory / COST));
        Self { pieces, current: None, restored: None, skipped: SkippedRecords::default() }
    }

    /// Moves to the next record that can be read; false at the end.
    pub(in crate::recording) fn advance(&mut self) -> bool {
        (self.current, self.restored) = (None, None);
        loop {
            let piece = match self.pieces.advance(find) {
                FramingStep::Piece(piece) => piece,
                FramingStep::TooLong => {
                    self.skip(TOO_LARGE);
                    continue;
                }
                // Without its separator nobody knows whether all of it is there.
                FramingStep::Torn(piece) if self.pieces.bytes(&piece).ends_with(without_line_end()) => {
                    piece.start..piece.end.saturating_sub(without_line_end().len())
                }
                FramingStep::Torn(_) => {
                    self.pieces.report_torn();
                    return false;
                }
                FramingStep::End => return false,
            };
            let bytes = self.pieces.bytes(&piece);
            match meta(bytes) {
                Some(RecordMeta { kind: RecordKind::Replayed, .. }) => self.skip("responses of a replay, type 3"),
                Some(meta) if meta.len >= bytes.len() => self.skip("it is empty"),
                Some(meta) => {
                    let message = message(&meta, bytes);
                    if let Cow::Owned(restored) = message {
                        self.restored = Some(restored);
                    }
                    self.current = Some((meta, piece));
                    return true;
                }
                None if bytes.is_empty() => self.skip("it is empty"),
                None => self.skip("its first line is not `TYPE ID TIME [LATENCY]`"),
            }
        }
    }

    /// Returns the capture time of the first byte of the current record's message.
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
            message: match &self.restored {
                Some(restored) => restored,
                None => bytes.get(meta.len..).map(|message| without_own_end(meta, message)).unwrap_or_default(),
            },
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

/// Returns a record's message. Where an editor made its line ends CR LF, those of its body are LF again if the body is as
/// long as its head says then, and is not without.
fn message<'a>(meta: &RecordMeta, record: &'a [u8]) -> Cow<'a, [u8]> {
    let message = without_own_end(meta, record.get(meta.len..).unwrap_or_default());
    restored(message).filter(|_| meta.crlf).map_or(Cow::Borrowed(message), Cow::Owned)
}

/// Returns what a record holds without the CR that an editor put before the separator.
fn without_own_end<'a>(meta: &RecordMeta, message: &'a [u8]) -> &'a [u8] {
    message.strip_suffix(b"\r").filter(|_| meta.crlf).unwrap_or(message)
}

fn restored(message: &[u8]) -> Option<Vec<u8>> {
    let head = HEAD_ENDS.find(message)? + 4;
    let (head, body) = message.split_at_checked(head)?;
    let said = content_length(head)?;
    let added = body.windows(2).filter(|pair| *pair == b"\r\n").count();
    if body.len() == said || body.len().checked_sub(added)? != said {
        return None;
    }
    let mut whole = Vec::with_capacity(head.len() + said);
    whole.extend_from_slice(head);
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&b'\n') {
            whole.push(byte);
        }
    }
    Some(whole)
}

/// Returns the length that a head says its body has.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let is_it = |line: &&[u8]| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    let line = head.split(|byte| *byte == b'\n').find(is_it)?;
    usize::try_from(number(line.get(NAME.len()..)?.trim_ascii())?).ok()
}

/// Finds the end of the record that begins here, and the start of the next one; `from` bytes were searched before.
fn find(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let separator = without_line_end();
    // A record without a byte: the separating line has no line end before it that is its own.
    let bare = separator.get(1..).unwrap_or_default();
    if from == 0 && bytes.starts_with(bare) {
        return Some((0, bare.len() + line_end(bytes.get(bare.len()..)?)?));
    }
    let mut from = from;
    loop {
        let at = SEPARATES.find(bytes.get(from..)?)? + from;
        let after = bytes.get(at + separator.len()..)?;
        match line_end(after) {
            Some(end) => return Some((at, at + separator.len() + end)),
            // Whether a line ends here is not known yet.
            None if matches!(after, [] | [b'\r']) => return None,
            None => from = at + 1,
        }
    }
}

/// Returns the length of the line end that these bytes begin with.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

/// Reads a record's first line; `len` counts its line end.
fn meta(bytes: &[u8]) -> Option<RecordMeta> {
    let mark = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let bytes = bytes.get(mark..)?;
    let line = bytes.get(..memchr::memchr(b'\n', bytes.get(..bytes.len().min(MAX_META_BYTES))?)?)?;
    let (len, crlf) = (mark + line.len() + 1, line.ends_with(b"\r"));
    let line = line.strip_suffix(b"\r").unwrap_or(line);
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
    let id = mark + first + 1..mark + second;
    (!id.is_empty()).then(|| RecordMeta { kind, id, at: Timestamp::from_nanos(at), latency, len, crlf })
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// Returns whether the input begins like a `.gor` file.
pub(in crate::recording) fn is_gor(input: &mut Input) -> std::io::Result<bool> {
    while memchr::memchr(b'\n', input.available()).is_none() && input.available().len() < MAX_META_BYTES {
        let begins = input.available();
        let begins = begins.strip_prefix(BYTE_ORDER_MARK).unwrap_or(begins);
        let begins = matches!(begins, [b'1'..=b'3', b' ', ..] | [_] | []) || BYTE_ORDER_MARK.starts_with(begins);
        if !begins || !input.more()? {
            return Ok(false);
        }
    }
    Ok(meta(input.available()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\nc";

    /// Returns the messages of a file's records.
    fn messages(file: &[u8]) -> Vec<String> {
        let (mut left, mut found) = (file, Vec::new());
        while let Some((end, next)) = find(left, 0) {
            let record = &left[..end];
            let meta = meta(record).unwrap();
            assert_eq!((&record[meta.id.clone()], meta.at), (&b"id"[..], Timestamp::from_nanos(5)));
            found.push(String::from_utf8(message(&meta, record).into_owned()).unwrap());
            left = &left[next..];
        }
        assert_eq!(left, b"");
        found
    }

    #[test]
    fn a_file_edited_on_windows_holds_what_it_held() {
        let get = "GET / HTTP/1.1\r\n\r\n";
        let own = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na\r\nb";
        let separator = std::str::from_utf8(SEPARATOR).unwrap();
        let plain = [get, POST, own].map(|one| format!("1 id 5\n{one}{separator}")).concat();
        let edited = plain.replace("\r\n", "\n").replace('\n', "\r\n");
        for file in [plain.clone(), edited.clone(), format!("\u{feff}{plain}"), format!("\u{feff}{edited}")] {
            assert_eq!(messages(file.as_bytes()), [get, POST, own], "{file:?}");
        }
    }

    #[test]
    fn a_separator_counts_once_its_line_end_is_there() {
        let record = [b"1 id 5\nx", SEPARATOR].concat();
        for cut in 1..record.len() {
            assert_eq!(find(&record[..cut], 0), None, "{cut}");
        }
        let crlf = [&record[..record.len() - 1], b"\r"].concat();
        assert_eq!(find(&crlf, 0), None);
        assert_eq!(find(&[&crlf[..], b"\n1"].concat(), 0), Some((8, crlf.len() + 1)));
        assert_eq!(find(&[&crlf[..], b"x", &record].concat(), 0).unwrap().0, crlf.len() + 1 + 8);
    }

    #[test]
    fn a_carriage_return_of_the_message_stays() {
        let record = b"1 id 5\nPOST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n\r";
        let meta = meta(record).unwrap();
        assert!(message(&meta, record).ends_with(b"\r\n\r\n\r"));
    }
}
