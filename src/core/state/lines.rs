//! A table in which others come and go for ever: its memory follows how many there are, not how many there were.
//!
//! A table with tombstones doubles where more than half of it is in use when they have filled it up (hashbrown,
//! `reserve_rehash`): an agent of a million entries went from 37 to 112 MB so within minutes of churn, and to 130 MB
//! while it did. Here nothing is left behind: a line of the cache holds some, whoever finds his line full has a place
//! in a later one, and each line counts who went on. A birth or an end of an entry takes 20 ns instead of 13 so in a
//! small table, 55 instead of 47 at a million (with the counts of sources), of some 1,100 ns that the whole event
//! takes.

/// An item of a table: it is known by a key of [`key`], and its default is none.
pub(super) trait Slot: Copy + Default {
    /// 0 of none.
    fn key(&self) -> u64;
}

/// The bits of a key.
pub(super) const BITS: u64 = u64::MAX >> 1;

/// A fingerprint as a key: spread evenly over 63 bits, and never 0; one in 2^63 shares its place with another.
pub(super) fn key(fingerprint: u64) -> u64 {
    (fingerprint & BITS).max(1)
}

/// `N` slots a line.
#[derive(Clone, Debug)]
pub(super) struct Lines<S, const N: usize> {
    lines: Vec<Line<S, N>>,
    /// For each line, the number of items that have gone on from it.
    passed: Vec<u16>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line<S, const N: usize>([S; N]);

impl<S, const N: usize> Default for Lines<S, N> {
    fn default() -> Self {
        Lines { lines: Vec::new(), passed: Vec::new(), len: 0 }
    }
}

impl<S: Slot, const N: usize> Line<S, N> {
    /// Finds the slot of a key. Without a branch: each slot would be guessed wrong as often as not.
    fn find(&self, key: u64) -> Option<usize> {
        let here = |(i, slot): (usize, &S)| u32::from(slot.key() == key) << i;
        let found = self.0.iter().enumerate().map(here).fold(0, |all, one| all | one);
        (found != 0).then_some(found.trailing_zeros() as usize)
    }
}

impl<S: Slot, const N: usize> Lines<S, N> {
    /// Fewer slots than this are not worth to be given back.
    const WORTH_IT: usize = 1 << 16;
    /// Slots from which on a table grows by an eighth, so that little of it is ever empty. A smaller one grows by
    /// half, for to lay all out anew, in memory that is touched for the first time, took a fifth of an events
    /// thread's time while 45,000 entries became 105,000.
    const LARGE: usize = 1 << 18;

    /// Makes a table with room for `len` items.
    pub(super) fn with_room(len: usize) -> Self {
        // Two thirds full: of eight a line one in thirty goes on then.
        let lines = (len * 3 / 2).div_ceil(N).max(1);
        Lines { lines: vec![Line([S::default(); N]); lines], passed: vec![0; lines], len: 0 }
    }

    /// Number of items.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of slots.
    pub(super) fn slots_len(&self) -> usize {
        self.lines.len() * N
    }

    pub(super) fn get(&self, key: u64) -> Option<&S> {
        self.find(key).map(|(line, place)| &self.lines[line].0[place])
    }

    /// Whoever changes it leaves its key as it is.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut S> {
        self.find(key).map(|(line, place)| &mut self.lines[line].0[place])
    }

    /// Adds what is not there.
    pub(super) fn add(&mut self, slot: S) {
        // Five of six at most, then three of four, or five of nine: what is copied goes from one to the other in order.
        if (self.len + 1) * 6 > self.slots_len() * 5 {
            let room = if self.slots_len() < Self::LARGE { self.len * 6 / 5 } else { self.len * 9 / 10 };
            self.resize(room + N);
        }
        self.lay(slot);
        self.len += 1;
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, key: u64) -> Option<S> {
        let (line, place) = self.find(key)?;
        let removed = self.take(line, place);
        self.give_back();
        Some(removed)
    }

    /// Takes out those that are not to stay.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&S) -> bool) {
        for line in 0..self.lines.len() {
            for place in 0..N {
                let slot = &self.lines[line].0[place];
                if slot.key() != 0 && !stays(slot) {
                    self.take(line, place);
                }
            }
        }
        self.give_back();
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &S> + '_ {
        self.lines.iter().flat_map(|line| &line.0).filter(|slot| slot.key() != 0)
    }

    /// All items, to be changed; the caller leaves their keys as they are.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut S> + '_ {
        self.lines.iter_mut().flat_map(|line| &mut line.0).filter(|slot| slot.key() != 0)
    }

    /// The line in which it is looked for first: the upper bits choose, so that any number of lines will do, and to lay
    /// all out anew goes through both tables in order.
    fn home(&self, key: u64) -> usize {
        ((u128::from(key) * self.lines.len() as u128) >> 63) as usize
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    /// Its line, and its place there.
    fn find(&self, key: u64) -> Option<(usize, usize)> {
        let mut line = self.home(key);
        // Of a few lines all may have been passed.
        for _ in 0..self.lines.len() {
            if let Some(place) = self.lines[line].find(key) {
                return Some((line, place));
            }
            if self.passed[line] == 0 {
                break;
            }
            line = self.after(line);
        }
        None
    }

    /// Lays down what is not there, where there is room.
    fn lay(&mut self, slot: S) {
        let mut line = self.home(slot.key());
        loop {
            if let Some(place) = self.lines[line].find(0) {
                self.lines[line].0[place] = slot;
                return;
            }
            self.passed[line] = self.passed[line].saturating_add(1);
            line = self.after(line);
        }
    }

    fn take(&mut self, line: usize, place: usize) -> S {
        let taken = std::mem::take(&mut self.lines[line].0[place]);
        let mut passed = self.home(taken.key());
        while passed != line {
            // A count that reached its bound stays there: that costs no more than a look in vain.
            self.passed[passed] -= u16::from(self.passed[passed] != u16::MAX);
            passed = self.after(passed);
        }
        self.len -= 1;
        taken
    }

    fn give_back(&mut self) {
        if self.slots_len() > Self::WORTH_IT && self.len < self.slots_len() / 8 {
            self.resize(self.len * 2);
        }
    }

    /// Makes room for `len` items.
    fn resize(&mut self, len: usize) {
        let before = std::mem::replace(self, Self::with_room(len));
        before.iter().for_each(|slot| self.lay(*slot));
        self.len = before.len;
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
