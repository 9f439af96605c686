//! Times as access logs write them, found by their shape.

use std::time::Duration;

use crate::exchange::Timestamp;

const SECOND: u64 = 1_000_000_000;

/// A time, and how exactly it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoggedTime {
    pub(super) at: Timestamp,
    /// True where it is given in whole seconds.
    pub(super) is_coarse: bool,
}

/// The time that was read last, and its second: a line's is asked for twice, and many lines of a second say the same.
#[derive(Debug, Default)]
pub(super) struct TimeMemo {
    last: LastTime,
    /// Without its fraction.
    second: LastTime,
}

impl TimeMemo {
    /// Reads a time as [`time`] does.
    pub(super) fn time(&mut self, text: &[u8]) -> Option<LoggedTime> {
        let second = &mut self.second;
        self.last.of(text, |text| with_fraction(text, second))
    }
}

/// A text, and the time that it says.
#[derive(Debug, Default)]
struct LastTime {
    text: Vec<u8>,
    time: Option<LoggedTime>,
}

impl LastTime {
    /// The time that a text says: read, unless it is the same as before.
    fn of(&mut self, text: &[u8], read: impl FnOnce(&[u8]) -> Option<LoggedTime>) -> Option<LoggedTime> {
        if self.text != text {
            self.time = read(text);
            self.text.clear();
            self.text.extend_from_slice(text);
        }
        self.time
    }
}

fn with_fraction(text: &[u8], last: &mut LastTime) -> Option<LoggedTime> {
    // A clock with digits behind the point, and no zone.
    if let Some((second, digits)) = text.iter().rposition(|byte| *byte == b'.').and_then(|at| text.split_at_checked(at))
        && let [b'.', digits @ ..] = digits
        && matches!(second, [.., b':', _, _, b':', b'0'..=b'9', b'0'..=b'9'])
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit)
    {
        let at = last.of(second, time)?.at.plus(Duration::from_nanos(fraction(digits)?));
        return Some(LoggedTime { at, is_coarse: false });
    }
    time(text)
}

/// Reads a time: `10/Oct/2000:13:55:36 -0700`, `06/Feb/2009:12:14:14.655`, RFC 3339, or the time since 1970 in seconds,
/// milliseconds, microseconds or nanoseconds. One without a zone is in UTC.
pub(super) fn time(text: &[u8]) -> Option<LoggedTime> {
    match text {
        [b'0'..=b'9', b'0'..=b'9', b'/', ..] => common(text),
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => iso(text),
        _ => epoch(text),
    }
}

/// `10/Oct/2000:13:55:36 -0700`, with a fraction or without, with a zone or without.
fn common(text: &[u8]) -> Option<LoggedTime> {
    let (day, rest) = (number(text.get(..2)?)?, text.get(2..)?);
    let [b'/', month @ ..] = rest else { return None };
    let (month, rest) = (month_of(month.get(..3)?)?, month.get(3..)?);
    let [b'/', rest @ ..] = rest else { return None };
    let year = number(rest.get(..4)?)?;
    let [b':', clock @ ..] = rest.get(4..)? else { return None };
    of_parts((year, month, day), clock)
}

/// `2026-11-21T20:15:00.123+01:00`, with a blank in place of the `T`, too.
fn iso(text: &[u8]) -> Option<LoggedTime> {
    let year = number(text.get(..4)?)?;
    let (month, day) = (number(text.get(5..7)?)?, number(text.get(8..10)?)?);
    let (b'-', b'T' | b't' | b' ') = (*text.get(7)?, *text.get(10)?) else { return None };
    of_parts((year, month, day), text.get(11..)?)
}

/// `13:55:36`, a fraction, a zone.
fn of_parts((year, month, day): (u64, u64, u64), clock: &[u8]) -> Option<LoggedTime> {
    let (hour, minute, second) = (number(clock.get(..2)?)?, number(clock.get(3..5)?)?, number(clock.get(6..8)?)?);
    let separated = clock.get(2) == Some(&b':') && clock.get(5) == Some(&b':');
    let valid = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !separated || !valid {
        return None;
    }
    let rest = clock.get(8..)?;
    let (nanos, rest) = match rest {
        [b'.' | b',', digits @ ..] => {
            let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction(digits.get(..len)?)?, digits.get(len..)?)
        }
        _ => (0, rest),
    };
    let is_coarse = rest.len() == clock.len() - 8;
    let local = days(year, month, day)?.checked_mul(86_400)? + hour * 3600 + minute * 60 + second;
    let seconds = local.checked_add_signed(-zone(rest)?)?;
    Some(LoggedTime { at: instant(seconds, nanos)?, is_coarse })
}

/// Returns the offset from UTC in seconds: of ` -0700`, `+01:00`, `Z`, or nothing.
fn zone(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, digits) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [_, _] => (digits, &b"00"[..]),
        [_, _, b':', minutes @ ..] | [_, _, minutes @ ..] => (digits.get(..2)?, minutes),
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * i64::try_from(hours * 3600 + minutes * 60).ok()?)
}

/// A count since 1970; its length says of what.
fn epoch(text: &[u8]) -> Option<LoggedTime> {
    let whole = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let count = number(text.get(..whole)?)?;
    let unit = match whole {
        0 => return None,
        1..=11 => SECOND,
        12..=14 => 1_000_000,
        15..=17 => 1000,
        _ => 1,
    };
    let part = match text.get(whole..)? {
        [] => 0,
        [b'.', digits @ ..] => fraction(digits)? / (SECOND / unit),
        _ => return None,
    };
    let is_coarse = unit == SECOND && whole == text.len();
    Some(LoggedTime { at: Timestamp::from_nanos(count.checked_mul(unit)?.checked_add(part)?), is_coarse })
}

/// Returns the nanoseconds that the digits after a decimal point stand for; those past the ninth say nothing.
fn fraction(digits: &[u8]) -> Option<u64> {
    let mut nanos = 0;
    for place in 0..9 {
        nanos *= 10;
        match digits.get(place) {
            Some(digit @ b'0'..=b'9') => nanos += u64::from(digit - b'0'),
            Some(_) => return None,
            None => {}
        }
    }
    Some(nanos)
}

/// A number of decimal digits alone.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    /// So many digits are no overflow.
    const SURE: usize = 19;
    if digits.is_empty() {
        return None;
    }
    let value = |digit: &u8| Some(digit.wrapping_sub(b'0')).filter(|value| *value < 10).map(u64::from);
    if digits.len() <= SURE {
        return digits.iter().try_fold(0, |sum, digit| Some(sum * 10 + value(digit)?));
    }
    digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(value(digit)?))
}

fn instant(seconds: u64, nanos: u64) -> Option<Timestamp> {
    seconds.checked_mul(SECOND)?.checked_add(nanos).map(Timestamp::from_nanos)
}

/// Returns the days since 1970-01-01 (days from civil, by Howard Hinnant). Years before are none.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn month_of(name: &[u8]) -> Option<u64> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let found = NAMES.chunks_exact(3).position(|known| known.eq_ignore_ascii_case(name))?;
    Some(found as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, is_coarse: bool) {
        let found = time(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        assert_eq!((found.at.to_string().as_str(), found.is_coarse), (expected, is_coarse), "{text}");
        let mut memo = TimeMemo::default();
        let twice = [memo.time(text.as_bytes()), memo.time(text.as_bytes())];
        assert_eq!(twice, [Some(found); 2], "{text}");
    }

    #[test]
    fn times_of_every_server_are_read() {
        check("10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36.000000000Z", true);
        check("06/Feb/2009:12:14:14.655", "2009-02-06T12:14:14.655000000Z", false);
        check("06/Feb/2009:12:14:14.655 +0100", "2009-02-06T11:14:14.655000000Z", false);
        check("29/Feb/2024:23:59:60 +0000", "2024-03-01T00:00:00.000000000Z", true);
        check("2026-11-21T20:15:00+01:00", "2026-11-21T19:15:00.000000000Z", true);
        check("2026-11-21 20:15:00,25", "2026-11-21T20:15:00.250000000Z", false);
        check("2026-11-21T20:15:00.123456789Z", "2026-11-21T20:15:00.123456789Z", false);
        check("1795291200", "2026-11-21T20:00:00.000000000Z", true);
        check("1795291200.25", "2026-11-21T20:00:00.250000000Z", false);
        check("1795291200250", "2026-11-21T20:00:00.250000000Z", false);
        check("1795291200250.5", "2026-11-21T20:00:00.250500000Z", false);
        check("1795291200250000", "2026-11-21T20:00:00.250000000Z", false);
        check("1795291200250000000", "2026-11-21T20:00:00.250000000Z", false);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "-",
            "noon",
            "10/Okt/2000:13:55:36",
            "10/Oct/2000",
            "10/Oct/2000:25:00:00",
            "30/Feb/2024:12:00:00",
            "29/Feb/2025:12:00:00",
            "29/Feb/2100:12:00:00",
            "2026-11-31T12:00:00",
            "2026-13-01T00:00:00",
            "2026-11-21T20:15",
            "1969-12-31T23:59:59Z",
            "1.2.3",
            "99999999999999999999999",
            "10/Oct/2000:13:55:36 UTC",
            "10/Oct/2000:13:55:36 +9999",
            "10/Oct/2000:13:55:36 -07:00.5",
            "10/Oct/2000:13:55:36.5.5",
        ] {
            assert_eq!(time(text.as_bytes()), None, "{text}");
            assert_eq!(TimeMemo::default().time(text.as_bytes()), None, "{text}");
        }
    }
}
