//! Frames of any transport protocol, as a driver hands them over: no socket at either end has a say in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, socket};

use crate::harness::namespace::Namespace;

/// A device of a namespace, with a neighbour at its other end.
pub struct Port {
    socket: OwnedFd,
    /// Destination and source of each frame.
    addresses: [u8; 12],
}

impl Port {
    /// From `device` of `namespace` to the neighbour with the hardware address `to`.
    pub fn open(namespace: &Namespace, device: &str, to: &str) -> Self {
        let open = || {
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None).expect("a socket");
            let mut devices = getifaddrs().expect("addresses").filter(|found| found.interface_name == device);
            let link = devices.find_map(|found| found.address?.as_link_addr().copied()).expect("a device");
            bind(socket.as_raw_fd(), &link).expect("bind");
            (socket, link.addr().expect("an address"))
        };
        let (socket, from) = namespace.enter(open);
        let to = to.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex"));
        let addresses: Vec<u8> = to.chain(from).collect();
        Port { socket, addresses: addresses.try_into().expect("two addresses") }
    }

    /// Sends one packet; veth hands it over to the other end before send(2) returns, or soon after.
    pub fn send(&self, from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) {
        let mut frame = self.addresses.to_vec();
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend([8, 0]);
                frame.extend(header4(from, to, protocol, body.len()));
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend([0x86, 0xdd]);
                frame.extend(header6(from, to, protocol, body.len()));
            }
            _ => panic!("{from} and {to} are of two families"),
        }
        frame.extend(body);
        nix::sys::socket::send(self.socket.as_raw_fd(), &frame, MsgFlags::empty()).expect("a frame");
    }
}

fn header4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: usize) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&[0x45, 0]);
    header[2..4].copy_from_slice(&(20 + body as u16).to_be_bytes());
    header[6..10].copy_from_slice(&[0x40, 0, 64, protocol]);
    header[12..16].copy_from_slice(&from.octets());
    header[16..].copy_from_slice(&to.octets());
    let mut sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    header
}

fn header6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: usize) -> [u8; 40] {
    let mut header = [0; 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&(body as u16).to_be_bytes());
    header[6..8].copy_from_slice(&[protocol, 64]);
    header[8..24].copy_from_slice(&from.octets());
    header[24..].copy_from_slice(&to.octets());
    header
}

/// A TCP segment; its checksum is 0. `numbers`: sequence and acknowledgement.
pub fn tcp(ports: [u16; 2], numbers: [u32; 2], flags: u8, window: u16, data: usize) -> Vec<u8> {
    let mut segment: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    segment.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    segment.extend([0x50, flags]);
    segment.extend(window.to_be_bytes());
    segment.resize(20 + data, 0);
    segment
}

/// A datagram without checksum of IPv4; of IPv6 it is wrong.
pub fn udp(ports: [u16; 2]) -> Vec<u8> {
    let mut datagram: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    datagram.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    datagram
}

/// An echo request or its answer.
pub fn echo(v6: bool, reply: bool, id: u16) -> Vec<u8> {
    let kind = match (v6, reply) {
        (false, false) => 8,
        (false, true) => 0,
        (true, false) => 128,
        (true, true) => 129,
    };
    let mut message = vec![kind, 0, 0, 0];
    message.extend(id.to_be_bytes());
    message.extend([0, 1, 0, 0, 0, 0]);
    message
}

/// An SCTP packet of one chunk, as RFC 9260 numbers them; both sides have the same tag, and its checksum is 0.
pub fn sctp(ports: [u16; 2], chunk: u8) -> Vec<u8> {
    const TAG: [u8; 4] = [0, 0, 0x12, 0x34];
    const INIT: u8 = 1;
    let mut packet: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    packet.extend(if chunk == INIT { [0; 4] } else { TAG });
    packet.extend([0; 4]);
    packet.extend([chunk, 0, 0, 20]);
    packet.extend(TAG);
    packet.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    packet
}
