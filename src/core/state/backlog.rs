//! Measures the time for which events wait to be counted, and the room that they need meanwhile.

/// Lag and stalls of one event stream, and the room that follows from them: events a second, times the longest stall,
/// times what the kernel charges for a queued event. Both are the most that was seen, and no less than expected.
/// Moments are seconds of any clock that only goes forward.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Nothing was queued then.
    empty_at: f64,
    /// Part of what was queued is still there.
    behind: bool,
    lag_seconds: f64,
    longest_stall_seconds: f64,
    /// Taken since then.
    events: u64,
    events_since: f64,
    most_per_second: f64,
}

impl Backlog {
    /// More than half of the events that two cores can cause when they do nothing else.
    pub const EXPECTED_PER_SECOND: f64 = 100_000.0;
    /// Seconds for which a busy host keeps a thread from running now and then.
    pub const EXPECTED_STALL_SECONDS: f64 = 1.0;
    /// A thread that stood still for longer was stopped: no buffer saves that, a dump does.
    const LONGEST_STALL_SECONDS: f64 = 10.0;
    /// A queue that nobody empties takes at most one part in this number of the host's memory, for kernel memory
    /// cannot be swapped.
    const PART_OF_MEMORY: u64 = 16;
    /// A wait that ends later than this after its time was a stall.
    const PUNCTUAL_SECONDS: f64 = 0.01;
    /// A shorter time says more of the scheduler than of the stream.
    const PACE_SECONDS: f64 = 0.2;

    /// An empty queue.
    pub fn new(now: f64) -> Self {
        Backlog {
            empty_at: now,
            behind: false,
            lag_seconds: 0.0,
            longest_stall_seconds: 0.0,
            events: 0,
            events_since: now,
            most_per_second: 0.0,
        }
    }

    /// The thread waited for an event until `meant` at the latest, and came back at `now`: an event that it finds
    /// came a moment ago, or while the thread was kept from running.
    pub fn waited(&mut self, meant: f64, now: f64) {
        self.empty_at = if now > meant + Self::PUNCTUAL_SECONDS { meant } else { now };
    }

    /// Events were taken from `began` to `now`, or none were there; `more` may be queued still.
    pub fn taken(&mut self, received: usize, began: f64, now: f64, more: bool) {
        if received > 0 {
            let waited = (began - self.empty_at).max(0.0);
            self.lag_seconds = self.lag_seconds.max(waited);
            // A thread that is behind works: it does not stand still.
            if !self.behind {
                self.longest_stall_seconds = self.longest_stall_seconds.max(waited);
            }
        }
        self.events += received as u64;
        self.behind = more;
        if !more {
            self.empty_at = now;
        }
    }

    /// Counts events that found no room: they came as well.
    pub fn lost(&mut self, events: u64) {
        self.events += events;
    }

    /// Takes the pace, now and then. While the queue is not empty, how fast it is read says nothing of how fast it
    /// fills.
    pub fn pace(&mut self, now: f64) {
        let passed = now - self.events_since;
        if self.behind || passed < Self::PACE_SECONDS {
            return;
        }
        self.most_per_second = self.most_per_second.max(self.events as f64 / passed);
        (self.events, self.events_since) = (0, now);
    }

    /// Longest time for which an event that was taken since the last call had waited.
    pub fn take_lag_seconds(&mut self) -> f64 {
        std::mem::take(&mut self.lag_seconds)
    }

    /// The longest that the queue was left alone with an event in it.
    pub fn longest_stall_seconds(&self) -> f64 {
        self.longest_stall_seconds
    }

    /// The most events a second, over a fifth of one or longer.
    pub fn most_per_second(&self) -> f64 {
        self.most_per_second
    }

    /// Bytes of buffer by the rule, where an event takes `event_bytes`; bounded by the host's memory.
    pub fn wanted_bytes(&self, event_bytes: usize, memory_bytes: u64) -> usize {
        let stall =
            self.longest_stall_seconds.clamp(Self::EXPECTED_STALL_SECONDS, Self::LONGEST_STALL_SECONDS);
        let events = self.most_per_second.max(Self::EXPECTED_PER_SECOND) * stall;
        let bound = match memory_bytes {
            0 => u64::MAX,
            known => known / Self::PART_OF_MEMORY,
        };
        // The kernel's bound is an int (`sk_rcvbuf`).
        ((events * event_bytes as f64) as u64).min(bound).min(i32::MAX as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENT: usize = 1280;
    const GIB: u64 = 1 << 30;

    #[test]
    fn what_is_expected_stands_until_more_is_seen() {
        let mut backlog = Backlog::new(0.0);
        assert_eq!(backlog.wanted_bytes(EVENT, 64 * GIB), 128_000_000);
        backlog.taken(50_000, 0.5, 0.5, false);
        backlog.pace(1.0);
        assert_eq!((backlog.most_per_second(), backlog.longest_stall_seconds()), (50_000.0, 0.5));
        assert_eq!(backlog.wanted_bytes(EVENT, 64 * GIB), 128_000_000);
        backlog.taken(400_000, 2.0, 3.0, false);
        backlog.pace(3.0);
        assert_eq!((backlog.most_per_second(), backlog.longest_stall_seconds()), (200_000.0, 1.5));
        assert_eq!(backlog.wanted_bytes(EVENT, 64 * GIB), 200_000 * 3 / 2 * EVENT);
        // Never beyond what the host can spare, and an hour's stop is no reason to be greedy.
        assert_eq!(backlog.wanted_bytes(EVENT, GIB), (GIB / 16) as usize);
        backlog.taken(5, 3603.0, 3603.0, false);
        assert_eq!(backlog.wanted_bytes(EVENT, 64 * GIB), i32::MAX as usize);
    }

    #[test]
    fn lag_is_how_long_the_oldest_waited_and_is_told_once() {
        let mut backlog = Backlog::new(0.0);
        // Behind by its own work: what is left ages, and nobody stood still.
        backlog.taken(2048, 2.0, 3.0, true);
        backlog.taken(2048, 3.0, 4.0, true);
        backlog.taken(9, 4.0, 5.0, false);
        assert_eq!((backlog.take_lag_seconds(), backlog.longest_stall_seconds()), (4.0, 2.0));
        assert_eq!(backlog.take_lag_seconds(), 0.0);
        backlog.taken(9, 5.5, 6.0, false);
        assert_eq!(backlog.take_lag_seconds(), 0.5);
    }

    #[test]
    fn how_fast_a_queue_is_read_is_not_how_fast_it_fills() {
        let mut backlog = Backlog::new(0.0);
        backlog.taken(2048, 2.0, 2.0, true);
        backlog.pace(2.0);
        backlog.taken(99_952, 2.0, 2.25, true);
        backlog.pace(2.25);
        backlog.taken(100_000, 2.25, 2.5, false);
        backlog.lost(98_000);
        backlog.pace(2.5);
        assert_eq!(backlog.most_per_second(), 300_000.0 / 2.5);
    }

    #[test]
    fn a_wait_is_no_stall_unless_it_ends_too_late() {
        let mut backlog = Backlog::new(0.0);
        backlog.waited(0.25, 0.2);
        backlog.taken(1, 0.2, 0.25, false);
        assert_eq!((backlog.take_lag_seconds(), backlog.longest_stall_seconds()), (0.0, 0.0));
        // Stopped, as by SIGSTOP, from somewhere in the wait on.
        backlog.waited(0.5, 5.0);
        backlog.taken(1, 5.0, 5.0, false);
        assert_eq!(backlog.longest_stall_seconds(), 4.5);
        // With nothing there nothing waited.
        backlog.taken(0, 60.0, 60.0, false);
        assert_eq!(backlog.longest_stall_seconds(), 4.5);
    }

    proptest! {
        #[test]
        fn room_grows_with_pace_and_stall_and_stays_within_the_bound(
            events in 0usize..1_000_000, stall in 1u32..20, more in 0usize..5000, longer in 0u32..5,
            memory in GIB / 8..64 * GIB,
        ) {
            let room = |events: usize, stall: u32| {
                let (mut backlog, stall) = (Backlog::new(0.0), f64::from(stall));
                backlog.taken(events * stall as usize, stall, stall, false);
                backlog.pace(stall);
                backlog.wanted_bytes(EVENT, memory)
            };
            let least = room(events, stall);
            prop_assert!(room(events + more, stall) >= least && room(events, stall + longer) >= least);
            prop_assert!(least as u64 <= memory / 16 && least <= i32::MAX as usize);
            let rule = (events * stall.min(10) as usize * EVENT) as u64;
            prop_assert!(events == 0 || least as u64 >= rule.min(memory / 16).min(i32::MAX as u64));
        }
    }
}
