//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks; interfaces with link types of their own.

use std::collections::BTreeMap;

use super::input::Input;
use super::records::{self, LocatedRecord, MAX_FRAME_BYTES, NextRecord, le32, look, search};
use super::{Dropped, LinkType};
use crate::exchange::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The obsolete packet block, which old recorders wrote.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Blocks that a place is known by where it has to be guessed: those that are read, names, secrets, and custom ones.
const KNOWN: [u32; 11] = [
    SECTION_HEADER,
    INTERFACE,
    PACKET,
    SIMPLE_PACKET,
    4,
    INTERFACE_STATISTICS,
    ENHANCED_PACKET,
    9,
    10,
    0xbad,
    0x4000_0bad,
];

/// Interfaces remembered for a section; packets of further ones are unreadable.
const MAX_INTERFACES: usize = 65_536;
/// Longest block that is read into memory: a frame and its options. Longer ones (decryption secrets, custom
/// blocks) are passed over unless they hold a packet, which ends the file.
const MAX_BLOCK_BYTES: usize = MAX_FRAME_BYTES + 64 * 1024;

/// An interface description.
#[derive(Clone, Copy, Debug)]
struct InterfaceDescription {
    link: LinkType,
    snap_len: u32,
    resolution: Resolution,
    /// Seconds to add to every time.
    offset: i64,
}

/// Unit of an interface's timestamps.
#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// 10 to the minus this many seconds.
    Decimal(u32),
    /// 2 to the minus this many seconds.
    Binary(u32),
}

/// A pcapng file.
#[derive(Debug, Default)]
pub(super) struct PcapngReader {
    big_endian: bool,
    interfaces: Vec<InterfaceDescription>,
    last_at: Timestamp,
    /// Losses of earlier sections.
    dropped: Dropped,
    /// Losses of each interface of this section so far: every block that has them counts from the beginning.
    lost: BTreeMap<u32, Dropped>,
    /// True when odd blocks are accepted as they are, since no better ones were found behind one.
    trusting: bool,
}

impl PcapngReader {
    /// Opens the reader if the input begins with a section header.
    pub(super) fn open(input: &mut Input) -> std::io::Result<Option<Self>> {
        if !input.fill(12)? {
            return Ok(None);
        }
        let block = input.available();
        let section = le32(block, 0) == SECTION_HEADER && byte_order(block).is_some();
        Ok(section.then(Self::default))
    }

    /// Frames that the recorder says it dropped.
    pub(super) fn dropped(&self) -> Dropped {
        self.lost.values().fold(self.dropped, |sum, lost| sum.plus(*lost))
    }

    /// Returns whether `available` begins with a whole block that holds a frame.
    pub(super) fn is_whole(&self, available: &[u8]) -> bool {
        let (kind, len) = (self.u32(available, 0), self.u32(available, 4) as usize);
        matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | PACKET) && available.len() >= len.next_multiple_of(4).max(12)
    }

    /// The frame of the next block, where all of that is `available` and nothing about it is odd. For all others there is
    /// [`PcapngReader::next`], which comes to the same here.
    #[inline]
    pub(super) fn plain(&mut self, available: &[u8]) -> Option<LocatedRecord> {
        let (kind, len) = (self.u32(available, 0), self.u32(available, 4) as usize);
        let padded = len.next_multiple_of(4);
        if !self.is_whole(available) || !(12..=MAX_BLOCK_BYTES).contains(&padded) {
            return None;
        }
        let is_closed = self.u32(available, padded - 4) as usize == len;
        let record = self.packet(kind, len, available.get(..len).filter(|_| is_closed)?)?;
        Some(LocatedRecord { len: padded, ..record })
    }

    /// Moves to the next block that holds a frame. Where a block contradicts itself, a better place is looked for; in
    /// what is `piped` only where its length is impossible, for looking ahead waits.
    pub(super) fn next(&mut self, input: &mut Input, piped: bool) -> std::io::Result<NextRecord> {
        loop {
            if !input.fill(12)? {
                let left = input.available().len();
                return Ok(if left == 0 { NextRecord::End } else { NextRecord::Cut { want: 12, have: left } });
            }
            if let Some(other) = self.section(input) {
                return Ok(other);
            }
            let kind = self.u32(input.available(), 0);
            let len = self.u32(input.available(), 4) as usize;
            // The length counts the block's own twelve bytes, and is padded to four.
            let padded = len.next_multiple_of(4);
            let frame = matches!(kind, ENHANCED_PACKET | SIMPLE_PACKET | PACKET);
            if len < 12 || (padded > MAX_BLOCK_BYTES && frame) {
                return Ok(self.lost_at(len, input));
            }
            if padded > MAX_BLOCK_BYTES {
                match self.pass_over(kind, padded, input)? {
                    Some(passed) => return Ok(passed),
                    None => continue,
                }
            }
            let whole = input.fill(padded)?;
            let doubtful = !whole || self.u32(input.available(), padded - 4) as usize != len;
            if doubtful && !piped && !self.trusting {
                if let Some(at) = self.look(input) {
                    input.consume(at);
                    return Ok(NextRecord::Passed { bytes: at as u64 });
                }
                self.trusting = true;
            }
            if !whole {
                // Without its closing length a last block is still whole enough.
                let have = input.available().len();
                if have + 4 < padded || !input.fill(len.saturating_sub(4))? {
                    return Ok(NextRecord::Cut { want: padded, have });
                }
            }
            if frame {
                match self.packet(kind, len, input.available().get(..len).unwrap_or(input.available())) {
                    Some(mut record) => {
                        record.len = padded;
                        return Ok(NextRecord::Record(record));
                    }
                    None if doubtful => return Ok(self.lost_at(len, input)),
                    None => {
                        input.consume(padded);
                        return Ok(NextRecord::Passed { bytes: padded as u64 });
                    }
                }
            }
            self.describe(kind, input.available().get(..len).unwrap_or(input.available()));
            input.consume(padded);
        }
    }

    /// Begins a section where the next block says so. Returns what ends this input here instead, where something does.
    fn section(&mut self, input: &mut Input) -> Option<NextRecord> {
        let block = input.available();
        if le32(block, 0) == SECTION_HEADER {
            let Some(big_endian) = byte_order(block) else { return Some(self.lost_at(0, input)) };
            self.big_endian = big_endian;
            self.interfaces.clear();
            self.dropped = self.dropped();
            self.lost.clear();
            return None;
        }
        if !records::MAGIC.contains(&le32(block, 0)) {
            return None;
        }
        // Sixteen bytes tell whether it is a file header; some of them may still be to come.
        input.look_ahead(16);
        records::begins(input.available()).then_some(NextRecord::Another)
    }

    /// Passes over a block that is too long to be held. Returns what comes instead where it is not to be believed, or ends
    /// early.
    fn pass_over(&mut self, kind: u32, padded: usize, input: &mut Input) -> std::io::Result<Option<NextRecord>> {
        if !KNOWN.contains(&kind) && !self.trusting {
            if let Some(at) = self.look(input) {
                input.consume(at);
                return Ok(Some(NextRecord::Passed { bytes: at as u64 }));
            }
            self.trusting = true;
        }
        let skipped = input.skip(padded as u64)?;
        Ok((!skipped).then_some(NextRecord::Cut { want: padded, have: 0 }))
    }

    /// Continues behind a block with an impossible length, where that can be done.
    fn lost_at(&self, len: usize, input: &mut Input) -> NextRecord {
        let found = search(input, |bytes, at, ended| self.chain(bytes, at, ended));
        found.unwrap_or(NextRecord::Unreadable { claims: len as u64 })
    }

    /// The next place where blocks follow each other, as far as one look goes.
    fn look(&self, input: &mut Input) -> Option<usize> {
        look(input, &|bytes, at, ended| self.chain(bytes, at, ended))
    }

    /// Returns whether blocks follow each other from this offset on. `ended` means that no input follows these bytes.
    fn chain(&self, bytes: &[u8], mut at: usize, ended: bool) -> bool {
        /// Blocks that have to: each states its length twice.
        const CHAIN: usize = 2;
        for found in 0..CHAIN {
            let rest = bytes.get(at..).unwrap_or_default();
            if records::begins(rest) {
                return true;
            }
            let (kind, len) = (self.u32(rest, 0), self.u32(rest, 4) as usize);
            if found > 0 && ended && at == bytes.len() {
                return true;
            }
            let possible = KNOWN.contains(&kind) && (12..=MAX_BLOCK_BYTES).contains(&len) && len.is_multiple_of(4);
            if !possible || len > rest.len() || self.u32(rest, len - 4) as usize != len {
                return false;
            }
            at += len;
        }
        true
    }

    /// A frame from a packet block that says it is `len` bytes long, of which the last four may not be there; `None`
    /// where its numbers contradict each other.
    fn packet(&mut self, kind: u32, len: usize, block: &[u8]) -> Option<LocatedRecord> {
        let (interface, time, captured, wire_len, start) = match kind {
            ENHANCED_PACKET => (self.u32(block, 8), Some(12), self.u32(block, 20), self.u32(block, 24), 28),
            PACKET => (u32::from(self.u16(block, 8)), Some(12), self.u32(block, 20), self.u32(block, 24), 28),
            _ => (0, None, self.u32(block, 8), self.u32(block, 8), 12),
        };
        let interface = *self.interfaces.get(interface as usize)?;
        let room = len.saturating_sub(start).saturating_sub(4);
        let captured = match kind {
            SIMPLE_PACKET => {
                let snap = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
                (captured.min(snap) as usize).min(room)
            }
            _ => captured as usize,
        };
        if start + captured > block.len() || captured > MAX_FRAME_BYTES {
            return None;
        }
        if let Some(time) = time {
            let ticks = (u64::from(self.u32(block, time)) << 32) | u64::from(self.u32(block, time + 4));
            self.last_at = interface.timestamp(ticks);
        }
        Some(LocatedRecord {
            at: self.last_at,
            link: interface.link,
            wire_len: wire_len.max(u32::try_from(captured).unwrap_or(u32::MAX)),
            data: start..start + captured,
            len: 0,
        })
    }

    /// Remembers what a block without a frame says.
    fn describe(&mut self, kind: u32, block: &[u8]) {
        match kind {
            INTERFACE if self.interfaces.len() < MAX_INTERFACES => {
                let mut interface = InterfaceDescription {
                    link: LinkType(self.u16(block, 8)),
                    snap_len: self.u32(block, 12),
                    resolution: Resolution::Decimal(6),
                    offset: 0,
                };
                self.options(block, 16, |code, value| match (code, value) {
                    (9, [exponent, ..]) => {
                        let power = u32::from(exponent & 0x7f);
                        interface.resolution =
                            if exponent & 0x80 == 0 { Resolution::Decimal(power) } else { Resolution::Binary(power) };
                    }
                    (14, value) => {
                        interface.offset = i64::from_ne_bytes(self.u64(value).to_ne_bytes());
                    }
                    _ => {}
                });
                self.interfaces.push(interface);
            }
            INTERFACE_STATISTICS => {
                let interface = self.u32(block, 8);
                let mut lost = self.lost.get(&interface).copied().unwrap_or_default();
                self.options(block, 20, |code, value| match code {
                    5 => lost.interface = self.u64(value),
                    7 => lost.kernel = self.u64(value),
                    _ => {}
                });
                if self.lost.len() < MAX_INTERFACES {
                    self.lost.insert(interface, lost);
                }
            }
            _ => {}
        }
    }

    /// Calls `each` with the code and value of every option from `start` on.
    fn options(&self, block: &[u8], start: usize, mut each: impl FnMut(u16, &[u8])) {
        let mut at = start;
        let end = block.len().saturating_sub(4);
        while at + 4 <= end {
            let (code, len) = (self.u16(block, at), self.u16(block, at + 2) as usize);
            let Some(value) = block.get(at + 4..(at + 4 + len).min(end)) else { return };
            if code == 0 {
                return;
            }
            each(code, value);
            at += 4 + len.next_multiple_of(4);
        }
    }

    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        let value = bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |two| u16::from_le_bytes(*two));
        if self.big_endian { value.swap_bytes() } else { value }
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let value = le32(bytes, at);
        if self.big_endian { value.swap_bytes() } else { value }
    }

    fn u64(&self, bytes: &[u8]) -> u64 {
        let value = bytes.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        if self.big_endian { value.swap_bytes() } else { value }
    }
}

impl InterfaceDescription {
    fn timestamp(&self, ticks: u64) -> Timestamp {
        let ticks = u128::from(ticks);
        let nanos = match self.resolution {
            Resolution::Decimal(power) if power <= 9 => ticks.saturating_mul(10u128.pow(9 - power)),
            Resolution::Decimal(power) => ticks / 10u128.pow((power - 9).min(38)),
            Resolution::Binary(power) => ticks.saturating_mul(1_000_000_000) >> power.min(127),
        };
        let shifted = i128::try_from(nanos)
            .unwrap_or(i128::MAX)
            .saturating_add(i128::from(self.offset).saturating_mul(1_000_000_000));
        Timestamp::from_nanos(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX))
    }
}

/// Returns whether a section header block is big-endian; `None` where its byte-order magic is neither.
fn byte_order(block: &[u8]) -> Option<bool> {
    match le32(block, 8) {
        0x1a2b_3c4d => Some(false),
        0x4d3c_2b1a => Some(true),
        _ => None,
    }
}
