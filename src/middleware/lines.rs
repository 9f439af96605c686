//! Index of the parts of a head, built in one pass and kept up to date through edits.
//!
//! A head goes in; its fields come out without a pass of their own, and so does the same head edited. An edit moves the
//! parts behind it and parses the edited line again, not the others. Lines that no edit names keep their bytes and
//! their position. Only an edit that makes other lines than intended causes a new pass over the whole head.

use std::ops::Range;

use crate::exchange::{Head, LineEdit, path_and_query};
use crate::head::{HeaderLine, HeaderLines, NameSet};

/// Positions of the request line's parts and of the header lines in the current head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineIndex {
    names: NameSet,
    all: Vec<IndexedLine>,
    method: Range<usize>,
    target: Range<usize>,
    path_and_query: Range<usize>,
    is_edited: bool,
}

/// Position of a header line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IndexedLine {
    name: Range<usize>,
    value: Range<usize>,
    /// After its line end.
    end: usize,
}

impl IndexedLine {
    fn of(line: &HeaderLine<'_>) -> Self {
        let (name, value) = line.spans();
        Self { name, value, end: line.span().end }
    }

    fn is(&self, raw: &[u8], name: &str) -> bool {
        self.name.len() == name.len()
            && raw.get(self.name.clone()).is_some_and(|other| other.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn move_by(&mut self, by: isize) {
        for at in [&mut self.name.start, &mut self.name.end, &mut self.value.start, &mut self.value.end, &mut self.end]
        {
            *at = at.saturating_add_signed(by);
        }
    }
}

impl LineIndex {
    /// Turns to another head.
    pub(super) fn begin(&mut self, head: &Head) {
        self.is_edited = false;
        self.look_at(head);
    }

    /// Returns whether the head was edited since [`Self::begin`].
    pub(super) const fn are_edited(&self) -> bool {
        self.is_edited
    }

    /// Returns whether there may be a line of one of these names; false is certain.
    pub(super) const fn may_have(&self, names: NameSet) -> bool {
        self.names.may_have(names)
    }

    /// The method.
    pub(super) fn method<'a>(&self, head: &'a Head) -> &'a [u8] {
        head.as_bytes().get(self.method.clone()).unwrap_or_default()
    }

    /// The request-target, verbatim.
    pub(super) fn target<'a>(&self, head: &'a Head) -> &'a [u8] {
        head.as_bytes().get(self.target.clone()).unwrap_or_default()
    }

    /// The path and query of the target.
    pub(super) fn path_and_query<'a>(&self, head: &'a Head) -> &'a [u8] {
        match head.as_bytes().get(self.path_and_query.clone()) {
            // An address without a path asks for `/` (RFC 9112, 3.2.1).
            None | Some([]) if !self.target.is_empty() => b"/",
            found => found.unwrap_or_default(),
        }
    }

    /// Every value under `name`, in order.
    pub(super) fn values<'a>(&'a self, head: &'a Head, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let raw = head.as_bytes();
        let lines: &[IndexedLine] = if self.may_have(NameSet::one(name.as_bytes())) { &self.all } else { &[] };
        let named = lines.iter().filter(move |line| line.is(raw, name));
        named.map(|line| raw.get(line.value.clone()).unwrap_or_default())
    }

    /// Offers the value of each line under `name` to `edit`, and does to the line what it says; says how many lines
    /// there were.
    pub(super) fn edit(&mut self, head: &mut Head, name: &str, mut edit: impl FnMut(&[u8]) -> LineEdit) -> usize {
        if !self.may_have(NameSet::one(name.as_bytes())) {
            return 0;
        }
        let (mut at, mut found) = (0, 0);
        while let Some(line) = self.all.get(at) {
            let stays = !line.is(head.as_bytes(), name) || {
                found += 1;
                let value = line.value.clone();
                match edit(head.as_bytes().get(value.clone()).unwrap_or_default()) {
                    LineEdit::Keep => true,
                    LineEdit::Value(new) => self.put(head, at, value, &new),
                    LineEdit::Name(new) => self.put(head, at, line.name.clone(), new.as_bytes()),
                    LineEdit::Remove => self.remove(head, at),
                }
            };
            at += usize::from(stays);
        }
        found
    }

    /// Sets `name` to `value`: the first such line is rewritten where it stands, further ones go; a new one goes last.
    pub(super) fn set(&mut self, head: &mut Head, name: &str, value: &[u8]) {
        let is_named = |line: &IndexedLine, head: &Head| line.is(head.as_bytes(), name);
        let Some(first) = self.all.iter().position(|line| is_named(line, head)) else {
            self.append(head, name, value);
            return;
        };
        // From the last to the first, so that the places of those before stay what they are.
        for at in (first + 1..self.all.len()).rev() {
            if self.all.get(at).is_some_and(|line| is_named(line, head)) {
                self.remove(head, at);
            }
        }
        if let Some(place) = self.all.get(first).map(|line| line.value.clone()) {
            self.put(head, first, place, value);
        }
    }

    /// Adds a header line after the last one.
    pub(super) fn append(&mut self, head: &mut Head, name: &str, value: &[u8]) {
        self.is_edited = true;
        let was = head.as_bytes().len();
        let at = self.all.last().map_or_else(|| head.end_of_lines(), |line| line.end);
        head.insert(at, name, value);
        let added = line_at(head, at);
        // What has no line end takes what is added for a part of itself.
        let begins = at.checked_sub(1).and_then(|end| head.as_bytes().get(end)) == Some(&b'\n');
        match added {
            Some(line) if begins && line.end - at == head.as_bytes().len() - was => {
                self.names.add(name.as_bytes());
                self.all.push(line);
            }
            _ => self.look_at(head),
        }
    }

    /// Replaces the request-target.
    pub(super) fn set_target(&mut self, head: &mut Head, target: &[u8]) {
        self.is_edited = true;
        let was = head.as_bytes().len();
        head.set_target(target);
        self.look_at_request_line(head);
        self.move_from(0, difference(was, head.as_bytes().len()));
    }

    /// Puts `bytes` in the place of `span` of line `at`, which stays; says so.
    fn put(&mut self, head: &mut Head, at: usize, span: Range<usize>, bytes: &[u8]) -> bool {
        self.is_edited = true;
        let by = difference(span.len(), bytes.len());
        head.splice(span, bytes);
        let Some(line) = self.all.get(at) else { return true };
        let now = line_at(head, line.name.start);
        match now {
            Some(now) if now.end == line.end.saturating_add_signed(by) => {
                self.names.add(head.as_bytes().get(now.name.clone()).unwrap_or_default());
                self.move_from(at + 1, by);
                if let Some(line) = self.all.get_mut(at) {
                    *line = now;
                }
            }
            _ => self.look_at(head),
        }
        true
    }

    /// Takes line `at` out: it does not stay.
    fn remove(&mut self, head: &mut Head, at: usize) -> bool {
        self.is_edited = true;
        if at < self.all.len() {
            let line = self.all.remove(at);
            let span = line.name.start..line.end;
            self.move_from(at, difference(span.len(), 0));
            head.splice(span, b"");
        }
        false
    }

    fn move_from(&mut self, at: usize, by: isize) {
        self.all.iter_mut().skip(at).for_each(|line| line.move_by(by));
    }

    /// One pass over the head.
    fn look_at(&mut self, head: &Head) {
        self.all.clear();
        self.names = NameSet::default();
        for line in head.lines() {
            self.names.add(line.name);
            self.all.push(IndexedLine::of(&line));
        }
        self.look_at_request_line(head);
    }

    fn look_at_request_line(&mut self, head: &Head) {
        let whole = head.as_bytes();
        let (method, target, _) = head.request_line();
        self.method = 0..method.len();
        self.target = within(whole, target);
        self.path_and_query = within(whole, path_and_query(target));
    }
}

fn line_at(head: &Head, at: usize) -> Option<IndexedLine> {
    HeaderLines::from(head.as_bytes(), at).next().as_ref().map(IndexedLine::of)
}

fn difference(was: usize, now: usize) -> isize {
    now.cast_signed().wrapping_sub(was.cast_signed())
}

/// Returns the range of `part` within `whole`; empty where it is no part of it, as the `/` for an empty path.
fn within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    let end = start.saturating_add(part.len());
    if end <= whole.len() { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One edit, for the lines and for a head that is looked at anew each time.
    #[derive(Clone, Debug)]
    enum IndexEdit {
        Set(&'static str, &'static str),
        Append(&'static str, &'static str),
        Remove(&'static str),
        Rename(&'static str, &'static str),
        Value(&'static str, &'static str),
        /// Every other line of that name gets the value, the others go.
        Mixed(&'static str, &'static str),
        Target(&'static str),
    }

    fn edit() -> impl Strategy<Value = IndexEdit> {
        let name = || prop::sample::select(vec!["A", "x-b", "X-B", "Cookie", "none", "Host"]);
        let value = || prop::sample::select(vec!["", "1", " 2 ", "a: b", "a much longer value than there was before"]);
        let target = prop::sample::select(vec!["/", "/v2/a?b=c&d", "http://h/a?b", "http://h", "*", "/with blank"]);
        prop_oneof![
            (name(), value()).prop_map(|(name, value)| IndexEdit::Set(name, value)),
            (name(), value()).prop_map(|(name, value)| IndexEdit::Append(name, value)),
            name().prop_map(IndexEdit::Remove),
            (name(), name()).prop_map(|(from, to)| IndexEdit::Rename(from, to)),
            (name(), value()).prop_map(|(name, value)| IndexEdit::Value(name, value)),
            (name(), value()).prop_map(|(name, value)| IndexEdit::Mixed(name, value)),
            target.prop_map(IndexEdit::Target),
        ]
    }

    fn whole_head() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "A: 1\r\n",
            "a:2\n",
            "X-B :  \r\n",
            "x-b:\r\n",
            "Cookie: a=1;\r\n b=2\r\n",
            "Host: h\r\n",
            "Folded:\r\n\tx\r\n y \r\n",
        ]);
        prop::collection::vec(line, 0..8)
            .prop_map(|lines| format!("GET /a?b HTTP/1.1\r\n{}\r\n", lines.concat()).into())
    }

    /// As it may come from somewhere else than the wire: lines without a colon, without an end, no lines at all.
    fn any_head() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "A",
            ":",
            " ",
            "\r\n",
            "\n",
            "x-b: 1\r\n",
            "GET / HTTP/1.1\r\n",
            "none",
            "Host",
            "\t",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn mixed(value: &'static str) -> impl FnMut(&[u8]) -> LineEdit {
        let mut odd = false;
        move |_| {
            odd = !odd;
            if odd { LineEdit::Value(value.into()) } else { LineEdit::Remove }
        }
    }

    fn edit_lines(lines: &mut LineIndex, head: &mut Head, edit: &IndexEdit) {
        match *edit {
            IndexEdit::Set(name, value) => lines.set(head, name, value.as_bytes()),
            IndexEdit::Append(name, value) => lines.append(head, name, value.as_bytes()),
            IndexEdit::Remove(name) => drop(lines.edit(head, name, |_| LineEdit::Remove)),
            IndexEdit::Rename(from, to) => drop(lines.edit(head, from, |_| LineEdit::Name(to.to_owned()))),
            IndexEdit::Value(name, value) => drop(lines.edit(head, name, |_| LineEdit::Value(value.into()))),
            IndexEdit::Mixed(name, value) => drop(lines.edit(head, name, mixed(value))),
            IndexEdit::Target(target) => lines.set_target(head, target.as_bytes()),
        }
    }

    fn edit_head(head: &mut Head, edit: &IndexEdit) {
        match *edit {
            IndexEdit::Set(name, value) => head.set(name, value.as_bytes()),
            IndexEdit::Append(name, value) => head.append(name, value.as_bytes()),
            IndexEdit::Remove(name) => drop(head.remove(name)),
            IndexEdit::Rename(from, to) => drop(head.edit_lines(from, |_| LineEdit::Name(to.to_owned()))),
            IndexEdit::Value(name, value) => drop(head.edit_lines(name, |_| LineEdit::Value(value.into()))),
            IndexEdit::Mixed(name, value) => drop(head.edit_lines(name, mixed(value))),
            IndexEdit::Target(target) => head.set_target(target.as_bytes()),
        }
    }

    /// Checks that the index after edits equals a new one, except for names that are gone.
    fn check_known(lines: &LineIndex, head: &Head) {
        let mut anew = LineIndex::default();
        anew.look_at(head);
        assert!(!lines.names.denies_some_of(anew.names), "a name is denied");
        let known = LineIndex { names: anew.names, is_edited: false, ..lines.clone() };
        assert_eq!(known, anew, "{head:?}");
    }

    proptest! {
        #[test]
        fn edits_make_the_head_that_edits_of_the_head_alone_make(
            raw in whole_head(), edits in prop::collection::vec(edit(), 1..8),
        ) {
            let (mut head, mut model) = (Head::new(raw.clone()), Head::new(raw));
            let mut lines = LineIndex::default();
            lines.begin(&head);
            for edit in &edits {
                edit_lines(&mut lines, &mut head, edit);
                edit_head(&mut model, edit);
                prop_assert_eq!(head.as_bytes(), model.as_bytes(), "{:?}", edit);
                check_known(&lines, &head);
            }
        }

        #[test]
        fn what_is_known_stays_true_whatever_the_head_is(
            raw in any_head(), edits in prop::collection::vec(edit(), 1..8),
        ) {
            let mut head = Head::new(raw);
            let mut lines = LineIndex::default();
            lines.begin(&head);
            for edit in &edits {
                edit_lines(&mut lines, &mut head, edit);
                check_known(&lines, &head);
            }
        }
    }

    #[test]
    fn only_what_is_done_is_an_edit() {
        let mut head = Head::new(b"GET / HTTP/1.1\r\nA: 1\r\n\r\n".to_vec());
        let mut lines = LineIndex::default();
        lines.begin(&head);
        assert_eq!(lines.edit(&mut head, "a", |_| LineEdit::Keep), 1);
        assert_eq!(lines.edit(&mut head, "b", |_| LineEdit::Remove), 0);
        assert!(!lines.are_edited());
        assert_eq!(lines.edit(&mut head, "a", |_| LineEdit::Remove), 1);
        assert!(lines.are_edited());
        lines.begin(&head);
        assert!(!lines.are_edited());
    }
}
