//! The classic pcap format (draft-ietf-opsawg-pcap): a 24-byte header, then records.

use super::LinkType;
use super::input::Input;
use super::records::{self, LocatedRecord, NextRecord, le32, look, search};
use crate::exchange::Timestamp;

/// Bytes of the file header.
const FILE_HEADER: usize = 24;
/// Bytes of a record header.
const RECORD_HEADER: usize = 16;

/// Bytes that a record may well have; only more than that is doubted. The largest segmentation offload is 512 KiB.
const LIKELY: usize = 512 * 1024;
/// Seconds between two records that follow each other where the place of the first one is only guessed.
const NEAR: u32 = 24 * 3600;
/// Seconds that a guessed place may be away from the last record: two years.
const NOT_FAR: u32 = 2 * 365 * 24 * 3600;
/// Records that have to follow each other for a guess to hold.
const CHAIN: usize = 4;

/// A classic pcap file: byte order, resolution and link type are the same throughout.
#[derive(Debug)]
pub(super) struct PcapReader {
    big_endian: bool,
    /// Nanoseconds in one unit of the sub-second field.
    tick: u64,
    /// Bytes of a record header: 16, or 24 in files of patched libpcaps that store more.
    record_header: usize,
    link: LinkType,
    /// True when odd records are accepted as they are, since no better ones were found behind one.
    trusting: bool,
    /// The seconds of the last record.
    seconds: Option<u32>,
}

/// What the header of a record says.
#[derive(Clone, Copy)]
struct RecordHeader {
    seconds: u32,
    fraction: u32,
    captured: u32,
    on_wire: u32,
}

impl PcapReader {
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
        Ok(Some(Self { big_endian, tick, record_header, link, trusting: false, seconds: None }))
    }

    /// The link type of every frame.
    pub(super) const fn link(&self) -> LinkType {
        self.link
    }

    /// Returns whether `available` begins with a whole record.
    pub(super) fn is_whole(&self, available: &[u8]) -> bool {
        let captured = self.u32(available, 8) as usize;
        available.len() >= self.record_header && available.len() - self.record_header >= captured
    }

    /// The next record, where all of it is `available`, and both it and what follows it look like records, as they do in a
    /// file that is not damaged. For all others there is [`PcapReader::next`], which comes to the same here.
    #[inline]
    pub(super) fn plain(&mut self, available: &[u8]) -> Option<LocatedRecord> {
        let header = self.header(available).filter(|header| self.is_likely(*header))?;
        let len = self.record_header + header.captured as usize;
        if self.header(available.get(len..)?).is_some_and(|next| !self.is_likely(next)) {
            return None;
        }
        self.seconds = Some(header.seconds);
        let nanos = u64::from(header.seconds) * 1_000_000_000 + u64::from(header.fraction) * self.tick;
        Some(LocatedRecord {
            at: Timestamp::from_nanos(nanos),
            link: self.link,
            wire_len: header.on_wire,
            data: self.record_header..len,
            len,
        })
    }

    /// What the header says that `bytes` begin with.
    #[inline]
    fn header(&self, bytes: &[u8]) -> Option<RecordHeader> {
        let (numbers, _) = bytes.first_chunk::<16>()?.as_chunks::<4>();
        let number = |bytes: &[u8; 4]| {
            let number = u32::from_le_bytes(*bytes);
            if self.big_endian { number.swap_bytes() } else { number }
        };
        let [seconds, fraction, captured, on_wire] = numbers else { return None };
        Some(RecordHeader {
            seconds: number(seconds),
            fraction: number(fraction),
            captured: number(captured),
            on_wire: number(on_wire),
        })
    }

    /// Moves to the next record. Where its header, or what stands behind it, looks like none, a better place is looked
    /// for; in what is `piped` only where the header is impossible, for looking ahead waits.
    pub(super) fn next(&mut self, input: &mut Input, piped: bool) -> std::io::Result<NextRecord> {
        if !input.fill(self.record_header)? {
            let left = input.available().len();
            return Ok(if left == 0 {
                NextRecord::End
            } else {
                NextRecord::Cut { want: self.record_header, have: left }
            });
        }
        let header = input.available();
        if records::begins(header) {
            return Ok(NextRecord::Another);
        }
        let captured = self.u32(header, 8) as usize;
        if captured > records::MAX_FRAME_BYTES {
            let found = search(input, |bytes, at, ended| self.chain(bytes, at, ended));
            return Ok(found.unwrap_or(NextRecord::Unreadable { claims: captured as u64 }));
        }
        if !self.trusting && !piped && self.is_doubtful(header, captured) {
            let likely = self.looks_like_one(header);
            match look(input, &|bytes, at, ended| self.chain(bytes, at, ended)) {
                // The record is whole: what is damaged stands behind it.
                Some(at) if likely && at >= self.record_header + captured => {}
                Some(at) => {
                    input.consume(at);
                    return Ok(NextRecord::Passed { bytes: at as u64 });
                }
                None => self.trusting = true,
            }
        }
        let header = input.available();
        let fraction = u64::from(self.u32(header, 4)).saturating_mul(self.tick);
        let at = u64::from(self.u32(header, 0)).saturating_mul(1_000_000_000).saturating_add(fraction);
        let wire_len = self.u32(header, 12);
        if !input.fill(self.record_header + captured)? {
            let have = input.available().len() - self.record_header;
            let behind = if piped { None } else { search(input, |bytes, at, ended| self.chain(bytes, at, ended)) };
            return Ok(behind.unwrap_or(NextRecord::Cut { want: captured, have }));
        }
        let seconds = self.u32(input.available(), 0);
        self.seconds = Some(seconds);
        Ok(NextRecord::Record(LocatedRecord {
            at: Timestamp::from_nanos(at),
            link: self.link,
            wire_len: wire_len.max(u32::try_from(captured).unwrap_or(u32::MAX)),
            data: self.record_header..self.record_header + captured,
            len: self.record_header + captured,
        }))
    }

    /// Returns whether a record is doubtful: its header or, as far as available, the one after it is unlikely.
    fn is_doubtful(&self, available: &[u8], captured: usize) -> bool {
        let next = available.get(self.record_header + captured..).unwrap_or_default();
        let follows = next.len() < self.record_header || self.looks_like_one(next) || records::begins(next);
        !(self.looks_like_one(available) && follows)
    }

    /// Whether the header of a record seems to begin here.
    fn looks_like_one(&self, bytes: &[u8]) -> bool {
        self.header(bytes).is_some_and(|header| self.is_likely(header))
    }

    /// Whether a record may have this header. It may have no bytes: a snap length of 0, or a tool that took them out. No file
    /// header looks like one: where a record has its length on the wire, that has zero, or a number that is too large.
    #[inline]
    fn is_likely(&self, header: RecordHeader) -> bool {
        let RecordHeader { fraction, captured, on_wire, .. } = header;
        u64::from(fraction) * self.tick < 1_000_000_000
            && on_wire > 0
            && on_wire >= captured
            && on_wire as usize <= LIKELY
    }

    /// Returns whether records follow each other from this offset on. `ended` means that no input follows these bytes. The
    /// first one has bytes: what looks like one without is found in many a frame.
    fn chain(&self, bytes: &[u8], mut at: usize, ended: bool) -> bool {
        let mut last = None;
        for found in 0..CHAIN {
            let near = if found == 0 { NOT_FAR } else { NEAR };
            let rest = bytes.get(at..).unwrap_or_default();
            if records::begins(rest) || rest.len() < self.record_header {
                let is_end = ended && (at == bytes.len() || found > 1);
                return (found > 0 && is_end) || records::begins(rest);
            }
            let (seconds, captured) = (self.u32(rest, 0), self.u32(rest, 8));
            if !self.looks_like_one(rest)
                || (found == 0 && captured == 0)
                || last.or(self.seconds).is_some_and(|last| last.abs_diff(seconds) > near)
            {
                return false;
            }
            last = Some(seconds);
            at += self.record_header + captured as usize;
        }
        true
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let value = le32(bytes, at);
        if self.big_endian { value.swap_bytes() } else { value }
    }
}
