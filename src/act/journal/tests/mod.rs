//! What the journal promises, on real files and, where a process has to die or meet a limit, in a child process.

mod baseline;
mod disk;
mod kill;
mod numbers;
mod reading;

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::core::model::Value;

use crate::core::model::{Draft, JournalRecord, Netns, RecordEvent};

use super::Journal;
use super::file::RotatingFile;

const BOOT: &str = "7d0b6ac7-6a38-4ba4-a0b6-3a7e2f2f0c11";
/// Longer than any disk takes; only a failing test waits so long.
const LONG: Duration = Duration::from_secs(30);

fn netns() -> Netns {
    Netns { name: Some("host".into()), inode: 4_026_531_840 }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, BOOT, netns())
}

fn open_small(dir: &Path, max_bytes: u64) -> Journal {
    Journal::open_with(
        RotatingFile::with_max_bytes(dir, max_bytes),
        crate::act::journal::read::last(dir),
        BOOT,
        netns(),
    )
}

fn draft(id: u64, reason: &str) -> Draft {
    Draft { name: Some("max".into()), ..Draft::new(id, RecordEvent::Intend, reason) }
}

/// Everything on disk, and the warnings.
fn on_disk(dir: &Path) -> (Vec<JournalRecord>, Vec<String>) {
    let mut warnings = Vec::new();
    let records = super::read(dir, 0, None, |text| warnings.push(text)).expect("a journal is there");
    (records, warnings)
}

fn seqs(records: &[JournalRecord]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).expect("a file is there").lines().map(String::from).collect()
}
