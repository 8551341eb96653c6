//! The largest sources, for whoever asks.
//!
//! The events thread picks and others sort: what it does for a question is time in which it does not count. Of 100,000
//! sources the 20 largest are picked in one walk; for all of them it copies rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::ledger::Count;
use crate::core::model::{SortBy, SourceCount, SourceKey};

/// Sources up to this number are sorted here; more of them are sorted by the caller.
const FEW: usize = 1024;

/// Larger is first: by rank, then by entries, then by address and zone.
type Rank = (u32, u64, Reverse<SourceKey>);

/// Sources that hold the `limit` largest (0: all), in no order, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Picked {
    sources: Vec<(SourceKey, Count)>,
    limit: usize,
    rank: SortBy,
    now_seconds: u32,
    heard_since_seconds: Option<u32>,
}

impl Picked {
    /// Picks by `rank`, of which counts know entries and new ones.
    pub(super) fn of<'a>(
        sources: impl Iterator<Item = (SourceKey, &'a Count)>,
        limit: usize,
        rank: SortBy,
        now_seconds: u32,
    ) -> Self {
        let picked = match limit {
            1..=FEW => few(sources, limit, rank, now_seconds),
            _ => sources.map(|(key, count)| (key, *count)).collect(),
        };
        Picked { sources: picked, limit, rank, now_seconds, heard_since_seconds: None }
    }

    /// With the time since when beginnings are heard; without it that has always been so.
    pub(super) fn heard_since(self, heard_since_seconds: Option<u32>) -> Self {
        Picked { heard_since_seconds, ..self }
    }

    /// To be sorted takes long enough to be done where nobody waits for it.
    pub fn many(&self) -> bool {
        self.sources.len() > FEW
    }

    /// The largest first, `limit` of them.
    pub fn rows(self) -> Vec<SourceCount> {
        let sorted = self.sorted();
        sorted.of(0..sorted.len()).collect()
    }

    /// The sources in order, packed.
    pub fn sorted(self) -> Sorted {
        let Picked { mut sources, limit, rank, now_seconds, heard_since_seconds } = self;
        let by = |(key, count): &(SourceKey, Count)| Reverse(place(*key, count, rank, now_seconds));
        if limit != 0 && limit < sources.len() {
            sources.select_nth_unstable_by_key(limit - 1, by);
            sources.truncate(limit);
        }
        sources.sort_unstable_by_key(by);
        let heard_seconds = heard_since_seconds.map_or(u32::MAX, |since| now_seconds.saturating_sub(since));
        Sorted { sources, now_seconds, heard_seconds }
    }
}

/// Sources, the largest first: 48 bytes each, of which a row is made where it is wanted.
#[derive(Clone, Debug)]
pub struct Sorted {
    sources: Vec<(SourceKey, Count)>,
    now_seconds: u32,
    heard_seconds: u32,
}

impl Sorted {
    /// Number of sources.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The rows of a range.
    pub fn of(&self, range: Range<usize>) -> impl Iterator<Item = SourceCount> + '_ {
        self.sources
            .get(range)
            .into_iter()
            .flatten()
            .map(|(key, count)| row(*key, count, self.now_seconds, self.heard_seconds))
    }
}

fn place(key: SourceKey, count: &Count, rank: SortBy, now_seconds: u32) -> Rank {
    let rate = match rank {
        SortBy::New => count.births.milli_at(now_seconds),
        _ => 0,
    };
    (rate, count.entries(), Reverse(key))
}

fn few<'a>(
    sources: impl Iterator<Item = (SourceKey, &'a Count)>,
    limit: usize,
    rank: SortBy,
    now_seconds: u32,
) -> Vec<(SourceKey, Count)> {
    let mut best: BinaryHeap<Reverse<(Rank, Count)>> = BinaryHeap::with_capacity(limit + 1);
    // The last of the best so far: nearly all are known by it to be none of them, before anything is copied.
    let mut least: Option<Rank> = None;
    for (key, count) in sources {
        let place = place(key, count, rank, now_seconds);
        if least.is_some_and(|least| place <= least) {
            continue;
        }
        if best.len() == limit {
            best.pop();
        }
        best.push(Reverse((place, *count)));
        if best.len() == limit {
            least = best.peek().map(|Reverse((place, _))| *place);
        }
    }
    best.into_iter().map(|Reverse(((.., Reverse(key)), count))| (key, count)).collect()
}

fn row(key: SourceKey, count: &Count, now_seconds: u32, heard_seconds: u32) -> SourceCount {
    SourceCount {
        address: key.address,
        zone: key.zone,
        entries: count.entries(),
        new_per_second: count.births.per_second(now_seconds, heard_seconds),
        tcp: count.tcp.into(),
        udp: count.udp.into(),
        icmp: count.icmp.into(),
        other: count.other.into(),
        assured: None,
        unreplied: None,
        idle: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However they are picked, the first are the same.
        #[test]
        fn the_few_largest_are_the_first_of_all(
            counts in prop::collection::vec((0u32..4, 0u32..3), 0..60), limit in 1usize..40, by_rate: bool,
        ) {
            let mut sources = std::collections::BTreeMap::new();
            for (n, (tcp, births)) in counts.iter().enumerate() {
                let mut count = Count { tcp: *tcp, ..Count::default() };
                (0..*births).for_each(|_| count.births.add(9));
                sources.insert(SourceKey { address: [10, 0, 0, n as u8].into(), zone: 0 }, count);
            }
            let rank = if by_rate { SortBy::New } else { SortBy::Entries };
            let pick = |limit| Picked::of(sources.iter().map(|(key, count)| (*key, count)), limit, rank, 9);
            let (mut all, some) = (pick(0).rows(), pick(limit));
            prop_assert!(some.sources.len() <= limit);
            let rate = |row: &SourceCount| row.new_per_second.filter(|_| by_rate).map(|r| (r * 1000.0) as u64);
            let sorted = all.is_sorted_by_key(|row| (Reverse(rate(row)), Reverse(row.entries), row.address));
            prop_assert!(sorted, "{all:?}");
            all.truncate(limit);
            prop_assert_eq!(some.rows(), all);
        }
    }
}
