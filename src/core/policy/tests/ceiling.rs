use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{ceiling, headroom, outlook};

/// Facts under which no bound is near: 16 GiB, half of them available, and many buckets.
fn roomy() -> Snapshot {
    Snapshot { buckets: 1 << 30, ..table(50_000) }
}

#[test]
fn a_share_of_memory_less_huge_pages_bounds_it() {
    let mut snapshot = roomy();
    let bound = ceiling(&snapshot, &Settings::default());
    assert_eq!(bound.memory_budget_bytes, 16 * GIB / 10);
    assert_eq!(bound.entries, 16 * GIB / 10 / 400);
    let reason = "memory_percent 10 of 16384 MiB is 1638 MiB at 400 bytes an entry";
    assert_eq!(bound.reason, format!("max may rise to {}: {reason}", bound.entries));
    snapshot.memory.huge_pages_bytes = 8 * GIB;
    assert_eq!(ceiling(&snapshot, &Settings::default()).memory_budget_bytes, 8 * GIB / 10);
}

#[test]
fn what_is_available_bounds_it_after_what_is_kept_back() {
    let mut snapshot = roomy();
    snapshot.memory.available_bytes = 2 * GIB;
    let bound = ceiling(&snapshot, &Settings::default());
    assert_eq!(bound.entries, 50_000 + (2 * GIB - 16 * GIB / 10) / 400);
    assert!(bound.reason.contains("2048 MiB are available, 1638 of them kept back"), "{}", bound.reason);
    snapshot.memory.available_bytes = GIB;
    assert_eq!(ceiling(&snapshot, &Settings::default()).entries, 50_000, "what the table holds is spent");
}

#[test]
fn what_other_namespaces_may_take_is_promised_already() {
    let mut snapshot = roomy();
    snapshot.memory.available_bytes = 2 * GIB;
    snapshot.memory.entries_all_namespaces = Some(80_000);
    snapshot.memory.other_namespaces = 3;
    let bound = ceiling(&snapshot, &Settings::default());
    let free = (2 * GIB - (16.0 * GIB as f64 * 0.1) as u64) / 400;
    assert_eq!(bound.entries, (80_000 + free) / 4);
    assert!(bound.reason.contains("shared by 4 namespaces"), "{}", bound.reason);
    // Every one of the four filled to max stays inside what is free.
    assert!(bound.entries * 4 - 80_000 <= free);
}

#[test]
fn what_other_namespaces_hold_is_no_memory_for_this_one() {
    let mut snapshot = roomy();
    let alone = ceiling(&snapshot, &Settings::default()).entries;
    // A second namespace full of entries, and memory enough that nothing else bounds max.
    (snapshot.memory.total_bytes, snapshot.memory.available_bytes) = (16 * GIB, 16 * GIB);
    (snapshot.memory.entries_all_namespaces, snapshot.memory.other_namespaces) = (Some(1_050_000), 1);
    let bound = ceiling(&snapshot, &Settings::default());
    assert_eq!(bound.entries, alone - 1_000_000);
    assert!(bound.reason.ends_with("less 1000000 entries that other namespaces hold"), "{}", bound.reason);
    assert!(bound.entries + 1_000_000 <= bound.memory_budget_bytes / 400, "all together inside the share");
}

#[test]
fn where_others_hold_more_than_the_share_nothing_is_left_to_raise() {
    let mut snapshot = roomy();
    (snapshot.memory.entries_all_namespaces, snapshot.memory.other_namespaces) = (Some(9_000_000), 2);
    assert_eq!(ceiling(&snapshot, &Settings::default()).entries, 0);
    let plan = plan_of(&Snapshot { entries: 99_000, ..snapshot }, &Settings::default());
    assert_eq!(raised(&plan), None);
    assert!(says(&plan, "max stays at 100000, its ceiling is 0:"));
}

#[test]
fn eight_entries_a_bucket_bound_it() {
    let bound = ceiling(&Snapshot { buckets: 1000, ..roomy() }, &Settings::default());
    assert_eq!(bound.entries, 8000);
    assert_eq!(bound.reason, "max may rise to 8000: 8 entries a bucket at 1000 buckets");
}

#[test]
fn the_operator_bounds_it_and_never_widens_it() {
    let mut settings = Settings::default();
    settings.capacity.ceiling = 70_000;
    let bound = ceiling(&roomy(), &settings);
    assert_eq!((bound.entries, bound.reason.contains("the configured ceiling 70000")), (70_000, true));
    settings.capacity.ceiling = u64::from(u32::MAX);
    assert_eq!(ceiling(&roomy(), &settings), ceiling(&roomy(), &Settings::default()));
}

#[test]
fn facts_that_no_host_has_overflow_nothing() {
    let mut snapshot = roomy();
    let facts = &mut snapshot.memory;
    (facts.total_bytes, facts.available_bytes, facts.bytes_per_entry) = (u64::MAX, u64::MAX, 0);
    (facts.entries_all_namespaces, facts.other_namespaces) = (Some(u64::MAX), u64::MAX);
    snapshot.buckets = u64::MAX;
    assert_eq!(ceiling(&snapshot, &Settings::default()).entries, 0);
    assert_eq!(ceiling(&Snapshot::default(), &Settings::default()).entries, 0);
}

#[test]
fn where_it_is_never_raised_nothing_says_that_it_may_rise() {
    let raised = table(1000);
    assert!(outlook(&raised, &Settings::default()).starts_with("max may rise to "));
    let mut off = Settings::default();
    off.capacity.enabled = false;
    let mut quota = Settings::default();
    quota.capacity.limit = raised.max;
    let anothers = Snapshot { owns_host_values: false, ..table(1000) };
    for (snapshot, settings, why) in [
        (&raised, off, "[capacity] enabled = false"),
        (&raised, quota, "the quota, [capacity] limit, is no more than that"),
        (&anothers, Settings::default(), "it is not this agent's to write"),
    ] {
        let said = outlook(snapshot, &settings);
        let begin = format!("max stays at {}: {why} (for one who may raise it: max may rise to ", raised.max);
        assert!(said.starts_with(&begin), "{said}");
    }
}

/// The figures of a headroom sentence, in their order.
fn figures(sentence: &str) -> Vec<f64> {
    let number = |c: char| c.is_ascii_digit() || c == '.';
    sentence.split(|c: char| !number(c)).filter_map(|word| word.trim_end_matches('.').parse().ok()).collect()
}

#[test]
fn the_headroom_is_one_sentence_whose_figures_add_up() {
    const MIB: f64 = 1_048_576.0;
    let near = |a: f64, b: f64| assert!((a - b).abs() <= b * 0.001 + 1.0, "{a} against {b}");
    let mut snapshot = roomy();
    let sentence = |snapshot: &Snapshot, settings: &Settings| headroom(snapshot, settings);
    let memory = sentence(&snapshot, &Settings::default());
    let [max, to, percent, of, cost] = figures(&memory)[..] else { panic!("{memory}") };
    assert_eq!((max as u64, to as u64), (snapshot.max, ceiling(&snapshot, &Settings::default()).entries));
    near(to, of * percent / 100.0 * MIB / cost);
    snapshot.buckets = 1000;
    let buckets = sentence(&snapshot, &Settings::default());
    let [_, to, each, n, by_memory, percent, of, cost] = figures(&buckets)[..] else { panic!("{buckets}") };
    assert_eq!(to, each * n, "{buckets}");
    near(by_memory, of * percent / 100.0 * MIB / cost);
    snapshot.buckets = 1 << 30;
    snapshot.memory.available_bytes = 2 * GIB;
    snapshot.memory.entries_all_namespaces = Some(80_000);
    snapshot.memory.other_namespaces = 3;
    let available = sentence(&snapshot, &Settings::default());
    let all = figures(&available);
    let (to, held, free, cost, namespaces) = (all[1], all[2], all[3], all[5], all[6]);
    near(to, (held + free * MIB / cost) / namespaces);
    let mut quota = Settings::default();
    quota.capacity.limit = 1000;
    let stays = sentence(&snapshot, &quota);
    assert!(
        stays.contains(", stays: the quota, [capacity] limit, is no more than that; it could rise"),
        "{stays}"
    );
    snapshot.buckets = 64;
    let over = sentence(&snapshot, &Settings::default());
    let bound = format!("{}, and no more: its bound is 512 (8 entries a bucket at 64 buckets)", snapshot.max);
    assert!(over.starts_with(&bound), "{over}");
}
