//! Handshakes as bare packets through the gateway: as many a second as the kernel forwards, with nobody at the ends.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, socket};
use nix::unistd::gettid;

use crate::harness::namespace::Namespace;
use crate::harness::packets::{NOBODY, SYN, mac, segment};
use crate::harness::tool::must;
use crate::harness::topology::{GATEWAY_OUTSIDE4, Topology};

const PORT: u16 = 443;
const ACK: u8 = 0x10;
/// Threads that send: one for each core of the smallest machine.
const THREADS: u32 = 2;
/// How long a sender that is ahead rests.
const REST: Duration = Duration::from_micros(200);

/// The source of the `n`th flow: a hundred flows of each host, a port of its own for each flow, so that the masquerade
/// keeps it.
fn source(n: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0aa0_0001 + n / 100), (1024 + n) as u16)
}

/// A place to send frames from, as a driver hands them over: no route, no neighbour, no queue.
struct Wire {
    socket: OwnedFd,
    header: [u8; 14],
}

impl Wire {
    /// From `device` of `namespace` to what is at the other end.
    fn open(namespace: &Namespace, device: &str, to: &str) -> Self {
        let open = || {
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None).expect("a socket");
            let mut addresses =
                getifaddrs().expect("addresses").filter(|found| found.interface_name == device);
            let link = addresses.find_map(|found| found.address?.as_link_addr().copied()).expect("a device");
            bind(socket.as_raw_fd(), &link).expect("bind");
            (socket, link.addr().expect("an address"))
        };
        let (socket, from) = namespace.enter(open);
        let to: Vec<u8> = to.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
        let header = [&to[..], &from, &[8, 0]].concat();
        Wire { socket, header: header.try_into().expect("an Ethernet header") }
    }

    fn frame(&self, segment: [u8; 40]) -> [u8; 54] {
        let mut frame = [0; 54];
        frame[..14].copy_from_slice(&self.header);
        frame[14..].copy_from_slice(&segment);
        frame
    }

    fn send(&self, frame: &[u8; 54]) {
        nix::sys::socket::send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).expect("a frame");
    }
}

/// One sender's handshakes, made before the first is sent.
struct Sender {
    client: Wire,
    server: Wire,
    flows: Vec<(u32, [[u8; 54]; 3])>,
}

impl Sender {
    fn new(topology: &Topology, flows: impl Iterator<Item = u32>) -> Self {
        let client = Wire::open(&topology.client, "c0", &mac(&topology.gateway, "g0"));
        let server = Wire::open(&topology.server, "s0", &mac(&topology.gateway, "g1"));
        let handshake = |n: u32| {
            let (from, there) = (source(n), SocketAddrV4::new(NOBODY, PORT));
            let outside = SocketAddrV4::new(GATEWAY_OUTSIDE4, from.port());
            let syn = client.frame(segment(from, there, SYN, [1, 0]));
            let answer = server.frame(segment(there, outside, SYN | ACK, [1000, 2]));
            (n, [syn, answer, client.frame(segment(from, there, ACK, [2, 1001]))])
        };
        let flows = flows.map(handshake).collect();
        Sender { client, server, flows }
    }

    /// The `n`th flow `n / per_second` after the start, or at once.
    fn run(self, start: Instant, per_second: Option<u32>) {
        for (n, [syn, answer, ack]) in &self.flows {
            if let Some(per_second) = per_second {
                let due = Duration::from_secs_f64(f64::from(*n) / f64::from(per_second));
                while start.elapsed() < due {
                    sleep(REST);
                }
            }
            // veth hands each over to the other end before send(2) returns, or soon after.
            self.client.send(syn);
            self.server.send(answer);
            self.client.send(ack);
        }
    }
}

/// Sends the handshakes of flows 0, 1, 2 … from two threads, `per_second` a second or as fast as they can; gives the
/// pace that was reached. Each flow is ESTABLISHED and ASSURED in the gateway's table then.
pub fn handshakes(topology: &Topology, total: u32, per_second: Option<u32>) -> f64 {
    assert!(total <= 64_000, "a port for each flow");
    let of = |first| Sender::new(topology, (first..total).step_by(THREADS as usize));
    let senders: Vec<Sender> = (0..THREADS).map(of).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        senders.into_iter().for_each(|sender| {
            scope.spawn(move || {
                // Packets do not wait for an agent: in a gateway they are softirqs, which go first.
                must("renice", &["-n", "-20", "-p", &gettid().to_string()], "");
                sender.run(start, per_second);
            });
        });
    });
    f64::from(total) / start.elapsed().as_secs_f64()
}
