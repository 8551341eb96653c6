//! Scans in calm, for tables where only observation proves idleness: under pressure it would be too late to begin,
//! since a silence of two hours takes two hours to be seen.

use super::moment::Moment;
use crate::core::model::{Class, ClassScan, IdleProof, Plan, Scan, Settings, Snapshot};

/// No more often than this in calm.
const LEAST_SECONDS: f64 = 60.0;

/// Longest interval of scans under pressure.
const LONGEST_SECONDS: f64 = 10.0;

/// Asks for a scan where one is due: every quarter of the shortest floor, once a minute at most, and for a hundredth of
/// a core at most.
pub(super) fn observe(moment: &Moment<'_>, plan: &mut Plan) {
    let Moment { snapshot, settings, .. } = *moment;
    let flush = &settings.flush;
    let scan = snapshot.scan.as_ref();
    let by_observation = match flush.idle_proof {
        IdleProof::Observed => true,
        IdleProof::Auto => scan.is_some_and(|scan| scan.by_observation),
        IdleProof::Arithmetic => false,
    };
    if !by_observation || !flush.enabled || !snapshot.may_flush {
        return;
    }
    let floor = Class::ALL.map(|class| flush.floor_seconds(class)).into_iter().min().unwrap_or(0);
    let due = |duration: f64| (f64::from(floor) / 4.0).max(LEAST_SECONDS).max(100.0 * duration);
    plan.scan |= scan.is_none_or(|scan| snapshot.now_seconds - scan.at_seconds >= due(scan.duration_seconds));
}

/// Seconds after which the next scan is worth its cost under pressure, where scans alone prove idleness: what the last
/// one met may be past its floor then, and what it did not meet waits no longer than a fifth of the floor to be met
/// first.
///
/// Closed entries have a floor of 5 s. Beside conntrackd scans that found nothing were 1, 2, 3 and more seconds apart,
/// and relief came in gaps of 6 to 10 s.
pub(super) fn until_next_seconds(scan: &Scan, settings: &Settings) -> f64 {
    let until = |seen: &ClassScan| {
        let floor = settings.flush.floor_seconds(seen.class);
        let first = seen.idle.least_missing_to(floor).map_or(f64::from(floor), f64::from);
        let some_are_not_past = seen.entries > seen.would_free.saturating_add(seen.in_grace);
        some_are_not_past.then(|| first.min(f64::from(floor) / 5.0))
    };
    let least = scan.classes.iter().filter_map(until).fold(LONGEST_SECONDS, f64::min);
    least.max(1.0).max(10.0 * scan.duration_seconds)
}

/// Says why entries that look idle by the timeouts of today stay.
pub(super) fn tell_waiting(snapshot: &Snapshot, plan: &mut Plan) {
    let presumed = snapshot.scan.as_ref().map_or(0, |scan| scan.presumed);
    if presumed > 0 {
        plan.waiting.push(format!(
            "{presumed} entries are idle past their floor by the timeouts of today, but which were in force before \
             ctctl first looked in this boot is not known: they count as live until they have been silent for that \
             long since"
        ));
    }
}
