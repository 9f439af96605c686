//! The head of a response, taken apart once for all that is asked of it.

use std::cell::OnceCell;

use crate::exchange::{Head, HeaderLines};

/// Most header lines that are indexed, ten times what servers take; those behind them are searched each time.
pub(super) const MAX_LINES: usize = 1000;
/// Lines that there is room for at once: most heads have no more.
const USUAL_LINES: usize = 24;

/// One header line, with a key that tells most names apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedLine<'a> {
    pub(super) key: u32,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// The lines of a head that are wanted, in their order.
#[derive(Debug)]
pub(super) struct NamedLines<'a> {
    lines: Vec<NamedLine<'a>>,
    /// Where in the head the first line begins that is not among them, or its end.
    end: usize,
    /// False where there are too many.
    is_whole: bool,
}

/// A head whose lines are found once somebody asks for one.
#[derive(Debug)]
pub(super) struct IndexedHead<'a> {
    head: &'a Head,
    lines: OnceCell<NamedLines<'a>>,
}

impl<'a> NamedLine<'a> {
    pub(super) fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { key: key(name), name, value }
    }

    pub(super) fn has_name_of(&self, other: &NamedLine<'_>) -> bool {
        self.key == other.key && is_same_name(self.name, other.name)
    }
}

impl<'a> NamedLines<'a> {
    /// The lines of `head` that are `wanted`.
    pub(super) fn of(head: &'a Head, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let mut found = Self { lines: Vec::with_capacity(USUAL_LINES), end: head.as_bytes().len(), is_whole: true };
        for line in head.lines().filter(|line| wanted(line.name)) {
            if found.lines.len() == MAX_LINES {
                found.end = line.span().start;
                found.is_whole = false;
                break;
            }
            found.lines.push(NamedLine::new(line.name, line.value));
        }
        found
    }

    /// Those of them that are `wanted`.
    pub(super) fn only(&self, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let lines = self.lines.iter().filter(|line| wanted(line.name)).copied().collect();
        Self { lines, ..*self }
    }

    pub(super) fn as_slice(&self) -> &[NamedLine<'a>] {
        &self.lines
    }

    /// Returns whether these are all that are wanted.
    pub(super) const fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl<'a> IndexedHead<'a> {
    pub(super) const fn new(head: &'a Head) -> Self {
        Self { head, lines: OnceCell::new() }
    }

    pub(super) const fn head(&self) -> &'a Head {
        self.head
    }

    /// All lines, [`MAX_LINES`] at most.
    pub(super) fn lines(&self) -> &NamedLines<'a> {
        self.lines.get_or_init(|| NamedLines::of(self.head, |_| true))
    }

    /// The value of the first line of this name.
    pub(super) fn get(&self, name: &'static str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The values of all lines of this name.
    pub(super) fn get_all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let (lines, wanted) = (self.lines(), NamedLine::new(name.as_bytes(), b""));
        let indexed = lines.lines.iter().filter(move |line| line.has_name_of(&wanted)).map(|line| line.value);
        let behind = HeaderLines::from(self.head.as_bytes(), lines.end).named(name);
        indexed.chain(behind.map(|line| line.value))
    }
}

/// Returns whether both are one name (RFC 9110, 5.1).
pub(super) fn is_same_name(one: &[u8], other: &[u8]) -> bool {
    // Mostly both stacks write it alike.
    one == other || one.eq_ignore_ascii_case(other)
}

/// A number that is the same for names that differ in case alone, and for few others.
fn key(name: &[u8]) -> u32 {
    let letter = |letter: Option<&u8>| letter.map_or(0, |letter| u32::from(letter.to_ascii_lowercase()));
    let middle = name.get(name.len() / 2);
    (u32::try_from(name.len()).unwrap_or(u32::MAX) << 24)
        | (letter(name.first()) << 16)
        | (letter(middle) << 8)
        | letter(name.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_however_many_there_are() {
        for lines in [0, 1, MAX_LINES - 1, MAX_LINES, MAX_LINES + 1, 3 * MAX_LINES] {
            let text = (0..lines).map(|n| format!("x-{n}: {n}\r\nX-All: {n}\r\n")).collect::<Vec<_>>().concat();
            let head = Head::new(format!("HTTP/1.1 200 OK\r\n{text}Last:\r\n x\r\n\r\n").into_bytes());
            let indexed = IndexedHead::new(&head);
            assert_eq!(indexed.lines().is_whole(), 2 * lines < MAX_LINES, "{lines}");
            assert!(indexed.get_all("x-all").eq(head.get_all("x-all")), "{lines}");
            assert_eq!(indexed.get_all("x-all").count(), lines);
            for name in ["x-0", "X-99", "x-100", "last", "x-none", "HTTP/1.1 200 OK"] {
                assert_eq!(indexed.get(name), head.get(name), "{name} of {lines}");
            }
        }
    }
}
