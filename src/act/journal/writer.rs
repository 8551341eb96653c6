//! The thread that writes records, and the queue and the ring between it and the agent.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::core::model::{Draft, JournalRecord, Netns, RecordEvent};

use super::disk::{Request, SharedDisk};
use super::{RING, record};

/// Records that may wait for the disk; some 1 MiB.
pub(super) const QUEUE: usize = 1024;

/// Takes the lines of a journal.
pub(super) trait Sink: Send + 'static {
    /// Writes one line, which ends in a newline, or says why not.
    fn write_line(&mut self, line: &[u8]) -> io::Result<()>;

    /// Checks that lines can be written, before the first.
    fn probe(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The journal of a directory.
pub(super) struct DiskSink {
    disk: SharedDisk,
    dir: PathBuf,
}

impl DiskSink {
    pub(super) fn new(disk: SharedDisk, dir: &Path) -> DiskSink {
        DiskSink { disk, dir: dir.to_owned() }
    }
}

impl Sink for DiskSink {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let line = String::from_utf8_lossy(line).into_owned();
        self.disk.ask(&Request::Append { dir: self.dir.clone(), line }).map(drop)
    }

    fn probe(&mut self) -> io::Result<()> {
        self.disk.ask(&Request::Probe { dir: self.dir.clone() }).map(drop)
    }
}

struct Job {
    record: JournalRecord,
    /// The number kept free for a record of what was lost before this one.
    note_seq: Option<u64>,
}

/// State of both threads. It is not locked during I/O or logging.
struct State {
    queue: VecDeque<Job>,
    ring: VecDeque<JournalRecord>,
    /// The last record that was written, or given up.
    handled_seq: u64,
    ok: bool,
    /// It is known whether anything can be written.
    probed: bool,
    /// Records that no record on disk tells of yet, and the last reason.
    lost: u64,
    why: String,
    /// Set when the journal ends: the number for a last record of what was lost.
    closing: Option<u64>,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    /// The queue has something, or the journal ends.
    work: Condvar,
    /// `handled_seq` or `ended` moved on.
    progress: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records `lost` of them did not reach the disk (0: are late); warns when that is new.
    fn failed(&self, mut state: MutexGuard<'_, State>, lost: u64, why: &str) {
        let new = std::mem::replace(&mut state.ok, false);
        state.lost += lost;
        state.why = why.into();
        drop(state);
        if new {
            tracing::warn!("journal: {why}; records stay in memory until it can be written again");
        }
    }
}

/// The last records, whether they are on disk or not.
#[derive(Clone)]
pub struct Ring(Arc<Shared>);

impl Ring {
    /// The last `n` of them, oldest first.
    pub fn tail(&self, n: usize) -> Vec<JournalRecord> {
        let state = self.0.lock();
        state.ring.iter().skip(state.ring.len().saturating_sub(n)).cloned().collect()
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

/// The agent's end of the queue.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. Without one (no memory, no process left) every record counts as lost to the disk.
    pub(super) fn start(sink: impl Sink, boot_id: &str, netns: &Netns, tail: Vec<JournalRecord>) -> Writer {
        let state = State {
            queue: VecDeque::new(),
            ring: tail.into(),
            handled_seq: 0,
            ok: true,
            probed: false,
            lost: 0,
            why: String::new(),
            closing: None,
            ended: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), progress: Condvar::new() });
        let mut pen = Pen { shared: shared.clone(), sink, boot_id: boot_id.into(), netns: netns.clone() };
        let thread = thread::Builder::new().name("journal".into()).spawn(move || pen.run());
        let writer = Writer { thread: None, shared };
        match thread {
            Ok(thread) => Writer { thread: Some(thread), ..writer },
            Err(error) => {
                let mut state = writer.shared.lock();
                state.ended = true;
                writer.shared.failed(state, 0, &format!("its thread cannot start: {error}"));
                writer
            }
        }
    }

    /// Keeps a record in the ring and queues it; false if the queue is full or nobody reads it.
    pub(super) fn push(&self, record: JournalRecord, note_seq: Option<u64>) -> bool {
        let mut state = self.shared.lock();
        keep(&mut state.ring, record.clone());
        if state.ended {
            let why = std::mem::take(&mut state.why);
            self.shared.failed(state, 1, &why);
            return false;
        }
        if state.queue.len() >= QUEUE {
            self.shared.failed(state, 1, &format!("the disk is {QUEUE} records behind"));
            return false;
        }
        state.queue.push_back(Job { record, note_seq });
        self.shared.work.notify_one();
        true
    }

    /// Waits until `seq` was written or given up; else how far the writer has come.
    pub(super) fn wait_for(&self, seq: u64, until: Instant) -> Result<(), u64> {
        let state = self.wait(until, |state| state.handled_seq >= seq || state.ended);
        if state.handled_seq >= seq || state.ended {
            return Ok(());
        }
        let handled = state.handled_seq;
        self.shared.failed(state, 0, "the disk does not answer");
        Err(handled)
    }

    fn wait(&self, until: Instant, enough: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let left = until.saturating_duration_since(Instant::now());
        let waited =
            self.shared.progress.wait_timeout_while(self.shared.lock(), left, |state| !enough(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The last record that was written, or given up.
    pub(super) fn handled(&self) -> u64 {
        self.shared.lock().handled_seq
    }

    /// Waits until it is known whether anything can be written.
    pub(super) fn wait_for_probe(&self, until: Instant) {
        let state = self.wait(until, |state| state.probed || state.ended);
        if !state.probed && !state.ended {
            self.shared.failed(state, 0, "the disk does not answer");
        }
    }

    pub(super) fn ok(&self) -> bool {
        self.shared.lock().ok
    }

    /// Records were lost, and no record on disk tells of them yet.
    pub(super) fn has_lost(&self) -> bool {
        self.shared.lock().lost > 0
    }

    pub(super) fn tail(&self, n: usize) -> Vec<JournalRecord> {
        self.ring().tail(n)
    }

    pub(super) fn ring(&self) -> Ring {
        Ring(self.shared.clone())
    }

    /// Ends the thread after what is queued. A thread that hangs on its disk past `until` is left to itself.
    pub(super) fn close(&mut self, note_seq: u64, until: Instant) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.lock().closing = Some(note_seq);
        self.shared.work.notify_one();
        let state = self.wait(until, |state| state.ended);
        let (ended, left) = (state.ended, state.queue.len());
        drop(state);
        if ended {
            let _ = thread.join();
        } else {
            tracing::warn!("journal: the disk does not answer; {left} queued records and more may be lost");
        }
    }
}

/// Puts a record where its number belongs, which is at the end but for notes; the oldest make room.
fn keep(ring: &mut VecDeque<JournalRecord>, record: JournalRecord) {
    let newer = ring.iter().rev().take_while(|kept| kept.seq > record.seq).count();
    ring.insert(ring.len() - newer, record);
    while ring.len() > RING {
        ring.pop_front();
    }
}

/// The thread's end.
struct Pen<S> {
    shared: Arc<Shared>,
    sink: S,
    boot_id: String,
    netns: Netns,
}

impl<S: Sink> Pen<S> {
    fn run(&mut self) {
        let end = End(self.shared.clone());
        let probe = self.sink.probe();
        let mut state = self.shared.lock();
        state.probed = true;
        self.shared.progress.notify_all();
        if let Err(error) = probe {
            self.shared.failed(state, 0, &error.to_string());
        } else {
            drop(state);
        }
        while let Some(job) = self.next() {
            let result = self.tell_losses(job.note_seq).and_then(|()| self.write(&job.record));
            self.handled(job.record.seq, result);
        }
        let closing = self.shared.lock().closing;
        let _ = self.tell_losses(closing);
        drop(end);
    }

    fn next(&self) -> Option<Job> {
        let state = self.shared.lock();
        let idle = |state: &mut State| state.queue.is_empty() && state.closing.is_none();
        let mut state = self.shared.work.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.queue.pop_front()
    }

    fn handled(&self, seq: u64, result: io::Result<()>) {
        let mut state = self.shared.lock();
        state.handled_seq = state.handled_seq.max(seq);
        self.shared.progress.notify_all();
        match result {
            Err(error) => self.shared.failed(state, 1, &error.to_string()),
            // A disk that is behind is well again only when it has caught up: otherwise it would flap.
            Ok(()) if !state.ok && state.queue.is_empty() => {
                state.ok = true;
                drop(state);
                tracing::info!("journal: written again");
            }
            Ok(()) => {}
        }
    }

    /// Writes how many records were lost since the last such record, if any were and a number is free for it.
    fn tell_losses(&mut self, seq: Option<u64>) -> io::Result<()> {
        let (lost, why) = {
            let state = self.shared.lock();
            (state.lost, state.why.clone())
        };
        let Some(seq) = seq.filter(|_| lost > 0) else { return Ok(()) };
        let records = if lost == 1 { "record" } else { "records" };
        let reason = format!(
            "{lost} {records} before this one could not be written to disk ({why}); the last {RING} are in the \
             agent's memory"
        );
        let note = record(Draft::new(0, RecordEvent::Failed, reason), seq, &self.boot_id, &self.netns);
        self.write(&note)?;
        let mut state = self.shared.lock();
        state.lost -= lost;
        keep(&mut state.ring, note);
        Ok(())
    }

    fn write(&mut self, record: &JournalRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.sink.write_line(&line)
    }
}

/// Says that the thread has ended, whatever ended it.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        self.0.progress.notify_all();
    }
}
