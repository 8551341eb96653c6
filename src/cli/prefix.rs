//! Sources summed by prefix, zones apart.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::core::model::{SortBy, SourceRow, TopSources};

/// Sums the sources of `all` (which must be every source) by the prefixes that `lengths` (IPv4, IPv6) give, and keeps
/// the `limit` greatest sums by `rank`, ties by address; a limit of 0 keeps all. A prefix of one address is shown as
/// the address.
pub fn aggregate(all: TopSources, lengths: (u8, u8), rank: SortBy, limit: usize) -> TopSources {
    let (sources, sources_total) = sum(&all.sources, all.entries, lengths, rank, limit);
    TopSources { sources_total, sources, ..all }
}

/// Sums `rows` by prefix as [`aggregate`] does, with shares of `entries`. Returns the sums kept and the number of all.
pub fn sum(
    rows: &[SourceRow],
    entries: u64,
    lengths: (u8, u8),
    rank: SortBy,
    limit: usize,
) -> (Vec<SourceRow>, u64) {
    let mut sums: BTreeMap<(Key, Option<u16>), SourceRow> = BTreeMap::new();
    for row in rows {
        let key = (Key::new(&row.source, lengths), row.zone);
        match sums.get_mut(&key) {
            Some(sum) => add(sum, row),
            None => {
                let source = key.0.to_string();
                sums.insert(key, SourceRow { source, ..row.clone() });
            }
        }
    }
    let total = sums.len() as u64;
    let mut sums: Vec<SourceRow> = sums.into_values().collect();
    // The map is in the order of addresses and the sort is stable, so ties keep that order.
    sort(&mut sums, rank);
    if limit > 0 {
        sums.truncate(limit);
    }
    for row in &mut sums {
        row.share_percent = match entries {
            0 => 0.0,
            entries => row.entries as f64 * 100.0 / entries as f64,
        };
    }
    (sums, total)
}

/// Sorts the greatest by `rank` first, ties by number of entries.
pub fn sort(rows: &mut [SourceRow], rank: SortBy) {
    rows.sort_by(|a, b| rank.of(b).total_cmp(&rank.of(a)).then_with(|| b.entries.cmp(&a.entries)));
}

/// True if `prefix` is the prefix of these lengths that contains `source`.
pub fn is_within(source: &str, prefix: &str, lengths: (u8, u8)) -> bool {
    Key::new(source, lengths).to_string() == prefix
}

/// Key of a sum: a prefix, or the text itself for a source that is no address. Texts sort after all prefixes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Prefix(IpNet),
    Text(String),
}

impl Key {
    fn new(source: &str, (v4, v6): (u8, u8)) -> Key {
        let net = source.parse::<IpAddr>().ok().and_then(|address| {
            let length = if address.is_ipv4() { v4 } else { v6 };
            IpNet::new(address, length).ok()
        });
        net.map_or_else(|| Key::Text(source.into()), |net| Key::Prefix(net.trunc()))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Prefix(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Key::Prefix(net) => net.fmt(f),
            Key::Text(text) => f.write_str(text),
        }
    }
}

fn add(sum: &mut SourceRow, row: &SourceRow) {
    sum.entries = sum.entries.saturating_add(row.entries);
    sum.tcp = sum.tcp.saturating_add(row.tcp);
    sum.udp = sum.udp.saturating_add(row.udp);
    sum.icmp = sum.icmp.saturating_add(row.icmp);
    sum.other = sum.other.saturating_add(row.other);
    sum.new_per_second = add_known(sum.new_per_second, row.new_per_second, |a, b| a + b);
    sum.assured = add_known(sum.assured, row.assured, u64::saturating_add);
    sum.unreplied = add_known(sum.unreplied, row.unreplied, u64::saturating_add);
    sum.idle = add_known(sum.idle, row.idle, u64::saturating_add);
    sum.idle_unknown = add_known(sum.idle_unknown, row.idle_unknown, u64::saturating_add);
}

/// Adds two parts; the sum is unknown if one part is unknown.
fn add_known<N>(a: Option<N>, b: Option<N>, sum: fn(N, N) -> N) -> Option<N> {
    Some(sum(a?, b?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::canned;

    fn rows(top: &TopSources) -> Vec<(&str, Option<u16>, u64)> {
        top.sources.iter().map(|row| (row.source.as_str(), row.zone, row.entries)).collect()
    }

    fn all() -> TopSources {
        let sources = [
            ("10.0.0.1", 0, 5),
            ("10.0.0.200", 0, 6),
            ("10.0.0.3", 1, 11),
            ("10.0.1.1", 0, 11),
            ("2001:db8::1", 0, 3),
            ("2001:db8::ffff:0:0:1", 0, 4),
        ];
        canned::top_sources(&sources)
    }

    #[test]
    fn prefixes_are_summed_and_zones_kept_apart() {
        let top = aggregate(all(), (24, 64), SortBy::Entries, 0);
        let expected = [
            ("10.0.0.0/24", Some(0), 11),
            ("10.0.0.0/24", Some(1), 11),
            ("10.0.1.0/24", Some(0), 11),
            ("2001:db8::/64", Some(0), 7),
        ];
        assert_eq!(rows(&top), expected);
        assert_eq!((top.entries, top.sources_total), (40, 4));
        assert_eq!(top.sources[0].share_percent, 27.5);
        assert_eq!(top.sources.iter().map(|row| row.tcp).sum::<u64>(), 40);
    }

    #[test]
    fn the_limit_holds_after_the_sum() {
        let top = aggregate(all(), (0, 0), SortBy::Entries, 1);
        assert_eq!(rows(&top), [("0.0.0.0/0", Some(0), 22)]);
        assert_eq!(top.sources_total, 3);
    }

    #[test]
    fn whole_addresses_stay_addresses() {
        let top = aggregate(all(), (32, 128), SortBy::Entries, 1);
        assert_eq!(rows(&top), [("10.0.0.3", Some(1), 11)]);
        assert_eq!(top.sources_total, 6);
    }

    #[test]
    fn what_is_unknown_of_one_is_unknown_of_the_sum() {
        let mut known = all();
        known.sources.iter_mut().for_each(|row| row.idle = Some(1));
        assert_eq!(aggregate(known.clone(), (24, 64), SortBy::Entries, 1).sources[0].idle, Some(2));
        known.sources[1].idle = None;
        assert_eq!(aggregate(known, (24, 64), SortBy::Entries, 1).sources[0].idle, None);
    }

    #[test]
    fn an_empty_table_and_a_source_that_is_no_address_do_no_harm() {
        assert_eq!(aggregate(canned::top_sources(&[]), (24, 64), SortBy::Entries, 0).sources_total, 0);
        let vast = canned::top_sources(&[("10.0.0.1", 0, 1)]).sources.remove(0);
        let vast = vec![SourceRow { entries: u64::MAX, ..vast }; 2];
        let top =
            aggregate(TopSources { sources: vast, ..canned::top_sources(&[]) }, (24, 64), SortBy::Entries, 0);
        assert_eq!(top.sources[0].entries, u64::MAX);
        let odd = canned::top_sources(&[("?", 0, 0)]);
        let top = aggregate(odd, (24, 64), SortBy::Entries, 0);
        assert_eq!((rows(&top), top.sources[0].share_percent), (vec![("?", Some(0), 0)], 0.0));
    }
}
