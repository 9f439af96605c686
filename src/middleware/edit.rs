//! One edit of header lines, cookies or query parameters: set, add, remove, rename, replace.
//!
//! In goes a request, out comes the same request with other fields; what no edit names keeps its bytes and its place.
//! A value can never break the message around it: bytes that would are left out, or encoded.

use regex::bytes::Regex;

use super::context::Names;
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
    /// Header lines that have to be there for there to be anything to do.
    needs: Names,
}

impl Edit {
    /// An edit of the fields under `name`, which is a valid one for its place.
    #[must_use]
    pub fn new(place: Place, name: impl Into<String>, how: How) -> Self {
        let name = name.into();
        let needs = match place {
            Place::Header => Names::one(name.as_bytes()),
            Place::Cookie | Place::Param => Names::one(b"cookie"),
        };
        Self { place, name, how, needs }
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
        if !is_new && !self.may_be_in(context) {
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

    /// Whether there may be something to edit.
    pub(super) fn may_be_in(&self, context: &Context) -> bool {
        self.place == Place::Param || context.may_have(self.needs)
    }

    /// Keeps what the context knows true.
    pub(super) fn tell(&self, request: &Request, context: &mut Context) {
        match self.place {
            Place::Header => {
                context.added(self.needs);
                if let How::Rename(to) = &self.how {
                    context.added(Names::one(to.as_bytes()));
                }
                context.host_set |= self.touches_host();
            }
            Place::Cookie => context.added(self.needs),
            Place::Param => context.path_changed(request),
        }
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
        if !self.any_matches(request, regex) {
            return 0;
        }
        let with = with.resolved(request, context);
        self.each(request, &mut |value| match with.replace(regex, value) {
            Some(new) => Change::Value(self.safe(new)),
            None => Change::Keep,
        })
    }

    fn any_matches(&self, request: &Request, regex: &Regex) -> bool {
        match self.place {
            Place::Header => request.head.get_all(&self.name).any(|value| regex.is_match(value)),
            Place::Cookie => request
                .head
                .get_all("cookie")
                .flat_map(cookies::cookies)
                .any(|(name, value)| name == self.name.as_bytes() && regex.is_match(value)),
            Place::Param => {
                params::values(request.path_and_query(), &self.name).any(|value| regex.is_match(value.as_bytes()))
            }
        }
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
