//! The report's record of a request, made without a pass over its head, since every request has one.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::exchange::{Framing, Request};
use crate::head::KnownHeader;
use crate::middleware::secret_names::SecretNames;
use crate::report::{MAX_NOTED_HEAD, RepeatKey, RequestRecord, RequestText};

/// Returns whether a response may depend on a header field: requests that differ in one of these are not the same.
const fn answer_depends_on(name: KnownHeader) -> bool {
    matches!(
        name,
        KnownHeader::Accept
            | KnownHeader::AcceptEncoding
            | KnownHeader::AcceptLanguage
            | KnownHeader::Authorization
            | KnownHeader::Cookie
            | KnownHeader::Host
            | KnownHeader::IfMatch
            | KnownHeader::IfModifiedSince
            | KnownHeader::IfNoneMatch
            | KnownHeader::Origin
            | KnownHeader::Range
            | KnownHeader::XApiKey
            | KnownHeader::XForwardedProto
    )
}

/// The note of a request, without these secrets in its target; with its head and its [`RepeatKey`] where there is to be
/// `evidence`.
pub(super) fn request_record(request: &Request, evidence: bool, secrets: &SecretNames) -> RequestRecord {
    let head = request.head.as_bytes();
    let (method, target, _) = request.head.request_line();
    let repeats = evidence && may_repeat(request);
    let (mut host, mut key) = (None, KeyBuilder::of(method, target));
    for (name, line) in request.head.known_lines() {
        if name == KnownHeader::Host && host.is_none() {
            host = Some(line.value);
            if !repeats {
                break;
            }
        }
        if answer_depends_on(name) {
            key.take(name, line.value);
        }
    }
    let kept = if evidence && head.len() <= MAX_NOTED_HEAD { head } else { &[] };
    RequestRecord {
        id: request.id,
        at: request.first_byte,
        client: request.client,
        text: RequestText::new(method, &secrets.noted_target(target), host.unwrap_or_default(), kept),
        bytes: request.bytes(),
        body_len: request.body.len,
        route: None,
        repeat: repeats.then_some(RepeatKey(key.0)),
        share: None,
    }
}

/// Returns whether the same request may come again. It may not where it may change something, has a body, or is a copy
/// rather than captured itself.
fn may_repeat(request: &Request) -> bool {
    let captured = request.id.pass == 1 && request.id.copy == 0 && !request.id.is_made_up();
    captured && request.body.framing == Framing::None && request.changes_nothing()
}

/// A hash of every part of a request that a response depends on, as far as it was captured.
struct KeyBuilder(u64);

impl KeyBuilder {
    fn of(method: &[u8], target: &[u8]) -> Self {
        Self(xxh3_64_with_seed(target, xxh3_64_with_seed(method, 0)))
    }

    /// A value under this name.
    fn take(&mut self, name: KnownHeader, value: &[u8]) {
        // A value says nothing without its name.
        self.0 = xxh3_64_with_seed(value, self.0.rotate_left(8) ^ (name as u64 + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::testing;

    fn request(head: &str) -> Request {
        testing::request(1, &format!("{head}\r\n\r\n"))
    }

    fn key(head: &str) -> Option<RepeatKey> {
        request_record(&request(head), true, &SecretNames::default()).repeat
    }

    #[test]
    fn requests_are_the_same_where_nothing_differs_that_an_answer_may_depend_on() {
        let first = key("GET /a HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nUser-Agent: x");
        assert!(first.is_some());
        assert_eq!(first, key("GET /a HTTP/1.1\r\nhost: h\r\ncookie: a=1\r\nUser-Agent: y"));
        for other in [
            "GET /b HTTP/1.1\r\nHost: h\r\nCookie: a=1",
            "HEAD /a HTTP/1.1\r\nHost: h\r\nCookie: a=1",
            "GET /a HTTP/1.1\r\nHost: i\r\nCookie: a=1",
            "GET /a HTTP/1.1\r\nHost: h\r\nCookie: a=2",
            "GET /a HTTP/1.1\r\nHost: h\r\nOrigin: a=1",
            "GET /a HTTP/1.1\r\nHost: h",
        ] {
            assert_ne!(first, key(other), "{other}");
        }
        assert_eq!(key("POST /a HTTP/1.1\r\nHost: h"), None);
    }

    #[test]
    fn the_words_are_those_of_the_request() {
        let head = "GET /a?b HTTP/1.1\r\nX-Long-Name-Of-More-Than-Thirty-One-Bytes: 1\r\nHost: h\r\nHost: i";
        for evidence in [true, false] {
            let note = request_record(&request(head), evidence, &SecretNames::default());
            let words = &note.text;
            assert_eq!((words.method(), words.target(), words.host()), (&b"GET"[..], &b"/a?b"[..], &b"h"[..]));
            assert_eq!((words.head().is_empty(), note.repeat.is_some()), (!evidence, evidence));
        }
        assert_eq!(request_record(&request("GET / HTTP/1.0"), true, &SecretNames::default()).text.host(), b"");
    }
}
