//! JSON numbers by their value, from their digits as they are written: nothing is rounded.

use std::hash::{Hash, Hasher};

use serde_json::Value;

/// Digits of an exponent up to which it is reckoned with.
const MAX_EXPONENT_DIGITS: usize = 30;
/// Longest number that may be shown as a number, in bytes.
const MAX_SHOWN: usize = 64;

/// A number as it is written (RFC 8259, 6): equal where the value is, such as 1, 1.0 and 10e-1. Takes no memory, and as
/// much time as it has digits.
///
/// An exponent past 10^30 is held against another by its digits: then only the same spelling is equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'a>(&'a str);

/// Normalized value of a number. Zero has no digits, no sign and no exponent.
#[derive(Debug, Default)]
struct NumberValue<'a> {
    negative: bool,
    /// Digits before and after the point, without zeros at either end.
    digits: [&'a str; 2],
    /// Power of ten of the last digit.
    exponent: i128,
    /// An exponent that is too long to be reckoned with.
    beyond: &'a str,
}

impl<'a> Number<'a> {
    /// Reads the number that a text begins with; `None` where there is none.
    pub(super) fn prefix(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = |from: usize| {
            let rest = bytes.get(from..).unwrap_or_default();
            from + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let start = usize::from(bytes.first() == Some(&b'-'));
        let whole = if bytes.get(start) == Some(&b'0') { start + 1 } else { digits(start) };
        if whole == start {
            return None;
        }
        let mut end = whole;
        if bytes.get(end) == Some(&b'.') {
            end = digits(whole + 1);
            if end == whole + 1 {
                return None;
            }
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let first = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = digits(first);
            if end == first {
                return None;
            }
        }
        text.get(..end).map(Self)
    }

    /// The number as it is written.
    pub(super) const fn text(self) -> &'a str {
        self.0
    }

    /// The number as a JSON value; `None` where that would round it.
    pub(super) fn exact(self) -> Option<Value> {
        if self.0.len() > MAX_SHOWN {
            return None;
        }
        if let Ok(whole) = self.0.parse::<i64>() {
            return Some(whole.into());
        }
        if let Ok(whole) = self.0.parse::<u64>() {
            return Some(whole.into());
        }
        let double = serde_json::Number::from_f64(self.0.parse().ok()?)?;
        (Number(&double.to_string()) == self).then(|| double.into())
    }

    fn value(self) -> NumberValue<'a> {
        let (negative, text) = self.0.strip_prefix('-').map_or((false, self.0), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, ""));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let part = part.trim_end_matches('0');
        let (kept, mut scale) = (whole, -(part.len() as i128));
        let kept = if part.is_empty() { kept.trim_end_matches('0') } else { kept };
        scale += (whole.len() - kept.len()) as i128;
        let whole = kept.trim_start_matches('0');
        let part = if whole.is_empty() { part.trim_start_matches('0') } else { part };
        if whole.is_empty() && part.is_empty() {
            return NumberValue::default();
        }
        let (down, power) = match exponent.strip_prefix('-') {
            Some(power) => (true, power),
            None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
        };
        let power = power.trim_start_matches('0');
        let known = NumberValue { negative, digits: [whole, part], exponent: scale, beyond: "" };
        if power.len() > MAX_EXPONENT_DIGITS {
            return NumberValue { beyond: exponent, ..known };
        }
        let power = power.parse::<i128>().unwrap_or_default();
        NumberValue { exponent: if down { scale - power } else { scale + power }, ..known }
    }
}

impl NumberValue<'_> {
    fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.iter().flat_map(|digits| digits.bytes())
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        let (a, b) = (self.value(), other.value());
        (a.negative, a.exponent, a.beyond) == (b.negative, b.exponent, b.beyond) && a.digits().eq(b.digits())
    }
}

impl Eq for Number<'_> {}

impl Hash for Number<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let value = self.value();
        (value.negative, value.exponent, value.beyond).hash(state);
        value.digits().for_each(|digit| state.write_u8(digit));
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        let number = Number::prefix(text).unwrap();
        assert_eq!(number.text(), text, "all of it is a number");
        number
    }

    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let hasher = foldhash::fast::FixedState::default();
        let (one, other) = (number(one), number(other));
        assert_eq!(one == other, same, "{one:?} {other:?}");
        assert_eq!(hasher.hash_one(one) == hasher.hash_one(other), same, "{one:?} {other:?}");
    }

    #[test]
    fn the_same_value_is_equal_however_it_is_written() {
        for (one, other) in [
            ("7", "7.0"),
            ("7", "7e0"),
            ("7", "70e-1"),
            ("7", "0.07E+2"),
            ("4200", "42e2"),
            ("4200", "4.2e3"),
            ("0.0042", "42e-4"),
            ("-0", "0"),
            ("-0.00e7", "0E-5"),
            ("120.500", "120.5"),
            ("1e400", "10e399"),
            ("1e-400", "0.1e-0000399"),
            ("340282366920938463463374607431768211456", "34028236692093846346337460743176821145.60e1"),
            ("0e99999999999999999999999999999999999999999999", "0"),
            ("1e99999999999999999999999999999999999999999999", "1e99999999999999999999999999999999999999999999"),
        ] {
            check(one, other, true);
            check(other, one, true);
        }
    }

    #[test]
    fn another_value_differs_in_whatever_digit() {
        let long = format!("{}1", "9".repeat(400));
        let longer = format!("{}2", "9".repeat(400));
        for (one, other) in [
            ("7", "-7"),
            ("7", "7.0000000000000000000000000001"),
            ("36893488147419103232", "36893488147419103233"),
            ("-9223372036854775809", "-9223372036854775808"),
            ("0.1", "0.10000000000000000555"),
            ("1e308", "1.0000000000000000000001e308"),
            ("1e400", "1e401"),
            ("1e-400", "0"),
            ("12", "1.2"),
            ("101", "11"),
            (&long, &longer),
            ("1e99999999999999999999999999999999999999999999", "1e99999999999999999999999999999999999999999998"),
            ("1e99999999999999999999999999999999999999999999", "1e-99999999999999999999999999999999999999999999"),
        ] {
            check(one, other, false);
        }
    }

    #[test]
    fn what_is_no_number_is_none_and_what_follows_one_is_left() {
        for text in ["", "-", ".5", "+1", "-a", "1.", "1.e2", "1e", "1e+", "NaN", "Infinity"] {
            assert_eq!(Number::prefix(text), None, "{text}");
        }
        assert_eq!(Number::prefix("012").map(Number::text), Some("0"));
        assert_eq!(Number::prefix("-1.5e3,").map(Number::text), Some("-1.5e3"));
    }

    #[test]
    fn a_number_is_shown_as_a_number_where_that_does_not_round_it() {
        for (text, shown) in [
            ("7", Some("7")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("1.10", Some("1.1")),
            ("1e2", Some("100.0")),
            ("36893488147419103233", None),
            ("0.10000000000000000555", None),
            ("1e400", None),
        ] {
            assert_eq!(number(text).exact().map(|value| value.to_string()).as_deref(), shown, "{text}");
        }
    }
}
