//! Entries of no class that fill the table: no act of this policy takes them, so that the plan says what they are and
//! what helps.

use crate::core::model::{Level, Plan, Snapshot, Unclassed, UnclassedRow};

/// Tells of each state whose entries of no class are a tenth of the table or more, under pressure; in calm where a
/// timeout above the kernel's own keeps them.
pub(super) fn tell(snapshot: &Snapshot, plan: &mut Plan) {
    let Some(scan) = &snapshot.scan else { return };
    let row = |seen: &Unclassed| {
        let now = seen.timeout.and_then(|timeout| snapshot.timeouts.get(&timeout)).copied();
        seen.row(now, scan.entries)
    };
    for row in scan.unclassed.iter().map(row).filter(UnclassedRow::is_much) {
        let remedy = row.remedy();
        if plan.level == Level::Normal && remedy.is_none() {
            continue;
        }
        plan.reasons.push(row.sentence());
        plan.reasons.extend(remedy);
    }
}
