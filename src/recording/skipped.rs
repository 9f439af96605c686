//! Counts of records that could not be read and were passed over.

use std::collections::BTreeMap;

/// Passed over, by reason: how many, and where the first one is.
#[derive(Clone, Debug, Default)]
pub(super) struct SkippedRecords(BTreeMap<&'static str, (u64, String)>);

impl SkippedRecords {
    /// Counts one.
    pub(super) fn count(&mut self, why: &'static str, place: impl FnOnce() -> String) {
        self.0.entry(why).or_insert_with(|| (0, place())).0 += 1;
    }

    /// A sentence for each reason.
    pub(super) fn words(&self, file: &str, what: &str) -> Vec<String> {
        let words = |(why, (count, place)): (&&str, &(u64, String))| match count {
            1 => format!("{file}: a {what} was passed over ({why}): {place}"),
            count => format!("{file}: {count} {what}s were passed over ({why}), the first {place}"),
        };
        self.0.iter().map(words).collect()
    }
}
