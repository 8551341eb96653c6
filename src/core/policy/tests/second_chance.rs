use proptest::prelude::*;

use super::fixtures::*;
use super::generators::{config, memory, settings, snapshot};
use crate::core::model::*;
use crate::core::policy::{decide, seconds_to_full};

/// 20,000 connections idle past the floor, a quarter of them for very long.
fn idle() -> Scan {
    seen(&[(Class::Established, &[(8192, 15_000), (81_920, 5000)])])
}

/// The same, `n` of the longest idle in their grace since just now.
fn with_waiting(n: u64, entries: u64) -> Snapshot {
    let mut scan = idle();
    scan.given_grace(Class::Established, n);
    let ends = NOW + 60.0;
    let chances = Chances { waiting: n, first_ends_seconds: ends, last_ends_seconds: ends, room: MAX };
    Snapshot { scan: Some(scan), chances, ..table(entries) }
}

fn growing(per_second: f64) -> Snapshot {
    Snapshot { net_growth_per_second: Some(per_second), scan: Some(idle()), ..table(85_000) }
}

#[test]
fn at_high_what_is_too_much_gets_a_second_chance_and_nothing_is_deleted() {
    let plan = plan_of(&growing(0.0), &pinned());
    assert_eq!(given_grace(&plan), [(Class::Established, 8192, 15_000)]);
    assert_eq!(flushed(&plan), []);
    let Act::SecondChance(flush) = &plan.actions.last().unwrap().act else { panic!("{:?}", plan.actions) };
    assert_eq!(flush.grace_seconds, Some(60));
    let reason = &plan.actions.last().unwrap().reason;
    assert!(reason.contains("20000 established entries") && reason.contains("60 s are left"), "{reason}");
}

#[test]
fn the_gentler_classes_go_first_and_as_ever() {
    let scan = seen(&[(Class::Closed, &[(64, 4000)]), (Class::Established, &[(10_240, 9000)])]);
    let plan = plan_of(&Snapshot { scan: Some(scan), ..table(80_000) }, &pinned());
    assert_eq!(flushed(&plan), [(Class::Closed, 5, 4000)]);
    assert_eq!(given_grace(&plan), [(Class::Established, 10_240, 6000)]);
}

#[test]
fn at_critical_there_is_no_time_for_it() {
    let plan = plan_of(&Snapshot { entries: 96_000, ..growing(0.0) }, &pinned());
    assert_eq!(flushed(&plan), [(Class::Established, 7440, 26_000)]);
    assert_eq!(given_grace(&plan), []);
}

#[test]
fn a_table_that_is_full_before_the_grace_is_over_is_flushed() {
    // 15,000 entries of room; 60 s of grace, 10 of margin, and a second to give 15,000.
    let slow = plan_of(&growing(200.0), &pinned());
    assert_eq!((flushed(&slow).len(), given_grace(&slow).len()), (0, 1));
    let fast = plan_of(&growing(220.0), &pinned());
    assert_eq!((flushed(&fast).len(), given_grace(&fast).len()), (1, 0));
}

/// What was deleted a moment ago makes the table look as if it shrank.
#[test]
fn where_there_was_no_time_there_is_none_for_a_while() {
    for before in [growing(30_000.0), Snapshot { entries: 96_000, ..growing(0.0) }] {
        let (_, mut memory) = decide(&before, &fresh(), &pinned());
        memory.level = Level::High;
        let at = |seconds: f64| {
            let mut snapshot = growing(-5000.0);
            snapshot.now_seconds += seconds;
            decide(&snapshot, &memory, &pinned()).0
        };
        assert_eq!((flushed(&at(0.2)).len(), given_grace(&at(0.2)).len()), (1, 0));
        let reason = at(0.2).actions.pop().expect("a flush").reason;
        assert!(
            reason.ends_with("the table grows too fast, or did a moment ago, for a second chance"),
            "{reason}"
        );
        assert_eq!((flushed(&at(9.9)).len(), given_grace(&at(9.9)).len()), (1, 0));
        assert_eq!((flushed(&at(10.0)).len(), given_grace(&at(10.0)).len()), (0, 1));
    }
}

#[test]
fn beside_listeners_the_pace_is_modest_and_takes_its_time() {
    let alone = plan_of(&growing(200.0), &pinned());
    assert_eq!(alone.pace.chances_per_second, 20_000);
    let heard = Snapshot { update_listeners: 1, ..growing(180.0) };
    let plan = plan_of(&heard, &pinned());
    assert_eq!(plan.pace.chances_per_second, 1000);
    assert_eq!(
        (plan.pace.per_second, given_grace(&plan)),
        (20_000, vec![]),
        "15 s to give them are too many"
    );
    let slower = Snapshot { net_growth_per_second: Some(170.0), ..heard };
    assert_eq!(given_grace(&plan_of(&slower, &pinned())).len(), 1);
    let mut settings = pinned();
    settings.flush.per_second_high = 300;
    assert_eq!(plan_of(&slower, &settings).pace.chances_per_second, 300);
}

/// A packet that revives an entry makes no event: a peer of conntrackd would keep the short time.
#[test]
fn who_spoke_is_found_in_calm_too_where_somebody_listens() {
    let scan = |at_seconds: f64| Some(Scan { at_seconds, ..seen(&[]) });
    let chances = Chances { waiting: 3, first_ends_seconds: NOW, last_ends_seconds: NOW + 30.0, room: 9 };
    let calm = |seconds: f64, scanned: f64, update_listeners: u64| {
        let (now_seconds, scan) = (NOW + seconds, scan(NOW + scanned));
        plan_of(&Snapshot { now_seconds, chances, update_listeners, scan, ..table(10_000) }, &pinned()).scan
    };
    assert!(!calm(9.9, 0.0, 1) && calm(10.0, 0.0, 1), "within ten seconds");
    assert!(
        !calm(31.9, 30.0, 1) && calm(32.0, 30.0, 1) && !calm(33.0, 32.0, 1),
        "and once they have run out"
    );
    assert!(!calm(32.0, 0.0, 0), "nobody is told");
    let none = Snapshot { update_listeners: 1, scan: scan(NOW - 100.0), ..table(10_000) };
    assert!(!plan_of(&none, &pinned()).scan);
}

#[test]
fn a_conntrackd_is_named_with_what_it_changes() {
    let says = |role, why: Option<&str>| {
        let one = Conntrackd { pid: 42, role, why: why.map(str::to_owned) };
        let snapshot = Snapshot { conntrackd: Conntrackds(vec![one]), ..table(10_000) };
        plan_of(&snapshot, &pinned()).waiting.join("|")
    };
    let stats = says(ConntrackdRole::Stats, None);
    assert_eq!(stats, "conntrackd (process 42, Stats) writes no entry, and changes nothing here");
    let changes =
        "time left proves nobody idle, so that an entry goes only once scans saw it silent for its floor";
    let sync = says(ConntrackdRole::Sync, None);
    assert_eq!(sync, format!("conntrackd (process 42, Sync) writes entries of its peer: {changes}"));
    let unknown = says(ConntrackdRole::Unknown, Some("/gone cannot be read"));
    let counts = "conntrackd (process 42) counts as one that syncs, for /gone cannot be read";
    assert_eq!(unknown, format!("{counts}: {changes}"));
}

#[test]
fn what_waits_is_not_missing_twice() {
    let mut memory = fresh();
    memory.barren = Some((NOW, 3));
    let (plan, after) = decide(&with_waiting(15_000, 85_000), &memory, &pinned());
    let acts: Vec<&str> = plan.actions.iter().map(|a| a.act.name()).filter(|n| *n != "set-timeout").collect();
    assert_eq!(acts, [""; 0]);
    assert!(says(&plan, "15000 of 15000 entries that are too many are in their second chance"));
    assert!(
        plan.waiting.iter().any(|w| w.contains("15000 entries") && w.contains("60 s")),
        "{:?}",
        plan.waiting
    );
    assert_eq!(after.barren, None, "that is no lack of what could go");
    assert!(!plan.scan);
}

#[test]
fn in_calm_what_has_run_out_waits_no_longer() {
    let at = |now: f64| Snapshot { now_seconds: now, ..with_waiting(150, 70_100) };
    assert_eq!(plan_of(&at(NOW + 59.5), &pinned()).waiting.len(), 1);
    assert_eq!(plan_of(&at(NOW + 62.0), &pinned()).waiting, [""; 0]);
}

#[test]
fn what_comes_meanwhile_gets_its_own_and_from_those_that_have_had_none() {
    let plan = plan_of(&with_waiting(5000, 82_000), &pinned());
    // The 5,000 longest idle wait: 7,000 more are found only from 8,192 s on.
    assert_eq!(given_grace(&plan), [(Class::Established, 8192, 7000)]);
}

#[test]
fn going_critical_in_the_middle_of_the_grace_flushes_those_too() {
    let plan = plan_of(&with_waiting(15_000, 96_000), &pinned());
    assert_eq!(flushed(&plan), [(Class::Established, 7440, 26_000)]);
    assert!(plan.actions.last().unwrap().reason.contains("20000 established entries are idle"));
}

#[test]
fn after_the_grace_a_scan_comes_before_anything_else() {
    let at = |now: f64, scanned: f64| {
        let mut snapshot = with_waiting(15_000, 90_000);
        snapshot.now_seconds = now;
        snapshot.scan.as_mut().unwrap().at_seconds = scanned;
        plan_of(&snapshot, &pinned())
    };
    let before = at(NOW + 61.9, NOW + 55.0);
    assert!(!before.scan && given_grace(&before).len() == 1);
    let over = at(NOW + 62.0, NOW + 55.0);
    assert!(over.scan && over.actions.is_empty(), "{:?}", over.actions);
    assert!(!at(NOW + 64.0, NOW + 62.5).scan, "once");
    assert!(!at(NOW + 62.0, NOW + 61.5).scan, "and not in a frenzy");
}

#[test]
fn without_a_grace_or_the_kernels_leave_they_are_flushed() {
    let mut settings = pinned();
    settings.flush.grace_seconds = 0;
    assert_eq!(flushed(&plan_of(&growing(0.0), &settings)).len(), 1);
    let refused = Snapshot { may_give_grace: false, ..growing(0.0) };
    assert_eq!(flushed(&plan_of(&refused, &pinned())).len(), 1);
}

#[test]
fn beyond_what_can_be_kept_in_mind_nobody_gets_one() {
    let mut snapshot = growing(0.0);
    snapshot.chances.room = 4000;
    assert_eq!(given_grace(&plan_of(&snapshot, &pinned())), [(Class::Established, 81_920, 4000)]);
    snapshot.chances.room = 0;
    let plan = plan_of(&snapshot, &pinned());
    assert_eq!((given_grace(&plan), flushed(&plan)), (vec![], vec![]));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn only_at_high_with_time_and_only_those_that_it_serves(s in snapshot(), m in memory(), c in settings()) {
        let (plan, _) = decide(&s, &m, &c);
        let given = given_grace(&plan);
        let flushes_established = flushed(&plan).iter().any(|f| f.0 == Class::Established);
        for (class, idle_over, budget) in &given {
            prop_assert_eq!((plan.level, *class), (Level::High, Class::Established));
            prop_assert!(*idle_over >= c.flush.floor_seconds(*class));
            prop_assert!(*budget > 0 && *budget <= s.chances.room && s.may_give_grace && c.flush.grace_seconds > 0);
            prop_assert!(seconds_to_full(&s, &c).is_none_or(|full| full > f64::from(c.flush.grace_seconds)));
            prop_assert!(!flushes_established && given.len() == 1);
        }
        let time = plan.level == Level::High && s.may_give_grace && c.flush.grace_seconds > 0
            && seconds_to_full(&s, &c).is_none();
        prop_assert!(!(time && flushes_established), "nothing is deleted that could have had its chance");
    }

    #[test]
    fn what_is_in_its_grace_covers_what_is_too_much(s in snapshot(), m in memory(), c in settings()) {
        let (plan, _) = decide(&s, &m, &c);
        let excess = s.entries.saturating_sub(plan.pace.enough_at_entries);
        for (_, _, budget) in given_grace(&plan) {
            prop_assert!(budget.saturating_add(s.chances.waiting) <= excess);
        }
    }

    #[test]
    fn doing_what_the_plan_says_leaves_nothing_to_do_until_the_grace_is_over(
        entries in 80_000..94_999u64, c in 1..20_000u64, e in 1..20_000u64, passed in 0.0..61.0f64,
    ) {
        let scan = seen(&[(Class::Closed, &[(64, c)]), (Class::Established, &[(20_480, e)])]);
        let s = Snapshot { scan: Some(scan), ..table(entries) };
        let (plan, m) = decide(&s, &fresh(), &pinned());
        let mut next = s.clone();
        apply(&plan, &mut next);
        let scan = next.scan.as_mut().unwrap();
        for (class, _, n) in flushed(&plan) {
            scan.freed(class, n.min(c));
            next.entries -= n.min(c);
        }
        for (class, _, n) in given_grace(&plan) {
            scan.given_grace(class, n);
            let n = n.min(e);
            let ends = NOW + 60.0;
            next.chances = Chances { waiting: n, first_ends_seconds: ends, last_ends_seconds: ends, room: MAX - n };
        }
        (next.now_seconds, scan.at_seconds) = (NOW + passed, NOW + passed);
        let (again, _) = decide(&next, &m, &pinned());
        prop_assert_eq!((flushed(&again), given_grace(&again)), (vec![], vec![]));
    }
}
