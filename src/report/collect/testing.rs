//! Facts for the tests of this folder.

use std::time::Duration;

use tokio::time::Instant;

use crate::exchange::{ConnectionId, ExchangeId, Outcome, Timestamp};
use crate::middleware::Share;
use crate::replay::{ConnNumber, Delivery, Destination, SentAs, TargetId, TargetResponse};

use super::inputs::{Production, RequestRecord};
use super::recent::CountedDelivery;
use super::request_text::RequestText;

pub(crate) fn id(n: u32) -> ExchangeId {
    ExchangeId::new(ConnectionId(1), n)
}

pub(crate) fn note(n: u32) -> Box<RequestRecord> {
    Box::new(RequestRecord {
        id: id(n),
        at: Timestamp::from_nanos(1_000_000_000),
        client: "10.0.0.7:51234".parse().unwrap(),
        bytes: 100,
        body_len: 0,
        text: RequestText::new(b"GET", b"/a", b"old.example", b"GET /a HTTP/1.1\r\n\r\n"),
        route: None,
        repeat: None,
        share: Some(Share(0.25)),
    })
}

pub(crate) fn production(status: u16) -> Production {
    Production {
        status,
        body_len: 5,
        body_sha256: Some([1; 32]),
        damage: None,
        left: false,
        latency: Some(Duration::from_micros(1500)),
        kept: None,
    }
}

pub(crate) fn answer(status: u16) -> TargetResponse {
    let now = Instant::now();
    TargetResponse {
        status,
        body_len: 5,
        body_sha256: Some([1; 32]),
        kept: None,
        closed: None,
        written: now,
        first_byte: now,
        done: now,
        connection: None,
    }
}

pub(crate) fn delivery(n: u32, outcome: Outcome, status: Option<u16>) -> Delivery {
    let timed = |us| status.map(|_| Duration::from_micros(us));
    Delivery {
        id: id(n),
        destination: Destination::Target(TargetId::at(0)),
        sent_as: SentAs::CAPTURED,
        outcome,
        reason: None,
        answer: status.map(answer),
        service: timed(2000),
        response: timed(3000),
        carry_wait: None,
        lag: Some(Duration::from_micros(100)),
    }
}

pub(crate) fn counted(n: u32) -> CountedDelivery {
    CountedDelivery {
        connection: ConnNumber::next(),
        id: id(n),
        destination: Destination::Target(TargetId::at(0)),
        status: 200,
        service: None,
        response: None,
        at: Duration::ZERO,
        route: None,
        production: None,
        compared: None,
        demands: 0,
    }
}
