//! Tells whether a dump met the whole table.
//!
//! The kernel marks no conntrack dump as inconsistent (NLM_F_DUMP_INTR): one during which the hash table is resized
//! ends without an error and lacks entries, or has some twice, even where the table has its old size again at the
//! end. So a dump is held against `nf_conntrack_count`, and against what was seen of the number of buckets meanwhile.

/// Entries that a dump of the whole table met, beside the kernel's counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dumped {
    /// The least and the most entries that the kernel counted while it ran. Entries that this program deleted meanwhile
    /// count as if they were still there.
    counted: (u64, u64),
    /// Entries that the dump handed over.
    met: u64,
    /// The hash table had another number of buckets for a while.
    resized: bool,
    /// It may have had.
    unwatched: bool,
}

impl Dumped {
    /// A dump is about to begin, with `count` entries in the table.
    pub fn begins(count: u64) -> Self {
        Dumped { counted: (count, count), met: 0, resized: false, unwatched: false }
    }

    /// The kernel counts `count` entries now.
    pub fn counts(&mut self, count: u64) {
        self.counted = (self.counted.0.min(count), self.counted.1.max(count));
    }

    /// The dump handed over more entries.
    pub fn meets(&mut self, entries: u64) {
        self.met += entries;
    }

    /// The hash table was resized meanwhile, or was not; `None`: that is not known for certain.
    pub fn was_resized(&mut self, resized: Option<bool>) {
        self.resized |= resized == Some(true);
        self.unwatched |= resized.is_none();
    }

    /// It was resized.
    pub fn resized(&self) -> bool {
        self.resized
    }

    /// It was not resized, for certain.
    pub fn was_steady(&self) -> bool {
        !self.resized && !self.unwatched
    }

    /// Another dump of the same part of the table met no more, but for `deleted` entries that went in between.
    pub fn met_as_much_as(&self, other: &Dumped, deleted: u64) -> bool {
        let left = self.met.saturating_sub(deleted);
        !other.resized && other.met.saturating_sub(left) <= 8 + self.met / 100
    }

    /// Entries that lack (below zero) or are too many; 0 within what the kernel counted while the dump ran.
    fn difference(&self) -> i64 {
        let (least, most) = self.counted;
        let signed = |entries: u64| i64::try_from(entries).unwrap_or(i64::MAX);
        (signed(self.met) - signed(most)).max(0) + (signed(self.met) - signed(least)).min(0)
    }

    /// Entries that may come and go behind the back of a dump without being noticed: packets between their first look
    /// at the table and their entry, and entries that ended and began while the count stayed as it was.
    fn slack(&self) -> i64 {
        i64::try_from(8 + self.counted.1 / 100).unwrap_or(i64::MAX)
    }

    /// No entry lacks, and none is there twice, beyond what may come and go.
    pub fn is_whole(&self) -> bool {
        !self.resized && self.difference().abs() <= self.slack()
    }

    /// True if another dump lacks as many entries: those that the kernel counts and no dump shows (packets in a queue
    /// of NFQUEUE, deleted masters whose children live).
    pub fn lacks_as_much_as(&self, other: &Dumped) -> bool {
        let apart = (self.difference() - other.difference()).abs();
        !self.resized && !other.resized && apart <= self.slack().max(other.slack())
    }
}

/// Tells of dumps one after the other whether the last can be taken for the whole table.
#[derive(Clone, Debug, Default)]
pub struct Completeness {
    last: Option<Dumped>,
}

impl Completeness {
    /// Number of dumps at most, the repeated ones included.
    pub const ATTEMPTS: usize = 5;

    /// True if this one can: it met what the kernel counts, or lacks what the one before lacked too.
    pub fn reached_by(&mut self, dumped: Dumped) -> bool {
        let before = self.last.replace(dumped);
        dumped.is_whole() || before.is_some_and(|before| dumped.lacks_as_much_as(&before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumped(before: u64, after: u64, met: u64) -> Dumped {
        let mut dumped = Dumped::begins(before);
        dumped.counts(after);
        dumped.meets(met);
        dumped
    }

    #[test]
    fn a_dump_is_whole_if_it_met_what_the_kernel_counts() {
        for (before, after, met) in
            [(0, 0, 0), (2000, 2000, 2000), (2000, 2000, 1990), (500, 2000, 900), (2000, 500, 500), (3, 0, 0)]
        {
            assert!(dumped(before, after, met).is_whole(), "{before} {after} {met}");
        }
        // The three that were seen with a table resized back to its size: nothing in the answer says so.
        for (before, after, met) in
            [(40_000, 40_000, 12_570), (2000, 2000, 960), (40_000, 40_000, 41_000), (100, 100, 80)]
        {
            assert!(!dumped(before, after, met).is_whole(), "{before} {after} {met}");
        }
        let mut resized = dumped(2000, 2000, 2000);
        resized.was_resized(Some(true));
        assert!(!resized.is_whole() && resized.resized());
    }

    #[test]
    fn entries_that_no_dump_shows_are_known_by_two_dumps_that_lack_them() {
        let mut completeness = Completeness::default();
        assert!(!completeness.reached_by(dumped(5000, 5000, 3000)));
        assert!(completeness.reached_by(dumped(5100, 5100, 3101)));
        let mut completeness = Completeness::default();
        assert!(!completeness.reached_by(dumped(5000, 5000, 3000)));
        assert!(!completeness.reached_by(dumped(5000, 5000, 1000)), "two partial dumps are no whole one");
        assert!(completeness.reached_by(dumped(5000, 5000, 5000)));
    }

    #[test]
    fn a_part_that_nobody_watched_is_held_against_another_dump_of_it() {
        let mut part = dumped(40_000, 40_000, 960);
        assert!(part.was_steady());
        part.was_resized(None);
        assert!(!part.was_steady() && !part.resized());
        assert!(part.met_as_much_as(&dumped(40_000, 40_000, 970), 0));
        assert!(!part.met_as_much_as(&dumped(40_000, 40_000, 2000), 0));
        // All of 960 that it met were deleted, and another 540 of the same part are there.
        assert!(!part.met_as_much_as(&dumped(39_040, 39_040, 540), 960));
        assert!(part.met_as_much_as(&dumped(39_040, 39_040, 3), 960));
    }

    #[test]
    fn two_resized_dumps_prove_nothing_however_alike_they_are() {
        let mut resized = dumped(5000, 5000, 3000);
        resized.was_resized(Some(true));
        let mut completeness = Completeness::default();
        assert!(!completeness.reached_by(resized) && !completeness.reached_by(resized));
        assert!(!completeness.reached_by(dumped(5000, 5000, 3000)), "what lacks is not known yet");
        assert!(completeness.reached_by(dumped(5000, 5000, 3000)));
    }
}
