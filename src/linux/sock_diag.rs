//! The connected sockets of this host (sock_diag(7)): who holds an end of a flow here, holds it however long the flow
//! has been silent.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use super::attribute::{Malformed, Message, be16};
use super::socket::{Netlink, invalid};
use crate::core::model::{L4, SCTP, TCP, Tuple, UDP, UDPLITE};

/// The protocols whose sockets inet_diag knows and conntrack has ports for.
pub const PROTOCOLS: [u8; 4] = [TCP, UDP, UDPLITE, SCTP];

/// The module that answers for a protocol; where it is not there, a question loads it (`sock_load_diag_module`).
pub fn module(protocol: u8) -> &'static str {
    match protocol {
        TCP => "tcp_diag",
        SCTP => "sctp_diag",
        _ => "udp_diag",
    }
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Bytes of a question, `sizeof(struct inet_diag_req_v2)`.
const REQUEST: usize = 56;
/// Bytes of an answer, `sizeof(struct inet_diag_msg)`.
const ANSWER: usize = 72;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x1 | 0x300;
/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [libc::AF_INET as u8, libc::AF_INET6 as u8];

/// States of `enum` in include/net/tcp_states.h.
const ESTABLISHED: u32 = 1;
const TIME_WAIT: u32 = 6;
const CLOSE: u32 = 7;
const LISTEN: u32 = 10;
const NEW_SYN_RECV: u32 = 12;

/// Hands each connected socket of `protocol` in the calling thread's namespace to `each`, both families: its own end
/// as the source, the other as the destination. An IPv6 socket that speaks IPv4 is one of IPv4.
///
/// # Errors
/// ENOENT where the kernel has no inet_diag for the protocol, or not the protocol; as [`Netlink::ask`].
pub fn connected(netlink: &mut Netlink, protocol: u8, mut each: impl FnMut(&Tuple)) -> io::Result<()> {
    for family in FAMILIES {
        let sequence = netlink.next_sequence();
        let mut unreadable = None;
        netlink.ask(&request(family, protocol, sequence), sequence, |message| {
            match socket(message, protocol) {
                Ok(Some(tuple)) => each(&tuple),
                Ok(None) => {}
                Err(malformed) => unreadable = Some(malformed),
            }
        })?;
        if let Some(malformed) = unreadable {
            return Err(invalid(malformed));
        }
    }
    Ok(())
}

/// States that a connected socket can be in; one in TIME_WAIT or CLOSE belongs to nobody any more.
fn states(protocol: u8) -> u32 {
    let bit = |state: u32| 1 << state;
    match protocol {
        UDP | UDPLITE => bit(ESTABLISHED),
        _ => ((bit(NEW_SYN_RECV + 1) - 1) & !1) & !(bit(TIME_WAIT) | bit(CLOSE) | bit(LISTEN)),
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`: every socket, no extensions.
fn request(family: u8, protocol: u8, sequence: u32) -> Vec<u8> {
    let length = (super::attribute::HEADER + REQUEST) as u32;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend([family, protocol, 0, 0]);
    bytes.extend(states(protocol).to_ne_bytes());
    bytes.resize(length as usize, 0);
    bytes
}

/// The tuple of a `struct inet_diag_msg`; `None` for another message and for a socket without a peer.
fn socket(message: &Message<'_>, protocol: u8) -> Result<Option<Tuple>, Malformed> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return Ok(None);
    }
    let told = message.payload.get(..ANSWER).ok_or(Malformed("half a socket"))?;
    let (source, destination) = (be16(&told[4..6])?, be16(&told[6..8])?);
    let (local, remote) = (address(told[0], &told[8..24])?, address(told[0], &told[24..40])?);
    if destination == 0 || local.is_ipv4() != remote.is_ipv4() {
        return Ok(None);
    }
    let l4 = L4::Ports { source, destination };
    Ok(Some(Tuple { source: local, destination: remote, protocol, l4 }))
}

fn address(family: u8, bytes: &[u8]) -> Result<IpAddr, Malformed> {
    let sixteen: [u8; 16] = bytes.try_into().map_err(|_| Malformed("not an address"))?;
    match family {
        f if f == FAMILIES[0] => Ok(IpAddr::from([sixteen[0], sixteen[1], sixteen[2], sixteen[3]])),
        f if f == FAMILIES[1] => {
            let six = Ipv6Addr::from(sixteen);
            Ok(six.to_ipv4_mapped().map_or(IpAddr::V6(six), IpAddr::V4))
        }
        _ => Err(Malformed("a socket of another family")),
    }
}

#[cfg(test)]
#[path = "sock_diag_tests.rs"]
mod tests;
