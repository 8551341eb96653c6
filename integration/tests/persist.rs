//! What `persist` writes is what the kernel takes again, and nothing that only the agent made.

use std::path::Path;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::namespace::{Namespace, unique};
use crate::harness::topology::Topology;
use crate::harness::wait;
use crate::{Test, test};
use std::time::Duration;

pub const TESTS: &[Test] = &[
    test("persist::the_written_file_gives_another_namespace_the_same_values", applied),
    test("persist::a_timeout_that_the_agent_shortened_is_written_as_it_was", emergency).needs(&[Need::Age]),
    test("persist::a_named_namespaces_values_do_not_go_into_this_machines_files", named),
];

const SYSCTL: &str = "etc/sysctl.d/90-ctctl.conf";

fn timeout(name: &str) -> String {
    format!("net/netfilter/nf_conntrack_{name}")
}

/// Whatever applies sysctl.d at boot, for just this file.
fn apply(namespace: &Namespace, file: &Path) {
    namespace.must("sysctl", &["-p", &file.display().to_string()], "");
}

fn applied() {
    let [from, to] = ["from", "to"].map(|role| Namespace::new(&format!("{}-{role}", unique())));
    let values = [
        ("tcp_timeout_established", 86_400),
        ("udp_timeout_stream", 121),
        ("tcp_loose", 0),
        ("acct", 1),
        ("events", 1),
    ];
    values.iter().for_each(|(name, value)| from.set_sysctl(&timeout(name), value));
    let setup = Setup::new(&from, "");
    let root = setup.dir.join("image");
    std::fs::create_dir(&root).expect("a root");
    let document = setup.json(&["persist", "--root", &root.display().to_string()]);
    let files: Vec<&str> = document["files"]
        .as_array()
        .expect("files")
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    assert_eq!(files, [root.join(SYSCTL).display().to_string()], "max is not this namespace's");
    for (name, value) in values {
        assert_ne!(to.sysctl_number(&timeout(name)), value, "{name}: nothing to see");
    }
    apply(&to, &root.join(SYSCTL));
    for (name, value) in values {
        assert_eq!(to.sysctl_number(&timeout(name)), value, "{name}");
    }
    assert_eq!(to.sysctl(&timeout("icmp_timeout")), from.sysctl(&timeout("icmp_timeout")));
}

fn emergency() {
    let topology = Topology::new();
    topology.gateway.set_sysctl(&timeout("tcp_timeout_established"), 400_000);
    let idle = flow::established(5000, 100, 100_000).map(|flow| {
        let left_seconds = flow.left_seconds - 32_000;
        flow::Flow { left_seconds, ..flow }
    });
    fill(&topology.gateway, idle);
    let setup = Setup::new(&topology.gateway, &format!("{}[flush]\nenabled = false\n", limit(5000)));
    let agent = setup.start();
    wait::until("a shorter timeout", Duration::from_secs(10), || {
        let now = topology.gateway.sysctl_number(&timeout("tcp_timeout_established"));
        if now < 400_000 { Ok(()) } else { Err("unchanged") }
    });
    let root = setup.dir.join("image");
    std::fs::create_dir(&root).expect("a root");
    let persist = || {
        let document = setup.json(&["persist", "--root", &root.display().to_string()]);
        let text = std::fs::read_to_string(root.join(SYSCTL)).expect("written");
        assert!(text.contains("nf_conntrack_tcp_timeout_established = 400000\n"), "{text}");
        assert!(text.contains("nf_conntrack_events = 1\n"), "the agent's, and wanted at boot: {text}");
        document
    };
    // While it runs, after it was killed, and from its journal alone.
    let document = persist();
    let values = document["values"].as_array().expect("values");
    let row = values.iter().find(|row| row["name"] == "tcp_timeout_established").expect("the timeout");
    assert!(row["reason"].as_str().is_some_and(|why| why.contains("the agent's")), "{row}");
    agent.killed();
    persist();
    std::fs::remove_file(setup.state().join("baseline.json")).expect("there");
    persist();
}

fn named() {
    let namespace = Namespace::new(&unique());
    let setup = Setup::new(&namespace, "");
    let answer = setup.ctctl(&["persist", "--dry-run"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.stderr.contains("--root"), "{answer:?}");
}
