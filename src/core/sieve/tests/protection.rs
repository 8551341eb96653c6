//! What stays whatever it is.

use super::*;

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
fn a_child_protects_its_master_whatever_the_directions_of_their_zone() {
    // (zone, zone of the reply) of the master and of its child: the kernel compares the number alone.
    for (master, child) in
        [((2, Some(0)), (0, Some(2))), ((0, Some(2)), (2, None)), ((2, None), (2, Some(0)))]
    {
        let mut scene = Scene::new();
        let mut sieve = scene.sieve();
        let of = |entry, (zone, reply_zone)| Entry { zone, reply_zone, ..entry };
        let control = of(Entry { original: tuple(TCP, 1, 2, 21), ..established(100_000) }, master);
        assert!(sieve.judge(&control).eligible);
        sieve.judge(&of(Entry { master: Some(control.original), ..established(0) }, child));
        assert_eq!(
            sieve.judge(&control).protected,
            Some("it is the master of another connection"),
            "{master:?}"
        );
    }
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
        (Entry { reply_zone: Some(0), ..with(plain, 5, 0) }, "[protect] zones"),
        (Entry { reply_zone: Some(5), ..with(plain, 0, 0) }, "[protect] zones"),
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
fn an_entry_in_a_flowtable_is_protected_by_its_bit_whatever_its_state_and_its_time_left_say() {
    let mut scene = Scene::new();
    for bit in [Status::OFFLOAD, Status::HW_OFFLOAD] {
        for state in [TcpState::Established, TcpState::TimeWait, TcpState::Close, TcpState::SynSent] {
            for left in [None, Some(0), Some(1), Some(86_390)] {
                let entry = in_state(state, 0);
                let status = Status(entry.status.0 | bit);
                let judged = scene.judge(&Entry { status, timeout_seconds: left, ..entry });
                assert!(judged.protected.is_some() && !judged.eligible, "{state:?} {left:?}");
                assert!(!judged.liftable && !judged.held_by_protection, "critical lifts it not");
                assert_eq!((judged.idle_seconds, judged.idle_unprotected()), (None, None));
            }
        }
    }
}
