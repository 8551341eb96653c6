use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

fn aged(scan: Scan, age: f64) -> Scan {
    Scan { at_seconds: NOW - age, ..scan }
}

fn idle() -> Scan {
    seen(&[(Class::Closed, &[(60, 50_000)])])
}

fn with(entries: u64, scan: Scan) -> Plan {
    plan_of(&Snapshot { scan: Some(scan), ..table(entries) }, &pinned())
}

#[test]
fn a_pinned_table_is_scanned_before_anything_is_decided() {
    let plan = plan_of(&table(90_000), &pinned());
    assert!(plan.scan && plan.actions.is_empty());
}

#[test]
fn a_scan_is_acted_on_while_it_is_young() {
    let acts = |entries, age| !with(entries, aged(idle(), age)).actions.is_empty();
    assert!(acts(85_000, 10.0) && !acts(85_000, 10.1));
    assert!(with(85_000, aged(idle(), 10.1)).scan);
    let hurries = |age| with(96_000, aged(idle(), age)).pace.portion.is_some();
    assert!(acts(96_000, 2.0) && !hurries(2.0) && hurries(2.1));
}

#[test]
fn a_scan_that_takes_long_is_kept_for_longer() {
    let slow = |age| Scan { duration_seconds: 1.0, ..aged(idle(), age) };
    assert!(!with(85_000, slow(20.0)).scan && with(85_000, slow(20.1)).scan);
    assert!(with(96_000, slow(4.0)).pace.portion.is_none() && with(96_000, slow(4.1)).pace.portion.is_some());
}

#[test]
fn a_scan_in_doubt_is_never_acted_on_and_repeated_without_frenzy() {
    let doubtful = |age| Scan { trusted: false, ..aged(idle(), age) };
    for entries in [85_000, 96_000, 100_000] {
        for age in [0.0, 0.1, 0.3, 1.0, 5.0, 60.0] {
            let plan = with(entries, doubtful(age));
            assert!(plan.actions.is_empty(), "{entries} {age}");
            assert_eq!(plan.scan, age > 0.2, "{entries} {age}");
        }
    }
    let slow = |age| Scan { duration_seconds: 0.5, ..doubtful(age) };
    assert!(!with(96_000, slow(1.0)).scan && with(96_000, slow(1.1)).scan);
}

#[test]
fn a_scan_that_finds_nothing_is_repeated_ever_more_seldom() {
    let mut settings = pinned();
    settings.timeouts.enabled = false;
    let weighed = Some(std::sync::Arc::default());
    let nothing = Scan { protected: 7, weighed, ..seen(&[(Class::Established, &[(60, 90_000)])]) };
    let mut memory = fresh();
    let mut now = NOW;
    for times in 1..=12u32 {
        let scan = Some(Scan { at_seconds: now, ..nothing.clone() });
        let at = |seconds: f64| Snapshot { now_seconds: seconds, scan: scan.clone(), ..table(96_000) };
        let (plan, after) = decide(&at(now + 0.1), &memory, &settings);
        assert!(plan.actions.is_empty() && !plan.scan);
        assert!(says(&plan, "26000 entries are over the target, but of 90000 none is idle for certain"));
        assert!(says(&plan, "(7 are protected)"));
        // The same scan seen twice is one finding.
        let (_, after) = decide(&at(now + 0.2), &after, &settings);
        assert_eq!(after.barren.unwrap().1, times);
        let wait = f64::from(times.min(10));
        assert!(!decide(&at(now + wait), &after, &settings).0.scan, "{times}");
        assert!(decide(&at(now + wait + 0.1), &after, &settings).0.scan, "{times}");
        memory = after;
        now += wait + 0.2;
    }
    let found =
        Snapshot { now_seconds: now, scan: Some(Scan { at_seconds: now, ..idle() }), ..table(96_000) };
    let (plan, after) = decide(&found, &memory, &settings);
    assert_eq!((plan.actions.len(), after.barren), (1, None), "what can be freed ends the back-off");
    let (_, after) = decide(&table(50_000), &memory, &settings);
    assert_eq!(after.barren, None, "so does calm");
}

#[test]
fn barren_scans_that_take_long_are_further_apart() {
    let memory = Memory { barren: Some((NOW - 14.0, 1)), ..at_level(Level::Critical) };
    let weighed = Some(std::sync::Arc::default());
    let slow = |age| Scan { duration_seconds: 1.5, weighed: weighed.clone(), ..aged(seen(&[]), age) };
    let scan = |age| {
        let snapshot = Snapshot { scan: Some(slow(age)), ..table(96_000) };
        decide(&snapshot, &memory, &pinned()).0.scan
    };
    assert!(!scan(15.0) && scan(15.1));
}

#[test]
fn below_low_nothing_is_scanned() {
    let plan = plan_of(&table(74_999), &Settings::default());
    assert!(!plan.scan && plan.actions.is_empty());
}

#[test]
fn near_high_the_table_is_looked_at_so_that_the_crossing_finds_a_young_scan() {
    let plan = plan_of(&table(75_000), &pinned());
    assert!(plan.scan && plan.actions.is_empty() && plan.level == Level::Normal);
    assert!(says(&plan, "the table is looked at, ahead of pressure"));
    // As often as at high, and no more.
    assert!(!with(79_999, aged(idle(), 10.0)).scan && with(79_999, aged(idle(), 10.1)).scan);
    let doubtful = Scan { trusted: false, ..aged(idle(), 5.0) };
    assert!(!with(79_999, doubtful).scan);
    let mut idle_hands = pinned();
    (idle_hands.flush.enabled, idle_hands.timeouts.enabled) = (false, false);
    assert!(!plan_of(&table(79_999), &idle_hands).scan);
}

#[test]
fn where_idleness_cannot_be_proven_the_plan_says_why_and_of_how_many() {
    let mut scan = seen(&[(Class::Established, &[(10, 10)])]);
    let of = |why, entries| UnprovenCount { why, entries };
    scan.unproven = vec![of(Unproven::Conntrackd, 80_000), of(Unproven::Helper, 3)];
    scan.entries = 97_000;
    let plan = plan_of(&Snapshot { scan: Some(scan), ..table(97_000) }, &pinned());
    let said = plan.reasons.iter().find(|why| why.contains("cannot be proven")).expect("why");
    let expected = "for how long 80003 of 97000 entries have been idle cannot be proven, so that they count as live: \
                    80000 (conntrackd writes entries here, whose time left proves nothing), 3 (a helper sets its \
                    timeout)";
    assert_eq!(said, expected);
}

#[test]
fn what_is_of_no_class_and_fills_the_table_is_named_with_its_timeout_and_what_to_do() {
    let close_wait = timeout("tcp_timeout_close_wait");
    let half_closed = |entries, seconds, level_entries| {
        let mut scan = seen(&[]);
        let seen = Unclassed {
            entries,
            over_default: entries / 2,
            ..Unclassed::empty("close-wait", Some(close_wait))
        };
        (scan.entries, scan.unclassed) = (level_entries, vec![seen]);
        let mut snapshot = Snapshot { scan: Some(scan), ..table(level_entries) };
        snapshot.timeouts.insert(close_wait, seconds);
        plan_of(&snapshot, &pinned()).reasons.join("\n")
    };
    let said = half_closed(90_000, 3600, 96_000);
    assert!(said.contains("90000 of 96000 entries are TCP in CLOSE_WAIT, of no class"), "{said}");
    assert!(said.contains("tcp_timeout_close_wait is 3600 s, 60 times the kernel's own 60 s"), "{said}");
    assert!(said.contains("set net.netfilter.nf_conntrack_tcp_timeout_close_wait to 60"), "{said}");
    let own = half_closed(90_000, 60, 96_000);
    assert!(
        own.contains("tcp_timeout_close_wait is 60 s: they end so long") && !own.contains("set net."),
        "{own}"
    );
    assert!(!half_closed(9000, 3600, 96_000).contains("CLOSE_WAIT"), "less than a tenth");
    // In calm too, where a value that somebody set will fill it; not where they end as the kernel means it.
    assert!(half_closed(20_000, 3600, 40_000).contains("CLOSE_WAIT"));
    assert!(!half_closed(20_000, 60, 40_000).contains("CLOSE_WAIT"));
}

#[test]
fn a_command_with_no_agent_says_of_no_look_that_comes() {
    let mut settings = pinned();
    settings.timeouts.enabled = false;
    let weighed = Some(std::sync::Arc::default());
    let nothing = Scan { weighed, ..seen(&[(Class::Established, &[(60, 90_000)])]) };
    for trusted in [true, false] {
        let snapshot = Snapshot { scan: Some(Scan { trusted, ..nothing.clone() }), ..table(96_000) };
        let said = |memory: &Memory| {
            let plan = decide(&snapshot, memory, &settings).0;
            (plan.waiting.join("; "), plan.reasons.join("; "))
        };
        let (waiting, _) = said(&fresh());
        assert!(waiting.contains("the table is looked at again"), "{waiting}");
        let (waiting, reasons) = said(&Memory { once: true, ..fresh() });
        assert!(!waiting.contains("look") && !reasons.contains("is looked at again"), "{waiting} {reasons}");
        assert!(reasons.contains("an agent would look"), "{reasons}");
    }
}
