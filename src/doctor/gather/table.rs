//! The table, by a bounded dump.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;

use super::super::{Service, Side, TableFacts};
use crate::kernel::socket::Netlink;
use crate::kernel::{address, table};
use crate::model::{Entry, Status, TcpState, UDP};

/// Entries that are looked at: a quarter of a second, and enough to know what the table is made of.
const MOST_ENTRIES: u64 = 1 << 18;
/// RFC 5382, REQ-5.
const RFC_5382_SECONDS: u32 = 7440;

/// What the table holds.
///
/// # Errors
/// As [`table::dump`].
pub fn gather(netlink: &mut Netlink, values: &BTreeMap<String, String>) -> io::Result<TableFacts> {
    let own = address::own_addresses().unwrap_or_default();
    let base = values.get("tcp_timeout_established").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let local = |address: &IpAddr| address.is_loopback() || own.contains(address);
    let mut found =
        Counting { facts: TableFacts { whole: true, ..TableFacts::default() }, ports: HashMap::new() };
    table::dump(netlink, |chunk| {
        chunk.entries().flatten().for_each(|entry| found.add(&entry, base, local));
        found.facts.whole = found.facts.entries < MOST_ENTRIES;
        found.facts.whole
    })?;
    Ok(found.finish())
}

struct Counting {
    facts: TableFacts,
    /// UDP by port: entries by side, and those that are translated.
    ports: HashMap<u16, ([u64; 3], u64)>,
}

const SIDES: [Side; 3] = [Side::Loopback, Side::Server, Side::Client];

impl Counting {
    fn add(&mut self, entry: &Entry, base: u32, local: impl Fn(&IpAddr) -> bool) {
        self.facts.entries += 1;
        if entry.tcp.is_some_and(|tcp| tcp.state == TcpState::Established) {
            self.facts.established += 1;
            let idle = base.saturating_sub(entry.timeout_seconds.unwrap_or(base));
            self.facts.established_idle += u64::from(idle > RFC_5382_SECONDS);
        }
        let Some(port) = entry.original.destination_port().filter(|_| entry.original.protocol == UDP) else {
            return;
        };
        let (sides, translated) = self.ports.entry(port).or_default();
        if entry.status.any(Status::SRC_NAT | Status::DST_NAT) {
            *translated += 1;
            return;
        }
        match (local(&entry.original.source), local(&entry.original.destination)) {
            (true, true) => sides[0] += 1,
            (false, true) => sides[1] += 1,
            (true, false) => sides[2] += 1,
            (false, false) => {}
        }
    }

    fn finish(self) -> TableFacts {
        let services = self.ports.into_iter().flat_map(|(port, (sides, translated))| {
            let sides = SIDES.into_iter().zip(sides).filter(|(_, entries)| *entries > 0);
            sides.map(move |(side, entries)| Service { port, side, entries, translated })
        });
        let mut services: Vec<Service> = services.collect();
        services.sort_by_key(|service| (std::cmp::Reverse(service.entries), service.port, service.side));
        TableFacts { services, ..self.facts }
    }
}
