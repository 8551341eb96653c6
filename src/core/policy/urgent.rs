//! Urgent relief: the table is full, or would be before a scan has ended. Then what is past its floor goes as it is
//! met, least missed first in each part of the table, and of each part no more than its share of what is too many.
//!
//! The hash scatters entries evenly over the buckets, so that a share of each part is nearly what a flush by class
//! after a scan would take; but the first goes within a millisecond, not after a tenth of a second at 65,000 entries
//! and more than one at a million.

use super::moment::Moment;
use super::{Memory, ahead, backoff};
use crate::core::model::{Act, Action, Class, Flush, Level, Plan, Scan, Snapshot};

/// Seconds of a scan for each entry; a table that is full before a scan has ended cannot wait for it: 1.2 us an entry
/// to dump it, as much again for what is done on the way, and a second for what the scheduler makes of that.
const SCAN_SECONDS_PER_ENTRY: f64 = 2.4e-6;
const SPARE_SECONDS: f64 = 1.0;
/// Multiple of the time that a scan is kept below critical for which it is a ground for urgency: until the look ahead
/// that replaces it has ended.
const LONGER: f64 = 1.5;
/// Parts are not all alike.
const GENEROUS: f64 = 1.25;

/// True if there is no time for a scan.
pub(super) fn needed(moment: &Moment<'_>, memory: &Memory) -> bool {
    let Moment { snapshot, settings, .. } = *moment;
    let flush = &settings.flush;
    // If scans were barren or the last acts met next to nothing, nothing is there to be met: a scan is due, which at
    // critical weighs the sources.
    let spent =
        memory.barren.is_some() || memory.small_acts.is_some_and(|(_, times)| times >= backoff::SMALL_ACTS);
    if !flush.enabled || !snapshot.may_flush || memory.sharing || spent || there(snapshot, memory).is_empty()
    {
        return false;
    }
    // A dump goes through the entries of other namespaces as well: what the last one took is what the next one takes.
    let last = snapshot.scan.as_ref().map_or(0.0, |scan| 2.0 * scan.duration_seconds);
    let scan = SPARE_SECONDS + (snapshot.entries as f64 * SCAN_SECONDS_PER_ENTRY).max(last);
    let usage = moment.usage_percent;
    // At critical by what comes in: what the agent deletes hides how fast the table grows.
    let comes = snapshot.new_per_second.is_none_or(|new| moment.room() <= new * scan);
    let full = usage >= 100.0 || (usage >= settings.pressure.critical_percent && comes);
    full || moment.seconds_to_full.is_some_and(|seconds| seconds <= scan)
}

/// The classes that may go as they are met: those that a scan met, if that scan is young, or if acts since then found
/// what it had seen. A scan of long ago tells nothing of a table that has filled since, and before the first one nobody
/// knows which entries have children. A dump in doubt is repeated.
fn there(snapshot: &Snapshot, memory: &Memory) -> Vec<Class> {
    let found = |seconds: f64| {
        let lately = |at: f64| (0.0..=seconds).contains(&(snapshot.now_seconds - at));
        memory.small_acts.is_some_and(|(at, times)| times == 0 && lately(at))
    };
    let counts = |scan: &&Scan| {
        let seconds = LONGER * ahead::keep_seconds(scan);
        scan.trusted && (ahead::younger(snapshot, scan, seconds) || found(seconds))
    };
    let seen = snapshot.scan.as_ref().filter(counts).into_iter().flat_map(|scan| &scan.classes);
    seen.filter(|seen| seen.entries > 0 && !memory.suspended.contains(&seen.class))
        .map(|seen| seen.class)
        .collect()
}

/// Adds a flush of each class that is there, at its floor.
pub(super) fn flush(moment: &Moment<'_>, memory: &Memory, excess: u64, plan: &mut Plan) {
    let Moment { snapshot, settings, .. } = *moment;
    let coming = moment.coming_soon() as u64;
    let share = (excess.saturating_add(coming)) as f64 / snapshot.entries.max(1) as f64;
    // However slowly new ones come, each of them is refused.
    let full = moment.usage_percent >= 100.0;
    plan.scan = false;
    plan.pace.portion = Some((share * GENEROUS).min(1.0));
    for class in there(snapshot, memory) {
        let floor = settings.flush.floor_seconds(class);
        let why = if full { "the table is full" } else { "there is no time for a scan first" };
        let reason = format!(
            "{excess} entries are over target_percent {} and {why}: {class} entries go \
             as they are met from {floor} s of idleness on, the least missed first in each part of the table, {excess} \
             of all classes together",
            settings.pressure.target_percent
        );
        let time_wait_over_seconds = (class == Class::Closed).then(|| match plan.level {
            Level::Critical => floor,
            _ => settings.flush.half_open_floor_seconds(),
        });
        let flush = Flush { time_wait_over_seconds, ..Flush::of(class, floor, excess) };
        plan.actions.push(Action { act: Act::Flush(flush), reason });
    }
}
