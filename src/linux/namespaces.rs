//! All network namespaces of this host that can be seen, each visited once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};

use super::netns::{self, Identity};
use super::process::pids;
use super::root::Root;
use super::statistics;
use crate::core::model::{Netns, Statistics};
use crate::error::{Error, Result};

/// A namespace and its table.
#[derive(Clone, PartialEq, Debug)]
pub struct Visited {
    /// Its name, where it has one, and inode.
    pub netns: Netns,
    /// A name of `ip netns`, `host`, or a path that leads to it.
    pub spec: String,
    /// The process in it with the lowest id.
    pub process: Option<(u32, String)>,
    /// Entries in its table; `None`: it has none.
    pub entries: Option<u64>,
    /// The limit, which is one for all; 0 is none.
    pub max: u64,
    /// Sums of the per-CPU statistics; `None` on kernels without NF_CONNTRACK_PROCFS.
    pub statistics: Option<Statistics>,
}

/// Result of a walk over namespaces.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Walk {
    /// Those that were entered.
    pub visited: Vec<Visited>,
    /// Reasons for which others could not be visited, each once.
    pub refused: Vec<String>,
    /// Processes whose namespace may not be looked at.
    pub hidden_processes: u64,
}

/// Names and paths that lead to a namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Leads {
    name: Option<(String, PathBuf)>,
    pid: Option<u32>,
}

impl Leads {
    fn path(&self, root: &Root) -> PathBuf {
        match (&self.name, self.pid) {
            (Some((_, path)), _) => path.clone(),
            (None, Some(pid)) => root.join(format!("proc/{pid}/ns/net")),
            // The caller's, where /proc shows no process.
            (None, None) => PathBuf::from(netns::OWN),
        }
    }
}

/// Enters each namespace that `ip netns` names, that a process lives in, or that is the caller's, on one thread of its
/// own. A namespace that no name and no process leads to (held by a descriptor or a mount alone) is not found.
///
/// # Errors
/// As pthread_create(3).
pub fn visit() -> Result<Walk> {
    let root = Root::default();
    let (found, hidden_processes) = find(&root, Identity::own().ok());
    let mut walk = Walk { hidden_processes, ..Walk::default() };
    let enter_all = || {
        for (identity, leads) in found {
            match enter(&root, identity, &leads) {
                Ok(visited) => walk.visited.extend(visited),
                // It ended meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {}
                Err(error) => walk.refused.push(format!("{}: {error}", leads.path(&root).display())),
            }
        }
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespaces".into()).spawn_scoped(scope, enter_all);
        thread.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
    .map_err(|error| Error::unreachable("starting a thread", error))?;
    Ok(walk)
}

/// Finds the names and paths that lead to each namespace, and the number of processes that do not show theirs.
fn find(root: &Root, own: Option<Identity>) -> (BTreeMap<Identity, Leads>, u64) {
    let mut found: BTreeMap<Identity, Leads> = BTreeMap::new();
    let mut hidden = 0;
    if let Some(own) = own {
        found.entry(own).or_default();
    }
    // A name whose mount is gone lies on another device.
    let device = own.map(|own| own.device());
    let is_namespace = |identity: &Identity| device.is_none_or(|device| identity.device() == device);
    for (name, path) in netns::names(root) {
        if let Some(identity) = Identity::at(&path).ok().filter(is_namespace) {
            found.entry(identity).or_default().name.get_or_insert((name, path));
        }
    }
    for pid in pids(root) {
        match Identity::at(root.join(format!("proc/{pid}/ns/net"))) {
            Ok(identity) if is_namespace(&identity) => {
                let lowest = &mut found.entry(identity).or_default().pid;
                *lowest = Some(lowest.map_or(pid, |lowest| lowest.min(pid)));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => hidden += 1,
            _ => {}
        }
    }
    (found, hidden)
}

/// On a thread that may be left in any namespace; nothing where another one lies behind the path by now.
fn enter(root: &Root, identity: Identity, leads: &Leads) -> io::Result<Option<Visited>> {
    let path = leads.path(root);
    let file = File::open(&path)?;
    if Identity::of(&file.metadata()?) != identity {
        return Ok(None);
    }
    if !Identity::own().is_ok_and(|own| own == identity) {
        setns(file, CloneFlags::CLONE_NEWNET)?;
    }
    let first = netns::inside_first(root);
    let name = leads.name.as_ref().map(|(name, _)| name.clone());
    // `host` names the first one's files and no other's.
    let name = if first { Some("host".into()) } else { name.filter(|name| name != "host") };
    let number = |file: &str| {
        let text = std::fs::read_to_string(root.join("proc/sys/net/netfilter").join(file)).ok()?;
        // A negative limit is none.
        text.trim().parse::<i64>().ok().map(|number| u64::try_from(number).unwrap_or(0))
    };
    let process = leads.pid.map(|pid| {
        let name = root.text(&format!("proc/{pid}/comm")).trim_end().to_owned();
        (pid, name)
    });
    Ok(Some(Visited {
        spec: name.clone().unwrap_or_else(|| path.display().to_string()),
        netns: Netns { name, inode: identity.inode() },
        process,
        entries: number("nf_conntrack_count"),
        max: number("nf_conntrack_max").unwrap_or(0),
        statistics: statistics::read(),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::root::fixture::{Tree, host_root};
    use super::*;

    #[test]
    fn each_namespace_is_found_once_with_its_name_and_its_lowest_process() {
        let files = ["ns/one", "ns/two", "ns/three", "run/netns/red"];
        let tree = Tree::new(&files.map(|file| (file, "")));
        for (pid, namespace) in [(7, "ns/one"), (30, "ns/two"), (4, "ns/two"), (9, "run/netns/red")] {
            tree.link(namespace, &format!("proc/{pid}/ns/net"));
        }
        let root = tree.root();
        let own = Identity::at(root.join("ns/three")).ok();
        let (found, hidden) = find(&root, own);
        let leads = |leads: &Leads| (leads.name.as_ref().map(|(name, _)| name.clone()), leads.pid);
        let mut leads: Vec<_> = found.values().map(leads).collect();
        leads.sort_unstable();
        let expected = [(None, None), (None, Some(4)), (None, Some(7)), (Some("red".into()), Some(9))];
        assert_eq!((leads.as_slice(), hidden), (&expected[..], 0));
    }

    #[test]
    fn the_callers_own_is_always_there_and_the_thread_goes_nowhere() {
        if !host_root() {
            return;
        }
        let before = Identity::own().expect("a namespace");
        let walk = visit().expect("a thread");
        let own: Vec<_> =
            walk.visited.iter().filter(|visited| visited.netns.inode == before.inode()).collect();
        assert_eq!(own.len(), 1, "{walk:?}");
        assert_eq!(Identity::own().ok(), Some(before));
        let mut inodes: Vec<u64> = walk.visited.iter().map(|visited| visited.netns.inode).collect();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), walk.visited.len());
    }
}
