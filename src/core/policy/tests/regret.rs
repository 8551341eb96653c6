//! A class whose flows lived is not flushed until it has been quiet.

use proptest::prelude::*;

use super::fixtures::*;
use super::generators::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

/// A window in which so many of so many were regretted, the last of them at `last`.
fn regret(class: Class, watched: u64, regretted: u64, last: f64) -> ClassRegret {
    ClassRegret {
        flushed: watched,
        watched,
        regretted,
        recent_watched: watched,
        recent_regretted: regretted,
        recent_heard: regretted,
        last_seconds: Some(last),
        ..ClassRegret::none(class)
    }
}

/// Pressure that closed and UDP entries could both relieve.
fn pressed(regret: Vec<ClassRegret>) -> Snapshot {
    let scan = seen(&[(Class::Closed, &[(64, 20_000)]), (Class::Udp, &[(160, 20_000)])]);
    Snapshot { scan: Some(scan), regret, ..table(85_000) }
}

fn settings_pinned() -> Settings {
    let mut settings = pinned();
    settings.timeouts.enabled = false;
    settings
}

#[test]
fn one_percent_or_a_single_flow_suspends_nothing() {
    for (watched, regretted) in [(1000, 10), (10, 1), (1, 1), (0, 0)] {
        let snapshot = pressed(vec![regret(Class::Closed, watched, regretted, NOW)]);
        let (plan, memory) = decide(&snapshot, &fresh(), &settings_pinned());
        assert!(plan.suspensions.is_empty() && memory.suspended.is_empty(), "{regretted} of {watched}");
        assert_eq!(flushed(&plan)[0].0, Class::Closed);
    }
}

#[test]
fn more_suspends_the_class_and_the_next_one_bears_it_all() {
    let snapshot = pressed(vec![regret(Class::Closed, 1000, 11, NOW)]);
    for level in [Level::High, Level::Critical] {
        let (plan, memory) = decide(&snapshot, &at_level(level), &settings_pinned());
        assert_eq!(flushed(&plan), [(Class::Udp, 160, 15_000)], "{level}");
        assert!(memory.suspended.contains(&Class::Closed));
        assert_eq!(plan.suspensions[0].turn, Turn::Begins);
        assert!(plan.suspends(Class::Closed) && !plan.suspends(Class::Udp));
        assert!(
            says(
                &plan,
                "closed is not flushed by its class, at any level (fair share may take of it at critical): 11 of 1000"
            ),
            "{:?}",
            plan.reasons
        );
        assert!(plan.waiting.iter().any(|w| w.contains("closed is not flushed")), "{:?}", plan.waiting);
    }
}

#[test]
fn fair_share_and_second_chances_are_withheld_too() {
    let memory = Memory { suspended: [Class::FairShare, Class::Udp].into(), ..fresh() };
    let reason = String::new();
    let act = |act| Action { act, reason: reason.clone() };
    let mut plan = Plan {
        actions: vec![
            act(Act::Flush(Flush::of(Class::FairShare, 60, 10))),
            act(Act::SecondChance(Flush::of(Class::Udp, 120, 10))),
            act(Act::Flush(Flush::of(Class::Established, 7440, 10))),
        ],
        ..Plan::default()
    };
    super::super::regret::withhold(&memory, &mut plan);
    assert_eq!(flushed(&plan), [(Class::Established, 7440, 10)]);
    assert_eq!(plan.actions.len(), 1);
}

#[test]
fn one_flow_is_chance_still_where_it_stands_for_many() {
    for (heard, suspends) in [(1, false), (2, true)] {
        let regret = ClassRegret { recent_heard: heard, ..regret(Class::Closed, 400, 8, NOW - 10.0) };
        let (plan, _) = decide(&pressed(vec![regret]), &fresh(), &settings_pinned());
        assert_eq!(plan.suspends(Class::Closed), suspends, "{heard}");
    }
}

#[test]
fn it_ends_ten_minutes_after_the_last_regret() {
    let settings = settings_pinned();
    let held = Memory { suspended: [Class::Closed].into(), ..fresh() };
    // The window has less than the limit by then: it is the quiet that counts.
    let lasting = pressed(vec![regret(Class::Closed, 10_000, 3, NOW - 599.0)]);
    let (plan, memory) = decide(&lasting, &held, &settings);
    assert!(plan.suspends(Class::Closed) && memory.suspended.contains(&Class::Closed));
    assert_eq!(plan.suspensions[0].turn, Turn::Lasts);
    let quiet = pressed(vec![ClassRegret {
        recent_watched: 0,
        recent_regretted: 0,
        recent_heard: 0,
        ..regret(Class::Closed, 10_000, 3, NOW - 600.0)
    }]);
    let (plan, memory) = decide(&quiet, &memory, &settings);
    assert!(!plan.suspends(Class::Closed) && memory.suspended.is_empty());
    assert_eq!(plan.suspensions[0].turn, Turn::Ends);
    assert_eq!(flushed(&plan)[0].0, Class::Closed);
    assert!(decide(&quiet, &memory, &settings).0.suspensions.is_empty(), "said once");
}

#[test]
fn calm_does_not_hide_it() {
    let snapshot = Snapshot { regret: vec![regret(Class::Udp, 20, 5, NOW)], ..table(1000) };
    let (plan, _) = decide(&snapshot, &fresh(), &Settings::default());
    assert_eq!(plan.level, Level::Normal);
    assert!(plan.suspends(Class::Udp) && plan.waiting.len() == 1);
}

#[test]
fn what_an_earlier_agent_suspended_stays_so_for_ten_minutes() {
    let memory = Memory {
        suspended: [Class::Closed].into(),
        regretted_seconds: [(Class::Closed, NOW)].into(),
        ..fresh()
    };
    let at = |seconds: f64| {
        let mut snapshot = Snapshot { now_seconds: NOW + seconds, ..pressed(vec![]) };
        snapshot.scan.as_mut().expect("a scan").at_seconds = NOW + seconds;
        decide(&snapshot, &memory, &settings_pinned())
    };
    let (plan, after) = at(599.9);
    assert!(after.suspended.contains(&Class::Closed) && flushed(&plan).iter().all(|f| f.0 != Class::Closed));
    assert!(
        says(&plan, "the agent before this one found flows that it took for idle alive"),
        "{:?}",
        plan.reasons
    );
    assert!(plan.suspensions.iter().all(|s| s.turn == Turn::Lasts));
    let (plan, after) = at(600.0);
    assert!(after.suspended.is_empty() && flushed(&plan).iter().any(|f| f.0 == Class::Closed));
}

#[test]
fn who_pays_cannot_suspend_fair_share() {
    let snapshot = Snapshot { regret: vec![regret(Class::FairShare, 20, 20, NOW)], ..table(96_000) };
    let (plan, after) = decide(&snapshot, &fresh(), &pinned());
    assert!(!plan.suspends(Class::FairShare) && after.suspended.is_empty());
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_suspended_class_is_never_flushed(s in snapshot(), m in memory(), c in settings()) {
        let (plan, after) = decide(&s, &m, &c);
        for (class, ..) in flushed(&plan) {
            prop_assert!(!plan.suspends(class) && !after.suspended.contains(&class));
        }
        for regret in s.regret.iter().filter(|regret| regret.class != Class::FairShare) {
            let bad = regret.recent_heard >= 2 && regret.recent_regretted * 99 > regret.recent_watched;
            let last = regret.last_seconds.or(m.regretted_seconds.get(&regret.class).copied());
            let quiet = last.is_none_or(|last| s.now_seconds - last >= 600.0);
            let held = after.suspended.contains(&regret.class);
            prop_assert!(!bad || held || (m.suspended.contains(&regret.class) && quiet), "{:?}", regret);
        }
        for class in Class::ALL {
            prop_assert_eq!(after.suspended.contains(&class), plan.suspends(class));
        }
    }
}
