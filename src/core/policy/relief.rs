//! Relief: what brings usage down to the target, gentlest first, and no more of it than that takes.

use super::moment::Moment;
use super::{
    Memory, ahead, backoff, calm, fair_share, level, lift, observe, raise, second_chance, settle, share,
    timeouts, urgent,
};
use crate::core::model::{
    Act, Action, Class, ClassScan, Flush, Level, Pace, Plan, Scan, Settings, Snapshot, unproven,
};

/// Adds what relieves to the plan. Over the target a plan has an act or a scan, or says until when it waits, and why.
pub(super) fn relieve(moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan) {
    let Some(limit) = moment.limit else { return };
    if let Some(why) = act(limit, moment, memory, plan) {
        plan.reasons.push(why.clone());
        if plan.actions.is_empty() && !plan.scan {
            plan.waiting.push(why);
        }
    }
}

/// Adds acts and scans. Where more is to go that waits, the sentence that says until when, and why.
fn act(before: u64, moment: &Moment<'_>, memory: &mut Memory, plan: &mut Plan) -> Option<String> {
    let Moment { snapshot, settings, .. } = *moment;
    memory.low_since_seconds = None;
    if memory.relieving {
        calm::relapse(moment, memory);
    }
    // High by hysteresis alone: relief has reached its target, and begins again only at high_percent.
    let wanted = memory.relieving || level::foreseen(memory);
    let limit = if wanted { raise::raise(moment, memory, plan) } else { None }.unwrap_or(before);
    let pressure = &settings.pressure;
    plan.pace = Pace {
        per_second: settings.flush.per_second_critical,
        urgent_at_entries: share(limit, pressure.critical_percent),
        urgent_per_second: settings.flush.per_second_critical,
        enough_at_entries: share(limit, pressure.target_percent),
        chances_per_second: second_chance::per_second(moment),
        portion: None,
    };
    if plan.level < Level::Critical {
        let planned = settings.flush.per_second_high as f64;
        plan.pace.per_second = plan.pace.keeping_up(planned, moment.coming_soon()) as u64;
    }
    let refused = level::refused(snapshot, memory) > 0;
    let unseen = settle::unseen(snapshot, memory, refused);
    let excess = moment.excess(limit).saturating_sub(unseen);
    let chance = second_chance::has_time(moment, plan.level, memory, excess);
    let unshown = (unseen > 0).then(|| {
        let shows = settle::shows_seconds(snapshot, memory);
        format!(
            "{unseen} entries went just now and the count does not show it yet: they are not flushed twice; it is \
             waited for {shows:.1} s more at most"
        )
    });
    if excess == 0 && !plan.actions.is_empty() {
        return unshown;
    }
    if excess > 0
        && memory.relieving
        && let Some(why) = backoff::waits(moment, memory, excess, refused, plan)
    {
        return Some(why);
    }
    let scan = match trusted_scan(moment, memory, plan) {
        Ok(scan) => scan,
        Err(why) => {
            if memory.relieving && excess > 0 && urgent::needed(moment, memory) {
                urgent::flush(moment, memory, excess, plan);
                return unshown;
            }
            if memory.once && !plan.scan {
                plan.reasons.push(why);
                return None;
            }
            return Some(why);
        }
    };
    if excess == 0 {
        return unshown;
    }
    if !memory.relieving {
        let (target, high) = (pressure.target_percent, pressure.high_percent);
        return Some(format!(
            "{excess} entries are over target_percent {target}, but usage is below high_percent {high}: until it is \
             there no entry goes and no timeout is shortened"
        ));
    }
    plan.reasons.extend(unshown);
    // A timeout is for entries to come, and the record that it is put back by is waited for on disk (1.5 to 4.5 ms, 100
    // ms where that is slow): where there is no time for that, what is there goes first.
    let fast = plan.level == Level::Critical || fills_fast(moment);
    if !fast {
        timeouts::shorten(moment, memory, scan, excess, plan);
    }
    let waiting = if chance { second_chance::waiting(snapshot, scan).min(excess) } else { 0 };
    if waiting > 0 {
        let reason = format!("{waiting} of {excess} entries that are too many are in their second chance");
        plan.reasons.push(reason);
    }
    let missing = excess - waiting;
    let freed = flush(moment, memory, scan, missing, chance, plan);
    let lifted = match waiting + freed {
        0 => lift::lift(moment, memory, scan, missing, plan),
        _ => 0,
    };
    let shared = share_out(moment, memory, scan, missing - freed - lifted, plan);
    if fast {
        timeouts::shorten(moment, memory, scan, excess, plan);
    }
    if freed + lifted + shared < missing {
        tell_unproven(scan, plan);
    }
    if waiting + freed + lifted + shared == 0 && !plan.weigh {
        barren(snapshot, memory, scan, plan, excess);
    } else {
        memory.barren = None;
    }
    let next = (keep_seconds(plan.level, memory, scan, settings) - (snapshot.now_seconds - scan.at_seconds))
        .max(0.0);
    let waits = (freed + lifted + shared == 0 && !plan.scan).then(|| {
        format!("nothing more can go by what the last scan saw: the table is looked at again in {next:.1} s")
    });
    match waits {
        Some(_) if memory.once => {
            plan.reasons.push(format!(
                "nothing more can go by what this scan saw: an agent would look at the table again in {next:.1} s"
            ));
            None
        }
        waits => waits,
    }
}

/// True if the table comes to be full soon, and grows faster than deletions at level high go by themselves.
fn fills_fast(moment: &Moment<'_>) -> bool {
    2.0 * moment.coming_soon() > moment.settings.flush.per_second_high as f64
}

/// Asks sources that hold more than their share for what classes cannot free at critical. It takes a scan that
/// weighed them.
fn share_out(moment: &Moment<'_>, memory: &mut Memory, scan: &Scan, missing: u64, plan: &mut Plan) -> u64 {
    let Moment { snapshot, settings, .. } = *moment;
    let flush = &settings.flush;
    memory.sharing = plan.level == Level::Critical
        && missing > 0
        && flush.enabled
        && flush.fair_share
        && snapshot.may_flush
        && !raise::only_waits(moment, memory);
    match &scan.weighed {
        _ if !memory.sharing => 0,
        Some(weighed) => {
            memory.weighed_seconds = Some(snapshot.now_seconds);
            fair_share::share_out(moment, weighed, missing, plan)
        }
        None => {
            (plan.scan, plan.weigh) = (true, true);
            plan.reasons.push(format!(
                "{missing} entries are over the target and nothing gentler is left: the table is looked at once more, for who \
                 holds how much of it"
            ));
            0
        }
    }
}

/// Seconds for which a scan is acted on.
fn keep_seconds(level: Level, memory: &Memory, scan: &Scan, settings: &Settings) -> f64 {
    match (level, memory.barren) {
        // Two scans prove what time left does not: the second comes as soon as it can tell anything.
        (_, Some(_)) if scan.by_observation => observe::until_next_seconds(scan, settings),
        // Nothing was there to free: time makes entries idle, but looking all the time would cost a core.
        (_, Some((_, times))) => f64::from(times.min(10)).max(1.0).max(10.0 * scan.duration_seconds),
        (Level::Critical, None) => (4.0 * scan.duration_seconds).max(2.0),
        (_, None) => ahead::keep_seconds(scan),
    }
}

/// The last scan, if it is young enough to act on; otherwise asks for one, or says when it will. A scan is also a reap:
/// the kernel frees what has expired but is still counted while it walks (`ctnetlink_dump_table`).
fn trusted_scan<'a>(moment: &Moment<'a>, memory: &Memory, plan: &mut Plan) -> Result<&'a Scan, String> {
    let Moment { snapshot, settings, .. } = *moment;
    let young =
        |scan: &&Scan| ahead::younger(snapshot, scan, keep_seconds(plan.level, memory, scan, settings));
    let ran_out = |scan: &&Scan| plan.level == Level::High && second_chance::ran_out(snapshot, scan);
    match snapshot.scan.as_ref().filter(young).filter(|scan| !ran_out(scan)) {
        Some(scan) if scan.trusted => Ok(scan),
        // A dump in doubt (buckets resized meanwhile) is repeated, but not in a frenzy.
        Some(scan) => {
            let rests = (2.0 * scan.duration_seconds).max(0.2);
            let age = snapshot.now_seconds - scan.at_seconds;
            plan.scan = age > rests;
            let looks =
                if memory.once { "an agent would look again" } else { "the table is looked at again" };
            Err(format!(
                "the last scan may have missed entries or met them twice (the buckets were resized, or it saw far more or \
                 fewer than are counted): {looks} {:.1} s from now",
                (rests - age).max(0.0)
            ))
        }
        None => {
            (plan.scan, plan.weigh) = (true, memory.sharing);
            Err(match &snapshot.scan {
                None => "the table is looked at first: no scan of it has been made yet".into(),
                Some(scan) => format!(
                    "the table is looked at first: the last scan is {:.1} s old",
                    (snapshot.now_seconds - scan.at_seconds).max(0.0)
                ),
            })
        }
    }
}

/// Flushes class after class, only as many as are too many; with a `chance`, those whom it serves get that instead. How
/// many that may free.
fn flush(
    moment: &Moment<'_>,
    memory: &Memory,
    scan: &Scan,
    excess: u64,
    chance: bool,
    plan: &mut Plan,
) -> u64 {
    let Moment { snapshot, settings, .. } = *moment;
    if !settings.flush.enabled || !snapshot.may_flush {
        plan.reasons.push(match settings.flush.enabled {
            true => "nothing is flushed: this agent may not delete entries".into(),
            false => "nothing is flushed: [flush] enabled = false".into(),
        });
        return 0;
    }
    let mut left = excess;
    for seen in scan.classes.iter().filter(|seen| !memory.suspended.contains(&seen.class)) {
        let chance = chance && second_chance::serves(seen.class);
        let act = match chance {
            true => Act::SecondChance(second_chance::give(moment, seen, left)),
            false => Act::Flush(flush_of(seen, left, plan.level, settings)),
        };
        let (Act::Flush(flush) | Act::SecondChance(flush)) = &act else { continue };
        if flush.budget > 0 {
            left -= flush.budget;
            let hurried = plan.level == Level::High && !chance && second_chance::serves(seen.class);
            let age_seconds = (snapshot.now_seconds - scan.at_seconds).max(0.0);
            let mut reason = why(seen, flush, left + flush.budget, age_seconds, settings);
            if let Some(why_not) = second_chance::why_not(moment).filter(|_| hurried) {
                reason += why_not;
            }
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

/// Of a class, those in a second chance included: there is no time left for it. At level critical TIME_WAIT that is not
/// past its own floor too, as far as the rest does not suffice.
fn flush_of(seen: &ClassScan, missing: u64, level: Level, settings: &Settings) -> Flush {
    let floor = settings.flush.floor_seconds(seen.class);
    let may_go = seen.would_free.saturating_add(seen.in_grace);
    let idle_over_seconds = if may_go > missing { seen.idle.cut_for(missing, floor) } else { floor };
    let flush = Flush::of(seen.class, idle_over_seconds, may_go.min(missing));
    if seen.class != Class::Closed {
        return flush;
    }
    let (short, of_short) = (missing.saturating_sub(may_go), seen.goes_only_at(level));
    let time_wait_over_seconds = Some(match short.min(of_short) {
        0 => idle_over_seconds.max(settings.flush.half_open_floor_seconds()),
        n if n < of_short => seen.only_critical.cut_for(n, floor),
        _ => floor,
    });
    Flush { time_wait_over_seconds, budget: flush.budget.saturating_add(of_short).min(missing), ..flush }
}

/// The reason of a flush. Entries come to be idle after the scan that it rests on, so that it may take more of them.
fn why(seen: &ClassScan, flush: &Flush, missing: u64, age_seconds: f64, settings: &Settings) -> String {
    let (class, floor) = (seen.class, settings.flush.floor_seconds(seen.class));
    let may_go = match flush.grace_seconds {
        Some(_) => seen.would_free,
        None => seen.would_free.saturating_add(seen.in_grace),
    };
    let longest = seen.oldest_idle_seconds.filter(|_| may_go > 0);
    let longest = longest.map_or(String::new(), |seconds| format!(", the longest for {seconds} s"));
    let when = match age_seconds < 0.1 {
        true => "when scanned just now".into(),
        false => format!("when last scanned, {age_seconds:.1} s before"),
    };
    let facts = format!(
        "{missing} entries are over target_percent {}; {when}, {may_go} {class} \
         entries were idle for {floor} s or more{longest}",
        settings.pressure.target_percent,
    );
    if let Some(time_wait) = flush.time_wait_over_seconds {
        let own = settings.flush.half_open_floor_seconds();
        return match time_wait < own {
            true => format!(
                "{facts}; at level critical TIME_WAIT goes from {time_wait} s on, before its own {own} s, and {} more \
                 are idle for as long",
                seen.only_critical.at_least(time_wait)
            ),
            false => format!("{facts} (TIME_WAIT from {time_wait} s on)"),
        };
    }
    match flush.grace_seconds {
        Some(grace) => {
            format!("{facts}; {grace} s are left to them, and the next packet puts the full timeout back")
        }
        None => facts,
    }
}

/// Says why entries count as live of which it is not known whether they are.
fn tell_unproven(scan: &Scan, plan: &mut Plan) {
    let n = unproven::total(&scan.unproven);
    if n > 0 {
        plan.reasons.push(format!(
            "for how long {n} of {} entries have been idle cannot be proven, so that they count as live: {}",
            scan.entries,
            unproven::reasons(&scan.unproven)
        ));
    }
}

fn barren(snapshot: &Snapshot, memory: &mut Memory, scan: &Scan, plan: &mut Plan, excess: u64) {
    let may_go = |seen: &ClassScan| {
        seen.would_free.saturating_add(seen.in_grace).saturating_add(seen.goes_only_at(plan.level))
    };
    let none = scan.classes.iter().all(|seen| may_go(seen) == 0);
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
