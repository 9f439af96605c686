//! Dates as they stand in HTTP, in whatever form: clients read those of cookies leniently, and so does this (RFC 6265, 5.1.1).

use jiff::civil::Date;
use jiff::tz::Offset;

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
/// Earliest year that is one.
const FIRST_YEAR: i16 = 1601;

/// Unix time of a date; `None` where it is none. What it says of its time zone does not count: it is UTC.
pub(crate) fn http_seconds(date: &[u8]) -> Option<i64> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in date.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        // Each token is the first of these that it can be, and that was not there yet.
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some((found, 1..=2, _)) = number(token)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some((found, 2..=4, _)) = number(token)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    let [hour, minute, second] = time?;
    let date = Date::new(year, month?, i8::try_from(day?).ok()?).ok().filter(|date| date.year() >= FIRST_YEAR)?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let at = is_time.then(|| date.at(hour, minute, second, 0))?;
    Offset::UTC.to_timestamp(at).ok().map(jiff::Timestamp::as_second)
}

const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'/' | b';'..=b'@' | b'['..=b'`' | b'{'..=b'~')
}

/// The digits at the beginning: their value, how many they are, and what follows.
fn number(token: &[u8]) -> Option<(i16, usize, &[u8])> {
    let digits = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = token.split_at_checked(digits)?;
    // More than four are no part of a date.
    let value = number
        .iter()
        .take(5)
        .try_fold(0_i16, |value, digit| value.checked_mul(10)?.checked_add(i16::from(digit - b'0')));
    Some((value?, digits, rest))
}

/// Hours, minutes and seconds, of one or two digits each; whatever follows.
fn time_of(token: &[u8]) -> Option<[i8; 3]> {
    let (hour, 1..=2, rest) = number(token)? else { return None };
    let (minute, 1..=2, rest) = number(rest.strip_prefix(b":")?)? else { return None };
    let (second, 1..=2, _) = number(rest.strip_prefix(b":")?)? else { return None };
    Some([i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, i8::try_from(second).ok()?])
}

fn month_of(token: &[u8]) -> Option<i8> {
    let begins = token.get(..3)?;
    (1..).zip(MONTHS).find(|(_, name)| begins.eq_ignore_ascii_case(name)).map(|(month, _)| month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_each_form_that_clients_read() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 8:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06-Nov-1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37",
            "Mon, 06 NOVEMBER 1994 08:49:37 gmt",
            "06 Nov 1994 08:49:37 +0100",
            "\"Sun, 06 Nov 1994 08:49:37 GMT\"",
            "Sun Nov 06 1994 08:49:37 GMT+0000 (Coordinated Universal Time)",
            "1994 6th Nov 08:49:37z",
        ] {
            assert_eq!(http_seconds(date.as_bytes()), Some(784_111_777), "{date}");
        }
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("01-Jan-70 00:00:01 GMT", 1),
            ("31 Dec 69 23:59:59", 3_155_759_999),
            ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800),
            ("Mon, 01 Jan 0001 00:00:00 GMT", 978_307_200),
        ] {
            assert_eq!(http_seconds(date.as_bytes()), Some(seconds), "{date}");
        }
    }

    #[test]
    fn what_is_no_date_has_no_time() {
        for date in [
            "",
            "0",
            "-1",
            "Session",
            "Sun, 06 Nov 1994",
            "08:49:37 Nov 1994",
            "Sun, 31 Feb 2026 10:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 06 Nov 1600 08:49:37 GMT",
            "Sun, 06 Nov 19940 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            "Sun, 06 Nov 1994 008:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(http_seconds(date.as_bytes()), None, "{date}");
        }
        assert_eq!(http_seconds(b"\xff\x00:\xfe"), None);
    }
}
