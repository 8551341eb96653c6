//! What timeouts were before anyone looked at them nobody knows: a live flow is not idle for what was set since.

use std::time::Duration;

use serde_json::Value;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{Flow, L4, source};
use crate::harness::topology::{Family, SERVER4, Topology};
use crate::harness::traffic::{Tcp, listen};
use crate::harness::wait;
use crate::{Test, test};

const ESTABLISHED: &str = "net/netfilter/nf_conntrack_tcp_timeout_established";
const STREAM: &str = "net/netfilter/nf_conntrack_udp_timeout_stream";
const GRE_STREAM: &str = "net/netfilter/nf_conntrack_gre_timeout_stream";

pub const TESTS: &[Test] = &[
    test("first_look::a_stream_is_not_stale_because_its_timeout_was_raised_before", raised)
        .needs(&[Need::Age]),
    test("first_look::an_agent_takes_nothing_for_idle_since_before_it_looked", agent).needs(&[Need::Age]),
    test("first_look::what_an_agent_has_seen_is_known_as_long_as_it_looks", remembered).needs(&[Need::Age]),
    test("first_look::gre_keeps_the_timeout_of_its_birth", gre).needs(&[Need::Age]),
];

fn listed(setup: &Setup, protocol: &str) -> Vec<Value> {
    let answer = setup.ctctl(&["list", "--json", "-p", protocol]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Two seconds after a packet under 180 s, which were raised to 600 s then.
fn raised() {
    let topology = Topology::new();
    topology.gateway.set_sysctl(STREAM, 180);
    fill(&topology.gateway, [Flow::new(source(1), SERVER4, L4::Udp(1000, 4500), 178)]);
    topology.gateway.set_sysctl(STREAM, 600);
    let setup = Setup::new(&topology.gateway, "");
    let rows = listed(&setup, "udp");
    assert_eq!((&rows[0]["idle_seconds"], &rows[0]["eligible"]), (&Value::Null, &false.into()), "{rows:?}");
    assert!(rows[0]["presumed_idle_seconds"].as_u64() >= Some(420), "{rows:?}");
    assert!(rows[0]["reason"].as_str().is_some_and(|why| why.contains("before ctctl looked")), "{rows:?}");
    let stale = setup.json(&["flush", "--stale", "--yes"]);
    assert_eq!((&stale["deleted"], &stale["presumed"]), (&0.into(), &1.into()), "{stale}");
    let text = setup.ctctl(&["flush", "--stale", "--dry-run"]).stdout;
    assert!(text.contains("nothing is stale") && text.contains("nobody saw"), "{text}");
    let plan = setup.json(&["plan"]);
    let waits = plan["waiting"].as_array().expect("what waits");
    assert!(waits.iter().any(|why| why.as_str().is_some_and(|why| why.contains("first looked"))), "{plan}");
}

/// Timeouts are set right, then the agent is started, at a table that is full.
fn agent() {
    let topology = Topology::new();
    topology.gateway.set_sysctl(ESTABLISHED, 600);
    let listener = listen(&topology, Family::V4);
    let mut flows: Vec<Tcp> = (0..4).map(|_| Tcp::talking_to(&topology, &listener)).collect();
    topology.gateway.set_sysctl(ESTABLISHED, 1000);
    let entries = |flows: &[Tcp]| {
        flows.iter().map(|tcp| tcp.entry(&topology).map(|row| row.identity())).collect::<Vec<_>>()
    };
    let before = entries(&flows);
    let setup = Setup::new(&topology.gateway, &limit(4));
    let agent = setup.start();
    wait::until("the agent at critical", Duration::from_secs(10), || {
        let level = agent.status()["level"].clone();
        if level == "critical" { Ok(()) } else { Err(level) }
    });
    wait::throughout("they keep their entries", Duration::from_secs(6), || {
        if entries(&flows) == before { Ok(()) } else { Err("a live flow lost its entry") }
    });
    flows.iter_mut().for_each(|tcp| tcp.alive().expect("bytes both ways"));
    assert_eq!(entries(&flows), before);
    assert_eq!(agent.stop(), 0);
}

/// Every value that was in force while an agent looked on is known. What was set and set back since it was killed, and
/// before the next one looked, nobody knows.
fn remembered() {
    let topology = Topology::new();
    // Before the agent, which would hear that another program made it, and believe no time of it.
    fill(&topology.gateway, [Flow::new(source(1), SERVER4, L4::Udp(1000, 4500), 178)]);
    let setup = Setup::new(&topology.gateway, "");
    let agent = setup.start();
    topology.gateway.set_sysctl(STREAM, 600);
    let path = setup.state().join("timeouts-seen.json");
    let read =
        || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap_or_default()).unwrap_or_default();
    let mut seen = wait::until("what was seen on disk", Duration::from_secs(10), || {
        let seen = read();
        let sysctls = seen["sysctls"].as_array().cloned().unwrap_or_default();
        if sysctls.contains(&serde_json::json!(["udp_timeout_stream", 600])) { Ok(seen) } else { Err(seen) }
    });
    assert!(seen["first_look_seconds"].as_u64().is_some(), "{seen}");
    assert_eq!(seen["set_before"], serde_json::json!([]), "{seen}");
    // Four days later. A record without a checksum is one of an agent that wrote none.
    seen.as_object_mut().expect("an object").remove("checksum");
    seen["first_look_seconds"] = 0.into();
    std::fs::write(&path, seen.to_string()).expect("written");
    let known = |rows: &[Value]| rows[0]["eligible"] == true;
    // By its record alone: asked, the agent tells that 600 s came after this entry.
    let (socket, away) = (setup.socket(), setup.dir.join("away.sock"));
    std::fs::rename(&socket, &away).expect("out of the way");
    let rows = listed(&setup, "udp");
    assert!(known(&rows), "{rows:?}");
    std::fs::rename(&away, &socket).expect("back");
    let rows = listed(&setup, "udp");
    assert_eq!((known(&rows), &rows[0]["idle_unproven"]), (false, &"no-base".into()), "{rows:?}");
    // Two seconds after a packet under 180 s in the gap.
    agent.killed();
    topology.gateway.set_sysctl(STREAM, 180);
    topology.gateway.set_sysctl(STREAM, 600);
    let rows = listed(&setup, "udp");
    assert!(!known(&rows) && rows[0]["idle_seconds"].is_null(), "{rows:?}");
    let agent = setup.start();
    let seen = wait::until("the record of the next agent", Duration::from_secs(10), || {
        let seen = read();
        if seen["first_look_seconds"].as_u64() > Some(0) { Ok(seen) } else { Err(seen) }
    });
    assert_eq!(seen["set_before"], serde_json::json!(["udp_timeout_stream"]), "{seen}");
    let rows = listed(&setup, "udp");
    assert!(!known(&rows) && rows[0]["eligible"] == false, "{rows:?}");
    assert_eq!(agent.stop(), 0);
    assert!(read()["last_look_seconds"].as_u64().is_some(), "{}", read());
}

fn gre() {
    let topology = Topology::new();
    topology.gateway.set_sysctl(GRE_STREAM, 600);
    fill(&topology.gateway, [Flow::new(source(1), SERVER4, L4::Gre(7, 8), 598)]);
    topology.gateway.set_sysctl(GRE_STREAM, 1000);
    let setup = Setup::new(&topology.gateway, "");
    let rows = listed(&setup, "gre");
    assert_eq!((&rows[0]["idle_seconds"], &rows[0]["eligible"]), (&Value::Null, &false.into()), "{rows:?}");
    assert_eq!(setup.json(&["flush", "--stale", "--yes"])["deleted"], 0);
}
