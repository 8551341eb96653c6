//! Values that all namespaces share: read by every test, written by those that hold the lock alone.

use std::fs::File;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use crate::harness::cleanup::{Guard, Leftover};

pub const MAX: &str = "nf_conntrack_max";
pub const BUCKETS: &str = "nf_conntrack_buckets";

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net/netfilter").join(name)
}

/// A host-wide value.
pub fn read(name: &str) -> u64 {
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.trim().parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Held by a test while it runs: shared, or alone where it writes host-wide values. Other runs of the suite on this
/// machine take the same lock (on /run itself, so that no file is left).
pub fn lock(alone: bool) -> Flock<File> {
    let arg = if alone { FlockArg::LockExclusive } else { FlockArg::LockShared };
    let file = File::open("/run").expect("/run");
    Flock::lock(file, arg).map_err(|(_, error)| error).expect("flock")
}

/// Puts max and buckets back to what they are now when it is dropped.
#[derive(Debug)]
pub struct Restore {
    _guards: [Guard; 2],
}

impl Restore {
    pub fn new() -> Self {
        let guard = |name| Guard::new(Leftover::Value(path(name), read(name).to_string()));
        // Buckets first, since writing them can move max on some kernels: what is dropped goes in this order, what an
        // interrupt takes away the newest first.
        let max = guard(MAX);
        Restore { _guards: [guard(BUCKETS), max] }
    }

    /// Sets max for as long as this lives.
    pub fn pin_max(&self, max: u64) {
        std::fs::write(path(MAX), max.to_string()).expect("nf_conntrack_max");
    }
}
