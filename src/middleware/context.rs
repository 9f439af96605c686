//! Facts about a request that the filters of one chain share, besides the request itself.
//!
//! The input is a request and its due time; the context gives filters quick access to the fields they use most. Nothing
//! is decided here.

use std::cell::Cell;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::carry_set::CarrySet;
use super::lines::LineIndex;
use super::unreadable::{OnUnknown, Unreadable};
use crate::exchange::{Head, LineEdit, Request, Response, Timestamp, path_and_query};

/// Steps that the bodies of one request are searched by a chain: a byte is one, and more for a large expression. What
/// would take more is kept back, see [`BODY_SEARCH`].
pub(crate) const MAX_STEPS: u64 = 16 << 20;
/// The rule under which a request ends whose body would have taken too long to search.
pub(crate) const BODY_SEARCH: &str = "body-search";

/// Identity of the run, for values that name the run and for pseudonyms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunIdentity {
    /// Value of `{run}`.
    pub id: String,
    /// The key of pseudonyms that have none of their own.
    pub key: PseudonymKey,
}

impl Default for RunIdentity {
    /// A run identity that is the same for all: for tests, and for files that are only checked.
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

/// Counts of a chain's changes to bodies, and of changes it could not make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyCounts {
    /// Bodies that were changed.
    pub changed: u64,
    /// Bodies that a link meant to change and left alone, because they have a content coding.
    pub coded: u64,
    /// Bodies that a link meant to change and left alone, because they are not the JSON that their head announces.
    pub not_json: u64,
    /// Bodies that a link meant to redact and could not look into.
    pub unreadable: UnreadableCounts,
}

/// Counts of unreadable bodies, by the action taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnreadableCounts {
    /// They were emptied.
    pub body_dropped: u64,
    /// They were dropped with the message around them.
    pub dropped: u64,
    /// They were kept as they are.
    pub kept: u64,
}

impl UnreadableCounts {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.body_dropped + self.dropped + self.kept
    }

    /// Adds those of another chain.
    pub const fn add(&mut self, other: Self) {
        self.body_dropped += other.body_dropped;
        self.dropped += other.dropped;
        self.kept += other.kept;
    }
}

/// A filter that the response to a request passes because the request did, on its way to a recording or a process.
pub(crate) trait ResponseFilter: std::fmt::Debug + Send + Sync {
    /// Changes the response; false where it is not to be recorded.
    fn apply(&self, response: &mut Response, context: &mut Context) -> bool;
}

/// What filters may have changed of a request; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestChange {
    /// No filter that changes requests applied to it.
    Nothing,
    /// Anything but its Host.
    Something,
    /// Its Host, too: the target's name does not replace that.
    Host,
}

/// Facts about the current request for filters.
#[derive(Clone, Debug)]
pub struct Context {
    /// Due time of the request: limits run on this clock.
    pub due: Timestamp,
    /// Identity of the run.
    pub run: Arc<RunIdentity>,
    /// Counts about bodies so far.
    pub bodies: BodyCounts,
    /// What filters may have changed of the request.
    pub changed: RequestChange,
    /// The targets that a route chose, by number; `None` where no route was asked.
    pub targets: Option<Arc<[usize]>>,
    /// The name that a route chose.
    pub route: Option<Arc<str>>,
    /// The link of a chain file that ended the request, see `Chain::ended_by`.
    pub ended_by: Option<Arc<str>>,
    /// The request's place in the last sample: what is in a smaller one has a lower place.
    pub place: Option<u64>,
    /// The carry rules that apply to the request.
    pub(super) carried: CarrySet,
    /// Steps that bodies may still be searched, see [`MAX_STEPS`].
    steps: Cell<u64>,
    /// True when a body was not searched that should have been.
    unsearched: Cell<bool>,
    /// What the response to the request at hand passes.
    response_filters: Vec<Arc<dyn ResponseFilter>>,
    /// Messages for people that were not taken yet.
    notices: Vec<String>,
    /// Reasons for unreadable bodies so far: each is reported once.
    noticed: ArrayVec<Unreadable, { Unreadable::COUNT }>,
    lines: LineIndex,
    /// True when `lines` are those of the current request.
    is_read: bool,
    captured: Head,
    keeps_captured: bool,
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
            changed: RequestChange::Nothing,
            targets: None,
            route: None,
            ended_by: None,
            place: None,
            carried: CarrySet::default(),
            steps: Cell::new(MAX_STEPS),
            unsearched: Cell::new(false),
            response_filters: Vec::new(),
            notices: Vec::new(),
            noticed: ArrayVec::new(),
            lines: LineIndex::default(),
            is_read: false,
            captured: Head::default(),
            keeps_captured: false,
        }
    }

    /// Turns to another request. With `keep_captured` its head is kept as captured for links that ask for it later.
    pub fn begin(&mut self, request: &Request, due: Timestamp, keep_captured: bool) {
        self.begin_unread(due);
        self.keeps_captured = keep_captured;
        if keep_captured {
            self.captured.copy_from(&request.head);
        }
        self.lines(request);
    }

    /// Like [`Self::begin`], for filters that do not read its head. Reads of the head still work, but more slowly.
    pub(super) fn begin_unread(&mut self, due: Timestamp) {
        self.due = due;
        self.changed = RequestChange::Nothing;
        self.targets = None;
        self.route = None;
        self.ended_by = None;
        self.place = None;
        self.carried = CarrySet::default();
        self.steps.set(MAX_STEPS);
        self.unsearched.set(false);
        self.response_filters.clear();
        self.keeps_captured = false;
        self.is_read = false;
    }

    /// Returns whether a body may be searched for this many steps, and counts them. If not, the request has to end,
    /// since its content is unknown.
    pub(super) fn may_search(&self, steps: u64) -> bool {
        let left = self.steps.get().checked_sub(steps);
        match left {
            Some(left) => self.steps.set(left),
            None => self.keep_back(),
        }
        left.is_some()
    }

    /// Lets the request end: what its body holds, or would hold, cannot be known within bounds.
    pub(super) fn keep_back(&self) {
        self.unsearched.set(true);
    }

    /// Returns whether a body was not searched that should have been.
    pub(super) fn is_unsearched(&self) -> bool {
        self.unsearched.get()
    }

    /// Returns the positions of the parts of its head.
    pub(super) fn lines(&mut self, request: &Request) -> &mut LineIndex {
        if !self.is_read {
            self.is_read = true;
            self.lines.begin(&request.head);
        }
        &mut self.lines
    }

    /// Sets a header line: the first of that name is rewritten where it stands, further ones go; a new one goes last.
    pub(crate) fn set_header(&mut self, request: &mut Request, name: &str, value: &[u8]) {
        self.lines(request).set(&mut request.head, name, value);
    }

    /// Offers the value of each header line under `name` to `edit`, and does to the line what it says.
    pub(super) fn edit_header(&mut self, request: &mut Request, name: &str, edit: impl FnMut(&[u8]) -> LineEdit) {
        self.lines(request).edit(&mut request.head, name, edit);
    }

    /// Has the response to the request at hand pass `filter`.
    pub(super) fn filter_response(&mut self, filter: Arc<dyn ResponseFilter>) {
        self.response_filters.push(filter);
    }

    /// What the response to the request at hand passes.
    pub(super) fn response_filters(&self) -> &[Arc<dyn ResponseFilter>] {
        &self.response_filters
    }

    /// Counts a body that could not be looked into; the first for each reason is worth a word.
    pub(super) fn unreadable(&mut self, why: Unreadable, then: OnUnknown) {
        let counts = &mut self.bodies.unreadable;
        let done = match then {
            OnUnknown::DropBody => {
                counts.body_dropped += 1;
                "dropped a body"
            }
            OnUnknown::Drop => {
                counts.dropped += 1;
                "dropped a message for its body"
            }
            OnUnknown::Keep => {
                counts.kept += 1;
                "kept a body as it is"
            }
        };
        if !self.noticed.contains(&why) && self.noticed.try_push(why).is_ok() {
            self.notices
                .push(format!("redact: {done} that cannot be looked into: {why}. More are counted in the summary"));
        }
    }

    /// Adds a message for people that cannot wait for the end.
    pub(super) fn notice(&mut self, words: String) {
        self.notices.push(words);
    }

    /// Returns whether there is a message since the last call.
    pub(super) const fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Returns the messages since the last call.
    pub(super) fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Continues with the counts and messages of another context.
    pub(super) fn resume(&mut self, other: &mut Self) {
        self.bodies = other.bodies;
        self.notices = std::mem::take(&mut other.notices);
        self.noticed = std::mem::take(&mut other.noticed);
    }

    /// Replaces the request-target.
    pub(crate) fn set_target(&mut self, request: &mut Request, target: &[u8]) {
        self.lines(request).set_target(&mut request.head, target);
    }

    /// The fields of the request at hand.
    #[must_use]
    pub const fn fields<'a>(&'a self, request: &'a Request) -> HeadFields<'a> {
        HeadFields { head: &request.head, lines: if self.is_read { Some(&self.lines) } else { None } }
    }

    /// Its fields as captured, whatever earlier links made of them.
    #[must_use]
    pub const fn captured<'a>(&'a self, request: &'a Request) -> HeadFields<'a> {
        if self.is_read && self.lines.are_edited() && self.keeps_captured {
            return HeadFields { head: &self.captured, lines: None };
        }
        self.fields(request)
    }

    /// Returns whether the request may have a header line of one of these names; false is certain.
    #[cfg(test)]
    #[must_use]
    pub(crate) const fn may_have(&self, names: crate::head::NameSet) -> bool {
        !self.is_read || self.lines.may_have(names)
    }

    /// The method of the request at hand.
    #[must_use]
    pub fn method<'a>(&self, request: &'a Request) -> &'a [u8] {
        if self.is_read { self.lines.method(&request.head) } else { request.method() }
    }

    /// The path and query of the request at hand.
    #[must_use]
    pub fn path_and_query<'a>(&self, request: &'a Request) -> &'a [u8] {
        if self.is_read { self.lines.path_and_query(&request.head) } else { path_and_query(request.target()) }
    }
}

/// Fields of a head, found without a pass over it where a context has made one.
#[derive(Clone, Copy, Debug)]
pub struct HeadFields<'a> {
    head: &'a Head,
    lines: Option<&'a LineIndex>,
}

impl<'a> HeadFields<'a> {
    /// The fields of a head that nobody has looked at yet.
    #[must_use]
    pub const fn of(head: &'a Head) -> Self {
        Self { head, lines: None }
    }

    /// The first value under `name`, which is compared without case.
    #[must_use]
    pub fn get(self, name: &'a str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// Every value under `name`, in order.
    pub(crate) fn get_all(self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = self.lines.map(|lines| lines.values(self.head, name));
        let unknown = self.lines.is_none().then(|| self.head.get_all(name));
        known.into_iter().flatten().chain(unknown.into_iter().flatten())
    }

    /// The request-target, verbatim.
    #[must_use]
    pub fn target(self) -> &'a [u8] {
        self.lines.map_or_else(|| self.head.request_line().1, |lines| lines.target(self.head))
    }

    /// The path and query of the target.
    #[must_use]
    pub fn path_and_query(self) -> &'a [u8] {
        self.lines.map_or_else(|| path_and_query(self.head.request_line().1), |lines| lines.path_and_query(self.head))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::request;
    use super::*;
    use crate::head::NameSet;

    #[test]
    fn a_head_that_was_not_read_says_the_same_as_one_that_was() {
        let text = "GET /a?b HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
        let (mut read, mut unread) = (Context::default(), Context::default());
        let mut requests = [request(1, text), request(1, text)];
        read.begin(&requests[0], Timestamp::default(), false);
        unread.begin_unread(Timestamp::default());
        for (context, request) in [&read, &unread].into_iter().zip(&requests) {
            assert_eq!((context.method(request), context.path_and_query(request)), (&b"GET"[..], &b"/a?b"[..]));
            assert_eq!((context.fields(request).get("b"), context.fields(request).get("c")), (Some(&b"2"[..]), None));
            assert_eq!(context.fields(request).target(), b"/a?b");
        }
        for (context, request) in [&mut read, &mut unread].into_iter().zip(&mut requests) {
            context.set_header(request, "a", b"3");
            context.set_target(request, b"/c");
            assert_eq!(request.head.as_bytes(), b"GET /c HTTP/1.1\r\nA: 3\r\nB: 2\r\n\r\n");
        }
    }

    #[test]
    fn a_name_that_is_there_is_never_denied_whatever_its_case() {
        let mut context = Context::default();
        context.begin(&request(1, "GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: 1\r\n\r\n"), Timestamp::default(), false);
        for name in ["host", "HOST", "x-user-id", "X-USER-ID"] {
            assert!(context.may_have(NameSet::one(name.as_bytes())), "{name}");
        }
        assert!(!context.may_have(NameSet::one(b"cookie")));
        let mut request = request(1, "GET / HTTP/1.1\r\n\r\n");
        context.begin(&request, Timestamp::default(), false);
        context.set_header(&mut request, "Cookie", b"a=1");
        assert!(context.may_have(NameSet::one(b"cookie")));
    }

    #[test]
    fn the_path_is_that_of_every_form_of_target() {
        let mut context = Context::default();
        for (target, path) in [("/a?b", "/a?b"), ("http://h/a?b", "/a?b"), ("http://h", "/"), ("*", "*")] {
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
            context.set_target(&mut request, target.as_bytes());
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
        context.set_header(&mut request, "A", b"2");
        assert_eq!(context.captured(&request).get("a"), Some(&b"1"[..]));
        assert_eq!(context.fields(&request).get("a"), Some(&b"2"[..]));
    }
}
