//! Header lines that count, by their names. Several lines of one name are one list (RFC 9110, 5.3).

use std::borrow::Cow;

use arrayvec::ArrayVec;
use serde_json::Value;

use super::common::common_len;
use super::shown;
use super::{CompareRules, ComparedResponse, Difference, DifferenceKind, DifferencePart, MAX_COMPARED_HEAD};
use crate::exchange::{Head, HeaderLine, HeaderLines, wire_text};
use crate::middleware::redact::MASK;
use crate::middleware::secret_names::SecretNames;

/// Most header lines compared per head. With more, the result notes that there may be more differences.
const MAX_LINES: usize = 100;

/// Most attributes of a cookie that are split; the rest counts as one.
const MAX_ATTRIBUTES: usize = 32;

/// Headers whose values are nobody's business, besides those whose name says so.
const HIDDEN: [&str; 5] = ["cookie", "proxy-authorization", "set-cookie2", "x-api-key", "x-auth-token"];

/// The lines of a head, indexed once: names are told apart by their keys.
#[derive(Default)]
struct NamedLines<'a> {
    lines: ArrayVec<HeaderLine<'a>, MAX_LINES>,
    keys: ArrayVec<u32, MAX_LINES>,
}

impl<'a> NamedLines<'a> {
    /// Takes the lines of `head` that are `wanted`; false where there are too many.
    fn fill(&mut self, head: &'a Head, wanted: impl Fn(&[u8]) -> bool) -> bool {
        self.lines.clear();
        self.keys.clear();
        let mut wanted = head.lines().filter(|line| wanted(line.name));
        wanted.all(|line| self.keys.try_push(key(line.name)).is_ok() && self.lines.try_push(line).is_ok())
    }

    /// The lines, each with the key of its name.
    fn iter(&self) -> impl Iterator<Item = (u32, &HeaderLine<'a>)> {
        self.keys.iter().copied().zip(&self.lines)
    }

    /// The first line of each name with one of these keys.
    fn firsts(&self, keys: &[u32]) -> impl Iterator<Item = (u32, &HeaderLine<'a>)> {
        let wanted = self.iter().enumerate().filter(|(_, (key, _))| keys.contains(key));
        wanted.filter_map(|(at, (key, line))| {
            let is_first = !self.iter().take(at).any(|(other, before)| other == key && same_name(before, line));
            is_first.then_some((key, line))
        })
    }

    /// Keys of the names that may have other values in `other`: lines that stand in both, in the same order, are left out.
    fn keys_that_differ(&self, other: &Self) -> ArrayVec<u32, { 2 * MAX_LINES }> {
        let mut keys = ArrayVec::new();
        let mut passed = 0;
        for (key, line) in self.iter() {
            let is_twin =
                |(at, twin): (u32, &HeaderLine<'a>)| at == key && same_name(twin, line) && twin.value == line.value;
            match other.iter().skip(passed).position(is_twin) {
                Some(between) => {
                    keys.extend(other.keys.iter().skip(passed).take(between).copied());
                    passed += between + 1;
                }
                None => keys.push(key),
            }
        }
        keys.extend(other.keys.iter().skip(passed).copied());
        keys
    }
}

/// A number that is the same for names that differ in case alone, and for few others.
fn key(name: &[u8]) -> u32 {
    let letter = |letter: Option<&u8>| letter.map_or(0, |letter| u32::from(letter.to_ascii_lowercase()));
    let middle = name.get(name.len() / 2);
    (u32::try_from(name.len()).unwrap_or(u32::MAX) << 24)
        | (letter(name.first()) << 16)
        | (letter(middle) << 8)
        | letter(name.last())
}

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
    let (mut a, mut b) = (NamedLines::default(), NamedLines::default());
    // Mostly it is asked only of names that differ whether they count.
    let all = !rules.looks_at_all_names() && a.fill(one, |_| true) && b.fill(other, |_| true);
    let counts = |name: &[u8]| names.counts(name);
    let fits = all || (a.fill(one, counts) && b.fill(other, counts));
    if !fits {
        differences.push(more());
        return;
    }
    let keys = a.keys_that_differ(&b);
    for (key, line) in a.firsts(&keys) {
        if !same((&a, production), (&b, shadow), (key, line)) && (!all || counts(line.name)) {
            differences.push(difference((key, line), &a, &b, rules.secrets()));
        }
    }
    for (key, line) in b.firsts(&keys) {
        if values(&a, (key, line)).next().is_none() && (!all || counts(line.name)) {
            differences.push(difference((key, line), &a, &b, rules.secrets()));
        }
    }
}

/// Returns whether both have the same lines in the same order, except for values that do not count. That is so for most
/// responses of an equal stack. Lines that are equal byte for byte are not parsed.
fn are_alike(names: CountedNames<'_>, one: &Head, other: &Head) -> bool {
    let (mut a, mut b) = (after_line(one.as_bytes()), after_line(other.as_bytes()));
    loop {
        let same = common_len(a, b);
        let line = a.get(..same).and_then(|same| memchr::memrchr(b'\n', same)).map_or(0, |end| end + 1);
        (a, b) = (a.get(line..).unwrap_or_default(), b.get(line..).unwrap_or_default());
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

fn same_name(one: &HeaderLine<'_>, other: &HeaderLine<'_>) -> bool {
    one.name.len() == other.name.len() && one.name.eq_ignore_ascii_case(other.name)
}

/// The values under the name of a line.
fn values<'l, 'a>(
    lines: &'l NamedLines<'a>,
    (key, like): (u32, &'l HeaderLine<'a>),
) -> impl Iterator<Item = &'a [u8]> + 'l {
    let has_name = move |(other, line): &(u32, &HeaderLine<'a>)| *other == key && same_name(line, like);
    lines.iter().filter(has_name).map(|(_, line)| line.value)
}

/// Returns whether both sides have the same values under the name of `line`.
fn same<'l, 'a>(
    (a, production): (&'l NamedLines<'a>, &ComparedResponse<'_>),
    (b, shadow): (&'l NamedLines<'a>, &ComparedResponse<'_>),
    (key, line): (u32, &'l HeaderLine<'a>),
) -> bool {
    let values = |lines: &'l NamedLines<'a>| values(lines, (key, line));
    if values(a).eq(values(b)) {
        return true;
    }
    if values(b).next().is_none() {
        return false;
    }
    if line.is("set-cookie") {
        return cookies(values(a)) == cookies(values(b));
    }
    if line.is("location") || line.is("content-location") {
        return values(a)
            .map(|value| local(value, production.authorities))
            .eq(values(b).map(|value| local(value, shadow.authorities)));
    }
    let (ordered, caseless) = list_form(line.name);
    if let (Some(one), Some(other)) = (only(values(a)), only(values(b)))
        && [one, other].iter().all(|value| memchr::memchr2(b',', b';', value).is_none())
    {
        // Neither is a list.
        return caseless && one.eq_ignore_ascii_case(other);
    }
    canonical(values(a), ordered, caseless) == canonical(values(b), ordered, caseless)
}

/// The value, where there is one.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
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

fn difference<'l, 'a>(
    (key, line): (u32, &'l HeaderLine<'a>),
    a: &'l NamedLines<'a>,
    b: &'l NamedLines<'a>,
    secrets: &SecretNames,
) -> Difference {
    let name = wire_text(line.name).to_ascii_lowercase();
    let shown = |lines| header_difference(&name, values(lines, (key, line)), secrets);
    let (mut production, mut shadow) = (shown(a), shown(b));
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
fn header_difference<'a>(name: &str, values: impl Iterator<Item = &'a [u8]>, secrets: &SecretNames) -> Option<String> {
    let mut values = values.peekable();
    values.peek()?;
    if name == "set-cookie" {
        return Some(cookies(values).join(", "));
    }
    let hidden = HIDDEN.contains(&name) || secrets.has_header(name);
    let values: Vec<Cow<'_, str>> = values
        .map(|value| if hidden { MASK.into() } else { Cow::Owned(wire_text(&secrets.target(value)).into_owned()) })
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
