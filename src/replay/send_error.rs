//! Errors of a send, with words that help a person to repair the cause.

use std::borrow::Cow;
use std::fmt;

use crate::exchange::{FailureKind, Outcome, Shed};

/// Longest text of a [`Reason`]'s example, in characters; the rest of it is cut.
const MAX_EXAMPLE: usize = 160;

/// Reason that a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The target, or the way to it, failed.
    Failed {
        /// Kind of failure.
        kind: FailureKind,
        /// Reason, where it is known.
        reason: Option<Box<Reason>>,
    },
    /// This machine could not send it: its limits are not the target's fault.
    Shed(Shed),
}

impl SendError {
    /// A failure for this reason.
    #[must_use]
    pub fn failed(kind: FailureKind, reason: Reason) -> Self {
        Self::Failed { kind, reason: Some(Box::new(reason)) }
    }

    /// Returns the kind of failure, if the target failed.
    #[must_use]
    pub const fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Failed { kind, .. } => Some(*kind),
            Self::Shed(_) => None,
        }
    }

    /// The outcome of the delivery, and its reason.
    #[must_use]
    pub(crate) fn into_outcome(self) -> (Outcome, Option<Box<Reason>>) {
        match self {
            Self::Failed { kind, reason } => (Outcome::Failed(kind), reason),
            Self::Shed(place) => (Outcome::Shed(place), None),
        }
    }
}

impl From<FailureKind> for SendError {
    fn from(kind: FailureKind) -> Self {
        Self::Failed { kind, reason: None }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { kind, reason: None } => f.write_str(kind.key()),
            Self::Failed { kind, reason: Some(reason) } => write!(f, "{}: {reason}", kind.key()),
            Self::Shed(place) => write!(f, "shed: {}", place.key()),
        }
    }
}

/// A reason in words for people: failures are counted by `what`, and shown with the first example of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Description of the failure; the same for every failure of its kind.
    pub what: Cow<'static, str>,
    /// The particulars of this one.
    pub example: Option<String>,
}

impl Reason {
    /// A reason that needs no particulars.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self { what: Cow::Borrowed(what), example: None }
    }

    /// The same with particulars, which are cut where they are long.
    #[must_use]
    pub fn with(self, example: impl fmt::Display) -> Self {
        let example = example.to_string().chars().filter(|c| !c.is_control()).take(MAX_EXAMPLE).collect();
        Self { example: Some(example), ..self }
    }
}

/// A number as people read it.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b',')).unwrap_or(digits)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.example.iter().try_for_each(|example| write!(f, ": {example}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_has_no_control_characters() {
        let reason = Reason::new("no").with(format!("\u{1b}[31m{}", "x".repeat(1000)));
        let text = reason.to_string();
        assert!(text.starts_with("no: [31mxx") && text.chars().count() == 4 + MAX_EXAMPLE, "{text}");
    }

    #[test]
    fn what_this_machine_lacks_is_no_failure_of_the_target() {
        let (outcome, reason) = SendError::Shed(Shed::OpenFiles).into_outcome();
        assert_eq!((outcome.key(), outcome.detail(), reason), ("shed", Some("open_files"), None));
    }
}
