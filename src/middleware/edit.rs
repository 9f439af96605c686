//! One edit of header lines, cookies or query parameters: set, add, remove, rename, replace.
//!
//! In goes a request, out comes the same request with other fields; what no edit names keeps its bytes and its place.
//! A value can never break the message around it: bytes that would are left out, or encoded.

use regex::bytes::Regex;

use super::{Context, Template, cookies, params};
use crate::exchange::{LineEdit, Request};

/// Where a named value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header line; names without regard to case.
    Header,
    /// A cookie among those of a Cookie line; names with case.
    Cookie,
    /// A query parameter, name and value decoded.
    Param,
}

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Keep,
    Value(Vec<u8>),
    Name(String),
    Remove,
}

/// What an edit does.
#[derive(Clone, Debug)]
pub enum How {
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
pub struct Edit {
    place: Place,
    name: String,
    how: How,
}

impl Edit {
    /// An edit of the fields under `name`, which is a valid one for its place.
    #[must_use]
    pub fn new(place: Place, name: impl Into<String>, how: How) -> Self {
        Self { place, name: name.into(), how }
    }

    /// Whether it can change the Host of a request.
    #[must_use]
    pub fn touches_host(&self) -> bool {
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let renamed = matches!(&self.how, How::Rename(to) if is_host(to));
        self.place == Place::Header && (renamed || (is_host(&self.name) && !matches!(self.how, How::Remove)))
    }

    /// Whether it gives every request that it sees its Host.
    #[must_use]
    pub fn sets_host(&self) -> bool {
        self.touches_host() && matches!(self.how, How::Set(_) | How::Add(_))
    }

    /// Edits the request.
    pub fn apply(&self, request: &mut Request, context: &mut Context) {
        let is_new = matches!(self.how, How::Set(_) | How::Add(_));
        if !is_new && !self.is_in(request, context) {
            return;
        }
        let changed = match &self.how {
            How::Set(value) => {
                let value = self.safe(value.value(request, context));
                self.set(request, &value);
                1
            }
            How::Add(value) => {
                let value = self.safe(value.value(request, context));
                self.append(request, &value);
                1
            }
            How::Remove => self.each(request, &mut |_| Change::Remove),
            How::Rename(to) => self.each(request, &mut |_| Change::Name(to.clone())),
            How::Replace(regex, with) => self.replace(request, context, regex, with),
        };
        if changed > 0 {
            self.tell(request, context);
        }
    }

    /// Whether there is something to edit.
    pub(super) fn is_in(&self, request: &Request, context: &Context) -> bool {
        self.any(request, context, |_| true)
    }

    /// Whether one of the values is like this.
    fn any(&self, request: &Request, context: &Context, like: impl Fn(&[u8]) -> bool) -> bool {
        let fields = context.fields(request);
        match self.place {
            Place::Header => fields.get_all(&self.name).any(like),
            Place::Cookie => fields
                .get_all("cookie")
                .flat_map(cookies::cookies)
                .any(|(name, value)| name == self.name.as_bytes() && like(value)),
            Place::Param => {
                params::values(context.path_and_query(request), &self.name).any(|value| like(value.as_bytes()))
            }
        }
    }

    /// Keeps what the context knows true.
    pub(super) fn tell(&self, request: &Request, context: &mut Context) {
        match self.place {
            Place::Param => context.target_changed(request),
            Place::Header | Place::Cookie => context.head_changed(request),
        }
        context.host_set |= self.touches_host();
    }

    /// Offers each value to `change`; says how many there were.
    pub(super) fn each(&self, request: &mut Request, change: &mut dyn FnMut(&[u8]) -> Change) -> usize {
        match self.place {
            Place::Header => request.head.edit_lines(&self.name, |value| match change(value) {
                Change::Keep => LineEdit::Keep,
                Change::Value(value) => LineEdit::Value(value),
                Change::Name(name) => LineEdit::Name(name),
                Change::Remove => LineEdit::Remove,
            }),
            Place::Cookie => cookies::edit(&mut request.head, &self.name, change),
            Place::Param => params::edit(request, &self.name, change),
        }
    }

    fn set(&self, request: &mut Request, value: &[u8]) {
        if self.place == Place::Header {
            request.head.set(&self.name, value);
            return;
        }
        // Servers disagree on which of two of one name counts, so all get the value.
        if self.each(request, &mut |_| Change::Value(value.to_vec())) == 0 {
            self.append(request, value);
        }
    }

    fn append(&self, request: &mut Request, value: &[u8]) {
        match self.place {
            Place::Header => request.head.append(&self.name, value),
            Place::Cookie => cookies::append(&mut request.head, &self.name, value),
            Place::Param => params::append(request, &self.name, value),
        }
    }

    fn replace(&self, request: &mut Request, context: &Context, regex: &Regex, with: &Template) -> usize {
        if !self.any(request, context, |value| regex.is_match(value)) {
            return 0;
        }
        let with = with.resolved(request, context);
        self.each(request, &mut |value| match with.replace(regex, value) {
            Some(new) => Change::Value(self.safe(new)),
            None => Change::Keep,
        })
    }

    /// The value without bytes that would end it where it stands. Parameters are encoded instead.
    pub(super) fn safe(&self, mut value: Vec<u8>) -> Vec<u8> {
        match self.place {
            Place::Header => value.retain(|byte| !byte.is_ascii_control() || *byte == b'\t'),
            Place::Cookie => value.retain(|byte| !byte.is_ascii_control() && *byte != b';'),
            Place::Param => {}
        }
        value
    }
}
