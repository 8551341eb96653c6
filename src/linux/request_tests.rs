use super::*;
use crate::core::model::ICMP;
use crate::linux::question::{Part, dump, stats, stats_cpu, timeout_objects, timeout_policies};

fn tuple(source: &str, destination: &str, protocol: u8, l4: L4) -> Tuple {
    let address = |text: &str| text.parse().expect("address");
    Tuple { source: address(source), destination: address(destination), protocol, l4 }
}

/// One of every shape that a tuple has.
fn entries() -> Vec<Entry> {
    let ports = L4::Ports { source: 40_001, destination: 443 };
    let echo = |kind| L4::Icmp { kind, code: 0, id: 0x1234 };
    let (v4, v6) = (("10.0.0.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::9"));
    [
        (tuple(v4.0, v4.1, TCP, ports), 0),
        (tuple(v6.0, v6.1, UDP, ports), 9),
        (tuple(v4.0, v4.1, ICMP, echo(8)), 0x1234),
        (tuple(v6.0, v6.1, ICMPV6, echo(128)), 0),
        (tuple(v4.0, v4.1, 253, L4::None), 1),
    ]
    .map(|(original, zone)| Entry { id: 0x0102_0304, zone, original, ..Entry::default() })
    .to_vec()
}

/// What the typed crate reads in the bytes of a delete: identity, or nothing.
fn read_back(bytes: &[u8]) -> Option<Vec<ConntrackAttribute>> {
    let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes).ok()?;
    match message.payload {
        netlink_packet_core::NetlinkPayload::InnerMessage(NetfilterMessage {
            inner: NetfilterMessageInner::Conntrack(ConntrackMessage::Delete(attributes)),
            ..
        }) => Some(attributes),
        _ => None,
    }
}

/// Positions at which a flipped bit means nothing to the kernel: sequence and port of the header, version and
/// resource of `struct nfgenmsg`, and the flags and the padding of attributes.
fn meaningless(bytes: &[u8]) -> Vec<(usize, u8)> {
    fn flags(bytes: &[u8], from: usize, to: usize, found: &mut Vec<(usize, u8)>) {
        let mut at = from;
        while at + 4 <= to {
            let length = u16::from_ne_bytes([bytes[at], bytes[at + 1]]) as usize;
            let kind = u16::from_ne_bytes([bytes[at + 2], bytes[at + 3]]);
            let high = if cfg!(target_endian = "little") { at + 3 } else { at + 2 };
            found.extend([(high, 0x80), (high, 0x40)]);
            if kind & 0x8000 != 0 {
                flags(bytes, at + 4, at + length, found);
            }
            let end = at + length.next_multiple_of(4);
            found.extend((at + length..end).flat_map(|p| (0..8).map(move |bit| (p, 1 << bit))));
            at = end;
        }
    }
    let mut found = Vec::new();
    found.extend((8..16).chain(17..20).flat_map(|p| (0..8).map(move |bit| (p, 1u8 << bit))));
    flags(bytes, 20, bytes.len(), &mut found);
    found
}

#[test]
fn the_bytes_of_a_delete_are_the_typed_crates() {
    for entry in entries() {
        let message = ConntrackMessage::Delete(identity(&entry));
        let typed = encode(family(&entry.original), message, 0, 77);
        assert_eq!(delete(&entry, 77).expect("a delete"), typed, "{entry:?}");
    }
}

#[test]
fn every_bit_that_means_something_is_checked() {
    for entry in entries() {
        let good = delete(&entry, 1).expect("a delete");
        let free = meaningless(&good);
        for (at, mask) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, 1u8 << bit))) {
            let mut bytes = good.clone();
            bytes[at] ^= mask;
            let passed = check_delete(&bytes, &entry).is_ok();
            assert_eq!(passed, free.contains(&(at, mask)), "byte {at} mask {mask:#x} of {good:?}");
        }
    }
}

#[test]
fn every_attribute_is_needed() {
    for entry in entries() {
        let whole = identity(&entry);
        assert_eq!(read_back(&delete(&entry, 1).expect("a delete")).as_ref(), Some(&whole));
        let refused = |attributes: Vec<ConntrackAttribute>| {
            let bytes = encode(family(&entry.original), ConntrackMessage::Delete(attributes), 0, 1);
            check_delete(&bytes, &entry).is_err()
        };
        assert!(refused(Vec::new()), "a flush");
        for missing in 0..whole.len() {
            let mut attributes = whole.clone();
            attributes.remove(missing);
            assert!(refused(attributes), "without attribute {missing}");
        }
        let ConntrackAttribute::CtaTupleOrig(parts) = &whole[0] else { panic!("no tuple") };
        for missing in 0..parts.len() {
            let mut parts = parts.clone();
            parts.remove(missing);
            let tuple = ConntrackAttribute::CtaTupleOrig(parts);
            assert!(refused([&[tuple], &whole[1..]].concat()), "without part {missing} of the tuple");
        }
    }
}

#[test]
fn no_cut_and_no_second_message_passes() {
    for entry in entries() {
        let good = delete(&entry, 1).expect("a delete");
        assert!(check_delete(&good, &entry).is_ok());
        for end in 0..good.len() {
            let mut cut = good[..end].to_vec();
            assert!(check_delete(&cut, &entry).is_err(), "{end}");
            if let Some(length) = cut.first_chunk_mut::<4>() {
                *length = (end as u32).to_ne_bytes();
            }
            assert!(check_delete(&cut, &entry).is_err(), "{end}, with a header that says so");
        }
        let flush = encode(family(&entry.original), ConntrackMessage::Delete(Vec::new()), 0, 1);
        assert!(check_delete(&[&good[..], &flush].concat(), &entry).is_err());
        assert!(check_delete(&[&good[..], &good].concat(), &entry).is_err());
    }
}

#[test]
fn another_entrys_bytes_and_other_requests_do_not_pass() {
    let all = entries();
    for entry in &all {
        let good = delete(entry, 1).expect("a delete");
        let others = all.iter().filter(|other| *other != entry);
        assert!(others.into_iter().all(|other| check_delete(&good, other).is_err()));
        for id in [0, entry.id + 1] {
            assert!(check_delete(&good, &Entry { id, ..*entry }).is_err());
        }
        assert!(check_delete(&good, &Entry { zone: entry.zone ^ 1, ..*entry }).is_err());
        let update = update_timeout(entry, 60, 1).expect("an update");
        for other in
            [update, dump(Part::Whole, 1), stats(1), stats_cpu(1), timeout_policies(1), timeout_objects(1)]
        {
            assert!(check_delete(&other, entry).is_err());
        }
    }
}
