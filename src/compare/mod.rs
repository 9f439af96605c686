//! Comparison of two responses to the same request: status, header lines, body.
//!
//! Both sides come in as they were retained. The result is a [`ResponseDiff`]: the differences one by one, and whether
//! the bodies could be compared at all. Bodies that are equal byte for byte are never decoded or parsed. The work and
//! the size of the result are bounded for any input; at a bound, the last difference is [`DifferenceKind::More`].
//! Nothing is counted here.

mod budget;
mod common;
mod cookies;
mod decode;
mod difference;
mod endless;
mod excerpt;
mod findings;
mod headers;
mod ids;
mod indexed_head;
mod json;
mod known_pairs;
mod location;
mod met;
mod number;
mod path;
mod response;
mod rules;
mod shown;
mod text;
mod tree;
mod unfold;
mod unknown;
mod unpaired;

use std::borrow::Cow;

use serde_json::json;

use crate::exchange::{Head, hex};
use crate::http1::{ContentKind, content};

use budget::Budget;
use decode::Undecoded;
pub use difference::{Difference, DifferenceKind, DifferencePart, ResponseDiff};
pub use endless::EndlessBodies;
use indexed_head::IndexedHead;
pub use response::ComparedResponse;
use response::IndexedResponse;
use tree::{Beside, Extent, TreeNode};
pub use unknown::Unknown;

pub(crate) use excerpt::excerpt;
pub(crate) use ids::{is_id, is_number};
pub(crate) use known_pairs::{KnownPairs, ResponsePair};
pub use path::field;
pub use rules::{CompareRules, RuleError};

/// Bytes of the head of which header lines are compared; those of a longer one are not.
pub(crate) const MAX_COMPARED_HEAD: usize = 256 << 10;

/// Longest body that may be nothing under a content coding, in bytes: gzip with a name of a file has some more than 20.
const MAX_CODED_NOTHING: usize = 64;
/// Most header names that may differ for a quick comparison.
const MANY_HEADERS: usize = 16;
/// Most header lines of a quick comparison: what more take grows with their square.
const QUICK_LINES: usize = 100;

/// State of the bodies before the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKnowledge {
    /// Both are whole.
    Whole,
    /// One of them was captured in part: nothing can be said.
    Damaged,
    /// An access log does not have production's.
    NotLogged,
    /// Production's did not end: they are compared as far as it went.
    UpTo(EndlessBodies),
    /// Production's was whole, and the target's did not end.
    Unfinished,
    /// They are not looked into, for this reason: they are equal by their hashes, or nothing can be said.
    Unread(Unknown),
}

/// Depth of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As far as it takes no more time and memory than what was received: bodies are not decoded or parsed. Small ones are
    /// not even asked what they are.
    Quick,
    /// As far as it has to.
    Full,
}

/// Compares two responses to a request of this method.
///
/// Responses with different statuses are different messages: their header lines are not compared, and their bodies only
/// by length and hash. A response to HEAD has no body (RFC 9110, 9.3.2), nor has a 204 or a 304 (15.3.5, 15.4.5).
#[must_use]
pub fn compare(
    rules: &CompareRules,
    method: &[u8],
    production: &ComparedResponse<'_>,
    shadow: &ComparedResponse<'_>,
    bodies: BodyKnowledge,
) -> ResponseDiff {
    attempt(rules, method, production, shadow, bodies, Effort::Full).unwrap_or_default()
}

/// Compares two responses with this effort; `None` where more effort is needed.
#[must_use]
pub fn attempt<'a>(
    rules: &CompareRules,
    method: &[u8],
    production: &ComparedResponse<'a>,
    shadow: &ComparedResponse<'a>,
    bodies: BodyKnowledge,
    effort: Effort,
) -> Option<ResponseDiff> {
    let mut found = ResponseDiff::default();
    let same_status = production.status == shadow.status;
    let (production, shadow) = (&IndexedResponse::new(production), &IndexedResponse::new(shadow));
    if rules.bodies() && method != b"HEAD" && !matches!(production.response.status, 204 | 304) {
        match body(rules, production, shadow, bodies, effort) {
            BodyVerdict::Same => {}
            BodyVerdict::Unknown(why) => found.body_unknown = Some(why),
            BodyVerdict::Differs(differences) => found.differences = differences,
            BodyVerdict::Unsettled => return None,
        }
    }
    let of_body = std::mem::take(&mut found.differences);
    if !same_status {
        found.differences.push(Difference {
            place: DifferencePart::Status,
            path: String::new(),
            kind: DifferenceKind::Value,
            production: production.response.status.into(),
            shadow: shadow.response.status.into(),
        });
    }
    if same_status && rules.headers() {
        let is_quick = effort == Effort::Quick || matches!(bodies, BodyKnowledge::Unread(_));
        let most = if is_quick { QUICK_LINES } else { usize::MAX };
        let is_done = headers::compare(rules, method == b"HEAD", (production, shadow), most, &mut found.differences);
        let many = !is_done || found.differences.len() > MANY_HEADERS;
        match (bodies, effort) {
            // There is no time to count them all.
            (BodyKnowledge::Unread(_), _) if many => {
                found.differences.truncate(MANY_HEADERS);
                found.differences.push(headers::more());
            }
            (_, Effort::Quick) if many => return None,
            _ => {}
        }
    }
    found.differences.extend(of_body);
    Some(found)
}

/// Result for two bodies.
#[derive(Debug)]
enum BodyVerdict {
    Same,
    Unknown(Unknown),
    Differs(Vec<Difference>),
    /// A full comparison is needed.
    Unsettled,
}

fn body<'a>(
    rules: &CompareRules,
    production: &IndexedResponse<'_, 'a>,
    shadow: &IndexedResponse<'_, 'a>,
    bodies: BodyKnowledge,
    effort: Effort,
) -> BodyVerdict {
    let (one, other) = (production.response, shadow.response);
    match bodies {
        BodyKnowledge::Damaged => return BodyVerdict::Unknown(Unknown::Damaged),
        BodyKnowledge::NotLogged => return BodyVerdict::Unknown(Unknown::NotLogged),
        BodyKnowledge::UpTo(known) => return endless::compare(rules, (production, shadow), known, effort),
        BodyKnowledge::Unfinished => return BodyVerdict::Differs(vec![as_a_whole(one, other)]),
        BodyKnowledge::Whole | BodyKnowledge::Unread(_) => {}
    }
    if one.body_len == other.body_len {
        match one.has_content_of(other) {
            Some(true) => return BodyVerdict::Same,
            Some(false) => {}
            // Of the same length, and of one of them that is all.
            None => return BodyVerdict::Unknown(Unknown::NotKept),
        }
    }
    let whole = || BodyVerdict::Differs(vec![as_a_whole(one, other)]);
    if one.status != other.status {
        return whole();
    }
    if (one.body_len == 0 && is_coded_nothing(rules, shadow))
        || (other.body_len == 0 && is_coded_nothing(rules, production))
    {
        return BodyVerdict::Same;
    }
    let is_small =
        |side: &ComparedResponse<'_>| side.body.is_some_and(|body| (1..=content::SMALL).contains(&body.len()));
    if (bodies, effort) == (BodyKnowledge::Whole, Effort::Quick) && is_small(one) && is_small(other) {
        // To ask what it is takes as long as to read it.
        return BodyVerdict::Unsettled;
    }
    let (Some(one_kind), Some(other_kind)) =
        (readable(rules, production, one.body_len), readable(rules, shadow, other.body_len))
    else {
        return whole();
    };
    let (Some(one), Some(other)) = (one.body, other.body) else {
        return BodyVerdict::Unknown(Unknown::NotKept);
    };
    match (bodies, effort) {
        (BodyKnowledge::Unread(why), _) => BodyVerdict::Unknown(why),
        (_, Effort::Quick) => BodyVerdict::Unsettled,
        _ => {
            let (one, other) = ((&production.head, one_kind, one), (&shadow.head, other_kind, other));
            inside(rules, one, other).unwrap_or_else(whole)
        }
    }
}

/// Returns whether a body has a content coding and nothing under it.
fn is_coded_nothing(rules: &CompareRules, side: &IndexedResponse<'_, '_>) -> bool {
    let IndexedResponse { response: ComparedResponse { body: Some(body), body_len, .. }, head: Some(head) } = side
    else {
        return false;
    };
    let is_whole = body.len() as u64 == *body_len;
    is_whole
        && body.len() <= MAX_CODED_NOTHING
        && decode::decoded(head, body, MAX_CODED_NOTHING, &Budget::new(rules.memory()))
            .is_ok_and(|body| body.is_empty())
}

/// Returns what a body is by its head; `None` where its content, of which `len` bytes are known, cannot make a difference
/// that its length and hash do not.
fn readable(rules: &CompareRules, side: &IndexedResponse<'_, '_>, len: u64) -> Option<ContentKind> {
    let is_short = len > 0 && len <= rules.max_body() as u64;
    let head = side.head.as_ref().filter(|_| is_short)?;
    let kind = content::of_value(head.get("content-type"));
    let is_coded = || head.get("content-encoding").is_some();
    is_readable(kind, side.response.body, is_coded).then_some(kind)
}

/// Returns whether the content under this head can be parsed. Where the media type is generic binary, the content has
/// to be present, and to begin as JSON does or have a content coding.
pub(crate) fn reads(head: &Head, body: Option<&[u8]>) -> bool {
    is_readable(content::of(head), body, || head.get("content-encoding").is_some())
}

fn is_readable(kind: ContentKind, body: Option<&[u8]>, is_coded: impl FnOnce() -> bool) -> bool {
    match kind {
        ContentKind::Binary => body.is_some_and(|body| tree::may_be_json(body) || is_coded()),
        kind => kind.may_be_read(),
    }
}

/// Returns both contents, or the verdict where one of them cannot be had; `None` where they can only be compared as a
/// whole.
fn both<T>(production: Result<T, Undecoded>, shadow: Result<T, Undecoded>) -> Result<(T, T), Option<BodyVerdict>> {
    match (production, shadow) {
        (Ok(production), Ok(shadow)) => Ok((production, shadow)),
        (Err(Undecoded::Opaque), _) | (_, Err(Undecoded::Opaque)) => Err(None),
        (Err(Undecoded::TooLong), _) | (_, Err(Undecoded::TooLong)) => {
            Err(Some(BodyVerdict::Unknown(Unknown::DecodedSize)))
        }
        _ => Err(Some(BodyVerdict::Unknown(Unknown::Memory))),
    }
}

/// A body, its head, and what it is by that.
type DeclaredBody<'s, 'a> = (&'s Option<IndexedHead<'a>>, ContentKind, &'s [u8]);

/// Compares what two bodies say; `None` where they can only be compared as a whole.
fn inside<'a>(rules: &CompareRules, one: DeclaredBody<'_, 'a>, other: DeclaredBody<'_, 'a>) -> Option<BodyVerdict> {
    let budget = Budget::new(rules.memory());
    let (most, heads) = (rules.max_decoded(), (one.0.as_ref()?, other.0.as_ref()?));
    let decoded = |head, body| decode::decoded(head, body, most, &budget);
    let (production, shadow) = match both(decoded(heads.0, one.2), decoded(heads.1, other.2)) {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    if production == shadow {
        return Some(BodyVerdict::Same);
    }
    // What each side issues by itself is no difference.
    let (production, shadow) = (rules.secrets().text(production), rules.secrets().text(shadow));
    let (production, shadow) = (in_utf_8(heads.0, production, &budget), in_utf_8(heads.1, shadow, &budget));
    if let Some(why) = budget.exceeded() {
        return Some(BodyVerdict::Unknown(why));
    }
    if production == shadow {
        return Some(BodyVerdict::Same);
    }
    let kinds = || (kind(one.1, &production), kind(other.1, &shadow));
    let begin_so = (tree::may_be_json(&production), tree::may_be_json(&shadow));
    // Where both begin as JSON, their heads are only asked once they turn out not to be.
    let known = (begin_so != (true, true)).then(kinds);
    let is_json = |begins, kind| begins || kind == ContentKind::Json;
    if known.is_none_or(|(one, other)| is_json(begin_so.0, one) && is_json(begin_so.1, other)) {
        if let Some(one) = tree::read(&production, &budget)
            && let Some(other) = tree::read_beside(&shadow, Beside::new(&production, &one), &budget)
        {
            let in_lines = [heads.0, heads.1].iter().all(|head| content::is_json_lines(head.get("content-type")));
            return Some(verdict(documents(rules, &one, other, in_lines)));
        }
        if let Some(why) = budget.exceeded() {
            return Some(BodyVerdict::Unknown(why));
        }
    }
    let (one, other) = known.unwrap_or_else(kinds);
    if one == ContentKind::Other || other == ContentKind::Other {
        return None;
    }
    let text = |body| std::str::from_utf8(body).ok();
    Some(verdict(text::compare(text(&production)?, text(&shadow)?)))
}

fn verdict(differences: Vec<Difference>) -> BodyVerdict {
    if differences.is_empty() { BodyVerdict::Same } else { BodyVerdict::Differs(differences) }
}

/// Compares JSON documents: several are the elements of one list.
fn documents(
    rules: &CompareRules,
    production: &[TreeNode<'_>],
    shadow: Vec<TreeNode<'_>>,
    in_lines: bool,
) -> Vec<Difference> {
    if let ([production], [shadow], false) = (production, shadow.as_slice(), in_lines) {
        return json::compare(rules.json(), production, shadow);
    }
    let production = production.iter().map(TreeNode::Same).collect();
    let list = |documents| TreeNode::List(documents, Extent::default());
    json::compare(rules.json(), &list(production), &list(shadow))
}

/// Returns the kind of a body that is not JSON: as its head has it, or else text if it is UTF-8.
fn kind(declared: ContentKind, body: &[u8]) -> ContentKind {
    match declared {
        ContentKind::Unknown if std::str::from_utf8(body).is_err() => ContentKind::Other,
        ContentKind::Unknown => ContentKind::Text,
        ContentKind::Binary => ContentKind::Other,
        known => known,
    }
}

/// The body in UTF-8 where its head says that it is in ISO 8859-1, and else as it is.
fn in_utf_8<'a>(head: &IndexedHead<'_>, body: Cow<'a, [u8]>, budget: &Budget) -> Cow<'a, [u8]> {
    let is_latin = content::charset(head.get("content-type")).is_some_and(|charset| {
        [&b"iso-8859-1"[..], b"latin1", b"windows-1252", b"us-ascii"]
            .iter()
            .any(|name| charset.eq_ignore_ascii_case(name))
    });
    // To look through all of it is worth the while only where the head says so.
    if !is_latin || std::str::from_utf8(&body).is_ok() {
        return body;
    }
    // A byte becomes two at most, and a text that grows may take as much again.
    if !budget.take(body.len().saturating_mul(4)) {
        return body;
    }
    let text: String = body.iter().map(|byte| char::from(*byte)).collect();
    Cow::Owned(text.into_bytes())
}

fn as_a_whole(production: &ComparedResponse<'_>, shadow: &ComparedResponse<'_>) -> Difference {
    let whole =
        |side: &ComparedResponse<'_>| json!({ "len": side.body_len, "sha256": side.sha256().as_ref().map(hex) });
    Difference {
        place: DifferencePart::Body,
        path: String::new(),
        kind: DifferenceKind::Value,
        production: whole(production),
        shadow: whole(shadow),
    }
}

#[cfg(test)]
mod tests;
