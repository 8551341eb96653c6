//! The policy: the least harm that restores headroom.
//!
//! Pure: the same snapshot, memory and settings give the same plan. It names classes, cut-offs and budgets, never
//! entries, and gives each decision as a sentence with the measured value and the limit.

mod ahead;
mod backoff;
mod buckets;
mod calm;
mod ceiling;
mod fair_share;
mod level;
mod lift;
mod max_min;
mod moment;
mod neighbours;
mod observe;
mod overridden;
mod protect;
mod raise;
mod regret;
mod relief;
mod second_chance;
mod settle;
mod timeouts;
mod unclassed;
mod urgent;

use std::collections::{BTreeMap, BTreeSet};

pub use buckets::buckets_at_start;
pub use ceiling::{Ceiling, ceiling, fullest_entries, headroom, outlook};
pub use level::{least_level, refused};
pub use overridden::Override;
pub use protect::{MASTER, OwnHost, Protected, Protection};
pub use second_chance::told_per_second;
pub use settle::{Flushed, WRITES_A_MINUTE};

use serde::{Deserialize, Serialize};

use moment::Moment;

use crate::core::model::{Class, Drops, Level, Plan, Settings, Snapshot, Timeout, Value};

/// Memory of the policy from one decision to the next.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The level that was decided last.
    pub level: Level,
    /// Relief was begun and has not reached the target yet.
    pub relieving: bool,
    /// Since when usage has been low.
    pub low_since_seconds: Option<f64>,
    /// Seconds for which it has to stay low; 0: `calm_seconds`. Doubled after each relapse.
    pub calm_needed_seconds: f64,
    /// Time at which values went back last: pressure soon after is a relapse.
    pub restored_at_seconds: Option<f64>,
    /// Samples in a row that foresee a full table.
    pub foreseen: u32,
    /// Time of the last of them.
    pub foreseen_at_seconds: f64,
    /// Statistics at the last decision.
    pub drops: Option<Drops>,
    /// Time at which max was raised last.
    pub raised_at_seconds: Option<f64>,
    /// Values that another program has overridden.
    #[serde(alias = "hands")]
    pub overrides: BTreeMap<Value, Override>,
    /// Values written in the last minute: when, and whether it was a timeout.
    pub writes: Vec<(f64, bool)>,
    /// Flushes whose effect does not show yet, the oldest first.
    pub unsettled: Vec<Flushed>,
    /// Time at which max was lowered last, or calm began.
    pub lowered_at_seconds: Option<f64>,
    /// The most entries of the running hour.
    pub peak_entries: u64,
    /// Time at which a scan last found nothing to free, and the number of such scans in a row.
    pub barren: Option<(f64, u32)>,
    /// Time of the last act, and the number of acts in a row that freed next to nothing of the excess.
    pub small_acts: Option<(f64, u32)>,
    /// Time at which sources were last weighed, and asked.
    pub weighed_seconds: Option<f64>,
    /// Gentler means do not suffice: scans weigh who holds the table.
    pub sharing: bool,
    /// Time at which there was last no time for a second chance.
    pub hurried_at_seconds: Option<f64>,
    /// Classes that are not flushed because their flows lived.
    pub suspended: BTreeSet<Class>,
    /// Time at which flows of a class were last found alive, by this agent or the one before it.
    pub regretted_seconds: BTreeMap<Class, f64>,
    /// Configuration protects more of the table than `max_percent`.
    pub overprotected: bool,
    /// Baseline of the values that the agent may change.
    pub baseline: BTreeMap<Value, u64>,
    /// It is decided this once, for a command: nobody looks at the table again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

impl Memory {
    /// For a command with no agent: nothing was seen before, and nothing comes after.
    pub fn once() -> Memory {
        Memory { once: true, ..Memory::default() }
    }

    /// The memory with nothing done since `before`: acts that were decided meanwhile were not carried out.
    pub fn without_acts_since(self, before: &Memory) -> Memory {
        Memory {
            raised_at_seconds: before.raised_at_seconds,
            lowered_at_seconds: before.lowered_at_seconds,
            restored_at_seconds: before.restored_at_seconds,
            calm_needed_seconds: before.calm_needed_seconds,
            writes: before.writes.clone(),
            ..self
        }
    }

    /// Value of a timeout before the agent came.
    pub fn baseline_timeout(&self, timeout: Timeout) -> Option<u32> {
        self.baseline.get(&Value::Timeout(timeout)).and_then(|v| u32::try_from(*v).ok())
    }
}

/// Entries that the namespace may hold: max, or the quota below it. `None`: no limit at all (max 0 up to 6.18).
pub fn limit(snapshot: &Snapshot, settings: &Settings) -> Option<u64> {
    match (settings.capacity.limit, snapshot.max) {
        (0, 0) => None,
        (quota, 0) => Some(quota),
        (0, max) => Some(max),
        (quota, max) => Some(quota.min(max)),
    }
}

/// Usage of the limit in percent; 0 without a limit.
pub fn usage_percent(snapshot: &Snapshot, settings: &Settings) -> f64 {
    limit(snapshot, settings).map_or(0.0, |limit| percent(snapshot.entries, limit))
}

/// Seconds until the table is full at the present growth; `None` where it does not grow.
pub fn seconds_to_full(snapshot: &Snapshot, settings: &Settings) -> Option<f64> {
    let growth = snapshot.net_growth_per_second.filter(|growth| *growth >= 1.0)?;
    let room = limit(snapshot, settings)?.saturating_sub(snapshot.entries);
    Some(room as f64 / growth)
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// Entries that are `percent` of `limit`, rounded down.
fn share(limit: u64, percent: f64) -> u64 {
    (limit as f64 * percent / 100.0) as u64
}

/// Decides what to do now.
pub fn decide(snapshot: &Snapshot, memory: &Memory, settings: &Settings) -> (Plan, Memory) {
    let mut memory = memory.clone();
    memory.peak_entries = memory.peak_entries.max(snapshot.entries);
    let mut plan = Plan::default();
    let suspensions = regret::judge(snapshot, &mut memory);
    let seen = regret::without_suspended(snapshot, &memory);
    let moment = &Moment::new(seen.as_ref(), settings);
    level::judge(moment, &mut memory, &mut plan);
    regret::tell(suspensions, &mut plan);
    if plan.level > Level::Normal {
        relief::relieve(moment, &mut memory, &mut plan);
    } else {
        calm::step_back(moment, &mut memory, &mut plan);
        ahead::look(moment, &mut plan);
        observe::observe(moment, &mut plan);
        second_chance::find_who_spoke(moment.snapshot, &mut plan);
    }
    lift::meter(moment, &mut memory, &mut plan);
    calm::tell_waiting(moment, &memory, &mut plan);
    second_chance::tell_waiting(moment.snapshot, &mut plan);
    neighbours::tell(moment.snapshot, &mut plan);
    observe::tell_waiting(moment.snapshot, &mut plan);
    unclassed::tell(moment.snapshot, &mut plan);
    regret::withhold(&memory, &mut plan);
    memory.drops = Some(snapshot.drops);
    (plan, memory)
}

#[cfg(test)]
mod tests;
