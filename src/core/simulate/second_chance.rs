//! The second chances that the agent knows to run on the modelled table.

use std::collections::BTreeMap;

use super::table::Table;
use crate::core::model::Chances;
use crate::core::state::SecondChances;

/// Cohorts in their grace.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// By the cohort's id: the number of entries, and when their chance runs out on the host's clock.
    cohorts: BTreeMap<u32, (u64, f64)>,
}

impl Given {
    /// Without a scan after the last has run out, they are forgotten (`SecondChances`).
    const FORGOTTEN_SECONDS: f64 = 10.0;

    /// `count` entries were given a second chance that ends then.
    pub fn give(&mut self, id: u32, count: u64, ends_seconds: f64) {
        self.cohorts.insert(id, (count, ends_seconds));
    }

    /// A scan of the whole table knows who is gone, and who had a packet.
    pub fn scanned(&mut self, table: &Table) {
        let mut left: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, cohort) in table.cohorts().filter(|(_, cohort)| cohort.grace) {
            *left.entry(cohort.id).or_default() += cohort.count;
        }
        self.cohorts.retain(|id, (count, _)| {
            *count = left.get(id).copied().unwrap_or(0);
            *count > 0
        });
    }

    /// As a fact.
    pub fn facts(&mut self, now_seconds: f64) -> Chances {
        let ends = self.cohorts.values().map(|(_, ends)| *ends);
        let (first, last) =
            ends.fold((f64::INFINITY, 0.0f64), |(first, last), end| (first.min(end), last.max(end)));
        if last + Self::FORGOTTEN_SECONDS < now_seconds {
            self.cohorts.clear();
        }
        let waiting = self.cohorts.values().map(|(count, _)| count).sum();
        let known = |seconds: f64| if waiting > 0 { seconds } else { 0.0 };
        Chances {
            waiting,
            first_ends_seconds: known(first),
            last_ends_seconds: known(last),
            room: (SecondChances::BOUND as u64).saturating_sub(waiting),
        }
    }
}
