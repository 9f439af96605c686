//! Segments to byte streams of connections: in order, without duplicates, and with every gap reported.
//!
//! Nothing here interprets the bytes. A [`Chunk`] is final: bytes come once, in order of the stream. Between the two
//! sides of a connection they come in an order that both could have seen: a response never comes before the bytes that
//! its sender had acknowledged.

mod challenge;
mod checksum_trust;
mod clock;
mod connection;
mod given_up;
mod half;
mod index;
mod key;
mod message_start;
mod out_of_order;
mod seq;
mod sightings;
mod slab;
mod stats;
mod table;
mod time_wait;

pub(crate) use clock::{FALSE_STAMP, Stretch};
pub(crate) use half::ORIGIN as FIRST_OFFSET;
pub(crate) use message_start::past_blank_lines;
pub(crate) use seq::Seq;
pub(crate) use sightings::{SightingStats, Sightings, Verdict};
pub(crate) use slab::Slab;
pub use stats::FlowStats;
pub use table::{CONNECTION_COST, FlowLimits, FlowLookup, FlowTable};

use crate::decode::Endpoint;
use crate::exchange::{Close, ConnectionId, Timestamp};

/// One of the two ends of a connection, by the order of their addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end with the lower address and port.
    Low,
    /// The other one.
    High,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Low, Self::High];

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }

    /// This side's place in a pair.
    pub fn of<T>(self, pair: &[T; 2]) -> &T {
        let [low, high] = pair;
        match self {
            Self::Low => low,
            Self::High => high,
        }
    }

    /// This side's place in a pair.
    pub fn of_mut<T>(self, pair: &mut [T; 2]) -> &mut T {
        let [low, high] = pair;
        match self {
            Self::Low => low,
            Self::High => high,
        }
    }
}

/// The table's place for a connection: small, dense, and used again once the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Reason why bytes of a stream are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Segments were lost in capture.
    Gap,
    /// A frame was cut by the snap length.
    Cut,
    /// The capture began after the connection did: unknown bytes came before.
    Joined,
}

/// Events of a connection in the flow table, in order.
#[derive(Clone, Copy, Debug)]
pub enum Chunk<'a> {
    /// A connection's first segment.
    Opened {
        /// Its place from now on.
        slot: Slot,
        /// Its number.
        connection: ConnectionId,
        /// Capture time.
        at: Timestamp,
        /// Both ends, [`Side::Low`] first.
        ends: [Endpoint; 2],
        /// Side of the server; the flag is true if a handshake shows it, and false for a guess by port.
        server: Option<(Side, bool)>,
    },
    /// The next bytes of one side's stream.
    Data {
        /// The connection.
        slot: Slot,
        /// Sender.
        side: Side,
        /// Capture time.
        at: Timestamp,
        /// Stretch of the capture's clock to which the time belongs.
        stretch: Stretch,
        /// Offset in the stream; only differences have a meaning.
        offset: u64,
        /// Offset up to which the sender had received the other side's stream.
        received: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Bytes of one side's stream that will not come.
    Gap {
        /// The connection.
        slot: Slot,
        /// Sender of the stream.
        side: Side,
        /// Length in bytes; 0 where unknown ([`GapReason::Joined`]).
        len: u64,
        /// Reason.
        why: GapReason,
    },
    /// One side sent FIN, and every byte before it was emitted.
    End {
        /// The connection.
        slot: Slot,
        /// Sender of the stream.
        side: Side,
        /// Time.
        at: Timestamp,
    },
    /// Last event of this connection; its slot may be reused.
    Closed {
        /// The connection.
        slot: Slot,
        /// Time.
        at: Timestamp,
        /// By what.
        how: Close,
    },
}
