//! A map that remembers what was used last, within a bound.

use std::collections::HashMap;
use std::hash::Hash;

/// A map of two generations: what is used moves to the young one; when that is full, it becomes the old one, and what
/// was old until then is forgotten. So between half of its room and all of it is remembered, and nothing is ever
/// searched for what to forget.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V, foldhash::fast::RandomState>,
    old: HashMap<K, V, foldhash::fast::RandomState>,
    /// Entries of a generation.
    room: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// An empty map with room for `most` entries.
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), room: (most / 2).max(1) }
    }

    /// Returns the value remembered under `key`, and marks it as used.
    pub(crate) fn get(&mut self, key: K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(&key) { Some(self.insert(key, value)) } else { self.young.get_mut(&key) }
    }

    /// Remembers `value` under `key`.
    pub(crate) fn insert(&mut self, key: K, value: V) -> &mut V {
        if self.young.len() >= self.room {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.entry(key).insert_entry(value).into_mut()
    }

    /// Forgets what is remembered under `key`, and returns it.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten() {
        let mut recent = Recent::new(8);
        for n in 0..100 {
            recent.insert(n, n);
            assert_eq!(recent.get(0), Some(&mut 0), "after {n}");
        }
        assert!(recent.young.len() + recent.old.len() <= 8);
        assert_eq!(recent.get(99), Some(&mut 99));
        assert_eq!(recent.get(50), None);
        assert_eq!((recent.remove(&0), recent.remove(&0)), (Some(0), None));
    }
}
