//! Thresholds of the run, and whether it met them: a paragraph each.

use crate::report::schema::summary::Summary;

use super::{Severity, TextReport};
use crate::report::schema::gates::GateState;

/// Columns of what became of a demand.
const STATE: usize = 9;

/// Each demand, what became of it, and why.
pub(super) fn gates(page: &mut TextReport, summary: &Summary) {
    if summary.gates.is_empty() {
        return;
    }
    page.title("Gates");
    for gate in &summary.gates {
        let (state, tone) = match gate.state {
            GateState::Held if gate.held => ("held", Severity::Good),
            GateState::TooFew => ("too few", Severity::Odd),
            GateState::Unknown => ("unknown", Severity::Bad),
            GateState::Held | GateState::Failed => ("failed", Severity::Bad),
        };
        page.wrapped(&format!("  {state:STATE$}{}: {}", gate.gate, gate.reason), 2 + STATE, tone);
    }
}
