//! Waiting with a deadline that says what it waited for.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at where the kernel offers no event for it.
const STEP: Duration = Duration::from_millis(10);

/// Calls `look` until it answers `Ok`; at the deadline panics with `what` and the last reason that `look` gave.
pub fn until<T, E: Display>(what: &str, deadline: Duration, look: impl FnMut() -> Result<T, E>) -> T {
    until_or(what, deadline, look).unwrap_or_else(|why| panic!("{why}"))
}

/// The same without the panic: for a test that has something to end first.
pub fn until_or<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(why) if start.elapsed() >= deadline => {
                return Err(format!("waited {:.1} s for {what}: {why}", start.elapsed().as_secs_f64()));
            }
            Err(_) => sleep(STEP),
        }
    }
}

/// Watches that `look` stays `Ok` for `span`; panics with `what` and the reason otherwise. For what must not happen,
/// there is no event to wait for.
pub fn throughout<E: Display>(what: &str, span: Duration, mut look: impl FnMut() -> Result<(), E>) {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(why) = look() {
            panic!("{what}: broken after {:.2} s: {why}", start.elapsed().as_secs_f64());
        }
        sleep(STEP);
    }
}
