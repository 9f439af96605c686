//! What is known of the checksums that one side of a connection sends.

use crate::decode::{Checksum, Segment};

/// Segments of a direction that are looked at before its checksums are given up: none was right.
const MAX_TRIES: u8 = 8;
/// The longest payload that fits a frame of Ethernet. A longer one may be several that hardware merged, and is judged only
/// where one about as long was right.
const MAX_UNMERGED: usize = 1460;

/// What is known of the checksums that a side sends, in one byte: a connection has no more to spare.
///
/// Up to [`MAX_TRIES`] so many were looked at, and none was right. From [`Self::PROVEN`] on they are right, of payloads up
/// to so many times 1 KiB at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChecksumTrust(u8);

impl ChecksumTrust {
    const PROVEN: u8 = 0x80;
    /// They say nothing.
    pub(super) const MEANINGLESS: Self = Self(u8::MAX);

    /// Learns from a segment; returns whether it is suspect.
    #[inline]
    pub(super) fn is_suspect(&mut self, segment: &Segment<'_>) -> bool {
        *self != Self::MEANINGLESS && self.judge(segment)
    }

    fn judge(&mut self, segment: &Segment<'_>) -> bool {
        let checksum = segment.checksum();
        if self.0 >= Self::PROVEN {
            let longest = usize::from(self.0 - Self::PROVEN) << 10;
            if checksum == Checksum::Right && segment.payload.len() > longest {
                self.0 = Self::proven_by(segment);
            }
            // Who computes checksums leaves none out; what is merged has the sum of its pseudo-header.
            let is_wrong = matches!(checksum, Checksum::Wrong | Checksum::Absent);
            return is_wrong && segment.payload.len() <= longest.max(MAX_UNMERGED);
        }
        match checksum {
            Checksum::Right => self.0 = Self::proven_by(segment),
            Checksum::Wrong if self.0 < MAX_TRIES => self.0 += 1,
            Checksum::Wrong | Checksum::Offloaded | Checksum::Absent => *self = Self::MEANINGLESS,
            Checksum::Unknown => {}
        }
        false
    }

    /// What a right checksum of this segment makes known.
    fn proven_by(segment: &Segment<'_>) -> u8 {
        const MOST: u8 = u8::MAX - 1 - ChecksumTrust::PROVEN;
        let kib = u8::try_from(segment.payload.len().div_ceil(1024)).unwrap_or(MOST);
        Self::PROVEN + kib.min(MOST)
    }
}
