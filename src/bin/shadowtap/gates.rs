//! The exit code of a run: trouble first, then what was demanded of it.

use std::process::ExitCode;

use shadowtap::report::Summary;

use crate::output::tell;
use crate::{GATE_FAILED, TROUBLE};

/// Tells each demand that did not hold, and why, in a line; says how the program ends.
pub(crate) fn ending(summary: &Summary, trouble: bool) -> ExitCode {
    for gate in summary.failed_gates() {
        tell(&format!("gate failed: {}: {}", gate.gate, gate.reason));
    }
    match (trouble, summary.failed_gates().next()) {
        (true, _) => ExitCode::from(TROUBLE),
        (false, Some(_)) => ExitCode::from(GATE_FAILED),
        (false, None) => ExitCode::SUCCESS,
    }
}
