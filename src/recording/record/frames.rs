//! Frames as captures: the classic pcap format with nanoseconds, or pcapng.

use crate::capture::{Frame, LinkType};
use crate::exchange::Timestamp;

/// Snap length that files state: nothing that is captured is longer.
const SNAP_LEN: u32 = 16 << 20;

/// Encodes frames. Each file begins anew: see [`FrameWriter::begin`].
#[derive(Debug)]
pub(super) struct FrameWriter {
    pcapng: bool,
    /// The link types of this file so far, in the order of their interfaces.
    links: Vec<LinkType>,
}

impl FrameWriter {
    pub(super) const fn new(pcapng: bool) -> Self {
        Self { pcapng, links: Vec::new() }
    }

    /// Begins a new file.
    pub(super) fn begin(&mut self) {
        self.links.clear();
    }

    /// Appends `frame`, and before it what the file needs to hold it; false where it cannot: a pcap file has one link
    /// type.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, into: &mut Vec<u8>) -> bool {
        if self.pcapng {
            let interface = self.interface(frame.link, into);
            packet_block(interface, frame, into);
            return true;
        }
        match self.links.first() {
            Some(link) if *link != frame.link => return false,
            Some(_) => {}
            None => {
                self.links.push(frame.link);
                pcap_header(frame.link, into);
            }
        }
        let (seconds, nanos) = split(frame.at);
        let len = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        for number in [seconds, nanos, len, frame.wire_len] {
            into.extend_from_slice(&number.to_le_bytes());
        }
        into.extend_from_slice(frame.data);
        true
    }

    /// The number of the interface with this link type; a new one is described first.
    fn interface(&mut self, link: LinkType, into: &mut Vec<u8>) -> u32 {
        let known = self.links.iter().position(|known| *known == link);
        let index = known.unwrap_or_else(|| {
            if self.links.is_empty() {
                section_header(into);
            }
            interface_block(link, into);
            self.links.push(link);
            self.links.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }
}

/// Seconds and nanoseconds; the format ends in the year 2106.
fn split(at: Timestamp) -> (u32, u32) {
    let seconds = u32::try_from(at.nanos() / 1_000_000_000).unwrap_or(u32::MAX);
    let nanos = u32::try_from(at.nanos() % 1_000_000_000).unwrap_or_default();
    (seconds, nanos)
}

fn pcap_header(link: LinkType, into: &mut Vec<u8>) {
    into.extend_from_slice(&0xa1b2_3c4du32.to_le_bytes());
    into.extend_from_slice(&[2, 0, 4, 0]);
    // Time zone and accuracy, which nobody uses.
    into.extend_from_slice(&[0; 8]);
    into.extend_from_slice(&SNAP_LEN.to_le_bytes());
    into.extend_from_slice(&u32::from(link.0).to_le_bytes());
}

fn section_header(into: &mut Vec<u8>) {
    block(0x0a0d_0d0a, into, |into| {
        into.extend_from_slice(&0x1a2b_3c4du32.to_le_bytes());
        into.extend_from_slice(&[1, 0, 0, 0]);
        // The section's length is not known.
        into.extend_from_slice(&[0xff; 8]);
    });
}

fn interface_block(link: LinkType, into: &mut Vec<u8>) {
    block(1, into, |into| {
        into.extend_from_slice(&link.0.to_le_bytes());
        into.extend_from_slice(&[0, 0]);
        into.extend_from_slice(&SNAP_LEN.to_le_bytes());
        // if_tsresol: times are in nanoseconds; then the end of options.
        into.extend_from_slice(&[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    });
}

fn packet_block(interface: u32, frame: &Frame<'_>, into: &mut Vec<u8>) {
    block(6, into, |into| {
        let nanos = frame.at.nanos();
        let len = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
        let (high, low) = ((nanos >> 32) as u32, nanos as u32);
        for number in [interface, high, low, len, frame.wire_len] {
            into.extend_from_slice(&number.to_le_bytes());
        }
        into.extend_from_slice(frame.data);
        into.resize(into.len() + frame.data.len().next_multiple_of(4) - frame.data.len(), 0);
    });
}

/// A block of pcapng: its length stands before and after what is in it.
fn block(kind: u32, into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&kind.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    fill(into);
    let len = u32::try_from(into.len() - start + 4).unwrap_or(u32::MAX).to_le_bytes();
    into.extend_from_slice(&len);
    if let Some(place) = into.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&len);
    }
}
