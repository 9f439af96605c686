//! Latencies in the fixed buckets of metrics and of the live page.

use std::time::Duration;

use super::histogram::LatencyHistogram;
use crate::report::schema::counts::CountMap;
use crate::report::schema::target::Differences;

/// Edges of the latency buckets, in microseconds: from the response time of a cache to a time limit.
pub(crate) const EDGES_US: [u64; 20] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// What was counted of responses before they were taken back: counters that only grow are with these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// How many had been counted.
    pub deliveries: u64,
    /// Their statuses.
    pub statuses: CountMap,
    /// How they compared.
    pub differences: Differences,
}

/// Number of durations up to each edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveBuckets {
    /// By `EDGES_US`; each counts those of the edges before it, too.
    pub at_most: [u64; EDGES_US.len()],
    /// All of them.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

/// Durations at one target, by edges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTargetBuckets {
    /// Last byte of the request written to first byte of the response read.
    pub service: LiveBuckets,
    /// Due to first byte.
    pub response: LiveBuckets,
    /// Due to sent.
    pub lag: LiveBuckets,
    /// What was counted before it was taken back: these durations are among the others, and counters that only grow have
    /// to be with it.
    pub taken_back: TakenBack,
}

impl LiveBuckets {
    /// Returns the buckets of a histogram.
    #[must_use]
    pub fn of(durations: &LatencyHistogram) -> Self {
        let sum = u64::try_from(durations.sum_us()).unwrap_or(u64::MAX);
        Self { at_most: durations.at_most(&EDGES_US), count: durations.count(), sum: Duration::from_micros(sum) }
    }
}
