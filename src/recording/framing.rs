//! A file in pieces: records or lines, each found in the input window without being copied.

use std::ops::Range;

use crate::capture::{Input, OpenedInput};

use super::skipped::SkippedRecords;

/// Pieces of a file, one after another.
pub(super) struct RecordFraming {
    name: String,
    input: Input,
    size: Option<u64>,
    /// Name of a piece, for messages.
    what: &'static str,
    /// Bytes of what stands between pieces, which may be cut by the end of the window.
    between: usize,
    /// Longest piece.
    most: usize,
    /// Bytes of the current piece and what follows it, which are passed with the next step.
    used: usize,
    count: u64,
    failed: Option<FramingError>,
    ended: bool,
}

/// Reason that a file ended early.
enum FramingError {
    /// As if what wrote it was killed.
    Stopped(String),
    /// It cannot be read on.
    Broken(String),
}

/// Next step through a file.
#[derive(Clone, Debug)]
pub(super) enum FramingStep {
    /// A piece, as its range in the window.
    Piece(Range<usize>),
    /// A piece too long to be looked at; it was passed over.
    TooLong,
    /// The end of the file, without what follows a whole piece.
    Torn(Range<usize>),
    /// Nothing more.
    End,
}

impl RecordFraming {
    pub(super) fn new(opened: OpenedInput, what: &'static str, between: usize, most: usize) -> Self {
        let OpenedInput { name, input, size, .. } = opened;
        Self { name, input, size, what, between, most, used: 0, count: 0, failed: None, ended: false }
    }

    /// Moves to the next piece. `find` returns the end of the piece that begins the bytes, and the start of the next
    /// one; its second argument is the number of bytes searched before, which it need not search again.
    pub(super) fn advance(&mut self, find: impl Fn(&[u8], usize) -> Option<(usize, usize)>) -> FramingStep {
        self.input.consume(std::mem::take(&mut self.used));
        if self.ended {
            return FramingStep::End;
        }
        self.count += 1;
        let mut searched = 0;
        loop {
            if let Some((end, next)) = find(self.input.available(), searched) {
                self.used = next;
                return if end > self.most { FramingStep::TooLong } else { FramingStep::Piece(0..end) };
            }
            let have = self.input.available().len();
            searched = have.saturating_sub(self.between);
            if have > self.most {
                return self.pass_over(&find);
            }
            if !self.more() {
                self.ended = true;
                let left = self.input.available();
                let blank = left.iter().all(u8::is_ascii_whitespace);
                return if blank { FramingStep::End } else { FramingStep::Torn(0..left.len()) };
            }
        }
    }

    /// Moves past a piece that is too long to be held.
    fn pass_over(&mut self, find: &impl Fn(&[u8], usize) -> Option<(usize, usize)>) -> FramingStep {
        loop {
            // The byte before keeps it from looking like the beginning of a piece.
            let keep = self.between.max(1);
            self.input.consume(self.input.available().len().saturating_sub(keep));
            if !self.more() {
                self.ended = true;
                return FramingStep::TooLong;
            }
            if let Some((_, next)) = find(self.input.available(), 1.min(keep)) {
                self.used = next;
                return FramingStep::TooLong;
            }
        }
    }

    fn more(&mut self) -> bool {
        self.input.more().unwrap_or_else(|error| {
            self.failed = Some(match error.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    FramingError::Stopped("ends before its compression does".to_owned())
                }
                _ => FramingError::Broken(format!("cannot be read on: {error}")),
            });
            false
        })
    }

    /// The bytes of a piece, until the next one is asked for.
    pub(super) fn bytes(&self, piece: &Range<usize>) -> &[u8] {
        self.input.available().get(piece.clone()).unwrap_or_default()
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the limit on a piece's length, in words.
    pub(super) fn limit(&self) -> String {
        format!("{} KiB is the limit, which grows with --max-memory", self.most >> 10)
    }

    /// The number of the current piece, from 1.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Takes note that the file ends inside a piece.
    pub(super) fn report_torn(&mut self) {
        let left = self.input.available().len();
        let how = format!("ends inside a {} ({left} bytes of it are there)", self.what);
        self.failed.get_or_insert(FramingError::Stopped(how));
    }

    /// Returns the warnings about the file.
    pub(super) fn warnings(&self, skipped: &SkippedRecords) -> Vec<String> {
        self.unread().into_iter().chain(skipped.words(&self.name, self.what)).collect()
    }

    /// Returns the reason that the file was not read to its end.
    pub(super) fn unread(&self) -> Option<String> {
        let before = self.count.saturating_sub(1);
        let (name, what) = (&self.name, self.what);
        self.failed.as_ref().map(|failed| match failed {
            FramingError::Stopped(how) => {
                format!("{name} {how}: what wrote it was stopped, or still writes; {what}s before that: {before}")
            }
            FramingError::Broken(how) => format!("{name} {how}; {what}s before that: {before}"),
        })
    }

    /// Returns the progress through the file, from 0 to 1.
    pub(super) fn progress(&self) -> Option<f64> {
        OpenedInput::progress(&self.input, self.size)
    }
}
