//! Questions to the events thread, which it answers from its state between events.

use std::collections::HashSet;
use std::net::IpAddr;

use super::{Watcher, read};
use crate::agent::shared::{Remembered, Top};
use crate::core::model::{EntryId, SortBy, SourceKey};
use crate::linux::clock;

impl Watcher {
    pub(super) fn top(&mut self, limit: usize, rank: SortBy) -> Top {
        let synced = self.synced();
        let ledger = self.sync.ledger();
        Top {
            picked: ledger.pick(limit, rank, clock::boottime_seconds() as u32),
            entries: ledger.entries(),
            sources_total: ledger.sources() as u64,
            synced,
        }
    }

    /// Entries of a source, all of them as far as is known for certain: an entry that began before this was asked was
    /// heard of before.
    pub(super) fn entries_of(&mut self, source: IpAddr, zone: Option<u16>) -> Remembered {
        if !self.parts.remember_entries {
            return Remembered::Nothing;
        }
        let synced = self.knows_all();
        let sightings = read(&self.parts.sightings);
        let roll = self.sync.roll().filter(|_| synced && sightings.knows_masters());
        let Some(roll) = roll else { return Remembered::InDoubt };
        let Some(all) = roll.of(source, zone, Remembered::MOST) else { return Remembered::TooMany };
        let identify = &self.parts.identify;
        let expects = |id: &EntryId| sightings.master(identify.tuple(&id.original, id.zone));
        Remembered::All(all.into_iter().map(|id| (id, expects(&id))).collect())
    }

    /// True if the counts are exactly the table's: at some moment with an empty queue they are, however much comes
    /// and goes, unless entries began or ended unheard.
    fn knows_all(&mut self) -> bool {
        const LOOKS: usize = 50;
        (0..LOOKS).any(|_| {
            self.drain();
            self.catch_up();
            let count = self.sysctls.count();
            count.is_ok_and(|count| self.audit.exact(count, self.sync.ledger().entries()))
        }) && self.synced()
    }

    /// Before the first dump nobody knows who is old.
    pub(super) fn young(&self, since_seconds: u32) -> HashSet<SourceKey> {
        match self.sync.tally().resyncs {
            0 => HashSet::new(),
            _ => self.sync.ledger().younger_than(since_seconds).collect(),
        }
    }

    /// True if the counts can be relied on right now, not at the last tick: the process may have been stopped since.
    pub(super) fn synced(&mut self) -> bool {
        self.heed_ctnetlink();
        if self.masked || !self.audit.synced() || self.behind || self.total_lost() != self.lost_at_tick {
            return false;
        }
        let since_tick = self.sync.tally().events - self.events_at_tick;
        let sum = self.sync.ledger().entries();
        let count = self.sysctls.count();
        count.is_ok_and(|count| !self.audit.doubtful(count, sum, since_tick.max(self.events_in_tick)))
    }
}
