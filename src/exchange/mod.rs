//! The words that every stage speaks: what was on the wire, who said it, and how it ended.
//!
//! Nothing here parses or decides: [`crate::http1`] makes these values, [`crate::middleware`] edits them,
//! [`crate::replay`] sends them and [`crate::report`] joins them.

mod body;
mod connection_hash;
mod ids;
mod outcome;
mod request;
mod response;
mod timestamp;

use std::borrow::Cow;

pub use crate::head::{Head, HeaderLine, HeaderLines};
pub use body::{Body, Digest, Framing, digest, hex};
pub use ids::{ConnectionId, ExchangeId};
pub use outcome::{FailureKind, HeldBy, Outcome, Shed};
pub use request::{Incomplete, Malformed, Request, RequestState, path_and_query};
pub use response::{Damage, Response};
pub use timestamp::Timestamp;

pub(crate) use crate::head::LineEdit;
pub(crate) use body::digest_of_whole;
pub(crate) use connection_hash::{ConnectionHash, SHIFT};

/// A text that is no value of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct ParseValueError(&'static str);

/// Events of the capture engine, in the order in which it learns of them.
///
/// Of one exchange, [`Event::Request`] always comes first. Exactly one [`Event::Response`] or [`Event::Damaged`]
/// follows it, at the latest when the connection closes.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first frame of a connection.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// Capture time of its first frame.
        at: Timestamp,
    },
    /// The last byte of a request was seen, or it became known that it never will be.
    Request(Box<Request>),
    /// The final response to a request: its last byte was seen, or will not be (see [`Response::damage`]).
    Response {
        /// Request of this response.
        of: ExchangeId,
        /// The response.
        response: Box<Response>,
    },
    /// No usable response to `of` was captured.
    Damaged {
        /// The request that stays without its response.
        of: ExchangeId,
        /// Reason.
        why: Damage,
    },
    /// A final response whose request was not captured: before the capture began, or lost in it.
    Orphan {
        /// The connection that carried it.
        connection: ConnectionId,
        /// The response.
        response: Box<Response>,
    },
    /// The connection ended, or was given up.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// Time of the end.
        at: Timestamp,
        /// By what.
        how: Close,
    },
}

/// Way in which a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Both sides sent FIN.
    Fin,
    /// One side sent RST.
    Reset,
    /// The same addresses and ports began a new connection.
    Reused,
    /// Nothing was heard for longer than the idle limit, on the capture's clock.
    Idle,
    /// It had to make room for others.
    Evicted,
    /// The capture ended first.
    EndOfCapture,
}

/// Text from the wire as JSON can carry it: as it is where the whole value is valid UTF-8, else the whole value
/// as Latin-1.
#[must_use]
pub(crate) fn wire_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_text_falls_back_to_latin_1_as_a_whole() {
        assert_eq!(wire_text("caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(wire_text(b"caf\xe9 \xc3\xa9"), "caf\u{e9} \u{c3}\u{a9}");
    }
}
