//! What a guard or a ramp of one replayer has decided for all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::replay::guard::GuardState;

/// How all replayers treat their targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetDecision {
    /// Rises with each one.
    pub number: u64,
    /// The member that decided.
    pub by: String,
    /// Its host and process, for people.
    pub host: String,
    /// The step of the ramp, from 1; `None` where there is none.
    pub step: Option<usize>,
    /// Why the ramp is there, in words for people.
    pub step_reason: String,
    /// What each guard lets in, by the URL of its target.
    pub guards: BTreeMap<String, GuardDecision>,
}

/// What the guard of one target lets in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardDecision {
    /// Its state.
    pub state: GuardState,
    /// The share that it lets in.
    pub share: f64,
    /// How often it found its target past its limits.
    pub trips: u64,
    /// Why, in words for people.
    pub reason: String,
}
