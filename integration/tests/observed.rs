//! `idle_proof = "observed"`: nothing goes on the word of a timeout, and yet the dead go.

use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::topology::{Family, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("observed::two_scans_that_saw_no_packet_relieve_pressure", || observed(false)),
    test("observed::so_do_counters_that_did_not_move", || observed(true)),
];

const LIMIT: u64 = 10_000;
const FLOOR_SECONDS: u64 = 8;

/// Agents here believe the host to be as old as it is: nothing rests on age.
fn observed(accounting: bool) {
    let topology = Topology::new();
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_acct", u8::from(accounting));
    let mut living: Vec<Tcp> = [Family::V4, Family::V6].map(|family| Tcp::talking(&topology, family)).into();
    fill(&topology.gateway, flow::established(9000, 100, 200_000));
    let ids: Vec<u32> = living.iter().map(|tcp| tcp.entry(&topology).expect("an entry").id).collect();
    let flush = format!(
        "[flush]\ngrace_seconds = 2\nidle_proof = \"observed\"\nestablished_idle_floor_seconds = {FLOOR_SECONDS}\n"
    );
    let sections = format!("{}[timeouts]\nenabled = false\n{flush}", limit(LIMIT));
    let mut setup = Setup::new(&topology.gateway, &sections);
    setup.aged = false;
    let agent = setup.start();
    let patience = Duration::from_secs(FLOOR_SECONDS).saturating_sub(agent.started.elapsed());
    wait::throughout("one scan proves nothing", patience, || {
        living.iter_mut().for_each(|tcp| tcp.alive().expect("a live flow"));
        let count = topology.count();
        if count >= 9000 { Ok(()) } else { Err(format!("{count} entries are left")) }
    });
    wait::until("the dead to be seen to be dead", Duration::from_secs(40), || {
        living.iter_mut().for_each(|tcp| tcp.alive().expect("a live flow"));
        let count = topology.count();
        if count * 100 <= LIMIT * 71 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    living.iter_mut().for_each(|tcp| tcp.alive().expect("a live flow"));
    let now: Vec<u32> = living.iter().map(|tcp| tcp.entry(&topology).expect("an entry").id).collect();
    assert_eq!(now, ids, "each live flow has the entry that it had");
    assert_eq!(agent.stop(), 0);
}
