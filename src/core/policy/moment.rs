//! The facts and settings that one decision rests on, with the figures that they make.

use super::{limit, seconds_to_full, share, usage_percent};
use crate::core::model::{Settings, Snapshot};

/// Snapshot and settings of one decision, made once in [`decide`](super::decide); each figure that several rules use is computed once.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    /// Facts about the table and the host.
    pub(super) snapshot: &'a Snapshot,
    /// Settings that are in force.
    pub(super) settings: &'a Settings,
    /// Entries that the namespace may hold; `None` without a limit.
    pub(super) limit: Option<u64>,
    /// Usage of the limit in percent; 0 without a limit.
    pub(super) usage_percent: f64,
    /// Seconds until the table is full at the present growth; `None` where it does not grow.
    pub(super) seconds_to_full: Option<f64>,
}

impl<'a> Moment<'a> {
    /// Computes the figures from the facts and the settings.
    pub(super) fn new(snapshot: &'a Snapshot, settings: &'a Settings) -> Self {
        Moment {
            snapshot,
            settings,
            limit: limit(snapshot, settings),
            usage_percent: usage_percent(snapshot, settings),
            seconds_to_full: seconds_to_full(snapshot, settings),
        }
    }

    /// Entries over the target where the namespace may hold `limit`.
    pub(super) fn excess(&self, limit: u64) -> u64 {
        self.snapshot.entries.saturating_sub(share(limit, self.settings.pressure.target_percent))
    }

    /// Entries that there is room for; without a limit no end of them.
    pub(super) fn room(&self) -> f64 {
        self.limit.map_or(f64::INFINITY, |limit| limit.saturating_sub(self.snapshot.entries) as f64)
    }

    /// Entries that come in a second, where they would fill the table within the horizon; else 0: nothing that a pace
    /// has to answer to.
    pub(super) fn coming_soon(&self) -> f64 {
        let soon = self.seconds_to_full.is_some_and(|s| s <= self.settings.pressure.horizon_seconds);
        if soon { self.snapshot.new_per_second.unwrap_or(0.0).max(0.0) } else { 0.0 }
    }
}
