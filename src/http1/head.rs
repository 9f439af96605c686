//! Heads: where one begins and ends, and what it says of the body that follows.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use arrayvec::ArrayVec;
use memchr::memmem::Finder;

use super::framing_fields::{ContentLength, FAST_LINES, FramingFields, MAX_METHOD, TransferCoding, is_token};
use super::{methods, plain_head};
use crate::exchange::{Framing, Malformed};
use crate::head::{HeadContents, HeaderLines, KnownHeader, KnownLocations, LineLocation, NameSet, split_request_line};

/// Bytes after which it is settled whether a first line begins as one does, up to its end.
pub(super) const MAX_FIRST_WORD: usize = MAX_METHOD + 1;

/// Blanks between version and status that are passed over.
const MAX_STATUS_BLANKS: usize = 16;

/// Ends of heads; made once, since that takes longer than to look for them.
static CRLF: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\r\n"));
static BARE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n\n"));

/// Result of a check for the beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartCheck {
    Yes,
    /// It fits so far; the first line is incomplete.
    Maybe,
    No,
}

/// Offset after the empty line that ends a head; `from` bytes were searched before.
pub(crate) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let crlf = CRLF.find(rest).map(|at| at + 3);
    // A line end is CRLF, but a bare LF is recognized (RFC 9112, 2.2).
    let within = crlf.and_then(|end| rest.get(..end)).unwrap_or(rest);
    let bare = BARE.find(within).map(|at| at + 2);
    bare.or(crlf).map(|end| from + end)
}

/// Checks whether `bytes` begin with an HTTP/1 request line.
pub(super) fn request_begins(bytes: &[u8]) -> StartCheck {
    let method = bytes.iter().take(MAX_METHOD + 1).position(|byte| !is_token(*byte));
    match method {
        None if bytes.len() <= MAX_METHOD => return StartCheck::Maybe,
        Some(len) if len > 0 && bytes.get(len) == Some(&b' ') => {}
        _ => return StartCheck::No,
    }
    let Some(line_end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() < super::MAX_HEAD_BYTES { StartCheck::Maybe } else { StartCheck::No };
    };
    let line = bytes.get(..line_end).unwrap_or_default();
    let (_, target, version) = split_request_line(line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end());
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() && !target.is_empty() => {
            StartCheck::Yes
        }
        _ => StartCheck::No,
    }
}

/// Returns whether `bytes` begin with a whole line that was meant as a request line: `GET /a http/1.1`, `GET\t/a HTTP/1.1`,
/// `GET /a`.
pub(super) fn is_bad_request_line(bytes: &[u8]) -> bool {
    let Some(line_end) = memchr::memchr(b'\n', bytes) else { return false };
    let line = bytes.get(..line_end).unwrap_or_default();
    let names_http = line.windows(5).any(|word| word.eq_ignore_ascii_case(b"http/"));
    !line.contains(&0) && (names_http || methods::has_known_method(bytes))
}

/// Checks whether `bytes` begin with an HTTP/1 status line. A status is accepted also from servers that claim another
/// version in HTTP/1 framing, as browsers do.
///
/// There is one blank between version and status (RFC 9112, 4). Some servers write several, or a tab; clients accept
/// those.
pub(crate) fn response_begins(bytes: &[u8]) -> StartCheck {
    const VERSION: &[u8] = b"HTTP/d.d";
    if plain_status(bytes).is_some() {
        return StartCheck::Yes;
    }
    let fits = |(byte, pattern): (&u8, &u8)| if *pattern == b'd' { byte.is_ascii_digit() } else { byte == pattern };
    if !bytes.iter().zip(VERSION).all(fits) {
        return StartCheck::No;
    }
    let after = bytes.get(VERSION.len()..).unwrap_or_default();
    let blanks = status_blanks(after);
    let digits = after.get(blanks..).unwrap_or_default().iter().take(3);
    match (digits.clone().all(u8::is_ascii_digit), digits.len()) {
        (true, 3) if (1..=MAX_STATUS_BLANKS).contains(&blanks) => StartCheck::Yes,
        (true, len) if blanks <= MAX_STATUS_BLANKS && (blanks > 0 || len == 0) && len < 3 => StartCheck::Maybe,
        _ => StartCheck::No,
    }
}

/// The status where `bytes` begin with a status line just as RFC 9112 has it.
#[inline]
fn plain_status(bytes: &[u8]) -> Option<u16> {
    let [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b' ', digits @ ..] = bytes else { return None };
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] = digits else { return None };
    Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
}

/// Returns the number of blanks at the beginning of the part of a status line after the version.
fn status_blanks(after: &[u8]) -> usize {
    after.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)).take(MAX_STATUS_BLANKS + 1).count()
}

/// Methods that change the framing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// The method that a request line, whole or not, begins with.
pub(super) fn method(raw: &[u8]) -> Method {
    match raw {
        [b'H', b'E', b'A', b'D', b' ', ..] => Method::Head,
        [b'C', b'O', b'N', b'N', b'E', b'C', b'T', b' ', ..] => Method::Connect,
        _ => Method::Other,
    }
}

/// Facts from a request head.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestFacts {
    pub(super) method: Method,
    pub(super) framing: Framing,
    pub(super) malformed: Option<Malformed>,
    /// `Expect: 100-continue`: the body may never be sent.
    pub(super) expects: bool,
}

/// Facts from a response head. Its framing depends on the request as well, see [`ResponseFacts::framing`].
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseFacts {
    pub(super) status: u16,
    fields: FramingFields,
}

/// Facts from a head.
pub(super) enum HeadFacts {
    Request(RequestFacts, HeadContents),
    Response(ResponseFacts),
}

/// Reads the head that `bytes` begin with, and says how long it is. `None` where it is not whole, or not as RFC 9112 asks:
/// then [`end`] finds where it ends, and [`any`] makes the best of it.
pub(super) fn plain(bytes: &[u8], is_request: bool) -> Option<(usize, HeadFacts)> {
    let mut fields = FramingFields::default();
    if is_request {
        let (len, contents) = strict_request(bytes, &mut fields)?;
        Some((len, HeadFacts::Request(request_facts(bytes, fields, None), contents)))
    } else {
        let status = status(bytes)?;
        let len = strict_response(bytes, &mut fields)?;
        Some((len, HeadFacts::Response(ResponseFacts { status, fields })))
    }
}

/// Makes the best of a whole head; `None` where it is a response's without a status line.
pub(super) fn any(raw: &[u8], is_request: bool) -> Option<HeadFacts> {
    if is_request {
        let (facts, contents) = request(raw);
        return Some(HeadFacts::Request(facts, contents));
    }
    response(raw).map(HeadFacts::Response)
}

/// Reads a whole request head whose first line is known to be a request line.
pub(super) fn request(raw: &[u8]) -> (RequestFacts, HeadContents) {
    let mut fields = FramingFields::default();
    if let Some((_, contents)) = strict_request(raw, &mut fields) {
        return (request_facts(raw, fields, None), contents);
    }
    fields = FramingFields::default();
    let malformed = lenient(raw, &mut fields).or_else(|| bad_request_line(raw));
    (request_facts(raw, fields, malformed), HeadContents::UNREAD)
}

fn request_facts(raw: &[u8], fields: FramingFields, malformed: Option<Malformed>) -> RequestFacts {
    let method = method(raw);
    // RFC 9112, 6.3: Transfer-Encoding overrides Content-Length; a server has to refuse what is unclear.
    let (framing, unclear) = match (fields.coding, fields.length) {
        _ if method == Method::Connect => (Framing::None, None),
        (TransferCoding::Chunked, ContentLength::Absent) => {
            (Framing::Chunked, fields.codings_unclear.then_some(Malformed::UnclearTransferEncoding))
        }
        (TransferCoding::Chunked, _) => (Framing::Chunked, Some(Malformed::LengthAndTransferEncoding)),
        (TransferCoding::Other, _) => (Framing::None, Some(Malformed::BadTransferEncoding)),
        (TransferCoding::Absent, ContentLength::Absent | ContentLength::One(0)) => (Framing::None, None),
        (TransferCoding::Absent, ContentLength::One(length)) => (Framing::Length(length), None),
        (TransferCoding::Absent, ContentLength::Conflicting(first)) => {
            (Framing::Length(first), Some(Malformed::ConflictingLengths))
        }
        (TransferCoding::Absent, ContentLength::Bad) => (Framing::None, Some(Malformed::BadLength)),
    };
    let is_faulty = fields.has_coding && method != Method::Connect && is_of_1_0(raw);
    let unclear = unclear.or_else(|| is_faulty.then_some(Malformed::UnclearTransferEncoding));
    RequestFacts { method, framing, malformed: unclear.or(malformed), expects: fields.expects }
}

/// Returns whether a request is of HTTP/1.0, which has no transfer codings: whoever sent one may not have framed by it, and
/// whoever passes it on may not have read it so (RFC 9112, 6.1).
fn is_of_1_0(raw: &[u8]) -> bool {
    let line = raw.get(..memchr::memchr(b'\n', raw).unwrap_or(raw.len())).unwrap_or_default();
    split_request_line(line.trim_ascii_end()).2 == b"HTTP/1.0"
}

/// Reads a whole response head; `None` where its status line is none.
pub(super) fn response(raw: &[u8]) -> Option<ResponseFacts> {
    let status = status(raw)?;
    let mut fields = FramingFields::default();
    if strict_response(raw, &mut fields).is_none() {
        fields = FramingFields::default();
        lenient(raw, &mut fields);
    }
    Some(ResponseFacts { status, fields })
}

/// The status in a status line, which may be all that there is of the head.
pub(super) fn status(raw: &[u8]) -> Option<u16> {
    let plain = plain_status(raw);
    if plain.is_some() {
        return plain;
    }
    if response_begins(raw) != StartCheck::Yes {
        return None;
    }
    let after = raw.get(8..)?;
    let digits = after.get(status_blanks(after)..)?.get(..3)?;
    Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

impl ResponseFacts {
    /// Returns the framing of the body in a response to a request of `method` (RFC 9112, 6.3).
    pub(super) fn framing(&self, method: Method) -> Framing {
        let without_body = method == Method::Head
            || matches!(self.status, 100..=199 | 204 | 304)
            || (method == Method::Connect && (200..300).contains(&self.status));
        match (self.fields.coding, self.fields.length) {
            _ if without_body => Framing::None,
            (TransferCoding::Chunked, _) => Framing::Chunked,
            (TransferCoding::Absent, ContentLength::One(0)) => Framing::None,
            (TransferCoding::Absent, ContentLength::One(length) | ContentLength::Conflicting(length)) => {
                Framing::Length(length)
            }
            _ => Framing::UntilClose,
        }
    }
}

/// The length of the head that `bytes` begin with, and what is in it; `None` where it is not whole, not as RFC 9112 asks,
/// or has more lines than there is room for.
fn strict_request(bytes: &[u8], fields: &mut FramingFields) -> Option<(usize, HeadContents)> {
    let mut plain = FramingFields::default();
    if let Some(found) = plain_head::request(bytes, &mut plain) {
        *fields = plain;
        return Some(found);
    }
    parsed_request(bytes, fields)
}

/// The same for any head, by the strict parser.
pub(super) fn parsed_request(bytes: &[u8], fields: &mut FramingFields) -> Option<(usize, HeadContents)> {
    let mut lines = [const { MaybeUninit::uninit() }; FAST_LINES];
    let mut request = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(len)) = request.parse_with_uninit_headers(bytes, &mut lines) else { return None };
    let raw = bytes.get(..len)?;
    let start_of = |part: &[u8]| offset(raw, part);
    let mut names = NameSet::default();
    let mut places = ArrayVec::<_, FAST_LINES>::new();
    // The next line begins where one ends; after the last one comes the empty line.
    let empty = raw.len().checked_sub(if raw.ends_with(b"\r\n") { 2 } else { 1 })?;
    let starts = request.headers.iter().skip(1).map(|line| start_of(line.name.as_bytes()));
    for (line, end) in request.headers.iter().zip(starts.chain([u32::try_from(empty).ok()])) {
        let name = line.name.as_bytes();
        names.add(name);
        if let Some(known) = KnownHeader::of(name) {
            fields.note_known(known, line.value);
            let start = start_of(name)?;
            // An empty value stands behind the colon, whatever blanks follow it.
            let value = if line.value.is_empty() { start + length(name)? + 1 } else { start_of(line.value)? };
            let value_end = value + length(line.value)?;
            places.push(LineLocation { known, start, value, value_end, end: end? });
        }
    }
    let (method, path) = (request.method?.as_bytes(), request.path?.as_bytes());
    if method.len() > MAX_METHOD {
        return None;
    }
    let (method, target) = (length(method)?, start_of(path)? + length(path)?);
    Some((len, HeadContents::of_request(names, KnownLocations { method, target, lines: places.as_slice().into() })))
}

fn length(part: &[u8]) -> Option<u32> {
    u32::try_from(part.len()).ok()
}

/// Returns the offset of a part within `raw`.
fn offset(raw: &[u8], part: &[u8]) -> Option<u32> {
    u32::try_from(part.as_ptr().addr().checked_sub(raw.as_ptr().addr())?).ok()
}

/// The length of the head that `bytes` begin with; `None` as above.
fn strict_response(bytes: &[u8], fields: &mut FramingFields) -> Option<usize> {
    let mut plain = FramingFields::default();
    if let Some(found) = plain_head::response(bytes, |name, value| plain.note(name, value)) {
        *fields = plain;
        return Some(found);
    }
    parsed_response(bytes, fields)
}

/// The same for any head, by the strict parser.
pub(super) fn parsed_response(bytes: &[u8], fields: &mut FramingFields) -> Option<usize> {
    let mut lines = [const { MaybeUninit::uninit() }; FAST_LINES];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut lines);
    let Ok(httparse::Status::Complete(len)) = parsed else { return None };
    response.headers.iter().for_each(|line| fields.note(line.name.as_bytes(), line.value));
    Some(len)
}

/// Reads header lines that the strict parser refuses: folded ones, too many, blanks before the colon, odd bytes.
/// Returns what makes the head malformed, if anything does.
fn lenient(raw: &[u8], fields: &mut FramingFields) -> Option<Malformed> {
    let mut malformed = has_bare_cr(raw).then_some(Malformed::BareCr);
    for (count, line) in HeaderLines::of(raw).enumerate() {
        fields.note(line.name, line.value);
        let is_folded = raw.get(line.span()).is_some_and(|line| line.trim_ascii_end().contains(&b'\n'));
        fields.codings_unclear |= is_folded && KnownHeader::of(line.name) == Some(KnownHeader::TransferEncoding);
        let complaint = if count >= super::MAX_HEADER_LINES {
            Some(Malformed::HeadTooLarge)
        } else if !line.has_colon() || line.value.iter().any(|byte| matches!(byte, 0 | 0x7f)) {
            Some(Malformed::HeaderLine)
        } else if line.has_blank_before_colon() {
            Some(Malformed::SpaceBeforeColon)
        } else if line.name.is_empty() || !line.name.iter().all(|byte| is_token(*byte)) {
            Some(Malformed::HeaderLine)
        } else {
            None
        };
        malformed = malformed.or(complaint);
    }
    malformed
}

/// RFC 9112, 2.2: what comes of it differs from server to server.
fn has_bare_cr(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', raw).any(|at| raw.get(at + 1) != Some(&b'\n'))
}

/// A target with blanks or control bytes is refused by some servers and cut by others (RFC 9112, 3.2); none at all asks for
/// nothing.
fn bad_request_line(raw: &[u8]) -> Option<Malformed> {
    let line_end = memchr::memchr(b'\n', raw).unwrap_or(raw.len());
    let line = raw.get(..line_end).unwrap_or_default();
    // Blanks at the end are ignored (RFC 9112, 3).
    let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end();
    let (method, target, version) = split_request_line(line);
    let plain = method.len() + target.len() + version.len() + 2 == line.len();
    let odd = target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit());
    let is_method = !method.is_empty() && method.iter().all(|byte| is_token(*byte));
    (odd || target.is_empty() || !plain || !is_version || !is_method).then_some(Malformed::RequestLine)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::exchange::Head;

    proptest! {
        /// A parsed head equals one that is read by a pass over it.
        #[test]
        fn a_head_that_was_parsed_says_the_same_as_one_that_was_not(
            (method, target) in ("[A-Z]{1,7}", "[!-~]{1,20}"),
            lines in prop::collection::vec(
                ("(Host|cookie|TE|Accept|accept-language|X-Api-Key|Content-Length|X-[A-Za-z]{1,9}|Connection)",
                 "[ \t]{0,2}[ -~]{0,12}[ \t]{0,2}",
                 "\r?\n"),
                0..9,
            ),
            empty in "\r?\n",
        ) {
            let mut raw = format!("{method} {target} HTTP/1.1\r\n");
            for (name, value, end) in &lines {
                raw.extend([name, ":", value, end]);
            }
            raw.push_str(&empty);
            // The empty line is the first one: the generated values have no line ends in them.
            let len = raw.len();
            raw.push_str("rest\r\n\r\n");
            let found = plain(raw.as_bytes(), true).map_or(len, |(len, _)| len);
            prop_assert_eq!((found, end(raw.as_bytes(), 0)), (len, Some(len)));
            raw.truncate(len);
            let raw = raw.into_bytes();
            let (_, contents) = request(&raw);
            let (parsed, unread) = (Head::with_contents(raw.clone(), contents), Head::new(raw));
            prop_assert_eq!(parsed.request_line(), unread.request_line());
            let lines = |head: &Head| -> Vec<_> {
                let lines = head.known_lines();
                lines.map(|(known, line)| (known, line.spans(), line.span(), line.value.to_vec())).collect()
            };
            prop_assert_eq!(lines(&parsed), lines(&unread));
        }
    }

    #[test]
    fn places_are_found_in_a_plain_head_and_in_no_other() {
        let plain = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for (raw, found) in [(&plain[..], true), (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", false)] {
            let head = Head::with_contents(raw.to_vec(), request(raw).1);
            assert_eq!(matches!(head.known_lines(), crate::head::KnownLines::Found { .. }), found);
        }
    }
}
