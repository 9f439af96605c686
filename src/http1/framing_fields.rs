//! The header lines of a head that say where its body ends.

use crate::head::KnownHeader;

/// Header lines that the strict parser has room for; heads with more take the slower way.
pub(super) const FAST_LINES: usize = 64;
/// Longest method that is believed: registered ones have at most 17 bytes.
pub(super) const MAX_METHOD: usize = 32;

/// Header fields that define the framing of the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields {
    pub(super) length: ContentLength,
    pub(super) coding: TransferCoding,
    pub(super) expects: bool,
    pub(super) has_coding: bool,
    /// True when codings are in several lines, in a folded one, or `chunked` is named twice: servers differ in how they
    /// read that.
    pub(super) codings_unclear: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ContentLength {
    #[default]
    Absent,
    One(u64),
    /// Several that differ; the first is what most parsers take.
    Conflicting(u64),
    Bad,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TransferCoding {
    #[default]
    Absent,
    /// The last coding is `chunked`.
    Chunked,
    Other,
}

impl FramingFields {
    #[inline]
    pub(super) fn note(&mut self, name: &[u8], value: &[u8]) {
        /// Of `Expect`, `Content-Length` and `Transfer-Encoding`.
        const LENGTHS: [usize; 3] = [6, 14, 17];
        if LENGTHS.contains(&name.len())
            && let Some(known) = KnownHeader::of(name)
        {
            self.note_known(known, value);
        }
    }

    pub(super) fn note_known(&mut self, name: KnownHeader, value: &[u8]) {
        match name {
            KnownHeader::ContentLength => self.note_length(value),
            KnownHeader::TransferEncoding => self.note_coding(value),
            KnownHeader::Expect => self.expects |= value.trim_ascii().eq_ignore_ascii_case(b"100-continue"),
            _ => {}
        }
    }

    /// A list of equal numbers counts as one (RFC 9110, 8.6).
    fn note_length(&mut self, value: &[u8]) {
        for part in value.split(|byte| *byte == b',') {
            let number = decimal(part.trim_ascii());
            self.length = match (self.length, number) {
                (ContentLength::Absent, Some(number)) => ContentLength::One(number),
                (ContentLength::One(before), Some(number)) if before != number => ContentLength::Conflicting(before),
                (same, Some(_)) => same,
                (_, None) => ContentLength::Bad,
            };
        }
    }

    fn note_coding(&mut self, value: &[u8]) {
        let is_chunked = |coding: &&[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
        let chunked = value.split(|byte| *byte == b',').filter(is_chunked).count();
        self.codings_unclear |= self.has_coding || chunked > 1;
        self.has_coding = true;
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        self.coding = match last {
            coding if coding.eq_ignore_ascii_case(b"chunked") => TransferCoding::Chunked,
            // `identity` was a coding in RFC 2616 and meant none.
            coding if coding.eq_ignore_ascii_case(b"identity") && self.coding == TransferCoding::Absent => {
                TransferCoding::Absent
            }
            _ => TransferCoding::Other,
        };
    }
}

/// The number that these digits are; `None` where one is none, there is none, or it is too large.
fn decimal(digits: &[u8]) -> Option<u64> {
    let (first, rest) = digits.split_first()?;
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    rest.iter().try_fold(digit(*first)?, |number, byte| number.checked_mul(10)?.checked_add(digit(*byte)?))
}

/// RFC 9110, 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}
