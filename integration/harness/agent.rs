//! The process under test, and the same binary as its client.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::namespace::{Namespace, unique};
use crate::harness::tool::{Answer, run, tool};
use crate::harness::wait;

pub const CTCTL: &str = env!("CARGO_BIN_EXE_ctctl");

/// How long any client may take, a dump of a full table in a debug build included.
const PATIENCE: Duration = Duration::from_secs(20);

/// The age that agents believe the host to have, above the idleness that any test writes.
const BOOTTIME_SECONDS: &str = "1000000";

/// What every agent here has: text logs, a state directory of the test's.
const BASE: &str = "[log]\nformat = \"text\"\n";
/// Many run side by side: only a test of the metrics gives its agent a port.
const NO_METRICS: &str = "[metrics]\nlisten = \"\"\n";

/// A quota instead of the host's max: the host's values stay untouched, and tests run side by side.
pub fn limit(entries: u64) -> String {
    format!("[capacity]\nenabled = false\nbuckets = \"never\"\nlimit = {entries}\n")
}

/// A gateway's configuration, socket and state, which outlive any one agent.
#[derive(Debug)]
pub struct Setup {
    pub dir: PathBuf,
    pub netns: String,
    /// Whether agents believe the host to be up for long.
    pub aged: bool,
    /// How long anything asked of an agent may take.
    pub patience: Duration,
    _guard: Guard,
}

impl Setup {
    /// Of `namespace`, with `[agent]` written here and every other section by the test.
    pub fn new(namespace: &Namespace, sections: &str) -> Self {
        let dir = std::env::temp_dir().join(unique());
        std::fs::create_dir(&dir).expect("a temporary directory");
        let guard = Guard::new(Leftover::Directory(dir.clone()));
        let setup =
            Setup { dir, netns: namespace.name.clone(), aged: true, patience: PATIENCE, _guard: guard };
        setup.write("", sections);
        setup
    }

    /// Writes the configuration: `agent` is more of `[agent]`.
    pub fn write(&self, agent: &str, sections: &str) {
        let metrics = if sections.contains("[metrics]") { "" } else { NO_METRICS };
        let text = format!(
            "[agent]\nsocket = {:?}\nstate_dir = {:?}\n{agent}\n{BASE}{metrics}{sections}",
            self.socket(),
            self.state()
        );
        std::fs::write(self.config(), text).expect("the configuration");
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("ctctl.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("ctctl.sock")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The global options that say which gateway is meant.
    fn options(&self) -> Vec<String> {
        let config = self.config().display().to_string();
        ["--netns", &self.netns, "--config", &config].map(String::from).into()
    }

    /// A client's command line. One that reads the kernel itself is held to the same proofs of idleness as an agent:
    /// nothing has been idle for longer than the host is up, so it ages with it.
    pub fn client(&self, args: &[&str]) -> Command {
        let mut command = if self.aged { aged() } else { Command::new(CTCTL) };
        command.args(self.options()).arg("--socket").arg(self.socket()).args(args);
        command
    }

    /// Runs a client to its end.
    pub fn ctctl(&self, args: &[&str]) -> Answer {
        run(self.client(args), "", self.patience)
    }

    /// The agent's status, asked for at its socket: nothing of that needs the configuration, which may be broken.
    fn status(&self) -> Result<Value, String> {
        let mut command = Command::new(CTCTL);
        command.args(["--netns", &self.netns, "--socket"]).arg(self.socket()).args(["status", "--json"]);
        parse(run(command, "", self.patience))
    }

    /// Runs a client that has to succeed, and parses its one document.
    pub fn json(&self, args: &[&str]) -> Value {
        self.try_json(args).unwrap_or_else(|why| panic!("ctctl {args:?} --json: {why}"))
    }

    pub fn try_json(&self, args: &[&str]) -> Result<Value, String> {
        parse(self.ctctl(&[args, &["--json"]].concat()))
    }

    /// The records of the journal, as other programs read it.
    pub fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.state().join("journal.jsonl")).unwrap_or_default();
        // The agent may be in the middle of its last line.
        let text = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The records of acts: everything but the levels and what other hands did.
    pub fn acts(&self) -> Vec<Value> {
        let told = |record: &Value| !matches!(record["event"].as_str(), Some("level" | "drift"));
        self.journal().into_iter().filter(|record| told(record) && record["action"].is_string()).collect()
    }

    /// Starts an agent and waits until it answers with counts that it trusts.
    pub fn start(&self) -> Agent<'_> {
        let mut agent = self.spawn(&[]);
        agent.ready();
        agent
    }

    /// Starts an agent and waits for nothing.
    pub fn spawn(&self, args: &[&str]) -> Agent<'_> {
        let log = self.dir.join(format!("log-{}", unique()));
        let file = File::create(&log).expect("a log");
        self.spawn_into(args, file, log)
    }

    /// The same, with its outputs going into `file`.
    pub fn spawn_into(&self, args: &[&str], file: File, log: PathBuf) -> Agent<'_> {
        let mut command = if self.aged { aged() } else { Command::new(CTCTL) };
        command.args(self.options()).arg("agent").args(args).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a log")).stderr(file);
        let started = Instant::now();
        let mut child = command.spawn().expect("the agent");
        let mut guards = vec![Guard::new(Leftover::Process(child.id() as i32))];
        let mut pid = child.id() as i32;
        if self.aged {
            // The time namespace is the child's: unshare itself stays in the old one and waits.
            pid = child_of(&mut child).unwrap_or(pid);
            guards.push(Guard::new(Leftover::Process(pid)));
        }
        Agent { setup: self, child, pid, started, log, guards }
    }
}

/// `ctctl` on a host that has been up for days.
fn aged() -> Command {
    let mut unshare = tool("unshare");
    unshare.args(["--time", "--boottime", BOOTTIME_SECONDS, "--kill-child", "--fork", CTCTL]);
    unshare
}

fn parse(answer: Answer) -> Result<Value, String> {
    if answer.code != 0 {
        return Err(format!("exit {}: {}{}", answer.code, answer.stdout, answer.stderr));
    }
    serde_json::from_str(&answer.stdout).map_err(|error| format!("{error}: {:?}", answer.stdout))
}

fn child_of(parent: &mut Child) -> Option<i32> {
    let pid = parent.id();
    let children = format!("/proc/{pid}/task/{pid}/children");
    wait::until("unshare's child", Duration::from_secs(5), || {
        let text = std::fs::read_to_string(&children).unwrap_or_default();
        if let Some(child) = text.split_whitespace().next() {
            return Ok(child.parse().ok());
        }
        if parent.try_wait().is_ok_and(|ended| ended.is_some()) { Ok(None) } else { Err("none yet") }
    })
}

/// A running agent; killed on drop. When a test fails, its log is shown.
#[derive(Debug)]
pub struct Agent<'a> {
    setup: &'a Setup,
    child: Child,
    pub pid: i32,
    /// When its process was started.
    pub started: Instant,
    log: PathBuf,
    guards: Vec<Guard>,
}

impl Agent<'_> {
    /// Waits until the control socket answers for this process and its counts are in no doubt.
    pub fn ready(&mut self) {
        wait::until("the agent to be ready", self.setup.patience, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.guards.drain(..).for_each(Guard::forget);
                panic!("the agent ended while it started: {status}\n{}", self.log());
            }
            // A client is a process of its own: none is worth starting before there is somebody to answer it.
            UnixStream::connect(self.setup.socket()).map_err(|error| format!("{error}\n{}", self.log()))?;
            let status = self.setup.status()?;
            let agent = &status["agent"];
            let ready = agent["pid"] == self.pid && agent["synced"] == true;
            if ready { Ok(()) } else { Err(format!("agent is {agent}\n{}", self.log())) }
        });
    }

    pub fn status(&self) -> Value {
        self.setup.status().unwrap_or_else(|why| panic!("ctctl status: {why}"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).expect("a signal to the agent");
    }

    /// What it wrote on its outputs.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end and gives its exit code, -1 where a signal ended it.
    pub fn ended(&mut self) -> i32 {
        let status = wait::until("the agent's end", self.setup.patience, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        self.guards.drain(..).for_each(Guard::forget);
        status.code().unwrap_or(-1)
    }

    /// SIGTERM, and its exit code.
    pub fn stop(mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.ended()
    }

    /// SIGKILL: no chance to put anything back.
    pub fn killed(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended();
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n  ");
            eprintln!("--- the agent's log ({}), the last lines:\n  {tail}\n---", self.setup.netns);
        }
        if !self.guards.is_empty() {
            // Only the agent: unshare reaps it and ends of itself. Killed together, they would leave a zombie.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
            let _ = self.child.wait();
            self.guards.drain(..).for_each(Guard::forget);
        }
    }
}
