//! The capture's clock.

use std::fmt;
use std::time::Duration;

use super::ParseValueError;

/// An instant on the capture's clock: nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero where `earlier` is in fact later (captures do that).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved by `by`, stopping at the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 in UTC with nine decimals, e.g. `2026-11-21T20:15:00.000000001Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digits and ASCII punctuation.
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl Timestamp {
    /// The instant as RFC 3339 has it, with nine decimals: ASCII.
    pub(crate) fn text(self) -> [u8; 30] {
        let seconds = i64::try_from(self.0 / 1_000_000_000).unwrap_or(i64::MAX);
        let nanos = self.0 % 1_000_000_000;
        // u64 nanoseconds end in the year 2554, well inside jiff's range.
        let whole = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let civil = jiff::tz::Offset::UTC.to_datetime(whole);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let year = u64::try_from(civil.year()).unwrap_or_default();
        let field = |number: i8| u64::try_from(number).unwrap_or_default();
        for (number, range) in [
            (year, 0..4),
            (field(civil.month()), 5..7),
            (field(civil.day()), 8..10),
            (field(civil.hour()), 11..13),
            (field(civil.minute()), 14..16),
            (field(civil.second()), 17..19),
            (nanos, 20..29),
        ] {
            put_digits(text.get_mut(range).unwrap_or_default(), number);
        }
        text
    }
}

/// Writes the lowest digits of a number in all of `places`. Every line of an exchange has several times: `write!` takes
/// longer for them than the rest of the line does.
fn put_digits(places: &mut [u8], mut number: u64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// RFC 3339, in whichever zone, from 1970 on.
impl std::str::FromStr for Timestamp {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Self, ParseValueError> {
        let error = ParseValueError("an instant such as 2026-11-21T20:15:00.000000001Z");
        let instant: jiff::Timestamp = text.parse().map_err(|_| error)?;
        u64::try_from(instant.as_nanosecond()).map(Self).map_err(|_| error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339_with_nine_decimals() {
        assert_eq!(Timestamp::from_nanos(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(Timestamp::from_nanos(1_795_291_200_000_000_007).to_string(), "2026-11-21T20:00:00.000000007Z");
        assert!(Timestamp::from_nanos(u64::MAX).to_string().starts_with("2554-"));
        for nanos in [0, 1_795_291_200_000_000_007, u64::MAX] {
            let at = Timestamp::from_nanos(nanos);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        assert!("1969-12-31T23:59:59Z".parse::<Timestamp>().is_err());
    }
}
