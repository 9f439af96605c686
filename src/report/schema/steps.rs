//! The block `steps` of the summary: what changed the share on the way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::middleware::Share;

/// One change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RampStep {
    /// Time of the change: wall time, UTC, RFC 3339 with nanoseconds.
    pub at: String,
    /// The target whose guard it was; `None` where the change goes for all.
    pub target: Option<String>,
    /// Cause of the change.
    pub what: StepCause,
    /// The share before, from 0 to 1: of a guard, of what the sample lets in for its target; else of the sample.
    pub from: f64,
    /// The share after.
    pub to: f64,
    /// Reason, in words for people.
    pub reason: String,
}

/// Cause of a change of the share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepCause {
    /// The ramp.
    Ramp,
    /// The guard of a target.
    Guard,
    /// A dependency whose number is not known any more, or is again: the share stays.
    Dependency,
    /// A person.
    #[default]
    Control,
}

impl StepCause {
    /// Returns whether it turned the share of the sample, for all targets.
    #[must_use]
    pub(crate) const fn is_of_sample(self) -> bool {
        !matches!(self, Self::Guard | Self::Dependency)
    }
}

impl fmt::Display for StepCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ramp => "ramp",
            Self::Guard => "guard",
            Self::Dependency => "dependency",
            Self::Control => "control",
        })
    }
}

/// As a line of the log, without the time.
impl fmt::Display for RampStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(target) = &self.target {
            write!(f, " of {target}")?;
        }
        let (from, to) = (Share(self.from).rounded(), Share(self.to).rounded());
        if from == to {
            write!(f, ": {to}")?;
        } else {
            write!(f, ": {from} -> {to}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
