//! Hurry: the table is full, or would be before a scan has ended. Then what is past its floor goes as it is met, least
//! missed first in each part of the table, and of each part no more than its share of what is too many.
//!
//! The hash scatters entries evenly over the buckets, so that a share of each part is nearly what a flush by class
//! after a scan would take; but the first goes within a millisecond, not after a tenth of a second at 65,000 entries
//! and more than one at a million.

use super::{Memory, limit, relief, seconds_to_full, usage_percent};
use crate::model::{Act, Action, Class, Flush, Plan, Settings, Snapshot};

/// A table that is full within so many seconds cannot wait for a scan: 1.2 us an entry to dump it, as much again for
/// what is done on the way, and a second for what the scheduler makes of that.
const SCAN_SECONDS_PER_ENTRY: f64 = 2.4e-6;
const SPARE_SECONDS: f64 = 1.0;
/// So many hurried acts in a row that meet next to nothing are no chance: one may have met a part that was cleared.
pub(super) const MEAGRE_ACTS: u32 = 3;
/// Parts are not all alike.
const GENEROUS: f64 = 1.25;

/// Whether there is no time for a scan.
pub(super) fn needed(snapshot: &Snapshot, memory: &Memory, settings: &Settings) -> bool {
    let flush = &settings.flush;
    // Before the first scan nobody knows who has children. A dump in doubt is repeated; and where scans were barren or
    // the last acts met next to nothing, nothing is there to be met: a scan is due, and at critical who holds the table.
    let spent = memory.barren.is_some() || memory.meagre.is_some_and(|(_, times)| times >= MEAGRE_ACTS);
    let looked = snapshot.scan.as_ref().is_some_and(|scan| scan.trusted) && !spent;
    if !flush.enabled || !snapshot.may_flush || memory.sharing || !looked {
        return false;
    }
    let scan = SPARE_SECONDS + snapshot.entries as f64 * SCAN_SECONDS_PER_ENTRY;
    let usage = usage_percent(snapshot, settings);
    // At critical by what comes in: what the agent deletes hides how fast the table grows.
    let comes = snapshot.new_per_second.is_none_or(|new| room(snapshot, settings) <= new * scan);
    let full = usage >= 100.0 || (usage >= settings.pressure.critical_percent && comes);
    full || seconds_to_full(snapshot, settings).is_some_and(|seconds| seconds <= scan)
}

/// Entries that there is room for; without a limit no end of them.
pub(super) fn room(snapshot: &Snapshot, settings: &Settings) -> f64 {
    limit(snapshot, settings).map_or(f64::INFINITY, |limit| limit.saturating_sub(snapshot.entries) as f64)
}

/// Adds a flush of each class at its floor, as far as the last scan met any of it.
pub(super) fn flush(snapshot: &Snapshot, excess: u64, settings: &Settings, plan: &mut Plan) {
    let coming = relief::coming_soon(snapshot, settings) as u64;
    let share = (excess.saturating_add(coming)) as f64 / snapshot.entries.max(1) as f64;
    plan.scan = false;
    plan.pace.portion = Some((share * GENEROUS).min(1.0));
    let there = |class: &Class| {
        let scan = snapshot.scan.as_ref();
        scan.is_none_or(|scan| scan.classes.iter().any(|seen| seen.class == *class && seen.entries > 0))
    };
    for class in Class::ALL.into_iter().filter(there) {
        let floor = settings.flush.floor_seconds(class);
        let reason = format!(
            "{excess} entries are over target_percent {} and there is no time for a scan first: {class} entries go \
             as they are met from {floor} s of idleness on, the least missed first in each part of the table, {excess} \
             of all classes together",
            settings.pressure.target_percent
        );
        let flush = Flush::of(class, floor, excess);
        plan.actions.push(Action { act: Act::Flush(flush), reason });
    }
}
