//! Rules that leave something out, and whether each has: one that never does may be misspelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once something has happened. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Happened(Arc<AtomicBool>);

impl Happened {
    /// Sets it.
    pub(super) fn set(&self) {
        // A line of the cache that nobody writes to costs nothing.
        if !self.is_set() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether it is set.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A rule as it was typed.
#[derive(Clone, Debug)]
pub(super) struct TypedRule {
    /// Text of the rule, such as `json:$.generatedAt`.
    pub(super) text: String,
    /// Set once there was something that it could have left out: a document, a header line.
    pub(super) asked: Happened,
    /// Set once it left something out.
    pub(super) met: Happened,
}

impl TypedRule {
    /// Returns whether it left out nothing of what it was asked of.
    pub(super) fn is_unmet(&self) -> bool {
        self.asked.is_set() && !self.met.is_set()
    }
}
