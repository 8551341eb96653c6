//! What the timeout sysctls were: an entry keeps the base of its last packet, whatever the sysctl says by now.

use std::collections::BTreeMap;

use crate::model::{Timeout, TimeoutValues};

/// Since when a value has been in force at the earliest, in seconds since the host came up; `None`: nobody knows.
pub(super) type Since = Option<u32>;

/// Every value that each timeout sysctl is known to have had. The kernel's compiled-in values belong to them, for the
/// time before anyone looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutHistory(BTreeMap<Timeout, BTreeMap<u32, Since>>);

impl Default for TimeoutHistory {
    fn default() -> Self {
        let default = |t: Timeout| (t, BTreeMap::from([(t.spec().kernel_default_seconds, None)]));
        TimeoutHistory(Timeout::all().map(default).collect())
    }
}

impl TimeoutHistory {
    /// Remembers current values; one that is new was not there before `since`.
    pub fn saw(&mut self, values: &TimeoutValues, since: Since) {
        for (timeout, seconds) in values {
            self.saw_one(*timeout, *seconds, since);
        }
    }

    /// Remembers one value. What is known to be older stays so.
    pub fn saw_one(&mut self, timeout: Timeout, seconds: u32, since: Since) {
        let known = self.0.entry(timeout).or_default().entry(seconds).or_insert(since);
        *known = known.and_then(|known| since.map(|since| known.min(since)));
    }

    /// Every value that was seen, by name.
    pub fn all(&self) -> impl Iterator<Item = (Timeout, u32)> {
        self.0.iter().flat_map(|(timeout, seconds)| seconds.keys().map(|s| (*timeout, *s)))
    }

    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = (u32, Since)> {
        let values = Timeout::named(name).and_then(|t| self.0.get(&t));
        values.into_iter().flatten().map(|(seconds, since)| (*seconds, *since))
    }
}
