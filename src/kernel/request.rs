//! What is asked of ctnetlink, as bytes. Built from the typed messages of netlink-packet-netfilter.
//!
//! A DELETE whose tuple is missing, truncated or not understood empties the whole table and answers success
//! (`ctnetlink_del_conntrack` falls through to `ctnetlink_flush_conntrack`). So the only way to a delete is
//! [`delete`], which takes an entry, and the encoded bytes are read back and compared before they may be sent.

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};

use super::attribute::{Malformed, Messages};
use super::decode::{self, CTNETLINK};
use crate::model::{DCCP, Entry, GRE, ICMP, ICMPV6, L4, SCTP, TCP, Tuple, UDP, UDPLITE};

const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const IPCTNL_MSG_CT_GET_STATS_CPU: u8 = 4;
const IPCTNL_MSG_CT_GET_STATS: u8 = 5;
/// `NFNL_SUBSYS_CTNETLINK_TIMEOUT`.
pub const CTTIMEOUT: u8 = 8;
/// `NFNL_SUBSYS_NFTABLES`.
pub const NFTABLES: u8 = 10;
const IPCTNL_MSG_TIMEOUT_GET: u8 = 1;
const NFT_MSG_GETOBJ: u8 = 19;
const NFTA_OBJ_TYPE: u16 = 3;
/// `NFT_OBJECT_CT_TIMEOUT`.
pub const NFT_OBJECT_CT_TIMEOUT: u32 = 7;

/// Every entry of both families.
pub fn dump(sequence: u32) -> Vec<u8> {
    let message = ConntrackMessage::Get(Vec::new());
    encode(NetfilterProtoFamily::Unspec, message, NLM_F_DUMP, sequence)
}

/// Count and max (`ctnetlink_stat_ct`), whose one answer claims to be of many (NLM_F_MULTI) and has no NLMSG_DONE: the
/// acknowledgement ends it.
pub fn stats(sequence: u32) -> Vec<u8> {
    let message = ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_GET_STATS, attributes: Vec::new() };
    encode(NetfilterProtoFamily::Unspec, message, NLM_F_ACK, sequence)
}

/// The per-CPU statistics (`ctnetlink_ct_stat_cpu_dump`).
pub fn stats_cpu(sequence: u32) -> Vec<u8> {
    let message =
        ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_GET_STATS_CPU, attributes: Vec::new() };
    encode(NetfilterProtoFamily::Unspec, message, NLM_F_DUMP, sequence)
}

/// The timeout policies of nfnetlink_cttimeout (`cttimeout_get_timeout`).
pub fn timeout_policies(sequence: u32) -> Vec<u8> {
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::Other(CTTIMEOUT),
        message_type: IPCTNL_MSG_TIMEOUT_GET,
        attributes: Vec::new(),
    };
    encode(NetfilterProtoFamily::Unspec, inner, NLM_F_DUMP, sequence)
}

/// The `ct timeout` objects of nftables (`nf_tables_dump_obj`).
pub fn timeout_objects(sequence: u32) -> Vec<u8> {
    let kind = DefaultNla::new(NFTA_OBJ_TYPE, NFT_OBJECT_CT_TIMEOUT.to_be_bytes().to_vec());
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::Other(NFTABLES),
        message_type: NFT_MSG_GETOBJ,
        attributes: vec![kind],
    };
    encode(NetfilterProtoFamily::Unspec, inner, NLM_F_DUMP, sequence)
}

/// Deletes this entry and no other: original tuple, zone and `CTA_ID` (`ctnetlink_del_conntrack` compares the id).
///
/// # Errors
/// If the bytes do not read back as this entry's identity, nothing may be sent.
pub fn delete(entry: &Entry, sequence: u32) -> Result<Vec<u8>, Malformed> {
    let message = ConntrackMessage::Delete(identity(entry));
    let bytes = encode(family(&entry.original), message, 0, sequence);
    check_delete(&bytes, entry)?;
    Ok(bytes)
}

/// Asks for this entry as it is now (`ctnetlink_get_conntrack`); the answer tells its `CTA_ID`.
///
/// # Errors
/// If the bytes do not read back as this entry's identity, nothing may be sent.
pub fn get(entry: &Entry, sequence: u32) -> Result<Vec<u8>, Malformed> {
    let bytes = encode(family(&entry.original), ConntrackMessage::Get(identity(entry)), 0, sequence);
    same_identity(&bytes, entry)?;
    Ok(bytes)
}

/// Sets the time left of this entry (`ctnetlink_change_timeout`), without creating it where it is gone.
/// Updates do not check `CTA_ID`: look again before.
///
/// # Errors
/// If the bytes do not read back as this entry's identity, nothing may be sent.
pub fn update_timeout(entry: &Entry, seconds: u32, sequence: u32) -> Result<Vec<u8>, Malformed> {
    let mut attributes = identity(entry);
    attributes.push(ConntrackAttribute::CtaTimeout(seconds));
    let bytes = encode(family(&entry.original), ConntrackMessage::New(attributes), 0, sequence);
    same_identity(&bytes, entry)?;
    Ok(bytes)
}

fn identity(entry: &Entry) -> Vec<ConntrackAttribute> {
    let mut attributes = vec![
        ConntrackAttribute::CtaTupleOrig(tuple(&entry.original)),
        ConntrackAttribute::Other(DefaultNla::new(CTA_ID, entry.id.to_be_bytes().to_vec())),
    ];
    if entry.zone != 0 {
        attributes
            .push(ConntrackAttribute::Other(DefaultNla::new(CTA_ZONE, entry.zone.to_be_bytes().to_vec())));
    }
    attributes
}

fn family(tuple: &Tuple) -> NetfilterProtoFamily {
    if tuple.source.is_ipv4() { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 }
}

fn tuple(tuple: &Tuple) -> Vec<netlink_packet_netfilter::conntrack::Tuple> {
    use netlink_packet_netfilter::conntrack::Tuple as Typed;
    // Numbers, not the crate's names: its `Protocol::IpIp` is 94 where Linux has 4, and `From<u8>` keeps the number.
    let mut proto = vec![ProtoTuple::Protocol(Protocol::from(tuple.protocol))];
    let other = |kind: u16, value: &[u8]| ProtoTuple::Other(DefaultNla::new(kind, value.to_vec()));
    match tuple.l4 {
        L4::None => {}
        L4::Ports { source, destination } => {
            proto.push(ProtoTuple::SourcePort(source));
            proto.push(ProtoTuple::DestinationPort(destination));
        }
        L4::Icmp { kind, code, id } => {
            let base = if tuple.protocol == ICMPV6 { 7 } else { 4 };
            proto.push(other(base, &id.to_be_bytes()));
            proto.push(other(base + 1, &[kind]));
            proto.push(other(base + 2, &[code]));
        }
    }
    let addresses =
        vec![IPTuple::SourceAddress(tuple.source), IPTuple::DestinationAddress(tuple.destination)];
    vec![Typed::Ip(addresses), Typed::Proto(proto)]
}

fn encode<T: Into<NetfilterMessageInner>>(
    family: NetfilterProtoFamily,
    message: T,
    flags: u16,
    sequence: u32,
) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let payload = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
    let mut message = NetlinkMessage::new(header, netlink_packet_core::NetlinkPayload::from(payload));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// What stands between a bug and an empty table.
fn check_delete(bytes: &[u8], entry: &Entry) -> Result<(), Malformed> {
    let mut messages = Messages(bytes);
    let message = messages.next().ok_or(Malformed("an empty request"))??;
    if messages.next().is_some() || !bytes.len().is_multiple_of(4) {
        return Err(Malformed("a delete that is not one message"));
    }
    if message.kind != u16::from_be_bytes([CTNETLINK, 2]) || message.flags != NLM_F_REQUEST {
        return Err(Malformed("not a plain delete"));
    }
    same_identity(bytes, entry)
}

fn same_identity(bytes: &[u8], entry: &Entry) -> Result<(), Malformed> {
    let Some(Ok(mut message)) = Messages(bytes).next() else {
        return Err(Malformed("an unreadable request"));
    };
    let family = if entry.original.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    if message.payload.first().copied() != Some(family as u8) {
        return Err(Malformed("a request of the wrong family"));
    }
    identifiable(entry)?;
    message.kind = u16::from_be_bytes([CTNETLINK, 0]);
    let read = decode::entry(&message)?.ok_or(Malformed("an unreadable request"))?;
    if read.original != entry.original || read.zone != entry.zone || read.id != entry.id {
        return Err(Malformed("a request that does not read back as its entry"));
    }
    Ok(())
}

/// Whether the kernel would understand this entry's tuple, and knows it by an id.
///
/// # Errors
/// If not: nothing may be asked of it.
pub fn identifiable(entry: &Entry) -> Result<(), Malformed> {
    let complete = match entry.original.l4 {
        L4::Ports { .. } => matches!(entry.original.protocol, TCP | UDP | SCTP | DCCP | GRE | UDPLITE),
        L4::Icmp { .. } => matches!(entry.original.protocol, ICMP | ICMPV6),
        // A kernel without a tracker for one of the others (6.18 has none for DCCP) knows its number alone;
        // one with it answers EINVAL to a tuple without ports.
        L4::None => !matches!(entry.original.protocol, TCP | UDP | ICMP | ICMPV6),
    };
    match complete {
        false => Err(Malformed("a tuple that the kernel would not understand")),
        true if entry.id == 0 => Err(Malformed("an entry without an id")),
        true => Ok(()),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
