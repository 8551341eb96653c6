//! Any facts, any memory, any settings: likely ones most of the time, and ones that no host has.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::fixtures::*;
use crate::core::model::{Value as KernelValue, *};
use crate::core::policy::{Flushed, Memory, Override};

pub fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..200_000u64,
        1 => prop::sample::select(vec![0, 1, 2, u64::from(u32::MAX), u64::MAX - 1, u64::MAX]),
        1 => any::<u64>(),
    ]
}

fn seconds() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..20_000u32, 1 => any::<u32>(), 1 => Just(0), 1 => Just(u32::MAX)]
}

/// A moment around `NOW`, or long ago, or far ahead.
fn moment() -> impl Strategy<Value = f64> {
    prop_oneof![6 => (NOW - 20.0)..NOW, 2 => 0.0..NOW, 1 => Just(0.0), 1 => Just(1e15), 1 => Just(-1e300)]
}

fn span() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..2.0, 1 => Just(0.0), 1 => Just(1e300)]
}

fn drops() -> impl Strategy<Value = Drops> {
    (number(), number(), number()).prop_map(|(drop, insert_failed, early_drop)| Drops {
        drop,
        insert_failed,
        early_drop,
        chaintoolong: None,
    })
}

/// As a snapshot's file has it; no bin is so full that all together overflow.
fn histogram() -> impl Strategy<Value = Histogram> {
    let bin = prop_oneof![8 => Just(0u64), 4 => 0..20_000u64, 1 => 0..1u64 << 40];
    vec(bin, 0..=124).prop_map(|bins| serde_json::from_value(serde_json::json!({ "bins": bins })).unwrap())
}

fn class_scan(class: Class) -> BoxedStrategy<ClassScan> {
    let in_grace = prop_oneof![4 => Just(0), 1 => 0..30_000u64, 1 => number()];
    let would_free = prop_oneof![1 => Just(Some(0)), 2 => of(number())];
    let held = prop_oneof![Just(Histogram::default()).boxed(), histogram().boxed()];
    let governed =
        (prop::sample::select(Timeout::all().collect::<Vec<_>>()), number(), of(number()), histogram());
    let governed = governed.prop_map(|(timeout, entries, may_go, idle)| Governed {
        timeout,
        entries,
        may_go: may_go.unwrap_or_else(|| idle.at_least(60)),
        oldest_idle_seconds: 100,
        idle,
    });
    let by_timeout = vec(governed, 0..4);
    let early = if class == Class::Closed { histogram().boxed() } else { Just(Histogram::default()).boxed() };
    ((number(), would_free, in_grace), seconds(), (histogram(), early, held, by_timeout))
        .prop_map(
            move |(
                (entries, would_free, in_grace),
                oldest_idle_seconds,
                (idle, only_critical, held_by_protection, by_timeout),
            )| {
                let would_free = would_free.unwrap_or_else(|| idle.at_least(60));
                ClassScan {
                    class,
                    entries,
                    protected: entries / 4,
                    would_free,
                    in_grace,
                    oldest_idle_seconds: Some(oldest_idle_seconds),
                    oldest_is_exact: entries % 2 == 0,
                    idle_unknown: entries / 3,
                    idle,
                    only_critical,
                    held_by_protection,
                    by_timeout,
                }
            },
        )
        .boxed()
}

fn scan() -> BoxedStrategy<Scan> {
    let [a, b, c, d, e, f] = Class::ALL.map(class_scan);
    let classes = (a, b, c, d, e, f).prop_map(|(a, b, c, d, e, f)| vec![a, b, c, d, e, f]);
    // Often of classes in which nothing unprotected is idle, or of a table that was empty then or held one class alone.
    let bare =
        (prop::bool::weighted(0.4), prop_oneof![3 => Just(None), 1 => (0..=Class::ALL.len()).prop_map(Some)]);
    let head = (moment(), span(), number(), number(), prop::bool::weighted(0.8), any::<bool>());
    (head, classes, bare)
        .prop_map(|((at, duration, entries, protected, trusted, by_observation), mut classes, bare)| {
            if bare.0 {
                classes.iter_mut().for_each(|class| class.would_free = 0);
            }
            if let Some(only) = bare.1 {
                let others = Class::ALL.into_iter().enumerate().filter(|(place, _)| *place != only);
                others.for_each(|(place, class)| classes[place] = ClassScan::empty(class));
            }
            Scan {
                at_seconds: at,
                duration_seconds: duration,
                entries,
                protected,
                liftable: protected / 2,
                by_observation,
                trusted,
                classes,
                ..Scan::default()
            }
        })
        .boxed()
}

fn memory_facts() -> BoxedStrategy<MemoryFacts> {
    let likely = (GIB..64 * GIB, 0..64 * GIB, 0..GIB, 256..512u64, of(0..400_000u64), 0..4u64);
    let any_at_all = (number(), number(), number(), number(), of(number()), number());
    prop_oneof![3 => likely.boxed(), 1 => any_at_all.boxed()]
        .prop_map(
            |(total_bytes, available_bytes, huge_pages_bytes, bytes_per_entry, entries, other_namespaces)| {
                MemoryFacts {
                    total_bytes,
                    available_bytes,
                    huge_pages_bytes,
                    bytes_per_entry,
                    bytes_per_entry_basis: String::new(),
                    entries_all_namespaces: entries,
                    other_namespaces,
                }
            },
        )
        .boxed()
}

fn chances() -> impl Strategy<Value = Chances> {
    let waiting = prop_oneof![3 => Just(0), 3 => 0..40_000u64, 1 => number()];
    let room = prop_oneof![4 => Just(458_752), 1 => 0..20_000u64, 1 => number()];
    (waiting, moment(), moment(), room).prop_map(|(waiting, first, last, room)| Chances {
        waiting,
        first_ends_seconds: first,
        last_ends_seconds: last,
        room,
    })
}

fn regret() -> impl Strategy<Value = Vec<ClassRegret>> {
    let counts = (0..1000u64, 0..30u64, 0..4u32, of(moment()));
    let of_class = (prop::sample::select(Class::FLUSHED.to_vec()), counts);
    prop_oneof![3 => Just(Vec::new()).boxed(), 1 => vec(of_class, 0..3).prop_map(|mut rows| {
        rows.sort_by_key(|(class, _)| *class);
        rows.dedup_by_key(|(class, _)| *class);
        let row = |(class, (watched, heard, weight, last_seconds))| ClassRegret {
            flushed: watched,
            watched,
            regretted: heard << weight,
            recent_watched: watched,
            recent_regretted: heard << weight,
            recent_heard: heard,
            last_seconds,
            ..ClassRegret::none(class)
        };
        rows.into_iter().map(row).collect()
    }).boxed()]
}

/// Mostly none.
fn conntrackds() -> impl Strategy<Value = Conntrackds> {
    use ConntrackdRole::{Stats, Sync, Unknown};
    let role =
        prop_oneof![3 => Just(None), 1 => Just(Some(Stats)), 1 => Just(Some(Sync)), 1 => Just(Some(Unknown))];
    let one = |role| Conntrackd { pid: 7, role, why: None };
    role.prop_map(move |role| Conntrackds(role.into_iter().map(one).collect()))
}

pub fn snapshot() -> BoxedStrategy<Snapshot> {
    let entries = prop_oneof![4 => 60_000..130_000u64, 2 => number()];
    let size = (entries, prop_oneof![4 => Just(MAX), 2 => number()], number());
    let growth = of(prop_oneof![-1e5..1e5, Just(0.0), Just(1e300), Just(-1e300)]);
    let timeouts = btree_map(0..TIMEOUTS.len(), seconds(), 0..TIMEOUTS.len());
    let yes = || prop::bool::weighted(0.8);
    let may = (prop::bool::weighted(0.7), yes(), yes(), yes());
    let chances = (chances(), 0..3u64, conntrackds());
    let seen = (of(scan()), regret());
    (size, drops(), memory_facts(), timeouts, growth, seen, may, chances)
        .prop_map(
            |((entries, max, buckets), drops, memory, changed, growth, (scan, regret), may, chances)| {
                let all: Vec<Timeout> = Timeout::all().collect();
                let mut timeouts = kernel_timeouts();
                timeouts.extend(changed.into_iter().map(|(i, seconds)| (all[i], seconds)));
                Snapshot {
                    now_seconds: NOW,
                    entries,
                    max,
                    buckets,
                    drops,
                    memory,
                    timeouts,
                    net_growth_per_second: growth,
                    scan,
                    regret,
                    owns_host_values: may.0,
                    may_set_timeouts: may.1,
                    may_flush: may.2,
                    may_give_grace: may.3,
                    chances: chances.0,
                    update_listeners: chances.1,
                    conntrackd: chances.2,
                    ..Snapshot::default()
                }
            },
        )
        .boxed()
}

fn level() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![Level::Normal, Level::High, Level::Critical])
}

fn baseline() -> impl Strategy<Value = std::collections::BTreeMap<KernelValue, u64>> {
    let of_host = [KernelValue::Max, KernelValue::Buckets, KernelValue::Events];
    let values: Vec<KernelValue> = Timeout::all().map(KernelValue::Timeout).chain(of_host).collect();
    let number = prop_oneof![4 => 0..500_000u64, 1 => number()];
    btree_map(prop::sample::select(values), number, 0..40)
}

/// Overridden values, writes of late, and a flush that may not show.
fn traces() -> BoxedStrategy<Memory> {
    let drift = prop::sample::select(vec![Drift::PutBack, Drift::Configured, Drift::NewValue, Drift::Own]);
    let hand = (moment(), 0..9u32, drift).prop_map(|(at_seconds, times, drift)| Override {
        at_seconds,
        times,
        drift,
    });
    let names = ["max", "tcp_timeout_established", "udp_timeout_stream", "generic_timeout"];
    let values: Vec<KernelValue> = names.into_iter().filter_map(KernelValue::named).collect();
    let overrides = btree_map(prop::sample::select(values), hand, 0..3);
    let unsettled = vec((moment(), moment(), number(), number(), moment()), 0..3);
    (overrides, vec((moment(), any::<bool>()), 0..25), unsettled)
        .prop_map(|(overrides, writes, unsettled)| Memory {
            overrides,
            writes,
            unsettled: unsettled
                .into_iter()
                .map(|(at_seconds, until_seconds, entries, freed, shows_seconds)| Flushed {
                    at_seconds,
                    until_seconds,
                    entries,
                    freed,
                    shows_seconds,
                    counted: at_seconds < until_seconds,
                })
                .collect(),
            ..Memory::default()
        })
        .boxed()
}

pub fn memory() -> BoxedStrategy<Memory> {
    let pressure = (
        level(),
        any::<bool>(),
        0..5u32,
        moment(),
        of(drops()),
        of((moment(), 0..12u32)),
        of((moment(), 0..12u32)),
    );
    let calm = (of(moment()), prop_oneof![Just(0.0), 0.0..7200.0], of(moment()), of(moment()), of(moment()));
    let suspended = prop::collection::btree_set(prop::sample::select(Class::ALL.to_vec()), 0..2);
    let all = (pressure, calm, number(), suspended, baseline(), traces());
    all.prop_map(|(pressure, calm, peak_entries, suspended, baseline, traces)| Memory {
        level: pressure.0,
        relieving: pressure.1,
        foreseen: pressure.2,
        foreseen_at_seconds: pressure.3,
        drops: pressure.4,
        barren: pressure.5,
        small_acts: pressure.6,
        low_since_seconds: calm.0,
        calm_needed_seconds: calm.1,
        restored_at_seconds: calm.2,
        raised_at_seconds: calm.3,
        lowered_at_seconds: calm.4,
        peak_entries,
        suspended,
        baseline,
        ..traces
    })
    .boxed()
}

fn pressure() -> BoxedStrategy<PressureSettings> {
    let span = || prop_oneof![3 => 0.0..600.0, 1 => Just(0.0), 1 => Just(f64::from(u32::MAX))];
    let marks = (0.1..60.0f64, 0.0..10.0f64, 0.1..10.0f64, 0.1..20.0f64);
    let marks = prop_oneof![1 => Just((70.0, 5.0, 5.0, 15.0)).boxed(), 1 => marks.boxed()];
    (marks, span(), span())
        .prop_map(|((target, low, high, critical), horizon, calm)| PressureSettings {
            target_percent: target,
            low_percent: target + low,
            high_percent: target + low + high,
            critical_percent: target + low + high + critical,
            horizon_seconds: horizon,
            calm_seconds: calm,
        })
        .boxed()
}

/// Whatever the configuration takes.
pub fn settings() -> BoxedStrategy<Settings> {
    let entries = || prop_oneof![3 => Just(0), 2 => 0..200_000u64, 1 => Just(u64::from(u32::MAX))];
    let yes = || prop::bool::weighted(0.8);
    let capacity = (yes(), 0.01..90.0f64, 0.0..90.0f64, entries(), entries(), any::<bool>(), 0.0..200.0f64);
    let grace = prop_oneof![3 => Just(60), 1 => 0..600u32, 1 => Just(u32::MAX)];
    let proof = prop::sample::select(vec![IdleProof::Auto, IdleProof::Arithmetic, IdleProof::Observed]);
    let floor = prop_oneof![3 => 1..10_000u32, 1 => Just(u32::MAX)];
    let flush = (yes(), vec(floor, 7), any::<bool>(), grace, proof, 0.0..=100.0f64);
    let floors = btree_map(0..TIMEOUTS.len(), 1..=u32::MAX, 0..6);
    (pressure(), capacity, flush, yes(), floors)
        .prop_map(|(pressure, capacity, flush, enabled, floors)| {
            let mut settings = Settings { pressure, ..Settings::default() };
            let c = &mut settings.capacity;
            (c.enabled, c.memory_percent, c.keep_available_percent) = (capacity.0, capacity.1, capacity.2);
            (c.ceiling, c.limit, c.stall_budget_ms) = (capacity.3, capacity.4, capacity.6);
            c.buckets = if capacity.5 { BucketsSetting::Start } else { BucketsSetting::Never };
            let f = &mut settings.flush;
            (f.enabled, f.grace_seconds, f.idle_proof) = (flush.0, flush.3, flush.4);
            settings.protect.max_percent = flush.5;
            let f = &mut settings.flush;
            if flush.2 {
                (f.closed_idle_floor_seconds, f.unreplied_idle_floor_seconds) = (flush.1[0], flush.1[1]);
                (f.udp_short_idle_floor_seconds, f.udp_idle_floor_seconds) = (flush.1[2], flush.1[3]);
                f.time_wait_idle_floor_seconds = flush.1[6];
                (f.other_idle_floor_seconds, f.established_idle_floor_seconds) = (flush.1[4], flush.1[5]);
            }
            let all: Vec<Timeout> = Timeout::all().collect();
            settings.timeouts.enabled = enabled;
            settings.timeouts.floors_seconds = floors.into_iter().map(|(i, floor)| (all[i], floor)).collect();
            settings
        })
        .boxed()
}
