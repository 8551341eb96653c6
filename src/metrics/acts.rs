//! Counters of the agent's acts.

use std::collections::BTreeMap;

use crate::core::model::{Draft, RecordEvent};

/// Upper bounds of the histogram's buckets, in seconds; the last is infinite.
pub(super) const BOUNDS_SECONDS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Acts since the agent's start.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    /// Number of acts, by action and result.
    pub(super) results: BTreeMap<(String, &'static str), u64>,
    /// Number of acts whose duration is up to each bound and over the one before; the last counts those over all
    /// bounds.
    pub(super) durations: [u64; BOUNDS_SECONDS.len() + 1],
    pub(super) duration_seconds: f64,
    /// Number of values that another program set.
    pub(super) overridden: u64,
}

impl Acts {
    /// Counts a record of the journal. An intent is not counted: its act has no result yet.
    pub fn count(&mut self, draft: &Draft) {
        if draft.event == RecordEvent::Drift {
            self.overridden += 1;
            return;
        }
        let (Some(action), false) = (&draft.action, draft.event == RecordEvent::Intend) else { return };
        let result = match (draft.dry_run, draft.event) {
            (true, RecordEvent::Done) => "would",
            (_, event) => event.name(),
        };
        *self.results.entry((action.clone(), result)).or_default() += 1;
        if let Some(seconds) = draft.duration_seconds.filter(|seconds| seconds.is_finite()) {
            let bucket = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
            self.durations[bucket.unwrap_or(BOUNDS_SECONDS.len())] += 1;
            self.duration_seconds += seconds.max(0.0);
        }
    }
}
