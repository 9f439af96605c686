//! Elements of every block: counts by name, and figures of latency.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::exchange::Shed;

/// Count of each name, in the order of the names.
pub type CountMap = BTreeMap<String, u64>;

/// The sum of all counts.
#[must_use]
pub fn sum(counts: &CountMap) -> u64 {
    counts.values().sum()
}

/// Sums counts of requests that were shed, without those that nobody misses: the run ended before their turn came, or another
/// replayer has them.
#[must_use]
pub fn lost(shed: &CountMap) -> u64 {
    let count = |place: Shed| shed.get(place.key()).copied().unwrap_or_default();
    sum(shed).saturating_sub(count(Shed::RunEnded) + count(Shed::Moved))
}

/// Returns whether a count can be left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
pub(crate) const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Counts one more under `key`, without a new key each time.
pub(crate) fn count(counts: &mut CountMap, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
    } else {
        counts.insert(key.to_owned(), 1);
    }
}

/// Figures of a histogram: microseconds, three significant digits; all zero where nothing was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the figures")]
#[non_exhaustive]
pub struct LatencySummary {
    pub count: u64,
    pub min: u64,
    pub mean: u64,
    pub p50: u64,
    pub p90: u64,
    #[serde(default)]
    pub p95: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
}
