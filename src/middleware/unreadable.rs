//! Reasons for unreadable bodies, and the actions on them.

use std::fmt;

/// Action on an unreadable body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknown {
    /// The body is emptied, and the message passes.
    #[default]
    DropBody,
    /// The message is dropped with it.
    Drop,
    /// It stays as it is.
    Keep,
}

impl OnUnknown {
    /// Every value, as it is typed.
    pub const ALL: [(&'static str, Self); 3] =
        [("drop-body", Self::DropBody), ("drop", Self::Drop), ("keep", Self::Keep)];
}

/// Reason why a body is unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Its content coding is not known, or what is under it is not what it says.
    Coding,
    /// It is longer than [`super::redact::MAX_DECODED`] without its content coding.
    TooLong,
    /// It should be JSON, and is not.
    NotJson,
    /// It should be multipart, and is not.
    NotMultipart,
    /// It is in a character set that is not read.
    Charset,
    /// It is of a type that is not read.
    Type,
}

impl Unreadable {
    /// Number of reasons.
    pub(crate) const COUNT: usize = 6;
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coding => "its content coding cannot be taken off",
            Self::TooLong => "it is too long without its content coding",
            Self::NotJson => "it is not the JSON that it says or seems to be",
            Self::NotMultipart => "it is not the multipart that it says it is",
            Self::Charset => "its character set is not read",
            Self::Type => "its type is not read",
        })
    }
}
