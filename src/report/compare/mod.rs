//! In what two answers to the same request differ: status, header lines, body.
//!
//! Both sides come in as they were kept; [`Found`] leaves: what differs, place by place, and whether the bodies could be
//! compared at all. Bodies that are equal byte for byte are never decoded or parsed. Whatever comes in, the work and
//! the size of what leaves are bounded; where a bound is met, the last difference says so ([`Kind::More`]). Nothing is
//! counted here.

mod decode;
mod findings;
mod headers;
mod json;
mod path;
mod rules;
mod shown;
mod text;
mod tree;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exchange::{Digest, Head, digest, hex};
use crate::http1::{Content, content};

pub use path::field;
pub use rules::{DEFAULT_MAX_BODY, MAX_JSON_STEPS, NEVER_COUNTED, RuleError, Rules};

/// Bytes of the head of which header lines are compared; those of a longer one are not.
pub const MAX_COMPARED_HEAD: usize = 32 << 10;

/// One thing in which two answers differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where: `status`, `header` or `body`.
    #[serde(rename = "in")]
    pub place: Place,
    /// Where within: a header's name in lower case, a path such as `$.items[3].id`, `line 7`; empty for the whole.
    pub path: String,
    /// What kind of difference it is; left out where one value stands for another.
    #[serde(default, skip_serializing_if = "Kind::is_value")]
    pub kind: Kind,
    /// What production answered; null where it is missing there.
    pub production: Value,
    /// What the target answered; null where it is missing there.
    pub shadow: Value,
}

/// Which part of an answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The status.
    Status,
    /// The header lines.
    Header,
    /// The body.
    Body,
}

impl Place {
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

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One value stands for another.
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

impl Kind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
    fn is_value(&self) -> bool {
        *self == Self::Value
    }
}

/// One answer, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Final status.
    pub status: u16,
    /// Status line and header lines, where they were kept.
    pub head: Option<&'a Head>,
    /// Content bytes.
    pub body_len: u64,
    /// SHA-256 of the content; `None` where it is empty, not known, or not made because the content is here.
    pub body_sha256: Option<&'a Digest>,
    /// The content, where it was kept.
    pub body: Option<&'a [u8]>,
    /// Hosts that this side may have been asked under: a `Location` that names one stays on its own stack.
    pub authorities: [&'a [u8]; 2],
}

impl Side<'_> {
    /// SHA-256 of the content; `None` where that is empty or not known.
    fn sha256(&self) -> Option<Digest> {
        self.body_sha256.copied().or_else(|| self.body.and_then(digest))
    }

    /// Whether both have the same content, which is as long; `None` where that is not known.
    fn has_content_of(&self, other: &Self) -> Option<bool> {
        match (self.body, other.body) {
            _ if self.body_len == 0 => Some(true),
            (Some(one), Some(other)) => Some(one == other),
            _ => Some(self.sha256()? == other.sha256()?),
        }
    }
}

/// What is known of the bodies beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Both are whole.
    Whole,
    /// One of them was captured in part: nothing can be said.
    Damaged,
    /// There is no time to look into them: they are equal by their hashes, or nothing can be said.
    InHaste,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What differs: status first, then headers, then the body.
    pub differences: Vec<Difference>,
    /// Whether it could not be told if the bodies differ.
    pub body_unknown: bool,
}

impl Found {
    /// Whether this part of the answers differs.
    #[must_use]
    pub fn has(&self, place: Place) -> bool {
        self.differences.iter().any(|difference| difference.place == place)
    }
}

/// Compares two answers to a request of this method.
///
/// Answers with different statuses are different messages: their header lines are not compared, and their bodies only
/// by length and hash. An answer to HEAD has no body (RFC 9110, 9.3.2), nor has a 204 or a 304 (15.3.5, 15.4.5).
#[must_use]
pub fn compare(rules: &Rules, method: &[u8], production: &Side<'_>, shadow: &Side<'_>, bodies: Bodies) -> Found {
    let mut found = Found::default();
    let same_status = production.status == shadow.status;
    if !same_status {
        found.differences.push(Difference {
            place: Place::Status,
            path: String::new(),
            kind: Kind::Value,
            production: production.status.into(),
            shadow: shadow.status.into(),
        });
    }
    if same_status && rules.headers() {
        headers::compare(rules, production, shadow, &mut found.differences);
    }
    if rules.bodies() && method != b"HEAD" && !matches!(production.status, 204 | 304) {
        match body(rules, production, shadow, bodies) {
            Verdict::Same => {}
            Verdict::Unknown => found.body_unknown = true,
            Verdict::Differs(differences) => found.differences.extend(differences),
        }
    }
    found
}

/// What is to be said of two bodies.
#[derive(Debug)]
enum Verdict {
    Same,
    Unknown,
    Differs(Vec<Difference>),
}

fn body(rules: &Rules, production: &Side<'_>, shadow: &Side<'_>, bodies: Bodies) -> Verdict {
    if bodies == Bodies::Damaged {
        return Verdict::Unknown;
    }
    if production.body_len == shadow.body_len {
        match production.has_content_of(shadow) {
            Some(true) => return Verdict::Same,
            Some(false) => {}
            // Of the same length, and of one of them that is all.
            None => return Verdict::Unknown,
        }
    }
    let whole = || Verdict::Differs(vec![as_a_whole(production, shadow)]);
    if production.status != shadow.status || !(may_be_read(rules, production) && may_be_read(rules, shadow)) {
        return whole();
    }
    let (Some(one), Some(other), false) = (production.body, shadow.body, bodies == Bodies::InHaste) else {
        return Verdict::Unknown;
    };
    inside(rules, (production.head, one), (shadow.head, other)).unwrap_or_else(whole)
}

/// Whether the content of a body can make a difference that its length and hash do not.
fn may_be_read(rules: &Rules, side: &Side<'_>) -> bool {
    side.body_len > 0
        && side.body_len <= rules.max_body() as u64
        && side.head.is_some_and(|head| content::of(head).may_be_read())
}

/// Compares what two bodies say; `None` where they can only be compared as a whole.
fn inside(rules: &Rules, one: (Option<&Head>, &[u8]), other: (Option<&Head>, &[u8])) -> Option<Verdict> {
    let most = rules.max_decoded();
    let (production, shadow) = (decode::decoded(one.0?, one.1, most)?, decode::decoded(other.0?, other.1, most)?);
    if production == shadow {
        return Some(Verdict::Same);
    }
    let kinds = (kind(one.0?, &production), kind(other.0?, &shadow));
    if matches!(kinds, (Content::Json, Content::Json))
        && let (Some(production), Some(shadow)) = (tree::read(&production), tree::read(&shadow))
    {
        return Some(verdict(json::compare(rules.json(), &production, &shadow)));
    }
    if matches!(kinds.0, Content::Other) || matches!(kinds.1, Content::Other) {
        return None;
    }
    let (production, shadow) = (characters(one.0?, &production)?, characters(other.0?, &shadow)?);
    Some(verdict(text::compare(&production, &shadow)))
}

fn verdict(differences: Vec<Difference>) -> Verdict {
    if differences.is_empty() { Verdict::Same } else { Verdict::Differs(differences) }
}

/// What the body is: as its head says, or where that is silent by how it begins.
fn kind(head: &Head, body: &[u8]) -> Content {
    match content::of(head) {
        Content::Unknown if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) => Content::Json,
        Content::Unknown if std::str::from_utf8(body).is_err() => Content::Other,
        Content::Unknown => Content::Text,
        known => known,
    }
}

/// The body as text: UTF-8, or where its head says so ISO 8859-1; `None` where it is neither.
fn characters<'a>(head: &Head, body: &'a [u8]) -> Option<Cow<'a, str>> {
    if let Ok(text) = std::str::from_utf8(body) {
        return Some(Cow::Borrowed(text));
    }
    let latin = content::charset(head).is_some_and(|charset| {
        [&b"iso-8859-1"[..], b"latin1", b"windows-1252", b"us-ascii"]
            .iter()
            .any(|name| charset.eq_ignore_ascii_case(name))
    });
    latin.then(|| Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect()))
}

fn as_a_whole(production: &Side<'_>, shadow: &Side<'_>) -> Difference {
    let whole = |side: &Side<'_>| json!({ "len": side.body_len, "sha256": side.sha256().as_ref().map(hex) });
    Difference {
        place: Place::Body,
        path: String::new(),
        kind: Kind::Value,
        production: whole(production),
        shadow: whole(shadow),
    }
}

#[cfg(test)]
mod tests;
