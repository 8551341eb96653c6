//! A sweep in virtual time: by the rules of the executor's, entry after entry, but many at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::eye::{Eye, Seen};
use super::fair_share::Dues;
use super::random::Random;
use super::table::Table;
use crate::model::{Costs, Flush, Pace, Settings, Share};

/// A sweep under way. Without flushes it is a scan.
#[derive(Clone, Debug)]
pub struct Sweep {
    flushes: Vec<Flush>,
    /// What is due still, for each flush that asks payers.
    dues: Vec<Option<Dues>>,
    /// As a scan, it weighs who holds the table.
    pub weighs: bool,
    pace: Pace,
    began_seconds: f64,
    put_in_before: u64,
    /// How much of the table lies behind it.
    walked: f64,
    /// In a hurry something was left that could have gone.
    left_behind: bool,
    /// Entries that it took, for each flush.
    freed: Vec<u64>,
}

/// How a sweep stands after a while.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Standing {
    /// It goes on.
    UnderWay,
    /// It went through the whole table.
    Whole,
    /// It was enough before the end, or not all was taken.
    Enough,
}

/// A part of the table.
#[derive(Clone, Copy)]
struct Part {
    /// Of what lies ahead.
    share: f64,
    /// In a hurry: so many may go of it still.
    most: u64,
}

impl Sweep {
    /// Begins now.
    pub fn new(flushes: Vec<Flush>, pace: Pace, table: &Table) -> Self {
        let freed = vec![0; flushes.len()];
        let dues = vec![None; flushes.len()];
        let (began_seconds, put_in_before) = (table.now, table.put_in);
        let (weighs, walked, left_behind) = (false, 0.0, false);
        Sweep { flushes, dues, weighs, pace, began_seconds, put_in_before, walked, left_behind, freed }
    }

    /// Takes nothing; `weighs`: sees who holds the table.
    pub fn scan(weighs: bool, pace: Pace, table: &Table) -> Self {
        Sweep { weighs, ..Sweep::new(Vec::new(), pace, table) }
    }

    /// For how long it has gone on.
    pub fn seconds(&self, now: f64) -> f64 {
        now - self.began_seconds
    }

    /// Its flushes and what each took.
    pub fn credits(&self) -> impl Iterator<Item = (&Flush, u64)> {
        self.flushes.iter().zip(self.freed.iter().copied())
    }

    /// Its pace.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// What it deleted.
    pub fn deleted(&self) -> u64 {
        self.credits().filter(|(flush, _)| flush.grace_seconds.is_none()).map(|(_, freed)| freed).sum()
    }

    /// Its turn comes only now.
    pub fn begin(&mut self, table: &Table) {
        (self.began_seconds, self.put_in_before) = (table.now, table.put_in);
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
        let seen = if self.flushes.is_empty() { Vec::new() } else { eye.look(table, settings) };
        let wanted = self.wanted(&seen, table);
        // Nothing that matched is left behind: all of it lies ahead.
        let ahead = (1.0 - self.walked).max(f64::EPSILON);
        let step = self.step(table, costs, &wanted, span).min(ahead);
        let expired = table.expired_entries();
        table.reap(random.round(expired as f64 * step / ahead));
        let most = self.pace.portion.map(|portion| (table.entries() as f64 * step * portion).ceil() as u64);
        let mut part = Part { share: step / ahead, most: most.unwrap_or(u64::MAX) };
        for (i, wanted) in wanted.iter().enumerate() {
            let freed = match self.flushes[i].grace_seconds {
                Some(grace) => self.give_grace(i, grace, wanted, part, table, eye, random),
                None => self.take(i, wanted, part, table, random),
            };
            self.freed[i] += freed;
            part.most = part.most.saturating_sub(freed);
        }
        self.walked += step;
        match self.walked >= 1.0 - 1e-9 {
            _ if self.is_enough(table) => Standing::Enough,
            true if self.left_behind => Standing::Enough,
            true => Standing::Whole,
            false => Standing::UnderWay,
        }
    }

    fn is_enough(&self, table: &Table) -> bool {
        let freed: u64 = self.freed.iter().sum();
        let came = self.came(table);
        let budgets = || self.flushes.iter().map(|flush| flush.budget);
        let spent = match self.pace.portion {
            Some(_) => freed >= budgets().max().unwrap_or(0) + came,
            None => {
                self.credits().all(|(flush, freed)| freed >= flush.budget)
                    && freed >= budgets().sum::<u64>() + came
            }
        };
        let down = freed > 0 && table.entries() <= self.pace.enough_at_entries;
        // No time for a grace any more: that is for the policy to decide anew.
        let urgent = freed > self.deleted() && table.entries() >= self.pace.urgent_at_entries;
        !self.flushes.is_empty() && (spent || down || urgent)
    }

    /// Entries that came since it began: as many more may go.
    fn came(&self, table: &Table) -> u64 {
        table.put_in - self.put_in_before
    }

    /// What a flush may take still, by its budget.
    fn left(&self, i: usize, table: &Table) -> u64 {
        let last = i + 1 == self.flushes.len() && self.flushes[i].grace_seconds.is_none();
        let came = self.came(table);
        match self.pace.portion {
            Some(_) => (self.flushes[i].budget + came).saturating_sub(self.freed.iter().sum()),
            None => (self.flushes[i].budget + if last { came } else { 0 }).saturating_sub(self.freed[i]),
        }
    }

    /// For each flush, the cohorts that it names and how many of each; a cohort goes to the first that is open.
    fn wanted<'s>(&mut self, seen: &'s [Seen], table: &Table) -> Vec<Vec<(&'s Seen, u64)>> {
        let open: Vec<bool> = (0..self.flushes.len()).map(|i| self.left(i, table) > 0).collect();
        for (flush, dues) in self.flushes.iter().zip(&mut self.dues) {
            if let (Some(Share::Dues(all)), None) = (&flush.share, &dues) {
                *dues = Some(Dues::of(all, flush.idle_over_seconds, seen, &table.traffic));
            }
        }
        let mut wanted = vec![Vec::new(); self.flushes.len()];
        for seen in seen {
            let named = |i: &usize| open[*i] && self.names(*i, seen);
            if let Some(i) = (0..self.flushes.len()).find(named) {
                wanted[i].push((seen, seen.count));
            }
        }
        for (wanted, dues) in wanted.iter_mut().zip(&self.dues) {
            match dues {
                Some(dues) => dues.cut(wanted),
                // In a hurry the longest idle go first.
                None => wanted.sort_by_key(|(seen, _)| (Reverse(seen.idle_unprotected), seen.id)),
            }
        }
        wanted
    }

    fn names(&self, i: usize, seen: &Seen) -> bool {
        let flush = &self.flushes[i];
        if seen.idle_unprotected.is_none_or(|idle| idle < flush.idle_over_seconds) {
            return false;
        }
        match (&flush.share, flush.grace_seconds) {
            (Some(Share::Unanswered), _) => seen.state.unreplied(),
            (Some(Share::Dues(_)), _) => self.dues[i].as_ref().is_some_and(|dues| dues.ask(seen)),
            // Nobody gets a second one, and a time left is never raised.
            (None, Some(grace)) => {
                seen.class == Some(flush.class) && !seen.in_grace && seen.left_seconds > grace
            }
            (None, None) if seen.only_critical => {
                seen.class == Some(flush.class)
                    && seen.idle_unprotected.is_some_and(|idle| flush.takes_only_critical(idle))
            }
            (None, None) => seen.class == Some(flush.class),
        }
    }

    /// Leaves a grace to a part of what a flush names.
    #[allow(clippy::too_many_arguments)]
    fn give_grace(
        &self,
        i: usize,
        grace_seconds: u32,
        wanted: &[(&Seen, u64)],
        part: Part,
        table: &mut Table,
        eye: &mut Eye,
        random: &mut Random,
    ) -> u64 {
        let idle: HashMap<u32, u32> =
            wanted.iter().map(|(seen, _)| (seen.id, seen.idle_unprotected.unwrap_or(0))).collect();
        let n = random.round(sum(wanted) as f64 * part.share).min(self.left(i, table));
        let given = table.set_left(n, grace_seconds.into(), |_, cohort| idle.contains_key(&cohort.id));
        for (before, place, cohort) in &given {
            let idle_seconds = idle.get(before).copied().unwrap_or(0);
            eye.given_grace(table, (place, cohort), idle_seconds, grace_seconds);
        }
        given.iter().map(|(_, _, cohort)| cohort.count).sum()
    }

    /// Deletes a part of what a flush names.
    fn take(
        &mut self,
        i: usize,
        wanted: &[(&Seen, u64)],
        part: Part,
        table: &mut Table,
        random: &mut Random,
    ) -> u64 {
        let over = table.entries().saturating_sub(self.pace.enough_at_entries);
        let left = self.left(i, table).min(over);
        if self.dues[i].is_none() && self.pace.portion.is_none() {
            let ids: HashMap<u32, ()> = wanted.iter().map(|(seen, _)| (seen.id, ())).collect();
            let n = random.round(sum(wanted) as f64 * part.share).min(left);
            return table.take(n, random, |lost| &mut lost.deleted, |_| true, |_, c| ids.contains_key(&c.id));
        }
        let (mut most, mut owed) = (left.min(part.most), BTreeMap::new());
        for (seen, n) in wanted {
            let met = random.round(*n as f64 * part.share).min(*n);
            let n = met.min(most);
            self.left_behind |= n < met;
            most -= n;
            *owed.entry(seen.id).or_default() += n;
            if let Some(dues) = &mut self.dues[i] {
                dues.paid(seen, n);
            }
        }
        table.take_of(&owed, |lost| &mut lost.deleted)
    }

    /// How much of the table is walked in `span` seconds: at the pace of the deeds until the budgets are spent, then as
    /// fast as a dump.
    fn step(&self, table: &Table, costs: &Costs, wanted: &[Vec<(&Seen, u64)>], span: f64) -> f64 {
        let ahead = (1.0 - self.walked).max(f64::EPSILON);
        let (mut deletions, mut chances, mut allowed) = (0.0, 0.0, 0.0);
        for (i, wanted) in wanted.iter().enumerate() {
            let sum = sum(wanted);
            let grace = self.flushes[i].grace_seconds.is_some();
            *(if grace { &mut chances } else { &mut deletions }) += sum as f64 / ahead;
            allowed += sum.min(self.left(i, table)) as f64 / ahead;
        }
        let entries = table.entries() as f64;
        let matching: f64 = deletions + chances;
        let spent_after = if matching > 0.0 { ahead * (allowed / matching).min(1.0) } else { 0.0 };
        if let Some(portion) = self.pace.portion {
            deletions = f64::min(deletions, entries * portion);
        }
        let walk = entries * costs.scan_us_per_entry + table.buckets as f64 * costs.scan_us_per_bucket;
        let deeds = deletions * costs.delete_us_per_entry + chances * costs.update_us_per_entry;
        let urgent = table.entries() >= self.pace.urgent_at_entries;
        let coming = self.came(table) as f64 / self.seconds(table.now).max(Pace::BEGINNING_SECONDS);
        let per_second = self.pace.rate(self.pace.per_second as f64, coming, urgent);
        let paused = |n: f64, per_second: f64| n / per_second.max(1.0);
        // Both keep to their pace in the same walk.
        let pauses = paused(deletions, per_second).max(paused(chances, self.pace.chances_per_second as f64));
        let (free, paced) = (walk / 1e6, (walk + deeds) / 1e6 + pauses);
        if paced <= 0.0 {
            return ahead;
        }
        match span / paced {
            step if step <= spent_after => step,
            _ => spent_after + (span - paced * spent_after) / free.max(f64::EPSILON),
        }
    }
}

fn sum(wanted: &[(&Seen, u64)]) -> u64 {
    wanted.iter().map(|(_, n)| n).sum()
}
