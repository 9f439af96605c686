//! The blocks `noise` and `fields` of the summary, and how much noise there is of each target.

use serde::{Deserialize, Serialize};

use crate::compare::DifferencePart;

/// Evidence that a field is not steady.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseSource {
    /// Production and the baseline differ in it.
    Baseline,
    /// Two responses of a target to one request differ in it.
    SelfCheck,
    /// Two responses of production to the same request differ in it.
    Repeats,
}

/// A field that is noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoiseRow {
    /// The route, as in `routes`.
    pub route: String,
    /// Part of the responses.
    #[serde(rename = "in")]
    pub place: DifferencePart,
    /// Header name, or field of the body with `[*]` for indices.
    pub path: String,
    /// The target's URL.
    pub target: String,
    /// Evidence for it.
    pub why: NoiseSource,
    /// Rates of differing, of all comparisons, from 0 to 1.
    pub rates: NoiseRates,
    /// Number of comparisons behind the rates.
    pub samples: NoiseSamples,
}

/// A field that differs and is no noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FieldRow {
    /// The route, as in `routes`.
    pub route: String,
    /// Part of the responses.
    #[serde(rename = "in")]
    pub place: DifferencePart,
    /// Header name, or field of the body with `[*]` for indices.
    pub path: String,
    /// The target's URL.
    pub target: String,
    /// Responses that differ in it.
    pub count: u64,
    /// Responses of the route that were compared.
    pub compared: u64,
}

/// Routes on which a target differs, and of which it is not known what is noise: next to nothing there was compared with itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnlearntNoise {
    /// The target's URL.
    pub target: String,
    /// Such routes.
    pub routes: u64,
    /// Responses on these that differ in headers or body.
    pub responses: u64,
}

/// Rates at which a field differs, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoiseRates {
    /// At the target, from production.
    pub shadow: f64,
    /// From itself.
    pub own: f64,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoiseSamples {
    /// Of the target with production.
    pub shadow: u64,
    /// Of it with itself.
    pub own: u64,
}

/// Responses that differ in nothing but noise, by the part that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NoiseOnlyCounts {
    /// In anything: they are the same but for noise.
    #[serde(default)]
    pub any: u64,
    /// In their status.
    pub status: u64,
    /// In their header lines.
    pub headers: u64,
    /// In their bodies.
    pub body: u64,
}

impl NoiseOnlyCounts {
    /// Returns whether there is no such response.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
