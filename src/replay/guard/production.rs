//! Conditions on production's own responses, in the language of guards: `production.5xx>2%/30s`.

use std::fmt;
use std::str::FromStr;

use tokio::time::Instant;

use super::super::spec::{SpecError, SpecPart};
use super::Observation;
use super::condition::{GuardCondition, SlidingWindow, WindowVerdict};

/// Example for error messages.
const EXAMPLE: &str = "production.5xx>2%/30s,production.p99>1s/30s";
/// What each condition begins with.
const SUBJECT: &str = "production.";
/// Most conditions.
const MAX_CONDITIONS: usize = 16;

/// Conditions of which any one has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductionConditions(Vec<GuardCondition>);

impl FromStr for ProductionConditions {
    type Err = SpecError;

    fn from_str(typed: &str) -> Result<Self, SpecError> {
        let mut conditions = Vec::new();
        for part in SpecPart::whole(typed).parts() {
            if conditions.len() == MAX_CONDITIONS {
                return Err(part.wrong(typed, format!("{MAX_CONDITIONS} conditions are the most"), EXAMPLE));
            }
            let Some(condition) = part.after(SUBJECT) else {
                let why = format!("`{}` does not begin with `{SUBJECT}`: nothing else is observed here", part.text);
                return Err(part.wrong(typed, why, EXAMPLE));
            };
            let read = GuardCondition::read(condition).map_err(|(place, why)| place.wrong(typed, why, EXAMPLE))?;
            conditions.push(read);
        }
        Ok(Self(conditions))
    }
}

/// As typed.
impl fmt::Display for ProductionConditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, condition) in self.0.iter().enumerate() {
            write!(f, "{}{SUBJECT}{condition}", if at > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Observes production, and says when a condition begins to hold.
#[derive(Debug)]
pub(crate) struct ProductionWatch {
    windows: Vec<SlidingWindow>,
    begun: Instant,
    /// A condition held at the last look.
    held: bool,
}

impl ProductionWatch {
    pub(crate) fn new(conditions: &ProductionConditions, at: Instant) -> Self {
        let windows = conditions.0.iter().map(|condition| SlidingWindow::new(*condition, at)).collect();
        Self { windows, begun: at, held: false }
    }

    /// Takes a response of production, or that there was none. Returns how a condition holds, where none did before.
    pub(crate) fn take(&mut self, at: Instant, sample: Observation) -> Option<String> {
        let (mut reason, mut is_well) = (None, true);
        for window in &mut self.windows {
            window.take(at, sample);
            match window.finding(at, self.begun) {
                WindowVerdict::Past(how) => {
                    reason.get_or_insert(how);
                }
                WindowVerdict::Good => {}
                // Too few responses say nothing, and what is near its limit is not over.
                WindowVerdict::Near | WindowVerdict::Unknown => is_well = false,
            }
        }
        let held = self.held;
        self.held = reason.is_some() || (held && !is_well);
        reason.filter(|_| !held).map(|how| format!("production: {how}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn conditions_are_read_and_printed() {
        for typed in
            ["production.5xx>2%/30s", "production.404>=10%/1m,production.p99>1s/30s", "production.errors>5%/10s"]
        {
            assert_eq!(typed.parse::<ProductionConditions>().unwrap().to_string(), typed);
        }
        for (typed, part) in [
            ("errors>5%/10s", "character 1: `errors>5%/10s` does not begin with `production.`"),
            ("production.5xx>2%", "over what time"),
            ("production.6xx>2%/1s", "nor a status"),
            ("production.5xx>2%/30s,target.5xx>1%/1s", "character 23"),
        ] {
            let error = typed.parse::<ProductionConditions>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("write such as 'production.5xx"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_that_a_condition_begins_to_hold() {
        let conditions = "production.5xx>10%/10s".parse().unwrap();
        let mut watch = ProductionWatch::new(&conditions, Instant::now());
        let sample = |status| Observation { status: Some(status), ..Observation::default() };
        let mut told = Vec::new();
        for (seconds, status) in [(10, 200), (10, 503), (30, 200), (10, 500)] {
            for _ in 0..seconds * 10 {
                tokio::time::advance(Duration::from_millis(100)).await;
                told.extend(watch.take(Instant::now(), sample(status)));
            }
        }
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("production: 5xx ") && told[0].ends_with(" in 10s, more than 10%"), "{told:?}");
    }
}
