//! Saves what the next agent has to know of the timeouts that this one saw.

use std::collections::BTreeMap;

use super::actor::Actor;
use crate::act::journal::{Ticket, TimeoutsSeen};
use crate::core::model::Class;

impl Actor {
    /// Classes that are suspended, and when flows of theirs were last found alive: to the minute, for each is a file.
    pub(super) fn suspended(&self) -> BTreeMap<Class, u32> {
        let last =
            |class| self.memory.regretted_seconds.get(class).map_or(0.0, |at| (at / 60.0).ceil() * 60.0);
        self.memory.suspended.iter().map(|class| (*class, last(class) as u32)).collect()
    }

    /// Timeouts that were in force outlive this agent, for the proofs of the next; and so do classes whose proofs
    /// failed.
    pub(super) fn save_seen(&mut self) {
        let seen = TimeoutsSeen { suspended: self.suspended(), ..self.gauge.seen(&self.boot_id) };
        if seen != self.seen {
            self.seen = seen;
            self.record_seen();
        }
    }

    /// Saves them at the end, with the time of the last look.
    pub(super) fn save_last_look(&mut self) {
        let last_look_seconds = self.gauge.history().last_look_seconds();
        let seen = self.gauge.seen(&self.boot_id);
        self.seen = TimeoutsSeen { suspended: self.suspended(), last_look_seconds, watcher: None, ..seen };
        self.record_seen();
    }

    /// Has it written where it is not on disk yet; the ticket for that.
    fn record_seen(&self) -> Option<Ticket> {
        self.keeper.record(&TimeoutsSeen::path(&self.parts.state_dir), self.seen.text())
    }

    /// [`Actor::save_seen`], with the ticket for what is to be on disk before a timeout is written.
    pub(super) fn saved_seen(&mut self) -> Option<Ticket> {
        self.save_seen();
        self.record_seen()
    }
}
