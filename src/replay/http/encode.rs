//! A captured request becomes one of reqwest's.
//!
//! Lines of the captured connection are left out (see [`crate::replay::hop`]). HTTP/2 has a place of its own for the host
//! (RFC 9113, 8.3.1), which is the target's, and knows no transfer codings (8.2.2): chunks go as the content in them. `None`
//! comes out where the request cannot be said this way: it is never sent as if it were another one.

use std::borrow::Cow;
use std::convert::Infallible;

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use reqwest::{Body, Method, Url};

use crate::exchange::{Framing, HeaderLine, Request};
use crate::replay::TargetUrl;
use crate::replay::hop::HopByHop;

/// `request` to `target`; `None` where reqwest cannot say it.
pub(super) fn encode(request: &Request, target: &TargetUrl) -> Option<reqwest::Request> {
    let method = Method::from_bytes(request.method()).ok().filter(|method| method != Method::CONNECT)?;
    let url = url(target, request.path_and_query())?;
    let mut headers = headers(request)?;
    let body = body(request, &mut headers)?;
    let codings = headers.remove(TRANSFER_ENCODING);
    codings.is_none_or(|codings| codings.as_bytes().eq_ignore_ascii_case(b"chunked")).then_some(())?;
    let mut encoded = reqwest::Request::new(method, url);
    *encoded.headers_mut() = headers;
    *encoded.body_mut() = body;
    Some(encoded)
}

/// Origin-form under the target's origin (RFC 9112, 3.2.1); `*` and an authority alone have no place there. Control
/// characters and `#`, which the parser would drop or take for an end, cannot be said. A backslash, which it would
/// turn into a slash, and bytes past ASCII are percent-encoded.
fn url(target: &TargetUrl, path_and_query: &[u8]) -> Option<Url> {
    if !matches!(path_and_query.first(), Some(b'/' | b'?')) {
        return None;
    }
    let mut text = target.base();
    if path_and_query.starts_with(b"?") {
        text.push('/');
    }
    for byte in path_and_query {
        match byte {
            b'#' => return None,
            byte if byte.is_ascii_control() => return None,
            b'\\' => text.push_str("%5C"),
            byte if byte.is_ascii() => text.push(char::from(*byte)),
            byte => {
                text.push('%');
                text.extend(
                    [byte >> 4, byte & 15]
                        .map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default().to_ascii_uppercase()),
                );
            }
        }
    }
    Url::parse(&text).ok()
}

fn headers(request: &Request) -> Option<HeaderMap> {
    let hop = HopByHop::of(&request.head);
    let mut headers = HeaderMap::new();
    for line in request.head.lines() {
        let unwanted = line.is("content-length")
            || (line.is("transfer-encoding") && request.body.framing != Framing::Chunked)
            || line.is("host");
        if unwanted || hop.covers(line.name) {
            continue;
        }
        let name = HeaderName::from_bytes(line.name).ok()?;
        headers.try_append(name, value(&line)?).ok()?;
    }
    Some(headers)
}

/// The value on one line: a fold becomes a blank, as for any intermediary (RFC 9112, 5.2).
fn value(line: &HeaderLine<'_>) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&unfolded(line.value)).ok()
}

fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    Cow::Owned(lines.join(&b' '))
}

/// The body, and the header line that frames it. A body that was not kept, or not whole, cannot be said.
#[expect(clippy::option_option, reason = "no body is another thing than a body that cannot be said")]
fn body(request: &Request, headers: &mut HeaderMap) -> Option<Option<Body>> {
    match request.body.framing {
        Framing::None | Framing::UntilClose => {
            // Some servers want to be told the length of no body, so it is told where it was captured.
            if request.head.get("content-length").is_some() {
                headers.insert(CONTENT_LENGTH, 0_u64.into());
            }
            Some(None)
        }
        Framing::Length(len) => {
            let wire = request.body.wire.clone().or_else(|| (len == 0).then(bytes::Bytes::new))?;
            if wire.len() as u64 != len {
                return None;
            }
            headers.insert(CONTENT_LENGTH, len.into());
            Some((len > 0).then(|| wire.into()))
        }
        Framing::Chunked => {
            let chunks = request.body.chunks()?;
            if chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>() != request.body.len {
                return None;
            }
            let chunks = chunks.into_iter().map(Ok::<_, Infallible>);
            Some(Some(Body::wrap_stream(futures_util::stream::iter(chunks))))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::exchange::{self, ConnectionId, ExchangeId, Head, RequestState, Timestamp};

    fn request(head: &str, framing: Framing, wire: &str) -> Request {
        let mut body = exchange::Body { framing, len: 0, sha256: None, wire: Some(Bytes::from(wire.to_owned())) };
        body.len = body.content().unwrap().len() as u64;
        Request {
            id: ExchangeId::new(ConnectionId(1), 1),
            client: "10.0.0.1:5000".parse().unwrap(),
            server: "10.0.0.2:80".parse().unwrap(),
            head: Head::new(head.as_bytes().to_vec()),
            body,
            first_byte: Timestamp::from_nanos(0),
            last_byte: Timestamp::from_nanos(0),
            state: RequestState::Whole,
        }
    }

    fn encoded(head: &str, framing: Framing, wire: &str) -> Option<reqwest::Request> {
        encode(&request(head, framing, wire), &"http://new:81".parse().unwrap())
    }

    #[test]
    fn http_2_has_no_line_for_the_host_and_no_transfer_coding() {
        let head = "POST / HTTP/1.1\r\nHost: old\r\nTransfer-Encoding: Chunked\r\nX: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n";
        assert_eq!(lines(&encoded(head, Framing::Chunked, "2\r\nab\r\n0\r\n\r\n").unwrap()), ["x: 1"]);
        let coded = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        assert!(encoded(coded, Framing::Chunked, "2\r\nab\r\n0\r\n\r\n").is_none());
    }

    fn lines(request: &reqwest::Request) -> Vec<String> {
        request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn targets_become_paths_under_the_new_origin() {
        for (target, url) in [
            ("/a?b=c", Some("http://new:81/a?b=c")),
            ("//evil/x", Some("http://new:81//evil/x")),
            ("http://old:80/a?b", Some("http://new:81/a?b")),
            ("http://old?q", Some("http://new:81/?q")),
            ("/\\a", Some("http://new:81/%5Ca")),
            ("/caf\u{e9}", Some("http://new:81/caf%C3%A9")),
            ("/a b", Some("http://new:81/a%20b")),
            ("/%zz", Some("http://new:81/%zz")),
            ("/a#b", None),
            ("/a\tb", None),
            ("*", None),
            ("old:80", None),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: old\r\n\r\n");
            let found = encoded(&head, Framing::None, "").map(|request| request.url().to_string());
            assert_eq!(found.as_deref(), url, "{target}");
        }
    }

    #[test]
    fn a_length_is_said_once_and_a_fold_becomes_a_blank() {
        let head = "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\nF: a\r\n\t b\r\n\r\n";
        let request = encoded(head, Framing::Length(3), "abc").unwrap();
        assert_eq!(lines(&request), ["f: a b", "content-length: 3"]);
        assert_eq!(request.body().and_then(Body::as_bytes), Some(&b"abc"[..]));
        for framing in [Framing::Length(0), Framing::None] {
            let empty = encoded("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", framing, "").unwrap();
            assert_eq!(lines(&empty), ["content-length: 0"], "{framing:?}");
        }
    }

    #[test]
    fn what_is_not_whole_or_cannot_be_said_is_not_sent() {
        assert!(encoded("POST / HTTP/1.1\r\n\r\n", Framing::Length(4), "abc").is_none());
        let mut cut = request("POST / HTTP/1.1\r\n\r\n", Framing::Chunked, "2\r\nab\r\n");
        cut.body.len = 5;
        assert!(encode(&cut, &"http://h".parse().unwrap()).is_none());
        let mut unkept = request("POST / HTTP/1.1\r\n\r\n", Framing::Length(3), "abc");
        unkept.body.wire = None;
        assert!(encode(&unkept, &"http://h".parse().unwrap()).is_none());
        for head in ["G@T / HTTP/1.1\r\n\r\n", "CONNECT h:1 HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA\u{1}: b\r\n\r\n"] {
            assert!(encoded(head, Framing::None, "").is_none(), "{head:?}");
        }
    }

    #[test]
    fn a_head_with_more_lines_than_a_map_can_hold_is_not_sent() {
        let lines = (0..40_000).map(|n| format!("x{n}:")).collect::<Vec<_>>().join("\r\n");
        assert!(encoded(&format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n"), Framing::None, "").is_none());
    }
}
