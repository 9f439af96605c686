//! Limits of one comparison: memory and JSON values.
//!
//! A comparison reserves memory before it uses it. If the limit would be exceeded, the comparison ends with the name of
//! the limit. The result depends on the two responses alone, so equal responses always give equal results.

use std::cell::Cell;

use super::Unknown;

/// Values of one JSON document: past it the body is not looked into. A document of 256 KiB has some 10,000.
pub(super) const MAX_VALUES: u32 = 200_000;

/// Rest of the budget of one comparison.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes.
    memory: Cell<usize>,
    /// First limit that was exceeded.
    exceeded: Cell<Option<Unknown>>,
}

impl Budget {
    /// A budget of so many bytes.
    pub(super) const fn new(memory: usize) -> Self {
        Self { memory: Cell::new(memory), exceeded: Cell::new(None) }
    }

    /// Bytes that are left.
    pub(super) const fn left(&self) -> usize {
        self.memory.get()
    }

    /// Takes so many bytes; false where there are not as many.
    #[must_use]
    pub(super) fn take(&self, bytes: usize) -> bool {
        let left = self.memory.get().checked_sub(bytes);
        match left {
            Some(left) => self.memory.set(left),
            None => self.exceed(Unknown::Memory),
        }
        left.is_some()
    }

    /// Gives so many bytes back.
    pub(super) fn give_back(&self, bytes: usize) {
        self.memory.set(self.memory.get() + bytes);
    }

    /// There is too much of something.
    pub(super) fn exceed(&self, of: Unknown) {
        self.exceeded.set(self.exceeded.get().or(Some(of)));
    }

    /// Returns the limit that was exceeded.
    pub(super) const fn exceeded(&self) -> Option<Unknown> {
        self.exceeded.get()
    }

    /// Makes room for so many items in a list that has none; false where there is no memory for it.
    #[must_use]
    pub(super) fn room<T>(&self, list: &mut Vec<T>, items: usize) -> bool {
        let has_room = self.take(items * size_of::<T>());
        if has_room {
            list.reserve_exact(items);
        }
        has_room
    }

    /// Appends an item to a list that grows within this budget; false where there is no room for it.
    #[must_use]
    pub(super) fn push<T>(&self, list: &mut Vec<T>, item: T) -> bool {
        if list.len() == list.capacity() {
            let (before, size) = (list.capacity(), size_of::<T>());
            let grown = (2 * before).max(4);
            // Both are there while one is moved to the other.
            if !self.take(grown.saturating_mul(size)) {
                return false;
            }
            list.reserve_exact(grown - before);
            self.give_back(before * size);
        }
        list.push(item);
        true
    }
}
