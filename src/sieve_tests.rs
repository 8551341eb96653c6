use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::model::*;
use crate::policy::OwnHost;
use crate::state::TimeoutHistory;

const UP: u32 = 10_000_000;

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn tuple(protocol: u8, source: u8, destination: u8, port: u16) -> Tuple {
    let l4 = L4::Ports { source: 40_000, destination: port };
    Tuple { source: address(source), destination: address(destination), protocol, l4 }
}

/// A connection that has been idle for so long for certain: time left is cut to whole seconds, so that one more has
/// to have passed by it.
fn established(idle: u32) -> Entry {
    Entry {
        id: 1,
        original: tuple(TCP, 1, 2, 443),
        status: Status(Status::SEEN_REPLY | Status::ASSURED | Status::CONFIRMED),
        timeout_seconds: Some(431_999 - idle),
        tcp: Some(TcpInfo { state: TcpState::Established, flags_original: 0, flags_reply: 0 }),
        ..Entry::default()
    }
}

fn in_state(state: TcpState, left: u32) -> Entry {
    let tcp = Some(TcpInfo { state, flags_original: 0, flags_reply: 0 });
    Entry { tcp, timeout_seconds: Some(left), ..established(0) }
}

fn grounds() -> Grounds {
    let bases = Bases::new(&TimeoutHistory::default(), &[], &[]);
    Grounds { bases: Some(bases), up_seconds: UP, unix_seconds: 2_000_000_000, ..Grounds::default() }
}

/// Everything that a sieve borrows.
struct Scene {
    settings: FlushSettings,
    protection: Protection,
    identify: Identify,
    sightings: SharedSightings,
    observations: Observations,
}

impl Scene {
    fn new() -> Self {
        Self::protecting(ProtectSettings::default())
    }

    fn protecting(protect: ProtectSettings) -> Self {
        let own = OwnHost { addresses: [address(254)].into(), ssh_ports: vec![22] };
        Scene {
            settings: FlushSettings::default(),
            protection: Protection::new(protect, own),
            identify: Identify::default(),
            sightings: SharedSightings::default(),
            observations: Observations::default(),
        }
    }

    fn sieve(&mut self) -> Sieve<'_> {
        let Scene { settings, protection, identify, sightings, observations } = self;
        Sieve::new(settings, protection, identify, sightings.clone(), observations, grounds())
    }

    fn judge(&mut self, entry: &Entry) -> Judged {
        self.sieve().judge(entry)
    }
}

#[test]
fn an_entry_may_go_from_its_class_floor_on() {
    let mut scene = Scene::new();
    let at = |scene: &mut Scene, idle| scene.judge(&established(idle));
    let judged = Judged {
        class: Some(Class::Established),
        protected: None,
        idle_seconds: Some(7440),
        eligible: true,
        in_grace: false,
        liftable: false,
        held_by_protection: false,
        group: GroupPlace::of(&established(7440)),
    };
    assert_eq!(at(&mut scene, 7440), judged);
    assert!(!at(&mut scene, 7439).eligible);
    scene.settings.established_idle_floor_seconds = 10_000;
    assert!(!at(&mut scene, 9999).eligible && at(&mut scene, 10_000).eligible);
}

/// `entry` at `up` seconds.
fn at(scene: &mut Scene, entry: &Entry, up: u32) -> Judged {
    let mut sieve = scene.sieve();
    sieve.refresh(Grounds { up_seconds: up, ..grounds() });
    sieve.judge(entry)
}

fn given_grace(scene: &mut Scene, seconds: u32) -> Entry {
    scene.sieve().given_grace(&established(8000), 8000, seconds, UP);
    Entry { timeout_seconds: Some(seconds), ..established(0) }
}

#[test]
fn a_second_chance_is_neither_silence_of_five_days_nor_life() {
    let mut scene = Scene::new();
    let entry = given_grace(&mut scene, 60);
    let later = Entry { timeout_seconds: Some(40), ..entry };
    let judged = at(&mut scene, &later, UP + 20);
    assert_eq!((judged.idle_seconds, judged.eligible, judged.in_grace), (Some(8020), true, true));
    let mut sieve = scene.sieve();
    sieve.refresh(Grounds { up_seconds: UP + 20, ..grounds() });
    let judged = sieve.judge(&later);
    sieve.count(&judged);
    let scan = sieve.finish(f64::from(UP + 20), 0.1, true, true);
    assert_eq!((scan.classes[5].would_free, scan.classes[5].in_grace), (0, 1));
}

#[test]
fn whoever_speaks_in_the_grace_is_like_any_other_again() {
    for left in [431_990, 300, 299] {
        let mut scene = Scene::new();
        let entry = given_grace(&mut scene, 60);
        let spoke = Entry { timeout_seconds: Some(left), ..entry };
        let judged = at(&mut scene, &spoke, UP + 20);
        assert!(!judged.eligible && !judged.in_grace, "{left}: {judged:?}");
    }
}

#[test]
fn a_packet_that_could_have_set_the_same_expiry_is_no_silence() {
    let mut scene = Scene::new();
    let entry = given_grace(&mut scene, 400);
    // 300 s of data in flight since 100 s.
    let judged = at(&mut scene, &Entry { timeout_seconds: Some(290), ..entry }, UP + 110);
    assert_eq!((judged.idle_seconds, judged.eligible, judged.in_grace), (Some(9), false, true));
    let judged = at(&mut scene, &Entry { timeout_seconds: Some(350), ..entry }, UP + 50);
    assert!(judged.eligible, "no base but that of five days is as long: {judged:?}");
}

#[test]
fn an_agent_that_knows_nothing_of_a_grace_takes_it_for_life() {
    for left in 0..=60 {
        let judged = Scene::new().judge(&in_state(TcpState::Established, left));
        assert!(!judged.eligible && judged.idle_seconds.is_none_or(|idle| idle < 300), "{judged:?}");
    }
}

#[test]
fn what_ends_within_the_grace_anyway_gets_none() {
    let mut scene = Scene::new();
    scene.settings.established_idle_floor_seconds = 200;
    let of = |scene: &mut Scene, left| scene.judge(&in_state(TcpState::Established, left));
    assert!(of(&mut scene, 60).eligible && of(&mut scene, 60).in_grace);
    assert!(of(&mut scene, 61).eligible && !of(&mut scene, 61).in_grace);
    assert!(!scene.judge(&in_state(TcpState::TimeWait, 20)).in_grace, "established alone has one");
}

#[test]
fn half_closed_and_half_open_connections_are_of_no_class() {
    use TcpState::*;
    for state in [SynRecv, FinWait, CloseWait, LastAck, None, Unknown(77)] {
        let judged = Scene::new().judge(&in_state(state, 1));
        assert_eq!((judged.class, judged.idle_seconds, judged.eligible), (Option::None, Option::None, false));
    }
    let unknown = Entry { tcp: Option::None, ..established(100_000) };
    assert!(!Scene::new().judge(&unknown).eligible);
}

#[test]
fn a_zero_window_and_data_in_flight_are_alive() {
    for left in [293, 300, 1] {
        assert!(!Scene::new().judge(&in_state(TcpState::Established, left)).eligible, "{left}");
    }
}

#[test]
fn closed_connections_go_after_seconds() {
    let mut scene = Scene::new();
    assert!(scene.judge(&in_state(TcpState::TimeWait, 114)).eligible);
    assert!(!scene.judge(&in_state(TcpState::TimeWait, 115)).eligible);
    assert_eq!(scene.judge(&in_state(TcpState::Close, 5)).class, Some(Class::Closed));
}

#[test]
fn unknown_idleness_is_not_idle() {
    let mut scene = Scene::new();
    let no_time_left = Entry { timeout_seconds: None, ..established(0) };
    let more_than_any_base = Entry { timeout_seconds: Some(432_001), ..established(0) };
    let younger_than_its_silence =
        Entry { started_unix_seconds: Some(2_000_000_000 - 60), ..established(100_000) };
    for entry in [no_time_left, more_than_any_base, younger_than_its_silence] {
        let judged = scene.judge(&entry);
        assert_eq!((judged.class, judged.idle_seconds), (Some(Class::Established), None));
        assert!(!judged.eligible);
    }
}

#[test]
fn what_another_writer_touched_is_not_judged_by_arithmetic() {
    let mut scene = Scene::new();
    let entry = established(100_000);
    let event = Event { kind: EventKind::Update, entry, foreign: true };
    scene.sightings.write().unwrap().event(&event, &scene.identify);
    assert!(!scene.judge(&entry).eligible);
    assert!(scene.judge(&Entry { id: 2, ..entry }).eligible, "another entry is");
}

#[test]
fn grounds_that_change_in_the_middle_of_a_scan_hold_at_once() {
    let mut scene = Scene::new();
    let mut sieve = scene.sieve();
    let entry = |id| Entry { id, ..established(100_000) };
    assert!(sieve.judge(&entry(1)).eligible);
    sieve.refresh(Grounds { conntrackd: true, ..grounds() });
    assert!(!sieve.judge(&entry(2)).eligible);
    sieve.refresh(Grounds { bases: None, ..grounds() });
    assert!(!sieve.judge(&entry(3)).eligible);
    sieve.refresh(Grounds { up_seconds: 99_999, ..grounds() });
    assert!(!sieve.judge(&entry(4)).eligible);
    sieve.refresh(grounds());
    assert!(sieve.judge(&entry(5)).eligible);
}

#[test]
fn a_child_protects_itself_and_its_master() {
    let mut scene = Scene::new();
    let mut sieve = scene.sieve();
    let control = Entry { original: tuple(TCP, 1, 2, 21), ..established(100_000) };
    assert!(sieve.judge(&control).eligible);
    let child = Entry { master: Some(control.original), ..in_state(TcpState::TimeWait, 1) };
    assert_eq!(sieve.judge(&child).protected, Some("it is the child of another connection"));
    let judged = sieve.judge(&control);
    assert_eq!((judged.protected, judged.eligible), (Some("it is the master of another connection"), false));
    let elsewhere = Entry { zone: 7, ..control };
    assert!(sieve.judge(&elsewhere).eligible, "zones are kept apart");
}

#[test]
fn what_the_operator_protects_stays() {
    let protect = ProtectSettings {
        sources: vec!["10.0.0.7/32".parse().unwrap()],
        destinations: vec!["10.0.0.9/32".parse().unwrap()],
        ports: vec![8443],
        marks: vec![Mark { value: 0x10, mask: 0xf0 }],
        zones: vec![5],
        ..ProtectSettings::default()
    };
    let mut scene = Scene::protecting(protect);
    let with = |original, zone, mark| Entry { original, zone, mark, ..established(100_000) };
    let plain = tuple(TCP, 1, 2, 443);
    // Its reply comes from the server behind a DNAT.
    let translated = Entry { reply: Some(tuple(TCP, 9, 1, 40_000)), ..with(plain, 0, 0) };
    for (entry, why) in [
        (with(tuple(TCP, 7, 2, 443), 0, 0), "[protect] sources"),
        (with(tuple(TCP, 1, 9, 443), 0, 0), "[protect] destinations"),
        (translated, "[protect] destinations"),
        (with(tuple(TCP, 1, 254, 8443), 0, 0), "[protect] ports"),
        (with(tuple(TCP, 1, 254, 22), 0, 0), "an SSH session with the gateway itself"),
        (with(plain, 0, 0x1f), "[protect] marks"),
        (with(plain, 5, 0), "[protect] zones"),
    ] {
        let judged = scene.judge(&entry);
        assert_eq!((judged.protected, judged.eligible), (Some(why), false));
    }
    for entry in [
        with(plain, 0, 0x2f),
        with(plain, 6, 0),
        with(tuple(TCP, 1, 2, 8443), 0, 0),
        with(tuple(TCP, 1, 2, 22), 0, 0),
        with(tuple(TCP, 9, 2, 443), 0, 0),
    ] {
        assert!(scene.judge(&entry).eligible, "{entry:?}");
    }
}

#[test]
fn the_kernels_own_exceptions_stay() {
    let base = established(100_000);
    for bit in [Status::OFFLOAD, Status::HW_OFFLOAD, Status::FIXED_TIMEOUT, Status::HELPER, Status::EXPECTED]
    {
        let judged = Scene::new().judge(&Entry { status: Status(base.status.0 | bit), ..base });
        assert!(judged.protected.is_some() && !judged.eligible, "{bit:#x}");
    }
    assert!(!Scene::new().judge(&Entry { helper: true, ..base }).eligible);
}

#[test]
fn a_scan_counts_what_would_go_and_what_stays() {
    let protect = ProtectSettings { zones: vec![5], ..ProtectSettings::default() };
    let mut scene = Scene::protecting(protect);
    let mut sieve = scene.sieve();
    let protected = Entry { zone: 5, ..established(300_000) };
    let unknown = Entry { timeout_seconds: Some(432_001), ..established(0) };
    for entry in [
        established(10_240),
        established(20_480),
        established(60),
        protected,
        unknown,
        in_state(TcpState::CloseWait, 1),
    ] {
        let judged = sieve.judge(&entry);
        sieve.count(&judged);
    }
    let scan = sieve.finish(77.0, 0.5, true, true);
    assert_eq!((scan.at_seconds, scan.duration_seconds, scan.trusted), (77.0, 0.5, true));
    assert_eq!((scan.entries, scan.protected), (6, 1));
    assert_eq!(scan.classes.iter().map(|c| c.class).collect::<Vec<_>>(), Class::ALL);
    let seen = scan.classes.last().unwrap();
    assert_eq!((seen.entries, seen.would_free, seen.oldest_idle_seconds), (5, 2, 20_480));
    assert_eq!((seen.idle.total(), seen.idle.at_least(10_240)), (3, 2));
}

#[test]
fn a_scan_is_trusted_only_if_whole_and_not_in_doubt() {
    for (whole, trusted) in [(true, false), (false, true), (false, false)] {
        assert!(!Scene::new().sieve().finish(0.0, 0.0, whole, trusted).trusted);
    }
}

#[test]
fn one_way_udp_is_idle_only_after_two_scans_that_saw_no_packet() {
    let mut scene = Scene::new();
    let one_way =
        |left| Entry { original: tuple(UDP, 1, 2, 514), status: Status(0), ..in_state(TcpState::None, left) };
    let mut at = |left, up: u32| {
        let mut sieve = scene.sieve();
        sieve.refresh(Grounds { up_seconds: up, ..grounds() });
        let judged = sieve.judge(&Entry { tcp: None, ..one_way(left) });
        sieve.finish(f64::from(up), 0.0, true, true);
        (judged.idle_seconds, judged.eligible)
    };
    assert_eq!(at(100, UP), (None, false));
    assert_eq!(at(60, UP + 40), (Some(35), true));
    // A packet came: a flow that speaks, whoever answers.
    assert_eq!(at(120, UP + 50), (None, false));
    assert_eq!(at(20, UP + 150), (None, false));
}

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
    let who = (any::<u32>(), 0..7u16, any_tuple(), of(any_tuple()), 0..64u32);
    (who, status, left, state, rare).prop_map(|(who, status, left, state, rare)| Entry {
        id: who.0,
        zone: who.1,
        original: who.2,
        reply: who.3,
        mark: who.4,
        status: Status(status),
        timeout_seconds: left,
        tcp: state.map(|state| TcpInfo {
            state: TcpState::from_kernel(state),
            flags_original: 0,
            flags_reply: 0,
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
                    (Some(class), Some(idle)) => idle >= settings.floor_seconds(class),
                    _ => false,
                };
                prop_assert_eq!(judged.eligible, past && judged.protected.is_none());
                prop_assert!(!judged.eligible || judged.idle_seconds.unwrap() <= up);
                let stays = entry.zone == 5 || entry.mark & 3 == 3 || entry.helper || entry.master.is_some();
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
                prop_assert!(seen.would_free <= seen.idle.total() && seen.idle.total() <= seen.entries);
            }
        }
    }
}
