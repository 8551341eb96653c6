//! The corners: nothing in the table, one family alone, nobody who reads.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, source6};
use crate::harness::topology::{Family, SERVER6, Topology};
use crate::harness::traffic::{Echo, Tcp};
use crate::harness::wait;
use crate::tests::counts::counts_of;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("edges::many_who_ask_at_once_do_not_have_the_table_scanned_for_each", many_at_once),
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

/// Processor time that an agent has taken until it has answered all that was asked of it before.
fn cpu_until_idle(agent: &Agent<'_>, setup: &Setup) -> f64 {
    setup.json(&["plan"]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid)).expect("the agent's threads");
    let cpu = |path: PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
    };
    tasks.flatten().map(|task| cpu(task.path())).sum()
}

/// Each `status` that came while a dump ran had a scan of its own once, one after the other.
fn many_at_once() {
    const ASKING: usize = 20;
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(200_000, 2000, 8000));
    let setup = Setup::new(&topology.gateway, &limit(1_000_000));
    let agent = setup.start();
    let alone = cpu_until_idle(&agent, &setup);
    assert_eq!(agent.stop(), 0);
    let agent = setup.spawn(&[]);
    wait::until("its socket", Duration::from_secs(10), || match UnixStream::connect(setup.socket()) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
    let asking: Vec<_> = (0..ASKING)
        .map(|_| setup.client(&["status"]).stdout(Stdio::null()).spawn().expect("ctctl status"))
        .collect();
    for mut one in asking {
        assert!(one.wait().expect("its end").success());
    }
    let together = cpu_until_idle(&agent, &setup);
    eprintln!("{together:.2} s for {ASKING} who asked, {alone:.2} s for none");
    assert!(together < 3.0 * alone, "{together:.2} s for {ASKING} who asked, {alone:.2} s for none");
    assert_eq!(agent.stop(), 0);
}
