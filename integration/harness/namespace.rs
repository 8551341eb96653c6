//! A network namespace of our own, entered by throw-away threads: setns is per thread.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

use crate::harness::cleanup::{Guard, Leftover};
use crate::harness::tool::must;

/// A named network namespace; deleted on drop.
#[derive(Debug)]
pub struct Namespace {
    pub name: String,
    _guard: Guard,
}

/// A socket that was closed before its peer had read all keeps its namespace alive for as long as it retransmits, and
/// with that the entries, which every later test would find in the slab: 20,080 of them for more than 20 s.
impl Drop for Namespace {
    fn drop(&mut self) {
        let Ok(file) = File::open(self.path()) else { return };
        let inside =
            move || setns(file, CloneFlags::CLONE_NEWNET).is_ok() && crate::harness::netlink::empty().is_ok();
        if !std::thread::spawn(inside).join().unwrap_or(false) {
            eprintln!("cleanup: the table of {} could not be emptied", self.name);
        }
    }
}

/// A name that no other test of this or of another run has.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("ctctl-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Namespace {
    /// Makes one, with its loopback up.
    pub fn new(name: &str) -> Self {
        must("ip", &["netns", "add", name], "");
        let namespace = Namespace { name: name.into(), _guard: Guard::new(Leftover::Namespace(name.into())) };
        must("ip", &["-n", name, "link", "set", "lo", "up"], "");
        namespace
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// The number that tells namespaces apart.
    pub fn inode(&self) -> u64 {
        std::fs::metadata(self.path()).expect("the namespace's file").ino()
    }

    /// Runs `f` on a thread inside; sockets that it makes and processes that it starts stay there.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let file = File::open(self.path()).expect("the namespace's file");
        let inside = move || {
            setns(file, CloneFlags::CLONE_NEWNET).expect("setns");
            f()
        };
        let ended = std::thread::scope(|scope| scope.spawn(inside).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Reads a sysctl (`net/netfilter/nf_conntrack_count`): /proc/sys/net follows the opening thread.
    pub fn sysctl(&self, name: &str) -> String {
        let path = PathBuf::from("/proc/sys").join(name);
        let read = self.enter(|| std::fs::read_to_string(&path));
        read.unwrap_or_else(|error| panic!("{name} in {}: {error}", self.name)).trim().to_string()
    }

    pub fn sysctl_number(&self, name: &str) -> u64 {
        self.sysctl(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn set_sysctl(&self, name: &str, value: impl ToString) {
        let (path, value) = (PathBuf::from("/proc/sys").join(name), value.to_string());
        let written = self.enter(|| std::fs::write(&path, &value));
        written.unwrap_or_else(|error| panic!("{name} in {}: {error}", self.name));
    }

    /// Runs a tool inside; it has to succeed.
    pub fn must(&self, name: &str, args: &[&str], input: &str) -> String {
        self.enter(|| must(name, args, input))
    }
}
