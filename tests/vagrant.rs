//! The machines' files: each is read by the program that it is for. What is missing is said loudly, and under CI ruby
//! and bash must be there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant")
}

/// Files below vagrant/ with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for below in ["provision", "scenarios", "traffic"] {
        let entries = std::fs::read_dir(directory().join(below)).expect("read").flatten();
        found.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == ending)),
        );
    }
    assert!(!found.is_empty(), "no .{ending} below vagrant/");
    found
}

/// Runs a program in vagrant/; `None` where it is missing, which `needed` under CI does not allow.
fn run(program: &str, arguments: &[&str], needed: bool) -> Option<Output> {
    let home = std::env::temp_dir().join(format!("ctctl-vagrant-{}", std::process::id()));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory());
    command.env("VAGRANT_HOME", &home).env("VAGRANT_DOTFILE_PATH", home.join("dot"));
    let output = command.output();
    let _ = std::fs::remove_dir_all(home);
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            let what = format!("{program} is missing ({error}): {arguments:?} was NOT checked");
            assert!(!needed || std::env::var_os("CI").is_none(), "{what}");
            eprintln!("SKIPPED: {what}");
            None
        }
    }
}

fn passes(output: &Output) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn ruby_reads_the_vagrantfile() {
    if let Some(output) = run("ruby", &["-wc", "Vagrantfile"], true) {
        passes(&output);
        let warned = String::from_utf8_lossy(&output.stderr);
        assert!(!warned.contains("warning"), "{warned}");
    }
}

#[test]
fn vagrant_validates_it_where_it_is_installed() {
    if let Some(output) = run("vagrant", &["validate", "--ignore-provider"], false) {
        passes(&output);
    }
}

#[test]
fn scripts_are_read_by_bash_and_shellcheck() {
    for path in files("sh") {
        let path = path.to_str().expect("text");
        run("bash", &["-n", path], true).iter().for_each(passes);
        if let Some(output) = run("shellcheck", &["-x", "-P", "scenarios", path], false) {
            passes(&output);
        }
    }
}

#[test]
fn traffic_is_read_by_python() {
    for path in files("py") {
        let script = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
        if let Some(output) = run("python3", &["-c", script, path.to_str().expect("text")], false) {
            passes(&output);
        }
    }
}

#[test]
fn the_unit_is_the_programs_own_and_every_scenario_is_told_of() {
    let read = |name: &str| std::fs::read_to_string(directory().join(name)).expect("there");
    assert!(read("provision/gateway.sh").contains("ctctl generate unit >/etc/systemd/system/ctctl.service"));
    let readme = read("README.md");
    for path in files("sh").iter().filter(|path| path.parent().is_some_and(|p| p.ends_with("scenarios"))) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        assert!(name == "common.sh" || readme.contains(&format!("scenarios/{name}")), "{name}");
    }
    let vagrantfile = read("Vagrantfile");
    for word in ["CTCTL_BOX", "CTCTL_BINARY", "CTCTL_LIBVIRT_DRIVER"] {
        assert!(vagrantfile.contains(word) && readme.contains(word), "{word}");
    }
}
