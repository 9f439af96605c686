//! Requests and responses as the capture engine makes them, for the tests of every stage.

use crate::exchange::{Body, ConnectionId, ExchangeId, Framing, Head, Request, RequestState, Response, Timestamp};

pub(crate) fn request(n: u32, head: &str) -> Box<Request> {
    Box::new(Request {
        id: ExchangeId::new(ConnectionId(1), n),
        client: "10.0.0.7:51234".parse().unwrap(),
        server: "[2001:db8::1]:80".parse().unwrap(),
        head: Head::new(head.as_bytes().to_vec()),
        body: Body::EMPTY,
        first_byte: Timestamp::from_nanos(1_795_291_200_123_456_789),
        last_byte: Timestamp::from_nanos(1_795_291_200_123_500_000),
        state: RequestState::Whole,
    })
}

pub(crate) fn response(status: u16) -> Box<Response> {
    Box::new(Response {
        status,
        head: Head::new(format!("HTTP/1.1 {status} X\r\nA: 1\r\nB: 2\r\n\r\n").into_bytes()),
        body: Body { framing: Framing::Length(2), len: 2, sha256: Some([0xab; 32]), wire: Some("ok".into()) },
        first_byte: Timestamp::from_nanos(1_795_291_200_124_750_000),
        last_byte: Timestamp::from_nanos(1_795_291_200_125_000_000),
        damage: None,
        opaque: false,
        untimed: false,
        left: false,
    })
}
