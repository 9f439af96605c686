//! A message head as bytes: read and edited in place, so that what nobody touched stays as it was on the wire.

use std::fmt;
use std::ops::Range;

mod known;
mod lines;

pub(crate) use lines::LineEdit;
use lines::trim_cr;
pub use lines::{HeaderLine, HeaderLines};

pub(crate) use known::{HeadContents, KnownHeader, KnownLines, KnownLocations, LineLocation};

/// Header lines whose values are never printed for debugging: who has them is somebody else.
const SECRETS: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key"];

/// Bytes of a version: `HTTP/1.1`.
const VERSION: usize = 8;

/// The start line and header lines of a message, with the empty line that ends them.
///
/// Case, order, duplicates and spacing are those of the wire. Edits replace whole header lines.
#[derive(Clone, Default)]
pub struct Head {
    raw: Vec<u8>,
    contents: HeadContents,
}

impl Head {
    /// A head from its bytes on the wire.
    #[must_use]
    pub const fn new(raw: Vec<u8>) -> Self {
        Self { raw, contents: HeadContents::UNREAD }
    }

    /// The same, where whoever read it knows what is in it.
    pub(crate) const fn with_contents(raw: Vec<u8>, contents: HeadContents) -> Self {
        Self { raw, contents }
    }

    /// All of it, as it is to be sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.raw.capacity()
    }

    /// Method, target and version of a request line; blanks inside the target belong to it.
    #[must_use]
    pub fn request_line(&self) -> (&[u8], &[u8], &[u8]) {
        let Some(places) = &self.contents.request else { return split_request_line(self.start_line()) };
        let (method, target) = (places.method as usize, places.target as usize);
        let part = |from, to| self.raw.get(from..to).unwrap_or_default();
        (part(0, method), part(method + 1, target), part(target + 1, target + 1 + VERSION))
    }

    /// The first line without its line end.
    #[must_use]
    pub fn start_line(&self) -> &[u8] {
        let end = memchr::memchr(b'\n', &self.raw).unwrap_or(self.raw.len());
        trim_cr(self.raw.get(..end).unwrap_or_default())
    }

    /// The header lines in order.
    #[must_use]
    pub fn lines(&self) -> HeaderLines<'_> {
        HeaderLines::of(&self.raw)
    }

    /// Returns the header lines that have a [`KnownHeader`] name.
    pub(crate) fn known_lines(&self) -> KnownLines<'_> {
        match &self.contents.request {
            Some(places) => KnownLines::Found { raw: &self.raw, places: places.lines.iter() },
            None => KnownLines::Sought(self.lines()),
        }
    }

    /// The first value under `name`, which is compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.lines_named(name).named(name).next().map(|line| line.value)
    }

    /// Every value under `name`, in order.
    pub(crate) fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines_named(name).named(name).map(|line| line.value)
    }

    /// The header lines, where any may be under `name`.
    fn lines_named(&self, name: &str) -> HeaderLines<'_> {
        let may_be = self.contents.names.may_have(NameSet::one(name.as_bytes()));
        if may_be { self.lines() } else { HeaderLines::from(&[], 0) }
    }

    /// Returns whether there may be a line under `name`: false positives occur, false negatives do not. Much quicker
    /// than a pass over the lines.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.contents.names.may_have(NameSet::one(name.as_bytes())) && self.seems_to_have(name)
    }

    fn seems_to_have(&self, name: &str) -> bool {
        memchr::memchr_iter(b'\n', &self.raw).any(|end| {
            let line = self.raw.get(end + 1..end + 1 + name.len());
            line.is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes()))
        })
    }

    /// Replaces the request-target.
    pub(crate) fn set_target(&mut self, target: &[u8]) {
        let (method, old, _) = self.request_line();
        let len = old.len();
        let after = self.raw.get(method.len()..).unwrap_or_default();
        let start = method.len() + after.iter().take_while(|byte| **byte == b' ').count();
        if start + len <= self.raw.len() {
            self.splice(start..start + len, target);
        }
    }

    /// Puts `bytes` in the place of what stands at `span`; what lies past the end of the head is no part of it.
    pub(crate) fn splice(&mut self, span: Range<usize>, bytes: &[u8]) {
        self.contents = HeadContents::UNREAD;
        let len = self.raw.len();
        let end = span.end.min(len);
        let start = span.start.min(end);
        let end_now = start + bytes.len();
        if end_now > end {
            self.raw.resize(len + end_now - end, 0);
        }
        self.raw.copy_within(end..len, end_now);
        self.raw.truncate(end_now + len - end);
        if let Some(place) = self.raw.get_mut(start..end_now) {
            place.copy_from_slice(bytes);
        }
    }

    /// Sets `name` to `value`: the first such line is rewritten where it stands, further ones go; a new one goes last.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let Some(first) = self.lines().find(|line| line.is(name)).map(|line| line.value_span()) else {
            self.append(name, value);
            return;
        };
        self.splice(first, value);
        let mut kept = false;
        self.retain(|line| !line.is(name) || !std::mem::replace(&mut kept, true));
    }

    /// Adds a header line after the last one.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        self.insert(self.end_of_lines(), name, value);
    }

    /// Adds a header line at `at`, where one ends. It ends as that one does: in a bare LF, too (RFC 9112, 2.2).
    pub(crate) fn insert(&mut self, at: usize, name: &str, value: &[u8]) {
        self.contents = HeadContents::UNREAD;
        let len = self.raw.len();
        let before = self.raw.get(..at).unwrap_or_default();
        let end: &[u8] = if before.ends_with(b"\n") && !before.ends_with(b"\r\n") { b"\n" } else { b"\r\n" };
        self.raw.reserve(name.len() + value.len() + 4);
        for part in [name.as_bytes(), b": ", value, end] {
            self.raw.extend_from_slice(part);
        }
        if let Some(tail) = self.raw.get_mut(at..) {
            tail.rotate_left(len.saturating_sub(at));
        }
    }

    /// Offers the value of each line under `name` to `edit`, and does to the line what it says; says how many lines
    /// there were.
    pub(crate) fn edit_lines(&mut self, name: &str, mut edit: impl FnMut(&[u8]) -> LineEdit) -> usize {
        let mut found = 0;
        let edits: Vec<_> = self
            .lines()
            .filter(|line| line.is(name))
            .inspect(|_| found += 1)
            .filter_map(|line| line.splice(edit(line.value)))
            .collect();
        // From the last to the first, so that earlier offsets stay true.
        for (span, bytes) in edits.into_iter().rev() {
            self.splice(span, &bytes);
        }
        found
    }

    /// Becomes a copy of `other` in the memory that it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.raw.clear();
        self.raw.extend_from_slice(&other.raw);
        self.contents = HeadContents { names: other.contents.names, request: None };
    }

    /// Removes every line under `name`; says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        self.retain(|line| !line.is(name))
    }

    /// Keeps the header lines that `keep` says yes to; says how many went.
    pub fn retain(&mut self, mut keep: impl FnMut(&HeaderLine<'_>) -> bool) -> usize {
        let doomed: Vec<Range<usize>> = self.lines().filter(|line| !keep(line)).map(|line| line.span.clone()).collect();
        for span in doomed.iter().rev() {
            self.splice(span.clone(), b"");
        }
        doomed.len()
    }

    /// Offset of the empty line that ends the head.
    pub(crate) fn end_of_lines(&self) -> usize {
        let start = memchr::memchr(b'\n', &self.raw).map_or(self.raw.len(), |end| end + 1);
        self.lines().last().map_or(start, |line| line.span.end)
    }
}

/// Compares the bytes alone: knowledge about the lines makes no difference.
impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Head {}

/// Set of header names with false positives: one bit for each of 64 classes of names.
///
/// One pass over a head builds it; after that, a name that is absent is ruled out at almost no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameSet(u64);

impl NameSet {
    /// Every name there is: what is true of a head that nobody has looked at.
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// One name.
    #[must_use]
    pub(crate) fn one(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Self(1) };
        // Names differ most in length, and in their ends; case makes no difference.
        let ends = usize::from(first | 0x20).wrapping_mul(31) ^ usize::from(last | 0x20).wrapping_mul(3);
        Self(1 << ((name.len().wrapping_mul(7) ^ ends) & 63))
    }

    /// Puts a name in.
    pub(crate) fn add(&mut self, name: &[u8]) {
        self.0 |= Self::one(name).0;
    }

    /// Returns whether one of these may be in the set; false is certain.
    pub(crate) const fn may_have(self, names: Self) -> bool {
        self.0 & names.0 != 0
    }

    /// Returns whether the set rules out a name that the other one has.
    #[cfg(test)]
    pub(crate) const fn denies_some_of(self, other: Self) -> bool {
        other.0 & !self.0 != 0
    }
}

/// As text, but for the values of headers that carry secrets: what is printed to find a fault ends in logs.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.raw.clone();
        let secrets = self.lines().filter(|line| SECRETS.iter().any(|name| line.is(name)));
        let spans: Vec<_> = secrets.map(|line| line.value_span()).collect();
        for span in spans.into_iter().rev() {
            shown.splice(span, *b"[hidden]");
        }
        fmt::Debug::fmt(&String::from_utf8_lossy(&shown), f)
    }
}

/// Splits a request line into method, target and version. Blanks inside the target belong to it, those around it
/// do not.
pub(crate) fn split_request_line(line: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let line = line.trim_ascii_end();
    let Some(first) = memchr::memchr(b' ', line) else { return (line, b"", b"") };
    let method = line.get(..first).unwrap_or_default();
    let rest = line.get(first + 1..).unwrap_or_default();
    match memchr::memrchr(b' ', rest) {
        Some(last) if rest.get(last + 1..).is_some_and(|version| version.starts_with(b"HTTP/")) => {
            (method, rest.get(..last).unwrap_or_default().trim_ascii(), rest.get(last + 1..).unwrap_or_default())
        }
        _ => (method, rest.trim_ascii(), b""),
    }
}

/// Returns whether an offer of an Upgrade line only proposes another way to make the same request. Then it can be
/// removed, and the request sent as to a server that ignores it (RFC 9110, 7.8).
pub(crate) fn is_passed_over(offer: &[u8]) -> bool {
    let protocol = offer.trim_ascii().split(|byte| *byte == b'/').next().unwrap_or_default();
    [&b""[..], b"h2", b"h2c", b"h3", b"TLS", b"HTTP"].iter().any(|known| protocol.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /a b HTTP/1.1\r\nHost: h\r\nX-A:1\r\nx-a : 2 \r\nFold: a\r\n b\r\nEmpty:\r\n\r\n";

    fn text(head: &Head) -> &str {
        std::str::from_utf8(head.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_line_is_split_at_its_outer_blanks() {
        let head = Head::new(GET.to_vec());
        assert_eq!(head.request_line(), (&b"GET"[..], &b"/a b"[..], &b"HTTP/1.1"[..]));
        assert_eq!(split_request_line(b"GET /"), (&b"GET"[..], &b"/"[..], &b""[..]));
    }

    #[test]
    fn a_glance_sees_every_line_whatever_its_case_and_blanks() {
        let head = Head::new(GET.to_vec());
        for name in ["host", "X-A", "FOLD", "empty"] {
            assert!(head.may_have(name) && head.get(name).is_some(), "{name}");
        }
        assert!(!head.may_have("upgrade"));
    }

    #[test]
    fn lines_are_read_in_order_with_folds_and_empty_values() {
        let head = Head::new(GET.to_vec());
        let all: Vec<_> = head.lines().map(|line| (line.name, line.value)).collect();
        assert_eq!(
            all,
            [(&b"Host"[..], &b"h"[..]), (b"X-A", b"1"), (b"x-a", b"2"), (b"Fold", b"a\r\n b"), (b"Empty", b"")]
        );
    }

    #[test]
    fn lines_of_a_name_are_those_that_are_found_one_by_one() {
        let heads: [&[u8]; 7] = [
            GET,
            b"GET / HTTP/1.1\r\nHost\r\nHOST : a\r\n b\r\nhosts: c\r\nhos: d\r\n host: e\r\nhost:\r\n\r\nhost: f\r\n",
            b"GET / HTTP/1.1\nHost\x0c:a\nx\nhost",
            b"GET / HTTP/1.1\r\nHost",
            b"GET / HTTP/1.1\r\n: a\r\n:b",
            b"GET / HTTP/1.1",
            b"",
        ];
        for raw in heads {
            for name in ["host", "X-A", "fold", ""] {
                let plainly: Vec<_> =
                    HeaderLines::of(raw).filter(|line| line.is(name)).map(|line| line.span()).collect();
                let named: Vec<_> = HeaderLines::of(raw).named(name).map(|line| line.span()).collect();
                assert_eq!(named, plainly, "{name}");
            }
        }
    }

    #[test]
    fn lines_are_counted_as_they_are_read() {
        for raw in [
            GET,
            b"GET / HTTP/1.1\r\n first: a\r\n b\r\nc: d\r\n\r\nbody: e\r\n",
            b"GET / HTTP/1.1\na: b\n \n\tc\nd: e",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"",
        ] {
            let (mut lines, mut read) = (HeaderLines::of(raw), 0);
            while lines.next().is_some() {
                read += 1;
            }
            assert_eq!(HeaderLines::of(raw).count(), read, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn set_rewrites_the_first_line_in_place_and_drops_the_others() {
        let mut head = Head::new(GET.to_vec());
        head.set("x-a", b"9");
        assert_eq!(text(&head), "GET /a b HTTP/1.1\r\nHost: h\r\nX-A:9\r\nFold: a\r\n b\r\nEmpty:\r\n\r\n");
        head.set("Empty", b"full");
        head.set("New", b"n");
        assert_eq!(
            text(&head),
            "GET /a b HTTP/1.1\r\nHost: h\r\nX-A:9\r\nFold: a\r\n b\r\nEmpty:full\r\nNew: n\r\n\r\n"
        );
    }

    #[test]
    fn remove_takes_every_line_of_that_name() {
        let mut head = Head::new(GET.to_vec());
        assert_eq!(head.remove("X-A"), 2);
        assert_eq!(text(&head), "GET /a b HTTP/1.1\r\nHost: h\r\nFold: a\r\n b\r\nEmpty:\r\n\r\n");
        assert_eq!(head.remove("X-A"), 0);
    }

    #[test]
    fn credentials_and_cookies_are_not_printed() {
        let head = Head::new(b"GET / HTTP/1.1\r\nCookie: a=s3cret\r\nX: 1\r\nauthorization:s3cret\r\n\r\n".to_vec());
        let shown = r#""GET / HTTP/1.1\r\nCookie: [hidden]\r\nX: 1\r\nauthorization:[hidden]\r\n\r\n""#;
        assert_eq!(format!("{head:?}"), shown);
    }

    #[test]
    fn names_and_values_are_edited_line_by_line() {
        let mut head = Head::new(GET.to_vec());
        let lines = head.edit_lines("x-a", |value| {
            if value == b"1" { LineEdit::Name("X-New".to_owned()) } else { LineEdit::Value(b"9".to_vec()) }
        });
        assert_eq!(lines, 2);
        assert_eq!(
            text(&head),
            "GET /a b HTTP/1.1\r\nHost: h\r\nX-New:1\r\nx-a : 9 \r\nFold: a\r\n b\r\nEmpty:\r\n\r\n"
        );
        head.edit_lines("x-a", |_| LineEdit::Remove);
        head.edit_lines("fold", |_| LineEdit::Keep);
        assert_eq!(text(&head), "GET /a b HTTP/1.1\r\nHost: h\r\nX-New:1\r\nFold: a\r\n b\r\nEmpty:\r\n\r\n");
    }

    #[test]
    fn the_target_alone_can_be_replaced() {
        let mut head = Head::new(GET.to_vec());
        head.set_target(b"/v2/a");
        assert_eq!(head.start_line(), b"GET /v2/a HTTP/1.1");
    }

    #[test]
    fn a_head_without_lines_takes_a_first_one() {
        let mut head = Head::new(b"GET / HTTP/1.0\r\n\r\n".to_vec());
        head.append("Host", b"h");
        assert_eq!(text(&head), "GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn a_line_that_is_added_ends_as_the_others_do() {
        for (raw, added) in [
            (
                "POST / HTTP/1.1\nHost: h\nContent-Length: 2\n\n",
                "POST / HTTP/1.1\nHost: h\nContent-Length: 2\nX: 1\n\n",
            ),
            ("GET / HTTP/1.0\n\n", "GET / HTTP/1.0\nX: 1\n\n"),
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"),
        ] {
            let mut head = Head::new(raw.as_bytes().to_vec());
            head.set("X", b"1");
            assert_eq!(text(&head), added);
        }
    }
}
