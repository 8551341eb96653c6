//! The pace of acts within a sweep.

use std::time::{Duration, Instant};

use super::sweep::Judge;
use crate::kernel::deleter::Deleter;
use crate::model::Pace;

/// What may be owed before anybody sleeps: a chunk is some 0.5 ms of acts, and a sleep that short takes twice as long
/// as it was meant to (measured: 0.4 to 1 ms).
pub(super) const CREDIT: Duration = Duration::from_millis(5);
/// Keeps to so many a second, and lets go where the table is about to be full.
pub(super) struct Throttle<'a> {
    pace: &'a Pace,
    per_second: u64,
    urgent_at_entries: u64,
    pub(super) started: Instant,
    /// When the chunk under way was begun: what its acts took is part of their time.
    pub(super) begun: Instant,
    pub(super) due: Instant,
    came: u64,
    /// What comes in a second, as was known when it began.
    expected: f64,
}

impl<'a> Throttle<'a> {
    pub(super) fn new(pace: &'a Pace, per_second: u64, urgent_at_entries: u64) -> Self {
        let now = Instant::now();
        Throttle {
            pace,
            per_second,
            urgent_at_entries,
            started: now,
            begun: now,
            due: now,
            came: 0,
            expected: 0.0,
        }
    }

    /// The same; at first so many a second are taken to come. At 0.75 of the most that a machine makes, of 60 runs each, some
    /// were refused in 13 so, in 21 without.
    pub(super) fn expecting(self, coming_per_second: u64) -> Self {
        Throttle { expected: coming_per_second as f64, ..self }
    }

    /// What was done so far is paid for; else the next chunk is let pass, for it would be stale later.
    pub(super) fn ready(&mut self, came: u64) -> bool {
        (self.begun, self.came) = (Instant::now(), came);
        self.due <= self.begun + CREDIT
    }

    pub(super) fn coming_per_second(&self) -> f64 {
        let passed = self.started.elapsed().as_secs_f64().max(Pace::BEGINNING_SECONDS);
        let coming = self.came as f64 / passed;
        if passed < 3.0 * Pace::BEGINNING_SECONDS { coming.max(self.expected) } else { coming }
    }

    /// At the rate of this sweep the table is about to be full within a second.
    pub(super) fn outrun(&self, count: Option<u64>) -> bool {
        let room = count.map(|count| self.urgent_at_entries.saturating_sub(count));
        self.came > 0 && room.is_some_and(|room| self.coming_per_second() >= room as f64)
    }

    /// What came since the sweep began counts too: the plan knew the rate of a moment before it.
    pub(super) fn rate(&self, urgent: bool) -> f64 {
        self.pace.rate(self.per_second as f64, self.coming_per_second(), urgent)
    }

    fn urgent(&self, count: Option<u64>) -> bool {
        count.is_some_and(|count| count >= self.urgent_at_entries)
    }

    pub(super) fn owe(&mut self, done: u64, count: Option<u64>) {
        let urgent = self.urgent(count);
        let from = if urgent { self.begun } else { self.due.max(self.begun) };
        self.due = from + Duration::from_secs_f64(done as f64 / self.rate(urgent).max(1.0));
    }

    /// The next chunk lies ready in the kernel and ages: half of the time that keeps it fresh at most.
    pub(super) fn pause(&self) {
        let owed = self.due.saturating_duration_since(Instant::now());
        if owed > CREDIT {
            std::thread::sleep(owed.min(Deleter::FRESH / 2));
        }
    }

    /// Waits until what was done so far is paid for, for as long as there is patience; not where the table comes to be
    /// about to be full meanwhile, or the sweep is to end. `count`: entries before.
    pub(super) fn rest(&mut self, count: Option<u64>, judge: &mut dyn Judge) {
        let until = self.due.min(Instant::now() + self.patience());
        let before = self.urgent(count);
        while Instant::now() + CREDIT < until && !judge.halted() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()).min(Deleter::FRESH / 2));
            if !before && self.urgent(judge.count()) {
                self.due = Instant::now();
                break;
            }
        }
    }

    /// For how long one may wait before the next chunk. Where acts are few it may grow old, to be asked for once more, so
    /// that the walk does not run away from its pace, with what is to go left behind; for a second altogether, so that
    /// there is an act to tell of.
    fn patience(&self) -> Duration {
        const LONGEST: Duration = Duration::from_millis(250);
        const ALTOGETHER: Duration = Duration::from_secs(1);
        match self.started.elapsed() < ALTOGETHER {
            true => LONGEST,
            false => Deleter::FRESH / 2,
        }
    }
}
