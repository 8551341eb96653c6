//! The facts and settings that one decision rests on, with the figures that they make.

use super::{limit, seconds_to_full, usage_percent};
use crate::core::model::{Settings, Snapshot};

/// Snapshot and settings of one decision; each figure that several rules use is computed once.
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
}
