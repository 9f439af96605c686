//! JSON strings with surrogates that have no pair: they stand for no text (RFC 8259, 8.2), and some programs write them.

use std::fmt::{self, Write as _};

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// Returns what stands between these quotes, with an escape for each surrogate without its pair and for each backslash:
/// different strings have different ones. `None` where it is no JSON string.
pub(super) fn escaped(quoted: &str) -> Option<String> {
    let Wtf8(bytes) = serde_json::from_str(quoted).ok()?;
    let (mut rest, mut text) = (bytes.as_slice(), String::with_capacity(quoted.len()));
    while !rest.is_empty() {
        // No character begins so.
        let surrogate = rest.windows(2).position(|pair| matches!(pair, [0xed, 0xa0..=0xff])).unwrap_or(rest.len());
        let (before, from) = rest.split_at_checked(surrogate)?;
        for part in std::str::from_utf8(before).ok()?.split_inclusive('\\') {
            text.push_str(part);
            text.push_str(if part.ends_with('\\') { "\\" } else { "" });
        }
        rest = match from {
            [_, second, third, after @ ..] => {
                let code = 0xd000 | (u32::from(*second & 0x3f) << 6) | u32::from(*third & 0x3f);
                // Writing to a String cannot fail.
                write!(text, "\\u{code:04x}").ok();
                after
            }
            _ => &[],
        };
    }
    Some(text)
}

/// A JSON string as UTF-8 in which surrogates may stand.
struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wtf8;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_string_has_an_escaped_form_of_its_own() {
        for (quoted, expected) in [
            (r#""\ud800""#, Some(r"\ud800".to_owned())),
            (r#""a\uD800\u00e9\n""#, Some("a\\ud800\u{e9}\n".to_owned())),
            (r#""\\ud800\udfff""#, Some(r"\\ud800\udfff".to_owned())),
            (r#""\udc00\ud83d\ude00""#, Some("\\udc00\u{1f600}".to_owned())),
            (r#""\ud800\ud800""#, Some(r"\ud800\ud800".to_owned())),
            (r#""\ud80""#, None),
            (r#""\x""#, None),
            ("1", None),
        ] {
            assert_eq!(escaped(quoted), expected, "{quoted}");
        }
    }
}
