//! What became of each demand on the run (`--fail-if`).

use serde::{Deserialize, Serialize};

/// A demand on the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateResult {
    /// The demand, as typed.
    pub gate: String,
    /// Measured value: a number, a share from 0 to 1, or microseconds, as in the threshold; at the worst of its
    /// targets.
    pub value: f64,
    /// True when the threshold held.
    pub held: bool,
    /// Number of samples it was measured on.
    pub samples: u64,
    /// The same as `held`, with the reason where it did not.
    #[serde(default)]
    pub state: GateState,
    /// Largest permitted value, in the unit of `value`.
    #[serde(default)]
    pub limit: f64,
    /// Number of samples needed for it to hold.
    #[serde(default)]
    pub needed: u64,
    /// The URL of the target that it was measured at.
    #[serde(default)]
    pub target: Option<String>,
    /// Reason that it held or did not, in words for people.
    #[serde(default)]
    pub reason: String,
}

/// Result of a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateState {
    /// It held.
    #[default]
    Held,
    /// The measured value is past the limit.
    Failed,
    /// It was measured on too few samples to hold.
    TooFew,
    /// What it measures is not known in full: it cannot hold.
    Unknown,
}
