//! Disks that are full, gone, slow or hang.

use std::io;
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::super::writer::{QUEUE, Sink};
use super::*;

#[test]
fn the_total_has_a_bound_and_the_newest_records_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path(), 4096);
    for _ in 0..300 {
        journal.append_durably(draft(1, "a reason of the usual length, with a value and its limit"), LONG);
    }
    drop(journal);
    let sizes: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 5);
    assert!(sizes.iter().all(|size| *size <= 4096), "{sizes:?}");
    let (records, warnings) = on_disk(dir.path());
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(seqs(&records), (301 - records.len() as u64..=300).collect::<Vec<_>>());
    assert!(records.len() > 30, "{}", records.len());
}

#[test]
fn half_a_line_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).append_durably(draft(1, "whole"), LONG);
    let path = dir.path().join("journal.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.clone() + &whole[..100]).unwrap();
    open(dir.path()).append_durably(draft(2, "after"), LONG);
    let (records, warnings) = on_disk(dir.path());
    assert_eq!(seqs(&records), [1, 2]);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("journal.jsonl:2: "), "{}", warnings[0]);
}

#[test]
fn a_full_disk_is_seen_and_told_of_when_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    symlink("/dev/full", &path).unwrap();
    let mut journal = open(dir.path());
    for _ in 0..3 {
        journal.append_durably(draft(1, "lost"), LONG);
        assert!(!journal.ok());
    }
    fs::remove_file(&path).unwrap();
    let after = journal.append_durably(draft(2, "after"), LONG);
    assert!(journal.ok());
    let (records, _) = on_disk(dir.path());
    assert_eq!(records.len(), 2);
    assert_eq!(records[1], after);
    let note = &records[0];
    assert_eq!((note.event, note.id), (RecordEvent::Failed, 0));
    assert!(
        note.reason.starts_with("3 records ") && note.reason.contains("No space left"),
        "{}",
        note.reason
    );
    let tail = seqs(&journal.tail(usize::MAX));
    assert!(tail.len() == 5 && tail.is_sorted() && tail.contains(&note.seq), "{tail:?}");
    assert!(journal.append_durably(draft(3, "on"), LONG).seq == after.seq + 1, "losses are told of once");
    assert_eq!(on_disk(dir.path()).0.len(), 3);
}

#[test]
fn losses_are_told_of_at_the_end_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    symlink("/dev/full", &path).unwrap();
    let mut journal = open(dir.path());
    journal.append_durably(draft(1, "lost"), LONG);
    fs::remove_file(&path).unwrap();
    drop(journal);
    assert!(on_disk(dir.path()).0[0].reason.starts_with("1 record before"));
}

#[test]
fn a_directory_that_is_none_leaves_a_ring() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("state");
    fs::write(&dir, "a file").unwrap();
    let mut journal = open(&dir);
    assert!(!journal.ok());
    let record = journal.append_durably(draft(1, "x"), LONG);
    assert_eq!(journal.tail(10), [record]);
    fs::remove_file(&dir).unwrap();
    journal.append_durably(draft(1, "y"), LONG);
    assert!(journal.ok());
    assert_eq!(on_disk(&dir).0.len(), 2);
}

#[test]
fn a_file_that_cannot_be_rotated_does_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path().join("journal.jsonl.1");
    fs::create_dir_all(block.join("in the way")).unwrap();
    fs::create_dir_all(dir.path().join("journal.jsonl.2/not empty")).unwrap();
    let mut journal = open_small(dir.path(), 1000);
    for _ in 0..10 {
        journal.append_durably(draft(1, "x"), LONG);
    }
    assert!(!journal.ok());
    assert!(fs::metadata(dir.path().join("journal.jsonl")).unwrap().len() <= 1000);
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = open(dir.path());
    journal.append_durably(draft(1, "x"), LONG);
    fs::rename(&path, dir.path().join("kept-by-the-operator")).unwrap();
    journal.append_durably(draft(1, "y"), LONG);
    assert_eq!(seqs(&on_disk(dir.path()).0), [2]);
}

/// Hangs in each write until the other end lets one go, or lets all go by dropping.
struct Hanging(Receiver<()>);

impl Sink for Hanging {
    fn write_line(&mut self, _: &[u8]) -> io::Result<()> {
        let _ = self.0.recv();
        Ok(())
    }
}

#[test]
fn a_disk_that_hangs_costs_its_wait_once() {
    let (release, hang) = channel();
    let mut journal = Journal::with_sink(Hanging(hang), BOOT, netns());
    journal.append_durably(draft(1, "x"), Duration::from_millis(1));
    assert!(!journal.ok());
    let (begin, wait) = (Instant::now(), Duration::from_secs(2));
    for _ in 0..5 {
        journal.append_durably(draft(1, "x"), wait);
    }
    assert!(begin.elapsed() < wait);
    let last = journal.append(draft(1, "x"));
    drop(release);
    journal.writer.wait_for(last.seq, Instant::now() + LONG).unwrap();
    assert!(journal.ok());
}

#[test]
fn a_queue_that_is_full_loses_to_the_disk_and_not_to_the_ring() {
    let (release, hang) = channel();
    let mut journal = Journal::with_sink(Hanging(hang), BOOT, netns());
    // One more than the queue may be in the writer's hand.
    for _ in 0..QUEUE + 1 + 10 {
        journal.append(draft(1, "x"));
    }
    assert!(!journal.ok());
    assert_eq!(journal.tail(usize::MAX).len(), super::super::RING);
    drop(release);
    journal.writer.wait_for(QUEUE as u64, Instant::now() + LONG).unwrap();
    let note = |journal: &Journal| journal.tail(5).into_iter().find(|r| r.event == RecordEvent::Failed);
    assert_eq!(note(&journal), None);
    journal.append_durably(draft(1, "x"), LONG);
    let reason = note(&journal).unwrap().reason;
    assert!(reason.starts_with("10 records ") || reason.starts_with("11 records "), "{reason}");
}

#[test]
fn the_end_does_not_wait_for_a_disk_that_hangs() {
    let (release, hang) = channel();
    let mut journal = Journal::with_sink(Hanging(hang), BOOT, netns());
    journal.append(draft(1, "x"));
    let begin = Instant::now();
    drop(journal);
    assert!(begin.elapsed() < LONG / 2);
    drop(release);
}
