//! Deletions that came to be regretted.

use serde::{Deserialize, Serialize};

use super::class::Class;

/// One class's deletions, and how many of them hit a flow that lived.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClassRegret {
    /// Class of the deleted entries.
    pub class: Class,
    /// Entries that were ever deleted.
    pub flushed: u64,
    /// Deletions after which the flow was listened for, ever. Where they were too many some of them were, each of which
    /// stands for as many as were not, here and in what follows.
    pub watched: u64,
    /// Of these, how many flows were heard of again within a minute, ever.
    pub regretted: u64,
    /// `watched` of the last 5 to 10 minutes.
    pub recent_watched: u64,
    /// `regretted` of the same deletions.
    pub recent_regretted: u64,
    /// Number of these flows, without those that each stands for.
    pub recent_heard: u64,
    /// Time at which a flow was heard of again last, `Snapshot::now_seconds`' clock.
    pub last_seconds: Option<f64>,
}

impl ClassRegret {
    /// Nothing was deleted yet.
    pub fn none(class: Class) -> Self {
        ClassRegret {
            class,
            flushed: 0,
            watched: 0,
            regretted: 0,
            recent_watched: 0,
            recent_regretted: 0,
            recent_heard: 0,
            last_seconds: None,
        }
    }

    /// The regretted share of the watched, ever; `None` where none was watched.
    pub fn percent(&self) -> Option<f64> {
        share(self.regretted, self.watched)
    }

    /// Share of regretted deletions of the last 5 to 10 minutes.
    pub fn recent_percent(&self) -> Option<f64> {
        share(self.recent_regretted, self.recent_watched)
    }
}

/// The regretted share over all classes, in percent; `None` where nothing was watched.
pub fn regret_percent(classes: &[ClassRegret]) -> Option<f64> {
    let sum = |of: fn(&ClassRegret) -> u64| classes.iter().map(of).fold(0u64, u64::saturating_add);
    share(sum(|class| class.regretted), sum(|class| class.watched))
}

fn share(regretted: u64, watched: u64) -> Option<f64> {
    (watched > 0).then(|| 100.0 * regretted as f64 / watched as f64)
}
