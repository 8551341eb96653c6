//! The same answer again and again: on a terminal in place, else one after the other.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::output::{self, Printed};
use crate::error::{Error, Result};

/// How long what is being printed is waited for at the end: a reader that has stopped must not hold us.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What prints one answer.
pub type Print = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()>>;

/// What asks for the end: signals, and whoever holds a [`UnixStream`] of it.
pub struct Ending {
    told: UnixStream,
    tells: UnixStream,
}

impl Ending {
    /// From here on SIGINT, SIGTERM and SIGHUP do not end the process by themselves.
    ///
    /// # Errors
    /// As socketpair(2) and sigaction(2): exit 3.
    pub fn listen() -> Result<Ending> {
        let listen = || -> io::Result<Ending> {
            let (told, tells) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM, SIGHUP] {
                signal_hook::low_level::pipe::register(signal, tells.try_clone()?)?;
            }
            Ok(Ending { told, tells })
        };
        listen().map_err(|error| Error::unreachable("signals", error))
    }

    /// A byte written there is as good as a signal.
    ///
    /// # Errors
    /// As dup(2): exit 3.
    pub fn teller(&self) -> Result<UnixStream> {
        self.tells.try_clone().map_err(|error| Error::unreachable("signals", error))
    }

    /// Waits for the end.
    pub fn wait(&mut self) {
        let mut byte = [0];
        while self.told.read(&mut byte).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    }
}

/// Prints what `round` gathers, every `every`, until a signal, a closed pipe or an error. A round that is gathering at
/// a signal is left alone; what is being printed is finished.
///
/// # Errors
/// The first of `round`, and what printing failed with.
pub fn watch(
    every: Duration,
    in_place: bool,
    mut round: impl FnMut() -> Result<Print> + Send + 'static,
) -> Result<u8> {
    let mut ending = Ending::listen()?;
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
    let deadline = Instant::now() + LAST_WORDS;
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

/// Over what is there, line by line: clearing the screen first would flicker.
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
