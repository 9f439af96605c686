//! Text made fit for a terminal: the one place that decides what may reach one.
//!
//! What comes off the wire, out of a file or from another process can have characters that a terminal obeys (control
//! characters, escape sequences) or that make text read otherwise than it is (bidirectional marks, characters without a
//! width, separators of lines). They become `REPLACEMENT`, one for one, so that columns stay as wide as they were counted.
//! In JSON they become `\u` escapes: the value stays what it was.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Replacement for a character that a terminal must not get.
pub(crate) const REPLACEMENT: char = '\u{fffd}';

/// Colors and weights that shadowtap itself writes, as the numbers of their ANSI sequences.
const STYLES: [&str; 10] = ["0", "1", "2", "3", "31", "32", "33", "34", "35", "36"];

/// Bytes at the end of a write that can be the begin of a character.
const MAX_HELD: usize = 3;

/// Returns whether a character controls the terminal, changes the direction of text, or is invisible.
#[must_use]
pub(crate) const fn is_odd(c: char) -> bool {
    // ASCII is nearly all there is.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns one line of text: line feeds and tabs are no part of it.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_odd) {
        text.chars().map(|c| if is_odd(c) { REPLACEMENT } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

/// Returns text with its lines and tabs, and where there is `color` with the styles that shadowtap itself writes.
#[must_use]
pub fn text(text: &str, color: bool) -> Cow<'_, str> {
    if !text.chars().any(is_odd_in_text) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_odd_in_text) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let style = if color { style(from) } else { None };
        let len = style.map_or_else(|| from.chars().next().map_or(0, char::len_utf8), str::len);
        match style {
            Some(style) => out.push_str(style),
            None => out.push(REPLACEMENT),
        }
        rest = from.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    out.into()
}

/// Returns JSON that means the same, and has no character in it that a terminal must not get.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    // What is control in ASCII is escaped in JSON already, but for DEL; line feeds and tabs stand between values.
    let is_odd = |c: char| is_odd(c) && !matches!(c, '\n' | '\r' | '\t');
    if !text.chars().any(is_odd) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut units = [0; 2];
    for c in text.chars() {
        if is_odd(c) {
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                write!(out, "\\u{unit:04x}").ok();
            }
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Returns whether all of it is lines of printable ASCII, as nearly everything is.
fn is_plain(bytes: &[u8]) -> bool {
    // Blocks, and no way out of one: so many bytes are looked at in one instruction.
    let is_plain =
        |block: &[u8]| block.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
    let (blocks, rest) = bytes.as_chunks::<32>();
    blocks.iter().all(|block| is_plain(block)) && is_plain(rest)
}

const fn is_odd_in_text(c: char) -> bool {
    is_odd(c) && !matches!(c, '\n' | '\t')
}

/// The style that stands at the begin of a text.
fn style(text: &str) -> Option<&str> {
    let (code, _) = text.strip_prefix("\x1b[")?.split_once('m')?;
    if STYLES.contains(&code) { text.get(..code.len() + 3) } else { None }
}

/// Kind of output that is written through a [`Writer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text for people, with the styles that shadowtap itself writes or without.
    Text {
        /// True when styles are kept.
        color: bool,
    },
    /// JSON.
    Json,
}

/// Writes to a terminal what is fit for it.
///
/// A character may stand in two writes, a style may not.
#[derive(Debug)]
pub struct Writer<W: Write> {
    to: W,
    kind: Kind,
    held: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Returns a writer in front of `to`.
    pub const fn new(to: W, kind: Kind) -> Self {
        Self { to, kind, held: Vec::new() }
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let fit = match self.kind {
            Kind::Text { color } => self::text(&text, color),
            Kind::Json => json(&text),
        };
        self.to.write_all(fit.as_bytes())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.is_empty() && is_plain(bytes) {
            self.to.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let torn = match std::str::from_utf8(&all) {
            Err(error) if error.error_len().is_none() => all.len() - error.valid_up_to(),
            _ => 0,
        };
        debug_assert!(torn <= MAX_HELD, "a character has four bytes at most");
        let tail = all.split_off(all.len() - torn);
        self.pass(&all)?;
        self.held = tail;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Drop for Writer<W> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        // What is half a character is told as one that nobody knows.
        self.pass(&held).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of character that must not reach a terminal.
    const HOSTILE: &str = "\0\x07\x08\x0b\r\x1b\x7f\u{80}\u{9b}\u{9d}\u{9f}\u{ad}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\
                           \u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{180e}\u{feff}\u{fff9}\u{e0041}";

    #[test]
    fn odd_characters_are_replaced_one_for_one() {
        for c in HOSTILE.chars() {
            assert!(is_odd(c), "U+{:04X}", u32::from(c));
            let hostile = format!("a{c}é…界");
            assert_eq!(line(&hostile), "a\u{fffd}é…界");
            assert_eq!(text(&hostile, true), "a\u{fffd}é…界");
        }
        assert_eq!(line("a\nb\tc"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(text("a\nb\tc", false), "a\nb\tc");
        assert!(matches!(text("héllo\n", false), Cow::Borrowed(_)));
    }

    #[test]
    fn only_own_styles_stay_and_only_where_there_is_color() {
        let painted = "\x1b[31mbad\x1b[0m";
        assert_eq!(text(painted, true), painted);
        assert_eq!(text(painted, false), "\u{fffd}[31mbad\u{fffd}[0m");
        for hostile in ["\x1b[2J", "\x1b]0;title\x07", "\x1b[8m", "\x1b[38;5;1m", "\x1b[31", "\x1b[m", "\x1bc", "\x1b"]
        {
            assert!(!text(hostile, true).contains('\x1b'), "{hostile:?}");
        }
    }

    #[test]
    fn what_is_plain_has_nothing_odd_in_it() {
        for byte in 0..=u8::MAX {
            let is_fit = byte.is_ascii() && !is_odd_in_text(char::from(byte));
            for at in [0, 31, 32, 40] {
                let mut text = [b'a'; 41];
                text[at] = byte;
                assert_eq!(is_plain(&text), is_fit, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "a": format!("{HOSTILE}\n\t"), "\u{202e}": 1 });
        for written in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let fit = json(&written);
            assert!(!fit.chars().any(is_odd_in_text), "{fit}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&fit).unwrap(), value);
        }
    }

    #[test]
    fn a_character_may_stand_in_two_writes() {
        for size in 1..6 {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out, Kind::Text { color: false });
            for piece in "a\u{202e}é\u{9b}\u{e0041}z".as_bytes().chunks(size) {
                writer.write_all(piece).unwrap();
            }
            writer.write_all(b"\xff\xe2\x80").unwrap();
            drop(writer);
            assert_eq!(String::from_utf8(out).unwrap(), "a\u{fffd}é\u{fffd}\u{fffd}z\u{fffd}\u{fffd}", "{size}");
        }
    }
}
