//! Requests as a capture gives them.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "the addresses are written here")]

use shadowtap::exchange::{Body, ConnectionId, ExchangeId, Head, Request, RequestState, Timestamp};

/// The first request of connection `number`.
pub(crate) fn request(number: u64, head: &str, body: Body) -> Request {
    Request {
        id: ExchangeId::new(ConnectionId(number), 1),
        client: "10.0.0.1:5000".parse().unwrap(),
        server: "10.0.0.2:80".parse().unwrap(),
        head: Head::new(head.as_bytes().to_vec()),
        body,
        first_byte: Timestamp::from_nanos(0),
        last_byte: Timestamp::from_nanos(0),
        state: RequestState::Whole,
    }
}

/// A GET for `path`.
pub(crate) fn get(number: u64, path: &str) -> Request {
    request(number, &format!("GET {path} HTTP/1.1\r\nHost: old\r\n\r\n"), Body::EMPTY)
}
