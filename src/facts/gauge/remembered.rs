//! The timeouts that an agent saw, as it leaves them to agents after it and to commands beside it.

use std::collections::BTreeSet;

use super::Gauge;
use crate::act::journal::TimeoutsSeen;
use crate::core::model::Timeout;
use crate::core::state::FirstLook;
use crate::linux::{clock, process};

impl Gauge {
    /// Adds what was seen by an agent before this one.
    pub fn remember(&mut self, seen: &TimeoutsSeen) {
        self.remember_until(seen, seen.last_look_seconds);
    }

    /// Adds what was seen by an agent that may be at work still.
    pub fn remember_beside(&mut self, seen: &TimeoutsSeen) {
        let now = || clock::boottime_seconds() as u32;
        let watcher = seen.watcher.filter(|watcher| process::lives(*watcher));
        if let Some((pid, _)) = watcher {
            self.lookout.knows_agent(pid);
        }
        let looks_on = watcher.map(|_| now());
        self.remember_until(seen, looks_on.or(seen.last_look_seconds));
    }

    pub(super) fn remember_until(&mut self, seen: &TimeoutsSeen, last_look_seconds: Option<u32>) {
        // A namespace that came after another of the same inode.
        if seen.cookie.zip(self.netlink.netns_cookie()).is_some_and(|(then, now)| then != now) {
            return;
        }
        for (name, seconds) in &seen.sysctls {
            if let Some(timeout) = Timeout::named(name) {
                self.history.saw_one(timeout, *seconds, None);
            }
        }
        if let Some((at_seconds, last_seconds)) = seen.first_look_seconds.zip(last_look_seconds) {
            let set_before = seen.set_before.iter().filter_map(|name| Timeout::named(name)).collect();
            self.history.continue_from(FirstLook { at_seconds, set_before }, last_seconds);
        }
        self.policies.learn(seen.policies.iter().cloned());
        self.unheard_until_seconds = self.unheard_until_seconds.max(seen.unheard_until_seconds);
        self.features.flowtables |= seen.flowtables;
    }

    /// All that was ever seen, for agents after this one.
    pub fn seen(&self, boot_id: &str) -> TimeoutsSeen {
        let first = self.history.first_look();
        let names = |set: &BTreeSet<Timeout>| set.iter().map(|timeout| timeout.name().to_owned()).collect();
        TimeoutsSeen {
            boot_id: boot_id.into(),
            inode: self.inode,
            cookie: self.netlink.netns_cookie(),
            sysctls: self
                .history
                .all()
                .map(|(timeout, seconds)| (timeout.name().to_owned(), seconds))
                .collect(),
            policies: self.policies.known().to_vec(),
            unheard_until_seconds: self.unheard_until_seconds,
            flowtables: self.features.flowtables,
            first_look_seconds: first.map(|first| first.at_seconds),
            last_look_seconds: None,
            watcher: process::this_life(),
            set_before: first.map(|first| names(&first.set_before)).unwrap_or_default(),
            suspended: Default::default(),
        }
    }
}
