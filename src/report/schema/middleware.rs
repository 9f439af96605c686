//! The block `middleware` of the summary: what external processes did besides giving requests back.

use serde::{Deserialize, Serialize};

/// Counts of external processes, other than requests given back. The results of the requests are in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MiddlewareCounts {
    /// Requests that they made up, second echoes included; each counts as seen.
    pub made_up: u64,
    /// Echoes that came after their time was up, and went no further.
    pub late: u64,
    /// Lines that are no messages.
    pub garbage: u64,
    /// Messages that break a rule of HTTP, and went no further.
    pub malformed: u64,
    /// Responses that were not sent to the processes, for want of room or because not all of them was captured.
    pub untold: u64,
    /// Number of restarts of a process.
    pub restarts: u64,
}
