//! An entry that the suite writes into the table, of any protocol, state and age.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::harness::netlink::{attribute, nest};
use crate::harness::table::{ESTABLISHED, IPS_ASSURED, IPS_CONFIRMED, IPS_SEEN_REPLY};

/// The kernel's default of tcp_timeout_established, which no test's gateway changes before it is filled.
pub const ESTABLISHED_SECONDS: u32 = 432_000;

/// What stands above IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum L4 {
    /// Ports and the kernel's number of the state (enum tcp_conntrack).
    Tcp(u16, u16, u8),
    Udp(u16, u16),
    /// Ports and the kernel's number of the state (enum sctp_conntrack).
    Sctp(u16, u16, u8),
    /// Keys.
    Gre(u16, u16),
    /// An echo request of this id: ICMP or ICMPv6, as the addresses are.
    Echo(u16),
    /// Any other, by addresses alone.
    Number(u8),
}

/// An entry to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub l4: L4,
    pub zone: u16,
    pub mark: u32,
    pub status: u32,
    pub left_seconds: u32,
    pub master: Option<Box<Flow>>,
    pub helper: Option<&'static str>,
}

impl Flow {
    /// A two-way, ASSURED flow with `left_seconds` before it expires.
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, l4: L4, left_seconds: u32) -> Self {
        Flow {
            source: source.into(),
            destination: destination.into(),
            l4,
            zone: 0,
            mark: 0,
            status: IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED,
            left_seconds,
            master: None,
            helper: None,
        }
    }

    /// An ESTABLISHED flow that has been idle for `idle_seconds`: it has that much less than the timeout left.
    pub fn established(
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
        port: u16,
        idle_seconds: u32,
    ) -> Self {
        Flow::new(source, destination, L4::Tcp(port, 443, ESTABLISHED), ESTABLISHED_SECONDS - idle_seconds)
    }

    /// Without a reply so far.
    pub fn unreplied(self) -> Self {
        Flow { status: IPS_CONFIRMED, ..self }
    }

    fn number(&self) -> u8 {
        match self.l4 {
            L4::Tcp(..) => 6,
            L4::Udp(..) => 17,
            L4::Sctp(..) => 132,
            L4::Gre(..) => 47,
            L4::Echo(_) if self.source.is_ipv4() => 1,
            L4::Echo(_) => 58,
            L4::Number(number) => number,
        }
    }

    pub fn family(&self) -> u8 {
        if self.source.is_ipv4() { 2 } else { 10 }
    }

    /// Appends CTA_TUPLE_ORIG (1), _REPLY (2) or _MASTER (14).
    pub fn tuple(&self, bytes: &mut Vec<u8>, kind: u16) {
        let reply = kind == 2;
        let (from, to) =
            if reply { (self.destination, self.source) } else { (self.source, self.destination) };
        nest(bytes, kind, |bytes| {
            nest(bytes, 1, |bytes| match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    attribute(bytes, 1, &from.octets());
                    attribute(bytes, 2, &to.octets());
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    attribute(bytes, 3, &from.octets());
                    attribute(bytes, 4, &to.octets());
                }
                _ => panic!("{self:?} has two families"),
            });
            nest(bytes, 2, |bytes| {
                attribute(bytes, 1, &[self.number()]);
                self.protocol(bytes, reply);
            });
        });
    }

    fn protocol(&self, bytes: &mut Vec<u8>, reply: bool) {
        match self.l4 {
            L4::Tcp(a, b, _) | L4::Udp(a, b) | L4::Sctp(a, b, _) | L4::Gre(a, b) => {
                let (from, to) = if reply { (b, a) } else { (a, b) };
                attribute(bytes, 2, &from.to_be_bytes());
                attribute(bytes, 3, &to.to_be_bytes());
            }
            L4::Echo(id) => {
                // CTA_PROTO_ICMP_{ID,TYPE,CODE} are 4 to 6, CTA_PROTO_ICMPV6_* 7 to 9.
                let (first, request) = if self.source.is_ipv4() { (4, 8) } else { (7, 128) };
                let answer = if self.source.is_ipv4() { 0 } else { 129 };
                attribute(bytes, first, &id.to_be_bytes());
                attribute(bytes, first + 1, &[if reply { answer } else { request }]);
                attribute(bytes, first + 2, &[0]);
            }
            L4::Number(_) => (),
        }
    }

    /// Appends everything that a creation needs.
    pub fn attributes(&self, bytes: &mut Vec<u8>) {
        self.tuple(bytes, 1);
        self.tuple(bytes, 2);
        attribute(bytes, 3, &self.status.to_be_bytes());
        match self.l4 {
            L4::Tcp(_, _, state) => nest(bytes, 4, |b| nest(b, 1, |b| attribute(b, 1, &[state]))),
            L4::Sctp(_, _, state) => nest(bytes, 4, |b| {
                nest(b, 3, |b| {
                    attribute(b, 1, &[state]);
                    attribute(b, 2, &1_u32.to_be_bytes());
                    attribute(b, 3, &2_u32.to_be_bytes());
                })
            }),
            _ => (),
        }
        if let Some(helper) = self.helper {
            nest(bytes, 5, |b| attribute(b, 1, format!("{helper}\0").as_bytes()));
        }
        attribute(bytes, 7, &self.left_seconds.to_be_bytes());
        if self.mark != 0 {
            attribute(bytes, 8, &self.mark.to_be_bytes());
        }
        if let Some(master) = &self.master {
            master.tuple(bytes, 14);
        }
        self.zone(bytes);
    }

    /// Appends CTA_ZONE, without which the entry would be looked for in zone 0.
    pub fn zone(&self, bytes: &mut Vec<u8>) {
        if self.zone != 0 {
            attribute(bytes, 18, &self.zone.to_be_bytes());
        }
    }
}

/// The `n`th of many sources, 10.128.0.0/9.
pub fn source(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0001 + n)
}

/// The `n`th of many IPv6 sources, each in a /64 of its own.
pub fn source6(n: u32) -> Ipv6Addr {
    Ipv6Addr::from(0xfd00_0080_0000_0000_0000_0000_0000_0001 + (u128::from(n) << 64))
}

/// `count` ESTABLISHED flows, idle for `idle_seconds`, spread evenly over `sources` addresses.
pub fn established(count: u32, sources: u32, idle_seconds: u32) -> impl Iterator<Item = Flow> {
    let to = Ipv4Addr::new(198, 51, 100, 7);
    (0..count).map(move |n| {
        let port = 1024 + n / sources;
        assert!(port <= 65_535, "{count} flows do not fit on {sources} sources");
        Flow::established(source(n % sources), to, port as u16, idle_seconds)
    })
}

/// An idle control connection of FTP from the `n`th source, and its transfer under way.
pub fn control_and_transfer(n: u32, server: Ipv4Addr, idle_seconds: u32) -> [Flow; 2] {
    let control = Flow::established(source(n), server, 21, idle_seconds);
    let master = Some(Box::new(control.clone()));
    [control, Flow { master, ..Flow::established(server, source(n), 20, 0) }]
}
