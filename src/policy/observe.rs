//! Where only observation proves idleness, the table is scanned in calm as well: under pressure it would be too late to
//! begin, since a silence of two hours takes two hours to be seen.

use crate::model::{Class, IdleProof, Plan, Settings, Snapshot};

/// No more often than this in calm.
const LEAST_SECONDS: f64 = 60.0;

/// Asks for a scan where one is due: every quarter of the shortest floor, once a minute at most, and for a hundredth of
/// a core at most.
pub(super) fn observe(snapshot: &Snapshot, settings: &Settings, plan: &mut Plan) {
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
