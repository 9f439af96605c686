//! What an edit makes of one value, be it of a header, a cookie or a parameter.

/// Change to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueChange {
    Keep,
    Value(Vec<u8>),
    Name(String),
    Remove,
}
