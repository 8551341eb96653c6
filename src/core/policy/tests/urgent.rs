//! Where there is no time for a scan, what is past its floor goes as it is met.

use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

/// Scanned some seconds ago, too long for a plan by class.
fn looked_at(entries: u64) -> Snapshot {
    looked_at_before(entries, 12.0)
}

fn looked_at_before(entries: u64, seconds: f64) -> Snapshot {
    let classes = Class::ALL.map(|class| (class, [(1u32, 10u64)]));
    let classes: Vec<(Class, &[(u32, u64)])> =
        classes.iter().map(|(class, idle)| (*class, &idle[..])).collect();
    let scan = Scan { at_seconds: NOW - seconds, ..seen(&classes) };
    Snapshot { scan: Some(scan), ..table(entries) }
}

fn growing(entries: u64, per_second: f64) -> Snapshot {
    let rate = Some(per_second);
    Snapshot { new_per_second: rate, net_growth_per_second: rate, ..looked_at(entries) }
}

#[test]
fn a_full_table_is_relieved_before_it_is_scanned() {
    let plan = plan_of(&looked_at(96_000), &pinned());
    let expected: Vec<_> =
        Class::ALL.map(|class| (class, FlushSettings::default().floor_seconds(class), 26_000)).into();
    assert_eq!(flushed(&plan), expected);
    let portion = plan.pace.portion.expect("an urgent act");
    assert!((portion - 26.0 / 96.0 * 1.25).abs() < 1e-9 && !plan.scan);
    assert!(plan.actions[0].reason.contains("no time for a scan"), "{:?}", plan.actions[0]);
    let full = plan_of(&growing(100_000, 0.0), &pinned());
    let reason = &full.actions[0].reason;
    assert!(reason.contains("and the table is full: ") && !reason.contains("no time"), "{reason}");
}

#[test]
fn so_is_one_that_is_full_before_a_scan_has_ended() {
    let hurries = |per_second| {
        let plan = plan_of(&growing(80_000, per_second), &pinned());
        assert_ne!(plan.pace.portion.is_some(), plan.scan);
        plan.pace.portion
    };
    assert_eq!(hurries(10_000.0), None, "2 s are time enough");
    // 10,000 are too many and 100,000 will come within a second: everything that may go does.
    assert_eq!(hurries(100_000.0), Some(1.0));
}

#[test]
fn who_found_nothing_or_weighs_who_holds_the_table_scans() {
    let barren = Memory { barren: Some((NOW, 1)), ..at_level(Level::Critical) };
    let sharing = Memory { sharing: true, ..at_level(Level::Critical) };
    let spent = Memory { small_acts: Some((NOW - 0.1, 3)), ..at_level(Level::Critical) };
    for memory in [barren, sharing, spent] {
        let (plan, _) = decide(&looked_at(96_000), &memory, &pinned());
        assert!(plan.scan && plan.pace.portion.is_none());
    }
}

#[test]
fn a_table_that_little_comes_into_has_time_until_it_is_full() {
    // A scan of it takes 1.23 s.
    let hurries = |entries, new| {
        let snapshot =
            Snapshot { new_per_second: Some(new), net_growth_per_second: Some(-40.0), ..looked_at(entries) };
        plan_of(&snapshot, &pinned()).pace.portion.is_some()
    };
    assert!(!hurries(99_999, 0.0) && !hurries(96_000, 3000.0));
    assert!(hurries(100_000, 0.0) && hurries(96_000, 3500.0) && hurries(99_900, 100.0));
}

/// The table has filled since then, with what nobody has looked at.
#[test]
fn a_scan_of_long_ago_or_one_that_met_nothing_is_no_ground_for_urgency() {
    let empty = Snapshot { scan: Some(Scan { at_seconds: NOW - 3.0, ..seen(&[]) }), ..table(115_000) };
    for snapshot in [looked_at_before(115_000, 600.0), looked_at_before(115_000, 15.1), empty] {
        let plan = plan_of(&snapshot, &pinned());
        assert!(plan.scan && plan.actions.is_empty() && plan.pace.portion.is_none(), "{plan:?}");
        assert!(says(&plan, "the table is looked at first"), "{:?}", plan.reasons);
    }
}

#[test]
fn acts_that_find_what_is_there_go_on_without_a_scan() {
    let hurries = |times, seconds| {
        let memory = Memory { small_acts: Some((NOW - seconds, times)), ..at_level(Level::Critical) };
        let (plan, _) = decide(&looked_at_before(115_000, 600.0), &memory, &pinned());
        assert_ne!(plan.pace.portion.is_some(), plan.scan);
        plan.pace.portion.is_some()
    };
    assert!(hurries(0, 0.3));
    assert!(!hurries(1, 0.3) && !hurries(0, 15.1));
}

#[test]
fn suspended_classes_are_no_ground_for_urgency() {
    let regret = vec![ClassRegret {
        flushed: 100,
        watched: 100,
        regretted: 50,
        recent_watched: 100,
        recent_regretted: 50,
        recent_heard: 50,
        last_seconds: Some(NOW),
        ..ClassRegret::none(Class::Udp)
    }];
    let scan = |classes| Some(Scan { at_seconds: NOW - 5.0, ..seen(classes) });
    let both = scan(&[(Class::Udp, &[(1, 10)]), (Class::Established, &[(1, 10)])]);
    let snapshot = Snapshot { regret, scan: both, ..table(96_000) };
    assert_eq!(flushed(&plan_of(&snapshot, &pinned())), [(Class::Established, 7440, 26_000)]);
    let one = scan(&[(Class::Udp, &[(1, 10)])]);
    let plan = plan_of(&Snapshot { scan: one, ..snapshot }, &pinned());
    assert!(plan.scan && plan.actions.is_empty(), "{plan:?}");
}

/// 1.8 s for 400 entries were seen beside a namespace of a million.
#[test]
fn a_dump_takes_as_long_as_the_last_one_did_whoever_the_entries_are_of() {
    let hurries = |duration_seconds| {
        let mut snapshot = Snapshot { new_per_second: Some(3000.0), ..looked_at(96_000) };
        snapshot.scan.iter_mut().for_each(|scan| scan.duration_seconds = duration_seconds);
        plan_of(&snapshot, &pinned()).pace.portion.is_some()
    };
    assert!(!hurries(0.1) && hurries(1.8));
}

#[test]
fn before_the_first_scan_nobody_knows_who_has_children() {
    let plan = plan_of(&table(100_000), &pinned());
    assert!(plan.scan && plan.actions.is_empty() && plan.pace.portion.is_none());
}

#[test]
fn classes_that_are_not_there_are_not_named() {
    let scan = Some(Scan { at_seconds: NOW - 5.0, ..seen(&[(Class::Udp, &[(1, 10)])]) });
    let plan = plan_of(&Snapshot { scan, ..table(96_000) }, &pinned());
    assert_eq!(flushed(&plan), [(Class::Udp, 120, 26_000)]);
}

#[test]
fn without_leave_nothing_hurries() {
    let mut settings = pinned();
    settings.flush.enabled = false;
    assert_eq!(flushed(&plan_of(&looked_at(96_000), &settings)), []);
    let may_not = Snapshot { may_flush: false, ..looked_at(96_000) };
    assert_eq!(flushed(&plan_of(&may_not, &pinned())), []);
}
