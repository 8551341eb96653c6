//! One live flow of each kind that careless arithmetic takes for dead.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use crate::harness::table::{Identity, Row, rows};
use crate::harness::topology::{Family, Topology};
use crate::harness::traffic::{OneWay, SilentServer, Tcp, listen};
use crate::harness::wait;

/// Sent while the server's answers are dropped.
const UNACKNOWLEDGED: &[u8] = b"not acknowledged yet";

/// Real flows through a gateway, in states in which they stay.
#[derive(Debug)]
pub struct Living<'a> {
    topology: &'a Topology,
    talking: Vec<Tcp>,
    policy: Tcp,
    half_closed: Tcp,
    stalled: (Tcp, u64),
    unacknowledged: Tcp,
    silent: Option<SilentServer<'a>>,
    udp: OneWay,
    entries: Vec<(&'static str, Identity)>,
}

/// A timeout policy of the gateway's own for one service: its flows look idle for days by the sysctl's base.
fn policy(topology: &Topology, listener: &TcpListener) {
    let port = listener.local_addr().expect("a bound socket").port();
    let rules = format!(
        "table inet policies {{
  ct timeout short {{ protocol tcp; l3proto ip; policy = {{ established : 3600 }}; }}
  chain pre {{ type filter hook prerouting priority 0; tcp dport {port} ct timeout set \"short\"; }}
}}"
    );
    topology.gateway.must("nft", &["-f", "-"], &rules);
}

impl<'a> Living<'a> {
    /// Opens all of them.
    pub fn open(topology: &'a Topology) -> Self {
        let talking: Vec<_> = [Family::V4, Family::V4, Family::V6].map(|f| Tcp::talking(topology, f)).into();
        let listener = listen(topology, Family::V4);
        policy(topology, &listener);
        let policy = Tcp::talking_to(topology, &listener);
        let half_closed = half_closed(topology);
        let mut stalled = Tcp::talking(topology, Family::V4);
        let taken = stalled.close_window();
        let mut unacknowledged = Tcp::talking(topology, Family::V4);
        let port = unacknowledged.client.peer_addr().expect("a peer").port();
        let silent = SilentServer::new(topology, port);
        unacknowledged.client.write_all(UNACKNOWLEDGED).expect("a write");
        let udp = OneWay::new(topology, Duration::from_secs(2));
        wait::until("a datagram", Duration::from_secs(5), || {
            if udp.received() > 0 { Ok(()) } else { Err("none") }
        });
        let mut living = Living {
            topology,
            talking,
            policy,
            half_closed,
            stalled: (stalled, taken),
            unacknowledged,
            silent: Some(silent),
            udp,
            entries: Vec::new(),
        };
        living.entries = living.find();
        living
    }

    /// How many entries they have.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self) -> Vec<(&'static str, Identity)> {
        let rows = rows(&self.topology.gateway);
        let find = |protocol, port| {
            let row = rows.iter().find(|row: &&Row| row.protocol == protocol && row.source_port == port);
            row.unwrap_or_else(|| panic!("port {port} of protocol {protocol} has no entry")).identity()
        };
        let mut entries: Vec<_> = self.talking.iter().map(|tcp| ("talking", find(6, tcp.port()))).collect();
        for (what, tcp) in [
            ("under a timeout policy", &self.policy),
            ("half-closed", &self.half_closed),
            ("with a zero window", &self.stalled.0),
            ("with unacknowledged data", &self.unacknowledged),
        ] {
            entries.push((what, find(6, tcp.port())));
        }
        entries.push(("one-way UDP", find(17, self.udp.port)));
        entries
    }

    /// That each still has the very entry that it had.
    pub fn in_table(&self) -> Result<(), String> {
        let now: std::collections::HashSet<_> =
            rows(&self.topology.gateway).iter().map(Row::identity).collect();
        let lost: Vec<_> = self.entries.iter().filter(|(_, identity)| !now.contains(identity)).collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}")) }
    }

    /// Ends each with bytes in both directions; panics where they do not come.
    pub fn prove_alive(mut self) {
        self.in_table().expect("the entry of every live flow");
        let heard = self.udp.received();
        for tcp in &mut self.talking {
            tcp.alive().expect("the talking flow");
        }
        self.policy.alive().expect("the flow under a timeout policy");
        self.half_closed.alive_half_closed().expect("the half-closed flow");
        let (stalled, taken) = &mut self.stalled;
        stalled.alive_after_closed_window(*taken).expect("the flow with a zero window");
        drop(self.silent.take());
        let mut read = [0; UNACKNOWLEDGED.len()];
        self.unacknowledged.server.read_exact(&mut read).expect("the unacknowledged data");
        self.unacknowledged.alive().expect("the flow with unacknowledged data");
        wait::until("another one-way datagram", Duration::from_secs(10), || {
            if self.udp.received() > heard { Ok(()) } else { Err("none") }
        });
        assert_eq!(self.udp.senders(), 1, "the one-way flow kept its translation");
    }
}

/// A connection whose client has ended its direction, and whose server has begun to answer.
pub fn half_closed(topology: &Topology) -> Tcp {
    let mut tcp = Tcp::talking(topology, Family::V4);
    tcp.client.shutdown(Shutdown::Write).expect("shutdown");
    // With a byte the server acknowledges at once. A delayed acknowledgement takes 200 ms, as long as the client waits
    // before it sends its FIN again, and two of them are a closed connection to the kernel (`tcp_conntracks`).
    assert_eq!(tcp.server.read(&mut [0; 1]).expect("an end"), 0, "the client's end");
    tcp.server.write_all(b"!").expect("a byte");
    tcp.client.read_exact(&mut [0; 1]).expect("a byte");
    wait::until("CLOSE_WAIT in the gateway", Duration::from_secs(5), || {
        let state = tcp.entry(topology).and_then(|entry| entry.tcp_state);
        // TCP_CONNTRACK_CLOSE_WAIT is 5.
        if state == Some(5) { Ok(()) } else { Err(format!("{state:?}")) }
    });
    tcp
}
