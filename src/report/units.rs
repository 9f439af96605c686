//! Numbers as people read them: thousands apart, three digits of a duration, units that fit.

/// A count with a comma between thousands: `1,204`.
#[must_use]
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five columns: `9,999`, then three significant digits in powers of 1000: `12.3k`, `1.20M`.
#[must_use]
pub fn short_number(n: u64) -> String {
    if n < 10_000 {
        return number(n);
    }
    bytes(n).trim_end_matches('B').to_owned()
}

/// A count and what is counted: `1 gap`, `2,000 gaps`, `2 deliveries`.
#[must_use]
pub fn counted(n: u64, what: &str) -> String {
    let is_vowel = |letter: char| "aeiou".contains(letter);
    match what.strip_suffix('y').filter(|stem| !stem.ends_with(is_vowel)) {
        _ if n == 1 => format!("1 {what}"),
        Some(stem) => format!("{} {stem}ies", number(n)),
        None => format!("{} {what}s", number(n)),
    }
}

/// Microseconds with three significant digits: `850µs`, `1.25ms`, `12.5s`, `4m10s`.
#[must_use]
pub fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}µs"),
        // From here on rounding to three digits would say 1000 ms, or 60.0 s.
        1_000..999_500 => format!("{}ms", three_digits(us as f64 / 1e3)),
        999_500..59_950_000 => format!("{}s", three_digits(us as f64 / 1e6)),
        _ => {
            let seconds = (us + 500_000) / 1_000_000;
            format!("{}m{:02}s", seconds / 60, seconds % 60)
        }
    }
}

/// Microseconds as they stand in a sentence: `0.85 ms`, `1.3 ms`, `13 ms`, `309 ms`, `12.5 s`, `4m10s`.
#[must_use]
pub fn milliseconds(us: u64) -> String {
    match us {
        0..995 => format!("{:.2} ms", us as f64 / 1e3),
        995..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..59_950_000 => format!("{:.1} s", us as f64 / 1e6),
        _ => duration(us),
    }
}

/// Bytes with three significant digits, in powers of 1000: `512B`, `1.21kB`, `3.40GB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n}B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = UNITS[0];
    for larger in UNITS.iter().skip(1) {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    format!("{}{unit}", three_digits(value))
}

/// A share from 0 to 1 in per cent, without zeros at its end: `50%`, `0.5%`, `49.98%`. A small one has as many digits as it
/// takes to tell it from none: `0.0001%`.
#[must_use]
pub fn percent(share: f64) -> String {
    /// Past it a share is none.
    const MAX_DIGITS: usize = 12;
    let percent = share * 100.0;
    let (mut digits, mut least) = (2_usize, 0.01);
    while percent > 0.0 && percent < least && digits < MAX_DIGITS {
        (digits, least) = (digits + 1, least / 10.0);
    }
    // One more, for what is rounded.
    digits += usize::from(digits > 2);
    let text = format!("{percent:.digits$}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Copy>(show: fn(T) -> String, cases: &[(T, &str)]) {
        for (value, want) in cases {
            assert_eq!(show(*value), *want);
        }
    }

    #[test]
    fn thousands_are_told_apart() {
        check(number, &[(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]);
        assert_eq!((counted(1, "gap"), counted(1_000, "gap")), ("1 gap".into(), "1,000 gaps".into()));
        let some = ["delivery", "key"].map(|what| (counted(1, what), counted(2, what)));
        assert_eq!(some.map(|(one, two)| format!("{one}, {two}")), ["1 delivery, 2 deliveries", "1 key, 2 keys"]);
    }

    #[test]
    fn durations_have_three_digits_and_a_unit_that_fits() {
        let sub_second = [(0, "0µs"), (999, "999µs"), (1_000, "1.00ms"), (12_345, "12.3ms"), (123_456, "123ms")];
        check(duration, &sub_second);
        check(duration, &[(999_499, "999ms"), (999_500, "1.00s"), (59_949_999, "59.9s"), (59_950_000, "1m00s")]);
        check(duration, &[(250_000_000, "4m10s"), (3_600_000_000, "60m00s")]);
    }

    #[test]
    fn milliseconds_have_as_many_digits_as_one_reads() {
        check(
            milliseconds,
            &[(0, "0.00 ms"), (850, "0.85 ms"), (1_300, "1.3 ms"), (13_049, "13 ms"), (309_200, "309 ms")],
        );
        check(milliseconds, &[(999_499, "999 ms"), (999_500, "1.0 s"), (12_500_000, "12.5 s"), (250_000_000, "4m10s")]);
    }

    #[test]
    fn bytes_have_three_digits_and_a_unit_that_fits() {
        check(bytes, &[(0, "0B"), (999, "999B"), (1_210, "1.21kB"), (999_499, "999kB"), (999_500, "1.00MB")]);
        assert_eq!(bytes(u64::MAX), "18.4EB");
    }

    #[test]
    fn shares_lose_the_zeros_at_their_end() {
        check(percent, &[(0.5, "50%"), (0.005, "0.5%"), (0.4998, "49.98%"), (1.0, "100%"), (0.0, "0%")]);
    }

    #[test]
    fn a_small_share_is_not_none() {
        check(
            percent,
            &[(0.000_001, "0.0001%"), (0.000_000_123, "0.000012%"), (0.000_049, "0.0049%"), (0.0001, "0.01%")],
        );
        check(percent, &[(0.000_099_99, "0.01%"), (1e-16, "0%")]);
    }
}
