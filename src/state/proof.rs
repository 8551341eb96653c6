//! Proofs of idleness. What is not idle for certain is live.

use std::collections::{HashMap, HashSet};

use super::bases::Bases;
use super::chance::{SecondChances, Waiting};
use super::ledger::{BuildAsIs, Identify};
use crate::model::{Class, Entry, Event, EventKind, IdleProof, Status, TCP};

/// How long an entry has been idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// At least so many seconds, for certain.
    Certain(u32),
    /// Nobody knows: it counts as live.
    Unknown,
}

/// What the event stream says about single entries that a scan cannot see: who wrote them, who expects children.
/// Bounded: beyond the bound nothing is proven by arithmetic any more.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    foreign: HashSet<u64, BuildAsIs>,
    masters: HashSet<u64, BuildAsIs>,
    /// Of before the scan under way: what it does not see again is gone.
    masters_before: HashSet<u64, BuildAsIs>,
    overflowed: bool,
    foreign_ever: bool,
}

impl Sightings {
    /// A fingerprint takes 8 to 16 bytes: 32 MiB at most.
    const BOUND: usize = 2 << 20;

    /// Takes an event. Another writer's entry (conntrackd after a failover, `conntrack -I`) has whatever time left
    /// that writer chose: arithmetic says nothing of it, until it ends.
    pub fn event(&mut self, event: &Event, identify: &Identify) {
        match event.kind {
            EventKind::New | EventKind::Update => {
                if event.foreign {
                    self.foreign_ever = true;
                    self.foreign.insert(identify.entry(&event.entry));
                }
                if let Some(master) = &event.entry.master {
                    self.masters.insert(identify.tuple(master, event.entry.zone));
                }
                self.overflowed |= self.foreign.len() > Self::BOUND || self.masters.len() > Self::BOUND;
            }
            EventKind::Destroy => {
                if !self.foreign.is_empty() {
                    self.foreign.remove(&identify.entry(&event.entry));
                    if self.foreign.capacity() > 1 << 16 && self.foreign.len() < self.foreign.capacity() / 8 {
                        self.foreign.shrink_to(self.foreign.len() * 2);
                    }
                }
            }
        }
        if self.overflowed {
            self.foreign = HashSet::default();
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
            self.foreign.extend(fingerprints);
            self.overflowed = self.foreign.len() > Self::BOUND;
        }
    }

    /// Some entry is known to be another writer's.
    pub fn any_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// Another writer may have touched it.
    pub fn foreign(&self, fingerprint: u64) -> bool {
        self.overflowed || self.foreign.contains(&fingerprint)
    }

    /// Children expect this entry (fingerprint of its original tuple).
    pub fn master(&self, tuple: u64) -> bool {
        self.masters.contains(&tuple) || self.masters_before.contains(&tuple)
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

#[derive(Clone, Copy, Debug)]
struct Observed {
    /// When the entry will expire, in seconds of the scan's clock.
    expiry: u32,
    /// Since when it has had that expiry.
    since: u32,
    /// It was seen to be renewed once: a flow that lives, whoever answers.
    renewed: bool,
}

/// What earlier scans saw of entries that arithmetic cannot judge: the same expiry at two scans means no packet in
/// between. Kept for those entries alone, and for so many at most; a scan replaces it whole.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    before: HashMap<u64, Observed, BuildAsIs>,
    now: HashMap<u64, Observed, BuildAsIs>,
    /// What this agent itself did to times left.
    pub chances: SecondChances,
}

impl Observations {
    /// 20 bytes an entry and scan.
    const BOUND: usize = 1 << 20;

    /// A scan begins.
    pub fn begin(&mut self) {
        self.now = HashMap::default();
        self.chances.scan_begins();
    }

    /// The scan is over at `up_seconds`; `whole` if it saw the whole table. Only then is what it did not see forgotten.
    pub fn end(&mut self, whole: bool, up_seconds: u32) {
        self.chances.scan_ends(whole, up_seconds);
        let now = std::mem::take(&mut self.now);
        if whole {
            self.before = now;
        } else {
            self.before.extend(now);
            if self.before.len() > 2 * Self::BOUND {
                self.before = HashMap::default();
            }
        }
    }

    /// Sees an entry that has `left` seconds at `now`: for how long it has been observed without a packet, and
    /// whether it was ever seen renewed.
    fn see(&mut self, fingerprint: u64, left: u32, now: u32) -> (u32, bool) {
        let expiry = now.saturating_add(left);
        let observed = match self.before.get(&fingerprint).or_else(|| self.now.get(&fingerprint)) {
            // Time left is cut to whole seconds: within one is the same.
            Some(earlier) if earlier.expiry.abs_diff(expiry) <= 1 => *earlier,
            Some(_) => Observed { expiry, since: now, renewed: true },
            None => Observed { expiry, since: now, renewed: false },
        };
        if self.now.len() < Self::BOUND {
            self.now.insert(fingerprint, observed);
        }
        // A second is lost at either end.
        (now.saturating_sub(observed.since).saturating_sub(1), observed.renewed)
    }
}

/// Everything that a scan needs to tell how long an entry has been idle.
#[derive(Debug)]
pub struct Proofs<'a> {
    /// Candidate bases; `None` while they cannot be known (timeout policies cannot be listed).
    pub bases: Option<&'a Bases>,
    /// What the operator takes for proof.
    pub mode: IdleProof,
    /// conntrackd runs in the namespace: any entry may be its.
    pub conntrackd: bool,
    /// For how long the host has been up: nothing has been idle for longer.
    pub up_seconds: u32,
    /// Now, in seconds of the Unix epoch, to hold against `CTA_TIMESTAMP`.
    pub unix_seconds: u64,
    /// Of the event stream.
    pub sightings: &'a Sightings,
    /// Of earlier scans.
    pub observations: &'a mut Observations,
}

impl Proofs<'_> {
    /// How long an entry has been idle.
    pub fn idle(&mut self, entry: &Entry, class: Class, fingerprint: u64) -> Idle {
        if let Some(waiting) =
            self.observations.chances.see(fingerprint, entry.timeout_seconds, self.up_seconds)
        {
            return self.in_grace(entry, waiting);
        }
        let arithmetic = self.arithmetic(entry, fingerprint);
        // One-way flows of other protocols than TCP may live for ever without an answer (syslog, RTP): only
        // observation tells a dead one from one that speaks seldom.
        let one_way = class == Class::Unreplied && entry.original.protocol != TCP;
        let observe = one_way
            || match self.mode {
                IdleProof::Auto => arithmetic.is_none(),
                IdleProof::Arithmetic => false,
                IdleProof::Observed => true,
            };
        if !observe {
            return arithmetic.map_or(Idle::Unknown, Idle::Certain);
        }
        let unmoved = Status::FIXED_TIMEOUT | Status::OFFLOAD | Status::HW_OFFLOAD;
        let Some(left) = entry.timeout_seconds.filter(|_| !entry.status.any(unmoved)) else {
            return Idle::Unknown;
        };
        match self.observations.see(fingerprint, left, self.up_seconds) {
            (_, true) if one_way => Idle::Unknown,
            (0, _) => Idle::Unknown,
            (seconds, _) => Idle::Certain(seconds),
        }
    }

    /// An entry with the expiry that its second chance gave it. Arithmetic would take what this agent wrote for
    /// silence of days, and nothing else does: it is silent, unless a packet since then could have set this very
    /// expiry too, by a base as short as what is left of the grace (300 s of data in flight within a grace of 400).
    fn in_grace(&self, entry: &Entry, waiting: Waiting) -> Idle {
        let least = self.bases.and_then(|bases| bases.least_idle_seconds(entry, self.up_seconds));
        match least {
            Some(least) if least >= waiting.given_seconds => Idle::Certain(waiting.idle_seconds),
            Some(least) => Idle::Certain(least),
            None => Idle::Unknown,
        }
    }

    fn arithmetic(&self, entry: &Entry, fingerprint: u64) -> Option<u32> {
        if self.mode == IdleProof::Observed || self.conntrackd || self.sightings.foreign(fingerprint) {
            return None;
        }
        let idle = self.bases?.least_idle_seconds(entry, self.up_seconds)?;
        let age = entry.started_unix_seconds.map(|start| self.unix_seconds.saturating_sub(start));
        let possible = u64::from(idle) <= age.unwrap_or(u64::MAX) && idle <= self.up_seconds;
        possible.then_some(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{L4, TcpInfo, TcpState, Tuple, UDP};
    use crate::state::TimeoutHistory;

    fn entry(left: u32) -> Entry {
        let l4 = L4::Ports { source: 1, destination: 2 };
        Entry {
            id: 1,
            original: Tuple { protocol: TCP, l4, ..Tuple::default() },
            status: Status(Status::SEEN_REPLY | Status::ASSURED),
            timeout_seconds: Some(left),
            tcp: Some(TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 }),
            ..Entry::default()
        }
    }

    struct Scene {
        bases: Bases,
        sightings: Sightings,
        observations: Observations,
        identify: Identify,
    }

    impl Scene {
        fn new() -> Self {
            let bases = Bases::new(&TimeoutHistory::default(), &[], &[]);
            let (sightings, observations, identify) = Default::default();
            Scene { bases, sightings, observations, identify }
        }

        fn scan(&mut self, entry: &Entry, class: Class, up_seconds: u32, mode: IdleProof) -> Idle {
            self.observations.begin();
            let mut proofs = Proofs {
                bases: Some(&self.bases),
                mode,
                conntrackd: false,
                up_seconds,
                unix_seconds: 0,
                sightings: &self.sightings,
                observations: &mut self.observations,
            };
            let idle = proofs.idle(entry, class, self.identify.entry(entry));
            self.observations.end(true, up_seconds);
            idle
        }
    }

    #[test]
    fn nothing_is_idle_for_longer_than_the_host_is_up() {
        let mut scene = Scene::new();
        let idle = entry(424_000);
        assert_eq!(scene.scan(&idle, Class::Established, 10_000, IdleProof::Auto), Idle::Certain(7999));
        assert_eq!(scene.scan(&idle, Class::Established, 7000, IdleProof::Auto), Idle::Unknown);
    }

    #[test]
    fn another_writers_entry_is_proven_by_observation_alone() {
        let mut scene = Scene::new();
        let committed = entry(10_000);
        let event = Event { kind: EventKind::New, entry: committed, foreign: true };
        scene.sightings.event(&event, &scene.identify);
        assert_eq!(scene.scan(&committed, Class::Established, 1_000_000, IdleProof::Auto), Idle::Unknown);
        let later = entry(9900);
        assert_eq!(scene.scan(&later, Class::Established, 1_000_100, IdleProof::Auto), Idle::Certain(99));
        let destroyed = Event { kind: EventKind::Destroy, ..event };
        scene.sightings.event(&destroyed, &scene.identify);
        assert!(!scene.sightings.any_foreign());
    }

    #[test]
    fn an_entry_whose_birth_was_lost_may_be_another_writers_where_there_is_one() {
        let mut sightings = Sightings::default();
        sightings.unheard([1].into_iter());
        assert!(!sightings.foreign(1), "nobody else writes here");
        let event = Event { kind: EventKind::New, entry: entry(1), foreign: true };
        sightings.event(&event, &Identify::default());
        sightings.unheard([1].into_iter());
        assert!(sightings.foreign(1));
    }

    #[test]
    fn a_packet_between_two_scans_starts_the_observation_again() {
        let mut scene = Scene::new();
        let observed = IdleProof::Observed;
        assert_eq!(scene.scan(&entry(1000), Class::Established, 50, observed), Idle::Unknown);
        assert_eq!(scene.scan(&entry(980), Class::Established, 70, observed), Idle::Certain(19));
        assert_eq!(scene.scan(&entry(1000), Class::Established, 90, observed), Idle::Unknown);
        assert_eq!(scene.scan(&entry(990), Class::Established, 100, observed), Idle::Certain(9));
    }

    #[test]
    fn one_way_udp_that_was_renewed_never_counts_as_idle() {
        let mut scene = Scene::new();
        let mut one_way = entry(100);
        one_way.original.protocol = UDP;
        (one_way.status, one_way.tcp) = (Status::default(), None);
        let mut at = |left: u32, now: u32| {
            let entry = Entry { timeout_seconds: Some(left), ..one_way };
            scene.scan(&entry, Class::Unreplied, now, IdleProof::Auto)
        };
        assert_eq!(at(100, 1000), Idle::Unknown);
        assert_eq!(at(60, 1040), Idle::Certain(39));
        assert_eq!(at(170, 1050), Idle::Unknown);
        assert_eq!(at(100, 1120), Idle::Unknown);
    }

    #[test]
    fn a_fixed_timeout_runs_down_whatever_comes() {
        let mut scene = Scene::new();
        let fixed =
            |left| Entry { status: Status(Status::SEEN_REPLY | Status::FIXED_TIMEOUT), ..entry(left) };
        scene.scan(&fixed(1000), Class::Established, 50, IdleProof::Observed);
        assert_eq!(scene.scan(&fixed(900), Class::Established, 150, IdleProof::Observed), Idle::Unknown);
    }
}
