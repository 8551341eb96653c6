//! The modelled table held against entries one by one, and against its own books.

use std::net::IpAddr;

use super::admission::{admit, chance};
use super::cohort::Lost;
use super::fair_share;
use super::random::Random;
use super::table::Table;
use crate::model::{FlowEnd, FlowKind, Payer, Timeout, Traffic};

fn traffic(kind: FlowKind) -> Traffic {
    Traffic { kind, end: FlowEnd::Silent, ..Traffic::new(IpAddr::from([10, 0, 0, 1]).into()) }
}

fn table(groups: &[Traffic], max: u64, buckets: u64) -> Table {
    let timeouts = Timeout::all().map(|t| (t, t.spec().kernel_default_seconds)).collect();
    Table::new(groups, max, buckets, timeouts)
}

/// Early drop on a hash of lists, entry by entry.
struct Hash {
    buckets: Vec<Vec<usize>>,
    /// Where each entry hangs, whether it may be dropped, whether it is there.
    entries: Vec<([usize; 2], bool, bool)>,
    there: u64,
}

impl Hash {
    fn new(buckets: usize) -> Self {
        Hash { buckets: vec![Vec::new(); buckets], entries: Vec::new(), there: 0 }
    }

    fn bucket(&self, random: &mut Random) -> usize {
        (random.share() * self.buckets.len() as f64) as usize
    }

    fn put(&mut self, droppable: bool, random: &mut Random) {
        let places = [self.bucket(random), self.bucket(random)];
        places.iter().for_each(|place| self.buckets[*place].push(self.entries.len()));
        self.entries.push((places, droppable, true));
        self.there += 1;
    }

    /// `early_drop`: how many went.
    fn drop_early(&mut self, random: &mut Random) -> u64 {
        let first = self.bucket(random);
        for offset in 0..8 {
            let bucket = (first + offset) % self.buckets.len();
            let found: Vec<usize> =
                self.buckets[bucket].iter().copied().filter(|e| self.entries[*e].1).collect();
            let mut gone = 0;
            for entry in found {
                gone += u64::from(std::mem::take(&mut self.entries[entry].2));
                for place in self.entries[entry].0 {
                    self.buckets[place].retain(|other| *other != entry);
                }
            }
            if gone > 0 {
                self.there -= gone;
                return gone;
            }
        }
        0
    }

    fn knock(&mut self, max: u64, droppable: bool, random: &mut Random) -> bool {
        let enters = self.there < max || self.drop_early(random) > 0;
        if enters {
            self.put(droppable, random);
        }
        enters
    }
}

#[test]
fn early_drop_by_formula_is_early_drop_entry_by_entry() {
    for (max, share, buckets, kind, newcomers) in [
        (8000u64, 0.4, 65_536usize, FlowKind::OneWay, 8000u64),
        (8000, 0.05, 65_536, FlowKind::OneWay, 8000),
        (8000, 0.5, 8192, FlowKind::OneWay, 20_000),
        (8000, 0.3, 65_536, FlowKind::Tcp, 8000),
        (8000, 0.6, 16_384, FlowKind::Tcp, 3000),
    ] {
        let mut random = Random::new(42);
        let droppable = (max as f64 * share) as u64;
        let mut hash = Hash::new(buckets);
        (0..max).for_each(|n| hash.put(n < droppable, &mut random));
        let assured = kind == FlowKind::Tcp;
        let entered = (0..newcomers).filter(|_| hash.knock(max, !assured, &mut random)).count() as f64;
        let groups = [traffic(FlowKind::Tcp), traffic(FlowKind::Syn), traffic(kind)];
        let mut table = table(&groups, max, buckets as u64);
        table.begin(0, max - droppable);
        table.begin(1, droppable);
        let admitted = admit(&mut table, 2, newcomers, &mut random);
        let taken = admitted.taken as f64;
        let what = format!("{share} of {max} in {buckets} buckets, {kind:?}: {taken} for {entered}");
        assert!((taken / entered - 1.0).abs() < 0.1, "{what}");
        assert!((table.entries() as f64 / hash.there as f64 - 1.0).abs() < 0.02, "{what}");
        assert_eq!(admitted.taken + admitted.refused, newcomers);
    }
}

#[test]
fn a_table_full_of_assured_entries_lets_nobody_in() {
    let none = chance(0, 65_536);
    assert_eq!(none.succeeds, 0.0);
    let mut table = table(&[traffic(FlowKind::Tcp)], 1000, 65_536);
    table.begin(0, 1000);
    let admitted = admit(&mut table, 0, 500, &mut Random::new(1));
    assert_eq!((admitted.taken, admitted.refused), (0, 500));
}

#[test]
fn what_came_in_is_there_or_went_out() {
    let mut living = traffic(FlowKind::Udp);
    (living.lifetime_seconds, living.packet_every_seconds) = (20.0, 3.0);
    let groups = [living, traffic(FlowKind::Dns), traffic(FlowKind::Tcp)];
    let mut table = table(&groups, 5000, 8192);
    let mut random = Random::new(3);
    for step in 1..2000u32 {
        table.pass(f64::from(step) * 0.3, &mut random);
        for group in 0..3 {
            admit(&mut table, group, 40, &mut random);
        }
        let wanted = random.round(20.0);
        table.take(wanted, &mut random, |lost| &mut lost.deleted, |_| true, |_, _| true);
        table.reap(30);
        let counted: u64 = table.cohorts().map(|(_, cohort)| cohort.count).sum();
        assert_eq!(counted + table.expired_entries(), table.entries());
        assert_eq!(table.put_in - table.gone_out, table.entries());
        assert!(table.entries() <= 5000);
        let droppable = table.cohorts().filter(|(place, _)| !place.state.assured()).map(|(_, c)| c.count);
        assert_eq!(droppable.sum::<u64>(), table.droppable());
    }
    assert_ne!(table.lost, Lost::default());
}

#[test]
fn a_dead_flow_expires_after_its_timeout_and_a_living_one_after_a_longer_silence() {
    let silent = |lifetime: f64, every: f64| {
        let mut traffic = traffic(FlowKind::Tcp);
        (traffic.lifetime_seconds, traffic.packet_every_seconds) = (lifetime, every);
        traffic
    };
    let mut random = Random::new(1);
    // Dead; alive and heard every hour; alive and silent for six days.
    let mut table = table(&[silent(0.0, 1.0), silent(1e12, 3600.0), silent(1e12, 518_400.0)], 0, 512);
    (0..3).for_each(|group| table.begin(group, 10));
    for hour in 1..=119 {
        table.pass(f64::from(hour) * 3600.0, &mut random);
    }
    assert_eq!((table.entries(), table.expired_entries()), (30, 0));
    table.pass(432_001.0, &mut random);
    assert_eq!((table.entries(), table.expired_entries()), (30, 20), "what has expired counts on");
    assert_eq!(table.lost, Lost { expired: 10, ..Lost::default() });
    assert_eq!((table.reap(u64::MAX), table.entries()), (20, 10));
}

#[test]
fn udp_is_assured_by_a_packet_after_two_seconds() {
    let mut call = traffic(FlowKind::Udp);
    (call.lifetime_seconds, call.packet_every_seconds) = (1e9, 0.02);
    let mut table = table(&[call], 0, 512);
    table.begin(0, 100);
    let mut random = Random::new(1);
    table.pass(1.9, &mut random);
    assert_eq!(table.droppable(), 100);
    table.pass(2.1, &mut random);
    assert_eq!((table.droppable(), table.entries()), (0, 100));
}

#[test]
fn a_shorter_timeout_is_for_later_packets() {
    let mut table = table(&[traffic(FlowKind::Tcp)], 0, 512);
    table.begin(0, 10);
    let established = Timeout::named("tcp_timeout_established").expect("known");
    table.timeouts.insert(established, 600);
    table.begin(0, 5);
    table.pass(700.0, &mut Random::new(1));
    assert_eq!((table.entries(), table.expired_entries()), (15, 5));
}

#[test]
fn payers_give_up_what_is_not_assured_first_and_then_what_is_idle_longest() {
    let mut groups = [traffic(FlowKind::Syn), traffic(FlowKind::Tcp), traffic(FlowKind::Tcp)];
    (groups[0].network, groups[1].network) = ("10.9.0.0/16".parse().unwrap(), "10.9.0.0/16".parse().unwrap());
    (groups[0].sources, groups[1].sources) = (200, 200);
    let mut table = table(&groups, 0, 512);
    table.stock(0, false, 1000, 70.0);
    table.stock(1, false, 1000, 5000.0);
    table.stock(1, false, 1000, 100.0);
    table.stock(1, false, 1000, 10.0);
    table.stock(2, false, 1000, 9000.0);
    let left = |table: &Table| {
        let mut counts: Vec<(usize, u64)> =
            table.cohorts().map(|(place, c)| (place.group, c.count)).collect();
        counts.sort_unstable();
        counts
    };
    let mut random = Random::new(1);
    let all = [Payer { source: "10.9.0.0/16".into(), entries: 1500 }];
    assert_eq!(fair_share::take(&mut table, &all, 60, 10_000, &mut random), 1500);
    assert_eq!(left(&table), [(1, 500), (1, 1000), (1, 1000), (2, 1000)]);
    // Half of the sources are in the lower /25 and have half of what is left; idle for 10 s is no payment.
    let half = [Payer { source: "10.9.0.0/25".into(), entries: 10_000 }];
    let taken = fair_share::take(&mut table, &half, 60, 10_000, &mut random);
    assert_eq!(taken, (1500.0f64 * 127.0 / 200.0).round() as u64);
    let nobody =
        [Payer { source: "somebody".into(), entries: 5 }, Payer { source: "10.8.0.1".into(), entries: 5 }];
    assert_eq!(fair_share::take(&mut table, &nobody, 0, 10_000, &mut random), 0);
}
