//! Entries that were given a second chance: arithmetic is wrong about these until they are gone or a packet came.

use super::lines::{self, Lines, Slot};
use crate::core::model::{Chances, GivenChance};

/// An entry in its grace, in 20 bytes; times in seconds since the host came up.
#[derive(Clone, Copy, Debug, Default)]
struct Chance {
    /// Its fingerprint, the lower half first, so that it aligns to 4 bytes.
    key: [u32; 2],
    /// Moment at which it runs out, if no packet comes.
    expiry: u32,
    /// Moment at which it was given; the bit above is [`SEEN`].
    given: u32,
    /// Since when it had been silent at least.
    silent_since: u32,
}

/// By the scan under way.
const SEEN: u32 = 1 << 31;

impl Slot for Chance {
    fn key(&self) -> u64 {
        u64::from(self.key[0]) | u64::from(self.key[1]) << 32
    }
}

/// Facts of an entry that has had no packet since it was given a second chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// For how long it has been silent.
    pub idle_seconds: u32,
    /// For how long it has been in its grace.
    pub given_seconds: u32,
}

/// The entries in their grace, by fingerprint.
#[derive(Clone, Debug, Default)]
pub struct SecondChances {
    entries: Lines<Chance, 3>,
}

impl SecondChances {
    /// 26 to 30 bytes an entry: 14 MB at most.
    pub const BOUND: usize = 7 << 16;
    /// Time left and the clock are both cut to whole seconds, and the clock is read a little before the entry.
    const SLACK_SECONDS: u32 = 2;
    /// Seconds after the last has run out at which all are forgotten where no scan comes (in calm): they are gone, or
    /// had a packet.
    const FORGOTTEN_SECONDS: u32 = 10;

    /// An entry that had been idle for `idle_seconds` has `grace_seconds` left at `now`.
    pub fn give(&mut self, fingerprint: u64, idle_seconds: u32, grace_seconds: u32, now: u32) {
        let key = lines::key(fingerprint);
        let chance = Chance {
            key: [key as u32, (key >> 32) as u32],
            expiry: now.saturating_add(grace_seconds),
            given: now & !SEEN | SEEN,
            silent_since: now.saturating_sub(idle_seconds),
        };
        if let Some(before) = self.entries.get_mut(key) {
            *before = chance;
        } else if self.entries.len() < Self::BOUND {
            self.entries.add(chance);
        }
    }

    /// Sees an entry that has `left` seconds at `now`. With another expiry than the grace's a packet came: then the
    /// entry is like any other again.
    pub fn see(&mut self, fingerprint: u64, left: Option<u32>, now: u32) -> Option<Waiting> {
        if self.entries.len() == 0 {
            return None;
        }
        let key = lines::key(fingerprint);
        let chance = self.entries.get_mut(key)?;
        let same =
            left.is_some_and(|left| now.saturating_add(left).abs_diff(chance.expiry) <= Self::SLACK_SECONDS);
        if !same {
            self.entries.remove(key);
            return None;
        }
        chance.given |= SEEN;
        Some(Waiting {
            idle_seconds: now.saturating_sub(chance.silent_since),
            given_seconds: now.saturating_sub(chance.given & !SEEN),
        })
    }

    /// Facts of an entry's second chance at `now`.
    pub(super) fn tell(&self, fingerprint: u64, now: f64) -> Option<GivenChance> {
        let chance = self.entries.get(lines::key(fingerprint)).filter(|_| self.entries.len() > 0)?;
        Some(GivenChance {
            expires_in_seconds: f64::from(chance.expiry) - now,
            given_seconds: now - f64::from(chance.given & !SEEN),
            silent_seconds: now - f64::from(chance.silent_since),
        })
    }

    /// Takes over what another memory knows of an entry at `now`.
    pub(super) fn adopt(&mut self, fingerprint: u64, given: &GivenChance, now: f64) {
        let given_at = seconds(now - given.given_seconds);
        let (grace, idle) =
            (given.expires_in_seconds + given.given_seconds, given.silent_seconds - given.given_seconds);
        self.give(fingerprint, seconds(idle), seconds(grace), given_at);
    }

    /// Forgets an entry.
    pub(super) fn forget(&mut self, fingerprint: u64) {
        if self.entries.len() > 0 {
            self.entries.remove(lines::key(fingerprint));
        }
    }

    /// True if no entry has a second chance.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// It is in its grace, as far as is known.
    pub fn holds(&self, fingerprint: u64) -> bool {
        self.entries.len() > 0 && self.entries.get(lines::key(fingerprint)).is_some()
    }

    /// A scan begins.
    pub(super) fn scan_begins(&mut self) {
        self.entries.iter_mut().for_each(|chance| chance.given &= !SEEN);
    }

    /// It is over; what it did not see is gone if it saw the `whole` table. What has run out by `now` is gone or had a
    /// packet; only a scan of the whole table has met the latter, and has told of each that it spoke.
    pub(super) fn scan_ends(&mut self, whole: bool, now: u32) {
        let kept = if whole { Self::SLACK_SECONDS } else { Self::FORGOTTEN_SECONDS };
        let over = |chance: &Chance| chance.expiry.saturating_add(kept) < now;
        self.entries.retain(|chance| !over(chance) && (chance.given & SEEN != 0 || !whole));
    }

    /// As a fact at `now`.
    pub fn facts(&mut self, now: u32) -> Chances {
        let spread = |(first, last): (u32, u32), c: &Chance| (first.min(c.expiry), last.max(c.expiry));
        let (mut first, mut last) = self.entries.iter().fold((u32::MAX, 0), spread);
        if last.saturating_add(Self::FORGOTTEN_SECONDS) < now {
            self.entries = Lines::default();
        }
        if self.entries.len() == 0 {
            (first, last) = (0, 0);
        }
        Chances {
            waiting: self.entries.len() as u64,
            first_ends_seconds: first.into(),
            last_ends_seconds: last.into(),
            room: (Self::BOUND - self.entries.len()) as u64,
        }
    }
}

/// Whole seconds since the host came up, the nearest; what is before that is its beginning.
pub(super) fn seconds(at: f64) -> u32 {
    at.round().max(0.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_000_000;

    fn given() -> SecondChances {
        let mut chances = SecondChances::default();
        chances.give(1, 8000, 60, NOW);
        chances
    }

    #[test]
    fn the_same_expiry_is_silence_ever_since() {
        let mut chances = given();
        let waiting = Some(Waiting { idle_seconds: 8020, given_seconds: 20 });
        for left in [40, 39, 38] {
            assert_eq!(chances.see(1, Some(left), NOW + 20), waiting);
        }
        assert!(chances.holds(1) && !chances.holds(2));
        assert_eq!(chances.see(2, Some(40), NOW + 20), None);
    }

    #[test]
    fn another_expiry_is_a_packet() {
        for left in [Some(432_000), Some(300), Some(43), Some(37), None] {
            let mut chances = given();
            assert_eq!(chances.see(1, left, NOW + 20), None, "{left:?}");
            assert!(!chances.holds(1), "like any other again");
        }
    }

    #[test]
    fn what_a_whole_scan_did_not_see_is_gone() {
        let mut chances = given();
        chances.give(2, 9000, 60, NOW);
        chances.scan_begins();
        chances.see(1, Some(50), NOW + 10);
        chances.scan_ends(false, NOW + 10);
        assert_eq!(chances.facts(NOW).waiting, 2, "half a scan proves nothing");
        chances.scan_begins();
        chances.see(1, Some(50), NOW + 10);
        chances.scan_ends(true, NOW + 10);
        assert!(chances.holds(1) && !chances.holds(2));
    }

    #[test]
    fn nothing_is_kept_beyond_its_grace() {
        let mut chances = given();
        chances.scan_begins();
        chances.scan_ends(false, NOW + 70);
        assert!(chances.holds(1), "a scan of the whole table is to find it, should it have spoken");
        chances.scan_ends(false, NOW + 71);
        assert!(!chances.holds(1));
        let mut chances = given();
        chances.see(1, Some(0), NOW + 60);
        chances.scan_ends(true, NOW + 62);
        assert!(chances.holds(1));
        chances.scan_ends(true, NOW + 63);
        assert_eq!(
            chances.facts(NOW + 63),
            Chances { room: SecondChances::BOUND as u64, ..Chances::default() }
        );
    }

    #[test]
    fn where_no_scan_comes_they_are_forgotten_all_the_same() {
        let mut chances = given();
        chances.give(2, 8000, 60, NOW + 5);
        assert_eq!(chances.facts(NOW + 75).waiting, 2, "a scan has its turn first");
        assert_eq!(chances.facts(NOW + 76).waiting, 0);
        assert!(!chances.holds(1) && !chances.holds(2));
    }

    #[test]
    fn facts_say_when_the_first_and_the_last_run_out() {
        let mut chances = given();
        chances.give(2, 9000, 60, NOW + 7);
        let facts = chances.facts(NOW);
        assert_eq!((facts.waiting, facts.room), (2, SecondChances::BOUND as u64 - 2));
        assert_eq!((facts.first_ends_seconds, facts.last_ends_seconds), (1_000_060.0, 1_000_067.0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut chances = SecondChances::default();
        let spread = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..SecondChances::BOUND as u64 + 10).for_each(|n| chances.give(spread(n), 8000, 60, NOW));
        assert_eq!((chances.facts(NOW).waiting, chances.facts(NOW).room), (SecondChances::BOUND as u64, 0));
        assert!(!chances.holds(spread(SecondChances::BOUND as u64)));
        chances.scan_begins();
        chances.scan_ends(true, NOW);
        assert!(chances.entries.slots_len() < 1 << 16, "and comes back");
    }
}
