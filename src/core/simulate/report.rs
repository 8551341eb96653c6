//! Results of runs, as text, JSON and drawing show them.

use serde::Serialize;

use super::strategy::Strategy;
use crate::core::model::{Header, Level};

/// Figures of one run.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Figures {
    /// The most entries.
    pub peak_entries: u64,
    /// The highest usage of the limit, in percent.
    pub peak_usage_percent: f64,
    /// For how long there was no room.
    pub seconds_full: f64,
    /// New flows of no attacker whose packet was dropped.
    pub refused_legitimate: u64,
    /// New flows of attackers whose packet was dropped.
    pub refused_attackers: u64,
    /// Living flows of no attacker that the strategy cut.
    pub live_flows_deleted: u64,
    /// Living flows of no attacker that were silent for longer than their timeout.
    pub live_flows_expired: u64,
    /// Living flows of no attacker that the kernel shed (early drop, collector).
    pub live_flows_shed: u64,
    /// Entries that were deleted.
    pub deletions: u64,
    /// Entries given a second chance.
    pub second_chances: u64,
    /// Values that were written.
    pub sysctl_writes: u64,
    /// Entries that early drop took.
    pub early_dropped: u64,
    /// New flows that came into the table.
    pub admitted: u64,
    /// Entries at the end.
    pub last_entries: u64,
}

impl Figures {
    /// Every figure with its name, in the order in which they are shown.
    pub fn named(&self) -> [(&'static str, f64); 14] {
        [
            ("peak_entries", self.peak_entries as f64),
            ("peak_usage_percent", self.peak_usage_percent),
            ("seconds_full", self.seconds_full),
            ("refused_legitimate", self.refused_legitimate as f64),
            ("refused_attackers", self.refused_attackers as f64),
            ("live_flows_deleted", self.live_flows_deleted as f64),
            ("live_flows_expired", self.live_flows_expired as f64),
            ("live_flows_shed", self.live_flows_shed as f64),
            ("deletions", self.deletions as f64),
            ("second_chances", self.second_chances as f64),
            ("sysctl_writes", self.sysctl_writes as f64),
            ("early_dropped", self.early_dropped as f64),
            ("admitted", self.admitted as f64),
            ("last_entries", self.last_entries as f64),
        ]
    }
}

/// The table at one moment.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Sample {
    /// Since the beginning.
    pub at_seconds: f64,
    /// Entries in the table, `nf_conntrack_count`.
    pub entries: u64,
    /// Limit of entries, `nf_conntrack_max`.
    pub max: u64,
    /// Living flows of no attacker.
    pub living: u64,
    /// Refused so far, of no attacker.
    pub refused_legitimate: u64,
    /// The agent's level; `None` without one.
    pub level: Option<Level>,
}

/// Something that was done.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Note {
    /// Since the beginning.
    pub at_seconds: f64,
    /// The event in a sentence.
    pub text: String,
}

/// One run of one strategy with one seed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Run {
    /// Seed of the run's chance.
    pub seed: u64,
    /// Figures of the run.
    #[serde(flatten)]
    pub figures: Figures,
    /// Samples of the run over time.
    pub timeline: Vec<Sample>,
    /// First thousand acts of the run.
    pub notes: Vec<Note>,
}

/// A figure over several seeds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// Name of the figure.
    pub figure: &'static str,
    /// Mean over the seeds.
    pub mean: f64,
    /// Least value over the runs.
    pub least: f64,
    /// Greatest value over the runs.
    pub most: f64,
}

/// All runs of one strategy.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// As the command line names it.
    pub strategy: &'static str,
    /// The strategy in words.
    pub description: &'static str,
    /// False of a strategy whose hour does not come: its runs are those of doing nothing.
    pub fires: bool,
    /// Each figure over the seeds.
    pub spread: Vec<Spread>,
    /// One for each seed.
    pub runs: Vec<Run>,
}

impl Comparison {
    /// Of a strategy's runs.
    pub fn new(strategy: Strategy, runs: Vec<Run>) -> Self {
        let named: Vec<_> = runs.iter().map(|run| run.figures.named()).collect();
        let spread = (0..Figures::default().named().len()).map(|i| {
            let values = || named.iter().map(|figures| figures[i].1);
            let mean = values().sum::<f64>() / named.len().max(1) as f64;
            let figure = Figures::default().named()[i].0;
            Spread {
                figure,
                mean,
                least: values().fold(f64::INFINITY, f64::min),
                most: values().fold(f64::NEG_INFINITY, f64::max),
            }
        });
        let spread = spread.collect();
        let fires = strategy != Strategy::Nightly || runs.iter().any(|run| !run.notes.is_empty());
        Comparison { strategy: strategy.name(), description: strategy.words(), fires, spread, runs }
    }

    /// Its name, and the hour that does not come.
    pub fn caption(&self) -> String {
        let never = if self.fires { "" } else { ", which does not come here" };
        format!("{} ({}{never})", self.strategy, self.description)
    }

    /// A figure over the seeds.
    pub fn figure(&self, name: &str) -> Option<&Spread> {
        self.spread.iter().find(|spread| spread.figure == name)
    }
}

/// The document of `simulate`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Document {
    /// Time is virtual: it begins on the first day of 1970.
    #[serde(flatten)]
    pub header: Header,
    /// File, or name of a shipped scenario.
    pub scenario: String,
    /// Subject of the scenario.
    pub summary: String,
    /// Seconds that it lasts.
    pub duration_seconds: f64,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// One for each strategy.
    pub strategies: Vec<Comparison>,
}

impl Document {
    /// Takes out what never fires and so is no rival to any other; the captions of those.
    pub fn without_idle(&mut self) -> Vec<String> {
        let (kept, idle) = std::mem::take(&mut self.strategies).into_iter().partition(|s| s.fires);
        self.strategies = kept;
        idle.iter().map(Comparison::caption).collect()
    }
}
