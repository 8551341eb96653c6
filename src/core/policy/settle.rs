//! Settling: no act before the last one shows, and few writes however the load swings.

use serde::{Deserialize, Serialize};

use super::Memory;
use crate::core::model::{Act, Snapshot};

/// Values written in any minute, whatever happens. Hardly more than four timeouts have a tenth of the table each; they
/// are shortened, once to what covers and once to the floor, and given back: 12, with two to spare. max needs six:
/// raised by half each, that is elevenfold, and where the table is full over another program it is raised each 10 s. So
/// 20, of which timeouts leave six to max.
pub const WRITES_A_MINUTE: usize = 20;
const OF_TIMEOUTS: usize = WRITES_A_MINUTE - 6;
const MINUTE_SECONDS: f64 = 60.0;
/// Sentence for a value that has to wait.
pub(super) const TOLD: &str =
    "20 values were written within a minute: the next waits, for something drives the agent to and fro";

/// Longest time that an act may take to show in the count. `nf_conntrack_count` shows it at once; a count from
/// elsewhere (a collector, a copy) may be seconds old.
const LAG_SECONDS: f64 = 3.0;
/// An act that shows within this time is shown by a count that is not old.
const AT_ONCE_SECONDS: f64 = 0.3;
/// Acts closer together than this are one, which bounds the number that are remembered.
const APART_SECONDS: f64 = 0.05;

/// Kind of value that is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Write {
    /// The write is of `nf_conntrack_max`.
    Max,
    /// The write is of a timeout.
    Timeout,
}

/// A flush whose effect may not show yet.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Flushed {
    /// Time at which it was decided.
    pub at_seconds: f64,
    /// Time at which it was done.
    pub until_seconds: f64,
    /// Entries that it was decided on.
    pub entries: u64,
    /// Entries that went.
    pub freed: u64,
    /// Time at which the count shows it at the latest.
    pub shows_seconds: f64,
    /// The count that it was decided on showed all acts before it.
    pub counted: bool,
}

impl Flushed {
    /// Longest time after which it shows.
    fn lag(&self) -> f64 {
        self.shows_seconds - self.until_seconds
    }

    /// True if the count has come down by half of `freed` at least; half, because what came meanwhile is known from
    /// events no better than that.
    fn shown(&self, freed: u64, snapshot: &Snapshot) -> bool {
        if !self.counted {
            return false;
        }
        let passed = (snapshot.now_seconds - self.at_seconds).max(0.0);
        let came = snapshot.new_per_second.unwrap_or(0.0).max(0.0) * passed;
        let shown = self.entries as f64 + came - snapshot.entries as f64;
        shown * 2.0 >= freed as f64
    }
}

impl Memory {
    /// An act was not done after all, and may be decided again at once. `before`: the memory that it was decided with.
    pub fn put_off(&mut self, act: &Act, before: &Memory) {
        match act {
            Act::RaiseMax { .. } => self.raised_at_seconds = before.raised_at_seconds,
            Act::LowerMax { .. } => {
                self.lowered_at_seconds = before.lowered_at_seconds;
                self.peak_entries = self.peak_entries.max(before.peak_entries);
            }
            _ => {}
        }
        let timeout = matches!(act, Act::SetTimeout { .. } | Act::RestoreTimeout { .. });
        if let Some(counted) = self.writes.iter().rposition(|(_, of_timeout)| *of_timeout == timeout) {
            self.writes.remove(counted);
        }
    }

    /// A flush that was decided on `snapshot` has freed `freed` entries by now.
    pub fn flushed(&mut self, snapshot: &Snapshot, now_seconds: f64, freed: u64) {
        let flushed = Flushed {
            at_seconds: snapshot.now_seconds,
            until_seconds: now_seconds,
            entries: snapshot.entries,
            freed,
            shows_seconds: now_seconds + self.unsettled.first().map_or(LAG_SECONDS, Flushed::lag),
            counted: self.unsettled.is_empty(),
        };
        match self.unsettled.last_mut().filter(|last| now_seconds - last.until_seconds < APART_SECONDS) {
            Some(last) => last.freed = last.freed.saturating_add(freed),
            None => self.unsettled.push(flushed),
        }
    }
}

/// Entries that went by this agent's hand and that the count does not show yet: they are not flushed twice.
///
/// The count of the kernel shows them at once, and all together. Where the first shows late, the count is an old one:
/// those after it were decided without seeing it, and are taken to show as late. A table that refuses packets has no
/// time to wait.
pub(super) fn unseen(snapshot: &Snapshot, memory: &mut Memory, refused: bool) -> u64 {
    let (now, unsettled) = (snapshot.now_seconds, &mut memory.unsettled);
    let freed = |acts: &[Flushed]| acts.iter().fold(0u64, |sum, flushed| sum.saturating_add(flushed.freed));
    if let Some(first) = unsettled.first().copied() {
        let lag = (now - first.until_seconds).max(0.0);
        if refused || (lag <= AT_ONCE_SECONDS && first.shown(freed(unsettled), snapshot)) {
            unsettled.clear();
        } else if lag > AT_ONCE_SECONDS && first.shown(first.freed, snapshot) {
            for flushed in unsettled.iter_mut() {
                flushed.shows_seconds = flushed.shows_seconds.min(flushed.until_seconds + lag);
            }
        }
    }
    unsettled.retain(|flushed| now < flushed.shows_seconds && flushed.shows_seconds <= now + LAG_SECONDS);
    freed(unsettled)
}

/// For how many seconds acts that the count does not show are waited for at most.
pub(super) fn shows_seconds(snapshot: &Snapshot, memory: &Memory) -> f64 {
    let left = memory.unsettled.iter().map(|flushed| flushed.shows_seconds - snapshot.now_seconds);
    left.fold(0.0, f64::max)
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
