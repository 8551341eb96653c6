//! A sweep in virtual time: by the rules of the executor's, entry after entry, but many at once.

use std::collections::HashSet;

use super::eye::Eye;
use super::fair_share;
use super::random::Random;
use super::table::Table;
use crate::model::{Class, Costs, Flush, Pace, Settings};

/// What a sweep does to what it matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Delete it.
    Delete,
    /// Leave it so many seconds.
    SetLeft(u32),
}

/// A sweep under way. Without flushes it is a scan.
#[derive(Clone, Debug)]
pub struct Sweep {
    flushes: Vec<Flush>,
    deed: Deed,
    pace: Pace,
    began_seconds: f64,
    /// How much of the table lies behind it.
    walked: f64,
    /// Entries that it took, for each flush.
    pub freed: Vec<u64>,
}

/// How a sweep stands after a while.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Standing {
    /// It goes on.
    UnderWay,
    /// It went through the whole table.
    Whole,
    /// It was enough before the end.
    Enough,
}

impl Sweep {
    /// Begins now.
    pub fn new(flushes: Vec<Flush>, deed: Deed, pace: Pace, now: f64) -> Self {
        let freed = vec![0; flushes.len()];
        Sweep { flushes, deed, pace, began_seconds: now, walked: 0.0, freed }
    }

    /// For how long it has gone on.
    pub fn seconds(&self, now: f64) -> f64 {
        now - self.began_seconds
    }

    /// Its flushes and what each took.
    pub fn credits(&self) -> impl Iterator<Item = (&Flush, u64)> {
        self.flushes.iter().zip(self.freed.iter().copied())
    }

    /// What it does to what it matches.
    pub fn deed(&self) -> Deed {
        self.deed
    }

    /// Its turn comes only now.
    pub fn begin(&mut self, now: f64) {
        self.began_seconds = now;
    }

    /// Goes on for at most `span` seconds: expired entries are reaped as it goes through, and what the flushes name
    /// is taken until their budgets are spent or the table has come down far enough.
    pub fn go_on(
        &mut self,
        table: &mut Table,
        eye: &mut Eye,
        settings: &Settings,
        costs: &Costs,
        span: f64,
        random: &mut Random,
    ) -> Standing {
        let wanted = self.wanted(table, eye, settings);
        // A flush whose budget is spent costs nothing more. Of the others nothing that matched is left behind: all of
        // it lies ahead.
        let open = |i: usize| self.freed[i] < self.flushes[i].budget;
        let matching: u64 = wanted.iter().enumerate().filter(|(i, _)| open(*i)).map(|(_, (_, n))| n).sum();
        let ahead = (1.0 - self.walked).max(f64::EPSILON);
        let whole = whole_seconds(table, costs, &self.pace, self.deed, (matching as f64 / ahead) as u64);
        let step = if whole > 0.0 { (span / whole).min(ahead) } else { ahead };
        let expired = table.expired_entries();
        table.reap(random.round(expired as f64 * step / ahead));
        let mut enough = !self.flushes.is_empty();
        for (i, (ids, n)) in wanted.iter().enumerate() {
            let left = self.flushes[i].budget.saturating_sub(self.freed[i]);
            let over = match self.deed {
                Deed::Delete => table.entries().saturating_sub(self.pace.enough_at_entries),
                Deed::SetLeft(_) => u64::MAX,
            };
            let n = random.round(*n as f64 * step / ahead).min(left).min(over);
            self.freed[i] += match (self.deed, &self.flushes[i].payers) {
                (Deed::Delete, Some(payers)) => {
                    let (floor, left) = (self.flushes[i].idle_over_seconds, left.min(over));
                    fair_share::take(table, payers, floor, left, random)
                }
                (Deed::Delete, None) => {
                    table.take(n, random, |lost| &mut lost.deleted, |_| true, |_, c| ids.contains(&c.id))
                }
                (Deed::SetLeft(seconds), _) => {
                    table.set_left(n, seconds.into(), |_, cohort| ids.contains(&cohort.id))
                }
            };
            enough &= self.freed[i] >= self.flushes[i].budget;
        }
        let down = self.freed.iter().sum::<u64>() > 0 && table.entries() <= self.pace.enough_at_entries;
        self.walked += step;
        match self.walked >= 1.0 - 1e-9 {
            _ if enough || (down && self.deed == Deed::Delete) => Standing::Enough,
            true => Standing::Whole,
            false => Standing::UnderWay,
        }
    }

    /// For each flush, the cohorts that it names, and how many entries those are; a cohort goes to the first that
    /// names it.
    fn wanted(&self, table: &Table, eye: &mut Eye, settings: &Settings) -> Vec<(HashSet<u32>, u64)> {
        let mut wanted = vec![(HashSet::new(), 0); self.flushes.len()];
        if self.flushes.is_empty() {
            return wanted;
        }
        for (id, class, idle, count) in eye.eligible(table, settings) {
            let names = |flush: &Flush| match flush.class {
                Class::FairShare => false,
                own => own == class && idle >= flush.idle_over_seconds,
            };
            if let Some(i) = self.flushes.iter().position(names) {
                wanted[i].0.insert(id);
                wanted[i].1 += count;
            }
        }
        wanted
    }
}

/// How long a sweep through the whole table takes: the dump, the deeds, and the pauses that keep their pace.
fn whole_seconds(table: &Table, costs: &Costs, pace: &Pace, deed: Deed, matching: u64) -> f64 {
    let walk =
        table.entries() as f64 * costs.scan_us_per_entry + table.buckets as f64 * costs.scan_us_per_bucket;
    let each = match deed {
        Deed::Delete => costs.delete_us_per_entry,
        Deed::SetLeft(_) => costs.update_us_per_entry,
    };
    let urgent = table.entries() >= pace.urgent_at_entries;
    let per_second = if urgent { pace.urgent_per_second } else { pace.per_second };
    let pauses = if matching > 0 { matching as f64 / per_second.max(1) as f64 } else { 0.0 };
    (walk + matching as f64 * each) / 1e6 + pauses
}
