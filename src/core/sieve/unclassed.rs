//! Counts entries of no class by their state, so that a table that fills with them can say so.

use crate::core::model::{GroupPlace, Judged, Silence, Unclassed};

/// By protocol and state; few of the places are ever in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Unclasseds(Vec<(GroupPlace, Unclassed)>);

impl Unclasseds {
    /// `n` entries that are alike.
    pub(super) fn add(&mut self, judged: &Judged, n: u64) {
        let place = judged.group;
        let at = self.0.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
            self.0.push((place, Unclassed::empty(place.state(), judged.timeout)));
            self.0.len() - 1
        });
        let silence = Silence {
            certain: judged.idle_seconds,
            exact: judged.exact,
            likely: judged.presumed_seconds.max(judged.idle_seconds),
            left: judged.left_seconds,
        };
        self.0[at].1.add(silence, n);
    }

    /// All of them, the most frequent first.
    pub(super) fn rows(self) -> Vec<Unclassed> {
        let mut rows: Vec<Unclassed> = self.0.into_iter().map(|(_, seen)| seen).collect();
        rows.sort_by(|a, b| (b.entries, &a.state).cmp(&(a.entries, &b.state)));
        rows
    }
}
