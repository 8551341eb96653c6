//! Settling: no act before the last one shows, and few writes however the load swings.

use serde::{Deserialize, Serialize};

use super::Memory;
use crate::model::Snapshot;

/// Values written in any minute, whatever happens. Five timeouts are shortened, once to what covers and once to the
/// floor, and given back: 15. max needs six: raised by half each, that is elevenfold, and where the table is full
/// over another hand it is raised each 10 s. So 20, of which timeouts leave six to max.
pub const WRITES_A_MINUTE: usize = 20;
const OF_TIMEOUTS: usize = WRITES_A_MINUTE - 6;
const MINUTE_SECONDS: f64 = 60.0;
/// What is said where a value has to wait.
pub(super) const TOLD: &str =
    "20 values were written within a minute: the next waits, for something drives the agent to and fro";

/// So long an act may take to show in the count. `nf_conntrack_count` shows it at once; a count from elsewhere (a
/// collector, a copy) may be seconds old.
const LAG_SECONDS: f64 = 3.0;

/// Which value is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    /// `nf_conntrack_max`.
    Max,
    /// A timeout.
    Timeout,
}

/// A flush whose effect may not show yet.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Flushed {
    /// When it was decided.
    pub at_seconds: f64,
    /// When it was done.
    pub until_seconds: f64,
    /// Entries that it was decided on.
    pub entries: u64,
    /// Entries that went.
    pub freed: u64,
}

impl Memory {
    /// A flush that was decided on `snapshot` has freed so many entries by now.
    pub fn flushed(&mut self, snapshot: &Snapshot, now_seconds: f64, freed: u64) {
        let first = self.unsettled.unwrap_or(Flushed {
            at_seconds: snapshot.now_seconds,
            until_seconds: now_seconds,
            entries: snapshot.entries,
            freed: 0,
        });
        self.unsettled = Some(Flushed { freed: first.freed.saturating_add(freed), ..first });
    }
}

/// Entries that went by this agent's hand and that the count does not show yet: they are not flushed twice.
///
/// The count shows an act once half of it is seen; half, because what came meanwhile is known from events no better
/// than that. A table that refuses packets has no time to wait.
pub(super) fn unseen(snapshot: &Snapshot, memory: &mut Memory, refused: bool) -> u64 {
    let Some(flushed) = memory.unsettled else { return 0 };
    let passed = (snapshot.now_seconds - flushed.at_seconds).max(0.0);
    let came = snapshot.new_per_second.unwrap_or(0.0).max(0.0) * passed;
    let shown = flushed.entries as f64 + came - snapshot.entries as f64;
    let late = snapshot.now_seconds - flushed.until_seconds > LAG_SECONDS;
    if refused || late || shown * 2.0 >= flushed.freed as f64 {
        memory.unsettled = None;
        return 0;
    }
    flushed.freed
}

/// True if one more value may be written in this minute; counts it.
pub(super) fn may_write(write: Write, snapshot: &Snapshot, memory: &mut Memory) -> bool {
    let now = snapshot.now_seconds;
    memory.writes.retain(|(at, _)| (0.0..MINUTE_SECONDS).contains(&(now - at)));
    let timeouts = memory.writes.iter().filter(|(_, timeout)| *timeout).count();
    let timeout = write == Write::Timeout;
    let may = memory.writes.len() < WRITES_A_MINUTE && (!timeout || timeouts < OF_TIMEOUTS);
    if may {
        memory.writes.push((now, timeout));
    }
    may
}
