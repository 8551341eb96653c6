//! Deletions that an operator asks for, beside the walk that finds them.

use std::io;
use std::time::Instant;

use crate::kernel::deleter::{Deleted, Deleter, Still};
use crate::kernel::deleting::{Deleting, Going};
use crate::model::Entry;

/// Takes what is to go, as it was seen after an instant. It is gone a moment later.
pub struct Taker {
    deleting: Deleting,
    done: Deleted,
}

impl Taker {
    /// `still` is asked of what was seen more than a moment ago, as it is now; without it only what has been silent since
    /// goes.
    ///
    /// # Errors
    /// As [`Deleter::open`], and as clone(2).
    pub fn open(still: Option<Still>) -> crate::error::Result<Self> {
        let deleter = Deleter::open()?.for_an_operator(still);
        let deleting =
            Deleting::start(deleter).map_err(|error| crate::error::Error::unreachable("flush", error))?;
        Ok(Taker { deleting, done: Deleted::default() })
    }

    /// Hands over the victims of one chunk.
    ///
    /// # Errors
    /// Why what was handed over before could not be deleted.
    pub fn take(&mut self, entries: &[Entry], seen: Instant) -> io::Result<()> {
        if !entries.is_empty() {
            let going = entries.iter().map(|entry| Going { entry: *entry, class: None, seen });
            self.deleting.begin(going.collect(), false)?;
        }
        self.hear(false)
    }

    /// Entries that went so far.
    pub fn gone(&self) -> u64 {
        self.done.gone()
    }

    /// Waits for the rest; what all of it came to.
    ///
    /// # Errors
    /// As [`Taker::take`].
    pub fn end(mut self) -> io::Result<Deleted> {
        self.hear(true)?;
        Ok(self.done)
    }

    fn hear(&mut self, wait: bool) -> io::Result<()> {
        while let Some(done) = self.deleting.told(wait) {
            self.done.add(done?);
        }
        Ok(())
    }
}
