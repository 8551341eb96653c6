use super::fixtures::*;
use crate::core::model::*;

/// Of every class 4,000 that may go, and some that may not yet.
fn all_classes() -> Scan {
    let of = |class| -> &'static [(u32, u64)] {
        match class {
            Class::Closed => &[(64, 4000), (2, 500)],
            Class::Unreplied => &[(64, 4000), (10, 500)],
            Class::UdpShort => &[(64, 4000), (4, 500)],
            Class::Udp => &[(256, 4000), (60, 500)],
            Class::Other => &[(512, 4000), (60, 500)],
            _ => &[(10_240, 4000), (3600, 500)],
        }
    };
    seen(&Class::ALL.map(|class| (class, of(class))))
}

fn plan(entries: u64, scan: Scan) -> Plan {
    plan_of(&Snapshot { scan: Some(scan), ..table(entries) }, &pinned())
}

#[test]
fn classes_go_in_order_and_only_as_many_as_are_too_many() {
    let flushes = flushed(&plan(80_000, all_classes()));
    assert_eq!(
        flushes,
        [(Class::Closed, 5, 4000), (Class::Unreplied, 35, 4000), (Class::UdpShort, 64, 2000)]
    );
}

#[test]
fn budgets_sum_to_the_excess() {
    for entries in [80_000, 84_000, 90_000, 94_000, 97_000, 120_000] {
        let plan = plan(entries, all_classes());
        let sum: u64 = flushed(&plan).iter().chain(&given_grace(&plan)).map(|f| f.2).sum();
        assert_eq!(sum, entries - 70_000, "{entries}");
    }
}

#[test]
fn established_goes_last_and_only_past_its_floor() {
    let flushes = flushed(&plan(97_000, all_classes()));
    let classes: Vec<Class> = flushes.iter().map(|f| f.0).collect();
    assert_eq!(classes, Class::ALL);
    assert_eq!(flushes.last(), Some(&(Class::Established, 7440, 7000)));
}

#[test]
fn the_longest_idle_of_a_class_go_first() {
    let scan = seen(&[(Class::Established, &[(8192, 20_000), (40_960, 9_000), (81_920, 5_000)])]);
    assert_eq!(given_grace(&plan(80_000, scan.clone())), [(Class::Established, 40_960, 10_000)]);
    assert_eq!(flushed(&plan(95_000, scan)), [(Class::Established, 8192, 25_000)]);
}

#[test]
fn what_would_not_be_enough_goes_from_the_floor_on() {
    let scan = seen(&[(Class::Udp, &[(4096, 3000)])]);
    assert_eq!(flushed(&plan(85_000, scan)), [(Class::Udp, 120, 15_000)]);
}

#[test]
fn the_reason_gives_the_excess_what_may_go_and_the_floor() {
    let plan = plan(81_000, seen(&[(Class::Closed, &[(90, 3000)])]));
    let reason = &plan.actions.last().unwrap().reason;
    for words in ["11000 entries are over target_percent 70", "3000 closed entries", "5 s", "90 s"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn without_leave_nothing_is_flushed_and_the_plan_says_why() {
    let mut settings = pinned();
    let scan = Some(all_classes());
    let may_not = Snapshot { scan: scan.clone(), may_flush: false, ..table(85_000) };
    let plan = plan_of(&may_not, &settings);
    assert_eq!(flushed(&plan), []);
    assert!(says(&plan, "may not delete entries"));
    settings.flush.enabled = false;
    let plan = plan_of(&Snapshot { scan, ..table(85_000) }, &settings);
    assert_eq!(flushed(&plan), []);
    assert!(says(&plan, "[flush] enabled = false"));
    assert!(!says(&plan, "none is idle"), "that would not be true: {:?}", plan.reasons);
}

#[test]
fn the_pace_is_that_of_the_level() {
    let high = plan(85_000, all_classes()).pace;
    let expected = Pace {
        portion: None,
        per_second: 20_000,
        urgent_at_entries: 95_000,
        urgent_per_second: 200_000,
        enough_at_entries: 70_000,
        chances_per_second: 20_000,
    };
    assert_eq!(high, expected);
    assert_eq!(plan(95_000, all_classes()).pace.per_second, 200_000);
}

#[test]
fn at_critical_no_plan_names_a_payer_yet_or_a_second_chance() {
    for action in plan(99_000, all_classes()).actions {
        match action.act {
            Act::Flush(flush) => assert_eq!((flush.share_level, flush.payers), (None, None)),
            act => assert_eq!(act.name(), "set-timeout"),
        }
    }
}

/// TIME_WAIT that is past its own floor, TIME_WAIT that only level critical may take, and CLOSE past its floor.
fn closing(past: u64, only_critical: &[(u32, u64)], close: u64) -> Scan {
    let mut scan = seen(&[(Class::Closed, &[(8, close), (64, past)])]);
    let closed = &mut scan.classes[0];
    for (seconds, n) in only_critical {
        closed.only_critical.add_many(*seconds, *n);
        closed.entries += n;
    }
    scan
}

fn closed_flush(entries: u64, scan: Scan) -> Option<(u32, Option<u32>, u64, String)> {
    let plan = plan(entries, scan);
    plan.actions.iter().find_map(|action| match &action.act {
        Act::Flush(flush) if flush.class == Class::Closed => {
            let cuts = (flush.idle_over_seconds, flush.time_wait_over_seconds);
            Some((cuts.0, cuts.1, flush.budget, action.reason.clone()))
        }
        _ => None,
    })
}

#[test]
fn time_wait_has_a_floor_of_its_own_below_critical() {
    // 15,000 are too many, and 30,000 TIME_WAIT entries are too young at high.
    let young: &[(u32, u64)] = &[(8, 20_000), (40, 10_000)];
    assert_eq!(closed_flush(85_000, closing(0, young, 0)), None);
    let (close, time_wait, _, reason) = closed_flush(85_000, closing(3000, young, 2000)).unwrap();
    assert_eq!((close, time_wait), (5, Some(60)));
    assert!(reason.contains("5000 closed entries") && reason.contains("TIME_WAIT from 60 s on"), "{reason}");
    let (close, time_wait, budget, _) = closed_flush(85_000, closing(20_000, young, 9000)).unwrap();
    assert_eq!((close, time_wait, budget), (64, Some(64), 15_000), "the longest idle first");
}

#[test]
fn at_critical_the_oldest_time_wait_goes_before_its_floor_and_only_what_is_missing() {
    let young: &[(u32, u64)] = &[(8, 20_000), (40, 10_000)];
    // 26,000 are too many at 96,000 entries.
    let enough = closed_flush(96_000, closing(30_000, young, 0)).unwrap();
    assert_eq!((enough.1, enough.2), (Some(64), 26_000), "what is past its own floor suffices");
    let some = closed_flush(96_000, closing(18_000, young, 0)).unwrap();
    assert_eq!((some.0, some.1, some.2), (5, Some(40), 26_000));
    assert!(some.3.contains("before its own 60 s") && some.3.contains("10000 more"), "{}", some.3);
    let all = closed_flush(96_000, closing(1000, young, 0)).unwrap();
    assert_eq!((all.0, all.1, all.2), (5, Some(8), 26_000));
    let none_left = closed_flush(99_000, closing(0, &[(8, 9000)], 0)).unwrap();
    assert_eq!((none_left.0, none_left.1), (5, Some(5)));
}

#[test]
fn the_reason_says_what_the_scan_saw_and_when() {
    let now = &plan(80_000, all_classes()).actions[0].reason;
    assert!(now.contains("when scanned just now, 4000 closed entries were idle"), "{now}");
    let scan = Scan { at_seconds: NOW - 2.5, ..all_classes() };
    let reason = &plan(80_000, scan).actions[0].reason;
    let expected = "10000 entries are over target_percent 70; when last scanned, 2.5 s before, 4000 closed entries were \
                    idle for 5 s or more, the longest for 64 s";
    assert!(reason.starts_with(expected), "{reason}");
}
