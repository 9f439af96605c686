//! Whole messages in memory: what a script gives back is read by the same rules as what comes off the wire.
//!
//! In go the bytes of one message, out come its head and body, or the rule that it breaks. Here the message is known to
//! end where its bytes do, so a length that says otherwise is set anew; chunks have to be whole.

use bytes::Bytes;

use super::head::{self, Method, StartCheck};
use super::{BodyProgress, BodyReader, HashTiming, MAX_HEAD_BYTES, MAX_KEPT_BODY};
use crate::exchange::{Body, Framing, Head, Malformed};

/// A request from its bytes.
pub(crate) fn read_request(bytes: &[u8]) -> Result<(Head, Body), Malformed> {
    if head::request_begins(bytes) != StartCheck::Yes {
        return Err(Malformed::RequestLine);
    }
    let (raw, rest) = split(bytes)?;
    let (facts, _) = head::request(raw);
    match facts.malformed {
        Some(why) => Err(why),
        None => with_body(raw, rest, facts.framing),
    }
}

/// A final response from its bytes, with its status; `to_head` where HEAD asked for it.
pub(crate) fn read_response(bytes: &[u8], to_head: bool) -> Result<(u16, Head, Body), Malformed> {
    let (raw, rest) = split(bytes)?;
    let facts = head::response(raw).ok_or(Malformed::RequestLine)?;
    let (head, body) = if to_head || matches!(facts.status, 100..=199 | 204 | 304) {
        // What it says of a length is that of another response (RFC 9110, 8.6).
        (Head::new(raw.to_vec()), Body::EMPTY)
    } else {
        with_body(raw, rest, facts.framing(Method::Other))?
    };
    Ok((facts.status, head, body))
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = head::end(bytes, 0).ok_or(Malformed::HeaderLine)?;
    if end > MAX_HEAD_BYTES {
        return Err(Malformed::HeadTooLarge);
    }
    bytes.split_at_checked(end).ok_or(Malformed::HeaderLine)
}

fn with_body(raw: &[u8], rest: &[u8], framing: Framing) -> Result<(Head, Body), Malformed> {
    let mut head = Head::new(raw.to_vec());
    // Line ends behind a message without a body are no body.
    let rest = if framing == Framing::None { rest.trim_ascii_end() } else { rest };
    let body = match framing {
        Framing::Chunked => chunked(rest)?,
        Framing::UntilClose => content(rest, Framing::UntilClose),
        Framing::None if rest.is_empty() => Body::EMPTY,
        Framing::None | Framing::Length(_) => {
            let len = rest.len() as u64;
            if framing != Framing::Length(len) {
                head.set("Content-Length", len.to_string().as_bytes());
            }
            content(rest, Framing::Length(len))
        }
    };
    Ok((head, body))
}

fn content(bytes: &[u8], framing: Framing) -> Body {
    Body { framing, len: bytes.len() as u64, sha256: None, wire: Some(Bytes::copy_from_slice(bytes)) }
}

/// RFC 9112, 7.1; what stands behind the last chunk and is no line end makes it unclear where the body ends.
fn chunked(bytes: &[u8]) -> Result<Body, Malformed> {
    let mut reader = BodyReader::with(Framing::Chunked, HashTiming::Never, Some(MAX_KEPT_BODY));
    match reader.feed(bytes) {
        BodyProgress::Ended(end) if bytes.get(end..).is_some_and(|rest| rest.trim_ascii().is_empty()) => {
            Ok(reader.finish())
        }
        _ => Err(Malformed::BadChunk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, head: &str, framing: Framing, body: &str) {
        let (read, found) = read_request(message.as_bytes()).unwrap();
        assert_eq!(String::from_utf8_lossy(read.as_bytes()), head);
        assert_eq!(found.framing, framing);
        assert_eq!(found.wire.unwrap_or_default(), body.as_bytes());
    }

    #[test]
    fn a_message_that_is_well_framed_stays_as_it_is() {
        let get = "GET /a HTTP/1.1\r\nhOST:h\r\n\r\n";
        check(get, get, Framing::None, "");
        let post = "POST / HTTP/1.1\r\ncontent-length:  2\r\n\r\n";
        check(&format!("{post}ok"), post, Framing::Length(2), "ok");
        let chunks = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunks}2\r\nok\r\n0\r\n\r\n"), chunks, Framing::Chunked, "2\r\nok\r\n0\r\n\r\n");
    }

    #[test]
    fn a_length_that_is_not_true_is_set_anew() {
        let set = |len| format!("POST / HTTP/1.1\r\nContent-Length: {len}\r\n\r\n");
        check(&format!("{}hello", set(2)), &set(5), Framing::Length(5), "hello");
        check(&format!("{}hi", set(5)), &set(2), Framing::Length(2), "hi");
        check("POST / HTTP/1.1\r\n\r\nhi", &set(2), Framing::Length(2), "hi");
        check("GET / HTTP/1.1\r\n\r\n\n", "GET / HTTP/1.1\r\n\r\n", Framing::None, "");
    }

    #[test]
    fn what_breaks_a_rule_is_told_by_it() {
        for (message, why) in [
            ("", Malformed::RequestLine),
            ("hello\r\n\r\n", Malformed::RequestLine),
            ("GET  HTTP/1.1\r\n\r\n", Malformed::RequestLine),
            ("GET / HTTP/1.1\r\nHost: h\r\n", Malformed::HeaderLine),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Malformed::HeaderLine),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nhello", Malformed::BadChunk),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nGET", Malformed::BadChunk),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
                Malformed::LengthAndTransferEncoding,
            ),
        ] {
            assert_eq!(read_request(message.as_bytes()).unwrap_err(), why, "{message:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES));
        assert_eq!(read_request(long.as_bytes()).unwrap_err(), Malformed::HeadTooLarge);
    }

    #[test]
    fn a_response_is_framed_by_what_was_asked_for() {
        let message = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let (status, head, body) = read_response(message, true).unwrap();
        assert_eq!((status, head.as_bytes(), body.framing), (200, &message[..], Framing::None));
        let (_, head, body) = read_response(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello", false).unwrap();
        assert_eq!((head.get("content-length"), body.len), (Some(&b"5"[..]), 5));
        let (_, _, body) = read_response(b"HTTP/1.0 200 OK\r\n\r\nto the end", false).unwrap();
        assert_eq!((body.framing, body.len), (Framing::UntilClose, 10));
        assert_eq!(read_response(b"GET / HTTP/1.1\r\n\r\n", false).unwrap_err(), Malformed::RequestLine);
    }
}
