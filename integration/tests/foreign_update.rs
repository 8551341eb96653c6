//! Another program changes the time left of live flows: arithmetic would call them idle for five days.

use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::table::Identity;
use crate::harness::tool::{run, tool};
use crate::harness::topology::{Family, Topology};
use crate::harness::traffic::{Tcp, listen};
use crate::harness::wait;
use crate::{Test, test};

const IDLE: u32 = 2000;
const LIVE: usize = 20;

const EVENTS: &str = "net/netfilter/nf_conntrack_events";

pub const TESTS: &[Test] = &[
    test("foreign_update::flows_whose_timeout_another_program_set_survive", survive).needs(&[Need::Age]),
    test("foreign_update::what_another_set_before_the_agent_came_is_not_silence", before).needs(&[Need::Age]),
    test("foreign_update::what_another_made_is_not_stale_to_a_command_beside_the_agent_that_heard_it", made)
        .needs(&[Need::Age]),
];

/// Sets the time left of a client's connections. Beside other work on the table conntrack(8) ends with a protocol error
/// now and then, and has done a part.
pub fn set_left(topology: &Topology, client: &str, left: u32) {
    let left = left.to_string();
    let args = ["-U", "-p", "tcp", "-s", client, "-t", &left];
    wait::until("conntrack -U to go through", Duration::from_secs(10), || {
        let mut command = tool("conntrack");
        command.args(args);
        let answer = topology.gateway.enter(|| run(command, "", Duration::from_secs(10)));
        if answer.code == 0 { Ok(()) } else { Err(answer.stderr) }
    });
}

fn all_must_go() -> String {
    let pressure =
        "[pressure]\ntarget_percent = 30\nlow_percent = 40\nhigh_percent = 50\ncritical_percent = 95\n";
    format!("{}{pressure}[flush]\ngrace_seconds = 2\n[timeouts]\nenabled = false\n", limit(100))
}

fn survive() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(IDLE, 100, 8000));
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let agent = setup.start();
    let listener = listen(&topology, Family::V4);
    let mut flows: Vec<Tcp> = (0..LIVE).map(|_| Tcp::talking_to(&topology, &listener)).collect();
    let entry = |tcp: &Tcp| tcp.entry(&topology).expect("its entry");
    let before: Vec<_> = flows.iter().map(|tcp| entry(tcp).identity()).collect();
    let client = Family::V4.client().to_string();
    set_left(&topology, &client, 3600);
    assert!(flows.iter().all(|tcp| entry(tcp).left_seconds.is_some_and(|left| left <= 3600)));
    setup.write("", &all_must_go());
    let reloaded = setup.ctctl(&["reload"]);
    assert_eq!(reloaded.code, 0, "{}", reloaded.stderr);
    wait::until("the dead entries to be gone", Duration::from_secs(15), || {
        let count = topology.count();
        if count <= 40 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    stay(&topology, &flows, &before, 3000);
    flows.iter_mut().for_each(|tcp| tcp.alive().expect("bytes both ways"));
    assert_eq!(agent.stop(), 0);
}

/// They keep their entries, and the time left that was set.
fn stay(topology: &Topology, flows: &[Tcp], before: &[Identity], least_seconds: u32) {
    wait::throughout("they keep their entries", Duration::from_secs(4), || {
        let kept = |(tcp, was): (&Tcp, &Identity)| {
            let left =
                tcp.entry(topology).filter(|now| now.identity() == *was).and_then(|now| now.left_seconds);
            left.is_some_and(|left| left > least_seconds)
        };
        let kept = flows.iter().zip(before).filter(|flow| kept(*flow)).count();
        if kept == flows.len() { Ok(()) } else { Err(format!("{kept} of {}", flows.len())) }
    });
}

/// Born with nobody to listen, and changed before the agent came: no event tells of either, nor of what is done to
/// them later.
fn before() {
    let topology = Topology::new();
    topology.gateway.set_sysctl(EVENTS, 2);
    fill(&topology.gateway, flow::established(IDLE, 100, 8000));
    let listener = listen(&topology, Family::V4);
    let mut flows: Vec<Tcp> = (0..LIVE).map(|_| Tcp::talking_to(&topology, &listener)).collect();
    let before: Vec<_> =
        flows.iter().map(|tcp| tcp.entry(&topology).expect("its entry").identity()).collect();
    let client = Family::V4.client().to_string();
    let set = |left| set_left(&topology, &client, left);
    set(600);
    let setup = Setup::new(&topology.gateway, &all_must_go());
    let agent = setup.start();
    wait::until("the dead entries to be gone", Duration::from_secs(15), || {
        let count = topology.count();
        if count <= 40 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    stay(&topology, &flows, &before, 500);
    set(1200);
    stay(&topology, &flows, &before, 1100);
    flows.iter_mut().for_each(|tcp| tcp.alive().expect("bytes both ways"));
    assert_eq!(agent.stop(), 0);
}

/// As a failover or a restore makes them: with whatever time left. Who comes after that takes it for silence.
fn made() {
    const MADE: u32 = 100;
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let stale = || setup.json(&["flush", "--stale", "--yes"])["deleted"].as_u64();
    let agent = setup.start();
    fill(&topology.gateway, flow::established(MADE, 10, 8000));
    wait::until("the agent to hear of them", Duration::from_secs(10), || {
        let entries = agent.status()["agent"]["events"].as_u64();
        if entries >= Some(MADE.into()) { Ok(()) } else { Err(format!("{entries:?}")) }
    });
    assert_eq!((stale(), topology.count()), (Some(0), MADE.into()));
    let listed = setup.ctctl(&["list", "-p", "tcp"]).stdout;
    assert_eq!(
        (listed.matches("may go").count(), listed.matches("stays").count()),
        (0, MADE as usize),
        "{listed}"
    );
    assert_eq!(agent.stop(), 0);
    let agent = setup.start();
    assert_eq!((stale(), topology.count()), (Some(MADE.into()), 0), "nothing was heard");
    assert_eq!(agent.stop(), 0);
}
