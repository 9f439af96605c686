//! Lines that are no exchange: how many, and the first of them.

use crate::sanitize;

/// Lines that are shown.
const SHOWN: usize = 3;
/// Characters of a line that are shown.
const EXCERPT: usize = 120;

/// Lines that were passed over.
#[derive(Clone, Debug, Default)]
pub(super) struct SkippedLines {
    count: u64,
    first: Vec<String>,
    /// The format that the first of them seems to have.
    likely: Option<&'static str>,
    /// Lines of connections on which nobody asked for anything.
    pub(super) without_request: u64,
}

impl SkippedLines {
    /// Counts a line.
    pub(super) fn count(&mut self, number: u64, line: &[u8], why: impl FnOnce() -> String) {
        self.count += 1;
        if self.count == 1 {
            self.likely = super::guess(line);
        }
        if self.first.len() < SHOWN {
            let text: String = String::from_utf8_lossy(line).chars().take(EXCERPT).collect();
            let cut = if text.len() < line.len() { "..." } else { "" };
            let text = format!("line {number} ({}): {text}{cut}", why());
            self.first.push(sanitize::text(&text, false).into_owned());
        }
    }

    /// Lines that are not of the format.
    pub(super) const fn unread(&self) -> u64 {
        self.count
    }

    /// Says that no line is of the format that was named.
    pub(super) fn misfit(&self, file: &str, format: &str) -> String {
        let likely = self.likely.map(|likely| format!("; it looks like --format {likely}")).unwrap_or_default();
        let first = self.first.first().map_or("", String::as_str);
        format!("{file}: none of its {} lines is of the format {format}{likely}: {first}", self.count)
    }

    /// What there is to say of them.
    pub(super) fn warnings(&self, file: &str, lines: u64) -> Vec<String> {
        let mut words = Vec::new();
        if self.count > 0 {
            let shown = if self.first.len() as u64 == self.count { "" } else { "the first: " };
            words.push(format!(
                "{file}: {} of {lines} lines could not be read and were passed over; {shown}{}",
                self.count,
                self.first.join("; ")
            ));
        }
        if self.without_request > 0 {
            words.push(format!(
                "{file}: {} of {lines} lines have no request (nobody asked, or not in HTTP) and were passed over",
                self.without_request
            ));
        }
        words
    }
}
