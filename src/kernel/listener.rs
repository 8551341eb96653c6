//! The event stream: NEW and DESTROY of one namespace.

use std::io;
use std::os::fd::BorrowedFd;

use super::attribute::Messages;
use super::decode;
use super::receive::{Batch, Datagram};
use super::socket::Netlink;
use crate::error::{Error, Result};
use crate::model::Event;

const NFNLGRP_CONNTRACK_NEW: u32 = 1;
const NFNLGRP_CONNTRACK_DESTROY: u32 = 3;
/// A queued event holds about this much of the socket's buffer, whatever its length (its skb's truesize).
pub const BYTES_PER_QUEUED_EVENT: usize = 1280;

/// What one call of [`Listener::drain`] met besides events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Datagrams received.
    pub received: usize,
    /// Messages that could not be read: as good as lost.
    pub unreadable: u64,
    /// Datagrams that another process sent in the kernel's name.
    pub forged: u64,
    /// More may be waiting.
    pub more: bool,
}

/// A subscription. UPDATE is left out: one TCP connection is one NEW, one DESTROY and five UPDATEs, and the counts
/// need none of them.
pub struct Listener {
    netlink: Netlink,
    batch: Batch,
    buffer_bytes: usize,
}

impl Listener {
    /// Subscribes, with room for `buffer_bytes` of queued events where the kernel grants it.
    ///
    /// # Errors
    /// Exit 3 without CAP_NET_ADMIN over the namespace.
    pub fn open(buffer_bytes: usize) -> Result<Self> {
        let netlink = Netlink::open()?;
        let buffer_bytes = netlink.reserve(buffer_bytes);
        let subscribe = || -> io::Result<()> {
            // Loss is read from SO_MEMINFO, which is exact, and delivery goes on meanwhile.
            netlink.set_no_enobufs()?;
            netlink.join(NFNLGRP_CONNTRACK_NEW)?;
            netlink.join(NFNLGRP_CONNTRACK_DESTROY)
        };
        subscribe().map_err(|error| {
            Error::unreachable("conntrack events", error)
                .hint("CAP_NET_ADMIN over the network namespace is needed: run as root")
        })?;
        Ok(Listener { netlink, batch: Batch::new(64), buffer_bytes })
    }

    /// Socket buffer in bytes, as the kernel gave it.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Hands what is queued to `each`, at most `batches` system calls' worth.
    ///
    /// # Errors
    /// As recvmmsg(2), but for ENOBUFS and nothing there, which are no errors.
    pub fn drain(&mut self, batches: usize, mut each: impl FnMut(&Event)) -> io::Result<Met> {
        let mut met = Met::default();
        for _ in 0..batches {
            met.more = match self.batch.receive(self.netlink.descriptor()) {
                Ok(n) => {
                    met.received += n;
                    n == 64
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
                // Loss is counted by `lost`.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => true,
                Err(error) => return Err(error),
            };
            for datagram in self.batch.datagrams() {
                match datagram {
                    Datagram::Kernel(bytes) => read(bytes, &mut met, &mut each),
                    Datagram::Forged => met.forged += 1,
                    Datagram::Truncated => met.unreadable += 1,
                }
            }
            self.batch.clear();
            if !met.more {
                break;
            }
        }
        Ok(met)
    }

    /// Events lost since the subscription began.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn lost(&self) -> io::Result<u32> {
        self.netlink.lost()
    }

    /// The descriptor, to wait on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.netlink.descriptor()
    }
}

fn read(bytes: &[u8], met: &mut Met, each: &mut impl FnMut(&Event)) {
    for message in Messages(bytes) {
        match message.map(|m| decode::event(&m)) {
            Ok(Ok(Some(event))) => each(&event),
            Ok(Ok(None)) => {}
            Ok(Err(_)) | Err(_) => met.unreadable += 1,
        }
    }
}
