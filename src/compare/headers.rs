//! Header lines that count, by their names. Several lines of one name are one list (RFC 9110, 5.3).

use serde_json::Value;
use smallvec::SmallVec;

use super::common::common_len;
use super::cookies;
use super::indexed_head::{IndexedHead, NamedLine, NamedLines, is_same_name};
use super::shown;
use super::unfold::unfolded;
use super::{
    CompareRules, ComparedResponse, Difference, DifferenceKind, DifferencePart, IndexedResponse, MAX_COMPARED_HEAD,
    location,
};
use crate::content_coding;
use crate::exchange::{Head, HeaderLines, wire_text};
use crate::middleware::redact::MASK;
use crate::middleware::secret_names::SecretNames;

/// Headers whose values are nobody's business, besides those whose name says so.
const HIDDEN: [&str; 5] = ["cookie", "proxy-authorization", "set-cookie2", "x-api-key", "x-auth-token"];

/// Keys of names, and how many there is room for at once: few differ.
type Keys = SmallVec<[u32; 16]>;

/// The first line of each name with one of these keys.
fn firsts<'l, 'a>(lines: &'l [NamedLine<'a>], keys: &'l Keys) -> impl Iterator<Item = &'l NamedLine<'a>> {
    lines.iter().enumerate().filter_map(|(at, line)| {
        let is_first = || !lines.iter().take(at).any(|before| before.has_name_of(line));
        (keys.contains(&line.key) && is_first()).then_some(line)
    })
}

/// Keys of the names that may have other values on the other side: lines that stand in both, in the same order, are left
/// out.
fn keys_that_differ(one: &[NamedLine<'_>], other: &[NamedLine<'_>]) -> Keys {
    let mut keys = Keys::new();
    let mut rest = other;
    for line in one {
        match rest.iter().position(|twin| twin.has_name_of(line) && twin.value == line.value) {
            Some(between) => {
                let (passed, after) = rest.split_at_checked(between + 1).unwrap_or((rest, &[]));
                keys.extend(passed.iter().take(between).map(|line| line.key));
                rest = after;
            }
            None => keys.push(line.key),
        }
    }
    keys.extend(rest.iter().map(|line| line.key));
    keys
}

/// Most connection options of a head that are heeded; what further ones name is compared.
const MAX_OPTIONS: usize = 64;

/// Names of the header lines that are compared.
#[derive(Clone, Copy)]
struct CountedNames<'r, 'a> {
    rules: &'r CompareRules,
    /// True when the length in both heads is that of a body that was not requested: then it is no framing.
    length: bool,
    heads: [&'r IndexedHead<'a>; 2],
}

impl CountedNames<'_, '_> {
    fn counts(self, name: &[u8]) -> bool {
        (self.rules.counts(name) && !self.is_of_hop(name))
            || (self.length && name.eq_ignore_ascii_case(b"content-length"))
    }

    /// Returns whether Connection names it on either side: then it is of that connection alone (RFC 9110, 7.6.1).
    fn is_of_hop(self, name: &[u8]) -> bool {
        let is_named = |head: &IndexedHead<'_>| {
            let options = head.get_all("connection").flat_map(|value| value.split(|byte| *byte == b','));
            options.take(MAX_OPTIONS).any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
        };
        !self.rules.is_asked_for(name) && self.heads.iter().any(|head| is_named(head))
    }
}

/// Adds in what the header lines of two responses differ, to HEAD or to another method. Returns false, and adds nothing,
/// where they are not alike and have more than `most` lines.
pub(super) fn compare<'a>(
    rules: &CompareRules,
    to_head: bool,
    (production, shadow): (&IndexedResponse<'_, 'a>, &IndexedResponse<'_, 'a>),
    most: usize,
    differences: &mut Vec<Difference>,
) -> bool {
    let (Some(one), Some(other)) = (&production.head, &shadow.head) else { return true };
    let (production, shadow) = (production.response, shadow.response);
    if one.head().as_bytes().len().max(other.head().as_bytes().len()) > MAX_COMPARED_HEAD {
        differences.push(more());
        return true;
    }
    // A response in chunks names no length.
    let in_chunks = |head: &IndexedHead<'_>| head.get("transfer-encoding").is_some();
    let length = to_head && rules.head_length() && !in_chunks(one) && !in_chunks(other);
    let names = CountedNames { rules, length, heads: [one, other] };
    if are_alike(names, one.head(), other.head()) {
        return true;
    }
    let (one_line, other_line) = (unfolded(one.head()), unfolded(other.head()));
    if one_line.is_some() || other_line.is_some() {
        let production = ComparedResponse { head: one_line.as_ref().or(production.head), ..*production };
        let shadow = ComparedResponse { head: other_line.as_ref().or(shadow.head), ..*shadow };
        let sides = (&IndexedResponse::new(&production), &IndexedResponse::new(&shadow));
        return compare(rules, to_head, sides, most, differences);
    }
    if one.lines().as_slice().len().max(other.lines().as_slice().len()) > most {
        return false;
    }
    // Mostly it is asked only of names that differ whether they count.
    let all = !rules.looks_at_all_names() && one.lines().is_whole() && other.lines().is_whole();
    let counts = |name: &[u8]| names.counts(name);
    if all {
        let sides = ((one.lines(), production), (other.lines(), shadow));
        lines_that_differ(rules, sides, counts, differences);
    } else {
        let counted = |head: &IndexedHead<'a>| {
            let lines = head.lines();
            if lines.is_whole() { lines.only(counts) } else { NamedLines::of(head.head(), counts) }
        };
        let (one, other) = (counted(one), counted(other));
        if one.is_whole() && other.is_whole() {
            lines_that_differ(rules, ((&one, production), (&other, shadow)), |_| true, differences);
        } else {
            differences.push(more());
        }
    }
    true
}

/// The lines of a head that are compared, and its response.
type SideLines<'l, 'a> = (&'l NamedLines<'a>, &'l ComparedResponse<'a>);

/// Adds the differences of the lines whose names count.
fn lines_that_differ(
    rules: &CompareRules,
    ((one, production), (other, shadow)): (SideLines<'_, '_>, SideLines<'_, '_>),
    counts: impl Fn(&[u8]) -> bool,
    differences: &mut Vec<Difference>,
) {
    let (a, b) = (one.as_slice(), other.as_slice());
    let keys = keys_that_differ(a, b);
    for line in firsts(a, &keys) {
        if !same((a, production), (b, shadow), line) && counts(line.name) {
            differences.push(difference(line, (a, production), (b, shadow), rules.secrets()));
        }
    }
    for line in firsts(b, &keys) {
        if values(a, line).next().is_none() && !same((a, production), (b, shadow), line) && counts(line.name) {
            differences.push(difference(line, (a, production), (b, shadow), rules.secrets()));
        }
    }
}

/// Returns whether both have the same lines in the same order, except for values that do not count. That is so for most
/// responses of an equal stack. Lines that are equal byte for byte are not parsed.
fn are_alike(names: CountedNames<'_, '_>, one: &Head, other: &Head) -> bool {
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
            (Some(x), Some(y)) if is_same_name(x.name, y.name) && (x.value == y.value || !names.counts(x.name)) => {
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

/// The values under the name of a line.
fn values<'l, 'a>(lines: &'l [NamedLine<'a>], like: &'l NamedLine<'_>) -> impl Iterator<Item = &'a [u8]> + 'l {
    lines.iter().filter(move |line| line.has_name_of(like)).map(|line| line.value)
}

/// Returns whether both sides have the same values under the name of `line`.
fn same<'l, 'a>(
    (a, production): (&'l [NamedLine<'a>], &ComparedResponse<'_>),
    (b, shadow): (&'l [NamedLine<'a>], &ComparedResponse<'_>),
    line: &NamedLine<'_>,
) -> bool {
    if values(a, line).eq(values(b, line)) {
        return true;
    }
    let is = |name: &str| line.name.eq_ignore_ascii_case(name.as_bytes());
    if is("content-encoding") {
        return codings(values(a, line)) == codings(values(b, line));
    }
    if values(a, line).next().is_none() || values(b, line).next().is_none() {
        return false;
    }
    if is("set-cookie") {
        return cookies::same((values(a, line), production.head), (values(b, line), shadow.head));
    }
    if is("location") || is("content-location") {
        return location::same((values(a, line), production.authorities), (values(b, line), shadow.authorities));
    }
    let (ordered, caseless) = list_form(line.name);
    if let (Some(one), Some(other)) = (only(values(a, line)), only(values(b, line)))
        && [one, other].iter().all(|value| memchr::memchr2(b',', b';', value).is_none())
    {
        // Neither is a list.
        return caseless && one.eq_ignore_ascii_case(other);
    }
    if ordered {
        return are_alike_in_order(values(a, line), values(b, line), caseless);
    }
    canonical(values(a, line), caseless) == canonical(values(b, line), caseless)
}

/// Codings in the order in which they were put on, each by one name.
fn codings<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let names = content_coding::names(values);
    names.map(|name| content_coding::canonical_name(&name.to_ascii_lowercase()).to_vec()).collect()
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

/// Returns whether two lists have the same elements in the same order, whatever the blanks about their commas and semicolons,
/// and how many lines they had.
fn are_alike_in_order<'a>(
    one: impl Iterator<Item = &'a [u8]>,
    other: impl Iterator<Item = &'a [u8]>,
    caseless: bool,
) -> bool {
    let (mut one, mut other) = (parts(one), parts(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some((begins, a)), Some((also, b)))
                if begins == also && (a == b || (caseless && a.eq_ignore_ascii_case(b))) => {}
            _ => return false,
        }
    }
}

/// What stands between the commas and semicolons of a list, without blanks about it; true for what begins an element.
fn parts<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = (bool, &'a [u8])> {
    let elements = values.flat_map(|value| split(value, b','));
    elements.flat_map(|element| split(element, b';').enumerate().map(|(at, part)| (at == 0, part.trim_ascii())))
}

/// A list whose order does not count in one form: its elements sorted, each once, and empty ones are none (RFC 9110, 5.6.1).
fn canonical<'a>(values: impl Iterator<Item = &'a [u8]>, caseless: bool) -> Vec<Vec<u8>> {
    let mut items: Vec<Vec<u8>> = values.flat_map(|value| split(value, b',')).map(element).collect();
    if caseless {
        for item in &mut items {
            item.make_ascii_lowercase();
        }
    }
    items.retain(|item| item.iter().any(|byte| *byte != b';'));
    items.sort_unstable();
    items.dedup();
    items
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

fn difference<'a>(
    line: &NamedLine<'_>,
    (a, production): (&[NamedLine<'a>], &ComparedResponse<'_>),
    (b, shadow): (&[NamedLine<'a>], &ComparedResponse<'_>),
    secrets: &SecretNames,
) -> Difference {
    let mut name = wire_text(line.name).to_ascii_lowercase();
    let shown = |lines, head| header_difference(&name, values(lines, line), head, secrets);
    let (production, shadow, kind) = match (shown(a, production.head), shown(b, shadow.head)) {
        (Some(one), Some(other)) => {
            let (one, other) = shown::pair(&one, &other);
            (one, other, DifferenceKind::Value)
        }
        (Some(one), None) => (shown::one(&one), Value::Null, DifferenceKind::Missing),
        (None, other) => (Value::Null, other.map_or(Value::Null, |other| shown::one(&other)), DifferenceKind::Extra),
    };
    name.truncate(super::path::cut_at(&name, shown::MAX_SHOWN).len());
    Difference { place: DifferencePart::Header, path: name, kind, production, shadow }
}

/// The lines of a name in a head as they may be shown; `None` where there is none.
fn header_difference<'a>(
    name: &str,
    values: impl Iterator<Item = &'a [u8]>,
    head: Option<&Head>,
    secrets: &SecretNames,
) -> Option<String> {
    let mut values = values.peekable();
    values.peek()?;
    if name == "set-cookie" {
        return Some(cookies::shown(values, head));
    }
    let hidden = HIDDEN.contains(&name) || secrets.has_header(name);
    let text = |value| if hidden { MASK.to_owned() } else { wire_text(&secrets.target(value)).into_owned() };
    let mut shown = text(values.next()?);
    for value in values {
        shown.push_str(", ");
        shown.push_str(&text(value));
    }
    Some(shown)
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
