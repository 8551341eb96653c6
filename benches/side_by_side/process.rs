//! Running what is measured: how long it takes, and what it costs in CPU and memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::harness::namespace::Namespace;
use crate::harness::tool::find;

/// `CLONE_NEWTIME` (linux/sched.h), which nix does not name.
const CLONE_NEWTIME: i32 = 0x80;
/// The age of the host that children see: nothing counts as idle for longer than the host is up.
const BOOTTIME: &str = "boottime 1000000 0";

/// Checks that all can be measured here, and ages the host for the processes to be started.
///
/// # Errors
/// What is missing, and how to get it.
pub fn may_measure() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("network namespaces and nf_conntrack_max are needed: run it as root".into());
    }
    if let Some(name) = ["ip", "conntrack"].into_iter().find(|name| find(name).is_none()) {
        return Err(format!("{name} is missing: apt-get install iproute2 conntrack"));
    }
    unshare(CloneFlags::from_bits_retain(CLONE_NEWTIME))
        .map_err(std::io::Error::from)
        .and_then(|()| std::fs::write("/proc/self/timens_offsets", BOOTTIME))
        .map_err(|error| format!("no time namespace (CONFIG_TIME_NS is needed): {error}"))
}

/// Seconds that `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

/// Seconds that a command takes inside `namespace`, its output thrown away; it has to succeed.
pub fn run(namespace: &Namespace, mut command: Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let (output, took) = namespace.enter(|| {
        let started = Instant::now();
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        (output, started.elapsed().as_secs_f64())
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    took
}

/// The most memory in MB that a command has, looked at while it runs.
pub fn peak_mb(mut command: Command) -> f64 {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("starts");
    let mut most = 0.0;
    while child.try_wait().expect("a child").is_none() {
        most = status_mb(child.id() as i32, "VmHWM:").unwrap_or(most);
        std::thread::sleep(Duration::from_millis(2));
    }
    most
}

/// A line of /proc/PID/status in MB (10^6 bytes); `None` once the process has ended.
pub fn status_mb(pid: i32, line: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|found| found.strip_prefix(line))?;
    value.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
}

/// CPU seconds of a running process, over all its threads, in user and kernel.
pub fn cpu_seconds(pid: i32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process's threads");
    tasks.flatten().map(|task| task_cpu_seconds(&task.path().join("schedstat"))).sum()
}

/// The same as soon as it has no more to do than at rest: at a twentieth of a core at most over some milliseconds.
pub fn settled(pid: i32) -> f64 {
    const LOOK: Duration = Duration::from_millis(20);
    let mut before = cpu_seconds(pid);
    loop {
        std::thread::sleep(LOOK);
        let now = cpu_seconds(pid);
        if now - before < LOOK.as_secs_f64() / 20.0 {
            return now;
        }
        before = now;
    }
}

/// CPU seconds of one thread, exact where ticks are not; 0 once it has ended.
pub fn task_cpu_seconds(schedstat: &std::path::Path) -> f64 {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
