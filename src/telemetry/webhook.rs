//! What a webhook is told: that a guard holds a target's requests back, and that it lets them in again.

use serde_json::{Value, json};

use crate::report::schema::steps::RampStep;

/// A change that a guard made.
#[derive(Clone, Debug)]
pub(crate) struct GuardWord {
    pub(crate) step: RampStep,
    pub(crate) command: &'static str,
}

impl GuardWord {
    /// As it is sent. `text` is what chats show.
    pub(super) fn body(&self) -> Value {
        let RampStep { at, target, from, to, reason, .. } = &self.step;
        let is_trip = to <= from;
        let event = match (target, is_trip) {
            (None, _) => "run_stopped",
            (Some(_), true) => "guard_tripped",
            (Some(_), false) => "guard_recovering",
        };
        json!({
            "text": format!("shadowtap {}: {}", self.command, self.step),
            "event": event,
            "recovered": !is_trip && *to >= 1.0,
            "command": self.command,
            "at": at,
            "target": target,
            "from": from,
            "to": to,
            "reason": reason,
        })
    }
}
