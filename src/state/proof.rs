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

impl Proofs<'_> {
    /// How long an entry has been idle.
    pub fn idle(&mut self, entry: &Entry, class: Class, fingerprint: u64) -> Idle {
        if let Some(waiting) =
            self.observations.chances.see(fingerprint, entry.timeout_seconds, self.up_seconds)
        {
            return self.in_grace(entry, waiting);
        }
        let arithmetic = self.arithmetic(entry, class, fingerprint);
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
        self.observed(entry, fingerprint, one_way)
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

    fn arithmetic(&self, entry: &Entry, class: Class, fingerprint: u64) -> Option<u32> {
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
        possible.then_some(idle)
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
mod tests {
    use super::*;
    use crate::model::{Event, EventKind, Features, L4, TcpInfo, Tuple};
    use crate::state::{Identify, TimeoutHistory};

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
            let bases = Bases::new(&TimeoutHistory::default(), &[], &Features::default());
            let (sightings, observations, identify) = Default::default();
            Scene { bases, sightings, observations, identify }
        }

        fn scan(&mut self, entry: &Entry, class: Class, up_seconds: u32, mode: IdleProof) -> Idle {
            self.observations.begin();
            let mut proofs = Proofs {
                bases: Some(&self.bases),
                mode,
                conntrackd: false,
                unheard_until_seconds: None,
                flowtables: false,
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
        assert_eq!(scene.scan(&later, Class::Established, 1_000_100, IdleProof::Auto), Idle::Certain(95));
        let destroyed = Event { kind: EventKind::Destroy, ..event };
        scene.sightings.event(&destroyed, &scene.identify);
        assert!(!scene.sightings.any_foreign());
    }

    #[test]
    fn where_little_is_left_another_may_have_written_it_before_the_agent_came() {
        for mode in [IdleProof::Auto, IdleProof::Arithmetic] {
            let mut scene = Scene::new();
            let mut of = |left, class| scene.scan(&entry(left), class, 1_000_000, mode);
            assert_eq!(of(600, Class::Established), Idle::Unknown, "{mode:?}");
            assert_eq!(of(3601, Class::Established), Idle::Certain(428_398), "{mode:?}");
            let mut closed = entry(2);
            closed.tcp = Some(TcpInfo { state: TcpState::TimeWait, flags_original: 0, flags_reply: 0 });
            let idle =
                scene.scan(&Entry { timeout_seconds: Some(5), ..closed }, Class::Closed, 1_000_000, mode);
            assert_eq!(idle, Idle::Certain(4), "{mode:?}: of the 10 s after a RST");
            let idle =
                scene.scan(&Entry { timeout_seconds: Some(11), ..closed }, Class::Closed, 1_000_000, mode);
            assert_eq!(idle, Idle::Certain(108), "{mode:?}");
        }
        let mut scene = Scene::new();
        let mut of = |left, up| scene.scan(&entry(left), Class::Established, up, IdleProof::Auto);
        assert_eq!(of(600, 1_000_000), Idle::Unknown);
        assert_eq!(of(500, 1_000_100), Idle::Certain(95), "observed");
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
        assert_eq!(scene.scan(&entry(980), Class::Established, 70, observed), Idle::Certain(15));
        assert_eq!(scene.scan(&entry(1000), Class::Established, 90, observed), Idle::Unknown);
        assert_eq!(scene.scan(&entry(990), Class::Established, 100, observed), Idle::Certain(5));
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
        assert_eq!(at(60, 1040), Idle::Certain(35));
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
