//! What becomes of a segment, and what is counted of it.

use super::handshakes::HeldSegment;
use crate::decode::Segment;

/// Counters of further sightings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SightingStats {
    /// Further sightings of connections.
    pub connections: u64,
    /// Segments of them.
    pub segments: u64,
    /// Requests that began in these.
    pub requests: u64,
}

/// Result for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on as it is.
    Passes,
    /// It is held: `Sightings::released` returns it later.
    Held,
    /// It is of a further sighting: `Sightings::as_first` returns what goes on of it.
    Copy,
}

/// A segment that was held.
#[derive(Debug)]
pub(crate) struct Released {
    pub(super) held: HeldSegment,
    pub(super) is_copy: bool,
}

impl Released {
    /// The segment.
    #[must_use]
    pub(crate) fn segment(&self) -> Segment<'_> {
        self.held.segment()
    }

    /// Returns whether it is of a further sighting; else it goes on as it is.
    #[must_use]
    pub(crate) const fn is_copy(&self) -> bool {
        self.is_copy
    }
}
