use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;

use super::super::read::MAX_LINE_BYTES;
use super::*;
use crate::error::Exit;

fn five_records(dir: &Path) -> Vec<JournalRecord> {
    let mut journal = open(dir);
    (1..=5).map(|id| journal.append_durably(draft(id, "x"), LONG)).collect()
}

#[test]
fn broken_lines_are_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let written = five_records(dir.path());
    let path = dir.path().join("journal.jsonl");
    let lines = lines(&path);
    let long = "x".repeat(MAX_LINE_BYTES + 1);
    let text = [&lines[0], "{\"schema\":1}", &lines[1], &long, "", &lines[2], "\u{0}", &lines[3], &lines[4]];
    fs::write(&path, text.join("\n")).unwrap();
    let (records, warnings) = on_disk(dir.path());
    assert_eq!(records, written);
    let named = |line: u32| warnings.iter().any(|text| text.contains(&format!("journal.jsonl:{line}: ")));
    assert!(warnings.len() == 3 && [2, 4, 7].into_iter().all(named), "{warnings:?}");
}

#[test]
fn a_line_of_the_longest_length_is_read_and_one_more_byte_is_not() {
    let dir = tempfile::tempdir().unwrap();
    five_records(dir.path());
    let path = dir.path().join("journal.jsonl");
    let line = lines(&path).remove(0);
    let padded = |length: usize| line.clone() + &" ".repeat(length - line.len());
    fs::write(&path, padded(MAX_LINE_BYTES)).unwrap();
    assert_eq!(on_disk(dir.path()).0.len(), 1);
    fs::write(&path, padded(MAX_LINE_BYTES + 1) + "\n" + &line).unwrap();
    let (records, warnings) = on_disk(dir.path());
    assert_eq!((records.len(), warnings.len()), (1, 1));
}

#[test]
fn a_file_of_rubbish_does_not_flood() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("journal.jsonl"), "rubbish\n".repeat(1000)).unwrap();
    let (records, warnings) = on_disk(dir.path());
    assert_eq!((records.len(), warnings.len()), (0, 11));
    assert!(warnings[10].contains("990 more"), "{}", warnings[10]);
}

#[test]
fn the_last_ones_come_oldest_first_across_parts() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path(), 1500);
    for id in 1..=12 {
        journal.append_durably(draft(id, "x"), LONG);
    }
    assert!(dir.path().join("journal.jsonl.2").exists());
    let ids = |limit| -> Vec<u64> {
        super::super::read(dir.path(), limit, None, |_| ()).unwrap().iter().map(|record| record.id).collect()
    };
    let all = ids(0);
    assert!(all.len() > 6 && all.last() == Some(&12) && all.is_sorted());
    for limit in 1..=all.len() {
        assert_eq!(ids(limit), all[all.len() - limit..]);
    }
}

#[test]
fn since_leaves_out_what_is_older() {
    let dir = tempfile::tempdir().unwrap();
    let written = five_records(dir.path());
    let since = written[2].at.parse().unwrap();
    let records = super::super::read(dir.path(), 0, Some(since), |_| ()).unwrap();
    assert_eq!(records, written[2..]);
    let records = super::super::read(dir.path(), 1, Some(since), |_| ()).unwrap();
    assert_eq!(records, written[4..]);
}

#[test]
fn a_part_with_two_names_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let written = five_records(dir.path());
    fs::hard_link(dir.path().join("journal.jsonl"), dir.path().join("journal.jsonl.1")).unwrap();
    assert_eq!(fs::metadata(dir.path().join("journal.jsonl.1")).unwrap().nlink(), 2);
    assert_eq!(on_disk(dir.path()).0, written);
}

#[test]
fn a_part_that_cannot_be_opened_is_named_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let written = five_records(dir.path());
    let (one, two) = (dir.path().join("journal.jsonl.1"), dir.path().join("journal.jsonl.2"));
    std::os::unix::fs::symlink(&one, &one).unwrap();
    nix::unistd::mkfifo(&two, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (records, warnings) = on_disk(dir.path());
    assert_eq!(records, written);
    assert!(
        warnings.len() == 2 && warnings[0].contains("jsonl.1") && warnings[1].contains("jsonl.2"),
        "{warnings:?}"
    );
    fs::remove_file(dir.path().join("journal.jsonl")).unwrap();
    let error = super::super::read(dir.path(), 0, None, |_| ()).unwrap_err();
    assert!(error.why.contains("jsonl.1"), "{error}");
}

#[test]
fn no_journal_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let error = super::super::read(&path, 0, None, |_| ()).unwrap_err();
        assert_eq!(error.exit, Exit::Unreachable);
        assert!(error.why.contains("journal.jsonl") && error.hint.unwrap().contains("--config"));
    }
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(super::super::read(&file, 0, None, |_| ()).is_err());
    fs::write(dir.path().join("journal.jsonl"), "").unwrap();
    assert_eq!(on_disk(dir.path()).0, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(
        parts in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..2000), 1..4),
        limit in 0usize..3,
    ) {
        let dir = tempfile::tempdir().unwrap();
        five_records(dir.path());
        let path = dir.path().join("journal.jsonl");
        let good = fs::read(&path).unwrap();
        for (number, bytes) in parts.iter().enumerate() {
            let path = super::super::file::part(dir.path(), number as u32);
            // What follows the rubbish on its own lines is not lost to it.
            fs::write(path, [bytes.as_slice(), b"\n", &good].concat()).unwrap();
        }
        let records = super::super::read(dir.path(), limit, None, |_| ()).unwrap();
        let all = 5 * parts.len();
        prop_assert_eq!(records.len(), if limit == 0 { all } else { limit });
        open(dir.path());
    }
}
