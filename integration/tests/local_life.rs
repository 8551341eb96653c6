//! A flow with an end in a socket of the gateway itself stays, however long it has been silent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::harness::agent::{Setup, limit};
use crate::harness::environment::Need;
use crate::harness::fill::{Writer, fill};
use crate::harness::flow::{self, ESTABLISHED_SECONDS, Flow, L4};
use crate::harness::table::{ESTABLISHED, IPS_ASSURED, of_port, rows};
use crate::harness::topology::{Family, GATEWAY_OUTSIDE4, SERVER4, Topology};
use crate::harness::traffic::{Tcp, listen};
use crate::harness::wait;
use crate::{Test, test};

pub const TESTS: &[Test] =
    &[test("local_life::a_socket_of_the_gateway_keeps_its_entry", sockets_keep_entries).needs(&[Need::Age])];

const IDLE: u32 = 9000;
const IDLE_SECONDS: u32 = 8000;
/// What the test is about has been silent for longer than all else: it is the first that would go, or does.
const LONGEST_IDLE_SECONDS: u32 = 8100;
const PATIENCE: Duration = Duration::from_secs(40);

/// Only the flush of every dead entry that may go brings the table to the three that are to stay.
fn sections() -> String {
    format!(
        "{}[pressure]\ntarget_percent = 0.03\nlow_percent = 0.2\nhigh_percent = 0.3\n[timeouts]\nenabled = false\n\
         [flush]\ngrace_seconds = 2\nudp_idle_floor_seconds = 20\n",
        limit(10_000)
    )
}

/// Both ends of a connection that the server opened to the gateway, or the gateway to the server.
struct Local(TcpStream, TcpStream);

impl Local {
    fn open(topology: &Topology, inward: bool) -> Local {
        // Of both families: its sockets speak IPv4 by mapped addresses.
        let gateway = || TcpListener::bind("[::]:0").expect("a listener");
        let listener = if inward { topology.gateway.enter(gateway) } else { listen(topology, Family::V4) };
        let port = listener.local_addr().expect("a bound socket").port();
        let (from, to) = match inward {
            true => (&topology.server, SocketAddr::from((GATEWAY_OUTSIDE4, port))),
            false => (&topology.gateway, SocketAddr::from((SERVER4, port))),
        };
        let near = from.enter(|| TcpStream::connect_timeout(&to, PATIENCE)).expect("a connection");
        let (far, _) = listener.accept().expect("a connection");
        let mut local = Local(near, far);
        local.alive();
        local
    }

    fn alive(&mut self) {
        let mut read = [0; 4];
        self.1.write_all(b"ping").expect("a write");
        self.0.read_exact(&mut read).expect("bytes from the far end");
        self.0.write_all(b"pong").expect("a write");
        self.1.read_exact(&mut read).expect("bytes from the near end");
    }

    fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.0.local_addr().expect("an address"), self.0.peer_addr().expect("an address"))
    }
}

/// A connected socket of the gateway and the server's; talks until its entry is ASSURED.
fn datagrams(topology: &Topology) -> (UdpSocket, UdpSocket) {
    let server = topology.server.enter(|| UdpSocket::bind((SERVER4, 0))).expect("a socket");
    let gateway = topology.gateway.enter(|| UdpSocket::bind((GATEWAY_OUTSIDE4, 0))).expect("a socket");
    let (here, there) = (gateway.local_addr().expect("bound"), server.local_addr().expect("bound"));
    gateway.connect(there).expect("connect");
    wait::until("an ASSURED flow", PATIENCE, || {
        let mut read = [0; 4];
        gateway.send(b"ping").expect("a datagram");
        server.recv(&mut read).expect("a datagram");
        server.send_to(b"pong", here).expect("a datagram");
        gateway.recv(&mut read).expect("a datagram");
        let status = of_port(topology, 17, here.port()).map_or(0, |row| row.status);
        if status & IPS_ASSURED != 0 { Ok(()) } else { Err(format!("status {status:#x}")) }
    });
    (gateway, server)
}

/// Makes an entry look idle, as only its last packet could.
fn age(writer: &mut Writer, (from, to): (SocketAddr, SocketAddr), l4: fn(u16, u16) -> L4, left_seconds: u32) {
    let flow = Flow::new(from.ip(), to.ip(), l4(from.port(), to.port()), left_seconds);
    writer.set_left(&flow, left_seconds);
}

fn sockets_keep_entries() {
    let topology = Topology::new();
    let mut local = [true, false].map(|inward| Local::open(&topology, inward));
    let (gateway, server) = datagrams(&topology);
    let transit = Tcp::talking(&topology, Family::V4);
    fill(&topology.gateway, flow::established(IDLE, 100, IDLE_SECONDS));
    let tcp = |a, b| L4::Tcp(a, b, ESTABLISHED);
    let mut writer = Writer::new(&topology.gateway);
    let left = ESTABLISHED_SECONDS - LONGEST_IDLE_SECONDS;
    local.iter().for_each(|l| age(&mut writer, l.ends(), tcp, left));
    let ends = (transit.client.local_addr().expect("bound"), transit.client.peer_addr().expect("connected"));
    age(&mut writer, ends, tcp, left);
    let udp = (gateway.local_addr().expect("bound"), gateway.peer_addr().expect("connected"));
    age(&mut writer, udp, L4::Udp, 85);
    writer.flush();
    assert!(writer.refused.is_empty(), "{:?}", writer.refused);
    let setup = Setup::new(&topology.gateway, &sections());
    let agent = setup.start();
    wait::until("whatever may go to go", PATIENCE, || {
        let count = topology.count();
        if count <= 550 { Ok(()) } else { Err(format!("{count} entries")) }
    });
    wait::until("the dead flow through the gateway to go", PATIENCE, || match transit.entry(&topology) {
        None => Ok(()),
        Some(row) => Err(format!("{row:?}")),
    });
    let ports = [local[0].ends().0.port(), local[1].ends().0.port(), udp.0.port()];
    wait::throughout("flows of the gateway's own stay", Duration::from_secs(3), || {
        let rows = rows(&topology.gateway);
        let there = |port: &&u16| rows.iter().any(|row| row.source_port == **port);
        if ports.iter().filter(there).count() == 3 { Ok(()) } else { Err("an entry went") }
    });
    local.iter_mut().for_each(Local::alive);
    let status = agent.status();
    assert!(status["protected"].as_u64().is_some_and(|n| n >= 3), "{status}");
    drop((server, gateway));
    assert_eq!(agent.stop(), 0);
}
