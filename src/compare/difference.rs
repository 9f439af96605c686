//! What differs between two responses.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Unknown;

/// One difference between two responses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Part that differs: `status`, `header` or `body`.
    #[serde(rename = "in")]
    pub place: DifferencePart,
    /// Path within the part: a header's name in lower case, a path such as `$.items[3].id`, `line 7`; empty for the
    /// whole.
    pub path: String,
    /// Kind of difference; omitted for a changed value.
    #[serde(default, skip_serializing_if = "DifferenceKind::is_value")]
    pub kind: DifferenceKind,
    /// Value in production's response; null where it is missing there.
    pub production: Value,
    /// Value in the target's response; null where it is missing there.
    pub shadow: Value,
}

impl Difference {
    /// About how many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.path.len() + held(&self.production) + held(&self.shadow)
    }
}

/// About how many bytes a value holds beside itself.
fn held(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + held(item)).sum(),
        Value::Object(items) => items.iter().map(|(name, item)| name.len() + 2 * size_of::<Value>() + held(item)).sum(),
    }
}

/// Part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferencePart {
    /// The status.
    Status,
    /// The header lines.
    Header,
    /// The body.
    Body,
}

impl DifferencePart {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Header => "header",
            Self::Body => "body",
        }
    }
}

/// Kind of difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The values differ.
    #[default]
    Value,
    /// Production has it, the target has not.
    Missing,
    /// The target has it, production has not.
    Extra,
    /// The values are of different types.
    Type,
    /// The same elements stand in another order.
    Order,
    /// A bound was met: there are more differences than are listed.
    More,
}

impl DifferenceKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
    fn is_value(&self) -> bool {
        *self == Self::Value
    }
}

/// Result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDiff {
    /// Differences: status first, then headers, then the body.
    pub differences: Vec<Difference>,
    /// Reason why it is not known whether the bodies differ, if so.
    pub body_unknown: Option<Unknown>,
}

impl ResponseDiff {
    /// About how many bytes its differences hold.
    pub(crate) fn weight(&self) -> usize {
        self.differences.iter().map(Difference::weight).sum()
    }

    /// Returns whether this part of the responses differs.
    #[must_use]
    pub fn has(&self, place: DifferencePart) -> bool {
        self.differences.iter().any(|difference| difference.place == place)
    }
}
