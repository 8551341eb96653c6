//! Second chances.

use super::*;

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
