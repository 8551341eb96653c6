//! The hash is sized once, at start, while the table is small.

use super::ceiling::ENTRIES_PER_BUCKET;
use crate::core::model::{Act, Action, BucketsSetting, Settings, Snapshot};

/// Resizing moves every entry with all locks held (`nf_conntrack_hash_resize`): 0.4 to 0.5 s for a million entries,
/// and every packet of every namespace waits meanwhile.
const STALL_MS_PER_ENTRY: f64 = 0.5e-3;
/// `nf_conntrack_hash_resize` rounds up to whole pages of list heads.
const STEP: u64 = 512;

/// Sizes the buckets for what the table may come to hold, if the stall stays inside its budget.
///
/// "May come to hold" is max as it is and the ceiling that the operator wrote down, not the one that memory would
/// allow: the stall falls on every namespace of the host, larger tables cost every dump more, and nobody asked for it.
pub fn buckets_at_start(snapshot: &Snapshot, settings: &Settings) -> Option<Action> {
    let capacity = &settings.capacity;
    if capacity.buckets == BucketsSetting::Never || !capacity.enabled || !snapshot.owns_host_values {
        return None;
    }
    let wanted = snapshot.max.max(capacity.ceiling);
    let from = snapshot.buckets;
    if from == 0 || wanted <= from.saturating_mul(ENTRIES_PER_BUCKET) {
        return None;
    }
    let memory = (snapshot.memory.total_bytes as f64 * capacity.memory_percent / 100.0) as u64;
    let to = wanted.div_ceil(ENTRIES_PER_BUCKET).next_multiple_of(STEP);
    if to.saturating_mul(8) > memory {
        return None;
    }
    let entries = snapshot.memory.entries_all_namespaces.unwrap_or(snapshot.entries).max(snapshot.entries);
    let stall = entries as f64 * STALL_MS_PER_ENTRY;
    (stall <= capacity.stall_budget_ms).then(|| Action {
        act: Act::ResizeBuckets { from, to },
        reason: format!(
            "{wanted} entries need {to} buckets at {ENTRIES_PER_BUCKET} each; moving {entries} entries stalls packets \
             for about {stall:.0} ms, within stall_budget_ms {}",
            capacity.stall_budget_ms
        ),
    })
}
