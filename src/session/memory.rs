//! A map that forgets: bounded in number and in age.
//!
//! Two generations: entries are written to the young one and move there when they are used; when it is full it becomes
//! the old one, and the old one goes. So the most recently used half of the capacity is always there, without a list.

use super::WINDOW;
use crate::record::Timestamp;
use std::{collections::HashMap, hash::Hash};

/// Recently used entries.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, (V, Timestamp)>,
    old: HashMap<K, (V, Timestamp)>,
    generation: usize,
}

impl<K: Eq + Hash + Copy, V> Recent<K, V> {
    /// At most `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: (capacity / 2).max(1),
        }
    }

    /// The entry, if it was used within the window; it is used now.
    pub(super) fn get(&mut self, key: &K, now: Timestamp) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let (value, at) = self.old.remove(key)?;
            self.put(*key, value, at);
        }
        let expired = |at: Timestamp| now.0.saturating_sub(at.0) > WINDOW;
        if self.young.get(key).is_some_and(|(_, at)| expired(*at)) {
            self.young.remove(key);
        }
        let (value, at) = self.young.get_mut(key)?;
        *at = now.max(*at);
        Some(value)
    }

    /// Writes an entry.
    pub(super) fn insert(&mut self, key: K, value: V, now: Timestamp) {
        self.old.remove(&key);
        self.put(key, value, now);
    }

    /// Takes an entry out, if it was used within the window.
    pub(super) fn remove(&mut self, key: &K, now: Timestamp) -> Option<V> {
        let (value, at) = self.young.remove(key).or_else(|| self.old.remove(key))?;
        (now.0.saturating_sub(at.0) <= WINDOW).then_some(value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn put(&mut self, key: K, value: V, at: Timestamp) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (value, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_used_half_stays_and_the_number_is_bounded() {
        let mut recent = Recent::new(8);
        for key in 0..100_u32 {
            recent.insert(key, key, Timestamp(0));
            assert!(recent.get(&0, Timestamp(0)).is_some(), "0 is always in use");
            assert!(recent.len() <= 8);
        }
        assert_eq!(recent.get(&50, Timestamp(0)), None);
        assert_eq!(recent.get(&99, Timestamp(0)), Some(&mut 99));
    }

    #[test]
    fn an_entry_lives_a_window_from_its_last_use() {
        let mut recent = Recent::new(8);
        recent.insert(1, 'a', Timestamp(0));
        assert!(recent.get(&1, Timestamp(WINDOW)).is_some());
        assert!(recent.get(&1, Timestamp(2 * WINDOW)).is_some());
        assert!(recent.get(&1, Timestamp(3 * WINDOW + 1)).is_none());
    }
}
