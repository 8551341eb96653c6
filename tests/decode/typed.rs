//! What the typed parse of netlink-packet-netfilter says of a message: the second opinion on every byte.

use std::net::IpAddr;

use ctctl::core::model::{Entry, L4, Status, TcpInfo, TcpState, Tuple};
use netlink_packet_core::{DefaultNla, NLA_TYPE_MASK, NetlinkMessage, NetlinkPayload, Nla, NlasIterator};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Tuple as TypedTuple,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};

/// The typed parse of one message; `None` if it is refused or of another subsystem.
pub fn parse(bytes: &[u8]) -> Option<ConntrackMessage> {
    let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes).ok()?;
    match message.payload {
        NetlinkPayload::InnerMessage(NetfilterMessage {
            inner: NetfilterMessageInner::Conntrack(inner),
            ..
        }) => Some(inner),
        _ => None,
    }
}

/// The attributes of a NEW, a GET or a DELETE.
pub fn attributes(message: &ConntrackMessage) -> &[ConntrackAttribute] {
    match message {
        ConntrackMessage::New(a) | ConntrackMessage::Get(a) | ConntrackMessage::Delete(a) => a,
        _ => &[],
    }
}

/// Kind without flags, and value, of an attribute that the crate has no type for.
fn raw(nla: &DefaultNla) -> (u16, Vec<u8>) {
    let mut value = vec![0; nla.value_len()];
    nla.emit_value(&mut value);
    (nla.kind() & NLA_TYPE_MASK, value)
}

fn integer(value: &[u8]) -> u64 {
    value.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A child of a nest that the crate has no type for, by the core crate's own iterator.
fn child(nest: &[u8], kind: u16) -> Option<Vec<u8>> {
    NlasIterator::new(nest)
        .map_while(Result::ok)
        .find(|nla| nla.kind() == kind)
        .map(|nla| nla.value().to_vec())
}

/// A tuple and its own zone; `None` if something is missing.
pub fn tuple(nest: &[TypedTuple]) -> Option<(Tuple, Option<u16>)> {
    let (mut source, mut destination, mut zone): (Option<IpAddr>, Option<IpAddr>, _) = (None, None, None);
    let mut transport = None;
    for nla in nest {
        match nla {
            TypedTuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(a) => source = Some(*a),
                        IPTuple::DestinationAddress(a) => destination = Some(*a),
                        _ => {}
                    }
                }
            }
            TypedTuple::Proto(proto) => transport = Some(l4(proto)),
            TypedTuple::Other(other) if raw(other).0 == 3 => zone = Some(integer(&raw(other).1) as u16),
            _ => {}
        }
    }
    let (protocol, l4) = transport?;
    Some((Tuple { source: source?, destination: destination?, protocol: protocol?, l4 }, zone))
}

fn l4(proto: &[ProtoTuple]) -> (Option<u8>, L4) {
    let (mut protocol, mut source, mut destination) = (None, None, None);
    let (mut id, mut kind, mut code) = (None, None, None);
    for nla in proto {
        match nla {
            ProtoTuple::Protocol(p) => protocol = Some(u8::from(*p)),
            ProtoTuple::SourcePort(p) => source = Some(*p),
            ProtoTuple::DestinationPort(p) => destination = Some(*p),
            ProtoTuple::Other(other) => match raw(other) {
                (4 | 7, value) => id = Some(integer(&value) as u16),
                (5 | 8, value) => kind = Some(integer(&value) as u8),
                (6 | 9, value) => code = Some(integer(&value) as u8),
                _ => {}
            },
            _ => {}
        }
    }
    let l4 = match ((source, destination), (kind, code)) {
        ((Some(source), Some(destination)), _) => L4::Ports { source, destination },
        (_, (Some(kind), Some(code))) => L4::Icmp { kind, code, id: id.unwrap_or(0) },
        _ => L4::None,
    };
    (protocol, l4)
}

fn tcp(infos: &[ProtoInfo]) -> Option<TcpInfo> {
    let ProtoInfo::TCP(nlas) = infos.iter().find(|i| matches!(i, ProtoInfo::TCP(_)))? else { return None };
    let mut tcp = TcpInfo { state: TcpState::None, flags_original: 0, flags_reply: 0 };
    for nla in nlas {
        match nla {
            ProtoInfoTCP::State(state) => tcp.state = TcpState::from_kernel(*state),
            ProtoInfoTCP::OriginalFlags(flags) => tcp.flags_original = flags.flags,
            ProtoInfoTCP::ReplyFlags(flags) => tcp.flags_reply = flags.flags,
            _ => {}
        }
    }
    Some(tcp)
}

/// The entry that the typed attributes make; `None` without a whole original tuple.
pub fn entry(attributes: &[ConntrackAttribute]) -> Option<Entry> {
    let mut entry = Entry::default();
    let (mut original, mut whole_zone, mut zones) = (None, None, [None; 2]);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(nest) => {
                let (read, zone) = tuple(nest)?;
                (original, zones[0]) = (Some(read), zone);
            }
            ConntrackAttribute::CtaTupleReply(nest) => {
                let (read, zone) = tuple(nest)?;
                (entry.reply, zones[1]) = (Some(read), zone);
            }
            ConntrackAttribute::CtaStatus(status) => entry.status = Status(status.bits()),
            ConntrackAttribute::CtaTimeout(seconds) => entry.timeout_seconds = Some(*seconds),
            ConntrackAttribute::CtaMark(mark) => entry.mark = *mark,
            ConntrackAttribute::CtaProtoInfo(infos) => entry.tcp = tcp(infos),
            ConntrackAttribute::Other(other) => match raw(other) {
                (5, _) => entry.helper = true,
                (9 | 10, nest) => {
                    let packets = child(&nest, 1).map_or(0, |v| integer(&v));
                    entry.packets = Some(entry.packets.unwrap_or(0).saturating_add(packets));
                }
                (12, value) => entry.id = integer(&value) as u32,
                (14, nest) => {
                    let nlas = NlasIterator::new(&nest[..]).collect::<Result<Vec<_>, _>>().ok()?;
                    let parse = netlink_packet_core::Parseable::parse;
                    let nest: Vec<TypedTuple> = nlas.iter().map(parse).collect::<Result<_, _>>().ok()?;
                    entry.master = Some(tuple(&nest)?.0);
                }
                (18, value) => whole_zone = Some(integer(&value) as u16),
                (20, nest) => {
                    entry.started_unix_seconds = child(&nest, 1).map(|v| integer(&v) / 1_000_000_000);
                }
                _ => {}
            },
            _ => {}
        }
    }
    entry.original = original?;
    let [original_zone, reply_zone] = zones.map(|zone| whole_zone.or(zone).unwrap_or(0));
    entry.zone = original_zone;
    entry.reply_zone = Some(reply_zone).filter(|zone| *zone != original_zone);
    Some(entry)
}
