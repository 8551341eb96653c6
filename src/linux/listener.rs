//! The event stream: NEW and DESTROY of one namespace, and the UPDATEs that somebody asked for.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::attribute::Messages;
use super::decode;
use super::own_ports::{self, Registered};
use super::port_filter;
use super::receive::{Batch, Datagram};
use super::socket::Netlink;
use crate::core::model::{Event, EventKind, Queue};
use crate::error::{Error, Result};

const NFNLGRP_CONNTRACK_NEW: u32 = 1;
const NFNLGRP_CONNTRACK_UPDATE: u32 = 2;
const NFNLGRP_CONNTRACK_DESTROY: u32 = 3;
/// A queued event holds about this much of the socket's buffer, whatever its length (its skb's truesize).
pub const BYTES_PER_QUEUED_EVENT: usize = Queue::EVENT_BYTES as usize;

/// Counts of one call of [`Listener::drain`], besides events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Datagrams that were received.
    pub received: usize,
    /// Messages that could not be read: as good as lost.
    pub unreadable: u64,
    /// Datagrams that another process sent in the kernel's name.
    pub forged: u64,
    /// More may be waiting.
    pub more: bool,
}

/// A subscription: to NEW and DESTROY, or to the UPDATEs of other writers. One TCP connection is one NEW, one DESTROY
/// and five UPDATEs of its packets: nobody needs those, and a filter drops them before they are queued.
pub struct Listener {
    netlink: Netlink,
    updates: Option<OwnFilter>,
    batch: Batch,
    buffer_bytes: usize,
}

/// Keeps this program's own updates, and its socket, from being taken for another's.
struct OwnFilter {
    /// `own_ports::changes` that the filter knows of.
    changes: u64,
    own: Vec<u32>,
    _registered: Registered,
}

impl Listener {
    /// Subscribes, with room for `buffer_bytes` of queued events where the kernel grants it.
    ///
    /// # Errors
    /// Exit 3 without CAP_NET_ADMIN over the namespace.
    pub fn open(buffer_bytes: usize) -> Result<Self> {
        Self::open_kinds(buffer_bytes, &[EventKind::New, EventKind::Destroy])
    }

    /// Subscribes to events of these kinds, whoever caused them.
    ///
    /// # Errors
    /// As [`Listener::open`].
    pub fn open_kinds(buffer_bytes: usize, kinds: &[EventKind]) -> Result<Self> {
        let group = |kind: &EventKind| match kind {
            EventKind::New => NFNLGRP_CONNTRACK_NEW,
            EventKind::Update => NFNLGRP_CONNTRACK_UPDATE,
            EventKind::Destroy => NFNLGRP_CONNTRACK_DESTROY,
        };
        Self::subscribe(buffer_bytes, Some(&kinds.iter().map(group).collect::<Vec<_>>()))
    }

    /// Subscribes to the updates that other programs ask for (`conntrack -U`, conntrackd), and to no others.
    ///
    /// It is not free: the kernel makes the message of each packet's update too (`ctnetlink_conntrack_event`) before
    /// the filter drops it. TCP connections through a NAT gateway (connect, a byte each way, RST; 2 cores, saturated)
    /// took 9 % more CPU each than beside an agent without this subscription (median of 11 pairs in turn, -2 to 15 %),
    /// and 8 % fewer were made a second. What it is for: time left that others wrote is not taken for silence while the
    /// agent runs. Little time left is not believed anyway (`Bases::little_is_left`).
    ///
    /// # Errors
    /// As [`Listener::open`].
    pub fn open_foreign_updates(buffer_bytes: usize) -> Result<Self> {
        Self::subscribe(buffer_bytes, None)
    }

    /// To these groups, or to the updates of others.
    fn subscribe(buffer_bytes: usize, groups: Option<&[u32]>) -> Result<Self> {
        let netlink = Netlink::open()?;
        let buffer_bytes = netlink.reserve(buffer_bytes);
        let subscribe = || -> io::Result<()> {
            // Loss is read from SO_MEMINFO, which is exact, and delivery goes on meanwhile.
            netlink.set_no_enobufs()?;
            let Some(groups) = groups else {
                // Before the group, so that nothing slips in unfiltered.
                port_filter::attach(netlink.descriptor(), &[])?;
                return netlink.join(NFNLGRP_CONNTRACK_UPDATE);
            };
            groups.iter().try_for_each(|group| netlink.join(*group))
        };
        // Before the group, so that the socket is nobody else's for a moment either.
        let updates_filter = groups.is_none().then(|| OwnFilter {
            changes: 0,
            own: Vec::new(),
            _registered: Registered::new(netlink.port()),
        });
        subscribe().map_err(|error| {
            Error::unreachable("conntrack events", error)
                .hint("CAP_NET_ADMIN over the network namespace is needed: run as root")
        })?;
        Ok(Listener { netlink, updates: updates_filter, batch: Batch::new(64), buffer_bytes })
    }

    /// Socket buffer in bytes, as the kernel gave it.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Makes room for `bytes` of queued events, where the kernel grants it.
    pub fn reserve(&mut self, bytes: usize) {
        self.buffer_bytes = self.netlink.reserve(bytes);
    }

    /// Bytes of the buffer that are in use.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn queued_bytes(&self) -> io::Result<u32> {
        self.netlink.queued_bytes()
    }

    /// Hands what is queued to `each`, at most `batches` system calls' worth.
    ///
    /// # Errors
    /// As recvmmsg(2), but for ENOBUFS and nothing there, which are no errors.
    pub fn drain(&mut self, batches: usize, mut each: impl FnMut(&Event)) -> io::Result<Met> {
        let mut met = Met::default();
        self.know_own_ports()?;
        let own = self.updates.as_ref().map_or(&[][..], |filter| &filter.own);
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
                    Datagram::Kernel(bytes) => read(bytes, own, &mut met, &mut each),
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

    /// An event of an own socket that came since the filter was set passes it, and is dropped when it is read.
    fn know_own_ports(&mut self) -> io::Result<()> {
        let Some(filter) = &mut self.updates else { return Ok(()) };
        let changes = own_ports::changes();
        if filter.changes != changes {
            filter.own = own_ports::here();
            port_filter::attach(self.netlink.descriptor(), &filter.own)?;
            filter.changes = changes;
        }
        Ok(())
    }

    /// Waits until something is queued, for `at_most`.
    ///
    /// # Errors
    /// As poll(2), but for EINTR, which is as good as an event.
    pub fn wait(&self, at_most: Duration) -> io::Result<()> {
        let timeout = PollTimeout::try_from(at_most.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.descriptor(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
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

fn read(bytes: &[u8], own: &[u32], met: &mut Met, each: &mut impl FnMut(&Event)) {
    for message in Messages(bytes) {
        if message.as_ref().is_ok_and(|message| own.contains(&message.port)) {
            continue;
        }
        match message.map(|m| decode::event(&m)) {
            Ok(Ok(Some(event))) => each(&event),
            Ok(Ok(None)) => {}
            Ok(Err(_)) | Err(_) => met.unreadable += 1,
        }
    }
}
