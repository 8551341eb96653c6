//! What the hand tells of its reading the kernel: when that fails, and when a value is the module's default again.

use std::collections::BTreeMap;
use std::time::Instant;

use super::hand::Acting;
use super::seldom::Seldom;
use crate::error::{Error, Result};
use crate::model::{EventsSetting, Snapshot};

/// `nf_conntrack_events` is not set again more often.
const EVENTS_AGAIN_SECONDS: f64 = 60.0;

/// What was told of late.
#[derive(Debug)]
pub(super) struct Reading {
    unreadable: Seldom,
    events_set_at_seconds: f64,
}

impl Default for Reading {
    fn default() -> Self {
        Reading { unreadable: Seldom::default(), events_set_at_seconds: f64::NEG_INFINITY }
    }
}

impl Acting {
    /// Lets the other threads know whether the table could be read, and whether ctnetlink answers.
    pub(super) fn tell_what_was_read(&mut self, read: &Result<Snapshot>) {
        let numbers = &self.ground.numbers;
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

    /// Sets `nf_conntrack_events` again where it has gone back: a module that was loaded anew has its default, and that
    /// is nobody's wish. Whoever wants another value has `[agent] events = "keep"`.
    pub(super) fn set_events_again(&mut self, values: &BTreeMap<String, u64>, now_seconds: f64) {
        let wanted = self.settings.agent.events == EventsSetting::On && !self.hand.dry();
        let default = values.get("events") == Some(&2);
        if wanted && default && now_seconds - self.reading.events_set_at_seconds >= EVENTS_AGAIN_SECONDS {
            self.reading.events_set_at_seconds = now_seconds;
            self.set_events_anew();
        }
    }
}
