//! Ids of connections and exchanges.

use std::fmt;

use super::ParseValueError;

/// A TCP connection: counted from 1, in the order of first frames after `-f` and `-p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request and its response on one connection: `17.3` is the third exchange of connection 17.
///
/// The same capture gives the same ids. A second pass of a loop is `17.3@2`, an amplified copy `17.3+1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId {
    /// The connection that carried it.
    pub connection: ConnectionId,
    /// Its place on that connection, from 1.
    pub index: u32,
    /// Pass over the capture that sent it, from 1.
    pub pass: u32,
    /// Copy of the session that it belongs to; 0 is the original.
    pub copy: u32,
}

impl ExchangeId {
    /// Connections from this number on were never captured: an external middleware made up their requests. No capture
    /// has as many.
    pub(crate) const FIRST_MADE_UP: ConnectionId = ConnectionId(1 << 48);

    /// Returns whether it was made up by an external middleware rather than captured.
    #[must_use]
    pub(crate) fn is_made_up(self) -> bool {
        self.connection >= Self::FIRST_MADE_UP
    }

    /// The exchange as it was captured: first pass, no copy.
    #[must_use]
    pub const fn new(connection: ConnectionId, index: u32) -> Self {
        Self { connection, index, pass: 1, copy: 0 }
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connection, self.index)?;
        if self.pass > 1 {
            write!(f, "@{}", self.pass)?;
        }
        if self.copy > 0 {
            write!(f, "+{}", self.copy)?;
        }
        Ok(())
    }
}

/// As it is displayed.
impl std::str::FromStr for ExchangeId {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Self, ParseValueError> {
        let (rest, copy) = text.split_once('+').unwrap_or((text, "0"));
        let (rest, pass) = rest.split_once('@').unwrap_or((rest, "1"));
        let parts = || {
            let (connection, index) = rest.split_once('.')?;
            let connection = ConnectionId(connection.parse().ok()?);
            Some(Self { connection, index: index.parse().ok()?, pass: pass.parse().ok()?, copy: copy.parse().ok()? })
        };
        parts().ok_or(ParseValueError("the id of an exchange such as 17.3"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_pass_and_copy_only_where_there_are_any() {
        let mut id = ExchangeId::new(ConnectionId(17), 3);
        assert_eq!(id.to_string(), "17.3");
        id.pass = 2;
        assert_eq!(id.to_string(), "17.3@2");
        id.copy = 1;
        assert_eq!(id.to_string(), "17.3@2+1");
        for text in ["17.3", "17.3@2", "17.3+1", "17.3@2+1"] {
            assert_eq!(text.parse::<ExchangeId>().unwrap().to_string(), text);
        }
        assert_eq!("17".parse::<ExchangeId>().unwrap_err().to_string(), "not the id of an exchange such as 17.3");
    }
}
