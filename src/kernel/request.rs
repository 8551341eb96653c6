//! What is asked of ctnetlink, as bytes. Built from the typed messages of netlink-packet-netfilter.
//!
//! A DELETE whose tuple is missing, truncated or not understood empties the whole table and answers success
//! (`ctnetlink_del_conntrack` falls through to `ctnetlink_flush_conntrack`). So the only way to a delete is
//! [`delete`], which takes an entry, and the encoded bytes are read back and compared before they may be sent.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};

use super::attribute::{Malformed, Messages};
use super::decode::{self, CTNETLINK};
use crate::model::{
    DCCP, Entry, Family, GRE, ICMP, ICMPV6, Identity, L4, SCTP, Status, TCP, Tuple, UDP, UDPLITE,
};

const NLA_F_NESTED: u16 = 0x8000;
const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_STATUS: u16 = 3;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_STATUS_MASK: u16 = 26;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// `CTA_FILTER_FLAG(CTA_IP_SRC)`, net/netfilter/nf_internals.h.
const CTA_FILTER_F_CTA_IP_SRC: u32 = 1 << 0;
const IPCTNL_MSG_CT_GET_STATS_CPU: u8 = 4;
const IPCTNL_MSG_CT_GET_STATS: u8 = 5;
/// `NFNL_SUBSYS_CTNETLINK_TIMEOUT`.
pub const CTTIMEOUT: u8 = 8;
/// `NFNL_SUBSYS_NFTABLES`.
pub const NFTABLES: u8 = 10;
const NFNL_SUBSYS_CTNETLINK_EXP: u8 = 2;
const IPCTNL_MSG_EXP_GET_STATS_CPU: u8 = 3;
const IPCTNL_MSG_TIMEOUT_GET: u8 = 1;
const NFT_MSG_GETCHAIN: u8 = 4;
const NFT_MSG_GETRULE: u8 = 7;
const NFT_MSG_GETOBJ: u8 = 19;
const NFT_MSG_GETFLOWTABLE: u8 = 23;
const NFTA_OBJ_TYPE: u16 = 3;
/// `NFT_OBJECT_CT_TIMEOUT`.
pub const NFT_OBJECT_CT_TIMEOUT: u32 = 7;

/// What of the table is wanted. A kernel that does not know a filter hands over more, and never less: what comes is to
/// be looked at again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Part {
    /// Every entry.
    #[default]
    Whole,
    /// One family: the one filter that every kernel has (`ctnetlink_dump_table` compares `nfgen_family`).
    Of(Family),
    /// One source, since 5.8 (`CTA_FILTER`). The same of IPv6 is inverted on 6.1 (`ctnetlink_filter_match_tuple`), and
    /// so is not offered.
    From(Ipv4Addr),
    /// Entries that another one expected, since 5.15 (`CTA_STATUS_MASK`).
    Children,
}

/// A dump of a part of the table (`ctnetlink_get_conntrack`).
pub fn dump(part: Part, sequence: u32) -> Vec<u8> {
    let (family, attributes) = match part {
        Part::Whole => (NetfilterProtoFamily::Unspec, Vec::new()),
        Part::Of(Family::Ipv4) => (NetfilterProtoFamily::IPv4, Vec::new()),
        Part::Of(Family::Ipv6) => (NetfilterProtoFamily::IPv6, Vec::new()),
        Part::From(source) => (NetfilterProtoFamily::IPv4, from(source)),
        Part::Children => {
            let expected = |kind| DefaultNla::new(kind, Status::EXPECTED.to_be_bytes().to_vec());
            (NetfilterProtoFamily::Unspec, vec![expected(CTA_STATUS), expected(CTA_STATUS_MASK)])
        }
    };
    // Not the typed message: that takes NLA_F_NESTED away.
    let message = ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_GET, attributes };
    encode(family, message, NLM_F_DUMP, sequence)
}

/// A tuple with its source alone, and the flag that no more of it counts.
fn from(source: Ipv4Addr) -> Vec<DefaultNla> {
    let (mut tuple, mut filter) = (Vec::new(), Vec::new());
    nest(&mut tuple, 1, |bytes| attribute(bytes, 1, &source.octets()));
    attribute(&mut filter, CTA_FILTER_ORIG_FLAGS, &CTA_FILTER_F_CTA_IP_SRC.to_ne_bytes());
    let nested = |kind, value| DefaultNla::new(kind | NLA_F_NESTED, value);
    vec![nested(CTA_TUPLE_ORIG, tuple), nested(CTA_FILTER, filter)]
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

/// The same of expectations (`ctnetlink_exp_stat_cpu_dump`), a subsystem of its own.
pub fn expectation_stats_cpu(sequence: u32) -> Vec<u8> {
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::Other(NFNL_SUBSYS_CTNETLINK_EXP),
        message_type: IPCTNL_MSG_EXP_GET_STATS_CPU,
        attributes: Vec::new(),
    };
    encode(NetfilterProtoFamily::Unspec, inner, NLM_F_DUMP, sequence)
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

/// The flowtables of nftables (`nf_tables_dump_flowtable`).
pub fn flowtables(sequence: u32) -> Vec<u8> {
    nft_dump(NFT_MSG_GETFLOWTABLE, sequence)
}

/// The chains of nftables (`nf_tables_dump_chains`).
pub fn nft_chains(sequence: u32) -> Vec<u8> {
    nft_dump(NFT_MSG_GETCHAIN, sequence)
}

/// The rules of nftables (`nf_tables_dump_rules`).
pub fn nft_rules(sequence: u32) -> Vec<u8> {
    nft_dump(NFT_MSG_GETRULE, sequence)
}

fn nft_dump(message_type: u8, sequence: u32) -> Vec<u8> {
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::Other(NFTABLES),
        message_type,
        attributes: Vec::new(),
    };
    encode(NetfilterProtoFamily::Unspec, inner, NLM_F_DUMP, sequence)
}

/// Deletes this entry and no other: original tuple, zone and `CTA_ID` (`ctnetlink_del_conntrack` compares the id).
///
/// # Errors
/// If the bytes do not read back as this entry's identity, nothing may be sent.
pub fn delete(entry: &Entry, sequence: u32) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    push_delete(&mut bytes, entry, sequence)?;
    Ok(bytes)
}

/// The same, appended to others: by hand, for it is written 200,000 times a second where a table is about to be full,
/// and the typed crate takes 0.45 us and ten allocations for it. Its bytes are the typed crate's.
///
/// # Errors
/// If the bytes do not read back as this entry's identity; nothing is appended then.
pub fn push_delete(bytes: &mut Vec<u8>, entry: &Entry, sequence: u32) -> Result<(), Malformed> {
    let start = bytes.len();
    push_identity(bytes, IPCTNL_MSG_CT_DELETE, entry, sequence);
    let checked = check_delete(&bytes[start..], entry);
    if checked.is_err() {
        bytes.truncate(start);
    }
    checked
}

/// A request with the identity of an entry.
fn push_identity(bytes: &mut Vec<u8>, kind: u8, entry: &Entry, sequence: u32) {
    let start = bytes.len();
    let family = if entry.original.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&u16::from_be_bytes([CTNETLINK, kind]).to_ne_bytes());
    bytes.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, family as u8, 0, 0, 0]);
    nest(bytes, CTA_TUPLE_ORIG, |bytes| push_tuple(bytes, &entry.original));
    attribute(bytes, CTA_ID, &entry.id.to_be_bytes());
    if entry.zone != 0 {
        attribute(bytes, CTA_ZONE, &entry.zone.to_be_bytes());
    }
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// `CTA_TUPLE_IP` and `CTA_TUPLE_PROTO` (`ctnetlink_parse_tuple`).
fn push_tuple(bytes: &mut Vec<u8>, tuple: &Tuple) {
    nest(bytes, 1, |bytes| match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            attribute(bytes, 1, &source.octets());
            attribute(bytes, 2, &destination.octets());
        }
        (source, destination) => {
            let octets = |address| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            attribute(bytes, 3, &octets(source));
            attribute(bytes, 4, &octets(destination));
        }
    });
    nest(bytes, 2, |bytes| {
        attribute(bytes, 1, &[tuple.protocol]);
        match tuple.l4 {
            L4::None => {}
            L4::Ports { source, destination } => {
                attribute(bytes, 2, &source.to_be_bytes());
                attribute(bytes, 3, &destination.to_be_bytes());
            }
            L4::Icmp { kind, code, id } => {
                let first = if tuple.protocol == ICMP { 4 } else { 7 };
                attribute(bytes, first, &id.to_be_bytes());
                attribute(bytes, first + 1, &[kind]);
                attribute(bytes, first + 2, &[code]);
            }
        }
    });
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u16 + 4).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn nest(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    attribute(bytes, kind | NLA_F_NESTED, &[]);
    body(bytes);
    let length = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
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

/// The same by hand, appended to others, for an entry of which no more than its identity is known: asked for in
/// thousands where a table is about to be full.
///
/// # Errors
/// If the kernel would not understand the tuple; nothing is appended then.
pub fn push_get(bytes: &mut Vec<u8>, known: &impl Identity, sequence: u32) -> Result<(), Malformed> {
    let entry = known.identity();
    identifiable(&entry)?;
    push_identity(bytes, IPCTNL_MSG_CT_GET, &entry, sequence);
    Ok(())
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
