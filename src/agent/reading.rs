//! Logs that the actor cannot read the kernel, and sets a value again that went back to the module's default.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::actor::Actor;
use super::seldom::Seldom;
use crate::core::model::{EventsSetting, Snapshot, Value};
use crate::error::{Error, Result};
use crate::linux::event_masks;

/// `nf_conntrack_events` is not set again more often.
const EVENTS_AGAIN_SECONDS: f64 = 60.0;

/// Troubles that were logged of late.
#[derive(Debug)]
pub(super) struct Reading {
    unreadable: Seldom,
    events_set_at_seconds: f64,
    /// The ruleset that was read last.
    rules: Option<u32>,
    /// The next is not read before.
    rules_not_before_seconds: f64,
}

impl Default for Reading {
    fn default() -> Self {
        Reading {
            unreadable: Seldom::default(),
            events_set_at_seconds: f64::NEG_INFINITY,
            rules: None,
            rules_not_before_seconds: f64::NEG_INFINITY,
        }
    }
}

impl Actor {
    /// Lets the other threads know whether the table could be read, and whether ctnetlink answers.
    pub(super) fn tell_what_was_read(&mut self, read: &Result<Snapshot>) {
        let numbers = &self.parts.numbers;
        numbers.unreadable.set(read.as_ref().err().map(Error::to_string));
        numbers.unanswered.set(self.gauge.ctnetlink_trouble());
        if read.is_ok() {
            self.reading.unreadable.over();
        }
    }

    /// Warns that the table cannot be read, unless that was said of late.
    pub(super) fn warn_unreadable(&mut self, error: &Error) {
        if let Some(left_out) = self.reading.unreadable.again(Instant::now()) {
            let more = if left_out > 0 {
                format!(" ({left_out} more times since the last warning)")
            } else {
                String::new()
            };
            tracing::warn!(netns = %self.netns.key(), %error, "the table cannot be read{more}");
        }
    }

    /// Looks once a second at what is beside the table.
    pub(super) fn look_beside(&mut self, values: &BTreeMap<Value, u64>, now_seconds: f64) {
        self.set_events_again(values, now_seconds);
        self.look_for_event_masks(now_seconds);
    }

    /// Sets `nf_conntrack_events` again where it has gone back: a module that was loaded anew has its default, and that
    /// is nobody's wish. Whoever wants another value has `[agent] events = "keep"`.
    fn set_events_again(&mut self, values: &BTreeMap<Value, u64>, now_seconds: f64) {
        let wanted = self.settings.agent.events == EventsSetting::On && !self.writer.dry();
        let default = values.get(&Value::Events) == Some(&2);
        if wanted && default && now_seconds - self.reading.events_set_at_seconds >= EVENTS_AGAIN_SECONDS {
            self.reading.events_set_at_seconds = now_seconds;
            self.set_events_anew();
        }
    }

    /// Reads the rules again if they have changed, and tells whether one of them masks events. A ruleset that changes
    /// all the time costs a twentieth of a core at most.
    fn look_for_event_masks(&mut self, now_seconds: f64) {
        if now_seconds < self.reading.rules_not_before_seconds {
            return;
        }
        // Without nf_tables there are no rules; what cannot be read now is asked for again.
        let Ok(generation) = event_masks::generation(self.gauge.netlink()) else { return };
        if generation == self.reading.rules {
            return;
        }
        let started = Instant::now();
        let Ok(masked) = event_masks::any(self.gauge.netlink()) else { return };
        self.reading.rules = generation;
        self.reading.rules_not_before_seconds = now_seconds + 20.0 * started.elapsed().as_secs_f64();
        self.parts.numbers.masked.store(masked, Relaxed);
    }
}
