//! Meagre acts: where next to nothing is left to free, an act at every look would walk the whole table each time, for a
//! handful of entries that have just become idle.

use super::Memory;
use crate::model::{Pace, Plan, Snapshot};

/// An act that frees less than this share of what was too many is meagre.
const SHARE: u64 = 50;
/// The longest that the next one waits.
const LONGEST_SECONDS: f64 = 10.0;
/// Where packets are refused, every entry counts.
const REFUSED_SECONDS: f64 = 0.25;

impl Memory {
    /// An act that was decided on `snapshot` has freed so many entries, or given them a second chance.
    pub fn achieved(&mut self, snapshot: &Snapshot, pace: &Pace, now_seconds: f64, freed: u64) {
        let wanted = snapshot.entries.saturating_sub(pace.enough_at_entries);
        let times = self.meagre.map_or(0, |(_, times)| times);
        let meagre = freed.saturating_mul(SHARE) < wanted;
        self.meagre = meagre.then(|| (now_seconds, times.saturating_add(1)));
    }
}

/// Whether the next act waits, with a sentence that says so. A scan of the whole table that came after the last act, and
/// one that has more to free, is news.
pub(super) fn waits(
    snapshot: &Snapshot,
    memory: &Memory,
    excess: u64,
    refused: bool,
    plan: &mut Plan,
) -> bool {
    let Some((at, times)) = memory.meagre else { return false };
    let scan = snapshot.scan.as_ref().filter(|scan| scan.trusted);
    let classes = scan.iter().flat_map(|scan| &scan.classes);
    let free = classes.fold(0, |sum: u64, seen| sum.saturating_add(seen.would_free));
    if scan.is_some_and(|scan| scan.at_seconds > at) || free.saturating_mul(SHARE) >= excess {
        return false;
    }
    let patience = if refused { REFUSED_SECONDS } else { f64::from(times).min(LONGEST_SECONDS) };
    let wait = patience.max(scan.map_or(0.0, |scan| 4.0 * scan.duration_seconds));
    let left = at + wait - snapshot.now_seconds;
    if left > 0.0 {
        plan.reasons.push(format!(
            "{excess} entries are over the target, but the last act found next to nothing to free: the next one waits \
             up to {wait:.1} s"
        ));
    }
    left > 0.0
}
