//! What the next agent has to know of what this one saw.

use std::collections::BTreeMap;

use super::hand::Acting;
use crate::journal::TimeoutsSeen;
use crate::model::Class;

impl Acting {
    /// Classes that are suspended, and when flows of theirs were last found alive: to the minute, for each is a file.
    pub(super) fn suspended(&self) -> BTreeMap<Class, u32> {
        let last =
            |class| self.memory.regretted_seconds.get(class).map_or(0.0, |at| (at / 60.0).ceil() * 60.0);
        self.memory.suspended.iter().map(|class| (*class, last(class) as u32)).collect()
    }

    /// Timeouts that were in force outlive this agent, for the proofs of the next; and so do classes whose proofs failed.
    pub(super) fn save_seen(&mut self) {
        let seen = TimeoutsSeen { suspended: self.suspended(), ..self.gauge.seen(&self.boot_id) };
        if seen != self.seen && seen.save(&self.ground.state_dir).is_ok() {
            self.seen = seen;
        }
    }
}
