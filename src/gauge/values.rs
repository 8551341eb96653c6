//! Values by their contract names: those of the namespace, and max and buckets, which are the host's.

use std::io;
use std::rc::Rc;

use crate::error::Result;
use crate::executor::Values;
use crate::kernel::bucket_watch::BucketWatch;
use crate::kernel::host_values::HostValues;
use crate::kernel::netns::Namespace;
use crate::kernel::sysctl::ConntrackSysctls;

/// The values of a namespace, and those of the host.
pub struct NamespaceValues {
    pub(super) sysctls: ConntrackSysctls,
    pub(super) host: HostValues,
}

impl Values for Rc<NamespaceValues> {
    fn read(&self, name: &str) -> io::Result<u64> {
        match name {
            "max" | "buckets" => self.host.read(name),
            _ => self.sysctls.read(name),
        }
    }

    fn write(&self, name: &str, value: u64) -> io::Result<u64> {
        match name {
            "max" | "buckets" => self.host.write(name, value),
            _ => self.sysctls.write(name, value),
        }
    }
}

impl NamespaceValues {
    /// Opens both, on a thread that has entered the namespace.
    ///
    /// # Errors
    /// Exit 3 without conntrack.
    pub fn open() -> Result<Rc<Self>> {
        let first = Namespace::first();
        let sysctls = ConntrackSysctls::open()?;
        Ok(Rc::new(NamespaceValues { sysctls, host: HostValues::open(first.as_ref())? }))
    }

    /// Watches from now on whether the table is resized.
    ///
    /// # Errors
    /// Exit 3 where the kernel does not tell how many buckets there are.
    pub fn watch_buckets(&self) -> Result<BucketWatch> {
        self.sysctls.watch_buckets()
    }

    /// Whether a value may be written.
    pub fn writable(&self, name: &str) -> bool {
        match name {
            "max" | "buckets" => self.host.writable(name),
            _ => self.sysctls.writable(name),
        }
    }
}
