//! Bodies: what an expression finds in them, and values within JSON.
//!
//! In goes a request, out comes the same request with another body, framed as before: a length is set anew, chunks
//! become one chunk. A body with a content coding is left alone and counted, as is one that says it is JSON and is
//! not. A body that was not kept has nothing to change.

use bytes::Bytes;
use regex::bytes::Regex;

use super::condition::media_type;
use super::json::{self, JsonEdit};
use super::patterns::steps_of_one;
use super::template::MAX_REPLACED;
use super::{Context, Filter, Template};
use crate::exchange::{Body, Framing, Outcome, Request};

/// The link that replaces what an expression finds.
#[derive(Clone, Debug)]
pub struct ReplaceBody {
    regex: Regex,
    with: Template,
    /// Search cost per byte, in steps.
    steps: u64,
}

impl ReplaceBody {
    /// Replaces every match of `regex` in a body.
    #[must_use]
    pub fn new(regex: Regex, with: Template) -> Self {
        let steps = steps_of_one(&regex);
        Self { regex, with, steps }
    }
}

impl Filter for ReplaceBody {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let Some(body) = request.body.content() else { return Ok(()) };
        if !context.may_search(self.steps.saturating_mul(body.len() as u64)) || !self.regex.is_match(&body) {
            return Ok(());
        }
        if is_coded(request, context) {
            context.bodies.coded += 1;
            return Ok(());
        }
        // Now it is searched for every match, and all of the body is written anew.
        if !context.may_search(self.steps.saturating_mul(body.len() as u64)) {
            return Ok(());
        }
        if let Some(new) = self.with.resolved(request, context).replace(&self.regex, &body) {
            if new.len() > MAX_REPLACED {
                context.keep_back();
                return Ok(());
            }
            set_body(request, context, new);
            context.bodies.changed += 1;
        }
        Ok(())
    }
}

/// The link that edits values within JSON.
#[derive(Clone, Debug)]
pub struct EditJson {
    edits: Vec<JsonEdit>,
}

impl EditJson {
    /// Makes these edits, one after another.
    #[must_use]
    pub const fn new(edits: Vec<JsonEdit>) -> Self {
        Self { edits }
    }
}

impl Filter for EditJson {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let edits = self.edits.iter();
        edit_json(request, context, |text| {
            let mut now = None;
            for edit in edits {
                if let Some(new) = edit.apply(now.as_deref().unwrap_or(text))? {
                    now = Some(new);
                }
            }
            Ok(now)
        });
        Ok(())
    }
}

/// Offers a JSON body to `edit`, which gives the new text where there is one.
fn edit_json(
    request: &mut Request,
    context: &mut Context,
    edit: impl FnOnce(&str) -> Result<Option<String>, json::NotJson>,
) {
    if request.body.len == 0 || !is_json(request, context) {
        return;
    }
    if is_coded(request, context) {
        context.bodies.coded += 1;
        return;
    }
    let Some(body) = request.body.content() else { return };
    let edited = std::str::from_utf8(&body).map_err(|_| json::NotJson).and_then(edit);
    match edited {
        Ok(Some(new)) => {
            set_body(request, context, new.into_bytes());
            context.bodies.changed += 1;
        }
        Ok(None) => {}
        Err(json::NotJson) => context.bodies.not_json += 1,
    }
}

/// `application/json`, and what is built upon it: `application/problem+json` (RFC 6839, 3.1).
fn is_json(request: &Request, context: &Context) -> bool {
    media_type(request, context).is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        kind == b"application/json" || kind == b"text/json" || kind.ends_with(b"+json")
    })
}

fn is_coded(request: &Request, context: &Context) -> bool {
    context.fields(request).get_all("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// Gives the request this content, framed as its body was (RFC 9112, 6).
pub(super) fn set_body(request: &mut Request, context: &mut Context, new: Vec<u8>) {
    let len = new.len();
    put(&mut request.body, new);
    if matches!(request.body.framing, Framing::Length(_)) {
        context.set_header(request, "Content-Length", len.to_string().as_bytes());
    }
}

/// Gives a body this content in its framing; what its head says of the length is left to the caller.
pub(super) fn put(body: &mut Body, new: Vec<u8>) {
    let len = new.len() as u64;
    body.len = len;
    body.sha256 = None;
    body.wire = Some(match body.framing {
        Framing::Chunked => one_chunk(&new),
        Framing::None | Framing::Length(_) | Framing::UntilClose => Bytes::from(new),
    });
    if let Framing::Length(was) = &mut body.framing {
        *was = len;
    }
}

/// The content as one chunk and the last one (RFC 9112, 7.1). Trailers are not sent, so they are not kept.
fn one_chunk(content: &[u8]) -> Bytes {
    let mut wire = Vec::with_capacity(content.len() + 32);
    if !content.is_empty() {
        wire.extend(format!("{:x}\r\n", content.len()).into_bytes());
        wire.extend_from_slice(content);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    Bytes::from(wire)
}

#[cfg(test)]
mod tests {
    use super::super::context::BodyCounts;
    use super::super::testing::with_body;
    use super::*;

    fn replaced(head: &str, body: &str) -> (Request, BodyCounts) {
        let mut request = with_body(head, body);
        let mut context = Context::default();
        context.begin(&request, request.last_byte, false);
        let regex = Regex::new("secret=[^&]*").unwrap();
        let with = Template::replacement("secret={id}", &regex).unwrap();
        ReplaceBody::new(regex, with).apply(&mut request, &mut context).unwrap();
        (request, context.bodies)
    }

    #[test]
    fn a_changed_body_has_its_length_said_anew() {
        let (request, counts) = replaced("POST / HTTP/1.1\r\nContent-Length: 14\r\n\r\n", "a=1&secret=abc");
        assert_eq!(request.body.content().unwrap().as_ref(), b"a=1&secret=1.1");
        let (request, _) = replaced("POST / HTTP/1.1\r\nContent-Length: 16\r\n\r\n", "secret=abcde&a=1");
        assert_eq!(request.head.get("content-length"), Some(&b"14"[..]));
        assert_eq!((request.body.framing, request.body.len), (Framing::Length(14), 14));
        assert_eq!(counts, BodyCounts { changed: 1, ..BodyCounts::default() });
    }

    #[test]
    fn a_changed_chunked_body_stays_chunked() {
        let (request, _) =
            replaced("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "7\r\nsecret=\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(request.body.wire.as_deref(), Some(&b"a\r\nsecret=1.1\r\n0\r\n\r\n"[..]));
        assert_eq!((request.body.framing, request.body.len), (Framing::Chunked, 10));
        assert_eq!(request.body.content().unwrap().as_ref(), b"secret=1.1");
    }

    #[test]
    fn a_body_with_a_content_coding_is_left_alone_and_counted() {
        let (request, counts) =
            replaced("POST / HTTP/1.1\r\nContent-Encoding: br\r\nContent-Length: 8\r\n\r\n", "secret=1");
        assert_eq!(request.body.content().unwrap().as_ref(), b"secret=1");
        assert_eq!(counts, BodyCounts { coded: 1, ..BodyCounts::default() });
    }

    #[test]
    fn a_body_without_a_match_keeps_every_byte() {
        let (request, counts) = replaced("POST / HTTP/1.1\r\ncontent-LENGTH:  3\r\n\r\n", "a=1");
        assert_eq!(request.head.as_bytes(), b"POST / HTTP/1.1\r\ncontent-LENGTH:  3\r\n\r\n");
        assert_eq!(counts, BodyCounts::default());
    }

    #[test]
    fn only_what_says_it_is_json_is_edited_as_json() {
        for (kind, counts) in [
            ("application/json; charset=utf-8", BodyCounts { not_json: 1, ..BodyCounts::default() }),
            ("application/problem+JSON", BodyCounts { not_json: 1, ..BodyCounts::default() }),
            ("text/plain", BodyCounts::default()),
        ] {
            let head = format!("POST / HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: 5\r\n\r\n");
            let mut request = with_body(&head, "{\"a\":");
            let mut context = Context::default();
            context.begin(&request, request.last_byte, false);
            EditJson::new(vec![JsonEdit::remove("/a").unwrap()]).apply(&mut request, &mut context).unwrap();
            assert_eq!(context.bodies, counts, "{kind}");
        }
    }
}
