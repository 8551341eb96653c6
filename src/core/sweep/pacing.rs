//! Paces the acts of a sweep. The clock is an argument: each moment is the time since the sweep began.

use std::time::Duration;

use crate::core::model::Pace;

/// Pacing delay that is not waited out: the acts of a batch take some 0.5 ms, and a sleep that short takes twice as
/// long as it was meant to (measured: 0.4 to 1 ms).
pub const CREDIT: Duration = Duration::from_millis(5);

/// Keeps acts to a rate, and lets them pass where the table is about to be full.
#[derive(Clone, Debug)]
pub struct Pacing {
    pace: Pace,
    per_second: u64,
    urgent_at_entries: u64,
    /// Moment at which the batch under way was begun: the time of its acts is part of theirs.
    pub(super) begun: Duration,
    pub(super) due: Duration,
    came: u64,
    /// Entries that come in a second, as was known when the sweep began.
    expected: f64,
}

impl Pacing {
    /// Paces `per_second` acts, but no longer from `urgent_at_entries` entries in the table on.
    pub fn new(pace: &Pace, per_second: u64, urgent_at_entries: u64) -> Self {
        Pacing {
            pace: *pace,
            per_second,
            urgent_at_entries,
            begun: Duration::ZERO,
            due: Duration::ZERO,
            came: 0,
            expected: 0.0,
        }
    }

    /// Starts with an assumed arrival rate of `coming_per_second`, until the first measurement. At 0.75 of the most
    /// that a machine makes, of 60 runs each, some entries were refused in 13 with it, in 21 without.
    pub fn expecting(self, coming_per_second: u64) -> Self {
        Pacing { expected: coming_per_second as f64, ..self }
    }

    /// Begins a batch, `came` entries having come since the sweep began. True if what was done so far has been waited
    /// for; otherwise the batch is let pass, for it would be old later.
    pub fn ready(&mut self, came: u64, now: Duration) -> bool {
        (self.begun, self.came) = (now, came);
        self.due <= self.begun + CREDIT
    }

    fn coming_per_second(&self, now: Duration) -> f64 {
        let passed = now.as_secs_f64().max(Pace::BEGINNING_SECONDS);
        let coming = self.came as f64 / passed;
        if passed < 3.0 * Pace::BEGINNING_SECONDS { coming.max(self.expected) } else { coming }
    }

    /// True if at the rate of this sweep the table is about to be full within a second.
    pub fn outrun(&self, count: Option<u64>, now: Duration) -> bool {
        let room = count.map(|count| self.urgent_at_entries.saturating_sub(count));
        self.came > 0 && room.is_some_and(|room| self.coming_per_second(now) >= room as f64)
    }

    /// Acts a second. What came since the sweep began counts too: the plan knew the rate of a moment before it.
    pub(super) fn rate(&self, urgent: bool, now: Duration) -> f64 {
        self.pace.rate(self.per_second as f64, self.coming_per_second(now), urgent)
    }

    /// True if the table is about to be full.
    pub fn urgent(&self, count: Option<u64>) -> bool {
        count.is_some_and(|count| count >= self.urgent_at_entries)
    }

    /// Adds the delay of `done` acts.
    pub fn owe(&mut self, done: u64, count: Option<u64>, now: Duration) {
        let urgent = self.urgent(count);
        let from = if urgent { self.begun } else { self.due.max(self.begun) };
        self.due = from + Duration::from_secs_f64(done as f64 / self.rate(urgent, now).max(1.0));
    }

    /// The table is about to be full: nothing is waited for any more.
    pub fn let_go(&mut self, now: Duration) {
        self.due = now;
    }

    /// Delay that is left of what was done.
    pub fn owed(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }
}
