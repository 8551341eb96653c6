//! The hand: plans become outcomes. It decides nothing, but looks again at the moment of acting: what it finds
//! changed since the decision, it leaves alone.

mod chunk;
mod share;

use std::io;
use std::time::{Duration, Instant};

use chunk::{Ready, ask, settle};

use crate::kernel::grace::{Shortened, Shortener};
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
    fn take(&mut self, entry: &Entry, class: Class, seen: Instant);

    /// Does what was taken.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    fn settle(&mut self) -> io::Result<Deleted>;

    /// Leaves a second chance to an entry that was seen after `seen`; it has it after [`Hand::settle_chances`].
    fn give_grace(&mut self, entry: &Entry, seen: Instant);

    /// Leaves `grace_seconds` to each of those, and never more than it had.
    ///
    /// # Errors
    /// As sendto(2) and recvmsg(2).
    fn settle_chances(&mut self, grace_seconds: u32) -> io::Result<Shortened>;

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
    given: Vec<Entry>,
}

impl Hand for DryHand {
    fn set(&mut self, _: &str, _: u64, _: u64) -> Result<Option<u64>, Refused> {
        Ok(None)
    }

    fn take(&mut self, _: &Entry, _: Class, _: Instant) {
        self.taken += 1;
    }

    fn settle(&mut self) -> io::Result<Deleted> {
        Ok(Deleted { sent: std::mem::take(&mut self.taken), ..Deleted::default() })
    }

    fn give_grace(&mut self, entry: &Entry, _: Instant) {
        self.given.push(*entry);
    }

    fn settle_chances(&mut self, _: u32) -> io::Result<Shortened> {
        Ok(Shortened { set: std::mem::take(&mut self.given), ..Shortened::default() })
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
    shortener: Shortener,
    unreadable: u64,
}

impl<V: Values> KernelHand<V> {
    /// With these values, a socket of its own for deletions, and one for second chances.
    pub fn new(values: V, deleter: Deleter, shortener: Shortener) -> Self {
        KernelHand { values, deleter, shortener, unreadable: 0 }
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

    fn take(&mut self, entry: &Entry, class: Class, seen: Instant) {
        // An identity that does not encode with certainty stays.
        self.unreadable += u64::from(self.deleter.push_as(entry, Some(class), seen).is_err());
    }

    fn settle(&mut self) -> io::Result<Deleted> {
        let mut deleted = self.deleter.flush()?;
        let unreadable = std::mem::take(&mut self.unreadable);
        deleted.sent += unreadable;
        deleted.failed += unreadable;
        Ok(deleted)
    }

    fn give_grace(&mut self, entry: &Entry, seen: Instant) {
        // What does not encode with certainty, or has a timeout that no packet would put back, is left alone.
        let _ = self.shortener.push(entry, seen);
    }

    fn settle_chances(&mut self, grace_seconds: u32) -> io::Result<Shortened> {
        self.shortener.flush(grace_seconds)
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
    /// The same of the entry judged last, were it not for a protection that may be lifted.
    fn held_by_protection(&self) -> Option<(Class, u32)> {
        None
    }
    /// The entry judged last stays.
    fn stays(&mut self);
    /// The entry judged last is gone within the grace anyway, unless a packet comes.
    fn in_grace(&self) -> bool {
        false
    }
    /// An entry that was judged idle for so long has been left so many seconds.
    fn given_grace(&mut self, _entry: &Entry, _idle_seconds: u32, _grace_seconds: u32) {}
    /// Time to read again what may have changed while the sweep runs.
    fn refresh(&mut self);
    /// Entries in the table right now.
    fn count(&mut self) -> Option<u64>;
    /// Something that the judgement rests on has changed just now: asked once a chunk, so it has to cost nothing.
    fn outdated(&mut self) -> bool {
        false
    }
    /// Entries that came since the sweep began: as many more may go before the table is where it is to be.
    fn came(&self) -> u64 {
        0
    }
    /// The sweep is to end here (a stop, a pause).
    fn halted(&self) -> bool {
        false
    }
}

/// What a sweep came to.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// For each flush of the plan, how many entries went or got their second chance (or would have).
    pub freed: Vec<u64>,
    /// For each flush, how many were asked for.
    pub requested: Vec<u64>,
    /// All deletions together.
    pub deleted: Deleted,
    /// All second chances together, without the entries.
    pub chances: Shortened,
    /// How many were given.
    pub chances_given: u64,
    /// For so long the second chances of this sweep keep the next ones waiting, at the plan's pace.
    pub chances_owed: Duration,
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
    let chance_pace = Pace { per_second: pace.chances_per_second, urgent_at_entries: u64::MAX, ..*pace };
    let (mut deletions, mut chances) = (Throttle::new(pace), Throttle::new(&chance_pace));
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
        let came = if hand.dry() { 0 } else { judge.came() };
        let (may_delete, may_give) = (deletions.ready(came), chances.ready(0));
        let ready = Ready { deletions: may_delete, chances: may_give, portion: pace.portion, came };
        let asked = ask(chunk, hand, &mut wanted, ready, judge, &mut swept);
        let (to_go, to_wait) = (asked.deletions(), asked.second_chances());
        if to_go + to_wait == 0 {
            return true;
        }
        if let Err(error) = settle(&asked, hand, flushes, judge, &mut swept) {
            failure = Some(error);
            return false;
        }
        let spent = spent(flushes, &swept.freed, ready);
        let count = if hand.dry() { None } else { judge.count() };
        let enough = count.is_some_and(|count| count <= pace.enough_at_entries);
        // No time for a grace any more: that is for the policy to decide anew.
        let urgent = to_wait > 0 && count.is_some_and(|count| count >= pace.urgent_at_entries);
        chances.owe(to_wait, count);
        if spent || enough || urgent {
            swept.whole = false;
            return false;
        }
        match to_go {
            0 => chances.pause(),
            _ => deletions.after(to_go, count),
        }
        true
    })?;
    swept.chances_owed = chances.due.saturating_duration_since(Instant::now());
    match failure {
        Some(error) => Err(error),
        None => Ok(swept),
    }
}

/// All that was wanted went.
fn spent(flushes: &[&Flush], freed: &[u64], ready: Ready) -> bool {
    let all: u64 = freed.iter().sum();
    match ready.portion {
        Some(_) => flushes.iter().all(|flush| all >= flush.budget + ready.came),
        None => {
            let wanted: u64 = flushes.iter().map(|flush| flush.budget).sum();
            flushes.iter().zip(freed).all(|(flush, n)| *n >= flush.budget) && all >= wanted + ready.came
        }
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

    /// Nothing is deleted by this one.
    fn gives_grace(&self, flush: usize) -> bool {
        self.flushes[flush].0.grace_seconds.is_some()
    }

    /// As what a flush takes entries.
    fn class(&self, flush: usize) -> Class {
        self.flushes[flush].0.class
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

/// Keeps to so many a second, and lets go where the table is about to be full.
struct Throttle<'a> {
    pace: &'a Pace,
    started: Instant,
    /// When the chunk under way was begun: what its acts took is part of their time.
    begun: Instant,
    due: Instant,
    came: u64,
}

impl<'a> Throttle<'a> {
    fn new(pace: &'a Pace) -> Self {
        let now = Instant::now();
        Throttle { pace, started: now, begun: now, due: now, came: 0 }
    }

    /// What was done so far is paid for; else the next chunk is let pass, for it would be stale later.
    fn ready(&mut self, came: u64) -> bool {
        (self.begun, self.came) = (Instant::now(), came);
        self.due <= self.begun
    }

    /// As planned, or twice what came since the sweep began: the plan knew the rate of a moment before it.
    fn per_second(&self) -> u64 {
        let most = self.pace.urgent_per_second.max(self.pace.per_second);
        let coming = 2.0 * self.came as f64 / self.started.elapsed().as_secs_f64().max(0.01);
        self.pace.per_second.max((coming as u64).min(most))
    }

    fn after(&mut self, done: u64, count: Option<u64>) {
        self.owe(done, count);
        self.pause();
    }

    fn owe(&mut self, done: u64, count: Option<u64>) {
        let urgent = count.is_some_and(|count| count >= self.pace.urgent_at_entries);
        let per_second = if urgent { self.pace.urgent_per_second } else { self.per_second() };
        let from = if urgent { self.begun } else { self.due.max(self.begun) };
        self.due = from + Duration::from_secs_f64(done as f64 / per_second.max(1) as f64);
    }

    /// The next chunk lies ready in the kernel and ages: half of the time that keeps it fresh at most.
    fn pause(&self) {
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()).min(Deleter::FRESH / 2));
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
