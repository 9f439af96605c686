//! Where frames come from: capture files, standard input, memory.
//!
//! A frame leaves here with its time, its link type and as many of its bytes as were captured. Nothing is parsed
//! here beyond the container that frames are stored in.

use std::path::PathBuf;

use crate::exchange::Timestamp;

/// What to read and which frames of it count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Capture files, merged by time; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// A filter in libpcap's language.
    pub bpf: Option<String>,
    /// TCP ports of servers; either end of a connection may have one. Empty: every port.
    pub ports: Vec<u16>,
}

/// A link-layer type as capture files number it (`LINKTYPE_` values of the tcpdump project).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

/// One captured frame, borrowed from its source.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub at: Timestamp,
    /// How its first bytes are to be read.
    pub link: LinkType,
    /// Its length on the wire in bytes; more than `data` holds where a snap length cut it.
    pub wire_len: u32,
    /// The bytes that were captured.
    pub data: &'a [u8],
}

/// Frames, one after another.
pub trait Source {
    /// The next frame; `None` at the end, for whatever reason (see [`Source::trouble`]).
    fn next(&mut self) -> Option<Frame<'_>>;

    /// What went wrong on the way, in words for people: a file cut mid-record, a block that cannot be read.
    /// What was read before it stands.
    fn trouble(&self) -> Vec<String> {
        Vec::new()
    }

    /// How far the source has been read, from 0 to 1; `None` where that is unknown (standard input, compressed).
    fn progress(&self) -> Option<f64> {
        None
    }
}
