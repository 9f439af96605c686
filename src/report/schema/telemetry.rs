//! The block `telemetry` of the summary: what was sent to other systems on the way.

use serde::{Deserialize, Serialize};

use crate::report::units::number;

/// Telemetry of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TelemetrySummary {
    /// Spans of deliveries (`--otlp`), where they were asked for.
    #[serde(default)]
    pub traces: Option<TelemetryCounts>,
    /// Words of guards (`--webhook`), where they were asked for.
    #[serde(default)]
    pub webhook: Option<TelemetryCounts>,
}

/// What became of what was to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TelemetryCounts {
    /// Where it went, without what may be a secret.
    pub endpoint: String,
    /// Taken by it.
    pub sent: u64,
    /// Refused, however often it was tried.
    pub failed: u64,
    /// Never tried to the end: there was no room to wait in, or no time at the end.
    pub dropped: u64,
}

impl TelemetrySummary {
    /// What is missing elsewhere, in words for people.
    #[must_use]
    pub(crate) fn remarks(&self) -> Vec<String> {
        let both = [("spans", "--otlp", &self.traces), ("words of guards", "--webhook", &self.webhook)];
        let lines = both.into_iter().filter_map(|(what, flag, counts)| {
            let TelemetryCounts { endpoint, sent, failed, dropped } = counts.as_ref()?;
            let lost = failed + dropped;
            let line = || {
                format!(
                    "{} of {} {what} did not get to {endpoint} ({flag}): {} refused, {} dropped",
                    number(lost),
                    number(sent + lost),
                    number(*failed),
                    number(*dropped)
                )
            };
            (lost > 0).then(line)
        });
        lines.collect()
    }
}
