use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

fn relieving() -> Memory {
    Memory { level: Level::High, relieving: true, ..fresh() }
}

/// 12,000 established entries past the floor, on the edges of the histogram's bins.
fn established() -> Scan {
    seen(&[(Class::Established, &[(10_240, 6_000), (20_480, 6_000), (60, 30_000)])])
}

fn plan(entries: u64, scan: Scan, settings: &Settings) -> Plan {
    decide(&Snapshot { scan: Some(scan), ..table(entries) }, &relieving(), settings).0
}

#[test]
fn the_largest_timeout_that_covers_the_excess_is_set() {
    let at = |entries| shortened(&plan(entries, established(), &pinned()));
    assert_eq!(at(76_000), [("tcp_timeout_established", 20_480)]);
    assert_eq!(at(76_001), [("tcp_timeout_established", 10_240)]);
    assert_eq!(at(82_000), [("tcp_timeout_established", 10_240)]);
}

#[test]
fn the_reason_gives_what_was_seen_the_excess_and_on_what_the_floor_stands() {
    let plan = plan(76_000, established(), &pinned());
    let reason = &plan.actions[0].reason;
    for words in ["12000 established entries", "6000 entries are too many", "20480 s", "7440 s", "RFC 5382"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn where_nothing_covers_the_excess_only_critical_goes_to_the_floor() {
    assert_eq!(shortened(&plan(82_001, established(), &pinned())), []);
    assert_eq!(shortened(&plan(95_000, established(), &pinned())), [("tcp_timeout_established", 7440)]);
}

#[test]
fn a_class_with_nothing_past_its_floor_keeps_its_timeout_below_critical() {
    let fresh = seen(&[(Class::Established, &[(7000, 60_000)]), (Class::Udp, &[(100, 30_000)])]);
    assert_eq!(shortened(&plan(94_000, fresh, &pinned())), []);
}

#[test]
fn at_critical_what_fills_the_table_goes_to_the_floor_though_nothing_is_past_it_yet() {
    let of = |live| seen(&[(Class::Established, &[(7000, live)]), (Class::Udp, &[(100, 96_000 - live)])]);
    let plan = |live| self::plan(96_000, of(live), &pinned());
    assert_eq!(shortened(&plan(60_000)), [("tcp_timeout_established", 7440)]);
    let reason = &plan(60_000).actions[0].reason;
    assert!(
        reason.contains("of 60000 established entries none that is unprotected is idle for 7440 s"),
        "{reason}"
    );
    assert_eq!(shortened(&plan(9_600)), [("tcp_timeout_established", 7440)]);
    assert_eq!(shortened(&plan(9_599)), [], "it is not these that fill the table");
    let relieved = seen(&[(Class::Established, &[(7000, 60_000)]), (Class::Closed, &[(10, 26_000)])]);
    assert_eq!(shortened(&self::plan(96_000, relieved, &pinned())), [], "flushing suffices");
}

#[test]
fn each_class_has_its_timeout() {
    let scan = seen(&[
        (Class::Closed, &[(64, 9_000)]),
        (Class::Unreplied, &[(80, 9_000)]),
        (Class::Udp, &[(160, 9_000)]),
        (Class::Other, &[(320, 9_000)]),
    ]);
    let mut snapshot = Snapshot { scan: Some(scan), ..table(76_000) };
    snapshot.timeouts.insert(timeout("udp_timeout_stream"), 600);
    let expected = [
        ("udp_timeout_stream", 160),
        ("generic_timeout", 320),
        ("tcp_timeout_time_wait", 64),
        ("tcp_timeout_syn_sent", 80),
    ];
    assert_eq!(shortened(&decide(&snapshot, &relieving(), &pinned()).0), expected);
}

/// Of each class whatever fills it; a few entries of something else are not what fills the table.
#[test]
fn the_timeout_of_the_protocol_and_state_that_is_there_is_shortened() {
    for (class, name, floor) in [
        (Class::Unreplied, "udp_timeout", 30),
        (Class::Unreplied, "icmp_timeout", 60),
        (Class::Unreplied, "icmpv6_timeout", 60),
        (Class::Unreplied, "gre_timeout", 30),
        (Class::Unreplied, "generic_timeout", 240),
        (Class::UdpShort, "udp_timeout", 30),
        (Class::Udp, "udp_timeout", 30),
        (Class::Udp, "udp_timeout_stream", 120),
        (Class::Other, "gre_timeout_stream", 180),
        (Class::Other, "sctp_timeout_established", 210),
        (Class::Other, "icmp_timeout", 60),
        (Class::Closed, "tcp_timeout_close", 10),
    ] {
        for (idle, to) in [(1, floor), (10_000, floor.max(8192))] {
            let mut scan = seen(&[(class, &[(idle, 90_000)]), (Class::Unreplied, &[(idle, 9_000)])]);
            let place = Class::ALL.iter().position(|of| *of == class).unwrap();
            // A few of another protocol: those keep theirs, at critical too.
            scan.classes[1].by_timeout[0].entries = 9_000;
            let few = scan.classes[1].by_timeout.clone();
            stands_under(&mut scan.classes[place], name);
            scan.classes[1].by_timeout.extend(few.into_iter().filter(|_| class == Class::Unreplied));
            let mut snapshot = Snapshot { scan: Some(scan), ..table(99_000) };
            snapshot.timeouts.insert(timeout(name), 20_000);
            let plan = decide(&snapshot, &relieving(), &pinned()).0;
            assert_eq!(shortened(&plan), [(name, to)], "{class} {name} {idle}");
            let reason = &plan.actions.iter().find(|a| a.act.name() == "set-timeout").unwrap().reason;
            assert!(reason.contains(class.name()) && reason.contains(&format!("{floor} s")), "{reason}");
        }
    }
}

#[test]
fn what_went_is_not_counted_under_its_timeout_any_more() {
    let mut scan = established();
    scan.freed(Class::Established, 6_000);
    let governed = &scan.classes[5].by_timeout[0];
    assert_eq!((governed.entries, governed.may_go), (36_000, 6_000));
    assert_eq!(governed.idle.at_least(20_000), 0);
}

#[test]
fn a_timeout_is_written_once() {
    let mut snapshot = Snapshot { scan: Some(established()), ..table(76_000) };
    let (first, memory) = decide(&snapshot, &relieving(), &pinned());
    apply(&first, &mut snapshot);
    assert_eq!(shortened(&decide(&snapshot, &memory, &pinned()).0), []);
    // What the operator keeps shorter already is never lengthened.
    snapshot.timeouts.insert(timeout("tcp_timeout_established"), 8000);
    assert_eq!(shortened(&decide(&snapshot, &memory, &pinned()).0), []);
    snapshot.timeouts.insert(timeout("tcp_timeout_established"), 600);
    snapshot.entries = 96_000;
    assert_eq!(shortened(&decide(&snapshot, &memory, &pinned()).0), []);
}

#[test]
fn the_operators_floor_holds() {
    let mut settings = pinned();
    settings.timeouts.floors_seconds.insert(timeout("tcp_timeout_established"), 15_000);
    assert_eq!(shortened(&plan(82_000, established(), &settings)), []);
    assert_eq!(shortened(&plan(95_000, established(), &settings)), [("tcp_timeout_established", 15_000)]);
}

#[test]
fn without_leave_no_timeout_is_set() {
    let mut settings = pinned();
    let snapshot = Snapshot { scan: Some(established()), may_set_timeouts: false, ..table(82_000) };
    assert_eq!(shortened(&decide(&snapshot, &relieving(), &settings).0), []);
    settings.timeouts.enabled = false;
    assert_eq!(shortened(&plan(82_000, established(), &settings)), []);
}

#[test]
fn a_timeout_that_the_kernel_lacks_is_passed_over() {
    let mut snapshot = Snapshot { scan: Some(established()), ..table(82_000) };
    snapshot.timeouts.remove(&timeout("tcp_timeout_established"));
    let (plan, _) = decide(&snapshot, &relieving(), &pinned());
    assert_eq!(shortened(&plan), []);
    assert_eq!(given_grace(&plan).len(), 1);
}

/// A timeout is waited for on disk.
#[test]
fn timeouts_come_before_what_is_there_unless_deletions_cannot_wait() {
    let order = |entries, coming: f64| {
        let growing = Snapshot {
            new_per_second: Some(coming),
            net_growth_per_second: Some(coming),
            scan: Some(established()),
            ..table(entries)
        };
        let plan = plan_of(&growing, &pinned());
        let mut turns: Vec<bool> = plan.actions.iter().map(|a| a.act.name() == "set-timeout").collect();
        turns.dedup();
        turns
    };
    assert_eq!(order(80_000, 0.0), [true, false]);
    assert_eq!(order(80_000, 9_000.0), [true, false], "deletions keep up");
    assert_eq!(order(80_000, 11_000.0), [false, true]);
    assert_eq!(order(96_000, 0.0), [false, true], "critical");
}
