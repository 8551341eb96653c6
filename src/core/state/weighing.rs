//! Weighs the sources that hold the table: a scan's entries by source, for fair share. In bounded memory, however
//! many sources are forged.

use std::collections::{BTreeSet, HashSet};

use hashbrown::HashMap;

use crate::core::model::{
    Class, Entry, FlushSettings, Histogram, Holder, Holding, Rank, SourceKey, Takeable, Weighed,
};

/// Weighs the entries of one scan.
#[derive(Clone, Debug, Default)]
pub struct Weighing {
    source_prefix: (u8, u8),
    floor_seconds: u32,
    young: HashSet<SourceKey>,
    /// Classes that are not flushed: what is of them does not go by its class.
    suspended: BTreeSet<Class>,
    places: HashMap<Holder, u32>,
    holdings: Vec<Holding>,
    takeable: HashMap<(u32, Rank), u32>,
    unanswered: Histogram,
    unanswered_entries: u64,
    beyond: u64,
}

impl Weighing {
    /// About 80 bytes a source, so 80 MiB at most, and only while the table is critical.
    const BOUND: usize = 1 << 20;

    /// A scan begins; `young` are the sources that were not known `calm_seconds` ago.
    pub fn new(settings: &FlushSettings, young: HashSet<SourceKey>) -> Self {
        Weighing {
            source_prefix: settings.source_prefix,
            floor_seconds: settings.emergency_idle_floor_seconds,
            young,
            ..Weighing::default()
        }
    }

    /// These classes are not flushed for now, whatever is of them is fair share's to take.
    pub fn suspending(self, suspended: BTreeSet<Class>) -> Self {
        Weighing { suspended, ..self }
    }

    /// True if eligible entries of this class are left to the class's own flush.
    pub fn leaves_to_class(&self, class: Class) -> bool {
        !self.suspended.contains(&class)
    }

    /// Sees an entry that does not go by its class. `idle_seconds`: its certain idleness, if it is unprotected.
    pub fn see(&mut self, entry: &Entry, idle_seconds: Option<u32>) {
        let idle_seconds = idle_seconds.filter(|seconds| *seconds >= self.floor_seconds);
        if !entry.status.seen_reply() {
            self.unanswered_entries += 1;
            idle_seconds.into_iter().for_each(|seconds| self.unanswered.add(seconds));
            return;
        }
        let key = entry.source_key();
        let holder = Holder::of(key, self.source_prefix);
        let next = self.holdings.len();
        let place = match self.places.get(&holder) {
            Some(place) => *place,
            None if next >= Self::BOUND => {
                self.beyond += 1;
                return;
            }
            None => {
                self.holdings.push(Holding { holder, entries: 0, assured: 0, young: true });
                *self.places.entry(holder).or_insert(next as u32)
            }
        };
        let assured = entry.status.assured();
        let holding = &mut self.holdings[place as usize];
        holding.entries += 1;
        holding.assured += u32::from(assured);
        // A prefix is as old as its oldest address.
        holding.young &= self.young.contains(&key);
        if let Some(seconds) = idle_seconds {
            *self.takeable.entry((place, Rank::of(assured, seconds))).or_default() += 1;
        }
    }

    /// The scan is over: in the order that the policy wants.
    pub fn finish(self) -> Weighed {
        let mut order: Vec<u32> = (0..self.holdings.len() as u32).collect();
        order.sort_unstable_by_key(|i| self.holdings[*i as usize].holder);
        let mut rank_of = vec![0u32; order.len()];
        for (new, old) in order.iter().enumerate() {
            rank_of[*old as usize] = new as u32;
        }
        let moved = |((place, rank), entries): ((u32, Rank), u32)| Takeable {
            holding: rank_of[place as usize],
            rank,
            entries,
        };
        let mut takeable: Vec<Takeable> = self.takeable.into_iter().map(moved).collect();
        takeable.sort_unstable();
        Weighed {
            holdings: order.iter().map(|i| self.holdings[*i as usize]).collect(),
            takeable,
            unanswered: self.unanswered,
            unanswered_entries: self.unanswered_entries,
            beyond: self.beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Status, Tuple};

    fn entry(source: &str, status: u32) -> Entry {
        let original = Tuple { source: source.parse().unwrap(), ..Tuple::default() };
        Entry { original, status: Status(status), ..Entry::default() }
    }

    const ANSWERED: u32 = Status::SEEN_REPLY;
    const ASSURED: u32 = Status::SEEN_REPLY | Status::ASSURED;

    fn weigh(young: &[&str], entries: &[(&str, u32, Option<u32>)]) -> Weighed {
        let key = |a: &&str| SourceKey { address: a.parse().unwrap(), zone: 0 };
        let mut weighing = Weighing::new(&FlushSettings::default(), young.iter().map(key).collect());
        for (source, status, idle) in entries {
            weighing.see(&entry(source, *status), *idle);
        }
        weighing.finish()
    }

    #[test]
    fn what_had_no_reply_counts_for_nobody() {
        let weighed =
            weigh(&[], &[("10.0.0.1", 0, Some(70)), ("10.0.0.1", 0, Some(10)), ("10.0.0.1", 0, None)]);
        assert_eq!(weighed.holdings, []);
        assert_eq!((weighed.unanswered.total(), weighed.takeable.len()), (1, 0));
    }

    #[test]
    fn addresses_of_one_ipv6_prefix_are_one_source() {
        let addresses: Vec<String> = (1..=1000).map(|n| format!("2001:db8::{n:x}")).collect();
        let entries: Vec<_> = addresses.iter().map(|a| (a.as_str(), ASSURED, Some(100))).collect();
        let weighed = weigh(&[], &entries);
        assert_eq!(weighed.holdings.len(), 1);
        assert_eq!(weighed.holdings[0].holder.to_string(), "2001:db8::/64");
        assert_eq!(weighed.takeable, [Takeable { holding: 0, rank: Rank::of(true, 100), entries: 1000 }]);
    }

    #[test]
    fn holdings_come_in_order_with_what_may_be_taken_of_each() {
        let weighed = weigh(
            &["10.0.0.2", "2001:db8::2"],
            &[
                ("10.0.0.2", ANSWERED, Some(90)),
                ("10.0.0.1", ASSURED, Some(59)),
                ("10.0.0.2", ASSURED, Some(7000)),
                ("2001:db8::1", ASSURED, None),
                ("2001:db8::2", ASSURED, None),
            ],
        );
        let rows: Vec<_> =
            weighed.holdings.iter().map(|h| (h.holder.to_string(), h.entries, h.assured, h.young)).collect();
        let row = |a: &str, entries, assured, young| (a.to_owned(), entries, assured, young);
        let expected =
            [row("10.0.0.1", 1, 1, false), row("10.0.0.2", 2, 1, true), row("2001:db8::/64", 2, 2, false)];
        assert_eq!(rows, expected);
        // Not ASSURED goes before ASSURED, however long that has been idle.
        assert_eq!(
            weighed.takeable,
            [
                Takeable { holding: 1, rank: Rank::of(true, 7000), entries: 1 },
                Takeable { holding: 1, rank: Rank::of(false, 90), entries: 1 },
            ]
        );
    }
}
