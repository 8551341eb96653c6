use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::core::model::{L4, Mark, TCP, Tuple, UDP};

/// Few enough addresses, ports, marks and zones that criteria meet entries.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..8u8, 0..8u8).prop_map(|(a, b)| Ipv4Addr::new(10, 0, a, b).into()),
        (0..8u16, 0..8u16).prop_map(|(a, b)| Ipv6Addr::new(0xfd00, 0, 0, a, 0, 0, 0, b).into()),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), 0..=32u8, 0..=128u8).prop_map(|(address, four, six)| match address {
        IpAddr::V4(address) => Ipv4Net::new(address, four.max(8)).unwrap().into(),
        IpAddr::V6(address) => Ipv6Net::new(address, six.max(16)).unwrap().into(),
    })
}

fn port() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![22u16, 53, 443, 2222, 8443])
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let l4 = prop_oneof![
        6 => (port(), port()).prop_map(|(source, destination)| L4::Ports { source, destination }),
        1 => Just(L4::None),
    ];
    let protocol = prop::sample::select(vec![TCP, TCP, UDP, 1]);
    (address(), address(), protocol, l4).prop_map(|(source, destination, protocol, l4)| Tuple {
        source,
        destination,
        protocol,
        l4,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let flags =
        [Status::EXPECTED, Status::FIXED_TIMEOUT, Status::HELPER, Status::OFFLOAD, Status::HW_OFFLOAD];
    let status = vec(prop::bool::weighted(0.08), flags.len()).prop_map(move |set| {
        let on = set.iter().zip(flags).filter(|(on, _)| **on).map(|(_, bit)| bit);
        Status(on.fold(Status::SEEN_REPLY | Status::ASSURED, |all, bit| all | bit))
    });
    let rare = (prop::bool::weighted(0.1), prop::option::weighted(0.1, tuple()));
    let zones = (0..4u16, of(0..4u16));
    (tuple(), of(tuple()), status, zones, 0..16u32, rare).prop_map(
        |(original, reply, status, (zone, reply_zone), mark, (helper, master))| Entry {
            // Both directions of an entry are of one protocol.
            reply: reply.map(|reply| Tuple { protocol: original.protocol, ..reply }),
            original,
            status,
            zone,
            reply_zone,
            mark,
            helper,
            master,
            ..Entry::default()
        },
    )
}

fn settings() -> impl Strategy<Value = ProtectSettings> {
    let mark = (0..16u32, 0..16u32).prop_map(|(value, mask)| Mark { value, mask });
    let lists = (vec(net(), 0..3), vec(net(), 0..3), vec(port(), 0..3), vec(mark, 0..2), vec(0..4u16, 0..2));
    (lists, any::<bool>(), any::<bool>()).prop_map(|(lists, helpers, own_ssh)| ProtectSettings {
        sources: lists.0,
        destinations: lists.1,
        ports: lists.2,
        marks: lists.3,
        zones: lists.4,
        helpers,
        own_ssh,
        ..ProtectSettings::default()
    })
}

fn inside(nets: &[IpNet], address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    nets.iter().any(|net| {
        let ((a, width), (b, other)) = (bits(address), bits(net.addr()));
        let length = u32::from(net.prefix_len());
        width == other && (length == 0 || a >> (128 - length) == b >> (128 - length))
    })
}

/// Where the flow really ends.
fn end(entry: &Entry) -> (IpAddr, Option<u16>) {
    match &entry.reply {
        Some(reply) => (reply.source, reply.source_port()),
        None => (entry.original.destination, entry.original.destination_port()),
    }
}

fn on_own(entry: &Entry, own: &OwnHost, ports: &[u16]) -> bool {
    let (address, port) = end(entry);
    own.addresses.contains(&address) && port.is_some_and(|port| ports.contains(&port))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn each_criterion_protects_and_nothing_else_does(
        entry in entry(), settings in settings(), own in vec(address(), 0..6), has_children in prop::bool::weighted(0.1),
    ) {
        let own = OwnHost { addresses: own.into_iter().collect(), ssh_ports: vec![22, 2222] };
        let found = Protection::new(settings.clone(), own.clone()).of(&entry, has_children);
        let status = entry.status;
        let kernel = status.any(Status::OFFLOAD | Status::HW_OFFLOAD | Status::FIXED_TIMEOUT);
        let ssh = settings.own_ssh && entry.original.protocol == TCP && on_own(&entry, &own, &own.ssh_ports);
        let helped = entry.helper || entry.master.is_some() || status.any(Status::HELPER | Status::EXPECTED);
        let mut ends = vec![entry.original.destination];
        ends.extend(entry.reply.map(|reply| reply.source));
        let listed = (settings.helpers && helped)
            || settings.zones.contains(&entry.zone)
            || entry.reply_zone.is_some_and(|zone| settings.zones.contains(&zone))
            || settings.marks.iter().any(|mark| entry.mark & mark.mask == mark.value & mark.mask)
            || inside(&settings.sources, entry.original.source)
            || ends.iter().any(|end| inside(&settings.destinations, *end))
            || on_own(&entry, &own, &settings.ports);
        let always = kernel || ssh || has_children;
        prop_assert_eq!(found.is_some(), always || listed);
        prop_assert_eq!(found.map(|found| found.liftable), (always || listed).then_some(!always));
    }

    #[test]
    fn another_port_of_the_gateway_or_the_same_port_of_another_is_none_of_its_services(entry in entry()) {
        let (address, port) = end(&entry);
        let own = OwnHost { addresses: [address].into(), ssh_ports: vec![] };
        let port = port.unwrap_or(0);
        let with = |ports: Vec<u16>, own: &OwnHost| {
            let settings = ProtectSettings { ports, helpers: false, ..ProtectSettings::default() };
            let plain = Entry { status: Status(0), ..entry };
            Protection::new(settings, own.clone()).of(&plain, false)
        };
        prop_assert_eq!(with(vec![port], &own).is_some(), end(&entry).1.is_some());
        prop_assert_eq!(with(vec![port ^ 1], &own), None);
        prop_assert_eq!(with(vec![port], &OwnHost::default()), None);
    }
}
