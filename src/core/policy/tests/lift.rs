//! Protection that takes too much of the table.

use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

/// A scan in which configuration protects `held` entries, of which `idle` are past the floor; nothing else is idle.
fn protecting(held: u64, idle: u64) -> Scan {
    let mut scan = seen(&[(Class::Established, &[(60, 90_000)])]);
    (scan.protected, scan.liftable) = (held + 10, held);
    let of = scan.classes.iter_mut().find(|c| c.class == Class::Established).unwrap();
    (0..idle).for_each(|n| of.held_by_protection.add(if n % 2 == 0 { 10_000 } else { 80_000 }));
    scan
}

fn plan(entries: u64, scan: Scan) -> (Plan, Memory) {
    decide(&Snapshot { scan: Some(scan), ..table(entries) }, &fresh(), &pinned())
}

fn lifted(plan: &Plan) -> Vec<(Class, u32, u64)> {
    let of = |action: &Action| match &action.act {
        Act::Flush(flush) if flush.lifts_protection => {
            Some((flush.class, flush.idle_over_seconds, flush.budget))
        }
        _ => None,
    };
    plan.actions.iter().filter_map(of).collect()
}

#[test]
fn at_critical_what_is_over_max_percent_loses_it_the_longest_idle_first() {
    let (plan, _) = plan(96_000, protecting(30_000, 30_000));
    // 26,000 are too many, but protection has a right to 20,000.
    assert_eq!(lifted(&plan), [(Class::Established, 65_536, 10_000)]);
    let lift = plan.actions.iter().find(|a| matches!(&a.act, Act::Flush(flush) if flush.lifts_protection));
    let reason = &lift.unwrap().reason;
    assert!(reason.starts_with("protection is lifted: 26000 entries are too many"), "{reason}");
    assert!(reason.contains("30000 entries (30.0 % of the limit, max_percent is 20)"), "{reason}");
}

#[test]
fn before_it_is_lifted_the_plan_tells_of_how_many_entries() {
    let told = |held, idle| plan(50_000, protecting(held, idle)).0.overprotected;
    let over = told(30_000, 15_000).expect("it is over max_percent");
    assert!(
        over.contains("30000 entries, 30.0 % of the limit, against max_percent 20: 10000 are over"),
        "{over}"
    );
    assert!(over.contains("at critical 10000 of them would be flushed"), "{over}");
    assert!(told(30_000, 40).is_some_and(|over| over.contains("at critical 40 of them would be flushed")));
    assert_eq!(told(20_000, 20_000), None);
}

#[test]
fn no_more_goes_than_is_too_many_or_idle() {
    assert_eq!(lifted(&plan(96_000, protecting(60_000, 40)).0), [(Class::Established, 7440, 40)]);
    assert_eq!(lifted(&plan(96_000, protecting(60_000, 0)).0), []);
    assert_eq!(lifted(&plan(96_000, protecting(90_000, 90_000)).0), [(Class::Established, 65_536, 26_000)]);
}

#[test]
fn below_critical_or_at_max_percent_it_is_never_lifted() {
    assert_eq!(lifted(&plan(94_999, protecting(60_000, 60_000)).0), []);
    assert_eq!(lifted(&plan(96_000, protecting(20_000, 20_000)).0), []);
}

#[test]
fn what_is_unprotected_goes_first() {
    let mut scan = protecting(60_000, 60_000);
    let closed = seen(&[(Class::Closed, &[(60, 5)])]).classes.remove(0);
    scan.classes[0] = closed;
    let (plan, _) = plan(96_000, scan);
    assert_eq!((flushed(&plan).len(), lifted(&plan)), (1, vec![]));
}

#[test]
fn a_max_that_rises_goes_first() {
    let snapshot = Snapshot { scan: Some(protecting(60_000, 60_000)), ..table(96_000) };
    let (plan, after) = decide(&snapshot, &fresh(), &Settings::default());
    assert!(raised(&plan).is_some() && lifted(&plan).is_empty());
    let soon = Snapshot { now_seconds: NOW + 0.5, ..snapshot };
    assert_eq!(lifted(&decide(&soon, &after, &Settings::default()).0), []);
}

#[test]
fn the_alarm_rises_over_max_percent_at_any_level_and_falls_below_nine_tenths_of_it() {
    let with = |held, memory: &Memory| {
        let scan = Some(Scan { at_seconds: NOW - 100.0, ..protecting(held, 0) });
        decide(&Snapshot { scan, ..table(50_000) }, memory, &pinned())
    };
    let (plan, after) = with(20_000, &fresh());
    assert!(!after.overprotected && plan.waiting.is_empty());
    let (plan, after) = with(20_001, &fresh());
    assert!(after.overprotected);
    assert!(says(&plan, "protects 20001 entries, 20.0 % of the limit, against max_percent 20"));
    assert_eq!(plan.waiting.len(), 1);
    let (_, after) = with(18_001, &after);
    assert!(after.overprotected);
    let (plan, after) = with(18_000, &after);
    assert!(!after.overprotected && plan.waiting.is_empty());
    let (_, without) = decide(&table(50_000), &Memory { overprotected: true, ..fresh() }, &pinned());
    assert!(without.overprotected, "without a scan nothing is known to have changed");
}
