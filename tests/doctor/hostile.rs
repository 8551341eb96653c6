//! Arguments, directories that are none, and trees that nobody should have: an answer or an error, never a panic, a
//! wait, or a file outside of the root.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::tree::{Tree, ids};

fn ctctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctctl"));
    command.args(arguments).env_remove("NO_COLOR").env_remove("COLUMNS").stdin(Stdio::null());
    command.output().expect("the binary starts")
}

/// `ctctl: …` and `hint: …`, nothing else.
#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{error}");
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("ctctl: ") && lines[1].starts_with("hint: "), "{error}");
    error
}

const LINE: &str = "net.netfilter.nf_conntrack_max = 65536.\n";

fn bad_value() -> std::collections::BTreeSet<(String, String)> {
    [("sysctl-bad-value".into(), "error".into())].into()
}

#[test]
fn a_root_that_is_none_is_an_error() {
    let tree = Tree::new(&[("etc/file", "")]);
    let text = |path: &str| tree.path(path).display().to_string();
    assert!(refused(&ctctl(&["doctor", "--root", &text("none")]), 3).contains("No such file"));
    assert!(refused(&ctctl(&["doctor", "--root", &text("etc/file")]), 3).contains("Not a directory"));
    assert!(refused(&ctctl(&["doctor", "--root", &text("etc/sysctl.d")]), 3).contains("it holds no etc"));
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    refused(&ctctl(&["doctor", "--root"]), 2);
    refused(&ctctl(&["doctor", "--root", ""]), 2);
    refused(&ctctl(&["doctor", "--root", "/", "--netns", "blue"]), 2);
    refused(&ctctl(&["doctor", "--root", "/", "--sample", "5s"]), 2);
    refused(&ctctl(&["doctor", "--sample", "5x"]), 2);
    refused(&ctctl(&["doctor", "--sample", "2h"]), 2);
    refused(&ctctl(&["doctor", "everything"]), 2);
    assert!(refused(&ctctl(&["doctr"]), 2).contains("doctor"));
}

#[test]
fn no_finding_and_findings_differ_in_the_exit_code_and_nothing_is_changed() {
    let tree =
        Tree::new(&[("etc/sysctl.d/50-x.conf", LINE), ("etc/modules-load.d/x.conf", "nf_conntrack\n")]);
    let modified =
        || std::fs::metadata(tree.path("etc/sysctl.d/50-x.conf")).and_then(|m| m.modified()).expect("time");
    let before = modified();
    let output = tree.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("text");
    let file = tree.path("etc/sysctl.d/50-x.conf").display().to_string();
    assert!(text.starts_with("error sysctl-bad-value: net.netfilter.nf_conntrack_max is not set"), "{text}");
    assert!(text.contains(&format!("    {file}:1: {}", LINE.trim())), "{text}");
    assert!(text.contains("\n    Fix:\n        sed -i ") && text.contains("\n    Source: "), "{text}");
    assert!(text.ends_with("\n1 error, 0 warnings, 0 notes.\n"), "{text}");
    assert_eq!(modified(), before);
    let quiet = String::from_utf8(tree.run(&["-q"]).stdout).expect("text");
    assert_eq!(quiet.lines().count(), 2, "{quiet}");
    let clean = Tree::new(&[]).run(&[]);
    assert_eq!(
        (clean.status.code(), clean.stdout.as_slice()),
        (Some(0), &b"0 errors, 0 warnings, 0 notes.\n"[..])
    );
}

#[test]
fn the_document_has_its_head_and_fields() {
    let (_, document) = Tree::new(&[("etc/sysctl.d/50-x.conf", LINE)]).document();
    let keys: Vec<&str> = document.as_object().expect("an object").keys().map(String::as_str).collect();
    for key in
        ["schema", "taken_at", "netns", "root", "severity", "findings", "tracking_users", "not_examined"]
    {
        assert!(keys.contains(&key), "{key}");
    }
    assert_eq!((&document["schema"], &document["severity"]), (&1.into(), &"error".into()));
    assert_eq!(document["tracking_users"], Value::Null);
    assert_eq!(document["netns"], serde_json::json!({"name": null, "inode": null}));
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_examined() {
    let tree = Tree::new(&[
        ("etc/sysctl.d/50-x.conf", LINE),
        ("etc/sysctl.d/10-loop.conf", "-> 10-loop.conf"),
        ("etc/modprobe.d/loop.conf", "-> ../modprobe.d/loop.conf"),
        ("etc/modules-load.d/x.conf", "nf_conntrack\n"),
        ("usr/local/bin/huge", ""),
    ]);
    for path in ["etc/sysctl.d/20-huge.conf", "usr/local/bin/huge"] {
        File::create(tree.path(path)).and_then(|file| file.set_len(3 << 30)).expect("a sparse file");
    }
    let (code, document) = tree.document();
    assert_eq!((ids(&document), code), (bad_value(), Some(1)));
    let said: Vec<&str> = document["not_examined"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| p["what"].as_str().expect("text"))
        .collect();
    let named = |path: &str| tree.path(path).display().to_string();
    assert_eq!(
        said,
        [
            named("etc/modprobe.d/loop.conf"),
            named("etc/sysctl.d/10-loop.conf"),
            named("etc/sysctl.d/20-huge.conf")
        ]
    );
    // Nothing found, and part not looked at.
    std::fs::write(tree.path("etc/sysctl.d/50-x.conf"), "").expect("written");
    assert_eq!(tree.document().0, Some(3));
}

#[test]
fn a_file_without_permission_is_said() {
    let tree = Tree::new(&[("etc/sysctl.d/50-x.conf", LINE)]);
    std::fs::set_permissions(tree.path("etc/sysctl.d/50-x.conf"), Permissions::from_mode(0o000))
        .expect("a mode");
    std::fs::set_permissions(tree.root(), Permissions::from_mode(0o755)).expect("a mode");
    let (code, document) = if nix::unistd::geteuid().is_root() {
        assert_eq!(ids(&tree.document().1), bad_value(), "root reads it all the same");
        let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_ctctl")];
        let mut command = Command::new("setpriv");
        command.args(nobody).args(["doctor", "--json", "--root"]).arg(tree.root());
        let output = command.output().expect("setpriv");
        (output.status.code(), serde_json::from_slice(&output.stdout).expect("one JSON document"))
    } else {
        tree.document()
    };
    assert_eq!((ids(&document), code), (Default::default(), Some(3)));
    assert_eq!(document["not_examined"][0]["failed"], true);
}

#[test]
fn bytes_that_are_no_text_pipes_and_directories_stop_nothing() {
    let tree = Tree::new(&[("etc/modules-load.d/x.conf", "nf_conntrack\n")]);
    let mut bytes = b"# gr\xfc\xdfe\n\xff\xfe\x00 = \x00\n\x1b[2Jnf_conntrack = \x1b]0;x\x07\n".to_vec();
    bytes.extend(LINE.as_bytes());
    std::fs::write(tree.path("etc/sysctl.d/50-x.conf"), bytes).expect("written");
    nix::unistd::mkfifo(&tree.path("etc/sysctl.d/10-fifo.conf"), nix::sys::stat::Mode::S_IRUSR)
        .expect("a FIFO");
    std::fs::create_dir(tree.path("etc/sysctl.d/20-directory.conf")).expect("a directory");
    tree.put("etc/sysctl.d/30-device.conf", "-> /dev/zero");
    tree.put("etc/rc.local", "-> /dev/zero");
    let (code, document) = tree.document();
    let found = ids(&document);
    assert_eq!(code, Some(1));
    assert!(found.is_superset(&bad_value()), "{found:?}");
    let text = String::from_utf8(tree.run(&["--color", "never"]).stdout).expect("text");
    assert!(!text.contains('\x1b') && !text.contains('\0'), "{text:?}");
}

#[test]
fn links_out_of_the_image_are_not_followed() {
    let outside = Tree::new(&[("secret.conf", LINE)]);
    let tree = Tree::new(&[("etc/modules-load.d/x.conf", "nf_conntrack\n")]);
    let path = outside.path("secret.conf").display().to_string();
    tree.put("etc/sysctl.d/50-x.conf", &format!("-> {path}"));
    tree.put("etc/sysctl.d/60-y.conf", &format!("-> ../../../../../../../..{path}"));
    assert_eq!(ids(&tree.document().1), Default::default());
    // The same link where the image has such a file itself.
    tree.put(&path[1..], LINE);
    assert_eq!(ids(&tree.document().1), bad_value());
}

#[test]
fn a_line_of_a_megabyte_and_a_hundred_thousand_lines_come_to_an_end() {
    let long = format!("net.netfilter.nf_conntrack_{} = {}\n", "max".repeat(150_000), "9".repeat(500_000));
    let tree = Tree::new(&[("etc/sysctl.d/50-x.conf", &long)]);
    assert_eq!(tree.document().0, Some(1));
    let many = "net.netfilter.nf_conntrack_udp_timeout=60\n".repeat(24_000);
    let stars = format!("net.netfilter.nf_conntrack_{} = 1\n", "*a".repeat(1000));
    let tree = Tree::new(&[("etc/sysctl.d/50-x.conf", &many), ("etc/sysctl.d/60-y.conf", &stars)]);
    tree.put("etc/modules-load.d/x.conf", "nf_conntrack\n");
    assert_eq!(tree.document().0, Some(0));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let tree = Tree::new(&[("etc/sysctl.d/50-x.conf", &LINE.repeat(5000))]);
    let mut command = Command::new("sh");
    command.args(["-c", "{ \"$0\" doctor --root \"$1\"; echo $? >&2; } | head -1"]);
    command.arg(env!("CARGO_BIN_EXE_ctctl")).arg(tree.root());
    let output = command.output().expect("sh");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert!(matches!(errors.trim(), "0" | "1"), "{errors}");
}
