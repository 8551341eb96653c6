//! Waits for the pace within a sweep.

use std::time::{Duration, Instant};

use super::Surroundings;
use crate::core::sweep::{CREDIT, Pacing};
use crate::linux::deleter::Deleter;

/// Waits for what is owed in a sweep that `began` then. The next chunk lies ready in the kernel and ages: half of the
/// time that keeps it fresh at most.
pub(super) fn pause(pacing: &Pacing, began: Instant) {
    let owed = pacing.owed(began.elapsed());
    if owed > CREDIT {
        std::thread::sleep(owed.min(Deleter::FRESH / 2));
    }
}

/// Waits for what is owed, for as long as there is patience; no longer where the table comes to be about to be full
/// meanwhile, or the sweep, which `began` then, is to end. `count`: entries before.
pub(super) fn rest(
    pacing: &mut Pacing,
    began: Instant,
    count: Option<u64>,
    judge: &mut (impl Surroundings + ?Sized),
) {
    let now = began.elapsed();
    let until = began + now + pacing.owed(now).min(patience(now));
    let before = pacing.urgent(count);
    while Instant::now() + CREDIT < until && !judge.halted() {
        std::thread::sleep(until.saturating_duration_since(Instant::now()).min(Deleter::FRESH / 2));
        if !before && pacing.urgent(judge.count()) {
            pacing.let_go(began.elapsed());
            break;
        }
    }
}

/// Longest wait before the next chunk. Where acts are few it may grow old, to be asked for once more, so that the walk
/// does not run away from its pace, with what is to go left behind; for a second altogether, so that there is an act to
/// tell of.
fn patience(since_began: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_millis(250);
    const ALTOGETHER: Duration = Duration::from_secs(1);
    match since_began < ALTOGETHER {
        true => LONGEST,
        false => Deleter::FRESH / 2,
    }
}
