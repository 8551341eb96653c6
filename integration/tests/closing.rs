//! Connections that look closed to the gateway and are not: one side may still send.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::fill;
use crate::harness::flow::{Flow, source};
use crate::harness::living::half_closed;
use crate::harness::packets::{self, RST, segment};
use crate::harness::table::rows;
use crate::harness::topology::{Family, SERVER4, Topology};
use crate::harness::traffic::Tcp;
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] = &[
    test("closing::time_wait_with_data_unacknowledged_is_no_end", unacknowledged).needs(&[Need::Age]),
    test("closing::time_wait_of_a_fin_sent_twice_waits_for_the_answer", fin_twice).needs(&[Need::Age]),
    test("closing::a_reset_that_the_ends_ignore_is_no_end", ignored_reset).needs(&[Need::Age]),
];

/// enum tcp_conntrack.
const TIME_WAIT: u8 = 7;
const CLOSE: u8 = 8;

/// Below the pauses of the flows here; TIME_WAIT has a floor of its own.
const FLOOR: &str = "[flush]\nclosed_idle_floor_seconds = 1\n";

/// Everything to and from the client is lost, between it and the gateway, until dropped.
struct Lost<'a>(&'a Topology);

impl<'a> Lost<'a> {
    /// `both`: what the client sends too, not only what it is sent.
    fn new(topology: &'a Topology, both: bool) -> Self {
        let out = if both { "chain out { type filter hook output priority 0; drop; }" } else { "" };
        let rules =
            format!("table inet lost {{ chain in {{ type filter hook input priority 0; drop; }}\n{out}\n}}");
        topology.client.must("nft", &["-f", "-"], &rules);
        Lost(topology)
    }
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.0.client.must("nft", &["delete", "table", "inet", "lost"], "");
    }
}

/// Waits until the connection's entry is in `state`, with `left` seconds or less: so long without a packet.
fn until_left(topology: &Topology, tcp: &Tcp, state: u8, left: u32) {
    wait::until("a pause in that state", Duration::from_secs(20), || {
        let row = tcp.entry(topology).ok_or("no entry")?;
        let silent = row.tcp_state == Some(state) && row.left_seconds.is_some_and(|now| now <= left);
        if silent { Ok(()) } else { Err(format!("{row:?}")) }
    });
}

fn stays(topology: &Topology, tcp: &Tcp) -> Result<(), String> {
    tcp.entry(topology).map(drop).ok_or_else(|| "its entry is gone".into())
}

/// `list` and `flush --stale` say so too, where no agent is asked.
fn left_by_commands(setup: &Setup, topology: &Topology, tcp: &Tcp) {
    let port = tcp.port().to_string();
    let listed = setup.json(&["list", "--sport", &port]);
    assert_eq!(listed["eligible"], false, "{listed}");
    let flushed = setup.json(&["flush", "--stale", "--sport", &port, "--yes"]);
    assert_eq!(flushed["deleted"], 0, "{flushed}");
    stays(topology, tcp).expect("after flush --stale");
}

/// Entries that are busy: with them so many of 20 are there as makes level high and not critical.
fn busy(topology: &Topology) {
    let others = 17 - rows(&topology.gateway).len() as u32;
    fill(&topology.gateway, (0..others).map(|n| Flow::established(source(n), SERVER4, 1024, 0)));
}

fn high(setup: &Setup) -> bool {
    setup.json(&["status"])["level"] == "high"
}

fn unacknowledged() {
    let topology = Topology::new();
    let mut tcp = Tcp::talking(&topology, Family::V4);
    let lost = Lost::new(&topology, true);
    tcp.server.write_all(&[b'x'; 4000]).expect("bytes");
    tcp.server.shutdown(Shutdown::Write).expect("an end");
    // In the pause after the fourth retransmission or a later one.
    until_left(&topology, &tcp, TIME_WAIT, 117);
    let setup = Setup::new(&topology.gateway, &format!("{}{FLOOR}", limit(1)));
    left_by_commands(&setup, &topology, &tcp);
    let agent = setup.start();
    assert_eq!(agent.status()["level"], "critical");
    wait::throughout("the entry stays", Duration::from_secs(2), || stays(&topology, &tcp));
    drop(lost);
    let mut read = Vec::new();
    tcp.client.read_to_end(&mut read).expect("what the server sent");
    assert_eq!(read.len(), 4000);
    assert_eq!(agent.stop(), 0);
}

fn fin_twice() {
    let topology = Topology::new();
    let mut tcp = Tcp::talking(&topology, Family::V4);
    let lost = Lost::new(&topology, false);
    tcp.client.shutdown(Shutdown::Write).expect("an end");
    until_left(&topology, &tcp, TIME_WAIT, 120);
    drop(lost);
    busy(&topology);
    let setup = Setup::new(&topology.gateway, &format!("{}{FLOOR}", limit(20)));
    let agent = setup.start();
    // The server thinks.
    until_left(&topology, &tcp, TIME_WAIT, 115);
    left_by_commands(&setup, &topology, &tcp);
    wait::until("level high", Duration::from_secs(10), || if high(&setup) { Ok(()) } else { Err("not yet") });
    wait::throughout("the entry stays", Duration::from_secs(2), || stays(&topology, &tcp));
    tcp.alive_half_closed().expect("the answer");
    // At critical it goes long before its floor of 60 s.
    setup.write("", &format!("{}{FLOOR}", limit(10)));
    assert_eq!(setup.ctctl(&["reload"]).code, 0);
    wait::until("the entry to go", Duration::from_secs(20), || match stays(&topology, &tcp) {
        Ok(()) => Err("it is there"),
        Err(_) => Ok(()),
    });
    assert_eq!(agent.stop(), 0);
}

fn ignored_reset() {
    let topology = Topology::new();
    packets::open(&topology);
    let mut tcp = half_closed(&topology);
    let v4 = |address: std::io::Result<SocketAddr>| match address.expect("an address") {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("{address}"),
    };
    let (from, to): (SocketAddrV4, SocketAddrV4) = (v4(tcp.client.local_addr()), v4(tcp.client.peer_addr()));
    // Far out of the window: the server does not heed it, and nothing comes back.
    assert!(packets::send(&packets::raw(&topology.client), &segment(from, to, RST, [1, 0])));
    busy(&topology);
    let setup = Setup::new(&topology.gateway, &format!("{}{FLOOR}", limit(20)));
    let agent = setup.start();
    until_left(&topology, &tcp, CLOSE, 7);
    left_by_commands(&setup, &topology, &tcp);
    wait::until("level high", Duration::from_secs(10), || if high(&setup) { Ok(()) } else { Err("not yet") });
    wait::throughout("the entry stays", Duration::from_secs(2), || stays(&topology, &tcp));
    tcp.alive_half_closed().expect("the answer");
    assert_eq!(agent.stop(), 0);
}
