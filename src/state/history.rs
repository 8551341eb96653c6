//! What the timeout sysctls were: an entry keeps the base of its last packet, whatever the sysctl says by now.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Timeout, TimeoutValues};

/// Since when a value has been in force at the earliest, in seconds since the host came up; `None`: nobody knows.
pub(super) type Since = Option<u32>;

/// The first look at the timeouts in this boot. What was set and set again before it nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstLook {
    /// When it was, in seconds since the host came up.
    pub at_seconds: u32,
    /// Timeouts that had another value than the kernel's own then: somebody had set them, perhaps a moment before.
    pub set_before: BTreeSet<Timeout>,
}

/// Every value that each timeout sysctl is known to have had. The kernel's compiled-in values belong to them, for the
/// time before anyone looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutHistory {
    values: BTreeMap<Timeout, BTreeMap<u32, Since>>,
    /// `None`: the past is known.
    first_look: Option<FirstLook>,
    looked_at_seconds: Since,
}

impl Default for TimeoutHistory {
    fn default() -> Self {
        let default = |t: Timeout| (t, BTreeMap::from([(t.spec().kernel_default_seconds, None)]));
        let values = Timeout::all().map(default).collect();
        TimeoutHistory { values, first_look: None, looked_at_seconds: None }
    }
}

impl TimeoutHistory {
    /// Looks at current values at `now`, in seconds since the host came up. A value that is new was not in force at the
    /// last look.
    pub fn look(&mut self, values: &TimeoutValues, now: u32) {
        let since = self.looked_at_seconds.replace(now);
        let set = |(timeout, seconds): (&Timeout, &u32)| {
            (*seconds != timeout.spec().kernel_default_seconds).then_some(*timeout)
        };
        self.first_look.get_or_insert_with(|| FirstLook {
            at_seconds: now,
            set_before: values.iter().filter_map(set).collect(),
        });
        self.saw(values, since);
    }

    /// A look of this boot that was before those of this process.
    pub fn remember_first_look(&mut self, first: FirstLook) {
        if self.first_look.as_ref().is_none_or(|known| first.at_seconds <= known.at_seconds) {
            self.first_look = Some(first);
        }
    }

    /// The first look of this boot that is known.
    pub fn first_look(&self) -> Option<&FirstLook> {
        self.first_look.as_ref()
    }

    /// Remembers current values; one that is new was not there before `since`.
    pub fn saw(&mut self, values: &TimeoutValues, since: Since) {
        for (timeout, seconds) in values {
            self.saw_one(*timeout, *seconds, since);
        }
    }

    /// Remembers one value. What is known to be older stays so.
    pub fn saw_one(&mut self, timeout: Timeout, seconds: u32, since: Since) {
        let known = self.values.entry(timeout).or_default().entry(seconds).or_insert(since);
        *known = known.and_then(|known| since.map(|since| known.min(since)));
    }

    /// Every value that was seen, by name.
    pub fn all(&self) -> impl Iterator<Item = (Timeout, u32)> {
        self.values.iter().flat_map(|(timeout, seconds)| seconds.keys().map(|s| (*timeout, *s)))
    }

    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = (u32, Since)> {
        let values = Timeout::named(name).and_then(|t| self.values.get(&t));
        values.into_iter().flatten().map(|(seconds, since)| (*seconds, *since))
    }
}
