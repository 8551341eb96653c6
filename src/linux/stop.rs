//! The operator's wish to end: SIGINT and SIGTERM, and a reader that left; and to stop for a while: SIGTSTP.
#![allow(unsafe_code)]

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction};
use nix::unistd::Pid;

static ASKED: AtomicBool = AtomicBool::new(false);
static PIPE: OnceLock<(PipeReader, PipeWriter)> = OnceLock::new();

/// A handler may do little else than this (signal-safety(7)).
extern "C" fn note(_: libc::c_int) {
    ASKED.store(true, Ordering::Release);
    if let Some((_, writer)) = PIPE.get() {
        // SAFETY: one byte of a buffer that lives; write(2) is safe in a handler, and a full pipe has woken already.
        unsafe { libc::write(writer.as_raw_fd(), [0u8].as_ptr().cast(), 1) };
    }
}

/// Notes SIGINT and SIGTERM instead of ending at once; the second one ends the process all the same, for instance while
/// it waits for a reader that does not read.
#[derive(Debug)]
pub struct Stop(());

/// Asks the processes in front of the terminal to stop, this one and those that it runs under (sudo), as the terminal
/// does at ctrl-z.
pub fn ask_to_stop() {
    let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
}

/// Stops as SIGTSTP does by default, and comes back when the process is continued: at once where there is no shell to
/// continue it, for nobody is stopped there (`is_current_pgrp_orphaned`).
///
/// # Errors
/// As sigaction(2).
pub fn until_continued() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed but the one that was there.
    let before = unsafe { sigaction(Signal::SIGTSTP, &default) }?;
    let stopped = raise(Signal::SIGTSTP);
    // SAFETY: as above.
    unsafe { sigaction(Signal::SIGTSTP, &before) }?;
    Ok(stopped?)
}

/// Reason for which [`Stop::wait`] came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Something to read, or nothing yet.
    Look,
    /// A signal came.
    Asked,
    /// Whoever read the output has left.
    ReaderGone,
}

/// Ignores the signals that ask a process to end or to read its configuration again.
///
/// # Errors
/// As sigaction(2).
pub fn ignore() -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        // SAFETY: no handler is installed.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

impl Stop {
    /// From now on.
    ///
    /// # Errors
    /// As pipe2(2) and sigaction(2).
    pub fn catch() -> io::Result<Stop> {
        if PIPE.get().is_none() {
            let _ = PIPE.set(io::pipe()?);
        }
        let action = SigAction::new(
            SigHandler::Handler(note),
            SaFlags::SA_RESTART | SaFlags::SA_RESETHAND,
            SigSet::empty(),
        );
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            // SAFETY: the handler is async-signal-safe: an atomic and a write(2).
            unsafe { sigaction(signal, &action) }?;
        }
        Ok(Stop(()))
    }

    /// True once a signal came.
    pub fn asked(&self) -> bool {
        ASKED.load(Ordering::Acquire)
    }

    /// Sleeps until there is something to read on `input`, a signal comes, or the reader of `output` leaves, for
    /// `at_most`.
    pub fn wait(&self, input: BorrowedFd<'_>, output: BorrowedFd<'_>, at_most: Duration) -> Woken {
        let Some((reader, _)) = PIPE.get() else { return Woken::Asked };
        let mut fds = [
            PollFd::new(input, PollFlags::POLLIN),
            PollFd::new(reader.as_fd(), PollFlags::POLLIN),
            // Of a pipe nobody reads any more: POLLERR, whatever is asked for (pipe_poll).
            PollFd::new(output, PollFlags::empty()),
        ];
        let timeout = PollTimeout::try_from(at_most.as_millis()).unwrap_or(PollTimeout::MAX);
        // EINTR and a timeout are as good as something to read: everything is looked at anyway.
        let _ = poll(&mut fds, timeout);
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        match fds[2].revents() {
            _ if self.asked() => Woken::Asked,
            Some(flags) if flags.intersects(gone) => Woken::ReaderGone,
            _ => Woken::Look,
        }
    }
}
