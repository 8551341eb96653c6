//! The modelled table held against entries one by one, and against its own books.

use std::net::IpAddr;

use super::admission::{admit, chance};
use super::cohort::Lost;
use super::fair_share;
use super::random::Random;
use super::seen::Seen;
use super::sweep::{Standing, Sweep};
use super::table::Table;
use super::view::{AgentView, UP_SECONDS};
use crate::core::model::*;
use crate::core::sweep::{Choice, Rules};

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

/// Two groups of 200 sources in one network, and a third elsewhere.
fn shared() -> Table {
    let mut groups = [traffic(FlowKind::Dns), traffic(FlowKind::Tcp), traffic(FlowKind::Tcp)];
    for group in &mut groups[..2] {
        (group.network, group.sources) = ("10.9.0.0/16".parse().unwrap(), 200);
    }
    let mut table = table(&groups, 0, 512);
    table.stock(0, false, 1000, 20.0);
    table.stock(1, false, 1000, 5000.0);
    table.stock(1, false, 1000, 100.0);
    table.stock(1, false, 1000, 10.0);
    table.stock(2, false, 1000, 9000.0);
    table
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    // Nothing goes by its class, and all of it by fair share.
    settings.flush.established_idle_floor_seconds = 100_000;
    settings.flush.udp_short_idle_floor_seconds = 1000;
    settings.flush.emergency_idle_floor_seconds = 15;
    settings
}

fn due(source: &str, entries: u32) -> Due {
    let net = source.parse().unwrap();
    Due { holder: Holder { zone: 0, net }, entries, rank: Rank::default(), at_rank: entries }
}

#[test]
fn payers_give_up_what_is_not_assured_first_and_then_what_is_idle_longest() {
    let (table, settings) = (shared(), settings());
    let seen = AgentView::new(&settings, &table).look(&table, &settings);
    // One source of the two hundred, all of them, and two strangers.
    for (dues, expected) in [
        (vec![due("10.9.0.1/32", 12)], vec![(0, true, 4), (1, false, 8)]),
        (vec![due("10.9.0.0/16", 1500)], vec![(0, true, 500), (1, false, 1000)]),
        (vec![due("10.9.0.0/16", 10_000)], vec![(0, true, 1000), (1, false, 1000), (1, false, 1000)]),
        (vec![due("10.9.0.201/32", 5), due("10.8.0.1/32", 5)], vec![]),
    ] {
        let dues = fair_share::of_groups(&dues, 15, &seen, &table.traffic);
        let share = Some(Share::Dues(dues));
        let flush = Flush { share, ..Flush::of(Class::Established, 15, u64::MAX) };
        let mut rules = Rules::new([flush], &Pace::default());
        let mut seen: Vec<&Seen> = seen.iter().collect();
        seen.sort_by_key(|seen| (seen.state.assured(), std::cmp::Reverse(seen.idle_unprotected())));
        let offer = |seen: &&Seen| match rules.offer_many(&seen.entry, &seen.judged, seen.count) {
            (Choice::Delete(0), n) => Some((seen.group, !seen.state.assured(), n)),
            _ => None,
        };
        let got: Vec<_> = seen.iter().filter_map(offer).collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn a_scan_deals_a_groups_entries_out_to_its_sources() {
    let (table, settings) = (shared(), settings());
    let scan = AgentView::new(&settings, &table).scan(&table, &settings, 0.1, true);
    let weighed = scan.weighed.expect("weighed");
    // Two groups share their sources, one is alone.
    assert_eq!(weighed.holdings.len(), 201);
    let of = |source: &str| {
        let i = weighed.holdings.iter().position(|h| h.holder.to_string() == source).expect("a holder");
        let rows = weighed.takeable.iter().filter(|bin| bin.holding as usize == i);
        let rows: Vec<(Rank, u32)> = rows.map(|bin| (bin.rank, bin.entries)).collect();
        (weighed.holdings[i].entries, weighed.holdings[i].assured, weighed.holdings[i].young, rows)
    };
    let rows = vec![(Rank::of(true, 100), 5), (Rank::of(true, 5000), 5), (Rank::of(false, 19), 5)];
    assert_eq!(of("10.9.0.1"), (20, 15, false, rows.clone()));
    assert_eq!(of("10.9.0.200"), (20, 15, false, rows));
    assert_eq!(of("10.0.0.1"), (1000, 1000, false, vec![(Rank::of(true, 9000), 1000)]));
    assert!(weighed.holdings.is_sorted_by_key(|h| h.holder) && weighed.takeable.is_sorted());
    let entries: u64 = weighed.holdings.iter().map(|h| u64::from(h.entries)).sum();
    assert_eq!((entries, weighed.unanswered.total()), (5000, 0));
}

#[test]
fn no_more_than_65_536_sources_of_a_group_are_told_apart_and_they_stand_for_all() {
    let mut many = traffic(FlowKind::Tcp);
    (many.network, many.sources) = ("10.64.0.0/10".parse().unwrap(), 1 << 20);
    let mut half_open = traffic(FlowKind::Syn);
    half_open.from_seconds = 5.0;
    let mut table = table(&[many, half_open], 0, 512);
    table.stock(0, false, 1 << 18, 100.0);
    table.stock(1, false, 300, 20.0);
    let weighed =
        AgentView::new(&settings(), &table).scan(&table, &settings(), 0.1, true).weighed.expect("weighed");
    assert_eq!((weighed.holdings.len(), weighed.beyond), (1 << 16, 0));
    assert!(weighed.holdings.iter().all(|h| (h.entries, h.assured, h.young) == (4, 4, false)));
    assert_eq!(weighed.unanswered.total(), 300);
}

#[test]
fn who_began_lately_is_young_and_who_was_there_when_the_agent_came_is_not() {
    let mut late = traffic(FlowKind::Tcp);
    late.from_seconds = 100.0;
    let mut table = table(&[late], 0, 512);
    let mut random = Random::new(1);
    table.pass(50.0, &mut random);
    let mut before = AgentView::new(&settings(), &table);
    table.pass(100.0, &mut random);
    table.begin(0, 10);
    let mut after = AgentView::new(&settings(), &table);
    let young = |view: &mut AgentView, table: &Table| {
        view.scan(table, &settings(), 0.1, true).weighed.expect("weighed").holdings[0].young
    };
    assert!(young(&mut before, &table) && !young(&mut after, &table));
    table.pass(161.0, &mut random);
    assert!(!young(&mut before, &table), "calm_seconds later");
}

#[test]
fn a_second_chance_ends_what_is_silent_and_a_packet_puts_the_timeout_back() {
    let mut living = traffic(FlowKind::Tcp);
    (living.lifetime_seconds, living.packet_every_seconds) = (1e12, 8000.0);
    let mut table = table(&[traffic(FlowKind::Tcp), living], 0, 512);
    let mut random = Random::new(1);
    let settings = Settings::default();
    table.stock(0, false, 100, 7980.0);
    table.stock(1, true, 100, 7980.0);
    let mut view = AgentView::new(&settings, &table);
    let flush = Flush { grace_seconds: Some(60), ..Flush::of(Class::Established, 7200, 150) };
    let pace = Pace { per_second: 1000, chances_per_second: 1000, ..Pace::default() };
    let pace = Pace { urgent_at_entries: u64::MAX, ..pace };
    let mut sweep = Sweep::new(vec![flush.clone()], pace, &table);
    let costs = Costs::default();
    let standing = sweep.go_on(&mut table, &mut view, &settings, &costs, 1e9, &mut random);
    assert_eq!((standing, sweep.deleted(), table.entries()), (Standing::Enough, 0, 200));
    let chances = view.chances(&table);
    assert_eq!((chances.waiting, chances.last_ends_seconds), (150, UP_SECONDS + 60.0));
    let scan = view.scan(&table, &settings, 0.1, false);
    let seen = scan.classes.iter().find(|seen| seen.class == Class::Established).expect("seen");
    assert_eq!((seen.would_free, seen.in_grace), (50, 150));
    // Nobody gets a second one.
    let mut again = Sweep::new(vec![Flush { budget: 1000, ..flush }], pace, &table);
    again.go_on(&mut table, &mut view, &settings, &costs, 1e9, &mut random);
    assert_eq!(view.chances(&table).waiting, 200);
    table.pass(62.0, &mut random);
    assert_eq!((table.entries(), table.expired_entries(), table.lost.expired), (200, 100, 0));
    view.scan(&table, &settings, 0.1, false);
    assert_eq!(view.chances(&table).waiting, 0, "gone, or heard");
}

#[test]
fn in_a_hurry_no_more_than_its_share_goes_of_each_part_and_one_budget_is_for_all() {
    let groups = [traffic(FlowKind::Syn), traffic(FlowKind::Tcp)];
    let go = |budget: u64, portion: f64, span: f64| {
        let mut table = table(&groups, 0, 512);
        table.stock(0, false, 1000, 60.0);
        table.stock(1, false, 4000, 9000.0);
        table.stock(1, false, 5000, 8000.0);
        table.stock(1, false, 100, 100.0);
        let (settings, costs) = (Settings::default(), Costs::default());
        let mut view = AgentView::new(&settings, &table);
        let of = |class| Flush::of(class, settings.flush.floor_seconds(class), budget);
        let pace = Pace { per_second: 10_000, urgent_at_entries: u64::MAX, ..Pace::default() };
        let pace = Pace { portion: Some(portion), ..pace };
        let mut sweep = Sweep::new(vec![of(Class::Unreplied), of(Class::Established)], pace, &table);
        let standing = sweep.go_on(&mut table, &mut view, &settings, &costs, span, &mut Random::new(1));
        let freed: Vec<u64> = sweep.credits().map(|(_, freed)| freed).collect();
        (standing, freed)
    };
    assert_eq!(go(100_000, 0.3, 1e9), (Standing::Enough, vec![1000, 2030]));
    assert_eq!(go(1500, 0.3, 1e9), (Standing::Enough, vec![1000, 500]));
    assert_eq!(go(100_000, 1.0, 1e9), (Standing::Whole, vec![1000, 9000]));
    let (standing, freed) = go(100_000, 0.3, 0.1);
    assert_eq!(standing, Standing::UnderWay);
    assert!(freed[0] > 200 && freed[0] < 500 && freed[1] > 400 && freed[1] < 1000, "{freed:?}");
}
