//! One level of a JSON text, every value in it as it stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One level of a text; what is below stays text.
pub(super) struct JsonNode<'a> {
    pub(super) kind: JsonNodeKind,
    pub(super) items: Vec<JsonItem<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonNodeKind {
    Object,
    Array,
    /// A string, a number: nothing is inside.
    Scalar,
}

pub(super) struct JsonItem<'a> {
    /// Of members of objects.
    pub(super) key: Option<String>,
    /// Its text, a slice of the text of the level.
    pub(super) value: &'a str,
}

impl<'de> Deserialize<'de> for JsonNode<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonLevel;
        impl<'de> Visitor<'de> for JsonLevel {
            type Value = JsonNode<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonNode<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    items.push(JsonItem { key: Some(key), value: value.get() });
                }
                Ok(JsonNode { kind: JsonNodeKind::Object, items })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<JsonNode<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(value) = seq.next_element::<&'de RawValue>()? {
                    items.push(JsonItem { key: None, value: value.get() });
                }
                Ok(JsonNode { kind: JsonNodeKind::Array, items })
            }

            fn visit_unit<E>(self) -> Result<JsonNode<'de>, E> {
                Ok(JsonNode::scalar())
            }

            fn visit_bool<E>(self, _: bool) -> Result<JsonNode<'de>, E> {
                Ok(JsonNode::scalar())
            }

            fn visit_i64<E>(self, _: i64) -> Result<JsonNode<'de>, E> {
                Ok(JsonNode::scalar())
            }

            fn visit_u64<E>(self, _: u64) -> Result<JsonNode<'de>, E> {
                Ok(JsonNode::scalar())
            }

            fn visit_f64<E>(self, _: f64) -> Result<JsonNode<'de>, E> {
                Ok(JsonNode::scalar())
            }

            fn visit_str<E>(self, _: &str) -> Result<JsonNode<'de>, E> {
                Ok(JsonNode::scalar())
            }
        }
        deserializer.deserialize_any(JsonLevel)
    }
}

impl JsonNode<'_> {
    const fn scalar() -> Self {
        Self { kind: JsonNodeKind::Scalar, items: Vec::new() }
    }
}
