//! What a test leaves behind if nobody takes it away: each thing is registered when made and taken away on drop, or
//! all at once when the suite itself is interrupted.

use std::path::PathBuf;
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::tool::tool;

/// One thing to take away, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leftover {
    /// A process of ours that has not been waited for yet.
    Process(i32),
    /// A network namespace under /run/netns.
    Namespace(String),
    /// A temporary directory.
    Directory(PathBuf),
    /// A host-wide value and what it was.
    Value(PathBuf, String),
}

static LEFTOVERS: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

/// A registration; takes its thing away when dropped.
#[derive(Debug)]
pub struct Guard(Leftover);

impl Guard {
    pub fn new(leftover: Leftover) -> Self {
        lock().push(leftover.clone());
        Guard(leftover)
    }

    /// Forgets the thing: it is gone already (a process that was waited for).
    pub fn forget(self) {
        unregister(&self.0);
        std::mem::forget(self);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        take_away(&self.0);
        unregister(&self.0);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Leftover>> {
    LEFTOVERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn unregister(leftover: &Leftover) {
    let mut all = lock();
    if let Some(at) = all.iter().position(|l| l == leftover) {
        all.swap_remove(at);
    }
}

fn take_away(leftover: &Leftover) {
    match leftover {
        Leftover::Process(pid) => drop(kill(Pid::from_raw(*pid), Signal::SIGKILL)),
        Leftover::Namespace(name) => {
            let deleted = tool("ip").args(["netns", "del", name]).output();
            if !deleted.is_ok_and(|o| o.status.success()) {
                eprintln!("cleanup: namespace {name} could not be deleted: ip netns del {name}");
            }
        }
        Leftover::Directory(path) => drop(std::fs::remove_dir_all(path)),
        Leftover::Value(path, value) => {
            if let Err(error) = std::fs::write(path, value) {
                eprintln!("cleanup: {} could not be set back to {value}: {error}", path.display());
            }
        }
    }
}

/// Takes everything away, the newest first, and ends the suite with `128 + signal` when it is interrupted.
pub fn on_interrupt() {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let code = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT");
            let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM");
            let mut hangup = signal(SignalKind::hangup()).expect("SIGHUP");
            tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143, _ = hangup.recv() => 129 }
        });
        let all = std::mem::take(&mut *lock());
        eprintln!("interrupted: taking away {} things", all.len());
        all.iter().rev().for_each(take_away);
        std::process::exit(code);
    });
}
