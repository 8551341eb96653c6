//! The arguments of `simulate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::value;
use crate::core::simulate::Strategy;

/// Arguments of `simulate`.
#[derive(Args, Debug)]
pub struct Simulate {
    /// A file, or the name of a scenario that is shipped
    #[arg(value_name = "SCENARIO", required_unless_present_any = ["list", "show"])]
    pub scenario: Option<PathBuf>,
    /// Name the scenarios that are shipped
    #[arg(long, conflicts_with_all = ["scenario", "show"])]
    pub list: bool,
    /// Print a shipped scenario, to begin one's own with
    #[arg(long, value_name = "NAME", conflicts_with = "scenario")]
    pub show: Option<String>,
    /// Play these alone; may be repeated [default: all]
    #[arg(long, value_name = "NAME", value_enum)]
    pub strategy: Vec<StrategyName>,
    /// Chance: a number, or several as FIRST..LAST; may be repeated [default: 1]
    #[arg(long, visible_alias = "seeds", value_name = "N", value_parser = value::seeds, allow_hyphen_values = true)]
    pub seed: Vec<Seeds>,
    /// Draw the first seed's runs into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

impl Simulate {
    /// Returns the strategies to compare: those of `--strategy`, or all where it was not given.
    pub fn strategies(&self) -> Vec<Strategy> {
        let asked = |strategy: &Strategy| self.strategy.iter().any(|name| Strategy::from(*name) == *strategy);
        Strategy::ALL.into_iter().filter(|strategy| self.strategy.is_empty() || asked(strategy)).collect()
    }

    /// Returns the seeds of all `--seed` options, each once; seed 1 where none was given.
    pub fn seeds(&self) -> Seeds {
        let mut seeds: Vec<u64> = self.seed.iter().flat_map(|seeds| seeds.0.iter().copied()).collect();
        let mut seen = std::collections::BTreeSet::new();
        seeds.retain(|seed| seen.insert(*seed));
        if seeds.is_empty() { Seeds(vec![1]) } else { Seeds(seeds) }
    }
}

/// Value of one `--seed` option: the seeds that it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seeds(pub Vec<u64>);

/// Values of `--strategy`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum StrategyName {
    /// No agent
    None,
    /// tcp_timeout_established 54000 and max doubled, once
    Folklore,
    /// pf's adaptive timeouts, from 60 to 120 % of the limit, for entries that are there too
    Pf,
    /// conntrack -F at 03:00
    Nightly,
    /// The agent
    Ctctl,
}

impl From<StrategyName> for Strategy {
    fn from(name: StrategyName) -> Strategy {
        match name {
            StrategyName::None => Strategy::None,
            StrategyName::Folklore => Strategy::Folklore,
            StrategyName::Pf => Strategy::Pf,
            StrategyName::Nightly => Strategy::Nightly,
            StrategyName::Ctctl => Strategy::Ctctl,
        }
    }
}
