//! Judges single entries: here class, proof of idleness and protection meet, for the scan that counts, the flush that
//! deletes, the dry run and `plan` alike.

mod unclassed;

use std::sync::{Arc, PoisonError, RwLock};

use unclassed::Unclasseds;

use crate::core::model::{
    Class, ClassScan, Entry, FlushSettings, GroupPlace, Groups, IdleProof, Judged, Knowledge, Scan, Status,
    Timeout, Unproven, UnprovenCounts,
};
use crate::core::policy::{Protected, Protection};
use crate::core::state::{
    Bases, Identify, Idle, LocalLife, Observations, Proof, Proofs, Sightings, Weighing,
};

/// Facts that the event stream tells of single entries, shared between the thread that hears it and the one that
/// scans.
pub type SharedSightings = Arc<RwLock<Sightings>>;

/// Facts that make time left into idleness, as far as they are known right now. They are read again while a scan
/// runs.
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
    /// Until when writers were at work that no event tells of (conntrackd), or timeout policies that were not heard of,
    /// in seconds since the host came up.
    pub unheard_until_seconds: Option<u32>,
    /// The namespace has flowtables.
    pub flowtables: bool,
    /// The connected sockets of this host.
    pub life: Arc<LocalLife>,
}

impl Grounds {
    /// Idleness of most entries can be proven by observation alone.
    fn by_observation(&self, mode: IdleProof, sightings: &Sightings) -> bool {
        let arithmetic = self.bases.is_some() && !self.conntrackd;
        let offloading = self.flowtables || sightings.offloading();
        mode == IdleProof::Observed || (mode == IdleProof::Auto && (!arithmetic || offloading))
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
    presumed: u64,
    unproven: UnprovenCounts,
    unclassed: Unclasseds,
    groups: Groups,
    weighing: Option<Weighing>,
    liftable: u64,
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
            presumed: 0,
            unproven: UnprovenCounts::default(),
            unclassed: Unclasseds::default(),
            groups: Groups::default(),
            weighing: None,
            liftable: 0,
        }
    }

    /// Forgets the counts: the entries are met again.
    pub fn recount(&mut self) {
        self.classes = Class::ALL.map(ClassScan::empty).into();
        (self.entries, self.protected, self.liftable, self.presumed) = (0, 0, 0, 0);
        self.groups = Groups::default();
        (self.unproven, self.unclassed) = Default::default();
    }

    /// Weighs the sources that hold the table as well.
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
            let master = self.identify.tuple(master, entry.zone_id());
            self.sightings.write().unwrap_or_else(PoisonError::into_inner).saw_master(master);
        }
        let class = Class::of(entry, &self.settings.udp_short_ports);
        if entry.status.any(Status::OFFLOAD | Status::HW_OFFLOAD) {
            self.note_offloading();
        }
        let sightings = self.sightings.read().unwrap_or_else(PoisonError::into_inner);
        // If there is no master, as nearly everywhere, to know it is cheaper than to hash each tuple.
        let has_children = sightings.any_masters()
            && sightings.master(self.identify.tuple(&entry.original, entry.zone_id()));
        let living = self.grounds.life.holds(entry);
        let protected = match self.protection.of(entry, has_children) {
            Some(protected) => Some(Protected { liftable: protected.liftable && !living, ..protected }),
            None => living.then_some(Protected { reason: "a socket of this host", liftable: false }),
        };
        let had_chance = self.has_chance(entry);
        let proof = match living {
            // Whoever holds an end of it may speak at any time: however long it has been silent, it is not idle.
            true => Proof {
                idle: Idle::Unknown,
                exact: false,
                presumed: None,
                unproven: Some(Unproven::LocalSocket),
            },
            false => {
                let mut proofs = Proofs {
                    bases: self.grounds.bases.as_ref(),
                    mode: self.settings.idle_proof,
                    conntrackd: self.grounds.conntrackd,
                    unheard_until_seconds: self.grounds.unheard_until_seconds,
                    flowtables: self.grounds.flowtables,
                    up_seconds: self.grounds.up_seconds,
                    unix_seconds: self.grounds.unix_seconds,
                    sightings: &sightings,
                    observations: self.observations,
                };
                proofs.prove(entry, class, self.identify.entry(entry))
            }
        };
        let second_chance = had_chance && self.has_chance(entry);
        let presumed_seconds = proof.presumed;
        let idle_seconds = match proof.idle {
            Idle::Certain(seconds) => Some(seconds),
            Idle::Unknown => None,
        };
        let emergency = self.settings.emergency_idle_floor_seconds;
        // An entry of no class is not fair share's either.
        let order_seconds = idle_seconds.filter(|_| class.is_some()).map(|idle| match presumed_seconds {
            Some(presumed) if idle >= emergency => presumed.max(idle),
            _ => idle,
        });
        let in_grace = self.in_grace(entry, class, second_chance);
        let past = |floor| idle_seconds.is_some_and(|seconds| seconds >= floor);
        let past_class = class.is_some_and(|class| past(self.settings.floor_seconds(class)));
        let past =
            past_class && class.is_some_and(|class| past(self.settings.floor_of_seconds(class, entry)));
        let own_floor = class.map(|class| self.settings.floor_of_seconds(class, entry));
        let presumed = presumed_seconds.zip(own_floor).is_some_and(|(seconds, floor)| seconds >= floor);
        let presumed_stale = presumed && !past && protected.is_none();
        let liftable = protected.is_some_and(|protected| protected.liftable);
        let eligible = protected.is_none() && past;
        let only_critical = protected.is_none() && past_class && !past;
        let protected = protected.map(|protected| protected.reason);
        let (group, held_by_protection) = (GroupPlace::of(entry), liftable && past);
        let judged = Judged {
            group,
            timeout: Timeout::governing(entry),
            class,
            protected,
            idle_seconds,
            exact: proof.exact,
            unproven: proof.unproven,
            second_chance,
            left_seconds: entry.timeout_seconds,
            presumed_seconds,
            presumed_stale,
            order_seconds,
            eligible,
            only_critical,
            in_grace,
            spoke: had_chance && !second_chance,
            liftable,
            held_by_protection,
            past_floor: past,
        };
        if let Some(weighing) = &mut self.weighing {
            let by_class =
                (eligible || only_critical) && class.is_some_and(|class| weighing.leaves_to_class(class));
            if !by_class {
                weighing.see(entry, judged.idle_unprotected());
            }
        }
        judged
    }

    /// Judges one entry, as it was at `seen_at`, with what an agent knew of it at `told_at`, both in seconds since the
    /// host came up. Nothing of that is kept.
    pub fn judge_knowing(&mut self, entry: &Entry, known: &Knowledge, told_at: f64, seen_at: f64) -> Judged {
        let fingerprint = self.identify.entry(entry);
        let tell = |sightings: &SharedSightings, foreign| {
            sightings.write().unwrap_or_else(PoisonError::into_inner).told(fingerprint, foreign);
        };
        tell(&self.sightings, known.foreign);
        self.observations.adopt(fingerprint, known, told_at);
        // The agent's answer may have taken a while: expiries are compared as of the moment at which this one was read.
        let up_seconds = std::mem::replace(&mut self.grounds.up_seconds, seen_at as u32);
        let judged = self.judge(entry);
        self.grounds.up_seconds = up_seconds;
        self.observations.forget_all_of(fingerprint);
        tell(&self.sightings, false);
        judged
    }

    /// Any entry may be another writer's from here on.
    pub fn distrust(&mut self) {
        self.sightings.write().unwrap_or_else(PoisonError::into_inner).deaf();
    }

    fn note_offloading(&self) {
        let known = self.sightings.read().unwrap_or_else(PoisonError::into_inner).offloading();
        if !known {
            self.sightings.write().unwrap_or_else(PoisonError::into_inner).saw_offloaded();
        }
    }

    fn in_grace(&self, entry: &Entry, class: Option<Class>, second_chance: bool) -> bool {
        let short = entry.timeout_seconds.is_some_and(|left| left <= self.settings.grace_seconds);
        class == Some(Class::Established) && (short || second_chance)
    }

    fn has_chance(&self, entry: &Entry) -> bool {
        let chances = &self.observations.chances;
        !chances.is_empty() && chances.holds(self.identify.entry(entry))
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
        self.liftable += if judged.liftable { n } else { 0 };
        self.presumed += if judged.presumed_stale { n } else { 0 };
        let Some(seen) = judged.class.and_then(|class| self.classes.iter_mut().find(|c| c.class == class))
        else {
            self.unclassed.add(judged, n);
            return;
        };
        seen.entries += n;
        seen.protected += if judged.protected.is_some() { n } else { 0 };
        if judged.idle_is_unknown() {
            seen.idle_unknown += n;
            self.unproven.add(judged.unproven.unwrap_or(Unproven::OwnTimeout), n);
        }
        if let (true, Some(idle)) = (judged.held_by_protection, judged.idle_seconds) {
            seen.held_by_protection.add_many(idle, n);
        }
        let idle = judged.idle_seconds.filter(|_| judged.protected.is_none());
        if let Some(timeout) = judged.timeout {
            let governed = seen.governed(timeout);
            governed.entries += n;
            governed.may_go += if judged.eligible { n } else { 0 };
            if let Some(idle) = idle {
                governed.idle.add_many(idle, n);
                governed.oldest_idle_seconds = governed.oldest_idle_seconds.max(idle);
            }
        }
        let Some(idle) = idle else { return };
        if seen.oldest_idle_seconds.is_none_or(|oldest| idle > oldest) {
            (seen.oldest_idle_seconds, seen.oldest_is_exact) = (Some(idle), judged.exact);
        }
        if judged.only_critical {
            seen.only_critical.add_many(idle, n);
            return;
        }
        seen.idle.add_many(idle, n);
        let n = if judged.eligible { n } else { 0 };
        match judged.in_grace {
            true => seen.in_grace += n,
            false => seen.would_free += n,
        }
    }

    /// The scan is over. `whole`: it went through the whole table.
    pub fn finish(self, at_seconds: f64, duration_seconds: f64, whole: bool, trusted: bool) -> Scan {
        // A dump in doubt may have missed what is there: nothing is forgotten for that.
        self.observations.end(whole && trusted, at_seconds as u32);
        let by_observation = {
            let sightings = self.sightings.read().unwrap_or_else(PoisonError::into_inner);
            self.grounds.by_observation(self.settings.idle_proof, &sightings)
        };
        self.sightings.write().unwrap_or_else(PoisonError::into_inner).scan_ends(whole && trusted);
        Scan {
            at_seconds,
            duration_seconds,
            entries: self.entries,
            protected: self.protected,
            liftable: self.liftable,
            presumed: self.presumed,
            by_observation,
            acted_since: false,
            trusted: whole && trusted,
            unproven: self.unproven.rows(),
            unclassed: self.unclassed.rows(),
            classes: self.classes,
            groups: self.groups.rows(),
            weighed: self.weighing.map(|weighing| weighing.finish().into()),
        }
    }
}

#[cfg(test)]
mod tests;
