use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

#[test]
fn max_rises_by_half_at_least() {
    let plan = plan_of(&table(80_000), &Settings::default());
    assert_eq!(raised(&plan), Some(150_000));
    let reason = &plan.actions[0].reason;
    assert!(reason.starts_with("usage is 80.0 % (80000 of 100000 entries)"), "{reason}");
    assert!(reason.contains("114286 would bring it to target_percent"), "{reason}");
    assert!(reason.contains("8 entries a bucket at 65536 buckets"), "{reason}");
}

#[test]
fn max_rises_to_what_the_target_needs() {
    // Someone lowered max under the count.
    let plan = plan_of(&table(300_000), &Settings::default());
    assert_eq!(raised(&plan), Some(428_572), "what the target needs, and no more");
    assert!(says(&plan, "max 100000 is below the 300000 entries in the table"));
}

#[test]
fn max_rises_to_the_ceiling_and_no_further() {
    let mut settings = Settings::default();
    settings.capacity.ceiling = 120_000;
    let plan = plan_of(&table(80_000), &settings);
    assert_eq!(raised(&plan), Some(120_000));
    assert!(plan.actions[0].reason.contains("the configured ceiling 120000"));
}

#[test]
fn at_the_ceiling_max_stays_and_the_bound_is_named() {
    for ceiling in [MAX, MAX / 2] {
        let mut settings = Settings::default();
        settings.capacity.ceiling = ceiling;
        let plan = plan_of(&table(80_000), &settings);
        assert_eq!(raised(&plan), None);
        assert!(says(&plan, &format!("max stays at 100000, its ceiling is {ceiling}: the configured")));
    }
}

#[test]
fn max_rises_once_a_second_at_most() {
    let settings = Settings::default();
    let (plan, memory) = decide(&table(98_000), &fresh(), &settings);
    assert_eq!(raised(&plan), Some(150_000));
    let again = |seconds: f64| {
        let snapshot = Snapshot { now_seconds: NOW + seconds, max: 150_000, ..table(149_000) };
        decide(&snapshot, &memory, &settings).0
    };
    assert_eq!(raised(&again(0.9)), None);
    assert!(says(&again(0.9), "less than a second ago"));
    assert_eq!(raised(&again(1.0)), Some(225_000));
}

#[test]
fn where_raising_is_enough_nothing_else_is_done() {
    let idle = seen(&[(Class::Closed, &[(60, 30_000)]), (Class::Established, &[(20_480, 60_000)])]);
    for scan in [None, Some(idle)] {
        let plan = plan_of(&Snapshot { scan, ..table(100_000) }, &Settings::default());
        assert_eq!((plan.level, plan.actions.len(), plan.scan), (Level::Critical, 1, false));
        assert_eq!(raised(&plan), Some(150_000));
    }
}

#[test]
fn what_raising_does_not_cover_is_flushed() {
    let mut settings = Settings::default();
    settings.capacity.ceiling = 110_000;
    let scan = Some(seen(&[(Class::Closed, &[(60, 30_000)])]));
    let plan = plan_of(&Snapshot { scan, ..table(90_000) }, &settings);
    assert_eq!(raised(&plan), Some(110_000));
    // 70 % of the new max are 77,000.
    assert_eq!(plan.pace.enough_at_entries, 77_000);
    assert_eq!(flushed(&plan).iter().map(|f| f.2).sum::<u64>(), 13_000);
}

#[test]
fn a_quota_below_max_is_not_relieved_by_raising_max() {
    let mut settings = Settings::default();
    settings.capacity.limit = 50_000;
    let scan = Some(seen(&[(Class::Closed, &[(60, 30_000)])]));
    let plan = plan_of(&Snapshot { scan, ..table(49_000) }, &settings);
    assert_eq!((plan.level, raised(&plan)), (Level::Critical, None));
    assert_eq!(plan.pace.enough_at_entries, 35_000);
    assert_eq!(flushed(&plan)[0].2, 14_000);
    settings.capacity.limit = MAX;
    assert_eq!(raised(&plan_of(&table(80_000), &settings)), None);
}

#[test]
fn a_quota_above_max_bounds_what_raising_gives() {
    let mut settings = Settings::default();
    settings.capacity.limit = 110_000;
    let plan = plan_of(&table(90_000), &settings);
    assert_eq!(raised(&plan), Some(150_000));
    assert_eq!(plan.pace.enough_at_entries, 77_000);
}

#[test]
fn without_leave_max_stays_and_the_plan_says_why() {
    let mut settings = Settings::default();
    let plan = plan_of(&Snapshot { owns_host_values: false, ..table(99_000) }, &settings);
    assert_eq!(raised(&plan), None);
    assert!(says(&plan, "may not write the host's nf_conntrack_max"));
    settings.capacity.enabled = false;
    let plan = plan_of(&table(99_000), &settings);
    assert_eq!(raised(&plan), None);
    assert!(says(&plan, "[capacity] enabled = false"));
}

#[test]
fn whoever_owns_max_instead_is_named_among_what_waits() {
    let owner = Some("an agent with pid 12, for the namespace red, has it".to_owned());
    let plan = plan_of(
        &Snapshot { owns_host_values: false, host_values_owner: owner, ..table(99_000) },
        &Settings::default(),
    );
    let said =
        "max is not raised: it is one for the host, and an agent with pid 12, for the namespace red, has it";
    assert!(raised(&plan).is_none() && says(&plan, said));
    assert!(plan.waiting.iter().any(|waiting| waiting == said), "{:?}", plan.waiting);
}

#[test]
fn max_is_left_alone_once_relief_is_over() {
    let mut settings = Settings::default();
    (settings.pressure.target_percent, settings.pressure.low_percent) = (75.0, 75.0);
    let memory = Memory { level: Level::High, relieving: true, ..fresh() };
    // At the target, which is low itself: still high, by hysteresis alone.
    let (plan, memory) = decide(&table(75_000), &memory, &settings);
    assert_eq!((plan.level, memory.relieving), (Level::High, false));
    assert_eq!(raised(&plan), None);
}
