//! Fair share on the modelled table: payers give up entries, un-ASSURED first, then ASSURED, longest idle first.

use std::net::IpAddr;

use ipnet::IpNet;

use super::random::Random;
use super::table::Table;
use crate::model::{Payer, Traffic};

/// Takes from each payer what it gives up, `most` in all; nothing that is idle for less than `floor_seconds`. A payer
/// that stands for a part of a group's sources has that part of each of its cohorts.
pub(super) fn take(
    table: &mut Table,
    payers: &[Payer],
    floor_seconds: u32,
    most: u64,
    random: &mut Random,
) -> u64 {
    let mut taken = 0;
    for payer in payers {
        let Some(network) = network(&payer.source) else { continue };
        let wanted = payer.entries.min(most - taken);
        taken += from_one(table, network, wanted, f64::from(floor_seconds), random);
    }
    taken
}

fn from_one(table: &mut Table, payer: IpNet, mut wanted: u64, floor: f64, random: &mut Random) -> u64 {
    let now = table.now;
    let shares: Vec<f64> = table.traffic.iter().map(|traffic| share(traffic, payer)).collect();
    let mut owed: Vec<(bool, f64, u32, u64)> = table
        .cohorts()
        .filter(|(place, cohort)| shares[place.group] > 0.0 && now - cohort.last_seconds >= floor)
        .map(|(place, cohort)| {
            let count = (cohort.count as f64 * shares[place.group]).round() as u64;
            (place.state.assured(), now - cohort.last_seconds, cohort.id, count)
        })
        .collect();
    owed.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    let mut taken = 0;
    for (_, _, id, count) in owed {
        if wanted == 0 {
            break;
        }
        let n = count.min(wanted);
        let gone = table.take(n, random, |lost| &mut lost.deleted, |_| true, |_, cohort| cohort.id == id);
        taken += gone;
        wanted -= gone.min(wanted);
    }
    taken
}

/// Which part of a group's sources a payer stands for. Sources are the first addresses of their network.
fn share(traffic: &Traffic, payer: IpNet) -> f64 {
    let first = offset(payer.network(), traffic.network);
    let last = offset(payer.broadcast(), traffic.network);
    match (first, last) {
        _ if payer.contains(&traffic.network) => 1.0,
        (Some(first), Some(last)) => {
            // The network's own address is no host.
            let sources = u128::from(traffic.sources);
            let within = last.min(sources).saturating_sub(first.max(1).min(sources + 1)) + 1;
            (if first > sources { 0 } else { within }) as f64 / sources as f64
        }
        _ => 0.0,
    }
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

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
