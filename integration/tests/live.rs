//! What lives survives a flush that frees everything else.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4, source};
use crate::harness::living::{Living, half_closed};
use crate::harness::table::{ESTABLISHED, Identity, Row, rows};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

const IDLE: u32 = 20_000;

/// The target of [`all_must_go`] is 30; a deletion that came too late for its entry may leave a few more.
const NEAR_TARGET: u64 = 40;

pub const TESTS: &[Test] = &[
    test("live::a_server_that_answers_50_s_after_the_clients_fin_is_heard", late_answer).needs(&[Need::Age]),
    test("live::flows_survive_a_flush_of_all_else", survive).needs(&[Need::Age]),
    test("live::flows_survive_when_nothing_else_is_left_to_flush", survive_critical).needs(&[Need::Age]),
    test("live::flows_committed_by_another_writer_survive", committed_meanwhile).needs(&[Need::Age]),
    test("live::an_idle_parent_of_a_busy_child_survives", parent).needs(&[Need::Age]),
];

/// What critical leaves over goes at level high, by a second chance.
const SHORT_GRACE: &str = "[flush]\ngrace_seconds = 2\n";

/// Pressure that only the flush of every dead entry relieves, and that ends there: 30 of 100 are under the target.
fn all_must_go() -> String {
    let pressure =
        "[pressure]\ntarget_percent = 30\nlow_percent = 40\nhigh_percent = 50\ncritical_percent = 95\n";
    format!("{}{pressure}{SHORT_GRACE}[timeouts]\nenabled = false\n", limit(100))
}

fn fill_idle(topology: &Topology) {
    fill(&topology.gateway, flow::established(IDLE, 100, 8000));
}

/// What conntrackd commits after a failover: alive, and with less time left than its state's base.
fn committed(port: u16) -> Flow {
    Flow::new(source(5000), SERVER4, L4::Tcp(port, 443, ESTABLISHED), 180)
}

fn identities(topology: &Topology, wanted: impl Fn(&Row) -> bool) -> Vec<Identity> {
    rows(&topology.gateway).iter().filter(|row| wanted(row)).map(Row::identity).collect()
}

fn still_there(topology: &Topology, kept: &[Identity]) -> Result<(), String> {
    let now: HashSet<_> = rows(&topology.gateway).iter().map(Row::identity).collect();
    let lost: Vec<_> = kept.iter().filter(|identity| !now.contains(*identity)).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}")) }
}

fn until_at_most(topology: &Topology, most: u64) {
    wait::until("the dead entries to be gone", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= most { Ok(()) } else { Err(format!("{count} entries, at most {most} wanted")) }
    });
}

fn survive() {
    let topology = Topology::new();
    let living = Living::open(&topology);
    fill(&topology.gateway, (2000..2005).map(committed));
    let before = identities(&topology, |row| row.source == source(5000));
    assert_eq!(before.len(), 5);
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &all_must_go());
    let agent = setup.start();
    until_at_most(&topology, NEAR_TARGET);
    wait::throughout("live flows keep their entries", Duration::from_secs(4), || {
        living.in_table()?;
        still_there(&topology, &before)
    });
    living.prove_alive();
    assert_eq!(agent.stop(), 0);
}

/// The quota is below what lives: the agent stays at critical with every gentle means spent.
fn survive_critical() {
    let topology = Topology::new();
    let living = Living::open(&topology);
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &limit(5));
    let agent = setup.start();
    fill(&topology.gateway, (2000..2005).map(committed));
    let meanwhile = identities(&topology, |row| row.source == source(5000));
    until_at_most(&topology, living.len() as u64 + 5);
    wait::throughout("live flows keep their entries", Duration::from_secs(6), || {
        living.in_table()?;
        still_there(&topology, &meanwhile)
    });
    assert_eq!(agent.status()["level"], "critical");
    living.prove_alive();
}

fn committed_meanwhile() {
    let topology = Topology::new();
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let agent = setup.start();
    fill(&topology.gateway, (2000..2010).map(committed));
    // Idle for 8,000 s by arithmetic, and written just now: proven by nothing.
    let recent = |port| Flow::established(source(5000), SERVER4, port, 8000);
    fill(&topology.gateway, (3000..3010).map(recent));
    let kept = identities(&topology, |row| row.source == source(5000));
    assert_eq!(kept.len(), 20);
    assert_eq!(topology.count(), u64::from(IDLE) + 20, "no pressure so far");
    setup.write("", &all_must_go());
    let reloaded = setup.ctctl(&["reload"]);
    assert_eq!(reloaded.code, 0, "{}", reloaded.stderr);
    until_at_most(&topology, NEAR_TARGET);
    wait::throughout("committed flows stay", Duration::from_secs(4), || still_there(&topology, &kept));
    assert_eq!(agent.stop(), 0);
}

fn parent() {
    let topology = Topology::new();
    let parent = Flow::established(source(6000), SERVER4, 21, 8000);
    let busy = Flow::established(source(6000), SERVER4, 20_000, 0);
    let child = Flow { master: Some(Box::new(parent.clone())), ..busy };
    fill(&topology.gateway, [parent, child]);
    let kept = identities(&topology, |_| true);
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &all_must_go());
    let _agent = setup.start();
    until_at_most(&topology, NEAR_TARGET);
    wait::throughout("parent and child stay", Duration::from_secs(3), || still_there(&topology, &kept));
}

fn late_answer() {
    let topology = Topology::new();
    let mut slow = half_closed(&topology);
    let asked = std::time::Instant::now();
    let kept = identities(&topology, |row| row.source_port == slow.port());
    fill_idle(&topology);
    let setup = Setup::new(&topology.gateway, &limit(1));
    let _agent = setup.start();
    until_at_most(&topology, 1);
    let thinks = Duration::from_secs(50).saturating_sub(asked.elapsed());
    wait::throughout("the server thinks", thinks, || still_there(&topology, &kept));
    slow.alive_half_closed().expect("the answer after 50 s");
}
