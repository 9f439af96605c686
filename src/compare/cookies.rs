//! Cookies that responses set: names, attributes, and for how long they live; their values do not count.
//!
//! `Expires` is an instant, so its value never counts. `Max-Age` is a length of time, and counts; but some compute it from an
//! instant, such as the end of a session: then it is smaller by the time between the two responses.

use crate::exchange::{Head, wire_text};
use crate::middleware::carry::http_seconds;
use crate::middleware::redact::MASK;

/// Most attributes of a cookie that are split; the rest counts as one.
const MAX_ATTRIBUTES: usize = 32;
/// Seconds by which two lifetimes differ that are rounded, or were made a moment apart.
const ROUNDED: i64 = 2;

/// A cookie, as far as it counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SetCookie {
    /// Name and attributes, but for `Max-Age`.
    text: String,
    /// How long it lives, in seconds; as text where that is no number.
    max_age: Option<Result<i64, String>>,
}

/// Returns whether two responses set the same cookies; each with its lines, and the head that they are of.
pub(super) fn same<'a>(
    (one, one_head): (impl Iterator<Item = &'a [u8]>, Option<&Head>),
    (other, other_head): (impl Iterator<Item = &'a [u8]>, Option<&Head>),
) -> bool {
    let (one, other) = (cookies(one), cookies(other));
    if one == other {
        return true;
    }
    let date = |head: Option<&Head>| head.and_then(|head| head.get("date")).and_then(http_seconds);
    let between = date(one_head).zip(date(other_head)).map(|(one, other)| other.saturating_sub(one));
    let alike = |(one, other): (&SetCookie, &SetCookie)| one.text == other.text && live_alike(one, other, between);
    one.len() == other.len() && one.iter().zip(&other).all(alike)
}

/// Returns whether two cookies live equally long, or until the same instant; their responses came so many seconds apart.
fn live_alike(one: &SetCookie, other: &SetCookie, between: Option<i64>) -> bool {
    match (&one.max_age, &other.max_age) {
        (Some(Ok(one)), Some(Ok(other))) if *one > 0 && *other > 0 => {
            let less = one.saturating_sub(*other);
            less.abs() <= ROUNDED || between.is_some_and(|between| less.saturating_sub(between).abs() <= ROUNDED)
        }
        (one, other) => one == other,
    }
}

/// Cookies that are set, sorted, as they may be shown.
pub(super) fn shown<'a>(values: impl Iterator<Item = &'a [u8]>) -> String {
    let shown = |SetCookie { text, max_age }: SetCookie| match max_age {
        Some(Ok(seconds)) => format!("{text}; max-age={seconds}"),
        Some(Err(typed)) => format!("{text}; max-age={typed}"),
        None => text,
    };
    cookies(values).into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn cookies<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<SetCookie> {
    let mut cookies: Vec<SetCookie> = values.map(cookie).collect();
    cookies.sort_unstable();
    cookies
}

fn cookie(value: &[u8]) -> SetCookie {
    let text = wire_text(value);
    let mut parts = text.splitn(MAX_ATTRIBUTES + 1, ';').map(str::trim);
    let name = parts.next().and_then(|pair| pair.split_once('=')).map_or("", |(name, _)| name.trim());
    let (mut attributes, mut max_age) = (Vec::new(), None);
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value.trim())));
        let name = name.trim().to_ascii_lowercase();
        match value {
            // The last one counts (RFC 6265, 5.3).
            Some(value) if name == "max-age" => {
                max_age = Some(value.parse::<i64>().map_err(|_| value.to_ascii_lowercase()));
            }
            Some(value) if name != "expires" => attributes.push(format!("; {name}={}", value.to_ascii_lowercase())),
            _ => attributes.push(format!("; {name}")),
        }
    }
    attributes.sort_unstable();
    SetCookie { text: format!("{name}={MASK}{}", attributes.concat()), max_age }
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
    fn without_a_date_a_lifetime_counts_as_it_is() {
        let head = |cookie: &str| Head::new(format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\n\r\n").into_bytes());
        assert!(alike(&head("a=1; Max-Age=60"), &head("a=2; Max-Age=60")));
        assert!(!alike(&head("a=1; Max-Age=60"), &head("a=2; Max-Age=20")));
    }
}
