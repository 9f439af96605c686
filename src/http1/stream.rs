//! One side's stream: where in which message it is.

use super::body::BodyReader;
use super::{head, methods};
use crate::exchange::{Damage, ExchangeId, Head, Incomplete, Malformed, Timestamp};
use crate::flow::Stretch;

/// Bytes of a stream that came at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPiece<'a> {
    pub(super) at: Timestamp,
    pub(super) stretch: Stretch,
    pub(super) offset: u64,
    pub(super) received: u64,
    pub(super) bytes: &'a [u8],
}

impl StreamPiece<'_> {
    /// Moves past `len` bytes.
    pub(super) fn pass(&mut self, len: usize) {
        self.bytes = self.bytes.get(len..).unwrap_or_default();
        self.offset += len as u64;
    }
}

/// Start of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageStart {
    pub(super) at: Timestamp,
    pub(super) stretch: Stretch,
    /// Offset of its first byte in its own stream.
    pub(super) offset: u64,
    /// Offset up to which its sender had received the other stream at that time.
    pub(super) received: u64,
    /// True where it only looks like one, after bytes that are missing or unread: it may be part of a body.
    pub(super) unproven: bool,
}

impl From<&StreamPiece<'_>> for MessageStart {
    fn from(piece: &StreamPiece<'_>) -> Self {
        let StreamPiece { at, stretch, offset, received, .. } = *piece;
        Self { at, stretch, offset, received, unproven: false }
    }
}

/// What is known of the position where a message may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The message before it has ended there, or it is the beginning of the stream.
    Boundary,
    /// It is the first one of a stream that was joined in its middle.
    Joined,
    /// It is where a segment begins, after bytes that are missing or unread.
    Guessed,
}

impl Position {
    /// Returns whether a message may have begun before it.
    pub(super) fn is_lost(self) -> bool {
        self != Self::Boundary
    }
}

/// A head that is not whole yet.
#[derive(Debug)]
pub(super) struct PartialHead {
    pub(super) start: MessageStart,
    pub(super) position: Position,
    pub(super) raw: Vec<u8>,
    /// True when its first line was complete and valid.
    pub(super) recognized: bool,
}

/// A message whose body is being read.
#[derive(Debug)]
pub(super) struct MessageInBody {
    pub(super) start: MessageStart,
    pub(super) last_byte: Timestamp,
    /// Stretch of the capture's clock to which `last_byte` belongs.
    pub(super) last_stretch: Stretch,
    pub(super) head: Head,
    pub(super) body: BodyReader,
    pub(super) about: MessageKind,
}

/// Fields specific to requests or to responses.
#[derive(Clone, Copy, Debug)]
pub(super) enum MessageKind {
    Request { id: ExchangeId, malformed: Option<Malformed>, incomplete: Option<Incomplete>, expects: bool },
    Response { status: u16, of: Option<ExchangeId>, damage: Option<Damage>, opaque: bool, is_left: bool },
}

impl MessageKind {
    /// Notes that bytes are missing; the first reason stands.
    pub(super) const fn damage(&mut self, request: Incomplete, response: Damage) {
        match self {
            Self::Request { incomplete: incomplete @ None, .. } => *incomplete = Some(request),
            Self::Response { damage: damage @ None, .. } => *damage = Some(response),
            Self::Request { .. } | Self::Response { .. } => {}
        }
    }

    /// Returns whether this is a request that may be part of another one's body.
    pub(super) const fn is_unproven(&self) -> bool {
        matches!(self, Self::Request { incomplete: Some(Incomplete::Unproven), .. })
    }

    /// Returns whether its body ends where its framing says, whatever the bytes that follow look like.
    pub(super) const fn ends_as_framed(&self) -> bool {
        match self {
            Self::Request { expects, .. } => !*expects && !self.is_unproven(),
            Self::Response { of, .. } => of.is_some(),
        }
    }

    /// Returns whether this is a request of which nobody can tell where its body ends, and whether it has one.
    pub(super) const fn is_unframed(&self) -> bool {
        matches!(self, Self::Request { malformed: Some(Malformed::BadLength | Malformed::BadTransferEncoding), .. })
    }

    /// Returns the state of the stream after its end: that of what may be none is no place where a message must begin, nor is
    /// one that servers find differently.
    pub(super) const fn next_state(&self) -> StreamState {
        if self.is_unproven() || self.is_framed_unclearly() { StreamState::Resync } else { StreamState::Idle }
    }

    /// Returns whether this is a request whose end is elsewhere for a server that reads its framing otherwise.
    const fn is_framed_unclearly(&self) -> bool {
        matches!(self, Self::Request { malformed: Some(Malformed::UnclearTransferEncoding), .. })
    }

    /// Returns whether the client has left this response.
    pub(super) const fn is_left(&self) -> bool {
        matches!(self, Self::Response { is_left: true, .. })
    }

    /// Notes whether the client has ended its side within the response, and no content came since: it left then. Of a
    /// stream some may be on its way: nobody waits for its end.
    pub(super) const fn client_left(&mut self, left: bool) {
        if let Self::Response { is_left, .. } = self {
            *is_left = left;
        }
    }

    /// Notes that the chunk framing cannot be read; says whether this is a request.
    pub(super) fn mark_malformed(&mut self) -> bool {
        match self {
            Self::Request { malformed, .. } => {
                malformed.get_or_insert(Malformed::BadChunk);
                true
            }
            Self::Response { damage, .. } => {
                damage.get_or_insert(Damage::Malformed);
                false
            }
        }
    }
}

/// State of a stream.
#[derive(Debug, Default)]
pub(super) enum StreamState {
    /// A message may begin.
    #[default]
    Idle,
    /// Inside a head.
    Head(Box<PartialHead>),
    /// Inside a body.
    Body(Box<MessageInBody>),
    /// The start of the next message is not known: each piece is checked for one at its beginning.
    Resync,
    /// The same, before the first piece of a stream that was joined in its middle.
    Joined,
    /// Another protocol.
    Opaque,
}

impl From<Position> for StreamState {
    /// The state in which what stands there is looked at.
    fn from(position: Position) -> Self {
        match position {
            Position::Boundary => Self::Idle,
            Position::Joined => Self::Joined,
            Position::Guessed => Self::Resync,
        }
    }
}

impl PartialHead {
    /// Returns whether no message begins with it after all, now that these bytes follow: where the place is only guessed, it is
    /// the end of something else.
    pub(super) fn is_none_before(&self, bytes: &[u8], is_request: bool) -> bool {
        if !self.position.is_lost() || self.recognized || self.raw.len() > head::MAX_FIRST_WORD {
            return false;
        }
        let whole = [&self.raw, bytes.get(..bytes.len().min(head::MAX_FIRST_WORD)).unwrap_or_default()].concat();
        if is_request {
            !methods::may_be_known_method(&whole) && matches!(Preface::of(&whole), Preface::None)
        } else {
            head::response_begins(&whole) == head::StartCheck::No
        }
    }
}

impl StreamState {
    /// How many of the next bytes are only counted.
    pub(super) fn passes_over(&self) -> u64 {
        match self {
            Self::Body(message) if message.about.is_unproven() => 0,
            Self::Body(message) => message.body.passes_over(),
            Self::Opaque => u64::MAX,
            Self::Idle | Self::Head(_) | Self::Resync | Self::Joined => 0,
        }
    }

    /// Bytes held of a message that is not whole yet.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Head(partial) => size_of::<PartialHead>() + partial.raw.capacity(),
            Self::Body(message) => size_of::<MessageInBody>() + message.head.held() + message.body.held(),
            Self::Idle | Self::Resync | Self::Joined | Self::Opaque => 0,
        }
    }
}

/// Data that may precede the first request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preface {
    /// A PROXY protocol header of this many bytes.
    Proxy(usize),
    /// The beginning of any of these, too short to decide.
    Maybe,
    Tls,
    Http2,
    None,
}

impl Preface {
    /// Recognizes what `bytes`, the first of a client's stream, begin with.
    pub(super) fn of(bytes: &[u8]) -> Self {
        const PROXY_V1: &[u8] = b"PROXY ";
        const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
        const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        /// As much of it as no HTTP/1 request begins with.
        const HTTP2_FIRST_LINE: usize = 14;
        /// Longest version 1 header, line end included.
        const PROXY_V1_LONGEST: usize = 107;
        match bytes {
            // A record of TLS, or an SSLv2-compatible hello that offers it.
            [0x16, 0x03, 0..=4, ..] | [0x80..=0xff, _, 0x01, 0x03, ..] => return Self::Tls,
            [0x16 | 0x80..=0xff] | [0x16, 0x03] | [0x80..=0xff, _] | [0x80..=0xff, _, 0x01] => return Self::Maybe,
            _ => {}
        }
        if begins(bytes, HTTP2) {
            return if bytes.len() >= HTTP2_FIRST_LINE { Self::Http2 } else { Self::Maybe };
        }
        if begins(bytes, PROXY_V1) {
            let line = bytes.get(..bytes.len().min(PROXY_V1_LONGEST)).unwrap_or_default();
            return match memchr::memchr(b'\n', line) {
                Some(end) => Self::Proxy(end + 1),
                None if bytes.len() < PROXY_V1_LONGEST => Self::Maybe,
                None => Self::None,
            };
        }
        // A beginning of up to four bytes may as well be blank lines before a request: the next bytes tell.
        if begins(bytes, PROXY_V2) {
            return match bytes.get(14..16) {
                // As long as it says: certificates of clients are among its fields. Of version 2, as it is in use.
                Some(_) if bytes.get(12).is_none_or(|version| version >> 4 != 2) => Self::None,
                Some([high, low]) => {
                    // Certificates and keys in its fields take kilobytes; a length has two bytes.
                    let len = 16 + usize::from(u16::from_be_bytes([*high, *low]));
                    if bytes.len() >= len { Self::Proxy(len) } else { Self::Maybe }
                }
                _ => Self::Maybe,
            };
        }
        Self::None
    }
}

/// Returns whether `bytes` are records of TLS (RFC 8446, 5.1), of which the last may be cut.
pub(super) fn are_tls_records(mut bytes: &[u8]) -> bool {
    /// Longest content of a record, with what any version adds to it.
    const LONGEST: u16 = (1 << 14) + 2048;
    let mut records = 0;
    while let [kind, 0x03, version, high, low, rest @ ..] = bytes {
        let len = u16::from_be_bytes([*high, *low]);
        if !(0x14..=0x17).contains(kind) || *version > 4 || len == 0 || len > LONGEST {
            return false;
        }
        records += 1;
        bytes = rest.get(usize::from(len)..).unwrap_or_default();
    }
    // The beginning of a header may be left.
    records > 0 && bytes.len() < 5
}

impl Preface {
    /// Returns whether `bytes` can only be the first ones of a client.
    pub(super) fn identifies_client(bytes: &[u8]) -> bool {
        match Self::of(bytes) {
            Self::Proxy(_) | Self::Tls | Self::Http2 => true,
            Self::Maybe => bytes.starts_with(b"PROXY "),
            Self::None => false,
        }
    }
}

/// Returns whether `bytes` and `magic` are equal over their common length.
fn begins(bytes: &[u8], magic: &[u8]) -> bool {
    let shared = bytes.len().min(magic.len());
    shared > 0 && bytes.get(..shared) == magic.get(..shared)
}

/// Result of a search at a place where a message may begin.
pub(super) enum Boundary {
    /// A whole head of this many bytes.
    Head(usize),
    /// An incomplete head.
    Partial { recognized: bool },
    /// Nothing of the kind.
    Nothing,
}

/// Looks for a message at the beginning of `bytes`. Where the place is only guessed (`lost`), an unfinished first
/// line has to look like one that is in use.
pub(super) fn find(bytes: &[u8], is_request: bool, lost: bool, is_known: bool) -> Boundary {
    let begin = if is_request { head::request_begins(bytes) } else { head::response_begins(bytes) };
    match begin {
        // Never to be passed off as a request that was whole.
        head::StartCheck::Yes if lost && is_request && methods::is_rest_of_method(bytes) => Boundary::Nothing,
        head::StartCheck::Yes => match head::end(bytes, 0) {
            Some(len) => Boundary::Head(len),
            None => Boundary::Partial { recognized: true },
        },
        head::StartCheck::Maybe if lost && is_request && !methods::may_be_known_method(bytes) => Boundary::Nothing,
        head::StartCheck::Maybe => Boundary::Partial { recognized: false },
        // Where a request has to begin, a first line that is none is the client's mistake: the server answers it.
        head::StartCheck::No if is_known && is_request && !lost && head::is_bad_request_line(bytes) => {
            head::end(bytes, 0).map_or(Boundary::Partial { recognized: true }, Boundary::Head)
        }
        head::StartCheck::No => Boundary::Nothing,
    }
}
