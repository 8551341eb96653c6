use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

const HOUR: f64 = 3600.0;
const ESTABLISHED: &str = "tcp_timeout_established";

/// An agent at work in virtual time: what a plan says of values is done to the facts.
struct Agent {
    snapshot: Snapshot,
    memory: Memory,
    settings: Settings,
}

impl Agent {
    fn new(snapshot: Snapshot) -> Self {
        Agent { snapshot, memory: fresh(), settings: pinned() }
    }

    /// One decision at `now`, with so many entries in the table.
    fn at(&mut self, now: f64, entries: u64) -> Plan {
        (self.snapshot.now_seconds, self.snapshot.entries) = (now, entries);
        let (plan, memory) = decide(&self.snapshot, &self.memory, &self.settings);
        self.memory = memory;
        apply(&plan, &mut self.snapshot);
        plan
    }

    /// Pressure at `now` under which the established timeout is shortened.
    fn press(&mut self, now: f64) {
        let idle = seen(&[(Class::Established, &[(20_480, 30_000)])]);
        self.snapshot.scan = Some(Scan { at_seconds: now, ..idle });
        let plan = self.at(now, 85_000);
        assert_eq!(shortened(&plan), [(ESTABLISHED, 20_480)]);
    }

    /// Calm from `from` on, looked at every second: after how long the timeouts went back.
    fn calm(&mut self, from: f64) -> f64 {
        for second in 0..10_000 {
            let now = from + f64::from(second);
            let back = restored(&self.at(now, 50_000));
            if !back.is_empty() {
                assert_eq!(back, [(ESTABLISHED, 432_000)]);
                return now - from;
            }
        }
        panic!("the timeouts never went back");
    }
}

#[test]
fn timeouts_return_after_calm_seconds_and_say_so() {
    let mut agent = Agent::new(table(0));
    agent.press(NOW);
    agent.at(NOW + 1.0, 50_000);
    assert_eq!(restored(&agent.at(NOW + 60.9, 50_000)), []);
    let plan = agent.at(NOW + 61.0, 50_000);
    assert_eq!(restored(&plan), [(ESTABLISHED, 432_000)]);
    assert_eq!(
        plan.actions[0].reason,
        "usage has been low for 60 s; tcp_timeout_established returns to what it was"
    );
    assert!(agent.at(NOW + 62.0, 50_000).actions.is_empty());
}

#[test]
fn calm_begins_again_after_usage_was_not_low() {
    for interruption in [75_000, 80_000] {
        let mut agent = Agent::new(table(0));
        agent.press(NOW);
        agent.at(NOW + 1.0, 74_999);
        agent.snapshot.scan = None;
        agent.at(NOW + 50.0, interruption);
        agent.at(NOW + 51.0, 74_000);
        assert_eq!(restored(&agent.at(NOW + 110.9, 74_000)), [], "{interruption}");
        assert_eq!(restored(&agent.at(NOW + 111.0, 74_000)).len(), 1, "{interruption}");
    }
}

#[test]
fn each_relapse_doubles_the_calm_that_is_needed() {
    let mut agent = Agent::new(table(0));
    let mut now = NOW;
    for expected in [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0] {
        agent.press(now);
        let calm = agent.calm(now + 1.0);
        assert_eq!(calm, expected);
        now += 1.0 + calm + 30.0;
    }
}

#[test]
fn pressure_an_hour_after_is_no_relapse() {
    let mut agent = Agent::new(table(0));
    agent.press(NOW);
    assert_eq!(agent.calm(NOW + 1.0), 60.0);
    agent.press(NOW + 100.0);
    assert_eq!(agent.calm(NOW + 101.0), 120.0);
    agent.press(NOW + 221.0 + HOUR);
    assert_eq!(agent.calm(NOW + 222.0 + HOUR), 60.0);
}

#[test]
fn one_long_pressure_is_one_relapse() {
    let mut agent = Agent::new(table(0));
    agent.press(NOW);
    let calm = agent.calm(NOW + 1.0);
    let again = NOW + 1.0 + calm + 30.0;
    agent.press(again);
    for second in 1..60 {
        agent.at(again + f64::from(second), 85_000);
    }
    assert_eq!(agent.calm(again + 60.0), 120.0);
}

#[test]
fn an_operators_longer_calm_is_never_cut() {
    let mut agent = Agent::new(table(0));
    agent.settings.pressure.calm_seconds = 2.0 * HOUR;
    agent.press(NOW);
    assert_eq!(agent.calm(NOW + 1.0), 2.0 * HOUR);
}

/// max was raised from 100,000 to 400,000; the table has calmed down at `NOW`.
fn after_a_raise() -> Agent {
    let mut agent = Agent::new(Snapshot { max: 400_000, ..table(0) });
    agent.settings = Settings::default();
    agent.memory.peak_entries = 300_000;
    agent
}

#[test]
fn max_returns_after_an_hour_of_calm() {
    let mut agent = after_a_raise();
    agent.at(NOW, 30_000);
    assert_eq!(lowered(&agent.at(NOW + HOUR - 1.0, 30_000)), None);
    let plan = agent.at(NOW + HOUR, 30_000);
    assert_eq!(lowered(&plan), Some(MAX));
    let reason = "an hour of calm with at most 30000 entries; max was 100000 before the pressure";
    assert_eq!(plan.actions[0].reason, reason);
}

#[test]
fn max_is_lowered_an_hour_at_a_time_to_twice_the_hours_peak() {
    let mut agent = after_a_raise();
    agent.at(NOW, 30_000);
    agent.at(NOW + 100.0, 120_000);
    assert_eq!(lowered(&agent.at(NOW + HOUR, 30_000)), Some(240_000));
    agent.at(NOW + HOUR + 100.0, 80_000);
    assert_eq!(lowered(&agent.at(NOW + 2.0 * HOUR - 1.0, 30_000)), None);
    assert_eq!(lowered(&agent.at(NOW + 2.0 * HOUR, 30_000)), Some(160_000));
    agent.at(NOW + 2.0 * HOUR + 1.0, 30_000);
    assert_eq!(lowered(&agent.at(NOW + 3.0 * HOUR, 30_000)), Some(MAX));
    assert_eq!(lowered(&agent.at(NOW + 9.0 * HOUR, 1000)), None, "never below the baseline");
}

#[test]
fn max_is_never_lowered_so_far_that_usage_is_not_low() {
    let mut agent = after_a_raise();
    let pressure = &mut agent.settings.pressure;
    (pressure.target_percent, pressure.low_percent, pressure.high_percent) = (20.0, 30.0, 40.0);
    agent.at(NOW, 90_000);
    let to = lowered(&agent.at(NOW + HOUR, 90_000)).unwrap();
    assert_eq!(to, 300_000);
    assert_eq!(agent.at(NOW + HOUR + 1.0, 90_000).level, Level::Normal);
}

#[test]
fn pressure_starts_the_hour_again() {
    let mut agent = after_a_raise();
    agent.settings.capacity.ceiling = 400_000;
    agent.at(NOW, 30_000);
    agent.at(NOW + 3000.0, 350_000);
    agent.at(NOW + 3100.0, 30_000);
    assert_eq!(lowered(&agent.at(NOW + 3099.0 + HOUR, 30_000)), None);
    assert_eq!(lowered(&agent.at(NOW + 3100.0 + HOUR, 30_000)), Some(MAX));
}

#[test]
fn max_stays_where_it_may_not_be_lowered_or_was_never_limited() {
    let stays = |change: fn(&mut Agent)| {
        let mut agent = after_a_raise();
        change(&mut agent);
        agent.at(NOW, 30_000);
        assert_eq!(lowered(&agent.at(NOW + HOUR, 30_000)), None);
    };
    stays(|agent| agent.snapshot.owns_host_values = false);
    stays(|agent| agent.settings.capacity.enabled = false);
    stays(|agent| {
        agent.memory.baseline.insert(Value::Max, 0);
    });
    stays(|agent| {
        agent.memory.baseline.remove(&Value::Max);
    });
    stays(|agent| {
        agent.memory.baseline.insert(Value::Max, 400_000);
    });
}

#[test]
fn max_is_not_lowered_below_what_other_namespaces_hold() {
    let mut agent = after_a_raise();
    (agent.snapshot.memory.entries_all_namespaces, agent.snapshot.memory.other_namespaces) =
        (Some(180_000), 1);
    agent.at(NOW, 30_000);
    assert_eq!(lowered(&agent.at(NOW + HOUR, 30_000)), Some(200_000), "150,000 are 75 % of it");
}

#[test]
fn what_is_held_is_told_with_what_it_waits_for() {
    let mut agent = Agent::new(table(0));
    agent.press(NOW);
    let plan = agent.at(NOW + 1.0, 50_000);
    let waits = "tcp_timeout_established is 20480 s and returns to 432000 s after 60 s of calm";
    assert_eq!(plan.waiting, [waits]);
    agent.calm(NOW + 2.0);
    assert!(agent.at(NOW + 100.0, 50_000).waiting.is_empty());
    let mut raised = after_a_raise();
    let waits = "max is 400000 and returns toward 100000 after an hour of calm";
    assert_eq!(raised.at(NOW, 30_000).waiting, [waits]);
}

#[test]
fn memory_that_shrinks_under_a_raised_max_is_told_and_takes_max_down_in_calm() {
    let mut agent = after_a_raise();
    // 8 % available, of which 10 % of all are to be kept: nothing is left beyond what the table holds.
    agent.snapshot.memory.available_bytes = 16 * GIB * 8 / 100;
    let plan = agent.at(NOW, 150_000);
    assert!(plan.waiting.iter().any(|w| w.contains("max may rise to 150000")), "{:?}", plan.waiting);
    assert_eq!(plan.actions.len(), 0, "nothing is taken from the table for that");
    // Twice the hour's peak would be 300,000; memory says 150,000, and usage of it has to be low: 200,000.
    let plan = agent.at(NOW + HOUR, 150_000);
    assert_eq!(lowered(&plan), Some(200_000));
}

#[test]
fn a_table_over_its_ceiling_is_told() {
    let mut agent = Agent::new(Snapshot { owns_host_values: false, ..table(0) });
    agent.settings.capacity.ceiling = 60_000;
    let plan = agent.at(NOW, 85_000);
    assert!(plan.waiting.iter().any(|w| w.contains("more than the ceiling allows")), "{:?}", plan.waiting);
    assert!(agent.at(NOW + 1.0, 20_000).waiting.is_empty());
}

#[test]
fn only_what_is_below_its_baseline_is_put_back() {
    let mut agent = Agent::new(table(0));
    // Longer than found, and one that the agent knows no baseline of: somebody else's.
    agent.snapshot.timeouts.insert(timeout("udp_timeout"), 90);
    agent.snapshot.timeouts.insert(timeout("gre_timeout"), 10);
    agent.memory.baseline.remove(&Value::named("gre_timeout").expect("a timeout"));
    agent.at(NOW, 1000);
    let plan = agent.at(NOW + 10.0 * HOUR, 1000);
    assert!(plan.actions.is_empty() && plan.waiting.is_empty());
}
