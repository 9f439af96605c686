//! The block `kinds` of the summary: what kinds of difference there are, each with a few examples.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::counts::is_zero;

/// Groups of differences.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiffGroups {
    /// The kinds, the most frequent first.
    pub rows: Vec<DiffGroup>,
    /// Differences of kinds that have no row.
    pub left_out: u64,
}

/// One kind of difference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiffGroup {
    /// The target's URL.
    pub target: String,
    /// The route.
    pub route: String,
    /// Part of the response: `status`, `header` or `body`.
    #[serde(rename = "in")]
    pub place: String,
    /// Path within the part, with `[*]` for every index and `.*` for every id; empty for the whole.
    pub path: String,
    /// Kind of difference, where that is part of the group: `200 → 503`, `missing`, `extra`, `type`, `order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Number of differences.
    pub count: u64,
    /// Number of them that are noise: all or none, but for lines of text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noise: u64,
    /// The first of them.
    pub examples: Vec<DiffExample>,
}

/// One difference, to look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiffExample {
    /// The exchange.
    pub id: String,
    /// Capture time of its first byte.
    pub at: String,
    /// Path within the part, with indexes.
    pub path: String,
    /// Production's value there.
    pub production: Value,
    /// The target's value there.
    pub shadow: Value,
    /// Both statuses.
    pub statuses: (Option<u16>, Option<u16>),
    /// Both bodies, where the status differs or the bodies as a whole do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bodies: Option<ExampleBodies>,
    /// Captured request.
    pub request: ExampleRequest,
    /// A command line that asks it again, of the target.
    pub curl: String,
}

/// Both bodies of an example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExampleBodies {
    /// Production's.
    pub production: ExampleBody,
    /// The target's.
    pub shadow: ExampleBody,
}

/// A body of an example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExampleBody {
    /// How many bytes it has, without transfer coding.
    pub len: u64,
    /// Its content type, where it names one.
    #[serde(rename = "type")]
    pub content_type: Option<String>,
    /// Its beginning, decoded and without secrets; `None` where it is no text, or was not kept.
    pub text: Option<String>,
}

/// A request as captured, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExampleRequest {
    /// Method.
    pub method: String,
    /// Target, with masks.
    pub target: String,
    /// Some header lines, with masks.
    pub headers: Vec<(String, String)>,
}
