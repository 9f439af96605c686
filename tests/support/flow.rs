//! TCP segments for tests of the engine below the frames: two ends, numbered as their sides need it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use shadowtap::decode::{Endpoint, Flags, Segment};
use shadowtap::exchange::Timestamp;
use shadowtap::flow::Side;

/// The client has the lower address.
pub(crate) const CLIENT: Side = Side::Low;
pub(crate) const SERVER: Side = Side::High;

pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const FIN: Flags = Flags::FIN;
pub(crate) const ACK: Flags = Flags::ACK;

/// A segment that owns its payload.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) side: Side,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) payload: Vec<u8>,
    pub(crate) missing: u32,
}

impl Packet {
    pub(crate) fn new(side: Side, seq: u32, ack: u32, flags: Flags, payload: impl Into<Vec<u8>>) -> Self {
        Self { side, seq, ack, flags, payload: payload.into(), missing: 0 }
    }

    /// The segment, of the connection that `port` numbers, captured `micros` after the epoch.
    pub(crate) fn segment(&self, port: u16, micros: u64) -> Segment<'_> {
        let ends = ends(port);
        Segment {
            at: Timestamp::from_nanos(micros * 1000),
            source: *self.side.of(&ends),
            destination: *self.side.other().of(&ends),
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            payload: &self.payload,
            missing: self.missing,
            tag: 0,
            header: &[],
        }
    }
}

/// Both ends of a connection.
pub(crate) fn ends(port: u16) -> [Endpoint; 2] {
    [Endpoint::new(1, port), Endpoint::new(2, 80)]
}
