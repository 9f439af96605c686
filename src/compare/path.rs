//! Places within JSON, as they are written: `$.items[3].id`, `$["odd name"]`.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::ids::{is_id_key, is_number};

/// Longest path that is written, in bytes; a longer one is cut there, and ends in `…`.
const MAX_PATH: usize = 256;

/// One step from a value to one inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathStep<'a> {
    Key(&'a str),
    Index(usize),
}

/// The path with indices.
pub(super) fn exact(steps: &[PathStep<'_>]) -> String {
    written(steps, true)
}

/// Wildcard for every member of a map, as in a rule.
const EVERY_MEMBER: &str = ".*";

/// The path with `[*]` for indices and `.*` for keys that are ids: the same for all elements of a list, and for all members
/// of a map.
pub(super) fn general(steps: &[PathStep<'_>]) -> String {
    written(steps, false)
}

fn written(steps: &[PathStep<'_>], indices: bool) -> String {
    let mut path = String::with_capacity(48);
    path.push('$');
    for step in steps {
        match step {
            PathStep::Key(key) if !indices && is_id_key(key) => path.push_str(EVERY_MEMBER),
            PathStep::Key(key) => push_key(&mut path, cut_at(key, MAX_PATH)),
            // Writing to a String cannot fail.
            PathStep::Index(index) if indices => {
                write!(path, "[{index}]").ok();
            }
            PathStep::Index(_) => path.push_str("[*]"),
        }
        if path.len() > MAX_PATH {
            let cut = cut_at(&path, MAX_PATH).len();
            path.truncate(cut);
            path.push('…');
            break;
        }
    }
    path
}

fn push_key(path: &mut String, key: &str) {
    if is_plain(key) {
        path.push('.');
        path.push_str(key);
    } else {
        // As a JSON string, so that nothing in it can be taken for another step. Writing to a String cannot fail.
        write!(path, "[{}]", serde_json::Value::from(key)).ok();
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@'))
}

/// The field that a place belongs to: its path with `[*]` for each index, and `.*` for each key that is an id.
#[must_use]
pub fn field(path: &str) -> Cow<'_, str> {
    let Some(mut rest) = path.strip_prefix('$') else { return path.into() };
    // Most paths are those of their fields: up to here this one is.
    let mut same = 1;
    let mut field = String::new();
    while !rest.is_empty() {
        let is_bracket = rest.starts_with('[');
        let end = if is_bracket { end_of_bracket(rest) } else { end_of_key(rest) };
        let (step, after) = rest.split_at(end);
        let general = if is_bracket { bracket(step) } else { member(step) };
        if field.is_empty() && general == step {
            same += end;
        } else {
            if field.is_empty() {
                field.reserve(path.len());
                field.push_str(path.get(..same).unwrap_or_default());
            }
            field.push_str(general);
        }
        rest = after;
    }
    if field.is_empty() { path.into() } else { field.into() }
}

/// A step in brackets as it is in a field.
fn bracket(step: &str) -> &str {
    let Some(inside) = step.strip_prefix('[').and_then(|step| step.strip_suffix(']')) else { return step };
    if is_number(inside) {
        return "[*]";
    }
    match serde_json::from_str::<Cow<'_, str>>(inside) {
        Ok(key) if is_id_key(&key) => EVERY_MEMBER,
        _ => step,
    }
}

/// A step after a dot as it is in a field.
fn member(step: &str) -> &str {
    if step.strip_prefix('.').is_some_and(is_id_key) { EVERY_MEMBER } else { step }
}

/// Returns the end of the step that `text` begins with.
fn end_of_key(text: &str) -> usize {
    let begun = text.chars().next().map_or(0, char::len_utf8);
    text.get(begun..).and_then(|rest| rest.find(['.', '['])).map_or(text.len(), |end| begun + end)
}

/// Returns the end of the bracket that `text` begins with; brackets within quotes do not count.
fn end_of_bracket(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// No more than `most` bytes of a text, whole characters.
pub(super) fn cut_at(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_keys_and_indices_and_a_field_only_keys() {
        let steps = [PathStep::Key("items"), PathStep::Index(3), PathStep::Key("a[0]\"b"), PathStep::Key("né")];
        assert_eq!(exact(&steps), r#"$.items[3]["a[0]\"b"]["né"]"#);
        assert_eq!(general(&steps), r#"$.items[*]["a[0]\"b"]["né"]"#);
        assert_eq!(field(&exact(&steps)), general(&steps));
        assert_eq!(exact(&[]), "$");
    }

    #[test]
    fn a_field_of_what_is_no_path_is_the_same() {
        for path in ["", "etag", "line 7", "$.a[", "$[\"]", "[]", "[x]", "x-1[2]", "$", "$.", "$é", "$..a", "$['a[1']"]
        {
            assert_eq!(field(path), path);
        }
    }

    #[test]
    fn members_under_ids_are_one_field_that_is_a_rule_too() {
        let uuid = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
        for key in ["31337", uuid, "9f86d081884c7d65", "10:30", "dGhpcyBpcyBhIHRlc3Q+1=="] {
            let steps = [PathStep::Key("by"), PathStep::Key(key), PathStep::Index(2), PathStep::Key("at")];
            assert_eq!(general(&steps), "$.by.*[*].at", "{key}");
            assert_eq!(field(&exact(&steps)), general(&steps), "{}", exact(&steps));
        }
        let named = [PathStep::Key("width_1080"), PathStep::Key("*"), PathStep::Key("31337")];
        assert_eq!(general(&named), "$.width_1080[\"*\"].*");
        assert_eq!(field(&exact(&named)), general(&named));
        assert_eq!(field(&general(&named)), general(&named), "once more changes nothing");
    }

    #[test]
    fn a_long_path_is_cut_at_a_whole_character() {
        let key = "é".repeat(400);
        let path = exact(&[PathStep::Key(&key), PathStep::Index(1)]);
        assert!(path.len() <= MAX_PATH + '…'.len_utf8() && path.ends_with('…'), "{}", path.len());
    }
}
