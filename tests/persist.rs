//! `ctctl persist` as a process, below a root of its own. Needs no root; the kernel's own values are read.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn persist(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ctctl")).arg("persist").args(arguments).output().expect("starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A root, and its name; `None` on a machine whose kernel shows no conntrack, which CI's does.
fn root() -> Option<(tempfile::TempDir, String)> {
    if !Path::new("/proc/sys/net/netfilter/nf_conntrack_count").exists() {
        assert!(std::env::var_os("CI").is_none(), "modprobe nf_conntrack");
        eprintln!("SKIPPED: the kernel has no conntrack sysctls: modprobe nf_conntrack");
        return None;
    }
    let root = tempfile::tempdir().expect("a root");
    let name = root.path().display().to_string();
    Some((root, name))
}

fn files(root: &Path) -> usize {
    let below = std::fs::read_dir(root).expect("read").flatten().map(|entry| entry.path());
    below.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[test]
fn a_dry_run_shows_the_diff_and_writes_nothing() {
    let Some((directory, root)) = root() else { return };
    let output = persist(&["--dry-run", "--root", &root]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("--- /dev/null\n") && text.contains("/etc/sysctl.d/90-ctctl.conf\n"), "{text}");
    assert!(text.contains("Would be written: "), "{text}");
    assert_eq!(files(directory.path()), 0);
}

#[test]
fn what_it_writes_is_what_the_kernel_holds_and_again_nothing_is_written() {
    let Some((directory, root)) = root() else { return };
    let output = persist(&["--json", "--root", &root]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!((&document["schema"], &document["dry_run"]), (&1.into(), &false.into()));
    for file in document["files"].as_array().expect("files") {
        assert_eq!(file["change"], "new");
        assert!(Path::new(file["path"].as_str().expect("a path")).exists(), "{file}");
    }
    let written = files(directory.path());
    assert!(written > 0);
    let again = persist(&["--root", &root]);
    assert_eq!(again.status.code(), Some(0));
    assert!(said(&again).contains("Nothing to write"), "{}", said(&again));
    assert_eq!(files(directory.path()), written, "no backup of what did not change");
}

#[test]
fn a_later_file_is_named_and_the_exit_code_is_1() {
    let Some((directory, root)) = root() else { return };
    let first: Value =
        serde_json::from_slice(&persist(&["--json", "--root", &root]).stdout).expect("one document");
    // Any timeout that some file names is written; this one then comes later.
    let later = directory.path().join("etc/sysctl.d/99-other.conf");
    std::fs::write(&later, "net.netfilter.nf_conntrack_icmp_timeout = 77\n").expect("written");
    let output = persist(&["--root", &root]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{first} {text}");
    assert!(text.contains("Will not hold: ") && text.contains("99-other.conf:1"), "{text}");
    assert_eq!(
        std::fs::read_to_string(later).expect("there"),
        "net.netfilter.nf_conntrack_icmp_timeout = 77\n"
    );
}

#[test]
fn what_is_in_the_way_is_one_line_and_a_hint() {
    let output = persist(&["--root", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).starts_with("ctctl: persist: /nonexistent"), "{}", said(&output));
    let Some((directory, root)) = root() else { return };
    let foreign = directory.path().join("etc/sysctl.d/90-ctctl.conf");
    std::fs::create_dir_all(foreign.parent().expect("a directory")).expect("made");
    std::fs::write(&foreign, "mine\n").expect("written");
    let output = persist(&["--root", &root]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let lines = said(&output);
    assert!(lines.lines().count() == 2 && lines.contains("\nhint: "), "{lines}");
    assert_eq!(std::fs::read_to_string(foreign).expect("there"), "mine\n");
}
