//! Records of what was intended and done, and of the values that the agent found before it changed any.
//!
//! Three files in the state directory: `journal.jsonl` (one record a line, see [`JournalRecord`]), `baseline.json`
//! (see [`Baseline`]) and `timeouts-seen.json` (see [`TimeoutsSeen`]).
//!
//! [`Records`] keeps the last two as the agent wants them; all of them are written by [`SharedDisk`], so that no
//! thread of the agent's waits for a disk in a way that cannot be ended.
//!
//! Records last as long as the values that they are of. A sysctl's value does not outlive a reboot, so nothing here
//! needs to outlive the loss of power: what a record could lead to undoing is gone then, too. The page cache outlives
//! the process, so a plain write(2) before the act is enough against SIGKILL. fsync serves one end only: that no
//! half-written baseline follows a power cut. Deletions cannot be undone and never wait for a disk:
//! [`Journal::append`] only queues.

mod baseline;
mod checksum;
mod disk;
mod disk_process;
mod file;
mod read;
mod records;
mod seen;
#[cfg(test)]
mod tests;
mod trail;
mod writer;

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::model::{Draft, JournalRecord, Netns};

pub use baseline::{Baseline, Held, Loaded, broken_since_boot};
pub use disk::{SharedDisk, serve};
use read::Last;
pub use read::read;
pub use records::{Recorded, Records, Ticket};
pub use seen::TimeoutsSeen;
pub use trail::{has_trail, trail};

pub use writer::Ring;
use writer::{DiskSink, Sink, Writer};

/// Records that are kept in memory.
pub const RING: usize = 256;
/// Longest wait of a journal that ends for what is queued.
const DRAIN: Duration = Duration::from_millis(500);
/// Longest wait of a journal that begins to hear whether it can be written.
const PROBE: Duration = Duration::from_secs(1);
/// Bytes of a reason, at most: a record stays far below the length that [`read`] skips.
const REASON_BYTES: usize = 16 * 1024;

/// The agent's journal: numbers records, keeps the last [`RING`] of them, and has a thread write them.
///
/// One thread uses it, and none of its calls waits for the disk, except [`Journal::append_durably`] as long as it is
/// told to. Dropping it writes what is queued, for half a second at most.
pub struct Journal {
    writer: Writer,
    next_seq: u64,
    next_id: u64,
    boot_id: String,
    netns: Netns,
    /// Place of the writer when a wait ran out; while it has come no further, nobody waits again.
    stalled_at: Option<u64>,
}

impl Journal {
    /// Opens the journal of a state directory, which is made (mode 0750) where it is missing. Numbers go on from the
    /// last records of the files there, and those fill the ring.
    ///
    /// It never fails: where nothing can be written, [`Journal::ok`] is false and the records stay in memory.
    pub fn open(dir: &Path, boot_id: &str, netns: Netns) -> Journal {
        Self::open_on(&SharedDisk::of_this_process(), dir, boot_id, netns)
    }

    /// As [`Journal::open`], with all that is read and written going through `disk`.
    pub fn open_on(disk: &SharedDisk, dir: &Path, boot_id: &str, netns: Netns) -> Journal {
        Self::open_with(DiskSink::new(disk.clone(), dir), disk.last(dir), boot_id, netns)
    }

    fn open_with(sink: impl Sink, last: Last, boot_id: &str, netns: Netns) -> Journal {
        let Last { seq, id, records: tail, warnings } = last;
        warnings.iter().for_each(|text| tracing::warn!("journal: {text}"));
        let writer = Writer::start(sink, boot_id, &netns, tail);
        writer.wait_for_probe(Instant::now() + PROBE);
        Journal {
            writer,
            next_seq: seq + 1,
            next_id: id + 1,
            boot_id: boot_id.into(),
            netns,
            stalled_at: None,
        }
    }

    /// A journal that writes to `sink`, with nothing before it.
    #[cfg(test)]
    fn with_sink(sink: impl Sink, boot_id: &str, netns: Netns) -> Journal {
        let writer = Writer::start(sink, boot_id, &netns, Vec::new());
        Journal { writer, next_seq: 1, next_id: 1, boot_id: boot_id.into(), netns, stalled_at: None }
    }

    /// Gives a draft its number, time, boot and namespace, keeps it in the ring and queues it for the disk. It never
    /// waits; where the queue is full the record is lost to the disk and [`Journal::ok`] turns false.
    pub fn append(&mut self, draft: Draft) -> JournalRecord {
        self.queue(draft).0
    }

    /// Appends a record, and waits until write(2) has taken it or has failed, at most `wait`.
    ///
    /// When the time is over it goes on, and [`Journal::ok`] is false. While the writer still hangs at the same
    /// place, later calls do not wait at all: a dead disk costs its `wait` once and not with every act.
    pub fn append_durably(&mut self, draft: Draft, wait: Duration) -> JournalRecord {
        let (record, queued) = self.queue(draft);
        if queued && self.stalled_at != Some(self.writer.handled()) {
            self.stalled_at = self.writer.wait_for(record.seq, Instant::now() + wait).err();
        }
        record
    }

    /// A number for a new act; 0 is the number of records that belong to none.
    pub fn next_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// True while records reach the disk.
    pub fn ok(&self) -> bool {
        self.writer.ok()
    }

    /// The last `n` records, oldest first, [`RING`] at most.
    pub fn tail(&self, n: usize) -> Vec<JournalRecord> {
        self.writer.tail(n)
    }

    /// The last records, for other threads.
    pub fn ring(&self) -> Ring {
        self.writer.ring()
    }

    /// The record, and whether it is on its way to the disk.
    fn queue(&mut self, draft: Draft) -> (JournalRecord, bool) {
        // The record that tells of losses is the writer's, and its number has to be one between its neighbours'.
        let note_seq = self.writer.has_lost().then(|| self.next_seq());
        let record = record(draft, self.next_seq(), &self.boot_id, &self.netns);
        let queued = self.writer.push(record.clone(), note_seq);
        (record, queued)
    }

    fn next_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let note_seq = self.next_seq();
        self.writer.close(note_seq, Instant::now() + DRAIN);
    }
}

/// A draft with its number, the time of now, its boot and its namespace.
fn record(draft: Draft, seq: u64, boot_id: &str, netns: &Netns) -> JournalRecord {
    let mut reason = draft.reason;
    if reason.len() > REASON_BYTES {
        let end = (0..=REASON_BYTES).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
    }
    JournalRecord {
        schema: 1,
        at: now(),
        seq,
        id: draft.id,
        boot_id: boot_id.into(),
        netns: netns.clone(),
        event: draft.event,
        level: draft.level,
        level_before: draft.level_before,
        action: draft.action,
        name: draft.name,
        class: draft.class,
        from: draft.from,
        to: draft.to,
        requested: draft.requested,
        achieved: draft.achieved,
        duration_seconds: draft.duration_seconds,
        reason,
        usage_before_percent: draft.usage_before_percent,
        usage_after_percent: draft.usage_after_percent,
        acts_together: draft.acts_together,
        dry_run: draft.dry_run,
        by: draft.by,
        until: draft.until,
        changes: draft.changes,
    }
}

/// RFC 3339, UTC, with microseconds.
fn now() -> String {
    format!("{:.6}", Timestamp::now())
}
