//! Weighs the sources that hold the modelled table: a scan's cohorts are dealt out to the sources of their group, for
//! fair share.
//!
//! A group's sources are the first addresses of its network and hold its entries evenly. No more than 65,536 of them
//! are told apart: where a group has more, these stand for all.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::seen::Seen;
use crate::core::model::{
    FlushSettings, Histogram, Holder, Holding, Rank, SourceKey, Takeable, Traffic, Weighed,
};

/// Sources of one group that are told apart.
const MOST_SOURCES: u64 = 1 << 16;

/// The addresses of the sources that are told apart, the first one first.
pub(super) fn sources(traffic: &Traffic) -> impl Iterator<Item = IpAddr> {
    let single = traffic.network.prefix_len() == traffic.network.max_prefix_len();
    // The network's own address is no host.
    let first = u128::from(!single);
    let count = u128::from(traffic.sources.clamp(1, MOST_SOURCES));
    let network = traffic.network.network();
    (first..first + count).map(move |offset| match network {
        IpAddr::V4(base) => IpAddr::from(base.to_bits().wrapping_add(offset as u32).to_be_bytes()),
        IpAddr::V6(base) => IpAddr::from(base.to_bits().wrapping_add(offset).to_be_bytes()),
    })
}

/// Number of a group's sources that lie in a prefix.
pub(super) fn sources_within(traffic: &Traffic, prefix: IpNet) -> u64 {
    let single = traffic.network.prefix_len() == traffic.network.max_prefix_len();
    let (first, count) = (u128::from(!single), u128::from(traffic.sources.max(1)));
    if prefix.contains(&traffic.network) {
        return traffic.sources.max(1);
    }
    let (Some(from), Some(to)) =
        (offset(prefix.network(), traffic.network), offset(prefix.broadcast(), traffic.network))
    else {
        return 0;
    };
    let (from, to) = (from.max(first), to.saturating_add(1).min(first + count));
    to.saturating_sub(from) as u64
}

fn offset(address: IpAddr, network: IpNet) -> Option<u128> {
    if !network.contains(&address) {
        return None;
    }
    Some(match (address, network.network()) {
        (IpAddr::V4(address), IpAddr::V4(first)) => u128::from(address.to_bits() - first.to_bits()),
        (IpAddr::V6(address), IpAddr::V6(first)) => address.to_bits() - first.to_bits(),
        _ => return None,
    })
}

/// A holding under way.
#[derive(Clone, Default)]
struct Held {
    entries: u64,
    assured: u64,
    young: bool,
    takeable: BTreeMap<Rank, u64>,
}

/// Does what `state::Weighing` does for a scan; `young`: the group has begun lately.
pub(super) fn weigh(
    seen: &[Seen],
    traffic: &[Traffic],
    settings: &FlushSettings,
    young: impl Fn(&Traffic) -> bool,
) -> Weighed {
    let floor = settings.emergency_idle_floor_seconds;
    let mut held: BTreeMap<Holder, Held> = BTreeMap::new();
    let (mut unanswered, mut unanswered_entries) = (Histogram::default(), 0);
    let mut heaps: BTreeMap<(usize, bool, Option<Rank>), u64> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| !seen.eligible()) {
        let idle = seen.idle_unprotected().filter(|idle| *idle >= floor);
        let assured = seen.state.assured();
        if !seen.state.unreplied() {
            let rank = idle.map(|idle| Rank::of(assured, idle));
            *heaps.entry((seen.group, assured, rank)).or_default() += seen.count;
            continue;
        }
        unanswered_entries += seen.count;
        if let Some(idle) = idle {
            unanswered.add_many(idle, seen.count);
        }
    }
    for (group, traffic) in traffic.iter().enumerate() {
        let of_group = heaps.range((group, false, None)..(group + 1, false, None));
        let heaps: Vec<(bool, Option<Rank>, u64)> =
            of_group.map(|((_, assured, rank), n)| (*assured, *rank, *n)).collect();
        if !heaps.is_empty() {
            deal(&heaps, traffic, settings.source_prefix, young(traffic), &mut held);
        }
    }
    Weighed { unanswered, unanswered_entries, ..finish(held) }
}

/// Deals the heaps of a group out to its sources, one entry to each in turn.
fn deal(
    heaps: &[(bool, Option<Rank>, u64)],
    traffic: &Traffic,
    source_prefix: (u8, u8),
    young: bool,
    held: &mut BTreeMap<Holder, Held>,
) {
    let count = traffic.sources.clamp(1, MOST_SOURCES);
    let total: u64 = heaps.iter().map(|(_, _, n)| n).sum();
    for (turn, address) in (0..count.min(total)).zip(sources(traffic)) {
        let holder = Holder::of(SourceKey { address, zone: 0 }, source_prefix);
        let held = held.entry(holder).or_insert_with(|| Held { young: true, ..Held::default() });
        // Of the first `n` that are dealt.
        let dealt = |n: u64| (n + count - 1 - turn) / count;
        let mut before = 0;
        for (assured, rank, n) in heaps {
            let own = dealt(before + n) - dealt(before);
            before += n;
            held.entries += own;
            held.assured += if *assured { own } else { 0 };
            if let Some(rank) = rank.filter(|_| own > 0) {
                *held.takeable.entry(rank).or_default() += own;
            }
        }
        held.young &= young;
    }
}

fn finish(held: BTreeMap<Holder, Held>) -> Weighed {
    let whole = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let mut weighed = Weighed::default();
    for (holding, (holder, held)) in held.into_iter().enumerate() {
        let Held { entries, assured, young, takeable } = held;
        weighed.holdings.push(Holding { holder, entries: whole(entries), assured: whole(assured), young });
        let bins = takeable.into_iter().map(|(rank, n)| Takeable {
            holding: holding as u32,
            rank,
            entries: whole(n),
        });
        weighed.takeable.extend(bins);
    }
    weighed
}
