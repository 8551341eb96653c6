//! The table, by a bounded dump, each entry judged as `list` judges it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::super::{Service, Side, TableFacts};
use super::Question;
use crate::core::model::{Entry, Silence, Status, TcpState, Timeout, UDP, Unclassed, Verdict};
use crate::direct::{self, Sink};
use crate::error::Result;
use crate::linux::address;
use crate::linux::modules::Modules;

/// Entries that are looked at: a quarter of a second, and enough to know what the table is made of.
const MOST_ENTRIES: u64 = 1 << 18;
/// RFC 5382, REQ-5.
const RFC_5382_SECONDS: u32 = 7440;

/// Counts the entries of the table.
///
/// # Errors
/// As [`direct::list_loading_nothing`].
pub fn gather(question: &Question<'_>, modules: &Modules) -> Result<TableFacts> {
    let mut found = Counting {
        facts: TableFacts { whole: true, ..TableFacts::default() },
        ports: HashMap::new(),
        own: address::own_addresses().unwrap_or_default(),
        unclassed: HashMap::new(),
    };
    direct::list_loading_nothing(question.target, question.settings, modules, &mut found)?;
    Ok(found.finish())
}

struct Counting {
    facts: TableFacts,
    /// UDP by port: entries by side, and those that are translated.
    ports: HashMap<u16, ([u64; 3], u64)>,
    own: HashSet<IpAddr>,
    /// Entries of no class, by state.
    unclassed: HashMap<&'static str, Unclassed>,
}

impl Sink<(&Entry, &Verdict)> for Counting {
    fn entry(&mut self, (entry, verdict): (&Entry, &Verdict)) {
        self.add(entry, verdict);
    }

    fn breathe(&mut self) -> bool {
        self.facts.whole = self.facts.entries < MOST_ENTRIES;
        self.facts.whole
    }
}

const SIDES: [Side; 3] = [Side::Loopback, Side::Server, Side::Client];

impl Counting {
    fn add(&mut self, entry: &Entry, verdict: &Verdict) {
        self.facts.entries += 1;
        if entry.tcp.is_some_and(|tcp| tcp.state == TcpState::Established) {
            self.facts.established += 1;
            match verdict.idle_seconds {
                Some(idle) => self.facts.established_idle += u64::from(idle > RFC_5382_SECONDS),
                None => self.facts.established_unknown += 1,
            }
        }
        if let Some(tcp) = entry.tcp.filter(|_| verdict.class.is_none()) {
            let (state, timeout) = (tcp.state.name(), Timeout::governing(entry));
            let seen = self.unclassed.entry(state).or_insert_with(|| Unclassed::empty(state, timeout));
            let silence = Silence {
                certain: verdict.idle_seconds,
                exact: verdict.exact,
                likely: verdict.likely_seconds(),
                left: verdict.left_seconds,
            };
            seen.add(silence, 1);
        }
        let Some(port) = entry.original.destination_port().filter(|_| entry.original.protocol == UDP) else {
            return;
        };
        let (sides, translated) = self.ports.entry(port).or_default();
        if entry.status.any(Status::SRC_NAT | Status::DST_NAT) {
            *translated += 1;
            return;
        }
        let local = |address: &IpAddr| address.is_loopback() || self.own.contains(address);
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
        let mut unclassed: Vec<Unclassed> = self.unclassed.into_values().collect();
        unclassed.sort_by(|a, b| (b.entries, &a.state).cmp(&(a.entries, &b.state)));
        TableFacts { services, unclassed, ..self.facts }
    }
}
