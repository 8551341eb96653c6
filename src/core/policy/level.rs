//! Level of pressure, with hysteresis.

use super::moment::Moment;
use super::{Memory, ahead, share, usage_percent};
use crate::core::model::{Level, Plan, Scan, Settings, Snapshot};

/// Samples that foresee a full table before it counts, at least this far apart.
const SAMPLES: u32 = 3;
const SAMPLE_SECONDS: f64 = 0.2;
/// Relief below low ends this near to its target, a part of it: who speaks in a second chance is no reason for another.
const NEAR: u64 = 200;
/// Looks in a row at a table with next to nothing to free after which relief below low ends.
const LOOKS: u32 = 3;

/// Sets the plan's level and the memory's, with a sentence for what it rests on.
pub(super) fn judge(moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan) {
    let pressure = &moment.settings.pressure;
    let Some(limit) = moment.limit else {
        (memory.level, memory.relieving) = (Level::Normal, false);
        plan.because("nf_conntrack_max is 0: the kernel sets no limit, so there is no pressure".into());
        return;
    };
    let usage = moment.usage_percent;
    let at = format!("usage is {usage:.1} % ({} of {limit} entries)", moment.snapshot.entries);
    let target = share(limit, pressure.target_percent);
    let dropped = refused(moment.snapshot, memory);
    let foreseen = foresee(moment, memory);
    let (level, cause) = if usage >= pressure.critical_percent {
        (Level::Critical, format!("{at}, at or over critical_percent {}", pressure.critical_percent))
    } else if dropped > 0 && usage >= pressure.high_percent {
        let why =
            format!("{at} and {dropped} packets more were dropped for want of room since the last look");
        (Level::Critical, why)
    } else if memory.level == Level::Critical && usage >= pressure.high_percent {
        (
            Level::Critical,
            format!("{at}, still at or over high_percent {} after critical", pressure.high_percent),
        )
    } else if usage >= pressure.high_percent {
        (Level::High, format!("{at}, at or over high_percent {}", pressure.high_percent))
    } else if foreseen {
        let seconds = moment.seconds_to_full.unwrap_or(0.0);
        let horizon = pressure.horizon_seconds;
        let why = format!("{at} and full in {seconds:.0} s at this growth, within horizon_seconds {horizon}");
        (Level::High, why)
    } else if memory.level > Level::Normal && usage >= pressure.low_percent {
        (Level::High, format!("{at}, not below low_percent {} yet", pressure.low_percent))
    } else if goes_on(moment, memory) && moment.snapshot.entries > target + target / NEAR {
        let target = pressure.target_percent;
        (Level::High, format!("{at}, and relief goes on to target_percent {target}"))
    } else {
        (Level::Normal, format!("{at}, below high_percent {}", pressure.high_percent))
    };
    plan.because(cause);
    // Relief begins on crossing high, and goes on until the target is reached.
    memory.relieving = usage >= pressure.high_percent
        || level == Level::Critical
        || (memory.relieving && level > Level::Normal && moment.snapshot.entries > target);
    (memory.level, plan.level) = (level, level);
}

/// True if relief that has brought usage below low may have more to free: not if it looked again and again and found
/// next to nothing.
fn goes_on(moment: &Moment<'_>, memory: &Memory) -> bool {
    // A paused agent does not scan.
    let lately =
        |scan: &Scan| moment.snapshot.now_seconds - scan.at_seconds <= 3.0 * ahead::keep_seconds(scan);
    let looked = |scan: &Scan| scan.trusted && lately(scan);
    memory.relieving
        && moment.settings.flush.enabled
        && moment.snapshot.may_flush
        && memory.barren.is_none_or(|(_, times)| times < LOOKS)
        && memory.small_acts.is_none_or(|(_, times)| times < LOOKS)
        && moment.snapshot.scan.as_ref().is_some_and(looked)
}

/// The level that usage alone makes at least.
pub fn least_level(snapshot: &Snapshot, settings: &Settings) -> Level {
    match usage_percent(snapshot, settings) {
        usage if usage >= settings.pressure.critical_percent => Level::Critical,
        usage if usage >= settings.pressure.high_percent => Level::High,
        _ => Level::Normal,
    }
}

/// Packets dropped since the last decision because the table was full. `drop` alone proves nothing: two CPUs that send
/// the same new flow raise it together with `insert_failed` in an empty table (`nf_ct_resolve_clash`).
pub fn refused(snapshot: &Snapshot, memory: &Memory) -> u64 {
    let Some(before) = memory.drops else { return 0 };
    let grown = |now: u64, then: u64| now.saturating_sub(then);
    grown(snapshot.drops.drop, before.drop)
        .saturating_sub(grown(snapshot.drops.insert_failed, before.insert_failed))
}

/// Updates the forecast: a full table that is foreseen stays so until the table would last twice as long, for growth
/// is a noisy figure.
fn foresee(moment: &Moment<'_>, memory: &mut Memory) -> bool {
    let counts = memory.level > Level::Normal && foreseen(memory);
    let horizon = moment.settings.pressure.horizon_seconds * if counts { 2.0 } else { 1.0 };
    let soon = moment.seconds_to_full.is_some_and(|s| s <= horizon);
    if !soon {
        memory.foreseen = 0;
    } else if memory.foreseen == 0
        || moment.snapshot.now_seconds - memory.foreseen_at_seconds >= SAMPLE_SECONDS
    {
        memory.foreseen = memory.foreseen.saturating_add(1);
        memory.foreseen_at_seconds = moment.snapshot.now_seconds;
    }
    foreseen(memory)
}

/// A full table has been foreseen often enough to count.
pub(super) fn foreseen(memory: &Memory) -> bool {
    memory.foreseen >= SAMPLES
}
