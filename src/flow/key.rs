//! The key of a connection: both of its ends.

use std::hash::{Hash, Hasher};

use super::Side;
use crate::decode::{Endpoint, Segment};

/// Both ends of a connection, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowKey {
    low: [u64; 2],
    high: [u64; 2],
    ports: [u16; 2],
}

/// As numbers: arrays would be hashed with their lengths.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low_port, high_port] = self.ports;
        self.low.into_iter().chain(self.high).for_each(|half| state.write_u64(half));
        state.write_u32(u32::from(low_port) << 16 | u32::from(high_port));
    }
}

impl FlowKey {
    /// The key of a segment's connection, and the side that sent it.
    pub(super) fn of(segment: &Segment<'_>) -> (Self, Side) {
        let (source, destination) = (segment.source, segment.destination);
        if source <= destination {
            (Self::between(source, destination), Side::Low)
        } else {
            (Self::between(destination, source), Side::High)
        }
    }

    pub(super) const fn between(low: Endpoint, high: Endpoint) -> Self {
        Self { low: low.halves(), high: high.halves(), ports: [low.port, high.port] }
    }

    /// The ends, the lower one first.
    pub(super) const fn ends(&self) -> [Endpoint; 2] {
        let [low, high] = self.ports;
        [Endpoint::of_halves(self.low, low), Endpoint::of_halves(self.high, high)]
    }
}
