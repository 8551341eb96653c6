//! Tells the counts, and the watch for regret, of each deletion.

use std::sync::Arc;

use super::shared::{Command, Watch};
use crate::core::model::{Class, Entry};
use crate::core::state::RegretMeter;
use crate::linux::clock;
use crate::linux::deleter::Witness;

/// Every deletion is remembered before it is sent, and counted once it is done.
pub(super) struct Remembering {
    pub regret: Arc<RegretMeter>,
    pub watch: Watch,
}

impl Witness for Remembering {
    fn going(&mut self, entries: &[(Entry, Class)]) {
        self.regret.going(entries.iter().copied(), clock::boottime_seconds());
    }

    fn stayed(&mut self, entry: &Entry, class: Class) {
        self.regret.stayed(entry, class);
    }

    fn gone(&mut self, entries: Vec<Entry>) {
        self.watch.send(Command::Deleted(entries));
    }
}
