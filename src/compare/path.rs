//! Places within JSON, as they are written: `$.items[3].id`, `$["odd name"]`.

use std::fmt::Write as _;

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

/// The path with `[*]` for indices: the same for all elements of a list.
pub(super) fn general(steps: &[PathStep<'_>]) -> String {
    written(steps, false)
}

fn written(steps: &[PathStep<'_>], indices: bool) -> String {
    let mut path = String::with_capacity(48);
    path.push('$');
    for step in steps {
        match step {
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

/// The field that a place belongs to: its path with `[*]` for each index.
#[must_use]
pub fn field(path: &str) -> String {
    let mut field = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(open) = rest.find('[') {
        let (before, bracket) = rest.split_at(open);
        field.push_str(before);
        let end = end_of_bracket(bracket);
        let (inside, after) = bracket.split_at(end);
        let digits = inside.strip_prefix('[').and_then(|inside| inside.strip_suffix(']'));
        let is_index = digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        field.push_str(if is_index { "[*]" } else { inside });
        rest = after;
    }
    field.push_str(rest);
    field
}

/// Where the bracket that `text` begins with is over; brackets within quotes do not count.
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
        for path in ["", "etag", "line 7", "$.a[", "$[\"]", "[]", "[x]"] {
            assert_eq!(field(path), path);
        }
    }

    #[test]
    fn a_long_path_is_cut_at_a_whole_character() {
        let key = "é".repeat(400);
        let path = exact(&[PathStep::Key(&key), PathStep::Index(1)]);
        assert!(path.len() <= MAX_PATH + '…'.len_utf8() && path.ends_with('…'), "{}", path.len());
    }
}
