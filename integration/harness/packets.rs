//! Bare packets through the gateway, which no socket at either end answers.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use crate::harness::namespace::Namespace;
use crate::harness::tool::must;
use crate::harness::topology::{CLIENT4, Topology};

/// Nobody has this address: what is sent there is not answered with RST.
pub const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;

/// A raw socket, which takes packets with their IP header.
pub fn raw(namespace: &Namespace) -> OwnedFd {
    let open = || socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw);
    namespace.enter(open).expect("a raw socket")
}

/// Hands over a packet; whether the kernel took it.
pub fn send(socket: &OwnedFd, packet: &[u8]) -> bool {
    let to = Ipv4Addr::from([packet[16], packet[17], packet[18], packet[19]]);
    let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
    sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty()).is_ok()
}

/// A TCP segment without data, IP header included. `numbers`: sequence and acknowledgement.
pub fn segment(from: SocketAddrV4, to: SocketAddrV4, flags: u8, numbers: [u32; 2]) -> [u8; 40] {
    let mut packet = [0; 40];
    let (ip, tcp) = packet.split_at_mut(20);
    ip[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    ip[12..16].copy_from_slice(&from.ip().octets());
    ip[16..].copy_from_slice(&to.ip().octets());
    let addresses = sum(&ip[12..]);
    let header = fold(sum(ip));
    ip[10..12].copy_from_slice(&header);
    tcp[..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&numbers[0].to_be_bytes());
    tcp[8..12].copy_from_slice(&numbers[1].to_be_bytes());
    tcp[12..16].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
    let checksum = fold(addresses + 6 + 20 + sum(tcp));
    tcp[16..18].copy_from_slice(&checksum);
    packet
}

fn sum(words: &[u8]) -> u32 {
    words.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum()
}

fn fold(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Routes to the sources and to [`NOBODY`], so that what arrives there is dropped in silence. The gateway's neighbours
/// are known before the first packet.
pub fn open(topology: &Topology) {
    let gateway = &topology.gateway.name;
    let ip = |args: String| must("ip", &["-n", gateway, "-batch", "-"], &args);
    let (client, server) = (mac(&topology.client, "c0"), mac(&topology.server, "s0"));
    ip(format!("neigh replace {CLIENT4} lladdr {client} dev g0 nud permanent"));
    ip(format!("neigh replace {NOBODY} lladdr {server} dev g1 nud permanent"));
    ip(format!("route add 10.160.0.0/12 via {CLIENT4}"));
}

pub fn mac(namespace: &Namespace, device: &str) -> String {
    let shown = must("ip", &["-n", &namespace.name, "-br", "link", "show", device], "");
    shown.split_whitespace().nth(2).expect("an address").to_owned()
}
