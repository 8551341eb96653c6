//! Remembers the entries that earlier scans saw: an equal expiry, or with accounting equal counters, at two scans
//! means no packet in between.

use super::chance::{SecondChances, seconds};
use super::lines::{self, Lines, Slot};
use crate::core::model::{GivenChance, Knowledge, ObservedBefore};

/// One entry as it was seen, in 20 bytes: three lie in a line of the cache.
#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    /// Its fingerprint, the lower half first, so that it aligns to 4 bytes.
    key: [u32; 2],
    /// Moment at which the entry will expire, in seconds since the host came up.
    expiry: u32,
    /// Packets of both directions, the low 32 bits; 0 without accounting.
    packets: u32,
    /// Since when it has been silent, in seconds since the host came up; the bits above are [`RENEWED`] and [`ROUND`].
    since: u32,
}

impl Slot for Observed {
    fn key(&self) -> u64 {
        u64::from(self.key[0]) | u64::from(self.key[1]) << 32
    }
}

/// A packet was seen to come once: a flow that lives, whoever answers.
const RENEWED: u32 = 1 << 31;
/// The scan that saw it last was an odd one.
const ROUND: u32 = 1 << 30;
/// Bits that hold 34 years of seconds.
const SECONDS: u32 = ROUND - 1;

/// An entry as a scan sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Seconds left before it expires.
    pub left: u32,
    /// Packets of both directions, where accounting is on.
    pub packets: Option<u64>,
    /// No packet sets the time left (FIXED_TIMEOUT): counters alone tell anything.
    pub fixed: bool,
    /// Never answered: that it was renewed once is worth keeping.
    pub one_way: bool,
    /// Seconds since the host came up.
    pub now: u32,
}

/// Idleness that is known of an entry after a scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// For how long it has been observed without a packet.
    pub silent_seconds: u32,
    /// It was ever seen renewed.
    pub renewed: bool,
}

/// The memory of earlier scans, for entries that arithmetic cannot judge. 26 to 30 bytes an entry, and 14 MB at most.
///
/// Where there are more entries than room, those that were just seen renewed make room for those that are not known
/// yet, since of them nothing is lost: so the silent ones gather here, scan by scan, in whatever order the table is
/// walked. What has no room is not known to be idle.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    records: Lines<Observed, 3>,
    round: u32,
    /// An entry found no room in this scan or the last.
    crowded: bool,
    bound: Option<usize>,
    /// Second chances that this agent itself gave.
    pub chances: SecondChances,
}

impl Observations {
    /// So that an agent of a million entries that another program wrote takes less than 64 MB with them.
    pub const BOUND: usize = 7 << 16;
    /// Seconds by which two looks at one expiry differ at most: time left and uptime are cut to whole seconds, and
    /// the uptime of a sweep is a quarter of a second old.
    const TOLERANCE: u32 = 2;
    /// Seconds that a packet soon after a look can hide: twice the tolerance, and the second that is cut.
    pub const SLACK_SECONDS: u32 = 2 * Self::TOLERANCE + 1;

    /// Without any memory, for a look that is not repeated: it could only wait for a second one.
    pub fn none() -> Self {
        Observations { bound: Some(0), ..Observations::default() }
    }

    /// With room for fewer.
    #[cfg(test)]
    pub fn bounded(bound: usize) -> Self {
        Observations { bound: Some(bound), ..Observations::default() }
    }

    fn room(&self) -> usize {
        self.bound.unwrap_or(Self::BOUND)
    }

    /// Entries that are remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.records.len() == 0
    }

    /// A scan begins.
    pub fn begin(&mut self) {
        self.round ^= ROUND;
        self.chances.scan_begins();
    }

    /// The scan is over at `up_seconds`; `whole` if it saw the whole table for certain. Only then is what it did not
    /// see forgotten.
    pub fn end(&mut self, whole: bool, up_seconds: u32) {
        self.chances.scan_ends(whole, up_seconds);
        let round = self.round;
        if !whole {
            self.records.iter_mut().for_each(|observed| observed.since = observed.since & !ROUND | round);
            return;
        }
        self.records.retain(|observed| observed.since & ROUND == round);
        self.crowded &= self.records.len() >= self.room() / 16 * 15;
    }

    /// Forgets what was seen of an entry: it proves nothing.
    pub(super) fn forget(&mut self, fingerprint: u64) {
        self.records.remove(lines::key(fingerprint));
    }

    /// Facts of an entry at `now`, in seconds since the host came up, for a reader that did not see it before.
    pub fn tell(&self, fingerprint: u64, now: f64) -> (Option<ObservedBefore>, Option<GivenChance>) {
        let observed = self.records.get(lines::key(fingerprint)).map(|observed| ObservedBefore {
            expires_in_seconds: f64::from(observed.expiry) - now,
            silent_seconds: now - f64::from(observed.since & SECONDS),
            packets: observed.packets,
            renewed: observed.since & RENEWED != 0,
        });
        (observed, self.chances.tell(fingerprint, now))
    }

    /// Takes over what another memory knows of an entry at `now`, whatever room there is. It is forgotten by
    /// [`Observations::forget_all_of`].
    pub fn adopt(&mut self, fingerprint: u64, known: &Knowledge, now: f64) {
        self.forget_all_of(fingerprint);
        if let Some(before) = &known.observed {
            let key = lines::key(fingerprint);
            let renewed = if before.renewed { RENEWED } else { 0 };
            self.records.add(Observed {
                key: [key as u32, (key >> 32) as u32],
                expiry: seconds(now + before.expires_in_seconds),
                packets: before.packets,
                since: (seconds(now - before.silent_seconds) & SECONDS) | renewed | self.round,
            });
        }
        if let Some(given) = &known.second_chance {
            self.chances.adopt(fingerprint, given, now);
        }
    }

    /// Forgets whatever is known of an entry.
    pub fn forget_all_of(&mut self, fingerprint: u64) {
        self.forget(fingerprint);
        self.chances.forget(fingerprint);
    }

    /// Sees an entry; `None` where nothing can be told of it, or there is no room to remember it.
    pub(super) fn see(&mut self, fingerprint: u64, sight: Sight) -> Option<Seen> {
        if sight.fixed && sight.packets.is_none() {
            return None;
        }
        let expiry = sight.now.saturating_add(sight.left);
        let packets = sight.packets.unwrap_or(0) as u32;
        let (now, round, key) = (sight.now & SECONDS, self.round, lines::key(fingerprint));
        let observed =
            |since| Observed { key: [key as u32, (key >> 32) as u32], expiry, packets, since: since | round };
        let Some(before) = self.records.get_mut(key) else {
            if self.records.len() < self.room() {
                self.records.add(observed(now));
            } else {
                self.crowded = true;
            }
            return None;
        };
        let renewed = before.since & RENEWED;
        if before.silent(&sight, expiry, packets) {
            let since = before.since & SECONDS;
            before.since = since | renewed | round;
            let silent_seconds = now.saturating_sub(since).saturating_sub(Self::SLACK_SECONDS);
            return Some(Seen { silent_seconds, renewed: renewed != 0 });
        }
        *before = observed(now | RENEWED);
        if self.crowded && !sight.one_way {
            self.records.remove(key);
        }
        Some(Seen { silent_seconds: 0, renewed: true })
    }
}

impl Observed {
    /// No packet came since. Counters that moved deny it, whatever the expiry. Those that did not are no more than the
    /// expiry's witness, since somebody may have zeroed them in between (`IPCTNL_MSG_CT_GET_CTRZERO`), and the only
    /// one where the expiry is fixed.
    fn silent(&self, sight: &Sight, expiry: u32, packets: u32) -> bool {
        let same_expiry = expiry.abs_diff(self.expiry) <= Observations::TOLERANCE;
        packets == self.packets && (sight.fixed || same_expiry)
    }
}

#[cfg(test)]
#[path = "observations_tests.rs"]
mod tests;
