//! Bodies of which production's did not end: a stream whose client left, or that was open when the capture ended.
//!
//! Both are compared as far as production's went, line by line where they can be read: a line that had not ended is left
//! out on both sides, and so is what the target sent after it.

use super::budget::Budget;
use super::decode;
use super::{BodyVerdict, CompareRules, Effort, IndexedResponse, Unknown};
use super::{DeclaredBody, as_a_whole, both, documents, in_utf_8, kind, readable, text, tree, verdict};
use crate::http1::{ContentKind, content};

/// What is known of two bodies of which production's did not end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndlessBodies {
    /// The target's was closed before it may have come as far as production's.
    pub may_be_short: bool,
    /// Why they are not looked into, where they are not.
    pub unread: Option<Unknown>,
}

/// Compares the bodies of two responses.
pub(super) fn compare<'a>(
    rules: &CompareRules,
    (production_side, shadow_side): (&IndexedResponse<'_, 'a>, &IndexedResponse<'_, 'a>),
    known: EndlessBodies,
    effort: Effort,
) -> BodyVerdict {
    let (production, shadow) = (production_side.response, shadow_side.response);
    if production.status != shadow.status {
        return BodyVerdict::Unknown(Unknown::Damaged);
    }
    if production.body_len == 0 {
        return BodyVerdict::Same;
    }
    let (Some(one), Some(other)) = (production.body, shadow.body) else {
        return BodyVerdict::Unknown(Unknown::NotKept);
    };
    // Of a longer one no more than the beginning was kept.
    let may_be_short = known.may_be_short || (other.len() as u64) < shadow.body_len;
    if is_same(one, other, may_be_short) {
        return BodyVerdict::Same;
    }
    let (Some(one_kind), Some(other_kind)) = (kept_kind(rules, production_side), kept_kind(rules, shadow_side)) else {
        return BodyVerdict::Differs(vec![as_a_whole(production, shadow)]);
    };
    match (known.unread, effort) {
        (Some(why), _) => BodyVerdict::Unknown(why),
        (None, Effort::Quick) => BodyVerdict::Unsettled,
        (None, Effort::Full) => {
            let whole = || BodyVerdict::Differs(vec![as_a_whole(production, shadow)]);
            let (one, other) = ((&production_side.head, one_kind, one), (&shadow_side.head, other_kind, other));
            inside(rules, one, other, may_be_short).unwrap_or_else(whole)
        }
    }
}

/// Returns what was kept by its head, where there is something to read in it, however long the body was.
fn kept_kind(rules: &CompareRules, side: &IndexedResponse<'_, '_>) -> Option<ContentKind> {
    readable(rules, side, side.response.body.map_or(0, <[u8]>::len) as u64)
}

/// Whether the target's goes as far as production's, and is the same so far.
fn is_same(production: &[u8], shadow: &[u8], may_be_short: bool) -> bool {
    shadow.starts_with(production) || (may_be_short && production.starts_with(shadow))
}

/// Compares what two bodies say; `None` where they can only be compared as a whole.
fn inside<'a>(
    rules: &CompareRules,
    one: DeclaredBody<'_, 'a>,
    other: DeclaredBody<'_, 'a>,
    may_be_short: bool,
) -> Option<BodyVerdict> {
    let budget = Budget::new(rules.memory());
    let (most, heads) = (rules.max_decoded(), (one.0.as_ref()?, other.0.as_ref()?));
    let decoded = |head, body| decode::decoded_beginning(head, body, most, &budget);
    let (production, shadow) = match both(decoded(heads.0, one.2), decoded(heads.1, other.2)) {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let (production, shadow) = (rules.secrets().text(production), rules.secrets().text(shadow));
    if is_same(&production, &shadow, may_be_short) {
        return Some(BodyVerdict::Same);
    }
    let (production, shadow) = (in_utf_8(heads.0, production, &budget), in_utf_8(heads.1, shadow, &budget));
    if let Some(why) = budget.exceeded() {
        return Some(BodyVerdict::Unknown(why));
    }
    let (production, shadow) = common(&production, &shadow, may_be_short);
    if production == shadow {
        return Some(BodyVerdict::Same);
    }
    if [heads.0, heads.1].iter().all(|head| content::is_json_lines(head.get("content-type"))) {
        if let (Some(one), Some(other)) = (tree::read(production, &budget), tree::read(shadow, &budget)) {
            return Some(verdict(documents(rules, &one, other, true)));
        }
        if let Some(why) = budget.exceeded() {
            return Some(BodyVerdict::Unknown(why));
        }
    }
    if kind(one.1, production) == ContentKind::Other || kind(other.1, shadow) == ContentKind::Other {
        return None;
    }
    let text = |body| std::str::from_utf8(body).ok();
    Some(verdict(text::compare(text(production)?, text(shadow)?)))
}

/// What is compared of both: the lines of production's that have ended, and as many of the target's. Where the target's
/// may be short, no more of production's than those that have ended there, too.
fn common<'a>(production: &'a [u8], shadow: &'a [u8], may_be_short: bool) -> (&'a [u8], &'a [u8]) {
    let lines = memchr::memchr_iter(b'\n', production).count();
    if lines == 0 {
        let len = if may_be_short { production.len().min(shadow.len()) } else { production.len() };
        return (to(production, len), to(shadow, len));
    }
    let there = memchr::memchr_iter(b'\n', shadow).count();
    let lines = if may_be_short { lines.min(there) } else { lines };
    (first_lines(production, lines), if there < lines { shadow } else { first_lines(shadow, lines) })
}

fn first_lines(text: &[u8], lines: usize) -> &[u8] {
    let Some(last) = lines.checked_sub(1) else { return &[] };
    to(text, memchr::memchr_iter(b'\n', text).nth(last).map_or(text.len(), |end| end + 1))
}

fn to(bytes: &[u8], len: usize) -> &[u8] {
    bytes.get(..len).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::ComparedResponse;
    use crate::exchange::Head;

    const SSE: &str = "text/event-stream";

    /// In what two bodies differ of which production's did not end.
    fn differing(content_type: &str, production: &[u8], shadow: &[u8], may_be_short: bool) -> Vec<String> {
        let head = Head::new(format!("HTTP/1.1 200 OK\r\n{content_type}\r\n\r\n").into_bytes());
        let side = |body| ComparedResponse {
            status: 200,
            head: Some(&head),
            body_len: <[u8]>::len(body) as u64,
            body_sha256: None,
            body: Some(body),
            authorities: [b""; 3],
        };
        let known = EndlessBodies { may_be_short, unread: None };
        let (production, shadow) = (side(production), side(shadow));
        let sides = (&IndexedResponse::new(&production), &IndexedResponse::new(&shadow));
        match compare(&CompareRules::default(), sides, known, Effort::Full) {
            BodyVerdict::Same => Vec::new(),
            BodyVerdict::Differs(differences) => differences
                .iter()
                .map(|one| if one.path.is_empty() { "whole".into() } else { one.path.clone() })
                .collect(),
            other => vec![format!("{other:?}")],
        }
    }

    fn check(content_type: &str, production: &str, shadow: &str, may_be_short: bool, expected: &[&str]) {
        let content_type = format!("Content-Type: {content_type}");
        let found = differing(&content_type, production.as_bytes(), shadow.as_bytes(), may_be_short);
        assert_eq!(found, expected, "{production:?} {shadow:?}");
    }

    #[test]
    fn what_the_target_sends_after_that_is_no_difference() {
        check(SSE, "data: 1\n\n", "data: 1\n\ndata: 2\n\n", false, &[]);
        check(SSE, "data: 1\n\ndata: 2", "data: 1\n\ndata: 29\n\n", false, &[]);
        check(SSE, "data: 1\n\ndata: 2", "data: 1\n\ndata: 31\n\n", false, &[]);
        check(SSE, "", "data: 1\n\n", false, &[]);
        check("image/png", "abc", "abcdef", false, &[]);
    }

    #[test]
    fn up_to_there_everything_counts() {
        check(SSE, "data: 1\n\ndata: 2\n\n", "data: 1\n\ndata: 77\n\ndata: 3\n\n", false, &["line 3"]);
        check(SSE, "data: 1\n\ndata: 2\n\n", "data: 1\n\n", false, &["line 3", "line 4"]);
        check("text/plain", "one line wit", "one line, an", false, &["line 1"]);
        check("application/x-ndjson", "{\"n\":1,\"m\":2}\n{\"n", "{\"m\":2.0,\"n\":1}\n", false, &[]);
        check("application/x-ndjson", "{\"n\":1}\n{\"n\":2}\n", "{\"n\":1}\n{\"n\":3}\n", false, &["$[1].n"]);
        check("image/png", "abc", "abd", false, &["whole"]);
        check("image/png", "abc", "ab", false, &["whole"]);
    }

    #[test]
    fn what_the_target_had_no_time_for_does_not_count() {
        check(SSE, "data: 1\n\ndata: 2\n\n", "data: 1\n\nda", true, &[]);
        check(SSE, "data: 1\n\ndata: 2\n\n", "data: 7\n\nda", true, &["line 1"]);
        check("image/png", "abc", "ab", true, &[]);
    }

    #[test]
    fn codings_are_taken_off_as_far_as_they_go() {
        use std::io::Write as _;
        let gzip = |events: &[&str]| {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            for event in events {
                to.write_all(event.as_bytes()).unwrap();
                to.flush().unwrap();
            }
            to.get_ref().clone()
        };
        let found = |production: &[u8], shadow: &[u8]| {
            differing("Content-Type: text/event-stream\r\nContent-Encoding: gzip", production, shadow, false)
        };
        let both = gzip(&["data: 1\n\n", "data: 2\n\n"]);
        assert!(found(&gzip(&["data: 1\n\ndata: 2\n\n"]), &both).is_empty());
        assert_eq!(found(&gzip(&["data: 1\n\ndata: 3\n\n"]), &both), ["line 3"]);
    }
}
