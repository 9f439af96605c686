//! Reference traffic, sent next to the deliveries to find noise: its blocks in the summary.

use crate::compare::ResponseDiff;
use crate::exchange::Outcome;
use crate::report::schema::noise::NoiseOnlyCounts;
use crate::report::schema::reference::SelfChecks;
use crate::report::schema::target::{Differences, TargetSummary};

impl SelfChecks {
    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Sent => self.sent += 1,
            Outcome::Failed(_) => self.failed += 1,
            _ => self.shed += 1,
        }
    }

    pub(crate) fn compared(&mut self, found: &ResponseDiff) {
        self.compared += 1;
        self.differ += u64::from(!found.differences.is_empty());
    }

    /// The response of one is nobody's after all.
    pub(crate) fn take_back(&mut self) {
        self.sent = self.sent.saturating_sub(1);
        self.failed += 1;
    }

    /// Takes a comparison back.
    pub(crate) fn uncompared(&mut self, found: &ResponseDiff) {
        self.compared = self.compared.saturating_sub(1);
        self.differ = self.differ.saturating_sub(u64::from(!found.differences.is_empty()));
    }

    /// Returns the checks for the summary; `None` where there were none.
    pub(crate) fn reported(self) -> Option<Self> {
        let ended = self.sent + self.failed + self.shed;
        (self.offered > 0).then_some(Self { in_flight: self.offered.saturating_sub(ended), ..self })
    }
}

impl TargetSummary {
    /// Returns the differences without responses that differ in noise alone.
    pub(crate) fn without(mut self, noise: NoiseOnlyCounts) -> Self {
        self.differences = self.differences.without(noise);
        self.differences_noise = noise;
        self
    }
}

impl Differences {
    /// The same, but for answers that differ in noise alone.
    pub(crate) fn without(mut self, noise: NoiseOnlyCounts) -> Self {
        let less = |count: &mut u64, noise: u64| *count = count.saturating_sub(noise);
        less(&mut self.any, noise.any);
        less(&mut self.status, noise.status);
        less(&mut self.headers, noise.headers);
        less(&mut self.body, noise.body);
        self
    }
}
