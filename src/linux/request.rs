//! Questions to ctnetlink about one entry, as bytes. They are built from the typed messages of
//! netlink-packet-netfilter.
//!
//! A DELETE whose tuple is missing, truncated or not understood empties the whole table and answers success
//! (`ctnetlink_del_conntrack` falls through to `ctnetlink_flush_conntrack`). So the only way to a delete is
//! [`delete`], which takes an entry, and the encoded bytes are read back and compared before they may be sent.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use super::attribute::{Malformed, Messages};
use super::cta;
use super::decode::{self, CTNETLINK};
use crate::core::model::{DCCP, Entry, GRE, ICMP, ICMPV6, Identity, L4, SCTP, TCP, Tuple, UDP, UDPLITE};

pub(super) const NLA_F_NESTED: u16 = 0x8000;
pub(super) const IPCTNL_MSG_CT_GET: u8 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;

/// Deletes this entry and no other: original tuple, zone and `CTA_ID` (`ctnetlink_del_conntrack` compares the id).
///
/// # Errors
/// If the bytes do not read back as this entry's identity, nothing may be sent.
pub fn delete(entry: &Entry, sequence: u32) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    push_delete(&mut bytes, entry, sequence)?;
    Ok(bytes)
}

/// Appends the delete of an entry to others. It is written by hand, for 200,000 are written in a second where a table
/// is about to be full, and the typed crate takes 0.45 us and ten allocations for each. Its bytes are the typed
/// crate's.
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
    nest(bytes, cta::TUPLE_ORIG, |bytes| push_tuple(bytes, &entry.original));
    attribute(bytes, cta::ID, &entry.id.to_be_bytes());
    if entry.zone != 0 {
        attribute(bytes, cta::ZONE, &entry.zone.to_be_bytes());
    }
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// `CTA_TUPLE_IP` and `CTA_TUPLE_PROTO` (`ctnetlink_parse_tuple`).
fn push_tuple(bytes: &mut Vec<u8>, tuple: &Tuple) {
    nest(bytes, cta::tuple::IP, |bytes| match (tuple.source, tuple.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            attribute(bytes, cta::ip::V4_SRC, &source.octets());
            attribute(bytes, cta::ip::V4_DST, &destination.octets());
        }
        (source, destination) => {
            let octets = |address| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            attribute(bytes, cta::ip::V6_SRC, &octets(source));
            attribute(bytes, cta::ip::V6_DST, &octets(destination));
        }
    });
    nest(bytes, cta::tuple::PROTO, |bytes| {
        attribute(bytes, cta::proto::NUM, &[tuple.protocol]);
        match tuple.l4 {
            L4::None => {}
            L4::Ports { source, destination } => {
                attribute(bytes, cta::proto::SRC_PORT, &source.to_be_bytes());
                attribute(bytes, cta::proto::DST_PORT, &destination.to_be_bytes());
            }
            L4::Icmp { kind, code, id } => {
                use super::cta::proto::{ICMP_CODE, ICMP_ID, ICMP_TYPE, ICMPV6_CODE, ICMPV6_ID, ICMPV6_TYPE};
                let [of_id, of_kind, of_code] = match tuple.protocol {
                    ICMP => [ICMP_ID, ICMP_TYPE, ICMP_CODE],
                    _ => [ICMPV6_ID, ICMPV6_TYPE, ICMPV6_CODE],
                };
                attribute(bytes, of_id, &id.to_be_bytes());
                attribute(bytes, of_kind, &[kind]);
                attribute(bytes, of_code, &[code]);
            }
        }
    });
}

pub(super) fn attribute(bytes: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u16 + 4).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

pub(super) fn nest(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    attribute(bytes, kind | NLA_F_NESTED, &[]);
    body(bytes);
    let length = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// Asks for an entry of which no more than its identity needs to be known as it is now (`ctnetlink_get_conntrack`); the
/// answer tells its `CTA_ID`. By hand and appended to others: asked for in thousands where a table is about to be full.
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

/// An update that changes nothing of an entry. The kernel tells listeners of it all the same, with the time that the
/// entry has left at that moment (`ctnetlink_new_conntrack`, `ctnetlink_conntrack_event`).
///
/// # Errors
/// If the entry cannot be told apart with certainty.
pub fn update_nothing(entry: &Entry, sequence: u32) -> Result<Vec<u8>, Malformed> {
    let bytes = encode(family(&entry.original), ConntrackMessage::New(identity(entry)), 0, sequence);
    same_identity(&bytes, entry)?;
    Ok(bytes)
}

fn identity(entry: &Entry) -> Vec<ConntrackAttribute> {
    let mut attributes = vec![
        ConntrackAttribute::CtaTupleOrig(tuple(&entry.original)),
        ConntrackAttribute::Other(DefaultNla::new(cta::ID, entry.id.to_be_bytes().to_vec())),
    ];
    if entry.zone != 0 {
        attributes
            .push(ConntrackAttribute::Other(DefaultNla::new(cta::ZONE, entry.zone.to_be_bytes().to_vec())));
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

pub(super) fn encode<T: Into<NetfilterMessageInner>>(
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

/// Stands between a bug and an empty table: compares the bytes of a delete with the entry that is meant.
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

/// Checks that the kernel would understand this entry's tuple, and knows it by an id.
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
