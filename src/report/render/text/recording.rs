//! Summary of the recording, and of losses on the way to it.

use std::fmt::Write as _;

use crate::report::schema::counts::sum;
use crate::report::units::{bytes, counted, number};

use super::{LABEL, Severity, TextReport, kinds};
use crate::report::schema::recording::RecordingSummary;

/// A line of the last block.
pub(super) fn line(page: &mut TextReport, recording: &RecordingSummary) {
    let records = counted(recording.records, "record");
    let mut text =
        format!("Recording    {records} in {}; {} before compression", recording.in_files(), bytes(recording.bytes));
    if !recording.left_out.is_empty() {
        write!(text, "; left out: {}", kinds(&recording.left_out)).ok();
    }
    let lost = sum(&recording.lost);
    if lost > 0 {
        write!(text, "; {} lost ({})", number(lost), kinds(&recording.lost)).ok();
    }
    page.wrapped(&text, LABEL, if lost > 0 { Severity::Bad } else { Severity::Plain });
}
