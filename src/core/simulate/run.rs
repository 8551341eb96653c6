//! One run: a scenario, a strategy, a seed.

use super::arrivals;
use super::collector::{self, Collector};
use super::controller::Controller;
use super::facts::Facts;
use super::random::Random;
use super::report::{Figures, Note, Run, Sample};
use super::strategy::{self, Custom, Strategy, Tally};
use super::table::Table;
use crate::core::model::{Change, Scenario, Timeout};

/// Moments of the timeline.
const SAMPLES: f64 = 240.0;
/// Steps: no longer than new flows take to fill this share of the limit.
const SHARE_A_STEP: f64 = 0.005;
const SHORTEST_STEP_SECONDS: f64 = 0.05;
const LONGEST_STEP_SECONDS: f64 = 10.0;

/// Plays a scenario.
pub fn run(scenario: &Scenario, strategy: Strategy, seed: u64) -> Run {
    run_told(scenario, strategy, seed, &mut |_| ())
}

/// Plays a scenario, and tells how much of it was played, from 0 to 1, some hundred times on the way.
pub fn run_told(scenario: &Scenario, strategy: Strategy, seed: u64, told: &mut dyn FnMut(f64)) -> Run {
    Play::new(scenario, strategy, seed).play(told)
}

struct Play<'a> {
    scenario: &'a Scenario,
    seed: u64,
    table: Table,
    facts: Facts,
    collector: Collector,
    agent: Option<Controller>,
    custom: Custom,
    tally: Tally,
    figures: Figures,
    timeline: Vec<Sample>,
    /// Groups whose stock is still to come.
    to_come: Vec<usize>,
    happened: usize,
    /// Parts of flows that came evenly, of each group.
    owed: Vec<f64>,
    /// Of the scenario: the same for every strategy as long as they take the same steps.
    weather: Random,
    /// Of the kernel and of what is done.
    luck: Random,
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, strategy: Strategy, seed: u64) -> Self {
        let timeouts = Timeout::all().map(|t| (t, t.spec().kernel_default_seconds)).collect();
        let gateway = &scenario.gateway;
        let mut luck = Random::new(seed.wrapping_mul(2).wrapping_add(1));
        let mut play = Play {
            scenario,
            seed,
            table: Table::new(&scenario.traffic, gateway.max, gateway.buckets, timeouts),
            facts: Facts::new(gateway, 0),
            collector: Collector::new(&mut luck),
            agent: None,
            custom: Custom::idle(strategy),
            tally: Tally::default(),
            figures: Figures::default(),
            timeline: Vec::new(),
            to_come: (0..scenario.traffic.len()).collect(),
            happened: 0,
            owed: vec![0.0; scenario.traffic.len()],
            weather: Random::new(seed.wrapping_mul(2)),
            luck,
        };
        play.stock();
        play.facts = Facts::new(gateway, play.table.entries());
        play.custom = Custom::start(strategy, scenario.starts_at_seconds, &mut play.table, &mut play.tally);
        if strategy == Strategy::Ctctl {
            play.start_agent();
        }
        play
    }

    fn start_agent(&mut self) {
        let (settings, costs) = (&self.scenario.settings, &self.scenario.costs);
        let agent = Controller::start(settings, costs, &mut self.table, &self.facts, &mut self.tally);
        self.agent = Some(agent);
    }

    fn play(mut self, told: &mut dyn FnMut(f64)) -> Run {
        self.sample();
        while self.table.now < self.scenario.duration_seconds {
            let samples = self.timeline.len();
            self.step();
            if self.timeline.len() > samples {
                told((self.table.now / self.scenario.duration_seconds).min(1.0));
            }
        }
        let lost = self.table.lost;
        self.figures.live_flows_deleted = lost.deleted;
        self.figures.live_flows_expired = lost.expired;
        self.figures.live_flows_shed = lost.shed;
        self.figures.deletions = self.tally.deletions;
        self.figures.second_chances = self.tally.second_chances;
        self.figures.sysctl_writes = self.tally.writes;
        self.figures.last_entries = self.table.entries();
        let note = |(at_seconds, text)| Note { at_seconds, text };
        let notes = self.tally.notes.into_iter().map(note).collect();
        Run { seed: self.seed, figures: self.figures, timeline: self.timeline, notes }
    }

    /// Time passes, flows come, the kernel collects, somebody acts.
    fn step(&mut self) {
        let to = self.next_moment();
        let passed = to - self.table.now;
        self.table.pass(to, &mut self.weather);
        let refused = self.facts.statistics.drops.drop;
        let (owed, figures) = (&mut self.owed, &mut self.figures);
        arrivals::arrive(&mut self.table, &mut self.facts, figures, owed, passed, &mut self.weather);
        let refused = self.facts.statistics.drops.drop - refused;
        let coming: f64 = self.table.traffic.iter().map(|t| arrivals::rate(t, self.table.now)).sum();
        let lookups = (coming + self.table.packets_per_second()) * passed;
        collector::looked_up(&mut self.table, lookups, &mut self.luck);
        if refused > 0 {
            self.collector.refused();
        }
        if refused > 0 || self.table.room() == 0 {
            self.figures.seconds_full += passed;
        }
        self.stock();
        self.happen();
        self.peak();
        self.collector.work(&mut self.table, passed, &mut self.luck);
        self.custom.work(&mut self.table, &mut self.tally, &mut self.luck);
        if let Some(agent) = &mut self.agent {
            agent.work(&mut self.table, &self.facts, &mut self.tally, passed, &mut self.luck);
        }
        if self.table.now + 1e-9 >= self.sample_seconds() {
            self.sample();
        }
    }

    /// The end of the next step: when anything is due, or when enough flows have come.
    fn next_moment(&self) -> f64 {
        let now = self.table.now;
        let coming: f64 = self.table.traffic.iter().map(|traffic| arrivals::rate(traffic, now)).sum();
        let limit = self.limit() as f64;
        let step = limit * SHARE_A_STEP / coming.max(1e-9);
        let step = step.clamp(SHORTEST_STEP_SECONDS, LONGEST_STEP_SECONDS);
        let edges = self.table.traffic.iter().flat_map(|t| [t.from_seconds, t.until_seconds]);
        let happenings = self.scenario.happenings.get(self.happened).map(|h| h.at_seconds);
        let due =
            [self.custom.next_seconds(), self.collector.next_seconds(now + step), self.sample_seconds()];
        let mut next = now + step.min(self.scenario.duration_seconds - now);
        // In quiet the agent's looks change nothing, and crossing a mark wakes it; under pressure each look counts.
        if let Some(agent) = self.agent.as_ref().filter(|agent| agent.alert(&self.table)) {
            next = next.min(agent.next_seconds(&self.table));
        }
        for moment in edges.chain(happenings).chain(due).filter(|moment| *moment > now) {
            next = next.min(moment);
        }
        next.max(now + 1e-3)
    }

    fn limit(&self) -> u64 {
        match (self.scenario.settings.capacity.limit, self.table.max) {
            (0, 0) => u64::from(u32::MAX),
            (0, max) => max,
            (quota, 0) => quota,
            (quota, max) => quota.min(max),
        }
    }

    fn stock(&mut self) {
        let now = self.table.now;
        let (begun, to_come): (Vec<usize>, Vec<usize>) =
            self.to_come.iter().partition(|group| self.table.traffic[**group].from_seconds <= now);
        self.to_come = to_come;
        for group in begun {
            self.facts.statistics.new += arrivals::stock(&mut self.table, group);
            if let Some(agent) = &mut self.agent {
                agent.hear(&self.table);
                agent.look_within(now, self.luck.share());
            }
        }
    }

    fn happen(&mut self) {
        let now = self.table.now;
        while let Some(happening) =
            self.scenario.happenings.get(self.happened).filter(|h| h.at_seconds <= now)
        {
            self.happened += 1;
            if let Some(agent) = &mut self.agent {
                // The agent's place in its interval is chance.
                agent.look_within(now, self.luck.share());
            }
            match happening.what {
                Change::SetMax(max) => self.table.max = max,
                Change::SetAvailableBytes(bytes) => self.facts.set_available(bytes, self.table.entries()),
                Change::Flush => drop(strategy::empty(&mut self.table, &mut self.luck)),
                Change::RestartAgent if self.agent.is_some() => self.start_agent(),
                Change::RestartAgent => {}
            }
        }
    }

    fn peak(&mut self) {
        let entries = self.table.entries();
        let usage = 100.0 * entries as f64 / self.limit().max(1) as f64;
        self.figures.peak_entries = self.figures.peak_entries.max(entries);
        self.figures.peak_usage_percent = self.figures.peak_usage_percent.max(usage);
    }

    fn sample_seconds(&self) -> f64 {
        self.timeline.len() as f64 * self.scenario.duration_seconds / SAMPLES
    }

    fn sample(&mut self) {
        self.timeline.push(Sample {
            at_seconds: self.sample_seconds(),
            entries: self.table.entries(),
            max: self.table.max,
            living: self.table.living(),
            refused_legitimate: self.figures.refused_legitimate,
            level: self.agent.as_ref().map(Controller::level),
        });
    }
}
