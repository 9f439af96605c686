//! Counters of the flow table.

use super::message_start::begins_message;

/// Counters of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Connections seen.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Most that were open at once.
    pub peak_open: u64,
    /// Payload bytes seen before.
    pub retransmitted_bytes: u64,
    /// Holes that were given up.
    pub gaps: u64,
    /// Bytes in them.
    pub gap_bytes: u64,
    /// Connections given up for want of room.
    pub evicted_capacity: u64,
    /// Holes given up because what waited behind them took too much memory.
    pub evicted_waiting: u64,
    /// Connections given up after a long silence.
    pub evicted_idle: u64,
    /// Segments dropped because their numbers cannot be right.
    pub implausible_segments: u64,
    /// Payload bytes that belong to no place of a connection, nor to a new one, so that nobody would have taken them; and
    /// those that came after they were given up.
    pub unplaced_bytes: u64,
    /// Requests that began in them.
    pub unplaced_requests: u64,
    /// Segments whose checksum is wrong, in a direction whose checksums are right.
    pub bad_checksums: u64,
    /// Times the capture's clock was set, or a frame stamped wrongly.
    pub clock_steps: u64,
    /// Connections of which only one direction was captured, and bytes waited for the other one.
    pub one_way: u64,
    /// Connections that ended and had carried bytes.
    pub carried: u64,
    /// Of those, the ones of which no segment of one side was captured.
    pub one_sided: u64,
    /// Of the gaps, those that the capture's snap length made.
    pub cuts: u64,
    /// Bytes in them.
    pub cut_bytes: u64,
}

impl FlowStats {
    /// Counts bytes that have no place.
    pub(super) fn note_unplaced(&mut self, bytes: &[u8], missing: u32) {
        self.unplaced_bytes += bytes.len() as u64 + u64::from(missing);
        self.unplaced_requests += u64::from(begins_message(bytes) && !bytes.starts_with(b"HTTP/"));
    }
}
