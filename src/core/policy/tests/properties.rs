//! What holds for any facts.

use proptest::prelude::*;

use super::fixtures::*;
use super::generators::{config, memory, settings, snapshot};
use crate::core::model::*;
use crate::core::policy::{Memory, buckets_at_start, ceiling, decide, usage_percent};

fn excess(snapshot: &Snapshot, plan: &Plan) -> u64 {
    snapshot.entries.saturating_sub(plan.pace.enough_at_entries)
}

/// A relapse waits longer, and a longer wait is the only thing that may differ: so pressure that comes `times` over
/// and then ends for good leaves nothing behind.
fn live_through(times: u32, entries: &[u64], rest: u64, settings: &Settings) -> (Snapshot, Plan) {
    let (mut snapshot, mut memory) = (table(rest), fresh());
    let idle = seen(&[
        (Class::Closed, &[(64, 3000)]),
        (Class::Udp, &[(160, 3000)]),
        (Class::Other, &[(400, 3000)]),
        (Class::Established, &[(20_480, 9000)]),
    ]);
    let mut step = |snapshot: &mut Snapshot, seconds: f64, entries: u64| {
        snapshot.now_seconds += seconds;
        snapshot.entries = entries;
        snapshot.scan = Some(Scan { at_seconds: snapshot.now_seconds, ..idle.clone() });
        let (plan, after) = decide(snapshot, &memory, settings);
        memory = after;
        apply(&plan, snapshot);
        plan
    };
    for _ in 0..times {
        for entries in entries {
            step(&mut snapshot, 1.0, *entries);
        }
        for _ in 0..100 {
            step(&mut snapshot, 1.0, rest);
        }
    }
    let mut last = Plan::default();
    for _ in 0..5 * 60 {
        last = step(&mut snapshot, 60.0, rest);
    }
    (snapshot, last)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_same_facts_give_the_same_plan(s in snapshot(), m in memory(), c in settings()) {
        prop_assert_eq!(decide(&s, &m, &c), decide(&s.clone(), &m.clone(), &c.clone()));
        prop_assert_eq!(buckets_at_start(&s, &c), buckets_at_start(&s, &c));
    }

    #[test]
    fn every_plan_and_every_action_give_a_measured_reason(s in snapshot(), m in memory(), c in settings()) {
        let (plan, after) = decide(&s, &m, &c);
        prop_assert!(!plan.reasons.is_empty());
        prop_assert_eq!(plan.level, after.level);
        let buckets = buckets_at_start(&s, &c);
        for action in plan.actions.iter().chain(&buckets) {
            prop_assert!(action.reason.contains(|c: char| c.is_ascii_digit()), "{}", action.reason);
            prop_assert!(!action.reason.contains("NaN"), "{}", action.reason);
        }
    }

    #[test]
    fn in_calm_nothing_is_taken_and_under_pressure_nothing_goes_back(
        s in snapshot(), m in memory(), c in settings(),
    ) {
        let (plan, _) = decide(&s, &m, &c);
        for action in &plan.actions {
            let back = matches!(action.act, Act::LowerMax { .. } | Act::RestoreTimeout { .. });
            prop_assert_eq!(back, plan.level == Level::Normal, "{:?}", action);
        }
        // Looking is no act; where the table is near high it is done ahead, and in calm where only looks prove
        // anything, or find who spoke in its grace.
        let far = usage_percent(&s, &c) < c.pressure.low_percent;
        let observes = match c.flush.idle_proof {
            IdleProof::Observed => true,
            IdleProof::Auto => s.scan.as_ref().is_some_and(|scan| scan.by_observation),
            IdleProof::Arithmetic => false,
        };
        let tells = s.chances.waiting > 0 && s.update_listeners > 0;
        prop_assert!(!(plan.scan && plan.level == Level::Normal && far) || (observes && c.flush.enabled) || tells);
    }

    #[test]
    fn over_the_target_a_plan_acts_or_looks_or_says_until_when_it_waits(
        s in snapshot(), m in memory(), c in settings(),
    ) {
        let (plan, after) = decide(&s, &m, &c);
        let Some(limit) = crate::core::policy::limit(&s, &c) else { return Ok(()) };
        let target = (limit as f64 * c.pressure.target_percent / 100.0) as u64;
        if s.entries <= target || !plan.actions.is_empty() || plan.scan {
            return Ok(());
        }
        if plan.level == Level::Normal {
            prop_assert!(says(&plan, "below high_percent"), "{:?}", plan);
        } else {
            // A time, or the mark that is waited for; `status` shows it.
            let told = |text: &String| {
                let until = [" s more", " s from now", "again in ", "until it is there"];
                until.iter().any(|words| text.contains(words)) && plan.reasons.contains(text)
            };
            prop_assert!(plan.waiting.iter().any(told), "{:?} {:?}", plan, after);
        }
    }

    #[test]
    fn however_it_came_to_be_a_table_at_critical_is_looked_at_or_relieved_again_and_again(
        s in snapshot(), m in memory(), c in settings(), age in 0.0..5000.0f64, took in 0.0..2.0f64,
    ) {
        let mut s = Snapshot { entries: 115_000, max: MAX, owns_host_values: false, ..s };
        let (mut m, mut c) = (m, c);
        (c.capacity.limit, c.flush.enabled, s.may_flush) = (0, true, true);
        s.scan.iter_mut().for_each(|scan| (scan.at_seconds, scan.duration_seconds) = (NOW - age, took));
        let (mut last, mut longest) = (NOW, 0.0f64);
        while s.now_seconds < NOW + 90.0 {
            s.now_seconds += 0.25;
            let (plan, after) = decide(&s, &m, &c);
            m = after;
            let flushes = !flushed(&plan).is_empty() || !given_grace(&plan).is_empty();
            if flushes {
                // They meet nothing.
                m.flushed(&s, s.now_seconds, 0);
                m.achieved(&s, &plan.pace, s.now_seconds, 0);
            }
            if plan.scan {
                let scan = s.scan.clone().unwrap_or_default();
                s.scan = Some(Scan { at_seconds: s.now_seconds, trusted: true, duration_seconds: took, ..scan });
            }
            if flushes || plan.scan {
                longest = longest.max(s.now_seconds - last);
                last = s.now_seconds;
            }
        }
        longest = longest.max(s.now_seconds - last);
        prop_assert!(longest <= (10.0 * took).max(10.0) + 0.5, "{longest} s: {:?}", decide(&s, &m, &c));
    }

    #[test]
    fn below_high_flushes_and_timeouts_need_a_relief_under_way(
        s in snapshot(), m in memory(), c in settings(),
    ) {
        let (plan, after) = decide(&s, &m, &c);
        let harms = |a: &Action| matches!(a.act, Act::Flush(_) | Act::SecondChance(_) | Act::SetTimeout { .. });
        if plan.actions.iter().any(harms) {
            prop_assert!(after.relieving);
            prop_assert!(usage_percent(&s, &c) >= c.pressure.high_percent || m.relieving);
            prop_assert!(excess(&s, &plan) > 0);
        }
    }

    #[test]
    fn time_wait_goes_before_its_own_floor_at_critical_alone(s in snapshot(), m in memory(), c in settings()) {
        let (plan, _) = decide(&s, &m, &c);
        for action in &plan.actions {
            let Act::Flush(flush) = &action.act else { continue };
            let Some(over) = flush.time_wait_over_seconds else { continue };
            prop_assert_eq!(flush.class, Class::Closed);
            prop_assert!(over >= c.flush.floor_seconds(Class::Closed));
            prop_assert!(plan.level == Level::Critical || over >= c.flush.half_open_floor_seconds());
        }
    }

    #[test]
    fn flushes_free_no_more_than_is_too_much(s in snapshot(), m in memory(), c in settings()) {
        let (plan, _) = decide(&s, &m, &c);
        let flushes = [flushed(&plan), given_grace(&plan)].concat();
        let budgets = flushes.iter().map(|f| f.2);
        // Urgent flushes share one budget.
        let urgent = plan.pace.portion.is_some();
        let sum: u64 = if urgent { budgets.max().unwrap_or(0) } else { budgets.sum() };
        prop_assert!(flushes.is_empty() || sum <= excess(&s, &plan));
        prop_assert!(flushes.windows(2).all(|pair| pair[0].0 < pair[1].0), "in the classes' order");
        for (class, idle_over, budget) in flushes {
            prop_assert!(idle_over >= c.flush.floor_seconds(class));
            prop_assert!(budget > 0 && s.may_flush && c.flush.enabled);
            prop_assert!(s.scan.as_ref().map_or(urgent, |scan| scan.trusted));
        }
    }

    #[test]
    fn protection_is_lifted_at_critical_alone_over_its_share_and_past_the_floor(
        s in snapshot(), m in memory(), c in settings(),
    ) {
        let (plan, _) = decide(&s, &m, &c);
        let lifts: Vec<&Flush> = plan.actions.iter().filter_map(|action| match &action.act {
            Act::Flush(flush) if flush.lifts_protection => Some(flush),
            _ => None,
        }).collect();
        if let Some(scan) = s.scan.as_ref().filter(|_| !lifts.is_empty()) {
            let limit = crate::core::policy::limit(&s, &c).unwrap() as f64;
            let sum: u64 = lifts.iter().map(|flush| flush.budget).sum();
            prop_assert_eq!(plan.level, Level::Critical);
            prop_assert!(scan.trusted && sum <= scan.liftable && sum <= excess(&s, &plan));
            prop_assert!((scan.liftable - sum + 1) as f64 >= limit * c.protect.max_percent / 100.0);
            prop_assert!(scan.liftable as f64 > limit * c.protect.max_percent / 100.0);
            for flush in lifts {
                prop_assert!(flush.idle_over_seconds >= c.flush.floor_seconds(flush.class) && flush.budget > 0);
                let held = scan.classes.iter().find(|seen| seen.class == flush.class).unwrap();
                prop_assert!(flush.budget <= held.held_by_protection.total());
            }
            let gentle = |f: &Flush| !f.lifts_protection && f.class != Class::FairShare;
            let all = plan.actions.iter().all(|a| !matches!(&a.act, Act::Flush(f) if gentle(f)));
            prop_assert!(all && raised(&plan).is_none(), "something gentler was left");
        }
    }

    #[test]
    fn max_rises_to_the_ceiling_at_most(s in snapshot(), m in memory(), c in settings()) {
        let (plan, after) = decide(&s, &m, &c);
        if let Some(to) = raised(&plan) {
            prop_assert!(to > s.max && to <= ceiling(&s, &c).entries);
            prop_assert!(s.owns_host_values && c.capacity.enabled);
            let next = Snapshot { max: to, ..s.clone() };
            prop_assert_eq!(raised(&decide(&next, &after, &c).0), None, "once a second");
        }
    }

    #[test]
    fn max_is_lowered_neither_under_the_baseline_nor_into_pressure(
        s in snapshot(), m in memory(), c in settings(), calm in 0.0..20_000.0f64, low in 0..70_000u64,
    ) {
        let s = Snapshot { entries: low, ..s };
        let m = Memory { low_since_seconds: Some(NOW - calm), ..m };
        let (plan, _) = decide(&s, &m, &c);
        if let Some(to) = lowered(&plan) {
            prop_assert!(to < s.max && to >= m.baseline[&Value::Max]);
            prop_assert!(to as f64 >= s.entries as f64 * 100.0 / c.pressure.low_percent);
            prop_assert!(calm >= 3600.0 && s.owns_host_values);
        }
        for (name, to) in restored(&plan) {
            prop_assert_eq!(u64::from(to), m.baseline[&Value::Timeout(timeout(name))]);
            prop_assert!(s.timeouts[&timeout(name)] < to);
            prop_assert!(calm >= c.pressure.calm_seconds && calm >= m.calm_needed_seconds);
        }
    }

    #[test]
    fn timeouts_are_shortened_to_their_floor_at_most(s in snapshot(), m in memory(), c in settings()) {
        let (plan, _) = decide(&s, &m, &c);
        for action in &plan.actions {
            let Act::SetTimeout { timeout, from, to } = action.act else { continue };
            prop_assert_eq!(from, s.timeouts[&timeout]);
            prop_assert!(to < from && to >= c.timeouts.floor_seconds(timeout).unwrap());
            prop_assert!(!timeout.name().contains("fin_wait") && !timeout.name().contains("close_wait"));
        }
    }

    #[test]
    fn buckets_grow_and_stall_no_longer_than_allowed(s in snapshot(), c in settings()) {
        if let Some(Action { act: Act::ResizeBuckets { from, to }, .. }) = buckets_at_start(&s, &c) {
            prop_assert!(to > from && from == s.buckets && s.owns_host_values);
            prop_assert!(s.entries as f64 * 0.5e-3 <= c.capacity.stall_budget_ms);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..config() })]

    #[test]
    fn after_a_long_calm_everything_is_as_it_was_found(
        times in 1..4u32,
        entries in prop::collection::vec(50_000..140_000u64, 1..20),
        rest in 0..50_000u64,
        ceiling in prop_oneof![Just(0), Just(MAX), Just(130_000u64)],
    ) {
        let mut settings = Settings::default();
        settings.capacity.ceiling = ceiling;
        let (snapshot, last) = live_through(times, &entries, rest, &settings);
        prop_assert_eq!(snapshot.max, MAX);
        prop_assert_eq!(&snapshot.timeouts, &kernel_timeouts());
        prop_assert!(last.actions.is_empty() && last.waiting.is_empty(), "{:?}", last);
    }
}
