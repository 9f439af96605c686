//! The runs that a report was added up from, and what of them is not in it.

use crate::report::schema::merged::MergedRuns;
use crate::report::schema::summary::Summary;
use crate::report::units::counted;

use super::{LABEL, Severity, TextReport};

/// Runs that are listed; of further ones there is the number.
const MAX_RUNS: usize = 16;

/// Lines of the last block.
pub(super) fn block(page: &mut TextReport, summary: &Summary) {
    let Some(MergedRuns { runs, left_out }) = &summary.merged else { return };
    let listed = runs.iter().take(MAX_RUNS).map(|run| format!("{} ({})", run.name, counted(run.seen, "request")));
    let mut listed: Vec<String> = listed.collect();
    if let Some(more) = runs.len().checked_sub(MAX_RUNS).filter(|more| *more > 0) {
        listed.push(format!("and {more} more"));
    }
    let text = format!("Added up     {}: {}", counted(runs.len() as u64, "run"), listed.join(", "));
    page.wrapped(&text, LABEL, Severity::Plain);
    for (at, what) in left_out.iter().enumerate() {
        let label = if at == 0 { "Not in it" } else { "" };
        page.wrapped(&format!("{label:LABEL$}{what}"), LABEL, Severity::Plain);
    }
}
