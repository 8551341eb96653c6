//! The last few entries of a dump: a walk meets some of them twice where the table is resized.

use std::collections::HashSet;

use crate::core::model::Entry;
use crate::core::state::{BuildAsIs, Identify};

/// A dump that goes on after its last entry went starts that bucket again (`ctnetlink_dump_table`): doubles are near.
const RECENT: usize = 256;

/// The last few entries of a dump, to know doubles by.
pub(super) struct Recent<'a> {
    identify: &'a Identify,
    /// The oldest is at `next`.
    ring: Vec<u64>,
    next: usize,
    /// Fingerprints of the ring, to be found without looking at each (260 ns of an entry's 1.2 us).
    known: HashSet<u64, BuildAsIs>,
}

impl<'a> Recent<'a> {
    pub(super) fn new(identify: &'a Identify) -> Self {
        let known = HashSet::with_capacity_and_hasher(RECENT, BuildAsIs::default());
        Recent { identify, ring: Vec::with_capacity(RECENT), next: 0, known }
    }

    /// True for an entry that was not seen a moment ago.
    pub(super) fn is_new(&mut self, entry: &Entry) -> bool {
        let fingerprint = self.identify.entry(entry);
        if !self.known.insert(fingerprint) {
            return false;
        }
        if self.ring.len() < RECENT {
            self.ring.push(fingerprint);
        } else {
            self.known.remove(&std::mem::replace(&mut self.ring[self.next], fingerprint));
            self.next = (self.next + 1) % RECENT;
        }
        true
    }
}
