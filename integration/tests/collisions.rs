//! Two CPUs that send the same new flow raise `drop` in a table with room: that is no pressure.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::packets;
use crate::harness::table::{rows, statistics};
use crate::harness::topology::{CLIENT4, SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("harness::two_cpus_that_send_the_same_syns_raise_drop", raised),
    test("collisions::drop_without_pressure_leads_to_no_act", no_act).needs(&[Need::Age]),
];

/// Few enough a second that no forecast calls them pressure, in a table that stays near empty.
const FLOWS: u32 = 8000;
const PER_SECOND: u32 = 2000;

/// The CPUs that this process may use.
pub fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("the affinity");
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect()
}

/// A SYN of the `n`th flow.
fn syn(n: u32) -> [u8; 40] {
    let from = SocketAddrV4::new(CLIENT4, 10_000 + (n % 40_000) as u16);
    packets::segment(from, SocketAddrV4::new(SERVER4, 9), packets::SYN, [1, 0])
}

/// Both CPUs send each SYN at the same moment: each waits, spinning, until the other is there.
pub fn collide(topology: &Topology, cpus: [usize; 2]) {
    let arrived = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for cpu in cpus {
            let (socket, arrived) = (packets::raw(&topology.client), &arrived);
            scope.spawn(move || {
                let mut only = CpuSet::new();
                only.set(cpu).expect("a CPU");
                sched_setaffinity(Pid::from_raw(0), &only).expect("the affinity");
                let start = Instant::now();
                for n in 0..FLOWS {
                    let packet = syn(n);
                    let due = Duration::from_secs(n.into()) / PER_SECOND;
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                    arrived.fetch_add(1, Ordering::AcqRel);
                    while arrived.load(Ordering::Acquire) < 2 * (n + 1) {
                        std::hint::spin_loop();
                    }
                    packets::send(&socket, &packet);
                }
            });
        }
    });
}

/// A topology whose server answers no SYN to port 9, not even with RST: that would end flows before they collide.
pub fn quiet() -> Topology {
    let topology = Topology::new();
    let rules = "table inet quiet {\n chain in { type filter hook input priority 0; tcp dport 9 drop; }\n}";
    topology.server.must("nft", &["-f", "-"], rules);
    topology
}

/// Collides on two CPUs, and gives by how much `drop` rose; `None` where there is only one CPU.
fn collided(topology: &Topology) -> Option<u64> {
    let [first, second, ..] = cpus()[..] else {
        eprintln!("collisions: one CPU cannot collide with itself: nothing was tested");
        return None;
    };
    let before = statistics(&topology.gateway);
    collide(topology, [first, second]);
    let after = statistics(&topology.gateway);
    let rose = |name: &str| after[name] - before[name];
    eprintln!("collisions: drop rose by {}, insert_failed by {}", rose("drop"), rose("insert_failed"));
    assert!(rose("drop") >= 20, "collisions must have raised drop, or the test proves nothing: {after:?}");
    Some(after["drop"])
}

fn raised() {
    let topology = quiet();
    if collided(&topology).is_some() {
        assert!(topology.count() <= u64::from(FLOWS), "one entry for each flow, however often it was sent");
    }
}

fn no_act() {
    let topology = quiet();
    // Idle past every floor: what a wrong step would take.
    fill(&topology.gateway, flow::established(4000, 100, 8000));
    let setup = Setup::new(&topology.gateway, &limit(250_000));
    let agent = setup.start();
    let acts = setup.acts().len();
    let Some(drop) = collided(&topology) else { return };
    let count = topology.count();
    wait::throughout("no act", Duration::from_secs(2), || {
        let new: Vec<_> = setup.acts().split_off(acts);
        if new.is_empty() { Ok(()) } else { Err(format!("{new:#?}")) }
    });
    let status = agent.status();
    assert_eq!(status["level"], "normal");
    assert!(status["drops"]["drop"].as_u64() >= Some(drop), "status shows what was dropped: {status}");
    assert!(topology.count() + 10 >= count, "{} of {count} entries are left", topology.count());
    let idle = rows(&topology.gateway).iter().filter(|row| row.destination_port == 443).count();
    assert_eq!(idle, 4000);
    assert_eq!(agent.stop(), 0);
}
