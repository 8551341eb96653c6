//! Deletions that an operator asks for, on a thread of their own while another walks the table.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::kernel::socket::explain;
use crate::kernel::table::{Deleted, Deleter, Still};
use crate::model::Entry;

/// Chunks of a dump that may wait for their deletion: two of them are gone in a millisecond.
const WAITING: usize = 2;

/// Takes what is to go, as it was seen after an instant. It is gone a moment later.
pub struct Taker<'a> {
    chunks: SyncSender<(Vec<Entry>, Instant)>,
    done: &'a AtomicU64,
}

impl Taker<'_> {
    /// Hands over the victims of one chunk; false if nothing more can be deleted.
    pub fn take(&self, entries: Vec<Entry>, seen: Instant) -> bool {
        entries.is_empty() || self.chunks.send((entries, seen)).is_ok()
    }

    /// Entries that went so far.
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }
}

/// Deletes what `walk` hands over. `still` is asked of what was seen more than a moment ago as it is now; without it
/// only what has been silent since goes.
///
/// # Errors
/// What `walk` failed with, else why entries could not be deleted; of those that could nothing is lost but the report.
pub fn delete_beside(still: Option<Still>, walk: impl FnOnce(&Taker<'_>) -> Result<()>) -> Result<Deleted> {
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (chunks, waiting) = sync_channel(WAITING);
        let counter = &done;
        // A new thread is in the network namespace of the one that makes it.
        let deleting = scope.spawn(move || delete(still, &waiting, counter));
        let taker = Taker { chunks, done: counter };
        let walked = walk(&taker);
        drop(taker);
        let ended = deleting.join().unwrap_or_else(|_| Err(Error::unreachable("delete", "its thread ended")));
        walked.and(ended)
    })
}

fn delete(
    still: Option<Still>,
    waiting: &Receiver<(Vec<Entry>, Instant)>,
    done: &AtomicU64,
) -> Result<Deleted> {
    let mut deleter = Deleter::open()?.for_an_operator(still);
    let failed = |error: io::Error| explain("conntrack delete", &error);
    let mut all = Deleted::default();
    for (entries, seen) in waiting {
        // What does not encode with certainty stays.
        let unreadable = entries.iter().filter(|entry| deleter.push(entry, seen).is_err()).count() as u64;
        all.add(Deleted { sent: unreadable, failed: unreadable, ..Deleted::default() });
        all.add(deleter.flush().map_err(failed)?);
        done.store(all.gone(), Relaxed);
    }
    Ok(all)
}
