//! Where class, proof of idleness and protection meet: the one judgement of a single entry, shared by the scan that
//! counts, the flush that deletes, the dry run and `plan`.

use std::sync::{Arc, PoisonError, RwLock};

use crate::model::{Class, ClassScan, Entry, FlushSettings, GroupPlace, Groups, Scan};
use crate::policy::Protection;
use crate::state::{Bases, Identify, Idle, Observations, Proofs, Sightings, Weighing};

/// What the event stream says of single entries, shared between the thread that hears it and the one that scans.
pub type SharedSightings = Arc<RwLock<Sightings>>;

/// What makes time left into idleness, as far as it is known right now. Read again while a scan runs.
#[derive(Clone, Debug, Default)]
pub struct Grounds {
    /// Candidate bases; `None` while they cannot be known.
    pub bases: Option<Bases>,
    /// conntrackd runs in the namespace.
    pub conntrackd: bool,
    /// For how long the host has been up.
    pub up_seconds: u32,
    /// Seconds of the Unix epoch.
    pub unix_seconds: u64,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Its protocol and state.
    pub group: GroupPlace,
    /// Its class, if it is of one.
    pub class: Option<Class>,
    /// Why it stays whatever happens.
    pub protected: Option<&'static str>,
    /// Its certain idleness in seconds.
    pub idle_seconds: Option<u32>,
    /// It may go: of a class, unprotected, idle for certain past the class's floor.
    pub eligible: bool,
    /// It is gone within `grace_seconds` unless a packet comes: it was given a second chance, or has no more left.
    pub in_grace: bool,
}

impl Judged {
    /// Certain idleness of an entry that nothing protects, past its class's floor or not.
    pub fn idle_unprotected(&self) -> Option<u32> {
        self.idle_seconds.filter(|_| self.protected.is_none())
    }
}

/// Judges the entries of one scan and keeps its histograms.
pub struct Sieve<'a> {
    settings: &'a FlushSettings,
    protection: &'a Protection,
    identify: &'a Identify,
    sightings: SharedSightings,
    observations: &'a mut Observations,
    grounds: Grounds,
    classes: Vec<ClassScan>,
    entries: u64,
    protected: u64,
    groups: Groups,
    weighing: Option<Weighing>,
}

impl<'a> Sieve<'a> {
    /// A scan begins.
    pub fn new(
        settings: &'a FlushSettings,
        protection: &'a Protection,
        identify: &'a Identify,
        sightings: SharedSightings,
        observations: &'a mut Observations,
        grounds: Grounds,
    ) -> Self {
        observations.begin();
        sightings.write().unwrap_or_else(PoisonError::into_inner).scan_begins();
        let classes = Class::ALL.map(ClassScan::empty).into();
        Sieve {
            settings,
            protection,
            identify,
            sightings,
            observations,
            grounds,
            classes,
            entries: 0,
            protected: 0,
            groups: Groups::default(),
            weighing: None,
        }
    }

    /// Who holds the table is to be weighed as well.
    pub fn weigh(&mut self, weighing: Weighing) {
        self.weighing = Some(weighing);
    }

    /// The grounds changed (a sysctl, a policy, conntrackd) or were read again.
    pub fn refresh(&mut self, grounds: Grounds) {
        self.grounds = grounds;
    }

    /// Judges one entry.
    pub fn judge(&mut self, entry: &Entry) -> Judged {
        if let Some(master) = &entry.master {
            let master = self.identify.tuple(master, entry.zone);
            self.sightings.write().unwrap_or_else(PoisonError::into_inner).saw_master(master);
        }
        let class = Class::of(entry, &self.settings.udp_short_ports);
        let sightings = self.sightings.read().unwrap_or_else(PoisonError::into_inner);
        let has_children = sightings.master(self.identify.tuple(&entry.original, entry.zone));
        let protected = self.protection.reason(entry, has_children);
        let idle_seconds = class.and_then(|class| {
            let mut proofs = Proofs {
                bases: self.grounds.bases.as_ref(),
                mode: self.settings.idle_proof,
                conntrackd: self.grounds.conntrackd,
                up_seconds: self.grounds.up_seconds,
                unix_seconds: self.grounds.unix_seconds,
                sightings: &sightings,
                observations: self.observations,
            };
            match proofs.idle(entry, class, self.identify.entry(entry)) {
                Idle::Certain(seconds) => Some(seconds),
                Idle::Unknown => None,
            }
        });
        let in_grace = self.in_grace(entry, class);
        let past = |class| idle_seconds.is_some_and(|seconds| seconds >= self.settings.floor_seconds(class));
        let eligible = protected.is_none() && class.is_some_and(past);
        let group = GroupPlace::of(entry);
        let judged = Judged { group, class, protected, idle_seconds, eligible, in_grace };
        if let (Some(weighing), false) = (&mut self.weighing, eligible) {
            weighing.see(entry, judged.idle_unprotected());
        }
        judged
    }

    fn in_grace(&self, entry: &Entry, class: Option<Class>) -> bool {
        let short = entry.timeout_seconds.is_some_and(|left| left <= self.settings.grace_seconds);
        class == Some(Class::Established)
            && (short || self.observations.chances.holds(self.identify.entry(entry)))
    }

    /// An entry that was judged idle for `idle_seconds` has been given a second chance just now.
    pub fn given_grace(&mut self, entry: &Entry, idle_seconds: u32, grace_seconds: u32, up_seconds: u32) {
        let fingerprint = self.identify.entry(entry);
        self.observations.chances.give(fingerprint, idle_seconds, grace_seconds, up_seconds);
    }

    /// Counts an entry that stays; one that is about to go is not counted.
    pub fn count(&mut self, judged: &Judged) {
        self.count_many(judged, 1);
    }

    /// Counts `n` entries that are alike.
    pub fn count_many(&mut self, judged: &Judged, n: u64) {
        self.entries += n;
        self.groups.add_many(judged.group, n);
        self.protected += if judged.protected.is_some() { n } else { 0 };
        let Some(seen) = judged.class.and_then(|class| self.classes.iter_mut().find(|c| c.class == class))
        else {
            return;
        };
        seen.entries += n;
        let (None, Some(idle)) = (judged.protected, judged.idle_seconds) else { return };
        seen.idle.add_many(idle, n);
        seen.oldest_idle_seconds = seen.oldest_idle_seconds.max(idle);
        let n = if judged.eligible { n } else { 0 };
        match judged.in_grace {
            true => seen.in_grace += n,
            false => seen.would_free += n,
        }
    }

    /// The scan is over. `whole`: it went through the whole table.
    pub fn finish(self, at_seconds: f64, duration_seconds: f64, whole: bool, trusted: bool) -> Scan {
        self.observations.end(whole, at_seconds as u32);
        self.sightings.write().unwrap_or_else(PoisonError::into_inner).scan_ends(whole && trusted);
        Scan {
            at_seconds,
            duration_seconds,
            entries: self.entries,
            protected: self.protected,
            trusted: whole && trusted,
            classes: self.classes,
            groups: self.groups.rows(),
            weighed: self.weighing.map(|weighing| weighing.finish().into()),
        }
    }
}

#[cfg(test)]
#[path = "sieve_tests.rs"]
mod tests;
