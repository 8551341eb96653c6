//! Timeouts come down, for the entries to come.

use super::moment::Moment;
use super::settle::{self, Write};
use super::{Memory, overridden};
use crate::core::model::{
    Act, Action, Class, ClassScan, Governed, Histogram, Level, Plan, Scan, Settings, Timeout, Value,
};

/// Entries under one timeout that are a tenth of all are among those that fill the table.
const MUCH: u64 = 10;
/// The timeouts of the states that make a class, in the order in which they are shortened: first those that keep what
/// is long silent. No class has the states in which a flow is set up or half closed.
const ORDER: [&str; 12] = [
    "tcp_timeout_established",
    "udp_timeout_stream",
    "gre_timeout_stream",
    "sctp_timeout_established",
    "generic_timeout",
    "tcp_timeout_time_wait",
    "tcp_timeout_close",
    "tcp_timeout_syn_sent",
    "udp_timeout",
    "icmp_timeout",
    "icmpv6_timeout",
    "gre_timeout",
];

/// Entries under one timeout, as the last scan saw them.
struct Under<'a> {
    timeout: Timeout,
    of: Vec<(Class, &'a Governed)>,
    entries: u64,
    idle: Histogram,
}

impl<'a> Under<'a> {
    fn of(timeout: Timeout, scan: &'a Scan) -> Self {
        let governed = |seen: &'a ClassScan| seen.by_timeout.iter().map(|governed| (seen.class, governed));
        let of: Vec<(Class, &Governed)> = scan
            .classes
            .iter()
            .flat_map(governed)
            .filter(|(_, governed)| governed.timeout == timeout)
            .collect();
        let mut idle = Histogram::default();
        of.iter().for_each(|(_, governed)| idle.add_all(&governed.idle));
        let entries = of.iter().fold(0, |sum: u64, (_, governed)| sum.saturating_add(governed.entries));
        Under { timeout, of, entries, idle }
    }

    /// Entries idle for `floor` seconds or more. What has no doubt past the flush's floor is past a lower one too,
    /// wherever the bins of the histogram end.
    fn covered(&self, floor: u32, settings: &Settings) -> u64 {
        self.of.iter().fold(0, |sum: u64, (class, governed)| {
            let certain = if settings.flush.floor_seconds(*class) >= floor { governed.may_go } else { 0 };
            sum.saturating_add(governed.idle.at_least(floor).max(certain))
        })
    }

    /// Their classes; with the protocol where a class has several.
    fn name(&self) -> String {
        let named = |(class, _): &(Class, &Governed)| match (class, self.timeout.tracker()) {
            (Class::Unreplied | Class::Other, "generic") => {
                format!("{class} (of protocols without a tracker)")
            }
            (Class::Unreplied | Class::Other, tracker) => format!("{class} {tracker}"),
            _ => class.to_string(),
        };
        self.of.iter().map(named).collect::<Vec<_>>().join(" and ")
    }
}

/// Shortens each timeout under which the entries stand that fill the table, to the largest value that would cover the
/// excess, never below its floor, once. It frees nothing of what is idle already: it is for the entries to come.
pub(super) fn shorten(moment: &Moment<'_>, memory: &mut Memory, scan: &Scan, excess: u64, plan: &mut Plan) {
    let Moment { snapshot, settings, .. } = *moment;
    if !settings.timeouts.enabled || !snapshot.may_set_timeouts {
        return;
    }
    let level = plan.level;
    let may_go = |sum: u64, seen: &ClassScan| {
        let late = seen.goes_only_at(level);
        sum.saturating_add(seen.would_free).saturating_add(seen.in_grace).saturating_add(late)
    };
    let spent = plan.level == Level::Critical && scan.classes.iter().fold(0, may_go) < excess;
    for timeout in ORDER.into_iter().filter_map(Timeout::named) {
        let (Some(&now), Some(floor)) =
            (snapshot.timeouts.get(&timeout), settings.timeouts.floor_seconds(timeout))
        else {
            continue;
        };
        let under = Under::of(timeout, scan);
        let covered = under.covered(floor, settings);
        // If nothing is past the floor, these are not the entries that fill the table; but if flushing does not
        // suffice at critical, they are, however young.
        let fill = under.entries > 0 && under.entries.saturating_mul(MUCH) >= scan.entries;
        if now <= floor || !fill || (covered == 0 && !spent) {
            continue;
        }
        let to = match under.idle.cut_for(excess, floor) {
            cut if covered >= excess => cut.max(floor),
            _ if plan.level == Level::Critical => floor,
            _ => continue,
        };
        // Once: what was shortened already is shortened again only to its floor, where nothing else is left.
        let held = memory.baseline_timeout(timeout).is_some_and(|baseline| now < baseline);
        if to >= now || (held && !(plan.level == Level::Critical && to == floor)) {
            continue;
        }
        if let Some(why) = overridden::theirs(Value::Timeout(timeout), now.into(), snapshot, memory) {
            plan.reasons.push(why);
            continue;
        }
        if !settle::may_write(Write::Timeout, snapshot, memory) {
            plan.reasons.push(settle::TOLD.into());
            return;
        }
        let name = under.name();
        let oldest = under.of.iter().map(|(_, governed)| governed.oldest_idle_seconds).max().unwrap_or(0);
        let idle = match covered {
            // Some are, and may not go: the class is suspended.
            0 if oldest >= floor => format!("{} {name} entries are there", under.entries),
            0 => format!(
                "of {} {name} entries none that is unprotected is idle for {floor} s for certain",
                under.entries
            ),
            n => format!("{n} {name} entries are idle for {floor} s or more"),
        };
        let reason = format!(
            "{idle} and {excess} entries are too many; \
             {to} s keeps new ones from staying as long, and the floor is {floor} s ({})",
            timeout.spec().source
        );
        plan.actions.push(Action { act: Act::SetTimeout { timeout, from: now, to }, reason });
    }
}
