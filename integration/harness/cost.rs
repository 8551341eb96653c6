//! What a test costs in time and CPU, printed where `CTCTL_TEST_COSTS` is set.

use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// A moment of the clock, and the CPU time that this process and its ended children had used by then.
#[derive(Debug)]
pub struct Start {
    at: Instant,
    cpu: Duration,
}

impl Start {
    pub fn now() -> Self {
        Start { at: Instant::now(), cpu: cpu() }
    }
}

fn cpu() -> Duration {
    let used = |usage: Usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(micros.unsigned_abs())
    };
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .map(|who| getrusage(who).map_or(Duration::ZERO, used))
        .iter()
        .sum()
}

/// Prints one line for the test `name`, which asked for the lock at `asked` and had it at `started`.
pub fn report(name: &str, asked: &Start, started: &Start) {
    if std::env::var_os("CTCTL_TEST_COSTS").is_none() {
        return;
    }
    let seconds = started.at.elapsed().as_secs_f64();
    let waited = (started.at - asked.at).as_secs_f64();
    let cpu = (cpu() - started.cpu).as_secs_f64();
    println!("cost {seconds:.2} s, lock {waited:.2} s, cpu {cpu:.2} s: {name}");
}
