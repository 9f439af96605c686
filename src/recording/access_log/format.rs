//! The form of a line: text, and fields between it; and how a line is taken apart by it.

use std::ops::Range;

use super::meaning::{Escapes, Field};
use super::part::{self, Part};
use super::shape::ValueShape;
use super::straight::StraightSteps;
use super::time::TimeMemo;

/// Most parts of a format.
pub(super) const MAX_PARTS: usize = 256;
/// Steps that one line may take: a line that could be read in very many ways is in none of them.
const MAX_STEPS: u32 = 2048;

/// A format of lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextFormat {
    pub(super) parts: Vec<Part>,
    pub(super) fields: Vec<Field>,
    /// The parts once more, as nearly every line is read.
    pub(super) straight: StraightSteps,
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
        let last = self.before;
        self.spans.resize(format.fields.len(), 0..0);
        if self.straight(format, line, last) {
            return true;
        }
        self.spans.fill(0..0);
        (self.steps, self.furthest) = (0, 0);
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

    /// Reads a line from its beginning to its end, behind the text before it.
    fn straight(&mut self, format: &TextFormat, line: &[u8], before: Option<usize>) -> bool {
        let Some(from) = before.map_or(Some(0), |before| begin(line, before)) else { return false };
        let end = format.straight.read((line, from), format.escapes, (&mut self.spans, &mut self.times));
        end.is_some_and(|end| format.is_open || end == line.len())
    }

    /// Tries what stands behind a text that is not of the line.
    fn behind(&mut self, format: &TextFormat, line: &[u8], before: usize) -> bool {
        begin(line, before).is_some_and(|at| self.part(format, line, 0, at))
    }

    /// Where the fields of the line stand that was read last, as they are written; and its times.
    pub(super) fn found(&mut self) -> (&[Range<usize>], &mut TimeMemo) {
        (&self.spans, &mut self.times)
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

    /// Returns whether a field may have this value.
    fn is_plausible(&mut self, format: &TextFormat, field: usize, value: &[u8]) -> bool {
        let shape = format.fields.get(field).map_or(ValueShape::Any, |field| ValueShape::of(&field.meaning));
        shape.fits(value, &mut self.times)
    }

    fn set(&mut self, field: usize, span: Range<usize>) {
        if let Some(of_field) = self.spans.get_mut(field) {
            *of_field = span;
        }
    }
}

/// Where a line begins behind such a text.
fn begin(line: &[u8], before: usize) -> Option<usize> {
    let end = BEFORE.get(before)?;
    find(line.get(..MAX_BEFORE).unwrap_or(line), end).map(|at| at + end.len())
}

/// Where `text` comes first.
fn find(rest: &[u8], text: &[u8]) -> Option<usize> {
    text.split_first().map_or(Some(0), |(first, behind)| part::find(rest, *first, behind))
}

#[cfg(test)]
mod tests {
    use super::super::compile::{LineFormat, format};
    use super::*;

    /// Reads a line as nearly all are read, and with every way tried.
    #[track_caller]
    fn check(name: &str, line: &[u8]) {
        let Ok((_, LineFormat::Text(format))) = format(name) else { panic!("{name}") };
        let slow = TextFormat { straight: StraightSteps::default(), ..format.clone() };
        let read = |format: &TextFormat| {
            let mut matcher = Matcher::default();
            // Once more, with what stands before lines known.
            [(); 2].map(|()| (matcher.read(format, line), matcher.before)).map(|read| (read, matcher.spans.clone()))
        };
        assert_eq!(read(&format), read(&slow), "{name}: {}", String::from_utf8_lossy(line));
    }

    #[test]
    fn a_line_read_straight_is_read_as_with_every_way_tried() {
        const HAPROXY: &str = r#"lb1 haproxy[2]: 10.0.0.1:5000 [06/Feb/2009:12:14:14.655] http-in app/a 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /a b HTTP/1.1""#;
        const COMBINED: &str =
            r#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a\"b HTTP/1.0" 200 2326 "http://x/ y" "M (a; b)""#;
        for (name, line) in [("haproxy", HAPROXY), ("combined", COMBINED)] {
            check(name, line.as_bytes());
            for at in 0..line.len() {
                let (before, after) = line.as_bytes().split_at(at);
                check(name, before);
                check(name, &[before, &after[1..]].concat());
                for byte in b" \"\\/-0{[:" {
                    check(name, &[before, &[*byte], after].concat());
                    check(name, &[before, &[*byte], &after[1..]].concat());
                }
            }
        }
    }
}
