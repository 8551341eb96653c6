//! Proofs of idleness. What is not idle for certain is live.

use super::bases::Bases;
use super::chance::Waiting;
use super::observations::{Observations, Sight};
use super::sightings::Sightings;
use crate::model::{Class, Entry, GRE, IdleProof, Status, TCP, TcpState, UDP};

/// How long an entry has been idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// At least so many seconds, for certain.
    Certain(u32),
    /// Nobody knows: it counts as live.
    Unknown,
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

/// What arithmetic says of an entry.
#[derive(Clone, Copy)]
struct Arithmetic {
    /// Idle for so many seconds for certain, if for any.
    certain: Option<u32>,
    /// Idle for so many seconds by the timeouts that are known, where that is more than what is certain.
    presumed: Option<u32>,
}

impl Proofs<'_> {
    /// How long an entry has been idle.
    pub fn idle(&mut self, entry: &Entry, class: Class, fingerprint: u64) -> Idle {
        self.idle_and_presumed(entry, class, fingerprint).0
    }

    /// How long an entry has been idle for certain, and for how many seconds it has been so by the timeouts that are
    /// known, where that reaches back before the first look at them and so is more than what is certain.
    pub fn idle_and_presumed(
        &mut self,
        entry: &Entry,
        class: Class,
        fingerprint: u64,
    ) -> (Idle, Option<u32>) {
        if let Some(waiting) =
            self.observations.chances.see(fingerprint, entry.timeout_seconds, self.up_seconds)
        {
            return (self.in_grace(entry, waiting), None);
        }
        let arithmetic = self.arithmetic(entry, class, fingerprint);
        let presumed = arithmetic.and_then(|found| found.presumed);
        let arithmetic = arithmetic.and_then(|found| found.certain);
        // One-way flows of other protocols than TCP may live for ever without an answer (syslog, RTP): only
        // observation tells a dead one from one that speaks seldom.
        let one_way = class == Class::Unreplied && entry.original.protocol != TCP;
        let observe = one_way
            || match self.mode {
                IdleProof::Auto => arithmetic.is_none(),
                IdleProof::Arithmetic => false,
                IdleProof::Observed => true,
            };
        let idle = match observe {
            true => self.observed(entry, fingerprint, one_way),
            false => arithmetic.map_or(Idle::Unknown, Idle::Certain),
        };
        (idle, presumed)
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
    fn in_grace(&self, entry: &Entry, waiting: Waiting) -> Idle {
        let least = self.bases.and_then(|bases| bases.least_idle_seconds(entry, self.up_seconds));
        match least {
            Some(least) if least >= waiting.given_seconds => Idle::Certain(waiting.idle_seconds),
            Some(least) => Idle::Certain(least),
            None => Idle::Unknown,
        }
    }

    fn arithmetic(&self, entry: &Entry, class: Class, fingerprint: u64) -> Option<Arithmetic> {
        let bases = self.bases?;
        if self.mode == IdleProof::Observed
            || self.conntrackd
            || self.sightings.foreign(fingerprint)
            || self.may_return_stale(entry)
            || (may_live(class) && bases.little_is_left(entry, self.up_seconds))
        {
            return None;
        }
        let idle = bases.least_idle_seconds(entry, self.up_seconds)?;
        // What an unheard writer wrote has been without a packet since then at the least.
        let since_unheard = self.unheard_until_seconds.map(|until| self.up_seconds.saturating_sub(until));
        let idle = idle.min(since_unheard.unwrap_or(u32::MAX));
        let age = entry.started_unix_seconds.map(|start| self.unix_seconds.saturating_sub(start));
        let possible = u64::from(idle) <= age.unwrap_or(u64::MAX) && idle <= self.up_seconds;
        possible.then(|| self.since_first_look(entry, class, idle))
    }

    /// Where a base that nobody saw may have been in force before the first look, no more silence is certain than has
    /// passed since: a packet since then would have set a base that is known.
    fn since_first_look(&self, entry: &Entry, class: Class, idle: u32) -> Arithmetic {
        let known = Arithmetic { certain: Some(idle), presumed: None };
        // What never had an answer or has ended by a RST has nothing to lose; a server may speak on in TIME_WAIT.
        let time_wait = entry.tcp.is_some_and(|tcp| tcp.state == TcpState::TimeWait);
        let lives = may_live(class);
        let bases = self.bases.filter(|_| lives || time_wait);
        let Some(first) = bases.and_then(|bases| bases.doubtful_before(entry, idle, lives)) else {
            return known;
        };
        // Both are cut to whole seconds, and the clock is read a little before the entry.
        let since = self.up_seconds.saturating_sub(first).saturating_sub(Observations::SLACK_SECONDS);
        match since < idle {
            true => Arithmetic { certain: Some(since).filter(|since| *since > 0), presumed: Some(idle) },
            false => known,
        }
    }

    /// A flow that leaves a flowtable comes back with a day less its stay, or on kernels before 6.12 with what it went in
    /// with less its stay where that was more than half a day: `flow_offload_fixup_ct` only ever lowers it, and nothing
    /// of it says when the last packet came. Closing connections are past that.
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

/// Whose time left may be another writer's, of before the agent or unheard: an entry that was born with
/// `nf_conntrack_events` 2 and no listener makes no event when it is updated, and what a writer did before the agent
/// came nobody tells. Which entries are so old is not asked: it would take a set of all the others, and what is younger
/// loses as little. What is closed, or never had an answer, has nothing to lose.
fn may_live(class: Class) -> bool {
    !matches!(class, Class::Closed | Class::Unreplied)
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
