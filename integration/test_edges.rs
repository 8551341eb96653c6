//! The corners: nothing in the table, one family alone, nobody who reads.

use std::process::Stdio;
use std::time::Duration;

use crate::agent::{Setup, limit};
use crate::environment::Need;
use crate::fill::fill;
use crate::flow::{self, Flow, source6};
use crate::test_counts::counts_of;
use crate::topology::{Family, SERVER6, Topology};
use crate::traffic::{Echo, Tcp};
use crate::{Test, test, wait};

pub const TESTS: &[Test] = &[
    test("edges::an_empty_table_is_answered_by_dump_and_by_agent", empty),
    test("edges::a_table_of_ipv6_alone_is_counted_and_relieved", ipv6).needs(&[Need::Age]),
    test("edges::a_closed_pipe_is_no_error", closed_pipe),
    test("edges::the_agent_ends_when_asked_at_once", ends_at_once),
];

fn empty() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, &limit(1000));
    let check = |basis: &str| {
        let top = setup.json(&["top-sources", "-n", "0"]);
        assert_eq!(
            (&top["basis"], &top["entries"], &top["sources_total"]),
            (&basis.into(), &0.into(), &0.into())
        );
        assert_eq!(top["sources"], serde_json::json!([]));
        assert_eq!(setup.ctctl(&["top-sources"]).code, 0);
        let status = setup.json(&["status"]);
        assert_eq!((&status["level"], &status["entries"]), (&"normal".into(), &0.into()));
        assert_eq!(setup.json(&["plan"])["actions"], serde_json::json!([]));
    };
    check("dump");
    let agent = setup.start();
    check("agent");
    assert_eq!(agent.stop(), 0);
}

fn ipv6() {
    let topology = Topology::new();
    let mut talking = Tcp::talking(&topology, Family::V6);
    let dead = |n: u32| Flow::established(source6(n % 200), SERVER6, (1024 + n / 200) as u16, 8000);
    fill(&topology.gateway, (0..10_000).map(dead));
    let setup = Setup::new(&topology.gateway, &limit(10_000));
    let agent = setup.start();
    wait::until("relief", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= 7100 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    talking.alive().expect("the live IPv6 flow");
    let echo = Echo::new(&topology, Family::V6);
    assert_eq!(echo.answered(20), 20);
    let top = setup.json(&["top-sources", "-n", "0"]);
    assert!(counts_of(&top).keys().all(|(from, _)| from.is_ipv6()), "{top}");
    let ten = setup.json(&["top-sources", "-n", "10"]);
    assert_eq!(ten["sources"].as_array().map(Vec::len), Some(10), "{ten}");
    assert_eq!(agent.stop(), 0);
}

fn closed_pipe() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(9000, 3000, 0));
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    for args in
        [&["top-sources", "-n", "0"][..], &["top-sources", "-n", "0", "--json"], &["status"], &["plan"]]
    {
        assert!(!setup.ctctl(args).stdout.is_empty(), "{args:?} says something to those who read");
        let mut command = setup.client(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a client");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{args:?}");
    }
}

fn ends_at_once() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(50_000, 3000, 0));
    let setup = Setup::new(&topology.gateway, &limit(100_000));
    let agent = setup.start();
    let asked = std::time::Instant::now();
    assert_eq!(agent.stop(), 0);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(!setup.socket().exists(), "the socket goes with it");
}
