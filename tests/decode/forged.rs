//! What another process sends in the kernel's name is counted as forged and believed by nobody.

use std::os::fd::AsRawFd;

use ctctl::core::model::{Entry, EventKind, Status};
use ctctl::linux::listener::{Listener, Met};
use ctctl::linux::socket::Netlink;
use ctctl::linux::table;
use netlink_packet_netfilter::conntrack::ConntrackMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{NetlinkAddr, getsockname};

use super::generated::{self, ZoneIn};
use super::namespace::inside;

fn port(descriptor: &impl AsRawFd) -> u32 {
    getsockname::<NetlinkAddr>(descriptor.as_raw_fd()).expect("bound").pid()
}

fn flow() -> Entry {
    use ctctl::core::model::{L4, Tuple, UDP};
    let address = |text: &str| text.parse().expect("address");
    let tuple = |source, destination, l4| Tuple {
        source: address(source),
        destination: address(destination),
        protocol: UDP,
        l4,
    };
    let ports = |source, destination| L4::Ports { source, destination };
    Entry {
        original: tuple("10.0.0.1", "192.0.2.1", ports(1000, 53)),
        reply: Some(tuple("192.0.2.1", "10.0.0.1", ports(53, 1000))),
        // A status without it is refused: an entry cannot be made and not be in the table.
        status: Status(Status::CONFIRMED),
        timeout_seconds: Some(600),
        id: 7,
        ..Entry::default()
    }
}

fn forger() -> Socket {
    let mut socket = Socket::new(NETLINK_NETFILTER).expect("socket");
    socket.bind_auto().expect("bound");
    socket
}

#[test]
fn a_forged_birth_is_reported_and_counts_nothing() {
    inside(|| {
        let mut listener = Listener::open(1 << 20).expect("listener");
        let to = SocketAddr::new(port(&listener.descriptor()), 0);
        let attributes = || generated::attributes(&flow(), ZoneIn::Whole);
        // NLM_F_CREATE | NLM_F_EXCL, and nlmsg_pid 0 as the kernel's own: only the sender's address tells.
        let forged = generated::new(attributes(), |header| header.flags = 0x600);
        for _ in 0..3 {
            assert_eq!(forger().send_to(&forged, &to, 0).expect("sent"), forged.len());
        }
        let mut events = Vec::new();
        let met = listener.drain(4, |event| events.push(*event)).expect("drained");
        assert_eq!(met, Met { received: 3, unreadable: 0, forged: 3, more: false });
        assert_eq!(events, []);
        // The same bytes as a request to the kernel: now it is the kernel that tells of it.
        let create = generated::message(ConntrackMessage::New(attributes()), true, |h| h.flags = 0x601);
        let netlink = Netlink::open().expect("netlink");
        netlink.send(&create).expect("sent");
        assert_eq!(forger().send_to(&forged, &to, 0).expect("sent"), forged.len());
        let met = listener.drain(4, |event| events.push(*event)).expect("drained");
        assert_eq!(met, Met { received: 2, unreadable: 0, forged: 1, more: false });
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind, events[0].foreign), (EventKind::New, true));
        assert_eq!(events[0].entry.original, flow().original);
        assert_ne!(events[0].entry.id, 7);
        assert_eq!(listener.lost().expect("SO_MEMINFO"), 0);
    });
}

#[test]
fn a_forged_end_does_not_end_a_dump() {
    inside(|| {
        let mut netlink = Netlink::open().expect("netlink");
        let create = ConntrackMessage::New(generated::attributes(&flow(), ZoneIn::Whole));
        netlink.send(&generated::message(create, true, |h| h.flags = 0x601)).expect("sent");
        let mut done = [0u8; 20];
        done[..4].copy_from_slice(&20u32.to_ne_bytes());
        done[4..6].copy_from_slice(&3u16.to_ne_bytes());
        let to = SocketAddr::new(port(&netlink.descriptor()), 0);
        for sequence in 0..4u32 {
            done[8..12].copy_from_slice(&sequence.to_ne_bytes());
            forger().send_to(&done, &to, 0).expect("sent");
        }
        let mut found = 0;
        let each = |chunk: &table::Chunk<'_>| {
            found += chunk.entries().flatten().count();
            true
        };
        table::dump(&mut netlink, each).expect("a dump");
        assert_eq!(found, 1);
    });
}
