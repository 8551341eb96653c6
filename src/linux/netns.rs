//! Network namespaces: finding, naming, entering.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use super::clock;
use super::process::{self, pids};
use super::root::Root;
use crate::core::model::Netns;
use crate::error::{Error, Result};

pub(super) const OWN: &str = "/proc/thread-self/ns/net";
/// Directories in which ip-netns(8) binds names; where both exist they are mostly one directory.
const NAME_DIRECTORIES: [&str; 2] = ["run/netns", "var/run/netns"];
const WHAT: &str = "network namespace";

/// Device and inode, which together tell namespaces apart (namespaces(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn at(path: impl AsRef<Path>) -> io::Result<Identity> {
        std::fs::metadata(path).map(|metadata| Identity::of(&metadata))
    }

    pub(super) fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(super) fn device(self) -> u64 {
        self.device
    }

    pub(super) fn inode(self) -> u64 {
        self.inode
    }

    /// The calling thread's namespace.
    pub(super) fn own() -> io::Result<Identity> {
        Identity::at(OWN)
    }
}

/// A network namespace, held open: it lives as long as this does.
#[derive(Debug)]
pub struct Namespace {
    netns: Netns,
    identity: Identity,
    first: bool,
    /// By what it was named or found; `None` for one that nothing names.
    path: Option<PathBuf>,
    /// Seconds since 1970 at which its inode was made.
    made: i64,
    file: OwnedFd,
}

impl Namespace {
    /// By the operator's word: nothing is the calling thread's own, a text with `/` a path, any other a name of
    /// `ip netns`; `host` is the first namespace unless that name is taken.
    ///
    /// Errors: no such name, no network namespace, no permission; all exit 3.
    pub fn resolve(spec: Option<&str>) -> Result<Namespace> {
        match spec {
            None => Namespace::open(Path::new(OWN), false),
            Some(path) if path.contains('/') => Namespace::open(Path::new(path), true),
            Some(name) => match name_path(&Root::default(), name) {
                Some(path) => Namespace::open(&path, true),
                None if name == "host" => Namespace::first().ok_or_else(|| {
                    Error::unreachable(WHAT, "the first namespace cannot be reached from here")
                        .hint("run as root outside containers, or name another: ip netns list")
                }),
                None => {
                    Err(Error::unreachable(WHAT, format!("no namespace is called {name:?} in /run/netns"))
                        .hint("ip netns list shows the names; a path such as /proc/PID/ns/net works as well"))
                }
            },
        }
    }

    /// The first namespace: the caller's own if that is it, else that of any process that lives there and may be
    /// inspected. Process 1 may refuse (ptrace_may_access), and in a container it is the container's; kernel threads
    /// live in the first one for certain.
    pub fn first() -> Option<Namespace> {
        let own = Namespace::resolve(None).ok()?;
        if own.first {
            return Some(own);
        }
        let mut tried = HashSet::from([own.identity]);
        let root = Root::default();
        let candidates = pids(&root).map(|pid| root.join(format!("proc/{pid}/ns/net")));
        let fresh = candidates.filter(|path| Identity::at(path).is_ok_and(|identity| tried.insert(identity)));
        fresh.filter_map(|path| Namespace::open(&path, false).ok()).find(|n| n.first)
    }

    fn open(path: &Path, named: bool) -> Result<Namespace> {
        let file = open_checked(path).map_err(|why| unusable(path, why))?;
        let metadata =
            file.metadata().map_err(|e| Error::unreachable(WHAT, format!("{}: {e}", path.display())))?;
        let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
        let mut namespace = Namespace {
            netns: Netns { name: None, inode: identity.inode },
            identity,
            first: false,
            path: named.then(|| path.to_path_buf()),
            made: metadata.ctime(),
            file: file.into(),
        };
        // One that may not be entered is not known to be the first, and host-wide values are left alone there.
        namespace.first = namespace.run_in(|| inside_first(&Root::default())).unwrap_or(false);
        let found = name_of(&Root::default(), identity);
        namespace.netns.name = match (namespace.first, &found) {
            (true, _) => Some("host".into()),
            // `host` names the first one's files and no other's.
            (false, Some((name, _))) if name != "host" => Some(name.clone()),
            (false, _) => None,
        };
        namespace.path = namespace.path.or(found.map(|(_, path)| path));
        Ok(namespace)
    }

    /// Its name and inode.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// True if it is known to be the host's first one, which alone may write max and buckets.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// True if the calling thread is in it.
    pub fn is_own(&self) -> bool {
        Identity::own().is_ok_and(|own| own == self.identity)
    }

    /// Another handle on it.
    pub fn try_clone(&self) -> io::Result<Namespace> {
        Ok(Namespace {
            netns: self.netns.clone(),
            identity: self.identity,
            first: self.first,
            path: self.path.clone(),
            made: self.made,
            file: self.file.try_clone()?,
        })
    }

    /// Moves the calling OS thread, and no other, into it (setns(2)). A thread that is in it already needs no
    /// capability; any other needs CAP_SYS_ADMIN in its own user namespace and in the one that owns this.
    pub fn enter(&self) -> Result<()> {
        if self.is_own() {
            return Ok(());
        }
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| {
            let error =
                Error::unreachable(format!("entering network namespace {}", self.netns.key()), errno.desc());
            match errno {
                Errno::EPERM => {
                    error.hint("this needs CAP_SYS_ADMIN: run as root, or inside it (ip netns exec)")
                }
                _ => error,
            }
        })
    }

    /// Runs `f` on a thread of its own that has entered the namespace, and waits for it. A panic of `f` goes on in
    /// the caller.
    pub fn run_in<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = || self.enter().map(|()| f());
            let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, inside);
            let thread = thread.map_err(|e| Error::unreachable("starting a thread", e))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Seconds since boot (CLOCK_MONOTONIC) from which on it is known to have been there; nothing for the first one,
    /// and where that cannot be told.
    ///
    /// nsfs makes an inode when somebody first asks for it and keeps it while a mount holds it: for a namespace of
    /// `ip netns` that is when it was made. For one that only processes hold the oldest of them tells.
    pub fn since_seconds(&self) -> Option<f64> {
        if self.first {
            return None;
        }
        let mounted = self.path.as_ref().is_some_and(|path| !path.starts_with("/proc"));
        match mounted {
            true => {
                let ago = i64::try_from(clock::unix_seconds()).ok()?.saturating_sub(self.made);
                Some(clock::running_seconds() - ago as f64)
            }
            false => {
                let root = Root::default();
                let inside = pids(&root).filter(|pid| {
                    Identity::at(root.join(format!("proc/{pid}/ns/net")))
                        .is_ok_and(|found| found == self.identity)
                });
                inside.filter_map(|pid| process::started_seconds(&root, pid)).min_by(f64::total_cmp)
            }
        }
    }

    /// True if the name or path that leads to it still does; true also where nothing names it, and for the first one.
    /// A namespace whose name is gone lives on while this handle does, and nothing will ever be heard from it.
    pub fn still_there(&self) -> bool {
        let leads_here = |path| Identity::at(path).is_ok_and(|found| found == self.identity);
        self.first || self.path.as_ref().is_none_or(leads_here)
    }
}

/// The name of `ip netns` by which an operator's word means a namespace, whether it is there or not: the word itself,
/// or the last part of a path below a directory of such names.
pub fn name_of_spec(spec: &str) -> Option<&str> {
    let Some((directory, name)) = spec.rsplit_once('/') else {
        return Some(spec).filter(|name| !name.is_empty());
    };
    let known = |d: &&&str| directory.strip_prefix('/') == Some(**d);
    NAME_DIRECTORIES.iter().find(known).map(|_| name).filter(|name| !name.is_empty())
}

/// Network namespaces that can be seen in /run/netns and in /proc/PID/ns, less the calling thread's. Those of
/// processes that this one may not inspect are missing.
pub fn others() -> u64 {
    match Identity::own() {
        Ok(own) => others_at(&Root::default(), own),
        Err(_) => 0,
    }
}

/// Namespaces with these inodes, by what leads to them (a name of `ip netns`, or a path), and as
/// [`Namespace::since_seconds`]. Those that this process may not see are missing.
pub fn by_inodes(inodes: &BTreeSet<u64>) -> BTreeMap<u64, (String, Option<f64>)> {
    let root = Root::default();
    let named = names(&root);
    let of_processes = pids(&root).map(|pid| {
        let path = root.join(format!("proc/{pid}/ns/net"));
        (path.display().to_string(), path)
    });
    let mut found = BTreeMap::new();
    for (spec, path) in named.into_iter().chain(of_processes) {
        let inode = Identity::at(&path).map_or(0, |identity| identity.inode);
        if !inodes.contains(&inode) || found.contains_key(&inode) {
            continue;
        }
        if let Ok(namespace) = Namespace::open(&path, true) {
            found.insert(inode, (spec, namespace.since_seconds()));
        }
    }
    found
}

fn others_at(root: &Root, own: Identity) -> u64 {
    let named = names(root).into_iter().map(|(_, path)| path);
    let of_processes = pids(root).map(|pid| root.join(format!("proc/{pid}/ns/net")));
    let seen = named.chain(of_processes).filter_map(|path| Identity::at(path).ok());
    // Every namespace lies on one device; a file on another is a name whose mount is gone.
    let distinct: HashSet<Identity> = seen.filter(|i| i.device == own.device && *i != own).collect();
    distinct.len() as u64
}

/// True if the calling thread is in the first network namespace, from what the kernel shows there alone; it needs no
/// right on another process, and a user namespace does not change it.
///
/// `net/nf_conntrack_max` is registered for init_net only, and `netfilter/nf_conntrack_max` is 0444 elsewhere
/// (nf_conntrack_standalone_init_sysctl, since 5.13 and in the stable kernels); `net/core/netdev_budget` too is in
/// init_net only (net_core_table), and there without the conntrack module.
pub(super) fn inside_first(root: &Root) -> bool {
    let net = root.join("proc/sys/net");
    let budget = net.join("core/netdev_budget").exists();
    match std::fs::metadata(net.join("netfilter/nf_conntrack_max")) {
        Ok(m) => m.permissions().mode() & 0o200 != 0 && (budget || net.join("nf_conntrack_max").exists()),
        Err(_) => budget,
    }
}

pub(super) fn names(root: &Root) -> Vec<(String, PathBuf)> {
    let entries = NAME_DIRECTORIES.iter().flat_map(|d| std::fs::read_dir(root.join(d))).flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|e| Some((e.file_name().into_string().ok()?, e.path()))).collect();
    names.sort();
    names
}

/// The path of a name, if there is one.
fn name_path(root: &Root, name: &str) -> Option<PathBuf> {
    names(root).into_iter().find(|(n, _)| n == name).map(|(_, path)| path)
}

/// The first name, in order of the alphabet, that leads to this namespace.
fn name_of(root: &Root, identity: Identity) -> Option<(String, PathBuf)> {
    names(root).into_iter().find(|(_, path)| Identity::at(path).is_ok_and(|found| found == identity))
}

/// Reason for which a path cannot be used.
enum Unusable {
    Io(io::Error),
    NotNamespace,
    OtherKind,
}

fn open_checked(path: &Path) -> std::result::Result<File, Unusable> {
    // O_NONBLOCK: a path to a FIFO would wait for a writer for ever.
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(Unusable::Io)?;
    let filesystem = fstatfs(&file).map_err(|e| Unusable::Io(e.into()))?;
    if filesystem.filesystem_type() != NSFS_MAGIC {
        return Err(Unusable::NotNamespace);
    }
    // SAFETY: NS_GET_NSTYPE takes no argument and the descriptor is open.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) };
    // Before 4.11 the kernel does not know the question (ENOTTY); setns then refuses another kind.
    if kind == libc::CLONE_NEWNET || (kind < 0 && Errno::last() == Errno::ENOTTY) {
        Ok(file)
    } else {
        Err(Unusable::OtherKind)
    }
}

fn unusable(path: &Path, why: Unusable) -> Error {
    let shown = path.display();
    match why {
        Unusable::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Error::unreachable(WHAT, format!("{shown}: {e}"))
                .hint("opening another process's namespace needs root (CAP_SYS_PTRACE)")
        }
        Unusable::Io(e) => Error::unreachable(WHAT, format!("{shown}: {e}"))
            .hint("ip netns list shows the names; a path such as /proc/PID/ns/net works as well"),
        Unusable::NotNamespace => Error::unreachable(WHAT, format!("{shown} is not a namespace"))
            .hint("ip netns list shows the names; a name whose mount is gone is removed by ip netns delete"),
        Unusable::OtherKind => {
            Error::unreachable(WHAT, format!("{shown} is a namespace, but not of the network"))
                .hint("use /proc/PID/ns/net")
        }
    }
}

#[cfg(test)]
#[path = "netns_tests.rs"]
mod tests;
