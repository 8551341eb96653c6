//! What is done a moment before it is needed.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::hand::Acting;
use crate::model::{Level, Snapshot};

/// To read this host's sockets takes a tenth of it, and then they are known for as long.
const A_MOMENT: Duration = Duration::from_millis(25);

impl Acting {
    /// Where high is a moment away, the sockets of this host are read now: a sweep wants to know them first, and by then
    /// the table fills.
    pub(super) fn foresee(&mut self, snapshot: &Snapshot) {
        let numbers = &self.ground.numbers;
        let [_, high, _] = numbers.marks.each_ref().map(|mark| mark.load(Relaxed));
        let soon = numbers.growing_per_second.load(Relaxed) as f64 * A_MOMENT.as_secs_f64();
        let room = high.saturating_sub(snapshot.entries);
        if self.memory.level == Level::Normal && high > 0 && room > 0 && soon >= room as f64 {
            self.gauge.look_at_host();
        }
    }
}
