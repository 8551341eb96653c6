//! Fair share on the modelled table: payers give up entries, un-ASSURED first, then ASSURED, longest idle first.

use std::cmp::Reverse;

use super::eye::Seen;
use super::weighing::sources_within;
use crate::model::{Due, Traffic};

/// What the sources of each group owe together: all of them hold the same.
#[derive(Clone, Debug)]
pub struct Dues {
    by_group: Vec<u64>,
}

impl Dues {
    /// Adds up what the holders in each group owe; where a holder is of several, in proportion to what may be taken
    /// of it in each.
    pub fn of(dues: &[Due], floor_seconds: u32, seen: &[Seen], traffic: &[Traffic]) -> Self {
        let mut each = vec![0.0; traffic.len()];
        let takeable = |seen: &&Seen| {
            !seen.state.unreplied() && seen.idle_unprotected.is_some_and(|idle| idle >= floor_seconds)
        };
        for seen in seen.iter().filter(takeable) {
            each[seen.group] += seen.count as f64 / traffic[seen.group].sources.max(1) as f64;
        }
        let mut owed = vec![0.0; traffic.len()];
        for due in dues {
            let holds: Vec<f64> = traffic
                .iter()
                .zip(&each)
                .map(|(traffic, each)| sources_within(traffic, due.holder.net) as f64 * each)
                .collect();
            let all: f64 = holds.iter().sum();
            for (owed, holds) in owed.iter_mut().zip(&holds).filter(|(_, holds)| **holds > 0.0) {
                *owed += f64::from(due.entries) * holds / all;
            }
        }
        Dues { by_group: owed.into_iter().map(|owed: f64| owed.round() as u64).collect() }
    }

    /// Whether such entries, unprotected and idle for long enough, are asked for.
    pub fn ask(&self, seen: &Seen) -> bool {
        !seen.state.unreplied() && self.by_group[seen.group] > 0
    }

    /// Cuts what may go to what is due, in the order in which it goes.
    pub fn cut(&self, wanted: &mut Vec<(&Seen, u64)>) {
        wanted.sort_by_key(|(seen, _)| (seen.state.assured(), Reverse(seen.idle_unprotected), seen.id));
        let mut left = self.by_group.clone();
        for (seen, n) in wanted.iter_mut() {
            *n = (*n).min(left[seen.group]);
            left[seen.group] -= *n;
        }
        wanted.retain(|(_, n)| *n > 0);
    }

    /// So many of those went.
    pub fn paid(&mut self, seen: &Seen, n: u64) {
        self.by_group[seen.group] = self.by_group[seen.group].saturating_sub(n);
    }
}
