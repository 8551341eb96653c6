//! A sweep in virtual time: by the rules of the executor's, but many entries at once.

use std::collections::BTreeMap;

use super::fair_share;
use super::random::Random;
use super::seen::Seen;
use super::table::Table;
use super::view::AgentView;
use crate::core::model::{Costs, Flush, Pace, Settings, Share};
use crate::core::sweep::{Allowed, Choice, Rules, Victim};

/// A sweep under way. Without flushes it is a scan.
#[derive(Clone, Debug)]
pub struct Sweep {
    flushes: Vec<Flush>,
    /// The rules that it drives, once it has looked at the table.
    rules: Option<Rules<Flush>>,
    /// As a scan, it weighs who holds the table.
    pub weighs: bool,
    pace: Pace,
    began_seconds: f64,
    put_in_before: u64,
    /// Share of the table that lies behind it.
    walked: f64,
    /// It is urgent, and something was left that could have gone.
    left_behind: bool,
    /// Entries that it took, for each flush.
    freed: Vec<u64>,
}

/// State of a sweep after a while.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Standing {
    /// It goes on.
    UnderWay,
    /// It went through the whole table.
    Whole,
    /// It was enough before the end, or not all was taken.
    Enough,
}

impl Sweep {
    /// Begins a sweep now.
    pub fn new(flushes: Vec<Flush>, pace: Pace, table: &Table) -> Self {
        let freed = vec![0; flushes.len()];
        let (began_seconds, put_in_before) = (table.now, table.put_in);
        let (weighs, walked, left_behind) = (false, 0.0, false);
        Sweep { flushes, rules: None, weighs, pace, began_seconds, put_in_before, walked, left_behind, freed }
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

    /// Pace of the plan.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Entries that it deleted.
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
        view: &mut AgentView,
        settings: &Settings,
        costs: &Costs,
        span: f64,
        random: &mut Random,
    ) -> Standing {
        let mut seen = if self.flushes.is_empty() { Vec::new() } else { view.look(table, settings) };
        let mut rules = self.rules.take().unwrap_or_else(|| self.begin_rules(&seen, table));
        // Nothing that matched is left behind: all of it lies ahead.
        let ahead = (1.0 - self.walked).max(f64::EPSILON);
        let came = self.came(table);
        let step = self.step(table, costs, wanted(&rules, &seen, came), span).min(ahead);
        let expired = table.expired_entries();
        table.reap(random.round(expired as f64 * step / ahead));
        rules.begin(Allowed {
            portion: self.pace.portion,
            came,
            most: table.entries().saturating_sub(self.pace.enough_at_entries),
            ..Allowed::default()
        });
        // The kernel's order of entries has nothing to do with who they are.
        random.shuffle(&mut seen);
        let (mut victims, mut chances) = (Vec::new(), BTreeMap::new());
        for seen in &seen {
            let met = random.round(seen.count as f64 * step / ahead).min(seen.count);
            offer(&mut rules, seen, met, |choice, count| match choice {
                Choice::Delete(act) => {
                    let idle_seconds = seen.idle_unprotected().unwrap_or(0);
                    victims.push(Victim { act, idle_seconds, count, item: seen.id });
                }
                Choice::SecondChance(act) => drop(chances.insert((act, seen.id), (seen, count))),
                Choice::Stay => {}
            });
        }
        self.left_behind |= rules.cut((table.entries() as f64 * step).ceil() as u64, &mut victims);
        let mut owed = BTreeMap::new();
        for victim in victims {
            *owed.entry(victim.item).or_default() += victim.count;
        }
        let deleted = table.take_of(&owed, |lost| &mut lost.deleted);
        let sent = rules.sent();
        rules.ended(&sent, deleted);
        for act in 0..self.flushes.len() {
            let of_act: BTreeMap<u32, (&Seen, u64)> =
                chances.range((act, 0)..(act + 1, 0)).map(|((_, id), of)| (*id, *of)).collect();
            if let Some(grace_seconds) = self.flushes[act].grace_seconds.filter(|_| !of_act.is_empty()) {
                let given = give_grace(grace_seconds, &of_act, table, view);
                rules.gave(act, given, given);
            }
        }
        self.freed = rules.freed();
        let enough = self.is_enough(&rules, table);
        self.rules = Some(rules);
        self.walked += step;
        match self.walked >= 1.0 - 1e-9 {
            _ if enough => Standing::Enough,
            true if self.left_behind => Standing::Enough,
            true => Standing::Whole,
            false => Standing::UnderWay,
        }
    }

    /// The plan's rules, where payers are groups of sources.
    fn begin_rules(&self, seen: &[Seen], table: &Table) -> Rules<Flush> {
        let of_groups = |flush: &Flush| {
            let mut flush = flush.clone();
            if let Some(Share::Dues(dues)) = &mut flush.share {
                *dues = fair_share::of_groups(dues, flush.idle_over_seconds, seen, &table.traffic);
            }
            flush
        };
        Rules::new(self.flushes.iter().map(of_groups), &self.pace)
    }

    fn is_enough(&self, rules: &Rules<Flush>, table: &Table) -> bool {
        let freed: u64 = self.freed.iter().sum();
        let entries = (freed > 0).then(|| table.entries());
        // No time for a grace any more: that is for the policy to decide anew.
        let urgent = freed > self.deleted() && table.entries() >= self.pace.urgent_at_entries;
        !self.flushes.is_empty() && (rules.enough(entries) || urgent)
    }

    /// Entries that came since it began: as many more may go.
    fn came(&self, table: &Table) -> u64 {
        table.put_in - self.put_in_before
    }

    /// Share of the table that is walked in `span` seconds: at the pace of the acts until the budgets are spent, then
    /// as fast as a dump.
    fn step(&self, table: &Table, costs: &Costs, wanted: Wanted, span: f64) -> f64 {
        let ahead = (1.0 - self.walked).max(f64::EPSILON);
        let mut deletions = wanted.deletions as f64 / ahead;
        let chances = wanted.second_chances as f64 / ahead;
        let allowed = wanted.allowed as f64 / ahead;
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

/// Entries that the acts would take of all that lies ahead.
#[derive(Clone, Copy, Default)]
struct Wanted {
    deletions: u64,
    second_chances: u64,
    /// Of both, what the budgets allow.
    allowed: u64,
}

fn wanted(rules: &Rules<Flush>, seen: &[Seen], came: u64) -> Wanted {
    let all = |mut rules: Rules<Flush>| {
        let (mut deletions, mut second_chances) = (0, 0);
        rules.begin(Allowed { came, ..Allowed::default() });
        for seen in seen {
            offer(&mut rules, seen, seen.count, |choice, count| match choice {
                Choice::Delete(_) => deletions += count,
                Choice::SecondChance(_) => second_chances += count,
                Choice::Stay => {}
            });
        }
        (deletions, second_chances)
    };
    let (deletions, second_chances) = all(rules.without_budgets());
    let (allowed_deletions, allowed_chances) = all(rules.clone());
    Wanted { deletions, second_chances, allowed: allowed_deletions + allowed_chances }
}

/// Offers `count` entries of a cohort: `each` is told each choice and for how many of them it holds.
fn offer(rules: &mut Rules<Flush>, seen: &Seen, mut count: u64, mut each: impl FnMut(Choice, u64)) {
    while count > 0 {
        let (choice, taken) = rules.offer_many(&seen.entry, &seen.judged, count);
        each(choice, taken);
        count -= taken;
    }
}

/// Leaves a grace to entries of these cohorts, known by their ids; returns to how many.
fn give_grace(
    grace_seconds: u32,
    wanted: &BTreeMap<u32, (&Seen, u64)>,
    table: &mut Table,
    view: &mut AgentView,
) -> u64 {
    let counts = wanted.iter().map(|(id, (_, count))| (*id, *count)).collect();
    let given = table.set_left(&counts, grace_seconds.into());
    for (before, place, cohort) in &given {
        let idle_seconds = wanted.get(before).and_then(|(seen, _)| seen.idle_unprotected()).unwrap_or(0);
        view.given_grace(table, (place, cohort), idle_seconds, grace_seconds);
    }
    given.iter().map(|(_, _, cohort)| cohort.count).sum()
}
