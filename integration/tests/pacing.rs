//! How soon the first act comes, and that values are not written to and fro.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, Flow, source};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

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

/// The agent looks by itself once a minute only, and what it saw at its start has grown old: only the crossing of the
/// mark can have woken it. `cargo bench -- admission` judges how soon.
fn first_act() {
    let topology = Topology::new();
    let idle = LIMIT * 7 / 10;
    fill(&topology.gateway, flow::established(idle, 500, 8000));
    let setup = Setup::new(&topology.gateway, &limit(LIMIT.into()));
    setup.write("interval_ms = 60000", &limit(LIMIT.into()));
    let agent = setup.start();
    let untouched = |entries: u32| {
        let count = topology.count();
        if count == u64::from(entries) { Ok(()) } else { Err(count) }
    };
    wait::throughout("below high nothing goes", Duration::from_secs(11), || untouched(idle));
    let mut writer = Writer::new(&topology.gateway);
    let below = HIGH - LIMIT / 100;
    writer.fill((0..below - idle).map(live));
    wait::throughout("below high nothing goes", Duration::from_secs(1), || untouched(below));
    let above = HIGH + LIMIT / 50;
    writer.fill((below - idle..above - idle).map(live));
    // Even on a busy machine this ends before the agent looks by itself.
    wait::until("an entry to go", Duration::from_secs(10), || {
        if topology.count() < u64::from(above) { Ok(()) } else { Err("all are there") }
    });
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
