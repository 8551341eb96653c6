//! A network namespace that a test has for itself.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `f` on a thread in a fresh network namespace with loopback up, and says so if that is not permitted.
///
/// The namespace has no name: it lives as long as the thread and its sockets, so that nothing stays behind whatever
/// becomes of the test, a kill included.
pub fn inside<T: Send>(f: impl FnOnce() -> T + Send) -> Option<T> {
    let whole = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let first = whole.split_whitespace().eq(["0", "0", "4294967295"]);
    if !nix::unistd::geteuid().is_root() || !first {
        eprintln!("SKIPPED: this needs root of the first user namespace");
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a fresh network namespace");
            f()
        });
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Gives nft(8) a ruleset in the calling thread's namespace; false, loudly, if it is not installed.
pub fn nft(ruleset: &str) -> bool {
    let child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: nft is not installed");
        return false;
    };
    child.stdin.take().expect("stdin").write_all(ruleset.as_bytes()).expect("ruleset");
    assert!(child.wait().expect("nft").success(), "nft refused the ruleset");
    true
}
