//! Ahead of pressure: a table that is near high is looked at before it gets there.
//!
//! The first act is due within 50 ms of the crossing, and a scan of 65,536 entries alone takes longer. Which entries
//! may go has to be known by then. A look touches nothing: what it frees is what has expired.

use super::moment::Moment;
use crate::core::model::{Level, Plan, Scan, Snapshot};

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
pub(super) fn look(moment: &Moment<'_>, plan: &mut Plan) {
    let near = moment.usage_percent >= moment.settings.pressure.low_percent;
    let acts =
        (moment.settings.flush.enabled && moment.snapshot.may_flush) || moment.settings.timeouts.enabled;
    if plan.level > Level::Normal || !near || !acts {
        return;
    }
    // A dump in doubt is no reason to dump again before there is pressure.
    let young = |scan: &Scan| younger(moment.snapshot, scan, keep_seconds(scan));
    plan.scan = !moment.snapshot.scan.as_ref().is_some_and(young);
    if plan.scan {
        let low = moment.settings.pressure.low_percent;
        plan.reasons
            .push(format!("usage is over low_percent {low}: the table is looked at, ahead of pressure"));
    }
}
