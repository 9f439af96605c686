//! Names that are identifiers: of segments in paths, and of members in JSON maps.

/// Fewest hex digits, one of them decimal, that look like an identifier.
const LEAST_HEX: usize = 8;
/// Fewest characters of base64, of both cases and with a digit among them, that look like an identifier.
const LEAST_BASE64: usize = 20;
/// Characters of a UUID.
const UUID: usize = 36;
/// Characters of a ULID.
const ULID: usize = 26;
/// Longest name of a member that is looked at, in bytes.
const MAX_KEY: usize = 128;

/// Returns whether the text looks like an identifier: a number, a date, a UUID, eight or more hex digits (one of them
/// decimal), twenty or more characters of base64 (in both cases, with a digit).
pub(crate) fn is_id(text: &str) -> bool {
    is_numeric(text) || (text.len() >= LEAST_HEX && is_long_id(text))
}

fn is_long_id(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    let all = |kind: fn(&u8) -> bool| text.as_bytes().iter().all(kind);
    let base64 = || {
        text.len() >= LEAST_BASE64
            && all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=' | b'~'))
            && has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_uppercase)
    };
    is_uuid(text) || (has(u8::is_ascii_digit) && (all(u8::is_ascii_hexdigit) || base64()))
}

/// Returns whether the name of a member in a JSON object looks like an identifier, so that the object is a map: as
/// [`is_id`], or a negative number, a ULID, or a hash or UUID after the name of its kind and a colon (`sha256:...`).
pub(super) fn is_id_key(key: &str) -> bool {
    if key.is_empty() || key.len() > MAX_KEY {
        return false;
    }
    is_id(key)
        || is_ulid(key)
        || key.strip_prefix('-').is_some_and(is_number)
        || key.rsplit_once(':').is_some_and(|(_, id)| is_id(id) && id.len() >= LEAST_HEX)
}

/// A number, or several as in a date: `42`, `2026-11-21`, `10:00`.
fn is_numeric(text: &str) -> bool {
    // Most that is none says so with its first character.
    text.as_bytes().first().is_some_and(u8::is_ascii_digit) && text.split(['-', '_', ':', ',', '.']).all(is_number)
}

/// Returns whether the text consists of decimal digits only.
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 9562, 4: 8-4-4-4-12 hex digits.
fn is_uuid(text: &str) -> bool {
    if text.len() != UUID {
        return false;
    }
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('-').all(hex) && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// Crockford's base32 in capitals, with a digit.
fn is_ulid(text: &str) -> bool {
    let base32 = |byte: u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"ILOU".contains(&byte));
    text.len() == ULID && text.bytes().all(base32) && text.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_uuids_and_hashes_are_ids_and_words_are_not() {
        for key in [
            "0",
            "90017",
            "-3",
            "2026-11-21",
            "6fa459ea-ee8a-3ca4-894e-db77e160355e",
            "ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB",
            "d41d8cd98f00b204e9800998ecf8427e",
            "5f4dcc3b",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "sha256:9f86d081884c7d659a2feaa0c55ad015",
            "dGhpcyBpcyBhIHRlc3Q1",
        ] {
            assert!(is_id_key(key), "{key}");
        }
        let long = "7".repeat(MAX_KEY + 1);
        for key in ["", "price", "v2", "width_1080", "seen-at", "deadbeef", "faced", "area51", "x:1", "*", &long] {
            assert!(!is_id_key(key), "{key}");
        }
    }
}
