//! Redaction: header values, cookies, parameters and JSON values are removed, masked or given pseudonyms.
//!
//! A request goes in, or its response on the way to a recording; the same message comes out without them. A body is
//! searched without its content coding. An unreadable body is emptied, unless the filter is set otherwise. A pseudonym
//! is a keyed hash: the same value gets the same one wherever it occurs, so that sessions still correlate, and nobody
//! without the key finds the value.

use std::borrow::Cow;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::context::ResponseFilter;
use super::edit::{EditOp, FieldEdit, FieldKind};
use super::json::{JsonChange, JsonPath};
use super::query;
use super::secret::Secret;
use super::unreadable::{OnUnknown, Unreadable};
use super::value_change::ValueChange;
use super::{Context, Filter, RunIdentity, body, cookies};
use crate::content_coding::{self, DecodeError};
use crate::exchange::{Body, Framing, Head, LineEdit, Outcome, Request, Response};

mod content;
pub(super) mod multipart;
#[cfg(test)]
mod tests;

use content::ContentRedactor;

/// Replacement for a masked value. Its length does not depend on the value's.
pub(crate) const MASK: &str = "***";
/// Bytes that a body may have without its content coding. A longer one cannot be looked into.
pub(crate) const MAX_DECODED: usize = 16 << 20;
/// Bytes of the keyed hash that a pseudonym shows, in hexadecimal: two values in a thousand million share one with a
/// chance of three in a hundred.
const PSEUDONYM_BYTES: usize = 8;
/// The rule under which a request ends whose body cannot be looked into, where the link has no name.
const RULE: &str = "redact";
/// Headers that hold addresses with parameters.
const ADDRESSES: [&str; 3] = ["referer", "location", "content-location"];
/// Headers that are not true of a changed body.
pub(super) const OF_CODED_BODY: [&str; 5] =
    ["content-encoding", "content-md5", "digest", "content-digest", "repr-digest"];

/// Method of redaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedactMode {
    /// It is taken out.
    Remove,
    /// Replaced by `MASK`.
    Mask,
    /// Replaced by a keyed hash; without a key, that of the run is used.
    Pseudonym(Option<Secret>),
}

/// The link that redacts. Clones share their rules.
#[derive(Clone, Debug)]
pub struct Redact {
    rules: Arc<RedactRules>,
    /// Rule under which it ends a request; [`RULE`] without a name.
    rule: Option<Arc<str>>,
}

/// Fields to redact, and the method.
#[derive(Debug)]
struct RedactRules {
    mode: RedactMode,
    fields: Vec<FieldEdit>,
    headers: Vec<String>,
    cookies: Vec<String>,
    params: Vec<String>,
    json: Vec<JsonPath>,
    on_unknown: OnUnknown,
}

impl Redact {
    /// Redacts these fields, and what stands at these places of JSON bodies.
    #[must_use]
    pub fn new(mode: RedactMode, fields: &[(FieldKind, String)], json: Vec<JsonPath>, on_unknown: OnUnknown) -> Self {
        let of = |kind: FieldKind| {
            fields.iter().filter(|(found, _)| *found == kind).map(|(_, name)| name.clone()).collect::<Vec<_>>()
        };
        let rules = RedactRules {
            mode,
            headers: of(FieldKind::Header),
            cookies: of(FieldKind::Cookie),
            params: of(FieldKind::Param),
            fields: fields.iter().map(|(place, name)| FieldEdit::new(*place, name, EditOp::Remove)).collect(),
            json,
            on_unknown,
        };
        Self { rules: Arc::new(rules), rule: None }
    }

    /// Gives it another name under which requests end.
    #[must_use]
    pub(super) fn named(self, name: Option<&String>) -> Self {
        Self { rule: name.map(|name| name.as_str().into()), ..self }
    }
}

impl Filter for Redact {
    fn apply(&mut self, request: &mut Request, context: &mut Context) -> Result<(), Outcome> {
        let rules = Arc::clone(&self.rules);
        for field in &rules.fields {
            field.each(request, context, &mut |value, run| rules.field(value, &run.key.0));
        }
        let run = Arc::clone(&context.run);
        rules.fragment(request, context, &run);
        for name in ADDRESSES.iter().filter(|_| !rules.params.is_empty()) {
            context.edit_header(request, name, |value| rules.address(value, &run));
        }
        context.filter_response(Arc::<RedactRules>::clone(&self.rules));
        if rules.json.is_empty() && rules.params.is_empty() {
            rules.trailers(request);
            return Ok(());
        }
        let looked = {
            let fields = context.fields(request);
            let values = fields.get_all("content-encoding").chain(transfer_codings(&request.head));
            rules.body(&request.body, fields.get("content-type"), values, &run)
        };
        let Some((new, goes_on)) = rules.settle(looked, context) else {
            rules.trailers(request);
            return Ok(());
        };
        if !goes_on {
            let rule = self.rule.as_deref().map_or(Cow::Borrowed(RULE), |name| Cow::Owned(name.to_owned()));
            return Err(Outcome::Filtered(rule));
        }
        if let Some(new) = new {
            for name in OF_CODED_BODY {
                context.edit_header(request, name, |_| LineEdit::Remove);
            }
            if request.body.framing == Framing::Chunked && transfer_codings(&request.head).next().is_some() {
                context.set_header(request, "Transfer-Encoding", b"chunked");
            }
            body::set_body(request, context, new);
        }
        Ok(())
    }
}

/// Result of the redaction of a body.
enum LookedInto {
    /// There is nothing to redact in it.
    Same,
    /// It is this now, without codings.
    New(Vec<u8>),
    Unreadable(Unreadable),
}

impl ResponseFilter for RedactRules {
    fn apply(&self, response: &mut Response, context: &mut Context) -> bool {
        let run = Arc::clone(&context.run);
        self.response_head(&mut response.head, &run);
        let values = response.head.get_all("content-encoding").chain(transfer_codings(&response.head));
        let looked = self.body(&response.body, response.head.get("content-type"), values, &run);
        let Some((new, goes_on)) = self.settle(looked, context) else { return true };
        if let Some(new) = new {
            let (head, body) = (&mut response.head, &mut response.body);
            head.retain(|line| !OF_CODED_BODY.iter().any(|name| line.is(name)));
            match body.framing {
                Framing::Chunked => head.set("Transfer-Encoding", b"chunked"),
                Framing::Length(_) => head.set("Content-Length", new.len().to_string().as_bytes()),
                Framing::None | Framing::UntilClose => {}
            }
            body::put(body, new);
        }
        goes_on
    }
}

impl RedactRules {
    fn field(&self, value: &[u8], run_key: &[u8]) -> ValueChange {
        match &self.mode {
            RedactMode::Remove => ValueChange::Remove,
            // Nothing is to be known of no value.
            _ if value.is_empty() => ValueChange::Keep,
            RedactMode::Mask => ValueChange::Value(MASK.as_bytes().to_vec()),
            RedactMode::Pseudonym(key) => {
                ValueChange::Value(pseudonym(key.as_ref().map_or(run_key, |key| key.reveal()), value).into_bytes())
            }
        }
    }

    /// Of a string its content counts, so that it gets the pseudonym of the same value in a header; of anything else
    /// its text.
    fn json_value(&self, text: &str, run_key: &[u8]) -> JsonChange {
        let shown = match &self.mode {
            RedactMode::Remove => return JsonChange::Remove,
            RedactMode::Mask => MASK.to_owned(),
            RedactMode::Pseudonym(key) => {
                let value = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
                pseudonym(key.as_ref().map_or(run_key, |key| key.reveal()), value.as_bytes())
            }
        };
        JsonChange::Value(format!("\"{shown}\""))
    }

    fn line(&self, value: &[u8], run: &RunIdentity) -> LineEdit {
        match self.field(value, &run.key.0) {
            ValueChange::Keep | ValueChange::Name(_) => LineEdit::Keep,
            ValueChange::Value(value) => LineEdit::Value(value),
            ValueChange::Remove => LineEdit::Remove,
        }
    }

    /// Parameters in an address, in its query as in its fragment.
    fn address(&self, value: &[u8], run: &RunIdentity) -> LineEdit {
        let redactor = ContentRedactor { rules: self, run_key: &run.key.0 };
        let is_separator = |byte| matches!(byte, b'?' | b'&' | b'#');
        match redactor.pairs(value, is_separator, &mut |_| ValueChange::Keep) {
            Some(new) => LineEdit::Value(new),
            None => LineEdit::Keep,
        }
    }

    /// Parameters in the fragment of a target, which should have none.
    fn fragment(&self, request: &mut Request, context: &mut Context, run: &RunIdentity) {
        let (before, fragment) = query::split_fragment(context.fields(request).target());
        if self.params.is_empty() || fragment.is_empty() {
            return;
        }
        if let LineEdit::Value(fragment) = self.address(fragment, run) {
            let target = [before, &fragment].concat();
            context.set_target(request, &target);
        }
    }

    fn response_head(&self, head: &mut Head, run: &RunIdentity) {
        for name in &self.headers {
            head.edit_lines(name, |value| self.line(value, run));
        }
        if !self.cookies.is_empty() {
            head.edit_lines("set-cookie", |line| {
                let (name, value) = cookies::cookies(line).next().unwrap_or_default();
                if !self.cookies.iter().any(|cookie| cookie.as_bytes() == name) {
                    return LineEdit::Keep;
                }
                match self.line(value, run) {
                    LineEdit::Value(value) => {
                        let attributes = memchr::memchr(b';', line).and_then(|at| line.get(at..)).unwrap_or_default();
                        LineEdit::Value([name, b"=", &value, attributes].concat())
                    }
                    other => other,
                }
            });
        }
        for name in ADDRESSES.iter().filter(|_| !self.params.is_empty()) {
            head.edit_lines(name, |value| self.address(value, run));
        }
    }

    /// Looks into a body behind its codings.
    fn body<'a>(
        &self,
        body: &Body,
        content_type: Option<&[u8]>,
        codings: impl Iterator<Item = &'a [u8]>,
        run: &RunIdentity,
    ) -> LookedInto {
        let redactor = ContentRedactor { rules: self, run_key: &run.key.0 };
        if body.len == 0 || body.framing == Framing::None || !redactor.concerns(content_type) {
            return LookedInto::Same;
        }
        let Some(content) = body.content() else {
            // It is not kept, so it goes nowhere; or its chunks cannot be read.
            return if body.wire.is_some() { LookedInto::Unreadable(Unreadable::Coding) } else { LookedInto::Same };
        };
        let redacted = decoded(content, &content_coding::codings(codings))
            .and_then(|content| redactor.redact(content_type, &content));
        match redacted {
            Ok(None) => LookedInto::Same,
            Ok(Some(new)) => LookedInto::New(new),
            Err(why) => LookedInto::Unreadable(why),
        }
    }

    /// Counts the result of a redaction. Returns the new content, where there is one, and whether the message passes;
    /// `None` where the body stays as it is.
    fn settle(&self, looked: LookedInto, context: &mut Context) -> Option<(Option<Vec<u8>>, bool)> {
        match looked {
            LookedInto::Same => None,
            LookedInto::New(new) => {
                context.bodies.changed += 1;
                Some((Some(new), true))
            }
            LookedInto::Unreadable(why) => {
                context.unreadable(why, self.on_unknown);
                match self.on_unknown {
                    OnUnknown::DropBody => Some((Some(Vec::new()), true)),
                    OnUnknown::Drop => Some((None, false)),
                    OnUnknown::Keep => None,
                }
            }
        }
    }

    /// Takes out the trailers of a body in chunks, where headers are redacted: they may stand there as well.
    fn trailers(&self, request: &mut Request) {
        let body = &mut request.body;
        let has_trailers = body.framing == Framing::Chunked
            && body
                .wire
                .as_deref()
                .is_some_and(|wire| !wire.is_empty() && !wire.ends_with(b"\n0\r\n\r\n") && wire != b"0\r\n\r\n");
        if has_trailers && !self.headers.is_empty() {
            let content = body.content().map(Cow::into_owned);
            body::put(body, content.unwrap_or_default());
        }
    }
}

/// The transfer codings other than chunks (RFC 9112, 7): they were put on after the content codings.
fn transfer_codings(head: &Head) -> impl Iterator<Item = &[u8]> {
    head.get_all("transfer-encoding")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Takes all codings off.
fn decoded<'a>(content: Cow<'a, [u8]>, codings: &[&[u8]]) -> Result<Cow<'a, [u8]>, Unreadable> {
    content_coding::decode_all(content, codings, MAX_DECODED).map_err(|why| match why {
        DecodeError::Opaque => Unreadable::Coding,
        DecodeError::TooLong => Unreadable::TooLong,
    })
}

/// HMAC-SHA256 (RFC 2104), cut.
fn pseudonym(key: &[u8], value: &[u8]) -> String {
    use std::fmt::Write as _;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return MASK.to_owned() };
    mac.update(value);
    let hash = mac.finalize().into_bytes();
    hash.iter().take(PSEUDONYM_BYTES).fold(String::with_capacity(2 * PSEUDONYM_BYTES), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
