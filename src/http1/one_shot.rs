//! One message by itself, as a recording holds it: read by the rules of streams, with nothing before or after it.

use super::body::{BodyProgress, BodyReader};
use super::head::{self, HeadFacts, Method};
use super::stream::{Boundary, find};
use super::{BodyPolicy, MAX_HEAD_BYTES};
use crate::exchange::{Body, Damage, Framing, Head, Incomplete, Malformed, RequestState};

/// Facts about a request that the reading of its response needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHint(Method);

impl RequestHint {
    /// Nothing is known of the request.
    pub(crate) const UNKNOWN: Self = Self(Method::Other);

    /// Of the request with this head.
    pub(crate) fn by(request: &Head) -> Self {
        Self(head::method(request.as_bytes()))
    }

    /// A number that stands for it in what is stored.
    #[cfg(feature = "nats")]
    pub(crate) const fn code(self) -> u8 {
        match self.0 {
            Method::Head => 1,
            Method::Connect => 2,
            Method::Other => 0,
        }
    }

    /// That of such a number; of another one nothing is known.
    #[cfg(feature = "nats")]
    pub(crate) const fn of_code(code: u8) -> Self {
        match code {
            1 => Self(Method::Head),
            2 => Self(Method::Connect),
            _ => Self::UNKNOWN,
        }
    }
}

/// A message that stood by itself.
#[derive(Debug)]
pub(crate) struct StandaloneMessage<State> {
    pub(crate) head: Head,
    pub(crate) body: Body,
    pub(crate) state: State,
    /// Bytes after its end that belong to no message.
    pub(crate) rest: usize,
}

/// Properties of a response besides its head and body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseTraits {
    pub(crate) status: u16,
    pub(crate) damage: Option<Damage>,
    pub(crate) opaque: bool,
}

/// Reads a request; `None` where there is none. One that ends early is incomplete, as a cut one is.
pub(crate) fn request(bytes: &[u8], interest: BodyPolicy) -> Option<StandaloneMessage<RequestState>> {
    let bytes = after_blank(bytes);
    let (len, facts, contents) = match head::plain(bytes, true) {
        Some((len, HeadFacts::Request(facts, contents))) if len <= MAX_HEAD_BYTES => (len, facts, contents),
        _ => match request_boundary(bytes)? {
            Ok(len) => {
                let (facts, contents) = head::request(bytes.get(..len)?);
                (len, facts, contents)
            }
            Err(state) => return Some(broken(bytes, state)),
        },
    };
    let (raw, after) = bytes.split_at_checked(len)?;
    // Where its body ends, and whether it has one, nobody can tell.
    let unframed = matches!(facts.malformed, Some(Malformed::BadLength | Malformed::BadTransferEncoding));
    let (body, end) = read_body(facts.framing, interest, (raw, after));
    let state = match (end, facts.malformed) {
        (BodyEnd::Early, _) => RequestState::Incomplete(Incomplete::Cut),
        (_, Some(why)) => RequestState::Malformed(why),
        (BodyEnd::Bad, None) => RequestState::Malformed(Malformed::BadChunk),
        (BodyEnd::After(_), None) => RequestState::Whole,
    };
    let rest = if unframed { 0 } else { end.rest(after) };
    Some(StandaloneMessage { head: Head::with_contents(raw.to_vec(), contents), body, state, rest })
}

/// The length of the request head that `bytes` begin with, or why it is not whole; `None` where there is none.
fn request_boundary(bytes: &[u8]) -> Option<Result<usize, RequestState>> {
    let too_large = RequestState::Malformed(Malformed::HeadTooLarge);
    match find(bytes, true, false, false) {
        Boundary::Nothing | Boundary::Partial { recognized: false } => None,
        Boundary::Partial { recognized: true } if bytes.len() > MAX_HEAD_BYTES => Some(Err(too_large)),
        Boundary::Partial { recognized: true } => Some(Err(RequestState::Incomplete(Incomplete::Cut))),
        Boundary::Head(len) if len > MAX_HEAD_BYTES => Some(Err(too_large)),
        Boundary::Head(len) => Some(Ok(len)),
    }
}

/// Reads the final response to a request, passing over interim ones; `None` where there is none.
pub(crate) fn response(
    bytes: &[u8],
    asked: RequestHint,
    interest: BodyPolicy,
) -> Option<StandaloneMessage<ResponseTraits>> {
    let mut bytes = after_blank(bytes);
    loop {
        let len = match find(bytes, false, false, false) {
            Boundary::Head(len) if len <= MAX_HEAD_BYTES => len,
            Boundary::Head(_) | Boundary::Partial { .. } => {
                let status = head::status(bytes).filter(|status| *status >= 200)?;
                let damage = if bytes.len() > MAX_HEAD_BYTES { Damage::Malformed } else { Damage::Cut };
                let mut single = broken(bytes, ResponseTraits { status, damage: Some(damage), opaque: false });
                single.body.framing = Framing::UntilClose;
                return Some(single);
            }
            Boundary::Nothing => return None,
        };
        let (raw, after) = bytes.split_at_checked(len)?;
        let facts = head::response(raw)?;
        if matches!(facts.status, 100 | 102..=199) {
            bytes = after_blank(after);
            continue;
        }
        let status = facts.status;
        let (body, end) = read_body(facts.framing(asked.0), interest, (raw, after));
        let damage = match end {
            BodyEnd::Early => Some(Damage::Cut),
            BodyEnd::Bad => Some(Damage::Malformed),
            BodyEnd::After(_) => None,
        };
        let opaque = is_opaque(status, asked);
        let rest = if opaque { 0 } else { end.rest(after) };
        return Some(StandaloneMessage {
            head: Head::new(raw.to_vec()),
            body,
            state: ResponseTraits { status, damage, opaque },
            rest,
        });
    }
}

/// Returns whether the connection changes to another protocol after a response of this status.
pub(crate) fn is_opaque(status: u16, asked: RequestHint) -> bool {
    status == 101 || (asked.0 == Method::Connect && (200..300).contains(&status))
}

/// Returns the framing of the body after this request head, and the mistake in the head, if any; `None` where it is not
/// exactly one head.
pub(crate) fn request_head(head: &Head) -> Option<(Framing, Option<Malformed>)> {
    let raw = head.as_bytes();
    match find(raw, true, false, false) {
        Boundary::Head(len) if len == raw.len() && len <= MAX_HEAD_BYTES => {
            let (facts, _) = head::request(raw);
            Some((facts.framing, facts.malformed))
        }
        _ => None,
    }
}

/// The status of a response with this head, which need not be whole.
pub(crate) fn status(head: &Head) -> Option<u16> {
    head::status(head.as_bytes())
}

/// Returns the framing of the body after this response head.
pub(crate) fn response_framing(head: &Head, asked: RequestHint) -> Framing {
    let raw = head.as_bytes();
    let whole = head::end(raw, 0).and_then(|_| head::response(raw));
    whole.map_or(Framing::UntilClose, |facts| facts.framing(asked.0))
}

/// A message whose head is not whole, or too long to be read.
fn broken<State>(bytes: &[u8], state: State) -> StandaloneMessage<State> {
    let raw = bytes.get(..bytes.len().min(MAX_HEAD_BYTES)).unwrap_or_default().to_vec();
    StandaloneMessage { head: Head::new(raw), body: Body::EMPTY, state, rest: 0 }
}

/// End of a body.
#[derive(Clone, Copy, Debug)]
enum BodyEnd {
    /// After this many bytes.
    After(usize),
    /// Before its framing says so.
    Early,
    /// Its framing cannot be read.
    Bad,
}

impl BodyEnd {
    /// Bytes after the body; blank lines are not counted, for some recorders add one.
    fn rest(self, bytes: &[u8]) -> usize {
        match self {
            Self::After(len) => after_blank(bytes.get(len..).unwrap_or_default()).len(),
            Self::Early | Self::Bad => 0,
        }
    }
}

fn read_body(framing: Framing, interest: BodyPolicy, (head, bytes): (&[u8], &[u8])) -> (Body, BodyEnd) {
    let mut reader = BodyReader::new(framing, interest, head);
    let end = match reader.feed(bytes) {
        BodyProgress::Ended(len) => BodyEnd::After(len),
        BodyProgress::All if reader.is_until_close() => BodyEnd::After(bytes.len()),
        BodyProgress::All => {
            reader.damage();
            BodyEnd::Early
        }
        BodyProgress::Bad => BodyEnd::Bad,
    };
    (reader.finish(), end)
}

/// Line ends before a message are passed over (RFC 9112, 2.2).
fn after_blank(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(blank..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_request(bytes: &[u8], state: RequestState, content: &[u8], rest: usize) {
        let single = request(bytes, BodyPolicy::Keep).unwrap();
        let found = single.body.content().unwrap_or_default();
        assert_eq!((single.state, &*found, single.rest), (state, content, rest));
    }

    #[test]
    fn a_request_is_what_it_is_on_the_wire() {
        let bad_chunk = RequestState::Malformed(Malformed::BadChunk);
        let cut = RequestState::Incomplete(Incomplete::Cut);
        check_request(b"\r\nGET / HTTP/1.1\r\n\r\n", RequestState::Whole, b"", 0);
        check_request(b"POST / HTTP/1.1\nContent-Length: 2\n\nabc", RequestState::Whole, b"ab", 1);
        check_request(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", cut, b"ab", 0);
        check_request(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\n",
            RequestState::Whole,
            b"ab",
            0,
        );
        check_request(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc", bad_chunk, b"ab", 0);
        check_request(b"GET / HTTP/1.1\r\nHost: h", cut, b"", 0);
        check_request(
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\nabc",
            RequestState::Malformed(Malformed::BadLength),
            b"",
            0,
        );
        assert!(request(b"HTTP/1.1 200 OK\r\n\r\n", BodyPolicy::Keep).is_none());
        assert!(request(b"", BodyPolicy::Keep).is_none());
    }

    #[track_caller]
    fn check_response(bytes: &[u8], asked: &[u8], status: u16, damage: Option<Damage>, len: u64) {
        let asked = RequestHint::by(&Head::new(asked.to_vec()));
        let single = response(bytes, asked, BodyPolicy::Keep).unwrap();
        assert_eq!((single.state.status, single.state.damage, single.body.len), (status, damage, len));
    }

    #[test]
    fn a_response_is_framed_by_what_it_answers() {
        let long = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        check_response(long, b"HEAD / ", 200, None, 0);
        check_response(long, b"GET / ", 200, Some(Damage::Cut), 0);
        check_response(b"HTTP/1.1 200 OK\r\n\r\nabc", b"GET / ", 200, None, 3);
        check_response(b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 204 X\r\n\r\n", b"PUT / ", 204, None, 0);
        check_response(b"HTTP/1.1 502 Bad", b"GET / ", 502, Some(Damage::Cut), 0);
        assert!(response(b"HTTP/1.1 100 Continue\r\n\r\n", RequestHint::UNKNOWN, BodyPolicy::Keep).is_none());
        assert!(is_opaque(200, RequestHint(Method::Connect)) && is_opaque(101, RequestHint::UNKNOWN));
    }
}
