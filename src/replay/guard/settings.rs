//! Settings of a guard: the conditions to watch, and the action when one is broken.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::super::spec::{SpecError, SpecPart};
use super::condition::GuardCondition;

/// Example of a guard, for error messages.
const EXAMPLE: &str = "errors>5%/10s,p99>800ms/30s";
/// Default condition of `shadow`: a target that fails every request.
const TOTAL: &str = "errors>=100%/30s";
/// Most conditions of one guard.
const MAX_CONDITIONS: usize = 16;

/// Conditions that a guard watches, and its action.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardSettings {
    /// Any of them broken is too much.
    pub conditions: Vec<GuardCondition>,
    /// Action when a condition is broken.
    pub action: GuardAction,
}

/// Action on a target that is past its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardAction {
    /// It gets what it got, and no more.
    Hold,
    /// It gets half of what it got, down to a trickle; a ramp goes back a step.
    #[default]
    StepDown,
    /// It gets a trickle.
    Pause,
    /// It gets nothing any more; when that goes for all targets, the run ends.
    Stop,
}

/// Error of a typed action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` does not say what to do past the limits; write step-down, hold, pause or stop")]
pub struct GuardActionError {
    /// Typed text.
    pub typed: String,
}

impl FromStr for GuardAction {
    type Err = GuardActionError;

    fn from_str(typed: &str) -> Result<Self, GuardActionError> {
        match typed {
            "hold" => Ok(Self::Hold),
            "step-down" => Ok(Self::StepDown),
            "pause" => Ok(Self::Pause),
            "stop" => Ok(Self::Stop),
            _ => Err(GuardActionError { typed: typed.to_owned() }),
        }
    }
}

impl GuardSettings {
    /// Returns the default guard of `shadow`: a target that fails every request for half a minute gets a trickle until
    /// it responds again.
    #[must_use]
    pub fn of_shadow() -> Self {
        let conditions = TOTAL.parse::<Self>().map(|settings| settings.conditions).unwrap_or_default();
        Self { conditions, action: GuardAction::Pause }
    }

    /// A guard that only hears words from outside.
    #[must_use]
    pub const fn deaf() -> Self {
        Self { conditions: Vec::new(), action: GuardAction::StepDown }
    }

    /// The longest time that a condition looks back.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        self.conditions.iter().map(|condition| condition.window).max()
    }

    /// The shortest time that a condition looks back.
    #[must_use]
    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.conditions.iter().map(|condition| condition.window).min()
    }
}

/// Conditions between commas: `errors>5%/10s,p99>800ms/30s`.
impl FromStr for GuardSettings {
    type Err = SpecError;

    fn from_str(typed: &str) -> Result<Self, SpecError> {
        let whole = SpecPart::whole(typed);
        let mut conditions = Vec::new();
        for part in whole.parts() {
            if conditions.len() == MAX_CONDITIONS {
                return Err(part.wrong(typed, format!("{MAX_CONDITIONS} conditions are the most"), EXAMPLE));
            }
            let read = GuardCondition::read(part).map_err(|(place, why)| place.wrong(typed, why, EXAMPLE))?;
            conditions.push(read);
        }
        Ok(Self { conditions, action: GuardAction::default() })
    }
}

/// As typed.
impl fmt::Display for GuardSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, condition) in self.conditions.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{condition}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_read_and_printed() {
        for typed in
            ["errors>5%/10s", "errors>=100%/30s", "p99>800ms/30s", "p99.9>1.5s/1m", "errors>0.5%/1h,p50>=10ms/500ms"]
        {
            assert_eq!(typed.parse::<GuardSettings>().unwrap().to_string(), typed);
        }
        for typed in ["p99_9>1.5s/1m", "p999>1.5s/1m"] {
            assert_eq!(typed.parse::<GuardSettings>().unwrap().to_string(), "p99.9>1.5s/1m");
        }
        for typed in ["5xx>2%/30s,503>=1%/1m", "429>0%/10s"] {
            assert_eq!(typed.parse::<GuardSettings>().unwrap().to_string(), typed);
        }
        let spaced: GuardSettings = " errors > 5% / 10s , p99 > 800ms / 30s ".parse().unwrap();
        assert_eq!(spaced.to_string(), "errors>5%/10s,p99>800ms/30s");
        assert_eq!(GuardSettings::of_shadow().to_string(), TOTAL);
    }

    #[track_caller]
    fn refused(typed: &str, at: usize, why: &str) {
        let error = typed.parse::<GuardSettings>().unwrap_err();
        assert_eq!((error.at, error.why.contains(why)), (at, true), "{error}");
        assert!(error.to_string().contains("write such as 'errors>5%/10s,p99>800ms/30s'"), "{error}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        refused("", 1, "has no `>`");
        refused("errors", 1, "has no `>`");
        refused("errors>5/10s", 8, "`5` is no share");
        refused("errors>5%", 8, "over what time");
        refused("errors>5%/10", 11, "`10` is no length of time");
        refused("errors>5%/10s,p99>800/30s", 19, "`800` is no length of time");
        refused("errors>5%/10s,p101>1s/30s", 15, "`p101` is neither errors nor a percentile");
        refused("6xx>1%/30s", 1, "nor a status such as 5xx");
        refused("+5xx>1%/30s", 1, "nor a status such as 5xx");
        refused("5xx>1/30s", 5, "is no share");
        refused("errors>5%/10s, mean>1s/30s", 16, "`mean` is neither");
        refused("errors>5%/10s,", 15, "has no `>`");
        refused("errors>101%/10s", 8, "`101%` is no share");
        refused("p99>1s/0s", 8, "between 1ms and a day");
        refused(&vec!["errors>5%/10s"; 17].join(","), 225, "16 conditions");
    }

    #[test]
    fn actions_are_read() {
        assert_eq!("step-down".parse(), Ok(GuardAction::StepDown));
        assert!(
            "halt".parse::<GuardAction>().unwrap_err().to_string().contains("write step-down, hold, pause or stop")
        );
    }
}
