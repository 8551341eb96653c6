//! A netlink socket in the calling thread's network namespace.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_SOCK_DIAG};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::attribute::{Message, Messages, NLMSG_DONE, NLMSG_ERROR};
use super::receive;
use crate::error::{Error, Result};

/// The kernel fills at most 32 KiB a recv (`netlink_dump`); twice that never truncates.
const ROOM: usize = 64 * 1024;
/// An answer that takes longer than this is none: walking 2^20 empty buckets takes 0.2 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket for requests and dumps. `netlink_sys::Socket` is `Clone` over a raw descriptor (a clone closes twice),
/// so it stays private here.
pub struct Netlink {
    socket: Socket,
    port: u32,
    sequence: u32,
    room: Vec<u8>,
}

impl Netlink {
    /// Opens one for nfnetlink.
    ///
    /// # Errors
    /// Exit 3 where the kernel has no nfnetlink.
    pub fn open() -> Result<Self> {
        Self::open_protocol(NETLINK_NETFILTER).map_err(|error| {
            Error::unreachable("netlink", error)
                .hint("the kernel needs nfnetlink and ctnetlink: modprobe nf_conntrack_netlink")
        })
    }

    /// Opens one for sock_diag(7).
    ///
    /// # Errors
    /// As socket(2): EPROTONOSUPPORT on a kernel without it.
    pub fn open_sock_diag() -> io::Result<Self> {
        Self::open_protocol(NETLINK_SOCK_DIAG)
    }

    fn open_protocol(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        // Errors come back without the request that they answer.
        socket.set_cap_ack(true)?;
        let patience = TimeVal::new(PATIENCE.as_secs() as _, 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Netlink { socket, port, sequence: 0, room: vec![0; ROOM] })
    }

    /// The cookie of its network namespace, as [`receive::netns_cookie`] tells it.
    pub fn netns_cookie(&self) -> Option<u64> {
        receive::netns_cookie(self.socket.as_fd())
    }

    /// The port that the kernel gave it: the `nlmsg_pid` of events about what it asks for.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// The next sequence number; never 0.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends bytes to the kernel.
    ///
    /// # Errors
    /// As sendto(2).
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives one datagram of the kernel's; what others send is dropped.
    ///
    /// # Errors
    /// As recvmsg(2); `InvalidData` for a datagram that does not fit its room, `TimedOut` for silence.
    pub fn receive(&mut self, flags: libc::c_int) -> io::Result<&[u8]> {
        let length = self.receive_length(flags)?;
        Ok(&self.room[..length])
    }

    /// Receives into a room of `ROOM` bytes, which the socket gets back in exchange for the one that it filled.
    ///
    /// # Errors
    /// As [`Netlink::receive`].
    pub(super) fn receive_in_exchange(&mut self, room: &mut Vec<u8>) -> io::Result<usize> {
        let length = self.receive_length(0)?;
        room.resize(ROOM, 0);
        std::mem::swap(&mut self.room, room);
        Ok(length)
    }

    fn receive_length(&mut self, flags: libc::c_int) -> io::Result<usize> {
        let length = loop {
            let mut room: &mut [u8] = &mut self.room;
            match self.socket.recv_from(&mut room, flags | libc::MSG_TRUNC) {
                Ok((length, sender)) if sender.port_number() == 0 => break length,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && flags & libc::MSG_DONTWAIT == 0 =>
                {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer"));
                }
                Err(error) => return Err(error),
            }
        };
        match length <= self.room.len() {
            true => Ok(length),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "a truncated message")),
        }
    }

    /// Sends a request and hands every message of its answer to `each`, until the answer ends.
    ///
    /// # Errors
    /// The errno that the kernel answers; `InvalidData` for what cannot be read.
    pub fn ask(
        &mut self,
        request: &[u8],
        sequence: u32,
        mut each: impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        self.send(request)?;
        let started = Instant::now();
        loop {
            for message in Messages(self.receive(0)?) {
                let message = message.map_err(invalid)?;
                if message.sequence != sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match message.errno().map_err(invalid)? {
                            0 => Ok(()),
                            errno => Err(io::Error::from_raw_os_error(errno)),
                        };
                    }
                    _ => each(&message),
                }
                // Only NLM_F_MULTI answers go on.
                if message.flags & 2 == 0 {
                    return Ok(());
                }
            }
            if started.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the answer does not end"));
            }
        }
    }

    /// Sends requests that are answered inside send(2), and hands every datagram that is queued then to `each`. Answers
    /// that found no room are missing.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    pub(super) fn exchange(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.send(bytes)?;
        loop {
            match self.receive(libc::MSG_DONTWAIT) {
                Ok(bytes) => each(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes room for at least `bytes` of queued messages; what the kernel gave.
    pub fn reserve(&self, bytes: usize) -> usize {
        // The kernel doubles what is asked (sock_setsockopt), and its own bound is an int.
        let half = bytes.div_ceil(2).min(i32::MAX as usize / 2);
        if setsockopt(&self.socket, sockopt::RcvBufForce, &half).is_err() {
            // Without CAP_NET_ADMIN in the first user namespace: up to net.core.rmem_max.
            let _ = self.socket.set_rx_buf_sz(half as libc::c_int);
        }
        self.socket.get_rx_buf_sz().unwrap_or(0)
    }

    /// Joins a multicast group (`enum nfnetlink_groups`).
    ///
    /// # Errors
    /// EPERM without CAP_NET_ADMIN over the namespace.
    pub fn join(&self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Delivery goes on after a loss, which then shows in [`Netlink::lost`] alone.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_no_enobufs(&self) -> io::Result<()> {
        self.socket.set_no_enobufs(true)
    }

    /// Messages lost since the socket was opened.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn lost(&self) -> io::Result<u32> {
        receive::buffered(self.socket.as_fd()).map(|buffered| buffered.lost)
    }

    /// Bytes of the receive buffer that are in use.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn queued_bytes(&self) -> io::Result<u32> {
        receive::buffered(self.socket.as_fd()).map(|buffered| buffered.bytes)
    }

    /// The descriptor, to wait on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes an error that says which part failed, the reason, and the remedy.
pub fn explain(what: &str, error: &io::Error) -> Error {
    let failed = Error::unreachable(what, error);
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            failed.hint("CAP_NET_ADMIN over the network namespace is needed: run as root")
        }
        Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT) => {
            failed.hint("the kernel needs ctnetlink: modprobe nf_conntrack_netlink")
        }
        _ => failed,
    }
}

/// An [`io::Error`] for bytes that are no netlink.
pub fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
