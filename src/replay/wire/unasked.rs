//! Classification of bytes that belong to no request: before the first one was sent, after a response, or while a
//! connection is idle.
//!
//! Some are legal and say nothing about the responses before them: a blank line after a body, an interim response that
//! came late, the 408 of a server that is about to close an idle connection (RFC 9110, 15.5.9). Anything else means
//! that responses and requests may no longer match (RFC 9112, 9.2).

use memchr::memmem;

use crate::exchange::FailureKind;
use crate::flow::past_blank_lines;
use crate::http1::StartCheck;
use crate::replay::{Reason, SendError};

/// Bytes that are looked at: enough for a status line and what may stand before it.
pub(super) const LOOK: usize = 512;
/// Length of the head of a frame of HTTP/2.
const FRAME_HEAD: usize = 9;

/// Kind of unsolicited bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unasked {
    /// Line ends alone: the next response may come behind them.
    Blank,
    /// They can be no response to any request.
    Harmless,
    /// They may be one.
    Response,
}

/// Classifies `bytes`. After a response that has no body whatever its head says, they may be the body that it should
/// not have.
pub(super) fn judge(bytes: &[u8], after_bodiless: bool) -> Unasked {
    if begins_http_2(bytes) == StartCheck::Yes {
        return Unasked::Harmless;
    }
    let mut rest = bytes;
    loop {
        rest = rest.trim_ascii_start();
        let digits = match rest {
            [] if !bytes.is_empty() && past_blank_lines(bytes).is_empty() => return Unasked::Blank,
            [] => return Unasked::Harmless,
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', digits @ ..] => digits,
            _ if after_bodiless && !rest.starts_with(b"HTTP") => return Unasked::Harmless,
            _ => return Unasked::Response,
        };
        match digits {
            [b'4', b'0', b'8', ..] => return Unasked::Harmless,
            [b'1', _, second, ..] if !matches!(digits, [_, b'0', b'1', ..]) && second.is_ascii_digit() => {
                rest = memmem::find(rest, b"\r\n\r\n").and_then(|end| rest.get(end + 4..)).unwrap_or_default();
            }
            _ => return Unasked::Response,
        }
    }
}

/// Returns whether this is how a server of HTTP/2 begins, or turns down HTTP/1: with a frame SETTINGS or GOAWAY for the whole
/// connection (RFC 9113, 3.4 and 4.1).
pub(super) fn begins_http_2(bytes: &[u8]) -> StartCheck {
    let is_one = |(at, byte): (usize, &u8)| match at {
        3 => matches!(byte, 0x4 | 0x7),
        // A length of less than 64 KiB, and no stream.
        0 | 5.. => *byte == 0,
        _ => true,
    };
    match bytes.iter().take(FRAME_HEAD).enumerate().all(is_one) {
        true if bytes.len() < FRAME_HEAD => StartCheck::Maybe,
        true => StartCheck::Yes,
        false => StartCheck::No,
    }
}

/// The failure of a request that met the 408 with which a target closes an idle connection.
pub(super) fn idle_timeout() -> SendError {
    SendError::failed(FailureKind::Reset, Reason::new("the target closed the idle connection with a 408"))
}

/// Returns the failure of a request whose response was followed by another: it is unknown which of them was its own.
pub(super) fn after_response() -> SendError {
    SendError::failed(
        FailureKind::Desynchronised,
        Reason::new("more came than this response: whose it is cannot be told"),
    )
}

/// The failure of a request for which no connection could be had on which nothing came before it.
pub(super) fn before_request() -> SendError {
    SendError::failed(
        FailureKind::Desynchronised,
        Reason::new("the target sends a response before any request was sent"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_legal_is_told_from_what_may_be_a_response() {
        use Unasked::{Blank, Harmless, Response};
        for (bytes, bodiless, expected) in [
            ("", false, Harmless),
            ("\0\0\u{6}\u{4}\0\0\0\0\0\0\u{3}", false, Harmless),
            ("\0\0\u{6}\u{1}\0\0\0\0\0\0\u{3}", false, Response),
            ("\r\n\r\n", false, Blank),
            ("\n", true, Blank),
            (" \r\n", false, Harmless),
            ("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", false, Harmless),
            ("\r\nHTTP/1.0 408 -\r\n\r\n", false, Harmless),
            ("HTTP/1.1 100 Continue\r\n\r\n", false, Harmless),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n", false, Harmless),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false, Response),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false, Response),
            ("HTTP/1.1 200 OK\r\n\r\n", false, Response),
            ("HTTP/1.1 2", false, Response),
            ("HTTP/1.1 503 -\r\n\r\n", true, Response),
            ("more", false, Response),
            ("<p>Not found</p>", true, Harmless),
        ] {
            assert_eq!(judge(bytes.as_bytes(), bodiless), expected, "{bytes:?} {bodiless}");
        }
    }
}
