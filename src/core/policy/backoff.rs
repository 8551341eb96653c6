//! Backoff of small acts: where next to nothing is left to free, an act at every look would walk the whole table each
//! time, for a handful of entries that have just become idle.

use super::moment::Moment;
use super::{Memory, observe};
use crate::core::model::{ClassScan, Level, Pace, Plan, Snapshot};

/// Urgent acts in a row that meet next to nothing before they are no chance: one may have met a part that was
/// cleared.
pub(super) const SMALL_ACTS: u32 = 3;
/// An act that frees less than this share of what was too many is small.
const SHARE: u64 = 50;
/// The longest that the next one waits at high; at critical what becomes idle all at once is not to wait for long.
const HIGH_SECONDS: f64 = 10.0;
const CRITICAL_SECONDS: f64 = 2.0;
/// Interval of acts while packets are refused: every entry counts then.
const REFUSED_SECONDS: f64 = 0.25;
/// Between acts at high that were not small.
const APART_SECONDS: f64 = 1.0;

impl Memory {
    /// An act that was decided on `snapshot` has freed `freed` entries, or given them a second chance.
    pub fn achieved(&mut self, snapshot: &Snapshot, pace: &Pace, now_seconds: f64, freed: u64) {
        let wanted = snapshot.entries.saturating_sub(pace.enough_at_entries);
        let times = self.small_acts.map_or(0, |(_, times)| times);
        let small = freed.saturating_mul(SHARE) < wanted;
        self.small_acts = Some((now_seconds, if small { times.saturating_add(1) } else { 0 }));
    }
}

/// Reason for which the next act waits, with the time, if it does. It does not where more can be freed, where the
/// table was looked at after the last act, or where the sources are still to be weighed.
pub(super) fn waits(
    moment: &Moment<'_>,
    memory: &Memory,
    excess: u64,
    refused: bool,
    plan: &Plan,
) -> Option<String> {
    let Moment { snapshot, settings, .. } = *moment;
    let (at, times) = memory.small_acts?;
    let scan = snapshot.scan.as_ref().filter(|scan| scan.trusted);
    let classes = scan.iter().flat_map(|scan| &scan.classes);
    let may_go = |seen: &ClassScan| seen.would_free.saturating_add(seen.goes_only_at(plan.level));
    let free = classes.fold(0, |sum: u64, seen| sum.saturating_add(may_go(seen)));
    let share = if times > 0 { SHARE } else { 2 };
    let looked = scan.is_some_and(|scan| scan.at_seconds > at);
    // Every flush of the whole table is a scan that did not weigh: that alone is no reason to ask at once again.
    let asked = memory.weighed_seconds.is_some_and(|at| snapshot.now_seconds - at < HIGH_SECONDS);
    let to_share = plan.level == Level::Critical && settings.flush.fair_share && !asked;
    if looked || to_share || free.saturating_mul(share) >= excess {
        return None;
    }
    let walk = scan.map_or(0.0, |scan| scan.duration_seconds);
    // By what comes in: what the agent deletes hides how fast the table grows.
    let coming = snapshot.new_per_second.unwrap_or(0.0) * settings.pressure.horizon_seconds;
    let wait = match (plan.level, times) {
        (_, 0..SMALL_ACTS) if coming >= moment.room() => 0.0,
        _ if refused => (4.0 * walk).max(REFUSED_SECONDS),
        (Level::Critical, 0) => 0.0,
        (Level::Critical, _) => (10.0 * walk).max(f64::from(times).min(CRITICAL_SECONDS)),
        (_, 0) => APART_SECONDS,
        (..) => (10.0 * walk).max(f64::from(times).min(HIGH_SECONDS)),
    };
    // If scans alone prove idleness, an act is the second look at what the last one met first.
    let by_scans = scan.filter(|scan| scan.by_observation);
    let wait = by_scans.map_or(wait, |scan| wait.min(observe::until_next_seconds(scan, settings)));
    let passed = snapshot.now_seconds - at;
    if !(0.0..wait).contains(&passed) {
        return None;
    }
    let found = if times > 0 { "found next to nothing to free" } else { "was a moment ago" };
    Some(format!(
        "{excess} entries are over the target, but the last act {found}: the next one waits {:.1} s more, {wait:.1} s in \
         all",
        wait - passed
    ))
}
