//! ctnetlink's messages become entries: one borrowed pass, nothing allocated.
//!
//! Attributes are those of `enum ctattr_type` and its nests (include/uapi/linux/netfilter/nfnetlink_conntrack.h), in
//! whatever order the kernel sends them (`ctnetlink_fill_info`, `ctnetlink_conntrack_event`). `tests` hold this walk
//! against the typed parse of netlink-packet-netfilter and against captures of a real kernel.

use std::net::IpAddr;

use super::attribute::{Attributes, Malformed, Message, be16, be32, be64, byte};
use crate::model::{Entry, Event, EventKind, L4, Status, TcpInfo, TcpState, Tuple};

/// `NFNL_SUBSYS_CTNETLINK`.
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
            1 => (original, original_zone) = tuple(value).map(|(t, z)| (Some(t), z))?,
            2 => (entry.reply, reply_zone) = tuple(value).map(|(t, z)| (Some(t), z))?,
            3 => entry.status = Status(be32(value)?),
            4 => entry.tcp = protoinfo(value)?.or(entry.tcp),
            5 => entry.helper = true,
            7 => entry.timeout_seconds = Some(be32(value)?),
            8 => entry.mark = be32(value)?,
            9 | 10 => entry.packets = Some(entry.packets.unwrap_or(0).saturating_add(packets(value)?)),
            12 => entry.id = be32(value)?,
            14 => entry.master = Some(tuple(value)?.0),
            18 => whole_zone = Some(be16(value)?),
            20 => entry.started_unix_seconds = started(value)?,
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
            (1, addresses) => {
                for attribute in Attributes(addresses) {
                    match attribute? {
                        (1, v) => source = Some(v4(v)?),
                        (2, v) => destination = Some(v4(v)?),
                        (3, v) => source = Some(v6(v)?),
                        (4, v) => destination = Some(v6(v)?),
                        _ => {}
                    }
                }
            }
            (2, proto) => (protocol, l4) = transport(proto)?,
            (3, v) => zone = Some(be16(v)?),
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

/// `enum ctattr_l4proto`.
fn transport(value: &[u8]) -> Result<(Option<u8>, L4), Malformed> {
    let mut protocol = None;
    let (mut source, mut destination) = (None, None);
    let (mut id, mut kind, mut code) = (None, None, None);
    for attribute in Attributes(value) {
        match attribute? {
            (1, v) => protocol = Some(byte(v)?),
            (2, v) => source = Some(be16(v)?),
            (3, v) => destination = Some(be16(v)?),
            (4 | 7, v) => id = Some(be16(v)?),
            (5 | 8, v) => kind = Some(byte(v)?),
            (6 | 9, v) => code = Some(byte(v)?),
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
        let (1, nest) = attribute? else { continue };
        let mut tcp = TcpInfo { state: TcpState::None, flags_original: 0, flags_reply: 0 };
        for attribute in Attributes(nest) {
            match attribute? {
                (1, v) => tcp.state = TcpState::from_kernel(byte(v)?),
                (4, v) => tcp.flags_original = *v.first().ok_or(Malformed("no TCP flags"))?,
                (5, v) => tcp.flags_reply = *v.first().ok_or(Malformed("no TCP flags"))?,
                _ => {}
            }
        }
        return Ok(Some(tcp));
    }
    Ok(None)
}

/// `CTA_COUNTERS_PACKETS`.
fn packets(value: &[u8]) -> Result<u64, Malformed> {
    for attribute in Attributes(value) {
        if let (1, v) = attribute? {
            return be64(v);
        }
    }
    Ok(0)
}

/// `CTA_TIMESTAMP_START`, in seconds.
fn started(value: &[u8]) -> Result<Option<u64>, Malformed> {
    for attribute in Attributes(value) {
        if let (1, v) = attribute? {
            return Ok(Some(be64(v)? / 1_000_000_000));
        }
    }
    Ok(None)
}
