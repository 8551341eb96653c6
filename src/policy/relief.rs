//! Relief: what brings usage down to the target, gentlest first, and no more of it than that takes.

use super::settle::{self, Write};
use super::{
    Memory, ahead, calm, ceiling, fair_share, grace, hands, hurry, level, lift, limit, seconds_to_full, share,
};
use crate::model::{
    Act, Action, Class, ClassScan, Flush, Level, Pace, Plan, Scan, Settings, Snapshot, Timeout,
};

/// How far ahead a forecast raises max. A longer one would promise memory to every burst.
const FORESEEN_SECONDS: f64 = 5.0;

/// A class that holds a tenth of the entries is one of those that fill the table.
const MUCH: u64 = 10;

/// Adds what relieves to the plan.
pub(super) fn relieve(snapshot: &Snapshot, memory: &mut Memory, settings: &Settings, plan: &mut Plan) {
    let Some(before) = limit(snapshot, settings) else { return };
    memory.low_since_seconds = None;
    if memory.relieving {
        calm::relapse(snapshot, memory, settings);
    }
    // High by hysteresis alone: relief has reached its target, and begins again only at high_percent.
    let wanted = memory.relieving || level::foreseen(memory);
    let limit = if wanted { raise(snapshot, memory, settings, plan) } else { None }.unwrap_or(before);
    let pressure = &settings.pressure;
    plan.pace = Pace {
        per_second: match plan.level {
            Level::Critical => settings.flush.per_second_critical,
            _ => pace_at_high(snapshot, settings),
        },
        urgent_at_entries: share(limit, pressure.critical_percent),
        urgent_per_second: settings.flush.per_second_critical,
        enough_at_entries: share(limit, pressure.target_percent),
        chances_per_second: grace::per_second(snapshot, settings),
        portion: None,
    };
    let unseen = settle::unseen(snapshot, memory, level::refused(snapshot, memory) > 0);
    let excess = snapshot.entries.saturating_sub(plan.pace.enough_at_entries).saturating_sub(unseen);
    if unseen > 0 {
        plan.reasons.push(format!("{unseen} entries went just now and the count does not show it yet"));
    }
    let chance = grace::has_time(plan.level, snapshot, memory, excess, settings);
    if excess == 0 && !plan.actions.is_empty() {
        return;
    }
    let Some(scan) = trusted_scan(snapshot, memory, plan) else {
        if memory.relieving && excess > 0 && hurry::needed(snapshot, memory, settings) {
            hurry::flush(snapshot, excess, settings, plan);
        }
        return;
    };
    if excess == 0 || !memory.relieving {
        return;
    }
    shorten(snapshot, memory, scan, excess, settings, plan);
    let waiting = if chance { grace::waiting(snapshot, scan).min(excess) } else { 0 };
    if waiting > 0 {
        let reason = format!("{waiting} of {excess} entries that are too many are in their second chance");
        plan.reasons.push(reason);
    }
    let missing = excess - waiting;
    let freed = flush(snapshot, scan, missing, chance, settings, plan);
    let lifted = match waiting + freed {
        0 => lift::lift(snapshot, memory, scan, missing, settings, plan),
        _ => 0,
    };
    let shared = share_out(snapshot, memory, scan, missing - freed - lifted, settings, plan);
    if waiting + freed + lifted + shared == 0 && !plan.weigh {
        barren(snapshot, memory, scan, plan, excess);
    } else {
        memory.barren = None;
    }
}

/// What classes cannot free at critical, those who hold more than their share do. It takes a scan that weighed them.
fn share_out(
    snapshot: &Snapshot,
    memory: &mut Memory,
    scan: &Scan,
    missing: u64,
    settings: &Settings,
    plan: &mut Plan,
) -> u64 {
    let flush = &settings.flush;
    memory.sharing = plan.level == Level::Critical
        && missing > 0
        && flush.enabled
        && flush.fair_share
        && snapshot.may_flush
        && !max_may_rise(snapshot, memory, settings);
    match &scan.weighed {
        _ if !memory.sharing => 0,
        Some(weighed) => fair_share::share_out(weighed, missing, settings, plan),
        None => {
            (plan.scan, plan.weigh) = (true, true);
            0
        }
    }
}

/// max is not at its ceiling yet and only waits until it may be raised again.
fn max_may_rise(snapshot: &Snapshot, memory: &Memory, settings: &Settings) -> bool {
    let capacity = &settings.capacity;
    let quota = capacity.limit > 0 && capacity.limit <= snapshot.max;
    // Over another hand it is raised each ten seconds.
    let pause = if memory.hands.contains_key("max") { hands::FORCED_SECONDS } else { 1.0 };
    let lately = memory.raised_at_seconds.is_some_and(|at| snapshot.now_seconds - at < pause);
    let ours = capacity.enabled && snapshot.owns_host_values && !quota;
    lately && ours && ceiling(snapshot, settings).entries > snapshot.max
}

/// Deletions a second at level high: as configured, but where the table would fill within the horizon all the same,
/// twice what comes in.
fn pace_at_high(snapshot: &Snapshot, settings: &Settings) -> u64 {
    let flush = &settings.flush;
    let soon = seconds_to_full(snapshot, settings).is_some_and(|s| s <= settings.pressure.horizon_seconds);
    let coming = if soon { 2.0 * snapshot.new_per_second.unwrap_or(0.0).max(0.0) } else { 0.0 };
    flush.per_second_high.max((coming as u64).min(flush.per_second_critical))
}

/// Raises max by half at least, once a second at most, to what the target needs, at most to the ceiling. The limit
/// that holds afterwards, if it changes.
fn raise(snapshot: &Snapshot, memory: &mut Memory, settings: &Settings, plan: &mut Plan) -> Option<u64> {
    let quota = settings.capacity.limit;
    let max = snapshot.max;
    if max == 0 || (quota > 0 && quota <= max) {
        if memory.relieving && quota > 0 {
            plan.reasons.push(format!(
                "max would not help: the quota is {quota} ([capacity] limit), and max is {max}"
            ));
        }
        return None;
    }
    if !settings.capacity.enabled {
        plan.reasons.push("max is not raised: [capacity] enabled = false".into());
        return None;
    }
    if !snapshot.owns_host_values {
        plan.reasons.push(match &snapshot.host_values_owner {
            Some(owner) => {
                let why = format!("max is not raised: it is one for the host, and {owner}");
                plan.waiting.push(why.clone());
                why
            }
            None => "max is not raised: this agent may not write the host's nf_conntrack_max (another agent, which this \
                     one's log names, or another namespace of this one has it, or the right is missing)"
                .into(),
        });
        return None;
    }
    if let Some(wait) = hands::holds_max(snapshot, memory) {
        plan.reasons.push(wait);
        return None;
    }
    let bound = ceiling(snapshot, settings);
    // What is foreseen is foreseen for a moment: max can rise again in the next, at no cost.
    let coming = match memory.relieving {
        true => 0.0,
        false => snapshot.net_growth_per_second.unwrap_or(0.0).max(0.0) * FORESEEN_SECONDS,
    };
    let entries = snapshot.entries as f64 + coming;
    let needed = (entries * 100.0 / settings.pressure.target_percent).ceil() as u64;
    if snapshot.entries > max {
        plan.reasons.push(format!(
            "max {max} is below the {} entries in the table: nothing new gets in until it is raised or they end",
            snapshot.entries
        ));
    }
    if needed <= max {
        plan.reasons.push(format!("max stays at {max}: {needed} would do for the next {FORESEEN_SECONDS} s"));
        return None;
    }
    let to = needed.max(max.saturating_add(max / 2)).min(bound.entries);
    if to <= max {
        let why = bound.reason.split_once(": ").map_or(bound.reason.as_str(), |(_, why)| why);
        plan.reasons.push(format!("max stays at {max}, its ceiling is {}: {why}", bound.entries));
        return None;
    }
    let waited = memory.raised_at_seconds.is_none_or(|at| snapshot.now_seconds - at >= 1.0);
    if !waited {
        plan.reasons.push("max was raised less than a second ago".into());
        return None;
    }
    if !settle::may_write(Write::Max, snapshot, memory) {
        plan.reasons.push(settle::TOLD.into());
        return None;
    }
    memory.raised_at_seconds = Some(snapshot.now_seconds);
    let why = plan.reasons.first().cloned().unwrap_or_default();
    let with = match coming > 0.0 {
        true => format!(" with what comes in the next {FORESEEN_SECONDS} s"),
        false => String::new(),
    };
    let forced = match memory.hands.contains_key("max") {
        true => "; someone else set it, but the table is full",
        false => "",
    };
    let reason =
        format!("{why}; {needed} would bring it to target_percent{with}, and {}{forced}", bound.reason);
    plan.actions.push(Action { act: Act::RaiseMax { from: max, to }, reason });
    Some(if quota > 0 { quota.min(to) } else { to })
}

/// The last scan, if it is young enough to act on; otherwise asks for one. A scan is also a reap: the kernel frees
/// what has expired but is still counted while it walks (`ctnetlink_dump_table`).
fn trusted_scan<'a>(snapshot: &'a Snapshot, memory: &Memory, plan: &mut Plan) -> Option<&'a Scan> {
    let now = snapshot.now_seconds;
    let keep = |scan: &Scan| match (plan.level, memory.barren) {
        // Nothing was there to free: time makes entries idle, but looking all the time would cost a core.
        (_, Some((_, times))) => f64::from(times.min(10)).max(1.0).max(10.0 * scan.duration_seconds),
        (Level::Critical, None) => (4.0 * scan.duration_seconds).max(2.0),
        (_, None) => ahead::keep_seconds(scan),
    };
    let young = |scan: &&Scan| now - scan.at_seconds <= keep(scan);
    let ran_out = |scan: &&Scan| plan.level == Level::High && grace::ran_out(snapshot, scan);
    match snapshot.scan.as_ref().filter(young).filter(|scan| !ran_out(scan)) {
        Some(scan) if scan.trusted => Some(scan),
        // A dump in doubt (buckets resized meanwhile) is repeated, but not in a frenzy.
        Some(scan) => {
            plan.scan = now - scan.at_seconds > (2.0 * scan.duration_seconds).max(0.2);
            None
        }
        None => {
            (plan.scan, plan.weigh) = (true, memory.sharing);
            None
        }
    }
}

/// Shortens the timeout of each class to the largest value that would cover the excess, never below its floor, once.
/// It frees nothing of what is idle already: it is for the entries to come.
fn shorten(
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
        let covered = seen.idle.at_least(floor);
        // A class that has nothing past the floor is not the one that fills the table; but where flushing does not
        // suffice at critical, one that holds much of it is, however young its entries are.
        let fills = spent && seen.entries.saturating_mul(MUCH) >= scan.entries;
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

/// Flushes class after class, only as many as are too many; with a `chance`, those whom it serves get that instead. How
/// many that may free.
fn flush(
    snapshot: &Snapshot,
    scan: &Scan,
    excess: u64,
    chance: bool,
    settings: &Settings,
    plan: &mut Plan,
) -> u64 {
    if !settings.flush.enabled || !snapshot.may_flush {
        plan.reasons.push(match settings.flush.enabled {
            true => "nothing is flushed: this agent may not delete entries".into(),
            false => "nothing is flushed: [flush] enabled = false".into(),
        });
        return 0;
    }
    let mut left = excess;
    for seen in &scan.classes {
        let chance = chance && grace::serves(seen.class);
        let act = match chance {
            true => Act::SecondChance(grace::give(seen, left, snapshot, settings)),
            false => Act::Flush(flush_of(seen, left, settings)),
        };
        let (Act::Flush(flush) | Act::SecondChance(flush)) = &act else { continue };
        if flush.budget > 0 {
            left -= flush.budget;
            let reason = why(seen, flush, left + flush.budget, settings);
            plan.actions.push(Action { act, reason });
        }
    }
    // The scan is some seconds old: what has become idle since may make up for what is missing.
    match plan.actions.last_mut().map(|action| &mut action.act) {
        Some(Act::Flush(last)) => last.budget += left,
        Some(Act::SecondChance(last)) => last.budget += left.min(snapshot.chances.room - last.budget),
        _ => {}
    }
    excess - left
}

/// Of a class, those in a second chance included: there is no time left for it.
fn flush_of(seen: &ClassScan, missing: u64, settings: &Settings) -> Flush {
    let floor = settings.flush.floor_seconds(seen.class);
    let may_go = seen.would_free.saturating_add(seen.in_grace);
    let idle_over_seconds = if may_go > missing { seen.idle.cut_for(missing, floor) } else { floor };
    Flush::of(seen.class, idle_over_seconds, may_go.min(missing))
}

fn why(seen: &ClassScan, flush: &Flush, missing: u64, settings: &Settings) -> String {
    let (class, floor) = (seen.class, settings.flush.floor_seconds(seen.class));
    let may_go = match flush.grace_seconds {
        Some(_) => seen.would_free,
        None => seen.would_free.saturating_add(seen.in_grace),
    };
    let facts = format!(
        "{missing} entries are over target_percent {}; {may_go} {class} entries are idle for {floor} s or more, the \
         longest for {} s",
        settings.pressure.target_percent, seen.oldest_idle_seconds
    );
    match flush.grace_seconds {
        Some(grace) => {
            format!("{facts}; {grace} s are left to them, and the next packet puts the full timeout back")
        }
        None => facts,
    }
}

fn barren(snapshot: &Snapshot, memory: &mut Memory, scan: &Scan, plan: &mut Plan, excess: u64) {
    let none = scan.classes.iter().all(|seen| seen.would_free == 0 && seen.in_grace == 0);
    plan.reasons.extend(none.then(|| format!(
        "{excess} entries are over the target, but of {} none is idle for certain past its floor and unprotected \
         ({} are protected{}): they count as live and stay; `ctctl top-sources` says whose they are",
        scan.entries,
        scan.protected,
        if memory.suspended.is_empty() { "" } else { ", and suspended classes are left out" },
    )));
    let times = match memory.barren {
        Some((at, times)) if at >= scan.at_seconds => times,
        Some((_, times)) => times.saturating_add(1),
        None => 1,
    };
    memory.barren = Some((snapshot.now_seconds, times));
}
