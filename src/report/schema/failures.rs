//! Reasons of failed deliveries: the block `failures` of a target, and `desynchronised`.

use serde::{Deserialize, Serialize};

/// One reason for which deliveries failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureReason {
    /// The kind, a key of `failed`.
    pub kind: String,
    /// The reason in words for people, with the particulars of the first failure.
    pub reason: String,
    /// Number of deliveries that failed for it.
    pub count: u64,
    /// The first request that did.
    pub first: String,
}

/// Responses that came without a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DesynchronisedSummary {
    /// Deliveries that failed for it (`desynchronised`): whose response came is not known, and none is compared.
    pub deliveries: u64,
    /// Connections that were closed for it.
    pub connections: u64,
    /// Number of them on which bytes came before any request had been sent.
    pub before_a_request: u64,
    /// Deliveries on those connections before, whose responses had been taken for theirs at first.
    pub earlier: u64,
    /// How many of those were taken back, and are among `deliveries`. The others stand: they lie too far back.
    #[serde(default)]
    pub taken_back: u64,
    /// The first request that it is known of.
    pub first: Option<String>,
}
