//! The agent in virtual time: facts, the policy's decision, acts, again and again, as `agent::actor` does it.

use std::collections::BTreeMap;

use super::facts::{Facts, Statistics};
use super::random::Random;
use super::strategy::Tally;
use super::sweep::{Standing, Sweep};
use super::table::Table;
use super::view::{AgentView, UP_SECONDS};
use crate::core::model::{Act, Costs, Drift, Flush, Level, Plan, Scan, Settings, Snapshot, Timeout, Value};
use crate::core::policy::{self, Memory};
use crate::core::state::Rates;

/// Decisions in a row at most, before the interval has its turn (`agent::actor`).
const ROUNDS: u32 = 8;
/// Least time of a step into which a long sweep is taken apart.
const STEP_SECONDS: f64 = 0.05;
const STEPS: f64 = 40.0;

/// The agent on the modelled table.
pub struct Controller {
    settings: Settings,
    costs: Costs,
    view: AgentView,
    memory: Memory,
    rates: Rates,
    last_scan: Option<Scan>,
    /// Values that it wrote over the baseline.
    written: BTreeMap<Value, u64>,
    sweeps: Vec<Sweep>,
    /// Facts that the sweeps were decided on.
    decided_on: Snapshot,
    look_seconds: f64,
    looked_at_max: u64,
    rounds: u32,
    below: [bool; 3],
}

impl Controller {
    /// Starts: the baseline is what it finds, and buckets are sized once.
    pub fn start(
        settings: &Settings,
        costs: &Costs,
        table: &mut Table,
        facts: &Facts,
        tally: &mut Tally,
    ) -> Self {
        let mut controller = Controller {
            settings: settings.clone(),
            costs: costs.clone(),
            view: AgentView::new(settings, table),
            memory: Memory::default(),
            rates: Rates::default(),
            last_scan: None,
            written: BTreeMap::new(),
            sweeps: Vec::new(),
            decided_on: Snapshot::default(),
            look_seconds: table.now,
            looked_at_max: table.max,
            rounds: 0,
            below: [true; 3],
        };
        controller.memory.baseline = owned(table);
        let snapshot = controller.snapshot(table, facts);
        if let Some(action) = policy::buckets_at_start(&snapshot, settings) {
            controller.set(&action.act, table, tally);
        }
        controller
    }

    /// The level that it decided last.
    pub fn level(&self) -> Level {
        self.memory.level
    }

    /// Its next look may change something: under pressure, while it sweeps, and where a value is not what it was.
    pub fn alert(&self, table: &Table) -> bool {
        let pressed =
            self.memory.level > Level::Normal || self.over(table, self.settings.pressure.high_percent);
        pressed || !self.sweeps.is_empty() || table.max != self.looked_at_max
    }

    /// Looks at that share of the interval from now.
    pub fn look_within(&mut self, now: f64, share: f64) {
        self.look_seconds = now + share * self.settings.agent.interval_ms as f64 / 1000.0;
    }

    /// Latest time at which it has to be let go on.
    pub fn next_seconds(&self, table: &Table) -> f64 {
        let walk_seconds = table.entries() as f64 * self.costs.scan_us_per_entry / 1e6;
        let step = (walk_seconds / STEPS).max(STEP_SECONDS);
        if self.sweeps.is_empty() { self.look_seconds } else { table.now + step }
    }

    /// conntrackd wrote: the event stream says so.
    pub fn hear(&mut self, table: &Table) {
        self.view.hear(table);
    }

    /// Does what is due now; `passed` seconds went by since the last time.
    pub fn work(
        &mut self,
        table: &mut Table,
        facts: &Facts,
        tally: &mut Tally,
        passed: f64,
        random: &mut Random,
    ) {
        if !self.sweeps.is_empty() {
            self.sweep(table, tally, passed, random);
            if !self.sweeps.is_empty() {
                return;
            }
            // The result of a sweep is decided upon at once.
            self.look_seconds = table.now;
        }
        let woken = self.crosses_a_mark(table);
        while self.sweeps.is_empty() && (woken || table.now >= self.look_seconds) {
            let more = self.round(table, facts, tally, random);
            self.rounds += 1;
            if !more || self.rounds >= ROUNDS {
                self.rounds = 0;
                self.look_seconds = table.now + self.settings.agent.interval_ms as f64 / 1000.0;
                break;
            }
        }
    }

    /// Facts, decision, acts. True if there is more to decide at once.
    fn round(&mut self, table: &mut Table, facts: &Facts, tally: &mut Tally, random: &mut Random) -> bool {
        self.notice_others(table);
        self.rates.sample(UP_SECONDS + table.now, table.entries(), facts.statistics.new);
        let snapshot = self.snapshot(table, facts);
        let (plan, memory) = policy::decide(&snapshot, &self.memory, &self.settings);
        if plan.level != self.memory.level {
            tally.note(table.now, format!("level is now {}: {}", plan.level, plan.cause));
        }
        self.memory = memory;
        self.decided_on = snapshot;
        let acted = self.perform(plan, table, tally);
        if !self.sweeps.is_empty() {
            // A sweep of a small table is over before the next packet comes.
            self.sweep(table, tally, 0.0, random);
        }
        acted
    }

    // A fact that the model has not is unknown.
    #[allow(clippy::needless_update)]
    fn snapshot(&mut self, table: &Table, facts: &Facts) -> Snapshot {
        let smooth = |rate: f64| rate.max(self.rates.new_now_per_second());
        let Statistics { drops, .. } = facts.statistics;
        Snapshot {
            now_seconds: UP_SECONDS + table.now,
            entries: table.entries(),
            max: table.max,
            buckets: table.buckets,
            drops,
            memory: facts.memory(table),
            timeouts: table.timeouts.clone(),
            new_per_second: self.rates.new_per_second().map(smooth),
            net_growth_per_second: self.rates.net_growth_per_second(),
            scan: self.last_scan.clone(),
            chances: self.view.chances(table),
            update_listeners: 0,
            owns_host_values: true,
            may_set_timeouts: true,
            may_flush: true,
            may_give_grace: true,
            ..Snapshot::default()
        }
    }

    /// Values that changed without this agent: what they are now is what they go back to.
    fn notice_others(&mut self, table: &Table) {
        for (name, now) in owned(table) {
            let baseline = self.memory.baseline.get(&name).copied();
            let expected = self.written.get(&name).copied().or(baseline).unwrap_or(now);
            if now == expected {
                continue;
            }
            self.written.remove(&name);
            let put_back = baseline == Some(now);
            let drift = if put_back { Drift::PutBack } else { Drift::NewValue };
            self.memory.overridden(name, drift, UP_SECONDS + table.now);
            self.memory.baseline.insert(name, now);
        }
    }

    /// Wakes the agent on the way up, as the events thread does; the marks are those of its last look.
    fn crosses_a_mark(&mut self, table: &Table) -> bool {
        let pressure = &self.settings.pressure;
        let marks = [pressure.low_percent, pressure.high_percent, pressure.critical_percent];
        let over = marks.map(|percent| self.over(table, percent));
        let woken = over.iter().zip(self.below).any(|(over, below)| *over && below);
        self.below = over.map(|over| !over);
        woken
    }

    fn over(&self, table: &Table, percent: f64) -> bool {
        let then = Snapshot { max: self.looked_at_max, ..Snapshot::default() };
        let limit = policy::limit(&then, &self.settings);
        limit.is_some_and(|limit| table.entries() as f64 >= limit as f64 * percent / 100.0)
    }

    /// Values, in no time, and one sweep for flushes and second chances; a scan where one is wanted.
    fn perform(&mut self, plan: Plan, table: &mut Table, tally: &mut Tally) -> bool {
        let mut acted = false;
        let mut flushes: Vec<Flush> = Vec::new();
        for action in plan.actions {
            match action.act {
                Act::Flush(flush) | Act::SecondChance(flush) => flushes.push(flush),
                act => {
                    self.set(&act, table, tally);
                    tally.note(table.now, action.reason);
                    acted = true;
                }
            }
        }
        self.looked_at_max = table.max;
        // The last is taken first.
        if plan.scan {
            self.sweeps.push(Sweep::scan(plan.weigh, plan.pace, table));
        }
        if !flushes.is_empty() {
            self.sweeps.push(Sweep::new(flushes, plan.pace, table));
        }
        acted || !self.sweeps.is_empty()
    }

    fn set(&mut self, act: &Act, table: &mut Table, tally: &mut Tally) {
        let (name, to) = match *act {
            Act::RaiseMax { to, .. } | Act::LowerMax { to, .. } => {
                table.max = to;
                (Value::Max, to)
            }
            Act::ResizeBuckets { to, .. } => {
                table.buckets = to;
                (Value::Buckets, to)
            }
            Act::SetTimeout { timeout, to, .. } | Act::RestoreTimeout { timeout, to, .. } => {
                self.set_timeout(timeout, to, table);
                (Value::Timeout(timeout), to.into())
            }
            Act::Flush(_) | Act::SecondChance(_) => return,
        };
        tally.writes += 1;
        match self.memory.baseline.get(&name) {
            Some(found) if *found == to => drop(self.written.remove(&name)),
            _ => drop(self.written.insert(name, to)),
        }
    }

    fn set_timeout(&mut self, timeout: Timeout, to: u32, table: &mut Table) {
        self.view.saw_timeout(timeout, to, table.now);
        table.timeouts.insert(timeout, to);
    }

    /// Goes on with the sweep under way for `span` seconds, or through the whole of it where that takes no longer
    /// than a step.
    fn sweep(&mut self, table: &mut Table, tally: &mut Tally, span: f64, random: &mut Random) {
        let Some(sweep) = self.sweeps.last_mut() else { return };
        let standing = sweep.go_on(table, &mut self.view, &self.settings, &self.costs, span, random);
        if standing == Standing::UnderWay {
            return;
        }
        let Some(sweep) = self.sweeps.pop() else { return };
        let duration = sweep.seconds(table.now);
        tally.swept(table.now, &sweep);
        if standing == Standing::Whole {
            self.last_scan = Some(self.view.scan(table, &self.settings, duration, sweep.weighs));
        } else if let Some(last) = &mut self.last_scan {
            sweep.credits().for_each(|(flush, freed)| match flush.grace_seconds {
                Some(_) => last.given_grace(flush.class, freed),
                None => last.freed(flush.class, freed),
            });
        }
        if sweep.credits().next().is_some() {
            // A second chance frees nothing yet.
            let (now, freed) = (UP_SECONDS + table.now, sweep.credits().map(|(_, freed)| freed).sum());
            self.memory.flushed(&self.decided_on, now, sweep.deleted());
            self.memory.achieved(&self.decided_on, sweep.pace(), now, freed);
        }
        if let Some(next) = self.sweeps.last_mut() {
            next.begin(table);
        }
    }
}

/// The values that the agent may change.
fn owned(table: &Table) -> BTreeMap<Value, u64> {
    let touched = table.timeouts.iter().filter(|(timeout, _)| timeout.spec().floor_key.is_some());
    let timeouts = touched.map(|(timeout, seconds)| (Value::Timeout(*timeout), u64::from(*seconds)));
    timeouts.chain([(Value::Max, table.max), (Value::Buckets, table.buckets)]).collect()
}
