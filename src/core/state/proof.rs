//! Proofs of idleness. What is not idle for certain is live.

use super::bases::{Bases, Least};
use super::chance::Waiting;
use super::observations::{Observations, Sight};
use super::sightings::Sightings;
use crate::core::model::{Class, Entry, GRE, IdleProof, Status, TCP, TcpState, UDP, Unproven};

/// Certain idleness of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// It has been idle for at least these seconds.
    Certain(u32),
    /// Nobody knows: it counts as live.
    Unknown,
}

/// Everything that a scan needs to tell how long an entry has been idle.
#[derive(Debug)]
pub struct Proofs<'a> {
    /// Candidate bases; `None` while they cannot be known (timeout policies cannot be listed).
    pub bases: Option<&'a Bases>,
    /// Proofs that the operator accepts.
    pub mode: IdleProof,
    /// conntrackd runs in the namespace: any entry may be its.
    pub conntrackd: bool,
    /// Until when writers or timeout policies were at work that no event told of, in seconds since the host came up.
    pub unheard_until_seconds: Option<u32>,
    /// Flowtables are in use, or were: what comes out of one looks idle for as long as it was in it, or longer.
    pub flowtables: bool,
    /// For how long the host has been up: nothing has been idle for longer.
    pub up_seconds: u32,
    /// Now, in seconds of the Unix epoch, to hold against `CTA_TIMESTAMP`.
    pub unix_seconds: u64,
    /// Of the event stream.
    pub sightings: &'a Sightings,
    /// Of earlier scans.
    pub observations: &'a mut Observations,
}

/// Idleness of an entry as arithmetic tells it.
#[derive(Clone, Copy)]
struct Arithmetic {
    /// Seconds for which it has been idle for certain, if for any.
    certain: Option<u32>,
    /// `certain` is its idleness to the second.
    exact: bool,
    /// Seconds for which it has been idle by the timeouts that are known, where that is more than what is certain.
    presumed: Option<u32>,
}

/// Knowledge of an entry's idleness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The least that it can be.
    pub idle: Idle,
    /// That is exact, within a second.
    pub exact: bool,
    /// Seconds by the timeouts that are known, where that reaches back before the first look at them and so is more
    /// than what is certain.
    pub presumed: Option<u32>,
    /// Reason for which no more is certain; `None` where nothing else is known to be in the way.
    pub unproven: Option<Unproven>,
}

impl Proofs<'_> {
    /// Proves the idleness of an entry of a class.
    pub fn idle(&mut self, entry: &Entry, class: Class, fingerprint: u64) -> Idle {
        self.prove(entry, Some(class), fingerprint).idle
    }

    /// Proves the idleness of an entry, and says what is known beside that. An entry of no class is never given up
    /// and not observed: arithmetic alone tells of it.
    pub fn prove(&mut self, entry: &Entry, class: Option<Class>, fingerprint: u64) -> Proof {
        let Some(of_class) = class else { return Proof::of(self.arithmetic(entry, class, fingerprint)) };
        if let Some(waiting) =
            self.observations.chances.see(fingerprint, entry.timeout_seconds, self.up_seconds)
        {
            return self.in_grace(entry, waiting);
        }
        let by_arithmetic = Proof::of(self.arithmetic(entry, class, fingerprint));
        // One-way flows of other protocols than TCP may live for ever without an answer (syslog, RTP): only
        // observation tells a dead one from one that speaks seldom.
        let one_way = of_class == Class::Unreplied && entry.original.protocol != TCP;
        let observe = one_way
            || match self.mode {
                IdleProof::Auto => by_arithmetic.idle == Idle::Unknown,
                IdleProof::Arithmetic => false,
                IdleProof::Observed => true,
            };
        if !observe {
            return by_arithmetic;
        }
        let idle = self.observed(entry, fingerprint, one_way);
        let why = if one_way { Some(Unproven::OneWay) } else { by_arithmetic.unproven };
        let unproven = if idle == Idle::Unknown { why } else { None };
        Proof { idle, exact: false, unproven, ..by_arithmetic }
    }

    fn observed(&mut self, entry: &Entry, fingerprint: u64, one_way: bool) -> Idle {
        let by_bases = self.bases.and_then(|bases| bases.least_idle_seconds(entry, self.up_seconds));
        // Packets that bypass conntrack move neither expiry nor, without `counter`, counters. And a flow that goes into
        // a flowtable in the seconds after a packet keeps its expiry, within what can be told apart.
        let offloaded = entry.status.any(Status::OFFLOAD | Status::HW_OFFLOAD);
        let enters = |idle: u32| idle < Observations::SLACK_SECONDS && self.may_return_stale(entry);
        let left = entry.timeout_seconds.filter(|_| !offloaded && !by_bases.is_some_and(enters));
        let Some(left) = left else {
            self.observations.forget(fingerprint);
            return Idle::Unknown;
        };
        let fixed = entry.status.any(Status::FIXED_TIMEOUT);
        let sight = Sight { left, packets: entry.packets, fixed, one_way, now: self.up_seconds };
        let Some(seen) = self.observations.see(fingerprint, sight) else { return Idle::Unknown };
        if seen.silent_seconds == 0 || (one_way && seen.renewed) {
            return Idle::Unknown;
        }
        // A packet that sets another base may by chance leave the same expiry, and counters may have been zeroed in
        // between (`IPCTNL_MSG_CT_GET_CTRZERO`): no more silence than any base allows is certain.
        match seen.silent_seconds.min(by_bases.unwrap_or(u32::MAX)) {
            0 => Idle::Unknown,
            seconds => Idle::Certain(seconds),
        }
    }

    /// An entry with the expiry that its second chance gave it. Arithmetic would take what this agent wrote for
    /// silence of days, and nothing else does: it is silent, unless a packet since then could have set this very
    /// expiry too, by a base as short as what is left of the grace (300 s of data in flight within a grace of 400).
    fn in_grace(&self, entry: &Entry, waiting: Waiting) -> Proof {
        let least = self.bases.map(|bases| bases.least(entry, self.up_seconds));
        let (idle, unproven) = match least {
            Some(Ok(Least { idle_seconds: least, .. })) if least < waiting.given_seconds => {
                (Idle::Certain(least), None)
            }
            Some(Ok(_)) => (Idle::Certain(waiting.idle_seconds), None),
            Some(Err(why)) => (Idle::Unknown, Some(why)),
            None => (Idle::Unknown, Some(Unproven::Policies)),
        };
        // The idleness that the second chance was given for was itself the least that is certain.
        Proof { idle, exact: false, presumed: None, unproven }
    }

    fn arithmetic(
        &self,
        entry: &Entry,
        class: Option<Class>,
        fingerprint: u64,
    ) -> Result<Arithmetic, Unproven> {
        let bases = self.bases.ok_or(Unproven::Policies)?;
        if self.mode == IdleProof::Observed {
            return Err(Unproven::ByObservation);
        }
        if self.conntrackd {
            return Err(Unproven::Conntrackd);
        }
        if self.sightings.foreign(fingerprint) {
            return Err(Unproven::Foreign);
        }
        if self.may_return_stale(entry) {
            return Err(Unproven::Flowtable);
        }
        let least = bases.least(entry, self.up_seconds)?;
        if may_live(class) && least.little_is_left(entry) {
            return Err(Unproven::LittleLeft);
        }
        // A time that an unheard writer wrote has been without a packet since then at the least.
        let since_unheard = self.unheard_until_seconds.map(|until| self.up_seconds.saturating_sub(until));
        let idle = least.idle_seconds.min(since_unheard.unwrap_or(u32::MAX));
        let age = entry.started_unix_seconds.map(|start| self.unix_seconds.saturating_sub(start));
        let possible = u64::from(idle) <= age.unwrap_or(u64::MAX) && idle <= self.up_seconds;
        if !possible {
            return Err(Unproven::TooYoung);
        }
        Ok(self.since_first_look(entry, class, idle, least.alone && idle == least.idle_seconds))
    }

    /// Bounds the silence that is certain where a base that nobody saw may have been in force before the first look:
    /// it reaches back no further, for a packet since then would have set a base that is known.
    fn since_first_look(&self, entry: &Entry, class: Option<Class>, idle: u32, exact: bool) -> Arithmetic {
        let known = Arithmetic { certain: Some(idle), exact, presumed: None };
        // An entry that never had an answer or has ended by a RST has nothing to lose; a server may speak on in
        // TIME_WAIT.
        let time_wait = entry.tcp.is_some_and(|tcp| tcp.state == TcpState::TimeWait);
        let lives = may_live(class);
        let bases = self.bases.filter(|_| lives || time_wait);
        let Some(first) = bases.and_then(|bases| bases.doubtful_before(entry, idle, lives)) else {
            return known;
        };
        // Both are cut to whole seconds, and the clock is read a little before the entry.
        let since = self.up_seconds.saturating_sub(first).saturating_sub(Observations::SLACK_SECONDS);
        match since < idle {
            true => {
                let certain = Some(since).filter(|since| *since > 0);
                Arithmetic { certain, exact: false, presumed: Some(idle) }
            }
            false => known,
        }
    }

    /// A flow that leaves a flowtable comes back with a day less its stay, or on kernels before 6.12 with what it went
    /// in with less its stay where that was more than half a day: `flow_offload_fixup_ct` only ever lowers it, and
    /// nothing of it says when the last packet came. Closing connections are past that.
    fn may_return_stale(&self, entry: &Entry) -> bool {
        let flowtables = self.flowtables || self.sightings.offloading();
        flowtables
            && match entry.original.protocol {
                TCP => entry.tcp.is_some_and(|tcp| tcp.state == TcpState::Established),
                UDP | GRE => entry.status.seen_reply(),
                _ => false,
            }
    }
}

/// True for classes whose time left may be another writer's, of before the agent or unheard: an entry that was born
/// with `nf_conntrack_events` 2 and no listener makes no event when it is updated, and what a writer did before the
/// agent came nobody tells. The age of an entry is not asked: that would take a set of all the others, and what is
/// younger loses as little. What is closed, or never had an answer, has nothing to lose.
fn may_live(class: Option<Class>) -> bool {
    !matches!(class, Some(Class::Closed | Class::Unreplied))
}

impl Proof {
    fn of(arithmetic: Result<Arithmetic, Unproven>) -> Proof {
        match arithmetic {
            Ok(Arithmetic { certain, exact, presumed }) => Proof {
                idle: certain.map_or(Idle::Unknown, Idle::Certain),
                exact,
                presumed,
                unproven: presumed.map(|_| Unproven::FirstLook),
            },
            Err(why) => Proof { idle: Idle::Unknown, exact: false, presumed: None, unproven: Some(why) },
        }
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
