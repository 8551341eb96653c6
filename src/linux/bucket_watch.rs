//! Watches whether the hash table is resized while somebody walks it.
//!
//! The number of buckets before and after does not tell: it may be the old one again. In between each size holds for
//! a grace period of RCU at least (`synchronize_net` in `nf_conntrack_hash_resize`; 6 to 16 ms seen), so it is read
//! more often.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
const MOVED: Duration = Duration::from_nanos(100);

/// Result of a watch on the number of buckets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Buckets {
    /// It stayed as it was.
    Stayed,
    /// It was never seen to be another; but no thread that reads it had a CPU for a while.
    NotKnown,
    /// It was another at some time, or could not be read.
    Changed,
}

/// Reads the number of buckets on threads of its own, from its beginning to its end.
///
/// A filtered dump keeps its CPU within the kernel for up to 0.2 s, and a thread that was put to sleep on that CPU is
/// not moved to another one meanwhile (`CONFIG_PREEMPT_NONE`). So there are two threads, each on one half of the CPUs:
/// one dump holds up only one of them.
pub struct BucketWatch {
    stops: Vec<SyncSender<()>>,
    threads: Vec<JoinHandle<Buckets>>,
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
    pub fn begin(look: impl Fn() -> io::Result<Size> + Send + Sync + 'static) -> io::Result<Self> {
        let began_reading = Instant::now();
        let first = look()?;
        let reads = Mutex::new(Reads { began_reading, used: own_cpu_time(), moved: first.moved() });
        let shared = Arc::new(Shared { look, buckets: first.buckets, cpus: online_cpus(), reads });
        let mut watch = BucketWatch { stops: Vec::new(), threads: Vec::new() };
        let (there, all_there) = sync_channel(2);
        for half in priority::halves() {
            let (stop, stopped) = sync_channel(1);
            let (shared, there) = (Arc::clone(&shared), there.clone());
            let body = move || {
                priority::raise();
                half.iter().for_each(priority::stay_on);
                let _ = there.send(());
                shared.read_until(&stopped)
            };
            watch.threads.push(thread::Builder::new().name("buckets".into()).spawn(body)?);
            watch.stops.push(stop);
        }
        // A thread that has not run yet is on any CPU, which a dump may soon keep from it.
        for _ in &watch.threads {
            let _ = all_there.recv();
        }
        Ok(watch)
    }

    /// Ends the watch, and returns its result.
    pub fn end(self) -> Buckets {
        for stop in &self.stops {
            let _ = stop.try_send(());
        }
        let known = self.threads.into_iter().map(|thread| thread.join().unwrap_or(Buckets::NotKnown));
        known.max().unwrap_or(Buckets::NotKnown)
    }
}

/// Reads of all threads of a watch so far.
struct Reads {
    /// The latest read that has ended began at this time.
    began_reading: Instant,
    /// CPU time of this process at that read.
    used: Duration,
    /// As of that read: the least time that a resize takes to move the entries.
    moved: Duration,
}

/// What the threads of a watch share.
struct Shared<L> {
    look: L,
    /// Buckets at the beginning.
    buckets: u64,
    cpus: u32,
    reads: Mutex<Reads>,
}

impl<L: Fn() -> io::Result<Size>> Shared<L> {
    /// Reads on and on until `stopped`, and once more.
    fn read_until(&self, stopped: &Receiver<()>) -> Buckets {
        let mut known = Buckets::Stayed;
        loop {
            let every = (LONGEST + self.reads().moved) / READS;
            let ended = !matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout));
            let began_reading = Instant::now();
            let Some(now) = (self.look)().ok().filter(|now| now.buckets == self.buckets) else {
                return Buckets::Changed;
            };
            let mut reads = self.reads();
            // From before one read to after the next: a thread may lose its CPU within either.
            let gap = reads.began_reading.elapsed();
            let used = own_cpu_time();
            // A flush may have taken most of them since the last read.
            let moved = now.moved();
            if gap > LONGEST + moved {
                let own = used.saturating_sub(reads.used);
                if leaves_time_for(moved, gap.saturating_mul(self.cpus), own) {
                    known = Buckets::NotKnown;
                }
            }
            if began_reading > reads.began_reading {
                *reads = Reads { began_reading, used, moved };
            }
            if ended {
                return known;
            }
        }
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
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
        let reads = AtomicU64::new(0);
        let fails = move || {
            if reads.fetch_add(1, Ordering::SeqCst) == 0 {
                size(512, 0)
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
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
    fn one_thread_that_is_held_up_is_no_gap_while_the_other_reads() {
        if priority::halves().len() < 2 {
            eprintln!("SKIPPED: this process may run on one CPU only, so there is one thread that reads");
            return;
        }
        let (held_up, read) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
        let reads = Arc::clone(&read);
        let look = move || {
            // The first read is of `begin`, the second of the thread that is held up.
            if reads.fetch_add(1, Ordering::SeqCst) == 1 {
                while held_up.load(Ordering::SeqCst) < 8 {
                    thread::yield_now();
                }
            }
            held_up.fetch_add(1, Ordering::SeqCst);
            size(512, 5_000_000)
        };
        let watch = BucketWatch::begin(look).expect("two threads");
        while read.load(Ordering::SeqCst) < 10 {
            thread::yield_now();
        }
        assert_eq!(watch.end(), Buckets::Stayed);
    }

    #[test]
    fn what_happens_while_nobody_reads_is_not_known() {
        let slow = |entries| {
            let reads = AtomicU64::new(0);
            move || {
                if reads.fetch_add(1, Ordering::SeqCst) > 0 {
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
