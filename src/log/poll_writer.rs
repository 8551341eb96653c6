//! A writer that waits in poll(2) until there is room, and not in write(2).

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_subscriber::fmt::MakeWriter;

/// Largest number of bytes written at once: a pipe that has any room takes this many (PIPE_BUF of pipe(7)).
const AT_ONCE: usize = 4096;

/// Standard error without the lock of [`io::Stderr`]: a thread that panics would wait for the thread that holds it.
///
/// The descriptor may be shared with other processes, which do not expect O_NONBLOCK.
pub(super) struct Stderr(OwnedFd);

impl Stderr {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Stderr(descriptor)
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = PollWriter<'a>;

    fn make_writer(&'a self) -> PollWriter<'a> {
        PollWriter(&self.0)
    }
}

/// Writes at most [`AT_ONCE`] bytes at a time.
pub(super) struct PollWriter<'a>(&'a OwnedFd);

impl Write for PollWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error of poll(2) shows again in write(2).
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
        Ok(nix::unistd::write(self.0, &bytes[..bytes.len().min(AT_ONCE)])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
