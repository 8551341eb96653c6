//! Bounds of max: memory, what is promised already, buckets, the operator's ceiling.

use crate::core::model::{MemoryFacts, Settings, Snapshot};

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
    /// The bound that is lowest, as a phrase with its figures.
    pub bound: String,
    /// Entries to which max may rise and the bound, in a sentence.
    pub reason: String,
    /// The ceiling with the figures that it can be computed from.
    pub account: String,
    /// Entries for which memory would do, where another bound is nearer; empty otherwise.
    pub memory_account: String,
    /// Entries that fit into the memory that the table may take.
    pub memory_entries: u64,
}

/// One bound of max: entries, in a sentence, and in a sentence with all figures that it is computed from.
type Bound = (u64, String, String);

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
    let percent = settings.capacity.memory_percent;
    let memory_entries = (memory_budget_bytes / cost).saturating_sub(others);
    let (of, is) = (mib(usable), mib(memory_budget_bytes));
    let mut bounds: Vec<Bound> = vec![
        (
            memory_entries,
            format!("memory_percent {percent} of {of} MiB is {is} MiB at {cost} bytes an entry{less}"),
            format!("{percent} % of {} MiB memory at {cost} bytes an entry{less}", tenths_of_mib(usable)),
        ),
        available(snapshot, settings, cost),
    ];
    let of_buckets = format!("{ENTRIES_PER_BUCKET} entries a bucket at {} buckets", snapshot.buckets);
    bounds.push((snapshot.buckets.saturating_mul(ENTRIES_PER_BUCKET), of_buckets.clone(), of_buckets));
    if settings.capacity.ceiling > 0 {
        let configured = format!("the configured ceiling {}", settings.capacity.ceiling);
        bounds.push((settings.capacity.ceiling, configured.clone(), configured));
    }
    let by_memory = bounds[0].2.clone();
    let (entries, why, account) = bounds.into_iter().min_by_key(|(entries, ..)| *entries).unwrap_or_default();
    let memory_account = match entries == memory_entries {
        true => String::new(),
        false => format!("; memory would do for {memory_entries} ({by_memory})"),
    };
    Ceiling {
        entries,
        memory_budget_bytes,
        reason: format!("max may rise to {entries}: {why}"),
        bound: why,
        account: format!("{entries} ({account})"),
        memory_account,
        memory_entries,
    }
}

/// max, how far it may rise and by what, in one sentence whose figures add up; or why it stays.
pub fn headroom(snapshot: &Snapshot, settings: &Settings) -> String {
    let Ceiling { entries, account, memory_account, .. } = ceiling(snapshot, settings);
    let max = if snapshot.max == 0 { "none".to_owned() } else { snapshot.max.to_string() };
    match (stays(snapshot, settings), entries > snapshot.max) {
        (Some(why), true) => format!("{max}, stays: {why}; it could rise to {account}"),
        (Some(why), false) => format!("{max}, stays: {why}; its bound would be {account}"),
        (None, true) => format!("{max}, may rise to {account}{memory_account}"),
        (None, false) => format!("{max}, and no more: its bound is {account}{memory_account}"),
    }
}

/// Reason for which this agent never raises max, where that is so.
fn stays(snapshot: &Snapshot, settings: &Settings) -> Option<&'static str> {
    let capacity = &settings.capacity;
    let quota = capacity.limit > 0 && capacity.limit <= snapshot.max;
    match () {
        _ if !capacity.enabled => Some("[capacity] enabled = false"),
        _ if quota => Some("the quota, [capacity] limit, is no more than that"),
        _ if !snapshot.owns_host_values => Some("it is not this agent's to write"),
        _ => None,
    }
}

/// Says how far max may rise, or the reason for which this agent never raises it.
pub fn outlook(snapshot: &Snapshot, settings: &Settings) -> String {
    let reason = ceiling(snapshot, settings).reason;
    match stays(snapshot, settings) {
        Some(why) => format!("max stays at {}: {why} (for one who may raise it: {reason})", snapshot.max),
        None => reason,
    }
}

/// Says what makes room where entries stay, for the operator to decide: the value that bounds the table, and the
/// bound of that.
pub(super) fn what_makes_room(snapshot: &Snapshot, settings: &Settings) -> String {
    let (capacity, max) = (&settings.capacity, snapshot.max);
    if capacity.limit > 0 && (max == 0 || capacity.limit <= max) {
        return format!("a higher quota ([capacity] limit, now {}) makes room", capacity.limit);
    }
    if !capacity.enabled {
        return format!(
            "a higher nf_conntrack_max (now {max}; [capacity] enabled = false keeps it) makes room"
        );
    }
    if !snapshot.owns_host_values {
        return format!(
            "a higher nf_conntrack_max (now {max}), which is not this agent's to write, makes room"
        );
    }
    let bound = ceiling(snapshot, settings);
    match bound.entries > max {
        true => format!("max, which may rise from {max} to {}, makes room", bound.entries),
        false => format!("a higher ceiling makes room ({})", bound.reason),
    }
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

/// The bound by MemAvailable less `keep_available_percent`. max is a promise to every namespace: entries that each of
/// them may still take of it are spoken for.
fn available(snapshot: &Snapshot, settings: &Settings, cost: u64) -> Bound {
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
    let shared = if namespaces > 1 { format!(", shared by {namespaces} namespaces") } else { String::new() };
    let account = format!(
        "{held} are there and {} of {} MiB available memory may be taken at {cost} bytes an entry{shared}",
        tenths_of_mib(free),
        tenths_of_mib(facts.available_bytes)
    );
    (entries, why, account)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn tenths_of_mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
