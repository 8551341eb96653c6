use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide, limit, seconds_to_full};

fn level(entries: u64, before: Level) -> Level {
    decide(&table(entries), &at_level(before), &pinned()).0.level
}

#[test]
fn a_watermark_is_reached_at_exactly_its_value() {
    assert_eq!(level(79_999, Level::Normal), Level::Normal);
    assert_eq!(level(80_000, Level::Normal), Level::High);
    assert_eq!(level(94_999, Level::Normal), Level::High);
    assert_eq!(level(95_000, Level::Normal), Level::Critical);
}

#[test]
fn high_ends_below_low_and_not_before() {
    assert_eq!(level(79_999, Level::High), Level::High);
    assert_eq!(level(75_000, Level::High), Level::High);
    assert_eq!(level(74_999, Level::High), Level::Normal);
    assert_eq!(level(75_000, Level::Normal), Level::Normal);
}

#[test]
fn critical_lasts_until_usage_is_below_high() {
    assert_eq!(level(80_000, Level::Critical), Level::Critical);
    assert_eq!(level(79_999, Level::Critical), Level::High);
    assert_eq!(level(74_999, Level::Critical), Level::Normal);
}

#[test]
fn the_reason_gives_the_measured_value_and_the_limit() {
    let plan = plan_of(&table(81_234), &pinned());
    assert_eq!(plan.reasons[0], "usage is 81.2 % (81234 of 100000 entries), at or over high_percent 80");
    let plan = plan_of(&table(50_000), &pinned());
    assert_eq!(plan.reasons, ["usage is 50.0 % (50000 of 100000 entries), below high_percent 80"]);
}

fn with_drops(entries: u64, drop: u64, insert_failed: u64) -> (Plan, Memory) {
    let before = Drops { drop: 1000, insert_failed: 10, ..Drops::default() };
    let memory = Memory { drops: Some(before), ..fresh() };
    let drops = Drops { drop: 1000 + drop, insert_failed: 10 + insert_failed, ..Drops::default() };
    decide(&Snapshot { drops, ..table(entries) }, &memory, &pinned())
}

#[test]
fn colliding_packets_raise_drop_and_lead_to_no_act() {
    let (plan, _) = with_drops(5_000, 191_117, 191_117);
    assert_eq!((plan.level, plan.actions.len(), plan.scan), (Level::Normal, 0, false));
    let (plan, _) = with_drops(85_000, 191_117, 191_117);
    assert_eq!(plan.level, Level::High);
    assert!(!says(&plan, "dropped"));
}

#[test]
fn drops_in_a_table_with_room_lead_to_no_act() {
    let (plan, _) = with_drops(5_000, 500, 0);
    assert_eq!((plan.level, plan.actions.len(), plan.scan), (Level::Normal, 0, false));
    assert_eq!(with_drops(79_999, 500, 0).0.level, Level::Normal);
}

#[test]
fn drops_for_want_of_room_are_critical_from_high_on() {
    let (plan, memory) = with_drops(85_000, 500, 100);
    assert_eq!(plan.level, Level::Critical);
    assert!(says(&plan, "400 packets more were dropped"), "{:?}", plan.reasons);
    assert_eq!(memory.drops.unwrap().drop, 1500);
}

#[test]
fn the_first_look_and_statistics_that_start_again_prove_nothing() {
    let drops = Drops { drop: 500, ..Drops::default() };
    assert_eq!(plan_of(&Snapshot { drops, ..table(85_000) }, &pinned()).level, Level::High);
    let memory = Memory { drops: Some(Drops { drop: 900, ..Drops::default() }), ..fresh() };
    let (plan, _) = decide(&Snapshot { drops, ..table(85_000) }, &memory, &pinned());
    assert_eq!(plan.level, Level::High);
}

#[test]
fn a_max_of_zero_is_no_limit_and_no_pressure() {
    let snapshot = Snapshot { max: 0, net_growth_per_second: Some(1e9), ..table(5_000_000) };
    let memory = Memory { level: Level::Critical, relieving: true, foreseen: 9, ..fresh() };
    let (plan, after) = decide(&snapshot, &memory, &Settings::default());
    assert_eq!((plan.level, plan.actions.len(), plan.scan), (Level::Normal, 0, false));
    assert!(says(&plan, "nf_conntrack_max is 0"));
    assert!(!after.relieving);
}

#[test]
fn pressure_is_measured_against_the_quota_where_it_is_the_lower() {
    let mut settings = Settings::default();
    settings.capacity.limit = 50_000;
    assert_eq!(plan_of(&table(40_000), &settings).level, Level::High);
    assert_eq!(limit(&Snapshot { max: 0, ..table(0) }, &settings), Some(50_000));
    settings.capacity.limit = 200_000;
    assert_eq!(limit(&table(0), &settings), Some(MAX));
}

#[test]
fn time_to_full_is_known_only_while_the_table_grows() {
    let growing = |growth| Snapshot { net_growth_per_second: growth, ..table(60_000) };
    assert_eq!(seconds_to_full(&growing(Some(1000.0)), &pinned()), Some(40.0));
    assert_eq!(seconds_to_full(&growing(Some(0.9)), &pinned()), None);
    assert_eq!(seconds_to_full(&growing(Some(-5.0)), &pinned()), None);
    assert_eq!(seconds_to_full(&growing(None), &pinned()), None);
    let over = Snapshot { net_growth_per_second: Some(2.0), ..table(MAX + 1) };
    assert_eq!(seconds_to_full(&over, &pinned()), Some(0.0));
}

/// Full in 25 s.
fn rising(now: f64) -> Snapshot {
    Snapshot { now_seconds: now, net_growth_per_second: Some(2000.0), ..table(50_000) }
}

#[test]
fn a_forecast_counts_after_three_samples() {
    let settings = pinned();
    let (plan, memory) = decide(&rising(NOW), &fresh(), &settings);
    assert_eq!(plan.level, Level::Normal);
    let (plan, memory) = decide(&rising(NOW + 0.1), &memory, &settings);
    assert_eq!((plan.level, memory.foreseen), (Level::Normal, 1), "too soon to be another sample");
    let (plan, memory) = decide(&rising(NOW + 0.25), &memory, &settings);
    assert_eq!(plan.level, Level::Normal);
    let (plan, memory) = decide(&rising(NOW + 0.5), &memory, &settings);
    assert_eq!(plan.level, Level::High);
    assert!(says(&plan, "full in 25 s at this growth, within horizon_seconds 30"), "{:?}", plan.reasons);
    let (plan, memory) = decide(&table(50_000), &memory, &settings);
    assert_eq!((plan.level, memory.foreseen), (Level::Normal, 0), "growth has ended");
}

#[test]
fn a_forecast_beyond_the_horizon_is_none() {
    let memory = Memory { foreseen: 3, ..fresh() };
    let slow = Snapshot { net_growth_per_second: Some(1600.0), ..table(50_000) };
    assert_eq!(decide(&slow, &memory, &pinned()).0.level, Level::Normal);
}

#[test]
fn a_forecast_that_counts_does_so_until_the_table_would_last_twice_as_long() {
    let memory = Memory { foreseen: 3, level: Level::High, ..fresh() };
    let growing = |rate| Snapshot { net_growth_per_second: Some(rate), ..table(50_000) };
    let level = |rate| decide(&growing(rate), &memory, &pinned()).0.level;
    assert_eq!([1600.0, 840.0, 820.0].map(level), [Level::High, Level::High, Level::Normal]);
}

#[test]
fn a_forecast_flushes_nothing_and_shortens_nothing() {
    let memory = Memory { foreseen: 3, ..fresh() };
    let idle = seen(&[(Class::Closed, &[(60, 20_000)]), (Class::Established, &[(20_480, 30_000)])]);
    let snapshot = Snapshot { scan: Some(idle), net_growth_per_second: Some(2000.0), ..table(72_000) };
    let (plan, _) = decide(&snapshot, &memory, &pinned());
    assert_eq!((plan.level, plan.actions.len()), (Level::High, 0));
    let (plan, _) = decide(&Snapshot { scan: None, ..snapshot.clone() }, &memory, &pinned());
    assert!(plan.scan && plan.actions.is_empty(), "a scan reaps");
    let (plan, _) = decide(&snapshot, &memory, &Settings::default());
    assert_eq!((raised(&plan), plan.actions.len()), (Some(150_000), 1));
}

#[test]
fn relief_goes_on_below_high_until_the_target_and_begins_again_only_at_high() {
    let settings = pinned();
    let idle = seen(&[(Class::Closed, &[(60, 50_000)])]);
    let at = |entries, memory: &Memory| {
        decide(&Snapshot { scan: Some(idle.clone()), ..table(entries) }, memory, &settings)
    };
    let (plan, memory) = at(80_000, &fresh());
    assert_eq!((flushed(&plan).len(), memory.relieving), (1, true));
    let (plan, memory) = at(76_000, &memory);
    assert_eq!((flushed(&plan).len(), memory.relieving), (1, true));
    let (_, memory) = at(70_000, &memory);
    assert_eq!((memory.level, memory.relieving), (Level::Normal, false));
    let (plan, memory) = at(79_999, &memory);
    assert_eq!((plan.actions.len(), memory.relieving), (0, false));
}
