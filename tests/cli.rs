//! The real binary as a process: arguments, errors, exit codes. Needs no root and no agent.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

const COMMANDS: [&str; 19] = [
    "help",
    "doctor",
    "agent",
    "status",
    "top-sources",
    "top",
    "list",
    "events",
    "flush",
    "plan",
    "history",
    "pause",
    "resume",
    "reload",
    "revert",
    "simulate",
    "generate",
    "persist",
    "lifeline",
];

fn ctctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctctl"));
    command.env_remove("NO_COLOR").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    ctctl().args(arguments).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// Exit code 2, nothing on standard output, `ctctl: usage: …` and `hint: …` and no third line; gives both.
fn refused(output: &Output) -> (String, String) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(output.stdout.is_empty());
    let lines: Vec<&str> = error.lines().collect();
    let [why, hint] = lines[..] else { panic!("two lines: {error}") };
    assert!(why.starts_with("ctctl: usage: ") && hint.starts_with("hint: "), "{error}");
    (why.into(), hint.into())
}

#[test]
fn help_of_every_command_has_an_example() {
    for command in COMMANDS {
        let output = run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        assert!(help.contains("Example") && help.contains("  ctctl "), "{help}");
        for global in ["--netns", "--socket", "--config", "--json", "--color"] {
            assert!(help.contains(global), "{command}: {global}");
        }
        assert!(output.stderr.is_empty());
    }
    let all = run(&["--help"]);
    assert_eq!(all.status.code(), Some(0));
    COMMANDS.iter().for_each(|command| assert!(text(&all.stdout).contains(command), "{command}"));
}

#[test]
fn help_of_a_command_is_the_same_both_ways() {
    for path in COMMANDS.iter().map(|command| vec![*command]).chain([vec![], vec!["generate", "man"]]) {
        let asked = run(&[&["help"], &path[..]].concat());
        assert_eq!((asked.status.code(), text(&asked.stderr)), (Some(0), ""), "{path:?}");
        assert_eq!(text(&asked.stdout), text(&run(&[&path[..], &["--help"]].concat()).stdout), "{path:?}");
    }
    let (_, hint) = refused(&run(&["help", "statsu"]));
    assert!(hint.contains("status"), "{hint}");
    refused(&run(&["help", "status", "plan"]));
    refused(&run(&["help", "--nonsense"]));
}

#[test]
fn version_is_the_packages() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), format!("ctctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn bad_arguments_are_one_line_and_a_hint() {
    let (_, hint) = refused(&run(&["statsu"]));
    assert!(hint.contains("status"), "{hint}");
    let (_, hint) = refused(&run(&["status", "--jsn"]));
    assert!(hint.contains("--json"), "{hint}");
    let (why, hint) = refused(&run(&["pause", "--for", "1h30"]));
    assert!(why.contains("without a unit") && hint.contains("90s"), "{why} {hint}");
    for line in [
        &[][..],
        &["top-sources", "-n", "99999999999999999999"],
        &["top-sources", "-n", "-1"],
        &["top-sources", "-n", ""],
        &["top-sources", "--prefix", "33"],
        &["top-sources", "--by", "size"],
        &["top-sources", "--group", "port"],
        &["top-sources", "--watch=0"],
        &["top-sources", "--watch=soon"],
        &["top-sources", "--group", "mark", "--prefix", "24"],
        &["top-sources", "--input", "x", "--watch"],
        &["top-sources", "--input", "x", "--by", "idle"],
        &["pause", "--for", "-1s"],
        &["pause", "--for", ""],
        &["pause", "--for"],
        &["history", "--since", "never"],
        &["history", "--since", "two\nlines"],
        &["status", "--color", "sometimes"],
        &["simulate"],
        &["simulate", "slow-leak", "--seed", "two"],
        &["simulate", "slow-leak", "--seed", "9..3"],
        &["simulate", "slow-leak", "--strategy", "hope"],
        &["plan", "plan"],
        &["", ""],
    ] {
        refused(&run(line));
    }
}

#[test]
fn arguments_that_are_not_utf8_are_refused() {
    let bytes = OsStr::from_bytes(b"\xff\x1b[2J");
    for before in [&[][..], &["status"], &["pause", "--for"], &["top-sources", "-n"], &["--netns"]] {
        let output = ctctl().args(before).arg(bytes).output().expect("the binary starts");
        refused(&output);
        assert!(!output.stderr.contains(&0x1b), "an escape sequence went through");
    }
}

#[test]
fn check_never_says_critical_of_a_bad_argument() {
    for line in [
        &["status", "--check", "--nonsense"][..],
        &["--nonsense", "status", "--check"],
        &["status", "--check=yes"],
        &["status", "--check", "--json"],
        &["statsu", "--check"],
    ] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(3), "{line:?}");
        let said = text(&output.stdout);
        assert!(said.starts_with("CTCTL UNKNOWN - usage: ") && said.lines().count() == 1, "{said}");
        assert!(output.stderr.is_empty());
    }
}

/// A configuration with a key that does not exist, and its path.
fn misspelt() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ctctl.toml");
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(b"[agent]\ndry_rum = true\n").expect("written");
    (directory, path.display().to_string())
}

#[test]
fn an_unknown_key_is_a_configuration_error() {
    let (_directory, path) = misspelt();
    for command in ["status", "plan", "agent"] {
        let output = run(&[command, "--config", &path]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("dry_rum") && error.contains(&path), "{error}");
    }
    let output = run(&["status", "--check", "--config", &path]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).starts_with("CTCTL UNKNOWN - "));
}

#[test]
fn commands_to_the_agent_need_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("none.sock").display().to_string();
    for command in ["pause", "resume", "reload"] {
        let output = run(&[command, "--socket", &socket]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.starts_with(&format!("ctctl: agent: no agent on {socket}\nhint: ")), "{error}");
        assert!(error.contains(&format!("`ctctl --socket {socket} agent`")), "{error}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    for line in [&["--help"][..], &["status", "--check", "--nonsense"]] {
        let mut child = ctctl()
            .args(line)
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut error = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut error).expect("text");
        assert_eq!((child.wait().expect("ends").code(), error.as_str()), (Some(0), ""), "{line:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = ctctl().arg("--help").stdout(full).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).starts_with("ctctl: standard output: "));
}

#[test]
fn a_closed_standard_error_does_not_change_the_exit_code() {
    let status = ctctl().arg("statsu").stderr(closed_pipe()).status().expect("the binary starts");
    assert_eq!(status.code(), Some(2));
}

/// The writing end of a pipe that nobody reads any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

const RECORDED: &str = "{\"schema\": 1, \"taken_at\": \"2026-11-21T02:49:52Z\", \"version\": \"0.1.0\",\n
    \"netns\": {\"name\": \"gw\", \"inode\": 7}, \"basis\": \"agent\", \"memory\": {}, \"settings\": {},\n
    \"snapshot\": {\"now_seconds\": 100.5, \"entries\": 900, \"max\": 1000, \"buckets\": 512}}";

/// `plan` with a snapshot on its standard input.
fn replayed(arguments: &[&str], snapshot: &str) -> Output {
    let mut command = ctctl();
    command.args(["plan", "--from", "-"]).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let _ = child.stdin.take().expect("a pipe").write_all(snapshot.as_bytes());
    child.wait_with_output().expect("ends")
}

#[test]
fn a_recorded_plan_needs_no_namespace_and_no_rights() {
    let plan = replayed(&["--json", "--netns", "no-such"], RECORDED);
    assert_eq!(plan.status.code(), Some(0), "{}", text(&plan.stderr));
    let plan = text(&plan.stdout);
    assert!(
        plan.contains("\"taken_at\":\"2026-11-21T02:49:52Z\"") && plan.contains("90.0 % (900 of 1000"),
        "{plan}"
    );
    let shown = replayed(&[], RECORDED);
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("Decided again from standard input, recorded at ") && shown.contains("in gw"),
        "{shown}"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("tighter.toml");
    std::fs::write(&config, "[capacity]\nlimit = 950\n").expect("a file");
    let other = replayed(&["--config", config.to_str().expect("text")], RECORDED);
    assert!(text(&other.stdout).contains("94.7 % (900 of 950"), "{}", text(&other.stdout));
}

/// A sentence that names a command names it with the options of this one, for readers of JSON as well.
#[test]
fn commands_in_the_sentences_of_a_recorded_plan_are_complete() {
    let scanned = RECORDED.replace("\"entries\": 900", "\"entries\": 980").replace(
        "\"buckets\": 512",
        "\"buckets\": 512, \"scan\": {\"at_seconds\": 100.4, \"entries\": 980, \"trusted\": true}",
    );
    let plan = replayed(&["--json", "--netns", "blue", "--socket", "/run/b.sock"], &scanned);
    let plan = text(&plan.stdout);
    assert!(plan.contains("`ctctl --netns blue --socket /run/b.sock top-sources`"), "{plan}");
}

#[test]
fn a_snapshot_that_is_none_is_shown_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("gw.json");
    let path = file.to_str().expect("text");
    for (broken, says) in [
        ("{\"schema\": 1,\n \"snapshot\": 3}", "gw.json:2:14: invalid type"),
        ("[]", "gw.json:1:"),
        ("{\"schema\": 2}", "its schema is 2, and this version reads 1"),
    ] {
        std::fs::write(&file, broken).expect("a file");
        let output = run(&["plan", "--from", path]);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{error}");
        assert!(error.starts_with("ctctl: snapshot: ") && error.contains(says), "{error}");
        assert!(error.lines().count() == 2 && error.contains("\nhint: "), "{error}");
    }
    assert_eq!(run(&["plan", "--from", "/nonexistent/gw.json"]).status.code(), Some(2));
    refused(&run(&["plan", "--from", path, "--snapshot"]));
}

#[test]
fn filters_are_the_same_everywhere_and_the_nearest_right_one_is_named() {
    for command in ["list", "events", "flush", "top-sources"] {
        let help = run(&[command, "--help"]);
        for filter in [
            "-s, --source",
            "-d, --destination",
            "--sport",
            "--dport",
            "--reply-source",
            "--reply-destination",
            "--nat-source",
            "--nat-port",
            "-p, --proto",
            "--state",
            "--unreplied",
            "--assured",
            "--idle-over",
            "-m, --mark",
            "-w, --zone",
            "-f, --family",
            "--not",
        ] {
            assert!(text(&help.stdout).contains(filter), "{command} {filter}");
        }
        for (line, hinted) in [
            (&["--state", "establishd"][..], "established"),
            (&["--sorce", "10.0.0.1"], "--source"),
            (&["-s", "10.0.0.0/33"], "10.0.0.0/8"),
            (&["-m", "0x100/0xff"], "0x1/0xff"),
            (&["--idle-over", "10x"], "10m"),
            (&["-w", "65536"], "65535"),
        ] {
            let (_, hint) = refused(&run(&[&[command], line].concat()));
            assert!(hint.contains(hinted), "{command} {line:?}: {hint}");
        }
        let (why, hint) = refused(&run(&[command, "-s", "10.0.0.1", "--not"]));
        assert!(why.contains("no filter follows '--not'") && hint.contains("--help"), "{why} {hint}");
        let (why, _) = refused(&run(&[command, "--not", "--not", "--assured"]));
        assert!(why.contains("twice"), "{why}");
    }
}

#[test]
fn a_flush_needs_a_wish() {
    let asked = |line: &[&str]| {
        let output = run(line);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line:?}");
        let error = text(&output.stderr).to_owned();
        assert_eq!(error.lines().count(), 2, "{error}");
        error
    };
    for line in [
        &["flush"][..],
        &["flush", "--yes"],
        &["flush", "--dry-run"],
        &["flush", "--even-protected", "--json"],
    ] {
        let error = asked(line);
        assert!(error.starts_with("ctctl: flush: neither --stale nor a filter"), "{error}");
        assert!(error.contains("hint: ") && error.contains("--dry-run"), "{error}");
    }
    refused(&run(&["flush", "--stale", "--limit", "0"]));
    refused(&run(&["events", "-n", "0"]));
    refused(&run(&["list", "--json", "--like-conntrack"]));
}
