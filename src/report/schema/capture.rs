//! The blocks of the summary that say what was captured: frames, reassembly, connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counts::{CountMap, is_zero};
use crate::replay::ShortenedGaps;

/// The ledger of frames: what was received was decoded or skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Frames {
    /// Frames that reached shadowtap.
    pub received: u64,
    /// Frames that the kernel dropped for want of buffer.
    pub kernel_dropped: u64,
    /// Frames that the interface dropped.
    pub interface_dropped: u64,
    /// Frames that yielded a TCP segment.
    pub decoded: u64,
    /// Frames that did not, by reason.
    pub skipped: CountMap,
    /// Times that the capture's clock was set, or a frame stamped wrongly: latencies across are not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_steps: u64,
    /// The frame at which the first of them was seen, counted from 1 over all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_step_at: Option<u64>,
    /// The file that this frame is of, and its number there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_step_in: Option<FileFrame>,
}

/// A frame of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileFrame {
    /// The file's name, as it was given.
    pub file: String,
    /// The frame's number in it, counted from 1.
    pub frame: u64,
}

/// Silences of the capture that were shortened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaxGap {
    /// The longest silence that is kept, in seconds.
    pub limit_s: f64,
    /// Longer ones, which were shortened to that.
    pub shortened: u64,
    /// How much shorter they are together, in seconds of the capture.
    pub left_out_s: f64,
}

impl MaxGap {
    /// What a schedule that keeps silences up to `longest` has shortened.
    #[must_use]
    pub fn new(longest: Duration, shortened: ShortenedGaps) -> Self {
        let ShortenedGaps { count, left_out } = shortened;
        Self { limit_s: longest.as_secs_f64(), shortened: count, left_out_s: left_out.as_secs_f64() }
    }
}

/// Counts of reassembly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tcp {
    /// Connections.
    pub connections: u64,
    /// Most that were open at once.
    pub peak_open: u64,
    /// Payload bytes that had been seen before.
    pub retransmitted_bytes: u64,
    /// Holes that were never filled.
    pub gaps: u64,
    /// Bytes missing in them.
    pub gap_bytes: u64,
    /// Entries evicted because of a limit, by limit.
    pub evicted: CountMap,
    /// Payload bytes that belong to no place of a connection, nor to a new one: their receiver drops them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unplaced_bytes: u64,
    /// Requests that began in them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unplaced_requests: u64,
    /// Segments whose checksum is wrong where the same side's checksums are right: their receivers drop them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bad_checksums: u64,
}

/// Counts of connections by protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Streams {
    /// HTTP/1.
    pub http1: u64,
    /// TLS: nothing can be read.
    pub tls: u64,
    /// HTTP/2 in the clear.
    pub http2: u64,
    /// HTTP/1 that turned into something else (CONNECT, Upgrade).
    pub upgraded: u64,
    /// Anything else.
    pub unknown: u64,
}
