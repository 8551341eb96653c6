//! Entries that a command is about: the one filter language of `list`, `events`, `flush` and `top-sources`.
//!
//! Filters of different kinds must all match. Repeated values of one kind are alternatives: one of them must match. A
//! negated filter is a demand of its own, whatever else there is of its kind: `--not -s A --not -s B` is neither of the
//! two, and `-s 10.0.0.0/8 --not -s 10.1.0.0/16` the first network without the second. So the order of filters never
//! matters, and a filter and its negation share every entry out between them: what an entry does not have (a port of
//! ICMP, an idleness that nobody knows) does not match, and matches negated.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::entry::{Entry, Status, TcpState};
use super::mark::Mark;
use super::protocol::protocol_name;
use super::tuple::{GRE, L4, Tuple};
use super::verdict::ShortDuration;

/// Address family of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Condition that a filter sets to an entry. The order is that in which filters are tried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wanted {
    /// Family of its addresses.
    Family(Family),
    /// IP protocol number.
    Protocol(u8),
    /// Zone of both directions, as `conntrack -w`.
    Zone(u16),
    /// Zone of the original direction, whatever that of the reply is: by it entries are counted for their source.
    SourceZone(u16),
    /// Mark under a mask.
    Mark(Mark),
    /// No packet of the reply direction was seen: not SEEN_REPLY.
    Unreplied,
    /// It is ASSURED.
    Assured,
    /// State, of TCP alone.
    State(TcpState),
    /// Source port of the original direction, of protocols that have ports (GRE has keys).
    SourcePort(u16),
    /// Destination port of the original direction.
    DestinationPort(u16),
    /// Source address of the original direction: who opened the connection.
    Source(IpNet),
    /// Destination address of the original direction: as the client addressed it, before DNAT.
    Destination(IpNet),
    /// Source address of the reply direction: the server, after DNAT.
    ReplySource(IpNet),
    /// Destination address of the reply direction: whom the server answers, after SNAT.
    ReplyDestination(IpNet),
    /// The source is translated, and to an address of this network: the destination of the reply direction.
    NatSource(IpNet),
    /// The source is translated, and its port is this one now: the destination port of the reply direction.
    NatPort(u16),
    /// It has been idle for certain for at least these seconds; an entry of which nobody can tell is not idle.
    IdleOver(u32),
}

/// A condition, or its opposite.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Filter {
    /// `--not` stands before it.
    pub negated: bool,
    /// The condition that it sets.
    pub wanted: Wanted,
}

/// All filters of a command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filters {
    /// Negated ones last, those of a kind together.
    sorted: Vec<Filter>,
}

impl Wanted {
    fn matches(&self, entry: &Entry, idle_seconds: Option<u32>) -> bool {
        let original = &entry.original;
        let port = |port: Option<u16>, wanted: u16| original.protocol != GRE && port == Some(wanted);
        let reply = |of: fn(&Tuple) -> IpAddr, net: &IpNet| {
            entry.reply.as_ref().is_some_and(|reply| net.contains(&of(reply)))
        };
        match self {
            Wanted::Family(family) => original.source.is_ipv4() == (*family == Family::Ipv4),
            Wanted::Protocol(number) => original.protocol == *number,
            Wanted::Zone(zone) => entry.common_zone() == *zone,
            Wanted::SourceZone(zone) => entry.zone == *zone,
            Wanted::Mark(mark) => mark.matches(entry.mark),
            Wanted::Unreplied => !entry.status.seen_reply(),
            Wanted::Assured => entry.status.assured(),
            Wanted::State(state) => entry.tcp.is_some_and(|tcp| tcp.state == *state),
            Wanted::SourcePort(wanted) => port(original.source_port(), *wanted),
            Wanted::DestinationPort(wanted) => port(original.destination_port(), *wanted),
            Wanted::Source(net) => net.contains(&original.source),
            Wanted::Destination(net) => net.contains(&original.destination),
            Wanted::ReplySource(net) => reply(|tuple| tuple.source, net),
            Wanted::ReplyDestination(net) => reply(|tuple| tuple.destination, net),
            Wanted::NatSource(net) => {
                entry.source_nat().is_some_and(|reply| net.contains(&reply.destination))
            }
            Wanted::NatPort(wanted) => {
                entry.source_nat().is_some_and(|reply| port(reply.destination_port(), *wanted))
            }
            Wanted::IdleOver(seconds) => idle_seconds.is_some_and(|idle| idle >= *seconds),
        }
    }
}

impl Filter {
    /// True if one entry is wanted that has been idle for certain for `idle_seconds`.
    pub fn matches(&self, entry: &Entry, idle_seconds: Option<u32>) -> bool {
        self.wanted.matches(entry, idle_seconds) != self.negated
    }

    fn alternative_of(&self, other: &Filter) -> bool {
        let kind = std::mem::discriminant::<Wanted>;
        !self.negated && !other.negated && kind(&self.wanted) == kind(&other.wanted)
    }
}

impl Filters {
    /// In whatever order they were given.
    pub fn new(mut filters: Vec<Filter>) -> Filters {
        filters.sort_unstable();
        filters.dedup();
        Filters { sorted: filters }
    }

    /// None: every entry matches.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// True if an entry is wanted that has been idle for certain for `idle_seconds` (`None`: nobody can tell).
    pub fn matches(&self, entry: &Entry, idle_seconds: Option<u32>) -> bool {
        let any = |of_a_kind: &[Filter]| of_a_kind.iter().any(|filter| filter.matches(entry, idle_seconds));
        self.sorted.chunk_by(Filter::alternative_of).all(any)
    }

    /// True if an entry may be wanted, its idleness left aside: to spare the judgement of those that are not.
    pub fn may_match(&self, entry: &Entry) -> bool {
        let any = |of_a_kind: &[Filter]| {
            let idle = of_a_kind.iter().any(|filter| matches!(filter.wanted, Wanted::IdleOver(_)));
            idle || of_a_kind.iter().any(|filter| filter.matches(entry, None))
        };
        self.sorted.chunk_by(Filter::alternative_of).all(any)
    }

    /// The filters for this source alone, in one zone where one is given.
    pub fn of_source(&self, source: IpNet, zone: Option<u16>) -> Filters {
        let positive = |wanted| Filter { negated: false, wanted };
        let replaced = |filter: &Filter| match filter.wanted {
            Wanted::Source(_) => !filter.negated,
            Wanted::SourceZone(_) => !filter.negated && zone.is_some(),
            _ => false,
        };
        let (given, mut filters): (Vec<Filter>, Vec<Filter>) = self.sorted.iter().partition(|f| replaced(f));
        let sources = given.iter().filter_map(|filter| match filter.wanted {
            Wanted::Source(net) => Some(net),
            _ => None,
        });
        // Two networks share the smaller one or nothing.
        let shared = sources.clone().filter_map(|net| match (net.contains(&source), source.contains(&net)) {
            (true, _) => Some(source),
            (_, true) => Some(net),
            _ => None,
        });
        let shared: Vec<IpNet> = if sources.count() == 0 { vec![source] } else { shared.collect() };
        let zones = || given.iter().filter(|filter| matches!(filter.wanted, Wanted::SourceZone(_)));
        let no_zone = zone.is_some_and(|zone| {
            zones().count() > 0 && !zones().any(|filter| filter.wanted == Wanted::SourceZone(zone))
        });
        if shared.is_empty() || no_zone {
            // A filter and its negation: nothing matches.
            filters.extend([false, true].map(|negated| Filter { negated, wanted: Wanted::Source(source) }));
        }
        filters.extend(shared.into_iter().map(Wanted::Source).map(positive));
        filters.extend(zone.map(Wanted::SourceZone).map(positive));
        Filters::new(filters)
    }

    /// True if a filter asks for idleness.
    pub fn need_idleness(&self) -> bool {
        self.sorted.iter().any(|filter| matches!(filter.wanted, Wanted::IdleOver(_)))
    }

    /// True if what matches is idle: its silence is meant.
    pub fn want_idleness(&self) -> bool {
        self.sorted.iter().any(|filter| !filter.negated && matches!(filter.wanted, Wanted::IdleOver(_)))
    }

    /// The one address that all that can match is from, if one filter alone says so.
    pub fn only_source(&self) -> Option<IpAddr> {
        self.only(|wanted| match wanted {
            Wanted::Source(net) if net.prefix_len() == net.max_prefix_len() => Some(net.addr()),
            _ => None,
        })
    }

    /// The one zone that the original direction of all that can match is in, if one filter alone says so. Zone 0 of
    /// both directions does not: with it goes what has a zone in one of them.
    pub fn only_zone(&self) -> Option<u16> {
        self.only(|wanted| match wanted {
            Wanted::Zone(zone @ 1..) | Wanted::SourceZone(zone) => Some(*zone),
            _ => None,
        })
    }

    fn only<T>(&self, of: impl Fn(&Wanted) -> Option<T>) -> Option<T> {
        self.sorted.chunk_by(Filter::alternative_of).find_map(|of_a_kind| match of_a_kind {
            [Filter { negated: false, wanted }] => of(wanted),
            _ => None,
        })
    }

    /// The one family that can match, if that is so by the filters of the family alone.
    pub fn family(&self) -> Option<Family> {
        let wants = |family| {
            self.sorted.chunk_by(Filter::alternative_of).all(|of_a_kind| {
                of_a_kind.iter().any(|filter| match filter.wanted {
                    Wanted::Family(wanted) => (wanted == family) != filter.negated,
                    _ => true,
                })
            })
        };
        match (wants(Family::Ipv4), wants(Family::Ipv6)) {
            (true, false) => Some(Family::Ipv4),
            (false, true) => Some(Family::Ipv6),
            _ => None,
        }
    }
}

/// A network in CIDR form, or a host without prefix length. Host bits are cleared, as iptables and conntrack do.
pub fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(|network| network.trunc())
}

impl Entry {
    /// The reply direction of an entry whose source is translated (SRC_NAT, or another address or port than the
    /// original source's is answered), as the kernel and `conntrack --src-nat` tell it.
    pub fn source_nat(&self) -> Option<&Tuple> {
        let port = |tuple: &Tuple, of: fn(&Tuple) -> Option<u16>| match tuple.l4 {
            L4::Ports { .. } if tuple.protocol != GRE => of(tuple),
            _ => None,
        };
        self.reply.as_ref().filter(|reply| {
            self.status.any(Status::SRC_NAT)
                || reply.destination != self.original.source
                || port(reply, Tuple::destination_port) != port(&self.original, Tuple::source_port)
        })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Family(Family::Ipv4) => write!(f, "--family ipv4"),
            Wanted::Family(Family::Ipv6) => write!(f, "--family ipv6"),
            Wanted::Protocol(number) => match protocol_name(*number) {
                Some(name) => write!(f, "--proto {name}"),
                None => write!(f, "--proto {number}"),
            },
            Wanted::Zone(zone) => write!(f, "--zone {zone}"),
            Wanted::SourceZone(zone) => write!(f, "--source-zone {zone}"),
            Wanted::Mark(mark) => write!(f, "--mark {mark}"),
            Wanted::Unreplied => write!(f, "--unreplied"),
            Wanted::Assured => write!(f, "--assured"),
            Wanted::State(state) => write!(f, "--state {state}"),
            Wanted::SourcePort(port) => write!(f, "--sport {port}"),
            Wanted::DestinationPort(port) => write!(f, "--dport {port}"),
            Wanted::Source(net) => show(f, "--source", net),
            Wanted::Destination(net) => show(f, "--destination", net),
            Wanted::ReplySource(net) => show(f, "--reply-source", net),
            Wanted::ReplyDestination(net) => show(f, "--reply-destination", net),
            Wanted::NatSource(net) => show(f, "--nat-source", net),
            Wanted::NatPort(port) => write!(f, "--nat-port {port}"),
            Wanted::IdleOver(seconds) => write!(f, "--idle-over {}", ShortDuration(*seconds)),
        }
    }
}

fn show(f: &mut fmt::Formatter<'_>, option: &str, net: &IpNet) -> fmt::Result {
    match net.prefix_len() == net.max_prefix_len() {
        true => write!(f, "{option} {}", net.addr()),
        false => write!(f, "{option} {net}"),
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negated { "--not " } else { "" };
        write!(f, "{not}{}", self.wanted)
    }
}

/// As the command line reads them.
impl fmt::Display for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, filter) in self.sorted.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{filter}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
