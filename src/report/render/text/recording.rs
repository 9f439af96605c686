//! What was recorded, and what was not.

use std::fmt::Write as _;

use crate::report::schema::counts::sum;
use crate::report::schema::summary::{RecordingSummary, Summary};
use crate::report::units::{bytes, counted, number};

use super::{LABEL, Severity, TextReport, kinds};

/// The one thing to know of a run that only recorded.
pub(super) fn verdict(page: &mut TextReport, summary: &Summary, recording: &RecordingSummary) {
    let seen = counted(summary.requests.seen, "request");
    let lost = sum(&recording.lost);
    let mut text = match summary.requests_recorded() {
        Some(recorded) => format!("{} of {seen} recorded in {}", number(recorded), files(recording)),
        None => format!("{} recorded in {}; {seen} seen", counted(recording.records, "record"), files(recording)),
    };
    if lost > 0 {
        write!(text, "; {} LOST ({})", counted(lost, "record"), kinds(&recording.lost)).ok();
    }
    page.paragraph(&text, if summary.recording_failed() || lost > 0 { Severity::Bad } else { Severity::Good });
}

/// A line of the last block.
pub(super) fn line(page: &mut TextReport, recording: &RecordingSummary) {
    let records = counted(recording.records, "record");
    let mut text =
        format!("Recording    {records} in {}; {} before compression", files(recording), bytes(recording.bytes));
    if !recording.left_out.is_empty() {
        write!(text, "; left out: {}", kinds(&recording.left_out)).ok();
    }
    let lost = sum(&recording.lost);
    if lost > 0 {
        write!(text, "; {} lost ({})", number(lost), kinds(&recording.lost)).ok();
    }
    page.wrapped(&text, LABEL, if lost > 0 { Severity::Bad } else { Severity::Plain });
}
fn files(recording: &RecordingSummary) -> String {
    match (recording.files, &recording.last) {
        (1, Some(only)) => only.clone(),
        (files, Some(last)) => format!("{}, the last of them {last}", counted(files, "file")),
        (_, None) => "no file".to_owned(),
    }
}
