//! A response head as a client has to read it: strictly, since what it says decides where the next response begins.
//!
//! In go bytes that begin with a head, out comes what it says and how long it is, or why nobody may go on from there. A
//! head of production is read by [`super::head`] instead, which makes the best of what it finds.

use std::mem::MaybeUninit;
use std::time::Duration;

use super::MAX_HEADER_LINES;
use super::framing_fields::{ContentLength, FramingFields, TransferCoding};
use super::head::{StartCheck, response_begins};
use super::plain_head;
use crate::exchange::Framing;
use crate::head::KnownHeader;

/// Header lines that there is room for without asking the allocator.
const FAST_LINES: usize = 64;

/// Fields of a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StrictResponseHead {
    /// The status, 100 to 999.
    pub(crate) status: u16,
    /// Framing of the body.
    pub(crate) framing: Framing,
    /// True when the server keeps the connection open (RFC 9112, 9.3), as far as the head shows.
    pub(crate) persists: bool,
    /// Idle timeout of the connection as declared by the server (RFC 2068, 19.7.1.1; still in use).
    pub(crate) idle_timeout: Option<Duration>,
}

/// Reason why reading cannot continue after a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseHeadError {
    /// No HTTP/1 response, or lines that no field may have.
    #[error("what came is no HTTP/1 response head")]
    NotHttp,
    /// More lines than are read.
    #[error("the head has more than {MAX_HEADER_LINES} lines")]
    TooManyLines,
    /// RFC 9112, 6.3: lengths that differ, or one that is no number.
    #[error("the response says its length in words that contradict each other or are no number")]
    Length,
}

/// Facts about the request on which the response depends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestContext {
    /// The method was HEAD: whatever the head says, there is no body.
    pub(crate) head_only: bool,
    /// It was of HTTP/1.0: the connection persists only where that is said.
    pub(crate) old: bool,
}

/// Reads the head that `bytes` begin with, and says how long it is; `None` where it is not whole.
pub(crate) fn read(
    bytes: &[u8],
    asked: RequestContext,
) -> Result<Option<(usize, StrictResponseHead)>, ResponseHeadError> {
    // The parser would pass over empty lines, which no response begins with.
    if response_begins(bytes) == StartCheck::No {
        return Err(ResponseHeadError::NotHttp);
    }
    if let Some(read) = plain(bytes, asked) {
        return read.map(Some);
    }
    let mut lines = [const { MaybeUninit::uninit() }; FAST_LINES];
    match parse(bytes, &mut lines, asked) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut lines = vec![const { MaybeUninit::uninit() }; MAX_HEADER_LINES];
            parse(bytes, &mut lines, asked).unwrap_or_else(|error| match error {
                httparse::Error::TooManyHeaders => Err(ResponseHeadError::TooManyLines),
                _ => Err(ResponseHeadError::NotHttp),
            })
        }
        read => read.unwrap_or(Err(ResponseHeadError::NotHttp)),
    }
}

/// The same for a head that is just as RFC 9112 asks for, as nearly all are; `None` for any other.
fn plain(bytes: &[u8], asked: RequestContext) -> Option<Result<(usize, StrictResponseHead), ResponseHeadError>> {
    let mut fields = ResponseFields::default();
    let len = plain_head::response(bytes, |name, value| fields.note(name, value))?;
    let [b'H', b'T', b'T', b'P', b'/', _, b'.', minor, b' ', digits @ ..] = bytes else { return None };
    let status = digits.first_chunk::<3>()?.iter().fold(0, |status, digit| 10 * status + u16::from(digit - b'0'));
    Some(fields.of(status, minor - b'0', asked).map(|head| (len, head)))
}

fn parse<'a>(
    bytes: &'a [u8],
    lines: &mut [MaybeUninit<httparse::Header<'a>>],
    asked: RequestContext,
) -> Result<Result<Option<(usize, StrictResponseHead)>, ResponseHeadError>, httparse::Error> {
    let mut config = httparse::ParserConfig::default();
    // A client has to take a folded line for one line (RFC 9112, 5.2).
    config.allow_obsolete_multiline_headers_in_responses(true);
    let mut response = httparse::Response::new(&mut []);
    let httparse::Status::Complete(len) = config.parse_response_with_uninit_headers(&mut response, bytes, lines)?
    else {
        return Ok(Ok(None));
    };
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Ok(Err(ResponseHeadError::NotHttp));
    };
    let mut fields = ResponseFields::default();
    response.headers.iter().for_each(|line| fields.note(line.name.as_bytes(), line.value));
    Ok(fields.of(status, minor, asked).map(|head| Some((len, head))))
}

/// What the lines of a response head say.
#[derive(Default)]
struct ResponseFields {
    framing: FramingFields,
    connection: ConnectionOptions,
    idle_timeout: Option<Duration>,
}

impl ResponseFields {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        match KnownHeader::of(name) {
            Some(KnownHeader::Connection) => self.connection.note(value),
            Some(KnownHeader::KeepAlive) => self.idle_timeout = self.idle_timeout.or_else(|| timeout(value)),
            Some(known) => self.framing.note_known(known, value),
            None => {}
        }
    }

    /// The head with these lines, of HTTP/1 and this minor version.
    fn of(self, status: u16, minor: u8, asked: RequestContext) -> Result<StrictResponseHead, ResponseHeadError> {
        let Self { framing: fields, connection, idle_timeout } = self;
        let persists = !connection.close && ((minor > 0 && !asked.old) || connection.keep_alive);
        let (framing, clear) = framing(status, fields, asked)?;
        Ok(StrictResponseHead { status, framing, persists: persists && clear, idle_timeout })
    }
}

/// The `timeout` of a Keep-Alive line, in seconds.
fn timeout(value: &[u8]) -> Option<Duration> {
    let seconds = value.split(|byte| *byte == b',').find_map(|parameter| {
        let (name, seconds) = parameter.trim_ascii().split_at_checked(b"timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then_some(seconds)
    })?;
    std::str::from_utf8(seconds.trim_ascii()).ok()?.parse().ok().map(Duration::from_secs)
}

/// RFC 9112, 6.3; whether the connection may be trusted after it comes with it.
fn framing(status: u16, fields: FramingFields, asked: RequestContext) -> Result<(Framing, bool), ResponseHeadError> {
    if asked.head_only || matches!(status, 100..=199 | 204 | 304) {
        return Ok((Framing::None, status != 101));
    }
    match (fields.coding, fields.length) {
        // Transfer-Encoding overrides the length, but whoever says both is not to be trusted with another request.
        (TransferCoding::Chunked, length) => Ok((Framing::Chunked, length == ContentLength::Absent)),
        (TransferCoding::Other, _) | (TransferCoding::Absent, ContentLength::Absent) => {
            Ok((Framing::UntilClose, false))
        }
        (TransferCoding::Absent, ContentLength::One(0)) => Ok((Framing::None, true)),
        (TransferCoding::Absent, ContentLength::One(length)) => Ok((Framing::Length(length), true)),
        (TransferCoding::Absent, ContentLength::Conflicting(_) | ContentLength::Bad) => Err(ResponseHeadError::Length),
    }
}

/// Options of the Connection lines.
#[derive(Clone, Copy, Debug, Default)]
struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
}

impl ConnectionOptions {
    fn note(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a complete head that is followed by more bytes.
    fn whole(head: &str, asked: RequestContext) -> Result<StrictResponseHead, ResponseHeadError> {
        let (len, found) = read(format!("{head}rest").as_bytes(), asked)?.expect("it is whole");
        assert_eq!(len, head.len());
        Ok(found)
    }

    fn check(head: &str, expected: Result<(u16, Framing, bool), ResponseHeadError>) {
        let found = whole(&format!("{head}\r\n\r\n"), RequestContext::default());
        assert_eq!(found.map(|head| (head.status, head.framing, head.persists)), expected, "{head}");
    }

    #[test]
    fn the_framing_of_a_response_follows_rfc_9112() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5", Ok((200, Framing::Length(5), true)));
        check("HTTP/1.1 200\r\ncontent-length: 5, 5", Ok((200, Framing::Length(5), true)));
        check("HTTP/1.1 200 OK\r\nContent-Length: 0", Ok((200, Framing::None, true)));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", Ok((200, Framing::Chunked, true)));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", Ok((200, Framing::UntilClose, false)));
        check("HTTP/1.1 200 OK", Ok((200, Framing::UntilClose, false)));
        check("HTTP/1.1 204 No Content\r\nContent-Length: 5", Ok((204, Framing::None, true)));
        check("HTTP/1.1 304 Not Modified\r\nContent-Length: 5", Ok((304, Framing::None, true)));
        check("HTTP/1.1 101 Switching Protocols", Ok((101, Framing::None, false)));
    }

    #[test]
    fn what_contradicts_itself_is_not_gone_on_from() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2", Err(ResponseHeadError::Length));
        check("HTTP/1.1 200 OK\r\nContent-Length: -1", Err(ResponseHeadError::Length));
        check("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999", Err(ResponseHeadError::Length));
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked", Ok((200, Framing::Chunked, false)));
        check("HTTP/1.1 200 OK\r\nX Y: 1", Err(ResponseHeadError::NotHttp));
        check("HTTP/2.0 200 OK", Err(ResponseHeadError::NotHttp));
        check("SSH-2.0-OpenSSH_9.2", Err(ResponseHeadError::NotHttp));
    }

    #[test]
    fn a_connection_persists_where_version_and_lines_say_so() {
        check("HTTP/1.1 204 -\r\nConnection: a, Close", Ok((204, Framing::None, false)));
        check("HTTP/1.0 204 -", Ok((204, Framing::None, false)));
        check("HTTP/1.0 204 -\r\nConnection: keep-alive", Ok((204, Framing::None, true)));
        let old = RequestContext { old: true, head_only: false };
        assert!(!whole("HTTP/1.1 204 -\r\n\r\n", old).unwrap().persists);
        assert!(whole("HTTP/1.1 204 -\r\nConnection: Keep-Alive\r\n\r\n", old).unwrap().persists);
    }

    #[test]
    fn the_idle_time_of_the_server_is_read() {
        for (line, seconds) in [
            ("Keep-Alive: timeout=5, max=100", Some(5)),
            ("keep-alive: max=1,Timeout=0", Some(0)),
            ("Keep-Alive: timeout=soon", None),
            ("Keep-Alive: 5", None),
            ("X: timeout=5", None),
        ] {
            let found = whole(&format!("HTTP/1.1 204 -\r\n{line}\r\n\r\n"), RequestContext::default()).unwrap();
            assert_eq!(found.idle_timeout, seconds.map(Duration::from_secs), "{line}");
        }
    }

    #[test]
    fn what_answers_head_has_no_body_and_ends_no_connection() {
        let asked = RequestContext { head_only: true, old: false };
        for lines in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""] {
            let found = whole(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), asked).unwrap();
            assert_eq!((found.framing, found.persists), (Framing::None, true), "{lines}");
        }
    }

    #[test]
    fn folded_lines_and_very_many_lines_are_read() {
        check("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5", Ok((200, Framing::Length(5), true)));
        let many = "X: y\r\n".repeat(500);
        check(&format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 5"), Ok((200, Framing::Length(5), true)));
        let more = "X: y\r\n".repeat(1001);
        check(&format!("HTTP/1.1 200 OK\r\n{more}Content-Length: 5"), Err(ResponseHeadError::TooManyLines));
    }
}
