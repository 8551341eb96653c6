//! Many datagrams a system call, their senders and their whole lengths: what std and netlink-sys do not offer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for one datagram of the event stream. An event with every extension stays under 1 KiB; a longer one is
/// reported as truncated, never read in part.
const SLOT: usize = 4096;

/// Result of receiving one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// Sent by the kernel.
    Kernel(&'a [u8]),
    /// Sent by another process: forged (`netlink_sendmsg` fills in the sender's port).
    Forged,
    /// Longer than its room.
    Truncated,
}

/// Reused room for a batch of datagrams.
pub struct Batch {
    room: Vec<u8>,
    slots: usize,
    got: Vec<Got>,
}

#[derive(Clone, Copy)]
struct Got {
    length: usize,
    port: u32,
    truncated: bool,
}

impl Batch {
    /// Room for `slots` datagrams.
    pub fn new(slots: usize) -> Self {
        Batch { room: vec![0; slots * SLOT], slots, got: Vec::with_capacity(slots) }
    }

    /// Receives what is there, without waiting; how many datagrams came.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; `ENOBUFS` when events were lost; others as recvmmsg(2).
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.got.clear();
        let mut addresses: Vec<libc::sockaddr_nl> = Vec::with_capacity(self.slots);
        let mut vectors: Vec<libc::iovec> = Vec::with_capacity(self.slots);
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(self.slots);
        // SAFETY: all-zero is a valid sockaddr_nl and mmsghdr (plain C structs of integers and null pointers).
        unsafe {
            addresses.resize(self.slots, std::mem::zeroed());
            headers.resize(self.slots, std::mem::zeroed());
        }
        for chunk in self.room.chunks_exact_mut(SLOT) {
            vectors.push(libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: SLOT });
        }
        for ((header, vector), address) in headers.iter_mut().zip(&mut vectors).zip(&mut addresses) {
            header.msg_hdr.msg_name = std::ptr::from_mut(address).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header points at an iovec, a buffer and an address that live, unmoved, until after the call,
        // and their lengths are the buffers' own.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                self.slots as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                std::ptr::null_mut(),
            )
        };
        if n < 0 {
            return Err(io::Error::last_os_error());
        }
        self.got.extend(headers.iter().zip(&addresses).take(n as usize).map(|(header, address)| Got {
            length: (header.msg_len as usize).min(SLOT),
            port: address.nl_pid,
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }));
        Ok(self.got.len())
    }

    /// Forgets what was received.
    pub fn clear(&mut self) {
        self.got.clear();
    }

    /// Datagrams that the last [`Batch::receive`] brought, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.got.iter().zip(self.room.chunks_exact(SLOT)).map(|(got, room)| match got {
            Got { port: 0, truncated: false, length } => Datagram::Kernel(&room[..*length]),
            Got { port: 0, .. } => Datagram::Truncated,
            _ => Datagram::Forged,
        })
    }
}

/// The cookie of a socket's network namespace (SO_NETNS_COOKIE of Linux 5.14), which no other namespace of this boot
/// gets; `None` on a kernel without.
pub fn netns_cookie(socket: BorrowedFd<'_>) -> Option<u64> {
    let mut cookie = 0u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the buffer is as long as `length` says, and lives through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &mut length,
        )
    };
    (result == 0).then_some(cookie)
}

/// Fill of a socket's buffer, and the datagrams that it had no room for (`enum` beside SO_MEMINFO in
/// linux/sock_diag.h).
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffered {
    /// Bytes of the buffer in use, as the kernel reckons them (`SK_MEMINFO_RMEM_ALLOC`).
    pub bytes: u32,
    /// Messages that could not be queued since the socket was opened (`SK_MEMINFO_DROPS`), exact.
    pub lost: u32,
}

/// Reads the bytes that are queued on this socket, and the datagrams that were lost.
///
/// # Errors
/// As getsockopt(2); kernels before 4.12 lack SO_MEMINFO.
pub fn buffered(socket: BorrowedFd<'_>) -> io::Result<Buffered> {
    const SK_MEMINFO_RMEM_ALLOC: usize = 0;
    const SK_MEMINFO_DROPS: usize = 8;
    let mut info = [0u32; 9];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the buffer is as long as `length` says, and lives through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Buffered { bytes: info[SK_MEMINFO_RMEM_ALLOC], lost: info[SK_MEMINFO_DROPS] })
}
