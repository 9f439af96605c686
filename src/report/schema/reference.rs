//! Reference traffic, sent next to the deliveries to find noise: the blocks `baseline` and `self_check`.

use serde::{Deserialize, Serialize};

use super::target::TargetSummary;

/// The stack that is known to be good, held against production to learn what is noise. As a target's block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Baseline {
    /// Its URL.
    pub url: String,
    /// Results of the requests sent to it.
    #[serde(flatten)]
    pub target: TargetSummary,
}

/// Requests that were sent to a target a second time, to learn what is noise: `offered` = `in_flight` + `sent` +
/// `failed` + `shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SelfChecks {
    /// Requests that were to be sent a second time.
    pub offered: u64,
    /// Checks that did not end before the run did.
    pub in_flight: u64,
    /// Checks with a response, whatever the status.
    pub sent: u64,
    /// Checks without a response.
    pub failed: u64,
    /// Kept back, or thrown away for want of room.
    pub shed: u64,
    /// Checks with both responses known.
    pub compared: u64,
    /// Checks whose responses differ.
    pub differ: u64,
}
