//! One line of an access log as an exchange: the request as far as it is known, and production's status.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::exchange::{
    Body, ConnectionId, Damage, ExchangeId, Framing, Head, Incomplete, Request, RequestState, Response, Timestamp,
};
use crate::http1::{BodyPolicies, one_shot};
use crate::recording::exchange_join::JoinedExchange;

use super::layout::Layout;
use super::meaning::{Escapes, TimeUnit};
use super::time::{TimeMemo, number};

/// Status by which nginx says that the client left first, and that it closed without a response.
const NO_RESPONSE: [u16; 2] = [444, 499];

/// Bytes of an address of IPv6 and its port.
const MAX_ENDPOINT: usize = 18;

/// What requests of one connection share; empty where that is not known.
pub(in crate::recording) type ConnectionName = smallvec::SmallVec<[u8; MAX_ENDPOINT]>;

/// What is kept from line to line, so that it is made once.
#[derive(Debug, Default)]
pub(super) struct LineScratch {
    /// Of lines whose fields are not searched for.
    pub(super) times: TimeMemo,
    pub(super) message: Vec<u8>,
}

/// An exchange of a line, before its connection has a number.
#[derive(Debug)]
pub(super) struct LoggedExchange {
    pub(super) exchange: JoinedExchange,
    pub(super) connection: ConnectionName,
    /// The second that the line was stamped with, where it says no more than that.
    pub(super) coarse: Option<u64>,
}

/// Why a line that can be taken apart is no exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// Nobody asked for anything: a connection without a request, or with something else.
    NoRequest,
    /// A value cannot be what it should be.
    Value(&'static str),
}

/// The values of one line.
pub(super) struct LineValues<'v> {
    pub(super) layout: &'v Layout,
    pub(super) escapes: Escapes,
    /// The value of a field, as it is written.
    pub(super) value: &'v dyn Fn(usize) -> &'v [u8],
}

impl<'v> LineValues<'v> {
    /// The first of these fields that has a value.
    fn first(&self, fields: &[usize]) -> Option<Cow<'v, [u8]>> {
        self.raw(fields).map(|value| self.escapes.decode(value))
    }

    fn raw(&self, fields: &[usize]) -> Option<&'v [u8]> {
        fields.iter().map(|field| (self.value)(*field)).find(|value| !matches!(*value, b"" | b"-"))
    }

    /// The exchange of the line.
    pub(super) fn exchange(
        &self,
        interests: BodyPolicies,
        (times, message): (&mut TimeMemo, &mut Vec<u8>),
    ) -> Result<LoggedExchange, LineError> {
        let layout = self.layout;
        let (field, at_end) = *layout
            .times
            .iter()
            .find(|(field, _)| !matches!((self.value)(*field), b"" | b"-"))
            .ok_or(LineError::Value("no time"))?;
        let stamped = times.time((self.value)(field)).ok_or(LineError::Value("no time"))?;
        let parts = self.request_line()?;
        let body = self.body();
        self.message(&parts, body.as_deref(), message)?;
        let single = one_shot::request(message, interests.request_body).ok_or(LineError::NoRequest)?;
        let state = match single.state {
            RequestState::Whole => self.state(&parts.method, body.as_deref()),
            other => other,
        };
        let latency = self.latency();
        let all = layout.all.iter().find_map(|field| self.took(*field));
        let first_byte = if at_end { before(stamped.at, all.or(latency).unwrap_or_default()) } else { stamped.at };
        let last_byte = first_byte.plus(layout.head.and_then(|field| self.took(field)).unwrap_or_default());
        let request = Request {
            id: ExchangeId::new(ConnectionId(0), 0),
            client: self.client(),
            server: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            head: single.head,
            body: single.body,
            first_byte,
            last_byte,
            state,
        };
        let response = self.response(last_byte, latency, all.map(|all| first_byte.plus(all)));
        let exchange = JoinedExchange { request: Box::new(request), response };
        let connection = self.connection(exchange.request.client);
        let coarse = stamped.is_coarse.then_some(stamped.at.nanos());
        Ok(LoggedExchange { exchange, connection, coarse })
    }

    fn request_line(&self) -> Result<RequestParts<'v>, LineError> {
        let layout = self.layout;
        let (method, target) = (self.first(&layout.method), self.first(&layout.target));
        let (Some(method), true) = (method, !layout.target.is_empty() || !layout.path.is_empty()) else {
            return split(self.first(&layout.request).ok_or(LineError::NoRequest)?);
        };
        let version = self.first(&layout.version).unwrap_or_default();
        let target = match target {
            Some(target) => target,
            None => self.path_and_query().ok_or(LineError::NoRequest)?,
        };
        RequestParts { method, target, is_old: version.ends_with(b"1.0") }.checked()
    }

    fn path_and_query(&self) -> Option<Cow<'v, [u8]>> {
        let path = self.first(&self.layout.path)?;
        let Some(query) = self.first(&self.layout.query) else { return Some(path) };
        if path.contains(&b'?') {
            return Some(path);
        }
        let query = query.strip_prefix(b"?").unwrap_or(&query);
        Some(Cow::Owned([&*path, b"?", query].concat()))
    }

    /// The body of the request, where the line has it; one that is known to be empty is empty.
    fn body(&self) -> Option<Cow<'v, [u8]>> {
        self.first(&self.layout.body).or_else(|| {
            let length = self.raw(&self.layout.body_length);
            (length == Some(b"0")).then_some(Cow::Borrowed(&[][..]))
        })
    }

    /// A request with a body that is not known, or not all of it, is no request that can be sent.
    fn state(&self, method: &[u8], body: Option<&[u8]>) -> RequestState {
        let length = self.raw(&self.layout.body_length).and_then(number);
        match (body, length) {
            (Some(body), Some(length)) if (body.len() as u64) < length => RequestState::Incomplete(Incomplete::Cut),
            (None, Some(1..)) => RequestState::Incomplete(Incomplete::NotLogged),
            (None, _) if matches!(method, b"POST" | b"PUT" | b"PATCH") => {
                RequestState::Incomplete(Incomplete::NotLogged)
            }
            _ => RequestState::Whole,
        }
    }

    /// Makes `message` the message as it would have been sent.
    fn message(&self, parts: &RequestParts<'_>, body: Option<&[u8]>, message: &mut Vec<u8>) -> Result<(), LineError> {
        let layout = self.layout;
        message.clear();
        let version: &[u8] = if parts.is_old { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" };
        for part in [&*parts.method, b" ", &*parts.target, version] {
            message.extend_from_slice(part);
        }
        let mut add = |name: &[u8], value: &[u8]| {
            if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(LineError::Value("a control character in a header"));
            }
            for part in [name, b": ", value, b"\r\n"] {
                message.extend_from_slice(part);
            }
            Ok(())
        };
        let host = self.first(&layout.host).or_else(|| authority(&parts.target).map(|host| Cow::Owned(host.to_vec())));
        if let Some(host) = host {
            add(b"Host", &host)?;
        }
        for (name, field) in &layout.headers {
            if let Some(value) = self.first(&[*field]) {
                add(name.as_bytes(), &value)?;
            }
        }
        let cookies: Vec<Vec<u8>> = layout
            .cookies
            .iter()
            .filter_map(|(name, field)| Some([name.as_bytes(), b"=", &*self.first(&[*field])?].concat()))
            .collect();
        if !cookies.is_empty() {
            add(b"Cookie", &cookies.join(&b"; "[..]))?;
        }
        for (name, value) in self.raw(&layout.all_headers).map(all_headers).unwrap_or_default() {
            add(name.as_bytes(), value.as_bytes())?;
        }
        if let Some(body) = body {
            add(b"Content-Length", body.len().to_string().as_bytes())?;
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body.unwrap_or_default());
        Ok(())
    }

    fn client(&self) -> SocketAddr {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let text = self.raw(&self.layout.client).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let port = self.raw(&self.layout.client_port).and_then(number).and_then(|port| u16::try_from(port).ok());
        match text.parse() {
            Ok(address) => SocketAddr::new(address, port.unwrap_or_default()),
            Err(_) => text.parse().unwrap_or(SocketAddr::new(unknown, port.unwrap_or_default())),
        }
    }

    fn connection(&self, client: SocketAddr) -> ConnectionName {
        match self.raw(&self.layout.connection) {
            Some(number) => number.into(),
            None if client.port() != 0 => {
                let mut name = ConnectionName::new();
                match client.ip() {
                    IpAddr::V4(address) => name.extend_from_slice(&address.octets()),
                    IpAddr::V6(address) => name.extend_from_slice(&address.octets()),
                }
                name.extend_from_slice(&client.port().to_be_bytes());
                name
            }
            None => ConnectionName::new(),
        }
    }

    /// The latency that production's clients saw, as far as the line says.
    fn latency(&self) -> Option<Duration> {
        let of = |fields: &[(usize, TimeUnit)]| {
            fields.iter().try_fold(0u64, |sum, field| sum.checked_add(self.nanos(*field)?))
        };
        self.layout.latency.iter().find_map(|sum| of(&sum.fields)).map(Duration::from_nanos)
    }

    fn took(&self, field: (usize, TimeUnit)) -> Option<Duration> {
        self.nanos(field).map(Duration::from_nanos)
    }

    /// A length of time, in nanoseconds; of several attempts of nginx, `0.001, 0.002 : 0.003`, all together.
    fn nanos(&self, (field, unit): (usize, TimeUnit)) -> Option<u64> {
        let value = (self.value)(field);
        // Mostly it is one number.
        if let Some(count) = number(value) {
            return count.checked_mul(unit.nanos());
        }
        let mut nanos = None;
        for part in value.split(|byte| matches!(byte, b',' | b':')) {
            let part = part.trim_ascii();
            if matches!(part, b"-" | b"") {
                continue;
            }
            let part = part.strip_prefix(b"+").unwrap_or(part);
            nanos = Some(decimal(part, unit)?.checked_add(nanos.unwrap_or_default())?);
        }
        nanos
    }

    fn response(
        &self,
        asked: Timestamp,
        latency: Option<Duration>,
        ended: Option<Timestamp>,
    ) -> Result<Box<Response>, Damage> {
        let Some(status) = self.raw(&self.layout.status).and_then(number) else {
            return Err(if self.layout.status.is_empty() { Damage::NotLogged } else { Damage::NoResponse });
        };
        let status =
            u16::try_from(status).ok().filter(|status| (100..1000).contains(status)).ok_or(Damage::NoResponse)?;
        if NO_RESPONSE.contains(&status) {
            return Err(Damage::Closed);
        }
        let len = self.raw(&self.layout.bytes).and_then(number).unwrap_or_default();
        let first_byte = asked.plus(latency.unwrap_or_default());
        Ok(Box::new(Response {
            status,
            head: Head::new(status_line(status)),
            body: Body { framing: Framing::UntilClose, len, ..Body::EMPTY },
            first_byte,
            last_byte: ended.unwrap_or(first_byte).max(first_byte),
            damage: Some(Damage::NotLogged),
            opaque: false,
            untimed: latency.is_none(),
            left: false,
        }))
    }
}

/// The head of a response of which no more than the status is known: it has three digits.
fn status_line(status: u16) -> Vec<u8> {
    let digits = [status / 100, status / 10 % 10, status % 10];
    let mut line = Vec::with_capacity(17);
    line.extend_from_slice(b"HTTP/1.1 ");
    line.extend(digits.map(|digit| b"0123456789".get(usize::from(digit)).copied().unwrap_or(b'0')));
    line.extend_from_slice(b" \r\n\r\n");
    line
}

/// Method and target of a request.
struct RequestParts<'v> {
    method: Cow<'v, [u8]>,
    target: Cow<'v, [u8]>,
    is_old: bool,
}

impl RequestParts<'_> {
    /// Makes sure that nobody asks for what the log does not say: bytes in a log are a client's.
    fn checked(self) -> Result<Self, LineError> {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if self.method.is_empty() || !self.method.iter().all(is_token) || self.target.is_empty() {
            return Err(LineError::NoRequest);
        }
        if self.target.iter().any(u8::is_ascii_control) {
            return Err(LineError::Value("a control character in the target"));
        }
        Ok(self)
    }
}

/// Splits `GET /a HTTP/1.1`; blanks in the target belong to it.
fn split(line: Cow<'_, [u8]>) -> Result<RequestParts<'_>, LineError> {
    let blank = memchr::memchr(b' ', &line).ok_or(LineError::NoRequest)?;
    let (end, is_old) = match memchr::memrchr(b' ', &line) {
        Some(last) if last > blank && line.get(last + 1..).is_some_and(|rest| rest.starts_with(b"HTTP/")) => {
            (last, line.ends_with(b"/1.0"))
        }
        _ => (line.len(), false),
    };
    let (method, target) = match line {
        Cow::Borrowed(line) => (
            Cow::Borrowed(line.get(..blank).unwrap_or_default()),
            Cow::Borrowed(line.get(blank + 1..end).unwrap_or_default()),
        ),
        Cow::Owned(line) => (
            Cow::Owned(line.get(..blank).unwrap_or_default().to_vec()),
            Cow::Owned(line.get(blank + 1..end).unwrap_or_default().to_vec()),
        ),
    };
    RequestParts { method, target, is_old }.checked()
}

/// The authority of a target in absolute form, as HAProxy logs those of HTTP/2.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let after = target.get(memchr::memmem::find(target, b"://")? + 3..)?;
    let end = after.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(after.len());
    after.get(..end)
}

/// The headers of an object, each value a text or a list of them; without those that frame a message.
fn all_headers(json: &[u8]) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(all)) = serde_json::from_slice(json) else { return Vec::new() };
    let wanted = all.into_iter().filter(|(name, _)| {
        let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        is_token && !name.is_empty() && matches!(super::names::header(name), super::meaning::Meaning::Header(_))
    });
    let texts = |value| match value {
        serde_json::Value::String(text) => vec![text],
        serde_json::Value::Array(texts) => {
            texts.into_iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    wanted.flat_map(|(name, value)| texts(value).into_iter().map(move |text| (name.clone(), text))).collect()
}

/// Nanoseconds of a decimal number in this unit; none where it is negative, which HAProxy means as not known.
fn decimal(text: &[u8], unit: TimeUnit) -> Option<u64> {
    let point = memchr::memchr(b'.', text).unwrap_or(text.len());
    let whole = number(text.get(..point)?)?.checked_mul(unit.nanos())?;
    let (mut part, mut place) = (0, unit.nanos());
    for digit in text.get(point + 1..).unwrap_or_default() {
        if !digit.is_ascii_digit() {
            return None;
        }
        place /= 10;
        part += u64::from(digit - b'0') * place;
    }
    whole.checked_add(part)
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
}
