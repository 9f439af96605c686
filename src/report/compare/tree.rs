//! JSON as a tree that borrows from its text. Quicker than a map of owned values: most of a document is only ever
//! compared, never kept.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::{HashMap, HashSet};

/// Members up to which an object is searched from end to end.
const FEW: usize = 16;

/// A JSON value. Keys stand in the order of the text, each once: of several the last counts, as most parsers have it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Past the largest signed number.
    Large(u64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// The document; `None` where the text is not JSON, or nested more than 127 levels deep.
pub(super) fn read(text: &[u8]) -> Option<Node<'_>> {
    // A byte order mark is no JSON (RFC 8259, 8.1), and may be passed over.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    serde_json::from_slice(text).ok()
}

struct Tree;

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Node::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(Node::Large(value), Node::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Node::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some((Key(key), value)) = from.next_entry()? {
            members.push((key, value));
        }
        Ok(Node::Object(each_once(members)))
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Of members under one key the last one.
fn each_once<'a>(members: Vec<(Cow<'a, str>, Node<'a>)>) -> Vec<(Cow<'a, str>, Node<'a>)> {
    let keys = || members.iter().map(|(key, _)| key);
    let twice = if members.len() <= FEW {
        keys().enumerate().any(|(at, key)| keys().take(at).any(|other| other == key))
    } else {
        let mut seen = HashSet::<&str, foldhash::fast::RandomState>::default();
        !keys().all(|key| seen.insert(key))
    };
    if !twice {
        return members;
    }
    let last: HashMap<String, usize, foldhash::fast::RandomState> =
        members.iter().enumerate().map(|(at, (key, _))| (key.clone().into_owned(), at)).collect();
    let kept = members.into_iter().enumerate().filter(|(at, (key, _))| last.get(key.as_ref()) == Some(at));
    kept.map(|(_, member)| member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        assert_eq!(read(br#"{"a":1,"b":2,"a":3}"#), read(br#"{"b":2,"a":3}"#));
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 30)).collect();
        let text = format!("{{{}}}", many.join(","));
        let Some(Node::Object(members)) = read(text.as_bytes()) else { panic!("no object") };
        assert_eq!(members.len(), 30);
        assert!(members.contains(&("k3".into(), Node::Int(33))));
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_none() {
        for text in ["", "{", "nonsense", "{\"a\":1}x", "\"\u{0}\""] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read("[".repeat(100_000).as_bytes()), None);
        assert_eq!(read(b"\xef\xbb\xbf{}"), Some(Node::Object(Vec::new())));
        assert_eq!(read(b"18446744073709551615"), Some(Node::Large(u64::MAX)));
    }
}
