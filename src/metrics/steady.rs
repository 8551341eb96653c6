//! Chooses the sources that have a series of their own: the largest, without flapping at the border.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::core::model::SourceCount;

/// The chosen sources. A source stays until it falls out of the largest 2 n; then the largest source that is not chosen
/// yet takes its place.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    chosen: BTreeSet<(IpAddr, u16)>,
}

impl Steady {
    /// Returns n of the 2 n largest sources, which are given and returned with the largest first.
    pub fn choose(&mut self, largest: &[SourceCount], n: usize) -> Vec<SourceCount> {
        let key = |source: &SourceCount| (source.address, source.zone);
        let largest = &largest[..largest.len().min(n.saturating_mul(2))];
        let stays: BTreeSet<_> = largest.iter().map(key).filter(|key| self.chosen.contains(key)).collect();
        self.chosen = largest.iter().map(key).filter(|key| stays.contains(key)).take(n).collect();
        let fresh = largest.iter().map(key).filter(|key| !stays.contains(key));
        self.chosen.extend(fresh.take(n - self.chosen.len()).collect::<Vec<_>>());
        largest.iter().filter(|source| self.chosen.contains(&key(source))).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(last: &[u8]) -> Vec<SourceCount> {
        let row = |last: &u8| SourceCount {
            new_per_second: None,
            address: [10, 0, 0, *last].into(),
            zone: 0,
            entries: 1,
            tcp: 1,
            udp: 0,
            icmp: 0,
            other: 0,
            assured: None,
            unreplied: None,
            idle: None,
        };
        last.iter().map(row).collect()
    }

    fn last(chosen: Vec<SourceCount>) -> Vec<u8> {
        let octet = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        chosen.iter().map(|source| octet(source.address)).collect()
    }

    #[test]
    fn a_source_stays_until_it_falls_out_of_twice_as_many() {
        let mut steady = Steady::default();
        assert_eq!(last(steady.choose(&sources(&[1, 2, 3, 4, 5]), 2)), [1, 2]);
        assert_eq!(last(steady.choose(&sources(&[3, 4, 2, 1, 5]), 2)), [2, 1], "still among the first four");
        assert_eq!(last(steady.choose(&sources(&[3, 4, 2, 5, 1]), 2)), [3, 2], "1 is not");
        assert_eq!(last(steady.choose(&sources(&[2]), 2)), [2]);
        assert_eq!(last(steady.choose(&sources(&[4, 2, 3]), 2)), [4, 2]);
        assert_eq!(last(steady.choose(&sources(&[4, 2, 3]), 1)), [4], "fewer are wanted");
        assert!(steady.choose(&sources(&[4, 2, 3]), 0).is_empty());
    }
}
