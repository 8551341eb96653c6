//! Timeout policies that came and went in calm: what flows under them have left says nothing by other timeouts.

use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, source};
use crate::harness::topology::{Family, SERVER4, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] =
    &[test("policies::a_flow_under_a_policy_that_came_and_went_in_calm_lives", came_and_went)
        .needs(&[Need::Age])];

/// More changes of nftables than a buffer of a mebibyte holds, then a policy for a moment: where the queue is only read
/// under pressure, nobody hears of it.
fn came_and_went() {
    let topology = Topology::new();
    let nft = |text: &str| drop(topology.gateway.must("nft", &["-f", "-"], text));
    let setup = Setup::new(
        &topology.gateway,
        &format!("{}[flush]\ngrace_seconds = 1\n[timeouts]\nenabled = false\n", limit(1000)),
    );
    fill(&topology.gateway, flow::established(700, 10, 8000));
    let agent = setup.start();
    let rules: String =
        (0..20_000).map(|n| format!("add rule ip many many tcp dport {n} accept\n")).collect();
    nft(&format!("add table ip many\nadd chain ip many many\n{rules}"));
    nft("delete table ip many");
    nft("table ip slow {
  ct timeout slow { protocol tcp; l3proto ip; policy = { established : 20000 }; }
  chain every { type filter hook prerouting priority 0; ct timeout set \"slow\"; }
}");
    let mut tcp = Tcp::talking(&topology, Family::V4);
    nft("delete table ip slow");
    let entry = tcp.entry(&topology).expect("its entry");
    assert!(entry.left_seconds.is_some_and(|left| left <= 20_000), "{entry:?}");
    // What makes pressure is another writer's and stays; of what was there before nothing is as silent as the flow
    // would be by the sysctl.
    let more = (0..150).map(|n| Flow::established(source(50), SERVER4, 1024 + n, 0));
    fill(&topology.gateway, more);
    wait::until("relief", Duration::from_secs(30), || {
        let count = topology.count();
        if count <= 701 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(tcp.entry(&topology).map(|now| now.identity()), Some(entry.identity()));
    tcp.alive().expect("bytes both ways");
    assert_eq!(agent.stop(), 0);
}
