//! Every tracker and state, in any order of packets and sysctl changes: what had a packet is not idle.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::kernel_rules::{Packet, Segment, Shown, TCP, outcomes};
use crate::core::model::{
    Class, Entry, Features, ICMP, ICMPV6, IdleProof, L4, SCTP, Status, TcpInfo, TcpState, Timeout, Tuple, UDP,
};
use crate::core::state::{Bases, Identify, Idle, Observations, Proofs, Sightings, TimeoutHistory};

const PROTOCOLS: [u8; 6] = [TCP, UDP, ICMP, ICMPV6, SCTP, 253];
/// What the names of their timeouts begin with.
const PREFIXES: [&str; 6] = ["tcp_", "udp_", "icmp_", "icmpv6_", "sctp_", "generic_"];
const VALUES: [u32; 12] = [1, 5, 10, 30, 60, 119, 120, 300, 301, 600, 7440, 432_000];

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds pass.
    Wait(u64),
    /// A packet, and which of its outcomes comes of it by what number.
    Packet(Packet, usize, usize),
    /// A timeout of those that this flow can have, by number, is set to another value.
    Sysctl(usize, usize),
    /// The agent looks at the sysctls, as it does every second.
    Look,
    Scan(IdleProof),
}

struct Flow {
    shown: Option<Shown>,
    expiry_ms: u64,
    packet_ms: u64,
    packets: u64,
    id: u32,
}

struct World {
    protocol: u8,
    now_ms: u64,
    values: BTreeMap<Timeout, u32>,
    history: TimeoutHistory,
    looked_at: Option<u32>,
    flow: Flow,
    accounting: bool,
    identify: Identify,
    observations: Observations,
}

impl World {
    fn new(protocol: u8, accounting: bool) -> Self {
        let values = Timeout::all().map(|timeout| (timeout, timeout.spec().kernel_default_seconds)).collect();
        let mut world = World {
            protocol,
            now_ms: 2_000_000_000,
            values,
            history: TimeoutHistory::default(),
            looked_at: None,
            flow: Flow { shown: None, expiry_ms: 0, packet_ms: 0, packets: 0, id: 1 },
            accounting,
            identify: Identify::default(),
            observations: Observations::default(),
        };
        world.look();
        world
    }

    fn kind(&self) -> usize {
        PROTOCOLS.iter().position(|protocol| *protocol == self.protocol).expect("one of them")
    }

    fn up(&self) -> u32 {
        (self.now_ms / 1000) as u32
    }

    fn look(&mut self) {
        let since = self.looked_at.replace(self.up());
        self.history.saw(&self.values, since);
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Wait(ms) => self.now_ms += ms,
            Step::Packet(packet, outcome, timeout) => self.packet(packet, outcome, timeout),
            Step::Sysctl(timeout, value) => {
                // Each value is there for one look at least.
                self.look();
                let own = |timeout: &Timeout| timeout.name().starts_with(PREFIXES[self.kind()]);
                let all: Vec<Timeout> = self.values.keys().copied().filter(own).collect();
                self.values.insert(all[timeout % all.len()], VALUES[value]);
            }
            Step::Look => self.look(),
            Step::Scan(mode) => self.scan(mode)?,
        }
        if self.flow.expiry_ms <= self.now_ms {
            (self.flow.shown, self.flow.packets) = (None, 0);
        }
        Ok(())
    }

    fn packet(&mut self, packet: Packet, outcome: usize, timeout: usize) {
        let born = self.flow.shown.is_none();
        // What begins comes from the side that is the original one then.
        let packet = Packet { reply: packet.reply && !born, ..packet };
        let packet = Packet { segment: packet.segment.filter(|_| self.protocol == TCP), ..packet };
        let all = outcomes(self.protocol, self.flow.shown, packet);
        let Some(outcome) = all.get(outcome % all.len().max(1)) else { return };
        let name = outcome.timeouts[timeout % outcome.timeouts.len()];
        let base = u64::from(self.values[&Timeout::named(name).expect("a timeout")]);
        self.flow.id += u32::from(born);
        self.flow.packets += 1;
        self.flow.shown = Some(outcome.after);
        (self.flow.packet_ms, self.flow.expiry_ms) = (self.now_ms, self.now_ms + base * 1000);
    }

    fn entry(&self, shown: &Shown) -> Entry {
        let replied = if shown.replied { Status::SEEN_REPLY } else { 0 };
        let assured = if shown.assured { Status::ASSURED } else { 0 };
        let tcp = (self.protocol == TCP).then(|| TcpInfo {
            state: TcpState::from_kernel(shown.tcp_state),
            flags_original: 0,
            flags_reply: 0,
        });
        let l4 = L4::Ports { source: 1, destination: 2 };
        Entry {
            id: self.flow.id,
            original: Tuple { protocol: self.protocol, l4, ..Tuple::default() },
            status: Status(replied | assured),
            timeout_seconds: Some(((self.flow.expiry_ms - self.now_ms) / 1000) as u32),
            tcp,
            packets: self.accounting.then_some(self.flow.packets),
            ..Entry::default()
        }
    }

    fn scan(&mut self, mode: IdleProof) -> Result<(), TestCaseError> {
        self.look();
        let bases = Bases::new(&self.history, &[], &Features::default());
        self.observations.begin();
        if let Some(shown) = self.flow.shown.filter(|_| self.flow.expiry_ms > self.now_ms) {
            let entry = self.entry(&shown);
            let silent_ms = self.now_ms - self.flow.packet_ms;
            // The uptime of a sweep is up to a quarter of a second old.
            let up_seconds = ((self.now_ms - 250) / 1000) as u32;
            let mut proofs = Proofs {
                bases: Some(&bases),
                mode,
                conntrackd: false,
                unheard_until_seconds: None,
                flowtables: false,
                up_seconds,
                unix_seconds: 0,
                sightings: &Sightings::default(),
                observations: &mut self.observations,
            };
            let class = Class::of(&entry, &[]).unwrap_or(Class::Other);
            let idle = proofs.idle(&entry, class, self.identify.entry(&entry));
            let claims = match idle {
                Idle::Certain(seconds) => seconds,
                Idle::Unknown => 0,
            };
            prop_assert!(
                u64::from(claims) * 1000 <= silent_ms,
                "{mode:?}: {shown:?} is called idle for {claims} s, but a packet came {silent_ms} ms ago"
            );
        }
        self.observations.end(true, self.up());
        Ok(())
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    use Segment::*;
    let segment = prop::sample::select(vec![Syn, SynAck, Fin, Fin, Ack, Ack, Ack, Rst]);
    (any::<bool>(), segment).prop_map(|(reply, segment)| Packet { reply, segment: Some(segment) })
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop::sample::select(vec![IdleProof::Auto, IdleProof::Arithmetic, IdleProof::Observed]);
    prop_oneof![
        3 => prop_oneof![0..3000u64, 0..400_000u64, 0..20_000_000u64].prop_map(Step::Wait),
        6 => (packet(), any::<usize>(), any::<usize>()).prop_map(|(p, o, t)| Step::Packet(p, o, t)),
        1 => (any::<usize>(), 0..VALUES.len()).prop_map(|(timeout, value)| Step::Sysctl(timeout, value)),
        1 => Just(Step::Look),
        4 => mode.prop_map(Step::Scan),
    ]
}

/// A handshake first in half of the walks: few of random packets are one.
fn walk() -> impl Strategy<Value = Vec<Step>> {
    let segment = |reply, segment| Step::Packet(Packet { reply, segment: Some(segment) }, 0, 0);
    let opened =
        vec![segment(false, Segment::Syn), segment(true, Segment::SynAck), segment(false, Segment::Ack)];
    let begin = prop_oneof![Just(opened), Just(Vec::new())];
    (begin, prop::collection::vec(step(), 1..40)).prop_map(|(begin, rest)| [begin, rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_tracker_state_or_sysctl_history_makes_what_had_a_packet_idle(
        protocol in prop::sample::select(PROTOCOLS.to_vec()),
        accounting in any::<bool>(),
        walk in walk(),
    ) {
        let mut world = World::new(protocol, accounting);
        for step in &walk {
            world.step(step)?;
        }
    }
}
