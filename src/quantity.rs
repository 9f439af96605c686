//! Lengths of time and sizes, as people type them.

use std::time::Duration;

use jiff::SignedDuration;
use parse_size::Config;

/// Parses a length of time such as `500ms`, `30s`, `1.5m`, `1h` or `1h30m`; `None` where it is none, has no unit or is
/// negative.
pub(crate) fn duration(typed: &str) -> Option<Duration> {
    // ISO 8601 (`PT30S`) is not what anybody means here.
    let begins = typed.starts_with(|first: char| first.is_ascii_digit());
    let parsed = typed.parse::<SignedDuration>().ok().filter(|_| begins)?;
    parsed.try_into().ok()
}

/// Parses a size in bytes: a number, with K, M or G (powers of 1024) and with or without `B` or `iB` after it; `None`
/// where it is none.
pub(crate) fn size(typed: &str) -> Option<u64> {
    // Neither exponents nor more than gigabytes.
    let is_plain = typed.chars().all(|one| one.is_ascii_digit() || ". kKmMgGiIbB".contains(one));
    let begins = is_plain && typed.starts_with(|first: char| first.is_ascii_digit());
    Config::new().with_binary().parse_size(typed).ok().filter(|_| begins)
}

/// A count and what is counted: `1 batch`, `3 batches` of `batch` and `batches`.
#[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "only stores tell of counts in words"))]
pub(crate) fn several(count: u64, what: (&str, &str)) -> String {
    format!("{count} {}", if count == 1 { what.0 } else { what.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        let what = ("batch is", "batches are");
        assert_eq!([0, 1, 2].map(|count| several(count, what)), ["0 batches are", "1 batch is", "2 batches are"]);
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (typed, millis) in
            [("500ms", 500), ("30s", 30_000), ("1.5m", 90_000), ("1h", 3_600_000), ("0s", 0), ("1h30m", 5_400_000)]
        {
            assert_eq!(duration(typed), Some(Duration::from_millis(millis)), "{typed}");
        }
        for wrong in
            ["", "s", "30", "-1s", "1e9s", "inf s", "infs", ".", "PT1S", "30s ago", "1d", "99999999999999999999h"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_count_by_1024() {
        for (typed, bytes) in
            [("512", 512), ("64K", 64 << 10), ("1M", 1 << 20), ("2GiB", 2 << 30), ("2 gb", 2 << 30), ("1.5k", 1536)]
        {
            assert_eq!(size(typed), Some(bytes), "{typed}");
        }
        for wrong in ["", "M", "-1M", "1X", "1e3", "1T", "many", "99999999999G"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
