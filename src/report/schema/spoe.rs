//! What HAProxy told by its SPOE.

use serde::{Deserialize, Serialize};

use crate::report::units::counted;

/// Counts of what HAProxy told: `acknowledged` = what was read + `shed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpoeSummary {
    /// Connections of HAProxy, but for health checks.
    pub connections: u64,
    /// Health checks.
    pub health_checks: u64,
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// Events of them that were shed: they came faster than they could be read.
    pub shed: u64,
    /// Requests.
    pub requests: u64,
    /// Requests of them that came in part, and were not sent.
    pub cut: u64,
    /// Responses.
    pub responses: u64,
    /// Responses whose request is not known.
    pub orphans: u64,
    /// Requests without an id, whose response cannot be known.
    pub without_id: u64,
    /// Messages that cannot be read.
    pub unread: u64,
    /// Connections that were ended because what came was not well formed.
    pub malformed: u64,
    /// Requests that HAProxy counted, and of which nothing was read: it gave up telling of them, or they are among `shed`.
    #[serde(default)]
    pub missed: u64,
}

impl SpoeSummary {
    /// Says why HAProxy told of no request, and what helps.
    #[must_use]
    pub fn silence(&self) -> String {
        match self.connections {
            0 => "HAProxy did not connect: is its backend for SPOE up, and the filter in its frontend?".to_owned(),
            count => format!(
                "HAProxy told of no request ({}): has its frontend any, and does the filter's condition hold?",
                counted(count, "connection")
            ),
        }
    }
}
