//! Test cases: a request, and what is to become of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::condition::Condition;
use super::conditions::optional;
use super::reader::{Located, TomlReader, TomlTable};
use super::words::span_of_time;
use crate::exchange::{Body, ConnectionId, ExchangeId, Framing, Head, Outcome, Request, RequestState, Timestamp};

/// The address that cases come from where they say none: kept for documentation (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// The address that they are sent to.
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 80));
/// Most times that one case can send its request.
const MAX_TIMES: u64 = 100_000;
/// Keys of a case.
const KEYS: [&str; 12] = [
    "name",
    "request",
    "client",
    "times",
    "allow-writes",
    "outcome",
    "becomes",
    "then",
    "route",
    "production",
    "target",
    "later",
];

/// One test case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the case.
    pub name: String,
    /// Line of the case in its file.
    pub line: usize,
    /// Request to send.
    pub request: Request,
    /// Number of times it is sent, at one instant; the expectations apply to the last one.
    pub times: u64,
    /// True when writes pass, as with `--allow-writes`.
    pub allow_writes: bool,
    /// Expected outcome; `None`: it passes.
    pub outcome: Option<String>,
    /// Expected request after the chain, byte for byte.
    pub becomes: Option<Vec<u8>>,
    /// Condition that must hold for it after the chain.
    pub then: Condition,
    /// The name that a route chose.
    pub route: Option<String>,
    /// Earlier responses to one request, of production and of the target: what they issue is carried.
    pub(super) issued_by: Option<[IssuingResponse; 2]>,
    /// How long after its capture it is sent.
    pub(super) later: Duration,
}

/// A response of a case: its head and its content.
pub(super) type IssuingResponse = (Head, Vec<u8>);

/// One `[[test]]`; `None` after a mistake.
pub(super) fn case(mut table: TomlTable<'_>, reader: &mut TomlReader<'_>) -> Option<Case> {
    let span = table.span.clone();
    let line = reader.line(&span);
    let [name, request, client, times, writes, outcome, becomes, then, route, production, target, later] =
        KEYS.map(|key| table.take(key));
    table.finish(reader, "in a test", &KEYS);
    let Some(request) = request else {
        reader.wrong(span, "a test needs a request, such as request = \"GET /v2/a\"");
        return None;
    };
    let typed = reader.text(request)?;
    let client = client.and_then(|client| reader.parsed(client)).unwrap_or(CLIENT);
    let read = reader.keep(request.span(), self::request(typed, client))?;
    let outcome = outcome.and_then(|outcome| self::outcome(outcome, reader));
    for value in [becomes, then, route].into_iter().flatten().filter(|_| outcome.is_some()) {
        reader.wrong(value.span(), "what is kept back becomes nothing: `outcome` stands alone, or is \"passes\"");
    }
    let issued_by = responses(production, target, reader);
    let first_line = typed.lines().next().unwrap_or_default();
    Some(Case {
        name: name.and_then(|name| reader.text(name)).unwrap_or(first_line).to_owned(),
        line,
        request: read,
        times: times.and_then(|times| self::times(times, reader)).unwrap_or(1),
        allow_writes: writes.and_then(|writes| reader.truth(writes)).unwrap_or_default(),
        outcome,
        becomes: becomes.and_then(|becomes| reader.text(becomes)).map(|text| message(text).concat()),
        then: optional(then, reader),
        route: route.and_then(|route| reader.text(route)).map(str::to_owned),
        issued_by,
        later: later.and_then(|later| span_of_time(later, reader)).unwrap_or_default(),
    })
}

/// The responses of both sides, where there are any.
fn responses(
    production: Option<&Located<'_>>,
    target: Option<&Located<'_>>,
    reader: &mut TomlReader<'_>,
) -> Option<[IssuingResponse; 2]> {
    match (production, target) {
        (None, None) => None,
        (Some(production), Some(target)) => {
            let [production, target] = [production, target].map(|value| {
                let typed = reader.text(value)?;
                reader.keep(value.span(), response(typed))
            });
            Some([production?, target?])
        }
        (Some(alone), None) | (None, Some(alone)) => {
            let message =
                "`production` and `target` belong together: what each of them responded to an earlier request";
            reader.wrong(alone.span(), message);
            None
        }
    }
}

fn response(typed: &str) -> Result<IssuingResponse, String> {
    let [head, content] = message(typed);
    let has_status = head.starts_with(b"HTTP/") && head.get(8) == Some(&b' ');
    let message = || "a response begins with its version and status, such as `HTTP/1.1 200 OK`".to_owned();
    if has_status { Ok((Head::new(head), content)) } else { Err(message()) }
}

fn times(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<u64> {
    let times = reader.number(value)?;
    let fits = (1..=MAX_TIMES).contains(&times);
    reader.keep(value.span(), if fits { Ok(times) } else { Err(format!("write a number from 1 to {MAX_TIMES}")) })
}

/// `None` for what passes, and after a mistake.
fn outcome(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<String> {
    let text = reader.text(value)?;
    let is_known = matches!(text, "passes" | "sampled_out" | "rate_limited") || text.starts_with("filtered: ");
    if !is_known {
        let message = "a request passes, or ends as \"filtered: RULE\", \"sampled_out\" or \"rate_limited\"";
        reader.wrong(value.span(), message);
    }
    (is_known && text != "passes").then(|| text.to_owned())
}

/// Returns the written form of an outcome in a case.
pub(super) fn written(outcome: &Outcome) -> String {
    match outcome.detail() {
        Some(detail) => format!("{}: {detail}", outcome.key()),
        None => outcome.key().to_owned(),
    }
}

/// Head and body of a message as it is typed: lines may end as they do in a text, the version may be left out, and the
/// head ends at an empty line or with the text.
fn message(typed: &str) -> [Vec<u8>; 2] {
    let typed = typed.replace("\r\n", "\n");
    let (head, body) = typed.split_once("\n\n").unwrap_or((typed.trim_end_matches('\n'), ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().trim_end();
    let is_response = first.starts_with("HTTP/");
    let version = if is_response || first.rsplit(' ').next().is_some_and(|last| last.starts_with("HTTP/")) {
        ""
    } else {
        " HTTP/1.1"
    };
    let mut head = format!("{first}{version}\r\n");
    lines.for_each(|line| head.extend([line, "\r\n"]));
    head.push_str("\r\n");
    // A text in three quotes ends with a line end of its own.
    let body = body.strip_suffix('\n').unwrap_or(body);
    [head.into_bytes(), body.as_bytes().to_vec()]
}

fn request(typed: &str, client: IpAddr) -> Result<Request, String> {
    let [head, content] = message(typed);
    let head = Head::new(head);
    let (method, target, version) = head.request_line();
    if method.is_empty() || target.is_empty() || version.is_empty() {
        return Err("a request begins with a method and a target, such as `GET /v2/a`".to_owned());
    }
    let mut request = Request {
        id: ExchangeId::new(ConnectionId(1), 1),
        client: SocketAddr::new(client, 50_000),
        server: SocketAddr::new(SERVER, 80),
        head,
        body: Body::EMPTY,
        first_byte: Timestamp::default(),
        last_byte: Timestamp::default(),
        state: RequestState::Whole,
    };
    if !content.is_empty() {
        let len = content.len() as u64;
        request.head.set("Content-Length", len.to_string().as_bytes());
        request.body = Body { framing: Framing::Length(len), len, sha256: None, wire: Some(content.into()) };
    }
    Ok(request)
}
