//! Sources and what is counted of each, packed: a million sources that hold one entry each are what a flood forges.
//!
//! A hash table leaves up to half of its slots empty, so its slots are numbers of 4 bytes, of rows that lie one behind
//! the other: at a million IPv4 sources 36 MB of rows (48 MB of IPv6) and 10 MB of table, where rows in the table's own
//! slots took 103 MB. A ledger of a million entries of as many sources took 138 MB and 188 MB while it grew (VmHWM),
//! and takes 65 MB and 67 MB so.

use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::ledger::Count;
use crate::core::model::{ProtocolGroup, SourceKey};

/// Less than this is not worth to be given back.
const WORTH_IT: usize = 1 << 16;

/// Counts by source, the families apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    hash: DefaultHashBuilder,
    v4: Slab<Ipv4Addr>,
    v6: Slab<Ipv6Addr>,
}

#[derive(Clone, Debug)]
struct Row<A> {
    address: A,
    zone: u16,
    count: Count,
}

#[derive(Clone, Debug)]
struct Slab<A> {
    rows: Vec<Row<A>>,
    /// Places of the sources in `rows`.
    places: HashTable<u32>,
}

impl<A> Default for Slab<A> {
    fn default() -> Self {
        Slab { rows: Vec::new(), places: HashTable::new() }
    }
}

impl<A: Copy + Eq + Hash + Into<IpAddr>> Slab<A> {
    /// The count of a source, which is `unknown` where it was not known.
    fn count(
        &mut self,
        hash: &DefaultHashBuilder,
        address: A,
        zone: u16,
        unknown: impl FnOnce() -> Count,
    ) -> &mut Count {
        let Slab { rows, places } = self;
        let fresh = rows.len() as u32;
        let hash_of = |place: &u32| rows[*place as usize].hash(hash);
        let entry =
            places.entry(hash.hash_one((address, zone)), |p| rows[*p as usize].is(address, zone), hash_of);
        let place = match entry {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                vacant.insert(fresh);
                rows.push(Row { address, zone, count: unknown() });
                fresh
            }
        };
        &mut rows[place as usize].count
    }

    fn place(&self, hash: &DefaultHashBuilder, address: A, zone: u16) -> Option<usize> {
        let is = |place: &u32| self.rows[*place as usize].is(address, zone);
        self.places.find(hash.hash_one((address, zone)), is).map(|place| *place as usize)
    }

    /// One entry less; with the last of them the source is forgotten, and the last row takes its place.
    fn discount(&mut self, hash: &DefaultHashBuilder, address: A, zone: u16, group: ProtocolGroup) {
        let Slab { rows, places } = self;
        let is = |place: &u32| rows[*place as usize].is(address, zone);
        let Ok(known) = places.find_entry(hash.hash_one((address, zone)), is) else { return };
        let place = *known.get();
        let count = &mut rows[place as usize].count;
        let of_group = count.of(group);
        *of_group = of_group.saturating_sub(1);
        if count.entries() > 0 {
            return;
        }
        known.remove();
        rows.swap_remove(place as usize);
        let from = rows.len() as u32;
        if let Some(moved) = rows.get(place as usize)
            && let Some(its) = places.find_mut(moved.hash(hash), |place| *place == from)
        {
            *its = place;
        }
        self.shrink(hash);
    }

    fn shrink(&mut self, hash: &DefaultHashBuilder) {
        let Slab { rows, places } = self;
        let (few, room) = (rows.len() * 2, rows.len() * 8);
        if rows.capacity() > room.max(WORTH_IT) {
            rows.shrink_to(few);
        }
        if places.capacity() > room.max(WORTH_IT) {
            places.shrink_to(few, |place| rows[*place as usize].hash(hash));
        }
    }
}

impl<A: Copy + Eq + Hash + Into<IpAddr>> Row<A> {
    fn is(&self, address: A, zone: u16) -> bool {
        self.address == address && self.zone == zone
    }

    fn hash(&self, hash: &DefaultHashBuilder) -> u64 {
        hash.hash_one((self.address, self.zone))
    }

    fn key(&self) -> SourceKey {
        SourceKey { address: self.address.into(), zone: self.zone }
    }
}

impl Sources {
    /// The count of a source, which is `unknown` where it was not known.
    pub(super) fn count(&mut self, key: SourceKey, unknown: impl FnOnce() -> Count) -> &mut Count {
        match key.address {
            IpAddr::V4(address) => self.v4.count(&self.hash, address, key.zone, unknown),
            IpAddr::V6(address) => self.v6.count(&self.hash, address, key.zone, unknown),
        }
    }

    /// One entry of the source less.
    pub(super) fn discount(&mut self, key: SourceKey, group: ProtocolGroup) {
        match key.address {
            IpAddr::V4(address) => self.v4.discount(&self.hash, address, key.zone, group),
            IpAddr::V6(address) => self.v6.discount(&self.hash, address, key.zone, group),
        }
    }

    /// Count of a source.
    pub(super) fn get(&self, key: SourceKey) -> Option<&Count> {
        match key.address {
            IpAddr::V4(address) => {
                self.v4.place(&self.hash, address, key.zone).map(|place| &self.v4.rows[place].count)
            }
            IpAddr::V6(address) => {
                self.v6.place(&self.hash, address, key.zone).map(|place| &self.v6.rows[place].count)
            }
        }
    }

    /// Number of sources.
    pub(super) fn len(&self) -> usize {
        self.v4.rows.len() + self.v6.rows.len()
    }

    /// All of them, in an order that holds until the next change.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SourceKey, &Count)> {
        let v4 = self.v4.rows.iter().map(|row| (row.key(), &row.count));
        v4.chain(self.v6.rows.iter().map(|row| (row.key(), &row.count)))
    }

    /// All sources with their counts, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SourceKey, &mut Count)> {
        let v4 = self.v4.rows.iter_mut().map(|row| (row.key(), &mut row.count));
        v4.chain(self.v6.rows.iter_mut().map(|row| (row.key(), &mut row.count)))
    }

    /// Rows that there is room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.v4.rows.capacity().max(self.v4.places.capacity())
            + self.v6.rows.capacity().max(self.v6.places.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(n: u8) -> SourceKey {
        let address = match n % 2 {
            0 => IpAddr::from([10, 0, 0, n / 4]),
            _ => IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, n.into()]),
        };
        SourceKey { address, zone: (n % 4 / 2).into() }
    }

    #[test]
    fn rows_are_as_small_as_they_are_said_to_be() {
        assert_eq!((size_of::<Row<Ipv4Addr>>(), size_of::<Row<Ipv6Addr>>()), (36, 48));
    }

    proptest! {
        #[test]
        fn rows_move_and_every_source_keeps_its_own(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..300)) {
            let mut sources = Sources::default();
            let mut expected: BTreeMap<SourceKey, u64> = BTreeMap::new();
            for (n, comes) in steps {
                if comes {
                    *sources.count(key(n), Count::default).of(ProtocolGroup::Tcp) += 1;
                    *expected.entry(key(n)).or_default() += 1;
                } else {
                    sources.discount(key(n), ProtocolGroup::Tcp);
                    if let Some(left) = expected.get_mut(&key(n)) {
                        *left -= 1;
                    }
                    expected.retain(|_, left| *left > 0);
                }
                let all: BTreeMap<SourceKey, u64> = sources.iter().map(|(key, c)| (key, c.entries())).collect();
                prop_assert_eq!(&all, &expected);
                for (key, count) in sources.iter() {
                    prop_assert_eq!(sources.get(key), Some(count));
                }
            }
        }
    }
}
