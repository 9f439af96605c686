//! Frames that are longer than a slot of the kernel's ring.
//!
//! A ring hands frames over at once where each has a slot of its own, all of one size. Segmentation offload makes frames of
//! 64 KiB, and slots for these would be few: a burst of some milliseconds would fill them. So a slot has room for what a
//! network carries, and the kernel queues what is longer a second time, whole, beside the ring (`PACKET_COPY_THRESH`,
//! packet(7)). Here both are put together.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{setsockopt, sockopt};
use nix::{setsockopt_impl, sockopt_impl};
use pcap::{Active, Capture};
use rustix::net::{RecvFlags, recv};

/// Bytes of a frame that a slot has room for: two slots fill a page.
pub(super) const SLOT: usize = 1900;
/// Bytes of a frame that the kernel hands over, at most.
const LONGEST: usize = 262_144;
/// Bytes of whole frames that may wait for their beginning; past it the earliest go, since theirs did not come.
const WAITING_BYTES: usize = 8 << 20;
/// Least room for whole frames in the kernel. With less, several of a burst would be cut.
const LEAST_ROOM: usize = 1 << 20;
/// Bytes of the addresses that begin a frame, and of a VLAN tag, which libpcap puts in behind them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

sockopt_impl!(
    /// Whether what does not fit into a slot is queued whole, too.
    CopyThreshold,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_COPY_THRESH,
    i32
);

sockopt_impl!(
    /// Whether frames are passed over that go out.
    IgnoreOutgoing,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_IGNORE_OUTGOING,
    i32
);

/// The whole of frames whose beginning is in the ring.
pub(super) struct LongFrames {
    socket: OwnedFd,
    snaplen: usize,
    /// Those that came, the earliest first.
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The frame that is handed out.
    current: Vec<u8>,
    buffer: Vec<u8>,
}

impl LongFrames {
    /// Has the kernel keep longer frames for `capture`, in `room` bytes. None where it does not, or has less room.
    pub(super) fn of(capture: &Capture<Active>, room: usize, snaplen: usize) -> Option<Self> {
        let socket = capture.as_fd().try_clone_to_owned().ok()?;
        // The kernel doubles what it is asked for, to make up for what a frame costs besides its bytes.
        let asked = room / 2;
        if setsockopt(&socket, sockopt::RcvBufForce, &asked).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &asked).ok()?;
        }
        let granted = rustix::net::sockopt::socket_recv_buffer_size(&socket).ok()?;
        if granted < LEAST_ROOM.min(asked) {
            return None;
        }
        setsockopt(&socket, CopyThreshold, &1).ok()?;
        let (waiting, bytes, current) = Default::default();
        Some(Self { socket, snaplen, waiting, bytes, current, buffer: vec![0; LONGEST] })
    }

    /// Spares the kernel the frames that leave, which libpcap passes over on the loopback interface anyway.
    pub(super) fn ignore_outgoing(&self) {
        // Before Linux 4.20 they are passed over later.
        setsockopt(&self.socket, IgnoreOutgoing, &1).ok();
    }

    /// Returns the frame of `len` bytes that begins with `beginning`; where the kernel had no room for it, its beginning.
    pub(super) fn complete<'a>(&'a mut self, beginning: &'a [u8], len: u32) -> &'a [u8] {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if let Some(index) = self.waiting.iter().position(|whole| tail(whole, beginning, len).is_some()) {
            // What came earlier belongs to frames that were passed over.
            for whole in self.waiting.drain(..=index) {
                self.bytes -= whole.len();
                self.current = whole;
            }
        } else if !self.read_until(beginning, len) {
            return beginning;
        }
        let tag = len.saturating_sub(self.current.len());
        let put_back = beginning.get(ADDRESSES..ADDRESSES + tag).unwrap_or_default();
        self.current.splice(ADDRESSES..ADDRESSES, put_back.iter().copied());
        self.current.truncate(self.snaplen);
        &self.current
    }

    /// Takes what the kernel has queued up to the frame that begins so, which becomes the current one. Returns whether that
    /// came.
    fn read_until(&mut self, beginning: &[u8], len: usize) -> bool {
        while let Some(whole) = self.next() {
            if tail(&whole, beginning, len).is_some() {
                (self.waiting, self.bytes) = Default::default();
                self.current = whole;
                return true;
            }
            self.keep(whole);
        }
        false
    }

    /// Takes what the kernel has queued.
    pub(super) fn fetch(&mut self) {
        while let Some(whole) = self.next() {
            self.keep(whole);
        }
    }

    /// The next frame that the kernel has queued.
    fn next(&mut self) -> Option<Vec<u8>> {
        let (read, _) = recv(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT).ok()?;
        self.buffer.get(..read).map(<[u8]>::to_vec)
    }

    fn keep(&mut self, whole: Vec<u8>) {
        self.bytes += whole.len();
        self.waiting.push_back(whole);
        while self.bytes > WAITING_BYTES {
            let Some(first) = self.waiting.pop_front() else { break };
            self.bytes -= first.len();
        }
    }
}

/// Returns what follows `beginning` in `whole`, where that is the frame of `len` bytes which begins so. The kernel keeps a
/// VLAN tag beside the frame, and libpcap has put it back into the beginning.
fn tail<'a>(whole: &'a [u8], beginning: &[u8], len: usize) -> Option<&'a [u8]> {
    let tag = len.checked_sub(whole.len()).filter(|tag| [0, TAG].contains(tag))?;
    let (addresses, rest) = beginning.split_at_checked(ADDRESSES)?;
    let (_, rest) = rest.split_at_checked(tag)?;
    whole.strip_prefix(addresses)?.strip_prefix(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(whole: &[u8], beginning: &[u8], len: usize, expected: Option<&[u8]>) {
        assert_eq!(tail(whole, beginning, len), expected);
    }

    #[test]
    fn a_whole_frame_belongs_to_the_beginning_that_is_its_own() {
        check(b"aaaaaabbbbbb..rest", b"aaaaaabbbbbb..", 18, Some(b"rest"));
        check(b"aaaaaabbbbbb..rest", b"aaaaaabbbbbb.,", 18, None);
        check(b"aaaaaabbbbbb..rest", b"aaaaaabbbbbb..", 19, None);
        check(b"aaaaaabbbbbb..rest", b"aaaaaab", 18, None);
    }

    #[test]
    fn a_tag_is_in_the_beginning_alone() {
        check(b"aaaaaabbbbbb..rest", b"aaaaaabbbbbbtag!..", 22, Some(b"rest"));
        check(b"aaaaaabbbbbb..rest", b"aaaaaabbbbbbtag!.,", 22, None);
    }
}
