//! At level high nothing established is deleted: it is left a grace, and whoever speaks in it keeps the connection.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, ESTABLISHED_SECONDS, Flow, L4, source};
use crate::harness::netlink;
use crate::harness::table::{ESTABLISHED, Identity, Row, rows};
use crate::harness::topology::{Family, SERVER4, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("second_chance::a_live_flow_speaks_in_its_grace_and_the_dead_go_undeleted", speaks)
        .needs(&[Need::Age]),
    test("second_chance::no_time_left_is_ever_raised", never_raised).needs(&[Need::Age]),
    test("second_chance::critical_in_the_middle_of_the_grace_flushes", critical).needs(&[Need::Age]),
    test("second_chance::a_dry_run_says_it_and_changes_nothing", dry_run).needs(&[Need::Age]),
    test("second_chance::beside_a_listener_the_pace_is_modest", listened).needs(&[Need::Age]),
    test("second_chance::an_agent_that_starts_in_the_middle_takes_nobody_for_dead", restarted)
        .needs(&[Need::Age]),
];

/// High at 800 of 1,000 entries, relief down to 700; no timeouts, so that all that happens happens to entries.
fn sections(grace_seconds: u32, more: &str) -> String {
    let flush = format!("[flush]\ngrace_seconds = {grace_seconds}\n{more}");
    format!("{}{flush}[timeouts]\nenabled = false\n", limit(1000))
}

/// Connections that look idle for so long.
fn silent(count: u32, from: u32, idle_seconds: u32) -> impl Iterator<Item = Flow> {
    let port = |n: u32| (1024 + n) as u16;
    (0..count).map(move |n| Flow::established(source(from), SERVER4, port(n), idle_seconds))
}

fn left(topology: &Topology) -> HashMap<Identity, u32> {
    let of = |row: &Row| row.left_seconds.map(|left| (row.identity(), left));
    rows(&topology.gateway).iter().filter_map(of).collect()
}

fn in_grace(topology: &Topology, grace_seconds: u32) -> usize {
    left(topology).values().filter(|left| **left <= grace_seconds).count()
}

/// Done acts of an action, with what they achieved in all.
fn done(setup: &Setup, action: &str) -> (Vec<Value>, u64) {
    let of = |act: &Value| act["action"] == action && act["event"] == "done";
    let acts: Vec<Value> = setup.acts().into_iter().filter(of).collect();
    let achieved = acts.iter().filter_map(|act| act["achieved"].as_u64()).sum();
    (acts, achieved)
}

fn until_given(setup: &Setup, wanted: u64) -> Vec<Value> {
    wait::until("second chances in the journal", Duration::from_secs(10), || {
        let (acts, given) = done(setup, "second-chance");
        if given >= wanted { Ok(acts) } else { Err(format!("{given} of {wanted}")) }
    })
}

fn speaks() {
    const GRACE: u32 = 8;
    let topology = Topology::new();
    let mut tcp = Tcp::talking(&topology, Family::V4);
    let entry = tcp.entry(&topology).expect("its entry");
    // A connection that lives and is among the 150 that have said nothing for longest.
    let mut writer = Writer::new(&topology.gateway);
    let l4 = L4::Tcp(entry.source_port, entry.destination_port, ESTABLISHED);
    let quiet = Flow::new(entry.source, entry.destination, l4, 0);
    writer.set_left(&quiet, ESTABLISHED_SECONDS - 20_000);
    writer.fill(silent(149, 1, 20_000).chain(silent(700, 2, 8000)));
    let setup = Setup::new(&topology.gateway, &sections(GRACE, ""));
    let agent = setup.start();
    until_given(&setup, 150);
    assert_eq!(topology.count(), 850, "nothing is deleted");
    let waits = &agent.status()["waiting"];
    assert!(waits.to_string().contains("150 entries are in their second chance"), "{waits}");
    wait::until("the flow to be well into its grace", Duration::from_secs(10), || {
        let left = tcp.entry(&topology).and_then(|entry| entry.left_seconds);
        if left.is_some_and(|left| left <= GRACE - 3) { Ok(()) } else { Err(format!("{left:?} s left")) }
    });
    tcp.alive().expect("bytes both ways in the middle of the grace");
    let now = tcp.entry(&topology).expect("its entry");
    assert_eq!(now.identity(), entry.identity());
    assert!(now.left_seconds.is_some_and(|left| left > ESTABLISHED_SECONDS - 5), "{now:?}");
    // All of the 150 that are silent go; the one that spoke does not, and 70.1 % is no pressure any more.
    wait::until("the dead to be gone", Duration::from_secs(u64::from(3 * GRACE)), || {
        let count = topology.count();
        if count <= 701 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(topology.count(), 701, "and no further");
    tcp.alive().expect("bytes both ways after it");
    assert_eq!(tcp.entry(&topology).map(|now| now.identity()), Some(entry.identity()));
    assert_eq!(done(&setup, "flush").0, [Value::Null; 0], "no delete was needed");
    let (acts, given) = done(&setup, "second-chance");
    assert_eq!(given, 150);
    assert!(acts.iter().all(|act| act["class"] == "established" && act["requested"].as_u64() >= act["achieved"].as_u64()));
    wait::until("calm", Duration::from_secs(5), || {
        let status = agent.status();
        if status["level"] == "normal" && status["waiting"] == Value::Array(vec![]) {
            Ok(())
        } else {
            Err(format!("{} {}", status["level"], status["waiting"]))
        }
    });
    assert_eq!(agent.stop(), 0);
}

fn never_raised() {
    const GRACE: u32 = 30;
    let topology = Topology::new();
    // Silent for longer than the floor whatever base they had, and with less left than the grace.
    let short = (0..400).map(|n| Flow::new(source(5), SERVER4, L4::Tcp(1024 + n, 443, ESTABLISHED), 25));
    fill(&topology.gateway, short);
    fill(&topology.gateway, silent(450, 1, 8000));
    let started = Instant::now();
    let before = left(&topology);
    let setup = Setup::new(&topology.gateway, &sections(GRACE, "established_idle_floor_seconds = 120\n"));
    // 850 are 550 too many for this target: more than those that are short by themselves.
    let pressure = "[pressure]\ntarget_percent = 30\nlow_percent = 75\nhigh_percent = 80\n";
    setup.write("", &(sections(GRACE, "established_idle_floor_seconds = 120\n") + pressure));
    let agent = setup.start();
    let acts = until_given(&setup, 150);
    for act in &acts {
        // On a machine without a free CPU some were looked at too long ago by the time of the act, and it says so.
        let reason = act["reason"].as_str().expect("a reason");
        let stale =
            reason.split_once(" of those asked for stay: they were stale").map_or(0, |(before, _)| {
                before.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("how many were stale")
            });
        let [requested, achieved] = ["requested", "achieved"].map(|of| act[of].as_u64());
        assert_eq!(requested, achieved.map(|count| count + stale), "what is short is not asked for: {act}");
    }
    let raised = |now: &HashMap<Identity, u32>| {
        now.iter().filter(|(identity, left)| before.get(*identity).is_none_or(|was| *left > was)).count()
    };
    wait::throughout("nothing is raised", Duration::from_secs(3), || {
        let now = left(&topology);
        if raised(&now) == 0 { Ok(()) } else { Err(format!("{} times left were raised", raised(&now))) }
    });
    let now = left(&topology);
    let passed = started.elapsed().as_secs() as u32;
    let untouched = |(identity, was): (&Identity, &u32)| {
        now.get(identity).is_some_and(|left| *left + passed >= was.saturating_sub(1))
    };
    assert_eq!(before.iter().filter(|(_, left)| **left <= GRACE).filter(|row| untouched(*row)).count(), 400);
    assert_eq!(done(&setup, "second-chance").1, 150, "and nobody got a second one");
    assert_eq!(done(&setup, "flush").1, 0);
    assert_eq!(agent.stop(), 0);
}

fn critical() {
    const GRACE: u32 = 60;
    let topology = Topology::new();
    fill(&topology.gateway, silent(290, 1, 20_000));
    fill(&topology.gateway, silent(560, 2, 0));
    let setup = Setup::new(&topology.gateway, &sections(GRACE, ""));
    let agent = setup.start();
    until_given(&setup, 150);
    let given = Instant::now();
    assert_eq!((topology.count(), in_grace(&topology, GRACE)), (850, 150));
    assert_eq!(agent.status()["level"], "high");
    fill(&topology.gateway, silent(110, 3, 0));
    wait::until("the table to be at its target", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= 700 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert!(given.elapsed() < Duration::from_secs(u64::from(GRACE) / 2), "no grace was over");
    // 260 of 290 dead ones went, and at most 140 of them had had no second chance.
    assert!(in_grace(&topology, GRACE) <= 30, "{}", in_grace(&topology, GRACE));
    let live = left(&topology).values().filter(|left| **left > ESTABLISHED_SECONDS - 1000).count();
    assert_eq!(live, 670, "whoever lives stays");
    let (flushes, gone) = done(&setup, "flush");
    assert_eq!(
        (gone, &flushes[0]["level"], &flushes[0]["class"]),
        (260, &"critical".into(), &"established".into())
    );
    assert_eq!(agent.stop(), 0);
}

fn dry_run() {
    let topology = Topology::new();
    fill(&topology.gateway, silent(850, 1, 8000));
    let since = Instant::now();
    let before = left(&topology);
    let setup = Setup::new(&topology.gateway, &sections(60, ""));
    let mut agent = setup.spawn(&["--dry-run"]);
    agent.ready();
    let acts = until_given(&setup, 150);
    assert_eq!((&acts[0]["dry_run"], &acts[0]["class"]), (&true.into(), &"established".into()));
    assert_eq!((&acts[0]["requested"], &acts[0]["achieved"]), (&150.into(), &150.into()));
    let plan = setup.json(&["plan"]);
    let action = &plan["actions"][0];
    assert_eq!(
        (&action["action"], &action["class"]),
        (&"second-chance".into(), &"established".into()),
        "{plan}"
    );
    assert_eq!((&action["budget"], &action["name"]), (&150.into(), &Value::Null));
    wait::throughout("nothing is cut", Duration::from_secs(3), || {
        let now = left(&topology);
        let passed = since.elapsed().as_secs() as u32 + 2;
        let cut =
            before.iter().filter(|(i, was)| now.get(*i).is_none_or(|left| left + passed < **was)).count();
        if cut == 0 { Ok(()) } else { Err(format!("{cut} entries")) }
    });
    assert_eq!(done(&setup, "second-chance").0.len(), 1, "said once");
    assert_eq!(agent.stop(), 0);
}

/// What is born while this is 2 and nobody listens, no event tells of, ever.
const EVENTS: &str = "net/netfilter/nf_conntrack_events";

fn listened() {
    /// NFNLGRP_CONNTRACK_UPDATE.
    const UPDATE: u32 = 2;
    let topology = Topology::new();
    topology.gateway.set_sysctl(EVENTS, 1);
    fill(&topology.gateway, flow::established(8500, 10, 8000));
    let listener = netlink::socket(&topology.gateway);
    listener.add_membership(UPDATE).expect("the group of updates");
    let setup = Setup::new(&topology.gateway, &sections(600, "").replace("limit = 1000", "limit = 10000"));
    let agent = setup.start();
    let given = until_given(&setup, 1500);
    let at =
        |act: &Value| act["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time");
    let took = at(&given[given.len() - 1]).duration_since(at(&given[0])).as_secs_f64();
    // 1,000 a second; what the first sweep gives costs no time before it is told.
    assert!((0.9..8.0).contains(&took), "1,500 in {took} s");
    let mut heard = 0;
    let mut bytes = Vec::with_capacity(1 << 16);
    while listener.recv(&mut bytes, 0x40).is_ok() {
        heard += netlink::messages(&bytes).count();
        bytes.clear();
    }
    assert_eq!(heard, 1500, "one event for each, and none lost");
    assert_eq!(agent.stop(), 0);
}

/// What an agent before this one left in its grace has 300 s of silence at most by any base that a packet may have set.
fn restarted() {
    const GRACE: u32 = 60;
    let topology = Topology::new();
    fill(&topology.gateway, silent(850, 1, 8000));
    let setup = Setup::new(&topology.gateway, &sections(GRACE, ""));
    let agent = setup.start();
    until_given(&setup, 150);
    agent.killed();
    let graced = in_grace(&topology, GRACE);
    assert_eq!(graced, 150);
    fill(&topology.gateway, silent(110, 3, 0));
    let agent = setup.start();
    wait::until("the table to be at its target", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= 700 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(in_grace(&topology, GRACE), graced, "they go by themselves, or speak");
    assert_eq!(agent.stop(), 0);
}
