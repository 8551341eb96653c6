//! The kernel's collector (`gc_worker`): frees what has expired, and, where the table was full, sheds what it may.

use super::random::Random;
use super::table::Table;

const INTERVAL_SECONDS: (f64, f64) = (1.0, 60.0);
/// A time left beyond this counts as this (`GC_SCAN_INTERVAL_CLAMP`).
const CLAMP_SECONDS: f64 = 300.0;
/// Entries at the upper bound that each pass pretends to have seen (`GC_SCAN_INITIAL_COUNT`).
const PRETENDED: f64 = 100.0;
/// It rests for a jiffy after `GC_SCAN_EXPIRED_MAX` (64000 / HZ) deletions.
const PER_SECOND: f64 = 64_000.0;
/// `GC_SCAN_EXPIRED_MAX` at 250 Hz: what one run sheds of a table that was full before it began.
const PER_RUN: u64 = 256;
/// Every entry hangs in the hash twice.
const DIRECTIONS: f64 = 2.0;

/// The kernel's garbage collector (`gc_worker`).
#[derive(Clone, Debug)]
pub struct Collector {
    next_seconds: f64,
    /// Expired entries that the pass under way still has before it.
    ahead: u64,
    began_seconds: f64,
    in_pass: bool,
    /// A packet was refused since the last run (`conntrack_gc_work.early_drop`).
    was_full: bool,
}

impl Collector {
    /// Somewhere in its cycle.
    pub fn new(random: &mut Random) -> Self {
        let next_seconds = random.share() * INTERVAL_SECONDS.1;
        Collector { next_seconds, ahead: 0, began_seconds: 0.0, in_pass: false, was_full: false }
    }

    /// Time at which it next has something to do.
    pub fn next_seconds(&self, now: f64) -> f64 {
        if self.in_pass { now } else { self.next_seconds }
    }

    /// A packet was refused.
    pub fn refused(&mut self) {
        self.was_full = true;
    }

    /// Works for `passed` seconds up to the table's now.
    pub fn work(&mut self, table: &mut Table, passed: f64, random: &mut Random) {
        if !self.in_pass {
            if table.now < self.next_seconds {
                return;
            }
            (self.in_pass, self.began_seconds) = (true, table.now);
            self.ahead = table.expired_entries();
        }
        let may = random.round(PER_SECOND * passed);
        let freed = table.reap(self.ahead.min(may));
        self.ahead -= freed.min(self.ahead);
        if freed == 0 {
            self.ahead = 0;
        }
        self.shed(table, may - freed, random);
        if self.ahead == 0 {
            self.in_pass = false;
            let interval = interval_seconds(table);
            self.next_seconds = (self.began_seconds + interval).max(table.now + 0.004);
        }
    }

    /// Over 95 % of max it takes what is not ASSURED or closing, if a packet was refused since its last run; while
    /// packets are being refused, run after run.
    fn shed(&mut self, table: &mut Table, may: u64, random: &mut Random) {
        if !std::mem::take(&mut self.was_full) {
            return;
        }
        let max95 = table.max / 100 * 95;
        let over = table.entries().saturating_sub(max95);
        table.take(
            over.min(may.min(PER_RUN)),
            random,
            |lost| &mut lost.shed,
            |place| place.state.sheddable(),
            |_, _| true,
        );
    }
}

/// Every packet looks for its entry, and frees what has expired in the bucket that it goes through
/// (`____nf_conntrack_find`).
pub fn looked_up(table: &mut Table, lookups: f64, random: &mut Random) {
    let share = 1.0 - (-DIRECTIONS * lookups / table.buckets.max(1) as f64).exp();
    let found = table.expired_entries() as f64 * share;
    table.reap(random.round(found));
}

/// The mean time left, each cut to a second and to five minutes, between one second and one minute.
fn interval_seconds(table: &Table) -> f64 {
    let (mut sum, mut count) = (PRETENDED * INTERVAL_SECONDS.1, PRETENDED);
    for (_, cohort) in table.cohorts() {
        let left = (cohort.expires_seconds - table.now).clamp(INTERVAL_SECONDS.0, CLAMP_SECONDS);
        sum += DIRECTIONS * cohort.count as f64 * left;
        count += DIRECTIONS * cohort.count as f64;
    }
    (sum / count).clamp(INTERVAL_SECONDS.0, INTERVAL_SECONDS.1)
}
