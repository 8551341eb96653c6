use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_record_is_one_line_in_the_contracts_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    let record = journal.append_durably(draft(7, "line one\nline two"), LONG);
    let lines = lines(&dir.path().join("journal.jsonl"));
    assert_eq!(lines.len(), 1);
    let keys = [
        "schema",
        "at",
        "seq",
        "id",
        "boot_id",
        "netns",
        "event",
        "level",
        "action",
        "name",
        "class",
        "from",
        "to",
        "requested",
        "achieved",
        "duration_seconds",
        "reason",
        "usage_before_percent",
        "usage_after_percent",
        "dry_run",
    ];
    let mut rest = lines[0].as_str();
    for key in keys {
        // After the ones before it: a namespace has a name, too.
        let place = rest.find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in {}", lines[0]));
        rest = &rest[place..];
    }
    assert_eq!(serde_json::from_str::<JournalRecord>(&lines[0]).unwrap(), record);
    assert!(
        record.at.ends_with('Z') && record.at.len() == "2026-01-01T00:00:00.000000Z".len(),
        "{}",
        record.at
    );
    assert_eq!((record.boot_id.as_str(), record.netns), (BOOT, netns()));
}

#[test]
fn directory_and_file_are_not_for_everyone() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("ctctl/host");
    open(&dir).append_durably(draft(1, "x"), LONG);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir) & !0o750, 0);
    assert_eq!(mode(&dir.join("journal.jsonl")) & !0o640, 0);
}

#[test]
fn numbers_go_on_after_a_restart_and_the_ring_is_full_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    assert_eq!(journal.next_id(), 1);
    let id = journal.next_id();
    for _ in 0..300 {
        journal.append(draft(id, "x"));
    }
    drop(journal);
    let mut journal = open(dir.path());
    assert_eq!(journal.next_id(), id + 1);
    assert_eq!(seqs(&journal.tail(2)), [299, 300]);
    assert_eq!(seqs(&journal.tail(usize::MAX)), (45..=300).collect::<Vec<_>>());
    assert_eq!(journal.append(draft(id, "x")).seq, 301);
    assert_eq!(seqs(&journal.tail(1000)).len(), super::super::RING);
    drop(journal);
    assert_eq!(seqs(&on_disk(dir.path()).0), (1..=301).collect::<Vec<_>>());
}

#[test]
fn an_id_is_found_behind_many_records_that_belong_to_no_act() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path(), 64 * 1024);
    journal.append(draft(41, "an act"));
    for _ in 0..400 {
        journal.append(Draft::new(0, RecordEvent::Level, "level"));
    }
    drop(journal);
    assert!(dir.path().join("journal.jsonl.1").exists());
    assert_eq!(open(dir.path()).next_id(), 42);
}

#[test]
fn numbers_that_no_agent_counted_to_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).append_durably(draft(3, "x"), LONG);
    let path = dir.path().join("journal.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let huge = text.replace("\"seq\":1,\"id\":3", &format!("\"seq\":{0},\"id\":{0}", u64::MAX));
    fs::write(&path, text + &huge).unwrap();
    let mut journal = open(dir.path());
    assert_eq!((journal.append(draft(1, "x")).seq, journal.next_id()), (2, 4));
}

#[test]
fn a_reason_has_a_bound_and_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    let record = journal.append_durably(draft(1, &("x".to_owned() + &"é".repeat(1 << 20))), LONG);
    assert_eq!(record.reason.len(), super::super::REASON_BYTES - 1);
    assert_eq!(on_disk(dir.path()).0, [record]);
}

#[test]
fn dropping_writes_what_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    (0..1000).for_each(|_| drop(journal.append(draft(1, "x"))));
    drop(journal);
    assert_eq!(on_disk(dir.path()).0.len(), 1000);
}
