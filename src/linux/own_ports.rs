//! This program's own netlink ports, so that nobody takes what it writes or hears for another's.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// A port is one socket's within its namespace alone (`netlink_autobind`): two namespaces may both have it.
static PORTS: RwLock<Vec<OwnPort>> = RwLock::new(Vec::new());
static CHANGES: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, PartialEq, Eq)]
struct OwnPort {
    netns_inode: u64,
    port: u32,
}

/// A port that is this program's until it is dropped.
pub(super) struct Registered(Option<OwnPort>);

impl Registered {
    /// Of a socket of the calling thread's namespace. Where the namespace cannot be told, nothing is registered: what
    /// comes from the port is taken for another's, which costs proofs and no entry.
    pub(super) fn new(port: u32) -> Self {
        let own = netns_inode().map(|netns_inode| OwnPort { netns_inode, port });
        if let Some(own) = own {
            PORTS.write().unwrap_or_else(PoisonError::into_inner).push(own);
            CHANGES.fetch_add(1, Ordering::Release);
        }
        Registered(own)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(own) = self.0 {
            let mut ports = PORTS.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = ports.iter().position(|port| *port == own) {
                ports.swap_remove(place);
            }
            CHANGES.fetch_add(1, Ordering::Release);
        }
    }
}

/// Those of the calling thread's namespace.
pub(super) fn here() -> Vec<u32> {
    let Some(here) = netns_inode() else { return Vec::new() };
    let ports = PORTS.read().unwrap_or_else(PoisonError::into_inner);
    ports.iter().filter(|own| own.netns_inode == here).map(|own| own.port).collect()
}

/// Number of times that ports came and went, of all namespaces: [`here`] is worth another look when this differs.
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

fn netns_inode() -> Option<u64> {
    std::fs::metadata("/proc/thread-self/ns/net").ok().map(|netns| netns.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_own_while_it_is_registered() {
        let before = changes();
        let registered = Registered::new(4_000_000_001);
        assert!(here().contains(&4_000_000_001));
        assert_ne!(changes(), before);
        drop(registered);
        assert!(!here().contains(&4_000_000_001));
    }
}
