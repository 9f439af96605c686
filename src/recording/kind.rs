//! The kind of a file of lines, by its beginning.

use crate::capture::Input;

use super::har::begins_archive;

/// Bytes of the first line that suffice to recognize its kind.
const ENOUGH: usize = 64 * 1024;

/// Kind of a file, recognized by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordingKind {
    /// With the line of an exchange, or of something else that is to be passed over.
    AsLines,
    /// With an exchange without its messages.
    WithoutMessages,
    /// With a line of `--results`.
    AsResults,
    /// With the object of an archive (HAR).
    AsArchive,
    /// With an object over several lines, as `--summary` writes it; or such a summary on one.
    AsSummary,
    /// Otherwise.
    Otherwise,
}

/// Returns the kind of lines that the input begins with, if it begins with lines of JSON.
pub(super) fn kind_of(input: &mut Input) -> std::io::Result<RecordingKind> {
    if is_archive(input)? {
        return Ok(RecordingKind::AsArchive);
    }
    if input.available().first() != Some(&b'{') {
        return Ok(RecordingKind::Otherwise);
    }
    let mut searched = 0;
    let line = loop {
        let available = input.available();
        if let Some(end) = memchr::memchr(b'\n', available.get(searched..).unwrap_or_default()) {
            break available.get(..searched + end).unwrap_or_default();
        }
        searched = available.len();
        if searched > ENOUGH || !input.more()? {
            break input.available();
        }
    };
    let line = line.get(..ENOUGH).unwrap_or(line);
    let after_brace = line.get(1..).unwrap_or_default().trim_ascii_start();
    if after_brace.is_empty() || after_brace.starts_with(b"\"schema\":") {
        return Ok(RecordingKind::AsSummary);
    }
    let has = |key: &str| memchr::memmem::find(line, key.as_bytes()).is_some();
    Ok(match (has("\"request\":"), has("\"outcome\":") || has("\"kind\":"), has("\"headers\":")) {
        (false, true, _) => RecordingKind::AsResults,
        // A line too long to be seen whole can have them later.
        (false, false, true) if line.len() < ENOUGH => RecordingKind::WithoutMessages,
        _ => RecordingKind::AsLines,
    })
}

/// Returns whether the input begins as an archive does, however many bytes come at once.
fn is_archive(input: &mut Input) -> std::io::Result<bool> {
    loop {
        match begins_archive(input.available()) {
            Some(begins) => return Ok(begins),
            None if input.available().len() > ENOUGH || !input.more()? => return Ok(false),
            None => {}
        }
    }
}
