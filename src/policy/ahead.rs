//! Ahead of pressure: a table that is near high is looked at before it gets there.
//!
//! The first act is due within 50 ms of the crossing, and a scan of 65,536 entries alone takes longer. Which entries
//! may go has to be known by then. A look touches nothing: what it frees is what has expired.

use super::usage_percent;
use crate::model::{Level, Plan, Scan, Settings, Snapshot};

/// Seconds for which a scan serves below critical: looking costs a twentieth of a core at most.
pub(super) fn keep_seconds(scan: &Scan) -> f64 {
    (20.0 * scan.duration_seconds).max(10.0)
}

/// True if a scan ended no more than `seconds` ago. One from the future is of another boot, or of a broken record.
pub(super) fn younger(snapshot: &Snapshot, scan: &Scan, seconds: f64) -> bool {
    const SKEW_SECONDS: f64 = 1.0;
    (-SKEW_SECONDS..=seconds).contains(&(snapshot.now_seconds - scan.at_seconds))
}

/// Asks for a scan where the last one would be too old at the crossing.
pub(super) fn look(snapshot: &Snapshot, settings: &Settings, plan: &mut Plan) {
    let near = usage_percent(snapshot, settings) >= settings.pressure.low_percent;
    let acts = (settings.flush.enabled && snapshot.may_flush) || settings.timeouts.enabled;
    if plan.level > Level::Normal || !near || !acts {
        return;
    }
    // A dump in doubt is no reason to dump again before there is pressure.
    let young = |scan: &Scan| younger(snapshot, scan, keep_seconds(scan));
    plan.scan = !snapshot.scan.as_ref().is_some_and(young);
    if plan.scan {
        let low = settings.pressure.low_percent;
        plan.reasons
            .push(format!("usage is over low_percent {low}: the table is looked at, ahead of pressure"));
    }
}
