//! Cookies that responses set: names, attributes, and for how long they live; their values do not count.
//!
//! `Expires` is an instant, so its value counts only where it has passed: then the cookie is deleted, as it is by a `Max-Age` of 0.
//! `Max-Age` is a length of time, and counts; but some compute it from an instant, such as the end of a session: then it is smaller by
//! the time between the two responses.

use crate::exchange::{Head, wire_text};
use crate::middleware::http_date::http_seconds;
use crate::middleware::redact::MASK;
use crate::middleware::set_cookie::{CookieLife, SetCookieLine};

/// Seconds by which two lifetimes differ that are rounded, or were made a moment apart.
const ROUNDED: i64 = 2;

/// A cookie, as far as it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CountedCookie {
    /// Name and attributes, but for those that say how long it lives.
    text: String,
    life: CookieLife,
    /// True where an `Expires` is there; of a deleted cookie it does not matter which attribute deletes it.
    expires: bool,
}

/// Returns whether two responses set the same cookies; each with its lines, and the head that they are of.
pub(super) fn same<'a>(
    (one, one_head): (impl Iterator<Item = &'a [u8]>, Option<&Head>),
    (other, other_head): (impl Iterator<Item = &'a [u8]>, Option<&Head>),
) -> bool {
    let dates = date(one_head).zip(date(other_head));
    let (one, other) = (cookies(one, dates.map(|(one, _)| one)), cookies(other, dates.map(|(_, other)| other)));
    if one == other {
        return true;
    }
    let between = dates.map(|(one, other)| other.saturating_sub(one));
    let alike = |(one, other): (&CountedCookie, &CountedCookie)| {
        one.text == other.text && one.expires == other.expires && live_alike(one.life, other.life, between)
    };
    one.len() == other.len() && one.iter().zip(&other).all(alike)
}

/// When a response was made.
fn date(head: Option<&Head>) -> Option<i64> {
    head?.get("date").and_then(http_seconds)
}

/// Returns whether two cookies live equally long, or until the same instant; their responses came so many seconds apart.
fn live_alike(one: CookieLife, other: CookieLife, between: Option<i64>) -> bool {
    match (one, other) {
        (CookieLife::Seconds(one), CookieLife::Seconds(other)) => {
            let less = one.saturating_sub(other);
            less.abs() <= ROUNDED || between.is_some_and(|between| less.saturating_sub(between).abs() <= ROUNDED)
        }
        (one, other) => one == other,
    }
}

/// Cookies that are set, sorted, as they may be shown; with the head that they are of.
pub(super) fn shown<'a>(values: impl Iterator<Item = &'a [u8]>, head: Option<&Head>) -> String {
    let shown = |CountedCookie { text, life, expires }| {
        let expires = if expires { "; expires" } else { "" };
        match life {
            CookieLife::Over => format!("{text}; deleted"),
            CookieLife::Seconds(seconds) => format!("{text}{expires}; max-age={seconds}"),
            CookieLife::Open => format!("{text}{expires}"),
        }
    };
    cookies(values, date(head)).into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn cookies<'a>(values: impl Iterator<Item = &'a [u8]>, date: Option<i64>) -> Vec<CountedCookie> {
    let mut cookies: Vec<_> = values.filter_map(SetCookieLine::parse).map(|line| counted(&line, date)).collect();
    cookies.sort_unstable();
    cookies
}

fn counted(cookie: &SetCookieLine<'_>, date: Option<i64>) -> CountedCookie {
    let life = cookie.life(date);
    let (mut attributes, mut expires) = (Vec::new(), false);
    for (name, value) in cookie.attributes_but_max_age() {
        if name.eq_ignore_ascii_case(b"expires") {
            expires = life != CookieLife::Over;
            continue;
        }
        let name = wire_text(name).to_ascii_lowercase();
        attributes.push(match value {
            Some(value) => format!("; {name}={}", wire_text(value).to_ascii_lowercase()),
            None => format!("; {name}"),
        });
    }
    attributes.sort_unstable();
    CountedCookie { text: format!("{}={MASK}{}", wire_text(cookie.name), attributes.concat()), life, expires }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response that came at this second of a minute, and sets this cookie.
    fn of(second: u32, cookie: &str) -> Head {
        let text =
            format!("HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 10:00:{second:02} GMT\r\nSet-Cookie: {cookie}\r\n\r\n");
        Head::new(text.into_bytes())
    }

    fn alike(one: &Head, other: &Head) -> bool {
        same((one.get_all("set-cookie"), Some(one)), (other.get_all("set-cookie"), Some(other)))
    }

    #[test]
    fn a_lifetime_that_ends_at_the_same_instant_is_the_same() {
        let session = of(0, "sid=a; Max-Age=3600; Path=/");
        assert!(alike(&session, &of(0, "sid=b; path=/; max-age=3600")));
        assert!(alike(&session, &of(40, "sid=b; Path=/; Max-Age=3600")), "equally long");
        assert!(alike(&session, &of(40, "sid=b; Path=/; Max-Age=3561")), "until the same instant");
        assert!(alike(&session, &of(0, "sid=b; Path=/; Max-Age=3599")), "rounded");
        assert!(!alike(&session, &of(40, "sid=b; Path=/; Max-Age=3590")));
        assert!(!alike(&session, &of(0, "sid=b; Path=/; Max-Age=7200")));
        assert!(!alike(&session, &of(0, "sid=b; Path=/")));
        assert!(!alike(&of(0, "sid=a; Max-Age=40"), &of(40, "sid=; Max-Age=0")), "it is deleted");
        assert!(!alike(&of(0, "sid=a; Max-Age=1"), &of(0, "sid=; Max-Age=0")));
        assert!(alike(&of(0, "a=1; Max-Age=soon"), &of(9, "a=1; Max-Age=SOON")));
    }

    #[test]
    fn a_cookie_is_deleted_in_several_ways_which_are_all_the_same() {
        let past = "Expires=Sun, 29 Nov 2026 10:00:00 GMT";
        let ways = ["Max-Age=0", "Max-Age=-1", past, "Expires=Thu, 01-Jan-1970 00:00:00 GMT", "Max-Age=60; Max-Age=0"];
        let both = format!("{past}; Max-Age=0");
        let gone = |way: &str, value: &str| of(9, &format!("sid={value}; Path=/; {way}"));
        for one in ways.into_iter().chain([both.as_str()]) {
            for other in ways {
                assert!(alike(&gone(one, "a"), &gone(other, "")), "{one} and {other}");
            }
            for lives in ["Expires=Tue, 01 Dec 2026 10:00:00 GMT", "Max-Age=60", "Max-Age=0; Max-Age=60", "HttpOnly"] {
                assert!(!alike(&gone(one, ""), &gone(lives, "")), "{one} and {lives}");
            }
            assert!(!alike(&gone(one, ""), &of(9, &format!("sid=; Path=/other; {one}"))), "another cookie");
            assert!(!alike(&gone(one, ""), &of(9, "sid=; Path=/")), "{one}");
        }
    }

    #[test]
    fn a_deleted_cookie_is_shown_as_one() {
        let shown = |cookie: &str| {
            let head = of(9, cookie);
            shown(head.get_all("set-cookie"), Some(&head))
        };
        assert_eq!(shown("sid=; Max-Age=0; Path=/"), "sid=***; path=/; deleted");
        assert_eq!(shown("sid=; Expires=Sun, 29 Nov 2026 10:00:00 GMT; Path=/"), "sid=***; path=/; deleted");
        assert_eq!(shown("sid=a; Expires=Tue, 01 Dec 2026 10:00:00 GMT; Max-Age=5"), "sid=***; expires; max-age=5");
    }

    #[test]
    fn without_a_date_a_lifetime_counts_as_it_is() {
        let head = |cookie: &str| Head::new(format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\n\r\n").into_bytes());
        assert!(alike(&head("a=1; Max-Age=60"), &head("a=2; Max-Age=60")));
        assert!(!alike(&head("a=1; Max-Age=60"), &head("a=2; Max-Age=20")));
    }
}
