//! Strategies that ctctl is compared with, and what each of them does to the table.

use super::random::Random;
use super::sweep::Sweep;
use super::table::Table;
use crate::core::model::Timeout;

/// A remedy against a full table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Strategy {
    /// Nothing is done.
    None,
    /// `tcp_timeout_established` 54000 and max doubled, once, at the beginning.
    Folklore,
    /// pf.conf(5): from `adaptive.start` 60 % of the limit on, all timeouts are scaled down alike, to nothing at
    /// `adaptive.end` 120 %, for entries that are there too.
    Pf,
    /// `conntrack -F` at 03:00.
    Nightly,
    /// The agent of this program.
    Ctctl,
}

impl Strategy {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Strategy; 5] =
        [Strategy::None, Strategy::Folklore, Strategy::Pf, Strategy::Nightly, Strategy::Ctctl];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::None => "none",
            Strategy::Folklore => "folklore",
            Strategy::Pf => "pf",
            Strategy::Nightly => "nightly",
            Strategy::Ctctl => "ctctl",
        }
    }

    /// The strategy in words.
    pub fn words(self) -> &'static str {
        match self {
            Strategy::None => "no agent",
            Strategy::Folklore => "established 54000, max doubled",
            Strategy::Pf => "pf's adaptive timeouts, 60 % to 120 %",
            Strategy::Nightly => "conntrack -F at 03:00",
            Strategy::Ctctl => "ctctl agent",
        }
    }
}

/// Acts of a strategy, counted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// Values that were written.
    pub writes: u64,
    /// Entries that were deleted.
    pub deletions: u64,
    /// Entries given a second chance.
    pub second_chances: u64,
    /// First acts with their times, in sentences.
    pub notes: Vec<(f64, String)>,
}

/// Sentences kept of one run.
const MOST_NOTES: usize = 1000;

impl Tally {
    /// Remembers a sentence.
    pub fn note(&mut self, at_seconds: f64, text: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push((at_seconds, text));
        }
    }

    /// A sweep has ended.
    pub fn swept(&mut self, at_seconds: f64, sweep: &Sweep) {
        for (flush, freed) in sweep.credits() {
            let idle = flush.idle_over_seconds;
            let (count, verb) = match flush.grace_seconds {
                Some(_) => (&mut self.second_chances, "gave a second chance to"),
                None => (&mut self.deletions, "flushed"),
            };
            *count += freed;
            self.note(at_seconds, format!("{verb} {freed} {} entries idle over {idle} s", flush.class));
        }
    }
}

const DAY_SECONDS: f64 = 86_400.0;
const FLUSH_AT_SECONDS: f64 = 3.0 * 3600.0;
const FOLKLORE_ESTABLISHED_SECONDS: u32 = 54_000;
/// Interval at which pf looks for what has expired (`timeout interval`).
const PURGE_SECONDS: f64 = 10.0;
const ADAPTIVE_START: f64 = 0.6;
const ADAPTIVE_END: f64 = 1.2;

/// Those that no agent carries out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Custom {
    strategy: Strategy,
    next_seconds: f64,
}

impl Custom {
    /// Has nothing to do, and nothing done yet.
    pub fn idle(strategy: Strategy) -> Self {
        Custom { strategy, next_seconds: f64::INFINITY }
    }

    /// Begins, at that second of the day.
    pub fn start(strategy: Strategy, starts_at_seconds: f64, table: &mut Table, tally: &mut Tally) -> Self {
        let next_seconds = match strategy {
            Strategy::Pf => 0.0,
            Strategy::Nightly => (FLUSH_AT_SECONDS - starts_at_seconds).rem_euclid(DAY_SECONDS),
            _ => f64::INFINITY,
        };
        if strategy == Strategy::Folklore {
            table.max *= 2;
            if let Some(timeout) = Timeout::named("tcp_timeout_established") {
                table.timeouts.insert(timeout, FOLKLORE_ESTABLISHED_SECONDS);
            }
            tally.writes += 2;
        }
        Custom { strategy, next_seconds }
    }

    /// Time at which it next has something to do.
    pub fn next_seconds(&self) -> f64 {
        self.next_seconds
    }

    /// Does what is due.
    pub fn work(&mut self, table: &mut Table, tally: &mut Tally, random: &mut Random) {
        if table.now < self.next_seconds {
            return;
        }
        match self.strategy {
            Strategy::Nightly => {
                self.next_seconds += DAY_SECONDS;
                tally.deletions += empty(table, random);
                tally.note(table.now, "conntrack -F".into());
            }
            _ => {
                self.next_seconds = table.now + PURGE_SECONDS;
                tally.deletions += purge(table, random);
            }
        }
    }
}

/// Empties the table, as `conntrack -F` does.
pub fn empty(table: &mut Table, random: &mut Random) -> u64 {
    let expired = table.reap(u64::MAX);
    expired + table.take(u64::MAX, random, |lost| &mut lost.deleted, |_| true, |_, _| true)
}

/// pf's purge: what is idle for longer than its timeout, scaled, goes.
fn purge(table: &mut Table, random: &mut Random) -> u64 {
    let (start, end) = (table.max as f64 * ADAPTIVE_START, table.max as f64 * ADAPTIVE_END);
    let entries = table.entries() as f64;
    if table.max == 0 || entries <= start {
        return 0;
    }
    let scale = ((end - entries) / (end - start)).max(0.0);
    let now = table.now;
    // Time left counts, so that what conntrackd committed keeps its own.
    let reaped = table.reap(u64::MAX);
    let past = |last: f64, expires: f64| now - last > (expires - last) * scale;
    let taken = table.take(
        u64::MAX,
        random,
        |lost| &mut lost.deleted,
        |_| true,
        |_, cohort| past(cohort.last_seconds, cohort.expires_seconds),
    );
    reaped + taken
}
