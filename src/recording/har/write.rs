//! Exchanges as entries of an archive.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use data_encoding::BASE64;
use serde::Serialize;

use super::OWN;
use crate::content_coding::{codings, decode_all};
use crate::exchange::{Body, Head, Request, Response, wire_text};
use crate::http1::MAX_KEPT_BODY;
use crate::recording::exchange_join::JoinedExchange;
use crate::recording::jsonl_write::state;

/// Writes an archive, one entry after another.
#[derive(Debug)]
pub struct HarWriter<W: Write> {
    to: W,
    entries: u64,
}

impl<W: Write> HarWriter<W> {
    /// An archive without entries.
    ///
    /// # Errors
    ///
    /// Where its beginning cannot be written.
    pub fn new(mut to: W) -> io::Result<Self> {
        let version = env!("CARGO_PKG_VERSION");
        write!(
            to,
            "{{\"log\":{{\"version\":\"1.2\",\"creator\":{{\"name\":\"shadowtap\",\"version\":\"{version}\"}},\"entries\":["
        )?;
        Ok(Self { to, entries: 0 })
    }

    /// Appends an entry.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn exchange(&mut self, exchange: &JoinedExchange) -> io::Result<()> {
        self.to.write_all(if self.entries == 0 { b"\n" } else { b",\n" })?;
        self.entries += 1;
        serde_json::to_writer(&mut self.to, &entry(exchange)).map_err(io::Error::from)
    }

    /// Hands on what is held back.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// Ends the archive.
    ///
    /// # Errors
    ///
    /// Where its end cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(b"\n]}}\n")?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// An entry. Keys that the format demands are there, even where nothing is known.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEntry<'a> {
    started_date_time: String,
    time: f64,
    request: HarRequest<'a>,
    response: HarResponse<'a>,
    cache: Nothing,
    timings: Timings,
    #[serde(rename = "serverIPAddress")]
    server_ip_address: String,
    connection: String,
    #[serde(rename = "_shadowtap")]
    own: Own,
}

#[derive(Serialize)]
struct Nothing {}

/// What the format has no place for.
#[derive(Serialize)]
struct Own {
    id: String,
    client: String,
    server: String,
    state: Cow<'static, str>,
}

/// Milliseconds; -1 where it is not known.
#[derive(Serialize)]
struct Timings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest<'a> {
    method: Cow<'a, str>,
    url: String,
    http_version: String,
    cookies: Vec<NameValue<'a>>,
    headers: Vec<NameValue<'a>>,
    query_string: Vec<NameValue<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<Content<'a>>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HarResponse<'a> {
    status: u16,
    status_text: Cow<'a, str>,
    http_version: String,
    cookies: Vec<NameValue<'a>>,
    headers: Vec<NameValue<'a>>,
    content: Content<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: Cow<'a, str>,
    headers_size: i64,
    body_size: i64,
    #[serde(rename = "_error", skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'static, str>>,
}

#[derive(Serialize)]
struct NameValue<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

/// Content of a message, without its codings where these are known.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mime_type: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
}

fn entry(exchange: &JoinedExchange) -> WrittenEntry<'_> {
    debug_assert_eq!(OWN, "_shadowtap");
    let request = exchange.request.as_ref();
    let response = exchange.response.as_deref().ok();
    let send = request.last_byte.since(request.first_byte);
    let wait = response.and_then(|response| response.latency(request.last_byte));
    let receive = response.map(|response| response.last_byte.since(response.first_byte));
    let known = send + wait.unwrap_or_default() + receive.unwrap_or_default();
    let millis = |time: Option<Duration>| time.map_or(-1.0, |time| time.as_secs_f64() * 1000.0);
    let state = state(exchange);
    WrittenEntry {
        started_date_time: request.first_byte.to_string(),
        time: millis(Some(known)),
        request: har_request(request),
        response: response.map_or_else(|| no_response(state.clone()), har_response),
        cache: Nothing {},
        timings: Timings {
            blocked: -1.0,
            dns: -1.0,
            connect: -1.0,
            ssl: -1.0,
            send: millis(Some(send)),
            // These two are demanded; nothing took no time where there was none.
            wait: millis(wait).max(0.0),
            receive: millis(receive).max(0.0),
        },
        server_ip_address: request.server.ip().to_string(),
        connection: request.id.connection.to_string(),
        own: Own {
            id: request.id.to_string(),
            client: request.client.to_string(),
            server: request.server.to_string(),
            state,
        },
    }
}

fn har_request(request: &Request) -> HarRequest<'_> {
    let head = &request.head;
    let target = wire_text(request.target());
    let authority = head.get("host").map_or_else(|| request.server.to_string().into(), wire_text);
    let url = if target.starts_with('/') {
        format!("http://{authority}{target}")
    } else if target.contains("://") {
        target.clone().into_owned()
    } else {
        // `OPTIONS *` and CONNECT have no path.
        format!("http://{authority}/{target}")
    };
    let has_body = request.body.len > 0;
    HarRequest {
        method: wire_text(request.method()),
        query_string: query(&url),
        url,
        http_version: version(request.version()),
        cookies: cookies(head),
        headers: headers(head),
        post_data: has_body.then(|| Content { size: None, ..content(head, &request.body, false) }),
        headers_size: size(head),
        body_size: i64::try_from(request.body.len).unwrap_or(i64::MAX),
    }
}

fn har_response(response: &Response) -> HarResponse<'_> {
    let head = &response.head;
    let line = head.start_line();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let version_word = words.next().unwrap_or_default();
    HarResponse {
        status: response.status,
        status_text: words.nth(1).map(wire_text).unwrap_or_default(),
        http_version: version(version_word.strip_prefix(b"HTTP/").unwrap_or(version_word)),
        cookies: set_cookies(head),
        headers: headers(head),
        content: content(head, &response.body, true),
        redirect_url: head.get("location").map(wire_text).unwrap_or_default(),
        headers_size: size(head),
        body_size: i64::try_from(response.body.len).unwrap_or(i64::MAX),
        error: None,
    }
}

/// Status 0 is what browsers write where there was no response.
fn no_response(state: Cow<'static, str>) -> HarResponse<'static> {
    HarResponse {
        status: 0,
        status_text: Cow::Borrowed(""),
        http_version: String::new(),
        cookies: Vec::new(),
        headers: Vec::new(),
        content: Content { size: Some(0), ..Content::default() },
        redirect_url: Cow::Borrowed(""),
        headers_size: -1,
        body_size: -1,
        error: Some(state),
    }
}

fn version(version: &[u8]) -> String {
    format!("HTTP/{}", wire_text(version))
}

fn size(head: &Head) -> i64 {
    i64::try_from(head.as_bytes().len()).unwrap_or(i64::MAX)
}

fn headers(head: &Head) -> Vec<NameValue<'_>> {
    head.lines().map(|line| NameValue { name: wire_text(line.name), value: wire_text(line.value) }).collect()
}

/// A body as text where it is text, else in base64. `decode`: without the codings that its head names.
fn content<'a>(head: &'a Head, body: &Body, decode: bool) -> Content<'a> {
    let mime_type = head.get("content-type").map(wire_text).unwrap_or_default();
    let Some(raw) = body.content() else {
        let comment = (body.len > 0).then_some("the body was not kept");
        return Content { size: Some(body.len), mime_type, comment, ..Content::default() };
    };
    let named = head.lines().filter(|line| line.name.eq_ignore_ascii_case(b"content-encoding")).map(|line| line.value);
    let codings = if decode { codings(named) } else { Vec::new() };
    let (bytes, comment) = match decode_all(raw.clone(), &codings, MAX_KEPT_BODY) {
        Ok(bytes) => (bytes, None),
        Err(_) => (raw, Some("as it was on the wire: its coding could not be taken off")),
    };
    let size = Some(bytes.len() as u64);
    let (text, encoding) = match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => (text.to_owned(), None),
        _ => (BASE64.encode(&bytes), Some("base64")),
    };
    Content { size, mime_type, text: Some(text), encoding, comment }
}

fn query(url: &str) -> Vec<NameValue<'static>> {
    let Some((_, query)) = url.split_once('?') else { return Vec::new() };
    let query = query.split('#').next().unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.map(|(name, value)| NameValue { name: name.into_owned().into(), value: value.into_owned().into() }).collect()
}

fn cookies(head: &Head) -> Vec<NameValue<'_>> {
    let lines = head.lines().filter(|line| line.name.eq_ignore_ascii_case(b"cookie"));
    lines.flat_map(|line| line.value.split(|byte| *byte == b';')).filter_map(pair).collect()
}

fn set_cookies(head: &Head) -> Vec<NameValue<'_>> {
    let lines = head.lines().filter(|line| line.name.eq_ignore_ascii_case(b"set-cookie"));
    lines.filter_map(|line| pair(line.value.split(|byte| *byte == b';').next().unwrap_or_default())).collect()
}

fn pair(cookie: &[u8]) -> Option<NameValue<'_>> {
    let cookie = cookie.trim_ascii();
    let at = memchr::memchr(b'=', cookie)?;
    let (name, value) = cookie.split_at_checked(at)?;
    Some(NameValue { name: wire_text(name), value: wire_text(value.get(1..).unwrap_or_default()) })
}
