//! A writer that waits in poll(2) until there is room, and not in write(2).

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_subscriber::fmt::MakeWriter;

/// What a pipe takes at once where it has any room at all (PIPE_BUF of pipe(7)).
const AT_ONCE: usize = 4096;

/// Standard error without the lock of [`io::Stderr`]: a thread that panics waits for whoever holds it.
///
/// The descriptor may be shared with other processes, which O_NONBLOCK would surprise.
pub(super) struct Stderr(OwnedFd);

impl Stderr {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Stderr(descriptor)
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Patient<'a>;

    fn make_writer(&'a self) -> Patient<'a> {
        Patient(&self.0)
    }
}

/// Writes a part at a time.
pub(super) struct Patient<'a>(&'a OwnedFd);

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error shows in write(2).
        let _ = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
        Ok(nix::unistd::write(self.0, &bytes[..bytes.len().min(AT_ONCE)])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
