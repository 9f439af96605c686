//! Slab of values per connection: no value ever moves, and each can be prefetched.

use prefetch_index::prefetch_index;

use super::Slot;

/// Bytes that a processor gets from memory at once.
const LINE: usize = 64;
/// Places that are made at once: so few that little is unused.
const PAGE: usize = 256;

/// Zero-sized marker at the start of a cache line: it aligns the value after it.
#[repr(align(64))]
#[derive(Debug)]
struct CacheLineStart(#[expect(dead_code, reason = "there is none")] [u8; LINE]);

/// A value that shares no line with another one.
#[repr(C)]
#[derive(Debug, Default)]
struct CacheAligned<T> {
    lines: [CacheLineStart; 0],
    value: T,
}

type SlabPage<T> = Box<[CacheAligned<T>; PAGE]>;

/// A value for each slot that was ever used, in pages that stay where they are.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<SlabPage<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T: Default> Slab<T> {
    /// Returns the value of a slot that was ever used.
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (page, place) = split(slot);
        Some(&self.pages.get(page)?.get(place)?.value)
    }

    /// Returns the value of a slot that was ever used.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let (page, place) = split(slot);
        Some(&mut self.pages.get_mut(page)?.get_mut(place)?.value)
    }

    /// The place of a slot, made where it was never used.
    pub(crate) fn place(&mut self, slot: Slot) -> Option<&mut T> {
        while self.pages.len() <= split(slot).0 {
            let page: Box<[CacheAligned<T>]> = (0..PAGE).map(|_| CacheAligned::default()).collect();
            self.pages.push(page.try_into().ok()?);
        }
        self.get_mut(slot)
    }

    /// Asks for the memory of a slot.
    pub(crate) fn fetch(&self, slot: Slot) {
        let (page, place) = split(slot);
        if let Some(place) = self.pages.get(page).and_then(|page| page.get(place)) {
            for line in 0..size_of::<T>().div_ceil(LINE) {
                prefetch_index(&place.lines, line);
            }
        }
    }
}

const fn split(slot: Slot) -> (usize, usize) {
    (slot.0 as usize / PAGE, slot.0 as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_begins_where_a_line_does_and_stays_there() {
        let mut slab = Slab::<[u32; 20]>::default();
        let places: Vec<_> = (0..1000).map(|slot| std::ptr::from_ref(slab.place(Slot(slot)).unwrap())).collect();
        assert!(places.iter().all(|place| place.addr() % LINE == 0));
        let now = (0..1000).map(|slot| std::ptr::from_ref(slab.get(Slot(slot)).unwrap()));
        assert!(now.eq(places));
    }

    #[test]
    fn a_slot_that_was_never_used_has_no_value() {
        let mut slab = Slab::<u32>::default();
        assert_eq!(slab.get(Slot(0)), None);
        let used = Slot(u32::try_from(PAGE).unwrap());
        *slab.place(used).unwrap() = 5;
        assert_eq!((slab.get(Slot(0)), slab.get(used), slab.get(Slot(u32::MAX))), (Some(&0), Some(&5), None));
        slab.fetch(Slot(u32::MAX));
    }
}
