//! JSON as a tree that borrows from its text, numbers as they are written. Quicker than a map of owned values: most of a
//! document is only ever compared, never kept.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::Unknown;
use super::budget::{Budget, MAX_VALUES};
use super::number::Number;
use super::unpaired;

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
    /// A text with surrogates that have no pair, which are escaped in it, as backslashes are: no text can hold them.
    Unpaired(String),
    List(Vec<TreeNode<'a>>, Extent),
    Object(Vec<(Cow<'a, str>, TreeNode<'a>)>, Extent),
    /// A list or an object that is written as in the document it was read beside.
    Same(&'a TreeNode<'a>),
}

impl TreeNode<'_> {
    /// Returns the value itself, wherever it was read.
    pub(super) const fn resolved(&self) -> &Self {
        match self {
            Self::Same(node) => node,
            own => own,
        }
    }
}

/// Where a value stands in its text. It is no part of the value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    from: u32,
    to: u32,
}

impl Extent {
    fn of(from: usize, to: usize) -> Self {
        let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { from: place(from), to: place(to) }
    }

    const fn range(self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

impl PartialEq for Extent {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A text with its documents, beside which another one is read.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    text: &'a [u8],
    documents: &'a [TreeNode<'a>],
}

impl<'a> Beside<'a> {
    /// The documents that were read from `text`.
    pub(super) fn new(text: &'a [u8], documents: &'a [TreeNode<'a>]) -> Self {
        Self { text: without_mark(text), documents }
    }
}

/// Returns the documents of a text, one or more, each on lines of its own (JSON, or JSON lines); `None` where it is not
/// JSON, or nested more than 127 levels deep, or where it is larger than `budget` allows, which then says so.
pub(super) fn read<'a>(text: &'a [u8], budget: &Budget) -> Option<Vec<TreeNode<'a>>> {
    read_beside(text, Beside { text: b"", documents: &[] }, budget)
}

/// The same, beside another text: a list or an object that is written there, at its place, is not read again.
pub(super) fn read_beside<'a>(text: &'a [u8], beside: Beside<'a>, budget: &Budget) -> Option<Vec<TreeNode<'a>>> {
    let text = std::str::from_utf8(without_mark(text)).ok()?;
    TreeReader { text, beside, usual: 0, at: 0, budget, values: MAX_VALUES }.documents()
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
    beside: Beside<'a>,
    /// Members of the object before: one after it mostly has as many.
    usual: usize,
    /// Position of the reader in the text, in bytes.
    at: usize,
    budget: &'b Budget,
    /// Values that may follow.
    values: u32,
}

/// A string as it is written.
#[derive(Clone, Copy)]
struct QuotedText<'a> {
    /// With its quotes.
    text: &'a str,
    inside: &'a str,
    has_escapes: bool,
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
            let document = self.value(0, self.beside.documents.get(documents.len()))?;
            self.push(&mut documents, document)?;
        }
        (!documents.is_empty()).then_some(documents)
    }

    fn value(&mut self, depth: usize, like: Option<&'a TreeNode<'a>>) -> Option<TreeNode<'a>> {
        let Some(left) = self.values.checked_sub(1) else {
            self.budget.exceed(Unknown::Values);
            return None;
        };
        self.values = left;
        if let Some(same) = like.and_then(|like| self.same(like)) {
            return Some(same);
        }
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth + 1, like),
            b'[' if depth < MAX_DEPTH => self.list(depth + 1, like),
            b'"' => self.text(),
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

    /// The list or object that stands here, where it is written like this one.
    fn same(&mut self, like: &'a TreeNode<'a>) -> Option<TreeNode<'a>> {
        let (TreeNode::List(_, extent) | TreeNode::Object(_, extent)) = like else { return None };
        let written = self.beside.text.get(extent.range())?;
        let is_same = self.text.as_bytes().get(self.at..)?.starts_with(written);
        self.at += if is_same { written.len() } else { 0 };
        is_same.then_some(TreeNode::Same(like))
    }

    fn literal(&mut self, word: &str, value: TreeNode<'a>) -> Option<TreeNode<'a>> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(value)
    }

    fn list(&mut self, depth: usize, like: Option<&'a TreeNode<'a>>) -> Option<TreeNode<'a>> {
        let (start, mut items) = (self.at, Vec::new());
        let like = match like {
            Some(TreeNode::List(items, _)) => items.as_slice(),
            _ => &[],
        };
        if self.opens_empty(b']') {
            return Some(TreeNode::List(items, Extent::of(start, self.at)));
        }
        loop {
            self.skip_blanks();
            let item = self.value(depth, like.get(items.len()))?;
            self.push(&mut items, item)?;
            if self.ends(b']')? {
                return Some(TreeNode::List(items, Extent::of(start, self.at)));
            }
        }
    }

    fn object(&mut self, depth: usize, like: Option<&'a TreeNode<'a>>) -> Option<TreeNode<'a>> {
        let start = self.at;
        let mut members: Vec<(Cow<'a, str>, TreeNode<'a>)> = Vec::new();
        let like = match like {
            Some(TreeNode::Object(members, _)) => members.as_slice(),
            _ => &[],
        };
        if self.opens_empty(b'}') {
            return Some(TreeNode::Object(members, Extent::of(start, self.at)));
        }
        self.budget.room(&mut members, self.usual).then_some(())?;
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.skip_blanks();
            self.expect(b':')?;
            self.skip_blanks();
            let like = like.get(members.len()).filter(|(other, _)| *other == key).map(|(_, value)| value);
            let value = self.value(depth, like)?;
            self.push(&mut members, (key, value))?;
            if self.ends(b'}')? {
                break;
            }
        }
        self.usual = members.len().min(FEW);
        let looked_up = if members.len() <= FEW { 0 } else { members.len() * LOOKED_UP };
        self.hold(looked_up)?;
        let members = each_once(members);
        self.budget.give_back(looked_up);
        Some(TreeNode::Object(members, Extent::of(start, self.at)))
    }

    fn text(&mut self) -> Option<TreeNode<'a>> {
        let quoted = self.quoted()?;
        if let Some(text) = self.unescaped(quoted) {
            return Some(TreeNode::Text(text));
        }
        if self.budget.exceeded().is_some() {
            return None;
        }
        // What is between, and what comes of it: neither is longer than what is written.
        self.hold(2 * quoted.text.len())?;
        let text = unpaired::escaped(quoted.text)?;
        self.budget.give_back(quoted.text.len());
        Some(TreeNode::Unpaired(text))
    }

    /// Reads a string that is a key; only what has escapes in it is copied.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let quoted = self.quoted()?;
        self.unescaped(quoted)
    }

    /// Passes a string.
    fn quoted(&mut self) -> Option<QuotedText<'a>> {
        let start = self.at;
        self.expect(b'"')?;
        let (mut end, mut has_escapes) = (self.at, false);
        loop {
            end += plain_len(self.text.as_bytes().get(end..)?);
            match self.text.as_bytes().get(end)? {
                b'"' => break,
                b'\\' => (has_escapes, end) = (true, end + 2),
                _ => return None,
            }
        }
        let inside = self.text.get(self.at..end)?;
        self.at = end + 1;
        Some(QuotedText { text: self.text.get(start..self.at)?, inside, has_escapes })
    }

    /// What stands between these quotes, if that is a text.
    fn unescaped(&self, QuotedText { text, inside, has_escapes }: QuotedText<'a>) -> Option<Cow<'a, str>> {
        if !has_escapes {
            return Some(Cow::Borrowed(inside));
        }
        // An escape is never shorter than what it stands for.
        self.hold(inside.len())?;
        let Ok(text) = serde_json::from_str::<String>(text) else {
            self.budget.give_back(inside.len());
            return None;
        };
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

/// Returns how many bytes come before one that ends a string, begins an escape, or must not stand in a string. Strings are
/// short: they are looked through eight bytes at a time, without a call.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special =
            below(word, 0x20) | below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        if special != 0 {
            return 8 * at + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    8 * words.len() + rest.iter().position(is_special).unwrap_or(rest.len())
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
        let Some(TreeNode::Object(members, _)) = whole(text.as_bytes()) else { panic!("no object") };
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
            "\"\\ud80\"",
            "{\"\\ud800\":1}",
            "\"a",
            "\"a\\",
            "{}{}",
            "1 2",
            "[1]]",
        ] {
            assert_eq!(whole(text.as_bytes()), None, "{text}");
        }
        assert_eq!(whole("[".repeat(100_000).as_bytes()), None);
        assert_eq!(whole(b"\xef\xbb\xbf{}"), Some(TreeNode::Object(Vec::new(), Extent::default())));
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
            TreeNode::Same(node) => value(node),
            TreeNode::Null => ().into(),
            TreeNode::Bool(value) => (*value).into(),
            TreeNode::Number(number) => number.exact().unwrap(),
            TreeNode::Text(text) => text.as_ref().into(),
            TreeNode::Unpaired(text) => text.as_str().into(),
            TreeNode::List(items, _) => items.iter().map(value).collect(),
            TreeNode::Object(members, _) => {
                members.iter().map(|(key, inside)| (key.to_string(), value(inside))).collect()
            }
        }
    }

    #[test]
    fn what_is_written_as_beside_it_is_the_same_and_not_read_again() {
        let beside = r#"{"a":[1,{"b":2}],"c":{"d":"e"},"f":[[]]}"#;
        let budget = Budget::new(1 << 20);
        let documents = read(beside.as_bytes(), &budget).unwrap();
        for (text, same) in [
            (beside, 1),
            (r#" {"a":[1,{"b":2}],"c":{"d":"x"},"f":[[]]} "#, 2),
            (r#"{"a":[1,{"b":2}], "c":{"d":"e"},"f":[[1]]}"#, 2),
            (r#"{"c":{"d":"e"},"a":[1,{"b":2}],"f":[[]]}"#, 1),
            (r#"{"a":[2,{"b":2}],"c":{"d":"e"},"f":[[]}"#, 0),
            (r#"{"a":[1,{"b":2}]x"c":{"d":"e"},"f":[[]]}"#, 0),
            ("[]", 0),
        ] {
            let read_beside = read_beside(text.as_bytes(), Beside::new(beside.as_bytes(), &documents), &budget);
            let alone = read(text.as_bytes(), &budget);
            assert_eq!(read_beside.is_some(), alone.is_some(), "{text}");
            if let (Some(beside), Some(alone)) = (read_beside, alone) {
                assert_eq!(value(&beside[0]), value(&alone[0]), "{text}");
                assert_eq!(count_same(&beside[0]), same, "{text}");
            }
        }
    }

    fn count_same(node: &TreeNode<'_>) -> usize {
        match node {
            TreeNode::Same(_) => 1,
            TreeNode::List(items, _) => items.iter().map(count_same).sum(),
            TreeNode::Object(members, _) => members.iter().map(|(_, value)| count_same(value)).sum(),
            _ => 0,
        }
    }

    #[test]
    fn a_string_goes_to_its_quote_whatever_stands_before_it() {
        for special in (0..0x20).chain([b'"', b'\\']) {
            for before in 0..20 {
                for after in 0..20 {
                    let mut bytes = vec![b'\x7f'; before + after + 1];
                    bytes[..before].fill(0xff);
                    bytes[before] = special;
                    assert_eq!(plain_len(&bytes), before, "{special} {after}");
                }
            }
        }
        assert_eq!(plain_len("é #[]^ \u{80}".as_bytes()), "é #[]^ \u{80}".len());
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
            TreeNode::List(items, _) => {
                items.capacity() * size_of::<TreeNode<'_>>() + items.iter().map(held).sum::<usize>()
            }
            TreeNode::Object(members, _) => {
                let inside = members.iter().map(|(_, value)| held(value)).sum::<usize>();
                members.len() * size_of::<(Cow<'_, str>, TreeNode<'_>)>() + inside
            }
            _ => 0,
        }
    }
}
