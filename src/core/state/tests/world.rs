//! What the kernel, other writers and the agent do to time left, in a model.

use proptest::prelude::*;

use crate::core::model::{
    Class, Entry, Event, EventKind, Features, IdleProof, L4, Status, TCP, TcpInfo, TcpState, Timeout,
    TimeoutPolicy, Tuple, UDP,
};
use crate::core::state::{Bases, Identify, Idle, Observations, Proofs, Sightings, TimeoutHistory};

pub(super) const FLOWS: usize = 4;
/// `nf_flowtable_tcp_timeout`.
const FLOWTABLE_SECONDS: u64 = 30;
const POLICY_SECONDS: u32 = 3600;

fn named(name: &str) -> Timeout {
    Timeout::named(name).unwrap()
}

/// What the sysctls that matter here can be set to.
pub(super) const VALUES: [u32; 6] = [432_000, 86_400, 7440, 600, 305, 120];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Tcp,
    TcpUnderPolicy,
    UdpReplied,
    UdpOneWay,
}

const KINDS: [Kind; FLOWS] = [Kind::Tcp, Kind::TcpUnderPolicy, Kind::UdpReplied, Kind::UdpOneWay];

#[derive(Clone, Copy, Debug)]
struct Flow {
    kind: Kind,
    id: u32,
    expiry_ms: u64,
    last_packet_ms: u64,
    packets: u64,
    offloaded: bool,
    fixed: bool,
}

/// What a packet leaves behind it.
#[derive(Clone, Copy, Debug)]
pub(super) enum After {
    /// Nothing: the state's own timeout.
    Quiet,
    /// Data in flight, a zero window.
    Unanswered,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Wait(u64),
    Packet(usize, After),
    /// A packet at the very moment at which a base gives the same expiry as before.
    Coincidence(usize, u8),
    /// The sysctl of established or of the UDP stream.
    Sysctl(bool, usize),
    /// Another writer makes the entry anew, with whatever time left (conntrackd, `conntrack -I`).
    Foreign(usize, u64),
    /// conntrackd comes, sets a time left without an event, and goes.
    Conntrackd(usize, u64, bool),
    /// Another writer sets a time left that is little of the base, and nobody hears it; then the agent comes.
    Unheard(usize, u32),
    /// Counters are read and zeroed.
    Zeroed,
    /// Into the flowtable, with a day left or with what it had.
    Offload(usize, bool),
    /// Back from the flowtable, `flow_offload_fixup_ct`.
    Return(usize),
    Fixed(usize),
    Restart,
    Scan(IdleProof, bool),
}

pub(super) struct World {
    now_ms: u64,
    established: u32,
    stream: u32,
    flows: [Flow; FLOWS],
    accounting: bool,
    /// There is a timeout policy, which the agent lists.
    policies: bool,
    /// There is a flowtable, which the agent lists.
    flowtables: bool,
    conntrackd: bool,
    // What the agent knows.
    identify: Identify,
    history: TimeoutHistory,
    looked_at: Option<u32>,
    sightings: Sightings,
    observations: Observations,
    unheard_until: Option<u32>,
    foreign_ever: bool,
    /// Somebody wrote unheard.
    written: bool,
    zeroed: bool,
    /// The expiries that scans have seen.
    scanned: [Vec<u64>; FLOWS],
}

impl World {
    pub(super) fn new([accounting, policies, flowtables]: [bool; 3], room: usize) -> Self {
        let now_ms = 2_000_000_000;
        let of = |(n, kind): (usize, &Kind)| Flow {
            kind: *kind,
            id: n as u32 + 1,
            expiry_ms: now_ms + 30_000,
            last_packet_ms: now_ms,
            packets: 1,
            offloaded: false,
            fixed: false,
        };
        let flows: Vec<Flow> = KINDS.iter().enumerate().map(of).collect();
        let mut world = World {
            now_ms,
            established: 432_000,
            stream: 120,
            flows: flows.try_into().unwrap(),
            accounting,
            policies,
            flowtables,
            conntrackd: false,
            identify: Identify::default(),
            history: TimeoutHistory::default(),
            looked_at: None,
            sightings: Sightings::default(),
            observations: Observations::bounded(room),
            unheard_until: None,
            foreign_ever: false,
            written: false,
            zeroed: false,
            scanned: Default::default(),
        };
        (0..FLOWS).for_each(|n| world.packet(n, After::Quiet));
        world.look();
        world
    }

    fn up(&self) -> u32 {
        (self.now_ms / 1000) as u32
    }

    /// As `Gauge::look_at_timeouts`.
    fn look(&mut self) {
        let values = [
            (named("tcp_timeout_established"), self.established),
            (named("udp_timeout_stream"), self.stream),
        ];
        let since = self.looked_at.replace(self.up());
        self.history.saw(&values.into(), since);
    }

    fn features(&self) -> Features {
        Features {
            flowtable_tcp_seconds: vec![FLOWTABLE_SECONDS as u32],
            flowtable_udp_seconds: vec![FLOWTABLE_SECONDS as u32],
            flowtables_possible: self.flowtables,
            ..Features::default()
        }
    }

    fn base_seconds(&self, n: usize, after: After) -> u32 {
        match (self.flows[n].kind, after) {
            (Kind::UdpReplied, _) => self.stream,
            (Kind::UdpOneWay, _) => 30,
            (_, After::Unanswered) => 300,
            (Kind::TcpUnderPolicy, _) if self.policies => POLICY_SECONDS,
            _ => self.established,
        }
    }

    /// A packet that conntrack sees, or one that a flowtable takes past it.
    fn packet(&mut self, n: usize, after: After) {
        let (base, accounting) = (u64::from(self.base_seconds(n, after)), self.accounting);
        let (now, flow) = (self.now_ms, &mut self.flows[n]);
        flow.last_packet_ms = now;
        if flow.offloaded {
            return;
        }
        flow.packets += u64::from(accounting);
        if !flow.fixed {
            flow.expiry_ms = now + base * 1000;
        }
    }

    /// An entry that expires is made anew by its next packet.
    fn reborn(&mut self) {
        let now = self.now_ms;
        for n in 0..FLOWS {
            if self.flows[n].expiry_ms <= now {
                let flow = &mut self.flows[n];
                (flow.id, flow.offloaded, flow.fixed) = (flow.id + 100, false, false);
                self.packet(n, After::Quiet);
            }
        }
    }

    fn entry(&self, n: usize) -> Entry {
        let flow = &self.flows[n];
        let l4 = L4::Ports { source: n as u16, destination: 443 };
        let tcp = matches!(flow.kind, Kind::Tcp | Kind::TcpUnderPolicy);
        let answered = if flow.kind == Kind::UdpOneWay { 0 } else { Status::SEEN_REPLY | Status::ASSURED };
        let offloaded = if flow.offloaded { Status::OFFLOAD } else { 0 };
        let fixed = if flow.fixed { Status::FIXED_TIMEOUT } else { 0 };
        let info = TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 };
        let left = (flow.expiry_ms.saturating_sub(self.now_ms) / 1000) as u32;
        Entry {
            id: flow.id,
            original: Tuple { protocol: if tcp { TCP } else { UDP }, l4, ..Tuple::default() },
            status: Status(answered | offloaded | fixed),
            timeout_seconds: (!flow.offloaded).then_some(left),
            tcp: tcp.then_some(info),
            packets: self.accounting.then_some(flow.packets),
            ..Entry::default()
        }
    }

    pub(super) fn act(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Wait(ms) => self.now_ms += ms,
            Op::Packet(n, after) => self.packet(n, after),
            Op::Coincidence(n, which) => {
                let after = if which.is_multiple_of(2) { After::Unanswered } else { After::Quiet };
                let base = u64::from(self.base_seconds(n, after)) * 1000;
                let moment = self.flows[n].expiry_ms.saturating_sub(base) + u64::from(which) * 10;
                if moment > self.now_ms && moment < self.now_ms + 10_000_000 {
                    self.now_ms = moment;
                    self.packet(n, after);
                }
            }
            Op::Sysctl(stream, value) => {
                // A value is there for one look at least; and packets come between a change and the look.
                self.look();
                // Which base was little of before this is forgotten by an agent that starts anew.
                self.foreign_ever |= self.written;
                let value = VALUES[value];
                if stream { self.stream = value } else { self.established = value }
            }
            Op::Foreign(n, left_ms) => {
                let flow = &mut self.flows[n];
                (flow.id, flow.offloaded, flow.fixed) = (flow.id + 100, false, false);
                // Made in the middle of a connection that another gateway has carried so far.
                (flow.expiry_ms, flow.last_packet_ms) = (self.now_ms + left_ms, self.now_ms);
                let event = Event { kind: EventKind::New, entry: self.entry(n), foreign: true };
                self.sightings.event(&event, &self.identify);
                self.foreign_ever = true;
            }
            // A writer that by chance sets the very expiry that a scan has seen cannot be told from silence.
            Op::Conntrackd(n, left_ms, _)
                if self.scanned[n].iter().any(|ms| ms.abs_diff(self.now_ms + left_ms) < 5000) => {}
            Op::Conntrackd(n, left_ms, stays) => {
                self.conntrackd = true;
                self.flows[n].expiry_ms = self.now_ms + left_ms;
                // As `Gauge::note_conntrackd`, which looks every second and at every scan.
                self.unheard_until = Some(self.up() + 1);
                self.conntrackd = stays;
            }
            // Where both an expiry that packets do not move and counters that somebody zeroes are all there is, nothing
            // tells: such entries are protected whatever is proven.
            Op::Zeroed if self.flows.iter().any(|flow| flow.fixed) => {}
            Op::Zeroed => {
                self.zeroed = true;
                self.flows.iter_mut().for_each(|flow| flow.packets = 0);
            }
            Op::Fixed(_) if self.zeroed => {}
            Op::Offload(n, day) => {
                // By a packet that conntrack still sees (`nft_flow_offload_eval`).
                if self.flowtables && self.flows[n].kind != Kind::UdpOneWay {
                    self.packet(n, After::Quiet);
                    self.flows[n].offloaded = true;
                    if day {
                        // `nf_ct_refresh(flow->ct, NF_CT_DAY)` since 6.12; before, what it had is left to it.
                        self.flows[n].expiry_ms = self.now_ms + 86_400_000;
                    }
                    self.sightings.saw_offloaded();
                }
            }
            Op::Return(n) if self.flows[n].offloaded => {
                let highest =
                    u64::from(self.base_seconds(n, After::Quiet)).saturating_sub(FLOWTABLE_SECONDS) * 1000;
                let flow = &mut self.flows[n];
                flow.offloaded = false;
                flow.expiry_ms = flow.expiry_ms.min(self.now_ms + highest);
            }
            Op::Return(_) => {}
            Op::Fixed(n) => self.flows[n].fixed = true,
            // What other writers made before the agent came cannot be told from anything else.
            Op::Restart if self.foreign_ever => {}
            Op::Restart => self.restart(),
            // More than that, or a while after the agent came, cannot be told either.
            Op::Unheard(..) if self.foreign_ever => {}
            Op::Unheard(n, left) => {
                self.look();
                if u64::from(left) * 16 <= u64::from(self.least_base(n, left)) {
                    self.packet(n, After::Quiet);
                    self.flows[n].expiry_ms = self.now_ms + u64::from(left) * 1000;
                    self.restart();
                    self.written = true;
                }
            }
            Op::Scan(mode, whole) => self.scan(mode, whole)?,
        }
        self.reborn();
        Ok(())
    }

    fn restart(&mut self) {
        let known: Vec<(Timeout, u32)> = self.history.all().collect();
        (self.history, self.looked_at) = (TimeoutHistory::default(), None);
        known.into_iter().for_each(|(timeout, seconds)| self.history.saw_one(timeout, seconds, None));
        let offloading = self.sightings.offloading();
        self.sightings = Sightings::default();
        if offloading {
            self.sightings.saw_offloaded();
        }
        self.observations = Observations::bounded(3);
        self.look();
    }

    /// The least of what may have been the base of so much time left; 0 where none was.
    fn least_base(&self, n: usize, left: u32) -> u32 {
        let (sysctls, more): (&[&str], &[u32]) = match self.flows[n].kind {
            Kind::Tcp | Kind::TcpUnderPolicy => (&["tcp_timeout_established"], &[300, 10]),
            Kind::UdpReplied => (&["udp_timeout_stream"], &[]),
            Kind::UdpOneWay => (&["udp_timeout"], &[]),
        };
        let seen = self.history.all().filter(|(timeout, _)| sysctls.contains(&timeout.name()));
        let mut bases: Vec<u32> = seen.map(|(_, seconds)| seconds).chain(more.iter().copied()).collect();
        let after: Vec<u32> =
            bases.iter().map(|base| base.saturating_sub(FLOWTABLE_SECONDS as u32)).collect();
        bases.extend(after);
        bases.extend((self.policies && sysctls[0].starts_with("tcp")).then_some(POLICY_SECONDS));
        let least = bases.into_iter().filter(|base| *base >= left).min().unwrap_or(0);
        least.min(3600 * 16)
    }

    fn scan(&mut self, mode: IdleProof, whole: bool) -> Result<(), TestCaseError> {
        self.look();
        if self.conntrackd {
            self.unheard_until = Some(self.up() + 1);
        }
        let policy = self.policies.then(|| TimeoutPolicy { protocol: TCP, seconds: vec![POLICY_SECONDS] });
        let bases = Bases::new(&self.history, policy.as_slice(), &self.features());
        // The uptime of a sweep is up to a quarter of a second old.
        let up_seconds = ((self.now_ms - 250) / 1000) as u32;
        self.observations.begin();
        for n in (0..FLOWS).filter(|n| whole || n % 2 == 0) {
            let entry = self.entry(n);
            self.scanned[n].push(self.flows[n].expiry_ms);
            let class = Class::of(&entry, &[]).expect("a class");
            let mut proofs = Proofs {
                bases: Some(&bases),
                mode,
                conntrackd: self.conntrackd,
                unheard_until_seconds: self.unheard_until,
                flowtables: self.flowtables,
                up_seconds,
                unix_seconds: 0,
                sightings: &self.sightings,
                observations: &mut self.observations,
            };
            let idle = proofs.idle(&entry, class, self.identify.entry(&entry));
            if let Idle::Certain(seconds) = idle {
                let silent_ms = self.now_ms - self.flows[n].last_packet_ms;
                prop_assert!(
                    u64::from(seconds) * 1000 <= silent_ms,
                    "{mode:?}: {:?} is called idle for {seconds} s, but a packet came {silent_ms} ms ago",
                    self.flows[n]
                );
            }
        }
        self.observations.end(whole, self.up());
        Ok(())
    }

    /// What is said of the first flow now.
    pub(super) fn claims(&mut self, mode: IdleProof) -> Option<u32> {
        let bases = Bases::new(&self.history, &[], &Features::default());
        let entry = self.entry(0);
        let mut proofs = Proofs {
            bases: Some(&bases),
            mode,
            conntrackd: self.conntrackd,
            unheard_until_seconds: self.unheard_until,
            flowtables: self.flowtables,
            up_seconds: self.up(),
            unix_seconds: 0,
            sightings: &self.sightings,
            observations: &mut self.observations,
        };
        match proofs.idle(&entry, Class::Established, self.identify.entry(&entry)) {
            Idle::Certain(seconds) => Some(seconds),
            Idle::Unknown => None,
        }
    }
}
