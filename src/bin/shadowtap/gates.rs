//! Exit code of a run. Errors come first, among them an input that was not read to its end; failed gates come second.

use std::process::ExitCode;

use shadowtap::report::Summary;

use crate::output::print_line;
use crate::{GATE_FAILED, TROUBLE};

/// Prints the inputs that could not be read to their end, before any other result of a run.
pub(crate) fn tell_unread(summary: &Summary) {
    for unread in &summary.unread {
        print_line(&format!("error: {unread}; what follows is about what was read"));
    }
}

/// Prints why nothing was sent, before any other result of a run. Returns whether that is an error: with
/// `--allow-empty` it is not, where there was nothing to send.
pub(crate) fn nothing_sent(summary: &Summary, allow_empty: bool) -> bool {
    if let Some(words) = summary.left_to_others() {
        print_line(words);
    }
    let Some(reason) = summary.nothing_sent() else { return false };
    let pardoned = allow_empty && !summary.sending_failed();
    print_line(&format!("{}: {reason}", if pardoned { "warning" } else { "error" }));
    !pardoned
}

/// Prints each failed gate and its reason in a line, and last the inputs that could not be read to their end. Returns
/// the exit code.
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
