//! The regret meter: 0 where nothing that lived was deleted, and the end of a class whose flows come back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use serde_json::Value;

use crate::harness::agent::{Agent, Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{self, Flow};
use crate::harness::living::Living;
use crate::harness::scrape::{Metrics, ask, unix};
use crate::harness::topology::{CLIENT4, Family, SERVER4, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

const IDLE: u32 = 20_000;
const LOOSE: &str = "net/netfilter/nf_conntrack_tcp_loose";

pub const TESTS: &[Test] = &[
    test("regret::is_0_where_nothing_that_lived_was_flushed", nothing).needs(&[Need::Age]),
    test("regret::a_class_whose_flows_come_back_suspends_itself", mistake).needs(&[Need::Age]),
    test("regret::a_new_connection_from_a_flushed_port_is_none", reused_port).needs(&[Need::Age]),
];

/// Pressure that only the flush of everything relieves.
fn all_must_go(entries: u64) -> String {
    let pressure =
        "[pressure]\ntarget_percent = 1\nlow_percent = 2\nhigh_percent = 3\ncritical_percent = 95\n";
    format!("{}{pressure}[timeouts]\nenabled = false\n", limit(entries))
}

/// The class's row of `status`; its counts are only there once a scan was.
fn class(agent: &Agent, name: &str) -> Value {
    let status = agent.status();
    let rows = status["classes"].as_array().cloned().unwrap_or_default();
    rows.into_iter().find(|row| row["class"] == name).unwrap_or_default()
}

fn nothing() {
    let topology = Topology::new();
    let living = Living::open(&topology);
    // A deleted flow's next packet makes an entry, so that the meter could see it.
    topology.gateway.set_sysctl(LOOSE, 1);
    fill(&topology.gateway, flow::established(IDLE, 100, 8000));
    let setup = Setup::new(&topology.gateway, &all_must_go(100));
    let agent = setup.start();
    wait::until("the dead entries to be gone", Duration::from_secs(10), || {
        let count = topology.count();
        if count <= living.len() as u64 + 10 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    living.prove_alive();
    let status = agent.status();
    assert_eq!(status["agent"]["regret_percent"], 0.0, "{status:#}");
    let established = class(&agent, "established");
    assert!(established["flushed"].as_u64() >= Some(u64::from(IDLE) - 20), "{established}");
    assert_eq!((&established["regretted"], &established["suspended"]), (&0.into(), &false.into()));
    assert_eq!(agent.stop(), 0);
}

/// A flow that both ends use, the client first.
struct Udp {
    client: UdpSocket,
    server: UdpSocket,
}

impl Udp {
    fn open(topology: &Topology) -> Udp {
        let bind = |ip| move || UdpSocket::bind((ip, 0)).expect("a UDP socket");
        let server = topology.server.enter(bind(Family::V4.server()));
        let client = topology.client.enter(bind(Family::V4.client()));
        client.connect(server.local_addr().expect("bound")).expect("connect");
        let udp = Udp { client, server };
        for end in [&udp.client, &udp.server] {
            end.set_read_timeout(Some(Duration::from_secs(5))).expect("SO_RCVTIMEO");
        }
        udp.speak();
        udp
    }

    fn speak(&self) {
        self.client.send(b"here").expect("a datagram");
        let mut bytes = [0; 4];
        let (_, from) = self.server.recv_from(&mut bytes).expect("the datagram");
        self.server.send_to(&bytes, from).expect("an answer");
        self.client.recv(&mut bytes).expect("the answer");
    }
}

/// The client first: without an entry the gateway would answer the server with a RST.
fn speak(tcp: &mut Tcp) {
    tcp.client.write_all(b"here").expect("bytes");
    tcp.server.read_exact(&mut [0; 4]).expect("the bytes");
}

fn mistake() {
    const EACH: usize = 6;
    let topology = Topology::new();
    topology.gateway.set_sysctl(LOOSE, 1);
    let udp: Vec<Udp> = (0..EACH).map(|_| Udp::open(&topology)).collect();
    let mut tcp: Vec<Tcp> = (0..EACH).map(|_| Tcp::talking(&topology, Family::V4)).collect();
    // Floors far below what the flows are silent for.
    let hasty =
        "[flush]\nudp_idle_floor_seconds = 2\nestablished_idle_floor_seconds = 2\nfair_share = false\n";
    let setup = Setup::new(&topology.gateway, "");
    let socket = setup.dir.join("metrics");
    let metrics = format!("[metrics]\nlisten = \"unix:{}\"\n", socket.display());
    setup.write("", &format!("{}{hasty}{metrics}", all_must_go(10)));
    let agent = setup.start();
    wait::until("the live flows to be deleted", Duration::from_secs(15), || {
        let count = topology.count();
        if count == 0 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    udp.iter().for_each(Udp::speak);
    tcp.iter_mut().for_each(speak);
    for name in ["udp", "established"] {
        let row = wait::until("the class to be suspended", Duration::from_secs(5), || {
            let row = class(&agent, name);
            let all = row["suspended"] == true && row["regretted"] == EACH;
            if all { Ok(row) } else { Err(row) }
        });
        assert_eq!(row["flushed"], EACH, "{row}");
        assert_eq!(row["regret_percent"], 100.0);
        let deferred = setup.acts().into_iter().filter(|record| record["event"] == "deferred");
        let told: Vec<Value> = deferred.filter(|record| record["class"] == name).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["action"], "flush");
        let reason = told[0]["reason"].as_str().expect("a reason");
        assert!(reason.contains("not flushed") && reason.contains("10 minutes"), "{reason}");
        let waiting = agent.status()["waiting"].to_string();
        assert!(waiting.contains(&format!("{name} is not flushed")), "{waiting}");
    }
    assert_eq!(agent.status()["agent"]["regret_percent"], 100.0);
    wait::until("the same in the metrics", Duration::from_secs(5), || {
        let page = ask(unix(&socket).expect("a connection"), "GET", "/metrics").expect("an answer");
        let metrics = Metrics::parse(&page.body);
        let of = |name, class| metrics.one(name, &[("class", class)]);
        let told = ["udp", "established", "closed"]
            .map(|class| (of("ctctl_regret_total", class), of("ctctl_suspended", class)));
        let expected = [(EACH as f64, 1.0), (EACH as f64, 1.0), (0.0, 0.0)];
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    });
    // Still as pressed as before, and all as silent as then: nothing goes any more.
    wait::throughout("the flows keep their entries", Duration::from_secs(6), || {
        let count = topology.count();
        if count == 2 * EACH as u64 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(agent.status()["level"], "critical");
    tcp.iter_mut().for_each(|tcp| tcp.alive().expect("the server's bytes"));
    // The agent after it has no meter of what was, and flushes none of them either.
    agent.killed();
    let agent = setup.start();
    for name in ["udp", "established"] {
        wait::until("the class to be suspended still", Duration::from_secs(5), || {
            match class(&agent, name) {
                row if row["suspended"] == true => Ok(()),
                row => Err(row),
            }
        });
    }
    wait::throughout("the flows keep their entries", Duration::from_secs(4), || {
        let count = topology.count();
        if count == 2 * EACH as u64 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    assert_eq!(agent.stop(), 0);
}

/// A connection from a port of the client's choice.
fn connect_from(port: u16, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
    let from = SockaddrStorage::from(SocketAddr::from((CLIENT4, port)));
    bind(socket.as_raw_fd(), &from).expect("bind");
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).expect("a connection");
    TcpStream::from(socket)
}

const EVENTS: &str = "net/netfilter/nf_conntrack_events";

fn reused_port() {
    const FLOWS: u16 = 8;
    let topology = Topology::new();
    topology.gateway.set_sysctl(LOOSE, 1);
    // So that the ends of what is born before the agent are told as well.
    topology.gateway.set_sysctl(EVENTS, 1);
    let listener = topology.server.enter(|| TcpListener::bind((SERVER4, 443))).expect("listen");
    let to = listener.local_addr().expect("bound");
    let stale = |port| Flow::established(CLIENT4, SERVER4, port, 8000);
    fill(&topology.gateway, (20_000..20_000 + FLOWS).map(stale));
    let setup = Setup::new(&topology.gateway, &all_must_go(FLOWS.into()));
    let agent = setup.start();
    wait::until("the stale flows to be gone", Duration::from_secs(10), || {
        let count = topology.count();
        if count == 0 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    let connections: Vec<TcpStream> =
        topology.client.enter(|| (20_000..20_000 + FLOWS).map(|port| connect_from(port, to)).collect());
    assert_eq!(topology.count(), u64::from(FLOWS));
    wait::until("the agent to hear of all of them", Duration::from_secs(10), || {
        let events = agent.status()["agent"]["events"].as_u64();
        if events >= Some(2 * u64::from(FLOWS)) { Ok(()) } else { Err(format!("{events:?}")) }
    });
    wait::throughout("none of them is regret", Duration::from_secs(1), || {
        let row = class(&agent, "established");
        if (&row["flushed"], &row["regretted"]) == (&FLOWS.into(), &0.into()) { Ok(()) } else { Err(row) }
    });
    assert_eq!(agent.status()["agent"]["regret_percent"], 0.0);
    drop(connections);
    assert_eq!(agent.stop(), 0);
}
