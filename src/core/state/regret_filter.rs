//! Says of nearly every fingerprint that it is not remembered, without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Two generations of bits: the current one takes new fingerprints, the other still answers for older ones. A
/// generation holds 2^22 bits (512 KiB), so that 2 x 131,072 fingerprints set 6 % of them: of sixteen events that
/// concern nothing, one takes the lock in vain.
#[derive(Debug)]
pub struct Filter {
    generations: [Box<[AtomicU64]>; 2],
    current: AtomicUsize,
}

/// 64-bit words of a generation.
const WORDS: usize = 1 << 16;

impl Filter {
    /// Makes an empty filter.
    pub fn new() -> Self {
        let empty = || std::iter::repeat_with(AtomicU64::default).take(WORDS).collect();
        Filter { generations: [empty(), empty()], current: AtomicUsize::new(0) }
    }

    /// Remembers a fingerprint until the second turn from now.
    pub fn add(&self, fingerprint: u64) {
        let (word, bit) = place(fingerprint);
        self.generations[self.current.load(Ordering::Relaxed)][word].fetch_or(bit, Ordering::Release);
    }

    /// False if the fingerprint was certainly not added since the turn before last.
    pub fn may_know(&self, fingerprint: u64) -> bool {
        let (word, bit) = place(fingerprint);
        self.generations.iter().any(|generation| generation[word].load(Ordering::Acquire) & bit != 0)
    }

    /// Forgets the older generation. One caller at a time.
    pub fn turn(&self) {
        let older = 1 - self.current.load(Ordering::Relaxed);
        self.generations[older].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.current.store(older, Ordering::Relaxed);
    }
}

/// The upper bits choose: the maps of fingerprints go by the lower ones.
fn place(fingerprint: u64) -> (usize, u64) {
    ((fingerprint >> 48) as usize, 1 << (fingerprint >> 42 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_for_a_whole_generation_and_then_forgotten() {
        let filter = Filter::new();
        let fingerprint = 0xdead_beef_0bad_cafe;
        assert!(!filter.may_know(fingerprint));
        filter.add(fingerprint);
        assert!(filter.may_know(fingerprint));
        filter.turn();
        assert!(filter.may_know(fingerprint), "it may have been added just before the turn");
        filter.turn();
        assert!(!filter.may_know(fingerprint));
    }
}
