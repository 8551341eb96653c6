//! Outcomes of actions.

use super::plan::Action;

/// End of an action.
#[derive(Clone, PartialEq, Debug)]
pub enum Ended {
    /// Done, in whole or as far as there was something to do.
    Done,
    /// Not done by intent (dry run) and nothing was changed.
    DryRun,
    /// Not now; why.
    Deferred(String),
    /// The kernel refused; what it said.
    Failed(String),
}

/// Outcome of an action.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Action that was carried out.
    pub action: Action,
    /// End of the action.
    pub ended: Ended,
    /// Entries asked for (flush) or 1.
    pub requested: u64,
    /// Entries deleted, or 1.
    pub achieved: u64,
    /// Entries that were gone already when their turn came.
    pub already_gone: u64,
    /// Seconds that it took.
    pub duration_seconds: f64,
    /// Usage of the limit before, in percent.
    pub usage_before_percent: f64,
    /// Usage of the limit after, in percent.
    pub usage_after_percent: f64,
}
