//! Reads the gateway's table: by a dump of the suite's own, and by conntrack(8).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::harness::namespace::Namespace;
use crate::harness::netlink::{self, CT_GET, CT_GET_STATS_CPU, address, attributes, number};
use crate::harness::topology::Topology;

pub const ESTABLISHED: u8 = 3;

pub const IPS_SEEN_REPLY: u32 = 1 << 1;
pub const IPS_ASSURED: u32 = 1 << 2;
pub const IPS_CONFIRMED: u32 = 1 << 3;

/// One entry of the table, original direction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Row {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub source_port: u16,
    pub destination_port: u16,
    pub zone: u16,
    pub id: u32,
    pub status: u32,
    pub left_seconds: Option<u32>,
    pub tcp_state: Option<u8>,
    pub mark: u32,
}

/// What tells an entry from any other that ever was, as far as the kernel can.
pub type Identity = (IpAddr, IpAddr, u8, u16, u16, u16, u32);

impl Row {
    pub fn identity(&self) -> Identity {
        let (a, b) = (self.source, self.destination);
        (a, b, self.protocol, self.source_port, self.destination_port, self.zone, self.id)
    }

    fn parse(body: &[u8]) -> Option<Row> {
        let unspecified = IpAddr::from([0; 4]);
        let mut row = Row {
            source: unspecified,
            destination: unspecified,
            protocol: 0,
            source_port: 0,
            destination_port: 0,
            zone: 0,
            id: 0,
            status: 0,
            left_seconds: None,
            tcp_state: None,
            mark: 0,
        };
        for (kind, payload) in attributes(body) {
            match kind {
                1 => row.tuple(payload)?,
                3 => row.status = number(payload),
                4 => row.tcp_state = tcp_state(payload),
                7 => row.left_seconds = Some(number(payload)),
                8 => row.mark = number(payload),
                12 => row.id = number(payload),
                18 => row.zone = number(payload) as u16,
                _ => (),
            }
        }
        Some(row)
    }

    fn tuple(&mut self, payload: &[u8]) -> Option<()> {
        for (kind, part) in attributes(payload) {
            for (field, value) in attributes(part) {
                match (kind, field) {
                    (1, 1 | 3) => self.source = address(value)?,
                    (1, 2 | 4) => self.destination = address(value)?,
                    (2, 1) => self.protocol = number(value) as u8,
                    (2, 2 | 4 | 7) => self.source_port = number(value) as u16,
                    (2, 3) => self.destination_port = number(value) as u16,
                    _ => (),
                }
            }
        }
        Some(())
    }
}

fn tcp_state(protoinfo: &[u8]) -> Option<u8> {
    let (_, tcp) = attributes(protoinfo).find(|(kind, _)| *kind == 1)?;
    attributes(tcp).find(|(kind, _)| *kind == 1).map(|(_, state)| number(state) as u8)
}

/// Every entry in the namespace's table. Also a reap: the kernel drops expired entries that a dump meets.
pub fn rows(namespace: &Namespace) -> Vec<Row> {
    let mut all = Vec::new();
    netlink::dump(namespace, CT_GET, |body| all.extend(Row::parse(body)));
    all
}

/// The entries of one client port in the gateway.
pub fn of_port(topology: &Topology, protocol: u8, port: u16) -> Option<Row> {
    rows(&topology.gateway).into_iter().find(|row| row.protocol == protocol && row.source_port == port)
}

/// A source's entries by protocol, as the contract's `top-sources` splits them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub tcp: u64,
    pub udp: u64,
    pub icmp: u64,
    pub other: u64,
}

/// Counts by source and zone.
pub type BySource = BTreeMap<(IpAddr, u16), Counts>;

impl Counts {
    fn add(&mut self, protocol: u8) {
        match protocol {
            6 => self.tcp += 1,
            17 => self.udp += 1,
            1 | 58 => self.icmp += 1,
            _ => self.other += 1,
        }
    }
}

/// Counts of a dump.
pub fn by_source(rows: &[Row]) -> BySource {
    let mut counts = BySource::new();
    rows.iter().for_each(|row| counts.entry((row.source, row.zone)).or_default().add(row.protocol));
    counts
}

/// Counts of `conntrack -L`, both families: what an operator would compare with.
pub fn by_source_of_conntrack(namespace: &Namespace) -> BySource {
    let mut counts = BySource::new();
    for family in ["ipv4", "ipv6"] {
        let listed = namespace.must("conntrack", &["-L", "-f", family, "-o", "id,extended"], "");
        for line in listed.lines().filter(|line| !line.trim().is_empty()) {
            // "ipv4     2 tcp      6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… … [ASSURED] zone=7 …"
            let words = || line.split_whitespace();
            let field = |name: &str| words().find_map(|word| word.strip_prefix(name));
            let source = field("src=").and_then(|a| a.parse().ok());
            let protocol = words().nth(3).and_then(|p| p.parse().ok());
            let (Some(source), Some(protocol)) = (source, protocol) else {
                panic!("conntrack said {line:?}")
            };
            let zone = field("zone=").map_or(0, |z| z.parse().expect("a zone"));
            counts.entry((source, zone)).or_default().add(protocol);
        }
    }
    counts
}

/// The kernel's statistics in a namespace, summed over CPUs.
pub fn statistics(namespace: &Namespace) -> HashMap<&'static str, u64> {
    const NAMES: [(u16, &str); 4] =
        [(9, "insert_failed"), (10, "drop"), (11, "early_drop"), (15, "chaintoolong")];
    let mut sums = HashMap::new();
    netlink::dump(namespace, CT_GET_STATS_CPU, |body| {
        for (kind, payload) in attributes(body) {
            if let Some((_, name)) = NAMES.iter().find(|(number, _)| *number == kind) {
                *sums.entry(*name).or_default() += u64::from(number(payload));
            }
        }
    });
    sums
}
