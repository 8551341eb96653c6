//! The hand: plans become outcomes. It decides nothing, but looks again at the moment of acting: what it finds
//! changed since the decision, it leaves alone.

mod share;

use std::io;
use std::time::{Duration, Instant};

use crate::kernel::socket::Netlink;
use crate::kernel::table::{self, Deleted, Deleter};
use crate::model::{Class, Entry, Flush, Pace};
use share::Collector;

/// Where values and deletions go: the kernel, or nowhere (dry run). The same plan reaches either.
pub trait Hand {
    /// Sets a value by its contract name; what it is afterwards, or `None` if nothing was changed by intent.
    ///
    /// # Errors
    /// In the kernel's words.
    fn set(&mut self, name: &str, from: u64, to: u64) -> Result<Option<u64>, Refused>;

    /// Takes an entry that was seen after `seen`; it is gone after [`Hand::settle`].
    fn take(&mut self, entry: &Entry, seen: Instant);

    /// Does what was taken.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    fn settle(&mut self) -> io::Result<Deleted>;

    /// Nothing is changed by this one.
    fn dry(&self) -> bool;
}

/// Why a value was not set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is not what the decision was made for any more.
    Changed(u64),
    /// The kernel said no.
    Kernel(String),
}

/// The hand that changes nothing.
#[derive(Debug, Default)]
pub struct DryHand {
    taken: u64,
}

impl Hand for DryHand {
    fn set(&mut self, _: &str, _: u64, _: u64) -> Result<Option<u64>, Refused> {
        Ok(None)
    }

    fn take(&mut self, _: &Entry, _: Instant) {
        self.taken += 1;
    }

    fn settle(&mut self) -> io::Result<Deleted> {
        Ok(Deleted { sent: std::mem::take(&mut self.taken), ..Deleted::default() })
    }

    fn dry(&self) -> bool {
        true
    }
}

/// Reads and writes values of the kernel by their contract names.
pub trait Values {
    /// What it is now.
    ///
    /// # Errors
    /// As read(2).
    fn read(&self, name: &str) -> io::Result<u64>;

    /// Writes it; what the kernel made of it.
    ///
    /// # Errors
    /// As write(2).
    fn write(&self, name: &str, value: u64) -> io::Result<u64>;
}

/// The hand on the kernel.
pub struct KernelHand<V> {
    values: V,
    deleter: Deleter,
    unreadable: u64,
}

impl<V: Values> KernelHand<V> {
    /// With these values and a socket of its own for deletions.
    pub fn new(values: V, deleter: Deleter) -> Self {
        KernelHand { values, deleter, unreadable: 0 }
    }
}

impl<V: Values> Hand for KernelHand<V> {
    fn set(&mut self, name: &str, from: u64, to: u64) -> Result<Option<u64>, Refused> {
        let refused = |error: io::Error| Refused::Kernel(error.to_string());
        match self.values.read(name).map_err(refused)? {
            now if now == to => Ok(Some(to)),
            now if now != from => Err(Refused::Changed(now)),
            _ => self.values.write(name, to).map(Some).map_err(refused),
        }
    }

    fn take(&mut self, entry: &Entry, seen: Instant) {
        // An identity that does not encode with certainty stays.
        self.unreadable += u64::from(self.deleter.push(entry, seen).is_err());
    }

    fn settle(&mut self) -> io::Result<Deleted> {
        let mut deleted = self.deleter.flush()?;
        let unreadable = std::mem::take(&mut self.unreadable);
        deleted.sent += unreadable;
        deleted.failed += unreadable;
        Ok(deleted)
    }

    fn dry(&self) -> bool {
        false
    }
}

/// Who judges the entries of a sweep.
pub trait Judge {
    /// Class and certain idleness of an entry that may go.
    fn eligible(&mut self, entry: &Entry) -> Option<(Class, u32)>;
    /// Certain idleness of the entry judged last, if it is unprotected: what fair share may take.
    fn idle_unprotected(&self) -> Option<u32>;
    /// The entry judged last stays.
    fn stays(&mut self);
    /// Time to read again what may have changed while the sweep runs.
    fn refresh(&mut self);
    /// Entries in the table right now.
    fn count(&mut self) -> Option<u64>;
    /// Something that the judgement rests on has changed just now: asked once a chunk, so it has to cost nothing.
    fn outdated(&mut self) -> bool {
        false
    }
    /// The sweep is to end here (a stop, a pause).
    fn halted(&self) -> bool {
        false
    }
}

/// What a sweep came to.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// For each flush of the plan, how many entries went (or would have).
    pub freed: Vec<u64>,
    /// For each flush, how many were asked to go.
    pub requested: Vec<u64>,
    /// All deletions together.
    pub deleted: Deleted,
    /// The sweep went through the whole table.
    pub whole: bool,
    /// Messages of the dump that could not be read.
    pub unreadable: u64,
}

/// How often what the judgement rests on is read again.
const REFRESH: Duration = Duration::from_millis(250);

/// Goes through the table once; of what is eligible takes what the flushes name, at the plan's pace, and stops when
/// that is enough. Without flushes it is a scan.
///
/// # Errors
/// As the dump's; what was done until then is lost from the report, not from the table.
pub fn sweep(
    netlink: &mut Netlink,
    hand: &mut dyn Hand,
    flushes: &[&Flush],
    pace: &Pace,
    judge: &mut dyn Judge,
) -> io::Result<Swept> {
    let mut swept = Swept {
        freed: vec![0; flushes.len()],
        requested: vec![0; flushes.len()],
        whole: true,
        ..Swept::default()
    };
    let mut refreshed = Instant::now();
    let mut throttle = Throttle::new(pace);
    let mut failure = None;
    let mut wanted = Wanted::new(flushes);
    table::dump(netlink, |chunk| {
        if judge.outdated() || refreshed.elapsed() >= REFRESH {
            judge.refresh();
            refreshed = Instant::now();
        }
        if judge.halted() {
            swept.whole = false;
            return false;
        }
        let ready = throttle.ready();
        let mut taken = vec![0u64; flushes.len()];
        for entry in chunk.entries() {
            let Ok(entry) = entry else {
                swept.unreadable += 1;
                continue;
            };
            let eligible = judge.eligible(&entry);
            let open = |i: usize, flush: &Flush| ready && swept.freed[i] + taken[i] < flush.budget;
            match wanted.by(&entry, eligible, judge.idle_unprotected(), open) {
                Some(i) => {
                    hand.take(&entry, chunk.filled_after);
                    taken[i] += 1;
                }
                None => judge.stays(),
            }
        }
        let asked: u64 = taken.iter().sum();
        if asked == 0 {
            return true;
        }
        let done = match hand.settle() {
            Ok(done) => done,
            Err(error) => {
                failure = Some(error);
                return false;
            }
        };
        credit(&mut swept, &taken, &done);
        let spent = flushes.iter().zip(&swept.freed).all(|(flush, n)| *n >= flush.budget);
        let count = if hand.dry() { None } else { judge.count() };
        let enough = count.is_some_and(|count| count <= pace.enough_at_entries);
        if spent || enough {
            swept.whole = false;
            return false;
        }
        throttle.after(asked, count);
        true
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok(swept),
    }
}

/// Which flush of a plan an entry goes by.
struct Wanted<'a> {
    flushes: Vec<(&'a Flush, Option<Collector>)>,
}

impl<'a> Wanted<'a> {
    fn new(flushes: &[&'a Flush]) -> Self {
        let with = |flush: &&'a Flush| (*flush, Collector::of(flush));
        Wanted { flushes: flushes.iter().map(with).collect() }
    }

    /// The first that names it and is `open` still. `eligible`: by its class; `idle`: by fair share.
    fn by(
        &mut self,
        entry: &Entry,
        eligible: Option<(Class, u32)>,
        idle: Option<u32>,
        open: impl Fn(usize, &Flush) -> bool,
    ) -> Option<usize> {
        self.flushes.iter_mut().enumerate().position(|(i, (flush, collector))| {
            open(i, flush)
                && match (collector, eligible, idle) {
                    (None, Some((class, idle)), _) => flush.class == class && idle >= flush.idle_over_seconds,
                    (Some(collector), _, Some(idle)) => {
                        idle >= flush.idle_over_seconds && collector.collect(entry, idle)
                    }
                    _ => false,
                }
        })
    }
}

/// Gives a chunk's deletions to the flushes that asked for them; errors do not say whose they were, so the last
/// flush of the chunk bears them.
fn credit(swept: &mut Swept, taken: &[u64], done: &Deleted) {
    let mut missed = taken.iter().sum::<u64>().saturating_sub(done.gone());
    for (i, asked) in taken.iter().enumerate().rev() {
        let lost = missed.min(*asked);
        missed -= lost;
        swept.requested[i] += asked;
        swept.freed[i] += asked - lost;
    }
    swept.deleted.add(*done);
}

/// Keeps deletions to so many a second, and lets go where the table is about to be full.
struct Throttle<'a> {
    pace: &'a Pace,
    due: Instant,
}

impl<'a> Throttle<'a> {
    fn new(pace: &'a Pace) -> Self {
        Throttle { pace, due: Instant::now() }
    }

    /// What was deleted so far is paid for; else the next chunk is let pass, for it would be stale later.
    fn ready(&self) -> bool {
        self.due <= Instant::now()
    }

    fn after(&mut self, deletions: u64, count: Option<u64>) {
        let now = Instant::now();
        let urgent = count.is_some_and(|count| count >= self.pace.urgent_at_entries);
        let per_second = if urgent { self.pace.urgent_per_second } else { self.pace.per_second };
        let from = if urgent { now } else { self.due.max(now) };
        self.due = from + Duration::from_secs_f64(deletions as f64 / per_second.max(1) as f64);
        // The next chunk lies ready in the kernel and ages: half of the time that keeps it fresh at most.
        std::thread::sleep(self.due.saturating_duration_since(now).min(Deleter::FRESH / 2));
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
