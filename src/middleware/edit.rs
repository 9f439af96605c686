//! One edit of header lines, cookies or query parameters: set, add, remove, rename, replace.
//!
//! In goes a request, out comes the same request with other fields; what no edit names keeps its bytes and its place.
//! A value can never break the message around it: bytes that would are left out, or encoded.

use std::borrow::Cow;
use std::sync::Arc;

use regex::bytes::Regex;

use super::context::RequestChange;
use super::value_change::ValueChange;
use super::{Context, RunIdentity, Template, cookies, query};
use crate::exchange::{LineEdit, Request};

/// Kind of field that holds a named value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A header line; names without regard to case.
    Header,
    /// A cookie among those of a Cookie line; names with case.
    Cookie,
    /// A query parameter, name and value decoded.
    Param,
}

/// Operation of an edit.
#[derive(Clone, Debug)]
pub enum EditOp {
    /// Gives it this value wherever it stands (of header lines the first stays and further ones go); a new one goes last.
    Set(Template),
    /// Adds one more after the last one.
    Add(Template),
    /// Takes all of them out.
    Remove,
    /// Gives all of them this name.
    Rename(String),
    /// Replaces each match within each value.
    Replace(Regex, Template),
}

/// One edit of the fields of one name.
#[derive(Clone, Debug)]
pub struct FieldEdit {
    place: FieldKind,
    name: String,
    how: EditOp,
}

impl FieldEdit {
    /// An edit of the fields under `name`, which is a valid one for its place.
    #[must_use]
    pub fn new(place: FieldKind, name: impl Into<String>, how: EditOp) -> Self {
        Self { place, name: name.into(), how }
    }

    /// Returns whether it can change the Host of a request.
    #[must_use]
    pub(crate) fn touches_host(&self) -> bool {
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let renamed = matches!(&self.how, EditOp::Rename(to) if is_host(to));
        self.place == FieldKind::Header && (renamed || (is_host(&self.name) && !matches!(self.how, EditOp::Remove)))
    }

    /// Edits the request.
    pub fn apply(&self, request: &mut Request, context: &mut Context) {
        match &self.how {
            EditOp::Set(value) => {
                let value = self.safe(value.value(request, context));
                self.set(request, context, &value);
            }
            EditOp::Add(value) => {
                let value = self.safe(value.value(request, context));
                self.append(request, context, &value);
                self.mark_host(context);
            }
            EditOp::Remove => self.each(request, context, &mut |_, _| ValueChange::Remove),
            EditOp::Rename(to) => self.each(request, context, &mut |_, _| ValueChange::Name(to.clone())),
            EditOp::Replace(regex, with) => self.replace(request, context, regex, with),
        }
    }

    /// Returns whether `like` holds for one of the values.
    fn any(&self, request: &Request, context: &Context, like: impl Fn(&[u8]) -> bool) -> bool {
        let fields = context.fields(request);
        match self.place {
            FieldKind::Header => fields.get_all(&self.name).any(like),
            FieldKind::Cookie => fields
                .get_all("cookie")
                .flat_map(cookies::cookies)
                .any(|(name, value)| name == self.name.as_bytes() && like(value)),
            FieldKind::Param => query::values(context.path_and_query(request), &self.name).any(|value| like(&value)),
        }
    }

    fn mark_host(&self, context: &mut Context) {
        if self.touches_host() {
            context.changed = RequestChange::Host;
        }
    }

    /// Offers each value to `change`, together with the run identity.
    pub(super) fn each(
        &self,
        request: &mut Request,
        context: &mut Context,
        change: &mut dyn FnMut(&[u8], &RunIdentity) -> ValueChange,
    ) {
        if self.count_each(request, context, change) > 0 {
            self.mark_host(context);
        }
    }

    /// The same; says how many there were.
    fn count_each(
        &self,
        request: &mut Request,
        context: &mut Context,
        change: &mut dyn FnMut(&[u8], &RunIdentity) -> ValueChange,
    ) -> usize {
        let run = Arc::clone(&context.run);
        let lines = context.lines(request);
        let head = &mut request.head;
        let mut change = |value: &[u8]| change(value, &run);
        match self.place {
            FieldKind::Header => lines.edit(head, &self.name, |value| match change(value) {
                ValueChange::Keep => LineEdit::Keep,
                ValueChange::Value(value) => LineEdit::Value(value),
                ValueChange::Name(name) => LineEdit::Name(name),
                ValueChange::Remove => LineEdit::Remove,
            }),
            FieldKind::Cookie => cookies::edit(lines, head, &self.name, &mut change),
            FieldKind::Param => query::edit(lines, head, &self.name, &mut change),
        }
    }

    fn set(&self, request: &mut Request, context: &mut Context, value: &[u8]) {
        if self.place == FieldKind::Header {
            context.set_header(request, &self.name, value);
        } else if self.count_each(request, context, &mut |_, _| ValueChange::Value(value.to_vec())) == 0 {
            // Servers disagree on which of two of one name counts, so where there are any, all got the value.
            self.append(request, context, value);
        }
        self.mark_host(context);
    }

    fn append(&self, request: &mut Request, context: &mut Context, value: &[u8]) {
        let lines = context.lines(request);
        let head = &mut request.head;
        match self.place {
            FieldKind::Header => lines.append(head, &self.name, value),
            FieldKind::Cookie => cookies::append(lines, head, &self.name, value),
            FieldKind::Param => query::append(lines, head, &self.name, value),
        }
    }

    fn replace(&self, request: &mut Request, context: &mut Context, regex: &Regex, with: &Template) {
        // What names the capture is written out only where it is used.
        if !with.is_settled() && !self.any(request, context, |value| regex.is_match(value)) {
            return;
        }
        let with = with.resolved(request, context);
        let mut is_found = false;
        self.count_each(request, context, &mut |value, _| match with.replace(regex, value) {
            Some(new) => {
                is_found = true;
                ValueChange::Value(self.safe(Cow::Owned(new)).into_owned())
            }
            None => ValueChange::Keep,
        });
        if is_found {
            self.mark_host(context);
        }
    }

    /// The value without bytes that would end it where it stands. Parameters are encoded instead.
    fn safe<'a>(&self, value: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let breaks = |byte: &u8| match self.place {
            FieldKind::Header => byte.is_ascii_control() && *byte != b'\t',
            FieldKind::Cookie => byte.is_ascii_control() || *byte == b';',
            FieldKind::Param => false,
        };
        if !value.iter().any(breaks) {
            return value;
        }
        let mut value = value.into_owned();
        value.retain(|byte| !breaks(byte));
        Cow::Owned(value)
    }
}
