//! What is idle for certain, and what is not.

use super::*;

#[test]
fn a_zero_window_and_data_in_flight_are_alive() {
    for left in [293, 300, 1] {
        assert!(!Scene::new().judge(&in_state(TcpState::Established, left)).eligible, "{left}");
    }
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

#[test]
fn what_looks_idle_only_by_the_timeouts_of_today_stays_and_is_counted() {
    let timeout = Timeout::named("tcp_timeout_established").unwrap();
    let mut history = TimeoutHistory::default();
    history.look(&[(timeout, 1_000_000)].into(), UP - 10);
    let bases = Bases::new(&history, &[], &Features::default());
    let mut scene = Scene::new();
    let mut sieve = scene.sieve();
    sieve.refresh(Grounds { bases: Some(bases), ..grounds() });
    let mut judge = |left| {
        let judged = sieve.judge(&in_state(TcpState::Established, left));
        sieve.count(&judged);
        judged
    };
    let judged = judge(500_000);
    assert_eq!((judged.idle_seconds, judged.presumed_seconds), (Some(5), Some(499_999)));
    assert!(!judged.eligible && judged.verdict(&established(0), &FlushSettings::default()).presumed_stale());
    // A packet since then, or idle for less than its floor by any timeout.
    assert_eq!(judge(999_995).idle_seconds, Some(4));
    assert_eq!(judge(999_000).presumed_seconds, Some(999));
    assert_eq!(sieve.finish(0.0, 0.0, true, true).presumed, 1);
}

#[test]
fn those_that_are_past_the_emergency_floor_for_certain_go_in_the_order_of_what_they_are_presumed_to_be() {
    let timeout = Timeout::named("tcp_timeout_established").unwrap();
    let mut history = TimeoutHistory::default();
    history.look(&[(timeout, 1_000_000)].into(), UP - 70);
    let bases = Bases::new(&history, &[], &Features::default());
    let mut scene = Scene::new();
    let mut sieve = scene.sieve();
    let mut order = |left, up_seconds| {
        sieve.refresh(Grounds { bases: Some(bases.clone()), up_seconds, ..grounds() });
        let judged = sieve.judge(&in_state(TcpState::Established, left));
        sieve.count(&judged);
        judged.idle_unprotected()
    };
    assert_eq!((order(600_000, UP), order(500_000, UP)), (Some(399_999), Some(499_999)));
    assert_eq!(order(500_000, UP - 10), Some(55), "not past it");
    let scan = sieve.finish(0.0, 0.0, true, true);
    let seen = scan.classes.iter().find(|seen| seen.class == Class::Established).unwrap();
    assert_eq!(
        (seen.oldest_idle_seconds, seen.would_free),
        (Some(65), 0),
        "what is told of a class is certain"
    );
}
