//! Id of a message. Scripts pass it through unchanged, and it identifies the exchange.

use std::fmt;

use crate::exchange::{ConnectionId, ExchangeId};

/// Longest id that is taken from a process, in bytes; a line with a longer one is none of ours, and garbage.
const MAX_ID_BYTES: usize = 256;

/// The second field of a message.
///
/// Ours are the connection in sixteen hex digits and the place on it in eight: 24 in all, of which the first sixteen
/// are the connection's, as with GoReplay. Further passes and copies have another sixteen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MessageId(Box<[u8]>);

impl MessageId {
    /// Returns the id of an exchange.
    #[must_use]
    pub(crate) fn of(id: ExchangeId) -> Self {
        let ExchangeId { connection: ConnectionId(connection), index, pass, copy } = id;
        let text = match (pass, copy) {
            (1, 0) => format!("{connection:016x}{index:08x}"),
            _ => format!("{connection:016x}{index:08x}{pass:08x}{copy:08x}"),
        };
        Self(text.into_bytes().into())
    }

    /// An id that a process made up, or gave back; `None` where none can be this long or empty.
    pub(super) fn said(bytes: &[u8]) -> Option<Self> {
        (1..=MAX_ID_BYTES).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// Its bytes.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The exchange that is called so; `None` where no exchange ever is.
    #[must_use]
    pub(crate) fn exchange(&self) -> Option<ExchangeId> {
        let (connection, rest) = self.0.split_at_checked(16)?;
        let (index, rest) = rest.split_at_checked(8)?;
        let id = ExchangeId::new(ConnectionId(number(connection)?), short(index)?);
        let id = match rest.split_at_checked(8) {
            Some((pass, copy)) if copy.len() == 8 => ExchangeId { pass: short(pass)?, copy: short(copy)?, ..id },
            _ if rest.is_empty() => id,
            _ => return None,
        };
        // Only as we write it.
        (Self::of(id) == *self).then_some(id)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

fn number(hex: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

fn short(hex: &[u8]) -> Option<u32> {
    u32::try_from(number(hex)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_known_by_what_it_is_called() {
        let first = ExchangeId::new(ConnectionId(17), 3);
        assert_eq!(MessageId::of(first).to_string(), "000000000000001100000003");
        let ids = [
            first,
            ExchangeId { pass: 2, ..first },
            ExchangeId { copy: 1, ..first },
            ExchangeId::new(ConnectionId(u64::MAX), u32::MAX),
        ];
        for id in ids {
            assert_eq!(MessageId::of(id).exchange(), Some(id));
        }
    }

    #[test]
    fn no_exchange_is_called_anything_else() {
        for text in ["", "1", "00000000000000110000000", "0000000000000011000000030", "+00000000000001100000003"] {
            assert_eq!(MessageId(text.as_bytes().into()).exchange(), None, "{text}");
        }
        let capitals = MessageId(b"00000000000000AA00000003"[..].into());
        assert_eq!(capitals.exchange(), None, "only as we write it");
        assert_eq!(MessageId::said(b""), None);
        assert_eq!(MessageId::said(&[b'a'; MAX_ID_BYTES + 1]), None);
    }
}
