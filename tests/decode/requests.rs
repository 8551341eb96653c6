//! A delete names one entry whole, or is not made.

use ctctl::core::model::{DCCP, Entry, GRE, ICMP, ICMPV6, L4, SCTP, TCP, Tuple, UDP, UDPLITE};
use ctctl::linux::attribute::Messages;
use ctctl::linux::request;
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage};
use proptest::prelude::*;

use super::{captures, generated, typed};

/// What of an entry makes it the one.
fn identity(entry: &Entry) -> Entry {
    Entry { id: entry.id, zone: entry.zone, original: entry.original, ..Entry::default() }
}

fn holds(entry: &Entry, sequence: u32) {
    let bytes = request::delete(entry, sequence).expect("a delete");
    let message = Messages(&bytes).next().expect("one").expect("message");
    let family = if entry.original.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE; NLM_F_REQUEST; to the kernel.
    assert_eq!((message.kind, message.flags, message.sequence, message.port), (0x102, 1, sequence, 0));
    assert_eq!(message.payload[..4], [family as u8, 0, 0, 0]);
    let Some(ConntrackMessage::Delete(attributes)) = typed::parse(&bytes) else {
        panic!("the typed parse does not see a delete");
    };
    assert!(matches!(attributes[0], ConntrackAttribute::CtaTupleOrig(_)));
    assert_eq!(attributes.len(), if entry.zone == 0 { 2 } else { 3 });
    assert_eq!(typed::entry(&attributes), Some(identity(entry)));
}

#[test]
fn every_captured_entry_can_be_deleted_by_name() {
    let entries = captures::entries();
    assert!(entries.len() > 30);
    entries.iter().zip(1..).for_each(|(entry, sequence)| holds(entry, sequence));
}

proptest! {
    #[test]
    fn every_whole_entry_can_be_deleted_by_name(entry in generated::entry(), sequence: u32) {
        let refused = request::delete(&Entry { id: 0, ..entry }, sequence);
        prop_assert!(refused.is_err(), "without an id the kernel deletes whoever has the tuple");
        holds(&Entry { id: entry.id.max(1), ..entry }, sequence);
    }

    #[test]
    fn an_update_names_the_entry_and_carries_no_more_than_a_timeout(entry in generated::entry(), seconds: u32) {
        let entry = Entry { id: entry.id.max(1), ..entry };
        let bytes = request::update_timeout(&entry, seconds, 9).expect("an update");
        let message = Messages(&bytes).next().expect("one").expect("message");
        prop_assert_eq!((message.kind, message.flags), (0x100, 1), "neither CREATE nor EXCL");
        let typed = typed::parse(&bytes).expect("typed");
        let expected = Entry { timeout_seconds: Some(seconds), ..identity(&entry) };
        prop_assert_eq!(typed::entry(typed::attributes(&typed)), Some(expected));
    }

    #[test]
    fn a_tuple_that_is_not_whole_is_refused(
        tuple in generated::tuple(), other in generated::tuple(), id in 1u32.., zone: u16
    ) {
        // The transport part of one protocol under the number of another.
        let mixed = Tuple { l4: other.l4, ..tuple };
        let entry = Entry { id, zone, original: mixed, ..Entry::default() };
        if std::mem::discriminant(&mixed.l4) != std::mem::discriminant(&tuple.l4) && !bare(&mixed) {
            prop_assert!(request::delete(&entry, 1).is_err());
            prop_assert!(request::update_timeout(&entry, 60, 1).is_err());
        }
        // Two families in one tuple.
        if tuple.source.is_ipv4() != other.source.is_ipv4() {
            let original = Tuple { destination: other.destination, ..tuple };
            let refused = request::delete(&Entry { original, ..entry }, 1).is_err();
            prop_assert!(refused);
        }
    }
}

/// What a kernel without that protocol's tracker shows: the number alone.
fn bare(tuple: &Tuple) -> bool {
    tuple.l4 == L4::None && [SCTP, DCCP, GRE, UDPLITE].contains(&tuple.protocol)
}

#[test]
fn a_tuple_without_what_its_protocol_needs_is_refused() {
    let address = |text: &str| text.parse().expect("address");
    let (ports, icmp) = (L4::Ports { source: 1, destination: 2 }, L4::Icmp { kind: 8, code: 0, id: 3 });
    for (source, destination) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        let entry = |protocol, l4| {
            let original = Tuple { source: address(source), destination: address(destination), protocol, l4 };
            Entry { id: 7, original, ..Entry::default() }
        };
        for (protocol, l4) in [
            (TCP, L4::None),
            (UDP, L4::None),
            (ICMP, L4::None),
            (ICMPV6, L4::None),
            (TCP, icmp),
            (UDP, icmp),
            (SCTP, icmp),
            (ICMP, ports),
            (ICMPV6, ports),
            (253, ports),
            (253, icmp),
        ] {
            assert!(request::delete(&entry(protocol, l4), 1).is_err(), "{protocol} {l4:?}");
        }
        for (protocol, l4) in [(TCP, ports), (ICMP, icmp), (253, L4::None), (DCCP, L4::None), (DCCP, ports)] {
            assert!(request::delete(&entry(protocol, l4), 1).is_ok(), "{protocol} {l4:?}");
        }
    }
}
