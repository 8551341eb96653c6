//! A tree of files in a temporary directory, and the real binary on it.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Goes with its directory.
pub struct Tree(TempDir);

impl Tree {
    /// Files by path and text; a text that begins with `-> ` makes a link, one that begins with `#!` a file that runs.
    pub fn new(files: &[(&str, &str)]) -> Tree {
        let tree = Tree(tempfile::tempdir().expect("a directory"));
        for directory in ["etc/sysctl.d", "etc/modules-load.d", "etc/modprobe.d"] {
            std::fs::create_dir_all(tree.path(directory)).expect("a directory");
        }
        files.iter().for_each(|(path, text)| tree.put(path, text));
        tree
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        match text.strip_prefix("-> ") {
            Some(target) => symlink(target, path).expect("a link"),
            None => {
                std::fs::write(&path, text).expect("a file");
                let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
                std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            }
        }
    }

    /// Runs `ctctl doctor --root` here with more arguments.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctctl"));
        command.arg("doctor").arg("--root").arg(self.root()).args(arguments);
        command.env_remove("NO_COLOR").env_remove("COLUMNS").stdin(Stdio::null());
        command.output().expect("the binary starts")
    }

    /// The document, and the exit code that goes with it.
    pub fn document(&self) -> (Option<i32>, Value) {
        let output = self.run(&["--json"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let document = serde_json::from_slice(&output.stdout).expect("one JSON document");
        (output.status.code(), document)
    }

    /// Runs every command of the fixes of `id`, as somebody who pastes them.
    pub fn apply(&self, document: &Value, id: &str) {
        for finding in of(document, id) {
            for command in finding["fix"].as_array().expect("a list") {
                let command = command.as_str().expect("text");
                let inside = self.root().to_str().expect("text");
                assert!(command.starts_with('#') || command.contains(inside), "{command} leaves the image");
                let done = Command::new("sh").args(["-ec", command]).output().expect("sh");
                assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
            }
        }
    }
}

/// The findings of one id.
pub fn of<'a>(document: &'a Value, id: &str) -> Vec<&'a Value> {
    let findings = document["findings"].as_array().expect("findings");
    findings.iter().filter(|finding| finding["id"] == id).collect()
}

/// Ids with their severities.
pub fn ids(document: &Value) -> BTreeSet<(String, String)> {
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("text").to_owned();
    let findings = document["findings"].as_array().expect("findings");
    findings.iter().map(|finding| (text(finding, "id"), text(finding, "severity"))).collect()
}
