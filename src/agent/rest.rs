//! While nothing happens the actor looks less often: at four rounds a second its reading of 40 sysctls was nearly all
//! that the agent cost beside a million quiet entries (0.27 % of a core).

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::shared::Numbers;

/// Subject of the last round.
#[derive(Debug, Default)]
pub struct Rest(Option<Seen>);

#[derive(Debug)]
struct Seen {
    at: Instant,
    events: u64,
    count: u64,
}

impl Rest {
    /// Values that other programs set are noticed within a second anyway, and whoever crosses a mark wakes the actor.
    const LONGEST: Duration = Duration::from_secs(1);

    /// A round begins.
    pub fn begins(&mut self, numbers: &Numbers, now: Instant) {
        let (events, count) = (numbers.events.load(Relaxed), numbers.count.load(Relaxed));
        self.0 = Some(Seen { at: now, events, count });
    }

    /// Something was asked for: the next round comes at once.
    pub fn ends(&mut self) {
        self.0 = None;
    }

    /// No event came and the table is as full as it was when the last round began, shortly before `now`.
    pub fn goes_on(&self, numbers: &Numbers, now: Instant) -> bool {
        self.0.as_ref().is_some_and(|seen| {
            now.duration_since(seen.at) < Self::LONGEST
                && numbers.events.load(Relaxed) == seen.events
                && numbers.count.load(Relaxed) == seen.count
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_until_something_happens_or_a_second_is_over() {
        let (mut rest, numbers, begun) = (Rest::default(), Numbers::default(), Instant::now());
        let soon = begun + Duration::from_millis(300);
        assert!(!rest.goes_on(&numbers, begun), "there was no round yet");
        rest.begins(&numbers, begun);
        assert!(rest.goes_on(&numbers, soon) && !rest.goes_on(&numbers, begun + Rest::LONGEST));
        numbers.events.fetch_add(1, Relaxed);
        assert!(!rest.goes_on(&numbers, soon), "an event");
        rest.begins(&numbers, begun);
        numbers.count.fetch_add(1, Relaxed);
        assert!(!rest.goes_on(&numbers, soon), "an end in silence");
        rest.begins(&numbers, begun);
        rest.ends();
        assert!(!rest.goes_on(&numbers, soon), "somebody asks");
    }
}
