//! Facts that the event stream tells of single entries: another program wrote them, others are their children.

use std::collections::HashSet;

use super::fingerprints::Fingerprints;
use super::ledger::{BuildAsIs, Identify};
use crate::core::model::{Event, EventKind};

/// Facts that a scan cannot see. Bounded: beyond the bound nothing is proven by arithmetic any more.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    foreign: Fingerprints,
    masters: HashSet<u64, BuildAsIs>,
    /// Of before the scan under way: what it does not see again is gone.
    masters_before: HashSet<u64, BuildAsIs>,
    overflowed: bool,
    foreign_ever: bool,
    offloading: bool,
}

/// The facts that an event tells of an entry, in a tenth of its size: where another program makes all entries, each
/// event is kept until the lock is taken for many.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    kind: EventKind,
    foreign: bool,
    fingerprint: u64,
    /// Fingerprint of the entry that expected it.
    master: Option<u64>,
}

impl Sighting {
    /// Of an event about the entry with this fingerprint.
    pub fn of(event: &Event, fingerprint: u64, identify: &Identify) -> Self {
        let master = event.entry.master.as_ref().map(|master| identify.tuple(master, event.entry.zone_id()));
        Sighting { kind: event.kind, foreign: event.foreign, fingerprint, master }
    }
}

impl Sightings {
    /// A fingerprint takes 10 to 14 bytes: 28 MB at most.
    const BOUND: usize = 2 << 20;

    /// Takes an event. Another writer's entry (conntrackd after a failover, `conntrack -I`) has whatever time left
    /// that writer chose: arithmetic says nothing of it, until it ends.
    pub fn event(&mut self, event: &Event, identify: &Identify) {
        self.note(&Sighting::of(event, identify.entry(&event.entry), identify));
    }

    /// Notes the facts of an event that was heard a moment ago.
    pub fn note(&mut self, seen: &Sighting) {
        match seen.kind {
            EventKind::New | EventKind::Update => {
                if seen.foreign {
                    self.foreign_ever = true;
                    self.foreign.insert(seen.fingerprint);
                }
                self.masters.extend(seen.master);
                self.overflowed |= self.foreign.len() > Self::BOUND || self.masters.len() > Self::BOUND;
            }
            EventKind::Destroy => {
                if !self.foreign.is_empty() {
                    self.foreign.remove(seen.fingerprint);
                }
            }
        }
        if self.overflowed {
            self.foreign = Fingerprints::default();
        }
    }

    /// True if this event changes anything here: the stream's hot path asks before it takes a lock.
    pub fn concerns(event: &Event, any_foreign: bool) -> bool {
        match event.kind {
            EventKind::Destroy => any_foreign,
            _ => event.foreign || event.entry.master.is_some(),
        }
    }

    /// Entries whose NEW was lost: where another writer is at work, they may be its.
    pub fn unheard(&mut self, fingerprints: impl Iterator<Item = u64>) {
        if self.foreign_ever && !self.overflowed {
            for fingerprint in fingerprints {
                self.foreign.insert(fingerprint);
            }
            self.overflowed = self.foreign.len() > Self::BOUND;
        }
    }

    /// Notes whether another writer may have touched an entry, as an agent tells that heard it.
    pub fn told(&mut self, fingerprint: u64, foreign: bool) {
        if foreign {
            self.foreign.insert(fingerprint);
        } else if !self.foreign.is_empty() {
            self.foreign.remove(fingerprint);
        }
    }

    /// Events of another writer were not heard: any entry may be its.
    pub fn deaf(&mut self) {
        (self.foreign_ever, self.overflowed) = (true, true);
        self.foreign = Fingerprints::default();
    }

    /// Some entry is known to be another writer's.
    pub fn any_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// True if the time left proves nothing of some entries that are there, whichever they are.
    pub fn others_write(&self) -> bool {
        self.overflowed || self.any_foreign()
    }

    /// Another writer may have touched it.
    pub fn foreign(&self, fingerprint: u64) -> bool {
        self.overflowed || self.foreign.contains(fingerprint)
    }

    /// Children expect this entry (fingerprint of its original tuple).
    pub fn master(&self, tuple: u64) -> bool {
        self.masters.contains(&tuple) || self.masters_before.contains(&tuple)
    }

    /// Children expect anybody.
    pub fn any_masters(&self) -> bool {
        !self.masters.is_empty() || !self.masters_before.is_empty()
    }

    /// No master was left out for want of room.
    pub fn knows_masters(&self) -> bool {
        self.masters.len() < Self::BOUND
    }

    /// A scan saw an entry in a flowtable.
    pub fn saw_offloaded(&mut self) {
        self.offloading = true;
    }

    /// Flows go in and out of flowtables here, or once did.
    pub fn offloading(&self) -> bool {
        self.offloading
    }

    /// A scan begins: the masters that it sees, and those that events name meanwhile, are the ones to keep.
    pub fn scan_begins(&mut self) {
        let before = std::mem::take(&mut self.masters);
        self.masters_before.extend(before);
    }

    /// It is over; `whole` if it saw the whole table for certain.
    pub fn scan_ends(&mut self, whole: bool) {
        if whole {
            self.masters_before = HashSet::default();
        }
    }

    /// A scan saw a child of this entry.
    pub fn saw_master(&mut self, tuple: u64) {
        if self.masters.len() < Self::BOUND {
            self.masters.insert(tuple);
        }
    }
}
