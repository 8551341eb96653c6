//! conntrackd beside the agent: what it writes and tells its peer, and what only bears its name.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow, L4, source};
use crate::harness::namespace::{Namespace, unique};
use crate::harness::netlink;
use crate::harness::table::rows;
use crate::harness::tool::{Answer, find, must, run, tool};
use crate::harness::topology::{Family, SERVER4, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("conntrackd::what_only_bears_its_name_changes_nothing", only_the_name).needs(&[Need::Age]),
    test("conntrackd::one_that_counts_changes_nothing_and_is_named", only_counts)
        .needs(&[Need::Age, Need::Conntrackd]),
    test("conntrackd::one_that_syncs_is_named_with_what_it_changes", syncs)
        .needs(&[Need::Age, Need::Conntrackd]),
    test("conntrackd::a_flow_that_spoke_in_its_grace_survives_a_failover", failover)
        .needs(&[Need::Conntrackd]),
];

const LIMIT: u64 = 1000;

/// A conntrackd in a namespace, until it is dropped.
struct Daemon {
    child: Child,
    namespace: String,
    dir: PathBuf,
    _guards: [Guard; 2],
}

impl Daemon {
    fn start(namespace: &Namespace, section: &str) -> Daemon {
        let dir = std::env::temp_dir().join(unique());
        fs::create_dir(&dir).expect("a temporary directory");
        let directory = Guard::new(Leftover::Directory(dir.clone()));
        let at = |name: &str| dir.join(name).display().to_string();
        let general = format!(
            "General {{\n HashSize 8192\n HashLimit 65535\n LogFile off\n Syslog off\n LockFile {}\n \
             UNIX {{\n Path {}\n }}\n NetlinkBufferSize 2097152\n NetlinkBufferSizeMaxGrowth 8388608\n}}\n",
            at("lock"),
            at("control")
        );
        fs::write(dir.join("conf"), section.to_owned() + &general).expect("a configuration");
        let mut command = tool("conntrackd");
        command.args(["-C", &at("conf")]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = namespace.enter(|| command.spawn()).expect("conntrackd");
        let process = Guard::new(Leftover::Process(child.id() as i32));
        let daemon = Daemon { child, namespace: namespace.name.clone(), dir, _guards: [process, directory] };
        wait::until("conntrackd to answer", Duration::from_secs(20), || {
            let answer = daemon.ask(&["-s"]);
            if answer.code == 0 { Ok(()) } else { Err(answer.stderr) }
        });
        daemon
    }

    /// One of its commands, such as `-c`.
    fn ask(&self, args: &[&str]) -> Answer {
        let mut command = tool("ip");
        command.args(["netns", "exec", &self.namespace, "conntrackd", "-C"]);
        command.arg(self.dir.join("conf")).args(args);
        run(command, "", Duration::from_secs(20))
    }

    fn must(&self, args: &[&str]) -> String {
        let answer = self.ask(args);
        assert_eq!(answer.code, 0, "conntrackd {args:?}: {}", answer.stderr);
        answer.stdout
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// To a peer, or as here to nobody.
fn ftfw(own: &str, peer: &str, device: &str) -> String {
    format!(
        "Sync {{\n Mode FTFW {{\n }}\n UDP {{\n IPv4_address {own}\n IPv4_Destination_Address {peer}\n Port 3780\n \
         Interface {device}\n Checksum on\n }}\n}}\n"
    )
}

/// Relief by deletion alone, of what has been silent for hours.
fn deleting() -> String {
    format!("{}[flush]\ngrace_seconds = 1\n[timeouts]\nenabled = false\n", limit(LIMIT))
}

fn relieved(topology: &Topology) {
    wait::until("the table to be at its target", Duration::from_secs(20), || {
        let count = topology.count();
        if count <= LIMIT * 71 / 100 { Ok(()) } else { Err(format!("{count} entries")) }
    });
}

fn says(document: &serde_json::Value, what: &str) -> bool {
    document["waiting"].to_string().contains(what)
}

/// A program called conntrackd, with no socket of nfnetlink.
fn only_the_name() {
    let topology = Topology::new();
    let dir = std::env::temp_dir().join(unique());
    fs::create_dir(&dir).expect("a temporary directory");
    let _directory = Guard::new(Leftover::Directory(dir.clone()));
    fs::copy(find("sleep").expect("sleep(1)"), dir.join("conntrackd")).expect("a copy");
    let spawned = topology.gateway.enter(|| Command::new(dir.join("conntrackd")).arg("600").spawn());
    let mut child = spawned.expect("a process");
    let _process = Guard::new(Leftover::Process(child.id() as i32));
    fill(&topology.gateway, flow::established(850, 10, 8000));
    let setup = Setup::new(&topology.gateway, &deleting());
    assert!(!says(&setup.json(&["plan"]), "conntrackd"));
    let agent = setup.start();
    relieved(&topology);
    assert_eq!(agent.stop(), 0);
    child.kill().expect("its end");
    child.wait().expect("its end");
}

fn only_counts() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(850, 10, 8000));
    let _counts = Daemon::start(&topology.gateway, "Stats {\n LogFile off\n}\n");
    let setup = Setup::new(&topology.gateway, &deleting());
    for document in ["plan", "status"] {
        let document = setup.json(&[document]);
        assert!(says(&document, "Stats) writes no entry, and changes nothing here"), "{document}");
    }
    let agent = setup.start();
    relieved(&topology);
    wait::until("the agent to name it", Duration::from_secs(10), || {
        let status = agent.status();
        if says(&status, "Stats) writes no entry") { Ok(()) } else { Err(status["waiting"].to_string()) }
    });
    assert_eq!(agent.stop(), 0);
}

fn syncs() {
    let topology = Topology::new();
    fill(&topology.gateway, flow::established(850, 10, 8000));
    let _syncs = Daemon::start(&topology.gateway, &ftfw("192.0.2.1", "192.0.2.2", "g1"));
    let setup = Setup::new(&topology.gateway, &deleting());
    let agent = setup.start();
    wait::until("the agent to name it", Duration::from_secs(10), || {
        let status = agent.status();
        if says(&status, "Sync) writes entries of its peer: time left proves nobody idle") {
            Ok(())
        } else {
            Err(status["waiting"].to_string())
        }
    });
    wait::throughout("what was seen once stays", Duration::from_secs(3), || {
        let count = topology.count();
        if count >= 850 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert!(says(&setup.json(&["plan"]), "conntrackd (process"));
    assert_eq!(agent.stop(), 0);
}

/// A second gateway with the same addresses, on links that are not in use yet.
fn backup(topology: &Topology) -> Namespace {
    let backup = Namespace::new(&format!("{}-b", unique()));
    let (c, g, s, b) = (&topology.client.name, &topology.gateway.name, &topology.server.name, &backup.name);
    let pairs = format!(
        "link add name c1 netns {c} type veth peer name b0 netns {b}\n\
         link add name b1 netns {b} type veth peer name s1 netns {s}\n\
         link add name y0 netns {g} type veth peer name y0 netns {b}\n"
    );
    must("ip", &["-batch", "-"], &pairs);
    let side = |ns: &str, commands: &str| must("ip", &["-n", ns, "-batch", "-"], commands);
    side(g, "addr add 10.99.0.1/24 dev y0\nlink set y0 up\n");
    side(
        b,
        "addr add 10.99.0.2/24 dev y0\nlink set y0 up\naddr add 10.77.0.1/24 dev b0\n\
         addr add 192.0.2.1/24 dev b1\nlink set b0 up\nlink set b1 up\n",
    );
    backup.set_sysctl("net/ipv4/ip_forward", 1);
    let nat = "table inet nat {\n chain post { type nat hook postrouting priority srcnat; oifname \"b1\" masquerade; }\n}";
    backup.must("nft", &["-f", "-"], nat);
    backup.set_sysctl("net/netfilter/nf_conntrack_tcp_loose", 0);
    backup
}

/// Both ends use the backup's links from here on.
fn move_to_backup(topology: &Topology) {
    let side = |ns: &Namespace, commands: &str| must("ip", &["-n", &ns.name, "-batch", "-"], commands);
    let moved = |own: &str, via: &str, from: &str, to: &str| {
        format!(
            "link set {from} down\naddr del {own} dev {from}\naddr add {own} dev {to}\nlink set {to} up\n\
             route add default via {via}\n"
        )
    };
    side(&topology.client, &moved("10.77.0.2/24", "10.77.0.1", "c0", "c1"));
    side(&topology.server, &moved("192.0.2.2/24", "192.0.2.1", "s0", "s1"));
}

/// A packet that puts a full timeout back makes no event: without another the peer commits what was left of the grace.
fn failover() {
    const GRACE: u32 = 20;
    /// NFNLGRP_CONNTRACK_UPDATE.
    const UPDATE: u32 = 2;
    let topology = Topology::new();
    topology.gateway.set_sysctl("net/netfilter/nf_conntrack_events", 1);
    let backup = backup(&topology);
    let primary = Daemon::start(&topology.gateway, &ftfw("10.99.0.1", "10.99.0.2", "y0"));
    let standby = Daemon::start(&backup, &ftfw("10.99.0.2", "10.99.0.1", "y0"));
    let mut tcp = Tcp::talking(&topology, Family::V4);
    let port = format!("sport={} ", tcp.port());
    wait::until("the flow to be known to the standby", Duration::from_secs(20), || {
        let cache = standby.must(&["-e"]);
        if cache.contains(&port) { Ok(()) } else { Err(cache) }
    });
    // High by entries of another class, none of which may go.
    let streams = (0..849).map(|n| Flow::new(source(1), SERVER4, L4::Udp(1024 + n, 4500), 3000));
    fill(&topology.gateway, streams);
    let flush = format!(
        "[flush]\ngrace_seconds = {GRACE}\nestablished_idle_floor_seconds = 8\nudp_idle_floor_seconds = 3600\n"
    );
    let setup =
        Setup::new(&topology.gateway, &format!("{}{flush}[timeouts]\nenabled = false\n", limit(LIMIT)));
    let agent = setup.start();
    let left = || tcp.entry(&topology).and_then(|entry| entry.left_seconds);
    wait::until("its second chance", Duration::from_secs(60), || match left() {
        Some(left) if left <= GRACE => Ok(()),
        left => Err(format!("{left:?} s left, {:?}", agent.status()["waiting"])),
    });
    let heard = netlink::subscribed(&topology.gateway, &[UPDATE]);
    tcp.alive().expect("bytes both ways in its grace");
    assert!(tcp.entry(&topology).and_then(|entry| entry.left_seconds) > Some(400_000));
    let mut bytes = Vec::with_capacity(1 << 16);
    wait::until("the kernel to tell of it", Duration::from_secs(u64::from(GRACE) + 20), || {
        heard.recv(&mut bytes, 0x40).map(|_| ())
    });
    assert!(
        tcp.entry(&topology).and_then(|entry| entry.left_seconds) > Some(400_000),
        "and nothing was written"
    );
    assert_eq!(agent.stop(), 0);
    // As the packaged script does where a backup becomes the primary.
    drop(primary);
    for step in ["-c", "-f", "-R", "-B"] {
        standby.must(&[step]);
    }
    let committed = rows(&backup).into_iter().find(|row| row.source_port == tcp.port());
    let committed = committed.expect("the flow's entry on the backup").left_seconds;
    assert!(committed > Some(3600), "committed with {committed:?} s");
    move_to_backup(&topology);
    tcp.alive().expect("bytes both ways through the backup");
}
