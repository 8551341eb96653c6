//! The deletions that are listened for, oldest first, each found by either of its tuples.
//!
//! They are laid down while a full table waits for its next delete, so what counts is fresh memory: where a page that
//! is touched for the first time takes a virtual machine 9 us, maps of whole keys and numbers that grew to 10 MB took
//! 30 % of the CPU of 46,000 deletes. A record is 32 bytes, in room that nothing is ever moved from, and is found by 5.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::core::model::Class;

/// A deletion that is listened for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Fingerprints of its original and of its reply tuple.
    pub keys: [u64; 2],
    pub until_seconds: f64,
    pub span: u32,
    /// It stands for 2 to this many deletions, of which it alone was remembered.
    pub weight: u8,
    pub class: Class,
    pub was: Was,
    pub fate: Fate,
}

/// Class and state of a deleted entry, as far as they decide whether a new entry is regret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Was {
    /// TCP in SYN_SENT.
    Try,
    /// Asked by UDP.
    Question,
    Else,
}

const _: () = assert!(size_of::<Record>() == 32);

/// State of a deletion: not judged yet, regretted, or out of its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Listened,
    Regretted,
    /// A new connection has its ports, or it was not deleted.
    Over,
}

/// Tuple of a record: the lower bits of its number, and below them which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place(u32);

impl Place {
    fn new(number: u64, which: usize) -> Self {
        Place((number as u32) << 1 | which as u32)
    }

    fn which(self) -> usize {
        (self.0 & 1) as usize
    }

    /// Number of records before it, where the first that is there has the number `first`.
    fn nth(self, first: u64) -> usize {
        const BITS: u32 = u32::MAX >> 1;
        ((self.0 >> 1).wrapping_sub(first as u32) & BITS) as usize
    }
}

/// The records; of a tuple the newest is found.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Numbered one after the other from `first` on.
    all: VecDeque<Record>,
    first: u64,
    places: HashTable<Place>,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The number of the next.
    pub(super) fn next(&self) -> u64 {
        self.first + self.all.len() as u64
    }

    pub(super) fn first(&self) -> Option<&Record> {
        self.all.front()
    }

    /// Adds one; `most` will ever be there at once.
    pub(super) fn add(&mut self, record: Record, most: usize) {
        if self.all.capacity() < most {
            self.all.reserve_exact(most - self.all.len());
        }
        let number = self.next();
        self.all.push_back(record);
        for (which, key) in record.keys.into_iter().enumerate() {
            let (place, all, first) = (Place::new(number, which), &self.all, self.first);
            match self.places.find_mut(key, |known| key_at(all, first, *known) == key) {
                Some(known) => *known = place,
                None => {
                    self.places.insert_unique(key, place, |known| key_at(all, first, *known));
                }
            }
        }
    }

    /// Forgets the first.
    pub(super) fn forget_first(&mut self) {
        let Some(record) = self.all.front() else { return };
        for (which, key) in record.keys.into_iter().enumerate() {
            let place = Place::new(self.first, which);
            if let Ok(known) = self.places.find_entry(key, |known| *known == place) {
                known.remove();
            }
        }
        self.all.pop_front();
        self.first += 1;
    }

    /// The newest of a tuple, and its number.
    pub(super) fn newest(&mut self, key: u64) -> Option<(u64, &mut Record)> {
        let (all, first) = (&self.all, self.first);
        let nth = self.places.find(key, |known| key_at(all, first, *known) == key)?.nth(first);
        Some((first + nth as u64, self.all.get_mut(nth)?))
    }

    /// Tuples by which anything is found.
    #[cfg(test)]
    pub(super) fn tuples(&self) -> usize {
        self.places.len()
    }
}

/// Whoever is found by a place is there: it goes with its record.
fn key_at(all: &VecDeque<Record>, first: u64, place: Place) -> u64 {
    all.get(place.nth(first)).map_or(0, |record| record.keys[place.which()])
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    fn record(keys: [u64; 2]) -> Record {
        Record {
            keys,
            until_seconds: 0.0,
            span: 0,
            weight: 0,
            class: Class::Udp,
            was: Was::Else,
            fate: Fate::Listened,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Tuples of few, so that they come again, from numbers on that pass what 31 bits hold.
        #[test]
        fn of_a_tuple_the_newest_is_found_as_long_as_it_is_there(
            acts in prop::collection::vec(prop::option::weighted(0.6, [0u64..12, 0..12]), 1..300),
            first in prop::sample::select(vec![0, (1 << 31) - 40, (1 << 32) - 40]),
        ) {
            // Some share all bits that a table goes by.
            let key = |n: u64| if n < 6 { n << 40 | 7 } else { n.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
            let mut records = Records { first, ..Records::default() };
            let (mut model, mut there) = (HashMap::new(), VecDeque::new());
            let mut number = first;
            for act in acts {
                match act {
                    Some(keys) => {
                        let keys = keys.map(key);
                        records.add(record(keys), 64);
                        keys.into_iter().for_each(|key| { model.insert(key, number); });
                        there.push_back((number, keys));
                        number += 1;
                    }
                    None => {
                        records.forget_first();
                        if let Some((gone, _)) = there.pop_front() {
                            model.retain(|_, newest| *newest != gone);
                        }
                    }
                }
                prop_assert_eq!((records.len(), records.next()), (there.len(), number));
                prop_assert_eq!(records.tuples(), model.len());
                for key in (0..12).map(key) {
                    let found = records.newest(key).map(|(number, record)| (number, record.keys));
                    let wanted = model.get(&key).and_then(|n| there.iter().find(|(there, _)| there == n));
                    prop_assert_eq!(found, wanted.copied());
                }
            }
        }
    }
}
