//! The classic pcap format (draft-ietf-opsawg-pcap): a 24-byte header, then records.

use super::LinkType;
use super::file::{Next, Record};
use super::input::Input;
use crate::exchange::Timestamp;

/// Bytes of the file header.
const FILE_HEADER: usize = 24;
/// Bytes of a record header.
const RECORD_HEADER: usize = 16;

/// A classic pcap file: byte order, resolution and link type are the same throughout.
#[derive(Debug)]
pub(super) struct Classic {
    big_endian: bool,
    /// Nanoseconds in one unit of the sub-second field.
    tick: u64,
    /// Bytes of a record header: 16, or 24 in files of patched libpcaps that store more.
    record_header: usize,
    link: LinkType,
}

impl Classic {
    /// Reads the file header; `None` where the magic number is not one of pcap's or the header is not whole.
    pub(super) fn open(input: &mut Input) -> std::io::Result<Option<Self>> {
        if !input.fill(FILE_HEADER)? {
            return Ok(None);
        }
        let header = input.available();
        let magic = le32(header, 0);
        let (big_endian, tick, record_header) = match magic {
            0xa1b2_c3d4 => (false, 1_000, RECORD_HEADER),
            0xa1b2_3c4d => (false, 1, RECORD_HEADER),
            0xa1b2_cd34 => (false, 1_000, RECORD_HEADER + 8),
            0xd4c3_b2a1 => (true, 1_000, RECORD_HEADER),
            0x4d3c_b2a1 => (true, 1, RECORD_HEADER),
            0x34cd_b2a1 => (true, 1_000, RECORD_HEADER + 8),
            _ => return Ok(None),
        };
        let network = if big_endian { le32(header, 20).swap_bytes() } else { le32(header, 20) };
        // The upper bits tell whether frames end in a checksum; the length fields inside tell it as well.
        let link = LinkType(u16::try_from(network & 0xffff).unwrap_or_default());
        input.consume(FILE_HEADER);
        Ok(Some(Self { big_endian, tick, record_header, link }))
    }

    /// The link type of every frame.
    pub(super) const fn link(&self) -> LinkType {
        self.link
    }

    /// Whether `available` begins with a whole record.
    pub(super) fn is_whole(&self, available: &[u8]) -> bool {
        let captured = self.u32(available, 8) as usize;
        available.len() >= self.record_header && available.len() - self.record_header >= captured
    }

    /// Moves to the next record.
    pub(super) fn next(&self, input: &mut Input) -> std::io::Result<Next> {
        if !input.fill(self.record_header)? {
            let left = input.available().len();
            return Ok(if left == 0 { Next::End } else { Next::Cut { want: self.record_header, have: left } });
        }
        let header = input.available();
        let captured = self.u32(header, 8) as usize;
        if captured > super::file::MAX_FRAME_BYTES {
            return Ok(Next::Unreadable { claims: captured as u64 });
        }
        let fraction = u64::from(self.u32(header, 4)).saturating_mul(self.tick);
        let at = u64::from(self.u32(header, 0)).saturating_mul(1_000_000_000).saturating_add(fraction);
        let wire_len = self.u32(header, 12);
        if !input.fill(self.record_header + captured)? {
            let have = input.available().len() - self.record_header;
            return Ok(Next::Cut { want: captured, have });
        }
        Ok(Next::Record(Record {
            at: Timestamp::from_nanos(at),
            link: self.link,
            wire_len: wire_len.max(u32::try_from(captured).unwrap_or(u32::MAX)),
            data: self.record_header..self.record_header + captured,
            len: self.record_header + captured,
        }))
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let value = le32(bytes, at);
        if self.big_endian { value.swap_bytes() } else { value }
    }
}

/// The little-endian number at `at`; zero where the bytes do not reach.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}
