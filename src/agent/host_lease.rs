//! The lease on the values that are one for all namespaces, max and buckets: one process of the host has it, and in
//! it one pipeline at a time.
//!
//! flock(2) conflicts within a process as between two: the process takes the lock once, and its pipelines pass it on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lease::{Lease, take};

/// State of one lock in this process.
#[derive(Default)]
struct Claim {
    lease: Option<Lease>,
    /// Pipelines that might want it. With the last of them the lock goes.
    members: usize,
    holder: Option<u64>,
    /// Pipeline that is pressed and waits for the holder to be calm.
    asks: Option<u64>,
    /// Another process had it: tried again then.
    not_before_seconds: Option<f64>,
    told: bool,
    /// The process that has it, in words.
    owner: Option<String>,
    /// The pipelines' namespaces.
    names: BTreeMap<u64, String>,
}

/// By the lock's path.
static CLAIMS: Mutex<BTreeMap<PathBuf, Claim>> = Mutex::new(BTreeMap::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn claims() -> MutexGuard<'static, BTreeMap<PathBuf, Claim>> {
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One pipeline's part in the lease on max and buckets: held by at most one agent of the host, and only by one that
/// would write them. One that comes too late tries again now and then.
pub struct HostLease {
    directory: PathBuf,
    id: u64,
}

impl HostLease {
    const AGAIN_SECONDS: f64 = 5.0;

    /// Not held yet; for the sake of this namespace.
    pub fn new(directory: PathBuf, netns: String) -> Self {
        let lease = HostLease { directory, id: NEXT_ID.fetch_add(1, Relaxed) };
        let mut claims = claims();
        let claim = claims.entry(lease.lock_path()).or_default();
        claim.members += 1;
        claim.names.insert(lease.id, netns);
        lease
    }

    /// The process that has it instead, and what would give it to this one, in words.
    pub fn owner(&self) -> Option<String> {
        let claims = claims();
        let claim = claims.get(&self.lock_path())?;
        match claim.holder {
            Some(holder) if holder == self.id => None,
            Some(holder) => {
                let name = claim.names.get(&holder).map_or("another", String::as_str);
                Some(format!("this agent's namespace {name} has it until it is calm"))
            }
            None => claim.owner.as_ref().map(|owner| {
                format!(
                    "{owner} has it for as long as it runs: let one agent watch both namespaces ([agent] netns), or keep \
                     that one from max ([capacity] enabled = false) and restart it"
                )
            }),
        }
    }

    /// Directory of the values as the first holder found them, for the next holder.
    pub fn baseline_dir(&self) -> PathBuf {
        self.directory.join("host")
    }

    fn lock_path(&self) -> PathBuf {
        self.directory.join("host.lock")
    }

    /// True if it is this pipeline's until it asks again; taken only if `wanted`. A holder that is not `pressed` passes
    /// it to one of this process that is, and does so here and nowhere else: no holder loses it between its look and
    /// its act.
    pub fn hold(&mut self, wanted: bool, pressed: bool, now_seconds: f64) -> bool {
        let path = self.lock_path();
        let mut claims = claims();
        let Some(claim) = claims.get_mut(&path) else { return false };
        let pressed = wanted && pressed;
        if claim.asks == Some(self.id) {
            claim.asks = None;
        }
        let holder = claim.holder;
        match holder {
            Some(holder) if holder == self.id => {
                if !pressed && let Some(next) = claim.asks.take() {
                    claim.pass_to(next);
                }
            }
            Some(_) if pressed => {
                claim.asks.get_or_insert(self.id);
            }
            Some(_) => {}
            None if wanted && claim.locked(&path, now_seconds) => claim.pass_to(self.id),
            None => {}
        }
        claim.holder == Some(self.id)
    }
}

impl Drop for HostLease {
    fn drop(&mut self) {
        let mut claims = claims();
        let Some(claim) = claims.get_mut(&self.lock_path()) else { return };
        claim.holder = claim.holder.filter(|holder| *holder != self.id);
        claim.asks = claim.asks.filter(|asks| *asks != self.id);
        claim.names.remove(&self.id);
        claim.members -= 1;
        if claim.members == 0 {
            claims.remove(&self.lock_path());
        }
    }
}

impl Claim {
    fn pass_to(&mut self, id: u64) {
        self.holder = Some(id);
        if let (Some(lease), Some(name)) = (&mut self.lease, self.names.get(&id)) {
            // The file's text is for other processes to read: without it they are told less.
            let _ = lease.tell(name);
        }
    }

    /// True if the lock is this process's, from now on or already.
    fn locked(&mut self, path: &std::path::Path, now_seconds: f64) -> bool {
        if self.lease.is_none() && self.not_before_seconds.is_none_or(|at| now_seconds >= at) {
            self.not_before_seconds = Some(now_seconds + HostLease::AGAIN_SECONDS);
            match take(path, "") {
                Ok(Ok(lease)) => (self.lease, self.owner) = (Some(lease), None),
                Ok(Err(owner)) => {
                    if !self.told {
                        tracing::info!("{owner} owns nf_conntrack_max and the buckets: they are left alone");
                        self.told = true;
                    }
                    self.owner = Some(owner);
                }
                Err(error) => tracing::warn!(%error, "no lease on nf_conntrack_max and the buckets"),
            }
        }
        self.lease.is_some()
    }
}

#[cfg(test)]
#[path = "host_lease_tests.rs"]
mod tests;
