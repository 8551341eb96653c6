//! A socket filter that looks at the port of who asked for a change: what nobody asked for is never queued.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Offset of the sender's port in a message, `nlmsghdr.nlmsg_pid`.
const NLMSG_PID: u32 = 12;

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// More own sockets than this in one namespace are left to the reader: a jump is at most 255 long.
const MOST: usize = 64;

/// Lets through messages of every port but 0 (packets, timers) and `own`. `sk_filter` runs in `do_one_broadcast`,
/// before a message takes room on the socket, and what it drops counts as no loss.
///
/// # Errors
/// As setsockopt(2).
pub(super) fn attach(socket: BorrowedFd<'_>, own: &[u32]) -> io::Result<()> {
    let mut program = program(own);
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter points at a program of `len` instructions that lives through the call, and the kernel copies.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn program(own: &[u32]) -> Vec<libc::sock_filter> {
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let dropped: Vec<u32> = [0].iter().chain(own.iter().take(MOST)).copied().collect();
    let mut program = vec![statement(LOAD, NLMSG_PID)];
    for (i, port) in dropped.iter().enumerate() {
        // A load takes the bytes for big-endian; the header is of the host's order.
        let k = u32::from_be_bytes(port.to_ne_bytes());
        let jt = (dropped.len() - i) as u8;
        program.push(libc::sock_filter { code: JUMP_IF_EQUAL, jt, jf: 0, k });
    }
    program.extend([statement(RETURN, u32::MAX), statement(RETURN, 0)]);
    program
}
