//! Back: what was changed returns when it is calm, and says so while it waits.

use super::moment::Moment;
use super::settle::{self, Write};
use super::{Memory, ceiling, fullest_entries, overridden, share};
use crate::core::model::{Act, Action, Level, Plan, Snapshot, Timeout, Value};

const HOUR_SECONDS: f64 = 3600.0;

/// Adds what goes back to the plan.
pub(super) fn step_back(moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan) {
    let now = moment.snapshot.now_seconds;
    (memory.barren, memory.small_acts, memory.sharing) = (None, None, false);
    if moment.usage_percent >= moment.settings.pressure.low_percent {
        memory.low_since_seconds = None;
        return;
    }
    if memory.low_since_seconds.is_none() {
        // The hour begins here: what the pressure held is no part of it.
        memory.peak_entries = moment.snapshot.entries;
    }
    let since = *memory.low_since_seconds.get_or_insert(now);
    let needed = memory.calm_needed_seconds.max(moment.settings.pressure.calm_seconds);
    if now - since < needed {
        return;
    }
    overridden::calm(memory);
    restore_timeouts(moment.snapshot, memory, plan, since);
    lower_max(moment, memory, plan, since);
}

/// Pressure soon after timeouts went back is a relapse: the calm after it has to last twice as long. Once for each
/// time that they went back.
pub(super) fn relapse(moment: &Moment<'_>, memory: &mut Memory) {
    let Some(at) = memory.restored_at_seconds.take() else { return };
    let soon = moment.snapshot.now_seconds - at < HOUR_SECONDS;
    let needed = memory.calm_needed_seconds.max(moment.settings.pressure.calm_seconds);
    memory.calm_needed_seconds = if soon { (needed * 2.0).min(HOUR_SECONDS) } else { 0.0 };
}

fn restore_timeouts(snapshot: &Snapshot, memory: &mut Memory, plan: &mut Plan, since: f64) {
    let now = snapshot.now_seconds;
    let held: Vec<(Timeout, u32, u32)> = held_timeouts(snapshot, memory).collect();
    if held.is_empty() {
        return;
    }
    let calm = now - since;
    memory.restored_at_seconds = Some(now);
    for (timeout, from, to) in held {
        // A timeout that is beyond the bound on writes comes back with the next look.
        if !settle::may_write(Write::Timeout, snapshot, memory) {
            return;
        }
        let reason = format!("usage has been low for {calm:.0} s; {} returns to what it was", timeout.name());
        plan.actions.push(Action { act: Act::RestoreTimeout { timeout, from, to }, reason });
    }
}

/// Timeouts below their baseline: only the agent shortens them (another's new value becomes the baseline).
fn held_timeouts(snapshot: &Snapshot, memory: &Memory) -> impl Iterator<Item = (Timeout, u32, u32)> {
    snapshot.timeouts.iter().filter_map(|(timeout, now)| {
        let baseline = memory.baseline_timeout(*timeout)?;
        (*now < baseline).then_some((*timeout, *now, baseline))
    })
}

/// An hour of calm at a time, to the larger of the baseline and twice the hour's peak.
fn lower_max(moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan, since: f64) {
    let now = moment.snapshot.now_seconds;
    let Some(&baseline) = memory.baseline.get(&Value::Max) else { return };
    let last = memory.lowered_at_seconds.unwrap_or(since).max(since);
    if moment.snapshot.max <= baseline
        || baseline == 0
        || !moment.settings.capacity.enabled
        || now - last < HOUR_SECONDS
    {
        return;
    }
    let safe = (fullest_entries(moment.snapshot) as f64 * 100.0 / moment.settings.pressure.low_percent).ceil()
        as u64;
    // Memory may have shrunk since max was raised: what is over the ceiling now goes first.
    let kept = memory.peak_entries.saturating_mul(2).min(ceiling(moment.snapshot, moment.settings).entries);
    let to = baseline.max(kept).max(safe);
    let peak = memory.peak_entries;
    (memory.lowered_at_seconds, memory.peak_entries) = (Some(now), moment.snapshot.entries);
    if to < moment.snapshot.max
        && moment.snapshot.owns_host_values
        && settle::may_write(Write::Max, moment.snapshot, memory)
    {
        let reason =
            format!("an hour of calm with at most {peak} entries; max was {baseline} before the pressure");
        plan.actions.push(Action { act: Act::LowerMax { from: moment.snapshot.max, to }, reason });
    }
}

/// Says which values are held away from their baseline, and until when.
pub(super) fn tell_waiting(moment: &Moment<'_>, memory: &Memory, plan: &mut Plan) {
    let calm = memory.calm_needed_seconds.max(moment.settings.pressure.calm_seconds);
    for (timeout, now, baseline) in held_timeouts(moment.snapshot, memory) {
        let name = timeout.name();
        plan.waiting.push(format!("{name} is {now} s and returns to {baseline} s after {calm:.0} s of calm"));
    }
    if let Some(&baseline) = memory.baseline.get(&Value::Max)
        && moment.snapshot.max > baseline
        && baseline > 0
    {
        plan.waiting.push(format!(
            "max is {} and returns toward {baseline} after an hour of calm",
            moment.snapshot.max
        ));
        let bound = ceiling(moment.snapshot, moment.settings);
        if bound.entries < moment.snapshot.max {
            plan.waiting.push(format!(
                "max is {}, more than it may be raised to by now ({}): what the table holds stays, and an hour of calm \
                 brings max down",
                moment.snapshot.max, bound.reason
            ));
        }
    }
    if plan.level == Level::Normal || moment.settings.capacity.ceiling == 0 {
        return;
    }
    let bound = ceiling(moment.snapshot, moment.settings);
    if moment
        .limit
        .is_some_and(|l| bound.entries < l && moment.snapshot.entries > share(bound.entries, 100.0))
    {
        plan.waiting.push(format!("the table holds more than the ceiling allows: {}", bound.reason));
    }
}
