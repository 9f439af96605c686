//! Common parts of the small languages of ramp and guard: parts, times, and errors with their position.

use std::fmt;
use std::time::Duration;

use crate::quantity;

/// Longest time in a ramp or a guard: a day.
const MAX_TIME: Duration = Duration::from_secs(86_400);

/// Error of a typed ramp or guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// Typed text, whole.
    pub typed: String,
    /// The character at which the mistake is, from 1.
    pub at: usize,
    /// Fault at that position.
    pub why: String,
    /// Example of the right form.
    pub example: &'static str,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { typed, at, why, example } = self;
        write!(f, "`{typed}`, at character {at}: {why}; write such as '{example}'")
    }
}

impl std::error::Error for SpecError {}

/// A piece of what was typed, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpecPart<'a> {
    pub(super) text: &'a str,
    /// Characters before it.
    at: usize,
}

impl<'a> SpecPart<'a> {
    /// Returns the whole typed text as one part.
    pub(super) const fn whole(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Its parts between commas.
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(',').map(move |text| {
            let part = Self { text, at };
            at += text.chars().count() + 1;
            part.trimmed()
        })
    }

    /// Splits the part at the first `mark`.
    pub(super) fn split(self, mark: &str) -> Option<(Self, Self)> {
        let (before, after) = self.text.split_once(mark)?;
        let skipped = before.chars().count() + mark.chars().count();
        let after = Self { text: after, at: self.at + skipped };
        Some((Self { text: before, at: self.at }.trimmed(), after.trimmed()))
    }

    /// Returns the rest after `start`; `None` where the part does not begin with it.
    pub(super) fn after(self, start: &str) -> Option<Self> {
        let text = self.text.strip_prefix(start)?;
        Some(Self { text, at: self.at + start.chars().count() })
    }

    fn trimmed(self) -> Self {
        let text = self.text.trim_start();
        let at = self.at + self.text.chars().count() - text.chars().count();
        Self { text: text.trim_end(), at }
    }

    /// The mistake that is here.
    pub(super) fn wrong(self, whole: &str, why: impl Into<String>, example: &'static str) -> SpecError {
        SpecError { typed: whole.to_owned(), at: self.at + 1, why: why.into(), example }
    }
}

/// A length of time from a millisecond to a day.
pub(super) fn time(piece: SpecPart<'_>) -> Result<Duration, String> {
    let typed = piece.text;
    let time = quantity::duration(typed)
        .ok_or_else(|| format!("`{typed}` is no length of time, a number and a unit (ms, s, m, h)"))?;
    if !(Duration::from_millis(1)..=MAX_TIME).contains(&time) {
        return Err(format!("`{typed}`: a time lies between 1ms and a day"));
    }
    Ok(time)
}

/// A length of time, as it is best typed.
pub(super) fn format_time(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        _ if millis >= 3_600_000 && millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis >= 60_000 && millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis >= 1000 => format!("{}s", millis as f64 / 1000.0),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for (typed, millis) in [("800ms", 800), ("10s", 10_000), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000)] {
            let read = time(SpecPart::whole(typed)).unwrap();
            assert_eq!((read.as_millis(), format_time(read).as_str()), (millis, typed));
        }
        for typed in ["", "10", "s", "1e3s", "-1s", "0s", "25h", "infs"] {
            assert!(time(SpecPart::whole(typed)).is_err(), "{typed}");
        }
    }

    #[test]
    fn pieces_know_where_they_are_in_characters() {
        let whole = SpecPart::whole("größe>1, b:2");
        let second = whole.parts().nth(1).unwrap();
        assert_eq!(second.wrong("w", "why", "x").at, 10);
        let (_, value) = second.split(":").unwrap();
        assert_eq!((value.text, value.wrong("w", "why", "x").at), ("2", 12));
    }
}
