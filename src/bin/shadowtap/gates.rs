//! The exit code of a run: trouble first, an input that was not read to its end among it, then what was demanded.

use std::process::ExitCode;

use shadowtap::report::Summary;

use crate::output::print_line;
use crate::{GATE_FAILED, TROUBLE};

/// Tells what could not be read to its end, before anything else is said of a run.
pub(crate) fn tell_unread(summary: &Summary) {
    for unread in &summary.unread {
        print_line(&format!("error: {unread}; what follows is about what was read"));
    }
}

/// Says why nothing was sent, before anything else is said of a run, and returns whether that is trouble: with
/// `--allow-empty` it is not where there was nothing to send.
pub(crate) fn nothing_sent(summary: &Summary, allow_empty: bool) -> bool {
    let Some(reason) = summary.nothing_sent() else { return false };
    let pardoned = allow_empty && !summary.sending_failed();
    print_line(&format!("{}: {reason}", if pardoned { "warning" } else { "error" }));
    !pardoned
}

/// Tells each demand that did not hold, and why, in a line, and last what could not be read to its end; says how the
/// program ends.
pub(crate) fn ending(summary: &Summary, trouble: bool) -> ExitCode {
    for gate in summary.failed_gates() {
        print_line(&format!("gate failed: {}: {}", gate.gate, gate.reason));
    }
    for unread in &summary.unread {
        print_line(&format!("error: not all of the capture was read: {unread}"));
    }
    match (trouble || !summary.unread.is_empty(), summary.failed_gates().next()) {
        (true, _) => ExitCode::from(TROUBLE),
        (false, Some(_)) => ExitCode::from(GATE_FAILED),
        (false, None) => ExitCode::SUCCESS,
    }
}
