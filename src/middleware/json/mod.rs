//! Values within a JSON text, by path: `$.items[*].price`, or a JSON pointer.
//!
//! In goes a text, out comes the text with one value changed or taken out. Everything beside it keeps its bytes: blanks,
//! numbers, keys, their order and duplicates. What is taken out goes with its comma.

mod node;
mod values;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json_path::{self, Segment, Step};
use node::{JsonNode, JsonNodeKind};
pub(super) use values::{replace, values};

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// Most steps of a path: as deep as texts are read at all.
const MAX_DEPTH: usize = 64;

/// Why a text is no path to a value in JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonPathError {
    /// The text cannot be read.
    #[error("`{typed}` is no JSON path: {why}; write one such as `$.items[*].email`, `$..email` or `/items/*/email`")]
    Syntax {
        /// Text as typed.
        typed: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The part after `..` is not one key.
    #[error("`{typed}` is not a key at any depth; write one key after the dots, at the end, such as `$..email`")]
    NoKey {
        /// Text as typed.
        typed: String,
    },
    /// It goes too deep.
    #[error("`{typed}` has more than {MAX_DEPTH} steps")]
    TooDeep {
        /// Text as typed.
        typed: String,
    },
}

/// The path to a value, or to several: `$.user.email`, `$.items[*].price`, `$..email`; or a JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Segment>);

impl JsonPath {
    /// Parses a path such as `$.items[*].price`, or a pointer such as `/items/*/price`. `$..email` is every member of that
    /// name, however deep.
    ///
    /// # Errors
    /// Fails where the text is no path, leads to the whole document, or has `..` before another step than its last.
    pub fn parse(typed: &str) -> Result<Self, JsonPathError> {
        let syntax = |why| JsonPathError::Syntax { typed: typed.to_owned(), why };
        let is_deep = |segment: &Segment| segment.deep;
        let segments = json_path::parse(typed).map_err(|why| match typed.trim_start_matches('$') {
            ".." => JsonPathError::NoKey { typed: typed.to_owned() },
            _ => syntax(why),
        })?;
        match segments.split_last() {
            None => Err(syntax("it is the whole document")),
            Some(_) if segments.len() > MAX_DEPTH => Err(JsonPathError::TooDeep { typed: typed.to_owned() }),
            Some((last, before)) => {
                let is_one_key = !last.deep || matches!(last.step, Step::Key(_));
                if before.iter().any(is_deep) || !is_one_key {
                    return Err(JsonPathError::NoKey { typed: typed.to_owned() });
                }
                Ok(Self(segments))
            }
        }
    }
}

impl JsonPath {
    /// Returns whether it leads to a key at any depth.
    pub(super) fn is_deep(&self) -> bool {
        self.0.last().is_some_and(|last| last.deep)
    }

    /// Returns the last key on the way; `None` where it leads through lists alone.
    pub(super) fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|segment| match &segment.step {
            Step::Key(key) | Step::KeyOrIndex(key, _) => Some(key.as_str()),
            _ => None,
        })
    }
}

/// Change to a value in a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonChange {
    Keep,
    Value(String),
    Remove,
}

/// One edit of what stands at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonEdit {
    at: JsonPath,
    /// The new value as JSON text; `None` takes it out.
    value: Option<String>,
}

impl JsonEdit {
    /// Gives what stands at `path` this value, which is a JSON text; a member that is not there is added to its
    /// object, where that is there.
    ///
    /// # Errors
    ///
    /// Where `path` is no JSON path, or has too many steps.
    pub fn set(path: &str, value: String) -> Result<Self, JsonPathError> {
        Ok(Self { at: JsonPath::parse(path)?, value: Some(value) })
    }

    /// Takes out what stands at `path`.
    ///
    /// # Errors
    ///
    /// Where `path` is no JSON path, or has too many steps.
    pub fn remove(path: &str) -> Result<Self, JsonPathError> {
        Ok(Self { at: JsonPath::parse(path)?, value: None })
    }

    pub(super) fn apply(&self, text: &str) -> Result<Option<String>, NotJson> {
        edit(text, &self.at, self.value.as_deref(), &mut |_| match &self.value {
            Some(value) => JsonChange::Value(value.clone()),
            None => JsonChange::Remove,
        })
    }
}

/// Offers each value at `path` to `change`. A last key that is missing is added with `missing`. `None` where nothing
/// changed.
pub(super) fn edit(
    text: &str,
    path: &JsonPath,
    missing: Option<&str>,
    change: &mut dyn FnMut(&str) -> JsonChange,
) -> Result<Option<String>, NotJson> {
    Ok(match inside(text, &path.0, missing, change)? {
        JsonChange::Value(text) => Some(text),
        JsonChange::Keep | JsonChange::Remove => None,
    })
}

fn inside(
    text: &str,
    path: &[Segment],
    missing: Option<&str>,
    change: &mut dyn FnMut(&str) -> JsonChange,
) -> Result<JsonChange, NotJson> {
    let Some((first, rest)) = path.split_first() else { return Ok(change(text)) };
    if let Segment { deep: true, step: Step::Key(key) } = first {
        return any_depth(text, key, change);
    }
    let node: JsonNode<'_> = serde_json::from_str(text).map_err(|_| NotJson)?;
    let mut changes = Vec::new();
    for (at, item) in node.items.iter().enumerate() {
        if !item.key.as_deref().map_or_else(|| first.step.is_index(at), |key| first.step.is_key(key)) {
            continue;
        }
        match inside(item.value, rest, missing, change)? {
            JsonChange::Keep => {}
            other => changes.push((at, other)),
        }
    }
    let added = match (missing, rest, &first.step, node.kind) {
        (Some(value), [], Step::Key(key) | Step::KeyOrIndex(key, _), JsonNodeKind::Object)
            if !node.items.iter().any(|item| item.key.as_deref() == Some(key)) =>
        {
            Some(format!("{}:{value}", serde_json::Value::from(key.as_str())))
        }
        _ => None,
    };
    let is_changed = added.is_some() || !changes.is_empty();
    Ok(if is_changed { JsonChange::Value(spliced(text, &node, changes, added)) } else { JsonChange::Keep })
}

/// Returns the text of an object or array with changes to some of its items, by their places, and a member added at its
/// end.
fn spliced(text: &str, node: &JsonNode<'_>, changes: Vec<(usize, JsonChange)>, added: Option<String>) -> String {
    let slice = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let open = after_blanks(text, 0) + 1;
    // What stands before the first item that stays, be it the first or not.
    let first = slice(0, after_blanks(text, open));
    let mut out = first.to_owned();
    let mut changes = changes.into_iter().peekable();
    let (mut end, mut is_empty) = (open, true);
    for (at, item) in node.items.iter().enumerate() {
        let from = item.value.as_ptr().addr() - text.as_ptr().addr();
        // Blanks, comma, key and colon.
        let before = slice(end, from);
        end = from + item.value.len();
        let value = match changes.next_if(|(place, _)| *place == at) {
            Some((_, JsonChange::Remove)) => continue,
            Some((_, JsonChange::Value(new))) => Cow::Owned(new),
            _ => Cow::Borrowed(item.value),
        };
        out.push_str(if is_empty { before.trim_start_matches([',', ' ', '\t', '\r', '\n']) } else { before });
        out.push_str(&value);
        is_empty = false;
    }
    if is_empty {
        out.truncate(open);
    }
    if let Some(member) = added {
        out.push_str(if is_empty { "" } else { "," });
        out.push_str(&member);
    }
    out + slice(end, text.len())
}

/// Offers the value of each member under `key` to `change`, outer ones first, in one pass over the text.
fn any_depth(text: &str, key: &str, change: &mut dyn FnMut(&str) -> JsonChange) -> Result<JsonChange, NotJson> {
    // From here on every quote begins or ends a string, and one before a colon is a key.
    serde_json::from_str::<&RawValue>(text).map_err(|_| NotJson)?;
    let slice = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let mut out: Option<String> = None;
    let (mut copied, mut at) = (0, 0);
    while let Some(quote) = memchr::memchr(b'"', slice(at, text.len()).as_bytes()) {
        let start = at + quote;
        let end = string_end(text, start);
        let colon = after_blanks(text, end);
        at = end;
        let is_key = text.as_bytes().get(colon) == Some(&b':');
        if !is_key || serde_json::from_str::<String>(slice(start, end)).map_err(|_| NotJson)? != key {
            continue;
        }
        let value = after_blanks(text, colon + 1);
        let value_end = value_end(text, value);
        match change(slice(value, value_end)) {
            JsonChange::Keep => continue,
            JsonChange::Value(new) => {
                let out = out.get_or_insert_default();
                out.push_str(slice(copied, value));
                out.push_str(&new);
                copied = value_end;
            }
            JsonChange::Remove => {
                let out = out.get_or_insert_default();
                out.push_str(slice(copied, start));
                let next = after_blanks(text, value_end);
                copied = value_end;
                if text.as_bytes().get(next) == Some(&b',') {
                    copied = next + 1;
                } else if let Some(rest) = out.trim_end().strip_suffix(',') {
                    out.truncate(rest.len());
                }
            }
        }
        at = copied;
    }
    Ok(match out {
        Some(out) => JsonChange::Value(out + slice(copied, text.len())),
        None => JsonChange::Keep,
    })
}

/// Offers what stands in each string that begins as an object or array does to `change`; keys are none of them. `None`
/// where nothing changed.
pub(super) fn within_strings(
    text: &str,
    change: &mut dyn FnMut(&str) -> Result<Option<String>, NotJson>,
) -> Result<Option<String>, NotJson> {
    let slice = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let mut out: Option<String> = None;
    let (mut copied, mut at) = (0, 0);
    while let Some(quote) = memchr::memchr(b'"', slice(at, text.len()).as_bytes()) {
        let start = at + quote;
        at = string_end(text, start);
        let is_key = text.as_bytes().get(after_blanks(text, at)) == Some(&b':');
        if is_key || !begins_json(slice(start + 1, at)) {
            continue;
        }
        let inner: String = serde_json::from_str(slice(start, at)).map_err(|_| NotJson)?;
        if let Some(new) = change(&inner)? {
            let out = out.get_or_insert_default();
            out.push_str(slice(copied, start));
            out.push_str(&serde_json::Value::from(new).to_string());
            copied = at;
        }
    }
    Ok(out.map(|out| out + slice(copied, text.len())))
}

/// Returns whether a string begins with a brace or bracket, after blanks, escaped ones too.
fn begins_json(string: &str) -> bool {
    let mut rest = string.trim_start();
    while let Some(after) = ["\\n", "\\r", "\\t"].into_iter().find_map(|blank| rest.strip_prefix(blank)) {
        rest = after.trim_start();
    }
    rest.starts_with(['{', '['])
}

/// Returns the end of the string that begins at `start`, its quotes included.
fn string_end(text: &str, start: usize) -> usize {
    let mut at = start + 1;
    loop {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            Some(found) => at += found + 2,
            None => return text.len(),
        }
    }
}

fn after_blanks(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Returns the end of the value that begins at `start`.
fn value_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + depth,
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        r#"{ "b": 1.50, "user": {"mail": "a@b", "id":7}, "list":[ {"x":1}, {"x":"é"}, 3 ], "b": 2, "a/b":0 }"#;

    fn check(pointer: &str, value: Option<&str>, after: Option<&str>) {
        let edit = JsonEdit { at: JsonPath::parse(pointer).unwrap(), value: value.map(str::to_owned) };
        assert_eq!(edit.apply(TEXT).unwrap().as_deref(), after, "{pointer}");
    }

    #[test]
    fn a_value_is_set_and_everything_beside_it_keeps_its_bytes() {
        let with = |old: &str, new: &str| Some(TEXT.replacen(old, new, 1));
        for (path, value, after) in [
            ("/user/mail", "\"x\"", with(r#""a@b""#, r#""x""#)),
            ("/list/*/x", "null", with(r#"{"x":1}, {"x":"é"}"#, r#"{"x":null}, {"x":null}"#)),
            ("$.list[*].x", "null", with(r#"{"x":1}, {"x":"é"}"#, r#"{"x":null}, {"x":null}"#)),
            ("$.user..mail", "0", with(r#""a@b""#, "0")),
            ("$.list[1].x[0]", "0", None),
            ("$['a/b']", "1", with(r#""a/b":0"#, r#""a/b":1"#)),
            ("/a~1b", "1", with(r#""a/b":0"#, r#""a/b":1"#)),
        ] {
            check(path, Some(value), after.as_deref());
        }
    }

    #[test]
    fn a_missing_member_is_added_to_an_object_that_is_there() {
        let added = TEXT.replace(r#""id":7}"#, r#""id":7,"new":true}"#);
        check("/user/new", Some("true"), Some(&added));
        check("/nobody/new", Some("true"), None);
        check("/list/new", Some("true"), None);
    }

    #[test]
    fn values_are_taken_out_of_objects_and_arrays_duplicates_too() {
        check("/b", None, Some(&TEXT.replace(r#""b": 1.50, "#, "").replace(r#", "b": 2"#, "")));
        check("/list/1", None, Some(&TEXT.replace(r#", {"x":"é"}"#, "")));
        check("/none", None, None);
        check("/b/c", None, None);
    }

    #[test]
    fn blanks_stay_where_they_were() {
        let changed = |edit: JsonEdit, text: &str| edit.apply(text).unwrap().unwrap();
        let remove = |path: &str, text: &str| changed(JsonEdit::remove(path).unwrap(), text);
        let set = |path: &str, text: &str| changed(JsonEdit::set(path, "0".to_owned()).unwrap(), text);
        let pretty = "\n{\n  \"\\u0061\" : 1,\n  \"b\": [1 , 2],\n  \"c\": {}\n}\r\n";
        assert_eq!(set("$.a", pretty), pretty.replace(": 1,", ": 0,"));
        assert_eq!(set("$.b[1]", pretty), pretty.replace(", 2]", ", 0]"));
        assert_eq!(set("$.c.d", pretty), pretty.replace("{}", "{\"d\":0}"));
        assert_eq!(set("$.d", pretty), pretty.replace("{}", "{},\"d\":0"));
        assert_eq!(remove("$.a", pretty), pretty.replace("\"\\u0061\" : 1,\n  ", ""));
        assert_eq!(remove("$.c", pretty), pretty.replace(",\n  \"c\": {}", ""));
        assert_eq!(remove("$.b[0]", pretty), pretty.replace("1 , 2", "2"));
        assert_eq!(remove("$.b[*]", pretty), pretty.replace("1 , 2", ""));
        assert_eq!((remove("$.a", "{ \"a\": 1 }"), set("$.a", "{ }")), ("{ }".to_owned(), "{\"a\":0 }".to_owned()));
    }

    #[test]
    fn a_key_is_found_at_any_depth() {
        const DEEP: &str = r#"{"k":1, "a":[{"k" : {"k":2},"b":"\"k\":"},{"b":[],"k":"}"}], "k\u006b":3, "\u006b":[4]}"#;
        let edited = |edit: JsonEdit| edit.apply(DEEP).unwrap().unwrap();
        assert_eq!(
            edited(JsonEdit::set("..k", "0".to_owned()).unwrap()),
            r#"{"k":0, "a":[{"k" : 0,"b":"\"k\":"},{"b":[],"k":0}], "k\u006b":3, "\u006b":0}"#
        );
        assert_eq!(edited(JsonEdit::remove("$..k").unwrap()), r#"{ "a":[{"b":"\"k\":"},{"b":[]}], "k\u006b":3}"#);
        let nothing = |pointer: &str, text: &str| JsonEdit::remove(pointer).unwrap().apply(text);
        assert_eq!(nothing("..z", DEEP), Ok(None));
        assert_eq!(nothing("..k", "{\"k\":1,}"), Err(NotJson));
        let deep = "[".repeat(100_000) + "{\"k\":1}" + &"]".repeat(100_000);
        assert_eq!(nothing("..k", &deep), Ok(Some(deep.replace("\"k\":1", ""))));
        for typed in ["..", "$..", "..*", "..a.b", "$..a..b", "..a[0]"] {
            assert!(JsonPath::parse(typed).unwrap_err().to_string().contains("one key after the dots"), "{typed}");
        }
    }

    #[test]
    fn what_is_not_json_is_told_apart_from_what_does_not_match() {
        let edit = JsonEdit::remove("/a").unwrap();
        for text in ["", "{", "{\"a\":1} x", "nonsense"] {
            assert_eq!(edit.apply(text), Err(NotJson), "{text}");
        }
        assert_eq!(edit.apply("\"a\""), Ok(None));
        assert_eq!(edit.apply(&"[".repeat(100_000)), Err(NotJson));
    }

    #[test]
    fn a_path_begins_with_a_dollar_or_a_slash_and_has_a_bound() {
        for typed in ["user", "$user", "", "$", "$.a[", "$.a[x]"] {
            assert!(JsonPath::parse(typed).unwrap_err().to_string().contains("such as `$.items[*].email`"), "{typed}");
        }
        assert!(JsonPath::parse(&"/a".repeat(65)).is_err());
    }
}
