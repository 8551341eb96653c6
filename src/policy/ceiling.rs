//! How far max may be raised: by memory, by what is promised already, by buckets, by the operator.

use crate::model::{MemoryFacts, Settings, Snapshot};

/// Beyond 8 entries a bucket chains grow long; beyond about 20 inserts fail (`chaintoolong`, max_chainlen in
/// nf_conntrack_core.c).
pub(super) const ENTRIES_PER_BUCKET: u64 = 8;

/// The bounds of max.
#[derive(Clone, PartialEq, Debug)]
pub struct Ceiling {
    /// max may be raised so far and no further.
    pub entries: u64,
    /// Memory that the table may take, in bytes.
    pub memory_budget_bytes: u64,
    /// Which bound it is, in a sentence.
    pub reason: String,
}

/// Derives the ceiling.
pub fn ceiling(snapshot: &Snapshot, settings: &Settings) -> Ceiling {
    let facts = &snapshot.memory;
    let cost = facts.bytes_per_entry.max(1);
    let usable = facts.total_bytes.saturating_sub(facts.huge_pages_bytes);
    let memory_budget_bytes = (usable as f64 * settings.capacity.memory_percent / 100.0) as u64;
    let others = of_others(snapshot);
    let less = match others {
        0 => String::new(),
        n => format!(", less {n} entries that other namespaces hold"),
    };
    let mut bounds = vec![
        (
            (memory_budget_bytes / cost).saturating_sub(others),
            format!(
                "memory_percent {} of {} MiB is {} MiB at {cost} bytes an entry{less}",
                settings.capacity.memory_percent,
                mib(usable),
                mib(memory_budget_bytes)
            ),
        ),
        available(snapshot, settings, cost),
        (
            snapshot.buckets.saturating_mul(ENTRIES_PER_BUCKET),
            format!("{ENTRIES_PER_BUCKET} entries a bucket at {} buckets", snapshot.buckets),
        ),
    ];
    if settings.capacity.ceiling > 0 {
        bounds.push((
            settings.capacity.ceiling,
            format!("the configured ceiling {}", settings.capacity.ceiling),
        ));
    }
    let (entries, why) = bounds.into_iter().min_by_key(|(entries, _)| *entries).unwrap_or_default();
    Ceiling { entries, memory_budget_bytes, reason: format!("max may rise to {entries}: {why}") }
}

/// How far max may rise, in a sentence; or why it will not rise at all, where this agent never raises it.
pub fn outlook(snapshot: &Snapshot, settings: &Settings) -> String {
    let (capacity, max) = (&settings.capacity, snapshot.max);
    let quota = capacity.limit > 0 && capacity.limit <= max;
    let reason = ceiling(snapshot, settings).reason;
    let why = match () {
        _ if !capacity.enabled => "[capacity] enabled = false",
        _ if quota => "the quota, [capacity] limit, is no more than that",
        _ if !snapshot.owns_host_values => "it is not this agent's to write",
        _ => return reason,
    };
    format!("max stays at {max}: {why} (for one who may raise it: {reason})")
}

/// Entries of other namespaces: they lie in the same table and take of the same share of memory. slabinfo counts some
/// free objects as used, so where nobody else is seen there are none.
fn of_others(snapshot: &Snapshot) -> u64 {
    match snapshot.memory.other_namespaces {
        0 => 0,
        _ => snapshot.memory.entries_all_namespaces.unwrap_or(0).saturating_sub(snapshot.entries),
    }
}

/// Entries that max has to leave room for: it holds for every namespace, and how the entries of the others are spread
/// over them is not known.
pub fn fullest_entries(snapshot: &Snapshot) -> u64 {
    snapshot.entries.max(of_others(snapshot))
}

/// What MemAvailable allows once `keep_available_percent` is kept. max is a promise to every namespace: what each of
/// them may still take of it is spoken for.
fn available(snapshot: &Snapshot, settings: &Settings, cost: u64) -> (u64, String) {
    let facts: &MemoryFacts = &snapshot.memory;
    let keep = (facts.total_bytes as f64 * settings.capacity.keep_available_percent / 100.0) as u64;
    let free = facts.available_bytes.saturating_sub(keep);
    let held = facts.entries_all_namespaces.unwrap_or(snapshot.entries).max(snapshot.entries);
    let namespaces = facts.other_namespaces.saturating_add(1);
    let entries = held.saturating_add(free / cost) / namespaces;
    let among = if namespaces > 1 { format!(", shared by {namespaces} namespaces") } else { String::new() };
    let why = format!(
        "{} MiB are available, {} of them kept back by keep_available_percent {}{among}",
        mib(facts.available_bytes),
        mib(keep.min(facts.available_bytes)),
        settings.capacity.keep_available_percent
    );
    (entries, why)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
