//! Waiting with a deadline that says what it waited for.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition where the kernel offers no event for it.
const STEP: Duration = Duration::from_millis(10);
/// Pause between two looks at what must not change.
const WATCH: Duration = Duration::from_millis(50);
/// Longest pause after a look that itself took long.
const LONGEST: Duration = Duration::from_millis(250);

/// Runs `look`, and gives the pause that has to follow: at least `step`, and as long as the look itself took. Dumps of
/// full tables and clients as processes take more than half of a core otherwise, which tests beside this one need.
fn timed<T>(step: Duration, look: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let seen = look();
    (seen, start.elapsed().clamp(step, LONGEST))
}

/// Part of the time stalled for want of a core or a disk that a deadline leaves out: on a machine that others take
/// whole it becomes four times as long, and on a quiet one it stays what it is.
const LEFT_OUT: f64 = 0.75;

/// Time since a moment, without most of that in which tasks of this machine stalled (Documentation/accounting/psi.rst).
#[derive(Debug)]
pub struct Patience {
    start: Instant,
    stalled: [Duration; 2],
}

impl Patience {
    pub fn from_now() -> Self {
        Patience { start: Instant::now(), stalled: stalled() }
    }

    pub fn ends_after(&self, deadline: Duration) -> bool {
        let elapsed = self.start.elapsed();
        let since = stalled().into_iter().zip(self.stalled).map(|(now, then)| now.saturating_sub(then));
        let stalled = since.max().unwrap_or_default().min(elapsed);
        elapsed.saturating_sub(stalled.mul_f64(LEFT_OUT)) >= deadline
    }
}

/// Time since boot in which some task was ready and had no core, or in which one waited for a disk. Zero where
/// the kernel does not tell.
fn stalled() -> [Duration; 2] {
    let total = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let some = text.lines().next().and_then(|line| line.rsplit_once("total="));
        some.and_then(|(_, micros)| micros.trim().parse().ok()).unwrap_or(0)
    };
    ["/proc/pressure/cpu", "/proc/pressure/io"].map(total).map(Duration::from_micros)
}

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
    let (start, patience) = (Instant::now(), Patience::from_now());
    loop {
        let (seen, pause) = timed(STEP, &mut look);
        match seen {
            Ok(value) => return Ok(value),
            Err(why) if patience.ends_after(deadline) => {
                return Err(format!("waited {:.1} s for {what}: {why}", start.elapsed().as_secs_f64()));
            }
            Err(_) => sleep(pause),
        }
    }
}

/// Watches that `look` stays `Ok` for `span`, and looks once more at its end; panics with `what` and the reason
/// otherwise. For what must not happen, there is no event to wait for.
pub fn throughout<E: Display>(what: &str, span: Duration, mut look: impl FnMut() -> Result<(), E>) {
    let start = Instant::now();
    loop {
        let last = start.elapsed() >= span;
        let (seen, pause) = timed(WATCH, &mut look);
        if let Err(why) = seen {
            panic!("{what}: broken after {:.2} s: {why}", start.elapsed().as_secs_f64());
        }
        if last {
            return;
        }
        sleep(pause.min(span.saturating_sub(start.elapsed())));
    }
}
