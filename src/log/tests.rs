//! A subscriber belongs to a process, so each test runs this very test program again as [`child`], with the
//! environment and the standard error that it is about.

use std::io::{self, BufRead, Read};
use std::process::{Command, ExitStatus, Stdio};

use super::*;

const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The child's side of the other tests, a process of its own: logs one event a level, twice initialised, and reaches
/// its end. In the parent there is nothing to do.
#[test]
fn child() {
    if env::var_os("LOG_TEST_CHILD").is_none() {
        return;
    }
    let format = match env::var("LOG_TEST_FORMAT").as_deref() {
        Ok("journald") => LogFormat::Journald,
        Ok("json") => LogFormat::Json,
        Ok("text") => LogFormat::Text,
        _ => LogFormat::Auto,
    };
    let verbosity = env::var("LOG_TEST_VERBOSITY").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let pending = init(format, verbosity);
    drop(init(LogFormat::Json, 9));
    tracing::error!("an error");
    tracing::warn!("a warning");
    tracing::info!(netns = "gw1", class = "closed", id = 7, "an info");
    tracing::debug!("a debug");
    tracing::trace!("a trace");
    let many = env::var("LOG_TEST_LINES").ok().and_then(|lines| lines.parse::<u64>().ok()).unwrap_or(0);
    for n in 0..many {
        tracing::info!(n, "{}", "x".repeat(100));
    }
    if many > 0 {
        println!("dropped {}", dropped());
        // The parent reads on, or does not.
        let _ = io::stdin().read_line(&mut String::new());
        tracing::info!("after");
    }
    drop(pending);
}

fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["log::tests::child", "--exact", "--nocapture"]);
    for inherited in ["JOURNAL_STREAM", "CTCTL_LOG", "NO_COLOR", "LOG_TEST_FORMAT", "LOG_TEST_VERBOSITY"] {
        command.env_remove(inherited);
    }
    command.env("LOG_TEST_CHILD", "1").envs(environment.iter().copied()).stdout(Stdio::null());
    command
}

fn stderr_of(environment: &[(&str, &str)]) -> String {
    let output = command(environment).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn shown(text: &str) -> Vec<&'static str> {
    let levels = ["an error", "a warning", "an info", "a debug", "a trace"];
    levels.into_iter().filter(|message| text.contains(message)).collect()
}

#[test]
fn verbosity_moves_the_level() {
    let rows = [("-128", 0), ("-3", 0), ("-2", 1), ("-1", 2), ("0", 3), ("1", 4), ("2", 5), ("127", 5)];
    for (verbosity, levels) in rows {
        let text = stderr_of(&[("LOG_TEST_VERBOSITY", verbosity)]);
        assert_eq!(shown(&text).len(), levels, "{verbosity}: {text}");
    }
}

#[test]
fn journald_is_told_of_errors_and_warnings_as_syslog_numbers_them() {
    let told = priorities();
    let numbers = [told.error, told.warn, told.info, told.debug].map(|priority| priority as u8 as char);
    assert_eq!(numbers, ['3', '4', '6', '7']);
}

#[test]
fn the_variable_is_over_the_verbosity() {
    let text = stderr_of(&[("CTCTL_LOG", "warn"), ("LOG_TEST_VERBOSITY", "2")]);
    assert_eq!(shown(&text), ["an error", "a warning"]);
    let text = stderr_of(&[("CTCTL_LOG", "off,ctctl::log=debug")]);
    assert_eq!(shown(&text).len(), 4, "{text}");
    let text = stderr_of(&[("CTCTL_LOG", "ctctl=loud")]);
    assert!(text.contains("CTCTL_LOG is no filter"), "{text}");
    assert_eq!(shown(&text).len(), 3, "{text}");
}

#[test]
fn text_into_a_pipe_has_no_colours() {
    let text = stderr_of(&[("LOG_TEST_FORMAT", "text")]);
    let line = text.lines().find(|line| line.contains("an info")).unwrap();
    assert!(line.contains("INFO") && line.contains("netns=\"gw1\"") && line.contains("id=7"), "{line}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn json_is_one_document_a_line() {
    let text = stderr_of(&[("LOG_TEST_FORMAT", "json")]);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    let info = &lines[2];
    assert_eq!((&info["level"], &info["fields"]["netns"]), (&"INFO".into(), &"gw1".into()));
    assert_eq!((&info["fields"]["message"], &info["fields"]["id"]), (&"an info".into(), &7.into()));
}

#[test]
fn a_reader_that_left_is_no_error() {
    for format in ["text", "json"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let environment = [("LOG_TEST_FORMAT", format), ("CTCTL_LOG", "ctctl=loud")];
        let status: ExitStatus = command(&environment).stderr(writer).status().unwrap();
        assert!(status.success(), "{format}: {status}");
    }
}

/// A child that logs ten times as many lines as the queue holds into a pipe that is not read, and reported how many it
/// dropped.
fn unread(format: &str) -> (std::process::Child, io::PipeReader, impl Read) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = command(&[("LOG_TEST_FORMAT", format), ("LOG_TEST_LINES", "10000")]);
    command.stderr(writer).stdout(Stdio::piped()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut said = io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("dropped ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it says how much it dropped");
    }
    let dropped: u64 = line.trim_end().strip_prefix("dropped ").and_then(|n| n.parse().ok()).unwrap();
    assert!(dropped > 5000, "{format}: {dropped} of 10000");
    (child, reader, said)
}

/// Everything that the child writes once its pipe is read.
fn read_on(mut child: std::process::Child, reader: io::PipeReader) -> Vec<String> {
    let mut lines = io::BufReader::new(reader).lines().map(Result::unwrap);
    let mut read: Vec<String> = Vec::new();
    while !read.last().is_some_and(|line| line.contains("log lines have been dropped")) {
        read.push(lines.next().expect("it says that lines were dropped"));
    }
    drop(child.stdin.take());
    read.extend(lines);
    assert!(child.wait().unwrap().success());
    read
}

#[test]
fn a_reader_that_does_not_read_keeps_nobody_and_what_was_dropped_is_counted() {
    for format in ["text", "json"] {
        let (child, reader, _said) = unread(format);
        let lines = read_on(child, reader);
        let whole = lines.iter().filter(|line| line.contains(&"x".repeat(100))).count() as u64;
        let told =
            lines.iter().filter_map(|line| line.split_once(" log lines have been dropped")).next_back();
        let number = told.and_then(|(before, _)| before.rsplit(['"', ' ']).next()).expect("it is said");
        assert_eq!(whole + number.parse::<u64>().unwrap(), 10_000, "{format}: each is written or counted");
        assert!(lines.iter().any(|line| line.contains("after")), "{format}: it goes on");
    }
}

#[test]
fn a_reader_that_does_not_read_does_not_hold_up_the_end() {
    let (mut child, reader, _said) = unread("text");
    let began = std::time::Instant::now();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    drop(reader);
}

#[test]
fn lines_have_the_time_at_which_they_happened() {
    let (child, reader, _said) = unread("text");
    let read_from = format!("{:.6}", jiff::Timestamp::now());
    let lines = read_on(child, reader);
    let queued: Vec<&String> = lines.iter().filter(|line| line.contains("xxx")).collect();
    let late = queued.iter().filter(|line| line.split(' ').next().unwrap() > read_from.as_str()).count();
    assert!(late == 0 && queued.len() > 500, "{late} of {}", queued.len());
}

#[test]
fn a_device_without_space_is_no_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(command(&[]).stderr(full).status().unwrap().success());
}

#[test]
fn journald_without_a_journal_is_text_with_a_warning() {
    if std::path::Path::new(JOURNAL_SOCKET).exists() {
        return;
    }
    let text = stderr_of(&[("LOG_TEST_FORMAT", "journald")]);
    assert!(text.contains("the journal cannot be reached"), "{text}");
    assert_eq!(shown(&text).len(), 3, "{text}");
}

#[test]
fn auto_asks_whether_standard_error_is_the_journals_stream() {
    assert!(is_stream(Some("9:4711"), 9, 4711));
    for other in [None, Some(""), Some("9"), Some("9:4712"), Some("8:4711"), Some("9:4711:1"), Some("x:y")] {
        assert!(!is_stream(other, 9, 4711), "{other:?}");
    }
    if std::path::Path::new(JOURNAL_SOCKET).exists() {
        return;
    }
    // The pipe stands for the journal's stream, so the child looks for the journal and finds none.
    let (mut reader, writer) = io::pipe().unwrap();
    let pipe = fstat(&writer).unwrap();
    let stream = format!("{}:{}", pipe.st_dev, pipe.st_ino);
    assert!(command(&[("JOURNAL_STREAM", &stream)]).stderr(writer).status().unwrap().success());
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.contains("the journal cannot be reached"), "{text}");
    let elsewhere = stderr_of(&[("JOURNAL_STREAM", &stream)]);
    assert!(!elsewhere.contains("journal"), "{elsewhere}");
}
