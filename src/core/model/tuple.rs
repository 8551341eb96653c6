//! One direction of a flow, as `struct nf_conntrack_tuple` has it.

use std::net::{IpAddr, Ipv4Addr};

/// Number of ICMP, `IPPROTO_ICMP`.
pub const ICMP: u8 = 1;
/// Number of TCP, `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// Number of UDP, `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// Number of DCCP, `IPPROTO_DCCP`.
pub const DCCP: u8 = 33;
/// Number of GRE, `IPPROTO_GRE`.
pub const GRE: u8 = 47;
/// Number of ICMPv6, `IPPROTO_ICMPV6`.
pub const ICMPV6: u8 = 58;
/// Number of SCTP, `IPPROTO_SCTP`.
pub const SCTP: u8 = 132;
/// Number of UDP-Lite, `IPPROTO_UDPLITE`.
pub const UDPLITE: u8 = 136;

/// The part of a tuple that belongs to the transport protocol (`CTA_TUPLE_PROTO`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum L4 {
    /// The protocol has no more than its number (`nf_conntrack_proto_generic`).
    #[default]
    None,
    /// TCP, UDP, SCTP, DCCP, UDP-Lite ports; for GRE the two keys.
    Ports {
        /// Source port in host order.
        source: u16,
        /// Destination port in host order.
        destination: u16,
    },
    /// ICMP and ICMPv6.
    Icmp {
        /// Type of the message.
        kind: u8,
        /// Code of the message.
        code: u8,
        /// Echo identifier, host order.
        id: u16,
    },
}

/// One direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tuple {
    /// Address of the sender.
    pub source: IpAddr,
    /// Address of the receiver.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Ports, keys or ICMP fields.
    pub l4: L4,
}

impl Default for Tuple {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Tuple { source: any, destination: any, protocol: 0, l4: L4::None }
    }
}

impl Tuple {
    /// Destination port, where the protocol has one.
    pub fn destination_port(&self) -> Option<u16> {
        match self.l4 {
            L4::Ports { destination, .. } => Some(destination),
            _ => None,
        }
    }

    /// Source port, where the protocol has one.
    pub fn source_port(&self) -> Option<u16> {
        match self.l4 {
            L4::Ports { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Source that an entry is counted for: that of its original direction, zones kept apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceKey {
    /// Address of the original direction's source.
    pub address: IpAddr,
    /// Zone id of the original direction; 0 is the default zone.
    pub zone: u16,
}

/// The four protocols that counts are split by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolGroup {
    /// Entries of TCP.
    Tcp,
    /// UDP and UDP-Lite.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Entries of all other protocols.
    Other,
}

impl ProtocolGroup {
    /// The split of an IP protocol number.
    pub fn of(protocol: u8) -> Self {
        match protocol {
            TCP => ProtocolGroup::Tcp,
            UDP | UDPLITE => ProtocolGroup::Udp,
            ICMP | ICMPV6 => ProtocolGroup::Icmp,
            _ => ProtocolGroup::Other,
        }
    }
}
