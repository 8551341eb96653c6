//! Deletes beside a dump: a thread of their own, so that both run at once on two cores.
//!
//! A dump takes no lock that a delete needs: it walks the buckets under RCU (`ctnetlink_dump_table`), while deletes of
//! one socket or many wait for each other (`nfnl_lock` in `nfnetlink_rcv_msg`). So one thread for each is all that
//! helps.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Instant;

use super::deleter::{Deleted, Deleter};
use super::priority::{self, Apart};
use crate::core::model::{Class, Entry};

/// Batches that wait for the one under way: with none the dump would wait for each delete, with many they age. Where
/// deletes wait for a lock a batch takes 4 ms, so that with four the next was always too old to be believed, and was
/// asked for again, which took as long once more.
const WAITING: usize = 1;

/// An entry that is to go.
#[derive(Clone, Copy, Debug)]
pub struct Going {
    /// As it was seen.
    pub entry: Entry,
    /// As what it goes; `None`: the witness is not told.
    pub class: Option<Class>,
    /// It was seen after this.
    pub seen: Instant,
}

struct Batch {
    entries: Vec<Going>,
    hurry: bool,
    /// CPU of the thread that the batch comes from.
    cpu: Option<usize>,
}

/// A [`Deleter`] on a thread of its own. What is begun is told in the same order.
pub struct Deleting {
    batches: SyncSender<Batch>,
    told: Receiver<io::Result<Deleted>>,
    under_way: usize,
}

impl Deleting {
    /// Starts the thread, of the priority and in the namespace of its maker; it ends when this is dropped. `contended`:
    /// asked before each batch, whether another program writes through ctnetlink at this time.
    ///
    /// # Errors
    /// As clone(2).
    pub fn start(mut deleter: Deleter, contended: impl Fn() -> bool + Send + 'static) -> io::Result<Self> {
        let (batches, work) = sync_channel::<Batch>(WAITING);
        let (tell, told) = sync_channel(WAITING + 2);
        let body = move || {
            let mut apart = Apart::default();
            for batch in work {
                apart.keep_from(batch.cpu.filter(|_| contended()));
                if tell.send(delete(&mut deleter, &batch)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("delete".into()).spawn(body)?;
        Ok(Deleting { batches, told, under_way: 0 })
    }

    /// Begins to delete these; waits while another does. `hurry`: as
    /// [`Deleter::flush_in`].
    ///
    /// # Errors
    /// If the thread is gone.
    pub fn begin(&mut self, entries: Vec<Going>, hurry: bool) -> io::Result<()> {
        // The channel back has room for all that may be under way.
        self.batches.send(Batch { entries, hurry, cpu: priority::cpu() }).map_err(|_| gone())?;
        self.under_way += 1;
        Ok(())
    }

    /// Result of the oldest batch that was not told yet; `None` if there is none, or none yet without `wait`.
    pub fn told(&mut self, wait: bool) -> Option<io::Result<Deleted>> {
        if self.under_way == 0 {
            return None;
        }
        let told = match wait {
            true => self.told.recv().map_err(|_| gone()),
            false => match self.told.try_recv() {
                Ok(told) => Ok(told),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(gone()),
            },
        };
        self.under_way = if told.is_ok() { self.under_way - 1 } else { 0 };
        Some(told.and_then(|told| told))
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that deletes has ended; this is a bug, please report it")
}

/// An identity that does not encode with certainty stays, and counts as refused.
fn delete(deleter: &mut Deleter, batch: &Batch) -> io::Result<Deleted> {
    let mut unreadable = 0;
    for going in &batch.entries {
        unreadable += u64::from(deleter.push_as(&going.entry, going.class, going.seen).is_err());
    }
    let mut deleted = deleter.flush_in(batch.hurry)?;
    deleted.sent += unreadable;
    deleted.failed += unreadable;
    Ok(deleted)
}
