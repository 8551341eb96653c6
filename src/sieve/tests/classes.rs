//! Which entries are of which class, and from when on they may go.

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
        eligible: true,
        in_grace: false,
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
        assert_eq!((judged.class, judged.idle_seconds, judged.eligible), (Option::None, Option::None, false));
    }
    let unknown = Entry { tcp: Option::None, ..established(100_000) };
    assert!(!Scene::new().judge(&unknown).eligible);
}

#[test]
fn closed_connections_go_after_seconds() {
    let mut scene = Scene::new();
    assert!(scene.judge(&in_state(TcpState::TimeWait, 114)).eligible);
    assert!(!scene.judge(&in_state(TcpState::TimeWait, 115)).eligible);
    assert_eq!(scene.judge(&in_state(TcpState::Close, 5)).class, Some(Class::Closed));
}
