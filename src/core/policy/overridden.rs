//! Overridden values: what another program set is left as it is for a while, or until it is calm again.
//!
//! Two programs that each put a value back would write for ever. So a reset (a firewall's restart, a loop such as
//! tuned's) is answered after 1, 5, then every 15 minutes, counted for each value apart; a new value is an operator's
//! and is answered in the next pressure at the earliest. Only max is raised all the same where the table is full.

use serde::{Deserialize, Serialize};

use super::Memory;
use crate::core::model::{Drift, Snapshot, Value};

/// Minutes for which a reset is left alone: the first, the second, and each one after it.
const MINUTES: [u32; 3] = [1, 5, 15];
/// Seconds without a reset after which the next one is the first again.
const FORGOTTEN_SECONDS: f64 = 3600.0;
/// Interval at which max is raised over another program where the table is full: six writes a minute.
pub(super) const FORCED_SECONDS: f64 = 10.0;

/// The last time that somebody else wrote over a value.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Override {
    /// Time at which that was seen.
    pub at_seconds: f64,
    /// Number of times in a row, without an hour between two.
    pub times: u32,
    /// Kind of the change.
    pub drift: Drift,
}

impl Memory {
    /// Somebody else wrote over `value`, which the agent had set or would set.
    pub fn overridden(&mut self, value: Value, drift: Drift, now_seconds: f64) {
        // The value that the agent had set is there again: nothing to answer.
        if drift == Drift::Own {
            return;
        }
        let before =
            self.overrides.get(&value).filter(|write| now_seconds - write.at_seconds < FORGOTTEN_SECONDS);
        let times = before.map_or(0, |write| write.times).saturating_add(1);
        self.overrides.insert(value, Override { at_seconds: now_seconds, times, drift });
    }
}

/// Reason for which a value is left as it is, if another program has overridden it.
pub(super) fn theirs(name: Value, value: u64, snapshot: &Snapshot, memory: &Memory) -> Option<String> {
    let write = memory.overrides.get(&name)?;
    let passed = (snapshot.now_seconds - write.at_seconds).max(0.0);
    if write.drift == Drift::NewValue {
        return Some(format!(
            "{name} is left at {value}: someone else set it {passed:.0} s ago, and it is theirs until it has been calm"
        ));
    }
    let minutes = MINUTES[(write.times.max(1) as usize - 1).min(MINUTES.len() - 1)];
    let left = f64::from(minutes) * 60.0 - passed;
    (left > 0.0).then(|| {
        format!(
            "{name} is left at {value}: someone else put it back {passed:.0} s ago ({} in a row); it is set again \
             in {left:.0} s if the pressure lasts",
            write.times
        )
    })
}

/// Reason for which max is left as it is, if another program has overridden it. It is raised all the same where the
/// table is full: new connections are refused there.
pub(super) fn holds_max(snapshot: &Snapshot, memory: &Memory) -> Option<String> {
    let why = theirs(Value::Max, snapshot.max, snapshot, memory)?;
    let full = snapshot.entries >= snapshot.max - snapshot.max / 64;
    let long_ago = |at: f64| snapshot.now_seconds - at >= FORCED_SECONDS;
    let may = full && memory.raised_at_seconds.is_none_or(long_ago);
    (!may).then_some(why)
}

/// A long enough calm ends the pressure in which a new value was set.
pub(super) fn calm(memory: &mut Memory) {
    memory.overrides.retain(|_, write| write.drift != Drift::NewValue);
}
