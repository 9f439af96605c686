//! JSON as a tree that borrows from its text. Quicker than a map of owned values: most of a document is only ever
//! compared, never kept.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Unknown;
use super::budget::{Budget, MAX_VALUES};

/// Members up to which an object is searched from end to end.
const FEW: usize = 16;
/// Bytes for each member of a larger one while its keys are looked up: those of a table that is half full, twice where keys
/// come twice, and a second list.
const LOOKED_UP: usize = 192;

/// A JSON value. Keys stand in the order of the text, each once: of several the last counts, as most parsers have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TreeNode<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Past the largest signed number.
    Large(u64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<TreeNode<'a>>),
    Object(Vec<(Cow<'a, str>, TreeNode<'a>)>),
}

/// The document; `None` where the text is not JSON, or nested more than 127 levels deep, or where it is larger than
/// `budget` allows, which then says so.
pub(super) fn read<'a>(text: &'a [u8], budget: &Budget) -> Option<TreeNode<'a>> {
    // A byte order mark is no JSON (RFC 8259, 8.1), and may be passed over.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let values = Cell::new(MAX_VALUES);
    let mut from = serde_json::Deserializer::from_slice(text);
    let document = Tree { budget, values: &values }.deserialize(&mut from).ok()?;
    from.end().ok()?;
    Some(document)
}

/// Reads one value, as long as there is room for it.
#[derive(Clone, Copy)]
struct Tree<'b> {
    budget: &'b Budget,
    /// Values that may follow.
    values: &'b Cell<u32>,
}

impl Tree<'_> {
    /// One more value.
    fn count<E: Error>(self) -> Result<(), E> {
        let Some(left) = self.values.get().checked_sub(1) else {
            self.budget.exceed(Unknown::Values);
            return Err(E::custom("too many values"));
        };
        self.values.set(left);
        Ok(())
    }

    fn hold<E: Error>(self, bytes: usize) -> Result<(), E> {
        if self.budget.take(bytes) { Ok(()) } else { Err(no_room()) }
    }

    fn push<T, E: Error>(self, list: &mut Vec<T>, item: T) -> Result<(), E> {
        if self.budget.push(list, item) { Ok(()) } else { Err(no_room()) }
    }
}

fn no_room<E: Error>() -> E {
    E::custom("no memory")
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = TreeNode<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = TreeNode<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(TreeNode::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(TreeNode::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(TreeNode::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(TreeNode::Large(value), TreeNode::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(TreeNode::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(TreeNode::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.hold(text.len())?;
        Ok(TreeNode::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(self)? {
            self.push(&mut items, item)?;
        }
        Ok(TreeNode::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, TreeNode<'de>)> = Vec::new();
        while let Some(TreeKey(key)) = from.next_key()? {
            if let Cow::Owned(key) = &key {
                self.hold(key.len())?;
            }
            let value = from.next_value_seed(self)?;
            self.push(&mut members, (key, value))?;
        }
        let looked_up = if members.len() <= FEW { 0 } else { members.len() * LOOKED_UP };
        self.hold(looked_up)?;
        let members = each_once(members);
        self.budget.give_back(looked_up);
        Ok(TreeNode::Object(members))
    }
}

struct TreeKey<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for TreeKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TreeText;
        impl<'de> Visitor<'de> for TreeText {
            type Value = TreeKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(TreeKey(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TreeKey(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TreeText)
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
        read(text, &Budget::new(1 << 20))
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        assert_eq!(whole(br#"{"a":1,"b":2,"a":3}"#), whole(br#"{"b":2,"a":3}"#));
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 30)).collect();
        let text = format!("{{{}}}", many.join(","));
        let Some(TreeNode::Object(members)) = whole(text.as_bytes()) else { panic!("no object") };
        assert_eq!(members.len(), 30);
        assert!(members.contains(&("k3".into(), TreeNode::Int(33))));
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_none() {
        for text in ["", "{", "nonsense", "{\"a\":1}x", "\"\u{0}\""] {
            assert_eq!(whole(text.as_bytes()), None, "{text}");
        }
        assert_eq!(whole("[".repeat(100_000).as_bytes()), None);
        assert_eq!(whole(b"\xef\xbb\xbf{}"), Some(TreeNode::Object(Vec::new())));
        assert_eq!(whole(b"18446744073709551615"), Some(TreeNode::Large(u64::MAX)));
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
        let document = read(text.as_bytes(), &budget).unwrap();
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
