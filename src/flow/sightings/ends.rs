//! The ends of a connection, and whether two segments are as near in time as those of one.

use std::time::Duration;

use crate::decode::{Endpoint, Segment};
use crate::exchange::Timestamp;

/// Time after a segment within which another one with the same numbers is the same.
const TOGETHER: Duration = Duration::from_secs(1);

/// Both ends, the lower one first.
pub(super) type Ends = [Endpoint; 2];

/// A connection's client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
}

impl Way {
    /// The way of a segment that the client sent.
    pub(super) const fn of(segment: &Segment<'_>) -> Self {
        Self { client: segment.source, server: segment.destination }
    }

    /// The way of a segment that the server sent.
    pub(super) const fn back(segment: &Segment<'_>) -> Self {
        Self { client: segment.destination, server: segment.source }
    }

    pub(super) const fn between(client: [u64; 2], server: [u64; 2], [from, to]: [u16; 2]) -> Self {
        Self { client: Endpoint::of_halves(client, from), server: Endpoint::of_halves(server, to) }
    }

    pub(super) fn ends(&self) -> Ends {
        in_order(self.client, self.server)
    }
}

/// The ends of a segment's connection.
pub(super) fn ends(segment: &Segment<'_>) -> Ends {
    in_order(segment.source, segment.destination)
}

fn in_order(one: Endpoint, other: Endpoint) -> Ends {
    if one <= other { [one, other] } else { [other, one] }
}

/// Returns whether two times are within a second of each other, in either order: recorders may differ.
pub(super) fn is_together(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) <= TOGETHER
}
