//! Codings in which one value comes and goes: percent coding, and the escapes of pages and scripts.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// Bytes that percent coding leaves as they are, besides letters and digits (RFC 3986, 2.3).
const CODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value without its percent coding: what is the same to an application is the same here.
pub(crate) fn plain(value: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(value).into()
}

/// Returns whether a value is in percent coding.
pub(crate) fn is_coded(value: &[u8]) -> bool {
    *plain(value) != *value
}

/// A new value as it stands for `found`, where the old one was issued coded or not. An old value without a special byte does
/// not tell; `decodes` says that its place has it without the coding then.
pub(crate) fn in_place_of(found: &[u8], was_coded: bool, decodes: bool, new: &[u8]) -> Vec<u8> {
    match (is_coded(found), was_coded) {
        (true, false) => percent_encode(new, &CODED).to_string().into_bytes(),
        (false, true) => plain(new).into_owned(),
        (false, false) if decodes => plain(new).into_owned(),
        _ => new.to_vec(),
    }
}

/// What stands in a page, without the escapes of HTML (`&#43;`) and of scripts (`\/`, `\u002b`).
pub(super) fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    let is_escaped = text.iter().any(|byte| matches!(byte, b'&' | b'\\'));
    let Some(text) = std::str::from_utf8(text).ok().filter(|_| is_escaped) else { return Cow::Borrowed(text) };
    let html = html_escape::decode_html_entities(text);
    let script = html.contains('\\').then(|| serde_json::from_str::<String>(&format!("\"{html}\"")).ok()).flatten();
    Cow::Owned(script.unwrap_or_else(|| html.into_owned()).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_in_the_coding_in_which_it_was_found() {
        for (old, found, decodes, new, expected) in [
            ("a=b", "a=b", false, "c=d", "c=d"),
            ("a=b", "a%3Db", false, "c=d/", "c%3Dd%2F"),
            ("a%3D", "a=", false, "c%3d%2B", "c=+"),
            ("a%3D", "a%3d", true, "c%3D", "c%3D"),
            ("ab", "ab", false, "c%3D", "c%3D"),
            ("ab", "ab", true, "c%3D", "c="),
            ("100%", "100%", false, "c", "c"),
        ] {
            assert_eq!(plain(old.as_bytes()), plain(found.as_bytes()));
            let new = in_place_of(found.as_bytes(), is_coded(old.as_bytes()), decodes, new.as_bytes());
            assert_eq!(String::from_utf8(new).unwrap(), expected, "{old} {found}");
        }
    }

    #[test]
    fn escapes_of_pages_and_scripts_are_read() {
        for (escaped, text) in [
            ("abc", "abc"),
            ("a&#43;b&#x2F;c&amp;d", "a+b/c&d"),
            (r"a\/b\u002bc", "a/b+c"),
            ("a&b", "a&b"),
            (r"a\qb", r"a\qb"),
        ] {
            assert_eq!(String::from_utf8_lossy(&unescaped(escaped.as_bytes())), text, "{escaped}");
        }
        assert_eq!(*unescaped(b"\xff&amp;"), b"\xff&amp;"[..], "it is no text");
    }
}
