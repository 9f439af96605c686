//! The form of a line: text, and fields between it; and how a line is taken apart by it.

use std::ops::Range;

use super::meaning::{Escapes, Field, Meaning};
use super::time::TimeMemo;

/// Most parts of a format.
pub(super) const MAX_PARTS: usize = 256;
/// Steps that one line may take: a line that could be read in very many ways is in none of them.
const MAX_STEPS: u32 = 2048;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Box<[u8]>),
    /// A field, by its number.
    Field(usize),
    /// A field in braces, or nothing at all: headers that HAProxy captures.
    Braces(usize),
}

/// A format of lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextFormat {
    pub(super) parts: Vec<Part>,
    pub(super) fields: Vec<Field>,
    pub(super) escapes: Escapes,
    /// Whether more may stand at the end of a line.
    pub(super) is_open: bool,
    /// Whether an empty field takes the blank behind it with it.
    pub(super) collapses: bool,
}

/// What stands before the line that a server writes, where something else passes it on: syslog, a container.
const BEFORE: [&[u8]; 6] = [b"]: ", b" - - ", b" F ", b": ", b" | ", b"- "];
/// Bytes in which such a text ends.
const MAX_BEFORE: usize = 256;

/// Takes lines apart. It keeps its memory from line to line.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    spans: Vec<Range<usize>>,
    steps: u32,
    /// The part at which the best attempt failed.
    furthest: usize,
    /// What ended the text before the last line, in [`BEFORE`].
    before: Option<usize>,
    times: TimeMemo,
}

impl Matcher {
    /// Takes a line apart; false where it is not of this format.
    pub(super) fn read(&mut self, format: &TextFormat, line: &[u8]) -> bool {
        self.spans.clear();
        self.spans.resize(format.fields.len(), 0..0);
        (self.steps, self.furthest) = (0, 0);
        let last = self.before;
        if last.is_some_and(|before| self.behind(format, line, before)) || self.part(format, line, 0, 0) {
            return true;
        }
        for before in (0..BEFORE.len()).filter(|before| Some(*before) != last) {
            if self.behind(format, line, before) {
                self.before = Some(before);
                return true;
            }
        }
        false
    }

    /// Tries what stands behind a text that is not of the line.
    fn behind(&mut self, format: &TextFormat, line: &[u8], before: usize) -> bool {
        let Some(end) = BEFORE.get(before) else { return false };
        let window = line.get(..MAX_BEFORE).unwrap_or(line);
        find(window, end).is_some_and(|at| self.part(format, line, 0, at + end.len()))
    }

    /// The value of a field of the line that was read last, as it is written.
    pub(super) fn value<'l>(&self, line: &'l [u8], field: usize) -> &'l [u8] {
        self.spans.get(field).and_then(|span| line.get(span.clone())).unwrap_or_default()
    }

    /// Describes the part at which the last line could not be read on.
    pub(super) fn failure(&self, format: &TextFormat) -> String {
        let name = |part: Option<&Part>| match part {
            Some(Part::Field(field) | Part::Braces(field)) => format.fields.get(*field).map(|field| &*field.name),
            _ => None,
        };
        let text = |part: Option<&Part>| match part {
            Some(Part::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let (at, next) = (format.parts.get(self.furthest), format.parts.get(self.furthest + 1));
        match (name(at), text(at), text(next)) {
            (Some(field), _, Some(after)) => format!("no {field} that ends before `{after}`"),
            (Some(field), ..) => format!("no {field}"),
            (None, Some(text), _) => format!("no `{text}`"),
            _ => "something after its end".to_owned(),
        }
    }

    fn part(&mut self, format: &TextFormat, line: &[u8], part: usize, at: usize) -> bool {
        self.steps += 1;
        self.furthest = self.furthest.max(part);
        if self.steps > MAX_STEPS {
            return false;
        }
        let Some(rest) = line.get(at..) else { return false };
        match format.parts.get(part) {
            None => rest.is_empty() || format.is_open,
            Some(Part::Text(text)) => rest.starts_with(text) && self.part(format, line, part + 1, at + text.len()),
            Some(Part::Field(field)) => self.field(format, line, (part, *field), at),
            Some(Part::Braces(field)) => {
                let end = rest.first().filter(|byte| **byte == b'{').and_then(|_| memchr::memchr(b'}', rest));
                match end {
                    Some(end) => {
                        self.set(*field, at..at + end + 1);
                        self.part(format, line, part + 1, at + end + 1)
                    }
                    None => self.without(format, line, (part, *field), at),
                }
            }
        }
    }

    fn field(&mut self, format: &TextFormat, line: &[u8], (part, field): (usize, usize), at: usize) -> bool {
        let rest = line.get(at..).unwrap_or_default();
        let text = match format.parts.get(part + 1) {
            None => {
                self.set(field, at..line.len());
                return self.is_plausible(format, field, rest);
            }
            Some(Part::Text(text)) => &**text,
            // What begins with a slash needs nothing before it.
            Some(Part::Field(_) | Part::Braces(_)) => {
                let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
                self.set(field, at..at + end);
                return self.part(format, line, part + 1, at + end);
            }
        };
        let escaped = |end: usize| {
            let before = rest.get(..end).unwrap_or_default();
            format.escapes == Escapes::Backslash
                && text.first() == Some(&b'"')
                && before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
        };
        let mut from = 0;
        while let Some(found) = rest.get(from..).and_then(|rest| find(rest, text)) {
            let end = from + found;
            from = end + 1;
            if escaped(end) || !rest.get(..end).is_some_and(|value| self.is_plausible(format, field, value)) {
                self.furthest = self.furthest.max(part);
                self.steps += 1;
                if self.steps > MAX_STEPS {
                    return false;
                }
                continue;
            }
            self.set(field, at..at + end);
            if self.part(format, line, part + 2, at + end + text.len()) {
                return true;
            }
        }
        self.without(format, line, (part, field), at)
    }

    /// Reads on without a field, and without the blank behind it.
    fn without(&mut self, format: &TextFormat, line: &[u8], (part, field): (usize, usize), at: usize) -> bool {
        let after_blank = at == 0 || line.get(at - 1) == Some(&b' ');
        let Some(Part::Text(text)) = format.parts.get(part + 1) else { return false };
        if !format.collapses || !after_blank || text.first() != Some(&b' ') {
            return false;
        }
        self.set(field, at..at);
        let text = text.get(1..).unwrap_or_default();
        line.get(at..).is_some_and(|rest| rest.starts_with(text)) && self.part(format, line, part + 2, at + text.len())
    }

    /// Returns whether a field may have this value, as far as that is seen at once.
    fn is_plausible(&mut self, format: &TextFormat, field: usize, value: &[u8]) -> bool {
        let digits = |value: &[u8]| value.iter().all(u8::is_ascii_digit);
        match format.fields.get(field).map(|field| &field.meaning) {
            Some(Meaning::Status) => matches!(value, b"-" | b"-1" | b"") || (value.len() <= 3 && digits(value)),
            Some(Meaning::ClientPort) => !value.is_empty() && (value == b"-" || digits(value)),
            Some(Meaning::Client) => !value.is_empty() && !value.contains(&b' '),
            Some(Meaning::Time { .. }) => self.times.time(value).is_some(),
            Some(Meaning::Took(..)) => {
                value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b',' | b':' | b' '))
            }
            _ => true,
        }
    }

    fn set(&mut self, field: usize, span: Range<usize>) {
        if let Some(of_field) = self.spans.get_mut(field) {
            *of_field = span;
        }
    }
}

fn find(rest: &[u8], text: &[u8]) -> Option<usize> {
    match text {
        [one] => memchr::memchr(*one, rest),
        [first, ..] => {
            // Few bytes lie between: cheaper than to prepare a search.
            let mut from = 0;
            loop {
                let found = from + memchr::memchr(*first, rest.get(from..)?)?;
                if rest.get(found..)?.starts_with(text) {
                    return Some(found);
                }
                from = found + 1;
            }
        }
        [] => Some(0),
    }
}
