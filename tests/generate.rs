//! `ctctl generate`: each file is read by the program that it is for. What is missing is said, and fails under CI.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn generate(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ctctl")).args(arguments).output().expect("starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a program with `input`; `None` where it is missing, which CI does not take for an answer.
fn fed(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{program} is needed under CI: {error}");
            eprintln!(
                "SKIPPED: {program} is missing ({error}), so the generated file was not held against it"
            );
            return None;
        }
    };
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    Some(child.wait_with_output().expect("ends"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The commands that help names below `above`, each with its path.
fn commands(above: &[&str]) -> Vec<Vec<String>> {
    let help = generate(&[above, &["--help"]].concat());
    let listed =
        help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = listed.lines().filter(is_name).filter_map(|line| line.split_whitespace().next());
    let mut found = Vec::new();
    for name in names {
        let path = [above, &[name]].concat();
        found.push(path.iter().map(|word| (*word).to_owned()).collect());
        found.extend(commands(&path));
    }
    found
}

#[test]
fn every_commands_help_has_an_example_with_its_name() {
    let all = commands(&[]);
    assert!(all.len() > 10, "{all:?}");
    for path in all {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = generate(&[&words[..], &["--help"]].concat());
        let example = help.split("Example").nth(1).unwrap_or_default();
        assert!(example.contains(&path.join(" ")), "{path:?}: {help}");
    }
}

#[test]
fn the_manual_has_every_command_and_option_and_groff_takes_it() {
    let page = generate(&["generate", "man"]);
    for path in commands(&[]) {
        assert!(page.contains(&format!(".SS \"ctctl {}\"", path.join(" "))), "{path:?}");
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = generate(&[&words[..], &["--help"]].concat());
        let plain = page.replace("\\-", "-");
        // The lines that begin with an option; an alias is said at their end.
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let named = lines.flat_map(|line| line.split_whitespace().take_while(|word| word.starts_with('-')));
        // An optional value (`--watch[=<SECS>]`) is set in another face.
        for option in named.filter_map(|word| word.split(['[', '=', ',', '.']).next()) {
            assert!(plain.contains(option), "{path:?}: {option}");
        }
    }
    for section in ["NAME", "SYNOPSIS", "COMMANDS", "EXIT STATUS", "FILES"] {
        assert!(page.contains(section), "{section}");
    }
    if let Some(output) = fed("groff", &["-man", "-ww", "-z", "-Tutf8"], &page) {
        assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    }
}

#[test]
fn completions_are_read_by_bash_and_complete() {
    let script = generate(&["generate", "completions", "bash"]);
    let asked = "COMP_WORDS=(ctctl generate com); COMP_CWORD=2; _ctctl ctctl com generate; echo \"${COMPREPLY[@]}\"\n\
                 COMP_WORDS=(ctctl stat); COMP_CWORD=1; _ctctl ctctl stat ctctl; echo \"${COMPREPLY[@]}\"\n";
    let output = fed("bash", &["--norc", "-eu", "-s"], &format!("set +u\n{script}\n{asked}"));
    let output = output.expect("bash");
    assert_eq!(said(&output), "completions\nstatus\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(generate(&["generate", "completions", shell]).contains("top-sources"), "{shell}");
    }
}

#[test]
fn the_configuration_is_taken_by_the_program_itself() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ctctl.toml");
    std::fs::write(&path, generate(&["generate", "config"])).expect("written");
    generate(&["--config", path.to_str().expect("text"), "generate", "unit"]);
    std::fs::write(&path, generate(&["generate", "config"]).replace("# dry_run", "dry_rum"))
        .expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctctl"));
    command.arg("--config").arg(&path).args(["generate", "unit"]);
    let output = command.output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("dry_rum"), "{}", said(&output));
}

/// The unit, with a program that is there in place of its own.
fn unit(directory: &Path) -> String {
    let text = generate(&["--netns", "blue", "generate", "unit"]);
    let started = text.lines().find(|line| line.starts_with("ExecStart=")).expect("ExecStart");
    assert!(started.ends_with("/ctctl --netns blue agent"), "{started}");
    let path = directory.join("ctctl.service");
    std::fs::write(&path, text.replace(started, "ExecStart=/bin/true")).expect("written");
    path.to_str().expect("text").to_owned()
}

#[test]
fn systemd_knows_every_word_of_the_unit_and_rates_it_as_well_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = unit(directory.path());
    if let Some(output) = fed("systemd-analyze", &["verify", "--man=no", &path], "") {
        // It ends with 0 on keys that it does not know: what it says is what counts. Other units are not our matter.
        let text = said(&output);
        let faults: Vec<&str> = text.lines().filter(|line| line.contains("ctctl.service")).collect();
        assert!(output.status.success() && faults.is_empty(), "{text}");
    }
    // From 0 (closed) to 10: what is left is the agent's work itself, and 4.0 is where "OK" begins to end.
    let arguments = ["security", "--no-pager", "--offline=yes", "--threshold=40", &path];
    if let Some(output) = fed("systemd-analyze", &arguments, "") {
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn the_unit_opens_what_the_configuration_has_moved() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ctctl.toml");
    let text = "[agent]\nsocket = \"/run/gw/ctctl.sock\"\nstate_dir = \"/srv/ctctl state\"\n[metrics]\nlisten = \"0.0.0.0:1\"\n";
    std::fs::write(&path, text).expect("written");
    let unit = generate(&["--config", path.to_str().expect("text"), "generate", "unit"]);
    let open = unit.lines().find(|line| line.starts_with("ReadWritePaths=")).expect("ReadWritePaths");
    assert!(open.ends_with(" /run/gw \"/srv/ctctl state\""), "{open}");
    assert!(!unit.contains("IPAddressDeny"), "the metrics are served to others");
    assert!(unit.contains(&format!("--config {} ", path.display())), "{unit}");
}
