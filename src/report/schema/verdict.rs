//! The block `verdict` of the summary: what the run came to, in a word and at most five sentences.

use serde::{Deserialize, Serialize};

/// Verdict on a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// That of the worst target.
    pub word: VerdictWord,
    /// How bad it is, failed gates included.
    pub severity: Severity,
    /// What an engineer has to know, the worst first: `MAX_SENTENCES` at most.
    pub sentences: Vec<VerdictSentence>,
    /// Findings that have no sentence.
    #[serde(default)]
    pub more: u64,
    /// Each target, the worst first.
    #[serde(default)]
    pub targets: Vec<TargetVerdict>,
}

/// Most sentences of a verdict.
pub(crate) const MAX_SENTENCES: usize = 5;

/// A run in a word. The order is from worst to best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VerdictWord {
    /// No response came from the target.
    Failed,
    /// No request was sent there.
    NothingSent,
    /// Responses differ from production's, or did not come.
    Different,
    /// Responses are the same, and take longer.
    Slower,
    /// No response could be compared.
    NotCompared,
    /// Responses are the same, and take as long.
    Same,
    /// Requests were recorded, and nothing was sent.
    Recorded,
    /// Requests were seen, and nothing was sent.
    #[default]
    Seen,
    /// No request came.
    NothingSeen,
}

/// How a piece of a report is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// As one hopes.
    #[default]
    Good,
    /// Worth a look.
    Odd,
    /// Not as it should be.
    Bad,
}

/// A target in a word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetVerdict {
    /// Its URL.
    pub target: String,
    /// What came of it.
    pub word: VerdictWord,
    /// How bad it is.
    pub severity: Severity,
}

/// A sentence, and what it says as values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerdictSentence {
    /// What it is about.
    pub kind: FindingKind,
    /// The sentence.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
    /// The target's URL.
    #[serde(default)]
    pub target: Option<String>,
    /// The route, or that of several which meets it most often.
    #[serde(default)]
    pub route: Option<String>,
    /// Further routes with the same finding.
    #[serde(default)]
    pub more_routes: u64,
    /// Header name, field of the body, or percentile.
    #[serde(default)]
    pub path: String,
    /// How many it concerns.
    #[serde(default)]
    pub count: u64,
    /// Of how many.
    #[serde(default)]
    pub of: u64,
    /// Production's value: a status, microseconds, that of the first example.
    #[serde(default)]
    pub before: Option<String>,
    /// The target's.
    #[serde(default)]
    pub after: Option<String>,
}

/// What a sentence is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// A demand that did not hold.
    Gate,
    /// Requests without a response.
    Failed,
    /// Responses that go with no request.
    Desynchronised,
    /// Responses of another status.
    Status,
    /// Responses with another body.
    Body,
    /// Responses that take longer.
    Slower,
    /// Responses with another header.
    Header,
    /// A guard that held something back.
    Guard,
    /// Bodies that were not compared.
    Unknown,
    /// What is missing in the picture.
    Lost,
    /// That all is as it should be, or what there is to know otherwise.
    #[default]
    Note,
}

impl VerdictWord {
    /// As it heads a report.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Different => "DIFFERENT",
            Self::Slower => "SLOWER",
            Self::Same => "SAME",
            Self::Failed => "FAILED",
            Self::NotCompared => "NOT COMPARED",
            Self::NothingSent => "NOTHING SENT",
            Self::Recorded => "RECORDED",
            Self::Seen => "SEEN",
            Self::NothingSeen => "NOTHING SEEN",
        }
    }
}

impl Verdict {
    /// The word and the first sentence, in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let first = self.sentences.first().map(|sentence| format!(": {}", sentence.text)).unwrap_or_default();
        format!("{}{first}", self.word.text())
    }
}
