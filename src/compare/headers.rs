//! Header lines that count, by their names. Several lines of one name are one list (RFC 9110, 5.3).

use std::borrow::Cow;

use arrayvec::ArrayVec;
use serde_json::Value;

use super::shown;
use super::{CompareRules, ComparedResponse, Difference, DifferenceKind, DifferencePart, MAX_COMPARED_HEAD};
use crate::exchange::{Head, HeaderLine, HeaderLines, wire_text};
use crate::middleware::masking::{is_secret_name, target};
use crate::middleware::redact::MASK;

/// Most header lines compared per head. With more, the result notes that there may be more differences.
const MAX_LINES: usize = 100;

/// Most attributes of a cookie that are split; the rest counts as one.
const MAX_ATTRIBUTES: usize = 32;

/// Headers whose values are nobody's business, besides those whose name says so.
const HIDDEN: [&str; 5] = ["cookie", "proxy-authorization", "set-cookie2", "x-api-key", "x-auth-token"];

type NamedLines<'a> = ArrayVec<HeaderLine<'a>, MAX_LINES>;

/// Names of the header lines that are compared.
#[derive(Clone, Copy)]
struct CountedNames<'r> {
    rules: &'r CompareRules,
    /// True when the length in both heads is that of a body that was not requested: then it is no framing.
    length: bool,
}

impl CountedNames<'_> {
    fn counts(self, name: &[u8]) -> bool {
        self.rules.counts(name) || (self.length && name.eq_ignore_ascii_case(b"content-length"))
    }
}

/// Adds in what the header lines of two responses differ, to HEAD or to another method.
pub(super) fn compare(
    rules: &CompareRules,
    to_head: bool,
    (production, shadow): (&ComparedResponse<'_>, &ComparedResponse<'_>),
    differences: &mut Vec<Difference>,
) {
    let (Some(one), Some(other)) = (production.head, shadow.head) else { return };
    if one.as_bytes().len().max(other.as_bytes().len()) > MAX_COMPARED_HEAD {
        differences.push(more());
        return;
    }
    // A response in chunks names no length.
    let in_chunks = |head: &Head| head.get("transfer-encoding").is_some();
    let length = to_head && rules.head_length() && !in_chunks(one) && !in_chunks(other);
    let names = CountedNames { rules, length };
    if are_alike(names, one, other) {
        return;
    }
    let (mut a, mut b) = (NamedLines::new(), NamedLines::new());
    if !(counted(names, one, &mut a) && counted(names, other, &mut b)) {
        differences.push(more());
        return;
    }
    for (at, line) in a.iter().enumerate() {
        let is_first = !a.iter().take(at).any(|before| same_name(before, line));
        if is_first && !same((&a, production), (&b, shadow), line) {
            differences.push(difference(line, &a, &b));
        }
    }
    for (at, line) in b.iter().enumerate() {
        let is_first = !b.iter().take(at).any(|before| same_name(before, line));
        if is_first && !a.iter().any(|before| same_name(before, line)) {
            differences.push(difference(line, &a, &b));
        }
    }
}

/// Returns whether both have the same lines in the same order, except for values that do not count. That is so for most
/// responses of an equal stack. Lines that are equal byte for byte are not parsed.
fn are_alike(names: CountedNames<'_>, one: &Head, other: &Head) -> bool {
    let (mut a, mut b) = (after_line(one.as_bytes()), after_line(other.as_bytes()));
    loop {
        let rest = after_line(a);
        let line = a.get(..a.len() - rest.len()).unwrap_or_default();
        if line.ends_with(b"\n") && b.starts_with(line) {
            (a, b) = (rest, b.get(line.len()..).unwrap_or_default());
            continue;
        }
        if [a, b].iter().any(|rest| matches!(rest, [b' ' | b'\t', ..])) {
            // It goes on with the line before.
            return false;
        }
        match (HeaderLines::from(a, 0).next(), HeaderLines::from(b, 0).next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if same_name(&x, &y) && (x.value == y.value || !names.counts(x.name)) => {
                a = a.get(x.span().end..).unwrap_or_default();
                b = b.get(y.span().end..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// Returns the part after the first line.
fn after_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', head).map_or(head.len(), |end| end + 1);
    head.get(end..).unwrap_or_default()
}

/// Adds the lines that count; false where there are too many.
fn counted<'a>(names: CountedNames<'_>, head: &'a Head, lines: &mut NamedLines<'a>) -> bool {
    head.lines().filter(|line| names.counts(line.name)).all(|line| lines.try_push(line).is_ok())
}

fn same_name(one: &HeaderLine<'_>, other: &HeaderLine<'_>) -> bool {
    one.name.len() == other.name.len() && one.name.eq_ignore_ascii_case(other.name)
}

fn values<'l, 'a>(lines: &'l NamedLines<'a>, like: &'l HeaderLine<'a>) -> impl Iterator<Item = &'a [u8]> + 'l {
    lines.iter().filter(move |line| same_name(line, like)).map(|line| line.value)
}

/// Returns whether both sides have the same values under the name of `line`.
fn same<'l, 'a>(
    (a, production): (&'l NamedLines<'a>, &ComparedResponse<'_>),
    (b, shadow): (&'l NamedLines<'a>, &ComparedResponse<'_>),
    line: &'l HeaderLine<'a>,
) -> bool {
    if values(a, line).eq(values(b, line)) {
        return true;
    }
    if values(b, line).next().is_none() {
        return false;
    }
    if line.is("set-cookie") {
        return cookies(values(a, line)) == cookies(values(b, line));
    }
    if line.is("location") || line.is("content-location") {
        return values(a, line)
            .map(|value| local(value, production.authorities))
            .eq(values(b, line).map(|value| local(value, shadow.authorities)));
    }
    let (ordered, caseless) = list_form(line.name);
    canonical(values(a, line), ordered, caseless) == canonical(values(b, line), ordered, caseless)
}

/// Returns two flags for a list under this name: the order of its elements counts; their case does not.
fn list_form(name: &[u8]) -> (bool, bool) {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let begins = |with: &str| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()));
    let ends = |with: &str| {
        let before = name.len().checked_sub(with.len());
        before.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(with.as_bytes()))
    };
    let cache = ends("cache-control") || is("surrogate-control") || is("pragma");
    let names = is("vary") || is("access-control-allow-headers") || is("access-control-expose-headers");
    let accepts = is("accept") || begins("accept-");
    // Methods among them, whose case counts (RFC 9110, 9.1).
    let others = begins("access-control-") || is("allow") || is("timing-allow-origin") || is("public");
    (!(cache || names || accepts || others), cache || names || accepts || is("content-type"))
}

/// A list in one form, whatever the blanks about its commas and semicolons, and how many lines it had. Where the order does
/// not count the elements are sorted, each once, and empty ones are none (RFC 9110, 5.6.1).
fn canonical<'a>(values: impl Iterator<Item = &'a [u8]>, ordered: bool, caseless: bool) -> Vec<u8> {
    let mut items: Vec<Vec<u8>> = values.flat_map(|value| split(value, b',')).map(element).collect();
    if caseless {
        for item in &mut items {
            item.make_ascii_lowercase();
        }
    }
    if !ordered {
        items.retain(|item| item.iter().any(|byte| *byte != b';'));
        items.sort_unstable();
        items.dedup();
    }
    items.join(&b',')
}

/// An element of a list without blanks about its semicolons.
fn element(item: &[u8]) -> Vec<u8> {
    let mut element = Vec::with_capacity(item.len() + 1);
    for part in split(item, b';') {
        element.extend_from_slice(part.trim_ascii());
        element.push(b';');
    }
    element
}

/// The parts of a value between commas or semicolons; those within quotes are none (RFC 9110, 5.6.4).
fn split(value: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        !quoted && *byte == at
    })
}

/// A reference without the scheme and the host where they are its own stack's.
fn local<'a>(value: &'a [u8], authorities: [&[u8]; 2]) -> &'a [u8] {
    let after = [&b"http://"[..], b"https://", b"//"].into_iter().find_map(|scheme| {
        let (begin, rest) = value.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(after) = after else { return value };
    let end = memchr::memchr3(b'/', b'?', b'#', after).unwrap_or(after.len());
    match after.split_at_checked(end) {
        Some((host, rest)) if authorities.iter().any(|own| !own.is_empty() && same_host(host, own)) => {
            if rest.is_empty() { b"/" } else { rest }
        }
        _ => value,
    }
}

fn same_host(one: &[u8], other: &[u8]) -> bool {
    bare(one).eq_ignore_ascii_case(bare(other))
}

/// A host without its port: a redirect from http to https has another.
fn bare(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', authority) {
        Some(colon) if authority.get(colon + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => {
            authority.get(..colon).unwrap_or(authority)
        }
        _ => authority,
    }
}

/// Cookies that are set, sorted: names and attributes; neither their values nor when exactly they expire.
fn cookies<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut cookies: Vec<String> = values.map(cookie).collect();
    cookies.sort_unstable();
    cookies
}

fn cookie(value: &[u8]) -> String {
    let text = wire_text(value);
    let mut parts = text.splitn(MAX_ATTRIBUTES + 1, ';').map(str::trim);
    let name = parts.next().and_then(|pair| pair.split_once('=')).map_or("", |(name, _)| name.trim());
    let mut attributes: Vec<String> = parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value.trim())));
            let name = name.trim().to_ascii_lowercase();
            match value {
                Some(value) if name != "expires" => format!("; {name}={}", value.to_ascii_lowercase()),
                _ => format!("; {name}"),
            }
        })
        .collect();
    attributes.sort_unstable();
    format!("{name}={MASK}{}", attributes.concat())
}

fn difference<'l, 'a>(line: &'l HeaderLine<'a>, a: &'l NamedLines<'a>, b: &'l NamedLines<'a>) -> Difference {
    let name = wire_text(line.name).to_ascii_lowercase();
    let (mut production, mut shadow) =
        (header_difference(&name, values(a, line)), header_difference(&name, values(b, line)));
    let kind = match (&production, &shadow) {
        (Some(_), None) => DifferenceKind::Missing,
        (None, _) => DifferenceKind::Extra,
        _ => DifferenceKind::Value,
    };
    let (production, shadow) = match (production.take(), shadow.take()) {
        (Some(one), Some(other)) => shown::pair(&one, &other),
        (one, other) => {
            (one.map_or(Value::Null, |one| shown::one(&one)), other.map_or(Value::Null, |one| shown::one(&one)))
        }
    };
    let path = super::path::cut_at(&name, shown::MAX_SHOWN).to_owned();
    Difference { place: DifferencePart::Header, path, kind, production, shadow }
}

/// The lines of a name as they may be shown; `None` where there is none.
fn header_difference<'a>(name: &str, values: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut values = values.peekable();
    values.peek()?;
    if name == "set-cookie" {
        return Some(cookies(values).join(", "));
    }
    let hidden = HIDDEN.contains(&name) || is_secret_name(name);
    let values: Vec<Cow<'_, str>> = values
        .map(|value| if hidden { MASK.into() } else { Cow::Owned(wire_text(&target(value)).into_owned()) })
        .collect();
    Some(values.join(", "))
}

pub(super) fn more() -> Difference {
    Difference {
        place: DifferencePart::Header,
        path: String::new(),
        kind: DifferenceKind::More,
        production: Value::Null,
        shadow: Value::Null,
    }
}
