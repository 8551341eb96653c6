//! A set of fingerprints, each with a mark of one bit.

use super::lines::{self, Lines, Slot};

/// A fingerprint of 63 bits and its mark above.
#[derive(Clone, Copy, Debug, Default)]
struct Marked(u64);

impl Slot for Marked {
    fn key(&self) -> u64 {
        self.0 & lines::BITS
    }
}

impl Marked {
    fn new(key: u64, marked: bool) -> Self {
        Marked(key | if marked { !lines::BITS } else { 0 })
    }

    fn marked(self) -> bool {
        self.0 & !lines::BITS != 0
    }
}

/// The set: a slot is the fingerprint itself, so that it takes 10 to 13 bytes for each.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints(Lines<Marked, 8>);

impl Fingerprints {
    /// The bits of a fingerprint.
    pub const BITS: u64 = lines::BITS;

    /// Makes a set with room for `len` fingerprints.
    pub fn with_room(len: usize) -> Self {
        Fingerprints(Lines::with_room(len))
    }

    /// Number of fingerprints.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one, marked or not, or marks it anew; whether it was there already, and marked.
    pub fn put(&mut self, fingerprint: u64, marked: bool) -> Option<bool> {
        let slot = Marked::new(lines::key(fingerprint), marked);
        match self.0.get_mut(slot.key()) {
            Some(known) => Some(std::mem::replace(known, slot).marked()),
            None => {
                self.0.add(slot);
                None
            }
        }
    }

    /// Adds one that is not there, without a mark; false if it was, and then nothing changes.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        !self.contains(fingerprint) && self.put(fingerprint, false).is_none()
    }

    /// The mark of a fingerprint; `None` if it is not there.
    pub fn get(&self, fingerprint: u64) -> Option<bool> {
        self.0.get(lines::key(fingerprint)).map(|known| known.marked())
    }

    /// True if a fingerprint is there.
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.get(fingerprint).is_some()
    }

    /// Takes one out; false if it was not there.
    pub fn remove(&mut self, fingerprint: u64) -> bool {
        self.0.remove(lines::key(fingerprint)).is_some()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(Slot::key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_part_of_the_fingerprint() {
        let mut set = Fingerprints::default();
        let high = u64::MAX;
        assert!(set.is_empty() && !set.contains(high) && !set.remove(high));
        assert!(set.insert(high) && !set.insert(high & Fingerprints::BITS));
        assert_eq!(
            (set.get(high), set.put(high, true), set.get(high)),
            (Some(false), Some(false), Some(true))
        );
        assert!(!set.insert(high) && set.get(high) == Some(true), "and what is there keeps its mark");
        assert_eq!((set.put(high, false), set.get(high), set.len()), (Some(true), Some(false), 1));
        assert_eq!(set.iter().collect::<Vec<_>>(), [high & Fingerprints::BITS]);
        assert!(set.remove(high) && set.is_empty());
        assert!(set.insert(0) && set.contains(0) && set.remove(0));
    }
}
