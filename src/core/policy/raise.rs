//! max goes up: at once, in large steps, and never over its ceiling.

use super::moment::Moment;
use super::settle::{self, Write};
use super::{Memory, ceiling, overridden};
use crate::core::model::{Act, Action, Plan, Value};

/// Seconds of growth for which max is raised ahead. A longer forecast would promise memory to every burst.
const FORESEEN_SECONDS: f64 = 5.0;

/// max is not at its ceiling yet and only waits until it may be raised again.
pub(super) fn only_waits(moment: &Moment<'_>, memory: &Memory) -> bool {
    let capacity = &moment.settings.capacity;
    let quota = capacity.limit > 0 && capacity.limit <= moment.snapshot.max;
    // Over another hand it is raised each ten seconds.
    let pause = if memory.overrides.contains_key(&Value::Max) { overridden::FORCED_SECONDS } else { 1.0 };
    let lately = memory.raised_at_seconds.is_some_and(|at| moment.snapshot.now_seconds - at < pause);
    let ours = capacity.enabled && moment.snapshot.owns_host_values && !quota;
    lately && ours && ceiling(moment.snapshot, moment.settings).entries > moment.snapshot.max
}

/// Raises max by half at least, once a second at most, to what the target needs, at most to the ceiling. The limit
/// that holds afterwards, if it changes.
pub(super) fn raise(moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan) -> Option<u64> {
    let quota = moment.settings.capacity.limit;
    let max = moment.snapshot.max;
    if max == 0 || (quota > 0 && quota <= max) {
        if memory.relieving && quota > 0 {
            plan.reasons.push(format!(
                "max would not help: the quota is {quota} ([capacity] limit), and max is {max}"
            ));
        }
        return None;
    }
    if !moment.settings.capacity.enabled {
        plan.reasons.push("max is not raised: [capacity] enabled = false".into());
        return None;
    }
    if !moment.snapshot.owns_host_values {
        plan.reasons.push(match &moment.snapshot.host_values_owner {
            Some(owner) => {
                let why = format!("max is not raised: it is one for the host, and {owner}");
                plan.waiting.push(why.clone());
                why
            }
            None => "max is not raised: this agent may not write the host's nf_conntrack_max (another agent, which this \
                     one's log names, or another namespace of this one has it, or the right is missing)"
                .into(),
        });
        return None;
    }
    if let Some(wait) = overridden::holds_max(moment.snapshot, memory) {
        plan.reasons.push(wait);
        return None;
    }
    let bound = ceiling(moment.snapshot, moment.settings);
    // The forecast is for a moment: max can rise again in the next, at no cost.
    let coming = match memory.relieving {
        true => 0.0,
        false => moment.snapshot.net_growth_per_second.unwrap_or(0.0).max(0.0) * FORESEEN_SECONDS,
    };
    let entries = moment.snapshot.entries as f64 + coming;
    let needed = (entries * 100.0 / moment.settings.pressure.target_percent).ceil() as u64;
    if moment.snapshot.entries > max {
        plan.reasons.push(format!(
            "max {max} is below the {} entries in the table: nothing new gets in until it is raised or they end",
            moment.snapshot.entries
        ));
    }
    if needed <= max {
        plan.reasons.push(format!("max stays at {max}: {needed} would do for the next {FORESEEN_SECONDS} s"));
        return None;
    }
    let to = needed.max(max.saturating_add(max / 2)).min(bound.entries);
    if to <= max {
        plan.reasons.push(format!("max stays at {max}, its ceiling is {}: {}", bound.entries, bound.bound));
        return None;
    }
    let waited = memory.raised_at_seconds.is_none_or(|at| moment.snapshot.now_seconds - at >= 1.0);
    if !waited {
        plan.reasons.push("max was raised less than a second ago".into());
        return None;
    }
    if !settle::may_write(Write::Max, moment.snapshot, memory) {
        plan.reasons.push(settle::TOLD.into());
        return None;
    }
    memory.raised_at_seconds = Some(moment.snapshot.now_seconds);
    let with = match coming > 0.0 {
        true => format!(" with what comes in the next {FORESEEN_SECONDS} s"),
        false => String::new(),
    };
    let forced = match memory.overrides.contains_key(&Value::Max) {
        true => "; someone else set it, but the table is full",
        false => "",
    };
    let reason = format!(
        "{}; {needed} would bring it to target_percent{with}, and {}{forced}",
        plan.cause, bound.reason
    );
    plan.actions.push(Action { act: Act::RaiseMax { from: max, to }, reason });
    Some(if quota > 0 { quota.min(to) } else { to })
}
