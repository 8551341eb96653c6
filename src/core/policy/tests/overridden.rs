use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

/// A table over critical, with enough idle entries that its timeout is shortened, and a memory of what was found.
fn pressed(seconds: f64) -> Snapshot {
    let idle = seen(&[(Class::Established, &[(20_480, 30_000)])]);
    let now = NOW + seconds;
    Snapshot { now_seconds: now, scan: Some(Scan { at_seconds: now, ..idle }), ..table(85_000) }
}

fn after(drift: Drift, times: u32) -> Memory {
    let mut memory = Memory { level: Level::High, relieving: true, ..fresh() };
    (0..times).for_each(|_| memory.overridden(Value::ESTABLISHED, drift, NOW));
    memory
}

fn shortens(memory: &Memory, seconds: f64) -> bool {
    !shortened(&decide(&pressed(seconds), memory, &pinned()).0).is_empty()
}

#[test]
fn a_timeout_that_was_put_back_is_set_again_after_1_5_and_15_minutes() {
    for drift in [Drift::PutBack, Drift::Configured] {
        for (times, minutes) in [(1, 1.0), (2, 5.0), (3, 15.0), (9, 15.0)] {
            let memory = after(drift, times);
            assert!(!shortens(&memory, minutes * 60.0 - 0.5), "{drift:?} {times}");
            assert!(shortens(&memory, minutes * 60.0 + 0.5), "{drift:?} {times}");
        }
    }
}

#[test]
fn it_says_who_and_when_it_is_set_again() {
    let (plan, _) = decide(&pressed(20.0), &after(Drift::PutBack, 2), &pinned());
    let words = "tcp_timeout_established is left at 432000: someone else put it back 20 s ago (2 in a row); it is set \
                 again in 280 s if the pressure lasts";
    assert!(says(&plan, words), "{:?}", plan.reasons);
}

#[test]
fn each_value_has_its_own_count_and_an_hour_forgets_it() {
    let mut memory = after(Drift::PutBack, 3);
    memory.overridden(Value::named("udp_timeout_stream").expect("a timeout"), Drift::PutBack, NOW);
    assert_eq!(
        (
            memory.overrides[&Value::ESTABLISHED].times,
            memory.overrides[&Value::named("udp_timeout_stream").expect("a timeout")].times
        ),
        (3, 1)
    );
    memory.overridden(Value::ESTABLISHED, Drift::PutBack, NOW + 3600.0);
    assert_eq!(memory.overrides[&Value::ESTABLISHED].times, 1);
}

#[test]
fn a_new_value_is_the_operators_until_it_has_been_calm() {
    let memory = after(Drift::NewValue, 1);
    assert!(!shortens(&memory, 3500.0), "the same pressure, however long");
    let (plan, _) = decide(&pressed(60.0), &memory, &pinned());
    assert!(says(&plan, "someone else set it 60 s ago, and it is theirs until it has been calm"));
    // Relief is not stopped by that: what is idle goes all the same.
    let relieves = |a: &Action| matches!(a.act, Act::Flush(_) | Act::SecondChance(_));
    assert!(plan.actions.iter().any(relieves), "{plan:?}");
    let mut calm = memory;
    for second in 0..=70 {
        let now = NOW + 100.0 + f64::from(second);
        calm = decide(&Snapshot { now_seconds: now, ..table(50_000) }, &calm, &pinned()).1;
    }
    assert!(shortens(&calm, 200.0), "the next pressure");
}

#[test]
fn what_the_agent_had_set_itself_is_no_other_hand() {
    let memory = after(Drift::Own, 3);
    assert!(memory.overrides.is_empty() && shortens(&memory, 0.0));
}

/// max was written over by somebody else at `NOW`.
fn max_is_theirs(drift: Drift) -> Memory {
    let mut memory = at_level(Level::High);
    memory.overridden(Value::Max, drift, NOW);
    memory
}

#[test]
fn max_that_was_put_back_is_raised_after_the_back_off() {
    let memory = max_is_theirs(Drift::PutBack);
    let at = |seconds| {
        decide(&Snapshot { now_seconds: NOW + seconds, ..table(85_000) }, &memory, &Settings::default()).0
    };
    assert_eq!(raised(&at(59.0)), None);
    assert!(says(&at(59.0), "max is left at 100000: someone else put it back 59 s ago"));
    assert_eq!(raised(&at(60.0)), Some(150_000));
}

#[test]
fn a_full_table_has_max_raised_over_any_hand_and_no_more_often_than_each_ten_seconds() {
    for drift in [Drift::PutBack, Drift::NewValue] {
        let memory = max_is_theirs(drift);
        let settings = Settings::default();
        let (plan, memory) = decide(&table(99_000), &memory, &settings);
        assert_eq!(raised(&plan), Some(150_000), "{drift:?}");
        // And put back at once.
        let again = |seconds| {
            let mut memory = memory.clone();
            memory.overridden(Value::Max, drift, NOW + seconds);
            decide(&Snapshot { now_seconds: NOW + seconds, ..table(99_000) }, &memory, &settings).0
        };
        assert_eq!(raised(&again(9.9)), None);
        assert_eq!(raised(&again(10.0)), Some(150_000));
    }
}

#[test]
fn capacity_disabled_is_stronger_than_a_full_table() {
    let mut settings = Settings::default();
    settings.capacity.enabled = false;
    assert_eq!(raised(&decide(&table(100_000), &max_is_theirs(Drift::PutBack), &settings).0), None);
}
