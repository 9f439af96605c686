//! The words that every stage speaks: what was on the wire, who said it, and how it ended.
//!
//! Nothing here parses or decides: [`crate::http1`] makes these values, [`crate::middleware`] edits them,
//! [`crate::replay`] sends them and [`crate::report`] joins them.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use crate::head::{Head, HeaderLine, HeaderLines};

pub(crate) use crate::head::LineEdit;

/// An instant on the capture's clock: nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero where `earlier` is in fact later (captures do that).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved by `by`, stopping at the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC with nine decimals, e.g. `2026-11-21T20:15:00.000000001Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0 / 1_000_000_000).unwrap_or(i64::MAX);
        let nanos = self.0 % 1_000_000_000;
        // u64 nanoseconds end in the year 2554, well inside jiff's range.
        let whole = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let civil = jiff::tz::Offset::UTC.to_datetime(whole);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{nanos:09}Z",
            civil.year(),
            civil.month(),
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second()
        )
    }
}

/// A text that is no value of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct ParseValueError(&'static str);

/// RFC 3339, in whichever zone, from 1970 on.
impl std::str::FromStr for Timestamp {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Self, ParseValueError> {
        let error = ParseValueError("an instant such as 2026-11-21T20:15:00.000000001Z");
        let instant: jiff::Timestamp = text.parse().map_err(|_| error)?;
        u64::try_from(instant.as_nanosecond()).map(Self).map_err(|_| error)
    }
}

/// A TCP connection: counted from 1, in the order of first frames after `-f` and `-p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request and its response on one connection: `17.3` is the third exchange of connection 17.
///
/// The same capture gives the same ids. A second pass of a loop is `17.3@2`, an amplified copy `17.3+1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId {
    /// The connection that carried it.
    pub connection: ConnectionId,
    /// Its place on that connection, from 1.
    pub index: u32,
    /// Pass over the capture that sent it, from 1.
    pub pass: u32,
    /// Copy of the session that it belongs to; 0 is the original.
    pub copy: u32,
}

impl ExchangeId {
    /// Connections from this number on were never captured: an external middleware made up their requests. No capture
    /// has as many.
    pub(crate) const FIRST_MADE_UP: ConnectionId = ConnectionId(1 << 48);

    /// Returns whether it was made up by an external middleware rather than captured.
    #[must_use]
    pub(crate) fn is_made_up(self) -> bool {
        self.connection >= Self::FIRST_MADE_UP
    }

    /// The exchange as it was captured: first pass, no copy.
    #[must_use]
    pub const fn new(connection: ConnectionId, index: u32) -> Self {
        Self { connection, index, pass: 1, copy: 0 }
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connection, self.index)?;
        if self.pass > 1 {
            write!(f, "@{}", self.pass)?;
        }
        if self.copy > 0 {
            write!(f, "+{}", self.copy)?;
        }
        Ok(())
    }
}

/// As it is displayed.
impl std::str::FromStr for ExchangeId {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Self, ParseValueError> {
        let (rest, copy) = text.split_once('+').unwrap_or((text, "0"));
        let (rest, pass) = rest.split_once('@').unwrap_or((rest, "1"));
        let parts = || {
            let (connection, index) = rest.split_once('.')?;
            let connection = ConnectionId(connection.parse().ok()?);
            Some(Self { connection, index: index.parse().ok()?, pass: pass.parse().ok()?, copy: copy.parse().ok()? })
        };
        parts().ok_or(ParseValueError("the id of an exchange such as 17.3"))
    }
}

/// Events of the capture engine, in the order in which it learns of them.
///
/// Of one exchange, [`Event::Request`] always comes first. Exactly one [`Event::Response`] or [`Event::Damaged`]
/// follows it, at the latest when the connection closes.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first frame of a connection.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// Capture time of its first frame.
        at: Timestamp,
    },
    /// The last byte of a request was seen, or it became known that it never will be.
    Request(Box<Request>),
    /// The final response to a request: its last byte was seen, or will not be (see [`Response::damage`]).
    Response {
        /// Request of this response.
        of: ExchangeId,
        /// The response.
        response: Box<Response>,
    },
    /// No usable response to `of` was captured.
    Damaged {
        /// The request that stays without its response.
        of: ExchangeId,
        /// Reason.
        why: Damage,
    },
    /// A final response whose request was not captured: before the capture began, or lost in it.
    Orphan {
        /// The connection that carried it.
        connection: ConnectionId,
        /// The response.
        response: Box<Response>,
    },
    /// The connection ended, or was given up.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// Time of the end.
        at: Timestamp,
        /// By what.
        how: Close,
    },
}

/// Way in which a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Both sides sent FIN.
    Fin,
    /// One side sent RST.
    Reset,
    /// The same addresses and ports began a new connection.
    Reused,
    /// Nothing was heard for longer than the idle limit, on the capture's clock.
    Idle,
    /// It had to make room for others.
    Evicted,
    /// The capture ended first.
    EndOfCapture,
}

/// A request as it was on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its identity.
    pub id: ExchangeId,
    /// The address that sent it.
    pub client: SocketAddr,
    /// The address that it was sent to.
    pub server: SocketAddr,
    /// Request line and header lines.
    pub head: Head,
    /// The body and how it was framed.
    pub body: Body,
    /// Capture time of its first byte.
    pub first_byte: Timestamp,
    /// Capture time of its last byte.
    pub last_byte: Timestamp,
    /// Completeness of the request: only a whole one may be replayed.
    pub state: RequestState,
}

impl Request {
    /// The method token, verbatim.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.head.request_line().0
    }

    /// The request-target, verbatim (RFC 9112, 3.2).
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.head.request_line().1
    }

    /// The path and query of the target: absolute-form without its scheme and authority.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        path_and_query(self.target())
    }

    /// `1.1`, `1.0`: what follows `HTTP/`; empty where the request line had no version.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        let version = self.head.request_line().2;
        version.strip_prefix(b"HTTP/").unwrap_or(version)
    }

    /// Bytes on the wire: the head, and the body without chunk framing.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.head.as_bytes().len() as u64 + self.body.len
    }
}

/// The path and query of a request-target: absolute-form (RFC 9112, 3.2.2) loses scheme and authority.
#[must_use]
pub fn path_and_query(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(scheme_end) = memchr::memmem::find(target, b"://") else { return target };
    let after = target.get(scheme_end + 3..).unwrap_or_default();
    match memchr::memchr2(b'/', b'?', after) {
        Some(start) => after.get(start..).unwrap_or_default(),
        None => b"/",
    }
}

/// Completeness of a captured request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// Every byte, well framed.
    Whole,
    /// Bytes of it are missing: never to be replayed as if whole.
    Incomplete(Incomplete),
    /// It breaks a rule that servers and proxies disagree on how to mend: never to be replayed.
    Malformed(Malformed),
}

/// Reason why bytes of a request are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Incomplete {
    /// A segment was lost in capture, or the sender never sent the rest.
    Gap,
    /// A frame was cut by the capture's snap length.
    Cut,
    /// The capture ended first.
    EndOfCapture,
    /// It begins after missing bytes, and nothing shows that it is not part of the message before it.
    Unproven,
}

impl Incomplete {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Gap, Self::Cut, Self::EndOfCapture, Self::Unproven];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end_of_capture",
            Self::Unproven => "unproven",
        }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end of capture",
            Self::Unproven => "unproven",
        })
    }
}

/// Reason why a message is malformed; each names the rule of RFC 9112 that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Malformed {
    /// Section 3: the request line is not `method SP target SP version`.
    RequestLine,
    /// Section 5: a header line without a colon, or with bytes that no field may have.
    HeaderLine,
    /// Section 5.1: white space between a header name and its colon.
    SpaceBeforeColon,
    /// Section 6.3: both Content-Length and Transfer-Encoding.
    LengthAndTransferEncoding,
    /// Section 6.3: several Content-Length values that differ.
    ConflictingLengths,
    /// Section 6.2: a Content-Length that is no number.
    BadLength,
    /// Section 6.1: a Transfer-Encoding of a request whose last coding is not `chunked`.
    BadTransferEncoding,
    /// Section 6.1: a Transfer-Encoding in several lines, in a folded one, or with `chunked` twice.
    UnclearTransferEncoding,
    /// Section 2.2: a CR in the head that no LF follows.
    BareCr,
    /// Section 7.1: a chunk-size line or chunk end that cannot be read.
    BadChunk,
    /// The head is longer than [`crate::http1::MAX_HEAD_BYTES`] or has too many header lines.
    HeadTooLarge,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestLine => "request line",
            Self::HeaderLine => "header line",
            Self::SpaceBeforeColon => "space before colon",
            Self::LengthAndTransferEncoding => "content-length and transfer-encoding",
            Self::ConflictingLengths => "conflicting content-lengths",
            Self::BadLength => "content-length is not a number",
            Self::BadTransferEncoding => "transfer-encoding does not end in chunked",
            Self::UnclearTransferEncoding => "unclear transfer-encoding",
            Self::BareCr => "bare CR",
            Self::BadChunk => "chunk framing",
            Self::HeadTooLarge => "head too large",
        })
    }
}

/// A response as it was on the wire, or as a target gave it.
#[derive(Clone, Debug)]
pub struct Response {
    /// The final status (101 is final, other 1xx are not).
    pub status: u16,
    /// Status line and header lines.
    pub head: Head,
    /// The body and how it was framed.
    pub body: Body,
    /// Capture time of its first byte: of the final response, not of an interim one.
    pub first_byte: Timestamp,
    /// Capture time of its last byte.
    pub last_byte: Timestamp,
    /// Damage to the rest of it; the status is known in any case.
    pub damage: Option<Damage>,
    /// After this response the connection speaks something else (CONNECT, Upgrade).
    pub opaque: bool,
    /// The time since its request is not known: the capture's clock was set in between, or the clocks of both
    /// directions differ.
    pub untimed: bool,
    /// Only the end of the connection tells its end, and its client left first: it may have had more to say.
    pub left: bool,
}

impl Response {
    /// Whether it may have gone on, and all of it that came was captured.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.left || self.damage.is_some_and(Damage::is_open)
    }

    /// The time from the last byte of its request to its own first byte, where that is known; zero for an early one.
    #[must_use]
    pub fn latency(&self, request_last_byte: Timestamp) -> Option<Duration> {
        (!self.untimed).then(|| self.first_byte.since(request_last_byte))
    }
}

/// Damage to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// The connection ended, or the capture did, before a response began.
    NoResponse,
    /// A segment was lost in capture.
    Gap,
    /// A frame was cut by the capture's snap length.
    Cut,
    /// The capture ended before the response did.
    EndOfCapture,
    /// The connection ended before the response did.
    Closed,
    /// Its framing or head cannot be read.
    Malformed,
    /// Segments were lost, so that responses can no longer be paired with their requests.
    PairingLost,
    /// It was captured, and thrown away for want of room (live capture only).
    Shed,
}

impl Damage {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::NoResponse => "no_response",
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end_of_capture",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::PairingLost => "pairing_lost",
            Self::Shed => "shed",
        }
    }
}

impl Damage {
    /// Whether the response had not ended, and all of it that had come was captured: its client left, or the capture
    /// ended first.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Closed | Self::EndOfCapture)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoResponse => "no response",
            Self::Gap => "gap",
            Self::Cut => "cut",
            Self::EndOfCapture => "end of capture",
            Self::Closed => "connection closed early",
            Self::Malformed => "malformed",
            Self::PairingLost => "pairing lost",
            Self::Shed => "shed",
        })
    }
}

/// SHA-256 of a body's content.
pub type Digest = [u8; 32];

/// The digest of a content; `None` where there is none.
#[must_use]
pub fn digest(content: &[u8]) -> Option<Digest> {
    (!content.is_empty()).then(|| Sha256::digest(content).into())
}

/// The digest of a content that has `len` bytes; `None` where this is no more than its beginning.
#[must_use]
pub(crate) fn digest_of_whole(content: &[u8], len: u64) -> Option<Digest> {
    (content.len() as u64 == len).then(|| digest(content)).flatten()
}

/// A digest in lower-case hexadecimal.
#[must_use]
pub fn hex(digest: &Digest) -> String {
    data_encoding::HEXLOWER.encode(digest)
}

/// Delimiter of a body's end (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, whatever the head says.
    None,
    /// Content-Length.
    Length(u64),
    /// Transfer-Encoding ending in `chunked`.
    Chunked,
    /// The end of the connection (responses only).
    UntilClose,
}

/// A body, its framing separate from its content.
#[derive(Clone, Debug)]
pub struct Body {
    /// Framing: the delimiter of its end.
    pub framing: Framing,
    /// Content bytes seen: transfer coding removed, content coding kept.
    pub len: u64,
    /// SHA-256 of the content, where it was asked for and the content is not empty or damaged.
    pub sha256: Option<Digest>,
    /// The body as framed on the wire, chunk lines included, where it was asked for and fits the limit.
    pub wire: Option<Bytes>,
}

impl Body {
    /// No body at all.
    pub const EMPTY: Self = Self { framing: Framing::None, len: 0, sha256: None, wire: None };

    /// The content without transfer coding, where the body was kept.
    #[must_use]
    pub fn content(&self) -> Option<Cow<'_, [u8]>> {
        let wire = self.wire.as_deref()?;
        Some(match self.framing {
            Framing::Chunked => Cow::Owned(self.chunks()?.concat()),
            Framing::None | Framing::Length(_) | Framing::UntilClose => Cow::Borrowed(wire),
        })
    }

    /// The chunks of a chunked body in order, or the whole content as one; `None` where it was not kept.
    #[must_use]
    pub fn chunks(&self) -> Option<Vec<Bytes>> {
        let wire = self.wire.as_ref()?;
        if self.framing != Framing::Chunked {
            return Some(if wire.is_empty() { Vec::new() } else { vec![wire.clone()] });
        }
        let mut chunks = Vec::new();
        let mut at = 0;
        while let Some((start, len)) = chunk_size(wire, at).filter(|(_, len)| *len > 0) {
            // The last chunk of a damaged body may be cut.
            let end = start.saturating_add(len).min(wire.len());
            if start < end {
                chunks.push(wire.slice(start..end));
            }
            // The CRLF after the data; a bare LF is told apart by what stands there.
            at = end + if wire.get(end) == Some(&b'\r') { 2 } else { 1 };
        }
        Some(chunks)
    }
}

/// Returns the offset of the data of the chunk at `at`, and its length (RFC 9112, 7.1). A bare LF ends the line as CRLF
/// does.
fn chunk_size(wire: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = wire.get(at..)?;
    let line = rest.get(..memchr::memchr(b'\n', rest)?)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(line.get(..digits)?).ok()?;
    let len = u64::from_str_radix(digits, 16).ok()?;
    Some((at + line.len() + 1, usize::try_from(len).unwrap_or(usize::MAX)))
}

/// Final state of a request, or of one delivery of it to one target. Each has exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to send it to (inspect, record).
    Kept,
    /// A rule of this name kept it back.
    Filtered(Cow<'static, str>),
    /// It is not in the sample.
    SampledOut,
    /// A rate limit kept it back.
    RateLimited,
    /// It was malformed on the wire.
    Malformed(Malformed),
    /// Bytes of it are missing from the capture.
    Incomplete(Incomplete),
    /// It was thrown away at this place, because that was full or stopped.
    Shed(Shed),
    /// It was held back from a target, to spare that.
    GuardHeld(HeldBy),
    /// A final response came, whatever its status.
    Sent,
    /// No final response came.
    Failed(FailureKind),
}

impl Outcome {
    /// A filter's verdict under `rule`.
    #[must_use]
    pub const fn filtered(rule: &'static str) -> Self {
        Self::Filtered(Cow::Borrowed(rule))
    }

    /// Key in machine-readable output, one of those under `ended`.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Filtered(_) => "filtered",
            Self::SampledOut => "sampled_out",
            Self::RateLimited => "rate_limited",
            Self::Malformed(_) => "malformed",
            Self::Incomplete(_) => "incomplete",
            Self::Shed(_) => "shed",
            Self::GuardHeld(_) => "guard_held",
            Self::Sent => "sent",
            Self::Failed(_) => "failed",
        }
    }

    /// Returns the detail within [`Outcome::key`]: the rule, the stage or the kind.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Filtered(rule) => Some(rule),
            Self::Shed(place) => Some(place.key()),
            Self::Incomplete(why) => Some(why.key()),
            Self::Failed(kind) => Some(kind.key()),
            Self::GuardHeld(by) => Some(by.key()),
            _ => None,
        }
    }
}

/// Cause that held a request back from a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldBy {
    /// The target's guard.
    Guard,
    /// The run was paused by hand.
    Paused,
}

impl HeldBy {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Paused => "paused",
        }
    }
}

/// Stage at which a request was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shed {
    /// The queue of a target was full.
    TargetQueue,
    /// The run was stopped before the request was sent.
    Stopped,
    /// Its body is larger than the limit up to which bodies are kept.
    BodyLimit,
    /// The queue between capture and replay was full (live capture only).
    Capture,
    /// The queue before the recording was full, or the recording could not be written.
    Recording,
    /// No connection came free for it in time: all that may be open were, or its own was busy.
    Connections,
    /// An external middleware did not take it in time.
    Middleware,
    /// This machine had no file left for its connection.
    OpenFiles,
    /// This machine had no local port left for its connection.
    LocalPorts,
}

impl Shed {
    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::TargetQueue => "target_queue",
            Self::Stopped => "stopped",
            Self::BodyLimit => "body_limit",
            Self::Capture => "capture",
            Self::Recording => "recording",
            Self::Connections => "connections",
            Self::Middleware => "middleware",
            Self::OpenFiles => "open_files",
            Self::LocalPorts => "local_ports",
        }
    }
}

/// Reason why no final response came from a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The name could not be resolved.
    Dns,
    /// No TCP connection could be made.
    Connect,
    /// No TCP connection was made in time.
    ConnectTimeout,
    /// No TLS session could be made: handshake or certificate.
    Tls,
    /// No whole response came in time.
    Timeout,
    /// The connection was reset, or closed before a response began.
    Reset,
    /// The connection was closed within the response.
    Truncated,
    /// The bytes received are not HTTP, or the request cannot be expressed in the client's protocol.
    Protocol,
    /// A response came without a request on the connection: whose this one's was cannot be told.
    Desynchronised,
    /// The response is larger than the limit.
    TooLarge,
}

impl FailureKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Truncated,
        Self::Protocol,
        Self::Desynchronised,
        Self::TooLarge,
    ];

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::Desynchronised => "desynchronised",
            Self::TooLarge => "too_large",
        }
    }
}

/// Text from the wire as JSON can carry it: as it is where the whole value is valid UTF-8, else the whole value
/// as Latin-1.
#[must_use]
pub(crate) fn wire_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339_with_nine_decimals() {
        assert_eq!(Timestamp::from_nanos(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp::from_nanos(1_795_291_200_000_000_007).to_string(), "2026-11-21T20:00:00.000000007Z");
        assert!(Timestamp::from_nanos(u64::MAX).to_string().starts_with("2554-"));
        for nanos in [0, 1_795_291_200_000_000_007, u64::MAX] {
            let at = Timestamp::from_nanos(nanos);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
    }

    #[test]
    fn ids_name_pass_and_copy_only_where_there_are_any() {
        let mut id = ExchangeId::new(ConnectionId(17), 3);
        assert_eq!(id.to_string(), "17.3");
        id.pass = 2;
        assert_eq!(id.to_string(), "17.3@2");
        id.copy = 1;
        assert_eq!(id.to_string(), "17.3@2+1");
        for text in ["17.3", "17.3@2", "17.3+1", "17.3@2+1"] {
            assert_eq!(text.parse::<ExchangeId>().unwrap().to_string(), text);
        }
        assert_eq!("17".parse::<ExchangeId>().unwrap_err().to_string(), "not the id of an exchange such as 17.3");
    }

    #[test]
    fn absolute_form_targets_lose_scheme_and_authority() {
        assert_eq!(path_and_query(b"/a?b"), b"/a?b");
        assert_eq!(path_and_query(b"http://h:80/a?b"), b"/a?b");
        assert_eq!(path_and_query(b"http://h"), b"/");
        assert_eq!(path_and_query(b"http://h?q"), b"?q");
        assert_eq!(path_and_query(b"*"), b"*");
    }

    #[test]
    fn chunked_content_is_what_the_chunks_hold() {
        let body = Body {
            framing: Framing::Chunked,
            len: 5,
            sha256: None,
            wire: Some(Bytes::from_static(b"2;x=y\r\nab\r\n3\r\ncde\r\n0\r\nT: v\r\n\r\n")),
        };
        assert_eq!(body.content().unwrap().as_ref(), b"abcde");
        assert_eq!(body.chunks().unwrap().len(), 2);
    }

    #[test]
    fn chunks_that_end_in_a_bare_lf_and_a_chunk_that_is_cut_are_content_as_well() {
        let body =
            |wire| Body { framing: Framing::Chunked, len: 5, sha256: None, wire: Some(Bytes::from_static(wire)) };
        assert_eq!(body(b"2\nab\n3\ncde\n0\n\n").content().unwrap().as_ref(), b"abcde");
        assert_eq!(body(b"2\nab\n3 ; \x01\ncde\n0\n\n").content().unwrap().as_ref(), b"abcde");
        assert_eq!(body(b"2\r\nab\r\nffffffffffffffff\r\ncde").content().unwrap().as_ref(), b"abcde");
        assert_eq!(body(b"2\r\nab\r\n3\r\n").chunks().unwrap().len(), 1);
    }

    #[test]
    fn wire_text_falls_back_to_latin_1_as_a_whole() {
        assert_eq!(wire_text("caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(wire_text(b"caf\xe9 \xc3\xa9"), "caf\u{e9} \u{c3}\u{a9}");
    }
}
