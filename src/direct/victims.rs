//! Entries that go, as the preview has met them: kept, so that a flush of a few does not walk the table again.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::core::model::{Entry, Verdict};

/// An entry that would go.
#[derive(Clone, Copy, Debug)]
struct Victim(Entry, Verdict);

/// The greatest was heard of last: first those of which nobody can tell, then by certain idleness, then by the time
/// left. What is in a flowtable has none, and lives. What ends within the grace was heard of least recently, however
/// little of its silence is certain.
fn recency(entry: &Entry, verdict: &Verdict) -> impl Ord + use<> {
    let ends = verdict.second_chance || verdict.in_grace;
    (!ends, Reverse(verdict.idle_seconds), entry.timeout_seconds.unwrap_or(u32::MAX))
}

impl Ord for Victim {
    fn cmp(&self, other: &Self) -> Ordering {
        recency(&self.0, &self.1).cmp(&recency(&other.0, &other.1))
    }
}

impl PartialOrd for Victim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Victim {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Victim {}

/// The few that were heard of last.
#[derive(Debug, Default)]
pub(super) struct MostRecent(BinaryHeap<Reverse<Victim>>);

impl MostRecent {
    /// Number of entries that are shown.
    const SHOWN: usize = 5;

    pub(super) fn add(&mut self, entry: &Entry, verdict: &Verdict) {
        let full = self.0.len() >= Self::SHOWN;
        // Most are known to be none of them before they are copied (some 250 bytes).
        let of_least =
            |Reverse(least): &Reverse<Victim>| recency(entry, verdict) <= recency(&least.0, &least.1);
        if full && self.0.peek().is_some_and(of_least) {
            return;
        }
        if full {
            self.0.pop();
        }
        self.0.push(Reverse(Victim(*entry, *verdict)));
    }

    /// The last first.
    pub(super) fn all(&self) -> Vec<(Entry, Verdict)> {
        let mut all: Vec<&Victim> = self.0.iter().map(|victim| &victim.0).collect();
        all.sort_unstable_by_key(|victim| Reverse(recency(&victim.0, &victim.1)));
        all.into_iter().map(|Victim(entry, verdict)| (*entry, *verdict)).collect()
    }
}

/// Victims in bounded memory.
#[derive(Debug)]
pub(super) struct Victims {
    /// As many as `room`, the least recently active of them.
    kept: BinaryHeap<Victim>,
    room: usize,
    /// Of all that were met.
    recent: MostRecent,
    met: u64,
    limit: u64,
}

impl Victims {
    /// 65,536 of some 250 bytes.
    pub(super) const BOUND: usize = 1 << 16;
    /// At most `limit` go.
    pub(super) fn new(limit: u64) -> Self {
        Victims::bounded(limit, Self::BOUND)
    }

    fn bounded(limit: u64, bound: usize) -> Self {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).min(bound);
        Victims { kept: BinaryHeap::new(), room, recent: MostRecent::default(), met: 0, limit }
    }

    pub(super) fn add(&mut self, entry: &Entry, verdict: &Verdict) {
        self.met += 1;
        self.recent.add(entry, verdict);
        if !self.knows_all() {
            self.kept.clear();
            return;
        }
        self.kept.push(Victim(*entry, *verdict));
        if self.kept.len() > self.room {
            self.kept.pop();
        }
    }

    /// All that go are kept.
    pub(super) fn knows_all(&self) -> bool {
        self.met.min(self.limit) <= self.room as u64
    }

    /// All that go; `None` if they are more than there is room for.
    pub(super) fn kept(&self) -> Option<Vec<Entry>> {
        self.knows_all().then(|| self.kept.iter().map(|victim| victim.0).collect())
    }

    /// Of those that go the most recently active, the last first; of all that match where it is not known who goes.
    pub(super) fn most_recent(&self) -> Vec<(Entry, Verdict)> {
        if !self.knows_all() {
            return self.recent.all();
        }
        let mut recent = MostRecent::default();
        self.kept.iter().for_each(|victim| recent.add(&victim.0, &victim.1));
        recent.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victims(limit: u64, bound: usize, idle: &[u32]) -> Victims {
        let mut victims = Victims::bounded(limit, bound);
        for seconds in idle {
            let entry = Entry { id: *seconds, ..Entry::default() };
            victims.add(&entry, &Verdict { idle_seconds: Some(*seconds), ..Verdict::default() });
        }
        victims
    }

    fn kept(victims: &Victims) -> Option<Vec<u32>> {
        let mut kept: Vec<u32> = victims.kept()?.iter().map(|entry| entry.id).collect();
        kept.sort_unstable();
        Some(kept)
    }

    fn shown(victims: &Victims) -> Vec<u32> {
        victims.most_recent().iter().map(|(entry, _)| entry.id).collect()
    }

    #[test]
    fn without_a_limit_all_are_kept_while_there_is_room() {
        let some = victims(u64::MAX, 7, &[3, 1, 7, 5, 2, 6, 4]);
        assert_eq!((kept(&some), shown(&some)), (Some((1..=7).collect()), vec![1, 2, 3, 4, 5]));
        let more = victims(u64::MAX, 6, &[3, 1, 7, 5, 2, 6, 4]);
        assert_eq!((kept(&more), shown(&more)), (None, vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn with_a_limit_the_least_recently_active_go_and_are_shown() {
        let some = victims(2, 6, &[3, 1, 7, 5, 2, 6, 4]);
        assert_eq!((kept(&some), shown(&some)), (Some(vec![6, 7]), vec![6, 7]));
        // There is a limit, and no room for so many.
        let more = victims(6, 5, &[3, 1, 7, 5, 2, 6, 4]);
        assert_eq!((kept(&more), shown(&more)), (None, vec![1, 2, 3, 4, 5]));
        assert_eq!(kept(&victims(6, 5, &[3, 1, 2])), Some(vec![1, 2, 3]), "fewer match");
    }

    #[test]
    fn who_was_heard_of_last_is_told_by_idleness_and_then_by_the_time_left() {
        let mut victims = Victims::new(u64::MAX);
        for (id, idle_seconds, timeout_seconds) in [
            (1, Some(9), Some(1)),
            (2, None, Some(5)),
            (3, Some(9), Some(2)),
            (4, None, Some(7)),
            (5, None, None),
        ] {
            let entry = Entry { id, timeout_seconds, ..Entry::default() };
            victims.add(&entry, &Verdict { idle_seconds, ..Verdict::default() });
        }
        assert_eq!(shown(&victims), [5, 4, 2, 3, 1]);
    }

    #[test]
    fn what_has_a_second_chance_is_not_said_to_be_most_recently_active() {
        let mut victims = Victims::new(u64::MAX);
        let mut add = |id, idle_seconds, second_chance| {
            let entry = Entry { id, timeout_seconds: Some(45), ..Entry::default() };
            victims.add(&entry, &Verdict { idle_seconds, second_chance, ..Verdict::default() });
        };
        add(1, Some(254), true);
        add(2, None, true);
        add(3, Some(8000), false);
        add(4, Some(20), false);
        assert_eq!(shown(&victims), [4, 3, 2, 1]);
    }
}
