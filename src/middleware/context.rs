//! What the links of one chain know of a request besides the request itself.
//!
//! In goes a request and when it is due; out come cheap answers to what links ask most often. Nothing is decided here.

use std::ops::Range;
use std::sync::Arc;

use crate::exchange::{Head, Request, Timestamp, path_and_query};

/// Who runs, for values that name the run and for pseudonyms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunIdentity {
    /// What `{run}` stands for.
    pub id: String,
    /// The key of pseudonyms that have none of their own.
    pub key: PseudonymKey,
}

impl Default for RunIdentity {
    /// A run that is told from no other: for tests, and for files that are only checked.
    fn default() -> Self {
        Self { id: "run".to_owned(), key: PseudonymKey(vec![0; 32]) }
    }
}

/// A key that nobody is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PseudonymKey(pub Vec<u8>);

impl std::fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[a key]")
    }
}

/// What a chain did to bodies, or could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyCounts {
    /// Bodies that were changed.
    pub changed: u64,
    /// Bodies that a link meant to change and left alone, because they have a content coding.
    pub coded: u64,
    /// Bodies that a link meant to change and left alone, because they are not the JSON that their head announces.
    pub not_json: u64,
}

/// What links know of the request at hand.
#[derive(Clone, Debug)]
pub struct Context {
    /// When the request is due: limits run on this clock.
    pub due: Timestamp,
    /// Who runs.
    pub run: Arc<RunIdentity>,
    /// What became of bodies so far.
    pub bodies: BodyCounts,
    /// Whether a link gave the request its Host: then the target's name does not replace it.
    pub host_set: bool,
    /// The targets that a route chose, by number; `None` where no route was asked.
    pub targets: Option<Arc<[usize]>>,
    /// The name that a route chose.
    pub route: Option<Arc<str>>,
    /// The request's place in the last sample: what is in a smaller one has a lower place.
    pub place: Option<u64>,
    names: Names,
    lines: Vec<Line>,
    method: Range<usize>,
    target: Range<usize>,
    path_and_query: Range<usize>,
    captured: Head,
    keeps_captured: bool,
    is_changed: bool,
}

/// Where a header line stands in the head at hand.
#[derive(Clone, Debug)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

impl Default for Context {
    fn default() -> Self {
        Self::new(RunIdentity::default())
    }
}

impl Context {
    /// A context that has seen no request yet.
    #[must_use]
    pub fn new(run: RunIdentity) -> Self {
        Self {
            due: Timestamp::default(),
            run: Arc::new(run),
            bodies: BodyCounts::default(),
            host_set: false,
            targets: None,
            route: None,
            place: None,
            names: Names::default(),
            lines: Vec::new(),
            method: 0..0,
            target: 0..0,
            path_and_query: 0..0,
            captured: Head::default(),
            keeps_captured: false,
            is_changed: false,
        }
    }

    /// Turns to another request. With `keep_captured` its head is kept as captured for links that ask for it later.
    pub fn begin(&mut self, request: &Request, due: Timestamp, keep_captured: bool) {
        self.due = due;
        self.host_set = false;
        self.targets = None;
        self.route = None;
        self.place = None;
        self.is_changed = false;
        self.keeps_captured = keep_captured;
        if keep_captured {
            self.captured.copy_from(&request.head);
        }
        self.look_at(request);
    }

    /// Tells that a link changed the request line or the header lines.
    pub fn head_changed(&mut self, request: &Request) {
        self.is_changed = true;
        self.look_at(request);
    }

    /// One pass over the head, so that links find what they ask for without one of their own.
    fn look_at(&mut self, request: &Request) {
        self.lines.clear();
        self.names = Names::default();
        for line in request.head.lines() {
            self.names.0 |= Names::one(line.name).0;
            let (name, value) = line.spans();
            self.lines.push(Line { name, value });
        }
        self.look_at_request_line(request);
    }

    fn look_at_request_line(&mut self, request: &Request) {
        let whole = request.head.as_bytes();
        let (method, target, _) = request.head.request_line();
        self.method = 0..method.len();
        self.target = within(whole, target);
        self.path_and_query = within(whole, path_and_query(target));
    }

    /// Tells that a link changed the target and nothing else: the lines after it have only moved.
    pub fn target_changed(&mut self, request: &Request) {
        self.is_changed = true;
        let was = self.target.len();
        self.look_at_request_line(request);
        let moved = |at: usize| (at + self.target.len()).saturating_sub(was);
        for line in &mut self.lines {
            *line = Line {
                name: moved(line.name.start)..moved(line.name.end),
                value: moved(line.value.start)..moved(line.value.end),
            };
        }
    }

    /// The fields of the request at hand.
    #[must_use]
    pub const fn fields<'a>(&'a self, request: &'a Request) -> Fields<'a> {
        Fields { head: &request.head, context: Some(self) }
    }

    /// Its fields as captured, whatever earlier links made of them.
    #[must_use]
    pub const fn captured<'a>(&'a self, request: &'a Request) -> Fields<'a> {
        if self.is_changed && self.keeps_captured {
            return Fields { head: &self.captured, context: None };
        }
        self.fields(request)
    }

    /// Whether the request may have a header line of one of these names; no means no.
    #[must_use]
    pub const fn may_have(&self, names: Names) -> bool {
        self.names.0 & names.0 != 0
    }

    /// The method of the request at hand.
    #[must_use]
    pub fn method<'a>(&self, request: &'a Request) -> &'a [u8] {
        request.head.as_bytes().get(self.method.clone()).unwrap_or_default()
    }

    /// The path and query of the request at hand.
    #[must_use]
    pub fn path_and_query<'a>(&self, request: &'a Request) -> &'a [u8] {
        request.head.as_bytes().get(self.path_and_query.clone()).unwrap_or_default()
    }
}

/// Where `part` stands in `whole`; nowhere where it is no part of it, as the `/` that an empty path stands for.
fn within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    let end = start.saturating_add(part.len());
    if end <= whole.len() { start..end } else { 0..0 }
}

/// What stands in a head, found without a pass over it where a context has made one.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    head: &'a Head,
    context: Option<&'a Context>,
}

impl<'a> Fields<'a> {
    /// The fields of a head that nobody has looked at yet.
    #[must_use]
    pub const fn of(head: &'a Head) -> Self {
        Self { head, context: None }
    }

    /// The first value under `name`, which is compared without case.
    #[must_use]
    pub fn get(self, name: &'a str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// Every value under `name`, in order.
    pub fn get_all(self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let raw = self.head.as_bytes();
        let known = self.context.map(|context| {
            let named = |line: &&Line| {
                line.name.len() == name.len()
                    && raw.get(line.name.clone()).is_some_and(|other| other.eq_ignore_ascii_case(name.as_bytes()))
            };
            let lines: &'a [Line] = if context.may_have(Names::one(name.as_bytes())) { &context.lines } else { &[] };
            lines.iter().filter(named).map(|line| raw.get(line.value.clone()).unwrap_or_default())
        });
        let unknown = self.context.is_none().then(|| self.head.get_all(name));
        known.into_iter().flatten().chain(unknown.into_iter().flatten())
    }

    /// The request-target, verbatim.
    #[must_use]
    pub fn target(self) -> &'a [u8] {
        let known = self.context.and_then(|context| self.head.as_bytes().get(context.target.clone()));
        known.unwrap_or_else(|| self.head.request_line().1)
    }

    /// The path and query of the target.
    #[must_use]
    pub fn path_and_query(self) -> &'a [u8] {
        let known = self.context.and_then(|context| self.head.as_bytes().get(context.path_and_query.clone()));
        known.unwrap_or_else(|| path_and_query(self.head.request_line().1))
    }
}

/// A set of header names, which may hold more than was put in: one bit for each of 64 kinds of names.
///
/// One pass over a head makes it; then a link that asks for a name that is not there costs next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u64);

impl Names {
    /// One name.
    #[must_use]
    pub fn one(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Self(1) };
        // Names differ most in length, and in their ends; case makes no difference.
        let ends = usize::from(first | 0x20).wrapping_mul(31) ^ usize::from(last | 0x20).wrapping_mul(3);
        Self(1 << ((name.len().wrapping_mul(7) ^ ends) & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;

    #[test]
    fn a_name_that_is_there_is_never_denied_whatever_its_case() {
        let mut context = Context::default();
        context.begin(&request(1, "GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: 1\r\n\r\n"), Timestamp::default(), false);
        for name in ["host", "HOST", "x-user-id", "X-USER-ID"] {
            assert!(context.may_have(Names::one(name.as_bytes())), "{name}");
        }
        assert!(!context.may_have(Names::one(b"cookie")));
        let mut request = request(1, "GET / HTTP/1.1\r\n\r\n");
        request.head.append("Cookie", b"a=1");
        context.head_changed(&request);
        assert!(context.may_have(Names::one(b"cookie")));
    }

    #[test]
    fn the_path_is_that_of_every_form_of_target() {
        let mut context = Context::default();
        for (target, path) in [("/a?b", "/a?b"), ("http://h/a?b", "/a?b"), ("http://h", ""), ("*", "*")] {
            let request = request(1, &format!("GET {target} HTTP/1.1\r\n\r\n"));
            context.begin(&request, Timestamp::default(), false);
            assert_eq!(context.path_and_query(&request), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn lines_are_found_where_they_are_after_the_target_grew_or_shrank() {
        let mut context = Context::default();
        let mut request = request(1, "GET /ab HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n");
        context.begin(&request, Timestamp::default(), false);
        for target in ["/abcdefgh?x", "/", "http://h/y", "/ab"] {
            request.head.set_target(target.as_bytes());
            context.target_changed(&request);
            let fields = context.fields(&request);
            assert_eq!((fields.get("a"), fields.get("b")), (Some(&b"1"[..]), Some(&b"2"[..])), "{target}");
            assert_eq!(fields.target(), target.as_bytes());
        }
    }

    #[test]
    fn the_captured_head_outlives_changes_where_it_was_asked_for() {
        let mut context = Context::default();
        let mut request = request(1, "GET / HTTP/1.1\r\nA: 1\r\n\r\n");
        context.begin(&request, Timestamp::default(), true);
        assert_eq!(context.captured(&request).get("a"), Some(&b"1"[..]));
        request.head.set("A", b"2");
        context.head_changed(&request);
        assert_eq!(context.captured(&request).get("a"), Some(&b"1"[..]));
        assert_eq!(context.fields(&request).get("a"), Some(&b"2"[..]));
    }
}
