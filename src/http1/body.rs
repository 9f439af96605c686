//! Body framing: where a body ends, and its content counted, hashed or kept on the way.

use bytes::Bytes;

use super::body_hash::{BodyHash, HashTiming};
use super::{BodyPolicy, content};
use crate::exchange::{Body, Framing};

/// Bytes of a trailer section. A longer one makes the body malformed.
const MAX_TRAILER_BYTES: u32 = 64 * 1024;
/// Bytes of a chunk extension. A longer one makes the body malformed.
const MAX_EXTENSION_BYTES: u32 = 16 * 1024;

/// See [`content::SMALL`].
const SMALL_BODY: u64 = content::SMALL as u64;

/// Position of a body in its framing.
///
/// Invariant: [`FramingState::Done`] is reached as soon as the last byte was fed, not with the byte after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramingState {
    Length { left: u64 },
    UntilClose,
    Chunk(ChunkState),
    Done,
}

/// RFC 9112, 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size {
        value: u64,
        digits: u8,
    },
    /// After the digits: blanks or an extension, up to the end of the line.
    Extension {
        value: u64,
        len: u32,
    },
    Data {
        left: u64,
    },
    /// The line end after the data.
    DataEnd {
        seen_cr: bool,
    },
    /// After the last chunk: lines up to an empty one. `line` counts the bytes of the current one.
    Trailer {
        line: u32,
        total: u32,
    },
}

/// Result of feeding bytes to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyProgress {
    /// All bytes belong to the body, and more are to come.
    All,
    /// The body ended after this many bytes.
    Ended(usize),
    /// The framing cannot be read.
    Bad,
}

/// Effect of a gap on a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GapEffect {
    /// It lies inside: the next bytes are still this body's.
    Inside,
    /// It ends just where the body does.
    ToTheEnd,
    /// The end of the body is no longer known.
    Unknown,
}

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct BodyReader {
    framing: Framing,
    progress: FramingState,
    len: u64,
    hash: BodyHash,
    wire: Option<Vec<u8>>,
    /// Bytes that are kept at most; a longer body is not kept at all.
    most_kept: usize,
    overflow: Overflow,
    whole: bool,
}

/// What becomes of a body that is longer than what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    /// Nothing of it is kept.
    Dropped,
    /// Its beginning is kept, for as long as it may turn out not to end.
    Cut { has_happened: bool },
}

impl BodyReader {
    /// A body under this head.
    pub(super) fn new(framing: Framing, interest: BodyPolicy, head: &[u8]) -> Self {
        let is_small = matches!(framing, Framing::None | Framing::Length(..=SMALL_BODY));
        let kept = interest.keeps(if is_small { b"" } else { head });
        // One that will not fit is not begun to be kept; what holds all of it has no such limit.
        let fits = |most: &usize| !matches!(framing, Framing::Length(len) if len > *most as u64);
        let body = Self::with(framing, interest.hashes(), kept.filter(fits));
        if matches!(interest, BodyPolicy::Read(_)) { body.keeping_the_beginning() } else { body }
    }

    /// A body that is kept as long as its framed bytes are no more than `kept`.
    pub(crate) fn with(framing: Framing, hashed: HashTiming, kept: Option<usize>) -> Self {
        let progress = match framing {
            Framing::None | Framing::Length(0) => FramingState::Done,
            Framing::Length(left) => FramingState::Length { left },
            Framing::Chunked => FramingState::Chunk(ChunkState::Size { value: 0, digits: 0 }),
            Framing::UntilClose => FramingState::UntilClose,
        };
        Self {
            framing,
            progress,
            len: 0,
            hash: BodyHash::of(hashed, framing, kept.is_some()),
            wire: kept.map(|_| Vec::new()),
            most_kept: kept.unwrap_or_default(),
            overflow: Overflow::Dropped,
            whole: true,
        }
    }

    /// The same, which keeps the beginning of a longer body where that turns out to have no end.
    pub(crate) const fn keeping_the_beginning(mut self) -> Self {
        self.overflow = Overflow::Cut { has_happened: false };
        self
    }

    /// Content bytes so far.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_done(&self) -> bool {
        self.progress == FramingState::Done
    }

    pub(crate) fn is_until_close(&self) -> bool {
        self.progress == FramingState::UntilClose
    }

    /// How many of the next bytes are only counted.
    pub(super) fn passes_over(&self) -> u64 {
        match self.progress {
            _ if self.wire.is_some() || self.hash.is_wanted() => 0,
            FramingState::Length { left } | FramingState::Chunk(ChunkState::Data { left }) => left,
            FramingState::UntilClose => u64::MAX,
            FramingState::Chunk(_) | FramingState::Done => 0,
        }
    }

    /// Returns whether a byte of the body was seen.
    pub(super) const fn has_begun(&self) -> bool {
        self.len > 0
            || !matches!(
                self.progress,
                FramingState::Length { .. } | FramingState::Chunk(ChunkState::Size { digits: 0, .. })
            )
    }

    /// Returns whether the last chunk has come, and nothing after its line: the empty line at the end is missing, or
    /// yet to come.
    pub(super) const fn awaits_last_line(&self) -> bool {
        matches!(self.progress, FramingState::Chunk(ChunkState::Trailer { line: 0, total: 0 }))
    }

    /// Feeds the next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> BodyProgress {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match self.progress {
                FramingState::Done => break,
                FramingState::UntilClose => {
                    self.content(rest);
                    rest.len()
                }
                FramingState::Length { left } => {
                    let now = at_most(rest, left);
                    self.content(now);
                    self.progress = match left - now.len() as u64 {
                        0 => FramingState::Done,
                        left => FramingState::Length { left },
                    };
                    now.len()
                }
                FramingState::Chunk(ChunkState::Data { left }) => {
                    let now = at_most(rest, left);
                    self.content(now);
                    self.progress = FramingState::Chunk(match left - now.len() as u64 {
                        0 => ChunkState::DataEnd { seen_cr: false },
                        left => ChunkState::Data { left },
                    });
                    now.len()
                }
                FramingState::Chunk(state) => {
                    let [byte, ..] = rest else { break };
                    let Some(next) = state.step(*byte) else {
                        self.keep(bytes.get(..at).unwrap_or_default());
                        self.damage();
                        return BodyProgress::Bad;
                    };
                    self.progress = next;
                    1
                }
            };
            at += taken;
        }
        self.keep(bytes.get(..at).unwrap_or_default());
        if self.is_done() { BodyProgress::Ended(at) } else { BodyProgress::All }
    }

    /// Feeds bytes that all lie inside a body of known length, after its first byte and before its last; false, and nothing
    /// was done, where they do not, or are kept.
    #[inline]
    pub(super) fn feed_inside(&mut self, bytes: &[u8]) -> bool {
        let FramingState::Length { left } = &mut self.progress else { return false };
        let len = bytes.len() as u64;
        if self.len == 0 || *left <= len || self.wire.is_some() {
            return false;
        }
        *left -= len;
        self.len += len;
        self.hash.update(bytes);
        true
    }

    /// Returns how long a body is of which nothing came yet, where its length is known and `bytes` have all of it.
    #[inline]
    pub(super) fn whole_in(&self, bytes: &[u8]) -> Option<usize> {
        let FramingState::Length { left } = self.progress else { return None };
        let fits = |len: &usize| *len <= bytes.len() && (self.wire.is_none() || *len <= self.most_kept);
        usize::try_from(left).ok().filter(|len| self.len == 0 && fits(len))
    }

    /// The body of which nothing came yet, where these are all of its bytes.
    pub(super) fn whole(self, bytes: &[u8]) -> Body {
        let sha256 = self.hash.of_whole(bytes);
        let wire = self.wire.map(|_| Bytes::copy_from_slice(bytes));
        Body { framing: self.framing, len: bytes.len() as u64, sha256, wire }
    }

    /// Passes over bytes that were not captured.
    pub(super) fn skip(&mut self, len: u64) -> GapEffect {
        self.damage();
        match self.progress {
            FramingState::Length { left } if len < left => {
                self.progress = FramingState::Length { left: left - len };
                GapEffect::Inside
            }
            FramingState::Length { left } if len == left => {
                self.progress = FramingState::Done;
                GapEffect::ToTheEnd
            }
            FramingState::Chunk(ChunkState::Data { left }) if len < left => {
                self.progress = FramingState::Chunk(ChunkState::Data { left: left - len });
                GapEffect::Inside
            }
            FramingState::Chunk(ChunkState::Data { left }) if len == left => {
                self.progress = FramingState::Chunk(ChunkState::DataEnd { seen_cr: false });
                GapEffect::Inside
            }
            FramingState::UntilClose => GapEffect::Inside,
            _ => GapEffect::Unknown,
        }
    }

    /// The body as far as it was read.
    pub(crate) fn finish(self) -> Body {
        let sha256 = if self.whole && self.len > 0 { self.hash.finish() } else { None };
        let is_cut = self.overflow == Overflow::Cut { has_happened: true };
        let wire = self.wire.filter(|_| !(is_cut && self.whole)).map(Bytes::from);
        Body { framing: self.framing, len: self.len, sha256, wire }
    }

    /// Bytes that are kept so far.
    pub(super) fn held(&self) -> usize {
        self.wire.as_ref().map_or(0, Vec::capacity)
    }

    /// Keeps no more of it, and not what was kept.
    pub(super) fn evict(&mut self) {
        if let Some(wire) = self.wire.take() {
            self.hash.begin(&wire);
        }
    }

    /// From now on the content is not whole.
    pub(crate) fn damage(&mut self) {
        self.whole = false;
    }

    fn content(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if let Some(wire) = self.wire.as_ref().filter(|wire| wire.len() + bytes.len() > self.most_kept) {
            self.hash.begin(wire);
        }
        self.hash.update(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(wire) = &mut self.wire else { return };
        let room = self.most_kept.saturating_sub(wire.len());
        match (bytes.get(..room), &mut self.overflow) {
            (Some(beginning), Overflow::Cut { has_happened }) if beginning.len() < bytes.len() => {
                *has_happened = true;
                wire.extend_from_slice(beginning);
            }
            (Some(beginning), Overflow::Dropped) if beginning.len() < bytes.len() => self.wire = None,
            _ => wire.extend_from_slice(bytes),
        }
    }
}

impl ChunkState {
    /// The state after `byte`; `None` where it must not stand here. A bare LF ends a line as CRLF does.
    fn step(self, byte: u8) -> Option<FramingState> {
        Some(FramingState::Chunk(match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                Self::Size { value: (value << 4) | digit, digits: digits + 1 }
            }
            (Self::Size { value, digits: 1.. } | Self::Extension { value, .. }, b'\n') => Self::after_size(value),
            (Self::Size { value, digits: 1.. }, b'\r' | b' ' | b'\t' | b';') => Self::Extension { value, len: 0 },
            (Self::Extension { value, len }, _) if len < MAX_EXTENSION_BYTES => Self::Extension { value, len: len + 1 },
            (Self::DataEnd { seen_cr: false }, b'\r') => Self::DataEnd { seen_cr: true },
            (Self::DataEnd { .. }, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::Trailer { line: 0, .. }, b'\n') => return Some(FramingState::Done),
            // The CR of an empty line does not make it longer.
            (Self::Trailer { total, .. }, b'\n') | (Self::Trailer { line: 0, total }, b'\r') => {
                Self::Trailer { line: 0, total: total + 1 }
            }
            (Self::Trailer { line, total }, _) if total < MAX_TRAILER_BYTES => {
                Self::Trailer { line: line + 1, total: total + 1 }
            }
            _ => return None,
        }))
    }

    const fn after_size(value: u64) -> Self {
        if value == 0 { Self::Trailer { line: 0, total: 0 } } else { Self::Data { left: value } }
    }
}

fn at_most(bytes: &[u8], limit: u64) -> &[u8] {
    let len = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(..len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::digest;

    /// Reads a body in pieces of `size` bytes, and keeps up to eight of them.
    fn read(framing: Framing, hashed: HashTiming, bytes: &[u8], size: usize) -> Body {
        let mut body = BodyReader::with(framing, hashed, Some(8));
        bytes.chunks(size).for_each(|piece| assert_ne!(body.feed(piece), BodyProgress::Bad));
        body.finish()
    }

    #[test]
    fn what_is_not_kept_is_hashed_whole_however_it_came() {
        for size in 1..=12 {
            for framing in [Framing::Length(12), Framing::UntilClose] {
                let body = read(framing, HashTiming::Unkept, b"twelve bytes", size);
                assert_eq!((body.sha256, body.wire), (digest(b"twelve bytes"), None), "{framing:?} {size}");
            }
        }
    }

    #[test]
    fn what_is_kept_as_it_is_can_be_hashed_by_whoever_has_it() {
        let of = |framing, hashed, bytes| read(framing, hashed, bytes, 3).sha256;
        assert_eq!(of(Framing::Length(8), HashTiming::Unkept, b"8 bytes!"), None);
        assert_eq!(of(Framing::Length(8), HashTiming::Always, b"8 bytes!"), digest(b"8 bytes!"));
        assert_eq!(of(Framing::Chunked, HashTiming::Unkept, b"1\r\nx\r\n0\r\n\r\n"), digest(b"x"));
        assert_eq!(of(Framing::Length(12), HashTiming::Never, b"twelve bytes"), None);
    }

    #[test]
    fn of_a_longer_body_without_end_the_beginning_is_kept() {
        let read = |framing, bytes: &[u8], size, ends: bool| {
            let mut body = BodyReader::with(framing, HashTiming::Unkept, Some(8)).keeping_the_beginning();
            bytes.chunks(size).for_each(|piece| assert_ne!(body.feed(piece), BodyProgress::Bad));
            if !ends {
                body.damage();
            }
            body.finish()
        };
        for size in 1..=12 {
            let open = read(Framing::UntilClose, b"twelve bytes", size, false);
            assert_eq!((open.wire.as_deref(), open.sha256, open.len), (Some(&b"twelve b"[..]), None, 12), "{size}");
            let chunks = b"2\r\nab\r\n6\r\ncdefgh\r\n";
            let open = read(Framing::Chunked, chunks, size, false);
            assert_eq!((open.content().as_deref(), open.len), (Some(&b"ab"[..]), 8), "{size}");
            let whole = read(Framing::UntilClose, b"twelve bytes", size, true);
            assert_eq!((whole.wire, whole.sha256), (None, digest(b"twelve bytes")), "{size}");
            assert_eq!(read(Framing::UntilClose, b"8 bytes!", size, true).wire.as_deref(), Some(&b"8 bytes!"[..]));
        }
    }

    #[test]
    fn what_is_let_go_half_way_is_hashed_all_the_same() {
        let mut body = BodyReader::with(Framing::Length(8), HashTiming::Unkept, Some(8));
        assert_eq!(body.feed(b"8 by"), BodyProgress::All);
        body.evict();
        assert_eq!(body.feed(b"tes!"), BodyProgress::Ended(4));
        assert_eq!(body.finish().sha256, digest(b"8 bytes!"));
    }
}
