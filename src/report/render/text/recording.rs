//! Summary of the recording, and of losses on the way to it.

use std::fmt::Write as _;

use crate::report::schema::counts::sum;
use crate::report::units::{bytes, counted, number};

use super::{LABEL, Severity, TextReport, kinds};
use crate::report::schema::recording::RecordingSummary;

/// A line of the last block.
pub(super) fn line(page: &mut TextReport, recording: &RecordingSummary) {
    let records = counted(recording.records, "record");
    let mut text = match &recording.saved {
        None => {
            format!("Recording    {records} in {}; {} before compression", recording.in_files(), bytes(recording.bytes))
        }
        Some(saved) => {
            let (kept, written) = (bytes(recording.bytes), counted(saved.records, "record"));
            let files = match (saved.count, saved.files.first()) {
                (0, _) => "no file".to_owned(),
                (1, Some(only)) => only.clone(),
                (count, _) => counted(count, "file"),
            };
            format!("Recording    {records} went through the ring ({kept}); {written} saved to {files}")
        }
    };
    if let Some(saved) = recording.saved.as_ref().filter(|saved| saved.failed > 0) {
        write!(text, "; {} failed", number(saved.failed)).ok();
    }
    if !recording.left_out.is_empty() {
        write!(text, "; left out: {}", kinds(&recording.left_out)).ok();
    }
    let lost = sum(&recording.lost);
    if lost > 0 {
        write!(text, "; {} lost ({})", number(lost), kinds(&recording.lost)).ok();
    }
    let is_whole = lost == 0 && recording.saved.as_ref().is_none_or(|saved| saved.failed == 0);
    page.wrapped(&text, LABEL, if is_whole { Severity::Plain } else { Severity::Bad });
}
