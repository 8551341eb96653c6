//! At critical with nothing gentler left, who holds more than its share makes room, and nobody below it pays.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{Flow, L4, source, source6};
use crate::harness::table::{by_source, rows};
use crate::harness::topology::{Family, SERVER4, SERVER6, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("fair_share::one_hog_pays_and_500_small_sources_keep_every_entry", hog).needs(&[Need::Age]),
    test("fair_share::an_office_does_not_pay_for_a_botnet", botnet).needs(&[Need::Age]),
    test("fair_share::what_is_new_and_scattered_pays_before_what_is_old", young).needs(&[Need::Age]),
    test("fair_share::a_flood_forged_in_a_victims_name_costs_the_victim_nothing", forged).needs(&[Need::Age]),
    test("fair_share::thousands_of_addresses_in_one_ipv6_prefix_are_one_source", one_prefix)
        .needs(&[Need::Age]),
    test("fair_share::a_live_hog_is_left_and_nobody_pays_for_it", live_hog).needs(&[Need::Age]),
];

const HOG: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
const OFFICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// `count` answered flows of one source.
fn of_one(
    from: impl Into<IpAddr>,
    to: impl Into<IpAddr>,
    count: u32,
    idle_seconds: u32,
) -> impl Iterator<Item = Flow> {
    let (from, to) = (from.into(), to.into());
    (0..count).map(move |n| Flow::established(from, to, 1024 + n as u16, idle_seconds))
}

fn small_ones(entries: u32) -> impl Iterator<Item = Flow> {
    (0..500).flat_map(move |n| of_one(source(n), SERVER4, entries, 100))
}

fn held(topology: &Topology) -> BTreeMap<IpAddr, u64> {
    let counts = by_source(&rows(&topology.gateway)).into_iter();
    counts.map(|((address, _), c)| (address, c.tcp + c.udp + c.icmp + c.other)).collect()
}

fn until_at_most(topology: &Topology, most: u64) {
    wait::until("usage to come down", Duration::from_secs(15), || {
        let count = topology.count();
        if count <= most { Ok(()) } else { Err(format!("{count} entries, at most {most} wanted")) }
    });
}

/// The records of what was shared out, once the first act has ended.
fn shared(setup: &Setup) -> Vec<Value> {
    let done = |act: &Value| act["class"] == "fair-share" && act["event"] == "done";
    wait::until("a record of fair share", Duration::from_secs(10), || {
        let acts: Vec<Value> = setup.acts().into_iter().filter(done).collect();
        if acts.is_empty() { Err("none yet") } else { Ok(acts) }
    })
}

fn hog() {
    let topology = Topology::new();
    fill(&topology.gateway, small_ones(5));
    fill(&topology.gateway, of_one(HOG, SERVER4, 27_500, 100));
    let mut flows = [Tcp::talking(&topology, Family::V4), Tcp::talking(&topology, Family::V6)];
    let setup = Setup::new(&topology.gateway, &limit(30_000));
    let plan = setup.json(&["plan"]);
    let actions = plan["actions"].as_array().expect("actions");
    let share = actions.iter().find(|a| a["class"] == "fair-share").unwrap_or_else(|| panic!("{plan}"));
    assert_eq!(share["payers"][0]["source"], HOG.to_string(), "{share}");
    assert_eq!(share["payers"].as_array().map(Vec::len), Some(1), "{share}");
    let level = share["share_level"].as_u64().expect("a level");
    assert!((18_490..=18_500).contains(&level), "{share}");
    assert_eq!(topology.count(), 30_002, "a plan takes nothing");
    let agent = setup.start();
    until_at_most(&topology, 21_000);
    let held = held(&topology);
    assert!((0..500).all(|n| held.get(&source(n).into()) == Some(&5)), "small sources paid");
    // One batch of a dump more than needed at most: 32 KiB of entries.
    assert!(held[&HOG.into()] >= 18_200, "the hog was left {}", held[&HOG.into()]);
    flows.iter_mut().for_each(|flow| flow.alive().expect("a live flow"));
    let acts = shared(&setup);
    let reason = acts[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains(&HOG.to_string()) && reason.contains("none is cut below"), "{reason}");
    assert_eq!(agent.stop(), 0);
}

/// `sources` sources of five entries each, in one network.
fn bots(sources: u32, idle_seconds: u32, spread: fn(u32) -> Ipv4Addr) -> impl Iterator<Item = Flow> {
    (0..sources).flat_map(move |n| of_one(spread(n), SERVER4, 5, idle_seconds))
}

fn botnet() {
    // The botnet's network holds 25 times the office's entries, and each of its /24 fewer than the office.
    const BOTS: u32 = 10_000;
    const LIMIT: u64 = 54_000;
    let topology = Topology::new();
    fill(&topology.gateway, bots(BOTS, 100, |n| Ipv4Addr::from(0x0a07_0000 + n)));
    fill(&topology.gateway, of_one(OFFICE, SERVER4, 2000, 100));
    let setup = Setup::new(&topology.gateway, &limit(LIMIT));
    let agent = setup.start();
    until_at_most(&topology, LIMIT * 70 / 100);
    let held = held(&topology);
    assert_eq!(held[&OFFICE.into()], 2000, "the office paid");
    let bots: Vec<u64> = held.iter().filter(|(a, _)| **a != IpAddr::from(OFFICE)).map(|(_, n)| *n).collect();
    assert_eq!((bots.len(), bots.iter().min()), (BOTS as usize, Some(&3)), "each bot is cut by level");
    assert!(shared(&setup)[0]["reason"].as_str().is_some_and(|why| why.contains("more")));
    assert_eq!(agent.stop(), 0);
}

/// Scattered over all networks: each holds less than the office, and only their youth tells them from old clients.
fn young() {
    let topology = Topology::new();
    fill(&topology.gateway, of_one(OFFICE, SERVER4, 2000, 100));
    // What another writer creates while the agent runs is proven idle by observation: two scans.
    let floors = "[flush]\nemergency_idle_floor_seconds = 3\n";
    let setup = Setup::new(&topology.gateway, &format!("{}{floors}", limit(27_300)));
    let agent = setup.start();
    fill(
        &topology.gateway,
        bots(5000, 0, |n| Ipv4Addr::from(0x0b00_0000 + n.wrapping_mul(2_654_435_761) % 0x4000_0000)),
    );
    // What revived or went by itself meanwhile is not made up for once the level is normal.
    until_at_most(&topology, 27_300 * 72 / 100);
    assert_eq!(held(&topology)[&OFFICE.into()], 2000, "the office paid");
    let acts = shared(&setup);
    let reason = acts[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("younger than calm_seconds"), "{reason}");
    assert_eq!(agent.stop(), 0);
}

fn forged() {
    const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 128, 9, 9);
    let topology = Topology::new();
    fill(&topology.gateway, small_ones(5));
    fill(&topology.gateway, of_one(VICTIM, SERVER4, 80, 100));
    // SYN_SENT for 70 of 120 seconds.
    let half_open = |n: u32| Flow::new(VICTIM, SERVER4, L4::Tcp(2000 + n as u16, 80, 1), 50).unreplied();
    fill(&topology.gateway, (0..27_420).map(half_open));
    let floors = "[flush]\nunreplied_idle_floor_seconds = 600\n";
    let setup = Setup::new(&topology.gateway, &format!("{}{floors}", limit(30_000)));
    let agent = setup.start();
    until_at_most(&topology, 21_000);
    let rows = rows(&topology.gateway);
    let answered =
        |row: &&crate::harness::table::Row| row.status & crate::harness::table::IPS_SEEN_REPLY != 0;
    let victims = rows.iter().filter(answered).filter(|row| row.source == IpAddr::from(VICTIM)).count();
    assert_eq!(victims, 80, "the victim paid for what others sent in its name");
    assert_eq!(rows.iter().filter(answered).count(), 2580, "somebody else paid");
    let acts = shared(&setup);
    assert!(acts[0]["reason"].as_str().is_some_and(|why| why.contains("never had a reply")), "{acts:?}");
    assert_eq!(agent.stop(), 0);
}

fn one_prefix() {
    let topology = Topology::new();
    let many = |n: u32| Ipv6Addr::from(0xfd66_0000_0000_0000_0000_0000_0000_0001 + u128::from(n) * 7919);
    fill(&topology.gateway, (0..5000).flat_map(move |n| of_one(many(n), SERVER6, 5, 100)));
    fill(&topology.gateway, (0..500).flat_map(|n| of_one(source6(n), SERVER6, 5, 100)));
    let setup = Setup::new(&topology.gateway, &limit(27_500));
    let agent = setup.start();
    until_at_most(&topology, 19_250);
    let held = held(&topology);
    assert!((0..500).all(|n| held.get(&source6(n).into()) == Some(&5)), "sources of other prefixes paid");
    let acts = shared(&setup);
    assert!(acts[0]["reason"].as_str().is_some_and(|why| why.contains("fd66::/64 gives")), "{acts:?}");
    assert_eq!(agent.stop(), 0);
}

/// What is idle for less than the emergency floor stays, whoever holds it; and its dues fall on nobody else.
fn live_hog() {
    let topology = Topology::new();
    fill(&topology.gateway, small_ones(5));
    let mut writer = Writer::new(&topology.gateway);
    writer.fill(of_one(HOG, SERVER4, 27_500, 10));
    let setup = Setup::new(&topology.gateway, &limit(30_000));
    let agent = setup.start();
    wait::throughout("nobody pays", Duration::from_secs(4), || {
        let count = topology.count();
        if count == 30_000 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    let plan = setup.json(&["plan"]);
    let told = |reason: &Value| reason.as_str().is_some_and(|why| why.contains("nobody below it pays"));
    assert!(plan["reasons"].as_array().is_some_and(|reasons| reasons.iter().any(told)), "{plan}");
    assert_eq!(agent.stop(), 0);
}
