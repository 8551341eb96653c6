//! A modelled table in virtual time, with the policy in its loop: what it writes and what it deletes is counted.

use std::collections::VecDeque;

use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

/// As the agent looks: `interval_ms`.
pub const TICK_SECONDS: f64 = 0.25;
/// Entries of one chunk of a dump, after which the hand looks at the count again.
pub const BATCH: u64 = 140;

/// One namespace, its agent, and what the agent did.
pub struct World {
    pub snapshot: Snapshot,
    pub memory: Memory,
    pub settings: Settings,
    /// Entries in use.
    pub live: u64,
    /// Entries that were closed 64 s ago: they go at once, with no second chance.
    pub idle: u64,
    /// The count that the agent reads is so old.
    pub lag_seconds: f64,
    counts: VecDeque<(f64, u64)>,
    came: f64,
    /// When a value was written, and which.
    pub writes: Vec<(f64, &'static str)>,
    pub deleted: u64,
    /// Flushes that freed anything.
    pub acts: u64,
    pub scans: u64,
    /// The farthest that a deletion took the table below its target.
    pub too_many: u64,
}

impl World {
    pub fn new(live: u64, idle: u64, settings: Settings) -> Self {
        let (snapshot, memory) = (table(live + idle), fresh());
        World {
            snapshot,
            memory,
            settings,
            live,
            idle,
            lag_seconds: 0.0,
            counts: VecDeque::new(),
            came: 0.0,
            writes: Vec::new(),
            deleted: 0,
            acts: 0,
            scans: 0,
            too_many: 0,
        }
    }

    /// The same, with a count that is so many seconds old.
    pub fn lagging(lag_seconds: f64, live: u64, idle: u64, settings: Settings) -> Self {
        World { lag_seconds, ..World::new(live, idle, settings) }
    }

    pub fn entries(&self) -> u64 {
        self.live + self.idle
    }

    /// Looks, decides and acts, until nothing is left to do at this moment.
    pub fn tick(&mut self) {
        let before = self.snapshot.entries;
        self.snapshot.now_seconds += TICK_SECONDS;
        self.look();
        let grown = self.snapshot.entries as f64 - before as f64;
        self.snapshot.net_growth_per_second = Some(grown / TICK_SECONDS);
        self.snapshot.new_per_second = Some(std::mem::take(&mut self.came) / TICK_SECONDS);
        for _ in 0..8 {
            let (plan, memory) = decide(&self.snapshot, &self.memory, &self.settings);
            self.memory = memory;
            let acted = self.perform(&plan);
            if plan.scan {
                self.scan();
                // Nobody holds more than others here.
                let weighed = plan.weigh.then(Default::default);
                self.snapshot.scan.iter_mut().for_each(|scan| scan.weighed = weighed.clone());
            }
            if !acted && !plan.scan {
                return;
            }
            self.snapshot.now_seconds += 1e-3;
            self.look();
        }
    }

    /// New entries, in use or idle from the start.
    pub fn add(&mut self, live: u64, idle: u64) {
        (self.live, self.idle) = (self.live + live, self.idle + idle);
        self.came += (live + idle) as f64;
    }

    fn look(&mut self) {
        let now = self.snapshot.now_seconds;
        self.counts.push_back((now, self.entries()));
        while self.counts.get(1).is_some_and(|(at, _)| now - at >= self.lag_seconds) {
            self.counts.pop_front();
        }
        self.snapshot.entries = self.counts[0].1;
    }

    fn scan(&mut self) {
        self.scans += 1;
        let seen = seen(&[(Class::Closed, &[(64, self.idle)]), (Class::Established, &[(10, self.live)])]);
        self.snapshot.scan = Some(Scan { at_seconds: self.snapshot.now_seconds, ..seen });
    }

    fn perform(&mut self, plan: &Plan) -> bool {
        apply(plan, &mut self.snapshot);
        let mut acted = false;
        let flushes = plan.actions.iter().filter_map(|action| match &action.act {
            Act::Flush(flush) => Some(flush),
            _ => None,
        });
        // What is idle is of one class; in an urgent act the others are named as well.
        if let Some(budget) = flushes.map(|f| if f.class == Class::Closed { f.budget } else { 0 }).max() {
            acted |= self.flush(budget, plan);
        }
        for action in &plan.actions {
            match &action.act {
                Act::Flush(_) => {}
                act => {
                    self.writes.push((self.snapshot.now_seconds, act.name()));
                    acted = true;
                }
            }
        }
        acted
    }

    /// The executor's way: chunk after chunk, until the budget is spent or the count is low enough.
    fn flush(&mut self, budget: u64, plan: &Plan) -> bool {
        let decided_on = self.snapshot.clone();
        let target = plan.pace.enough_at_entries;
        let mut freed = 0;
        while freed < budget && self.idle > 0 {
            let chunk = BATCH.min(budget - freed).min(self.idle);
            self.idle -= chunk;
            freed += chunk;
            self.too_many = self.too_many.max(target.saturating_sub(self.entries()));
            self.look();
            if self.snapshot.entries <= target {
                break;
            }
        }
        self.deleted += freed;
        self.acts += u64::from(freed > 0);
        if let Some(scan) = &mut self.snapshot.scan {
            scan.freed(Class::Closed, freed);
        }
        if (freed < budget || freed == 0) && self.snapshot.entries > target {
            // It went through the whole table, and so it is a scan.
            self.scan();
        }
        self.memory.flushed(&decided_on, self.snapshot.now_seconds, freed);
        self.memory.achieved(&decided_on, &plan.pace, self.snapshot.now_seconds, freed);
        freed > 0
    }

    /// The most values written within any minute.
    pub fn writes_a_minute(&self) -> usize {
        let within =
            |from: f64| self.writes.iter().filter(|(at, _)| (from..from + 60.0).contains(at)).count();
        self.writes.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
    }

    /// What the agent's look at overridden values comes to: `name` is `now` again by somebody else.
    pub fn put_back(&mut self, name: &str, now: u64) {
        let held = match Timeout::named(name) {
            Some(timeout) => {
                let before = self.snapshot.timeouts.insert(timeout, now as u32);
                before.map(u64::from)
            }
            None => Some(std::mem::replace(&mut self.snapshot.max, now)),
        };
        if held != Some(now) {
            self.memory.overridden(
                Value::named(name).expect("a value"),
                Drift::PutBack,
                self.snapshot.now_seconds,
            );
        }
    }
}
