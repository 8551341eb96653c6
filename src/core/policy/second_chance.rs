//! The second chance: at level high, ESTABLISHED entries that are idle past their floor are not deleted. They are left
//! `grace_seconds`, and the next packet puts the full timeout back.

use super::moment::Moment;
use super::{Memory, ahead};
use crate::core::model::{Class, ClassScan, Flush, Level, Plan, Scan, Settings, Snapshot};

/// Growth is not steady, and what has run out is counted until the scan after it.
const MARGIN_SECONDS: f64 = 10.0;
/// Time left is cut to whole seconds: from here on what was silent has run out for certain.
const RUN_OUT_SECONDS: f64 = 2.0;
/// Second chances a second where somebody listens to updates: each is an event for every listener, a queued one holds
/// about 1,280 bytes of its buffer (166 in one of the default size), and conntrackd sends it on to its peer.
const LISTENED_PER_SECOND: u64 = 1000;

/// Seconds for which there is no time for second chances after there was none: deletions of this agent hide how fast
/// the table grows.
const HURRY_SECONDS: f64 = 10.0;

/// Second chances that are given in a second.
pub(super) fn per_second(moment: &Moment<'_>) -> u64 {
    let Moment { snapshot, settings, .. } = *moment;
    let alone = settings.flush.per_second_high;
    if snapshot.update_listeners == 0 { alone } else { alone.min(LISTENED_PER_SECOND) }
}

/// Entries that spoke in their grace of which listeners are told in a second: each is an event for every listener as
/// well.
pub fn told_per_second(settings: &Settings) -> u64 {
    settings.flush.per_second_high.min(LISTENED_PER_SECOND)
}

/// True if there is time for it before the table is full; where there is none, or the kernel refuses, the entries are
/// flushed.
pub(super) fn has_time(moment: &Moment<'_>, level: Level, memory: &mut Memory, excess: u64) -> bool {
    let Moment { snapshot, settings, .. } = *moment;
    let (now, grace) = (snapshot.now_seconds, settings.flush.grace_seconds);
    let missing = excess.saturating_sub(snapshot.chances.waiting);
    let giving = missing as f64 / per_second(moment).max(1) as f64;
    let takes = giving + f64::from(grace) + MARGIN_SECONDS;
    if level == Level::Critical || moment.seconds_to_full.is_some_and(|full| full <= takes) {
        memory.hurried_at_seconds = Some(now);
    }
    let hurried = memory.hurried_at_seconds.is_some_and(|at| now - at < HURRY_SECONDS);
    !hurried && grace > 0 && snapshot.may_give_grace
}

/// Reason for which entries are flushed at high though a grace is configured.
pub(super) fn why_not(moment: &Moment<'_>) -> Option<&'static str> {
    let Moment { snapshot, settings, .. } = *moment;
    match settings.flush.grace_seconds {
        0 => None,
        _ if !snapshot.may_give_grace => Some("; the kernel takes no second chance from this agent"),
        _ => Some("; the table grows too fast, or did a moment ago, for a second chance"),
    }
}

/// Entries that go by themselves within the grace, but for those that a packet saves: they are not missing twice.
pub(super) fn waiting(snapshot: &Snapshot, scan: &Scan) -> u64 {
    let seen: u64 = scan.classes.iter().fold(0, |sum, class| sum.saturating_add(class.in_grace));
    seen.max(snapshot.chances.waiting)
}

/// Some have run out since the last scan, which is to free them before more is decided.
pub(super) fn ran_out(snapshot: &Snapshot, scan: &Scan) -> bool {
    let chances = &snapshot.chances;
    let over_at = chances.first_ends_seconds + RUN_OUT_SECONDS;
    let rested = snapshot.now_seconds - scan.at_seconds >= (4.0 * scan.duration_seconds).max(1.0);
    chances.waiting > 0 && over_at <= snapshot.now_seconds && scan.at_seconds < over_at && rested
}

/// Asks for a scan in calm where somebody listens to updates. A packet that revives an entry makes no event, so that
/// conntrackd's peer would keep the short time for a flow that lives, and commit it at a failover: scans find who
/// spoke, and have the kernel tell the time that is left to each.
pub(super) fn find_who_spoke(snapshot: &Snapshot, plan: &mut Plan) {
    let chances = &snapshot.chances;
    if chances.waiting == 0 || snapshot.update_listeners == 0 {
        return;
    }
    let over_at = chances.last_ends_seconds + RUN_OUT_SECONDS;
    let due = |scan: &Scan| {
        let unseen = over_at <= snapshot.now_seconds && scan.at_seconds < over_at;
        let at_once = (4.0 * scan.duration_seconds).max(1.0);
        snapshot.now_seconds - scan.at_seconds >= if unseen { at_once } else { ahead::keep_seconds(scan) }
    };
    plan.scan |= snapshot.scan.as_ref().is_none_or(due);
}

/// Gives `missing` entries of a class a second chance, the longest idle first. Those that are in their grace are
/// longer idle, and stay out of it.
pub(super) fn give(moment: &Moment<'_>, seen: &ClassScan, missing: u64) -> Flush {
    let Moment { snapshot, settings, .. } = *moment;
    let floor = settings.flush.floor_seconds(seen.class);
    let budget = seen.would_free.min(missing).min(snapshot.chances.room);
    let idle_over_seconds = match seen.would_free > budget {
        true => seen.idle.cut_for(budget.saturating_add(seen.in_grace), floor),
        false => floor,
    };
    let grace_seconds = Some(settings.flush.grace_seconds);
    Flush { grace_seconds, ..Flush::of(seen.class, idle_over_seconds, budget) }
}

/// The class whose entries are worth a grace: a connection that lives may be silent for hours.
pub(super) fn serves(class: Class) -> bool {
    class == Class::Established
}

/// Says how many second chances run, for readers that wonder why nothing more is done.
pub(super) fn tell_waiting(snapshot: &Snapshot, plan: &mut Plan) {
    let chances = &snapshot.chances;
    // In calm no scan follows that would see who has gone.
    let running = snapshot.now_seconds < chances.last_ends_seconds + RUN_OUT_SECONDS;
    if chances.waiting > 0 && running {
        let seconds = (chances.last_ends_seconds - snapshot.now_seconds).max(0.0).ceil();
        plan.waiting.push(format!(
            "{} entries are in their second chance: those that stay silent are gone within {seconds:.0} s",
            chances.waiting
        ));
    }
}
