//! The class of an entry, and the idleness from which it may go.

use super::*;

#[test]
fn an_entry_may_go_from_its_class_floor_on() {
    let mut scene = Scene::new();
    let at = |scene: &mut Scene, idle| scene.judge(&established(idle));
    let judged = Judged {
        timeout: Timeout::named("tcp_timeout_established"),
        class: Some(Class::Established),
        protected: None,
        idle_seconds: Some(7440),
        exact: true,
        unproven: None,
        second_chance: false,
        left_seconds: established(7440).timeout_seconds,
        presumed_seconds: None,
        presumed_stale: false,
        order_seconds: Some(7440),
        eligible: true,
        only_critical: false,
        in_grace: false,
        spoke: false,
        liftable: false,
        held_by_protection: false,
        past_floor: true,
        group: GroupPlace::of(&established(7440)),
    };
    assert_eq!(at(&mut scene, 7440), judged);
    assert!(!at(&mut scene, 7439).eligible);
    scene.settings.established_idle_floor_seconds = 10_000;
    assert!(!at(&mut scene, 9999).eligible && at(&mut scene, 10_000).eligible);
}

#[test]
fn half_closed_and_half_open_connections_are_of_no_class() {
    use TcpState::*;
    for state in [SynRecv, FinWait, CloseWait, LastAck, None, Unknown(77)] {
        let judged = Scene::new().judge(&in_state(state, 1));
        // Most have a second left of their timeout: however long that makes them idle, they stay.
        let stays = (judged.class, judged.idle_unprotected(), judged.eligible, judged.past_floor);
        assert_eq!(stays, (Option::None, Option::None, false, false), "{judged:?}");
    }
    let unknown = Entry { tcp: Option::None, ..established(100_000) };
    assert!(!Scene::new().judge(&unknown).eligible);
}

#[test]
fn a_scan_tells_what_is_of_no_class_and_under_which_timeout() {
    let timeout = Timeout::named("tcp_timeout_close_wait").unwrap();
    let mut history = TimeoutHistory::default();
    history.saw_one(timeout, 3600, Option::None);
    let mut scene = Scene::new();
    let mut sieve = scene.sieve();
    let bases = Bases::new(&history, &[], &Features::default());
    sieve.refresh(Grounds { bases: Some(bases), ..grounds() });
    let mut count = |entry: Entry| {
        let judged = sieve.judge(&entry);
        sieve.count(&judged);
        judged
    };
    let judged = count(in_state(TcpState::CloseWait, 2600));
    assert_eq!((judged.idle_seconds, judged.exact), (Some(999), true));
    count(in_state(TcpState::CloseWait, 3590));
    let judged = count(in_state(TcpState::CloseWait, 280));
    assert_eq!(
        (judged.idle_seconds, judged.exact),
        (Some(19), false),
        "of 300 s of data in flight, or of an hour"
    );
    count(in_state(TcpState::CloseWait, 3601));
    count(in_state(TcpState::SynRecv, 50));
    count(established(9000));
    let scan = sieve.finish(0.0, 0.0, true, true);
    let expected = Unclassed {
        entries: 4,
        oldest_idle_seconds: Some(999),
        oldest_is_exact: true,
        idle_unknown: 1,
        over_default: 1,
        over_default_certain: 1,
        long_idle: 1,
        left_longer: 3,
        longest_left_seconds: Some(3601),
        ..Unclassed::empty("close-wait", Some(timeout))
    };
    assert_eq!(scan.unclassed[0], expected);
    assert_eq!((scan.unclassed.len(), scan.unclassed[1].state.as_str()), (2, "syn-recv"));
    assert_eq!((scan.entries, scan.unproven.len()), (6, 0), "of no class nothing has to be proven");
}

/// A closed connection with `left` seconds and these flags of its two directions.
fn closed(state: TcpState, left: u32, flags_original: u8, flags_reply: u8) -> Entry {
    Entry { tcp: Some(TcpInfo { state, flags_original, flags_reply }), ..in_state(state, left) }
}

#[test]
fn reset_connections_go_after_seconds() {
    let mut scene = Scene::new();
    scene.settings.closed_idle_floor_seconds = 5;
    let judged = scene.judge(&closed(TcpState::Close, 4, 0x20, 0x20));
    assert_eq!((judged.class, judged.eligible, judged.only_critical), (Some(Class::Closed), true, false));
    assert!(!scene.judge(&closed(TcpState::Close, 5, 0x20, 0x20)).eligible);
}

#[test]
fn time_wait_and_a_reset_after_a_fin_have_a_floor_above_what_servers_think() {
    let mut scene = Scene::new();
    // (left of 120 s, may go, may go at level critical)
    for (left, eligible, only_critical) in
        [(115, false, false), (114, false, true), (60, false, true), (59, true, false)]
    {
        for flags in [(0x20, 0x24), (0x24, 0x20), (0, 0)] {
            let judged = scene.judge(&closed(TcpState::TimeWait, left, flags.0, flags.1));
            let what = format!("{left} s left, flags {flags:?}");
            assert_eq!((judged.class, judged.eligible), (Some(Class::Closed), eligible), "{what}");
            assert_eq!((judged.past_floor, judged.only_critical), (eligible, only_critical), "{what}");
        }
    }
    let reset = scene.judge(&closed(TcpState::Close, 1, 0x24, 0x20));
    assert_eq!((reset.eligible, reset.only_critical), (false, true));
    let verdict = reset.verdict(&closed(TcpState::Close, 1, 0x24, 0x20), &scene.settings);
    assert_eq!(
        (verdict.floor_seconds, verdict.to_string()),
        (Some(60), "stays: idle for less than 1m".into())
    );
    // A floor of its own never lowers that of its class.
    scene.settings.closed_idle_floor_seconds = 90;
    assert!(!scene.judge(&in_state(TcpState::TimeWait, 59)).eligible);
    assert!(scene.judge(&in_state(TcpState::TimeWait, 29)).eligible);
}

#[test]
fn closing_with_unacknowledged_data_is_of_no_class() {
    for state in [TcpState::TimeWait, TcpState::Close] {
        for flags in [(0x20, 0x34), (0x34, 0x20), (0x30, 0x24), (0x10, 0)] {
            let judged = Scene::new().judge(&closed(state, 1, flags.0, flags.1));
            assert_eq!(
                (judged.class, judged.eligible, judged.only_critical),
                (None, false, false),
                "{flags:?}"
            );
        }
    }
}

#[test]
fn only_critical_is_counted_apart() {
    let mut scene = Scene::new();
    let mut sieve = scene.sieve();
    for left in [119, 100, 70, 50, 20] {
        let judged = sieve.judge(&in_state(TcpState::TimeWait, left));
        sieve.count(&judged);
    }
    let scan = sieve.finish(UP.into(), 0.1, true, true);
    let closed = &scan.classes[0];
    assert_eq!((closed.entries, closed.would_free, closed.oldest_idle_seconds), (5, 2, Some(99)));
    assert_eq!((closed.idle.total(), closed.only_critical.total()), (3, 2));
}

#[test]
fn an_assured_stream_to_a_short_port_is_no_question_and_answer() {
    for (status, class) in [
        (Status::SEEN_REPLY, Class::UdpShort),
        (Status::SEEN_REPLY | Status::ASSURED, Class::Udp),
        (Status::SEEN_REPLY | Status::EXPECTED, Class::Udp),
        (0, Class::Unreplied),
    ] {
        for port in [53, 123] {
            let original = tuple(UDP, 1, 2, port);
            let entry = Entry { original, status: Status(status), tcp: None, ..established(20) };
            assert_eq!(Class::of(&entry, &[53, 123]), Some(class), "{status:#x}");
        }
    }
}
