//! What the value of a field looks like, as far as that is seen at once.

use super::meaning::Meaning;
use super::time::TimeMemo;

/// Shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueShape {
    Any,
    Status,
    Port,
    /// One word.
    Address,
    Time,
    /// A length of time, or several.
    Took,
}

impl ValueShape {
    pub(super) const fn of(meaning: &Meaning) -> Self {
        match meaning {
            Meaning::Status => Self::Status,
            Meaning::ClientPort => Self::Port,
            Meaning::Client => Self::Address,
            Meaning::Time { .. } => Self::Time,
            Meaning::Took(..) => Self::Took,
            _ => Self::Any,
        }
    }

    /// Returns whether a value may be of this shape.
    #[inline]
    pub(super) fn fits(self, value: &[u8], times: &mut TimeMemo) -> bool {
        let digits = |value: &[u8]| value.iter().all(u8::is_ascii_digit);
        match self {
            Self::Any => true,
            Self::Status => matches!(value, b"-" | b"-1" | b"") || (value.len() <= 3 && digits(value)),
            Self::Port => !value.is_empty() && (value == b"-" || digits(value)),
            Self::Address => !value.is_empty() && !value.contains(&b' '),
            Self::Time => times.time(value).is_some(),
            Self::Took => {
                value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b',' | b':' | b' '))
            }
        }
    }
}
