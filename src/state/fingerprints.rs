//! A set of fingerprints in which others come and go for ever: its memory follows how many there are, not how many there
//! were.
//!
//! A table with tombstones doubles where more than half of it is in use when they have filled it up (hashbrown,
//! `reserve_rehash`): an agent of a million entries went from 19 to 38 MB so within minutes of churn, and whoever knew which
//! of them another program had made took as much again. Here nothing is left behind: a line of the cache holds eight, whoever
//! finds his line full has a place in a later one, and each line counts who went on. A birth or an end costs 20 ns instead of
//! 13 so in a small table, 55 instead of 47 at a million entries (with the counts of sources), of some 1,100 ns that the
//! whole event takes.

/// Fingerprints of 63 bits, each with a mark of one bit.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints {
    lines: Vec<Line>,
    /// How many have gone on from a line, for each.
    passed: Vec<u16>,
    len: usize,
}

/// 0: empty.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line([u64; Line::SLOTS]);

impl Line {
    const SLOTS: usize = 8;

    /// Where something is. Without a branch: each of eight would be guessed wrong as often as not.
    fn find(&self, key: u64) -> Option<usize> {
        let here = |(i, slot): (usize, &u64)| u32::from(slot & Fingerprints::BITS == key) << i;
        let found = self.0.iter().enumerate().map(here).fold(0, |all, one| all | one);
        (found != 0).then_some(found.trailing_zeros() as usize)
    }
}

/// The bit of the mark.
const MARK: u64 = 1 << 63;

/// Less than this is not worth to be given back.
const WORTH_IT: usize = 1 << 13;

impl Fingerprints {
    /// The bits of a fingerprint.
    pub const BITS: u64 = !MARK;

    /// With room for so many.
    pub fn with_room(len: usize) -> Self {
        let lines = Self::lines_for(len);
        Fingerprints { lines: vec![Line::default(); lines], passed: vec![0; lines], len: 0 }
    }

    /// Two thirds full: one in thirty goes on then.
    fn lines_for(len: usize) -> usize {
        (len * 3 / 2).div_ceil(Line::SLOTS).max(1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without one.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one, marked or not; whether it was there already, and marked.
    pub fn put(&mut self, fingerprint: u64, marked: bool) -> Option<bool> {
        let key = key(fingerprint);
        let slot = key | if marked { MARK } else { 0 };
        if let Some((line, place)) = self.find(key) {
            let before = std::mem::replace(&mut self.lines[line].0[place], slot);
            return Some(before & MARK != 0);
        }
        // Five of six at most.
        if (self.len + 1) * 6 > self.lines.len() * Line::SLOTS * 5 {
            self.resize(self.len + self.len / 8 + 1);
        }
        self.add(slot);
        self.len += 1;
        None
    }

    /// Adds one that is not there, without a mark; false if it was, and then nothing changes.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        self.get(fingerprint).is_none() && self.put(fingerprint, false).is_none()
    }

    /// Whether it is there, and marked.
    pub fn get(&self, fingerprint: u64) -> Option<bool> {
        self.find(key(fingerprint)).map(|(line, place)| self.lines[line].0[place] & MARK != 0)
    }

    /// Whether it is there.
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.find(key(fingerprint)).is_some()
    }

    /// Takes one out; false if it was not there.
    pub fn remove(&mut self, fingerprint: u64) -> bool {
        let key = key(fingerprint);
        let Some((line, place)) = self.find(key) else { return false };
        self.lines[line].0[place] = 0;
        self.len -= 1;
        let mut passed = self.home(key);
        while passed != line {
            // So many that they could not be counted stay counted: no more than a look in vain.
            self.passed[passed] -= u16::from(self.passed[passed] != u16::MAX);
            passed = self.after(passed);
        }
        if self.lines.len() > WORTH_IT && self.len < self.lines.len() {
            self.resize(self.len * 2);
        }
        true
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.slots().map(|slot| slot & Self::BITS)
    }

    fn slots(&self) -> impl Iterator<Item = u64> + '_ {
        self.lines.iter().flat_map(|line| line.0).filter(|slot| *slot != 0)
    }

    /// The line in which it is looked for first: the upper bits choose, so that any number of lines will do, and to lay all
    /// out anew goes through both tables in order.
    fn home(&self, key: u64) -> usize {
        ((u128::from(key) * self.lines.len() as u128) >> 63) as usize
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    /// Its line, and its place there.
    fn find(&self, key: u64) -> Option<(usize, usize)> {
        let mut line = self.home(key);
        loop {
            if let Some(place) = self.lines.get(line)?.find(key) {
                return Some((line, place));
            }
            if self.passed[line] == 0 {
                return None;
            }
            line = self.after(line);
        }
    }

    /// Adds what is not there, where there is room.
    fn add(&mut self, slot: u64) {
        let mut line = self.home(slot & Self::BITS);
        loop {
            if let Some(place) = self.lines[line].find(0) {
                self.lines[line].0[place] = slot;
                return;
            }
            self.passed[line] = self.passed[line].saturating_add(1);
            line = self.after(line);
        }
    }

    /// Room for so many.
    fn resize(&mut self, len: usize) {
        let before = std::mem::replace(self, Self::with_room(len));
        before.slots().for_each(|slot| self.add(slot));
        self.len = before.len;
    }
}

/// An empty slot is no fingerprint: one in 2^63 shares its place with another.
fn key(fingerprint: u64) -> u64 {
    (fingerprint & Fingerprints::BITS).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Few, so that they meet; at both ends of the table and in between.
    fn fingerprint() -> impl Strategy<Value = u64> {
        prop_oneof![2 => 1u64..40, 2 => (0u64..40).prop_map(|n| Fingerprints::BITS - n), 1 => any::<u64>().prop_map(|n| (n & Fingerprints::BITS).max(1))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn it_is_a_map_from_fingerprints_to_marks(steps in prop::collection::vec((0u8..4, fingerprint(), any::<bool>()), 0..400)) {
            let (mut ours, mut theirs) = (Fingerprints::default(), HashMap::new());
            for (step, fingerprint, marked) in steps {
                match step {
                    0 => prop_assert_eq!(ours.put(fingerprint, marked), theirs.insert(fingerprint, marked)),
                    1 => {
                        let fresh = !theirs.contains_key(&fingerprint);
                        theirs.entry(fingerprint).or_insert(false);
                        prop_assert_eq!(ours.insert(fingerprint), fresh);
                    }
                    2 => prop_assert_eq!(ours.remove(fingerprint), theirs.remove(&fingerprint).is_some()),
                    _ => prop_assert_eq!(ours.get(fingerprint), theirs.get(&fingerprint).copied()),
                }
                prop_assert_eq!(ours.len(), theirs.len());
            }
            let mut all: Vec<u64> = ours.iter().collect();
            all.sort_unstable();
            let mut expected: Vec<u64> = theirs.into_keys().collect();
            expected.sort_unstable();
            prop_assert_eq!(all, expected);
        }
    }

    /// As fingerprints are: spread evenly.
    fn spread(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn however_many_come_and_go_it_takes_as_much_as_those_that_are_there() {
        const LIVE: u64 = 100_000;
        let mut set = Fingerprints::with_room(LIVE as usize);
        let lines = set.lines.len();
        for n in 0..LIVE {
            set.put(spread(n), true);
        }
        for n in 0..20 * LIVE {
            assert!(set.remove(spread(n)));
            assert_eq!(set.put(spread(n + LIVE), true), None);
        }
        assert_eq!((set.len(), set.lines.len()), (LIVE as usize, lines));
        (20 * LIVE..21 * LIVE - 100).for_each(|n| assert!(set.remove(spread(n))));
        assert!(set.lines.len() <= WORTH_IT, "{} lines for {}", set.lines.len(), set.len());
        assert!(set.passed.iter().all(|passed| *passed <= 100), "who has gone is not counted");
        assert!((21 * LIVE - 100..21 * LIVE).all(|n| set.get(spread(n)) == Some(true)));
    }

    /// The upper bits choose: those of entries that differ in a port alone have to be spread as evenly as chance would.
    #[test]
    fn entries_that_are_alike_lie_apart() {
        let identify = crate::state::Identify::default();
        let mut set = Fingerprints::with_room(60_000);
        for n in 0..60_000u32 {
            let mut id = crate::model::EntryId::from(&crate::model::Entry::default());
            let (source, port) = (n / 100, (n % 100) as u16);
            id.original.source = std::net::Ipv4Addr::from(0x0a00_0000 + source).into();
            id.original.l4 = crate::model::L4::Ports { source: 1024 + port, destination: 443 };
            id.id = n;
            set.put(identify.id(&id), true);
        }
        let passed = set.passed.iter().map(|passed| f64::from(*passed)).sum::<f64>() / set.len() as f64;
        // Of Poisson(5.33) eight at most stay in a line: 3.2 % go on, some of them further, and make others go on.
        assert!((0.03..0.06).contains(&passed), "{passed} lines passed in the mean");
    }

    #[test]
    fn nothing_is_in_an_empty_one() {
        let mut set = Fingerprints::default();
        assert!(set.is_empty() && !set.contains(1) && !set.remove(1));
        assert!(set.insert(0) && set.contains(0) && set.remove(0) && set.is_empty());
    }
}
