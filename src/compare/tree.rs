//! JSON as a tree that borrows from its text, numbers as they are written. Quicker than a map of owned values: most of a
//! document is only ever compared, never kept.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use memchr::memchr2;

use super::Unknown;
use super::budget::{Budget, MAX_VALUES};
use super::number::Number;

/// Members up to which an object is searched from end to end.
const FEW: usize = 16;
/// Bytes for each member of a larger one while its keys are looked up: those of a table that is half full, twice where keys
/// come twice, and a second list.
const LOOKED_UP: usize = 192;
/// Lists and objects that may lie within each other.
const MAX_DEPTH: usize = 127;

/// A JSON value. Keys stand in the order of the text, each once: of several the last counts, as most parsers have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TreeNode<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(Cow<'a, str>),
    List(Vec<TreeNode<'a>>),
    Object(Vec<(Cow<'a, str>, TreeNode<'a>)>),
}

/// Returns the documents of a text, one or more, each on lines of its own (JSON, or JSON lines); `None` where it is not
/// JSON, or nested more than 127 levels deep, or where it is larger than `budget` allows, which then says so.
pub(super) fn read<'a>(text: &'a [u8], budget: &Budget) -> Option<Vec<TreeNode<'a>>> {
    let text = std::str::from_utf8(without_mark(text)).ok()?;
    TreeReader { text, at: 0, budget, values: MAX_VALUES }.documents()
}

/// Returns whether a text begins as a JSON object or array does.
pub(super) fn may_be_json(text: &[u8]) -> bool {
    matches!(without_mark(text).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// A byte order mark is no JSON (RFC 8259, 8.1), and may be passed over.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads values, as long as there is room for them.
struct TreeReader<'a, 'b> {
    text: &'a str,
    /// Position of the reader in the text, in bytes.
    at: usize,
    budget: &'b Budget,
    /// Values that may follow.
    values: u32,
}

impl<'a> TreeReader<'a, '_> {
    fn documents(&mut self) -> Option<Vec<TreeNode<'a>>> {
        let mut documents = Vec::new();
        loop {
            let ends_line = self.skip_blanks();
            if self.at == self.text.len() {
                break;
            }
            if !documents.is_empty() && !ends_line {
                return None;
            }
            let document = self.value(0)?;
            self.push(&mut documents, document)?;
        }
        (!documents.is_empty()).then_some(documents)
    }

    fn value(&mut self, depth: usize) -> Option<TreeNode<'a>> {
        let Some(left) = self.values.checked_sub(1) else {
            self.budget.exceed(Unknown::Values);
            return None;
        };
        self.values = left;
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth + 1),
            b'[' if depth < MAX_DEPTH => self.list(depth + 1),
            b'"' => self.string().map(TreeNode::Text),
            b'n' => self.literal("null", TreeNode::Null),
            b't' => self.literal("true", TreeNode::Bool(true)),
            b'f' => self.literal("false", TreeNode::Bool(false)),
            _ => {
                let number = Number::prefix(self.text.get(self.at..)?)?;
                self.at += number.text().len();
                Some(TreeNode::Number(number))
            }
        }
    }

    fn literal(&mut self, word: &str, value: TreeNode<'a>) -> Option<TreeNode<'a>> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(value)
    }

    fn list(&mut self, depth: usize) -> Option<TreeNode<'a>> {
        let mut items = Vec::new();
        if self.opens_empty(b']') {
            return Some(TreeNode::List(items));
        }
        loop {
            self.skip_blanks();
            let item = self.value(depth)?;
            self.push(&mut items, item)?;
            if self.ends(b']')? {
                return Some(TreeNode::List(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<TreeNode<'a>> {
        let mut members: Vec<(Cow<'a, str>, TreeNode<'a>)> = Vec::new();
        if self.opens_empty(b'}') {
            return Some(TreeNode::Object(members));
        }
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.skip_blanks();
            self.expect(b':')?;
            self.skip_blanks();
            let value = self.value(depth)?;
            self.push(&mut members, (key, value))?;
            if self.ends(b'}')? {
                break;
            }
        }
        let looked_up = if members.len() <= FEW { 0 } else { members.len() * LOOKED_UP };
        self.hold(looked_up)?;
        let members = each_once(members);
        self.budget.give_back(looked_up);
        Some(TreeNode::Object(members))
    }

    /// Reads a string; only what has escapes in it is copied.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.expect(b'"')?;
        let (mut end, mut has_escapes) = (self.at, false);
        loop {
            let rest = self.text.as_bytes().get(end..)?;
            let found = memchr2(b'"', b'\\', rest)?;
            end += found;
            if rest.get(found) == Some(&b'"') {
                break;
            }
            has_escapes = true;
            end += 2;
        }
        let inside = self.text.get(self.at..end)?;
        self.at = end + 1;
        if !has_escapes {
            return inside.bytes().all(|byte| byte >= b' ').then_some(Cow::Borrowed(inside));
        }
        // An escape is never shorter than what it stands for.
        self.hold(inside.len())?;
        let text: String = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        self.budget.give_back(inside.len().saturating_sub(text.capacity()));
        Some(Cow::Owned(text))
    }

    /// Passes what opens a list or an object; whether it is closed at once.
    fn opens_empty(&mut self, close: u8) -> bool {
        self.at += 1;
        self.skip_blanks();
        let is_empty = self.peek() == Some(close);
        self.at += usize::from(is_empty);
        is_empty
    }

    /// Passes what follows a value within a list or an object: whether it is the end; `None` where neither an end nor a
    /// comma follows.
    fn ends(&mut self, close: u8) -> Option<bool> {
        self.skip_blanks();
        let byte = self.peek()?;
        self.at += 1;
        (byte == close || byte == b',').then_some(byte == close)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek()? == wanted;
        self.at += usize::from(found);
        found.then_some(())
    }

    /// Passes blanks; whether a line ends in them.
    fn skip_blanks(&mut self) -> bool {
        let mut ends_line = false;
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            ends_line |= byte == b'\n';
            self.at += 1;
        }
        ends_line
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn hold(&self, bytes: usize) -> Option<()> {
        self.budget.take(bytes).then_some(())
    }

    fn push<T>(&self, list: &mut Vec<T>, item: T) -> Option<()> {
        self.budget.push(list, item).then_some(())
    }
}

/// Of members under one key the last one.
fn each_once<'a>(members: Vec<(Cow<'a, str>, TreeNode<'a>)>) -> Vec<(Cow<'a, str>, TreeNode<'a>)> {
    let keys = || members.iter().map(|(key, _)| key.as_ref());
    let twice = if members.len() <= FEW {
        keys().enumerate().any(|(at, key)| keys().take(at).any(|other| other == key))
    } else {
        let mut seen = HashSet::<&str, foldhash::fast::RandomState>::default();
        !keys().all(|key| seen.insert(key))
    };
    if !twice {
        return members;
    }
    let last: HashMap<&str, usize, foldhash::fast::RandomState> = keys().zip(0..).collect();
    let mut is_last = vec![false; members.len()];
    for at in last.into_values() {
        if let Some(is_last) = is_last.get_mut(at) {
            *is_last = true;
        }
    }
    let kept = members.into_iter().zip(is_last).filter(|(_, is_last)| *is_last);
    kept.map(|(member, _)| member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &[u8]) -> Option<TreeNode<'_>> {
        let mut documents = read(text, &Budget::new(1 << 20))?;
        assert_eq!(documents.len(), 1, "{documents:?}");
        documents.pop()
    }

    fn number(text: &str) -> TreeNode<'_> {
        TreeNode::Number(Number::prefix(text).unwrap())
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        assert_eq!(whole(br#"{"a":1,"b":2,"a":3}"#), whole(br#"{"b":2,"a":3}"#));
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 30)).collect();
        let text = format!("{{{}}}", many.join(","));
        let Some(TreeNode::Object(members)) = whole(text.as_bytes()) else { panic!("no object") };
        assert_eq!(members.len(), 30);
        assert!(members.contains(&("k3".into(), number("33"))));
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_none() {
        for text in [
            "",
            "{",
            "nonsense",
            "{\"a\":1}x",
            "\"\u{0}\"",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "01",
            "-",
            "tru",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"a",
            "\"a\\",
            "{}{}",
            "1 2",
            "[1]]",
        ] {
            assert_eq!(whole(text.as_bytes()), None, "{text}");
        }
        assert_eq!(whole("[".repeat(100_000).as_bytes()), None);
        assert_eq!(whole(b"\xef\xbb\xbf{}"), Some(TreeNode::Object(Vec::new())));
        assert_eq!(whole(b"18446744073709551615"), Some(number("18446744073709551615")));
    }

    #[test]
    fn what_is_read_is_what_another_reader_reads() {
        for text in [
            r#"{"a":[1,-2.5e3,true,false,null,"x\u00e9\n\ud83d\ude00"],"":{},"b":[[],[ ]]}"#,
            " \t\r\n[ 1 , {\"k\" : \"\u{7f}é\"} ] ",
            r#""\"\\\/""#,
            "18446744073709551615",
        ] {
            let tree = whole(text.as_bytes()).unwrap();
            assert_eq!(value(&tree), serde_json::from_str::<serde_json::Value>(text).unwrap(), "{text}");
        }
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(whole(deep(MAX_DEPTH).as_bytes()).is_some() && whole(deep(MAX_DEPTH + 1).as_bytes()).is_none());
    }

    fn value(node: &TreeNode<'_>) -> serde_json::Value {
        match node {
            TreeNode::Null => ().into(),
            TreeNode::Bool(value) => (*value).into(),
            TreeNode::Number(number) => number.exact().unwrap(),
            TreeNode::Text(text) => text.as_ref().into(),
            TreeNode::List(items) => items.iter().map(value).collect(),
            TreeNode::Object(members) => members.iter().map(|(key, inside)| (key.to_string(), value(inside))).collect(),
        }
    }

    #[test]
    fn documents_stand_on_lines_of_their_own() {
        let count = |text: &str| read(text.as_bytes(), &Budget::new(1 << 20)).map(|documents| documents.len());
        assert_eq!(count("{\"a\":1}\n{\"a\":2}\r\n\n[3]\n"), Some(3));
        assert_eq!(count("{\n\"a\":\n1}\n"), Some(1));
        assert_eq!(count("[1] [2]"), None);
        assert_eq!(count("[1]\nnot JSON"), None);
        assert_eq!(count(" \n"), None);
    }

    #[track_caller]
    fn check_exceeded(text: &str, memory: usize, of: Unknown) {
        let budget = Budget::new(memory);
        assert_eq!(read(text.as_bytes(), &budget), None);
        assert_eq!(budget.exceeded(), Some(of));
    }

    #[test]
    fn a_document_is_read_as_far_as_its_values_and_its_memory_go() {
        let lists = |count: usize| format!("[{}[]]", "[],".repeat(count - 2));
        let most = MAX_VALUES as usize;
        let enough = Budget::new(1 << 30);
        assert!(read(lists(most).as_bytes(), &enough).is_some());
        check_exceeded(&lists(most + 1), 1 << 30, Unknown::Values);
        // A list of one, in a list of one, and so on: each takes room for four.
        check_exceeded(&format!("[{}1]", "[[[[[[[[1]]]]]]]],".repeat(10_000)), 1 << 20, Unknown::Memory);
        check_exceeded(&format!("[{}1]", "{\"\":0},".repeat(20_000)), 1 << 20, Unknown::Memory);
        check_exceeded(&format!("[\"\\n{}\"]", "a".repeat(1 << 20)), 1 << 20, Unknown::Memory);
        check_exceeded(&format!("{{\"\\n{}\":1}}", "a".repeat(1 << 20)), 1 << 20, Unknown::Memory);
    }

    #[test]
    fn no_more_memory_is_taken_than_is_reckoned() {
        let keys: Vec<String> = (0..2000).map(|n| format!("\"{}\":{n}", n % 1000)).collect();
        let text = format!("{{{},\"l\":[{}1]}}", keys.join(","), "[1],".repeat(1000));
        let budget = Budget::new(1 << 20);
        let document = read(text.as_bytes(), &budget).unwrap().remove(0);
        assert!(held(&document) <= (1 << 20) - budget.left(), "{}", held(&document));
        assert_eq!(budget.exceeded(), None);
    }

    /// Bytes in vectors.
    fn held(node: &TreeNode<'_>) -> usize {
        match node {
            TreeNode::List(items) => {
                items.capacity() * size_of::<TreeNode<'_>>() + items.iter().map(held).sum::<usize>()
            }
            TreeNode::Object(members) => {
                let inside = members.iter().map(|(_, value)| held(value)).sum::<usize>();
                members.len() * size_of::<(Cow<'_, str>, TreeNode<'_>)>() + inside
            }
            _ => 0,
        }
    }
}
