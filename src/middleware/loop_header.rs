//! The header line by which shadowtap knows its own traffic, so that a shadow is never shadowed again.
//!
//! A request that carries the line on the wire was sent by a shadowtap, this one or another: it ends here. What is
//! sent gets the line.

use std::fmt;
use std::str::FromStr;

use super::name_value;
use crate::exchange::{Outcome, Request};

/// The rule under which marked requests end.
pub(crate) const MARK: &str = "mark";
/// Name of the header line where none is given.
pub(crate) const DEFAULT_NAME: &str = "x-shadowtap";

/// A header line that marks what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopHeader {
    name: String,
    value: Option<String>,
}

impl Default for LoopHeader {
    fn default() -> Self {
        Self { name: DEFAULT_NAME.to_owned(), value: None }
    }
}

impl LoopHeader {
    /// The header's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same mark, which says `run` where no other value was asked for.
    #[must_use]
    pub fn of_run(self, run: &str) -> Self {
        Self { value: Some(self.value.unwrap_or_else(|| run.to_owned())), ..self }
    }

    /// Ends a request that a shadowtap sent.
    ///
    /// # Errors
    ///
    /// How the request ended, where a shadowtap sent it.
    pub fn check(&self, request: &Request) -> Result<(), Outcome> {
        if request.head.get(&self.name).is_some() { Err(Outcome::filtered(MARK)) } else { Ok(()) }
    }

    /// Marks a request that will be sent; a copy of a session says which one it is after the value, `5e1f+1`.
    pub fn put(&self, request: &mut Request) {
        let value = self.value.as_deref().unwrap_or("1");
        match request.id.copy {
            0 => request.head.set(&self.name, value.as_bytes()),
            copy => request.head.set(&self.name, format!("{value}+{copy}").as_bytes()),
        }
    }
}

/// Reason why a typed text is not a mark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` is no header: write a name such as x-shadowtap, or a whole line such as 'x-shadowtap: rehearsal'")]
pub struct LoopHeaderError {
    typed: String,
}

/// `name`, or `name: value`.
impl FromStr for LoopHeader {
    type Err = LoopHeaderError;

    fn from_str(typed: &str) -> Result<Self, LoopHeaderError> {
        let error = || LoopHeaderError { typed: typed.to_owned() };
        if typed.contains(':') {
            let (name, value) = name_value::header_pair(typed).map_err(|_| error())?;
            return Ok(Self { name, value: Some(value) });
        }
        let name = name_value::header_name(typed.trim()).map_err(|_| error())?;
        Ok(Self { name, value: None })
    }
}

/// As it is sent.
impl fmt::Display for LoopHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value.as_deref().unwrap_or("1"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn what_carries_the_mark_ends_whatever_its_value_and_case() {
        let mark = LoopHeader::default().of_run("5e1f");
        let mut request = testing::request(1, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(mark.check(&request), Ok(()));
        mark.put(&mut request);
        assert_eq!(request.head.get("x-shadowtap"), Some(&b"5e1f"[..]));
        assert_eq!(mark.check(&request), Err(Outcome::filtered(MARK)));
        request.id.copy = 2;
        mark.put(&mut request);
        assert_eq!(request.head.get("x-shadowtap"), Some(&b"5e1f+2"[..]), "a copy says which one it is");
        let other = testing::request(1, "GET / HTTP/1.1\r\nX-ShadowTap: another\r\n\r\n");
        assert_eq!(mark.check(&other), Err(Outcome::filtered(MARK)));
    }

    #[test]
    fn a_mark_is_a_name_or_a_whole_line() {
        assert_eq!("X-Mine".parse::<LoopHeader>().unwrap().of_run("r").to_string(), "X-Mine: r");
        assert_eq!("X-Mine: fixed".parse::<LoopHeader>().unwrap().of_run("r").to_string(), "X-Mine: fixed");
        for typed in ["", "a b", ": x", "a\r\nb: c"] {
            assert!(typed.parse::<LoopHeader>().is_err(), "{typed:?}");
        }
    }
}
