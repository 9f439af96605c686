//! What is sent beside the deliveries to targets, to learn what is noise: its blocks in the summary.

use serde::{Deserialize, Serialize};

use crate::compare::ResponseDiff;
use crate::exchange::Outcome;

use super::noise::NoiseOnlyCounts;
use super::summary::{Differences, TargetSummary};

/// The stack that is known to be good, held against production to learn what is noise. As a target's block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its URL.
    pub url: String,
    /// What became of what was sent to it.
    #[serde(flatten)]
    pub target: TargetSummary,
}

/// Requests that were sent to a target a second time, to learn what is noise: `offered` = `in_flight` + `sent` +
/// `failed` + `shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfChecks {
    /// Requests that were to be sent a second time.
    pub offered: u64,
    /// Those that did not end before the run did.
    pub in_flight: u64,
    /// Answered, whatever the status.
    pub sent: u64,
    /// Not answered.
    pub failed: u64,
    /// Kept back, or thrown away for want of room.
    pub shed: u64,
    /// Those whose both answers are known.
    pub compared: u64,
    /// Those whose answers differ.
    pub differ: u64,
}

impl SelfChecks {
    pub(super) fn ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sent => self.sent += 1,
            Outcome::Failed(_) => self.failed += 1,
            _ => self.shed += 1,
        }
    }

    pub(super) fn compared(&mut self, found: &ResponseDiff) {
        self.compared += 1;
        self.differ += u64::from(!found.differences.is_empty());
    }

    /// What is told of them; nothing where there were none.
    pub(super) fn reported(self) -> Option<Self> {
        let ended = self.sent + self.failed + self.shed;
        (self.offered > 0).then_some(Self { in_flight: self.offered.saturating_sub(ended), ..self })
    }
}

impl TargetSummary {
    /// The same, but for answers that differ in noise alone.
    pub(super) fn without(mut self, noise: NoiseOnlyCounts) -> Self {
        self.differences = self.differences.without(noise);
        self.differences_noise = noise;
        self
    }
}

impl Differences {
    /// The same, but for answers that differ in noise alone.
    pub(super) fn without(mut self, noise: NoiseOnlyCounts) -> Self {
        let less = |count: &mut u64, noise: u64| *count = count.saturating_sub(noise);
        less(&mut self.any, noise.any);
        less(&mut self.status, noise.status);
        less(&mut self.headers, noise.headers);
        less(&mut self.body, noise.body);
        self
    }
}
