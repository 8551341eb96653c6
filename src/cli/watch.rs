//! Repeats an answer until the end: on a terminal in place, else one answer below the other.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::output::{self, Printed};
use crate::error::{Error, Result};

/// Longest wait at the end for an answer that is being printed: a reader that has stopped must not hold the process.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// Function that prints one answer.
pub type Print = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()>>;

/// Wakes the thread that waits for the end: at a signal, or when a byte is written to a stream from
/// [`EndSignal::teller`].
pub struct EndSignal {
    told: UnixStream,
    tells: UnixStream,
}

impl EndSignal {
    /// Takes over SIGINT, SIGTERM and SIGHUP, which no longer end the process by themselves.
    ///
    /// # Errors
    /// Those of socketpair(2) and sigaction(2): exit 3.
    pub fn listen() -> Result<EndSignal> {
        let listen = || -> io::Result<EndSignal> {
            let (told, tells) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM, SIGHUP] {
                signal_hook::low_level::pipe::register(signal, tells.try_clone()?)?;
            }
            Ok(EndSignal { told, tells })
        };
        listen().map_err(|error| Error::unreachable("signals", error))
    }

    /// Returns a stream on which one written byte ends the wait, as a signal does.
    ///
    /// # Errors
    /// Those of dup(2): exit 3.
    pub fn teller(&self) -> Result<UnixStream> {
        self.tells.try_clone().map_err(|error| Error::unreachable("signals", error))
    }

    /// Waits for a signal, or for a byte from a teller.
    pub fn wait(&mut self) {
        let mut byte = [0];
        while self.told.read(&mut byte).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    }
}

/// Prints what `round` gathers, once every `every`, until a signal, a closed pipe or an error. A round that is
/// gathering at a signal is abandoned; an answer that is being printed is finished.
///
/// # Errors
/// The first error of `round`, or of printing.
pub fn watch(
    every: Duration,
    in_place: bool,
    mut round: impl FnMut() -> Result<Print> + Send + 'static,
) -> Result<u8> {
    let mut ending = EndSignal::listen()?;
    let mut done = ending.teller()?;
    let printing = Arc::new(Mutex::new(()));
    let ended: Arc<Mutex<Option<Result<u8>>>> = Arc::default();
    let (lock, result) = (printing.clone(), ended.clone());
    let work = move || {
        let last = repeat(every, in_place, &mut round, &lock);
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        let _ = done.write_all(&[0]);
    };
    let spawned = std::thread::Builder::new().name("watch".into()).spawn(work);
    spawned.map_err(|error| Error::unreachable("watch", error))?;
    ending.wait();
    if let Some(last) = ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return last;
    }
    let deadline = Instant::now() + LAST_OUTPUT_TIMEOUT;
    while printing.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(0)
}

fn repeat(
    every: Duration,
    in_place: bool,
    round: &mut dyn FnMut() -> Result<Print>,
    printing: &Mutex<()>,
) -> Result<u8> {
    loop {
        let next = Instant::now() + every;
        let print = round()?;
        let printed = {
            let _held = printing.lock().unwrap_or_else(PoisonError::into_inner);
            output::print(|out| if in_place { redraw(out, print) } else { print(out) })?
        };
        if printed == Printed::Closed {
            return Ok(0);
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Writes over the text on the screen, line by line: clearing the screen first would flicker.
fn redraw(out: &mut dyn Write, print: Print) -> io::Result<()> {
    let mut text = Vec::new();
    print(&mut text)?;
    out.write_all(b"\x1b[H")?;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.write_all(line.strip_suffix(b"\n").unwrap_or(line))?;
        out.write_all(b"\x1b[K\n")?;
    }
    out.write_all(b"\x1b[J")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrawn_line_leaves_nothing_of_the_one_before() {
        let mut out = Vec::new();
        redraw(&mut out, Box::new(|out| out.write_all(b"a\nbb\n"))).expect("memory");
        assert_eq!(out, b"\x1b[Ha\x1b[K\nbb\x1b[K\n\x1b[J");
    }
}
