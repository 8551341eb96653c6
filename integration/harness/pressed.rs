//! Agents that have just written a value under pressure: a namespace's timeout, or the host's max.

use std::time::Duration;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow};
use crate::harness::hostwide::{self, MAX};
use crate::harness::topology::Topology;
use crate::harness::wait;

/// The sysctl that [`shortening`]'s agent writes.
pub const ESTABLISHED: &str = "net/netfilter/nf_conntrack_tcp_timeout_established";

/// max before [`raising`]'s agent writes it.
pub const FIRST: u64 = 20_000;
/// Nothing but max may be written.
pub const SECTIONS: &str = "[capacity]\nbuckets = \"never\"\nceiling = 40000\n[flush]\nenabled = false\n[timeouts]\nenabled = false\n";

/// A gateway full of dead entries, where nothing may be flushed: its agent shortens a timeout.
pub fn to_be_shortened() -> (Topology, Setup) {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(5000, 100, 100_000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(5000)));
    (topology, setup)
}

/// Its agent, which has done so: the timeout was `before`.
pub fn shortened<'a>(agent: Agent<'a>, topology: &Topology, before: u64) -> Agent<'a> {
    wait::until("a shorter timeout", Duration::from_secs(10), || {
        let now = topology.gateway.sysctl_number(ESTABLISHED);
        if now < before { Ok(()) } else { Err("unchanged") }
    });
    agent
}

/// A gateway whose live table drives max up, and what is in that table.
pub fn to_be_raised() -> (Topology, Setup, Vec<Flow>) {
    let topology = Topology::new();
    let live: Vec<Flow> = flow::established(19_500, 200, 0).collect();
    fill(&topology.gateway, live.clone());
    let setup = Setup::new(&topology.gateway, SECTIONS);
    (topology, setup, live)
}

/// An agent that has raised max.
pub fn raised(setup: &Setup) -> Agent<'_> {
    let agent = setup.start();
    wait::until("max to be raised", Duration::from_secs(10), || {
        if hostwide::read(MAX) > FIRST { Ok(()) } else { Err("not yet") }
    });
    agent
}
