//! ctnetlink bytes, written and read by the suite itself: it shares no code with the program that it tests.

use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::harness::namespace::Namespace;

pub const NLM_F_REQUEST: u16 = 1;
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_EXCL: u16 = 0x200;
pub const NLM_F_CREATE: u16 = 0x400;

/// Message types of subsystem NFNL_SUBSYS_CTNETLINK (linux/netfilter/nfnetlink_conntrack.h).
pub const CT_NEW: u16 = 0x100;
pub const CT_GET: u16 = 0x101;
pub const CT_DELETE: u16 = 0x102;
pub const CT_GET_STATS_CPU: u16 = 0x104;

pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;
const NLA_F_NESTED: u16 = 0x8000;

/// Messages under construction, many in one buffer.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub messages: usize,
}

impl Batch {
    /// Appends one message; `body` appends its attributes.
    pub fn message(&mut self, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(&[family, 0, 0, 0]);
        body(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.messages += 1;
    }
}

/// Deletes every entry of the namespace that the thread is in (`ctnetlink_del_conntrack` without a tuple).
pub fn empty() -> std::io::Result<()> {
    let mut batch = Batch::default();
    batch.message(CT_DELETE, NLM_F_REQUEST, 0, |_| {});
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&batch.bytes, 0).map(drop)
}

/// Appends an attribute, padded.
pub fn attribute(bytes: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u16 + 4).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Appends an attribute whose payload is attributes.
pub fn nest(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
    body(bytes);
    let length = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// The attributes in `bytes`: type without flags, and payload.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let payload = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The messages in a received buffer: type and what follows the netlink header.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let body = bytes.get(16..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// A big-endian number of 1, 2 or 4 bytes.
pub fn number(payload: &[u8]) -> u32 {
    payload.iter().fold(0, |n, byte| n << 8 | u32::from(*byte))
}

/// An address of 4 or 16 bytes.
pub fn address(payload: &[u8]) -> Option<IpAddr> {
    match payload.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(payload).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(payload).ok()?)),
        _ => None,
    }
}

/// A netfilter socket inside `namespace`.
pub fn socket(namespace: &Namespace) -> Socket {
    namespace.enter(|| {
        let mut socket = Socket::new(NETLINK_NETFILTER).expect("a netlink socket");
        socket.bind_auto().expect("bind");
        socket.connect(&SocketAddr::new(0, 0)).expect("connect");
        // Errors without the echo of the whole request: thousands fit into the receive buffer.
        socket.set_cap_ack(true).expect("NETLINK_CAP_ACK");
        socket.set_rx_buf_sz(4 << 20).expect("SO_RCVBUF");
        socket
    })
}

/// The same, subscribed to groups of it. Needs a connection to nobody: events come from the kernel to a group.
pub fn subscribed(namespace: &Namespace, groups: &[u32]) -> Socket {
    let socket = socket(namespace);
    groups.iter().for_each(|group| socket.add_membership(*group).expect("a subscription"));
    socket
}

/// Sends a dump request and hands every answer's body to `each`.
pub fn dump(namespace: &Namespace, kind: u16, mut each: impl FnMut(&[u8])) {
    let socket = socket(namespace);
    let mut batch = Batch::default();
    batch.message(kind, NLM_F_REQUEST | NLM_F_DUMP, 0, |_| ());
    socket.send(&batch.bytes, 0).expect("dump request");
    let mut buffer = Vec::with_capacity(1 << 16);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0).expect("dump answer");
        for (kind, body) in messages(&buffer) {
            match kind {
                NLMSG_DONE => return,
                NLMSG_ERROR => panic!("dump refused: {:?}", body.get(..4)),
                _ => each(body.get(4..).unwrap_or_default()),
            }
        }
    }
}
