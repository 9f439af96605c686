//! Lines of JSON out of a file: each is an exchange again.
//!
//! What is read is the object that `inspect --json --full` prints. Heads are parsed anew, by the rules of streams;
//! whether messages are whole is taken from the line, for only who saw the stream knew. A body has no chunks any more: it
//! is one chunk where its head says that it comes in chunks.

use data_encoding::BASE64;
use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::capture::OpenedInput;
use crate::exchange::{
    Body, Damage, Digest, Framing, Head, Incomplete, Malformed, Request, RequestState, Response, Timestamp,
};
use crate::http1::one_shot::{self, RequestHint};
use crate::http1::{BodyPolicies, BodyPolicy, MAX_HEAD_BYTES, MAX_KEPT_BODY};

use super::exchange_join::JoinedExchange;
use super::framing::{FramingStep, RecordFraming};
use super::skipped::SkippedRecords;

/// Longest line that is read, in bytes: both heads and bodies at their longest, in base64, and the rest. A longer one is
/// passed over, and counted.
const MAX_LINE_BYTES: usize = (MAX_HEAD_BYTES + MAX_KEPT_BODY) * 2 / 3 * 4 + (2 << 20);
/// Bytes of memory that a byte of a line takes at most: the window that holds it, which doubles as it grows and is copied
/// then; what is decoded of it, with the chunks made of that; its strings, where they have escapes.
const COST: usize = 6;

/// Keys that are read of a line; the rest follows from them.
#[derive(Debug, Deserialize)]
struct JsonlRecord<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    client: Cow<'a, str>,
    #[serde(borrow)]
    server: Cow<'a, str>,
    body_len: u64,
    #[serde(borrow)]
    body_sha256: Option<Cow<'a, str>>,
    status: Option<u16>,
    response_body_len: Option<u64>,
    #[serde(borrow)]
    response_body_sha256: Option<Cow<'a, str>>,
    latency_us: Option<u64>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<DecodedMessage<'a>>,
    #[serde(borrow)]
    response: Option<DecodedMessage<'a>>,
}

#[derive(Debug, Deserialize)]
struct DecodedMessage<'a> {
    #[serde(borrow)]
    head: Cow<'a, str>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    first_byte: Option<Cow<'a, str>>,
    #[serde(borrow)]
    last_byte: Option<Cow<'a, str>>,
    #[serde(borrow)]
    damage: Option<Cow<'a, str>>,
    #[serde(default)]
    untimed: bool,
    #[serde(default)]
    left: bool,
}

/// Reason that a line is no exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonlError {
    #[error("{0}")]
    Json(String),
    #[error("it has no `request`: lines are recordings only where `--full` wrote them")]
    NotFull,
    #[error("`{key}` is {why}")]
    Value { key: &'static str, why: String },
}

/// Reads a file of lines.
pub(super) struct JsonlReader {
    pieces: RecordFraming,
    interests: BodyPolicies,
    current: Option<JoinedExchange>,
    skipped: SkippedRecords,
    /// Lines that are no exchange, and why the first is none; `None` once a line is one.
    misfits: Option<(u64, String)>,
    ended: bool,
}

impl JsonlReader {
    /// Reads lines of which none costs more than `memory` bytes.
    pub(super) fn new(opened: OpenedInput, memory: usize) -> Self {
        let pieces = RecordFraming::new(opened, "line", 0, MAX_LINE_BYTES.min(memory / COST));
        let keep = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };
        let (skipped, misfits) = (SkippedRecords::default(), Some((0, String::new())));
        Self { pieces, interests: keep, current: None, skipped, misfits, ended: false }
    }

    /// Sets the policies for bodies from now on.
    pub(super) const fn set_interests(&mut self, interests: BodyPolicies) {
        self.interests = interests;
    }

    /// Moves to the next line that is an exchange; false at the end.
    pub(super) fn advance(&mut self) -> bool {
        self.current = None;
        loop {
            let (piece, torn) = match self.pieces.advance(find) {
                FramingStep::Piece(piece) => (piece, false),
                FramingStep::Torn(piece) => (piece, true),
                FramingStep::TooLong => {
                    self.skip("it is too long", &self.pieces.limit());
                    continue;
                }
                FramingStep::End => {
                    self.ended = true;
                    return false;
                }
            };
            let bytes = self.pieces.bytes(&piece);
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match read(bytes, self.interests) {
                Ok(exchange) => {
                    self.misfits = None;
                    self.current = Some(exchange);
                    return true;
                }
                // Whole JSON was not cut, though no line ends it.
                Err(JsonlError::Json(_)) if torn && serde_json::from_slice::<IgnoredAny>(bytes).is_err() => {
                    self.pieces.report_torn();
                    return false;
                }
                Err(error) => self.misfit(&error),
            }
        }
    }

    /// Returns the end time of the current exchange, as far as it is known.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(ended)
    }

    /// The current exchange.
    pub(super) const fn take(&mut self) -> Option<JoinedExchange> {
        self.current.take()
    }

    /// Counts a line that cannot be used after all.
    pub(super) fn skip(&mut self, why: &'static str, detail: &str) {
        let count = self.pieces.count();
        let colon = if detail.is_empty() { "" } else { ": " };
        self.skipped.count(why, || format!("is line {count}{colon}{detail}"));
    }

    fn misfit(&mut self, error: &JsonlError) {
        if let Some((count, first)) = &mut self.misfits {
            if *count == 0 {
                *first = format!("line {}: {error}", self.pieces.count());
            }
            *count += 1;
        }
        self.skip("it is no exchange", &error.to_string());
    }

    /// Says that no line is an exchange, where there are lines.
    fn fits_nothing(&self) -> Option<String> {
        let (count, first) = self.misfits.as_ref().filter(|(count, _)| self.ended && *count > 0)?;
        let name = self.pieces.name();
        let none = if *count == 1 {
            "its line is no exchange".to_owned()
        } else {
            format!("none of its {count} lines is an exchange")
        };
        Some(format!(
            "{name} is no recording: {none} ({first}); lines of JSON are read as `record` and `inspect --json --full` write them"
        ))
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        // Where no line could be read, that is an error.
        self.fits_nothing().map_or_else(|| self.pieces.warnings(&self.skipped), |misfit| vec![misfit])
    }

    pub(super) fn unread(&self) -> Option<String> {
        self.pieces.unread().or_else(|| self.fits_nothing())
    }

    pub(super) fn progress(&self) -> Option<f64> {
        self.pieces.progress()
    }
}

/// Returns the capture time of an exchange's last byte.
pub(super) fn ended(exchange: &JoinedExchange) -> Timestamp {
    let asked = exchange.request.last_byte;
    exchange.response.as_ref().map_or(asked, |response| response.last_byte.max(asked))
}

/// The end of the line that begins the bytes, and the start of the next one.
pub(super) fn find(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let end = memchr::memchr(b'\n', bytes.get(from..)?)? + from;
    Some((end, end + 1))
}

/// Reads a line.
pub(super) fn read(bytes: &[u8], interests: BodyPolicies) -> Result<JoinedExchange, JsonlError> {
    let line: JsonlRecord<'_> = serde_json::from_slice(bytes).map_err(|error| JsonlError::Json(error.to_string()))?;
    let request = request(&line, interests.request_body)?;
    let response = match &line.response {
        Some(message) => Ok(Box::new(response(&line, message, &request, interests.response_body)?)),
        None => Err(lacking(&line.state)),
    };
    Ok(JoinedExchange { request: Box::new(request), response })
}

fn request(line: &JsonlRecord<'_>, interest: BodyPolicy) -> Result<Request, JsonlError> {
    let message = line.request.as_ref().ok_or(JsonlError::NotFull)?;
    let head = Head::new(base64("request.head", &message.head)?);
    let first_byte = parsed("at", &line.at)?;
    let state = state(&line.state)?;
    let facts = one_shot::request_head(&head);
    let state = match (state, facts) {
        // Whoever wrote it may know less than is known here of what must not be replayed.
        (RequestState::Whole, Some((_, Some(why)))) => RequestState::Malformed(why),
        (RequestState::Whole, None) => {
            return Err(JsonlError::Value { key: "request.head", why: "no HTTP/1 request".to_owned() });
        }
        _ => state,
    };
    let framing = facts.map_or(Framing::None, |(framing, _)| framing);
    let digest = digest("body_sha256", line.body_sha256.as_deref())?;
    let body =
        body((framing, state == RequestState::Whole), line.body_len, digest, message, interest.keeps(head.as_bytes()))?;
    Ok(Request {
        id: parsed("id", &line.id)?,
        client: parsed("client", &line.client)?,
        server: parsed("server", &line.server)?,
        head,
        body,
        first_byte,
        last_byte: message.last_byte.as_deref().map_or(Ok(first_byte), |at| parsed("request.last_byte", at))?,
        state,
    })
}

fn response(
    line: &JsonlRecord<'_>,
    message: &DecodedMessage<'_>,
    request: &Request,
    interest: BodyPolicy,
) -> Result<Response, JsonlError> {
    let head = Head::new(base64("response.head", &message.head)?);
    let asked = RequestHint::by(&request.head);
    let missing = |key| JsonlError::Value { key, why: "null, and there is a response".to_owned() };
    let status = line.status.ok_or_else(|| missing("status"))?;
    if one_shot::status(&head) != Some(status) {
        return Err(JsonlError::Value { key: "status", why: "not that of the head".to_owned() });
    }
    let latency = Duration::from_micros(line.latency_us.unwrap_or_default());
    let first = message
        .first_byte
        .as_deref()
        .map_or(Ok(request.last_byte.plus(latency)), |at| parsed("response.first_byte", at))?;
    let damage = match &message.damage {
        Some(why) => Some(one_of("response.damage", &Damage::ALL, why)?),
        None => line.state.strip_prefix("response damaged: ").and_then(|why| one_of("state", &Damage::ALL, why).ok()),
    };
    let len = line.response_body_len.ok_or_else(|| missing("response_body_len"))?;
    let digest = digest("response_body_sha256", line.response_body_sha256.as_deref())?;
    let framing = one_shot::response_framing(&head, asked);
    Ok(Response {
        status,
        body: body((framing, damage.is_none()), len, digest, message, interest.keeps(head.as_bytes()))?,
        head,
        first_byte: first,
        last_byte: message.last_byte.as_deref().map_or(Ok(first), |at| parsed("response.last_byte", at))?,
        damage,
        opaque: damage.is_none() && one_shot::is_opaque(status, asked),
        untimed: message.untimed,
        left: message.left,
    })
}

/// A body by its content; of a whole one the length has to be right, for that of nothing else would be believed.
fn body(
    (framing, whole): (Framing, bool),
    len: u64,
    sha256: Option<Digest>,
    message: &DecodedMessage<'_>,
    most: Option<usize>,
) -> Result<Body, JsonlError> {
    let wrong = |why: String| JsonlError::Value { key: "body", why };
    let claimed = match framing {
        Framing::None => Some(0),
        Framing::Length(claimed) => Some(claimed).filter(|_| whole),
        Framing::Chunked | Framing::UntilClose => None,
    };
    if claimed.is_some_and(|claimed| claimed != len) {
        return Err(wrong(format!("{len} bytes long, and the head says otherwise")));
    }
    let keep = framing != Framing::None && most.is_some_and(|most| len <= most as u64);
    // Nothing is known to be nothing, whether or not it was kept.
    let text = message.body.as_deref().or_else(|| (len == 0).then_some(""));
    let wire = match text.filter(|_| keep) {
        Some(text) => {
            let content = base64("body", text)?;
            if content.len() as u64 != len {
                return Err(wrong(format!("{} bytes long, and its length is given as {len}", content.len())));
            }
            Some(if framing == Framing::Chunked { chunked(&content, whole) } else { content.into() })
        }
        None => None,
    };
    Ok(Body { framing, len, sha256, wire })
}

/// Content as one chunk (RFC 9112, 7.1), and the end of chunks where it is whole.
fn chunked(content: &[u8], whole: bool) -> Bytes {
    let mut wire = Vec::with_capacity(content.len() + 32);
    if !content.is_empty() {
        wire.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
        wire.extend_from_slice(content);
        wire.extend_from_slice(b"\r\n");
    }
    if whole {
        wire.extend_from_slice(b"0\r\n\r\n");
    }
    wire.into()
}

/// Returns the state of the request that `state` names.
fn state(text: &str) -> Result<RequestState, JsonlError> {
    match text.split_once(": ") {
        Some(("incomplete", why)) => Ok(RequestState::Incomplete(one_of("state", &Incomplete::ALL, why)?)),
        Some(("malformed", why)) => Ok(RequestState::Malformed(one_of("state", &Malformed::ALL, why)?)),
        Some(("response damaged", why)) => one_of("state", &Damage::ALL, why).map(|_| RequestState::Whole),
        None if matches!(text, "complete" | "no-response" | "opaque") => Ok(RequestState::Whole),
        _ => Err(JsonlError::Value { key: "state", why: format!("`{text}`, which is no state of an exchange") }),
    }
}

/// Returns the reason that there is no response, as far as `state` has one.
fn lacking(state: &str) -> Damage {
    let damaged = state.strip_prefix("response damaged: ");
    damaged.and_then(|why| one_of("state", &Damage::ALL, why).ok()).unwrap_or(Damage::NoResponse)
}

/// The one of `all` that is displayed so.
fn one_of<T: Copy + Display>(key: &'static str, all: &[T], text: &str) -> Result<T, JsonlError> {
    let mut shown = String::new();
    let found = all.iter().find(|one| {
        shown.clear();
        // Writing to a String cannot fail.
        write!(shown, "{one}").ok();
        shown == text
    });
    found.copied().ok_or_else(|| JsonlError::Value { key, why: format!("`{text}`, which is no reason there is") })
}

fn parsed<T: FromStr<Err: Display>>(key: &'static str, text: &str) -> Result<T, JsonlError> {
    text.parse().map_err(|error: T::Err| JsonlError::Value { key, why: format!("`{text}`: {error}") })
}

fn base64(key: &'static str, text: &str) -> Result<Vec<u8>, JsonlError> {
    BASE64.decode(text.as_bytes()).map_err(|error| JsonlError::Value { key, why: format!("not base64: {error}") })
}

fn digest(key: &'static str, text: Option<&str>) -> Result<Option<Digest>, JsonlError> {
    let Some(text) = text else { return Ok(None) };
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digest = Digest::default();
    let whole = text.len() == 2 * digest.len()
        && digest.iter_mut().zip(text.as_bytes().chunks_exact(2)).all(|(byte, digits)| match digits {
            [high, low] => match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => {
                    *byte = high << 4 | low;
                    true
                }
                _ => false,
            },
            _ => false,
        });
    if whole { Ok(Some(digest)) } else { Err(JsonlError::Value { key, why: "not 64 hex digits".to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::jsonl_write::JsonLine;
    use crate::testing::{request, response};

    const KEEP: BodyPolicies = BodyPolicies { request_body: BodyPolicy::Keep, response_body: BodyPolicy::Keep };

    fn exchange(state: RequestState, response: Result<Box<Response>, Damage>) -> JoinedExchange {
        let mut request = request(3, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        request.state = state;
        JoinedExchange { request, response }
    }

    fn line(exchange: &JoinedExchange) -> String {
        JsonLine::new(exchange, true).to_string()
    }

    /// Checks that the line of an exchange is read back to the same.
    #[track_caller]
    fn check(state: RequestState, response: Result<Box<Response>, Damage>) {
        let before = exchange(state, response);
        let after = read(line(&before).as_bytes(), KEEP).unwrap();
        assert_eq!(line(&after), line(&before));
        assert_eq!(after.request.state, before.request.state);
        assert_eq!(after.request.last_byte, before.request.last_byte);
        match (&after.response, &before.response) {
            (Ok(after), Ok(before)) => {
                assert_eq!((after.damage, after.opaque), (before.damage, before.opaque));
                assert_eq!((after.first_byte, after.last_byte), (before.first_byte, before.last_byte));
            }
            (Err(after), Err(before)) => assert!(after == before || state != RequestState::Whole),
            _ => panic!("{after:?}"),
        }
    }

    #[test]
    fn every_state_is_read_back() {
        let states = Incomplete::ALL
            .map(RequestState::Incomplete)
            .into_iter()
            .chain(Malformed::ALL.map(RequestState::Malformed));
        for state in states.chain([RequestState::Whole]) {
            check(state, Ok(response(200)));
            for why in Damage::ALL {
                check(state, Err(why));
                let mut damaged = response(200);
                damaged.damage = Some(why);
                check(state, Ok(damaged));
            }
        }
        let mut upgrade = response(101);
        (upgrade.opaque, upgrade.body) = (true, Body::EMPTY);
        check(RequestState::Whole, Ok(upgrade));
    }

    #[test]
    fn a_line_of_an_older_release_is_read_by_its_latency() {
        let whole = line(&exchange(RequestState::Whole, Ok(response(200))));
        let mut value: serde_json::Value = serde_json::from_str(&whole).unwrap();
        for (message, keys) in [("request", &["last_byte"][..]), ("response", &["first_byte", "last_byte"])] {
            for key in keys {
                value[message].as_object_mut().unwrap().remove(*key);
            }
        }
        let read = read(value.to_string().as_bytes(), KEEP).unwrap();
        let (asked, answered) = (read.request.last_byte, read.response.unwrap().first_byte);
        assert_eq!((asked, answered.since(asked)), (read.request.first_byte, Duration::from_micros(1250)));
    }

    #[track_caller]
    fn wrong(change: impl FnOnce(&mut serde_json::Value), words: &str) {
        let mut value = serde_json::from_str(&line(&exchange(RequestState::Whole, Ok(response(200))))).unwrap();
        change(&mut value);
        let error = read(value.to_string().as_bytes(), KEEP).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_refused_in_words() {
        wrong(|line| line["request"] = serde_json::Value::Null, "it has no `request`: lines are recordings only where");
        wrong(|line| line["state"] = "fine".into(), "`state` is `fine`, which is no state of an exchange");
        wrong(|line| line["state"] = "incomplete: love".into(), "`state` is `love`, which is no reason there is");
        wrong(|line| line["id"] = "one".into(), "`id` is `one`: not the id of an exchange such as 17.3");
        wrong(|line| line["client"] = "me".into(), "`client` is `me`: invalid socket address");
        wrong(|line| line["body_sha256"] = "00".into(), "`body_sha256` is not 64 hex digits");
        wrong(|line| line["response"]["body"] = "!".into(), "`body` is not base64");
        wrong(|line| line["response"]["body"] = "b2tr".into(), "`body` is 3 bytes long, and its length is given as 2");
        wrong(|line| line["body_len"] = 7.into(), "`body` is 7 bytes long, and the head says otherwise");
        wrong(|line| line["status"] = 404.into(), "`status` is not that of the head");
        wrong(|line| line["request"]["head"] = "aGVsbG8=".into(), "`request.head` is no HTTP/1 request");
        wrong(|line| drop(line.as_object_mut().unwrap().remove("at")), "missing field `at`");
    }

    #[test]
    fn a_request_that_must_not_be_replayed_is_not_called_whole() {
        let mut smuggled = exchange(RequestState::Whole, Err(Damage::NoResponse));
        smuggled.request.head = Head::new(b"GET / HTTP/1.1\r\nA : b\r\n\r\n".to_vec());
        let read = read(line(&smuggled).as_bytes(), KEEP).unwrap();
        assert_eq!(read.request.state, RequestState::Malformed(Malformed::SpaceBeforeColon));
    }

    #[test]
    fn content_of_chunks_is_one_chunk() {
        assert_eq!(chunked(b"hello", true), "5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(chunked(b"", true), "0\r\n\r\n");
        assert_eq!(chunked(b"hello", false), "5\r\nhello\r\n");
    }
}
