//! Finds masters, which other entries expect: they are known before anything goes, in whatever order a walk meets
//! them.

use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::whole::partial;
use crate::core::sieve::SharedSightings;
use crate::core::state::{Completeness, Identify};
use crate::error::{Error, Result};
use crate::linux::bucket_watch::Buckets;
use crate::linux::priority::{self, CpuSet, Stays};
use crate::linux::socket::{Netlink, explain, invalid};
use crate::linux::sysctl::ConntrackSysctls;
use crate::linux::table::{self, Chunk, Part};

/// A look for children, on a thread of its own: each names its master. A walk may meet a child long after its master;
/// a kernel that filters for children itself takes a tenth of a walk for them, another as long as a walk.
pub(super) struct Masters {
    looking: JoinHandle<Result<()>>,
    begin: SyncSender<()>,
    /// CPUs that it leaves to others; `None`: there is one only.
    beside: Option<CpuSet>,
}

impl Masters {
    /// Prepares a look, which comes `after` [`Masters::begin`]; the sightings hear of each master. `None` where no
    /// entry can have children, as on gateways without helpers. The kernel goes through the table in one system call, which no signal ends: a
    /// process that ends meanwhile waits for it.
    ///
    /// # Errors
    /// As [`Netlink::open`] and clone(2).
    pub(super) fn look(
        identify: Identify,
        sightings: SharedSightings,
        after: Duration,
    ) -> Result<Option<Self>> {
        let (mut netlink, sysctls) = (Netlink::open()?, ConntrackSysctls::open()?);
        // If the kernel does not tell, it is looked.
        if table::never_expected(&mut netlink).unwrap_or(false) {
            return Ok(None);
        }
        let (beside, own) = priority::apart().unzip();
        let (there, is_there) = sync_channel(1);
        let (begin, begun) = sync_channel::<()>(1);
        let body = move || {
            own.iter().for_each(priority::stay_on);
            let mut watch = sysctls.watch_buckets();
            let _ = there.send(());
            // The walk that wanted it has ended before it began.
            let Ok(()) = begun.recv() else { return Ok(()) };
            thread::sleep(after);
            for _ in 0..Completeness::ATTEMPTS {
                let looked = look(&mut netlink, &identify, &sightings);
                let resized = watch?.end() == Buckets::Changed;
                looked.map_err(|error| explain("conntrack dump", &error))?;
                // Part of them may be missing then, and nothing says so.
                if !resized {
                    return Ok(());
                }
                watch = sysctls.watch_buckets();
            }
            Err(partial())
        };
        let thread = thread::Builder::new().name("children".into()).spawn(body);
        let looking = thread.map_err(|error| explain("conntrack dump", &error))?;
        // From here on it needs no CPU that the caller keeps; nor do the threads of its watch.
        let _ = is_there.recv();
        Ok(Some(Masters { looking, begin, beside }))
    }

    /// Begins, once.
    pub(super) fn begin(&self) {
        // It takes one; a second finds no room, or nobody.
        let _ = self.begin.try_send(());
    }

    /// Keeps the calling thread off the CPUs of the look, until what is returned is dropped.
    pub(super) fn stay_beside(&self) -> Option<Stays> {
        self.beside.as_ref().map(Stays::on)
    }

    /// They are known, or will not be.
    pub(super) fn ended(&self) -> bool {
        self.looking.is_finished()
    }

    /// Waits until they are known.
    ///
    /// # Errors
    /// Exit 3 where the kernel cannot be read, or the table was resized: then who has children is not known.
    pub(super) fn wait(self) -> Result<()> {
        self.begin();
        let panicked = |_| Error::unreachable("conntrack dump", "a panic while children were looked for");
        self.looking.join().map_err(panicked)?
    }
}

fn look(netlink: &mut Netlink, identify: &Identify, sightings: &SharedSightings) -> io::Result<()> {
    let mut unreadable = None;
    let mut each = |chunk: &Chunk<'_>| {
        for entry in chunk.entries() {
            match entry.map(|entry| entry.master.map(|master| identify.tuple(&master, entry.zone_id()))) {
                Ok(None) => {}
                Ok(Some(master)) => {
                    sightings.write().unwrap_or_else(PoisonError::into_inner).saw_master(master);
                }
                Err(error) => unreadable = Some(error),
            }
        }
        unreadable.is_none()
    };
    table::dump_of(netlink, Part::Children, &mut each)?;
    unreadable.map_or(Ok(()), |error| Err(invalid(error)))
}
