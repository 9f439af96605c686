//! What is sent beside the deliveries to targets, to learn what is noise: the blocks `baseline` and `self_check`.

use serde::{Deserialize, Serialize};

use super::target::TargetSummary;

/// The stack that is known to be good, held against production to learn what is noise. As a target's block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its URL.
    pub url: String,
    /// What became of what was sent to it.
    #[serde(flatten)]
    pub target: TargetSummary,
}

/// Requests that were sent to a target a second time, to learn what is noise: `offered` = `in_flight` + `sent` +
/// `failed` + `shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfChecks {
    /// Requests that were to be sent a second time.
    pub offered: u64,
    /// Those that did not end before the run did.
    pub in_flight: u64,
    /// Answered, whatever the status.
    pub sent: u64,
    /// Not answered.
    pub failed: u64,
    /// Kept back, or thrown away for want of room.
    pub shed: u64,
    /// Those whose both answers are known.
    pub compared: u64,
    /// Those whose answers differ.
    pub differ: u64,
}
