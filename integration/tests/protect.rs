//! What the operator protects stays, however idle.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, source};
use crate::harness::table::{Identity, Row, rows};
use crate::harness::topology::{CLIENT4, GATEWAY_OUTSIDE4, SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("protect::protected_entries_stay_when_all_else_goes", protected_stay).needs(&[Need::Age]),
    test("protect::over_max_percent_protection_alarms_and_is_lifted_at_critical_alone", lifted)
        .needs(&[Need::Age]),
];

const IDLE: u32 = 9000;
const EACH: u16 = 40;

/// Only the flush of every unprotected dead entry brings the table to 5 % of its quota; the protected are 3 %.
fn sections() -> String {
    format!(
        "{}[pressure]\ntarget_percent = 5\nlow_percent = 6\nhigh_percent = 7\n[flush]\ngrace_seconds = 2\n[timeouts]\nenabled = false\n\
         [protect]\nsources = [\"10.200.0.0/24\", \"fd00:200::/64\"]\ndestinations = [\"203.0.113.0/24\"]\n\
         ports = [8443]\nmarks = [\"0x10/0xf0\"]\nzones = [9]\n",
        limit(10_000)
    )
}

/// Each kind of protection with what it protects: dead for 8,000 s.
fn protected(topology: &Topology) -> Vec<(&'static str, HashSet<Identity>)> {
    let dead = |from: Ipv4Addr, to: Ipv4Addr, port| Flow::established(from, to, port, 8000);
    let six = |port| {
        let from: std::net::Ipv6Addr = [0xfd00, 0x200, 0, 0, 0, 0, 0, 5].into();
        Flow::established(from, crate::harness::topology::SERVER6, port, 8000)
    };
    let to_gateway = |port| {
        let l4 = flow::L4::Tcp(port, 8443, crate::harness::table::ESTABLISHED);
        Flow { l4, ..dead(SERVER4, GATEWAY_OUTSIDE4, port) }
    };
    let kind = |n: u16| {
        move |i: u16| match n {
            0 => dead([10, 200, 0, 7].into(), SERVER4, i),
            1 => six(i),
            2 => dead(CLIENT4, [203, 0, 113, 9].into(), i),
            3 => to_gateway(i),
            4 => Flow { mark: 0x13, ..dead(CLIENT4, SERVER4, i) },
            5 => Flow { zone: 9, ..dead(CLIENT4, SERVER4, i) },
            _ => Flow { helper: Some("ftp"), ..dead(CLIENT4, SERVER4, i) },
        }
    };
    let mut seen = HashSet::new();
    let names = ["sources", "sources (IPv6)", "destinations", "ports", "marks", "zones", "helpers"];
    let mut groups = Vec::new();
    for (n, name) in (0..).zip(names) {
        let ports = (2000 + n * 100)..(2000 + n * 100 + EACH);
        fill(&topology.gateway, ports.map(kind(n)));
        let all: HashSet<Identity> = rows(&topology.gateway).iter().map(Row::identity).collect();
        let new: HashSet<_> = all.difference(&seen).copied().collect();
        assert_eq!(new.len(), usize::from(EACH), "{name}");
        groups.push((name, new));
        seen = all;
    }
    groups
}

fn protected_stay() {
    let topology = Topology::new();
    let groups = protected(&topology);
    fill(&topology.gateway, flow::established(IDLE, 100, 8000));
    // As dead and nearly alike: another mark, another zone, another port of the gateway.
    let near = |i: u16| Flow { mark: 0x23, zone: 8, ..Flow::established(source(900), SERVER4, i, 8000) };
    fill(&topology.gateway, (2000..2040).map(near));
    let setup = Setup::new(&topology.gateway, &sections());
    let agent = setup.start();
    wait::until("the unprotected to go", Duration::from_secs(10), || {
        let count = topology.count();
        // The target is 500; a deletion that came too late for its entry may leave a few more.
        if count <= 550 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    wait::throughout("the protected stay", Duration::from_secs(3), || {
        let now: HashSet<_> = rows(&topology.gateway).iter().map(Row::identity).collect();
        let lost = groups.iter().find(|(_, group)| !group.is_subset(&now));
        lost.map_or(Ok(()), |(name, _)| Err(format!("entries protected by {name} went")))
    });
    let metered = agent.status()["protected"].as_u64();
    assert!(metered.is_none_or(|n| n >= groups.len() as u64 * u64::from(EACH)), "protected: {metered:?}");
    assert_eq!(agent.stop(), 0);
}

/// 800 dead entries of one protected network in a quota of 2,000, of which protection may have 400.
fn lifted() {
    let topology = Topology::new();
    let network = "[timeouts]\nenabled = false\n[protect]\nsources = [\"10.200.0.0/16\"]\n";
    let held = |n: u16| Flow::established([10, 200, 0, 7], SERVER4, n, 9000);
    fill(&topology.gateway, (2000..2800).map(held));
    let busy = |count: u32, from: u32| {
        let fresh = move |n: u32| Flow::established(source(from + n), SERVER4, 443, 10);
        fill(&topology.gateway, (0..count).map(fresh));
    };
    busy(900 - topology.count() as u32 + 800, 0);
    let setup = Setup::new(&topology.gateway, &format!("{}{network}", limit(2000)));
    let agent = setup.start();
    let protected = || {
        let rows = rows(&topology.gateway);
        let inside =
            |row: &&Row| matches!(row.source, std::net::IpAddr::V4(a) if a.octets()[..2] == [10, 200]);
        rows.iter().filter(inside).count()
    };
    let told = || setup.acts().into_iter().filter(|act| act["action"] == "protect").collect::<Vec<_>>();
    wait::until("the alarm", Duration::from_secs(10), || {
        if told().len() == 1 { Ok(()) } else { Err(format!("{:?}", told())) }
    });
    wait::throughout("at high protection holds", Duration::from_secs(4), || {
        if protected() == 800 { Ok(()) } else { Err(format!("{} protected are left", protected())) }
    });
    let status = agent.status();
    assert_eq!(status["level"], "high", "{status}");
    let waiting = status["waiting"].to_string();
    assert!(waiting.contains("configuration protects 800 entries, 40.0 % of the limit"), "{waiting}");
    busy(260, 5000);
    wait::until("protection to be held to its share", Duration::from_secs(20), || {
        let count = protected();
        if (390..=400).contains(&count) { Ok(()) } else { Err(format!("{count} protected are left")) }
    });
    wait::throughout("its share stays", Duration::from_secs(4), || {
        if protected() >= 390 { Ok(()) } else { Err(format!("{} protected are left", protected())) }
    });
    let lifts = |act: &serde_json::Value| {
        act["reason"].as_str().is_some_and(|why| why.contains("protection is lifted"))
    };
    let done = setup.acts().into_iter().find(|act| act["event"] == "done" && lifts(act)).expect("a record");
    assert_eq!((&done["level"], &done["class"]), (&"critical".into(), &"established".into()), "{done}");
    let records = told();
    assert_eq!(records[0]["event"], "deferred", "{records:?}");
    assert_eq!(agent.stop(), 0);
}
