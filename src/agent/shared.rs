//! State that the agent's threads share: numbers, copies for queries, and the bounded ways in which they wake each
//! other.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::End;
use crate::act::journal::Ring;
use crate::control::{Refusal, Reply};
use crate::core::model::{
    Asker, Entry, EntryId, HandFlush, JournalRecord, Paused, Plan, Queue, Settings, Snapshot, SortBy,
    SourceKey, Value,
};
use crate::core::state::{Ledger, Picked};
use crate::linux::clock;
use crate::metrics::Acts;

/// Numbers that the events thread publishes.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Numbers {
    pub entries: AtomicU64,
    /// `nf_conntrack_count` at the last tick.
    pub count: AtomicU64,
    pub sources: AtomicU64,
    pub events: AtomicU64,
    pub new: AtomicU64,
    /// By how much the table grew of late, in a second, as the last few milliseconds say: what comes or goes at once.
    pub growing_per_second: AtomicU64,
    pub destroyed: AtomicU64,
    pub resyncs: AtomicU64,
    pub lost: AtomicU64,
    pub overruns: AtomicU64,
    pub forged: AtomicU64,
    pub synced: AtomicBool,
    /// Reason for which the counts are in doubt, where that is more than a dump that is due.
    pub doubt: Said,
    /// Rules keep the kernel from telling of some births or ends (`ct event set`).
    pub masked: AtomicBool,
    /// Reason for which ctnetlink gave the actor no answer.
    pub unanswered: Said,
    /// Reason for which the actor cannot read how full the table is.
    pub unreadable: Said,
    /// Events that wait to be counted.
    pub queue: Mutex<Queue>,
    /// Entries are there that another program made or changed, or may have: which, the agent alone knows.
    pub others_write: AtomicBool,
    /// Time at which another program was heard to write last, in whole seconds of the boottime clock.
    pub others_wrote_seconds: AtomicU64,
    /// A sweep under way is to end: somebody wants a stop or a pause.
    pub halt: AtomicBool,
    /// Crossing this many entries upward wakes the actor at once; three marks, low, high and critical.
    pub marks: [AtomicU64; 3],
}

/// A sentence, while it is true.
#[derive(Debug, Default)]
pub struct Said(Mutex<Option<String>>);

impl Said {
    /// Replaces it; true if there was one before and is none now, or the reverse.
    pub fn set(&self, text: Option<String>) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = said.is_some() != text.is_some();
        *said = text;
        turned
    }

    /// It, if it is true now.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Numbers {
    /// Another program was heard to write just now.
    pub fn others_wrote(&self) {
        self.others_wrote_seconds.store(clock::boottime_seconds() as u64, Relaxed);
    }

    /// It was so within the last second or two.
    pub fn others_are_writing(&self) -> bool {
        clock::boottime_seconds() as u64 <= self.others_wrote_seconds.load(Relaxed) + 1
    }
}

/// Facts that the actor last saw and its decision, copied for queries.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct View {
    pub snapshot: Snapshot,
    /// New entries a second, smoothed: the snapshot's rate is the pace that has to be answered to.
    pub new_per_second: Option<f64>,
    pub plan: Plan,
    pub baseline: BTreeMap<Value, u64>,
    pub settings: Arc<Settings>,
    pub pause: Option<Paused>,
    pub dry_run: bool,
    pub journal_ok: bool,
    pub capabilities: Vec<String>,
    pub last_actions: Vec<JournalRecord>,
    pub acts: Acts,
    pub notes: Vec<String>,
    /// Files of the state directory cannot be written just now, or nothing is heard of their disk.
    pub disk_hangs: bool,
    /// The journal's last records.
    pub records: Ring,
}

/// The last view, if there is one yet.
pub type SharedView = Arc<Mutex<Option<Arc<View>>>>;

/// Sender of the answer to one order.
pub type ReplySender = oneshot::Sender<Result<Reply, Refusal>>;

/// Orders to the actor.
pub enum Order {
    /// A watermark was crossed.
    Wake,
    /// Dump the table for the counts.
    Recount,
    /// Act no more, for these seconds or until resumed.
    Pause(Option<f64>, Asker, ReplySender),
    /// Act again after a pause.
    Resume(Asker, ReplySender),
    /// Other settings hold from now on.
    Reload(Box<Settings>, Asker, ReplySender),
    /// A configuration was wrong, and changes nothing: why.
    ReloadRefused(String, Asker),
    /// Entries were deleted by hand.
    Flushed(HandFlush, Asker, ReplySender),
    /// Put everything back.
    Revert(bool, Asker, ReplySender),
    /// Scan and publish, change nothing.
    Look(oneshot::Sender<()>),
    /// Tell what is known of single entries; without any, what holds for all.
    Known(Vec<EntryId>, ReplySender),
    /// Tell what would be done now.
    Plan(ReplySender),
    /// Tell the facts that a plan is made of.
    Snapshot(ReplySender),
    /// Put values back, and end.
    Stop(End),
}

/// The largest sources, as the events thread knows them.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Top {
    pub picked: Picked,
    pub entries: u64,
    pub sources_total: u64,
    pub synced: bool,
}

/// Entries of a source, as the events thread knows them.
#[derive(Debug)]
pub enum Remembered {
    /// It does not remember entries.
    Nothing,
    /// Some may be missing, or it may not be known who has children.
    InDoubt,
    /// More than [`Remembered::MOST`].
    TooMany,
    /// All of them, and whether somebody expects children of each.
    All(Vec<(EntryId, bool)>),
}

impl Remembered {
    /// Entries that are told of at most: the stream waits for no longer than some milliseconds.
    pub const MOST: usize = 1 << 16;
}

/// Commands to the events thread.
pub enum Command {
    /// A dump has ended.
    Adopt {
        /// Counts of the dump.
        ledger: Box<Ledger>,
        /// Time that the dump took.
        duration: Duration,
    },
    /// A dump came to nothing.
    Abandon {
        /// Time that the dump took.
        duration: Duration,
    },
    /// The actor deleted these.
    Deleted(Vec<Entry>),
    /// The `limit` largest sources.
    Top {
        /// Number of sources; 0 is all.
        limit: usize,
        /// By what they are the largest.
        rank: SortBy,
        /// Receiver of the sources.
        reply: oneshot::Sender<Top>,
    },
    /// The sources that were not there before.
    Young {
        /// Before this, on the boot clock.
        since_seconds: u32,
        /// Receiver of the sources.
        reply: SyncSender<HashSet<SourceKey>>,
    },
    /// The entries of a source.
    Entries {
        /// Address of the source.
        source: IpAddr,
        /// In this zone alone.
        zone: Option<u16>,
        /// Receiver of the entries.
        reply: oneshot::Sender<Remembered>,
    },
    /// Tell whether the counts can be relied on right now.
    Synced {
        /// Receiver of the answer.
        reply: oneshot::Sender<bool>,
    },
    /// End the thread.
    Stop,
}

/// Commands to the events thread, which sleeps in poll(2): a queue and a byte down a socket.
#[derive(Clone)]
pub struct Watch {
    queue: Arc<Mutex<VecDeque<Command>>>,
    waker: Arc<UnixStream>,
}

/// The events thread's end of [`Watch`].
pub struct WatchEnd {
    queue: Arc<Mutex<VecDeque<Command>>>,
    woken: UnixStream,
}

impl Watch {
    /// More than this many unanswered commands are refused.
    const BOUND: usize = 64;

    /// Both ends.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair() -> std::io::Result<(Watch, WatchEnd)> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        Ok((Watch { queue: queue.clone(), waker: Arc::new(waker) }, WatchEnd { queue, woken }))
    }

    /// Sends a command; false if too many are waiting, or the thread has ended.
    pub fn send(&self, command: Command) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let question =
            matches!(command, Command::Top { .. } | Command::Entries { .. } | Command::Synced { .. });
        if queue.len() >= Self::BOUND && question {
            return false;
        }
        queue.push_back(command);
        drop(queue);
        // A full pipe wakes as well as one byte more.
        let woken = (&*self.waker).write(&[1]);
        let ended = woken.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        if ended {
            clear(&self.queue);
        }
        !ended
    }
}

/// Whoever waits for an answer hears that there is none.
fn clear(queue: &Mutex<VecDeque<Command>>) {
    let commands = std::mem::take(&mut *queue.lock().unwrap_or_else(PoisonError::into_inner));
    drop(commands);
}

/// The queue lives on with those who may ask: what they asked for ends here. In this order, whatever is sent meanwhile
/// is either cleared here or finds the socket closed.
impl Drop for WatchEnd {
    fn drop(&mut self) {
        let _ = self.woken.shutdown(std::net::Shutdown::Both);
        clear(&self.queue);
    }
}

impl WatchEnd {
    /// Takes what was sent since the last call.
    pub fn take(&mut self) -> VecDeque<Command> {
        let mut bytes = [0; 64];
        while matches!(self.woken.read(&mut bytes), Ok(n) if n > 0) {}
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// To wait on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_to_a_thread_that_has_ended_are_answered_by_an_error() {
        let (watch, end) = Watch::pair().expect("a pair");
        let (reply, mut before) = oneshot::channel();
        assert!(watch.send(Command::Synced { reply }));
        drop(end);
        assert!(before.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
        let (reply, mut after) = oneshot::channel();
        assert!(!watch.send(Command::Synced { reply }));
        assert!(after.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed));
    }
}
