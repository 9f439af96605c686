//! Sources of frames: capture files, standard input, network interfaces, memory.
//!
//! A frame is emitted with its time, its link type and its captured bytes. Nothing is parsed here beyond the container
//! that stores the frames.

mod error;
mod file;
mod filter;
mod input;
pub mod interfaces;
pub mod live;
mod memory;
mod merge;
mod opened_input;
mod pcap_file;
mod pcapng;
pub mod privileges;
mod records;
pub mod spoe;
mod tunnel;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::CaptureError;
pub use file::FileSource;
pub use filter::{BpfFilter, BpfMatch};
pub(crate) use input::Input;
pub use memory::MemorySource;
pub(crate) use merge::Merged;
pub(crate) use merge::Pieces;
pub(crate) use opened_input::OpenedInput;
pub use tunnel::{Tunnel, TunnelKind};

use arrayvec::ArrayVec;

use crate::exchange::Timestamp;

/// Settings of a capture: its input, and the frames that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Capture files, merged by time; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Format of files that are access logs, as `--format` takes it (see [`crate::recording::AccessLogFormat`]).
    pub logs: Option<String>,
    /// A filter in libpcap's language.
    pub bpf: Option<String>,
    /// TCP ports of servers; either end of a connection may have one. Empty: every port.
    pub ports: Vec<u16>,
    /// Tunnels on UDP ports of their own; on their usual ports they are looked into in any case.
    pub tunnels: Vec<Tunnel>,
    /// Connections of this host to keep; with files, all are kept.
    pub local: LocalEnds,
    /// Memory limit for the tracking of connections.
    pub max_memory: MaxMemory,
    /// Ends reading early.
    pub halt: Halt,
}

/// Addresses and ports of the capturing host, and the direction of the connections to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalEnds {
    /// Direction to keep.
    pub direction: Direction,
    /// The addresses of this host.
    pub addresses: Vec<std::net::IpAddr>,
    /// The ports, of those that are captured, that something on this host listens on.
    pub served: Vec<u16>,
}

/// Direction of the connections to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// All, but for what this host sends to a port elsewhere on which it listens itself: a proxy's second leg.
    #[default]
    Auto,
    /// Connections to this host.
    In,
    /// Connections from this host to others.
    Out,
    /// All.
    Both,
}

impl std::str::FromStr for Direction {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        match typed {
            "in" => Ok(Self::In),
            "out" => Ok(Self::Out),
            "both" => Ok(Self::Both),
            _ => Err(format!("`{typed}` is no direction; write in, out or both")),
        }
    }
}

/// Asks a source to end early: where it waits for bytes (a pipe), it stops waiting. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Halt(Arc<AtomicBool>);

impl Halt {
    /// Asks.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the halt was requested.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Not part of what is asked for: two settings are the same whoever may halt them.
impl PartialEq for Halt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Halt {}

/// A bound on memory, in bytes, over all that is held of connections that are being followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxMemory(pub usize);

impl Default for MaxMemory {
    /// 512 MiB.
    fn default() -> Self {
        Self(512 << 20)
    }
}

/// A link-layer type as capture files number it (`LINKTYPE_` values of the tcpdump project).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a protocol family in the byte order of the host that captured.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// ARCNET as BSD systems capture it.
    pub(crate) const ARCNET_BSD: Self = Self(7);
    /// PPP, with or without HDLC address and control.
    pub const PPP: Self = Self(9);
    /// FDDI.
    pub const FDDI: Self = Self(10);
    /// ATM with LLC and SNAP (RFC 2684).
    pub const ATM: Self = Self(100);
    /// IPv4 or IPv6, by the first four bits (also as BSD systems number it in files).
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const C_HDLC: Self = Self(104);
    /// IEEE 802.11.
    pub const IEEE_802_11: Self = Self(105);
    /// OpenBSD loopback: a protocol family in network byte order.
    pub const LOOP: Self = Self(108);
    /// OpenBSD's firewall log.
    pub const PFLOG: Self = Self(117);
    /// Linux cooked capture, version 1.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 with radio information before it.
    pub const RADIOTAP: Self = Self(127);
    /// ARCNET as Linux captures it.
    pub(crate) const ARCNET_LINUX: Self = Self(129);
    /// Ethernet as Juniper routers capture it, with a header of their own before it.
    pub const JUNIPER_ETHERNET: Self = Self(178);
    /// Per-packet information, which names the link type that follows.
    pub const PPI: Self = Self(192);
    /// IPv4.
    pub const IPV4: Self = Self(228);
    /// IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter log.
    pub const NFLOG: Self = Self(239);
    /// Link type of macOS for captures on several interfaces at once; its header names the link type that follows.
    pub const PKTAP: Self = Self(258);
    /// Ethernet with preamble, as IEEE 802.3br interleaves frames.
    pub const MPACKET: Self = Self(274);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// One captured frame, borrowed from its source.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Capture time.
    pub at: Timestamp,
    /// Link type: the format of its first bytes.
    pub link: LinkType,
    /// Its length on the wire in bytes; more than `data` holds where a snap length cut it.
    pub wire_len: u32,
    /// The bytes that were captured.
    pub data: &'a [u8],
}

/// Most frames that are handed on together. Past it the next ones come in the next few: so many are enough for a
/// processor to wait for the memory of all of them at once, and few enough to stay in its nearest caches.
pub const FEW: usize = 32;

/// A few frames, in their order.
pub type Batch<'a> = ArrayVec<Frame<'a>, FEW>;

/// Frames that a recorder says it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Dropped by the kernel or the recorder for want of buffer.
    pub kernel: u64,
    /// Dropped by the interface.
    pub interface: u64,
}

impl Dropped {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            kernel: self.kernel.saturating_add(other.kernel),
            interface: self.interface.saturating_add(other.interface),
        }
    }
}

/// Result of a poll of a source.
#[derive(Clone, Copy, Debug)]
pub enum Polled<'a> {
    /// The next frame.
    Frame(Frame<'a>),
    /// Nothing for now; what time it is, on the clock that frames are stamped by. Only a live source says so.
    Idle(Timestamp),
    /// Nothing ever more, for whatever reason (see [`Source::warnings`]).
    End,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePosition<'a> {
    /// The file's name, as it was given.
    pub file: &'a str,
    /// Which of its frames it is, counted from 1.
    pub frame: u64,
}

/// Frames, one after another.
pub trait Source {
    /// The next frame; `None` at the end, for whatever reason (see [`Source::warnings`]). A live source waits for one.
    fn next(&mut self) -> Option<Frame<'_>>;

    /// The next frame, with those after it that are there already: no frame waits for another one. None at the end,
    /// as with [`Source::next`].
    fn next_batch(&mut self) -> Batch<'_> {
        self.next().into_iter().collect()
    }

    /// The next frame, or the news that there is none within some milliseconds: so that whoever reads a live source can
    /// look up from it, and what waits for time to pass does not wait for a frame.
    fn poll(&mut self) -> Polled<'_> {
        self.next().map_or(Polled::End, Polled::Frame)
    }

    /// Returns warnings for people: a file cut mid-record, a block that cannot be read. Frames read before that remain
    /// valid.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The inputs that could not be read to their end, in the same words as in [`Source::warnings`].
    fn unread(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns whether the next frame has to be waited for, as far as is known without waiting.
    fn waits(&self) -> bool {
        false
    }

    /// Where the frame stands that was handed out last; `None` where it is of no file.
    fn position(&self) -> Option<FramePosition<'_>> {
        None
    }

    /// Returns the number of frames that never reached this source, as far as it knows.
    fn dropped(&self) -> Dropped {
        Dropped::default()
    }

    /// Returns the largest share of connections that the kernel let through so far, from 0 to 1; `None` where all were let
    /// through, at any time.
    fn kernel_share(&self) -> Option<f64> {
        None
    }

    /// Returns the fraction of the source that was read, from 0 to 1; `None` where that is unknown (standard input).
    fn progress(&self) -> Option<f64> {
        None
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next(&mut self) -> Option<Frame<'_>> {
        (**self).next()
    }

    fn next_batch(&mut self) -> Batch<'_> {
        (**self).next_batch()
    }

    fn poll(&mut self) -> Polled<'_> {
        (**self).poll()
    }

    fn warnings(&self) -> Vec<String> {
        (**self).warnings()
    }

    fn unread(&self) -> Vec<String> {
        (**self).unread()
    }

    fn waits(&self) -> bool {
        (**self).waits()
    }

    fn position(&self) -> Option<FramePosition<'_>> {
        (**self).position()
    }

    fn dropped(&self) -> Dropped {
        (**self).dropped()
    }

    fn progress(&self) -> Option<f64> {
        (**self).progress()
    }
}

/// Opens every file of `settings` and merges them by time.
///
/// # Errors
///
/// Each file that cannot be opened, or is no capture.
pub fn open(settings: &Settings) -> Result<Box<dyn Source + Send>, Vec<CaptureError>> {
    let mut pieces = Pieces::default();
    let mut errors = Vec::new();
    for file in &settings.files {
        match OpenedInput::open(file, settings).and_then(FileSource::of) {
            Ok(source) => pieces.add(source),
            Err(error) => errors.extend(pieces.leave_out(error)),
        }
    }
    if let Some(expression) = &settings.bpf
        && let Err(error) = BpfFilter::new(expression)
    {
        errors.push(error);
    }
    let pieces = pieces.known(&mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(match pieces.only() {
        Ok(only) => only,
        Err(pieces) => Box::new(Merged::of(pieces)),
    })
}

/// Returns whether `file` is the name for standard input, `-`.
#[must_use]
pub(crate) fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}
