//! Any entries, under any grounds.

use std::net::Ipv6Addr;

use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..=255u8).prop_map(address),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    let protocol = prop_oneof![
        4 => prop::sample::select(vec![TCP, UDP, ICMP, ICMPV6, GRE, SCTP, DCCP, UDPLITE, 47, 50]),
        1 => any::<u8>(),
    ];
    let port = || prop_oneof![prop::sample::select(vec![22u16, 53, 123, 443]), any::<u16>()];
    let l4 = prop_oneof![
        4 => (port(), port()).prop_map(|(source, destination)| L4::Ports { source, destination }),
        1 => Just(L4::None),
        1 => any::<(u8, u8, u16)>().prop_map(|(kind, code, id)| L4::Icmp { kind, code, id }),
    ];
    (any_address(), any_address(), protocol, l4).prop_map(|(source, destination, protocol, l4)| Tuple {
        source,
        destination,
        protocol,
        l4,
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let status = prop_oneof![Just(0u32), Just(Status::SEEN_REPLY | Status::ASSURED), 0..1u32 << 16];
    let left = of(prop_oneof![0..600u32, 0..432_001u32, any::<u32>()]);
    let state = of(0..12u8);
    let rare = (prop::bool::weighted(0.1), prop::option::weighted(0.1, any_tuple()), of(any::<u64>()));
    let zones = (0..7u16, prop::option::weighted(0.2, 0..7u16));
    let who = (any::<u32>(), zones, any_tuple(), of(any_tuple()), 0..64u32);
    let flags = prop_oneof![Just((0x20, 0x24)), any::<(u8, u8)>()];
    (who, status, left, (state, flags), rare).prop_map(|(who, status, left, (state, flags), rare)| Entry {
        id: who.0,
        zone: who.1.0,
        reply_zone: who.1.1,
        original: who.2,
        reply: who.3,
        mark: who.4,
        status: Status(status),
        timeout_seconds: left,
        tcp: state.map(|state| TcpInfo {
            state: TcpState::from_kernel(state),
            flags_original: flags.0,
            flags_reply: flags.1,
        }),
        helper: rare.0,
        master: rare.1,
        started_unix_seconds: rare.2,
        packets: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn only_what_is_of_a_class_unprotected_and_idle_for_certain_may_go(
        entries in prop::collection::vec(any_entry(), 1..40),
        mode in prop::sample::select(vec![IdleProof::Auto, IdleProof::Arithmetic, IdleProof::Observed]),
        known in any::<bool>(),
        later in 0..5000u32,
    ) {
        let protect = ProtectSettings {
            sources: vec!["10.0.0.0/29".parse().unwrap()],
            marks: vec![Mark { value: 3, mask: 3 }],
            zones: vec![5],
            ..ProtectSettings::default()
        };
        let mut scene = Scene::protecting(protect);
        scene.settings.idle_proof = mode;
        let settings = scene.settings.clone();
        for up in [UP, UP + later] {
            let mut sieve = scene.sieve();
            let bases = grounds().bases.filter(|_| known);
            sieve.refresh(Grounds { bases, up_seconds: up, ..grounds() });
            let (mut eligible, mut protected) = (0, 0);
            for entry in &entries {
                let judged = sieve.judge(entry);
                sieve.count(&judged);
                prop_assert_eq!(judged.class, Class::of(entry, &settings.udp_short_ports));
                let past = match (judged.class, judged.idle_seconds) {
                    (Some(class), Some(idle)) => idle >= settings.floor_of_seconds(class, entry),
                    _ => false,
                };
                prop_assert_eq!(judged.eligible, past && judged.protected.is_none());
                prop_assert!(!judged.only_critical || (!past && judged.class == Some(Class::Closed)));
                prop_assert!(!judged.eligible || judged.idle_seconds.unwrap() <= up);
                let stays = entry.zones().contains(&5) || entry.mark & 3 == 3 || entry.helper || entry.master.is_some();
                prop_assert!(!stays || judged.protected.is_some());
                prop_assert!(known || judged.idle_seconds.is_none() || up > UP, "nothing to go by yet");
                eligible += u64::from(judged.eligible);
                protected += u64::from(judged.protected.is_some());
            }
            let scan = sieve.finish(f64::from(up), 0.0, true, true);
            prop_assert_eq!(scan.entries, entries.len() as u64);
            prop_assert_eq!(scan.protected, protected);
            prop_assert_eq!(scan.classes.iter().map(|c| c.would_free).sum::<u64>(), eligible);
            for seen in &scan.classes {
                let certain = seen.idle.total() + seen.only_critical.total();
                prop_assert!(seen.would_free <= seen.idle.total() && certain <= seen.entries);
            }
        }
    }
}
