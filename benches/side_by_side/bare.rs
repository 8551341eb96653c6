//! The limits: what does nothing but ask the kernel, and throws its answers away.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use netlink_sys::Socket;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, NetlinkAddr, recvmmsg, setsockopt, sockopt};

use crate::harness::flow::Flow;
use crate::harness::namespace::Namespace;
use crate::harness::netlink::{self, Batch, CT_DELETE, CT_GET, NLM_F_REQUEST};
use crate::process::{seconds, task_cpu_seconds};

/// Seconds of a dump of the whole table that only counts messages; `entries` is what has to come.
pub fn dump(namespace: &Namespace, entries: u64) -> f64 {
    let mut received = 0;
    let took = seconds(|| netlink::dump(namespace, CT_GET, |_| received += 1));
    assert_eq!(received, entries, "entries in the dump");
    took
}

/// Deletes by whole tuple, written beforehand: only the kernel's time is left.
pub struct Deletes(Vec<Vec<u8>>);

impl Deletes {
    const IN_ONE_SEND: usize = 256;

    pub fn of(flows: &[Flow]) -> Self {
        let written = flows.chunks(Self::IN_ONE_SEND).map(|flows| {
            let mut batch = Batch::default();
            for flow in flows {
                batch.message(CT_DELETE, NLM_F_REQUEST, flow.family(), |bytes| flow.tuple(bytes, 1));
            }
            batch.bytes
        });
        Deletes(written.collect())
    }

    /// Seconds that the kernel takes for all of them.
    pub fn run(&self, namespace: &Namespace) -> f64 {
        let socket = netlink::socket(namespace);
        seconds(|| {
            for bytes in &self.0 {
                socket.send(bytes, 0).expect("a batch of deletes");
            }
        })
    }
}

/// What a bare listener had.
#[derive(Clone, Copy, Default, Debug)]
pub struct Heard {
    pub events: u64,
    /// ENOBUFS, once for each time that something was lost.
    pub losses: u64,
    pub cpu_seconds: f64,
}

impl Heard {
    /// Microseconds of CPU for one event.
    pub fn us(self) -> f64 {
        self.cpu_seconds / self.events as f64 * 1e6
    }
}

/// A thread that waits for NEW and DESTROY events and throws them away.
pub struct Listener {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

impl Listener {
    const BUFFER_BYTES: usize = 256 << 20;
    /// As many at once, and as much room for each, as is usual.
    const SLOTS: usize = 64;
    const SLOT_BYTES: usize = 4096;

    pub fn start(namespace: &Namespace) -> Self {
        let socket = netlink::subscribed(namespace, &[1, 3]);
        setsockopt(&socket, sockopt::RcvBufForce, &Self::BUFFER_BYTES).expect("SO_RCVBUFFORCE");
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        Listener { ended, thread: std::thread::spawn(move || Self::listen(&socket, &until)) }
    }

    fn listen(socket: &Socket, until: &AtomicBool) -> Heard {
        let mut heard = Heard::default();
        let mut headers = MultiHeaders::<NetlinkAddr>::preallocate(Self::SLOTS, None);
        let mut room = vec![0; Self::SLOTS * Self::SLOT_BYTES];
        while !until.load(Relaxed) {
            let mut waited = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            poll(&mut waited, PollTimeout::from(100_u8)).expect("poll");
            loop {
                match Self::receive(socket, &mut headers, &mut room) {
                    Ok(received) => heard.events += received as u64,
                    Err(Errno::ENOBUFS) => heard.losses += 1,
                    Err(Errno::EAGAIN) => break,
                    Err(error) => panic!("events: {error}"),
                }
            }
        }
        heard.cpu_seconds = task_cpu_seconds(Path::new("/proc/thread-self/schedstat"));
        heard
    }

    fn receive(
        socket: &Socket,
        headers: &mut MultiHeaders<NetlinkAddr>,
        room: &mut [u8],
    ) -> nix::Result<usize> {
        let mut slots: Vec<_> =
            room.chunks_exact_mut(Self::SLOT_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
        let received = recvmmsg(socket.as_raw_fd(), headers, &mut slots, MsgFlags::MSG_DONTWAIT, None)?;
        Ok(received.count())
    }

    /// Takes what is still queued, and tells.
    pub fn end(self) -> Heard {
        std::thread::sleep(Duration::from_millis(100));
        self.ended.store(true, Relaxed);
        self.thread.join().expect("the listener")
    }
}
