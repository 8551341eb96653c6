//! Standard output and standard error: a closed pipe is no error, and nothing here panics over one.

use std::io::{self, BufWriter, ErrorKind, Write};

use serde::Serialize;

use super::called;
use super::render::text::escape;
use crate::error::{Error, Result};

/// Result of writing a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Printed {
    /// All of the text was written.
    Whole,
    /// The reader left before the end.
    Closed,
}

/// Writes to standard output through a buffer.
///
/// # Errors
/// The error of the write (a full disk), except a closed pipe.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Printed> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    // A failed write leaves text in the buffer: dropping the buffer would try to write it again.
    let (_, _) = out.into_parts();
    without_closed_pipe(written)
}

fn without_closed_pipe(written: io::Result<()>) -> Result<Printed> {
    match written {
        Ok(()) => Ok(Printed::Whole),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Printed::Closed),
        Err(error) => Err(Error::unreachable("standard output", error)),
    }
}

/// Writes one document and a newline.
///
/// # Errors
/// Those of the writer.
pub fn json(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    out.write_all(b"\n")
}

/// Prints `ctctl: …` on standard error, control characters escaped.
pub fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "ctctl: {}", escape(&called::complete(text)));
}

/// Prints an error as `ctctl: what: why`, then `hint: …`.
pub fn print_error(error: &Error) {
    notice(&error.to_string());
    if let Some(hint) = &error.hint {
        let _ = writeln!(io::stderr(), "hint: {}", escape(&called::complete(hint)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert_eq!(without_closed_pipe(Err(ErrorKind::BrokenPipe.into())), Ok(Printed::Closed));
        assert!(without_closed_pipe(Err(ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn a_closed_pipe_inside_serde_stays_a_closed_pipe() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(without_closed_pipe(json(&mut Gone, &1)), Ok(Printed::Closed));
    }
}
