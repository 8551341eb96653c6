//! Watches whether the hash table is resized while somebody walks it.
//!
//! The number of buckets before and after does not tell: it may be the old one again. In between each size holds for
//! a grace period of RCU at least (`synchronize_net` in `nf_conntrack_hash_resize`; 6 to 16 ms seen), so it is read
//! more often.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use super::priority;

/// Reads in the shortest time that another number of buckets may hold. A read and a wake-up take some 10 us.
const READS: u32 = 5;
/// Between reads of an empty table's buckets that are further apart, it may have been resized there and back.
const LONGEST: Duration = Duration::from_millis(5);
/// The least time that a resize takes for each entry: it hashes both tuples of it anew under all locks of the table
/// (`nf_conntrack_hash_resize`; 560 to 1200 ns seen). Another number of buckets holds until the table is moved back.
const MOVED: Duration = Duration::from_nanos(50);

/// Result of a watch on the number of buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buckets {
    /// It stayed as it was.
    Stayed,
    /// It was another at some time, or could not be read.
    Changed,
    /// It was never seen to be another; but the thread that reads it had no CPU for a while.
    NotKnown,
}

/// Reads the number of buckets on a thread of its own, from its beginning to its end.
pub struct BucketWatch {
    stop: SyncSender<()>,
    thread: JoinHandle<Buckets>,
}

/// The table at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Buckets of the hash table.
    pub buckets: u64,
    /// Entries that it has at least.
    pub entries: u64,
}

impl Size {
    /// The least time that a resize takes to move the entries.
    fn moved(&self) -> Duration {
        MOVED * u32::try_from(self.entries).unwrap_or(u32::MAX)
    }
}

impl BucketWatch {
    /// Begins; `look` reads the size of the table.
    ///
    /// # Errors
    /// As the first look, and clone(2).
    pub fn begin(mut look: impl FnMut() -> io::Result<Size> + Send + 'static) -> io::Result<Self> {
        let cpus = online_cpus();
        let mut began_reading = Instant::now();
        let first = look()?;
        let (stop, stopped) = sync_channel(1);
        let body = move || {
            priority::raise();
            let (mut known, mut used) = (Buckets::Stayed, own_cpu_time());
            let mut moved = first.moved();
            loop {
                let every = (LONGEST + moved) / READS;
                let ended = !matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout));
                let before = std::mem::replace(&mut began_reading, Instant::now());
                let used_before = std::mem::replace(&mut used, own_cpu_time());
                let Some(now) = look().ok().filter(|now| now.buckets == first.buckets) else {
                    return Buckets::Changed;
                };
                // A flush may have taken most of them since the last look.
                moved = now.moved();
                // From before one read to after the next: the thread may lose its CPU within either.
                if before.elapsed() > LONGEST + moved {
                    let own = own_cpu_time().saturating_sub(used_before);
                    if leaves_time_for(moved, before.elapsed().saturating_mul(cpus), own) {
                        known = Buckets::NotKnown;
                    }
                }
                if ended {
                    return known;
                }
            }
        };
        let thread = thread::Builder::new().name("buckets".into()).spawn(body)?;
        Ok(BucketWatch { stop, thread })
    }

    /// Ends the watch, and returns its result.
    pub fn end(self) -> Buckets {
        let _ = self.stop.try_send(());
        self.thread.join().unwrap_or(Buckets::NotKnown)
    }
}

/// True if others had the CPU time that it takes to move the table once, where of `all` CPU time this process used
/// `own`. Two walks of a large table within the kernel keep two CPUs from everyone else for up to 0.2 s.
fn leaves_time_for(moved: Duration, all: Duration, own: Duration) -> bool {
    moved.is_zero() || all.saturating_sub(own) >= moved
}

/// CPU time of all threads of this process (CLOCK_PROCESS_CPUTIME_ID).
fn own_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn online_cpus() -> u32 {
    let cpus = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    cpus.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    fn size(buckets: u64, entries: u64) -> io::Result<Size> {
        Ok(Size { buckets, entries })
    }

    #[test]
    fn a_table_that_has_its_old_size_again_was_resized() {
        static BUCKETS: AtomicU64 = AtomicU64::new(512);
        let (read, reads) = channel();
        let look = move || {
            let now = BUCKETS.load(Ordering::SeqCst);
            let _ = read.send(now);
            size(now, 0)
        };
        let watch = BucketWatch::begin(look).expect("a thread");
        BUCKETS.store(1024, Ordering::SeqCst);
        while reads.recv().expect("it reads on until it ends") != 1024 {}
        BUCKETS.store(512, Ordering::SeqCst);
        assert_eq!(watch.end(), Buckets::Changed);
    }

    #[test]
    fn a_table_that_stays_as_it_is_was_not_and_one_that_cannot_be_read_may_have_been() {
        assert_ne!(BucketWatch::begin(|| size(512, 0)).expect("a thread").end(), Buckets::Changed);
        let mut reads = 0;
        let fails = move || {
            reads += 1;
            if reads == 1 { size(512, 0) } else { Err(io::ErrorKind::NotFound.into()) }
        };
        assert_eq!(BucketWatch::begin(fails).expect("a thread").end(), Buckets::Changed);
        assert!(BucketWatch::begin(|| Err(io::ErrorKind::NotFound.into())).is_err());
    }

    #[test]
    fn who_has_no_cpu_moves_no_table() {
        let ms = Duration::from_millis;
        for (moved, all, own, leaves) in
            [(35, 464, 455, false), (35, 464, 420, true), (35, 400, 900, false), (0, 20, 20, true)]
        {
            assert_eq!(leaves_time_for(ms(moved), ms(all), ms(own)), leaves, "{moved} {all} {own}");
        }
    }

    #[test]
    fn what_happens_while_nobody_reads_is_not_known() {
        let slow = |entries| {
            let mut reads = 0;
            move || {
                reads += 1;
                if reads > 1 {
                    thread::sleep(2 * LONGEST);
                }
                size(512, entries)
            }
        };
        assert_eq!(BucketWatch::begin(slow(0)).expect("a thread").end(), Buckets::NotKnown);
        // Four billion entries are not moved back within minutes.
        assert_eq!(BucketWatch::begin(slow(u64::MAX)).expect("a thread").end(), Buckets::Stayed);
    }
}
