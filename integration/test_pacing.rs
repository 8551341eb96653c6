//! How soon the first act comes, and that values are not written to and fro.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::agent::{Setup, limit};
use crate::environment::Need;
use crate::fill::{Writer, fill, paced};
use crate::flow::{self, Flow, source};
use crate::topology::{SERVER4, Topology};
use crate::{Test, test, wait};

pub const TESTS: &[Test] = &[
    test("pacing::the_first_act_comes_with_the_crossing_and_not_with_the_interval", first_act)
        .needs(&[Need::Age]),
    test("pacing::a_loop_that_rewrites_a_timeout_is_answered_once", tuned).needs(&[Need::Age]),
];

const LIMIT: u32 = 65_536;
const HIGH: u32 = LIMIT * 8 / 10;
const ESTABLISHED: &str = "net/netfilter/nf_conntrack_tcp_timeout_established";

/// Entries that no class lets go.
fn live(n: u32) -> Flow {
    Flow::established(source(10_000 + n / 100), SERVER4, (1024 + n % 100) as u16, 0)
}

/// The agent looks by itself every ten seconds only, and what it saw at its start has grown old: only the crossings
/// of the marks can have woken it.
fn first_act() {
    let topology = Topology::new();
    let idle = LIMIT * 7 / 10;
    fill(&topology.gateway, flow::established(idle, 500, 8000));
    let setup = Setup::new(&topology.gateway, &limit(LIMIT.into()));
    setup.write("interval_ms = 10000", &limit(LIMIT.into()));
    let agent = setup.start();
    wait::throughout("below high nothing goes", Duration::from_secs(11), || {
        if topology.count() == u64::from(idle) { Ok(()) } else { Err(topology.count()) }
    });
    let mut writer = Writer::new(&topology.gateway);
    let (written, crossed, acted) = (Cell::new(idle), Cell::new(None), Cell::new(None));
    let each = |writer: &mut Writer, n| {
        writer.create(&live(n));
        written.set(idle + n + 1);
    };
    let look = |_: &mut Writer| {
        let count = topology.count();
        if written.get() >= HIGH && crossed.get().is_none() {
            crossed.set(Some((Instant::now(), written.get())));
        }
        if count < u64::from(written.get()) && acted.get().is_none() {
            acted.set(Some((Instant::now(), written.get())));
        }
    };
    paced(&mut writer, 10_000, LIMIT / 6, each, look);
    let (crossed, at) = crossed.get().expect("the table crossed high");
    let (acted, then) = acted.get().expect("an entry went while the table filled");
    assert!(at >= HIGH && then >= HIGH, "nothing went below high: {then} of {HIGH} entries were there");
    let delay = acted.duration_since(crossed);
    eprintln!("the first entry went {} ms after the crossing", delay.as_millis());
    assert!(delay < Duration::from_secs(1), "{delay:?} between crossing and first act");
    assert_eq!(agent.stop(), 0);
}

/// What a tuned or a cron job does that knows the value it wants and nothing of the agent.
fn tuned() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(5000, 100, 100_000));
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(5000)));
    let agent = setup.start();
    let shortened = || topology.gateway.sysctl_number(ESTABLISHED) < 432_000;
    wait::until("a shorter timeout", Duration::from_secs(10), || {
        if shortened() { Ok(()) } else { Err("unchanged") }
    });
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Relaxed) {
                topology.gateway.set_sysctl(ESTABLISHED, 432_000);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        wait::until("the loop to be noticed", Duration::from_secs(5), || {
            let drift =
                |r: &serde_json::Value| r["event"] == "drift" && r["name"] == "tcp_timeout_established";
            setup.journal().into_iter().find(drift).map(|_| ()).ok_or("no drift in the journal")
        });
        wait::throughout("the agent does not write against it", Duration::from_secs(5), || {
            if shortened() { Err("it was shortened again") } else { Ok(()) }
        });
        ended.store(true, Relaxed);
    });
    let set = setup.acts().into_iter().filter(|act| act["event"] == "done" && act["action"] == "set-timeout");
    let of_established = set.filter(|act| act["name"] == "tcp_timeout_established").count();
    assert_eq!(of_established, 1, "{:#?}", setup.acts());
    let plan = setup.json(&["plan"]);
    let told = plan["reasons"].as_array().expect("reasons").iter().filter_map(|r| r.as_str());
    let told: Vec<&str> = told.filter(|r| r.contains("is set again in")).collect();
    assert_eq!(told.len(), 1, "the plan says when: {plan}");
    assert_eq!(agent.stop(), 0);
    assert_eq!(topology.gateway.sysctl_number(ESTABLISHED), 432_000);
}
