//! A table full of dead entries: the first new connection gets through within a second of the agent's start.

use std::time::Duration;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::hostwide::{self, Restore};
use crate::harness::living::Living;
use crate::harness::table::{ESTABLISHED, rows};
use crate::harness::topology::{Family, Topology};
use crate::harness::traffic::Echo;
use crate::harness::wait;
use crate::{Test, test};

const FULL: u64 = 65_536;
const IDLE_SECONDS: u32 = 8000;
const RESCUE: Duration = Duration::from_secs(1);

pub const TESTS: &[Test] = &[
    test("rescue::a_quota_full_of_dead_entries_is_brought_to_target_and_no_further", quota)
        .needs(&[Need::Age]),
    test("rescue::a_pinned_table_full_of_dead_entries_takes_new_connections_within_1_s", pinned)
        .needs(&[Need::HostWide, Need::Age]),
    test("rescue::with_memory_allowed_max_is_raised_at_once_and_nothing_flushed", memory)
        .needs(&[Need::HostWide, Need::Age]),
];

fn fill_up(topology: &Topology) -> u64 {
    let room = FULL - topology.count();
    fill(&topology.gateway, flow::established(room as u32, 300, IDLE_SECONDS));
    assert_eq!(topology.count(), FULL);
    room
}

/// The first new connection gets through within a second of the agent's start, and from then on all do. One may by
/// chance, where an entry ends by itself or is dropped early by the kernel: so there has to be room too, by then.
fn rescued(echo: &Echo<'_>, agent: &Agent<'_>, mut room: impl FnMut() -> Result<(), String>) {
    echo.first_answer(RESCUE.saturating_sub(agent.started.elapsed()));
    wait::until("room for more", RESCUE.saturating_sub(agent.started.elapsed()), &mut room);
    assert_eq!(echo.answered(300), 300);
}

fn quota() {
    let topology = Topology::new();
    let living = Living::open(&topology);
    let echo = Echo::new(&topology, Family::V4);
    fill_up(&topology);
    // What critical leaves over goes at level high, by a second chance.
    let short_grace = "[flush]\ngrace_seconds = 1\n";
    let setup = Setup::new(&topology.gateway, &(limit(FULL) + short_grace));
    let agent = setup.start();
    // At target_percent = 70, with the connections that this test makes meanwhile.
    wait::until("the table to be at its target", Duration::from_secs(5), || {
        let count = topology.count();
        if count * 100 <= FULL * 71 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(echo.answered(300), 300);
    wait::throughout("only as many go as needed", Duration::from_secs(2), || {
        let count = topology.count();
        if count * 100 >= FULL * 65 { Ok(()) } else { Err(format!("{count} of {FULL} entries are left")) }
    });
    living.prove_alive();
    assert_eq!(agent.status()["limit"], FULL);
    assert_eq!(agent.stop(), 0);
}

fn pinned() {
    let restore = Restore::new();
    let topology = Topology::new();
    let living = Living::open(&topology);
    let echo = Echo::new(&topology, Family::V4);
    restore.pin_max(FULL);
    fill_up(&topology);
    assert_eq!(echo.answered(1), 0, "the table is full: nobody gets in");
    let setup =
        Setup::new(&topology.gateway, &format!("[capacity]\nbuckets = \"never\"\nceiling = {FULL}\n"));
    let mut agent = setup.spawn(&[]);
    rescued(&echo, &agent, || {
        let count = topology.count();
        if count + 1000 <= FULL { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(hostwide::read(hostwide::MAX), FULL, "the ceiling");
    living.prove_alive();
    agent.ready();
    let flushed = setup.acts().into_iter().find(|act| act["event"] == "done" && act["action"] == "flush");
    let flushed = flushed.expect("a record of the flush");
    assert!(flushed["achieved"].as_u64().is_some_and(|n| n > 0), "{flushed}");
    assert!(flushed["reason"].as_str().is_some_and(|why| !why.is_empty()), "{flushed}");
}

fn memory() {
    let restore = Restore::new();
    let topology = Topology::new();
    let living = Living::open(&topology);
    let echo = Echo::new(&topology, Family::V4);
    restore.pin_max(FULL);
    let idle = fill_up(&topology);
    assert_eq!(echo.answered(1), 0, "the table is full: nobody gets in");
    let setup = Setup::new(&topology.gateway, "[capacity]\nbuckets = \"never\"\n");
    let mut agent = setup.spawn(&[]);
    rescued(&echo, &agent, || {
        let max = hostwide::read(hostwide::MAX);
        if max > FULL { Ok(()) } else { Err(format!("max is {max}")) }
    });
    agent.ready();
    wait::throughout("nothing is flushed that need not be", Duration::from_secs(2), || {
        let flush = setup.acts().into_iter().find(|act| act["action"] == "flush");
        flush.map_or(Ok(()), Err)
    });
    let old =
        |left: Option<u32>| left.is_some_and(|left| left < flow::ESTABLISHED_SECONDS - IDLE_SECONDS + 1);
    let established = rows(&topology.gateway).into_iter().filter(|row| row.tcp_state == Some(ESTABLISHED));
    let kept = established.filter(|row| old(row.left_seconds) && row.destination_port == 443).count();
    assert_eq!(kept as u64, idle);
    living.prove_alive();
}
