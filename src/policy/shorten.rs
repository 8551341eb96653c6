//! Timeouts come down, for the entries to come.

use super::settle::{self, Write};
use super::{Memory, hands};
use crate::model::{Act, Action, Class, ClassScan, Level, Plan, Scan, Settings, Snapshot, Timeout};

/// A class that holds a tenth of the entries is one of those that fill the table.
const MUCH: u64 = 10;

/// Shortens the timeout of each class to the largest value that would cover the excess, never below its floor, once.
/// It frees nothing of what is idle already: it is for the entries to come.
pub(super) fn shorten(
    snapshot: &Snapshot,
    memory: &mut Memory,
    scan: &Scan,
    excess: u64,
    settings: &Settings,
    plan: &mut Plan,
) {
    if !settings.timeouts.enabled || !snapshot.may_set_timeouts {
        return;
    }
    let of = [
        ("tcp_timeout_established", Class::Established),
        ("udp_timeout_stream", Class::Udp),
        ("generic_timeout", Class::Other),
        ("tcp_timeout_time_wait", Class::Closed),
        ("tcp_timeout_syn_sent", Class::Unreplied),
    ];
    let may_go =
        |sum: u64, seen: &ClassScan| sum.saturating_add(seen.would_free).saturating_add(seen.in_grace);
    let spent = plan.level == Level::Critical && scan.classes.iter().fold(0, may_go) < excess;
    for (name, class) in of {
        let Some(timeout) = Timeout::named(name) else { continue };
        let (Some(&now), Some(floor)) =
            (snapshot.timeouts.get(&timeout), settings.timeouts.floor_seconds(timeout))
        else {
            continue;
        };
        let Some(seen) = scan.classes.iter().find(|c| c.class == class) else { continue };
        // What has no doubt past the flush's floor is past a lower one too, wherever the bins of the histogram end.
        let flushable = seen.would_free.saturating_add(seen.in_grace);
        let certain = if settings.flush.floor_seconds(class) >= floor { flushable } else { 0 };
        let covered = seen.idle.at_least(floor).max(certain);
        // A class that has nothing past the floor is not the one that fills the table; but where flushing does not
        // suffice at critical, one that holds much of it is, however young its entries are.
        let fills = spent && seen.entries > 0 && seen.entries.saturating_mul(MUCH) >= scan.entries;
        if now <= floor || (covered == 0 && !fills) {
            continue;
        }
        let to = match seen.idle.cut_for(excess, floor) {
            cut if covered >= excess => cut.max(floor),
            _ if plan.level == Level::Critical => floor,
            _ => continue,
        };
        // Once: what was shortened already is shortened again only to its floor, where nothing else is left.
        let held = memory.baseline_timeout(timeout).is_some_and(|baseline| now < baseline);
        if to >= now || (held && !(plan.level == Level::Critical && to == floor)) {
            continue;
        }
        if let Some(why) = hands::theirs(name, now.into(), snapshot, memory) {
            plan.reasons.push(why);
            continue;
        }
        if !settle::may_write(Write::Timeout, snapshot, memory) {
            plan.reasons.push(settle::TOLD.into());
            return;
        }
        let idle = match covered {
            // Some are, and may not go: the class is suspended.
            0 if seen.oldest_idle_seconds >= floor => format!("{} {class} entries are there", seen.entries),
            0 => format!("none of {} {class} entries is idle for {floor} s", seen.entries),
            n => format!("{n} {class} entries are idle for {floor} s or more"),
        };
        let reason = format!(
            "{idle} and {excess} entries are too many; \
             {to} s keeps new ones from staying as long, and the floor is {floor} s ({})",
            timeout.spec().source
        );
        plan.actions.push(Action { act: Act::SetTimeout { timeout, from: now, to }, reason });
    }
}
