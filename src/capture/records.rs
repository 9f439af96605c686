//! Records of capture files: where one may begin, and what a format reader found.

use std::ops::Range;

use super::LinkType;
use super::input::Input;
use crate::exchange::Timestamp;

/// Longest frame that is read, in bytes. A record that claims more cannot be real (the largest segmentation
/// offload is 512 KiB): what follows it cannot be found, so the file ends there, said aloud.
pub(super) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Magic numbers of capture files, read in little-endian order: pcap of each kind and byte order, and pcapng.
pub(super) const MAGIC: [u32; 7] =
    [0x0a0d_0d0a, 0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34, 0xd4c3_b2a1, 0x4d3c_b2a1, 0x34cd_b2a1];

/// Returns whether a capture file begins here, at a place where a record or block could begin as well.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let magic = le32(bytes, 0);
    if !MAGIC.contains(&magic) {
        return false;
    }
    match bytes {
        // A byte order; or a version of 2.4, then two fields that nobody uses.
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x4d, 0x3c, 0x2b, 0x1a, ..]
        | [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x1a, 0x2b, 0x3c, 0x4d, ..] => true,
        [_, _, _, _, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] | [_, _, _, _, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, ..] => {
            magic != 0x0a0d_0d0a
        }
        _ => false,
    }
}

/// A record found in the input window.
#[derive(Clone, Debug)]
pub(super) struct LocatedRecord {
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) wire_len: u32,
    /// The frame's bytes, from the start of the window.
    pub(super) data: Range<usize>,
    /// Bytes of the whole record.
    pub(super) len: usize,
}

/// Next result of a format reader.
pub(super) enum NextRecord {
    Record(LocatedRecord),
    End,
    /// Another capture file begins: somebody put one behind the other.
    Another,
    /// Bytes that are no record were passed over.
    Passed {
        bytes: u64,
    },
    /// The file ends inside a record or block.
    Cut {
        want: usize,
        have: usize,
    },
    /// A record or block whose length cannot be right.
    Unreadable {
        claims: u64,
    },
}

/// Bytes that are looked through at once, and as many again that are looked at from the last of them.
const REACH: usize = 4 << 20;

/// Returns the offset of the next place that `fits`, within one look ahead. The last argument of `fits` is true at the
/// end of the input.
pub(super) fn look(input: &mut Input, fits: &dyn Fn(&[u8], usize, bool) -> bool) -> Option<usize> {
    let ended = !input.look_ahead(2 * REACH);
    let bytes = input.available();
    let last = if ended { bytes.len() } else { REACH };
    (1..last).find(|at| fits(bytes, *at, ended))
}

/// Looks for a place that `fits` up to the end of the input, and moves there; `None` where there is none.
pub(super) fn search(input: &mut Input, fits: impl Fn(&[u8], usize, bool) -> bool) -> Option<NextRecord> {
    let mut passed = 0;
    loop {
        if let Some(at) = look(input, &fits) {
            input.consume(at);
            return Some(NextRecord::Passed { bytes: passed + at as u64 });
        }
        if input.available().len() < 2 * REACH {
            return None;
        }
        input.consume(REACH - 1);
        passed += REACH as u64 - 1;
    }
}

/// The little-endian number at `at`; zero where the bytes do not reach.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}
