//! Times moved by the distance between the capture and now: as they are written, they stay.

use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp as Instant};

use super::super::http_date::http_seconds;
use crate::exchange::Timestamp;

/// Bytes of a date and time without what follows the seconds.
const TO_SECONDS: usize = 19;
/// Longest text that is taken for a time.
const MAX_TIME: usize = 64;

/// The time that `text` is, as far from `now` as it was from when it was `captured`; `None` where it is no time: Unix
/// time in seconds or parts of them, RFC 3339, or as in HTTP.
pub(crate) fn shifted(text: &[u8], captured: Timestamp, now: Timestamp) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_TIME)?;
    let by = i128::from(now.nanos()) - i128::from(captured.nanos());
    let new = unix(text, by).or_else(|| rfc3339(text, by)).or_else(|| http_date(text, by))?;
    Some(new.into_bytes())
}

/// Nanoseconds of the last digit of a whole Unix time of so many digits: from 2001 to 2286.
const fn unit(digits: usize) -> Option<i128> {
    match digits {
        10 => Some(1_000_000_000),
        13 => Some(1_000_000),
        16 => Some(1_000),
        19 => Some(1),
        _ => None,
    }
}

/// `1796688000`, `1796688000123`, `1796688000.25`.
fn unix(text: &str, by: i128) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || (whole.len() + 1 == text.len()) {
        return None;
    }
    let unit = unit(whole.len())?;
    if fraction.is_empty() {
        return Some((whole.parse::<i128>().ok()? + by.div_euclid(unit)).to_string());
    }
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let parts = 10_i128.pow(digits);
    let old = whole.parse::<i128>().ok()? * parts + fraction.parse::<i128>().ok()?;
    let new = old + (by * parts).div_euclid(unit);
    Some(format!("{}.{:0width$}", new.div_euclid(parts), new.rem_euclid(parts), width = fraction.len()))
}

/// `2026-11-30T00:00:00.000Z`, with any offset, and a blank in place of the `T`.
fn rfc3339(text: &str, by: i128) -> Option<String> {
    let (date, rest) = text.split_at_checked(TO_SECONDS)?;
    let between = date.get(10..11).filter(|between| matches!(*between, "T" | "t" | " "))?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, offset) = rest.split_at_checked(if digits > 0 { digits + 1 } else { 0 })?;
    let is_offset = match offset.as_bytes() {
        b"Z" | b"z" | b"" => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    if !is_offset || digits > 9 {
        return None;
    }
    let nanos = format!("{:0<9}", fraction.trim_start_matches('.')).parse::<i32>().ok()?;
    let old = date.replace([' ', 't'], "T").parse::<DateTime>().ok()?.with().subsec_nanosecond(nanos).build().ok()?;
    let new = old.checked_add(SignedDuration::from_nanos_i128(by)).ok()?;
    let mut shown = format!("{}{between}{}", new.strftime("%Y-%m-%d"), new.strftime("%H:%M:%S"));
    if digits > 0 {
        let nanos = format!("{:09}", new.subsec_nanosecond());
        shown.push('.');
        shown.push_str(nanos.get(..digits)?);
    }
    Some(shown + offset)
}

/// `Mon, 30 Nov 2026 00:00:00 GMT` (RFC 9110, 5.6.7); in another form it would not stay as it is written.
fn http_date(text: &str, by: i128) -> Option<String> {
    let shown = |seconds| DateTimePrinter::new().timestamp_to_rfc9110_string(&Instant::from_second(seconds).ok()?).ok();
    let old = http_seconds(text.as_bytes()).filter(|seconds| shown(*seconds).as_deref() == Some(text))?;
    shown(i64::try_from(i128::from(old) + by.div_euclid(1_000_000_000)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_by_the_distance_and_keep_their_form() {
        let captured = Timestamp::from_nanos(1_796_600_000_000_000_000);
        let later = captured.plus(std::time::Duration::from_millis(90_061_500));
        for (old, new) in [
            ("1796600000", "1796690061"),
            ("1796600000123", "1796690061623"),
            ("1796600000.25", "1796690061.75"),
            ("1796600000.5", "1796690062.0"),
            ("1796600000000000000", "1796690061500000000"),
            ("2026-12-28T23:30:00Z", "2026-12-30T00:31:01Z"),
            ("2026-12-31 23:30:00.5+01:00", "2027-01-02 00:31:02.0+01:00"),
            ("2026-12-31T23:30:00.123456-05:30", "2027-01-02T00:31:01.623456-05:30"),
            ("Mon, 30 Nov 2026 00:00:00 GMT", "Tue, 01 Dec 2026 01:01:01 GMT"),
        ] {
            let text = shifted(old.as_bytes(), captured, later).map(|new| String::from_utf8(new).unwrap());
            assert_eq!(text.as_deref(), Some(new), "{old}");
            let back = shifted(new.as_bytes(), later, captured).map(|old| old.len());
            assert_eq!(back, Some(old.len()), "{new}");
        }
    }

    #[test]
    fn what_is_no_time_stays() {
        for text in [
            "",
            "12",
            "1796600000.",
            ".5",
            "1796600000.1234567890",
            "2026-13-01T00:00:00Z",
            "now",
            "2026-11-30T00:00:00+1",
            "Mon GMT",
            "Monday, 30-Nov-26 00:00:00 GMT",
            "on 30 Nov 2026 at 00:00:00 GMT",
            "\u{fc}",
        ] {
            assert_eq!(shifted(text.as_bytes(), Timestamp::default(), Timestamp::default()), None, "{text}");
        }
    }
}
