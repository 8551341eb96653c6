//! A table of 100,000 entries on a host with room, and what tests ask of plans.

use crate::core::model::*;
use crate::core::policy::{Memory, decide};

pub const MAX: u64 = 100_000;
pub const NOW: f64 = 10_000.0;
pub const GIB: u64 = 1 << 30;

pub fn timeout(name: &str) -> Timeout {
    Timeout::named(name).unwrap()
}

pub fn kernel_timeouts() -> TimeoutValues {
    Timeout::all().map(|timeout| (timeout, timeout.spec().kernel_default_seconds)).collect()
}

/// The table at `entries`, seen by an agent that may do everything.
pub fn table(entries: u64) -> Snapshot {
    let memory = MemoryFacts {
        total_bytes: 16 * GIB,
        available_bytes: 8 * GIB,
        bytes_per_entry: 400,
        bytes_per_entry_basis: "assumed: a test".into(),
        ..MemoryFacts::default()
    };
    Snapshot {
        now_seconds: NOW,
        entries,
        max: MAX,
        buckets: 65_536,
        memory,
        timeouts: kernel_timeouts(),
        owns_host_values: true,
        may_set_timeouts: true,
        may_flush: true,
        may_give_grace: true,
        chances: Chances { room: MAX, ..Chances::default() },
        ..Snapshot::default()
    }
}

/// Settings under which max stays where it is.
pub fn pinned() -> Settings {
    let mut settings = Settings::default();
    settings.capacity.ceiling = MAX;
    settings
}

/// What is remembered at the agent's start.
pub fn fresh() -> Memory {
    let timeouts = kernel_timeouts().into_iter().map(|(t, seconds)| (Value::Timeout(t), seconds.into()));
    Memory { baseline: timeouts.chain([(Value::Max, MAX)]).collect(), ..Memory::default() }
}

pub fn at_level(level: Level) -> Memory {
    Memory { level, ..fresh() }
}

/// A scan of just now, with so many entries of so many idle seconds in each class; floors are the default ones.
pub fn seen(classes: &[(Class, &[(u32, u64)])]) -> Scan {
    let floors = FlushSettings::default();
    let of = |class: Class| {
        let idle = classes.iter().filter(|(c, _)| *c == class).flat_map(|(_, idle)| idle.iter());
        let mut seen = ClassScan::empty(class);
        for &(seconds, n) in idle {
            (0..n).for_each(|_| seen.idle.add(seconds));
            seen.entries += n;
            seen.would_free += if seconds >= floors.floor_seconds(class) { n } else { 0 };
            seen.oldest_idle_seconds = seen.oldest_idle_seconds.max(Some(seconds));
            seen.oldest_is_exact = true;
        }
        stands_under(&mut seen, usual_timeout(class));
        seen
    };
    let classes: Vec<ClassScan> = Class::ALL.map(of).into();
    Scan {
        at_seconds: NOW,
        duration_seconds: 0.1,
        entries: classes.iter().map(|c| c.entries).sum(),
        trusted: true,
        classes,
        ..Scan::default()
    }
}

/// The timeout that most entries of a class stand under.
pub fn usual_timeout(class: Class) -> &'static str {
    match class {
        Class::Closed => "tcp_timeout_time_wait",
        Class::Unreplied => "tcp_timeout_syn_sent",
        Class::UdpShort => "udp_timeout",
        Class::Udp => "udp_timeout_stream",
        Class::Other => "generic_timeout",
        Class::Established | Class::FairShare => "tcp_timeout_established",
    }
}

/// All entries of a class stand under this timeout.
pub fn stands_under(seen: &mut ClassScan, name: &str) {
    seen.by_timeout = vec![Governed {
        timeout: timeout(name),
        entries: seen.entries,
        may_go: seen.would_free,
        oldest_idle_seconds: seen.oldest_idle_seconds.unwrap_or_default(),
        idle: seen.idle.clone(),
    }];
}

pub fn plan_of(snapshot: &Snapshot, settings: &Settings) -> Plan {
    decide(snapshot, &fresh(), settings).0
}

pub fn raised(plan: &Plan) -> Option<u64> {
    plan.actions.iter().find_map(|action| match action.act {
        Act::RaiseMax { to, .. } => Some(to),
        _ => None,
    })
}

pub fn lowered(plan: &Plan) -> Option<u64> {
    plan.actions.iter().find_map(|action| match action.act {
        Act::LowerMax { to, .. } => Some(to),
        _ => None,
    })
}

/// Class, cut-off and budget of each flush, in order.
pub fn flushed(plan: &Plan) -> Vec<(Class, u32, u64)> {
    let of = |action: &Action| match &action.act {
        Act::Flush(flush) => Some((flush.class, flush.idle_over_seconds, flush.budget)),
        _ => None,
    };
    plan.actions.iter().filter_map(of).collect()
}

/// Class, cut-off and budget of each second chance.
pub fn given_grace(plan: &Plan) -> Vec<(Class, u32, u64)> {
    let of = |action: &Action| match &action.act {
        Act::SecondChance(flush) => Some((flush.class, flush.idle_over_seconds, flush.budget)),
        _ => None,
    };
    plan.actions.iter().filter_map(of).collect()
}

pub fn shortened(plan: &Plan) -> Vec<(&'static str, u32)> {
    let of = |action: &Action| match action.act {
        Act::SetTimeout { timeout, to, .. } => Some((timeout.name(), to)),
        _ => None,
    };
    plan.actions.iter().filter_map(of).collect()
}

pub fn restored(plan: &Plan) -> Vec<(&'static str, u32)> {
    let of = |action: &Action| match action.act {
        Act::RestoreTimeout { timeout, to, .. } => Some((timeout.name(), to)),
        _ => None,
    };
    plan.actions.iter().filter_map(of).collect()
}

pub fn says(plan: &Plan, words: &str) -> bool {
    plan.reasons.iter().any(|reason| reason.contains(words))
}

/// Does what a plan says of values to the facts.
pub fn apply(plan: &Plan, snapshot: &mut Snapshot) {
    for action in &plan.actions {
        match action.act {
            Act::RaiseMax { from, to } | Act::LowerMax { from, to } => {
                assert_eq!(from, snapshot.max);
                snapshot.max = to;
            }
            Act::SetTimeout { timeout, from, to } | Act::RestoreTimeout { timeout, from, to } => {
                assert_eq!(snapshot.timeouts.insert(timeout, to), Some(from));
            }
            Act::Flush(_) | Act::SecondChance(_) | Act::ResizeBuckets { .. } => {}
        }
    }
}
