//! Proofs of idleness against the running kernel: random packets through a gateway, and after each what a dump shows.
//!
//! What the kernel counted as a packet of a flow (`nf_conntrack_acct`) was one: no proof may call the flow idle for
//! longer than since it was sent. And the entry has the state and one of the timeouts that the model of the unit tests
//! knows.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ctctl::core::model::{Class, Entry, Features, IdleProof, Status, Timeout};
use ctctl::core::state::{Bases, Identify, Idle, Observations, Proofs, Sightings, TimeoutHistory};
use ctctl::linux::clock;
use ctctl::linux::socket::Netlink;
use ctctl::linux::table;

use crate::harness::frames::{self, Port};
use crate::harness::packets::mac;
use crate::harness::tool::must;
use crate::harness::topology::{CLIENT4, Topology};
use crate::harness::wait;
use crate::kernel_rules::{Outcome, Packet, Segment, Shown, TCP, UDP, outcomes};
use crate::{Test, test};

pub const TESTS: &[Test] =
    &[test("proofs::what_had_a_packet_is_idle_by_no_proof_whatever_random_packets_do", random_packets)];

const FLOWS: u32 = 2400;
const ROUNDS: u32 = 28;
/// So much is added to the uptime: nothing is called idle for longer than the host is up.
const AGED_SECONDS: u32 = 1_000_000;
const SEED: u64 = 0x5eed_0013;

const SERVER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x192, 0, 0, 0, 0, 0, 0x100);
const CLIENT6: &str = "fd00:77::2";

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const GRE: u8 = 47;
const NO_TRACKER: u8 = 253;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// xorshift64*: the same walk from the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// What one flow's ends have sent, and what was seen of its entry last.
struct Flow {
    n: u32,
    protocol: u8,
    v6: bool,
    begun: u32,
    /// Next sequence number of each side.
    next: [u32; 2],
    /// The packet sent last, to be sent again: from the reply's side, and its bytes.
    last: Option<(Packet, Vec<u8>)>,
    /// In this round.
    sent: Option<Packet>,
    seen: Option<Seen>,
}

/// An entry as the last dump had it.
#[derive(Clone, Copy)]
struct Seen {
    id: u32,
    shown: Shown,
    packets: u64,
    /// When the last packet that counted was about to be sent, at the earliest.
    packet_at: Instant,
}

impl Flow {
    fn new(n: u32, random: &mut Random) -> Self {
        let v6 = n % 2 == 1;
        let others = [UDP, UDP, if v6 { ICMPV6 } else { ICMP }, SCTP, GRE, NO_TRACKER];
        let protocol = if n % 8 < 6 { TCP } else { others[(n / 8 % 6) as usize] };
        let next = [0; 2].map(|_: u32| random.next() as u32);
        Flow { n, protocol, v6, begun: 0, next, last: None, sent: None, seen: None }
    }

    fn ends(&self) -> [IpAddr; 2] {
        match self.v6 {
            false => [Ipv4Addr::from(0x0aa0_0001 + self.n).into(), SERVER4.into()],
            true => {
                [Ipv6Addr::from((0xfd00_00a0_u128 << 96) + u128::from(self.n) + 1).into(), SERVER6.into()]
            }
        }
    }

    fn ports(&self, reply: bool) -> [u16; 2] {
        if reply { [443, 40_000] } else { [40_000, 443] }
    }

    /// One packet: mostly what an end would send next, now and then anything.
    fn packet(&mut self, random: &mut Random) -> (Packet, Vec<u8>) {
        if let Some(again) = self.last.clone().filter(|_| random.one_in(8)) {
            return again;
        }
        let reply = self.begun > 0 && random.one_in(2);
        let made = match self.protocol {
            TCP => self.segment(random),
            UDP => (Packet { reply, segment: None }, frames::udp(self.ports(reply))),
            ICMP | ICMPV6 => (Packet { reply, segment: None }, frames::echo(self.v6, reply, 7)),
            SCTP => {
                let chunk = match self.begun {
                    0 => 1,
                    1 => 2,
                    2 => 10,
                    3 => 11,
                    _ => random.of(&[0, 0, 3, 4, 5, 6, 7, 8, 14, 1, 2]),
                };
                let reply = if self.begun < 4 { self.begun % 2 == 1 } else { reply };
                (Packet { reply, segment: None }, frames::sctp(self.ports(reply), chunk))
            }
            _ => (Packet { reply, segment: None }, vec![0, 0, 8, 0, 1, 2, 3, 4]),
        };
        self.begun += 1;
        self.last = Some(made.clone());
        made
    }

    fn segment(&mut self, random: &mut Random) -> (Packet, Vec<u8>) {
        use Segment::*;
        let mut reply = random.one_in(2);
        let mut segment = random.of(&[Ack, Ack, Ack, Ack, Ack, Fin, Fin, Fin, Rst, Syn, SynAck]);
        match self.begun {
            // Some are met in the middle.
            0 if self.n % 16 < 14 => (reply, segment) = (false, Syn),
            0 => (reply, segment) = (false, Ack),
            1 if !random.one_in(8) => (reply, segment) = (true, SynAck),
            2 if !random.one_in(8) => (reply, segment) = (false, Ack),
            _ => {}
        }
        let side = usize::from(reply);
        let data = if segment == Ack && random.one_in(2) { random.below(100) as usize } else { 0 };
        let (flags, length) = match segment {
            Syn => (SYN, 1),
            SynAck => (SYN | ACK, 1),
            Fin => (FIN | ACK, 1),
            Ack => (ACK, data as u32),
            Rst if random.one_in(2) => (RST | ACK, 0),
            Rst => (RST, 0),
        };
        let mut sequence = self.next[side];
        let mut acknowledged = self.next[1 - side];
        match random.below(16) {
            0 => sequence = sequence.wrapping_sub(random.below(2000) as u32),
            1 => sequence = sequence.wrapping_add(random.below(2000) as u32),
            2 => sequence = random.next() as u32,
            3 => acknowledged = acknowledged.wrapping_sub(random.below(300) as u32),
            4 => acknowledged = random.next() as u32,
            _ => self.next[side] = sequence.wrapping_add(length),
        }
        let acknowledged = if flags & ACK == 0 { 0 } else { acknowledged };
        let window = if random.one_in(10) { 0 } else { 0xffff };
        let bytes = frames::tcp(self.ports(reply), [sequence, acknowledged], flags, window, data);
        (Packet { reply, segment: Some(segment) }, bytes)
    }
}

/// A gateway that only forwards, between ends that answer nothing.
struct Lab {
    topology: Topology,
    client: Port,
    server: Port,
    netlink: Netlink,
}

impl Lab {
    fn new() -> Self {
        let topology = Topology::new();
        let gateway = &topology.gateway;
        gateway.must("nft", &["flush", "ruleset"], "");
        // Behind connection tracking's own hook, which is at -200.
        let track = "table inet t { counter seen { }
  chain p { type filter hook prerouting priority -150; ct state new accept; }
  chain c { type filter hook prerouting priority -160;
    ip saddr { 10.160.0.0/12, 192.0.2.100 } counter name seen; ip6 saddr { fd00:a0::/32, fd00:192::100 } counter name seen; }
}";
        gateway.must("nft", &["-f", "-"], track);
        for (name, value) in [("acct", 1), ("checksum", 0), ("tcp_loose", 1), ("tcp_ignore_invalid_rst", 0)] {
            gateway.set_sysctl(&format!("net/netfilter/nf_conntrack_{name}"), value);
        }
        let (client, server) = (mac(&topology.client, "c0"), mac(&topology.server, "s0"));
        let commands = format!(
            "neigh replace {CLIENT4} lladdr {client} dev g0 nud permanent\n\
             neigh replace {CLIENT6} lladdr {client} dev g0 nud permanent\n\
             neigh replace {SERVER4} lladdr {server} dev g1 nud permanent\n\
             neigh replace {SERVER6} lladdr {server} dev g1 nud permanent\n\
             route add 10.160.0.0/12 via {CLIENT4}\nroute add fd00:a0::/32 via {CLIENT6}\n"
        );
        must("ip", &["-n", &gateway.name, "-batch", "-"], &commands);
        for end in [&topology.client, &topology.server] {
            let deaf = "table inet deaf { chain in { type filter hook input priority 0; drop\n}\n}";
            end.must("nft", &["-f", "-"], deaf);
        }
        let netlink = gateway.enter(|| Netlink::open().expect("netlink"));
        let client = Port::open(&topology.client, "c0", &mac(gateway, "g0"));
        let server = Port::open(&topology.server, "s0", &mac(gateway, "g1"));
        Lab { topology, client, server, netlink }
    }

    fn send(&self, flow: &Flow, packet: Packet, bytes: &[u8]) {
        let [client, server] = flow.ends();
        match packet.reply {
            false => self.client.send(client, server, flow.protocol, bytes),
            true => self.server.send(server, client, flow.protocol, bytes),
        }
    }

    /// Packets of the flows that connection tracking has seen.
    fn taken(&self) -> u64 {
        let listed = self.topology.gateway.must("nft", &["list", "counter", "inet", "t", "seen"], "");
        let words: Vec<&str> = listed.split_whitespace().collect();
        let number = words.iter().position(|word| *word == "packets").and_then(|at| words.get(at + 1));
        number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("nft said {listed:?}"))
    }

    fn dump(&mut self) -> Vec<Entry> {
        let mut all = Vec::new();
        let each = |chunk: &table::Chunk<'_>| {
            all.extend(chunk.entries().map(|entry| entry.expect("readable")));
            true
        };
        table::dump(&mut self.netlink, each).expect("a dump");
        all
    }
}

fn up_seconds() -> u32 {
    clock::boottime_seconds() as u32 + AGED_SECONDS
}

/// The timeouts of the gateway, and what an agent knows of them.
struct Timeouts {
    now: BTreeMap<Timeout, u32>,
    history: TimeoutHistory,
}

impl Timeouts {
    fn new(lab: &Lab) -> Self {
        let path = |timeout: &Timeout| format!("net/netfilter/nf_conntrack_{}", timeout.name());
        let there = |timeout: &Timeout| std::path::Path::new("/proc/sys").join(path(timeout)).exists();
        let read = |timeout: Timeout| (timeout, lab.topology.gateway.sysctl_number(&path(&timeout)) as u32);
        let now: BTreeMap<Timeout, u32> = Timeout::all().filter(there).map(read).collect();
        let mut history = TimeoutHistory::default();
        history.saw(&now, None);
        Timeouts { now, history }
    }

    /// One of them has another value from now on.
    fn change(&mut self, lab: &Lab, random: &mut Random) {
        const VALUES: [u32; 10] = [20, 30, 60, 119, 120, 240, 301, 600, 7440, 432_000];
        let all: Vec<Timeout> = self.now.keys().copied().filter(|t| !t.name().starts_with("dccp")).collect();
        let (timeout, value) = (random.of(&all), random.of(&VALUES));
        // An agent knows that it was not there before its last look.
        let since = up_seconds();
        lab.topology.gateway.set_sysctl(&format!("net/netfilter/nf_conntrack_{}", timeout.name()), value);
        self.history.saw_one(timeout, value, Some(since));
        self.now.insert(timeout, value);
    }
}

/// What the walk came to, for the report.
#[derive(Default, Debug)]
struct Told {
    counted: u64,
    let_through: u64,
    /// Packets that counted, by protocol and state after them.
    by_state: BTreeMap<(u8, u8), u64>,
    claims: u64,
    /// What the model does not know, each kind once.
    unknown: BTreeMap<String, String>,
}

fn random_packets() {
    println!("seed {SEED:#x}");
    let (mut lab, mut random) = (Lab::new(), Random(SEED));
    let mut timeouts = Timeouts::new(&lab);
    let mut flows: Vec<Flow> = (0..FLOWS).map(|n| Flow::new(n, &mut random)).collect();
    let (identify, mut observed, mut told) = (Identify::default(), Observations::default(), Told::default());
    let mut sent = 0;
    for round in 0..ROUNDS {
        if round % 2 == 1 {
            timeouts.change(&lab, &mut random);
        }
        let began = Instant::now();
        for flow in &mut flows {
            flow.sent = None;
            if random.below(10) < 7 {
                let (packet, bytes) = flow.packet(&mut random);
                flow.sent = Some(packet);
                sent += 1;
                lab.send(flow, packet, &bytes);
            }
        }
        wait::until("the gateway to have taken all", Duration::from_secs(20), || {
            let taken = lab.taken();
            if taken == sent { Ok(()) } else { Err(format!("{taken} of {sent}")) }
        });
        check(&mut lab, &mut flows, &timeouts, began, (&identify, &mut observed), &mut told);
        // Time is what proofs are of, and a stream is one only after two seconds.
        if round % 7 == 3 {
            std::thread::sleep(Duration::from_millis(1200));
        }
    }
    println!(
        "{} packets counted, {} let through or refused, {} claims of idleness held",
        told.counted, told.let_through, told.claims
    );
    assert!(told.unknown.is_empty(), "unknown to the model: {:#?}", told.unknown);
    assert!(told.counted > 20_000 && told.let_through > 1000 && told.claims > 1000, "{told:?}");
    for state in 1..=9 {
        assert!(told.by_state.contains_key(&(TCP, state)), "state {state} was never reached: {told:?}");
    }
    for protocol in [UDP, ICMP, ICMPV6, SCTP, GRE, NO_TRACKER] {
        assert!(told.by_state.contains_key(&(protocol, 0)), "protocol {protocol} had no packet: {told:?}");
    }
}

fn shown(entry: &Entry) -> Shown {
    Shown {
        protocol: entry.original.protocol,
        tcp_state: entry.tcp.map_or(0, |tcp| tcp.state.to_kernel()),
        replied: entry.status.seen_reply(),
        assured: entry.status.any(Status::ASSURED),
    }
}

fn check(
    lab: &mut Lab,
    flows: &mut [Flow],
    timeouts: &Timeouts,
    began: Instant,
    (identify, observed): (&Identify, &mut Observations),
    told: &mut Told,
) {
    // What a dump shows is of before its end; and an uptime of before it gives no more idleness.
    let up = up_seconds();
    let entries = lab.dump();
    let ended = Instant::now();
    let by_end: HashMap<(IpAddr, u8), &Entry> =
        entries.iter().map(|entry| ((entry.original.source, entry.original.protocol), entry)).collect();
    let bases = Bases::new(&timeouts.history, &[], &Features::default());
    observed.begin();
    for flow in flows {
        let Some(entry) = by_end.get(&(flow.ends()[0], flow.protocol)) else {
            flow.seen = None;
            continue;
        };
        let before = flow.seen.filter(|seen| seen.id == entry.id);
        let packets = entry.packets.expect("accounting is on");
        // An entry that begins again at once may have the id of the one before.
        let before = before.filter(|seen| seen.packets <= packets);
        let counted = before.is_none_or(|seen| seen.packets < packets);
        let packet_at = before.filter(|_| !counted).map_or(began, |seen| seen.packet_at);
        let left = entry.timeout_seconds.expect("a time left");
        let now = shown(entry);
        match (flow.sent, counted) {
            (Some(packet), true) => {
                let unknown = unknown_to_model(
                    flow,
                    before.map(|seen| seen.shown),
                    packet,
                    now,
                    left,
                    timeouts,
                    began.elapsed(),
                );
                told.unknown.extend(unknown);
                told.counted += 1;
                *told.by_state.entry((flow.protocol, now.tcp_state)).or_default() += 1;
            }
            (Some(_), false) => told.let_through += 1,
            (None, counted) => assert!(!counted, "flow {} was sent nothing: {entry:?}", flow.n),
        }
        flow.seen = Some(Seen { id: entry.id, shown: now, packets, packet_at });
        let silent = ended - packet_at;
        for mode in [IdleProof::Arithmetic, IdleProof::Observed] {
            let mut proofs = Proofs {
                bases: Some(&bases),
                mode,
                conntrackd: false,
                unheard_until_seconds: None,
                flowtables: false,
                up_seconds: up,
                unix_seconds: 0,
                sightings: &Sightings::default(),
                observations: observed,
            };
            let class = Class::of(entry, &[]).unwrap_or(Class::Closed);
            if let Idle::Certain(seconds @ 1..) = proofs.idle(entry, class, identify.entry(entry)) {
                told.claims += 1;
                assert!(
                    Duration::from_secs(seconds.into()) <= silent,
                    "{mode:?}: flow {} is called idle for {seconds} s, and had a packet {silent:?} ago: {entry:?}, {:?}",
                    flow.n,
                    timeouts.now
                );
            }
        }
    }
    observed.end(true, up);
}

/// The kind and the whole of what the model does not know: this state and time left after this packet.
fn unknown_to_model(
    flow: &Flow,
    before: Option<Shown>,
    packet: Packet,
    now: Shown,
    left: u32,
    timeouts: &Timeouts,
    elapsed: Duration,
) -> Option<(String, String)> {
    // GRE keeps the timeouts of its birth: nothing is proven of it by arithmetic.
    if flow.protocol == GRE {
        return None;
    }
    let known = outcomes(flow.protocol, before, packet);
    let is = |timeout: &Timeout| {
        let value = timeouts.now.get(timeout).copied();
        value.is_some_and(|value| left <= value && u64::from(value - left) <= elapsed.as_secs() + 1)
    };
    let set = |name: &&'static str| Timeout::named(name).is_some_and(|timeout| is(&timeout));
    let agrees = |outcome: &Outcome| outcome.after == now && outcome.timeouts.iter().any(set);
    // The entry that was there may have ended in this round, so that the packet made another one.
    let again = before.is_some() && outcomes(flow.protocol, None, packet).iter().any(agrees);
    if again || known.iter().any(agrees) {
        return None;
    }
    let bases: Vec<&str> =
        timeouts.now.keys().filter(|timeout| is(timeout)).map(|timeout| timeout.name()).collect();
    let kind = format!("{before:?} {packet:?} {now:?}");
    Some((kind, format!("flow {}: {left} s left, as of {bases:?}; known: {known:?}", flow.n)))
}
