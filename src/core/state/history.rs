//! Values that the timeout sysctls had: an entry keeps the base of its last packet, whatever the sysctl says by now.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::model::{Timeout, TimeoutValues};

/// Since when a value has been in force at the earliest, in seconds since the host came up; `None`: nobody knows.
pub(super) type Since = Option<u32>;

/// The first of the looks at the timeouts that have followed each other without a gap up to now. What was set and set
/// again before it nobody knows: neither in the boot before any agent, nor between two agents, nor while one was
/// stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstLook {
    /// Time of the look, in seconds since the host came up.
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

/// Looks that are further apart leave a gap. An agent looks four times a second, and a restart of its service takes
/// less.
const GAP_SECONDS: u32 = 3;

impl TimeoutHistory {
    /// Looks at current values at `now`, in seconds since the host came up. A value that is new was not in force at the
    /// last look.
    pub fn look(&mut self, values: &TimeoutValues, now: u32) {
        let since = self.looked_at_seconds.replace(now);
        if since.is_none_or(|since| now > since.saturating_add(GAP_SECONDS)) {
            self.first_look = None;
        }
        let set = |(timeout, seconds): (&Timeout, &u32)| {
            (*seconds != timeout.spec().kernel_default_seconds).then_some(*timeout)
        };
        self.first_look.get_or_insert_with(|| FirstLook {
            at_seconds: now,
            set_before: values.iter().filter_map(set).collect(),
        });
        self.saw(values, since);
    }

    /// Looks of an earlier process, from `first` to `last_seconds` without a gap. They are those of this one too if it
    /// began within 3 s of their end.
    pub fn continue_from(&mut self, first: FirstLook, last_seconds: u32) {
        match &self.first_look {
            None => (self.first_look, self.looked_at_seconds) = (Some(first), Some(last_seconds)),
            Some(own) if own.at_seconds <= last_seconds.saturating_add(GAP_SECONDS) => {
                self.first_look = Some(first)
            }
            Some(_) => {}
        }
    }

    /// Time of the last look at the values, in seconds since the host came up.
    pub fn last_look_seconds(&self) -> Option<u32> {
        self.looked_at_seconds
    }

    /// The first of the looks without a gap up to now.
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

    /// Takes over what somebody knows who has looked at the timeouts for longer: all values, each with since when it
    /// has been in force at the earliest, and when that look was.
    pub fn replace(
        &mut self,
        values: impl Iterator<Item = (Timeout, u32, Option<u32>)>,
        looked_at: Option<u32>,
    ) {
        let mut all: BTreeMap<Timeout, BTreeMap<u32, Since>> = BTreeMap::new();
        for (timeout, seconds, since) in values {
            all.entry(timeout).or_default().insert(seconds, since);
        }
        (self.values, self.looked_at_seconds) = (all, looked_at);
    }

    /// Every value that was seen, and since when it has been in force at the earliest, in seconds since the host came
    /// up.
    pub fn all_since(&self) -> impl Iterator<Item = (Timeout, u32, Option<u32>)> {
        let of = |(timeout, values): (&Timeout, &BTreeMap<u32, Since>)| {
            let timeout = *timeout;
            values.iter().map(|(seconds, since)| (timeout, *seconds, *since)).collect::<Vec<_>>()
        };
        self.values.iter().flat_map(of)
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

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "udp_timeout_stream";

    fn values(seconds: u32) -> TimeoutValues {
        [(Timeout::named(STREAM).expect("a timeout"), seconds)].into()
    }

    fn first(history: &TimeoutHistory) -> (u32, bool) {
        let first = history.first_look().expect("it looked");
        (first.at_seconds, !first.set_before.is_empty())
    }

    #[test]
    fn what_was_set_and_set_back_between_two_looks_is_not_known() {
        let mut history = TimeoutHistory::default();
        (100..200).for_each(|now| history.look(&values(600), now));
        assert_eq!(first(&history), (100, true));
        history.look(&values(600), 199 + GAP_SECONDS);
        assert_eq!(first(&history), (100, true), "no gap yet");
        history.look(&values(600), 203 + 2 * GAP_SECONDS);
        assert_eq!(first(&history), (203 + 2 * GAP_SECONDS, true), "a stopped agent sees nothing");
    }

    #[test]
    fn looks_of_the_agent_before_count_where_this_one_came_right_after() {
        let before = || FirstLook { at_seconds: 10, ..FirstLook::default() };
        for (last, now, expected) in [(100, 102, 10), (100, 110, 110), (0, 110, 110)] {
            // A command knows of the agent before it looks, an agent looks first.
            let mut command = TimeoutHistory::default();
            command.continue_from(before(), last);
            command.look(&values(600), now);
            assert_eq!(first(&command).0, expected, "{last} {now}");
            let mut agent = TimeoutHistory::default();
            agent.look(&values(600), now);
            agent.continue_from(before(), last);
            assert_eq!(first(&agent).0, expected, "{last} {now}");
        }
    }
}
