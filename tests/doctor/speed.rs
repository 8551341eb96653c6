//! What a large tree costs, in time of the processor: other programs beside it do not count.

use std::process::Command;

use crate::tree::Tree;

/// Seconds of user time that `doctor` takes for so many files of sysctls and as many units that write the same value.
fn seconds(files: usize) -> f64 {
    let tree =
        Tree::new(&[("usr/lib/systemd/systemd-sysctl", ""), ("etc/modules-load.d/c.conf", "nf_conntrack\n")]);
    let unit = "[Service]\nExecStart=/usr/bin/x\nExecStartPost=/sbin/sysctl -w net.netfilter.nf_conntrack_max=262144\n";
    for n in 0..files {
        tree.put(&format!("etc/sysctl.d/{n:04}.conf"), "net.netfilter.nf_conntrack_max = 262144\n");
        tree.put(&format!("etc/systemd/system/u{n:04}.service"), unit);
    }
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" doctor --root \"$1\" --json >/dev/null; times"]);
    command.arg(env!("CARGO_BIN_EXE_ctctl")).arg(tree.root());
    let output = command.output().expect("sh");
    let text = String::from_utf8(output.stdout).expect("text");
    // The second line is of the children: `0m0.59s 0m0.14s`, user and system.
    let user = text.lines().nth(1).and_then(|line| line.split_whitespace().next()).expect("times");
    let (minutes, seconds) = user.trim_end_matches('s').split_once('m').expect("minutes");
    minutes.parse::<f64>().expect("a number") * 60.0 + seconds.parse::<f64>().expect("a number")
}

#[test]
fn a_tree_of_four_times_the_files_takes_about_four_times_as_long() {
    let (few, many) = (seconds(500), seconds(2000));
    assert!(many <= 8.0 * few.max(0.05), "{few} s of 1,000 files, {many} s of 4,000");
}
