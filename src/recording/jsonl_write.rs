//! One exchange as one line of JSON, for scripts and for recordings. Nothing is joined, read or counted here.

use std::borrow::Cow;

use super::exchange_join::JoinedExchange;
use super::json_object::JsonObject;
use crate::exchange::{Body, Damage, Head, Request, RequestState, Response};

/// The line of `inspect --json`.
#[derive(Clone, Copy, Debug)]
pub struct JsonLine<'a> {
    exchange: &'a JoinedExchange,
    full: bool,
}

impl<'a> JsonLine<'a> {
    /// The line of `exchange`; with the messages themselves, in base64, where `full`.
    #[must_use]
    pub const fn new(exchange: &'a JoinedExchange, full: bool) -> Self {
        Self { exchange, full }
    }

    /// Appends the line, without its end.
    pub fn write(self, into: &mut Vec<u8>) {
        let Self { exchange, full } = self;
        let request = exchange.request.as_ref();
        let response = exchange.response.as_deref().ok();
        let mut line = JsonObject::begin(into);
        line.key("id").id(request.id);
        line.key("at").instant(request.first_byte);
        line.key("client").address(request.client);
        line.key("server").address(request.server);
        let (method, target, version) = (request.method(), request.target(), request.version());
        line.key("method").text(method);
        line.key("target").text(target);
        line.key("version").text(version);
        line.key("host").optional(request.head.get("host"), JsonObject::text);
        line.key("headers").number(request.head.lines().count() as u64);
        line.key("body_len").number(request.body.len);
        line.key("body_sha256").optional(request.body.sha256.as_ref(), JsonObject::digest);
        line.key("status").optional(response.map(|response| response.status.into()), JsonObject::number);
        let headers = response.map(|response| response.head.lines().count() as u64);
        line.key("response_headers").optional(headers, JsonObject::number);
        line.key("response_body_len").optional(response.map(|response| response.body.len), JsonObject::number);
        let sha256 = response.and_then(|response| response.body.sha256.as_ref());
        line.key("response_body_sha256").optional(sha256, JsonObject::digest);
        line.key("latency_us").optional(latency_us(exchange), JsonObject::number);
        line.key("state").text(state(exchange).as_bytes());
        if full {
            write_request(request, line.key("request").object());
            line.key("response").optional(response, |line, response| write_response(response, line.object()));
        }
        line.end();
    }
}

impl std::fmt::Display for JsonLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = Vec::new();
        self.write(&mut line);
        f.write_str(&String::from_utf8_lossy(&line))
    }
}

/// Writes a request in full. What only a recording needs stands after it: see [`super::lines`].
fn write_request(request: &Request, mut to: JsonObject<'_>) {
    write_message(&request.head, &request.body, &mut to);
    to.key("last_byte").instant(request.last_byte);
    to.end();
}

fn write_response(response: &Response, mut to: JsonObject<'_>) {
    write_message(&response.head, &response.body, &mut to);
    to.key("first_byte").instant(response.first_byte);
    to.key("last_byte").instant(response.last_byte);
    // What is missing of it, which `state` does not say where the request is damaged.
    if let Some(why) = response.damage {
        to.key("damage").text(why.to_string().as_bytes());
    }
    // Whether the time since its request is not known.
    if response.untimed {
        to.key("untimed").is_true();
    }
    // Whether its client left before it ended.
    if response.left {
        to.key("left").is_true();
    }
    to.end();
}

/// The head, and the content without transfer coding; null where it was not kept.
fn write_message(head: &Head, body: &Body, to: &mut JsonObject<'_>) {
    // A message without a body has one that is known: nothing.
    let content = body.content().or_else(|| (body.len == 0).then_some(Cow::Borrowed(&[][..])));
    to.key("head").base64(head.as_bytes());
    to.key("body").optional(content.as_deref(), JsonObject::base64);
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
    use data_encoding::BASE64;
    use serde_json::{Value, json};

    use super::*;
    use crate::exchange::{Incomplete, Malformed};
    use crate::testing::{request, response};

    const HEAD: &str = "GET /a?b=1 HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n";

    fn exchange() -> JoinedExchange {
        JoinedExchange { request: request(3, HEAD), response: Ok(response(200)) }
    }

    fn value(exchange: &JoinedExchange, full: bool) -> Value {
        JsonLine::new(exchange, full).to_string().parse().unwrap()
    }

    #[test]
    fn a_json_line_has_the_keys_of_the_contract() {
        let line = value(&exchange(), false);
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
        let line = value(&exchange(), true);
        let asked = "2026-11-21T20:00:00.123500000Z";
        assert_eq!(line["request"], json!({ "head": BASE64.encode(HEAD.as_bytes()), "body": "", "last_byte": asked }));
        assert_eq!(line["response"]["body"], "b2s=");
        assert_eq!(line["response"]["first_byte"], "2026-11-21T20:00:00.124750000Z");
        assert_eq!(line["response"]["last_byte"], "2026-11-21T20:00:00.125000000Z");
        let unanswered = JoinedExchange { response: Err(Damage::NoResponse), ..exchange() };
        let line = value(&unanswered, true);
        assert_eq!(line["response"], json!(null));
        assert!(line.as_object().unwrap().contains_key("response"));
    }

    #[test]
    fn nothing_is_known_of_a_response_that_was_not_captured() {
        let unanswered = JoinedExchange { response: Err(Damage::NoResponse), ..exchange() };
        let line = value(&unanswered, false);
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
