//! The values that the agent may change: those of the namespace, and max and buckets, which are the host's.

use std::io;
use std::rc::Rc;

use crate::act::executor::Values;
use crate::core::model::Value;
use crate::error::Result;
use crate::linux::bucket_watch::BucketWatch;
use crate::linux::host_values::HostValues;
use crate::linux::netns::Namespace;
use crate::linux::sysctl::ConntrackSysctls;

/// The values of a namespace, and those of the host.
pub struct NamespaceValues {
    pub(super) sysctls: ConntrackSysctls,
    pub(super) host: HostValues,
}

impl Values for Rc<NamespaceValues> {
    fn read(&self, value: Value) -> io::Result<u64> {
        match value.is_of_host() {
            true => self.host.read(value.name()),
            false => self.sysctls.read(value.name()),
        }
    }

    fn write(&self, value: Value, to: u64) -> io::Result<u64> {
        match value.is_of_host() {
            true => self.host.write(value.name(), to),
            false => self.sysctls.write(value.name(), to),
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

    /// True if a value may be written.
    pub fn writable(&self, value: Value) -> bool {
        match value.is_of_host() {
            true => self.host.writable(value.name()),
            false => self.sysctls.writable(value.name()),
        }
    }
}
