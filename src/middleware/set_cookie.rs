//! What a `Set-Cookie` line says: a cookie, for how long it lives, and its other attributes (RFC 6265, 5.2 and 5.3).

use super::cookies;
use super::http_date::http_seconds;

/// Most attributes of a cookie that are looked at; what follows counts as one.
const MAX_ATTRIBUTES: usize = 32;
/// Seconds of a day.
const DAY: i64 = 24 * 3600;

/// A line, taken apart.
pub(crate) struct SetCookieLine<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Attributes as they stand: the name, and the value where there is an equals sign.
    attributes: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// How long a cookie lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CookieLife {
    /// It is over: the client is to forget the cookie (RFC 6265, 3.1).
    Over,
    /// So many seconds, one at least.
    Seconds(i64),
    /// Until an instant that is to come, or until the client ends.
    Open,
}

impl<'a> SetCookieLine<'a> {
    /// Takes a line apart; `None` where it is empty.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let (name, value) = cookies::cookies(line).next()?;
        let pieces = line.splitn(MAX_ATTRIBUTES + 1, |byte| *byte == b';').skip(1);
        let split = |piece: &'a [u8]| match memchr::memchr(b'=', piece) {
            Some(at) => (piece.get(..at).unwrap_or_default().trim_ascii(), piece.get(at + 1..).map(<[u8]>::trim_ascii)),
            None => (piece.trim_ascii(), None),
        };
        let attributes = pieces.map(split).filter(|(name, value)| !name.is_empty() || value.is_some()).collect();
        Some(Self { name, value, attributes })
    }

    /// Returns how long the cookie lives that a response sent at `date`, in seconds of Unix time.
    ///
    /// Of each attribute the last one that can be read counts, and `Max-Age` before `Expires`. Without a date of the response an
    /// instant is past if it is in the first day of Unix time, which is what those write who delete a cookie.
    pub(crate) fn life(&self, date: Option<i64>) -> CookieLife {
        if let Some(seconds) = self.last("max-age", max_age) {
            return if seconds > 0 { CookieLife::Seconds(seconds) } else { CookieLife::Over };
        }
        let is_past = self.last("expires", http_seconds).is_some_and(|expires| expires < date.unwrap_or(DAY));
        if is_past { CookieLife::Over } else { CookieLife::Open }
    }

    /// The attributes but for a `Max-Age` that can be read.
    pub(crate) fn attributes_but_max_age(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + '_ {
        let is_age = |(name, value): (&[u8], Option<&[u8]>)| {
            name.eq_ignore_ascii_case(b"max-age") && value.is_some_and(|value| max_age(value).is_some())
        };
        self.attributes.iter().copied().filter(move |attribute| !is_age(*attribute))
    }

    fn last<T>(&self, wanted: &str, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut named = self.attributes.iter().rev().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        named.find_map(|(_, value)| read((*value)?))
    }
}

/// Seconds of a `Max-Age`; `None` where it is no number (RFC 6265, 5.2.2).
fn max_age(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let is_negative = digits.len() < value.len();
    let too_many = if is_negative { i64::MIN } else { i64::MAX };
    Some(std::str::from_utf8(value).ok()?.parse().unwrap_or(too_many))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_lives_as_the_last_attribute_of_its_kind_says() {
        let now = http_seconds(b"Mon, 30 Nov 2026 10:00:00 GMT");
        let past = "Expires=Sun, 29 Nov 2026 10:00:00 GMT";
        let to_come = "Expires=Tue, 01 Dec 2026 10:00:00 GMT";
        for (attributes, life) in [
            (String::new(), CookieLife::Open),
            ("Max-Age=60".into(), CookieLife::Seconds(60)),
            ("Max-Age=0; max-age=60".into(), CookieLife::Seconds(60)),
            ("Max-Age=60; MAX-AGE=0".into(), CookieLife::Over),
            ("Max-Age=-1".into(), CookieLife::Over),
            ("Max-Age=00".into(), CookieLife::Over),
            ("Max-Age=60; Max-Age=soon".into(), CookieLife::Seconds(60)),
            ("Max-Age; Max-Age=; Max-Age=+5; Max-Age=-".into(), CookieLife::Open),
            ("Max-Age=99999999999999999999".into(), CookieLife::Seconds(i64::MAX)),
            ("Max-Age=-99999999999999999999".into(), CookieLife::Over),
            (past.into(), CookieLife::Over),
            (to_come.into(), CookieLife::Open),
            (format!("{past}; Expires=whenever"), CookieLife::Over),
            (format!("{past}; {to_come}"), CookieLife::Open),
            (format!("{past}; Max-Age=1"), CookieLife::Seconds(1)),
            (format!("{to_come}; Max-Age=0"), CookieLife::Over),
            ("Expires=Thu, 01-Jan-1970 00:00:00 GMT".into(), CookieLife::Over),
            ("Expires=Thu Jan  1 00:00:00 1970".into(), CookieLife::Over),
            ("expires=Thu, 01-Jan-70 00:00:10 gmt".into(), CookieLife::Over),
            ("Expires=Sun, 29 Nov 2026 10:00:00".into(), CookieLife::Over),
            ("Expires=Tue, 01-Dec-26 10:00:00".into(), CookieLife::Open),
        ] {
            let line = format!("sid=1; Path=/; {attributes}");
            assert_eq!(SetCookieLine::parse(line.as_bytes()).unwrap().life(now), life, "{line}");
        }
        let line = format!("sid=1; {past}");
        assert_eq!(SetCookieLine::parse(line.as_bytes()).unwrap().life(None), CookieLife::Open);
    }
}
