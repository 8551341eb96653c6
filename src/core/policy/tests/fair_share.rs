//! Who pays when nothing gentler is left, and who does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::fixtures::*;
use crate::core::model::*;
use crate::core::policy::{Memory, decide};

/// Some sources' answered entries, all idle for `idle` seconds.
#[derive(Clone, Copy, Debug)]
struct Held {
    entries: u32,
    assured: bool,
    young: bool,
    idle: u32,
}

const OLD: Held = Held { entries: 0, assured: true, young: false, idle: 100 };

fn holder(address: &str) -> Holder {
    let net = address.parse().unwrap_or_else(|_| address.parse::<std::net::IpAddr>().unwrap().into());
    Holder { zone: 0, net }
}

fn weighed(held: impl IntoIterator<Item = (String, Held)>) -> Weighed {
    let by_holder: BTreeMap<Holder, Held> = held.into_iter().map(|(a, held)| (holder(&a), held)).collect();
    let mut weighed = Weighed::default();
    for (i, (holder, held)) in by_holder.into_iter().enumerate() {
        let assured = if held.assured { held.entries } else { 0 };
        weighed.holdings.push(Holding { holder, entries: held.entries, assured, young: held.young });
        if held.idle >= 60 {
            let rank = Rank::of(held.assured, held.idle);
            weighed.takeable.push(Takeable { holding: i as u32, rank, entries: held.entries });
        }
    }
    weighed
}

/// A full table that nothing but fair share can relieve.
fn full(weighed: Weighed) -> Snapshot {
    let entries =
        weighed.holdings.iter().map(|h| u64::from(h.entries)).sum::<u64>() + weighed.unanswered.total();
    let scan = Scan { entries, weighed: Some(Arc::new(weighed)), ..seen(&[]) };
    Snapshot { max: entries, scan: Some(scan), ..table(entries) }
}

fn pinned_at(snapshot: &Snapshot) -> Settings {
    let mut settings = Settings::default();
    settings.capacity.ceiling = snapshot.max;
    settings
}

fn planned(snapshot: &Snapshot) -> Plan {
    plan_of(snapshot, &pinned_at(snapshot))
}

fn shares(plan: &Plan) -> Vec<&Flush> {
    fn of(action: &Action) -> Option<&Flush> {
        match &action.act {
            Act::Flush(flush) if flush.class == Class::FairShare => Some(flush),
            _ => None,
        }
    }
    plan.actions.iter().filter_map(of).collect()
}

/// What each source gives up.
fn paid(plan: &Plan) -> BTreeMap<String, u32> {
    let dues = shares(plan).into_iter().filter_map(|flush| match &flush.share {
        Some(Share::Dues(dues)) => Some(dues.clone()),
        _ => None,
    });
    dues.flatten().map(|due| (due.holder.to_string(), due.entries)).collect()
}

fn total(plan: &Plan) -> u64 {
    shares(plan).iter().map(|flush| flush.budget).sum()
}

fn small_ones(n: u32, entries: u32) -> impl Iterator<Item = (String, Held)> {
    (0..n).map(move |i| (format!("10.1.{}.{}", i / 250, 1 + i % 250), Held { entries, ..OLD }))
}

#[test]
fn one_hog_among_500_pays_all_of_it() {
    for hog in ["10.1.9.9", "192.168.7.7"] {
        let held = small_ones(500, 5).chain([(hog.to_owned(), Held { entries: 27_500, ..OLD })]);
        let snapshot = full(weighed(held));
        assert_eq!(snapshot.entries, 30_000);
        let plan = planned(&snapshot);
        assert_eq!(paid(&plan), [(hog.to_owned(), 9000)].into());
        let flush = shares(&plan)[0];
        assert_eq!((flush.share_level, flush.idle_over_seconds, flush.budget), (Some(18_500), 60, 9000));
        assert_eq!(flush.payers, Some(vec![Payer { source: hog.into(), entries: 9000 }]));
        let reason = &plan.actions.last().unwrap().reason;
        assert!(reason.contains("none is cut below 18500") && reason.contains(hog), "{reason}");
    }
}

#[test]
fn a_hog_pays_before_a_lan_that_holds_more_together() {
    let held = small_ones(500, 40).chain([("192.168.7.7".to_owned(), Held { entries: 10_000, ..OLD })]);
    let plan = planned(&full(weighed(held)));
    let mut paid = paid(&plan);
    assert_eq!(paid.remove("192.168.7.7"), Some(9000));
    assert_eq!(paid, BTreeMap::new());
}

/// 50,000 sources of five entries each, and an office of 2,000 behind one address.
fn botnet(bot: Held, spread: impl Fn(u32) -> String) -> Plan {
    let bots = (0..50_000).map(|i| (spread(i), Held { entries: 5, ..bot }));
    let office = ("203.0.113.9".to_owned(), Held { entries: 2000, ..OLD });
    planned(&full(weighed(bots.chain([office]))))
}

#[test]
fn an_office_behind_one_address_does_not_pay_for_a_botnet() {
    let one_network = |i: u32| format!("10.7.{}.{}", i / 250, i % 250);
    let fifty_networks = |i: u32| format!("10.{}.{}.{}", i / 1000, i / 250 % 4, i % 250);
    let everywhere =
        |i: u32| std::net::Ipv4Addr::from(0x0b00_0000 + i.wrapping_mul(2_654_435_761) / 20).to_string();
    let plans = [
        botnet(OLD, one_network),
        botnet(OLD, fifty_networks),
        botnet(OLD, everywhere),
        botnet(OLD, |i| std::net::Ipv4Addr::from(0x0b00_0000 + i * 300).to_string()),
        botnet(Held { young: true, ..OLD }, everywhere),
        botnet(Held { assured: false, ..OLD }, everywhere),
    ];
    for plan in plans {
        assert_eq!(paid(&plan).get("203.0.113.9"), None);
        assert_eq!(total(&plan), 252_000 - 176_400);
        assert!(paid(&plan).values().all(|n| *n <= 2), "by level inside it");
        assert_eq!(shares(&plan)[0].payers.as_ref().unwrap().len(), 100, "not all of them are named");
    }
}

#[test]
fn a_weight_stands_for_many() {
    let mut held: Vec<(String, Held)> = small_ones(100, 50).collect();
    held.push(("10.1.0.200".into(), Held { entries: 2000, ..OLD }));
    let snapshot = full(weighed(held));
    let mut settings = pinned_at(&snapshot);
    assert!(paid(&plan_of(&snapshot, &settings))["10.1.0.200"] >= 1900);
    settings.flush.source_weights =
        vec![("10.0.0.0/8".parse().unwrap(), 1.0), ("10.1.0.200/32".parse().unwrap(), 200.0)];
    let plan = plan_of(&snapshot, &settings);
    assert_eq!(paid(&plan).get("10.1.0.200"), None);
    assert_eq!(total(&plan), 2100);
}

#[test]
fn what_is_forged_in_a_victims_name_goes_first_and_does_not_count_for_it() {
    let mut weighed = weighed(small_ones(500, 5).chain([("10.1.3.3".into(), Held { entries: 80, ..OLD })]));
    (0..27_420).for_each(|_| weighed.unanswered.add(61));
    weighed.unanswered_entries = 27_420;
    let plan = planned(&full(weighed));
    let flush = shares(&plan)[0];
    assert_eq!((&flush.share, flush.budget), (&Some(Share::Unanswered), 9000));
    assert_eq!(paid(&plan), BTreeMap::new());
}

#[test]
fn not_assured_goes_first_then_the_longest_idle() {
    let mut weighed = weighed([("10.0.0.1".to_owned(), Held { entries: 1000, idle: 0, ..OLD })]);
    let bin = |assured, idle, entries| Takeable { holding: 0, rank: Rank::of(assured, idle), entries };
    weighed.takeable = vec![bin(true, 70, 500), bin(true, 7000, 200), bin(false, 70, 50), bin(false, 90, 50)];
    weighed.takeable.sort();
    let plan = planned(&full(weighed));
    let Some(Share::Dues(dues)) = &shares(&plan)[0].share else { panic!("no dues") };
    let due = Due { holder: holder("10.0.0.1"), entries: 300, rank: Rank::of(true, 7000), at_rank: 200 };
    assert_eq!(dues, &[due]);
}

#[test]
fn who_is_below_the_level_does_not_pay_what_a_live_flood_owes() {
    let live = Held { entries: 27_500, idle: 10, ..OLD };
    let plan = planned(&full(weighed(small_ones(500, 5).chain([("10.1.9.9".into(), live)]))));
    assert_eq!(total(&plan), 0);
    assert!(says(&plan, "9000 entries that are too many stay"), "{:?}", plan.reasons);
}

#[test]
fn what_a_young_flood_cannot_give_yet_is_asked_of_nobody_else() {
    let bots = || {
        (0..5000).map(|i| {
            (format!("10.{}.{}.1", i / 250, i % 250), Held { entries: 5, young: true, idle: 0, ..OLD })
        })
    };
    let office = |entries| ("203.0.113.9".to_owned(), Held { entries, ..OLD });
    let plan = planned(&full(weighed(bots().chain([office(2000)]))));
    assert_eq!(paid(&plan), BTreeMap::new());
    let plan = planned(&full(weighed(bots().chain([office(10_000)]))));
    assert_eq!(paid(&plan), BTreeMap::new(), "however large they are");
}

#[test]
fn a_fresh_flood_without_answers_is_owed_by_nobody() {
    let mut weighed = weighed(small_ones(200, 10));
    weighed.unanswered_entries = 8000;
    let entries = 10_000;
    let scan = Scan { entries, weighed: Some(Arc::new(weighed)), ..seen(&[]) };
    let snapshot = Snapshot { max: entries, scan: Some(scan), ..table(entries) };
    assert_eq!(total(&planned(&snapshot)), 0, "2 s old: it cannot go yet, and nobody else pays for it");
}

#[test]
fn hogs_pay_before_who_is_small_in_a_large_network() {
    for (hogs, each, small, few) in [(12, 2290, 500, 5), (5, 900, 550, 10)] {
        let hogs = (0..hogs).map(|i| (format!("10.{}.0.1", 100 + i), Held { entries: each, ..OLD }));
        let plan = planned(&full(weighed(small_ones(small, few).chain(hogs))));
        assert!(
            total(&plan) > 0
                && paid(&plan).keys().all(|payer| payer.ends_with(".0.1") && payer != "10.1.0.1")
        );
    }
}

#[test]
fn a_heavy_source_does_not_lend_its_weight_to_its_neighbours() {
    let one = |address: &str, entries| (address.to_owned(), Held { entries, ..OLD });
    let snapshot = full(weighed(
        [one("10.1.0.1", 1000), one("10.1.0.2", 1000)]
            .into_iter()
            .chain(small_ones(100, 10).map(|(a, h)| (a.replace("10.1.", "10.2."), h))),
    ));
    let mut settings = pinned_at(&snapshot);
    settings.flush.source_weights = vec![("10.1.0.1/32".parse().unwrap(), 10.0)];
    assert_eq!(paid(&plan_of(&snapshot, &settings)), [("10.1.0.2".to_owned(), 900)].into());
}

#[test]
fn nobody_pays_below_critical_or_against_the_operators_will_or_while_max_may_rise() {
    let snapshot = full(weighed([("10.0.0.1".to_owned(), Held { entries: 1000, ..OLD })]));
    let settings = pinned_at(&snapshot);
    assert_eq!(total(&plan_of(&snapshot, &settings)), 300);
    let high = Snapshot { entries: 900, ..snapshot.clone() };
    assert_eq!(total(&plan_of(&high, &settings)), 0);
    let mut without = settings.clone();
    without.flush.fair_share = false;
    assert_eq!(total(&plan_of(&snapshot, &without)), 0);
    let raised = Memory { raised_at_seconds: Some(NOW - 0.5), level: Level::Critical, ..fresh() };
    assert_eq!(total(&decide(&snapshot, &raised, &Settings::default()).0), 0);
    assert_eq!(total(&decide(&snapshot, &raised, &settings).0), 300, "at its ceiling it does not rise");
}

#[test]
fn a_scan_that_did_not_weigh_is_asked_to() {
    let mut snapshot = full(weighed([("10.0.0.1".to_owned(), Held { entries: 1000, ..OLD })]));
    snapshot.scan.as_mut().unwrap().weighed = None;
    let (plan, memory) = decide(&snapshot, &fresh(), &pinned_at(&snapshot));
    assert!(plan.scan && plan.weigh && memory.sharing);
    // And the next one weighs without being asked twice.
    snapshot.scan = None;
    let (plan, _) = decide(&snapshot, &memory, &pinned_at(&snapshot));
    assert!(plan.scan && plan.weigh);
}

fn any_holding() -> impl Strategy<Value = (String, Held)> {
    let address = (0..4u8, 0..3u8, 0..8u8).prop_map(|(a, b, c)| format!("10.{a}.{b}.{c}"));
    let held = (1..3000u32, any::<bool>(), any::<bool>(), prop_oneof![Just(0u32), 60..100_000u32])
        .prop_map(|(entries, assured, young, idle)| Held { entries, assured, young, idle });
    (address, held)
}

proptest! {
    #![proptest_config(super::generators::config())]

    #[test]
    fn no_more_than_needed_and_nothing_that_may_not_be_taken(held in prop::collection::vec(any_holding(), 1..60)) {
        let weighed = weighed(held);
        let takeable: BTreeMap<String, u32> = weighed.takeable.iter()
            .map(|bin| (weighed.holdings[bin.holding as usize].holder.to_string(), bin.entries)).collect();
        let snapshot = full(weighed.clone());
        let plan = planned(&snapshot);
        prop_assert!(total(&plan) <= snapshot.entries - plan.pace.enough_at_entries);
        for (source, due) in paid(&plan) {
            prop_assert!(due <= takeable.get(&source).copied().unwrap_or(0));
        }
        // In one network, with nobody young and all ASSURED: a payer keeps at least as much as who does not pay.
        let (plan_paid, same) = (paid(&plan), |h: &Holding| h.assured > 0 && !h.young && h.holder.to_string().starts_with("10.0.0."));
        if weighed.holdings.iter().all(same) {
            let kept = |h: &Holding| h.entries - plan_paid.get(&h.holder.to_string()).copied().unwrap_or(0);
            let pays = |h: &&Holding| plan_paid.contains_key(&h.holder.to_string());
            let least = weighed.holdings.iter().filter(pays).map(kept).min().unwrap_or(u32::MAX);
            let level = shares(&plan).first().and_then(|flush| flush.share_level);
            prop_assert!(level.is_none_or(|level| level <= u64::from(least)));
        }
    }
}

/// A source that holds everything, idle for less than the emergency floor.
fn live_fills() -> Snapshot {
    full(weighed([("10.0.0.1".to_string(), Held { entries: 10_000, idle: 10, ..OLD })]))
}

#[test]
fn what_would_make_room_is_the_value_that_bounds_the_table() {
    let said = |snapshot: &Snapshot, settings: &Settings| {
        let reasons = plan_of(snapshot, settings).reasons;
        reasons.into_iter().find(|why| why.contains("makes room")).expect("what makes room")
    };
    let snapshot = live_fills();
    let ceiling = said(&snapshot, &pinned_at(&snapshot));
    assert!(
        ceiling.contains("a higher ceiling makes room (max may rise to 10000: the configured ceiling"),
        "{ceiling}"
    );
    let mut quota = Settings::default();
    (quota.capacity.limit, quota.capacity.enabled) = (10_000, false);
    let wide = Snapshot { max: 262_144, ..snapshot.clone() };
    let limit = said(&wide, &quota);
    assert!(limit.contains("a higher quota ([capacity] limit, now 10000) makes room"), "{limit}");
    assert!(!limit.contains("ceiling"), "{limit}");
    let mut kept = Settings::default();
    kept.capacity.enabled = false;
    assert!(said(&snapshot, &kept).contains("a higher nf_conntrack_max (now 10000;"));
    let theirs = Snapshot { owns_host_values: false, ..snapshot.clone() };
    assert!(said(&theirs, &Settings::default()).contains("which is not this agent's to write"));
    // It stands beside when the table is looked at again: time makes room as well, and nothing is said to be the only
    // way.
    for text in [ceiling, limit] {
        assert!(
            text.contains("they go as they come to be idle for so long") && !text.contains("only"),
            "{text}"
        );
    }
}
