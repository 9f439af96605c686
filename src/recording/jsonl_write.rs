//! One exchange as one line of JSON, for scripts and for recordings. Nothing is joined, read or counted here.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Serialize;

use crate::exchange::{Body, Damage, Digest, Head, RequestState, Response, Timestamp, hex, wire_text};

use super::exchange_join::JoinedExchange;

/// The line of `inspect --json`.
#[derive(Debug, Serialize)]
pub struct JsonLine<'a> {
    id: String,
    at: String,
    client: String,
    server: String,
    method: Cow<'a, str>,
    target: Cow<'a, str>,
    version: Cow<'a, str>,
    host: Option<Cow<'a, str>>,
    headers: usize,
    body_len: u64,
    body_sha256: Option<String>,
    status: Option<u16>,
    response_headers: Option<usize>,
    response_body_len: Option<u64>,
    response_body_sha256: Option<String>,
    latency_us: Option<u64>,
    state: Cow<'static, str>,
    #[serde(flatten)]
    full: Option<FullMessages>,
}

/// Messages that `--full` adds.
#[derive(Debug, Serialize)]
struct FullMessages {
    request: EncodedMessage,
    response: Option<EncodedMessage>,
}

/// A message in full, in base64. What only a recording needs stands after it: see [`super::lines`].
#[derive(Debug, Serialize)]
struct EncodedMessage {
    head: String,
    /// The content without transfer coding; null where it was not kept.
    body: Option<String>,
    /// Of a response; of a request that is `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte: Option<String>,
    last_byte: String,
    /// Of a response: what is missing of it, which `state` does not say where the request is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
    /// Of a response: whether the time since its request is not known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    untimed: bool,
    /// Of a response: whether its client left before it ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    left: bool,
}

impl EncodedMessage {
    fn new(head: &Head, body: &Body, last_byte: Timestamp) -> Self {
        // A message without a body has one that is known: nothing.
        let content = body.content().or_else(|| (body.len == 0).then_some(Cow::Borrowed(&[][..])));
        Self {
            head: BASE64.encode(head.as_bytes()),
            body: content.map(|body| BASE64.encode(&body)),
            first_byte: None,
            last_byte: last_byte.to_string(),
            damage: None,
            untimed: false,
            left: false,
        }
    }

    fn of(response: &Response) -> Self {
        Self {
            first_byte: Some(response.first_byte.to_string()),
            damage: response.damage.map(|why| why.to_string()),
            untimed: response.untimed,
            left: response.left,
            ..Self::new(&response.head, &response.body, response.last_byte)
        }
    }
}

impl<'a> JsonLine<'a> {
    /// The line of `exchange`; with the messages themselves where `full`.
    #[must_use]
    pub fn new(exchange: &'a JoinedExchange, full: bool) -> Self {
        let request = exchange.request.as_ref();
        let response = exchange.response.as_deref().ok();
        Self {
            id: request.id.to_string(),
            at: request.first_byte.to_string(),
            client: request.client.to_string(),
            server: request.server.to_string(),
            method: wire_text(request.method()),
            target: wire_text(request.target()),
            version: wire_text(request.version()),
            host: request.head.get("host").map(wire_text),
            headers: request.head.lines().count(),
            body_len: request.body.len,
            body_sha256: digest(request.body.sha256.as_ref()),
            status: response.map(|response| response.status),
            response_headers: response.map(|response| response.head.lines().count()),
            response_body_len: response.map(|response| response.body.len),
            response_body_sha256: digest(response.and_then(|response| response.body.sha256.as_ref())),
            latency_us: latency_us(exchange),
            state: state(exchange),
            full: full.then(|| FullMessages {
                request: EncodedMessage::new(&request.head, &request.body, request.last_byte),
                response: response.map(EncodedMessage::of),
            }),
        }
    }
}

fn digest(digest: Option<&Digest>) -> Option<String> {
    digest.map(hex)
}

/// Last byte of the request to first byte of the response; 0 for an early response, none where it is not known.
pub(crate) fn latency_us(exchange: &JoinedExchange) -> Option<u64> {
    let response = exchange.response.as_ref().ok()?;
    let took = response.latency(exchange.request.last_byte)?;
    Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

/// Returns the state of the exchange, in the words of the contract. Damage to the request comes first.
pub(crate) fn state(exchange: &JoinedExchange) -> Cow<'static, str> {
    match (exchange.request.state, &exchange.response) {
        (RequestState::Malformed(why), _) => format!("malformed: {why}").into(),
        (RequestState::Incomplete(why), _) => format!("incomplete: {why}").into(),
        (RequestState::Whole, Err(Damage::NoResponse)) => "no-response".into(),
        (RequestState::Whole, Err(why)) => format!("response damaged: {why}").into(),
        (RequestState::Whole, Ok(response)) if response.opaque => "opaque".into(),
        (RequestState::Whole, Ok(response)) => match response.damage {
            Some(why) => format!("response damaged: {why}").into(),
            None => "complete".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::exchange::{Incomplete, Malformed};
    use crate::testing::{request, response};

    const HEAD: &str = "GET /a?b=1 HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n";

    fn exchange() -> JoinedExchange {
        JoinedExchange { request: request(3, HEAD), response: Ok(response(200)) }
    }

    #[test]
    fn a_json_line_has_the_keys_of_the_contract() {
        let line = serde_json::to_value(JsonLine::new(&exchange(), false)).unwrap();
        assert_eq!(
            line,
            json!({
                "id": "1.3", "at": "2026-11-21T20:00:00.123456789Z", "client": "10.0.0.7:51234",
                "server": "[2001:db8::1]:80", "method": "GET", "target": "/a?b=1", "version": "1.1", "host": "h",
                "headers": 2, "body_len": 0, "body_sha256": null, "status": 200, "response_headers": 2,
                "response_body_len": 2, "response_body_sha256": "ab".repeat(32), "latency_us": 1250,
                "state": "complete",
            })
        );
    }

    #[test]
    fn a_full_line_carries_both_messages() {
        let line = serde_json::to_value(JsonLine::new(&exchange(), true)).unwrap();
        let asked = "2026-11-21T20:00:00.123500000Z";
        assert_eq!(line["request"], json!({ "head": BASE64.encode(HEAD.as_bytes()), "body": "", "last_byte": asked }));
        assert_eq!(line["response"]["body"], "b2s=");
        assert_eq!(line["response"]["first_byte"], "2026-11-21T20:00:00.124750000Z");
        assert_eq!(line["response"]["last_byte"], "2026-11-21T20:00:00.125000000Z");
        let unanswered = JoinedExchange { response: Err(Damage::NoResponse), ..exchange() };
        let line = serde_json::to_value(JsonLine::new(&unanswered, true)).unwrap();
        assert_eq!(line["response"], json!(null));
        assert!(line.as_object().unwrap().contains_key("response"));
    }

    #[test]
    fn nothing_is_known_of_a_response_that_was_not_captured() {
        let unanswered = JoinedExchange { response: Err(Damage::NoResponse), ..exchange() };
        let line = serde_json::to_value(JsonLine::new(&unanswered, false)).unwrap();
        for key in ["status", "response_headers", "response_body_len", "response_body_sha256", "latency_us"] {
            assert_eq!(line[key], json!(null), "{key}");
        }
    }

    #[test]
    fn states_are_told_in_the_words_of_the_contract() {
        let told = |state, response| {
            let mut exchange = JoinedExchange { response, ..exchange() };
            exchange.request.state = state;
            super::state(&exchange).into_owned()
        };
        let whole = RequestState::Whole;
        let (mut partial, mut upgrade) = (response(200), response(101));
        partial.damage = Some(Damage::Cut);
        upgrade.opaque = true;
        assert_eq!(told(whole, Ok(response(200))), "complete");
        assert_eq!(told(whole, Err(Damage::NoResponse)), "no-response");
        assert_eq!(told(whole, Err(Damage::Gap)), "response damaged: gap");
        assert_eq!(told(whole, Ok(partial)), "response damaged: cut");
        assert_eq!(told(whole, Ok(upgrade)), "opaque");
        let end = RequestState::Incomplete(Incomplete::EndOfCapture);
        assert_eq!(told(end, Err(Damage::NoResponse)), "incomplete: end of capture");
        let malformed = RequestState::Malformed(Malformed::BadLength);
        assert_eq!(told(malformed, Ok(response(400))), "malformed: content-length is not a number");
    }
}
