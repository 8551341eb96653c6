use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::buckets_at_start;

/// max is 16 times the buckets.
fn crowded() -> Snapshot {
    Snapshot { max: 1_048_576, buckets: 65_536, ..table(10_000) }
}

fn resized(snapshot: &Snapshot, settings: &Settings) -> Option<(u64, u64)> {
    buckets_at_start(snapshot, settings).map(|action| match action.act {
        Act::ResizeBuckets { from, to } => (from, to),
        act => panic!("{act:?}"),
    })
}

#[test]
fn buckets_are_sized_for_max_with_a_reason() {
    let action = buckets_at_start(&crowded(), &Settings::default()).unwrap();
    assert_eq!(action.act, Act::ResizeBuckets { from: 65_536, to: 131_072 });
    let reason = "1048576 entries need 131072 buckets at 8 each; moving 10000 entries stalls packets for about 5 ms, \
                  within stall_budget_ms 20";
    assert_eq!(action.reason, reason);
}

#[test]
fn buckets_that_are_enough_stay() {
    assert_eq!(resized(&Snapshot { max: 65_536 * 8, ..crowded() }, &Settings::default()), None);
    let one_more = Snapshot { max: 65_536 * 8 + 1, ..crowded() };
    assert_eq!(resized(&one_more, &Settings::default()), Some((65_536, 66_048)), "whole pages of 512 heads");
}

#[test]
fn the_ceiling_that_the_operator_wrote_down_counts() {
    let mut settings = Settings::default();
    settings.capacity.ceiling = 4_194_304;
    assert_eq!(resized(&crowded(), &settings), Some((65_536, 524_288)));
}

#[test]
fn a_stall_beyond_the_budget_is_never_paid() {
    let entries = |entries| resized(&Snapshot { entries, ..crowded() }, &Settings::default()).is_some();
    assert!(entries(40_000) && !entries(40_001));
    let mut elsewhere = crowded();
    elsewhere.memory.entries_all_namespaces = Some(40_001);
    assert_eq!(resized(&elsewhere, &Settings::default()), None, "entries of every namespace are moved");
    let mut stale = Snapshot { entries: 40_001, ..crowded() };
    stale.memory.entries_all_namespaces = Some(10);
    assert_eq!(resized(&stale, &Settings::default()), None, "the namespace's own count is exact");
}

#[test]
fn buckets_stay_where_they_may_not_or_cannot_be_sized() {
    let mut never = Settings::default();
    never.capacity.buckets = BucketsSetting::Never;
    assert_eq!(resized(&crowded(), &never), None);
    let mut disabled = Settings::default();
    disabled.capacity.enabled = false;
    assert_eq!(resized(&crowded(), &disabled), None);
    let settings = Settings::default();
    assert_eq!(resized(&Snapshot { owns_host_values: false, ..crowded() }, &settings), None);
    assert_eq!(resized(&Snapshot { buckets: 0, ..crowded() }, &settings), None);
    let mut small = crowded();
    small.memory.total_bytes = 8 << 20;
    assert_eq!(resized(&small, &settings), None, "the list heads alone would take memory_percent");
}
