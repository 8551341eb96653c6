//! ctnetlink's messages become entries: one borrowed pass, nothing allocated.
//!
//! Attributes are those of `enum ctattr_type` and its nests (include/uapi/linux/netfilter/nfnetlink_conntrack.h), in
//! whatever order the kernel sends them (`ctnetlink_fill_info`, `ctnetlink_conntrack_event`). `tests` hold this walk
//! against the typed parse of netlink-packet-netfilter and against captures of a real kernel.

use std::net::IpAddr;

use super::attribute::{Attributes, Malformed, Message, be16, be32, be64, byte};
use super::cta;
use crate::core::model::{Entry, Event, EventKind, L4, Status, TcpInfo, TcpState, Tuple};

/// The subsystem of ctnetlink in a message's type, `NFNL_SUBSYS_CTNETLINK`.
pub const CTNETLINK: u8 = 1;
const IPCTNL_MSG_CT_NEW: u8 = 0;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
/// `NLM_F_CREATE | NLM_F_EXCL`: a NEW event, where an UPDATE has neither.
const NEW_FLAGS: u16 = 0x400 | 0x200;

/// The entry that a message of a dump tells of; `None` for a message of another type.
pub fn entry(message: &Message<'_>) -> Result<Option<Entry>, Malformed> {
    if message.kind != u16::from_be_bytes([CTNETLINK, IPCTNL_MSG_CT_NEW]) {
        return Ok(None);
    }
    walk(message.attributes()?).map(Some)
}

/// The event that a message of the stream tells of; `None` for a message of another type.
pub fn event(message: &Message<'_>) -> Result<Option<Event>, Malformed> {
    let [subsystem, kind] = message.kind.to_be_bytes();
    let kind = match (subsystem, kind) {
        (CTNETLINK, IPCTNL_MSG_CT_NEW) if message.flags & NEW_FLAGS == NEW_FLAGS => EventKind::New,
        (CTNETLINK, IPCTNL_MSG_CT_NEW) => EventKind::Update,
        (CTNETLINK, IPCTNL_MSG_CT_DELETE) => EventKind::Destroy,
        _ => return Ok(None),
    };
    let entry = walk(message.attributes()?)?;
    Ok(Some(Event { kind, entry, foreign: message.port != 0 }))
}

fn walk(attributes: Attributes<'_>) -> Result<Entry, Malformed> {
    let mut entry = Entry::default();
    let mut original = None;
    let (mut original_zone, mut reply_zone) = (None, None);
    let mut whole_zone = None;
    for attribute in attributes {
        let (kind, value) = attribute?;
        match kind {
            cta::TUPLE_ORIG => (original, original_zone) = tuple(value).map(|(t, z)| (Some(t), z))?,
            cta::TUPLE_REPLY => (entry.reply, reply_zone) = tuple(value).map(|(t, z)| (Some(t), z))?,
            cta::STATUS => entry.status = Status(be32(value)?),
            cta::PROTOINFO => entry.tcp = protoinfo(value)?.or(entry.tcp),
            cta::HELP => entry.helper = true,
            cta::TIMEOUT => entry.timeout_seconds = Some(be32(value)?),
            cta::MARK => entry.mark = be32(value)?,
            cta::COUNTERS_ORIG | cta::COUNTERS_REPLY => {
                entry.packets = Some(entry.packets.unwrap_or(0).saturating_add(packets(value)?))
            }
            cta::ID => entry.id = be32(value)?,
            cta::TUPLE_MASTER => entry.master = Some(tuple(value)?.0),
            cta::ZONE => whole_zone = Some(be16(value)?),
            cta::TIMESTAMP => entry.started_unix_seconds = started(value)?,
            _ => {}
        }
    }
    entry.original = original.ok_or(Malformed("no CTA_TUPLE_ORIG"))?;
    // A zone of both directions is CTA_ZONE; one of a single direction is inside its tuple, and the other is in zone 0.
    (entry.zone, entry.reply_zone) = match (whole_zone, original_zone.unwrap_or(0), reply_zone.unwrap_or(0)) {
        (Some(zone), ..) => (zone, None),
        (None, original, reply) => (original, (reply != original).then_some(reply)),
    };
    Ok(entry)
}

/// A tuple and the zone that belongs to it alone (`CTA_TUPLE_ZONE`).
fn tuple(value: &[u8]) -> Result<(Tuple, Option<u16>), Malformed> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut l4, mut zone) = (None, L4::None, None);
    for attribute in Attributes(value) {
        match attribute? {
            (cta::tuple::IP, addresses) => {
                for attribute in Attributes(addresses) {
                    match attribute? {
                        (cta::ip::V4_SRC, v) => source = Some(v4(v)?),
                        (cta::ip::V4_DST, v) => destination = Some(v4(v)?),
                        (cta::ip::V6_SRC, v) => source = Some(v6(v)?),
                        (cta::ip::V6_DST, v) => destination = Some(v6(v)?),
                        _ => {}
                    }
                }
            }
            (cta::tuple::PROTO, proto) => (protocol, l4) = transport(proto)?,
            (cta::tuple::ZONE, v) => zone = Some(be16(v)?),
            _ => {}
        }
    }
    let (Some(source), Some(destination)) = (source, destination) else {
        return Err(Malformed("a tuple without both addresses"));
    };
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(Malformed("a tuple of two families"));
    }
    let protocol = protocol.ok_or(Malformed("a tuple without protocol"))?;
    Ok((Tuple { source, destination, protocol, l4 }, zone))
}

fn v4(value: &[u8]) -> Result<IpAddr, Malformed> {
    <[u8; 4]>::try_from(value).map(IpAddr::from).map_err(|_| Malformed("not an IPv4 address"))
}

fn v6(value: &[u8]) -> Result<IpAddr, Malformed> {
    <[u8; 16]>::try_from(value).map(IpAddr::from).map_err(|_| Malformed("not an IPv6 address"))
}

/// Decodes protocol and ports or ICMP fields (`enum ctattr_l4proto`).
fn transport(value: &[u8]) -> Result<(Option<u8>, L4), Malformed> {
    let mut protocol = None;
    let (mut source, mut destination) = (None, None);
    let (mut id, mut kind, mut code) = (None, None, None);
    for attribute in Attributes(value) {
        match attribute? {
            (cta::proto::NUM, v) => protocol = Some(byte(v)?),
            (cta::proto::SRC_PORT, v) => source = Some(be16(v)?),
            (cta::proto::DST_PORT, v) => destination = Some(be16(v)?),
            (cta::proto::ICMP_ID | cta::proto::ICMPV6_ID, v) => id = Some(be16(v)?),
            (cta::proto::ICMP_TYPE | cta::proto::ICMPV6_TYPE, v) => kind = Some(byte(v)?),
            (cta::proto::ICMP_CODE | cta::proto::ICMPV6_CODE, v) => code = Some(byte(v)?),
            _ => {}
        }
    }
    let l4 = match (source, destination, kind, code) {
        (Some(source), Some(destination), _, _) => L4::Ports { source, destination },
        (_, _, Some(kind), Some(code)) => L4::Icmp { kind, code, id: id.unwrap_or(0) },
        _ => L4::None,
    };
    Ok((protocol, l4))
}

/// `CTA_PROTOINFO_TCP` of `CTA_PROTOINFO`; other protocols' states are not needed.
fn protoinfo(value: &[u8]) -> Result<Option<TcpInfo>, Malformed> {
    for attribute in Attributes(value) {
        let (cta::protoinfo::TCP, nest) = attribute? else { continue };
        let mut tcp = TcpInfo { state: TcpState::None, flags_original: 0, flags_reply: 0 };
        for attribute in Attributes(nest) {
            match attribute? {
                (cta::tcp::STATE, v) => tcp.state = TcpState::from_kernel(byte(v)?),
                (cta::tcp::FLAGS_ORIGINAL, v) => {
                    tcp.flags_original = *v.first().ok_or(Malformed("no TCP flags"))?
                }
                (cta::tcp::FLAGS_REPLY, v) => {
                    tcp.flags_reply = *v.first().ok_or(Malformed("no TCP flags"))?
                }
                _ => {}
            }
        }
        return Ok(Some(tcp));
    }
    Ok(None)
}

/// Reads the packets of a nest of counters (`CTA_COUNTERS_PACKETS`).
fn packets(value: &[u8]) -> Result<u64, Malformed> {
    for attribute in Attributes(value) {
        if let (cta::counters::PACKETS, v) = attribute? {
            return be64(v);
        }
    }
    Ok(0)
}

/// `CTA_TIMESTAMP_START`, in seconds.
fn started(value: &[u8]) -> Result<Option<u64>, Malformed> {
    for attribute in Attributes(value) {
        if let (cta::timestamp::START, v) = attribute? {
            return Ok(Some(be64(v)? / 1_000_000_000));
        }
    }
    Ok(None)
}
