//! A process that is killed, and one that meets its file size limit (a write that ends in the middle of a line, as on
//! a full disk, for any user).

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use super::*;

const CHILD: &str = "CTCTL_TEST_JOURNAL_DIR";

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This test binary again, with one test of this file to play a part in `dir`.
fn child(through: &[&str], part: &str, dir: &Path) -> Killed {
    let this = std::env::current_exe().unwrap();
    let mut words: Vec<_> = through.iter().map(std::ffi::OsString::from).collect();
    words.push(this.into());
    words.extend(["--exact", part, "--nocapture"].map(Into::into));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env(CHILD, dir).stdin(Stdio::null()).stdout(Stdio::piped());
    Killed(command.spawn().unwrap())
}

fn dir_of_child() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

/// Not a test by itself: appends until it is killed, and says each number as soon as it is acknowledged.
#[test]
fn appends_for_ever() {
    let Some(dir) = dir_of_child() else { return };
    let mut journal = open_small(&dir, 64 * 1024);
    loop {
        let seq = journal.append_durably(draft(1, "x"), LONG).seq;
        assert!(journal.ok());
        if writeln!(std::io::stdout(), "ack {seq}").is_err() {
            return;
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_sigkill() {
    for round in 1..=5 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child(&[], "act::journal::tests::kill::appends_for_ever", dir.path());
        let mut said = BufReader::new(child.0.stdout.take().unwrap());
        let mut text = String::new();
        while text.matches("ack ").count() < 40 * round {
            assert!(said.read_line(&mut text).unwrap() > 0, "the child ended: {text}");
        }
        child.0.kill().unwrap();
        said.read_to_string(&mut text).unwrap();
        let acks: Vec<u64> =
            text.lines().filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).collect();
        let (records, _) = on_disk(dir.path());
        let seqs = seqs(&records);
        let oldest = seqs[0];
        let missing: Vec<_> =
            acks.iter().filter(|ack| **ack >= oldest && seqs.binary_search(ack).is_err()).collect();
        assert!(missing.is_empty() && seqs.last() >= acks.last(), "{missing:?} of {}", acks.len());
        assert_eq!(open(dir.path()).append(draft(1, "x")).seq, seqs.last().unwrap() + 1);
    }
}

/// Not a test by itself: appends into the limit, then once more with the file moved out of the way.
#[test]
fn appends_into_a_limit() {
    let Some(dir) = dir_of_child() else { return };
    let mut journal = open(&dir);
    let mut written = 0;
    while journal.append_durably(draft(1, "x"), LONG).seq > 0 && journal.ok() {
        written += 1;
    }
    let path = dir.join("journal.jsonl");
    fs::rename(&path, dir.join("full")).unwrap();
    journal.append_durably(draft(1, "x"), LONG);
    writeln!(std::io::stdout(), "written {written} ok {}", journal.ok()).unwrap();
}

#[test]
fn a_write_that_ends_in_the_middle_loses_one_line() {
    let dir = tempfile::tempdir().unwrap();
    // `trap ''`: SIGXFSZ is ignored across exec, so write(2) ends short and then fails with EFBIG.
    let through = ["sh", "-c", r#"trap '' XFSZ; ulimit -S -f 15; exec "$0" "$@""#];
    let mut child = child(&through, "act::journal::tests::kill::appends_into_a_limit", dir.path());
    let mut text = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let said = text.lines().find_map(|line| line.split("written ").nth(1)).expect(&text).to_owned();
    let (written, ok) = said.split_once(" ok ").unwrap();
    let written: usize = written.parse().unwrap();
    assert_eq!(ok, "true");
    assert!(written > 5);
    let (records, _) = on_disk(dir.path());
    assert!(records[0].reason.starts_with("1 record before"), "{}", records[0].reason);
    assert_eq!(records.len(), 2);

    let (full, path) = (dir.path().join("full"), dir.path().join("journal.jsonl"));
    assert!(!fs::read(&full).unwrap().ends_with(b"\n"), "the limit fell on the end of a line");
    fs::rename(&full, &path).unwrap();
    open(dir.path()).append_durably(draft(1, "after"), LONG);
    let (records, warnings) = on_disk(dir.path());
    assert_eq!((records.len(), warnings.len()), (written + 1, 1));
}
