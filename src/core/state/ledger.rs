//! Counts entries by source: exact, because every entry is known by its identity.
//!
//! Counting NEW up and DESTROY down is not enough: an event may come after the dump that showed its effect, an entry
//! without event state ends in silence and its tuple begins again with the same `CTA_ID`. A set of identities makes
//! each event idempotent: what is in it cannot begin again, what is not cannot end. It costs 10 to 14 bytes an entry.
//!
//! An entry that this program deletes ends in silence too if it has no event state, and is taken out when the kernel
//! has deleted it ([`Ledger::remove_unheard`]). An entry whose beginning was heard ends by an event, in the order of
//! the stream: it may have begun again before the deletion is told of here.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::DefaultHashBuilder;

use super::entry_index::EntryIndex;
use super::fingerprints::Fingerprints;
use super::ranked::Picked;
use super::sources::Sources;
use crate::core::model::{Entry, EntryId, ProtocolGroup, SortBy, SourceCount, SourceKey, Tuple};

/// Turns identities into fingerprints of 63 bits, keyed by a random seed: at a million entries two of them meet with a
/// probability of 5e-8, and nobody outside can make them meet. Clones share the seed.
#[derive(Clone, Debug, Default)]
pub struct Identify(DefaultHashBuilder);

impl Identify {
    /// Of an entry: original tuple, zone, `CTA_ID`.
    pub fn entry(&self, entry: &Entry) -> u64 {
        self.0.hash_one((&entry.original, entry.zone, entry.id)) & Fingerprints::BITS
    }

    /// Fingerprint of an entry of which no more than its identity is known.
    pub fn id(&self, id: &EntryId) -> u64 {
        self.0.hash_one((&id.original, id.zone, id.id)) & Fingerprints::BITS
    }

    /// Of anything else.
    pub(super) fn any(&self, what: impl Hash) -> u64 {
        self.0.hash_one(what)
    }

    /// Of a tuple in a zone, whatever the id: how an expected child names its master.
    pub fn tuple(&self, tuple: &Tuple, zone: u16) -> u64 {
        self.0.hash_one((tuple, zone))
    }
}

/// A fingerprint is a hash already.
#[derive(Clone, Copy, Default, Debug)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Hashes fingerprints by themselves.
pub type BuildAsIs = std::hash::BuildHasherDefault<AsIs>;

/// Entries of one source, by protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[allow(missing_docs)]
pub struct Count {
    pub tcp: u32,
    pub udp: u32,
    pub icmp: u32,
    pub other: u32,
    /// Time at which its first entry was heard of, in the caller's seconds; 0: it was there before the first dump.
    pub since_seconds: u32,
    /// New entries that were heard of.
    pub births: Births,
}

/// Rate of new entries: their count, forgotten by 1/e every [`Births::MEMORY_SECONDS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Births {
    /// A thousandth of one a second.
    rate_milli: u32,
    /// As of this second.
    at_seconds: u32,
}

impl Births {
    /// Long enough to be steady, short enough to see a flood begin.
    const MEMORY_SECONDS: f64 = 5.0;
    /// A rate of less time than this is one of chance.
    const SETTLED_SECONDS: u32 = 3;

    /// One more, in this second.
    pub fn add(&mut self, now_seconds: u32) {
        if now_seconds != self.at_seconds {
            *self = Births { rate_milli: self.milli_at(now_seconds), at_seconds: now_seconds };
        }
        self.rate_milli = self.rate_milli.saturating_add((1000.0 / Self::MEMORY_SECONDS) as u32);
    }

    /// New entries a second, as of now, if beginnings were heard for so long; `None` until that says anything. Memory
    /// that is not filled yet knows as much less as it is empty.
    pub fn per_second(&self, now_seconds: u32, heard_seconds: u32) -> Option<f64> {
        let filled = 1.0 - (-f64::from(heard_seconds) / Self::MEMORY_SECONDS).exp();
        let settled = heard_seconds >= Self::SETTLED_SECONDS;
        settled.then(|| f64::from(self.milli_at(now_seconds)) / 1000.0 / filled)
    }

    pub(super) fn milli_at(&self, now_seconds: u32) -> u32 {
        let passed = f64::from(now_seconds.saturating_sub(self.at_seconds));
        (f64::from(self.rate_milli) * (-passed / Self::MEMORY_SECONDS).exp()) as u32
    }
}

impl Count {
    /// All of them.
    pub fn entries(&self) -> u64 {
        u64::from(self.tcp) + u64::from(self.udp) + u64::from(self.icmp) + u64::from(self.other)
    }

    pub(super) fn of(&mut self, group: ProtocolGroup) -> &mut u32 {
        match group {
            ProtocolGroup::Tcp => &mut self.tcp,
            ProtocolGroup::Udp => &mut self.udp,
            ProtocolGroup::Icmp => &mut self.icmp,
            ProtocolGroup::Other => &mut self.other,
        }
    }
}

/// The counts and the identities behind them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Marked where the entry's beginning was heard.
    live: Fingerprints,
    sources: Sources,
    /// Since when beginnings are heard.
    heard_since_seconds: Option<u32>,
    /// Of the same entries, if it is to remember them.
    roll: Option<Box<EntryIndex>>,
}

impl Ledger {
    /// Makes a ledger with room for `entries`, so that they need not be moved while they are counted.
    pub fn with_room(entries: usize) -> Self {
        Ledger { live: Fingerprints::with_room(entries), ..Ledger::default() }
    }

    /// Makes the ledger remember the identities of its entries besides the fingerprints of `identify`: each entry
    /// that is inserted, born or heard is then to be told by [`Ledger::remember`].
    pub fn remembering(self, identify: Identify) -> Self {
        Ledger { roll: Some(Box::new(EntryIndex::new(identify))), ..self }
    }

    /// Remembers the identity of an entry that is there.
    pub fn remember(&mut self, fingerprint: u64, id: impl FnOnce() -> EntryId) {
        if let Some(roll) = &mut self.roll {
            roll.insert(fingerprint, &id());
        }
    }

    /// Identities of its entries, if it remembers them.
    pub fn roll(&self) -> Option<&EntryIndex> {
        self.roll.as_deref()
    }

    /// From here on it remembers no more than what comes.
    pub fn forget(&mut self) {
        if let Some(roll) = &mut self.roll {
            roll.clear();
        }
    }

    /// Beginnings are heard from now on, if they were not before.
    pub fn hears_since(&mut self, now_seconds: u32) {
        self.heard_since_seconds.get_or_insert(now_seconds);
    }

    /// An entry is there, heard of at `now_seconds`; false if it was known to be.
    pub fn insert(
        &mut self,
        fingerprint: u64,
        key: SourceKey,
        group: ProtocolGroup,
        now_seconds: u32,
    ) -> bool {
        let fresh = self.live.insert(fingerprint);
        if fresh {
            *self.source(key, now_seconds).of(group) += 1;
        }
        fresh
    }

    fn source(&mut self, key: SourceKey, now_seconds: u32) -> &mut Count {
        self.sources.count(key, || Count { since_seconds: now_seconds, ..Count::default() })
    }

    /// An entry was heard to begin just now: [`Ledger::insert`], and one more birth of its source.
    pub fn born(&mut self, fingerprint: u64, key: SourceKey, group: ProtocolGroup, now_seconds: u32) {
        let fresh = self.live.put(fingerprint, true).is_none();
        let count = self.source(key, now_seconds);
        *count.of(group) += u32::from(fresh);
        count.births.add(now_seconds);
    }

    /// An entry is there, and its end will be heard.
    pub fn hear(&mut self, fingerprint: u64, key: SourceKey, group: ProtocolGroup, now_seconds: u32) {
        if self.live.put(fingerprint, true).is_none() {
            *self.source(key, now_seconds).of(group) += 1;
        }
    }

    /// Takes over how fast entries of each source began, and since when sources are known: those that `before` does not
    /// know are so since `now_seconds`. At the `first` time all of them are as good as old.
    pub fn keep_past(&mut self, before: &Ledger, first: bool, now_seconds: u32) {
        self.heard_since_seconds = before.heard_since_seconds;
        for (key, count) in self.sources.iter_mut() {
            let known = before.sources.get(key);
            count.births = known.map_or(Births::default(), |known| known.births);
            count.since_seconds = match known {
                _ if first => 0,
                Some(known) => known.since_seconds,
                None => now_seconds,
            };
        }
    }

    /// Sources that were not there before `since_seconds`.
    pub fn younger_than(&self, since_seconds: u32) -> impl Iterator<Item = SourceKey> + '_ {
        let young = move |(_, count): &(SourceKey, &Count)| count.since_seconds > since_seconds;
        self.sources.iter().filter(young).map(|(key, _)| key)
    }

    /// An entry is gone; false if it was not known.
    pub fn remove(&mut self, fingerprint: u64, key: SourceKey, group: ProtocolGroup) -> bool {
        let known = self.live.remove(fingerprint);
        if known {
            self.sources.discount(key, group);
            if let Some(roll) = &mut self.roll {
                roll.remove(fingerprint, key.address);
            }
        }
        known
    }

    /// An entry was deleted by this program: it is gone, unless its beginning was heard, for then its end is as well.
    pub fn remove_unheard(&mut self, fingerprint: u64, key: SourceKey, group: ProtocolGroup) {
        if self.live.get(fingerprint) == Some(false) {
            self.remove(fingerprint, key, group);
        }
    }

    /// Identities that `other` does not know.
    pub fn unknown_to<'a>(&'a self, other: &'a Ledger) -> impl Iterator<Item = u64> + 'a {
        self.live.iter().filter(|fingerprint| !other.live.contains(*fingerprint))
    }

    /// Number of entries in all.
    pub fn entries(&self) -> u64 {
        self.live.len() as u64
    }

    /// Sources that hold any.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// The `limit` largest sources (0: all) by `rank`, of which it knows entries and new ones, to be sorted elsewhere.
    pub fn pick(&self, limit: usize, rank: SortBy, now_seconds: u32) -> Picked {
        Picked::of(self.sources.iter(), limit, rank, now_seconds).heard_since(self.heard_since_seconds)
    }

    /// Sources in the order of `rank`, the largest first; ties by entries, address and zone.
    pub fn top(&self, limit: usize, rank: SortBy, now_seconds: u32) -> Vec<SourceCount> {
        self.pick(limit, rank, now_seconds).rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> SourceKey {
        SourceKey { address: [10, 0, 0, last].into(), zone: 0 }
    }

    #[test]
    fn an_entry_counts_once_however_often_it_is_told() {
        let mut ledger = Ledger::default();
        assert!(ledger.insert(1, key(1), ProtocolGroup::Tcp, 0));
        assert!(!ledger.insert(1, key(1), ProtocolGroup::Tcp, 0));
        assert_eq!(ledger.entries(), 1);
        assert_eq!(ledger.top(0, SortBy::Entries, 0)[0].tcp, 1);
        assert!(ledger.remove(1, key(1), ProtocolGroup::Tcp));
        assert!(!ledger.remove(1, key(1), ProtocolGroup::Tcp));
        assert_eq!((ledger.entries(), ledger.sources()), (0, 0));
    }

    #[test]
    fn what_was_deleted_counts_as_gone_unless_its_end_will_be_heard() {
        let mut ledger = Ledger::default();
        ledger.insert(1, key(1), ProtocolGroup::Tcp, 0);
        ledger.born(2, key(1), ProtocolGroup::Tcp, 0);
        // Known from a dump, and begun again since: as good as heard.
        ledger.insert(3, key(1), ProtocolGroup::Tcp, 0);
        ledger.born(3, key(1), ProtocolGroup::Tcp, 0);
        assert_eq!((ledger.entries(), ledger.top(0, SortBy::Entries, 0)[0].tcp), (3, 3));
        (1..=4).for_each(|fingerprint| ledger.remove_unheard(fingerprint, key(1), ProtocolGroup::Tcp));
        assert_eq!((ledger.entries(), ledger.top(0, SortBy::Entries, 0)[0].tcp), (2, 2));
        assert!(ledger.remove(2, key(1), ProtocolGroup::Tcp) && ledger.remove(3, key(1), ProtocolGroup::Tcp));
    }

    #[test]
    fn the_largest_come_first_and_ties_go_by_address() {
        let mut ledger = Ledger::default();
        for (fingerprint, last) in [(1, 9), (2, 3), (3, 7), (4, 7)] {
            ledger.insert(fingerprint, key(last), ProtocolGroup::Udp, 0);
        }
        let order = |rows: Vec<SourceCount>| rows.iter().map(|r| r.address.to_string()).collect::<Vec<_>>();
        assert_eq!(order(ledger.top(0, SortBy::Entries, 0)), ["10.0.0.7", "10.0.0.3", "10.0.0.9"]);
        assert_eq!(order(ledger.top(2, SortBy::Entries, 0)), ["10.0.0.7", "10.0.0.3"]);
    }

    #[test]
    fn new_entries_are_a_rate_that_comes_and_goes() {
        let mut ledger = Ledger::default();
        let mut fingerprint = 0;
        for second in 100..130 {
            for n in 0..100 {
                fingerprint += 1;
                ledger.born(fingerprint, key(if n < 90 { 1 } else { 2 }), ProtocolGroup::Udp, second);
            }
        }
        ledger.insert(u64::MAX >> 1, key(3), ProtocolGroup::Udp, 100);
        let rate = |ledger: &Ledger, now| {
            ledger.top(0, SortBy::New, now).iter().map(|r| r.new_per_second.unwrap()).collect::<Vec<_>>()
        };
        let rates = rate(&ledger, 129);
        assert!((80.0..105.0).contains(&rates[0]) && (8.5..11.5).contains(&rates[1]), "{rates:?}");
        assert_eq!(rates[2], 0.0);
        assert!(rate(&ledger, 160)[0] < 1.0);
        // What is born and gone leaves no rate behind: memory is for sources that hold entries.
        let largest = ledger.top(1, SortBy::New, 129)[0];
        assert_eq!(largest.address.to_string(), "10.0.0.1");
        let mut dumped = Ledger::default();
        dumped.insert(1, key(1), ProtocolGroup::Udp, 129);
        dumped.keep_past(&ledger, false, 129);
        assert_eq!(rate(&dumped, 129), [rates[0]]);
    }

    #[test]
    fn a_rate_is_the_same_from_the_start_and_none_before_it_has_settled() {
        let mut ledger = Ledger::default();
        ledger.hears_since(100);
        let mut rates = Vec::new();
        for second in 100..160u32 {
            rates.push(ledger.top(0, SortBy::New, second).first().and_then(|row| row.new_per_second));
            for n in 0..32 {
                ledger.born(u64::from(second * 100 + n), key(1), ProtocolGroup::Tcp, second);
            }
        }
        assert_eq!(rates[..3], [None; 3]);
        for (second, rate) in rates.iter().enumerate().skip(3) {
            let rate = rate.expect("settled");
            assert!((27.0..34.0).contains(&rate), "{rate} after {second} s");
        }
    }

    #[test]
    fn memory_goes_when_forged_sources_go() {
        let mut ledger = Ledger::default();
        // Fingerprints are spread, as `Identify` makes them.
        let fingerprint = |n: u32| u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let forged = |n: u32| SourceKey { address: std::net::Ipv4Addr::from(n).into(), zone: 0 };
        for n in 0..300_000u32 {
            ledger.insert(fingerprint(n), forged(n), ProtocolGroup::Udp, 0);
        }
        let full = ledger.sources.capacity();
        for n in 0..300_000u32 {
            ledger.remove(fingerprint(n), forged(n), ProtocolGroup::Udp);
        }
        assert!(ledger.sources.capacity() < full / 4, "{} of {full}", ledger.sources.capacity());
    }
}
