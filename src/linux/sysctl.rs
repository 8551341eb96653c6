//! The conntrack sysctls of one network namespace, by the names that the running kernel has.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bucket_watch::{BucketWatch, Size};
use super::netns::Identity;
use super::root::Root;
use crate::core::model::{Timeout, TimeoutValues};
use crate::error::{Error, Result};

const WHAT: &str = "conntrack";

/// The sysctls of one namespace. Names are the contract's: what follows `nf_conntrack_` (`max`, `buckets`,
/// `tcp_timeout_established`), or `nf_` for the flowtable's (`flowtable_tcp_timeout`).
///
/// /proc/sys/net shows the namespace of the thread that opens a file, and an open file stays with that namespace
/// (seen on 6.18: reads and writes from a thread elsewhere reach the namespace of the opener). So the files are
/// kept open; a file that is opened again later is opened only by a thread that is in the same namespace.
#[derive(Debug)]
pub struct ConntrackSysctls {
    root: Root,
    namespace: Identity,
    kept: BTreeMap<&'static str, File>,
    /// Timeouts that were not there at the start: asked for again now and then, for a module may bring them. On a
    /// kernel without DCCP to look for its seven at each look took a fifth of an agent's time at rest.
    late: Mutex<(Option<Instant>, TimeoutValues)>,
}

/// Interval at which a file that is not there is looked for again.
const LATE_EVERY: Duration = Duration::from_secs(10);

impl ConntrackSysctls {
    /// The sysctls of the calling thread's namespace.
    ///
    /// Errors: the kernel has none, or this namespace does not show them; exit 3.
    pub fn open() -> Result<Self> {
        Self::open_at(Root::default())
    }

    /// Opens the sysctls of the calling thread's namespace below another root.
    pub fn open_at(root: Root) -> Result<Self> {
        let others =
            ["count", "max", "buckets", "events", "acct", "flowtable_tcp_timeout", "flowtable_udp_timeout"];
        let names: Vec<_> = others.into_iter().chain(Timeout::all().map(Timeout::name)).collect();
        Self::open_names(root, &names)
    }

    /// With these files kept, `count` among them.
    pub(super) fn open_names(root: Root, names: &[&'static str]) -> Result<Self> {
        let namespace = Identity::own().map_err(|e| Error::unreachable(WHAT, e))?;
        let mut sysctls = ConntrackSysctls { root, namespace, kept: BTreeMap::new(), late: Mutex::default() };
        for name in names {
            match sysctls.open_file(name) {
                Ok(file) => drop(sysctls.kept.insert(name, file)),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(failed(name, e)),
            }
        }
        if sysctls.kept.contains_key("count") { Ok(sysctls) } else { Err(sysctls.missing()) }
    }

    fn missing(&self) -> Error {
        if self.root.join("sys/module/nf_conntrack").exists() {
            Error::unreachable(WHAT, "this network namespace has no nf_conntrack_count")
                .hint("older kernels hide it in namespaces of unprivileged users: watch one made by root")
        } else {
            Error::unreachable(WHAT, "the kernel has no conntrack sysctls").hint("modprobe nf_conntrack")
        }
    }

    /// Entries of this namespace.
    pub fn count(&self) -> Result<u64> {
        self.get("count")
    }

    /// The limit, which is one for all namespaces; 0 is none. Up to 5.10 or so the kernel takes a negative one, and
    /// compares the count with it as an unsigned number: that is none as well.
    pub fn max(&self) -> Result<u64> {
        self.get("max")
    }

    /// Buckets of the one table of all namespaces.
    pub fn buckets(&self) -> Result<u64> {
        self.get("buckets")
    }

    /// Watches from now on whether the hash table is resized.
    ///
    /// Errors: the buckets cannot be read, or there is no thread to be had; exit 3.
    pub fn watch_buckets(&self) -> Result<BucketWatch> {
        let file = |name| self.kept.get(name).map_or_else(|| self.open_file(name), File::try_clone);
        let begin = || {
            let (buckets, count) = (file("buckets")?, file("count")?);
            BucketWatch::begin(move || {
                Ok(Size { buckets: read_number(&buckets)?, entries: read_number(&count).unwrap_or(0) })
            })
        };
        begin().map_err(|e| failed("buckets", e))
    }

    fn get(&self, name: &str) -> Result<u64> {
        self.read(name).map_err(|e| failed(name, e))
    }

    /// 0 off, 1 on, 2 automatic; nothing on a kernel without events.
    pub fn events(&self) -> Option<u64> {
        self.read("events").ok()
    }

    /// True if new entries count packets and bytes.
    pub fn accounting(&self) -> bool {
        self.read("acct").is_ok_and(|v| v != 0)
    }

    /// Every timeout that this kernel has, in seconds.
    pub fn timeouts(&self) -> TimeoutValues {
        let (kept, missing): (Vec<_>, Vec<_>) =
            Timeout::all().partition(|t| self.kept.contains_key(t.name()));
        let read = |timeouts: Vec<Timeout>| -> TimeoutValues {
            timeouts.into_iter().filter_map(|t| Some((t, self.seconds(t.name())?))).collect()
        };
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.0.is_none_or(|at| at.elapsed() >= LATE_EVERY) {
            *late = (Some(Instant::now()), read(missing));
        }
        let mut timeouts = read(kept);
        timeouts.extend(late.1.clone());
        timeouts
    }

    /// Timeouts below zero, of those that are not among `timeouts`. The kernel takes them (proc_dointvec_jiffies).
    pub fn negative_timeouts(&self, timeouts: &TimeoutValues) -> BTreeMap<Timeout, i64> {
        let left = Timeout::all().filter(|timeout| !timeouts.contains_key(timeout));
        let read = left.filter_map(|timeout| {
            let seconds = read_signed(self.kept.get(timeout.name())?).ok()?;
            (seconds < 0).then_some((timeout, seconds))
        });
        read.collect()
    }

    /// `nf_flowtable_tcp_timeout`: seconds after which an offloaded flow returns to the table.
    pub fn flowtable_tcp_timeout(&self) -> Option<u32> {
        self.seconds("flowtable_tcp_timeout")
    }

    /// `nf_flowtable_udp_timeout` in seconds; `None` on kernels without it.
    pub fn flowtable_udp_timeout(&self) -> Option<u32> {
        self.seconds("flowtable_udp_timeout")
    }

    fn seconds(&self, name: &str) -> Option<u32> {
        self.read(name).ok()?.try_into().ok()
    }

    /// One value. A file that went away with its module or was not there at the start is opened again once.
    ///
    /// Errors: `NotFound` where the kernel has no such name, `InvalidData` where the text is no count.
    pub fn read(&self, name: &str) -> io::Result<u64> {
        let read = |file: &File| match read_signed(file) {
            Ok(..0) if name == "max" => Ok(0),
            _ => read_number(file),
        };
        match self.kept.get(name).map(read) {
            Some(Ok(value)) => Ok(value),
            _ => read(&self.open_file(name)?),
        }
    }

    /// Makes one value so, and returns what it then is. Nothing is written where it is so already; buckets the
    /// kernel rounds up to whole pages (nf_ct_alloc_hashtable).
    ///
    /// Errors: no such name, no permission, or the kernel refused or kept another value.
    pub fn write(&self, name: &str, value: u64) -> io::Result<u64> {
        if self.read(name)? == value {
            return Ok(value);
        }
        self.put(name, value)?;
        kept_value(name, value, self.read(name)?)
    }

    /// Writes, whatever is there.
    pub(super) fn put(&self, name: &str, value: u64) -> io::Result<()> {
        self.open_to_write(name, true)?.write_all(format!("{value}\n").as_bytes())
    }

    /// True if [`write`](Self::write) may write this value, as the kernel itself says: the file is opened to write,
    /// and closed. Mode bits alone do not tell (net_ctl_permissions: CAP_NET_ADMIN of the namespace's owner is
    /// enough).
    pub fn writable(&self, name: &str) -> bool {
        self.open_to_write(name, false).is_ok()
    }

    /// The name as sysctl(8) takes it (`net.netfilter.nf_conntrack_max`); nothing where the kernel lacks it.
    pub fn key(&self, name: &str) -> Option<String> {
        let path = candidates(name).ok()?.into_iter().find(|p| self.path(p).exists())?;
        Some(path.replace('/', "."))
    }

    fn path(&self, candidate: &str) -> PathBuf {
        self.root.join("proc/sys").join(candidate)
    }

    /// The first of a name's files that there is, and where it lies.
    fn open_with(&self, name: &str, options: &OpenOptions) -> io::Result<File> {
        if Identity::own()? != self.namespace {
            return Err(io::Error::other("opened again by a thread of another network namespace"));
        }
        for candidate in candidates(name)? {
            match options.open(self.path(&candidate)) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                done => return done,
            }
        }
        Err(io::Error::new(ErrorKind::NotFound, format!("the kernel has no conntrack sysctl {name}")))
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OpenOptions::new().read(true))
    }

    fn open_to_write(&self, name: &str, truncate: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).truncate(truncate);
        if let Some(file) = self.kept.get(name) {
            // Through the kept file: the same namespace from whichever thread.
            match options.open(format!("/proc/thread-self/fd/{}", file.as_raw_fd())) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                done => return done,
            }
        }
        self.open_with(name, &options)
    }
}

/// Every conntrack sysctl of the calling thread's namespace as text, by the name after `nf_conntrack_`; nothing where
/// the kernel has none.
pub fn conntrack_values() -> BTreeMap<String, String> {
    let root = Root::default();
    let directory = "proc/sys/net/netfilter";
    let listed = std::fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
    let value = |entry: std::fs::DirEntry| {
        let file = entry.file_name().into_string().ok()?;
        let name = file.strip_prefix("nf_conntrack_")?.to_owned();
        Some((name, root.text(&format!("{directory}/{file}")).trim().to_owned()))
    };
    listed.filter_map(value).collect()
}

/// Release of the running kernel, as `uname -r` prints it.
pub fn kernel_release() -> String {
    Root::default().text("proc/sys/kernel/osrelease").trim().to_owned()
}

pub(super) fn failed(name: &str, why: io::Error) -> Error {
    let error = Error::unreachable(format!("conntrack sysctl {name}"), &why);
    match why.kind() {
        ErrorKind::NotFound => error.hint("modprobe nf_conntrack"),
        ErrorKind::PermissionDenied => error.hint("run as root or with CAP_NET_ADMIN"),
        _ => error,
    }
}

/// Checks the value that the kernel kept of `wanted`.
pub(super) fn kept_value(name: &str, wanted: u64, actual: u64) -> io::Result<u64> {
    if actual == wanted || (name == "buckets" && actual > wanted) {
        Ok(actual)
    } else {
        Err(io::Error::other(format!("{wanted} was written to {name}, the kernel has {actual}")))
    }
}

/// Paths below /proc/sys at which a name may lie: today's place first, then those of CONFIG_NF_CONNTRACK_PROC_COMPAT
/// and ip_conntrack.
fn candidates(name: &str) -> io::Result<Vec<String>> {
    // A name is never a path.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{name:?} names no conntrack sysctl")));
    }
    if name.starts_with("flowtable_") {
        return Ok(vec![format!("net/netfilter/nf_{name}")]);
    }
    let mut found =
        vec![format!("net/netfilter/nf_conntrack_{name}"), format!("net/ipv4/netfilter/ip_conntrack_{name}")];
    if name == "max" {
        found.insert(1, "net/nf_conntrack_max".into());
        found.push("net/ipv4/ip_conntrack_max".into());
    }
    Ok(found)
}

/// Reads from the start, so that one open file serves for ever.
pub(super) fn read_number(file: &File) -> io::Result<u64> {
    parsed(file)
}

fn read_signed(file: &File) -> io::Result<i64> {
    parsed(file)
}

fn parsed<T: FromStr>(file: &File) -> io::Result<T> {
    let mut buffer = [0; 64];
    let length = file.read_at(&mut buffer, 0)?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    let text = text.trim();
    text.parse().map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("{text:?} is not a count")))
}

#[cfg(test)]
#[path = "sysctl_tests.rs"]
mod tests;
