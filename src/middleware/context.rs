//! What the links of one chain know of a request besides the request itself.
//!
//! In goes a request and when it is due; out come cheap answers to what links ask most often. Nothing is decided here.

use std::ops::Range;
use std::sync::Arc;

use crate::exchange::{Head, Request, Timestamp};

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
    names: Names,
    path_and_query: Range<usize>,
    captured: Head,
    is_changed: bool,
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
            names: Names::default(),
            path_and_query: 0..0,
            captured: Head::default(),
            is_changed: false,
        }
    }

    /// Turns to another request. With `keep_captured` its head is kept as captured for links that ask for it later.
    pub fn begin(&mut self, request: &Request, due: Timestamp, keep_captured: bool) {
        self.due = due;
        self.host_set = false;
        self.targets = None;
        self.route = None;
        self.names = Names::of(&request.head);
        self.path_changed(request);
        self.is_changed = keep_captured;
        if keep_captured {
            self.captured.copy_from(&request.head);
        }
    }

    /// The head as captured, whatever earlier links made of it.
    #[must_use]
    pub fn captured<'a>(&'a self, request: &'a Request) -> &'a Head {
        if self.is_changed { &self.captured } else { &request.head }
    }

    /// Whether the request may have a header line of one of these names; no means no.
    #[must_use]
    pub fn may_have(&self, names: Names) -> bool {
        self.names.0 & names.0 != 0
    }

    /// Tells that header lines of these names may have been added.
    pub fn added(&mut self, names: Names) {
        self.names.0 |= names.0;
    }

    /// The path and query of the request at hand.
    #[must_use]
    pub fn path_and_query<'a>(&self, request: &'a Request) -> &'a [u8] {
        request.head.as_bytes().get(self.path_and_query.clone()).unwrap_or_default()
    }

    /// Tells that the target changed.
    pub fn path_changed(&mut self, request: &Request) {
        let whole = request.head.as_bytes().as_ptr().addr();
        let path = request.path_and_query();
        let start = path.as_ptr().addr().wrapping_sub(whole);
        // A target without any path stands for `/`, which is no part of the head.
        self.path_and_query = if start.saturating_add(path.len()) <= request.head.as_bytes().len() {
            start..start + path.len()
        } else {
            0..0
        };
    }
}

/// A set of header names, which may hold more than was put in: one bit for each of 64 kinds of names.
///
/// One pass over a head makes it; then a link that asks for a name that is not there costs next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u64);

impl Names {
    /// The names of the lines of a head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        head.lines().fold(Self::default(), |all, line| Self(all.0 | Self::one(line.name).0))
    }

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
        context.added(Names::one(b"Cookie"));
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
    fn the_captured_head_outlives_changes_where_it_was_asked_for() {
        let mut context = Context::default();
        let mut request = request(1, "GET / HTTP/1.1\r\nA: 1\r\n\r\n");
        context.begin(&request, Timestamp::default(), true);
        request.head.set("A", b"2");
        assert_eq!(context.captured(&request).get("a"), Some(&b"1"[..]));
    }
}
