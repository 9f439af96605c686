//! Names of routes by their shape: the method and the path, with `{id}` in place of every apparent identifier.

use std::sync::Arc;

use crate::compare::{is_id, is_number};
use crate::exchange::wire_text;
use crate::route_pattern;

/// Longest name of a route in bytes; a longer one is cut there, and ends in `…`.
pub(crate) const MAX_ROUTE_BYTES: usize = 512;

/// The name of a route: as long as it is kept it costs nothing to hand on.
pub(crate) type RouteName = Arc<str>;

/// Routes that are counted separately, some 5 KiB each; further ones are counted as one: [`OTHER`].
pub(crate) const MAX_ROUTES: usize = 2000;

/// The name of what has no row of its own.
pub(crate) const OTHER: &str = "(other)";

/// Placeholder for an identifier.
const ID: &str = "{id}";

/// Longest ending, such as `html` or `m3u8`, that is kept after an identifier.
const LONGEST_ENDING: usize = 5;

/// The route of a method and a target as captured: `GET /v2/channels/{id}`.
#[cfg(test)]
#[must_use]
pub(crate) fn name(method: &[u8], target: &[u8]) -> String {
    let mut name = String::new();
    push_name(method, target, &mut name);
    name
}

/// Adds the route of a method and a target as captured to `name`, which is empty: `GET /v2/channels/{id}`.
pub(crate) fn push_name(method: &[u8], target: &[u8], name: &mut String) {
    let path = route_pattern::path(target);
    // Identifiers may be long, what is left of them is not: twice the limit is enough to fill it, or nearly so.
    let path = path.get(..path.len().min(2 * MAX_ROUTE_BYTES)).unwrap_or_default();
    let method = method.get(..method.len().min(MAX_ROUTE_BYTES)).unwrap_or_default();
    name.reserve(method.len() + 1 + path.len());
    name.push_str(&wire_text(method));
    name.push(' ');
    push_template(&wire_text(path), name);
    if name.len() > MAX_ROUTE_BYTES {
        let cut = name.char_indices().find(|(at, c)| at + c.len_utf8() > MAX_ROUTE_BYTES);
        name.truncate(cut.map_or(MAX_ROUTE_BYTES, |(at, _)| at));
        name.push('…');
    }
}

/// The path with identifiers replaced, segment by segment: numbers, dates, UUIDs, eight or more hex digits (one of
/// them decimal), twenty or more characters of base64 (in both cases, with a digit). An ending such as `.html`
/// is kept, and so is what stands before the number in `seg-00123.ts`, where that has three digits or more.
#[must_use]
pub(crate) fn template(path: &str) -> String {
    let mut template = String::with_capacity(path.len());
    push_template(path, &mut template);
    template
}

fn push_template(path: &str, template: &mut String) {
    let part = |from, to| path.get(from..to).unwrap_or_default();
    // Only what has a digit in it is replaced; all else is copied as far as it goes.
    let (mut copied, mut start, mut has_digit) = (0, 0, false);
    for (at, byte) in path.bytes().enumerate() {
        has_digit |= byte.is_ascii_digit();
        if byte == b'/' {
            if std::mem::take(&mut has_digit) {
                template.push_str(part(copied, start));
                push_segment(part(start, at), template);
                copied = at;
            }
            start = at + 1;
        }
    }
    if has_digit {
        template.push_str(part(copied, start));
        push_segment(part(start, path.len()), template);
        copied = path.len();
    }
    template.push_str(part(copied, path.len()));
}

fn push_segment(text: &str, template: &mut String) {
    if is_number(text) {
        template.push_str(ID);
        return;
    }
    let (stem, ending) = text.rsplit_once('.').filter(|(_, ending)| is_ending(ending)).unwrap_or((text, ""));
    let before = if is_id(stem) {
        ""
    } else {
        match stem.rsplit_once(['-', '_']) {
            Some((_, number)) if number.len() >= 3 && is_number(number) => {
                stem.strip_suffix(number).unwrap_or_default()
            }
            _ => {
                template.push_str(text);
                return;
            }
        }
    };
    let dot = if ending.is_empty() { "" } else { "." };
    for part in [before, ID, dot, ending] {
        template.push_str(part);
    }
}

fn is_ending(text: &str) -> bool {
    (1..=LONGEST_ENDING).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_look_like_identifiers_are_one() {
        for (path, template) in [
            ("/", "/"),
            ("/v2/channels/42", "/v2/channels/{id}"),
            ("/v2/channels/42/epg", "/v2/channels/{id}/epg"),
            ("/users/f47ac10b-58cc-4372-a567-0e02b2c3d479", "/users/{id}"),
            ("/img/9f86d081884c7d65.jpg", "/img/{id}.jpg"),
            ("/t/dGhpcyBpcyBhIHRva2Vu1", "/t/{id}"),
            ("/epg/2026-11-21/20:15", "/epg/{id}/{id}"),
            ("/live/seg-00123.ts", "/live/seg-{id}.ts"),
            ("/live/1080p/12.m4s", "/live/1080p/{id}.m4s"),
            ("/10.0.0.7/x", "/{id}/x"),
        ] {
            assert_eq!(super::template(path), template);
        }
    }

    #[test]
    fn segments_that_have_a_name_are_kept() {
        for path in
            ["/v2/profile", "/facade/deadbeef", "/iphone-15", "/a//b/", "/index.html", "/epg.xml", "/café/1a", "*"]
        {
            assert_eq!(super::template(path), path);
        }
    }

    #[test]
    fn a_route_is_the_method_and_the_path_without_its_query() {
        assert_eq!(name(b"GET", b"/a/7?day=fri&x=/8"), "GET /a/{id}");
        assert_eq!(name(b"GET", b"http://h:80/a/7"), "GET /a/{id}");
        assert_eq!(name(b"OPTIONS", b"*"), "OPTIONS *");
        let long = name(b"GET", "/é".repeat(5_000).as_bytes());
        assert!(long.len() <= MAX_ROUTE_BYTES + '…'.len_utf8() && long.ends_with('…'), "{}", long.len());
        assert!(name(&[b'A'; 5_000], &[b'/'; 5_000]).len() < 600);
    }
}
