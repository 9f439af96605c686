//! Values as GoReplay reads them: lengths of time, sizes, and limits behind addresses.

use std::time::Duration;

/// A limit behind an address, as in `URL|10%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// So many per cent.
    Percent(u64),
    /// So many in a second.
    PerSecond(u64),
}

/// Splits an address from its limit.
pub(super) fn limited(typed: &str) -> Result<(&str, Option<Limit>), String> {
    let Some((address, limit)) = typed.split_once('|') else { return Ok((typed, None)) };
    let percent = limit.strip_suffix('%');
    let number = percent.unwrap_or(limit).trim();
    let Ok(number) = number.parse() else {
        let why = "GoReplay reads whole numbers only, and takes this for 0";
        let instead = if percent.is_some() { "shadowtap takes any share, such as --sample 0.5%" } else { "write |10" };
        return Err(format!("`|{limit}`: {why}; {instead}"));
    };
    Ok((address, Some(if percent.is_some() { Limit::Percent(number) } else { Limit::PerSecond(number) })))
}

/// A whole number in Go's form: `42`, `0x2a`, `0b101010`, `0o52`, `052`, `1_000`.
pub(super) fn number_of(typed: &str) -> Option<u64> {
    let typed = typed.strip_prefix('+').unwrap_or(typed);
    let lower = typed.to_ascii_lowercase();
    let radixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let prefixed = radixes.iter().find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, *radix)));
    let is_octal = lower.len() > 1 && lower.starts_with('0');
    let (digits, radix) = prefixed.unwrap_or((&lower, if is_octal { 8 } else { 10 }));
    // Lines stand between digits, or behind the prefix.
    let is_apart = !digits.contains("__") && !digits.ends_with('_') && (prefixed.is_some() || !digits.starts_with('_'));
    let plain = digits.replace('_', "");
    let is_plain = plain.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_apart && is_plain).then(|| u64::from_str_radix(&plain, radix).ok()).flatten()
}

/// A length of time in Go's form: `1h30m`, `500ms`, `0`.
pub(super) fn duration(typed: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let error = || format!("`{typed}` is no length of time; write 30s, 10m or 1h30m");
    if typed == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (typed, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(error)?;
        let (number, behind) = rest.split_at_checked(digits).ok_or_else(error)?;
        let letters = behind.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters).ok_or_else(error)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        seconds += number.parse::<f64>().map_err(|_| error())? * factor;
        rest = behind;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| !typed.is_empty()).ok_or_else(error)
}

/// The same length of time as shadowtap takes it: one number and one unit.
pub(super) fn written(time: Duration) -> String {
    match time.as_millis() {
        millis if millis % 60_000 == 0 && millis > 0 => format!("{}m", millis / 60_000),
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

/// A size in GoReplay's form: `42`, `0x2a`, `32mb`.
pub(super) fn size(typed: &str) -> Result<u64, String> {
    let error = || format!("`{typed}` is no size; GoReplay takes 42, 64kb, 32mb and 1gb");
    let lower = typed.to_ascii_lowercase();
    let units = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40)];
    let unit = units.iter().find_map(|(end, power)| Some((lower.strip_suffix(end)?, *power)));
    let (number, power) = unit.unwrap_or((&lower, 0));
    let (digits, radix) = number.strip_prefix("0x").map_or((number, 10), |hex| (hex, 16));
    let number = u64::from_str_radix(digits, radix).map_err(|_| error())?;
    number.checked_mul(1 << power).ok_or_else(error)
}

/// The same size as shadowtap takes it.
pub(super) fn written_size(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let fits = units.iter().find(|(power, _)| bytes > 0 && bytes.is_multiple_of(1 << power));
    fits.map_or_else(|| format!("{bytes}B"), |(power, unit)| format!("{}{unit}", bytes >> power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_stands_behind_a_bar() {
        assert_eq!(limited("http://h|10%"), Ok(("http://h", Some(Limit::Percent(10)))));
        assert_eq!(limited(":80|10"), Ok((":80", Some(Limit::PerSecond(10)))));
        assert_eq!(limited("x.gor"), Ok(("x.gor", None)));
        assert!(limited("x|0.5%").unwrap_err().contains("takes this for 0; shadowtap takes any share"));
    }

    #[test]
    fn numbers_are_those_of_go() {
        for (typed, expected) in [
            ("42", 42),
            ("0x2A", 42),
            ("0b101010", 42),
            ("0o52", 42),
            ("052", 42),
            ("1_000", 1000),
            ("0x_2a", 42),
            ("0", 0),
        ] {
            assert_eq!(number_of(typed), Some(expected), "{typed}");
        }
        for typed in ["", "x", "0x", "4_", "_4", "1__0", "-1", "08", "0b2", "0x+1", "1.5"] {
            assert_eq!(number_of(typed), None, "{typed}");
        }
    }

    #[test]
    fn times_and_sizes_are_those_of_go() {
        for (typed, expected) in
            [("1h30m", "90m"), ("90s", "90s"), ("1.5s", "1500ms"), ("10m", "10m"), ("0", "0s"), ("250ms", "250ms")]
        {
            assert_eq!(duration(typed).map(written).as_deref(), Ok(expected), "{typed}");
        }
        for (typed, expected) in [("42", "42B"), ("32mb", "32M"), ("64KB", "64K"), ("0x10kb", "16K"), ("1gb", "1G")] {
            assert_eq!(size(typed).map(written_size).as_deref(), Ok(expected), "{typed}");
        }
        for typed in ["", "5", "x", "5 m", "-5s"] {
            assert!(duration(typed).is_err(), "{typed}");
        }
        // The form of its manual, which GoReplay rejects.
        assert!(size("5m").is_err() && size("0b1").is_err());
    }
}
