//! Outcomes of deliveries as counts that add up exactly, whoever counted them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::collect::sparse_histogram::{bucket, upper_edge};

/// Statuses that are counted by themselves. Past it the others of a class count under its first one, such as 400.
const MAX_STATUSES: usize = 64;

/// What became of deliveries to one target.
///
/// Durations are counted in buckets, 32 to a power of two. So two of these add up to the bucket, and a quantile is within 3.2 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutcomeCounts {
    /// Deliveries that ended: with a response, or without one.
    pub samples: u64,
    /// Those with a status of 5xx, or without a response.
    pub failed: u64,
    /// Those whose response did not come in time.
    pub late: u64,
    /// Responses, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Service times, by bucket.
    pub service: BTreeMap<u16, u64>,
}

impl OutcomeCounts {
    /// Counts one delivery.
    pub fn take(&mut self, failed: bool, late: bool, status: Option<u16>, service: Option<Duration>) {
        self.samples += 1;
        self.failed += u64::from(failed);
        self.late += u64::from(late);
        if let Some(status) = status {
            self.count_status(status, 1);
        }
        // Of what did not come in time the first byte may have: it counts once.
        if let Some(service) = service.filter(|_| !late) {
            let us = u64::try_from(service.as_micros()).unwrap_or(u64::MAX);
            *self.service.entry(bucket(us)).or_default() += 1;
        }
    }

    fn count_status(&mut self, status: u16, count: u64) {
        let is_known = self.statuses.contains_key(&status) || self.statuses.len() < MAX_STATUSES;
        let status = if is_known { status } else { status / 100 * 100 };
        let counted = self.statuses.entry(status).or_default();
        *counted = counted.saturating_add(count);
    }

    /// Counts what another one has.
    pub fn merge(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.failed = self.failed.saturating_add(other.failed);
        self.late = self.late.saturating_add(other.late);
        for (status, count) in &other.statuses {
            self.count_status(*status, *count);
        }
        for (bucket, count) in &other.service {
            let counted = self.service.entry(*bucket).or_default();
            *counted = counted.saturating_add(*count);
        }
    }

    /// Returns what was counted since `before`, an earlier state of the same counts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: &BTreeMap<u16, u64>, before: &BTreeMap<u16, u64>| {
            let left = now
                .iter()
                .map(|(key, count)| (*key, count.saturating_sub(before.get(key).copied().unwrap_or_default())));
            left.filter(|(_, count)| *count > 0).collect()
        };
        Self {
            samples: self.samples.saturating_sub(before.samples),
            failed: self.failed.saturating_sub(before.failed),
            late: self.late.saturating_sub(before.late),
            statuses: less(&self.statuses, &before.statuses),
            service: less(&self.service, &before.service),
        }
    }

    /// Responses with a status in this range.
    #[must_use]
    pub fn with_status(&self, from: u16, to: u16) -> u64 {
        self.statuses.range(from..=to.max(from)).map(|(_, count)| count).sum()
    }

    /// Deliveries whose service time is known, or that did not come in time.
    #[must_use]
    pub fn timed(&self) -> u64 {
        self.service.values().sum::<u64>().saturating_add(self.late)
    }

    /// Those among them that took longer than this, to the bucket, or did not come in time.
    #[must_use]
    pub fn slower_than(&self, than: Duration) -> u64 {
        let us = u64::try_from(than.as_micros()).unwrap_or(u64::MAX);
        let slower: u64 = self.service.range(bucket(us).saturating_add(1)..).map(|(_, count)| count).sum();
        slower.saturating_add(self.late)
    }

    /// The service time in microseconds that this share of them, from 0 to 1, is not above; `None` where there is none.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let all: u64 = self.service.values().sum();
        let mut left = share.clamp(0.0, 1.0) * all as f64;
        for (bucket, count) in &self.service {
            left -= *count as f64;
            if left <= 1e-6 {
                return Some(upper_edge(*bucket));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts deliveries that each took so many milliseconds, with statuses that follow from that.
    fn counts(took: impl IntoIterator<Item = u64>) -> OutcomeCounts {
        let mut counts = OutcomeCounts::default();
        for ms in took {
            let status = if ms % 7 == 0 { 503 } else { 200 };
            let (late, service) = (ms % 50 == 49, Duration::from_millis(ms));
            counts.take(status >= 500 || late, late, (!late).then_some(status), (!late).then_some(service));
        }
        counts
    }

    #[test]
    fn parts_add_up_to_the_whole_to_the_bucket_in_any_order() {
        let whole = counts(0..900);
        let parts = [counts(600..900), counts(0..17), counts(17..600)];
        let mut merged = OutcomeCounts::default();
        for part in &parts {
            merged.merge(part);
        }
        assert_eq!(merged, whole);
        let mut back = OutcomeCounts::default();
        for part in parts.iter().rev() {
            back.merge(part);
        }
        assert_eq!(back, whole);
        assert_eq!(merged.quantile_us(0.99), whole.quantile_us(0.99));
    }

    #[test]
    fn what_came_since_is_what_was_counted_in_between() {
        let (before, after) = (counts(0..300), counts(0..500));
        assert_eq!(after.since(&before), counts(300..500));
        assert_eq!(after.since(&after), OutcomeCounts::default());
    }

    #[test]
    fn they_pass_through_the_store_unchanged() {
        let counts = counts(0..200);
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<OutcomeCounts>(&text).unwrap(), counts);
        assert_eq!(serde_json::from_str::<OutcomeCounts>("{}").unwrap(), OutcomeCounts::default());
    }

    #[test]
    fn slow_ones_and_statuses_are_counted_as_a_guard_asks() {
        let counts = counts(0..1_000);
        let (slower, late) = (counts.slower_than(Duration::from_millis(800)), counts.late);
        let exact = (801..1_000_u64).filter(|ms| ms % 50 != 49).count() as u64 + late;
        assert!(slower <= exact && exact - slower <= 26, "{slower} of {exact}: within a thirty-second");
        assert_eq!(counts.with_status(500, 599) + counts.with_status(200, 200), 1_000 - late);
        assert_eq!(counts.with_status(404, 404), 0);
    }

    #[test]
    fn however_many_statuses_there_are_they_take_bounded_room() {
        let mut counts = OutcomeCounts::default();
        (100..600).for_each(|status| counts.take(false, false, Some(status), None));
        assert!(counts.statuses.len() <= MAX_STATUSES + 5);
        assert_eq!(counts.with_status(100, 599), 500);
        assert_eq!(counts.with_status(500, 599), 100, "those of a class stay in it");
    }
}
