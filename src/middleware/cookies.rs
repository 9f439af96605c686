//! Cookies as cookies: each by its name, whatever line and place it stands at (RFC 6265, 4.2.1).
//!
//! In goes a head, out comes the same head with other cookies; what no edit names keeps its bytes, order and blanks.

use super::edit::Change;
use crate::exchange::{Head, LineEdit};

/// The name and the value of each cookie in a Cookie value, in order. A piece without an equals sign has no name.
pub(super) fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').map(split_cookie)
}

/// Offers each value of cookie `name` to `change`; says how many there were. A Cookie line with nothing left goes.
pub(super) fn edit(head: &mut Head, name: &str, change: &mut dyn FnMut(&[u8]) -> Change) -> usize {
    let mut found = 0;
    head.edit_lines("cookie", |line| {
        let here = cookies(line).filter(|(other, _)| *other == name.as_bytes()).count();
        found += here;
        if here == 0 { LineEdit::Keep } else { edited(line, name, change) }
    });
    found
}

/// Adds a cookie to the end of the first Cookie line, or in a Cookie line of its own.
pub(super) fn append(head: &mut Head, name: &str, value: &[u8]) {
    let pair = [name.as_bytes(), b"=", value].concat();
    let mut first = true;
    let lines = head.edit_lines("cookie", |line| {
        if std::mem::take(&mut first) { LineEdit::Value(appended(line, &pair)) } else { LineEdit::Keep }
    });
    if lines == 0 {
        head.append("Cookie", &pair);
    }
}

fn split_cookie(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece) {
        Some(at) => {
            (piece.get(..at).unwrap_or_default().trim_ascii(), piece.get(at + 1..).unwrap_or_default().trim_ascii())
        }
        None => (b"", piece.trim_ascii()),
    }
}

fn edited(line: &[u8], name: &str, change: &mut dyn FnMut(&[u8]) -> Change) -> LineEdit {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut is_changed = false;
    for piece in line.split(|byte| *byte == b';') {
        let (other, value) = split_cookie(piece);
        let change = if other == name.as_bytes() { change(value) } else { Change::Keep };
        is_changed |= change != Change::Keep;
        match change {
            Change::Keep => pieces.push(piece.to_vec()),
            Change::Value(value) => pieces.push(piece_with_value(piece, &value)),
            Change::Name(name) => pieces.push(piece_with_name(piece, &name)),
            Change::Remove => {}
        }
    }
    // Where the first cookie went, the blank before the second one goes as well.
    let rest = pieces.join(&b';').trim_ascii().to_vec();
    match (is_changed, rest.is_empty()) {
        (false, _) => LineEdit::Keep,
        (true, true) => LineEdit::Remove,
        (true, false) => LineEdit::Value(rest),
    }
}

/// The piece up to its equals sign, and the new value.
fn piece_with_value(piece: &[u8], value: &[u8]) -> Vec<u8> {
    let keep = memchr::memchr(b'=', piece).map_or(piece.len(), |at| at + 1);
    [piece.get(..keep).unwrap_or_default(), value].concat()
}

/// The new name between the blanks before the old one and the equals sign.
fn piece_with_name(piece: &[u8], name: &str) -> Vec<u8> {
    let start = piece.len() - piece.trim_ascii_start().len();
    let equals = memchr::memchr(b'=', piece).unwrap_or(piece.len());
    [piece.get(..start).unwrap_or_default(), name.as_bytes(), piece.get(equals..).unwrap_or_default()].concat()
}

fn appended(line: &[u8], pair: &[u8]) -> Vec<u8> {
    let between: &[u8] = match line {
        [] => b"",
        [.., b';'] => b" ",
        _ => b"; ",
    };
    [line, between, pair].concat()
}
