//! The timeouts that an agent saw, and when each came into force, as it tells them to a command.

use serde::{Deserialize, Serialize};

use super::Gauge;
use crate::act::journal::TimeoutsSeen;
use crate::core::model::Timeout;
use crate::linux::clock;

/// More than what outlives an agent on disk: a value that is known to be in force only since a moment explains no
/// silence from before it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TimeoutsTold {
    /// The part that outlives the agent.
    #[serde(flatten)]
    pub seen: TimeoutsSeen,
    /// Sysctl name after `nf_conntrack_`, a value that it had, and since when at the earliest, in seconds since the
    /// host came up; null: nobody knows.
    #[serde(default)]
    pub history: Vec<(String, u32, Option<u32>)>,
}

impl Gauge {
    /// For a command beside the agent.
    pub fn tell(&mut self, boot_id: &str) -> TimeoutsTold {
        let seen = self.seen(boot_id);
        let history = self.history();
        let of = |(timeout, seconds, since): (Timeout, u32, Option<u32>)| {
            (timeout.name().to_owned(), seconds, since)
        };
        TimeoutsTold { seen, history: history.all_since().map(of).collect() }
    }

    /// Takes over what an agent of this boot and namespace has told just now: it looks on.
    pub fn believe(&mut self, told: &TimeoutsTold) {
        let now = clock::boottime_seconds() as u32;
        self.remember_until(&told.seen, Some(now));
        let of = |(name, seconds, since): &(String, u32, Option<u32>)| {
            Some((Timeout::named(name)?, *seconds, *since))
        };
        if !told.history.is_empty() {
            self.history().replace(told.history.iter().filter_map(of), Some(now));
        }
    }
}
