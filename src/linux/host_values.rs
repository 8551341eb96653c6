//! The values that are one for all namespaces, max and buckets: the kernel lets them be written in the first only.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use super::netns::Namespace;
use super::root::Root;
use super::sysctl::{ConntrackSysctls, failed, kept_value, read_number};
use crate::error::{Error, Result};

/// `max` and `buckets`, read and written in the first network namespace from a thread of any other.
#[derive(Debug)]
pub struct HostValues {
    first: Option<Namespace>,
    sysctls: ConntrackSysctls,
    hashsize: PathBuf,
}

impl HostValues {
    /// Opens them in the first namespace; without one, in the calling thread's, to read only: the values are the
    /// same, and the kernel refuses to write them there (0444 in nf_conntrack_standalone_init_sysctl).
    ///
    /// Errors: no conntrack, or no permission to enter; exit 3.
    pub fn open(first: Option<&Namespace>) -> Result<Self> {
        Self::open_at(first, Root::default())
    }

    fn open_at(first: Option<&Namespace>, root: Root) -> Result<Self> {
        let hashsize = root.join("sys/module/nf_conntrack/parameters/hashsize");
        let open = || ConntrackSysctls::open_names(root, &["count", "max", "buckets"]);
        let clone = |n: &Namespace| n.try_clone().map_err(|e| Error::unreachable("network namespace", e));
        let first = first.map(clone).transpose()?;
        let sysctls = match &first {
            Some(first) => first.run_in(open)??,
            None => open()?,
        };
        Ok(HostValues { first, sysctls, hashsize })
    }

    /// `nf_conntrack_max`; 0 is no limit.
    pub fn max(&self) -> Result<u64> {
        self.read("max").map_err(|e| failed("max", e))
    }

    /// Reads `nf_conntrack_buckets`, the buckets of the host's hash table.
    pub fn buckets(&self) -> Result<u64> {
        self.read("buckets").map_err(|e| failed("buckets", e))
    }

    /// `max` or `buckets`; buckets from the module's parameter on kernels without the sysctl.
    pub fn read(&self, name: &str) -> io::Result<u64> {
        check(name)?;
        let found = self.sysctls.read(name).or_else(|e| match &self.first {
            // The kept file is gone with its module: again, in the right namespace.
            Some(first) => in_first(first, || self.sysctls.read(name)),
            None => Err(e),
        });
        match found {
            Err(e) if name == "buckets" => self.read_hashsize().map_err(|_| e),
            found => found,
        }
    }

    fn read_hashsize(&self) -> io::Result<u64> {
        read_number(&File::open(&self.hashsize)?)
    }

    /// True if [`write`](Self::write) may write this value, as the kernel says.
    pub fn writable(&self, name: &str) -> bool {
        let Some(first) = self.first.as_ref().filter(|_| check(name).is_ok()) else { return false };
        let parameter = || name == "buckets" && OpenOptions::new().write(true).open(&self.hashsize).is_ok();
        self.sysctls.writable(name)
            || in_first(first, || Ok(self.sysctls.writable(name) || parameter())).unwrap_or(false)
    }

    /// Makes `max` or `buckets` so, and returns what it then is; buckets are rounded up. Buckets go through the
    /// sysctl where it is writable (since 4.8), else through the module's parameter, which the kernel takes from a
    /// thread in the first namespace only (nf_conntrack_set_hashsize).
    ///
    /// Errors: no way into the first namespace, no permission, or the kernel refused.
    pub fn write(&self, name: &str, value: u64) -> io::Result<u64> {
        check(name)?;
        let first = self.first.as_ref().ok_or_else(|| {
            io::Error::new(
                ErrorKind::PermissionDenied,
                format!("{name} is written in the first namespace only"),
            )
        })?;
        if self.sysctls.writable(name) {
            // Through the open file: no thread, and no CAP_SYS_ADMIN.
            return self.sysctls.write(name, value);
        }
        in_first(first, || {
            if name == "buckets" && !self.sysctls.writable(name) {
                return self.write_hashsize(value);
            }
            self.sysctls.write(name, value)
        })
    }

    fn write_hashsize(&self, value: u64) -> io::Result<u64> {
        if self.read_hashsize()? == value {
            return Ok(value);
        }
        let mut file = OpenOptions::new().write(true).truncate(true).open(&self.hashsize)?;
        file.write_all(format!("{value}\n").as_bytes())?;
        kept_value("buckets", value, self.read_hashsize()?)
    }
}

/// On the caller's thread where that is in the namespace already.
fn in_first<T: Send>(first: &Namespace, f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if first.is_own() {
        return f();
    }
    first.run_in(f).map_err(|e| io::Error::new(ErrorKind::PermissionDenied, e.to_string()))?
}

fn check(name: &str) -> io::Result<()> {
    match name {
        "max" | "buckets" => Ok(()),
        _ => Err(io::Error::new(ErrorKind::InvalidInput, format!("{name} is not one for all namespaces"))),
    }
}

#[cfg(test)]
#[path = "host_values_tests.rs"]
mod tests;
