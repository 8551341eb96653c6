//! What a scan adds up.

use super::*;

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
    assert_eq!((seen.entries, seen.would_free, seen.oldest_idle_seconds), (5, 2, Some(20_480)));
    assert_eq!((seen.idle.total(), seen.idle.at_least(10_240)), (3, 2));
}

#[test]
fn a_scan_is_trusted_only_if_whole_and_not_in_doubt() {
    for (whole, trusted) in [(true, false), (false, true), (false, false)] {
        assert!(!Scene::new().sieve().finish(0.0, 0.0, whole, trusted).trusted);
    }
}

#[test]
fn what_is_of_a_suspended_class_is_fair_shares_to_take() {
    let weigh = |suspended: &[Class]| {
        let mut scene = Scene::new();
        let young = std::collections::HashSet::new();
        let weighing = Weighing::new(&scene.settings, young).suspending(suspended.iter().copied().collect());
        let mut sieve = scene.sieve();
        sieve.weigh(weighing);
        for entry in [established(10_000), established(100), established(30)] {
            let judged = sieve.judge(&entry);
            sieve.count(&judged);
        }
        let weighed = sieve.finish(0.0, 0.1, true, true).weighed.unwrap();
        let takeable: u32 = weighed.takeable.iter().map(|bin| bin.entries).sum();
        (weighed.holdings[0].entries, takeable)
    };
    // What goes by its class is not asked for twice.
    assert_eq!(weigh(&[]), (2, 1));
    assert_eq!(weigh(&[Class::Udp]), (2, 1));
    assert_eq!(weigh(&[Class::Established]), (3, 2));
}

#[test]
fn the_oldest_of_a_class_is_unknown_where_nothing_is_known_and_what_is_unknown_is_counted_by_why() {
    let mut scene = Scene::new();
    let foreign = Entry { id: 7, ..established(9000) };
    let event = Event { kind: EventKind::New, entry: foreign, foreign: true };
    scene.sightings.write().unwrap().event(&event, &scene.identify);
    let mut sieve = scene.sieve();
    let mut count = |entry: &Entry| {
        let judged = sieve.judge(entry);
        sieve.count(&judged);
    };
    count(&foreign);
    count(&Entry { timeout_seconds: Some(500_000), ..established(9000) });
    // Nobody asks whether what is protected is idle.
    count(&Entry { helper: true, ..established(9000) });
    let scan = sieve.finish(0.0, 0.0, true, true);
    let seen = &scan.classes[5];
    assert_eq!((seen.entries, seen.oldest_idle_seconds, seen.idle_unknown), (3, None, 2));
    assert_eq!(ClassRow::seen(seen).oldest_idle_seconds, None);
    let why = |why, entries| UnprovenCount { why, entries };
    assert_eq!(scan.unproven, [why(Unproven::Foreign, 1), why(Unproven::NoBase, 1)]);
    assert_eq!(
        ClassRow::seen(&scan.classes[0]).oldest_idle_seconds,
        Some(0),
        "of nothing, nothing is unknown"
    );
}
