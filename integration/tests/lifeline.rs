//! A management port of the gateway's own through a full, pinned table: a session and a new connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::harness::agent::Setup;
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow;
use crate::harness::hostwide::Restore;
use crate::harness::namespace::Namespace;
use crate::harness::tool::{find, run, tool};
use crate::harness::topology::{SERVER4, Topology};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("lifeline::through_a_full_table_a_session_and_a_new_connection_reach_the_gateway", full)
        .needs(&[Need::HostWide]),
    test("lifeline::a_rule_that_would_lock_out_is_a_refusal_and_changes_nothing", refused),
    test("lifeline::what_is_printed_locks_nobody_out_and_ends_by_itself", printed),
];

const FULL: u64 = 20_000;
const PORT: u16 = 22;
const PATIENCE: Duration = Duration::from_secs(10);

/// A service that gives back what it gets, for as long as the test runs.
fn echo(namespace: &Namespace) {
    let listener = namespace.enter(|| TcpListener::bind(("0.0.0.0", PORT)).expect("a port"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().expect("a stream"), stream);
                let _ = std::io::copy(&mut from, &mut to);
            });
        }
    });
}

fn connect(topology: &Topology, to: SocketAddr, within: Duration) -> std::io::Result<TcpStream> {
    let stream = topology.client.enter(|| TcpStream::connect_timeout(&to, within))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One question, one answer.
fn answers(mut stream: &TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).expect("sent");
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("no answer to {word}: {error}"));
    assert_eq!(answer, word.as_bytes());
}

fn full() {
    let restore = Restore::new();
    let topology = Topology::new();
    let gateway: SocketAddr = ([10, 77, 0, 1], PORT).into();
    let beyond: SocketAddr = (SERVER4, PORT).into();
    echo(&topology.gateway);
    echo(&topology.server);
    let session = connect(&topology, gateway, PATIENCE).expect("room");
    let through = connect(&topology, beyond, PATIENCE).expect("room");
    answers(&session, "before");
    answers(&through, "before");
    restore.pin_max(FULL);
    fill(&topology.gateway, flow::established((FULL - topology.count()) as u32, 300, 10));
    assert_eq!(topology.count(), FULL);
    let short = Duration::from_millis(1500);
    assert!(connect(&topology, gateway, short).is_err(), "the table is not full: nothing is shown");
    let setup = Setup::new(&topology.gateway, "");
    let applied = setup.json(&["lifeline", "--apply", "--for", "8s"]);
    assert_eq!(
        (&applied["applied"], &applied["seconds"], &applied["ports"][0]),
        (&true.into(), &8.into(), &22.into())
    );
    let new = connect(&topology, gateway, PATIENCE).expect("a way in");
    answers(&new, "new");
    answers(&session, "after");
    // What the gateway forwards from the same port keeps its entry and its NAT, and gets no way past the limit.
    answers(&through, "through");
    assert!(connect(&topology, beyond, short).is_err(), "forwarded connections go past tracking too");
    assert_eq!(topology.count(), FULL, "the way in took no entry");
    // Nothing of ctctl runs any more; the kernel ends it.
    wait::until("the kernel to end it", Duration::from_secs(30), || {
        connect(&topology, gateway, Duration::from_millis(500)).err().ok_or("still open")
    });
    let listed = || topology.gateway.must("nft", &["list", "tables"], "");
    assert!(listed().contains("ctctl_lifeline"), "only the ports are gone");
    let removed = || {
        let answer = setup.ctctl(&["lifeline", "--remove"]);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(!listed().contains("ctctl_lifeline"));
        answer.stdout
    };
    assert!(removed().contains("was over already"));
    // Again, twice, another port beside it, and away.
    for _ in 0..2 {
        assert_eq!(setup.ctctl(&["lifeline", "--apply"]).code, 0);
    }
    let beside = setup.json(&["lifeline", "--apply", "--for", "400d", "--port", "2222"]);
    let now = beside["now"]["ports"].as_array().expect("ports");
    let left = |port: u64| {
        let found: Vec<_> = now.iter().filter(|found| found["port"] == port).collect();
        assert_eq!(found.len(), 1, "{beside:#}");
        found[0]["left_seconds"].as_u64().expect("a time")
    };
    assert!((3500..=3600).contains(&left(22)) && left(2222) > 399 * 86_400, "{beside:#}");
    let rules = topology.gateway.must("nft", &["list", "table", "inet", "ctctl_lifeline"], "");
    assert_eq!(rules.matches("notrack").count(), 2, "{rules}");
    let again = connect(&topology, gateway, PATIENCE).expect("a way in");
    answers(&again, "again");
    // The time that was asked for last is the one that counts.
    let shorter = setup.json(&["lifeline", "--apply", "--for", "60s"]);
    assert!(
        shorter["now"]["ports"][0]["left_seconds"].as_u64().is_some_and(|left| left <= 60),
        "{shorter:#}"
    );
    assert!(removed().starts_with("Ports 22, 2222 are tracked again"));
    assert!(removed().starts_with("There was nothing to remove"));
    // What it prints is what nft takes.
    let printed = setup.ctctl(&["lifeline", "--port", "22", "--port", "2222"]);
    assert_eq!(printed.code, 0);
    topology.gateway.must("nft", &["-f", "-"], &printed.stdout);
    assert!(connect(&topology, gateway, PATIENCE).is_ok());
}

/// A printed ruleset is loaded by nft and nothing else of this program is there.
fn printed() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, "");
    let gateway: SocketAddr = ([10, 77, 0, 1], PORT).into();
    echo(&topology.gateway);
    let nft = |text: &str| topology.gateway.must("nft", &["-f", "-"], text);
    let filter = |rule: &str| {
        nft(&format!(
            "add table inet f\ndelete table inet f\ntable inet f {{\n  chain i {{\n    type filter hook input priority 0; \
             policy drop;\n    ct state established,related accept\n    {rule}\n  }}\n}}\n"
        ));
    };
    let listed = || topology.gateway.must("nft", &["list", "ruleset"], "");
    for by_state in [
        "tcp dport 22 ct state new accept",
        "iifname \"g0\" ct state new accept",
        // Established connections are let through before these: untracked, each packet would meet them.
        "tcp dport 22 limit rate 6/minute burst 8 packets accept",
        "tcp dport 22 tcp flags & (syn | ack) == syn accept",
        "tcp dport 22 meta length < 100 accept",
        "ct state . tcp dport { new . 22, established . 22 } accept",
    ] {
        filter(by_state);
        let session = connect(&topology, gateway, PATIENCE).expect("let in");
        let answer = setup.ctctl(&["lifeline", "--for", "1h"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.stderr.contains("would lock out: the"), "{answer:?}");
        assert!(answer.stdout.starts_with("# NOT TO BE LOADED"), "{answer:?}");
        let document = setup.ctctl(&["lifeline", "--json"]);
        assert_eq!(document.code, 1, "{document:?}");
        let json: serde_json::Value = serde_json::from_str(&document.stdout).expect("one document");
        // Who loads it all the same cuts nothing off.
        for text in [answer.stdout.as_str(), json["ruleset"].as_str().expect("text")] {
            nft(text);
            answers(&session, "still here");
            assert!(connect(&topology, gateway, PATIENCE).is_ok());
        }
        assert!(json["refusals"][0].as_str().is_some_and(|refusal| refusal.contains("port 22")), "{json}");
        assert!(!listed().contains("ctctl_lifeline"));
    }
    filter("tcp dport 22 accept");
    let answer = setup.ctctl(&["lifeline", "--for", "3s"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    nft(&answer.stdout);
    assert!(connect(&topology, gateway, PATIENCE).is_ok());
    let untracked = || listed().contains("elements = { 22 timeout 3s");
    assert!(untracked(), "{}", listed());
    // From here on new connections need their state again, and what is printed must not stand in their way.
    filter("tcp dport 22 ct state new accept");
    wait::until("the kernel to take the port out", Duration::from_secs(30), || {
        connect(&topology, gateway, Duration::from_millis(500)).map_err(|error| error.to_string())
    });
    assert!(!untracked());
}

fn refused() {
    let topology = Topology::new();
    let setup = Setup::new(&topology.gateway, "");
    let rules = |rule: &str| {
        let table = "add table inet f\ndelete table inet f\ntable inet f {\n  chain i {\n    \
                     type filter hook input priority 0; policy accept;\n";
        topology.gateway.must("nft", &["-f", "-"], &format!("{table}    {rule}\n  }}\n}}\n"));
    };
    // Nobody remembers an open door: without --for it is an hour.
    let applied = setup.json(&["lifeline", "--apply", "--port", "22"]);
    assert_eq!(applied["seconds"], 3600, "{applied}");
    let held = topology.gateway.must("nft", &["list", "set", "inet", "ctctl_lifeline", "ports"], "");
    assert!(held.contains("22 timeout 1h expires"), "{held}");
    assert_eq!(setup.ctctl(&["lifeline", "--remove"]).code, 0);
    for rule in ["ct state { invalid, untracked } drop", "tcp dport { 22, 80 } ct state new accept"] {
        rules(rule);
        let answer = setup.ctctl(&["lifeline", "--apply"]);
        assert_eq!(answer.code, 1, "{rule}: {answer:?}");
        assert!(
            answer.stderr.contains("inet f i handle") && answer.stderr.contains("\nhint: "),
            "{answer:?}"
        );
        assert!(!topology.gateway.must("nft", &["list", "tables"], "").contains("lifeline"));
    }
    rules("ct state vmap { established : accept, invalid : drop }\n    tcp dport 22 accept");
    let answer = setup.ctctl(&["lifeline", "--apply", "--port", "22"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.stderr.contains("taken for INVALID"), "{answer:?}");
    // Without nft it is said what to install. A device is no program.
    let hidden = find("nft").expect("nft");
    let script =
        format!("mount --bind /dev/null {} && exec \"$@\"", hidden.canonicalize().expect("nft").display());
    let client = setup.client(&["lifeline", "--apply"]);
    let mut command = tool("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(client.get_program()).args(client.get_args());
    let answer = run(command, "", PATIENCE);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.stderr.contains("hint: apt-get install nftables"), "{answer:?}");
}
