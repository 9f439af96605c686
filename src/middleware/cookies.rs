//! Cookies as cookies: each by its name, whatever line and place it stands at (RFC 6265, 4.2.1).
//!
//! In goes a head, out comes the same head with other cookies; what no edit names keeps its bytes, order and blanks.

use super::lines::LineIndex;
use super::value_change::ValueChange;
use crate::exchange::{Head, LineEdit};

/// Bytes by which a line mostly grows at most; one that grows by more costs another allocation.
const ROOM: usize = 32;

/// The name and the value of each cookie in a Cookie value, in order. A piece without an equals sign has no name.
pub(super) fn cookies(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').map(split_cookie)
}

/// Offers each value of cookie `name` to `change`; says how many there were. A Cookie line with nothing left goes.
pub(super) fn edit(
    lines: &mut LineIndex,
    head: &mut Head,
    name: &str,
    change: &mut dyn FnMut(&[u8]) -> ValueChange,
) -> usize {
    let mut found = 0;
    lines.edit(head, "cookie", |line| {
        let here = cookies(line).filter(|(other, _)| *other == name.as_bytes()).count();
        found += here;
        if here == 0 { LineEdit::Keep } else { edited(line, name, change) }
    });
    found
}

/// Adds a cookie to the end of the first Cookie line, or in a Cookie line of its own.
pub(super) fn append(lines: &mut LineIndex, head: &mut Head, name: &str, value: &[u8]) {
    let mut first = true;
    let found = lines.edit(head, "cookie", |line| {
        if std::mem::take(&mut first) { LineEdit::Value(appended(line, name, value)) } else { LineEdit::Keep }
    });
    if found == 0 {
        lines.append(head, "Cookie", &appended(b"", name, value));
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

fn edited(line: &[u8], name: &str, change: &mut dyn FnMut(&[u8]) -> ValueChange) -> LineEdit {
    let mut rest = Vec::with_capacity(line.len() + ROOM);
    let (mut is_changed, mut is_first) = (false, true);
    for piece in line.split(|byte| *byte == b';') {
        let (other, value) = split_cookie(piece);
        let change = if other == name.as_bytes() { change(value) } else { ValueChange::Keep };
        is_changed |= change != ValueChange::Keep;
        if change != ValueChange::Remove && !std::mem::take(&mut is_first) {
            rest.push(b';');
        }
        match change {
            ValueChange::Keep => rest.extend_from_slice(piece),
            ValueChange::Value(value) => piece_with_value(&mut rest, piece, &value),
            ValueChange::Name(name) => piece_with_name(&mut rest, piece, &name),
            ValueChange::Remove => {}
        }
    }
    // Where the first cookie went, the blank before the second one goes as well.
    let blanks = rest.len() - rest.trim_ascii_start().len();
    rest.drain(..blanks);
    rest.truncate(rest.trim_ascii_end().len());
    match (is_changed, rest.is_empty()) {
        (false, _) => LineEdit::Keep,
        (true, true) => LineEdit::Remove,
        (true, false) => LineEdit::Value(rest),
    }
}

/// The piece up to its equals sign, and the new value.
fn piece_with_value(out: &mut Vec<u8>, piece: &[u8], value: &[u8]) {
    let keep = memchr::memchr(b'=', piece).map_or(piece.len(), |at| at + 1);
    out.extend_from_slice(piece.get(..keep).unwrap_or_default());
    out.extend_from_slice(value);
}

/// The new name between the blanks before the old one and the equals sign.
fn piece_with_name(out: &mut Vec<u8>, piece: &[u8], name: &str) {
    let start = piece.len() - piece.trim_ascii_start().len();
    let equals = memchr::memchr(b'=', piece).unwrap_or(piece.len());
    out.extend_from_slice(piece.get(..start).unwrap_or_default());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(piece.get(equals..).unwrap_or_default());
}

fn appended(line: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let between: &[u8] = match line {
        [] => b"",
        [.., b';'] => b" ",
        _ => b"; ",
    };
    [line, between, name.as_bytes(), b"=", value].concat()
}
