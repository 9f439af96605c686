//! Entries of an archive as exchanges.
//!
//! Heads are made of the lists of headers, and read by the rules of streams. Content has no codings in an archive: the
//! headers that name them go, and the length is that of the content. What a browser took from its cache, and what is no
//! HTTP, is passed over and counted.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::document::{EntriesSearch, Position};
use super::entry::{Entry, Skipped, Times, Url, shortened};
use super::message::{request, response};
use crate::capture::OpenedInput;
use crate::exchange::{ConnectionId, Damage, ExchangeId, Incomplete, Request, RequestState, Timestamp};
use crate::http1::one_shot::RequestHint;
use crate::http1::{BodyPolicies, BodyPolicy, MAX_HEAD_BYTES, MAX_KEPT_BODY};
use crate::recording::exchange_join::JoinedExchange;
use crate::recording::framing::{FramingStep, RecordFraming};
use crate::recording::skipped::SkippedRecords;

/// Longest entry that is read, in bytes: both heads and bodies at their longest, in base64, and the rest. A longer one is
/// passed over, and counted.
const MAX_ENTRY_BYTES: usize = (MAX_HEAD_BYTES + MAX_KEPT_BODY) * 2 / 3 * 4 + (2 << 20);
/// Bytes of memory that a byte of an entry takes at most; see the reader of lines.
const COST: usize = 6;

/// Reads an archive.
pub(in crate::recording) struct HarReader {
    pieces: RecordFraming,
    interests: BodyPolicies,
    current: Option<HarExchange>,
    skipped: SkippedRecords,
    /// The list has ended.
    done: bool,
}

/// An exchange without an id.
pub(in crate::recording) struct HarExchange {
    pub(in crate::recording) exchange: JoinedExchange,
    /// What its connection is called.
    pub(in crate::recording) connection: String,
}

impl HarReader {
    /// Reads an archive of which no entry costs more than `memory` bytes; `None` where it has no list of entries.
    pub(in crate::recording) fn new(mut opened: OpenedInput, memory: usize) -> io::Result<Option<Self>> {
        let mut search = EntriesSearch::default();
        loop {
            let available = opened.input.available();
            if let Some(begin) = search.pass(available) {
                opened.input.consume(begin);
                break;
            }
            opened.input.consume(available.len());
            if !opened.input.more()? {
                return Ok(None);
            }
        }
        let pieces = RecordFraming::new(opened, "request", 0, MAX_ENTRY_BYTES.min(memory / COST));
        let keep = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
        Ok(Some(Self { pieces, interests: keep, current: None, skipped: SkippedRecords::default(), done: false }))
    }

    /// Sets the policies for bodies from now on.
    pub(in crate::recording) const fn set_interests(&mut self, interests: BodyPolicies) {
        self.interests = interests;
    }

    /// Moves to the next entry that is an exchange; false at the end.
    pub(in crate::recording) fn advance(&mut self) -> bool {
        self.current = None;
        while !self.done {
            let (position, list_ends) = (Cell::new(Position::default()), Cell::new(false));
            let piece = match self.pieces.advance(|bytes, from| end_of_entry(&position, &list_ends, bytes, from)) {
                FramingStep::Piece(piece) => piece,
                FramingStep::TooLong => {
                    let (count, limit) = (self.pieces.count(), self.pieces.limit());
                    self.skipped.count("it is too long", || format!("is entry {count}: {limit}"));
                    continue;
                }
                // The list has an end, or the file was cut.
                FramingStep::Torn(_) | FramingStep::End => {
                    self.pieces.report_torn();
                    return false;
                }
            };
            self.done = list_ends.get();
            let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
            let bytes = self.pieces.bytes(&piece);
            let begin = bytes.iter().position(|byte| !is_between(byte)).unwrap_or(bytes.len());
            let bytes = bytes.get(begin..).unwrap_or_default();
            if self.done && bytes == b"]" {
                return false;
            }
            match read(bytes, self.interests) {
                Ok(exchange) => {
                    self.current = Some(exchange);
                    return true;
                }
                Err((why, detail)) => {
                    let count = self.pieces.count();
                    self.skipped.count(why, || format!("is entry {count}: {detail}"));
                }
            }
        }
        false
    }

    /// Returns the end time of the current exchange.
    pub(in crate::recording) fn at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|current| super::super::jsonl_read::ended(&current.exchange))
    }

    /// The current exchange.
    pub(in crate::recording) const fn take(&mut self) -> Option<HarExchange> {
        self.current.take()
    }

    pub(in crate::recording) fn warnings(&self) -> Vec<String> {
        self.pieces.warnings(&self.skipped)
    }

    pub(in crate::recording) fn unread(&self) -> Option<String> {
        self.pieces.unread()
    }

    pub(in crate::recording) fn progress(&self) -> Option<f64> {
        self.pieces.progress()
    }
}

/// Finds the end of an entry, or the bracket that ends their list.
fn end_of_entry(
    position: &Cell<Position>,
    list_ends: &Cell<bool>,
    bytes: &[u8],
    from: usize,
) -> Option<(usize, usize)> {
    let mut now = position.get();
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        let is_end = *byte == b']' && now == Position::default();
        if now.pass(*byte) || is_end {
            list_ends.set(is_end);
            return Some((at + 1, at + 1));
        }
    }
    position.set(now);
    None
}

fn read(bytes: &[u8], interests: BodyPolicies) -> Result<HarExchange, Skipped> {
    let entry: Entry<'_> = serde_json::from_slice(bytes).map_err(|error| ("it is no exchange", error.to_string()))?;
    if entry.from_cache.is_some() {
        return Err(("it came out of the browser's cache", shortened(&entry.request.url)));
    }
    let url = Url::parse(&entry.request.url)?;
    let begun: Timestamp = entry.started_date_time.parse().map_err(|_| {
        ("its time cannot be read", format!("`startedDateTime` is `{}`", shortened(&entry.started_date_time)))
    })?;
    let times = Times::new(begun, entry.time, entry.timings.unwrap_or_default());
    let own = entry.own.as_ref();
    let address = |text: Option<&String>| text.and_then(|text| text.parse::<SocketAddr>().ok());
    let unknown = || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let server_ip = entry.server_ip_address.as_deref().map(|text| text.trim_matches(['[', ']']));
    let server_ip = server_ip.and_then(|text| text.parse::<IpAddr>().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let server =
        address(own.and_then(|own| own.server.as_ref())).unwrap_or_else(|| SocketAddr::new(server_ip, url.port));
    let client = address(own.and_then(|own| own.client.as_ref())).unwrap_or_else(unknown);
    let (head, body, state) = request(&entry.request, &url, interests.request_body)?;
    let state = match own.and_then(|own| own.state.as_deref()) {
        // What was damaged when it was captured is not whole because its head is.
        Some(text) if text.starts_with("incomplete") || text.starts_with("malformed") => match state {
            RequestState::Whole => RequestState::Incomplete(Incomplete::Cut),
            known => known,
        },
        _ => state,
    };
    let asked = RequestHint::by(&head);
    let request = Request {
        id: ExchangeId::new(ConnectionId(0), 0),
        client,
        server,
        head,
        body,
        first_byte: times.sent,
        last_byte: times.asked,
        state,
    };
    let response = entry.response.as_ref().and_then(|answered| response(answered, &request, asked, &times, interests));
    let name = match &entry.connection {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let connection = format!("{name} {server} {client}");
    let exchange = JoinedExchange { request: Box::new(request), response: response.ok_or(Damage::NoResponse) };
    Ok(HarExchange { exchange, connection })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exchange::Head;

    const KEEP: BodyPolicies = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };

    fn entry(request: &str, response: &str) -> String {
        format!(
            r#"{{"startedDateTime":"2026-11-21T21:15:00.5+01:00","time":30,"request":{request},"response":{response},
            "timings":{{"blocked":10,"dns":-1,"connect":-1,"send":1,"wait":20,"receive":2}},"cache":{{}}}}"#
        )
    }

    #[track_caller]
    fn reads(request: &str, response: &str) -> JoinedExchange {
        match read(entry(request, response).as_bytes(), KEEP) {
            Ok(read) => read.exchange,
            Err(why) => panic!("{why:?}"),
        }
    }

    #[track_caller]
    fn skips(request: &str, part: &str) {
        let (why, detail) = read(entry(request, "null").as_bytes(), KEEP).err().unwrap();
        assert!(format!("{why}: {detail}").contains(part), "{why}: {detail}");
    }

    fn head(head: &Head) -> String {
        String::from_utf8(head.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn an_entry_of_http_2_is_a_request_of_http_1() {
        let exchange = reads(
            r#"{"method":"POST","url":"https://u:p@api.example.com:8443/a b?q=1#top","httpVersion":"h2",
            "headers":[{"name":":authority","value":"api.example.com:8443"},{"name":":method","value":"POST"},
            {"name":"content-length","value":"99"},{"name":"accept","value":"*/*"}],
            "postData":{"mimeType":"text/plain","text":"aGk=","encoding":"base64"}}"#,
            r#"{"status":200,"statusText":"","headers":[{"name":"set-cookie","value":"a=1\nb=2"},
            {"name":"content-encoding","value":"br"}],"content":{"size":3,"text":"déj"}}"#,
        );
        let JoinedExchange { request, response } = exchange;
        assert_eq!(
            head(&request.head),
            "POST /a%20b?q=1 HTTP/1.1\r\nHost: api.example.com:8443\r\naccept: */*\r\nContent-Length: 2\r\n\r\n"
        );
        assert_eq!((request.body.wire.as_deref(), request.server.port()), (Some(&b"hi"[..]), 8443));
        assert_eq!(request.state, RequestState::Whole);
        let response = response.unwrap();
        assert_eq!(
            head(&response.head),
            "HTTP/1.1 200 \r\nset-cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 4\r\n\r\n"
        );
        assert_eq!(response.latency(request.last_byte), Some(Duration::from_millis(20)));
        assert_eq!(request.first_byte.to_string(), "2026-11-21T20:15:00.510000000Z");
    }

    #[test]
    fn a_body_that_is_not_in_the_archive_is_not_made_up() {
        let post = |rest: &str| format!(r#"{{"method":"POST","url":"http://h/","headers":[]{rest}}}"#);
        let cut = RequestState::Incomplete(Incomplete::Cut);
        assert_eq!(reads(&post(r#","bodySize":5"#), "null").request.state, cut);
        let multipart = r#","bodySize":5,"postData":{"mimeType":"multipart/form-data","params":[{"name":"f"}]}"#;
        assert_eq!(reads(&post(multipart), "null").request.state, cut);
        assert_eq!(reads(&post(r#","bodySize":0"#), "null").request.state, RequestState::Whole);
        let form =
            r#","postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"a","value":"b c"}]}"#;
        assert_eq!(reads(&post(form), "null").request.body.wire.as_deref(), Some(&b"a=b+c"[..]));
        let without = r#"{"status":200,"headers":[{"name":"content-length","value":"3"}],"content":{"size":70}}"#;
        let body = reads(&post(""), without).response.unwrap().body;
        assert_eq!((body.len, body.wire), (70, None));
    }

    #[test]
    fn what_is_no_http_request_is_passed_over_with_its_reason() {
        let get = |url: &str| format!(r#"{{"method":"GET","url":"{url}","headers":[]}}"#);
        skips(&get("data:text/plain,x"), "no HTTP request: data:text");
        skips(&get("chrome-extension://x/y"), "no HTTP request");
        skips(&get("wss://h/"), "a WebSocket");
        skips(&get("http://"), "no HTTP request");
        skips(r#"{"method":"","url":"http://h/"}"#, "no method");
        skips(r#"{"method":"GET","url":"http://h/","headers":[{"name":"a b","value":""}]}"#, "a header is none");
        skips(r#"{"method":"GET"}"#, "missing field `url`");
    }

    #[test]
    fn no_status_is_no_response() {
        let get = r#"{"method":"GET","url":"http://h"}"#;
        for response in ["null", r#"{"status":0,"statusText":"","headers":[]}"#, r#"{"status":-1}"#] {
            assert_eq!(reads(get, response).response.err(), Some(Damage::NoResponse));
        }
        let head = r#"{"method":"HEAD","url":"http://h"}"#;
        let response = r#"{"status":200,"headers":[{"name":"Content-Length","value":"70"}],"content":{"size":0}}"#;
        assert_eq!(reads(head, response).response.unwrap().damage, None);
    }
}
