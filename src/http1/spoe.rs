//! Messages of HAProxy's SPOE become events: requests, and the responses that belong to them.
//!
//! A message with `method` is a request, one with `status` a response. They belong together by `id`, for which the shipped
//! configuration has HAProxy's `unique-id`: streams have other numbers from message to message since HAProxy 3.1. Heads
//! are as HAProxy shows them. A body that is shorter than its head or `size` says is cut, and so is the message.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::BodyPolicies;
use super::one_shot::{self, RequestHint};
use super::spoe_count::CountedRequests;
use crate::capture::spoe::{SpoeMessage, SpoeNotice, SpopValue, messages};
use crate::exchange::{
    ConnectionId, Damage, Event, ExchangeId, Incomplete, Request, RequestState, Response, Timestamp, path_and_query,
};

/// Requests whose response has not come. Past it the oldest has none.
const MAX_WAITING: usize = 65_536;
/// Time after which a response comes no more: longer than servers take, and shorter than a night.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// Connections that are remembered, by the client's address. Past it those are forgotten that were heard of least lately.
const MAX_CONNECTIONS: usize = 65_536;
/// Bytes of a buffer of HAProxy that a message cannot fill: `tune.maxrewrite`, and what blocks and arguments take. A body
/// of which no length is known is whole for certain only where it leaves more than that.
const RESERVE: usize = 4096;

/// Counts of what HAProxy told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpoeMessageCounts {
    /// Requests.
    pub(crate) requests: u64,
    /// Requests of them whose body, or head, came in part.
    pub(crate) cut: u64,
    /// The first of these, in words.
    pub(crate) first_cut: Option<String>,
    /// Responses.
    pub(crate) responses: u64,
    /// Responses whose request is not known.
    pub(crate) orphans: u64,
    /// Messages without an id.
    pub(crate) without_id: u64,
    /// Payloads and messages that cannot be read.
    pub(crate) unread: u64,
    /// Requests that HAProxy counted, and of which nothing was read.
    pub(crate) missed: u64,
}

/// Makes events of messages.
#[derive(Debug, Default)]
pub(crate) struct SpoeExchanges {
    interests: BodyPolicies,
    waiting: HashMap<Box<[u8]>, WaitingRequest, foldhash::fast::RandomState>,
    /// In the order in which they came; some have their response.
    order: VecDeque<(Timestamp, Box<[u8]>, ExchangeId)>,
    connections: [HashMap<SocketAddr, (ConnectionId, u32), foldhash::fast::RandomState>; 2],
    last_connection: u64,
    counted: CountedRequests,
    counts: SpoeMessageCounts,
}

#[derive(Debug)]
struct WaitingRequest {
    of: ExchangeId,
    hint: RequestHint,
}

impl SpoeExchanges {
    pub(crate) fn new(interests: BodyPolicies) -> Self {
        Self { interests, ..Self::default() }
    }

    pub(crate) fn counts(&self) -> SpoeMessageCounts {
        SpoeMessageCounts { missed: self.counted.missed(), ..self.counts.clone() }
    }

    /// Takes what HAProxy told of one event.
    pub(crate) fn take(&mut self, notice: &SpoeNotice, sink: &mut dyn FnMut(Event)) {
        let Some(messages) = messages(&notice.payload) else {
            self.counts.unread += 1;
            return;
        };
        for message in messages {
            let counted = message.bytes("process").zip(message.number("count"));
            if message.bytes("method").is_some() {
                if let Some((process, count)) = counted {
                    self.counted.request(process, count);
                }
                self.request(&message, notice, sink);
            } else if message.number("status").is_some() {
                if let Some((process, count)) = counted {
                    self.counted.response(process, count);
                }
                self.response(&message, notice, sink);
            } else {
                self.counts.unread += 1;
            }
        }
    }

    /// Gives up what has waited for too long.
    pub(crate) fn idle(&mut self, now: Timestamp, sink: &mut dyn FnMut(Event)) {
        while self.order.front().is_some_and(|(at, ..)| now.since(*at) > MAX_WAIT) {
            self.give_up(Damage::NoResponse, sink);
        }
    }

    /// Ends: what waits has no response.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(Event)) {
        while !self.order.is_empty() {
            self.give_up(Damage::EndOfCapture, sink);
        }
    }

    fn request(&mut self, message: &SpoeMessage<'_>, notice: &SpoeNotice, sink: &mut dyn FnMut(Event)) {
        let Some(whole) = RequestMessage::of(message, notice.max_frame_size) else {
            self.counts.unread += 1;
            return;
        };
        // What stands behind its end would be another request, which nobody has seen.
        let single = one_shot::request(&whole.bytes, self.interests.request_body).filter(|single| single.rest == 0);
        let Some(single) = single else {
            self.counts.unread += 1;
            return;
        };
        let client = address(message, "src", "src_port");
        let id = self.exchange(client);
        let hint = RequestHint::by(&single.head);
        let state = match single.state {
            RequestState::Whole if whole.is_cut => RequestState::Incomplete(Incomplete::Cut),
            other => other,
        };
        self.counts.requests += 1;
        if matches!(state, RequestState::Incomplete(_)) {
            self.counts.cut += 1;
            self.counts.first_cut.get_or_insert_with(|| whole.described());
        }
        let request = Request {
            id,
            client,
            server: address(message, "dst", "dst_port"),
            head: single.head,
            body: single.body,
            first_byte: notice.at,
            last_byte: notice.at,
            state,
        };
        sink(Event::Request(Box::new(request)));
        if let Some(name) = message.bytes("id").filter(|id| !id.is_empty()) {
            if let Some(before) = self.waiting.insert(name.into(), WaitingRequest { of: id, hint }) {
                sink(Event::Damaged { of: before.of, why: Damage::PairingLost });
            }
            self.order.push_back((notice.at, name.into(), id));
            while self.order.len() > MAX_WAITING {
                self.give_up(Damage::NoResponse, sink);
            }
        } else {
            self.counts.without_id += 1;
            sink(Event::Damaged { of: id, why: Damage::PairingLost });
        }
    }

    fn response(&mut self, message: &SpoeMessage<'_>, notice: &SpoeNotice, sink: &mut dyn FnMut(Event)) {
        self.counts.responses += 1;
        let waiting = message.bytes("id").and_then(|id| self.waiting.remove(id));
        let hint = waiting.as_ref().map_or(RequestHint::UNKNOWN, |waiting| waiting.hint);
        let response = response(message, notice, hint, self.interests);
        match (waiting, response) {
            (Some(WaitingRequest { of, .. }), Some(response)) => sink(Event::Response { of, response }),
            (Some(WaitingRequest { of, .. }), None) => {
                self.counts.unread += 1;
                sink(Event::Damaged { of, why: Damage::Malformed });
            }
            (None, Some(response)) => {
                self.counts.orphans += 1;
                sink(Event::Orphan { connection: ConnectionId(0), response });
            }
            (None, None) => self.counts.unread += 1,
        }
    }

    fn give_up(&mut self, why: Damage, sink: &mut dyn FnMut(Event)) {
        let Some((_, name, of)) = self.order.pop_front() else { return };
        if self.waiting.get(&name).is_some_and(|waiting| waiting.of == of) {
            self.waiting.remove(&name);
            sink(Event::Damaged { of, why });
        }
    }

    /// The next exchange of a client's connection.
    fn exchange(&mut self, client: SocketAddr) -> ExchangeId {
        let [young, old] = &mut self.connections;
        let known = young.get(&client).copied().or_else(|| old.remove(&client)).filter(|_| client.port() != 0);
        let (connection, count) = known.unwrap_or_else(|| {
            self.last_connection += 1;
            (ConnectionId(self.last_connection), 0)
        });
        if young.len() >= MAX_CONNECTIONS / 2 {
            *old = std::mem::take(young);
        }
        young.insert(client, (connection, count + 1));
        ExchangeId::new(connection, count + 1)
    }
}

/// A request as a message has it, in the form of HTTP/1.
struct RequestMessage {
    bytes: Vec<u8>,
    is_cut: bool,
    what: String,
    body: usize,
    size: Option<u64>,
}

impl RequestMessage {
    fn of(message: &SpoeMessage<'_>, max_frame_size: usize) -> Option<Self> {
        let method = message.bytes("method")?;
        let version = message.bytes("ver").unwrap_or(b"1.1");
        let target = target(message, version)?;
        let fields = message.bytes("hdrs");
        let (body, size) = (message.bytes("body").unwrap_or_default(), message.number("size"));
        let minor: &[u8] = if version == b"1.0" { b"0" } else { b"1" };
        let mut bytes = [method, b" ", target, b" HTTP/1.", minor, b"\r\n"].concat();
        let framing = MessageFraming::of(fields.unwrap_or_default());
        bytes.extend_from_slice(without_end(fields.unwrap_or_default()));
        let is_known = framing.length.is_some() || (size.is_some_and(|size| size > body.len() as u64));
        if !framing.is_chunked && framing.length.is_none() && (!body.is_empty() || takes_body(method)) {
            bytes.extend_from_slice(format!("content-length: {}\r\n", size.unwrap_or(body.len() as u64)).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let has_room = bytes.len() + body.len() + RESERVE <= max_frame_size;
        // Whoever sends chunks has something to say.
        let may_be_cut = !is_known && !body.is_empty() && !has_room || framing.is_chunked && body.is_empty();
        let is_cut = fields.is_none() || may_be_cut || size.is_some_and(|size| size > body.len() as u64);
        if framing.is_chunked {
            chunk(&mut bytes, body, !is_cut);
        } else {
            bytes.extend_from_slice(body);
        }
        let what = format!("{} {}", String::from_utf8_lossy(method), String::from_utf8_lossy(target));
        Some(Self { bytes, is_cut, what, body: body.len(), size: size.or(framing.length) })
    }

    fn described(&self) -> String {
        let of = self.size.map_or_else(String::new, |size| format!(" of {size}"));
        let what: String = self.what.chars().take(80).collect();
        format!("{what}, {}{of} bytes", self.body)
    }
}

/// The target as an HTTP/1 server expects it: HAProxy shows that of HTTP/2 with scheme and authority.
fn target<'a>(message: &SpoeMessage<'a>, version: &[u8]) -> Option<&'a [u8]> {
    let url = message.bytes("url").filter(|url| !url.is_empty())?;
    Some(if version.starts_with(b"1.") { url } else { path_and_query(url) })
}

/// How the body of a message is framed, by its fields as text.
#[derive(Clone, Copy, Debug, Default)]
struct MessageFraming {
    length: Option<u64>,
    is_chunked: bool,
}

impl MessageFraming {
    fn of(fields: &[u8]) -> Self {
        let mut framing = Self::default();
        for line in fields.split(|byte| *byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                framing.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                framing.is_chunked = value.to_ascii_lowercase().ends_with(b"chunked");
            }
        }
        framing
    }
}

/// Fields without the empty line that ends them.
fn without_end(fields: &[u8]) -> &[u8] {
    match fields {
        b"\r\n" => b"",
        [before @ .., b'\r', b'\n', b'\r', b'\n'] => fields.get(..before.len() + 2).unwrap_or_default(),
        fields => fields,
    }
}

fn takes_body(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

/// Content as one chunk, and the end of chunks where it is whole.
fn chunk(bytes: &mut Vec<u8>, body: &[u8], is_whole: bool) {
    if !body.is_empty() {
        bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n");
    }
    if is_whole {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
}

fn response(
    message: &SpoeMessage<'_>,
    notice: &SpoeNotice,
    hint: RequestHint,
    interests: BodyPolicies,
) -> Option<Box<Response>> {
    let status = message.number("status")?;
    let fields = message.bytes("hdrs");
    let body = message.bytes("body").unwrap_or_default();
    let framing = MessageFraming::of(fields.unwrap_or_default());
    let mut bytes = format!("HTTP/1.1 {status:03} \r\n").into_bytes();
    bytes.extend_from_slice(without_end(fields.unwrap_or_default()));
    bytes.extend_from_slice(b"\r\n");
    if framing.is_chunked {
        // HAProxy says of no such body whether all of it is there.
        chunk(&mut bytes, body, false);
    } else {
        bytes.extend_from_slice(body);
    }
    let single = one_shot::response(&bytes, hint, interests.response_body)?;
    let one_shot::ResponseTraits { status, damage, opaque } = single.state;
    let is_open = matches!(single.body.framing, crate::exchange::Framing::UntilClose);
    Some(Box::new(Response {
        status,
        head: single.head,
        body: single.body,
        first_byte: notice.at,
        last_byte: notice.at,
        damage: damage.or((is_open || fields.is_none()).then_some(Damage::Cut)),
        opaque,
        untimed: false,
        left: false,
    }))
}

fn address(message: &SpoeMessage<'_>, ip: &str, port: &str) -> SocketAddr {
    let ip = match message.get(ip) {
        Some(SpopValue::Address(address)) => address,
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let port = message.number(port).and_then(|port| u16::try_from(port).ok());
    SocketAddr::new(ip, port.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::BodyPolicy;

    /// A payload with one message of these arguments.
    fn payload(arguments: &[(&str, Argument)]) -> Vec<u8> {
        let text = |out: &mut Vec<u8>, text: &[u8]| {
            assert!(text.len() < 240);
            out.push(u8::try_from(text.len()).unwrap());
            out.extend_from_slice(text);
        };
        let mut out = Vec::new();
        text(&mut out, b"m");
        out.push(u8::try_from(arguments.len()).unwrap());
        for (name, value) in arguments {
            text(&mut out, name.as_bytes());
            match value {
                Argument::Text(value) => {
                    out.push(8);
                    text(&mut out, value.as_bytes());
                }
                Argument::Number(number) => {
                    let number: u64 = *number;
                    out.push(4);
                    if number < 240 {
                        out.push(u8::try_from(number).unwrap());
                    } else {
                        assert!(number < 2288);
                        out.push(u8::try_from(number & 0x0f | 0xf0).unwrap());
                        out.push(u8::try_from((number - 240) >> 4).unwrap());
                    }
                }
                Argument::Client => out.extend_from_slice(&[6, 10, 0, 0, 7]),
            }
        }
        out
    }

    enum Argument {
        Text(&'static str),
        Number(u64),
        Client,
    }
    use Argument::{Client, Number, Text};

    fn told(payloads: &[Vec<u8>]) -> (Vec<String>, SpoeMessageCounts) {
        let keep = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
        let (mut exchanges, mut told) = (SpoeExchanges::new(keep), Vec::new());
        let mut sink = |event: Event| {
            told.push(match event {
                Event::Request(request) => format!(
                    "{} {} {}|{}|{:?}",
                    request.id,
                    request.client,
                    String::from_utf8_lossy(request.head.as_bytes()).replace("\r\n", "/"),
                    String::from_utf8_lossy(&request.body.content().unwrap_or_default()),
                    request.state
                ),
                Event::Response { of, response } => {
                    format!("{of} {} {:?} {}", response.status, response.damage, response.body.len)
                }
                Event::Damaged { of, why } => format!("{of} {why}"),
                Event::Orphan { response, .. } => format!("orphan {}", response.status),
                other => panic!("{other:?}"),
            });
        };
        for payload in payloads {
            let notice =
                SpoeNotice { at: Timestamp::from_nanos(5), payload: payload.clone().into(), max_frame_size: 16_380 };
            exchanges.take(&notice, &mut sink);
        }
        exchanges.finish(&mut sink);
        let counts = exchanges.counts();
        (told, counts)
    }

    #[test]
    fn a_request_and_its_response_belong_together_by_their_id() {
        let request = payload(&[
            ("id", Text("u1")),
            ("src", Client),
            ("src_port", Number(2000)),
            ("method", Text("POST")),
            ("url", Text("https://h.example/a?b")),
            ("ver", Text("2.0")),
            ("hdrs", Text("host: h.example\r\ncontent-length: 3\r\n\r\n")),
            ("body", Text("abc")),
            ("size", Number(3)),
        ]);
        let other = payload(&[
            ("id", Text("u2")),
            ("src", Client),
            ("src_port", Number(2000)),
            ("method", Text("GET")),
            ("url", Text("/x")),
            ("ver", Text("1.1")),
            ("hdrs", Text("\r\n")),
            ("body", Text("")),
            ("size", Number(0)),
        ]);
        let response = payload(&[
            ("id", Text("u1")),
            ("status", Number(201)),
            ("hdrs", Text("Content-Length: 2\r\n\r\n")),
            ("body", Text("ok")),
        ]);
        let stray = payload(&[("id", Text("u9")), ("status", Number(200)), ("hdrs", Text("\r\n"))]);
        let (told, counts) = told(&[request, other, response, stray]);
        assert_eq!(
            told,
            [
                "1.1 10.0.0.7:2000 POST /a?b HTTP/1.1/host: h.example/content-length: 3//|abc|Whole",
                "1.2 10.0.0.7:2000 GET /x HTTP/1.1//||Whole",
                "1.1 201 None 2",
                "orphan 200",
                "1.2 end of capture",
            ]
        );
        assert_eq!((counts.requests, counts.responses, counts.orphans, counts.cut), (2, 2, 1, 0));
    }

    #[track_caller]
    fn check_body(fields: &'static str, body: &'static str, size: u64, expected: &str) {
        let request = payload(&[
            ("id", Text("u1")),
            ("method", Text("POST")),
            ("url", Text("/")),
            ("ver", Text("1.1")),
            ("hdrs", Text(fields)),
            ("body", Text(body)),
            ("size", Number(size)),
        ]);
        let (told, counts) = told(&[request]);
        assert!(told[0].ends_with(expected), "{}", told[0]);
        assert_eq!(counts.cut, u64::from(expected.contains("Cut")));
        assert_eq!(counts.first_cut.is_some(), expected.contains("Cut"));
    }

    #[test]
    fn nothing_that_is_cut_is_whole() {
        check_body("content-length: 5\r\n\r\n", "hello", 5, "|hello|Whole");
        check_body("content-length: 5\r\n\r\n", "hel", 5, "|hel|Incomplete(Cut)");
        check_body("content-length: 5\r\n\r\n", "", 0, "||Incomplete(Cut)");
        check_body("x: y\r\n\r\n", "hel", 9, "|hel|Incomplete(Cut)");
        check_body("x: y\r\n\r\n", "hello", 5, "content-length: 5//|hello|Whole");
        check_body("\r\n", "", 0, "content-length: 0//||Whole");
        check_body("transfer-encoding: chunked\r\n\r\n", "hello", 5, "|hello|Whole");
        check_body("transfer-encoding: chunked\r\n\r\n", "", 0, "||Incomplete(Cut)");
    }

    #[test]
    fn chunks_that_may_go_on_are_cut() {
        let body = "a".repeat(200);
        let message = SpoeMessage {
            arguments: vec![
                (b"method", SpopValue::Bytes(b"POST")),
                (b"url", SpopValue::Bytes(b"/")),
                (b"hdrs", SpopValue::Bytes(b"Transfer-Encoding: chunked\r\n\r\n")),
                (b"body", SpopValue::Bytes(body.as_bytes())),
                (b"size", SpopValue::Number(200)),
            ],
        };
        assert!(RequestMessage::of(&message, 4_300).unwrap().is_cut, "the buffer may have been full");
        assert!(!RequestMessage::of(&message, 16_380).unwrap().is_cut);
    }

    #[test]
    fn what_haproxy_counted_and_did_not_tell_of_is_missed() {
        let request = |count: u64| {
            payload(&[
                ("id", Text("u")),
                ("method", Text("GET")),
                ("url", Text("/")),
                ("hdrs", Text("\r\n")),
                ("process", Text("p")),
                ("count", Number(count)),
            ])
        };
        let response = |count: u64| {
            payload(&[
                ("id", Text("u")),
                ("status", Number(204)),
                ("hdrs", Text("\r\n")),
                ("process", Text("p")),
                ("count", Number(count)),
            ])
        };
        let uncounted = payload(&[("method", Text("GET")), ("url", Text("/")), ("hdrs", Text("\r\n"))]);
        let (_, counts) = told(&[request(7), response(8), request(10), response(12), uncounted]);
        assert_eq!((counts.requests, counts.missed), (3, 3), "12 - 7 were counted, and 2 of them told");
    }

    #[test]
    fn what_has_no_id_or_no_form_is_counted() {
        let lone = payload(&[("method", Text("GET")), ("url", Text("/")), ("hdrs", Text("\r\n"))]);
        let (told, counts) = told(&[
            lone,
            payload(&[("x", Number(1))]),
            vec![0xff],
            payload(&[("method", Text("GET")), ("url", Text("")), ("hdrs", Text("\r\n"))]),
        ]);
        assert_eq!((counts.without_id, counts.unread), (1, 3), "{told:?}");
        assert_eq!(told[1], "1.1 pairing lost");
    }

    #[test]
    fn a_response_whose_end_nobody_tells_is_cut() {
        let request =
            || payload(&[("id", Text("u")), ("method", Text("GET")), ("url", Text("/")), ("hdrs", Text("\r\n"))]);
        for (fields, body, expected) in [
            ("transfer-encoding: chunked\r\n\r\n", "ok", "200 Some(Cut) 2"),
            ("content-length: 9\r\n\r\n", "ok", "200 Some(Cut) 2"),
            ("x: y\r\n\r\n", "ok", "200 Some(Cut) 2"),
            ("content-length: 2\r\n\r\n", "ok", "200 None 2"),
        ] {
            let response =
                payload(&[("id", Text("u")), ("status", Number(200)), ("hdrs", Text(fields)), ("body", Text(body))]);
            let (told, _) = told(&[request(), response]);
            assert!(told[1].ends_with(expected), "{fields}: {}", told[1]);
        }
    }
}
