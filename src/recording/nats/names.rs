//! What things are called in JetStream, and what stands in the header of a batch.

use std::fmt;

/// Name of the header of a batch.
pub(super) const HEADER: &str = "Shadowtap";

/// Connections of a node are numbered from here times its number on, so that no two of a recording have the same number.
pub(super) const CONNECTIONS_PER_NODE: u64 = 100_000_000_000;
/// Most nodes of a recording, each start of one counted: their connections have to fit below those that are made up.
pub(super) const MAX_NODES: u32 = 2_800;

/// The stream, and the bucket, of a recording.
pub(super) fn stream(recording: &str) -> String {
    format!("shadowtap-{recording}")
}

/// The subject of a partition.
pub(super) fn partition(recording: &str, partition: u16) -> String {
    format!("shadowtap.{recording}.b.{partition}")
}

/// The subjects of all partitions.
pub(super) fn partitions(recording: &str) -> String {
    format!("shadowtap.{recording}.b.*")
}

/// The key of what a recording is.
pub(super) const META: &str = "meta";

/// The key of a node.
pub(super) fn node(number: u32) -> String {
    format!("n.{number}")
}

/// The key of a node's summary.
pub(super) fn node_summary(number: u32) -> String {
    format!("ns.{number}")
}

/// The key of a partition in a run.
pub(super) fn run_partition(run: &str, partition: u16) -> String {
    format!("r.{run}.p.{partition}")
}

/// The key of a member of a run.
pub(super) fn run_member(run: &str, member: &str) -> String {
    format!("r.{run}.m.{member}")
}

/// The key of where the schedule of a run begins.
pub(super) fn run_zero(run: &str) -> String {
    format!("r.{run}.zero")
}

/// The key of what people have ordered in a run.
pub(super) fn run_orders(run: &str) -> String {
    format!("r.{run}.orders")
}

/// The key of what guards and ramps have decided for all members of a run.
pub(super) fn run_decision(run: &str) -> String {
    format!("r.{run}.decision")
}

/// The key of what a member came to.
pub(super) fn run_summary(run: &str, member: &str) -> String {
    format!("r.{run}.s.{member}")
}

/// Facts about a batch, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// The node.
    pub(super) node: u32,
    /// Its number among those of the node in this partition, from 0.
    pub(super) batch: u64,
    /// Requests of the node in this partition before it.
    pub(super) first: u64,
    /// Requests in it.
    pub(super) requests: u32,
    /// Which piece of it this is, from 0.
    pub(super) piece: u32,
    /// How many pieces it has.
    pub(super) pieces: u32,
}

impl fmt::Display for BatchHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, batch, first, requests, piece, pieces } = self;
        write!(f, "1 {node} {batch} {first} {requests} {piece} {pieces}")
    }
}

impl BatchHeader {
    /// Reads a header; `None` where it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some("1") {
            return None;
        }
        let header = Self {
            node: words.next()?.parse().ok().filter(|node| *node < MAX_NODES)?,
            batch: words.next()?.parse().ok()?,
            first: words.next()?.parse().ok()?,
            requests: words.next()?.parse().ok()?,
            piece: words.next()?.parse().ok()?,
            pieces: words.next()?.parse().ok()?,
        };
        (words.next().is_none() && header.piece < header.pieces).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_other_is() {
        let header = BatchHeader { node: 3, batch: 7, first: 120, requests: 19, piece: 1, pieces: 2 };
        assert_eq!(BatchHeader::read(&header.to_string()), Some(header));
        for wrong in ["", "1", "2 3 7 120 19 1 2", "1 3 7 120 19 2 2", "1 3 7 120 19 1 2 9", "1 99999 0 0 0 0 1"] {
            assert_eq!(BatchHeader::read(wrong), None, "{wrong}");
        }
    }
}
