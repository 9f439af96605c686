//! The header lines of a head, one after another.

use std::ops::Range;

/// Edit of a header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineEdit {
    /// It stays as it is.
    Keep,
    /// It gets this value.
    Value(Vec<u8>),
    /// It gets this name; the value stays.
    Name(String),
    /// It goes.
    Remove,
}

/// One header line, folded continuation lines (RFC 9112, 5.2) included.
#[derive(Clone, Debug)]
pub struct HeaderLine<'a> {
    /// The name as on the wire, without the blanks that some put before the colon.
    pub name: &'a [u8],
    /// The value without the blanks around it; a folded value still has its line ends inside.
    pub value: &'a [u8],
    pub(super) span: Range<usize>,
    pub(super) value_start: usize,
    pub(super) colon: Option<usize>,
}

impl HeaderLine<'_> {
    /// Returns whether the line's name is `name`, without regard to case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    pub(crate) const fn has_colon(&self) -> bool {
        self.colon.is_some()
    }

    pub(crate) fn has_blank_before_colon(&self) -> bool {
        self.colon.is_some_and(|colon| colon > self.name.len())
    }

    /// Returns the positions of name and value in the head, in bytes.
    pub(crate) const fn spans(&self) -> (Range<usize>, Range<usize>) {
        (self.span.start..self.span.start + self.name.len(), self.value_span())
    }

    /// Returns the range of the head that an edit replaces, and its replacement.
    pub(super) fn splice(&self, edit: LineEdit) -> Option<(Range<usize>, Vec<u8>)> {
        match edit {
            LineEdit::Keep => None,
            LineEdit::Value(value) => Some((self.value_span(), value)),
            LineEdit::Name(name) => Some((self.span.start..self.span.start + self.name.len(), name.into_bytes())),
            LineEdit::Remove => Some((self.span.clone(), Vec::new())),
        }
    }

    /// Returns the position of its value in the head, in bytes.
    pub(crate) const fn value_span(&self) -> Range<usize> {
        self.value_start..self.value_start + self.value.len()
    }

    /// Returns the position of the line in the head, line end included, in bytes.
    pub(crate) const fn span(&self) -> Range<usize> {
        self.span.start..self.span.end
    }
}

/// Iterator over [`HeaderLine`]s. A line without a colon has an empty value.
#[derive(Clone, Debug)]
pub struct HeaderLines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl<'a> HeaderLines<'a> {
    /// The header lines of a head, its start line left out.
    pub(crate) fn of(raw: &'a [u8]) -> Self {
        let start = memchr::memchr(b'\n', raw).map_or(raw.len(), |end| end + 1);
        Self { raw, at: start }
    }

    /// The header lines from the one that begins at `at`.
    pub(crate) const fn from(raw: &'a [u8], at: usize) -> Self {
        Self { raw, at }
    }

    /// The lines under `name`. Others are passed over without a look at where their names end.
    pub(crate) fn named(mut self, name: &str) -> impl Iterator<Item = HeaderLine<'a>> {
        std::iter::from_fn(move || {
            loop {
                self.pass_over_others(name.as_bytes());
                let line = self.next()?;
                if line.is(name) {
                    return Some(line);
                }
            }
        })
    }

    /// Goes on to a line that begins with `name`, or to the end. What continues a line begins with a blank, as no name does.
    fn pass_over_others(&mut self, name: &[u8]) {
        let begin = self.at;
        let mut ends = memchr::memchr_iter(b'\n', self.raw.get(begin..).unwrap_or_default());
        while let Some(rest @ [first, ..]) = self.raw.get(self.at..) {
            let may_end = |after: &u8| *after == b':' || after.is_ascii_whitespace();
            let may_be = name.first().is_none_or(|begin| begin.eq_ignore_ascii_case(first))
                && rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
                && rest.get(name.len()).is_none_or(may_end);
            if may_be || matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
                return;
            }
            self.at = ends.next().map_or(self.raw.len(), |end| begin + end + 1);
        }
    }
}

impl<'a> Iterator for HeaderLines<'a> {
    type Item = HeaderLine<'a>;

    /// Counts the lines without a look into them.
    fn count(self) -> usize {
        if let Some(lines) = self.raw.get(self.at..).and_then(count_unfolded) {
            return lines;
        }
        let (mut at, mut lines) = (self.at, 0);
        while let Some(rest @ [_, ..]) = self.raw.get(at..) {
            if lines == 0 || !matches!(rest, [b' ' | b'\t', ..]) {
                if matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
                    break;
                }
                lines += 1;
            }
            at = line_end(self.raw, at);
        }
        lines
    }

    fn next(&mut self) -> Option<HeaderLine<'a>> {
        let start = self.at;
        if matches!(self.raw.get(start..)?, [] | [b'\n', ..] | [b'\r', b'\n', ..]) {
            return None;
        }
        let mut end = line_end(self.raw, start);
        while matches!(self.raw.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.raw, end);
        }
        self.at = end;
        let line = self.raw.get(start..end).unwrap_or_default();
        // Names are short: to call somebody to search them takes longer than to search them.
        let found = line.iter().position(|byte| *byte == b':');
        let colon = found.unwrap_or(line.len());
        let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
        let after = line.get(colon + 1..).unwrap_or_default().trim_ascii_start();
        let value = after.trim_ascii_end();
        let value_start = end - after.len();
        // An all-blank value has no start of its own: it stands where its line ends.
        let value_start = if value.is_empty() { (start + colon + 1).min(end) } else { value_start };
        Some(HeaderLine { name, value, span: start..end, value_start, colon: found })
    }
}

/// Counts the lines where they end as a whole head does, and none is folded or begins with a control character: the line feeds
/// but for the last one. `None` where that is not so.
fn count_unfolded(lines: &[u8]) -> Option<usize> {
    /// So many that their number fits a byte: then the compiler counts many in one instruction.
    const BLOCK: usize = 240;
    let ([b'!'..=u8::MAX, .., b'\n', b'\n'] | [b'!'..=u8::MAX, .., b'\n', b'\r', b'\n']) = lines else {
        return None;
    };
    let (mut ends, mut blanks) = (0, 0);
    for (bytes, next) in lines.chunks(BLOCK).zip(lines.get(1..)?.chunks(BLOCK)) {
        let (mut ends_here, mut blanks_here) = (0_u8, 0_u8);
        for (byte, next) in bytes.iter().zip(next) {
            let ends_line = u8::from(*byte == b'\n');
            ends_here += ends_line;
            blanks_here += ends_line & u8::from(*next <= b' ');
        }
        ends += usize::from(ends_here);
        blanks += usize::from(blanks_here);
    }
    // What follows the last line is the empty one.
    (blanks == 1).then_some(ends)
}

/// Offset after the line that begins at `start`.
fn line_end(raw: &[u8], start: usize) -> usize {
    raw.get(start..).and_then(|rest| memchr::memchr(b'\n', rest)).map_or(raw.len(), |at| start + at + 1)
}

pub(super) fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that lines are counted as they are read.
    fn check(head: &[u8]) {
        let mut lines = HeaderLines::from(head, 0);
        let read = std::iter::from_fn(|| lines.next()).fold(0, |read, _| read + 1);
        assert_eq!(HeaderLines::from(head, 0).count(), read, "{}", head.escape_ascii());
    }

    #[test]
    fn lines_are_counted_as_they_are_read() {
        const BYTES: [u8; 5] = *b"a: \r\n";
        for len in 0..8 {
            for number in 0..BYTES.len().pow(len) {
                let digits = (0..len).map(|digit| number / BYTES.len().pow(digit) % BYTES.len());
                check(&digits.map(|digit| BYTES[digit]).collect::<Vec<_>>());
            }
        }
        for lines in [1, 20, 100, 300] {
            for line in ["a:b\r\n", "name: value\r\n", "a: folded\r\n line\r\n"] {
                check(format!("{}\r\n", line.repeat(lines)).as_bytes());
                check(format!("{}\n", "\n".repeat(lines)).as_bytes());
            }
        }
    }
}
