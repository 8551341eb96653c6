//! Listeners are told of entries that spoke in their grace, no faster than second chances are given beside a listener:
//! each is an event that a listener's buffer has to hold, and conntrackd sends it on to its peer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::actor::Actor;
use crate::core::model::{Entry, EntryId, Identity};
use crate::core::policy;
use crate::core::state::SecondChances;

/// As many are told at once as come in this time: at 1,000 a second 100, where a buffer of the default size holds 166.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Entries that are to be told of, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Untold {
    entries: VecDeque<EntryId>,
    /// No more are told of before this.
    due: Option<Instant>,
}

impl Untold {
    /// One more. Each had a second chance, and there are no more of those than that.
    pub(super) fn add(&mut self, entry: &Entry) {
        if self.entries.len() < SecondChances::BOUND {
            self.entries.push_back(entry.into());
        }
    }

    /// Those that may be told of now.
    fn take(&mut self, per_second: u64, now: Instant) -> Vec<Entry> {
        if self.due.is_some_and(|due| now < due) {
            return Vec::new();
        }
        let per_second = per_second.max(1) as f64;
        let most = (per_second * AT_ONCE.as_secs_f64()).ceil() as usize;
        let told: Vec<Entry> =
            self.entries.drain(..most.min(self.entries.len())).map(|id| id.identity()).collect();
        self.due = Some(now + Duration::from_secs_f64(told.len() as f64 / per_second));
        told
    }

    /// Wait until the next entry may be told of; endless where there is none.
    fn wait(&self, now: Instant) -> Duration {
        match (self.entries.is_empty(), self.due) {
            (true, _) => Duration::MAX,
            (false, due) => due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now)),
        }
    }
}

impl Actor {
    /// Tells listeners of as many as the pace allows now; how long until there is more to tell. What cannot be told is
    /// warned of, once for each batch: the next is another.
    pub(super) fn tell_who_spoke(&mut self) -> Duration {
        let untold = &mut self.sweeper.untold;
        let told = untold.take(policy::told_per_second(&self.settings), Instant::now());
        if !told.is_empty()
            && let Err(error) = self.writer.announce(&told)
        {
            tracing::warn!(netns = %self.netns.key(), %error, "listeners are not told of {} entries that spoke in \
                their grace", told.len());
        }
        self.sweeper.untold.wait(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_told_of_than_the_pace_allows() {
        let (start, per_second) = (Instant::now(), 1000);
        let mut untold = Untold::default();
        (0..2500).for_each(|id| untold.add(&Entry { id, ..Entry::default() }));
        let (mut told, mut ids) = (Vec::new(), Vec::new());
        for millisecond in 0..5000 {
            let now = start + Duration::from_millis(millisecond);
            let batch = untold.take(per_second, now);
            assert!(batch.len() <= 100, "{} at once", batch.len());
            ids.extend(batch.iter().map(|entry| entry.id));
            told.push(batch.len());
        }
        assert_eq!(ids, (0..2500).collect::<Vec<u32>>(), "each once, the oldest first");
        for second in told.windows(1000) {
            assert!(second.iter().sum::<usize>() <= 1100, "in any second");
        }
        assert!(told[..2500].iter().sum::<usize>() >= 2400, "and no slower");
    }

    #[test]
    fn the_next_is_waited_for_and_nothing_is_where_there_is_none() {
        let (start, mut untold) = (Instant::now(), Untold::default());
        assert_eq!((untold.take(1000, start).len(), untold.wait(start)), (0, Duration::MAX));
        (0..101).for_each(|id| untold.add(&Entry { id, ..Entry::default() }));
        assert_eq!(untold.wait(start), Duration::ZERO);
        assert_eq!((untold.take(1000, start).len(), untold.wait(start)), (100, AT_ONCE));
        assert_eq!(untold.take(1000, start + AT_ONCE / 2).len(), 0);
        assert_eq!(untold.take(1000, start + AT_ONCE).len(), 1);
        assert_eq!(untold.wait(start + AT_ONCE), Duration::MAX);
        assert_eq!(untold.take(0, start + 2 * AT_ONCE).len(), 0, "no division by zero");
    }
}
