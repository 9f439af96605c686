//! What the flow table counts.

/// Counters of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
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
}
