//! Filters one by one, and what holds of any of them.

use proptest::prelude::*;

use super::*;
use crate::core::model::{ICMP, TCP, TcpInfo, UDP};

fn entry(source: &str, destination: &str) -> Entry {
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    let original =
        Tuple { source, destination, protocol: TCP, l4: L4::Ports { source: 40000, destination: 443 } };
    let reply = Tuple {
        source: destination,
        destination: source,
        protocol: TCP,
        l4: L4::Ports { source: 443, destination: 40000 },
    };
    let tcp = Some(TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 });
    let status = Status(Status::SEEN_REPLY | Status::ASSURED);
    Entry { original, reply: Some(reply), tcp, status, mark: 0x105, zone: 7, ..Entry::default() }
}

fn masqueraded(to: &str, port: u16) -> Entry {
    let mut entry = entry("10.0.0.1", "192.0.2.9");
    let l4 = L4::Ports { source: 443, destination: port };
    entry.reply = entry.reply.map(|reply| Tuple { destination: to.parse().unwrap(), l4, ..reply });
    entry
}

fn net(text: &str) -> IpNet {
    network(text).expect("a network")
}

fn filters(wanted: &[Wanted]) -> Filters {
    Filters::new(wanted.iter().map(|wanted| Filter { negated: false, wanted: *wanted }).collect())
}

#[test]
fn one_source_is_told_where_one_filter_alone_says_it() {
    let one = Wanted::Source(net("10.0.0.1"));
    let told = |wanted: &[Wanted]| filters(wanted).only_source().map(|address| address.to_string());
    assert_eq!(told(&[one]).as_deref(), Some("10.0.0.1"));
    assert_eq!(told(&[one, Wanted::Protocol(TCP)]).as_deref(), Some("10.0.0.1"));
    assert_eq!(told(&[Wanted::Source(net("2001:db8::1"))]).as_deref(), Some("2001:db8::1"));
    for none in [
        &[][..],
        &[Wanted::Source(net("10.0.0.0/31"))],
        &[Wanted::Source(net("2001:db8::/127"))],
        &[Wanted::Destination(net("10.0.0.1"))],
        &[one, Wanted::Source(net("10.0.0.2"))],
    ] {
        assert_eq!(told(none), None, "{none:?}");
    }
    assert_eq!(Filters::new(vec![Filter { negated: true, wanted: one }]).only_source(), None);
}

#[test]
fn one_zone_is_told_where_one_filter_alone_says_it() {
    let (one, other) = (Wanted::Zone(7), Wanted::Zone(8));
    assert_eq!(filters(&[one, Wanted::Protocol(TCP)]).only_zone(), Some(7));
    assert_eq!((filters(&[one, other]).only_zone(), filters(&[]).only_zone()), (None, None));
    assert_eq!(Filters::new(vec![Filter { negated: true, wanted: one }]).only_zone(), None);
    assert_eq!(
        filters(&[Wanted::Zone(0)]).only_zone(),
        None,
        "with it goes what has a zone in one direction"
    );
    assert_eq!(filters(&[Wanted::SourceZone(0)]).only_zone(), Some(0));
}

#[test]
fn a_zone_of_one_direction_alone_is_zone_0_to_conntracks_w_and_its_own_to_its_source() {
    let of = |zone, reply_zone| Entry { zone, reply_zone, ..entry("10.0.0.1", "192.0.2.9") };
    // (entry, `-w` that lists it, zone of its source, zones that protect it), as conntrack 1.4.7 and Linux 6.18 have
    // them.
    for (entry, listed, source, zones) in [
        (of(0, None), 0, 0, [0, 0]),
        (of(5, None), 5, 5, [5, 5]),
        (of(2, Some(0)), 0, 2, [2, 0]),
        (of(0, Some(3)), 0, 0, [0, 3]),
    ] {
        let matching = |wanted: fn(u16) -> Wanted| {
            (0..9).filter(|n| filters(&[wanted(*n)]).matches(&entry, None)).collect::<Vec<u16>>()
        };
        assert_eq!((matching(Wanted::Zone), matching(Wanted::SourceZone)), (vec![listed], vec![source]));
        assert_eq!(entry.zones(), zones);
    }
}

#[test]
fn each_kind_looks_at_its_own_field() {
    let entry = entry("10.0.0.1", "192.0.2.9");
    let yes = [
        Wanted::Family(Family::Ipv4),
        Wanted::Protocol(TCP),
        Wanted::Zone(7),
        Wanted::Mark(Mark { value: 5, mask: 0xff }),
        Wanted::Assured,
        Wanted::State(TcpState::Established),
        Wanted::SourcePort(40000),
        Wanted::DestinationPort(443),
        Wanted::Source(net("10.0.0.0/8")),
        Wanted::Destination(net("192.0.2.9")),
        Wanted::ReplySource(net("192.0.2.0/24")),
        Wanted::ReplyDestination(net("10.0.0.1")),
        Wanted::IdleOver(60),
    ];
    let no = [
        Wanted::Family(Family::Ipv6),
        Wanted::Protocol(UDP),
        Wanted::Zone(0),
        Wanted::Mark(Mark { value: 5, mask: u32::MAX }),
        Wanted::Unreplied,
        Wanted::State(TcpState::SynSent),
        Wanted::SourcePort(443),
        Wanted::DestinationPort(40000),
        Wanted::Source(net("192.0.2.9")),
        Wanted::Destination(net("10.0.0.1")),
        Wanted::ReplySource(net("10.0.0.1")),
        Wanted::ReplyDestination(net("192.0.2.9")),
        Wanted::NatSource(net("0.0.0.0/0")),
        Wanted::NatPort(40000),
        Wanted::IdleOver(61),
    ];
    yes.iter().for_each(|wanted| assert!(filters(&[*wanted]).matches(&entry, Some(60)), "{wanted}"));
    no.iter().for_each(|wanted| assert!(!filters(&[*wanted]).matches(&entry, Some(60)), "{wanted}"));
    assert!(!filters(&[Wanted::IdleOver(0)]).matches(&entry, None), "what nobody can tell is not idle");
}

#[test]
fn nat_is_seen_by_address_or_port_and_by_the_flag() {
    let (address, port) = (Wanted::NatSource(net("198.51.100.0/24")), Wanted::NatPort(40000));
    let kept = masqueraded("198.51.100.1", 40000);
    assert!(filters(&[address, port]).matches(&kept, None), "another address with the same port");
    let moved = masqueraded("10.0.0.1", 1024);
    assert!(filters(&[Wanted::NatPort(1024), Wanted::NatSource(net("10.0.0.1"))]).matches(&moved, None));
    let plain = entry("10.0.0.1", "192.0.2.9");
    let flagged = Entry { status: Status(Status::SRC_NAT), ..plain };
    assert!(filters(&[port]).matches(&flagged, None));
    let mut forwarded = plain;
    forwarded.reply = plain.reply.map(|reply| Tuple { source: "10.9.9.9".parse().unwrap(), ..reply });
    assert!(!filters(&[port]).matches(&forwarded, None), "DNAT is not it");
    assert!(!filters(&[port]).matches(&Entry { reply: None, ..flagged }, None));
}

#[test]
fn keys_of_gre_and_identifiers_of_icmp_are_no_ports() {
    let mut gre = entry("10.0.0.1", "192.0.2.9");
    gre.original.protocol = GRE;
    assert!(!filters(&[Wanted::DestinationPort(443)]).matches(&gre, None));
    let mut icmp = gre;
    icmp.original.protocol = ICMP;
    icmp.original.l4 = L4::Icmp { kind: 8, code: 0, id: 443 };
    assert!(!filters(&[Wanted::DestinationPort(443)]).matches(&icmp, None));
}

#[test]
fn repeated_values_are_alternatives_and_negated_ones_exclude_each() {
    let plain = |text| Filter { negated: false, wanted: Wanted::Source(net(text)) };
    let not = |text| Filter { negated: true, wanted: Wanted::Source(net(text)) };
    let sources = ["10.0.0.1", "10.1.0.1", "10.2.0.1", "172.16.0.1"];
    let matched = |filters: Vec<Filter>| {
        let filters = Filters::new(filters);
        sources.map(|source| filters.matches(&entry(source, "192.0.2.9"), None))
    };
    assert_eq!(matched(vec![plain("10.0.0.0/16"), plain("10.2.0.0/16")]), [true, false, true, false]);
    assert_eq!(matched(vec![not("10.0.0.0/16"), not("10.2.0.0/16")]), [false, true, false, true]);
    assert_eq!(matched(vec![plain("10.0.0.0/8"), not("10.1.0.0/16")]), [true, false, true, false]);
    assert_eq!(matched(vec![]), [true; 4]);
}

#[test]
fn networks_lose_their_host_bits() {
    assert_eq!(net("10.1.2.3/8"), net("10.0.0.0/8"));
    assert_eq!(net("2001:db8::1/32").to_string(), "2001:db8::/32");
    for text in
        ["", "10.0.0", "10.0.0.0/33", "10.0.0.1/", "fd00::/129", "host", " 10.0.0.1", "10.0.0.1-10.0.0.9"]
    {
        assert_eq!(network(text), None, "{text}");
    }
}

#[test]
fn a_family_is_known_only_where_the_filters_of_families_say_so() {
    let filter = |negated, family| Filter { negated, wanted: Wanted::Family(family) };
    let of = |filters: &[Filter]| Filters::new(filters.to_vec()).family();
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[filter(false, Family::Ipv6)]), Some(Family::Ipv6));
    assert_eq!(of(&[filter(true, Family::Ipv6)]), Some(Family::Ipv4));
    assert_eq!(of(&[filter(false, Family::Ipv4), filter(false, Family::Ipv6)]), None);
    assert_eq!(of(&[filter(false, Family::Ipv4), filter(true, Family::Ipv4)]), None, "nothing matches");
}

fn any_network() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0u8..=32)
        .prop_map(|(a, length)| IpNet::new(IpAddr::V4(a.into()), length).expect("a length"));
    let v6 = (any::<u128>(), 0u8..=128)
        .prop_map(|(a, length)| IpNet::new(IpAddr::V6(a.into()), length).expect("a length"));
    prop_oneof![v4, v6].prop_map(|net| net.trunc())
}

fn any_wanted() -> impl Strategy<Value = Wanted> {
    let mark = any::<(u32, u32)>().prop_filter_map("a mask", |(value, mask)| {
        (mask != 0).then_some(Wanted::Mark(Mark { value: value & mask, mask }))
    });
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    prop_oneof![
        family.prop_map(Wanted::Family),
        any::<u8>().prop_map(Wanted::Protocol),
        prop_oneof![Just(6), Just(17), Just(58)].prop_map(Wanted::Protocol),
        (0u16..3).prop_map(Wanted::Zone),
        (0u16..3).prop_map(Wanted::SourceZone),
        mark,
        Just(Wanted::Unreplied),
        Just(Wanted::Assured),
        (0u8..10).prop_map(|state| Wanted::State(TcpState::from_kernel(state))),
        (0u16..4).prop_map(Wanted::SourcePort),
        (0u16..4).prop_map(Wanted::DestinationPort),
        any_network().prop_map(Wanted::Source),
        any_network().prop_map(Wanted::Destination),
        any_network().prop_map(Wanted::ReplySource),
        any_network().prop_map(Wanted::ReplyDestination),
        any_network().prop_map(Wanted::NatSource),
        (0u16..4).prop_map(Wanted::NatPort),
        (0u32..200).prop_map(Wanted::IdleOver),
    ]
}

fn any_filter() -> impl Strategy<Value = Filter> {
    (any::<bool>(), any_wanted()).prop_map(|(negated, wanted)| Filter { negated, wanted })
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    let addresses = prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (IpAddr::V4(a.into()), IpAddr::V4(b.into()))),
        any::<(u128, u128)>().prop_map(|(a, b)| (IpAddr::V6(a.into()), IpAddr::V6(b.into()))),
    ];
    let l4 = prop_oneof![
        Just(L4::None),
        (0u16..4, 0u16..4).prop_map(|(source, destination)| L4::Ports { source, destination }),
        (0u8..9, 0u8..2, any::<u16>()).prop_map(|(kind, code, id)| L4::Icmp { kind, code, id }),
    ];
    let protocol = prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(GRE), any::<u8>()];
    (addresses, l4, protocol).prop_map(|((source, destination), l4, protocol)| Tuple {
        source,
        destination,
        protocol,
        l4,
    })
}

/// Zones as the kernel has them: of both directions, or of one.
fn any_zones() -> impl Strategy<Value = (u16, Option<u16>)> {
    (0u16..3, 0u8..3).prop_map(|(zone, directions)| match (zone, directions) {
        (0, _) | (_, 0) => (zone, None),
        (_, 1) => (zone, Some(0)),
        _ => (0, Some(zone)),
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let tcp = (0u8..11).prop_map(|state| TcpInfo {
        state: TcpState::from_kernel(state),
        flags_original: 0,
        flags_reply: 0,
    });
    let (reply, tcp) = (proptest::option::of(any_tuple()), proptest::option::of(tcp));
    (any_tuple(), reply, tcp, any::<u32>(), any::<u32>(), any_zones()).prop_map(
        |(original, reply, tcp, status, mark, (zone, reply_zone))| Entry {
            original,
            reply,
            tcp,
            status: Status(status),
            mark,
            zone,
            reply_zone,
            ..Entry::default()
        },
    )
}

fn any_idle() -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(0u32..200)
}

proptest! {
    #[test]
    fn a_negation_is_the_complement(wanted in any_wanted(), entry in any_entry(), idle in any_idle()) {
        let of = |negated| Filters::new(vec![Filter { negated, wanted }]).matches(&entry, idle);
        prop_assert_ne!(of(false), of(true));
    }

    #[test]
    fn the_order_does_not_matter(
        given in proptest::collection::vec(any_filter(), 0..8).prop_flat_map(|filters| {
            (Just(filters.clone()), Just(filters).prop_shuffle())
        }),
        entry in any_entry(),
        idle in any_idle(),
    ) {
        let (one, other) = (Filters::new(given.0), Filters::new(given.1));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.matches(&entry, idle), other.matches(&entry, idle));
    }

    /// The rule in its own words, not in those of the code: one of each plain kind, none of the negated.
    #[test]
    fn all_kinds_one_value_each_and_no_negated_one(
        given in proptest::collection::vec(any_filter(), 0..8),
        entry in any_entry(),
        idle in any_idle(),
    ) {
        let hits = |filter: &Filter| Filters::new(vec![Filter { negated: false, ..*filter }]).matches(&entry, idle);
        let kind = |filter: &Filter| filter.wanted.to_string().split(' ').next().map(str::to_owned);
        let expected = given.iter().all(|filter| match filter.negated {
            true => !hits(filter),
            false => given.iter().any(|other| !other.negated && kind(other) == kind(filter) && hits(other)),
        });
        let filters = Filters::new(given);
        prop_assert_eq!(filters.matches(&entry, idle), expected);
        // What is left out by the first look is left out by the second, and what asks for no idleness by both alike.
        prop_assert!(filters.may_match(&entry) || !expected);
        prop_assert!(filters.need_idleness() || filters.may_match(&entry) == expected);
    }

    #[test]
    fn of_a_source_matches_what_is_its_own_and_matched_before(
        given in proptest::collection::vec(any_filter(), 0..8),
        entry in any_entry(),
        source in any_network(),
        zone in proptest::option::of(0u16..3),
        own in any::<bool>(),
        idle in any_idle(),
    ) {
        let source = if own { IpNet::from(entry.original.source) } else { source };
        let all = Filters::new(given);
        let its_own = source.contains(&entry.original.source) && zone.is_none_or(|zone| zone == entry.zone);
        let one = all.of_source(source, zone);
        prop_assert_eq!(one.matches(&entry, idle), its_own && all.matches(&entry, idle), "{} | {}", all, one);
    }

    #[test]
    fn the_family_said_is_that_of_whatever_matches(
        given in proptest::collection::vec(any_filter(), 0..8),
        entry in any_entry(),
    ) {
        let filters = Filters::new(given);
        let family = if entry.original.source.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        prop_assert!(!filters.matches(&entry, None) || filters.family().is_none_or(|said| said == family));
        let only = filters.only_source();
        prop_assert!(!filters.matches(&entry, None) || only.is_none_or(|only| only == entry.original.source));
        prop_assert!(!filters.matches(&entry, None) || filters.only_zone().is_none_or(|only| only == entry.zone));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = (network(&text), Mark::parse(&text), crate::core::model::protocol_number(&text));
    }

    #[test]
    fn marks_read_back(value in any::<u32>(), mask in 1u32..) {
        let mark = Mark { value: value & mask, mask };
        prop_assert_eq!(Mark::parse(&mark.to_string()), Ok(mark));
    }
}
