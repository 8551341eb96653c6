//! Entries of every kind, and the typed attributes that tell of them in any order.

use std::net::IpAddr;

use ctctl::core::model::{
    DCCP, Entry, GRE, ICMP, ICMPV6, L4, SCTP, Status, TCP, TcpInfo, TcpState, Tuple, UDP, UDPLITE,
};
use ctctl::linux::question::CTTIMEOUT;
use netlink_packet_core::{DefaultNla, Emitable, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Protocol,
    Status as TypedStatus, TCPFlags, Tuple as TypedTuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const PORTS: [u8; 6] = [TCP, UDP, SCTP, DCCP, GRE, UDPLITE];

fn l4() -> impl Strategy<Value = (u8, L4)> {
    let ports = (prop::sample::select(&PORTS[..]), any::<(u16, u16)>())
        .prop_map(|(protocol, (source, destination))| (protocol, L4::Ports { source, destination }));
    let icmp = (prop::sample::select(&[ICMP, ICMPV6][..]), any::<(u8, u8, u16)>())
        .prop_map(|(protocol, (kind, code, id))| (protocol, L4::Icmp { kind, code, id }));
    let known = |protocol: &u8| !PORTS.contains(protocol) && ![ICMP, ICMPV6].contains(protocol);
    let unknown = any::<u8>().prop_filter("unknown", known).prop_map(|protocol| (protocol, L4::None));
    prop_oneof![3 => ports, 1 => icmp, 1 => unknown]
}

/// A tuple that has what its protocol needs.
pub fn tuple() -> impl Strategy<Value = Tuple> {
    let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(s, d)| (IpAddr::from(s), IpAddr::from(d)));
    let v6 = any::<([u8; 16], [u8; 16])>().prop_map(|(s, d)| (IpAddr::from(s), IpAddr::from(d)));
    (prop_oneof![v4, v6], l4()).prop_map(|((source, destination), (protocol, l4))| Tuple {
        source,
        destination,
        protocol,
        l4,
    })
}

/// Any entry, with anything but the original tuple missing now and then.
pub fn entry() -> impl Strategy<Value = Entry> {
    let tcp = any::<(u8, u8, u8)>().prop_map(|(state, flags_original, flags_reply)| TcpInfo {
        state: TcpState::from_kernel(state),
        flags_original,
        flags_reply,
    });
    let numbers = (any::<u32>(), any::<u16>(), any::<u32>(), option::of(any::<u32>()), any::<u32>());
    let tuples = (tuple(), option::of(tuple()), option::of(tuple()));
    let rest =
        (option::of(tcp), any::<bool>(), option::of(any::<u64>()), option::of(0..=u64::MAX / 1_000_000_000));
    (numbers, tuples, rest).prop_map(|(numbers, (original, reply, master), rest)| {
        let (id, zone, status, timeout_seconds, mark) = numbers;
        let (tcp, helper, packets, started_unix_seconds) = rest;
        let status = Status(status);
        let known =
            Entry { id, zone, original, reply, status, timeout_seconds, tcp, mark, ..Entry::default() };
        Entry { helper, master, packets, started_unix_seconds, ..known }
    })
}

fn other(kind: u16, value: impl Into<Vec<u8>>) -> DefaultNla {
    DefaultNla::new(kind, value.into())
}

/// The bytes of nested attributes.
pub fn nest<T: netlink_packet_core::Nla>(nlas: &[T]) -> Vec<u8> {
    let mut bytes = vec![0; nlas.buffer_len()];
    nlas.emit(&mut bytes);
    bytes
}

/// The typed form of a tuple, with `CTA_TUPLE_ZONE` if it has a zone of its own.
pub fn typed_tuple(tuple: &Tuple, zone: Option<u16>) -> Vec<TypedTuple> {
    let mut proto = vec![ProtoTuple::Protocol(Protocol::from(tuple.protocol))];
    match tuple.l4 {
        L4::None => {}
        L4::Ports { source, destination } => {
            proto.extend([ProtoTuple::SourcePort(source), ProtoTuple::DestinationPort(destination)]);
        }
        L4::Icmp { kind, code, id } => {
            let base = if tuple.protocol == ICMPV6 { 7 } else { 4 };
            let values = [id.to_be_bytes().to_vec(), vec![kind], vec![code]];
            proto.extend((base..).zip(values).map(|(kind, value)| ProtoTuple::Other(other(kind, value))));
        }
    }
    let ip = vec![IPTuple::SourceAddress(tuple.source), IPTuple::DestinationAddress(tuple.destination)];
    let zone = zone.map(|zone| TypedTuple::Other(other(3, zone.to_be_bytes())));
    [TypedTuple::Ip(ip), TypedTuple::Proto(proto)].into_iter().chain(zone).collect()
}

/// Where a zone is told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ZoneIn {
    Whole,
    Original,
    Reply,
}

/// The zones that the tuples of its two directions have of their own, where one is told there.
fn own_zones(zone: u16, zone_in: ZoneIn) -> [Option<u16>; 2] {
    let of = |direction| (zone != 0 && zone_in == direction).then_some(zone);
    [of(ZoneIn::Original), of(ZoneIn::Reply)]
}

/// An entry as it is read where its zone is told so. What is told of the reply alone needs a reply.
pub fn read_back(entry: Entry, zone_in: ZoneIn) -> Entry {
    match zone_in {
        _ if entry.zone == 0 => entry,
        ZoneIn::Whole => entry,
        ZoneIn::Original => Entry { reply_zone: Some(0), ..entry },
        ZoneIn::Reply if entry.reply.is_none() => Entry { zone: 0, ..entry },
        ZoneIn::Reply => Entry { zone: 0, reply_zone: Some(entry.zone), ..entry },
    }
}

/// Everything that an entry says, as the kernel nests it.
pub fn attributes(entry: &Entry, zone_in: ZoneIn) -> Vec<ConntrackAttribute> {
    use ConntrackAttribute::{
        CtaMark, CtaProtoInfo, CtaStatus, CtaTimeout, CtaTupleOrig, CtaTupleReply, Other,
    };
    const NESTED: u16 = 0x8000;
    let [own, of_reply] = own_zones(entry.zone, zone_in);
    let mut all = vec![CtaTupleOrig(typed_tuple(&entry.original, own))];
    all.extend(entry.reply.map(|reply| CtaTupleReply(typed_tuple(&reply, of_reply))));
    all.push(CtaStatus(TypedStatus::from_bits_retain(entry.status.0)));
    all.extend(entry.timeout_seconds.map(CtaTimeout));
    all.push(CtaMark(entry.mark));
    all.push(Other(other(12, entry.id.to_be_bytes())));
    if entry.zone != 0 && zone_in == ZoneIn::Whole {
        all.push(Other(other(18, entry.zone.to_be_bytes())));
    }
    all.extend(entry.tcp.map(|tcp| {
        let flags = |flags| TCPFlags::parse(&[flags, 0xff]).expect("two bytes");
        CtaProtoInfo(vec![ProtoInfo::TCP(vec![
            ProtoInfoTCP::State(tcp.state.to_kernel()),
            ProtoInfoTCP::OriginalWindowScale(7),
            ProtoInfoTCP::OriginalFlags(flags(tcp.flags_original)),
            ProtoInfoTCP::ReplyFlags(flags(tcp.flags_reply)),
        ])])
    }));
    if entry.helper {
        all.push(Other(other(5 | NESTED, nest(&[other(1, *b"ftp\0")]))));
    }
    if let Some(packets) = entry.packets {
        // CTA_COUNTERS_ORIG and CTA_COUNTERS_REPLY, each with CTA_COUNTERS_BYTES too.
        for (kind, packets) in [(9, packets / 3), (10, packets - packets / 3)] {
            let counters = [other(1, packets.to_be_bytes()), other(2, u64::MAX.to_be_bytes())];
            all.push(Other(other(kind | NESTED, nest(&counters))));
        }
    }
    all.extend(entry.master.map(|master| Other(other(14 | NESTED, nest(&typed_tuple(&master, None))))));
    all.extend(entry.started_unix_seconds.map(|seconds| {
        let stamps = [other(1, (seconds * 1_000_000_000).to_be_bytes())];
        Other(other(20 | NESTED, nest(&stamps)))
    }));
    all
}

/// Attributes that no one here reads: NAT sequence adjustments, labels, what a later kernel may add.
pub fn unknown() -> impl Strategy<Value = Vec<ConntrackAttribute>> {
    let kinds = prop::sample::select(&[6u16, 11, 13, 15, 16, 19, 22, 24, 27, 28, 99, 0x3fff][..]);
    let one = (kinds, vec(any::<u8>(), 0..9)).prop_map(|(k, v)| ConntrackAttribute::Other(other(k, v)));
    vec(one, 0..4)
}

fn shuffled<T: Clone + std::fmt::Debug>(values: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    Just(values).prop_shuffle()
}

/// An entry and its attributes in any order, the parts of its original tuple too, with unknown ones in between.
pub fn told() -> impl Strategy<Value = (Entry, Vec<ConntrackAttribute>)> {
    let zone_in = prop::sample::select(&[ZoneIn::Whole, ZoneIn::Original, ZoneIn::Reply][..]);
    (entry(), unknown(), zone_in).prop_flat_map(|(entry, unknown, zone_in)| {
        let [own, _] = own_zones(entry.zone, zone_in);
        let parts = typed_tuple(&entry.original, own).into_iter().map(|part| match part {
            TypedTuple::Proto(p) => shuffled(p).prop_map(TypedTuple::Proto).boxed(),
            TypedTuple::Ip(p) => shuffled(p).prop_map(TypedTuple::Ip).boxed(),
            part => Just(part).boxed(),
        });
        let parts = parts.collect::<Vec<_>>().prop_flat_map(shuffled);
        parts.prop_flat_map(move |parts| {
            let mut all = attributes(&entry, zone_in);
            all[0] = ConntrackAttribute::CtaTupleOrig(parts);
            all.extend(unknown.clone());
            (Just(read_back(entry, zone_in)), shuffled(all))
        })
    })
}

/// A whole message as bytes.
pub fn message(
    inner: impl Into<NetfilterMessageInner>,
    v4: bool,
    edit: impl FnOnce(&mut NetlinkHeader),
) -> Vec<u8> {
    let family = if v4 { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    let mut header = NetlinkHeader::default();
    edit(&mut header);
    let payload = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner);
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// A NEW, as events and dumps are.
pub fn new(attributes: Vec<ConntrackAttribute>, edit: impl FnOnce(&mut NetlinkHeader)) -> Vec<u8> {
    message(ConntrackMessage::New(attributes), true, edit)
}

/// `IPCTNL_MSG_TIMEOUT_NEW`: a policy of nfnetlink_cttimeout, from pairs of attribute and seconds.
pub fn timeout_policy(name: &str, protocol: u8, seconds: &[(u16, u32)], sequence: u32) -> Vec<u8> {
    let data: Vec<_> = seconds.iter().map(|(kind, s)| other(*kind, s.to_be_bytes())).collect();
    let attributes = vec![
        other(1, format!("{name}\0")),
        other(2, (libc::AF_INET as u16).to_be_bytes()),
        other(3, [protocol]),
        other(4 | 0x8000, nest(&data)),
    ];
    let subsys = NetfilterSubsystem::Other(CTTIMEOUT);
    let inner = NetfilterMessageInner::Other { subsys, message_type: 0, attributes };
    // NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    message(inner, true, |header| (header.flags, header.sequence_number) = (0x405, sequence))
}
