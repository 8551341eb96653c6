//! Deletions that an operator asks for, right after the walk has met what goes.

use std::io;
use std::time::Instant;

use crate::core::model::Entry;
use crate::linux::deleter::{Deleted, Deleter, Still};

/// Deletes what is to go, as it was seen after an instant.
///
/// On the thread that judges, while another receives what the walk meets next (`linux::ahead`): so what was seen is a
/// few chunks old at most, and need not be asked for again. A third thread would make no core more.
pub struct Taker {
    deleter: Deleter,
    done: Deleted,
}

impl Taker {
    /// `still` is asked of what was seen more than a moment ago, as it is now; without it only what has been silent
    /// since goes.
    ///
    /// # Errors
    /// As [`Deleter::open`].
    pub fn open(still: Option<Still>) -> crate::error::Result<Self> {
        Ok(Taker { deleter: Deleter::open()?.for_an_operator(still), done: Deleted::default() })
    }

    /// Deletes these. What cannot be told apart with certainty stays, and counts as refused.
    ///
    /// # Errors
    /// As [`Deleter::flush`].
    pub fn take(&mut self, entries: &mut Vec<(Entry, Instant)>) -> io::Result<()> {
        // Apart, so that what was seen just now does not wait for a second look at what is older.
        for chunk in entries.chunk_by(|a, b| a.1 == b.1) {
            for (entry, seen) in chunk {
                let unreadable = u64::from(self.deleter.push(entry, *seen).is_err());
                self.done.add(Deleted { sent: unreadable, failed: unreadable, ..Deleted::default() });
            }
            self.done.add(self.deleter.flush()?);
        }
        entries.clear();
        Ok(())
    }

    /// Result of all deletions so far.
    pub fn done(&self) -> Deleted {
        self.done
    }
}
