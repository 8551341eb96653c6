//! Fair share on the modelled table: the sources of a group hold the same, so that they pay as one.

use std::collections::BTreeMap;

use super::seen::{Seen, zone};
use super::weighing::sources_within;
use crate::core::model::{Due, Holder, Rank, SourceKey, Traffic};

/// Entries that the sources of each group owe together, as the due of one holder in the group's zone. If a payer is
/// of several groups, its due is split in proportion to what may be taken of it in each.
pub fn of_groups(dues: &[Due], floor_seconds: u32, seen: &[Seen], traffic: &[Traffic]) -> Vec<Due> {
    let mut takeable = vec![BTreeMap::new(); traffic.len()];
    for seen in seen.iter().filter(|seen| !seen.state.unreplied()) {
        if let Some(idle) = seen.idle_unprotected().filter(|idle| *idle >= floor_seconds) {
            let rank = Rank::of(seen.state.assured(), idle);
            *takeable[seen.group].entry(rank).or_insert(0) += seen.count;
        }
    }
    let each =
        |group: usize| takeable[group].values().sum::<u64>() as f64 / traffic[group].sources.max(1) as f64;
    let mut owed = vec![0.0; traffic.len()];
    for due in dues {
        let holds: Vec<f64> = traffic
            .iter()
            .enumerate()
            .map(|(group, traffic)| sources_within(traffic, due.holder.net) as f64 * each(group))
            .collect();
        let all: f64 = holds.iter().sum();
        for (owed, holds) in owed.iter_mut().zip(&holds).filter(|(_, holds)| **holds > 0.0) {
            *owed += f64::from(due.entries) * holds / all;
        }
    }
    let prefix = |v4: bool| {
        let net = dues.iter().map(|due| due.holder.net).find(|net| net.addr().is_ipv4() == v4);
        net.map_or(128, |net| net.prefix_len())
    };
    let source_prefix = (prefix(true), prefix(false));
    let of_group = |(group, (owed, takeable)): (usize, (f64, BTreeMap<Rank, u64>))| {
        let address = seen.iter().find(|seen| seen.group == group)?.entry.original.source;
        let holder = Holder::of(SourceKey { address, zone: zone(group) }, source_prefix);
        Some(due(holder, owed.round() as u64, &takeable))
    };
    owed.into_iter().zip(takeable).enumerate().filter_map(of_group).collect()
}

/// The due of a holder that gives up `owed` entries, the greatest rank first.
fn due(holder: Holder, owed: u64, takeable: &BTreeMap<Rank, u64>) -> Due {
    let whole = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let (mut left, mut due) = (owed, Due { holder, entries: whole(owed), rank: Rank::default(), at_rank: 0 });
    for (rank, count) in takeable.iter().rev() {
        let taken = left.min(*count);
        (due.rank, due.at_rank) = (*rank, whole(taken));
        left -= taken;
        if left == 0 {
            break;
        }
    }
    due
}
