//! One response, read as its bytes come: interim heads, the final head, the body.
//!
//! In go bytes as they were read, cut anywhere, and the time; out comes whether there is more to come. Nothing is
//! copied but heads that came in pieces and what [`ResponseOptions`] asks for.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::tls_probe::speaks_tls_only;
use super::unasked::{Unasked, begins_http_2, judge};
use crate::exchange::{Digest, FailureKind, Framing, Head};
use crate::flow::past_blank_lines;
use crate::http1::{
    BodyProgress, BodyReader, HashTiming, MAX_HEADER_LINES, RequestContext, ResponseHeadError, StartCheck,
    StrictResponseHead, content, head_end, read_answer, response_begins,
};
use crate::replay::send_error::thousands;
use crate::replay::{BegunResponse, Reason, ResponseOptions, RetainedResponse, SendError, tls_refusal};

/// Bytes of all heads of one exchange, the interim ones included. Past it the exchange fails as too large.
pub const MAX_HEAD_BYTES: usize = 256 << 10;
/// Chunked framing that is kept in addition to the content, in bytes; a body with more framing is not kept.
const MAX_KEPT_FRAMING: usize = 64 << 10;

/// How a TLS alert begins (RFC 8446, 5.1), and no response of HTTP.
const TLS_ALERT: u8 = 0x15;

/// Reason that a response cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResponseError {
    #[error(transparent)]
    Head(#[from] ResponseHeadError),
    #[error("the target speaks TLS")]
    SpeaksTls,
    #[error("the target speaks HTTP/2")]
    SpeaksHttp2,
    #[error("the chunk framing of the body cannot be read")]
    Chunks,
    #[error("the heads have more than {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
    #[error("the body is longer than --max-response")]
    TooLarge,
    #[error("connection closed before a response began")]
    Ended,
    #[error("the response was truncated: the connection closed within its head")]
    CutHead,
    #[error("the response was truncated: {got} of {of} bytes")]
    CutBody { got: u64, of: u64 },
    #[error("the response was truncated: {got} bytes of chunks without an end")]
    CutChunks { got: u64 },
}

impl ResponseError {
    pub(super) fn into_error(self) -> SendError {
        let (kind, reason) = match self {
            Self::SpeaksTls => return speaks_tls_only(),
            Self::SpeaksHttp2 => (FailureKind::Protocol, SPEAKS_HTTP_2),
            Self::Head(ResponseHeadError::NotHttp) => {
                (FailureKind::Protocol, Reason::new("what came is no HTTP/1 response head"))
            }
            Self::Head(ResponseHeadError::Length) => {
                (FailureKind::Protocol, Reason::new("the response's lengths contradict each other or are no number"))
            }
            Self::Chunks => (FailureKind::Protocol, Reason::new("the chunk framing of the body cannot be read")),
            Self::Head(ResponseHeadError::TooManyLines) => {
                (FailureKind::TooLarge, exceeds("the response's head has", MAX_HEADER_LINES, "lines"))
            }
            Self::HeadTooLarge => {
                (FailureKind::TooLarge, exceeds("the response's heads have", MAX_HEAD_BYTES, "bytes"))
            }
            Self::TooLarge => (FailureKind::TooLarge, Reason::new("the body is longer than --max-response")),
            Self::Ended => (FailureKind::Reset, Reason::new("connection closed before a response began")),
            Self::CutHead => (FailureKind::Truncated, TRUNCATED.with("the connection closed within its head")),
            Self::CutBody { got, of } => {
                (FailureKind::Truncated, TRUNCATED.with(format_args!("{} of {} bytes", thousands(got), thousands(of))))
            }
            Self::CutChunks { got } => (
                FailureKind::Truncated,
                TRUNCATED.with(format_args!("{} bytes of chunks without an end", thousands(got))),
            ),
        };
        SendError::failed(kind, reason)
    }
}

/// A reason that names the bound.
fn exceeds(what: &str, bound: usize, unit: &str) -> Reason {
    Reason { what: format!("{what} more than {} {unit}", thousands(bound as u64)).into(), example: None }
}

/// Reason of a target that answers in HTTP/2.
const SPEAKS_HTTP_2: Reason = Reason::new("the target speaks HTTP/2; is it --client reqwest --http2?");
/// Reason of a response that began and is not whole.
const TRUNCATED: Reason = Reason::new("the response ended too early");

/// A whole response.
#[derive(Debug)]
pub(super) struct ReadResponse {
    pub(super) status: u16,
    pub(super) body_len: u64,
    /// `None` where all of it is kept, too.
    pub(super) body_sha256: Option<Digest>,
    pub(super) kept: Option<Box<RetainedResponse>>,
    pub(super) first_byte: Instant,
    /// Instant at which the last byte, or the end of the stream, was read.
    pub(super) done: Instant,
    /// True when the connection can carry another request.
    pub(super) reusable: bool,
    /// Time for which the target keeps the idle connection, by its own word.
    pub(super) idle_timeout: Option<Duration>,
    /// The response has no body, whatever its head says.
    pub(super) bodiless: bool,
    /// Kind of the bytes after its end, where there were any.
    pub(super) followed_by: Option<Unasked>,
    /// It has come to its end.
    pub(super) is_whole: bool,
    /// The first bytes of the body of a 400.
    pub(super) refusal: Vec<u8>,
}

/// A response on its way.
#[derive(Debug)]
pub(super) struct ResponseReader {
    asked: RequestContext,
    wanted: ResponseOptions,
    max_response: u64,
    /// Bytes of the heads that are over.
    past_heads: usize,
    /// A 100 came: the body that waits for it may go.
    continued: bool,
    /// The first bytes of the body of a 400.
    refusal: Vec<u8>,
    state: ReadState,
}

#[derive(Debug)]
enum ReadState {
    /// Bytes of a head so far, and the instant of its first byte.
    Head { partial: Vec<u8>, began: Option<Instant> },
    /// The final head is over.
    Body(FinalHead),
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and most combinations occur")]
#[derive(Debug)]
struct FinalHead {
    status: u16,
    persists: bool,
    first_byte: Instant,
    /// Instant of the latest byte.
    done: Instant,
    framing: Framing,
    idle_timeout: Option<Duration>,
    bodiless: bool,
    followed_by: Option<Unasked>,
    is_whole: bool,
    /// Its type says that it goes on until somebody closes it.
    is_stream: bool,
    head: Option<Head>,
    body: BodyReader,
}

impl ResponseReader {
    pub(super) const fn new(asked: RequestContext, wanted: ResponseOptions, max_response: u64) -> Self {
        let state = ReadState::Head { partial: Vec::new(), began: None };
        Self { asked, wanted, max_response, past_heads: 0, continued: false, refusal: Vec::new(), state }
    }

    /// Returns whether a 100 came.
    pub(super) const fn continued(&self) -> bool {
        self.continued
    }

    /// Returns whether a byte of any response came.
    pub(super) const fn has_begun(&self) -> bool {
        self.past_heads > 0 || !matches!(self.state, ReadState::Head { began: None, .. })
    }

    /// Returns whether the final head came.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self.state, ReadState::Body(_))
    }

    /// How far the final response has come, once its head has: how it began, and its content bytes.
    pub(super) fn begun(&self) -> Option<(BegunResponse, u64)> {
        let ReadState::Body(last) = &self.state else { return None };
        let length = match last.framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        Some((BegunResponse { at: last.first_byte, length, is_stream: last.is_stream }, last.body.len()))
    }

    /// The final head, where it is wanted before the body has ended.
    pub(super) fn early_head(&self) -> Option<&Head> {
        match &self.state {
            ReadState::Body(last) if !self.wanted.carried.is_empty() => last.head.as_ref(),
            _ => None,
        }
    }

    /// Takes the next bytes; says whether the response is whole. What comes after its end spoils the connection.
    pub(super) fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Result<bool, ResponseError> {
        while let ReadState::Head { partial, began } = &mut self.state {
            if bytes.is_empty() {
                return Ok(false);
            }
            if began.is_none() && self.past_heads == 0 && bytes.first() == Some(&TLS_ALERT) {
                return Err(ResponseError::SpeaksTls);
            }
            if self.past_heads == 0 && partial.first().or(bytes.first()) == Some(&0) {
                partial.extend_from_slice(bytes);
                began.get_or_insert(now);
                return match begins_http_2(partial) {
                    StartCheck::Yes => Err(ResponseError::SpeaksHttp2),
                    StartCheck::Maybe => Ok(false),
                    StartCheck::No => Err(ResponseHeadError::NotHttp.into()),
                };
            }
            if began.is_none() {
                // A blank line behind the response before is no part of this one.
                bytes = past_blank_lines(bytes);
                if bytes.is_empty() {
                    return Ok(false);
                }
            }
            let began = *began.get_or_insert(now);
            if partial.is_empty()
                && let Some((len, head)) = read_answer(bytes, self.asked)?
            {
                let (raw, rest) = bytes.split_at_checked(len).unwrap_or_default();
                self.head(head, raw, began)?;
                bytes = rest;
                continue;
            }
            let before = partial.len();
            partial.extend_from_slice(bytes);
            if response_begins(partial) == StartCheck::No {
                return Err(ResponseHeadError::NotHttp.into());
            }
            // Bytes that come one by one are not parsed anew with each of them.
            let Some(end) = head_end(partial, before.saturating_sub(3)) else {
                return if self.past_heads + partial.len() > MAX_HEAD_BYTES {
                    Err(ResponseError::HeadTooLarge)
                } else {
                    Ok(false)
                };
            };
            let partial = std::mem::take(partial);
            let raw = partial.get(..end).unwrap_or_default();
            let (_, head) = read_answer(raw, self.asked)?.ok_or(ResponseHeadError::NotHttp)?;
            self.head(head, raw, began)?;
            bytes = bytes.get(end - before..).unwrap_or_default();
        }
        self.body(bytes, now)
    }

    /// The connection ended: says whether the response did so by that.
    pub(super) fn end(&mut self, now: Instant) -> Result<(), ResponseError> {
        let has_begun = self.has_begun();
        match &mut self.state {
            ReadState::Body(last) if last.body.is_done() || last.body.is_until_close() => {
                last.done = now;
                last.is_whole = true;
                Ok(())
            }
            ReadState::Body(FinalHead { framing: Framing::Length(of), body, .. }) => {
                Err(ResponseError::CutBody { got: body.len(), of: *of })
            }
            ReadState::Body(last) => Err(ResponseError::CutChunks { got: last.body.len() }),
            ReadState::Head { .. } if has_begun => Err(ResponseError::CutHead),
            ReadState::Head { .. } => Err(ResponseError::Ended),
        }
    }

    /// Returns the response as read; `None` where the final head did not come.
    pub(super) fn finish(self) -> Option<ReadResponse> {
        let ReadState::Body(mut last) = self.state else { return None };
        let is_whole = last.is_whole;
        if !is_whole {
            last.body.damage();
        }
        let reusable = last.persists && last.body.is_done();
        let body = last.body.finish();
        let kept = last.head.map(|head| {
            let most = self.wanted.kept.unwrap_or_default();
            let fits = !is_whole || body.len <= most as u64;
            let content = body.content().filter(|_| fits).map(|content| content_to(content, most));
            Box::new(RetainedResponse::new(head, content))
        });
        Some(ReadResponse {
            status: last.status,
            body_len: body.len,
            body_sha256: body.sha256,
            kept,
            first_byte: last.first_byte,
            done: last.done,
            reusable,
            idle_timeout: last.idle_timeout,
            bodiless: last.bodiless,
            followed_by: last.followed_by,
            is_whole,
            refusal: self.refusal,
        })
    }

    /// One whole head, interim or final.
    fn head(&mut self, head: StrictResponseHead, raw: &[u8], began: Instant) -> Result<(), ResponseError> {
        self.past_heads += raw.len();
        if self.past_heads > MAX_HEAD_BYTES {
            return Err(ResponseError::HeadTooLarge);
        }
        if matches!(head.status, 100 | 102..=199) {
            self.continued |= head.status == 100;
            self.state = ReadState::Head { partial: Vec::new(), began: None };
            return Ok(());
        }
        if matches!(head.framing, Framing::Length(length) if length > self.max_response) {
            return Err(ResponseError::TooLarge);
        }
        let framing = if head.framing == Framing::Chunked { MAX_KEPT_FRAMING } else { 0 };
        let framed = self.wanted.kept.map(|most| most.saturating_add(framing));
        let hashed = if self.wanted.hash { HashTiming::Unkept } else { HashTiming::Never };
        self.state = ReadState::Body(FinalHead {
            status: head.status,
            persists: head.persists,
            first_byte: began,
            done: began,
            framing: head.framing,
            idle_timeout: head.idle_timeout,
            bodiless: self.asked.head_only || matches!(head.status, 204 | 304),
            followed_by: None,
            is_stream: matches!(head.framing, Framing::Chunked | Framing::UntilClose) && content::is_endless(raw),
            is_whole: false,
            head: self.wanted.kept.map(|_| Head::new(raw.to_vec())),
            body: BodyReader::with(head.framing, hashed, framed).keeping_the_beginning(),
        });
        Ok(())
    }

    fn body(&mut self, bytes: &[u8], now: Instant) -> Result<bool, ResponseError> {
        let ReadState::Body(last) = &mut self.state else { return Ok(false) };
        last.done = now;
        if tls_refusal::is_possible(last.status) && self.refusal.len() < tls_refusal::LOOKED_AT {
            let room = tls_refusal::LOOKED_AT - self.refusal.len();
            self.refusal.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
        let done = match last.body.feed(bytes) {
            BodyProgress::All => false,
            BodyProgress::Ended(used) => {
                if let Some(more) = bytes.get(used..).filter(|more| !past_blank_lines(more).is_empty()) {
                    last.persists = false;
                    last.followed_by = Some(judge(more, last.bodiless));
                }
                last.is_whole = true;
                true
            }
            BodyProgress::Bad => return Err(ResponseError::Chunks),
        };
        if last.body.len() > self.max_response { Err(ResponseError::TooLarge) } else { Ok(done) }
    }
}

/// The content, `most` bytes of it.
fn content_to(content: Cow<'_, [u8]>, most: usize) -> Bytes {
    let mut content = content.into_owned();
    content.truncate(most);
    content.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: ResponseOptions = ResponseOptions { kept: Some(1 << 20), hash: false, ..ResponseOptions::HASH };
    const GET: RequestContext = RequestContext { head_only: false, old: false };

    /// Reads `bytes` in pieces of `size`, then the end of the stream.
    fn read(bytes: &[u8], size: usize, asked: RequestContext) -> Result<ReadResponse, ResponseError> {
        let mut reader = ResponseReader::new(asked, WANTED, 100_000);
        for piece in bytes.chunks(size) {
            if reader.feed(piece, Instant::now())? {
                return Ok(reader.finish().unwrap());
            }
        }
        reader.end(Instant::now())?;
        Ok(reader.finish().unwrap())
    }

    /// However it is cut, the response has this status and content, and leaves its connection usable or not.
    fn check(bytes: &str, status: u16, content: &str, reusable: bool) {
        for size in 1..=bytes.len() {
            let read = read(bytes.as_bytes(), size, GET).unwrap();
            let kept = read.kept.unwrap();
            assert_eq!((read.status, kept.body.as_deref()), (status, Some(content.as_bytes())), "{size}");
            assert_eq!((read.body_len, read.reusable), (content.len() as u64, reusable), "{size}");
            assert!(kept.head.as_bytes().starts_with(format!("HTTP/1.1 {status}").as_bytes()));
        }
    }

    fn broken(bytes: &[u8], why: ResponseError) {
        for size in [1, 7, 4096, bytes.len().max(1)] {
            assert_eq!(read(bytes, size, GET).unwrap_err(), why, "{size}");
        }
    }

    #[test]
    fn a_server_that_speaks_tls_alone_is_told_by_its_alert_or_by_its_words() {
        let alert = b"\x15\x03\x03\x00\x02\x02\x46";
        assert!(matches!(read(alert, 100, GET), Err(ResponseError::SpeaksTls)));
        let (long, cut) = ("x".repeat(5000), "x".repeat(tls_refusal::LOOKED_AT));
        for (status, body, refusal) in [
            (400, "The plain HTTP request was sent to HTTPS port", "The plain HTTP request was sent to HTTPS port"),
            (400, &long, &cut),
            (200, "The plain HTTP request was sent to HTTPS port", ""),
        ] {
            let text = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            for size in [1, 1000] {
                assert_eq!(read(text.as_bytes(), size, GET).unwrap().refusal, refusal.as_bytes(), "{text}");
            }
        }
    }

    #[test]
    fn a_server_that_speaks_http_2_alone_is_told_by_its_first_frame() {
        broken(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", ResponseError::SpeaksHttp2);
        broken(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01", ResponseError::SpeaksHttp2);
        broken(b"\0\0\x06\x01\0\0\0\0\0", ResponseHeadError::NotHttp.into());
        broken(b"\0\0\x06\x04\0\0\0\0\x01", ResponseHeadError::NotHttp.into());
        broken(b"\0\0\x06\x04", ResponseError::CutHead);
    }

    #[test]
    fn a_response_is_the_same_however_it_is_cut() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
            200,
            "hello",
            true,
        );
        check("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, "hi", true);
        check("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", false);
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\r\n", 200, "hi", true);
        check(
            "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 -\r\n\r\nHTTP/1.1 404 -\r\nContent-Length: 1\r\n\r\nx",
            404,
            "x",
            true,
        );
    }

    #[test]
    fn blank_lines_before_a_response_are_passed_over() {
        let bytes = b"\r\n\nHTTP/1.1 100 -\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for size in 1..=bytes.len() {
            let read = read(bytes, size, GET).unwrap();
            let kept = read.kept.unwrap();
            assert_eq!((read.status, kept.body.as_deref(), read.reusable), (200, Some(&b"hi"[..]), true), "{size}");
            assert!(kept.head.as_bytes().starts_with(b"HTTP/1.1 200"), "{size}");
        }
    }

    #[test]
    fn bytes_after_the_end_spoil_the_connection_and_are_told() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhimore";
        let read = read(bytes, bytes.len(), GET).unwrap();
        assert_eq!((read.body_len, read.reusable, read.followed_by), (2, false, Some(Unasked::Response)));
    }

    #[test]
    fn what_answers_head_ends_with_its_head() {
        let asked = RequestContext { head_only: true, old: false };
        let read = read(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", 1, asked).unwrap();
        assert_eq!((read.body_len, read.reusable), (0, true));
    }

    #[test]
    fn what_ends_early_or_cannot_be_read_is_told_apart() {
        broken(b"", ResponseError::Ended);
        broken(b"\r\n", ResponseError::Ended);
        broken(b"HTTP/1.1 200 OK\r\nContent-Le", ResponseError::CutHead);
        broken(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ResponseError::CutBody { got: 4, of: 5 });
        broken(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            ResponseError::CutChunks { got: 5 },
        );
        broken(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ResponseError::Chunks);
        broken(b"220 mail.example ESMTP\r\n", ResponseError::Head(ResponseHeadError::NotHttp));
        broken(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ResponseError::Head(ResponseHeadError::Length));
    }

    #[test]
    fn heads_and_bodies_have_their_limits() {
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: yyyyyyyyyyyyyyyy\r\n".repeat(20_000)].concat();
        assert_eq!(read(&endless, 4096, GET).unwrap_err(), ResponseError::HeadTooLarge);
        let told = |bytes: &[u8]| read(bytes, 4096, GET).unwrap_err().into_error().to_string();
        assert_eq!(told(&endless), "too_large: the response's heads have more than 262,144 bytes");
        let lines = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(1001), b"\r\n".to_vec()].concat();
        assert_eq!(told(&lines), "too_large: the response's head has more than 1,000 lines");
        let storm = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(20_000);
        assert_eq!(read(&storm, 4096, GET).unwrap_err(), ResponseError::HeadTooLarge);
        broken(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", ResponseError::TooLarge);
        let body = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100_001]].concat();
        assert_eq!(read(&body, 4096, GET).unwrap_err(), ResponseError::TooLarge);
    }

    #[test]
    fn only_what_is_wanted_is_hashed_and_kept() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for (wanted, hashed, kept) in [
            (ResponseOptions::default(), false, None),
            (ResponseOptions::HASH, true, None),
            (ResponseOptions { kept: Some(4), ..ResponseOptions::default() }, false, Some(None)),
            (ResponseOptions { kept: Some(4), ..ResponseOptions::HASH }, true, Some(None)),
            // Whoever has all of it can hash it.
            (
                ResponseOptions { kept: Some(5), ..ResponseOptions::HASH },
                false,
                Some(Some(Bytes::from_static(b"hello"))),
            ),
        ] {
            let mut reader = ResponseReader::new(GET, wanted, 100);
            assert_eq!(reader.feed(bytes, Instant::now()), Ok(true));
            let read = reader.finish().unwrap();
            assert_eq!((read.body_sha256.is_some(), read.kept.map(|kept| kept.body)), (hashed, kept), "{wanted:?}");
        }
    }
}
