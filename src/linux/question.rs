//! Questions to ctnetlink and its neighbours about many entries at once, as bytes: dumps and statistics.

use std::net::Ipv4Addr;

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_packet_netfilter::{NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem};

use super::cta;
use super::request::{IPCTNL_MSG_CT_GET, NLA_F_NESTED, attribute, encode, nest};
use crate::core::model::{Family, Status};

/// The bit that compares the source address, `CTA_FILTER_FLAG(CTA_IP_SRC)` (net/netfilter/nf_internals.h).
const CTA_FILTER_F_CTA_IP_SRC: u32 = 1 << 0;
const IPCTNL_MSG_CT_GET_STATS_CPU: u8 = 4;
const IPCTNL_MSG_CT_GET_STATS: u8 = 5;
/// The subsystem of nfnetlink_cttimeout in a message's type, `NFNL_SUBSYS_CTNETLINK_TIMEOUT`.
pub const CTTIMEOUT: u8 = 8;
/// The subsystem of nf_tables in a message's type, `NFNL_SUBSYS_NFTABLES`.
pub const NFTABLES: u8 = 10;
const NFNL_SUBSYS_CTNETLINK_EXP: u8 = 2;
const IPCTNL_MSG_EXP_GET_STATS_CPU: u8 = 3;
const IPCTNL_MSG_TIMEOUT_GET: u8 = 1;
const NFT_MSG_GETCHAIN: u8 = 4;
const NFT_MSG_GETRULE: u8 = 7;
const NFT_MSG_GETGEN: u8 = 16;
const NFT_MSG_GETOBJ: u8 = 19;
const NFT_MSG_GETFLOWTABLE: u8 = 23;
const NFTA_OBJ_TYPE: u16 = 3;
/// Type of nf_tables' objects that are timeouts, `NFT_OBJECT_CT_TIMEOUT`.
pub const NFT_OBJECT_CT_TIMEOUT: u32 = 7;

/// The part of the table that is wanted. A kernel that does not know a filter hands over more, and never less: each
/// entry that comes is to be compared again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Part {
    /// All entries of the table.
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
            (NetfilterProtoFamily::Unspec, vec![expected(cta::STATUS), expected(cta::STATUS_MASK)])
        }
    };
    // Not the typed message: that takes NLA_F_NESTED away.
    let message = ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_GET, attributes };
    encode(family, message, NLM_F_DUMP, sequence)
}

/// A tuple with its source alone, and the flag that no more of it counts.
fn from(source: Ipv4Addr) -> Vec<DefaultNla> {
    let (mut tuple, mut filter) = (Vec::new(), Vec::new());
    nest(&mut tuple, cta::tuple::IP, |bytes| attribute(bytes, cta::ip::V4_SRC, &source.octets()));
    attribute(&mut filter, cta::filter::ORIG_FLAGS, &CTA_FILTER_F_CTA_IP_SRC.to_ne_bytes());
    let nested = |kind, value| DefaultNla::new(kind | NLA_F_NESTED, value);
    vec![nested(cta::TUPLE_ORIG, tuple), nested(cta::FILTER, filter)]
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

/// Asks for the per-CPU statistics of expectations (`ctnetlink_exp_stat_cpu_dump`), a subsystem of its own.
pub fn expectation_stats_cpu(sequence: u32) -> Vec<u8> {
    dump_of(NFNL_SUBSYS_CTNETLINK_EXP, IPCTNL_MSG_EXP_GET_STATS_CPU, Vec::new(), sequence)
}

/// The timeout policies of nfnetlink_cttimeout (`cttimeout_get_timeout`).
pub fn timeout_policies(sequence: u32) -> Vec<u8> {
    dump_of(CTTIMEOUT, IPCTNL_MSG_TIMEOUT_GET, Vec::new(), sequence)
}

/// The `ct timeout` objects of nftables (`nf_tables_dump_obj`).
pub fn timeout_objects(sequence: u32) -> Vec<u8> {
    let kind = DefaultNla::new(NFTA_OBJ_TYPE, NFT_OBJECT_CT_TIMEOUT.to_be_bytes().to_vec());
    dump_of(NFTABLES, NFT_MSG_GETOBJ, vec![kind], sequence)
}

/// The flowtables of nftables (`nf_tables_dump_flowtable`).
pub fn flowtables(sequence: u32) -> Vec<u8> {
    dump_of(NFTABLES, NFT_MSG_GETFLOWTABLE, Vec::new(), sequence)
}

/// The chains of nftables (`nf_tables_dump_chains`).
pub fn nft_chains(sequence: u32) -> Vec<u8> {
    dump_of(NFTABLES, NFT_MSG_GETCHAIN, Vec::new(), sequence)
}

/// The rules of nftables (`nf_tables_dump_rules`).
pub fn nft_rules(sequence: u32) -> Vec<u8> {
    dump_of(NFTABLES, NFT_MSG_GETRULE, Vec::new(), sequence)
}

/// The generation of nftables' ruleset (`nf_tables_getgen`).
pub fn nft_generation(sequence: u32) -> Vec<u8> {
    let subsys = NetfilterSubsystem::Other(NFTABLES);
    let inner = NetfilterMessageInner::Other { subsys, message_type: NFT_MSG_GETGEN, attributes: Vec::new() };
    encode(NetfilterProtoFamily::Unspec, inner, 0, sequence)
}

fn dump_of(subsystem: u8, message_type: u8, attributes: Vec<DefaultNla>, sequence: u32) -> Vec<u8> {
    let subsys = NetfilterSubsystem::Other(subsystem);
    let inner = NetfilterMessageInner::Other { subsys, message_type, attributes };
    encode(NetfilterProtoFamily::Unspec, inner, NLM_F_DUMP, sequence)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NLM_F_REQUEST;

    use super::*;
    use crate::linux::attribute::{Attributes, Malformed, Messages};

    /// Type without flags, and value.
    fn attributes(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let all: Result<Vec<(u16, &[u8])>, Malformed> = Attributes(bytes).collect();
        all.expect("attributes").into_iter().map(|(kind, value)| (kind, value.to_vec())).collect()
    }

    #[test]
    fn a_part_of_the_table_is_asked_for_by_what_the_kernel_compares() {
        let asked = |part| {
            let bytes = dump(part, 7);
            let message = Messages(&bytes).next().expect("one").expect("a message");
            assert_eq!(
                (message.kind, message.flags, message.sequence),
                (0x101, NLM_F_REQUEST | NLM_F_DUMP, 7)
            );
            (message.payload[0], attributes(&message.payload[4..]))
        };
        assert_eq!(asked(Part::Whole), (0, vec![]));
        assert_eq!(asked(Part::Of(Family::Ipv6)), (libc::AF_INET6 as u8, vec![]));
        let expected = vec![0, 0, 0, 1];
        assert_eq!(
            asked(Part::Children),
            (0, vec![(cta::STATUS, expected.clone()), (cta::STATUS_MASK, expected)])
        );
        let (family, from) = asked(Part::From([10, 0, 0, 7].into()));
        assert_eq!((family, from.len()), (libc::AF_INET as u8, 2));
        let addresses = attributes(&attributes(&from[0].1)[0].1);
        assert_eq!((from[0].0, addresses), (cta::TUPLE_ORIG, vec![(1, vec![10, 0, 0, 7])]));
        assert_eq!(
            (from[1].0, attributes(&from[1].1)),
            (cta::FILTER, vec![(1, 1_u32.to_ne_bytes().to_vec())])
        );
    }
}
