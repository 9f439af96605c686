//! A request as it was on the wire, and what may be wrong with it.

use std::fmt;
use std::net::SocketAddr;

use super::{Body, ExchangeId, Timestamp};
use crate::head::Head;

/// A request as it was on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its identity.
    pub id: ExchangeId,
    /// The address that sent it.
    pub client: SocketAddr,
    /// The address that it was sent to.
    pub server: SocketAddr,
    /// Request line and header lines.
    pub head: Head,
    /// The body and how it was framed.
    pub body: Body,
    /// Capture time of its first byte.
    pub first_byte: Timestamp,
    /// Capture time of its last byte.
    pub last_byte: Timestamp,
    /// Completeness of the request: only a whole one may be replayed.
    pub state: RequestState,
}

impl Request {
    /// Returns whether the method asks for no change (RFC 9110, 9.2.1), of those that are replayed without further words.
    pub(crate) fn changes_nothing(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"OPTIONS")
    }

    /// The method token, verbatim.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.head.request_line().0
    }

    /// The request-target, verbatim (RFC 9112, 3.2).
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.head.request_line().1
    }

    /// The path and query of the target: absolute-form without its scheme and authority.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        path_and_query(self.target())
    }

    /// `1.1`, `1.0`: what follows `HTTP/`; empty where the request line had no version.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        let version = self.head.request_line().2;
        version.strip_prefix(b"HTTP/").unwrap_or(version)
    }

    /// Bytes on the wire: the head, and the body without chunk framing.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.head.as_bytes().len() as u64 + self.body.len
    }
}

/// The path and query of a request-target: absolute-form (RFC 9112, 3.2.2) loses scheme and authority.
#[must_use]
pub fn path_and_query(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme_end) = memchr::memmem::find(target, b"://") else { return target };
    let after = target.get(scheme_end + 3..).unwrap_or_default();
    match memchr::memchr2(b'/', b'?', after) {
        Some(start) => after.get(start..).unwrap_or_default(),
        None => b"/",
    }
}

/// Completeness of a captured request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Every byte, well framed.
    Whole,
    /// Bytes of it are missing: never to be replayed as if whole.
    Incomplete(Incomplete),
    /// It breaks a rule that servers and proxies disagree on how to mend: never to be replayed.
    Malformed(Malformed),
}

/// Reason why bytes of a request are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Incomplete {
    /// A segment was lost in capture, or the sender never sent the rest.
    Gap,
    /// A frame was cut by the capture's snap length.
    Cut,
    /// The capture ended first.
    EndOfCapture,
    /// It begins after missing bytes, and nothing shows that it is not part of the message before it.
    Unproven,
    /// An access log does not have its body.
    NotLogged,
    /// It had to make room for others before its end came: `--max-memory` bounds what is followed.
    Evicted,
}

impl Incomplete {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Gap, Self::Cut, Self::EndOfCapture, Self::Unproven, Self::NotLogged, Self::Evicted];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end_of_capture",
            Self::Unproven => "unproven",
            Self::NotLogged => "not_logged",
            Self::Evicted => "evicted",
        }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end of capture",
            Self::Unproven => "unproven",
            Self::NotLogged => "not logged",
            Self::Evicted => "evicted",
        })
    }
}

/// Reason why a message is malformed; each names the rule of RFC 9112 that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Malformed {
    /// Section 3: the request line is not `method SP target SP version`.
    RequestLine,
    /// Section 5: a header line without a colon, or with bytes that no field may have.
    HeaderLine,
    /// Section 5.1: white space between a header name and its colon.
    SpaceBeforeColon,
    /// Section 6.3: both Content-Length and Transfer-Encoding.
    LengthAndTransferEncoding,
    /// Section 6.3: several Content-Length values that differ.
    ConflictingLengths,
    /// Section 6.2: a Content-Length that is no number.
    BadLength,
    /// Section 6.1: a Transfer-Encoding of a request whose last coding is not `chunked`.
    BadTransferEncoding,
    /// Section 6.1: a Transfer-Encoding in several lines, in a folded one, with `chunked` twice, or in HTTP/1.0.
    UnclearTransferEncoding,
    /// Section 2.2: a CR in the head that no LF follows.
    BareCr,
    /// Section 7.1: a chunk-size line or chunk end that cannot be read.
    BadChunk,
    /// The head is longer than [`crate::http1::MAX_HEAD_BYTES`] or has too many header lines.
    HeadTooLarge,
}

impl Malformed {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::RequestLine,
        Self::HeaderLine,
        Self::SpaceBeforeColon,
        Self::LengthAndTransferEncoding,
        Self::ConflictingLengths,
        Self::BadLength,
        Self::BadTransferEncoding,
        Self::UnclearTransferEncoding,
        Self::BareCr,
        Self::BadChunk,
        Self::HeadTooLarge,
    ];
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestLine => "request line",
            Self::HeaderLine => "header line",
            Self::SpaceBeforeColon => "space before colon",
            Self::LengthAndTransferEncoding => "content-length and transfer-encoding",
            Self::ConflictingLengths => "conflicting content-lengths",
            Self::BadLength => "content-length is not a number",
            Self::BadTransferEncoding => "transfer-encoding does not end in chunked",
            Self::UnclearTransferEncoding => "unclear transfer-encoding",
            Self::BareCr => "bare CR",
            Self::BadChunk => "chunk framing",
            Self::HeadTooLarge => "head too large",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new reason does not compile here until it has a place in the list.
    #[test]
    fn no_reason_is_forgotten() {
        let place = |why| match why {
            Malformed::RequestLine => 0,
            Malformed::HeaderLine => 1,
            Malformed::SpaceBeforeColon => 2,
            Malformed::LengthAndTransferEncoding => 3,
            Malformed::ConflictingLengths => 4,
            Malformed::BadLength => 5,
            Malformed::BadTransferEncoding => 6,
            Malformed::UnclearTransferEncoding => 7,
            Malformed::BareCr => 8,
            Malformed::BadChunk => 9,
            Malformed::HeadTooLarge => 10,
        };
        assert!(Malformed::ALL.iter().enumerate().all(|(index, why)| place(*why) == index));
    }

    #[test]
    fn absolute_form_targets_lose_scheme_and_authority() {
        assert_eq!(path_and_query(b"/a?b"), b"/a?b");
        assert_eq!(path_and_query(b"http://h:80/a?b"), b"/a?b");
        assert_eq!(path_and_query(b"http://h"), b"/");
        assert_eq!(path_and_query(b"http://h?q"), b"?q");
        assert_eq!(path_and_query(b"*"), b"*");
    }
}
