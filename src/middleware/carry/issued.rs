//! The values that a response issues.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;

use super::super::http_date::http_seconds;
use super::super::json::{self, JsonPath};
use super::super::query;
use super::super::redact::MAX_DECODED;
use super::super::set_cookie::{CookieLife, SetCookieLine};
use super::coding::unescaped;
use super::{CarryRule, MAX_VALUE, ValueSource, first_group, json_text};
use crate::content_coding;
use crate::exchange::Head;

/// A value in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Issued {
    /// It is this from now on.
    Value(Bytes),
    /// The client is to forget it (RFC 6265, 3.1: a cookie that has expired).
    Deleted,
}

/// A response whose values are looked for. Its body is decoded once, and only if a rule asks for it.
pub(crate) struct IssuedResponse<'a> {
    head: &'a Head,
    content: Option<Cow<'a, [u8]>>,
    decoded: OnceCell<Option<Vec<u8>>>,
}

impl<'a> IssuedResponse<'a> {
    /// A response with this content, transfer coding removed; `None` where it was not kept.
    pub(crate) const fn new(head: &'a Head, content: Option<Cow<'a, [u8]>>) -> Self {
        Self { head, content, decoded: OnceCell::new() }
    }

    /// The content without its codings.
    fn body(&self) -> Option<&[u8]> {
        let decode = || {
            let content = self.content.as_deref()?;
            let codings = content_coding::codings(self.head.get_all("content-encoding"));
            let decoded = content_coding::decode_all(Cow::Borrowed(content), &codings, MAX_DECODED).ok()?;
            Some(decoded.into_owned())
        };
        match self.head.get("content-encoding") {
            None => self.content.as_deref(),
            Some(_) => self.decoded.get_or_init(decode).as_deref(),
        }
    }
}

impl CarryRule {
    /// The values that `response` issues under this rule, in their order.
    pub(crate) fn issued(&self, response: &IssuedResponse<'_>) -> Vec<Issued> {
        let head = response.head;
        let Some(from) = &self.from else { return Vec::new() };
        let mut values = match from {
            ValueSource::SetCookie(name) => set_cookie(head, name).into_iter().collect(),
            ValueSource::Header(name) => head.get_all(name).next().and_then(value).into_iter().collect(),
            ValueSource::LocationParam(name) => {
                location_param(head, name).as_deref().and_then(value).into_iter().collect()
            }
            ValueSource::Json(path) => response.body().map(|body| json_values(body, path)).unwrap_or_default(),
            ValueSource::Body(regex) => {
                let found = response.body().and_then(|body| first_group(regex, body));
                found.and_then(|found| value(&unescaped(found.as_bytes()))).into_iter().collect()
            }
        };
        values.retain(|issued| !matches!(issued, Issued::Value(value) if value.len() > MAX_VALUE));
        values
    }
}

fn value(bytes: &[u8]) -> Option<Issued> {
    (!bytes.is_empty()).then(|| Issued::Value(Bytes::copy_from_slice(bytes)))
}

/// What the last `Set-Cookie` of this name says: a client keeps that one (RFC 6265, 5.3).
fn set_cookie(head: &Head, name: &str) -> Option<Issued> {
    let lines = head.get_all("set-cookie").filter_map(SetCookieLine::parse);
    let line = lines.filter(|line| line.name == name.as_bytes()).last()?;
    let is_gone = line.value.is_empty() || line.life(head.get("date").and_then(http_seconds)) == CookieLife::Over;
    if is_gone { Some(Issued::Deleted) } else { value(line.value) }
}

/// A parameter of `Location`, in its query or its fragment.
fn location_param(head: &Head, name: &str) -> Option<Vec<u8>> {
    let location = head.get("location")?;
    let (address, fragment) = match memchr::memchr(b'#', location) {
        Some(at) => (location.get(..at)?, location.get(at + 1..)?),
        None => (location, &b""[..]),
    };
    let in_fragment = fragment.split(|byte| *byte == b'&').filter_map(|piece| query::value(piece, name));
    query::values(address, name).chain(in_fragment).next().map(Cow::into_owned)
}

/// The values that stand at `path`: of a string its content, of a number its digits.
fn json_values(body: &[u8], path: &JsonPath) -> Vec<Issued> {
    let Some(text) = json_text(body) else { return Vec::new() };
    // A text that breaks off has no values, however many came before the break.
    let found = json::values(text, path).unwrap_or_default();
    found.into_iter().filter_map(|json| json_value(json).and_then(|bytes| value(&bytes))).collect()
}

/// The bytes of a string or a number in JSON.
pub(super) fn json_value(text: &str) -> Option<Vec<u8>> {
    match text.as_bytes() {
        [b'"', ..] => serde_json::from_str::<String>(text).ok().map(String::into_bytes),
        [b'-' | b'0'..=b'9', ..] => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;

    fn issued(from: ValueSource, lines: &str, body: &[u8]) -> Vec<String> {
        let rule = CarryRule { from: Some(from), ..CarryRule::default() };
        let head = Head::new(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes());
        let shown = |issued| match issued {
            Issued::Value(value) => String::from_utf8(value.to_vec()).unwrap(),
            Issued::Deleted => "(deleted)".to_owned(),
        };
        rule.issued(&IssuedResponse::new(&head, Some(Cow::Borrowed(body)))).into_iter().map(shown).collect()
    }

    #[test]
    fn a_cookie_is_issued_by_the_last_line_of_its_name_unless_it_has_expired() {
        for (lines, expected) in [
            ("Set-Cookie: sid=abc; Path=/; HttpOnly\r\n", &["abc"][..]),
            ("set-cookie:sid=\"q\"\r\n", &["\"q\""]),
            ("Set-Cookie: sid=1\r\nSet-Cookie: other=x\r\nSet-Cookie: sid=2\r\n", &["2"]),
            ("Set-Cookie: SID=abc\r\nSet-Cookie: x=sid\r\n", &[]),
            ("Set-Cookie: sid=; Path=/\r\n", &["(deleted)"]),
            ("Set-Cookie: sid=gone; Max-Age=0\r\n", &["(deleted)"]),
            ("Set-Cookie: sid=gone; max-age=-1\r\n", &["(deleted)"]),
            ("Set-Cookie: sid=gone; Max-Age=60; Max-Age=0\r\n", &["(deleted)"]),
            ("Set-Cookie: sid=abc; Max-Age=0; Max-Age=60\r\n", &["abc"]),
            ("Set-Cookie: sid=abc; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n", &["abc"]),
            ("Set-Cookie: sid=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n", &["(deleted)"]),
            ("Set-Cookie: sid=gone; expires=Thu, 01-Jan-1970 00:00:01 GMT\r\n", &["(deleted)"]),
            (
                "Date: Sun, 29 Nov 2026 17:00:00 GMT\r\nSet-Cookie: sid=gone; Expires=Sat, 28 Nov 2026 17:00:00 GMT\r\n",
                &["(deleted)"],
            ),
            (
                "Date: Sun, 29 Nov 2026 17:00:00 GMT\r\nSet-Cookie: sid=a; Expires=Mon, 30 Nov 2026 17:00:00 GMT\r\n",
                &["a"],
            ),
            ("Set-Cookie: sid=a; Expires=whenever\r\n", &["a"]),
        ] {
            assert_eq!(issued(ValueSource::SetCookie("sid".to_owned()), lines, b""), expected, "{lines}");
        }
    }

    #[test]
    fn headers_and_addresses_issue_values() {
        let header = || ValueSource::Header("X-Auth-Token".to_owned());
        assert_eq!(issued(header(), "x-auth-token: t1\r\n", b""), ["t1"]);
        assert!(issued(header(), "x-auth-token:\r\n", b"").is_empty());
        let code = || ValueSource::LocationParam("code".to_owned());
        assert_eq!(issued(code(), "Location: https://app/cb?state=1&code=a%2Fb\r\n", b""), ["a/b"]);
        assert_eq!(issued(code(), "Location: /cb#code=c1&x=2\r\n", b""), ["c1"]);
        assert!(issued(code(), "Location: /code\r\n", b"").is_empty());
    }

    #[test]
    fn bodies_issue_values_whatever_their_coding() {
        let json = || ValueSource::Json(JsonPath::parse("$.data[*].token").unwrap());
        let body = br#"{"data":[{"token":"a\u0062"},{"token":12},{"token":null}],"token":"no"}"#;
        assert_eq!(issued(json(), "", body), ["ab", "12"]);
        let zstd = zstd::encode_all(&body[..], 1).unwrap();
        assert_eq!(issued(json(), "Content-Encoding: zstd\r\n", &zstd), ["ab", "12"]);
        assert!(issued(json(), "Content-Encoding: gzip\r\n", body).is_empty(), "it is none");
        assert!(issued(json(), "", br#"{"data":[{"token":"a"}],"#).is_empty(), "it breaks off");
        assert!(issued(json(), "", b"\xff{}").is_empty());
        let page = || ValueSource::Body(Regex::new(r#"name="csrf" value="([^"]+)""#).unwrap());
        assert_eq!(issued(page(), "", br#"<input name="csrf" value="t0k"><input name="csrf" value="t1k">"#), ["t0k"]);
        assert_eq!(issued(page(), "", br#"<input name="csrf" value="a&#43;b">"#), ["a+b"]);
    }

    #[test]
    fn a_value_that_is_too_long_is_none() {
        let lines = format!("X: {}\r\n", "a".repeat(MAX_VALUE + 1));
        assert!(issued(ValueSource::Header("x".to_owned()), &lines, b"").is_empty());
    }
}
