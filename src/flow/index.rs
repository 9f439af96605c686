//! Slots by the hash of their connection's key.
//!
//! One list with linear probing: a lookup reads one stretch of memory, which can be prefetched. The keys are in the
//! connections; the index has enough bits of their hashes to distinguish most of them.

use prefetch_index::prefetch_index;

use super::Slot;

/// Places of the smallest list.
const SMALLEST: usize = 64;
/// A place where nothing is: no slot has this number.
const EMPTY: IndexEntry = IndexEntry { hash: 0, slot: u32::MAX };

/// A slot, and the upper half of its key's hash. The lower bits of that half give its home position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexEntry {
    hash: u32,
    slot: u32,
}

/// Slots by hash.
///
/// Invariant: as long as two in three places are taken at most, there is an empty one. Between the place where an entry
/// belongs and the one where it stands none is empty.
#[derive(Debug)]
pub(super) struct Index {
    /// As many as a power of two.
    entries: Box<[IndexEntry]>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { entries: vec![EMPTY; SMALLEST].into_boxed_slice(), len: 0 }
    }
}

impl Index {
    /// Slots that are in it.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Asks for the memory where slots of this hash stand.
    pub(super) fn fetch(&self, hash: u64) {
        prefetch_index(&self.entries, self.home(upper(hash)));
    }

    /// The first of [`Index::find`].
    #[inline]
    pub(super) fn first(&self, hash: u64) -> Option<Slot> {
        match self.entries.get(self.home(upper(hash))) {
            Some(IndexEntry { hash: there, slot }) if *there == upper(hash) && *slot != EMPTY.slot => Some(Slot(*slot)),
            _ => self.find(hash).next(),
        }
    }

    /// The slots of connections whose keys have this hash, and few others: mostly none or the right one.
    pub(super) fn find(&self, hash: u64) -> impl Iterator<Item = Slot> + '_ {
        let hash = upper(hash);
        self.run(self.home(hash)).filter(move |entry| entry.hash == hash).map(|entry| Slot(entry.slot))
    }

    /// Adds a slot that is not in it yet.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot) {
        if (self.len + 1) * 3 > self.entries.len() * 2 {
            let larger = vec![EMPTY; self.entries.len() * 2].into_boxed_slice();
            let smaller = std::mem::replace(&mut self.entries, larger);
            smaller.iter().filter(|entry| **entry != EMPTY).for_each(|entry| self.put(*entry));
        }
        self.put(IndexEntry { hash: upper(hash), slot: slot.0 });
        self.len += 1;
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        let home = self.home(upper(hash));
        let Some(distance) = self.run(home).position(|entry| entry.slot == slot.0) else { return };
        let mut gap = self.place(home + distance);
        let mut next = self.place(gap + 1);
        // What stands behind the gap and belongs before it moves there.
        while let Some(entry) = self.entries.get(next).copied().filter(|entry| *entry != EMPTY) {
            let from_home = self.place(next.wrapping_sub(self.home(entry.hash)));
            if from_home >= self.place(next.wrapping_sub(gap)) {
                self.set(gap, entry);
                gap = next;
            }
            next = self.place(next + 1);
        }
        self.set(gap, EMPTY);
        self.len -= 1;
    }

    /// Returns the entries from a position on, up to the first empty one.
    fn run(&self, from: usize) -> impl Iterator<Item = IndexEntry> + '_ {
        let (before, after) = self.entries.split_at(from.min(self.entries.len()));
        after.iter().chain(before).copied().take_while(|entry| *entry != EMPTY)
    }

    fn put(&mut self, entry: IndexEntry) {
        let home = self.home(entry.hash);
        let distance = self.run(home).count();
        self.set(self.place(home + distance), entry);
    }

    fn set(&mut self, place: usize, entry: IndexEntry) {
        if let Some(at) = self.entries.get_mut(place) {
            *at = entry;
        }
    }

    const fn home(&self, hash: u32) -> usize {
        self.place(hash as usize)
    }

    const fn place(&self, number: usize) -> usize {
        number & (self.entries.len() - 1)
    }
}

const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Hashes of which many are alike, some in all bits that are kept.
    fn hash(number: u32, kinds: u32) -> u64 {
        u64::from((number % kinds).wrapping_mul(0x9e37_79b9) & 0xf000_003f) << 32 | u64::from(number)
    }

    /// Comes and goes of slots, by turns of which the first of three takes out.
    fn check(steps: u32, kinds: u32, stay: u32) {
        let (mut index, mut model) = (Index::default(), HashMap::new());
        let mut random = 1_u32;
        for step in 0..steps {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let slot = Slot((random >> 8) % stay);
            if let Some(hash) = model.remove(&slot) {
                index.remove(hash, slot);
            } else {
                model.insert(slot, hash(step, kinds));
                index.insert(hash(step, kinds), slot);
            }
            assert_eq!(index.len(), model.len());
            let other = Slot((random >> 4) % stay);
            let found = |hash: u64| {
                assert_eq!(index.first(hash), index.find(hash).next());
                index.find(hash).filter(|found| *found == other).count()
            };
            match model.get(&other) {
                Some(hash) => assert_eq!(found(*hash), 1, "{other:?} at step {step}"),
                None => assert_eq!(found(hash(step, kinds)), 0, "{other:?} at step {step}"),
            }
        }
        for (slot, hash) in model {
            index.remove(hash, slot);
        }
        assert!(index.len() == 0 && index.entries.iter().all(|entry| *entry == EMPTY), "something stayed behind");
    }

    #[test]
    fn slots_are_found_while_others_come_and_go() {
        check(20_000, 1 << 30, 2_000);
    }

    #[test]
    fn slots_whose_hashes_are_alike_are_told_apart() {
        check(5_000, 7, 60);
        check(5_000, 1, 40);
    }

    #[test]
    fn a_slot_that_is_not_there_cannot_be_taken_out() {
        let mut index = Index::default();
        index.insert(7 << 32, Slot(1));
        index.remove(7 << 32, Slot(2));
        index.remove(8 << 32, Slot(1));
        assert_eq!((index.len(), index.find(7 << 32).next()), (1, Some(Slot(1))));
    }
}
