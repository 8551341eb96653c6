//! The programs that the suite runs besides the one under test.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::wait;

/// Pause between two looks at whether a busy machine excuses a program that is late.
const AGAIN: Duration = Duration::from_millis(100);

/// Where a program is, in PATH or where root finds it: an ordinary user's PATH often lacks sbin.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A command that runs `name`; the suite checked at start that it is there.
pub fn tool(name: &str) -> Command {
    Command::new(find(name).unwrap_or_else(|| name.into()))
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end, with `input` on its standard input; panics and kills it at the deadline.
pub fn run(mut command: Command, input: &str, deadline: Duration) -> Answer {
    use std::io::Write;
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let guard = Guard::new(Leftover::Process(child.id() as i32));
    // One that does not read its input may end before it is written.
    child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let (done, ended) = channel();
    std::thread::spawn(move || drop(done.send(child.wait_with_output())));
    let patience = wait::Patience::from_now();
    let mut output = ended.recv_timeout(deadline);
    while output.is_err() && !patience.ends_after(deadline) {
        output = ended.recv_timeout(AGAIN);
    }
    match output {
        Ok(output) => {
            guard.forget();
            output.unwrap_or_else(|error| panic!("{shown}: {error}")).into()
        }
        Err(_) => panic!("waited {deadline:?} for the end of {shown}"),
    }
}

/// Runs a tool that has to succeed, with `input` on its standard input.
pub fn must(name: &str, args: &[&str], input: &str) -> String {
    let mut command = tool(name);
    command.args(args);
    let answer = run(command, input, Duration::from_secs(30));
    assert_eq!(answer.code, 0, "{name} {args:?} with input {input:?} failed: {}", answer.stderr);
    answer.stdout
}
