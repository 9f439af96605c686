//! The document around the entries: found byte by byte, without being held.

/// How a file begins that has a mark for its byte order.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns whether a file begins as an archive does: an object whose first key is `log`. `None` where more bytes are needed.
pub(in crate::recording) fn begins_archive(bytes: &[u8]) -> Option<bool> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut rest = bytes;
    for token in [&b"{"[..], b"\"log\"", b":", b"{"] {
        rest = rest.trim_ascii_start();
        let Some(after) = rest.strip_prefix(token) else {
            return if token.starts_with(rest) { None } else { Some(false) };
        };
        rest = after;
    }
    Some(true)
}

/// Where a byte of JSON stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Objects and lists that are open.
    depth: u32,
    in_text: bool,
    escaped: bool,
}

impl Position {
    /// Moves past a byte; returns whether that ended an object or a list at depth 1.
    pub(super) const fn pass(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// Looks for the list of entries: the value of the key `entries` of the object `log`.
#[derive(Debug, Default)]
pub(super) struct EntriesSearch {
    position: Position,
    /// The last text at the depth of the keys of `log`, as far as it matters.
    text: Vec<u8>,
}

impl EntriesSearch {
    const KEY: &'static [u8] = b"entries";

    /// Moves past bytes; returns how many of them end with the bracket that begins the list, where it is there.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            let was = self.position;
            self.position.pass(*byte);
            if was.depth != 2 {
                continue;
            }
            match (was.in_text, self.position.in_text) {
                (false, true) => self.text.clear(),
                (true, true) if self.text.len() <= Self::KEY.len() => self.text.push(*byte),
                _ if *byte == b'[' && !was.in_text && self.text == Self::KEY => return Some(at + 1),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_from_other_objects_by_their_first_key() {
        for (text, expected) in [
            ("{\"log\":{", Some(true)),
            ("\u{feff}{\r\n  \"log\" : {\n", Some(true)),
            ("{", None),
            ("{ \"lo", None),
            ("", None),
            ("{\"logs\":{", Some(false)),
            ("{\"id\":\"1.1\"", Some(false)),
            ("{\n  \"schema\":", Some(false)),
        ] {
            assert_eq!(begins_archive(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn the_list_is_found_however_the_text_is_cut_and_whatever_stands_before() {
        let text =
            br#"{"log":{"version":"1.2","comment":"\"entries\":[","pages":[{"entries":[1]}],"entries" : [{"a":1}]}}"#;
        let end = text.len() - br#"{"a":1}]}}"#.len();
        for cut in 0..text.len() {
            let mut search = EntriesSearch::default();
            let (before, after) = text.split_at(cut);
            let found = search.pass(before).or_else(|| search.pass(after).map(|at| at + cut));
            assert_eq!(found, Some(end), "{cut}");
        }
    }
}
