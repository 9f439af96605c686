//! What spares a target that fails.

use serde::{Deserialize, Serialize};

/// What a guard lets in, of what the sample lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardState {
    /// Everything.
    #[default]
    Open,
    /// What it did before, and no more: a ramp waits.
    Holding,
    /// A part of it.
    Lowered,
    /// Nothing but a trickle that probes.
    Closed,
    /// Nothing, for good.
    Stopped,
}
