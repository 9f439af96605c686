//! Differences as they are found in a body: so many of each field, and of so many fields.

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::{Difference, DifferenceKind, DifferencePart};

/// Most fields of one body with differences of their own. Further fields are reported only as "more".
pub(super) const MAX_FIELDS: usize = 64;
/// Differences that are listed of one field, such as `$.items[*].price`; further ones are like these.
const MAX_EXAMPLES: u32 = 3;

/// Differences found so far.
#[derive(Debug, Default)]
pub(super) struct BodyFindings {
    differences: Vec<Difference>,
    /// Each field with its hash, and how often it differs.
    fields: Vec<Field>,
    total: u64,
    more: bool,
}

#[derive(Debug)]
struct Field {
    hash: u64,
    name: String,
    count: u32,
}

/// Mark of the findings at one moment.
#[derive(Debug)]
pub(super) struct FindingsMark {
    differences: usize,
    counts: Vec<u32>,
    total: u64,
    more: bool,
}

impl BodyFindings {
    /// Returns the number of differences, listed or not.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// A bound was met: there may be more.
    pub(super) const fn give_up(&mut self) {
        self.more = true;
    }

    /// Adds a difference in `field`. `tell` makes the entry for the list: its path, and both values.
    pub(super) fn add(&mut self, field: String, kind: DifferenceKind, tell: impl FnOnce() -> (String, Value, Value)) {
        self.total += 1;
        let hash = xxh3_64(field.as_bytes());
        let known = self.fields.iter().position(|known| known.hash == hash && known.name == field);
        if known.is_none() {
            if self.fields.len() == MAX_FIELDS {
                self.more = true;
                return;
            }
            self.fields.push(Field { hash, name: field, count: 0 });
        }
        let at = known.unwrap_or(self.fields.len() - 1);
        let Some(known) = self.fields.get_mut(at) else { return };
        known.count += 1;
        if known.count <= MAX_EXAMPLES {
            let (path, production, shadow) = tell();
            self.differences.push(Difference { place: DifferencePart::Body, path, kind, production, shadow });
        }
    }

    pub(super) fn mark(&self) -> FindingsMark {
        FindingsMark {
            differences: self.differences.len(),
            counts: self.fields.iter().map(|field| field.count).collect(),
            total: self.total,
            more: self.more,
        }
    }

    /// Forgets what was found since.
    pub(super) fn back_to(&mut self, mark: &FindingsMark) {
        self.differences.truncate(mark.differences);
        self.fields.truncate(mark.counts.len());
        for (field, before) in self.fields.iter_mut().zip(&mark.counts) {
            field.count = *before;
        }
        (self.total, self.more) = (mark.total, mark.more);
    }

    /// The differences, and last that there are more where there may be.
    pub(super) fn finish(mut self) -> Vec<Difference> {
        if self.more {
            self.differences.push(Difference {
                place: DifferencePart::Body,
                path: String::new(),
                kind: DifferenceKind::More,
                production: Value::Null,
                shadow: Value::Null,
            });
        }
        self.differences
    }
}
