//! Finds a place for a new flow (`__nf_conntrack_alloc`): while there is room, or where early drop makes some.

use super::random::Random;
use super::table::Table;

/// Buckets that early drop looks at, from the new packet's own on (`NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: i32 = 8;
/// Every entry hangs in the hash twice, once for each direction.
const DIRECTIONS: f64 = 2.0;
/// Parts of the entries that may be dropped, in each of which the table is taken to stay as it is.
const BATCHES: f64 = 64.0;

/// New flows by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Admitted {
    /// In the table.
    pub taken: u64,
    /// Their packet was dropped.
    pub refused: u64,
    /// Entries that early drop took for them (`early_drop` of the statistics).
    pub early_dropped: u64,
}

/// Entries that one early drop finds in a table with a number of entries that it may take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chance {
    /// That it makes room.
    pub succeeds: f64,
    /// Entries that go where it does: all that it may take in the first bucket that has one.
    pub takes: f64,
    /// Buckets that it looks at.
    pub looks_at: f64,
}

/// Buckets are hit at random: how many of `droppable` hang in one is Poisson.
pub fn chance(droppable: u64, buckets: u64) -> Chance {
    let in_bucket = DIRECTIONS * droppable as f64 / buckets.max(1) as f64;
    let empty = (-in_bucket).exp();
    let none = empty.powi(EVICTION_RANGE);
    if empty >= 1.0 {
        return Chance { succeeds: 0.0, takes: 0.0, looks_at: f64::from(EVICTION_RANGE) };
    }
    let looks_at = (1.0 - none) / (1.0 - empty);
    Chance { succeeds: 1.0 - none, takes: (in_bucket / (1.0 - empty)).max(1.0), looks_at }
}

/// `count` new flows of one group knock.
pub fn admit(table: &mut Table, group: usize, count: u64, random: &mut Random) -> Admitted {
    let mut admitted = Admitted::default();
    let mut left = count;
    while left > 0 {
        let direct = left.min(table.room());
        if direct > 0 {
            table.begin(group, direct);
            admitted.taken += direct;
            left -= direct;
            continue;
        }
        let chance = chance(table.droppable(), table.buckets);
        let by_one = chance.succeeds * chance.takes;
        let few = table.droppable() as f64 / (BATCHES * by_one).max(f64::MIN_POSITIVE);
        let batch = if by_one > 0.0 { left.min((few as u64).max(1)) } else { left };
        let successes = random.binomial(batch, chance.succeeds);
        let dropped = random.round(successes as f64 * chance.takes).max(successes);
        // Entries that have expired in the buckets that it looks at go too, but make no room for this packet.
        let expired_in_bucket = DIRECTIONS * table.expired_entries() as f64 / table.buckets.max(1) as f64;
        let reaped = random.round(batch as f64 * chance.looks_at * expired_in_bucket);
        table.reap(reaped);
        let dropped =
            table.take(dropped, random, |lost| &mut lost.shed, |place| !place.state.assured(), |_, _| true);
        let successes = successes.min(dropped);
        table.begin(group, successes);
        admitted.taken += successes;
        admitted.early_dropped += dropped;
        admitted.refused += batch - successes;
        left -= batch;
    }
    admitted
}
